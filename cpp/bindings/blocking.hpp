// Blocking: a with block around a wait that the core does not see.  The worker that
// enters it does not count against its pool's limit.
#pragma once

#include "python.hpp"

namespace fastflow::py {

bool add_blocking_type(PyObject* module);

}  // namespace fastflow::py
