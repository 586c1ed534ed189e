// Context variables of tasks and items: each begins with the values that its submitter
// had, and what it sets is gone after it.
//
// A context per task
//   submit() copies the submitter's context (capture_context), if there is anything in
//   it, and the task runs in that copy.
//
// A context per item, for runs of many calls (map, imap, graphs)
//   One copy per item would cost more than a short item.  So a participant runs its
//   items in one copy for as long as they leave it as it was, and takes another one
//   after an item that did not (ItemContext::renew).  That an item left it as it was is
//   seen by looking: no variable more or less, and each of the few variables that the
//   submitter had still refers to the object it referred to.  A variable that was set
//   and reset counts as left alone, since nobody can see the difference.
//
// Mutable values
//   The context of `decimal` is an object that is meant to be changed in place
//   (getcontext().prec = 3), and every operation may set its flags.  Where the
//   submitter has one, tasks and items get copies of it; a change in place can't be
//   seen from outside, so then each item gets a new copy.  Others' mutable values are
//   shared, as they are in contextvars.copy_context().
#pragma once

#include "python.hpp"

namespace fastflow::py {

// How many variables a context has values of.
inline Py_ssize_t variables_in(PyObject* context) noexcept {
  return PyContext_Type.tp_as_mapping->mp_length(context);
}

// A copy of the calling thread's context variables for a task, or nullptr if none are
// set.  False with an exception.
bool capture_context(PyObject** context);

// A new copy of `context` (nullptr: of the calling thread's) for one task: never
// nullptr but with an exception.
PyObject* task_context(PyObject* context);

// Leaves a context that was entered; keeps an exception that is set.
void exit_context_raising(PyObject* context);
inline void exit_context(PyObject* context) {
  if (PyErr_Occurred() != nullptr) {
    exit_context_raising(context);
  } else if (PyContext_Exit(context) < 0) {
    PyErr_Clear();
  }
}

// Where one participant calls its items.  open, then enter, items with renew after
// each, exit; all on one thread, but later rounds may be on another.
class ItemContext {
 public:
  ItemContext() = default;
  ItemContext(const ItemContext&) = delete;
  ItemContext& operator=(const ItemContext&) = delete;

  // `base`: what capture_context gave; it outlives this.  False with an exception.
  [[nodiscard]] bool open(PyObject* base);
  [[nodiscard]] bool is_open() const noexcept { return static_cast<bool>(current_); }

  [[nodiscard]] bool enter();
  // Keeps an exception that is set.
  void exit() { exit_context(current_.get()); }

  // After an item, while entered.  False with an exception: the context is still
  // entered, and no further item may be called.
  [[nodiscard]] bool renew() { return !touched() || replace(); }

 private:
  // With more variables than this it is cheaper to copy than to look.
  static constexpr Py_ssize_t kWatched = 8;
  struct Watched {
    PyObject *variable, *value;  // borrowed from base_
  };

  bool watch();
  [[nodiscard]] bool touched() const {
    if (always_ || n_variables() != size_) return true;
    return size_ != 0 && value_changed();
  }
  [[nodiscard]] Py_ssize_t n_variables() const { return variables_in(current_.get()); }
  [[nodiscard]] bool value_changed() const;
  bool replace();

  PyObject* base_ = nullptr;
  Ref current_;
  Py_ssize_t size_ = 0;  // of base_
  bool always_ = false;  // something in it may be changed in place, or it is too large
  Watched watched_[kWatched];  // the first size_, unless always_
};

}  // namespace fastflow::py
