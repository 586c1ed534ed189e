// for_each(kernel, range(...)): a kernel over a range without touching the interpreter.
#pragma once

#include "python.hpp"

namespace fastflow::py {

// kernel_loop(*, engine, kernel, start, step, n, most, caller_helps) -> None
PyObject* kernel_loop(PyObject* module, PyObject* const* args, Py_ssize_t nargs,
                      PyObject* names);

}  // namespace fastflow::py
