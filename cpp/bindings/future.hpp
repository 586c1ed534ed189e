// FutureBase: the native half of fastflow.Future, and the task itself.
//
// One object is the concurrent.futures.Future, the queued job and the stored call.  Its
// state is one atomic word (core/task_state.hpp); a lock, a condition, waiter and
// callback lists exist only in Extras, made when somebody asks for them.
//
// fastflow.Future is a Python class over (FutureBase, concurrent.futures.Future).  The
// attributes that the standard library's wait() and as_completed() use (_state,
// _condition, _waiters, _result, _exception) are properties here, so these functions
// work on it, mixed with futures of other executors.
//
// Ownership: the queue owns one reference until the job has run.  The garbage collector
// does not track a future until it has an outcome, extras or attributes that could be
// part of a cycle: tracking costs microseconds per object at 10^6 of them.
//
// What runs Python code, and what it can't come between
//   the end     The outcome is stored, then the state moves on; in between a kernel's
//               reference may go, or a condition be taken.  Nobody reads the outcome
//               before the state has moved, and nobody else stores one: only who
//               started the task does (claim_outcome, settle_left_behind).
//   callbacks   Left under the lock before the flag is set, taken all at once under the
//               lock after the end.  So one is called by who ends the task, or by who
//               came too late, and never by both; they are called without the lock.
//   extras      Made under the lock; nothing that is made for them (a list, a
//   condition)
//               is made under it, and of two the first one stays.
//   tracking    Under the lock, as it must not be done twice.
//   cancelling  The state decides, before anything is dropped or called.
//   the call    Moved out before it is made, or dropped: nobody sees half of it.
#pragma once

#include "python.hpp"

#include <vector>

#include "call.hpp"
#include "engine.hpp"
#include "job.hpp"
#include "task_state.hpp"
#include "wait.hpp"

namespace fastflow::py {

struct KernelObject;
struct ScopeObject;

// What few futures have.
struct Extras {
  Ref condition;               // threading.Condition
  Ref waiters;                 // list of the standard library's waiters
  std::vector<Ref> callbacks;  // until the end, who takes them all
  Ref context;                 // contextvars.Context of the submitter
  Ref scope;                   // ScopeObject of a TaskGroup
};

enum class Holds : std::uint8_t { kCall, kKernel, kOutcome };

// A native function to call with an index.
struct KernelCall {
  KernelObject* kernel;  // owned
  std::int64_t index;
  std::uint32_t spare;  // as StoredCall's
};

// The run functions of queued futures: of calls (attached lane), of kernels (native
// lane).
void run_future(Job* job, Worker& worker);
void run_kernel_future(Job* job, Worker& worker);
// The same, recorded (recording.hpp).
void run_recorded_future(Job* job, Worker& worker);
void run_recorded_kernel_future(Job* job, Worker& worker);

struct FutureObject : PyObject {
  int traverse(visitproc visit, void* arg) const;
  void clear();
  void before_end();

  Job job{nullptr, run_future};
  TaskState state{Phase::kPending};
  bool failed = false;         // the outcome is an exception
  Holds holds = Holds::kCall;  // what is in the union
  // With `spare` of the call: when it was submitted, if it is recorded; else not set.
  std::uint16_t submitted_high;
  Engine* engine = nullptr;  // owned; nullptr: made by hand
  union {
    StoredCall call{};  // until the task starts; then empty until it ends
    KernelCall
        kernel_call;    // instead of call, to the end: a kernel ends without Python
    PyObject* outcome;  // once it ended; nullptr stands for None
  };
  std::atomic<Extras*> extras{nullptr};  // owned; made under ObjectLock
  std::uint64_t number = 0;              // of the task within its engine, from 1
  PyObject* dict = nullptr;              // of what users set on it
  PyObject* weakrefs = nullptr;
};
// With the two words that the garbage collector has in front: two lines of the cache.
#ifndef Py_GIL_DISABLED
static_assert(sizeof(void*) < 8 || sizeof(FutureObject) + 2 * sizeof(void*) == 128);
#endif

extern PyTypeObject* future_base_type;
bool add_future_type(PyObject* module);

inline FutureObject* future_of(Job* job) {
  return reinterpret_cast<FutureObject*>(reinterpret_cast<char*>(job) -
                                         offsetof(FutureObject, job));
}
inline PyObject* object_of(FutureObject* f) { return reinterpret_cast<PyObject*>(f); }

// When a recorded task was submitted: a stamp, but for its last bits.
inline void set_submitted(FutureObject* f, std::uint64_t stamp) {
  const std::uint64_t rough = stamp >> 4;
  (f->holds == Holds::kKernel ? f->kernel_call.spare : f->call.spare) =
      static_cast<std::uint32_t>(rough);
  f->submitted_high = static_cast<std::uint16_t>(rough >> 32);
}
inline std::uint64_t submitted(const FutureObject* f) {
  const std::uint32_t low =
      f->holds == Holds::kKernel ? f->kernel_call.spare : f->call.spare;
  return ((std::uint64_t{f->submitted_high} << 32) | low) << 4;
}

// A new, untracked, pending future of imports.future_type; the call is still empty.
FutureObject* new_future(Engine* engine);

// Makes them at first use; nullptr with MemoryError.  REQUIRES: ObjectLock, or that
// nobody else knows of `f`.
Extras* extras_of(FutureObject* f);
// The garbage collector has to know of it from now on.  REQUIRES: as extras_of: to
// track it twice ends the process.
void track(FutureObject* f);
// What is there, or nullptr.  `context` and `scope` never change after the submission;
// for the others hold ObjectLock.
inline Extras* extras_in(const FutureObject* f) {
  return f->extras.load(std::memory_order_acquire);  // pairs with extras_of
}

// Runs the task on this thread and announces its end.  REQUIRES: attached; the caller's
// try_start succeeded.
void execute(FutureObject* f);
void execute_recorded(FutureObject* f);
// The same unless it was started or cancelled already; true if it ran here.
bool run_if_pending(FutureObject* f);

// Forgets what was to be called.
void drop_call(FutureObject* f);

// Ends a running task.  Takes `outcome` over.
void settle(FutureObject* f, PyObject* outcome, bool failed);

// Sets the outcome of a future that was made by hand: None, or nullptr with
// InvalidStateError.  No Python code runs, unless it has extras.
PyObject* set_outcome(PyObject* self, PyObject* outcome, bool failed);

// Cancels a task that has not started; true if it is cancelled now (or was).
bool cancel(FutureObject* f);
// Cancels it if its group or its executor was cancelled.
void follow_cancel(FutureObject* f);

// Waits until `f` is done, running it here if that is allowed.
WaitEnd wait_until_done(FutureObject* f, double timeout);

// "task 'load' #4182" is added to an exception that a task raised.
void add_note(PyObject* exception, PyObject* function, const char* kind,
              std::uint64_t number);

// The task that runs on this thread (a future or a map), borrowed; or nullptr.
extern thread_local PyObject* t_current_task;

// The group of a future's task, borrowed; or nullptr.
ScopeObject* scope_in(const FutureObject* f);

class CurrentTask {
 public:
  explicit CurrentTask(PyObject* task) : before_(std::exchange(t_current_task, task)) {}
  ~CurrentTask() { t_current_task = before_; }
  CurrentTask(const CurrentTask&) = delete;
  CurrentTask& operator=(const CurrentTask&) = delete;

 private:
  PyObject* before_;
};

}  // namespace fastflow::py
