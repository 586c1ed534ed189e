// ReadyQueue: jobs submitted from outside the pool (the "injector"), lock-free.
//
// Usage
//   any thread:  queue.push(job);
//   a worker:    Job* newest = queue.take_all();   // the whole batch, linked by `next`
//
// Algorithm
//   An intrusive stack (R. K. Treiber, "Systems Programming: Coping with Parallelism",
//   IBM RJ 5118, 1986) of which only two operations exist: push one and take all.  As
//   nobody pops a single node, the head that a push compares against can be removed and
//   come back in between without harm (no ABA problem): the new node still points to
//   exactly what is in the list.  The batch comes newest first; a worker that pushes it
//   onto its own deque in that order pops the oldest first, so submission order holds.
//
// Threads
//   Every member may be called by any thread at any time.
//
// Invariants
//   A job is in at most one queue.  After take_all() returned it, the batch belongs to
//   the caller alone.
//
// Wake protocol
//   push() and empty() are seq_cst because a worker that is about to sleep and a
//   submitter use them as the two sides of a store-buffering handshake: see pool.hpp.
#pragma once

#include "atomic.hpp"
#include "job.hpp"

namespace fastflow {

class ReadyQueue {
 public:
  ReadyQueue() = default;
  ReadyQueue(const ReadyQueue&) = delete;
  ReadyQueue& operator=(const ReadyQueue&) = delete;

  void push(Job* job) noexcept {
    // relaxed: only a guess for the exchange below, which validates it.
    Job* head = head_.load(std::memory_order_relaxed);
    do {
      job->next = head;
      // seq_cst on success: publishes *job to take_all() and takes part in the wake
      // protocol.  relaxed on failure: another guess.
    } while (!head_.compare_exchange_weak(head, job, std::memory_order_seq_cst,
                                          std::memory_order_relaxed));
  }

  // All jobs, newest first, linked by `next`; nullptr when there are none.
  [[nodiscard]] Job* take_all() noexcept {
    // relaxed: a look that spares the exchange; a stale "empty" is repaired by the
    // seq_cst re-check before a worker sleeps.
    if (head_.load(std::memory_order_relaxed) == nullptr) return nullptr;
    // acquire: pairs with the push that published the head (and, through the release
    // sequence of the pushes' read-modify-writes, with every push below it).
    return head_.exchange(nullptr, std::memory_order_acquire);
  }

  [[nodiscard]] bool empty() const noexcept { return head_.load() == nullptr; }

 private:
  atomic<Job*> head_{nullptr};
};

}  // namespace fastflow
