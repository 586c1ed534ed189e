#include "range.hpp"

#include <algorithm>
#include <cassert>
#include <climits>
#include <utility>

#include "pool.hpp"

namespace fastflow {

namespace {

// How long a grain should take: long against taking it, short against the whole.
constexpr std::chrono::microseconds kAim{20};

// Between the slots at which a participant begins to look for work, one time and the
// next: a prime, so that it comes to all of them (unless there are as many).
constexpr std::uint32_t kStride = 7919;

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
  for (std::uint32_t i = 1; i < most; ++i) {
    slots_[i]->run = run_token;
    slots_[i]->range = this;
    slots_[i]->index = i;
  }
  // relaxed: nobody else knows of us yet; enqueueing a token publishes it.
  slots_[0]->word.store(pack(0, static_cast<std::uint32_t>(n)),
                        std::memory_order_relaxed);
}

void RangeJob::release() noexcept {
  // acq_rel: everything that others did with us comes before the deletion.
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

bool RangeJob::anything_left() const noexcept {
  for (std::uint32_t i = 0; i < most_; ++i) {
    const std::uint64_t word = slots_[i]->word.load();
    if (begin_of(word) < end_of(word)) return true;
  }
  return false;
}

// REQUIRES: called once for each slot, by its participant.
void RangeJob::invite(std::uint32_t slot) {
  for (std::uint64_t next = 2 * std::uint64_t{slot} + 1; next <= 2 * slot + 2; ++next) {
    if (next >= most_ || !anything_left()) return;
    references_.fetch_add(1, std::memory_order_relaxed);  // we hold one already
    pool_.submit(&*slots_[next], Lane::kNative);
  }
}

void RangeJob::run_token(Job* token, Worker&) {
  const Slot& slot = *static_cast<Slot*>(token);
  RangeJob* self = slot.range;
  self->inside_.fetch_add(1);
  if (self->anything_left()) {
    self->invite(slot.index);
    self->participate(slot.index, Clock::time_point::max());
  }
  self->leave();
  self->release();
}

bool RangeJob::help(Clock::time_point deadline) {
  if (!std::exchange(invited_, true)) invite(0);
  if (!participate(0, deadline)) return false;
  leave();
  return true;
}

void RangeJob::start() {
  invite(0);
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
  for (std::uint32_t i = 0; i < most_; ++i) slots_[i]->word.store(0);
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

bool RangeJob::steal_into(std::uint32_t own, std::uint32_t first) noexcept {
  for (std::uint32_t k = 0; k < most_; ++k) {
    const std::uint32_t i = first + k < most_ ? first + k : first + k - most_;
    Slot& victim = *slots_[i];
    std::uint64_t word = victim.word.load();
    while (i != own && begin_of(word) < end_of(word)) {
      const std::uint32_t middle = begin_of(word) + (end_of(word) - begin_of(word)) / 2;
      if (victim.word.compare_exchange_weak(word, pack(begin_of(word), middle))) {
        slots_[own]->word.store(pack(middle, end_of(word)));
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
  std::uint32_t victim = index == 0 ? 0 : (index - 1) / 2;  // who has called us
  auto before = Clock::now();
  for (;;) {
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
    const std::uint32_t first = victim;
    victim = static_cast<std::uint32_t>((victim + std::uint64_t{kStride}) % most_);
    if (!steal_into(index, first)) return true;
  }
}

}  // namespace fastflow
