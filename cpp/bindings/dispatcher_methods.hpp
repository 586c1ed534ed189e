// What Python code calls of a Dispatcher.
#pragma once

#include <vector>

#include "python.hpp"

namespace fastflow::py {

// A new list; nullptr with MemoryError.
PyObject* list_of(const std::vector<Ref>& refs);

extern PyMethodDef dispatcher_methods[];
extern PyGetSetDef dispatcher_getset[];

}  // namespace fastflow::py
