// end_with(fd): the process ends when the other end of a connected socket is closed.
//
// A thread of its own sees to that, which has nothing to do with the interpreter: a
// call may keep the interpreter lock for hours.  It takes no signals, since one that
// comes to it would not end the sleep of the main thread.
#pragma once

#include "python.hpp"

namespace fastflow::py {

#if defined(__linux__)
PyObject* end_with(PyObject*, PyObject* fd);
#endif

}  // namespace fastflow::py
