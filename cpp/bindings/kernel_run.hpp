// KernelRun: one run of a Graph whose nodes all run one native kernel.
#pragma once

#include "python.hpp"

namespace fastflow::py {

bool add_kernel_run_type(PyObject* module);

}  // namespace fastflow::py
