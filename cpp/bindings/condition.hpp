// Condition: what a future gives those who ask for its `_condition`, made small.
//
// The standard library's wait() and as_completed() lock every future that they are
// given and hardly ever wait on one.  A threading.Condition costs microseconds and 1
// KB; this is a reentrant lock, and a threading.Condition over that lock exists only
// once somebody waits.  Whoever notifies holds the lock, and who waits takes it first,
// so a notifier sees the waiter's condition or the waiter has yet to look.  Two who
// make it at the same time use the same one: which it is, is settled after both are
// made.
#pragma once

#include "python.hpp"

namespace fastflow::py {

bool add_condition_type(PyObject* module);

// A new one; nullptr with an exception.
PyObject* new_condition();

}  // namespace fastflow::py
