#include "pool.hpp"

#include <cassert>
#include <chrono>
#include <thread>

namespace fastflow {

Pool::Pool(std::uint32_t limit, WorkerHooks& hooks) : hooks_(hooks), sleep_(limit) {
  assert(limit >= 1);
}

Pool::~Pool() { assert(live_.load() == 0); }

Need Pool::enqueue(Job* job, Lane lane) {
  Worker* worker = Worker::current();
  if (worker != nullptr && &worker->pool() == this) {
    worker->push(job, lane);
  } else {
    ready_[static_cast<std::size_t>(lane)].push(job);
  }
  return sleep_.work_added(lane);
}

bool Pool::start_thread() {
  if (hooks_.spawn(*this)) return true;
  sleep_.spawn_failed();
  return false;
}

void Pool::run_worker() {
  live_.fetch_add(1);
  Worker& worker = claim_worker();
  hooks_.on_start(worker);
  worker.run();
  hooks_.on_exit(worker);
  // release: the next thread that claims this worker sees its queues as we leave them.
  worker.in_use_.store(false, std::memory_order_release);
  live_.fetch_sub(1);
  stopped_.notify_all();
}

Worker& Pool::claim_worker() {
  // acquire (both): pair with the release stores below and in run_worker.
  Worker* w = workers_.load(std::memory_order_acquire);
  for (; w != nullptr; w = w->next_in_pool_) {
    bool expected = false;
    if (w->in_use_.compare_exchange_strong(expected, true, std::memory_order_acquire)) {
      return *w;
    }
  }
  std::lock_guard lock(grow_);
  const auto index = static_cast<std::uint32_t>(owned_.size());
  owned_.push_back(std::make_unique<Worker>(*this, index));
  Worker* fresh = owned_.back().get();
  fresh->in_use_.store(true, std::memory_order_relaxed);            // published below
  fresh->next_in_pool_ = workers_.load(std::memory_order_relaxed);  // under the mutex
  // release: thieves that load the head see the worker whole.
  workers_.store(fresh, std::memory_order_release);
  return *fresh;
}

bool Pool::has_work(Lane lane) const noexcept {
  if (!ready_[static_cast<std::size_t>(lane)].empty()) return true;
  // acquire: pairs with claim_worker.  A worker that is not in the list yet has pushed
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
  }
  total.workers = live_.load(std::memory_order_relaxed);
  total.blocked = blocked_.load(std::memory_order_relaxed);
  return total;
}

}  // namespace fastflow
