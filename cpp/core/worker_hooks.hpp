// WorkerHooks: how a binding attaches itself to the workers without the core knowing
// it.
//
// The core calls these; a binding to a language with a global lock implements attach
// and detach by taking and giving up that lock.  PlainHooks, for C++ only, does neither
// and starts std::threads.
#pragma once

#include <chrono>

namespace fastflow {

class Pool;
class Worker;

class WorkerHooks {
 public:
  WorkerHooks() = default;
  WorkerHooks(const WorkerHooks&) = delete;
  WorkerHooks& operator=(const WorkerHooks&) = delete;
  virtual ~WorkerHooks() = default;

  // Starts a thread that calls pool.run_worker() once; false if that is impossible.
  // Called by any thread, attached or not, without locks of the core held.
  virtual bool spawn(Pool& pool) = 0;

  // First and last thing on a worker's thread.
  virtual void on_start(Worker&) {}
  virtual void on_exit(Worker&) {}

  // Around a worker's sleep.
  virtual void on_sleep(Worker&) {}
  virtual void on_wake(Worker&) {}

  // Takes the binding's lock before jobs of the attached lane are taken and run; may
  // block.  The core calls it only when the worker is detached.
  virtual void attach(Worker&) {}
  // Gives the lock up, before a job of the native lane and before going idle.  Called
  // only when attached.
  virtual void detach(Worker&) {}
  // Asked when a detached worker is about to sleep: true if it should attach once more
  // (to clean up after native jobs).
  virtual bool wants_attach(Worker&) { return false; }

  // A sleeping worker calls on_linger once when it has slept for linger_time().
  virtual std::chrono::nanoseconds linger_time(Worker&) {
    return std::chrono::nanoseconds::max();
  }
  virtual void on_linger(Worker&) {}
};

}  // namespace fastflow
