// What a running task can ask about itself: fastflow.current_task().
#pragma once

#include "python.hpp"

namespace fastflow::py {

bool add_task_type(PyObject* module);
PyObject* current_task();  // new reference; None outside of tasks

}  // namespace fastflow::py
