// One call of a run of Python calls: the arguments from the results of others.
#pragma once

#include "call_run_state.hpp"

namespace fastflow::py::call_run {

inline PyObject* function_of(const CallRun* run, std::uint32_t v) {
  return run->function != nullptr ? run->function : run->state->parts.functions[v];
}

// Calls v, or the unit of that number.  A new reference, or nullptr with an exception.
PyObject* call(CallRun* run, std::uint32_t v);

}  // namespace fastflow::py::call_run
