// for_each(kernel, range(...)): a kernel over a range without touching the interpreter.
#pragma once

#include "python.hpp"

namespace fastflow::py {

// kernel_loop(engine, kernel, start, step, n, most, help) -> None
PyObject* kernel_loop(PyObject* module, PyObject* args);

}  // namespace fastflow::py
