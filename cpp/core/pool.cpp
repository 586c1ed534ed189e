#include "pool.hpp"

#include <cassert>
#include <chrono>
#include <new>
#include <thread>

namespace fastflow {

Pool::Pool(std::uint32_t limit, WorkerHooks& hooks) : hooks_(hooks), sleep_(limit) {
  assert(limit >= 1);
}

Pool::~Pool() { assert(live_.load() == 0); }

Need Pool::enqueue(Job* job, Lane lane) noexcept {
  Worker* worker = Worker::current();
  const bool own = worker != nullptr && &worker->pool() == this;
  if (!own || !worker->push(job, lane)) {
    ready_[static_cast<std::size_t>(lane)].push(job);
  }
  return sleep_.work_added(lane);
}

bool Pool::start_thread() {
  if (take_seat()) {
    if (hooks_.spawn(*this)) return true;
    leave_seat();
  }
  sleep_.spawn_failed();
  return false;
}

void Pool::keep_reservation() {
  sleep_.add_searcher();
  std::lock_guard lock(grow_);
  ++seats_;  // what start_thread() gives back is the thread's
}

void Pool::run_worker(void* binding) {
  live_.fetch_add(1);
  Worker& worker = claim_worker();
  worker.binding = binding;
  hooks_.on_start(worker);
  worker.run();
  hooks_.on_exit(worker);
  worker.binding = nullptr;
  // release: the next thread that claims this worker sees its queues as we leave them.
  worker.in_use_.store(false, std::memory_order_release);
  leave_seat();
  live_.fetch_sub(1);
  stopped_.notify_all();
}

// Every seat has a worker; false if there is no memory for one more.
bool Pool::take_seat() noexcept {
  std::lock_guard lock(grow_);
  if (seats_ == owned_.size()) {
    try {
      const auto index = static_cast<std::uint32_t>(owned_.size());
      owned_.push_back(std::make_unique<Worker>(*this, index));
    } catch (const std::bad_alloc&) {
      return false;
    }
    Worker* fresh = owned_.back().get();
    fresh->next_in_pool_ = workers_.load(std::memory_order_relaxed);  // under the mutex
    // release: whoever loads the head sees the worker whole.
    workers_.store(fresh, std::memory_order_release);
  }
  ++seats_;
  return true;
}

void Pool::leave_seat() noexcept {
  std::lock_guard lock(grow_);
  --seats_;
}

// The calling thread has a seat, and those in use are no more than the other seats, as
// each is left before its seat is: so there is a free one.  It may be one that we have
// just passed.
Worker& Pool::claim_worker() noexcept {
  for (;;) {
    // acquire (both): pair with the release stores in take_seat and run_worker.
    Worker* w = workers_.load(std::memory_order_acquire);
    for (; w != nullptr; w = w->next_in_pool_) {
      bool expected = false;
      if (w->in_use_.compare_exchange_strong(expected, true,
                                             std::memory_order_acquire)) {
        return *w;
      }
    }
  }
}

bool Pool::has_work(Lane lane) const noexcept {
  if (!ready_[static_cast<std::size_t>(lane)].empty()) return true;
  // acquire: pairs with take_seat.  A worker that is not in the list yet has pushed
  // nothing, and looks at the queues itself before it sleeps.
  const Worker* w = workers_.load(std::memory_order_acquire);
  for (; w != nullptr; w = w->next_in_pool_) {
    if (w->has_work(lane)) return true;
  }
  return false;
}

bool Pool::wait_until_stopped(std::chrono::nanoseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    const EventCount::Key key = stopped_.prepare_wait();
    if (live_.load() == 0 && !has_work()) {
      stopped_.cancel_wait();
      return true;
    }
    const auto left = end - std::chrono::steady_clock::now();
    if (left <= left.zero()) {
      stopped_.cancel_wait();
      break;
    }
    stopped_.commit_wait_for(key, left);
  }
  // Work is queued, but after all that time nobody is there to do it: the thread that
  // was asked for may never come (its starter was interrupted by whoever waits here).
  if (live_.load() == 0 && has_work()) {
    sleep_.add_searcher();
    start_thread();
  }
  return false;
}

void Pool::blocked(Worker& worker) {
  {
    std::lock_guard lock(worker.blocking_);
    if (worker.blocks_++ > 0) return;
    blocked_.fetch_add(1);
    sleep_.blocked();
  }
  wake_if_work();
}

void Pool::unblocked(Worker& worker) {
  std::lock_guard lock(worker.blocking_);
  if (--worker.blocks_ > 0) return;
  sleep_.unblocked();
  blocked_.fetch_sub(1);
}

PoolCounts Pool::counts() const {
  PoolCounts total;
  // relaxed: statistics; a sum over moving counters is approximate anyway.
  const Worker* w = workers_.load(std::memory_order_acquire);
  for (; w != nullptr; w = w->next_in_pool_) {
    total.executed += w->counts().executed.load(std::memory_order_relaxed);
    total.stolen += w->counts().stolen.load(std::memory_order_relaxed);
    total.parked += w->counts().parked.load(std::memory_order_relaxed);
    total.completed += w->counts().completed.load(std::memory_order_relaxed);
  }
  total.workers = live_.load(std::memory_order_relaxed);
  total.blocked = blocked_.load(std::memory_order_relaxed);
  return total;
}

}  // namespace fastflow
