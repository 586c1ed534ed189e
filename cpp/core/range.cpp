#include "range.hpp"

#include <algorithm>
#include <cassert>
#include <climits>

#include "pool.hpp"

namespace fastflow {

namespace {

// How long a grain should take: long against taking it, short against the whole.
constexpr std::chrono::microseconds kAim{20};

constexpr std::uint64_t pack(std::uint32_t begin, std::uint32_t end) noexcept {
  return (static_cast<std::uint64_t>(end) << 32) | begin;
}
constexpr std::uint32_t begin_of(std::uint64_t word) noexcept {
  return static_cast<std::uint32_t>(word);
}
constexpr std::uint32_t end_of(std::uint64_t word) noexcept {
  return static_cast<std::uint32_t>(word >> 32);
}

}  // namespace

RangeJob* RangeJob::create(Pool& pool, std::int64_t n, Body body, void* argument,
                           std::uint32_t most) {
  assert(n >= 0 && n <= kMost && most >= 1);
  return new RangeJob(pool, n, body, argument, most);
}

RangeJob::RangeJob(Pool& pool, std::int64_t n, Body body, void* argument,
                   std::uint32_t most)
    : pool_(pool),
      body_(body),
      argument_(argument),
      most_(most),
      slots_(new CacheAligned<Slot>[most]) {
  run = run_token;
  // relaxed: nobody else knows of us yet; enqueueing the token publishes it.
  slots_[0]->word.store(pack(0, static_cast<std::uint32_t>(n)),
                        std::memory_order_relaxed);
}

void RangeJob::release() noexcept {
  // acq_rel: everything that others did with us comes before the deletion.
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

bool RangeJob::anything_left() const noexcept {
  const std::uint32_t n = std::min(joined_.load(), most_);
  for (std::uint32_t i = 0; i < n; ++i) {
    const std::uint64_t word = slots_[i]->word.load();
    if (begin_of(word) < end_of(word)) return true;
  }
  return false;
}

void RangeJob::invite() {
  if (joined_.load() >= most_ || !anything_left() || queued_.exchange(true)) return;
  references_.fetch_add(1, std::memory_order_relaxed);  // we hold one already
  pool_.submit(this, Lane::kNative);
}

void RangeJob::run_token(Job* token, Worker&) {
  auto* self = static_cast<RangeJob*>(token);
  self->queued_.store(false);
  self->inside_.fetch_add(1);
  const std::uint32_t slot = self->joined_.fetch_add(1);
  if (slot < self->most_ && self->anything_left()) {
    self->invite();
    self->participate(slot, Clock::time_point::max());
  }
  self->leave();
  self->release();
}

bool RangeJob::help(Clock::time_point deadline) {
  invite();
  if (!participate(0, deadline)) return false;
  leave();
  return true;
}

void RangeJob::start() {
  invite();
  leave();
}

void RangeJob::leave() noexcept {
  // acq_rel: releases our calls of body; the creator acquires them in wait_for.
  if (inside_.fetch_sub(1, std::memory_order_acq_rel) == 1)
    futex_wake(inside_, INT_MAX);
}

bool RangeJob::wait_for(std::chrono::nanoseconds timeout) noexcept {
  const auto end = Clock::now() + timeout;
  for (int spins = 0;; ++spins) {
    // In this order: indices on their way between slots are held by somebody inside, so
    // if no slot had any and then nobody is inside, all are done.
    const bool unfinished = anything_left();
    const std::uint32_t inside = inside_.load(std::memory_order_acquire);  // leave()
    if (inside == 0 && !unfinished) return true;
    if (spins < 200) {
      cpu_pause();
      continue;
    }
    const auto left = end - Clock::now();
    if (left <= left.zero()) return false;
    futex_wait_for(inside_, inside, left);
  }
}

void RangeJob::cancel() noexcept {
  const std::uint32_t n = std::min(joined_.load(), most_);
  for (std::uint32_t i = 0; i < n; ++i) slots_[i]->word.store(0);
}

bool RangeJob::take_grain(Slot& slot, std::uint32_t grain, std::uint32_t* begin,
                          std::uint32_t* end) noexcept {
  std::uint64_t word = slot.word.load();
  for (;;) {
    const std::uint32_t left = end_of(word) - begin_of(word);
    if (left == 0) return false;
    const std::uint32_t n = std::min(grain, std::max(left / 4, std::uint32_t{1}));
    if (slot.word.compare_exchange_weak(word, pack(begin_of(word) + n, end_of(word)))) {
      *begin = begin_of(word);
      *end = begin_of(word) + n;
      return true;
    }
  }
}

bool RangeJob::steal_into(Slot& own) noexcept {
  const std::uint32_t n = std::min(joined_.load(), most_);
  for (std::uint32_t i = 0; i < n; ++i) {
    Slot& victim = *slots_[i];
    std::uint64_t word = victim.word.load();
    while (&victim != &own && begin_of(word) < end_of(word)) {
      const std::uint32_t middle = begin_of(word) + (end_of(word) - begin_of(word)) / 2;
      if (victim.word.compare_exchange_weak(word, pack(begin_of(word), middle))) {
        own.word.store(pack(middle, end_of(word)));
        return true;
      }
    }
  }
  return false;
}

// False if the deadline came first (the own slot may still hold a range).
bool RangeJob::participate(std::uint32_t index, Clock::time_point deadline) {
  Slot& own = *slots_[index];
  std::uint32_t grain = 1;
  auto before = Clock::now();
  do {
    std::uint32_t begin = 0, end = 0;
    while (take_grain(own, grain, &begin, &end)) {
      body_(begin, end, argument_);
      const auto now = Clock::now();
      const auto took = now - before;
      before = now;
      if (took < kAim && end - begin == grain && grain < (1U << 24)) grain *= 2;
      if (took > kAim * 4) grain = std::max(grain / 2, std::uint32_t{1});
      if (now > deadline) return false;
    }
  } while (steal_into(own));
  return true;
}

}  // namespace fastflow
