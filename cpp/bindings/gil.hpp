// How worker threads and waiting threads attach to and detach from the interpreter.
//
// Crossing between threads costs as much as a thousand calls, so
//   * a worker keeps the interpreter lock over consecutive Python jobs, and gives it up
//     only when it runs out of them, before a native job, or when somebody asks for it
//     (Python functions look by themselves, others never do: see yield_point);
//   * threads that wait for a result are announced after the worker gave the lock up,
//     so that they do not wake only to wait for it; while the worker has more to do
//     they look for themselves every now and then (see wait.hpp);
//   * a worker that comes for the first job of a burst does not queue for the lock
//     while the submitter is still running Python code, but watches for a moment.
#pragma once

#include "python.hpp"

#include <array>
#include <chrono>
#include <exception>

#include "pool.hpp"

namespace fastflow::py {

// Hands the interpreter lock over if another thread has asked for it.  It calls an
// empty Python function, at whose start the interpreter looks for such requests. Giving
// the lock up and taking it again would not do: it starts the waiting threads' clocks
// anew, and done often enough they never get to ask.  False: a signal handler raised
// (on the main thread only).
bool yield_point();

// Whether a call of it does so by itself: bytecode runs.  Of a generator function, and
// its like, none does: the call only makes an object.
inline bool looks_by_itself(PyObject* function) {
  if (PyMethod_Check(function)) function = PyMethod_GET_FUNCTION(function);
  if (!PyFunction_Check(function)) return false;
  constexpr int kMakesObject = CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR;
  const auto* code = reinterpret_cast<PyCodeObject*>(PyFunction_GET_CODE(function));
  return (code->co_flags & kMakesObject) == 0;
}

// What a worker thread of a Python pool has of its own; found by Worker::binding.  It
// needs no memory besides: what a worker has to do it can do when there is none left.
// Nobody else uses it, so only code that runs on this very thread can come in between:
// each reference is taken off the list before it is dropped.
class Attachment {
 public:
  explicit Attachment(PyThreadState* state) : state_(state) {}

  void attach();
  void detach();
  // After every Python job: takes back may_block(), and gives others a chance unless
  // the job has `looked` by itself.
  void end_of_job(Worker& worker, bool looked = false) {
    if (may_block_) unblock(worker);
    if (!looked && ++jobs_ % 8 == 0 && !yield_point()) PyErr_WriteUnraisable(nullptr);
  }
  // Whether the next end_of_job() gives others a chance.
  [[nodiscard]] bool yields_next(bool looked) const {
    return !looked && jobs_ % 8 == 7;
  }
  // The running task is about to enter a wait that the core can't see the end of (the
  // standard library's wait()): until its end it does not count against the limit.
  void may_block(Worker& worker);

  // Announce `key` (a future) to its waiters when the lock is given up.
  void announce_later(const void* key);
  void announce_now();
  // Drop a job's reference to its future at the next chance; the thread may be
  // detached.
  void drop_later(Job* job) {
    job->next = std::exchange(to_drop_, job);
    ++drops_;
  }
  [[nodiscard]] std::size_t drops() const noexcept { return drops_; }
  void drop_now();

  // Tasks without a context of their own run in an empty one that belongs to the
  // worker.  reset_context() replaces it if the last task wrote to it.
  void enter_fresh_context();
  void leave_context();
  void reset_context();

  int inline_depth = 0;  // tasks run inside waits of tasks on this thread

 private:
  void unblock(Worker& worker);

  PyThreadState* state_;
  bool may_block_ = false;
  std::uint32_t jobs_ = 0;
  Ref context_;
  std::array<const void*, 32> to_announce_;
  std::size_t announcements_ = 0;
  Job* to_drop_ = nullptr;  // jobs of futures
  std::size_t drops_ = 0;
};

inline Attachment& attachment(Worker& worker) {
  return *static_cast<Attachment*>(worker.binding);
}

// The worker of a Python pool on this thread, if any.
Worker* current_worker();

// Gives the lock up for a wait of ours.
class Detached {
 public:
  Detached();
  // Taking the lock again may end the thread, by unwinding its stack: that is what
  // Python before 3.14 does with daemon threads once the interpreter finalizes.
  ~Detached() noexcept(false);
  Detached(const Detached&) = delete;
  Detached& operator=(const Detached&) = delete;

 private:
  PyThreadState* state_;
};

// True where the calling thread is in call_detached, also while it is ended there.
bool is_detached() noexcept;
void set_detached(bool detached) noexcept;

// f(), with the lock given up.  For callers that hold references or buffers of
// Python's: their destructors ask is_detached(), and then leave everything as it is, as
// the thread is being ended (see ~Detached).
template <class F>
void call_detached(const F& f) {
  set_detached(true);
  try {
    const Detached detached;
    f();
  } catch (const std::exception&) {
    set_detached(false);
    throw;
  }
  set_detached(false);
}

}  // namespace fastflow::py
