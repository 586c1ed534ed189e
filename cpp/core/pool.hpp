// Pool: workers, the ready queues between them and the outside, and their lifetime.
//
// Usage
//   Pool pool(limit, hooks);
//   pool.submit(&job, Lane::kNative);      // any thread
//   pool.stop();                           // finish what was submitted, then leave
//   pool.wait_until_stopped();
//
// Threads
//   submit, wake, stop, counts: any thread.  blocked/unblocked: any thread, while the
//   worker is inside a job.
//   The pool outlives its workers: destroy it only after wait_until_stopped().
//
// Limit and blocking
//   At most `limit` workers run jobs at a time.  A worker that blocks in a wait of ours
//   (BlockedScope) does not count, so another one may run in its place; when it returns
//   there may be one too many, and the next worker to finish a job goes to sleep.
//   Threads are started on demand and kept.
//   Another thread may block a worker, too: one whose job nobody waits for any more, as
//   its time is over, so that it does not keep a place that others need.  How many
//   reasons there are to count a worker as blocked is a number of the worker's; whoever
//   takes it from 0 or back to 0 changes the gauge, both under the worker's lock.  So
//   the gauge loses exactly one reservation for each worker with a reason, whichever
//   threads have come in which order, and never falls below 0 in between.
//
// Memory
//   Queueing a job needs none that may be missing: a worker without room for it on its
//   own stack uses the ready queue, which links the jobs themselves.  What a thread
//   needs is made before it is asked for (its seat), so a thread that has started works
//   and whoever started it is told when it can't.
//
// Workers live in a list that only grows; a thread that ends leaves its Worker for the
// next thread.  So thieves may walk the list without a lock.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "atomic.hpp"
#include "job.hpp"
#include "ready_queue.hpp"
#include "sleep.hpp"
#include "worker.hpp"
#include "worker_hooks.hpp"

namespace fastflow {

struct PoolCounts {
  std::uint64_t executed = 0;  // jobs
  std::uint64_t stolen = 0;  // jobs run by another worker than the one that queued them
  std::uint64_t parked = 0;  // times that a worker went to sleep
  std::uint64_t completed = 0;  // WorkerCounts::completed
  std::uint32_t workers = 0;    // threads alive
  std::uint32_t blocked = 0;    // of them, waiting for other jobs
};

class Pool {
 public:
  // limit >= 1.  The hooks must outlive the pool.
  Pool(std::uint32_t limit, WorkerHooks& hooks);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Queues the job.  kThread: the caller must start a thread (start_thread).
  [[nodiscard]] Need enqueue(Job* job, Lane lane) noexcept;
  // Starts a thread through the hooks; false if that failed, or for want of memory.
  bool start_thread();
  // For hooks whose spawn() has started a thread and yet has to return false.
  void keep_reservation();
  void submit(Job* job, Lane lane) {
    if (enqueue(job, lane) == Need::kThread) start_thread();
  }
  // Wakes or starts a worker for the lane unless one is on its way.
  void wake(Lane lane) {
    if (sleep_.work_added(lane) == Need::kThread) start_thread();
  }
  void wake_if_work() {
    for (Lane lane : {Lane::kNative, Lane::kAttached}) {
      if (has_work(lane)) wake(lane);
    }
  }

  // The body of a worker thread, which start_thread() asked for.  `binding` belongs to
  // the hooks.
  void run_worker(void* binding = nullptr);

  // Workers leave when nothing is queued any more.  Submitting goes on working.
  void stop() { sleep_.stop(); }
  [[nodiscard]] bool stopping() const noexcept { return sleep_.stopping(); }
  // Waits until no worker thread is alive and nothing is queued, for at most `timeout`;
  // false when it passed.  Starts a thread if jobs are left then and nobody is there.
  bool wait_until_stopped(std::chrono::nanoseconds timeout);

  [[nodiscard]] bool has_work(Lane lane) const noexcept;
  [[nodiscard]] bool has_work() const noexcept {
    return has_work(Lane::kNative) || has_work(Lane::kAttached);
  }
  // True if a submitted job will be noticed without waking a sleeper.
  [[nodiscard]] bool someone_is_searching() const noexcept {
    return sleep_.searching_workers() > 0;
  }

  // Workers that run a job or are on their way to one.
  [[nodiscard]] std::uint32_t active_workers() const noexcept {
    return sleep_.active_workers();
  }
  // Too many workers are active: the calling one should leave its job when it can.
  [[nodiscard]] bool crowded() const noexcept { return sleep_.crowded(); }

  // Around a wait of a worker, or of others for it; may be nested.  REQUIRES: between
  // both calls the worker stays inside of one job.
  void blocked(Worker& worker);
  void unblocked(Worker& worker);

  [[nodiscard]] PoolCounts counts() const;
  [[nodiscard]] std::uint32_t limit() const noexcept { return sleep_.limit(); }
  [[nodiscard]] std::uint32_t live() const noexcept { return live_.load(); }
  [[nodiscard]] WorkerHooks& hooks() noexcept { return hooks_; }

 private:
  friend class Worker;
  [[nodiscard]] bool take_seat() noexcept;
  void leave_seat() noexcept;
  Worker& claim_worker() noexcept;

  WorkerHooks& hooks_;
  ReadyQueue ready_[kLanes];
  Sleep sleep_;
  atomic<Worker*> workers_{nullptr};  // newest first, linked by next_in_pool_
  atomic<std::uint32_t> live_{0};
  atomic<std::uint32_t> blocked_{0};
  EventCount stopped_;  // notified when a worker thread leaves
  std::mutex grow_;     // guards these two
  std::vector<std::unique_ptr<Worker>> owned_;
  std::size_t seats_ = 0;  // threads that live or were asked for, <= owned_.size()
};

// Around a wait of a worker for other jobs.
class BlockedScope {
 public:
  explicit BlockedScope(Worker* worker) : worker_(worker) {
    if (worker_ != nullptr) worker_->pool().blocked(*worker_);
  }
  ~BlockedScope() {
    if (worker_ != nullptr) worker_->pool().unblocked(*worker_);
  }
  BlockedScope(const BlockedScope&) = delete;
  BlockedScope& operator=(const BlockedScope&) = delete;

 private:
  Worker* worker_;
};

}  // namespace fastflow
