// Scope: the cancellation group of a TaskGroup.
//
// Cancelling it is one store, whatever the number of tasks.  Queued tasks are found
// cancelled when somebody looks at them or when a worker comes to them; a cancelled
// group has ended as soon as none of its tasks runs, however many are still queued.
//
// Why no task runs after a cancelled group has ended: a task first adds itself to
// `running`, then reads `cancelled`; the end reads `cancelled`, then `running`; all
// seq_cst.  Either the task sees the cancel, or the end sees the task running.
//
// A group that is opened by a task of another group is its child: cancelling reaches
// all groups below.  They are linked through pointers, guarded by one mutex for all:
// a child keeps its parent, and takes itself off the parent's list before it ends.  It
// joins the list first and then reads the parent's `cancelled`, which a cancel sets
// before it walks the list: one of the two sees the other.
//
// No Python code runs under that mutex, as nothing that waits for the interpreter may be
// in its way: references are dropped after it.  A failure is noted before the group is
// cancelled by it, and `open` falls last, so whoever sees the end sees the failures; the
// list is never shown but as a copy.
#pragma once

#include "python.hpp"

namespace fastflow::py {

struct ScopeObject : PyObject {
  int traverse(visitproc visit, void* arg) const;
  void clear();
  void before_end();

  std::atomic<bool> cancelled{false};
  std::atomic<std::int64_t> open{0};      // tasks that have not ended
  std::atomic<std::int64_t> running{0};   // of these, started
  std::atomic<std::uint32_t> waiters{0};  // bit 0: somebody waits; bit 1: urgently
  Ref failures;                           // list of exceptions, guarded by ObjectLock
  ScopeObject* parent = nullptr;          // owned; or nullptr
  ScopeObject *child = nullptr, *next = nullptr, *before = nullptr;  // first; siblings
};

// The group of the task that runs on this thread, or nullptr.
ScopeObject* current_scope();

extern PyTypeObject* scope_type;
bool add_scope_type(PyObject* module);

inline ScopeObject* scope_of(PyObject* object) {
  return static_cast<ScopeObject*>(object);
}

// The group that runs (map, imap, graphs) belong to: that of the task which began them.
// They begin nothing more once it is cancelled, and groups that their items open are
// its children.
class RunScope {
 public:
  // Of the running task.
  void join() { scope_ = Ref::borrow(reinterpret_cast<PyObject*>(current_scope())); }
  [[nodiscard]] ScopeObject* get() const noexcept {
    return reinterpret_cast<ScopeObject*>(scope_.get());
  }
  [[nodiscard]] bool cancelled() const noexcept {
    return scope_ && get()->cancelled.load(std::memory_order_relaxed);  // as cancel_due
  }
  // Raises Cancelled.
  static PyObject* raise_cancelled();
  int traverse(visitproc visit, void* arg) const {
    Py_VISIT(scope_.get());
    return 0;
  }
  void clear() { Ref old = std::move(scope_); }

 private:
  Ref scope_;
};

// Cancels the group and all groups below it.
void scope_cancel_all(ScopeObject* scope);
void scope_enter(ScopeObject* scope);
// A task of the group is about to run; false if the group is cancelled.
bool scope_start(ScopeObject* scope);
// The task of a successful scope_start has ended.
void scope_stop(ScopeObject* scope);
// A task of the group ended, run or not; a `failure` (borrowed) cancels the group.
void scope_leave(ScopeObject* scope, PyObject* failure);

}  // namespace fastflow::py
