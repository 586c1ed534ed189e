// What Python code calls of a Dispatcher.
#pragma once

#include "python.hpp"

namespace fastflow::py {

extern PyMethodDef dispatcher_methods[];
extern PyGetSetDef dispatcher_getset[];

}  // namespace fastflow::py
