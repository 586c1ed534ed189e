// ContextPerCall: calls functions one after the other, each with the context variables
// that were set when it was made.  For Python code that calls users' functions itself.
#pragma once

#include "python.hpp"

namespace fastflow::py {

bool add_context_per_call_type(PyObject* module);

}  // namespace fastflow::py
