// ContextPerCall: calls functions one after the other, each with the context variables
// that were set when it was made.  For Python code that calls users' functions itself.
//
// Whoever finds the context in use, by a call that is under way on any thread, gets one
// of its own.  `busy` is given back last, after all that may run Python code.
#pragma once

#include "python.hpp"

namespace fastflow::py {

bool add_context_per_call_type(PyObject* module);

}  // namespace fastflow::py
