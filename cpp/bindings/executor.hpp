// ExecutorBase: the native half of fastflow.Executor, with submit() as one native call.
//
// What submit() is given is looked at first, as that may run Python code; the future is
// known to nobody else until it is queued, in one step at the end.
#pragma once

#include "engine.hpp"
#include "future.hpp"

namespace fastflow::py {

extern PyTypeObject* executor_base_type;
bool add_executor_type(PyObject* module);

// submit(fn, *args, **kwargs) on an engine; `scope` may be nullptr.
PyObject* submit(Engine* engine, PyObject* scope, PyObject* const* args,
                 std::size_t nargs, PyObject* names);

}  // namespace fastflow::py
