#include "worker.hpp"

#include <chrono>
#include <thread>
#include <utility>

#include "pool.hpp"

namespace fastflow {

namespace {

thread_local Worker* t_current = nullptr;

// How long a worker that has just run a job looks out for the next before it sleeps:
// about what a wake-up costs both sides together.
constexpr std::chrono::microseconds kSpin{40};
// A sleep shorter than this was one of a burst: watching would have paid.
constexpr std::chrono::microseconds kShortSleep{200};

bool single_core() {
  static const bool single = std::thread::hardware_concurrency() < 2;
  return single;
}

}  // namespace

Worker::Worker(Pool& pool, std::uint32_t index) : pool_(pool), index_(index) {}

Worker* Worker::current() noexcept { return t_current; }

void Worker::run() {
  t_current = this;
  since_sleep_ = 0;
  while (Job* job = search()) {
    do {
      execute(job);
    } while (!pool_.sleep_.crowded() && (job = next()) != nullptr);
    pool_.sleep_.begin_search();
  }
  ensure_detached();
  t_current = nullptr;
}

void Worker::execute(Job* job) {
  ++since_sleep_;
  WorkerCounts::add(counts_.executed);
  job->run(job, *this);
}

// Active and searching on entry.
Job* Worker::search() {
  for (;;) {
    if (!pool_.sleep_.crowded()) {
      if (pool_.has_work(Lane::kNative)) {
        ensure_detached();
        if (Job* job = find(Lane::kNative)) return found(job, false);
      }
      if (pool_.has_work(Lane::kAttached)) {
        if (attached_) {
          if (Job* job = find(Lane::kAttached)) return found(job, false);
        } else {
          attach();
          if (Job* job = find(Lane::kAttached)) return found(job, true);
          pool_.sleep_.end_attach();
        }
        continue;
      }
    }
    ensure_detached();
    if (spin()) continue;
    if (pool_.hooks_.wants_attach(*this)) {
      attach();
      pool_.sleep_.end_attach();
      continue;
    }
    // The look at the queues that end_search() asks for is part of sleep().
    (void)pool_.sleep_.end_search(false);
    if (!sleep()) return nullptr;
  }
}

// Searching on entry, attaching on exit.
void Worker::attach() {
  if (pool_.sleep_.begin_attach() && pool_.has_work(Lane::kNative)) {
    pool_.wake(Lane::kNative);
  }
  pool_.hooks_.attach(*this);
  attached_ = true;
}

Job* Worker::found(Job* job, bool was_attaching) {
  if (pool_.sleep_.end_search(was_attaching)) pool_.wake_if_work();
  return job;
}

// After a job: stay in the lane that the worker is set up for, if it can.
Job* Worker::next() {
  // Only the near places: the others' queues are looked at when these are empty.
  const bool native_near =
      !pool_.ready_[index_of(Lane::kNative)].empty() || has_work(Lane::kNative);
  if (native_near || !attached_) {
    ensure_detached();
    if (Job* job = find(Lane::kNative)) return job;
  }
  return attached_ ? find(Lane::kAttached) : nullptr;
}

Job* Worker::find(Lane lane) {
  LaneQueues& own = lanes_[index_of(lane)];
  const bool outside_first = ++looks_ % kFairness == 0;
  Job* job = nullptr;
  if (!outside_first && (job = own.stack.pop()) != nullptr) return job;
  if (own.batch.steal(&job) == Steal::kTaken) return job;
  if ((job = steal_batch(lane)) != nullptr) return job;
  if ((job = take_over(lane)) != nullptr) return job;
  if (outside_first && (job = own.stack.pop()) != nullptr) return job;
  return steal_stack(lane);
}

Job* Worker::take_over(Lane lane) {
  Job* newest = pool_.ready_[index_of(lane)].take_all();
  if (newest == nullptr) return nullptr;
  if (newest->next == nullptr) return newest;
  // The oldest is ours; only the others have to be visible.
  Job* oldest = lanes_[index_of(lane)].batch.push_batch(newest);
  // Without memory for all of them, back they go: late, but not lost.
  while (Job* next = oldest->next) {
    pool_.ready_[index_of(lane)].push(std::exchange(oldest, next));
  }
  // In our hands they were in no queue: another worker may have gone to sleep over
  // that. (Nothing but a load if somebody is searching.)
  pool_.wake(lane);
  return oldest;
}

namespace {

// Takes from the old end until it succeeds or the deque is empty.
Job* steal_from(Deque& deque) {
  Job* job = nullptr;
  for (;;) {
    switch (deque.steal(&job)) {
      case Steal::kTaken:
        return job;
      case Steal::kEmpty:
        return nullptr;
      case Steal::kLost:
        cpu_pause();
    }
  }
}

}  // namespace

Job* Worker::steal_batch(Lane lane) {
  // acquire: pairs with the release in Pool::take_seat that published the worker.
  Worker* w = pool_.workers_.load(std::memory_order_acquire);
  for (; w != nullptr; w = w->next_in_pool_) {
    if (Job* job = steal_from(w->lanes_[index_of(lane)].batch)) {
      if (w != this) WorkerCounts::add(counts_.stolen);
      return job;
    }
  }
  return nullptr;
}

Job* Worker::steal_stack(Lane lane) {
  // Start behind ourselves and wrap around, so that not all thieves visit the same
  // victim first.
  auto steal = [&](Worker* from, Worker* to) -> Job* {
    for (Worker* w = from; w != to; w = w->next_in_pool_) {
      if (Job* job = steal_from(w->lanes_[index_of(lane)].stack)) {
        WorkerCounts::add(counts_.stolen);
        return job;
      }
    }
    return nullptr;
  };
  if (Job* job = steal(next_in_pool_, nullptr)) return job;
  // acquire: as in steal_batch.
  return steal(pool_.workers_.load(std::memory_order_acquire), this);
}

bool Worker::more_work(Lane lane) const noexcept {
  return has_work(lane) || !pool_.ready_[index_of(lane)].empty();
}

// Spinning right after a wake-up from a long sleep would only be in the way of the
// thread that was told of the result: the kernel likes to put it on this core.
bool Worker::in_burst() const noexcept {
  return since_sleep_ > 1 || (since_sleep_ == 1 && slept_shortly_);
}

bool Worker::spin() {
  if (!in_burst() || single_core() || pool_.sleep_.searching_workers() > 1)
    return false;
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 16; ++i) {
      if (pool_.has_work() && !pool_.sleep_.crowded()) return true;
      cpu_pause();
    }
    std::this_thread::yield();  // whom we just told of a result may be on this core
  } while (std::chrono::steady_clock::now() < end && !pool_.stopping());
  return false;
}

// Active, not searching, detached on entry; active and searching when it returns true.
bool Worker::sleep() {
  since_sleep_ = 0;
  WorkerCounts::add(counts_.parked);
  const auto before = std::chrono::steady_clock::now();
  auto has_work = [this] { return pool_.has_work(); };
  const auto linger = pool_.hooks_.linger_time(*this);
  pool_.hooks_.on_sleep(*this);
  Woken woken = pool_.sleep_.sleep(has_work, false, linger);
  if (woken == Woken::kTimeout) {
    pool_.hooks_.on_linger(*this);
    woken = pool_.sleep_.sleep(has_work, true);
  }
  slept_shortly_ = std::chrono::steady_clock::now() - before < kShortSleep;
  pool_.hooks_.on_wake(*this);
  return woken == Woken::kAwake;
}

void Worker::ensure_detached() {
  if (!attached_) return;
  attached_ = false;
  pool_.hooks_.detach(*this);
}

}  // namespace fastflow
