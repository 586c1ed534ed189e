// Worker: one thread of a pool, its queues and its loop.
//
// Where a worker looks for a job, in this order (find_native, find_attached):
//   1. its own stack of jobs that its own jobs pushed, newest first (depth first keeps
//      the working set small); every kFairness-th look skips this step, so that a job
//      that keeps pushing successors can't starve those from outside;
//   2. the batches that workers took over from the ready queue, its own and the
//   others',
//      oldest first;
//   3. the ready queue: the whole of it becomes this worker's batch;
//   4. the stacks of other workers, oldest first.
// Jobs submitted from outside therefore start in submission order: a batch is taken
// over only when all older batches are used up, and batches are consumed at their old
// end by everybody.
//
// Threads: run() and what it calls belong to the worker's own thread; steal_* and the
// counters may be used by any thread.
#pragma once

#include <cstdint>
#include <mutex>

#include "atomic.hpp"
#include "cache_line.hpp"
#include "deque.hpp"
#include "job.hpp"
#include "sleep.hpp"

namespace fastflow {

class Pool;

// Counts of one worker; written by it alone, read by anybody.
struct WorkerCounts {
  atomic<std::uint64_t> executed{0};
  atomic<std::uint64_t> stolen{0};
  atomic<std::uint64_t> parked{0};
  atomic<std::uint64_t> completed{0};  // free for the binding, as Worker::binding is

  // Counters have one writer, so a plain increment of an atomic will do.
  static void add(atomic<std::uint64_t>& counter, std::uint64_t n = 1) noexcept {
    // relaxed: a statistic; orders nothing.
    counter.store(counter.load(std::memory_order_relaxed) + n,
                  std::memory_order_relaxed);
  }
};

class Worker {
 public:
  explicit Worker(Pool& pool, std::uint32_t index);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // The worker that runs on this thread, if any.
  static Worker* current() noexcept;

  // The loop; returns when the pool stops.  REQUIRES: the thread holds a reservation of
  // the pool's Sleep and counts as searching.
  void run();

  // Pushes onto the own stack; false if there is no memory for it.  REQUIRES: on the
  // worker's thread.
  bool push(Job* job, Lane lane) noexcept {
    return lanes_[index_of(lane)].stack.push(job);
  }

  // Whether there is anything to take; for the wake protocol (seq_cst).
  [[nodiscard]] bool has_work(Lane lane) const noexcept {
    const auto& queues = lanes_[index_of(lane)];
    return !queues.stack.empty() || !queues.batch.empty();
  }

  [[nodiscard]] Pool& pool() const noexcept { return pool_; }
  [[nodiscard]] std::uint32_t index() const noexcept { return index_; }
  [[nodiscard]] bool attached() const noexcept { return attached_; }
  [[nodiscard]] WorkerCounts& counts() noexcept { return counts_; }
  [[nodiscard]] const WorkerCounts& counts() const noexcept { return counts_; }

  // Whether another job of the lane is near: on the own queues or the ready queue.
  [[nodiscard]] bool more_work(Lane lane) const noexcept;

  void* binding = nullptr;  // free for the WorkerHooks

 private:
  friend class Pool;
  static constexpr std::uint32_t kFairness = 61;

  struct LaneQueues {
    Deque stack{64};  // pushed by this worker's own jobs
    Deque batch{64};  // taken over from the ready queue
  };
  static std::size_t index_of(Lane lane) noexcept {
    return static_cast<std::size_t>(lane);
  }

  Job* search();                // with the search accounted for; nullptr: stop
  Job* next();                  // without; nullptr: nothing to take as things are
  Job* find(Lane lane);         // one pass over all places
  Job* steal_batch(Lane lane);  // step 2, others'
  Job* steal_stack(Lane lane);  // step 4
  Job* take_over(Lane lane);    // step 3
  Job* found(Job* job, bool was_attaching);
  bool in_burst() const noexcept;
  bool spin();   // bounded; true: there is work
  bool sleep();  // false: stop
  void execute(Job* job);
  void attach();
  void ensure_detached();

  Pool& pool_;
  const std::uint32_t index_;
  bool attached_ = false;
  std::mutex blocking_;       // guards blocks_
  std::uint32_t blocks_ = 0;  // reasons not to count it (Pool::blocked)
  bool slept_shortly_ = false;
  std::uint64_t since_sleep_ = 0;  // jobs
  std::uint32_t looks_ = 0;
  LaneQueues lanes_[kLanes];
  CacheAligned<WorkerCounts> counts_aligned_;
  WorkerCounts& counts_ = *counts_aligned_;

  Worker* next_in_pool_ = nullptr;  // set before the worker is published
  atomic<bool> in_use_{false};
};

}  // namespace fastflow
