// Hold: a context manager that undoes something at the end of its block, and at the
// latest when it is dropped.
//
// A signal handler may raise after something was done and before the ``try`` that is to
// undo it, or in its ``finally``. A Hold is there as soon as it is done, so the
// interpreter undoes it in any case; and it does so without Python code.
//
// AtEnd: calls a function when it is dropped; one that is native, for the same reason.
//
// Seats: the threads that wait for the workers of an executor (processes/watch.py). One
// at a time has the watch, others sleep.
#pragma once

#include "object.hpp"
#include "python.hpp"

namespace fastflow::py {

// `release` runs no Python code, and throws nothing.
using Release = void (*)(PyObject* owner, bool granted);

struct HoldObject : PyObject {
  int traverse(visitproc visit, void* arg) const {
    return visit_all(visit, arg, owner);
  }
  void clear() { end(); }
  void end();

  Ref owner;  // empty: it is over
  Release release = nullptr;
  bool granted = false;
};

// Empty: MemoryError; `release` is not called.
Ref make_hold(PyObject* owner, Release release, bool granted);

bool add_hold_types(PyObject* module);

}  // namespace fastflow::py
