// ClaimQueue: numbers of items that wait to be run, first in, first out.  One thread
// puts them in, any thread claims the oldest.
//
// Capacity
//   Each number is in the queue once at most, so that there is room for as many as
//   there are items.  Whoever puts a number in has had it back: its claimer has handed
//   it over, by other means, after the claim.
//
// A claim
//   reads the oldest position and the number in its slot, and then moves `head_` on in
//   one step.  The slot is written again only for the position that is one round later;
//   by then the number in it was claimed and came back, so that `head_` has moved on
//   and the step of a claimer who has read the slot too late fails.
//
// Sleeping
//   put() against take() and empty(): who puts a number in and then reads a flag, and
//   who clears that flag and then looks into the queue, do not miss each other; so both
//   ends are seq_cst.
//
// kExclusive: something else, such as the interpreter lock, keeps all callers apart.
//
// Threads: put by one; take and empty by any.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "atomic.hpp"
#include "cache_line.hpp"

namespace fastflow {

template <bool kExclusive = false>
class ClaimQueue {
 public:
  static constexpr std::size_t kNone = SIZE_MAX;

  // Throws std::bad_alloc.
  explicit ClaimQueue(std::size_t capacity)
      : mask_(std::bit_ceil(capacity) - 1),
        slots_(std::make_unique<atomic<std::size_t>[]>(mask_ + 1)) {}

  [[nodiscard]] bool empty() const noexcept {
    return head_.load(kOrder) == tail_.load(kOrder);
  }

  void put(std::size_t number) noexcept {
    // relaxed: nobody else writes it.
    const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
    // relaxed: read after tail_.
    slots_[tail & mask_].store(number, std::memory_order_relaxed);
    tail_.store(tail + 1, kOrder);
  }

  // The oldest; kNone if there is none, or if it is not `only`.
  [[nodiscard]] std::size_t take(std::size_t only = kNone) noexcept {
    std::uint64_t head = head_.load(kOrder);
    for (;;) {
      if (head == tail_.load(kOrder)) return kNone;
      // relaxed: put() wrote it before tail_; a later value is not used, see above.
      const std::size_t number = slots_[head & mask_].load(std::memory_order_relaxed);
      if (only != kNone && number != only) return kNone;
      if (move_on(head)) return number;
    }
  }

 private:
  // Those who are kept apart see everything anyway.
  static constexpr std::memory_order kOrder =
      kExclusive ? std::memory_order_relaxed : std::memory_order_seq_cst;

  bool move_on(std::uint64_t& head) noexcept {
    if constexpr (kExclusive) {
      head_.store(head + 1, kOrder);
      return true;
    } else {
      return head_.compare_exchange_strong(head, head + 1);
    }
  }

  const std::size_t mask_;
  const std::unique_ptr<atomic<std::size_t>[]> slots_;
  // Positions, never reduced.  Apart from each other and from what is only read: the
  // one is written by each who claims, the other by who puts in.
  static constexpr std::size_t kApart =
      kExclusive ? alignof(atomic<std::uint64_t>) : kCacheLine;
  alignas(kApart) atomic<std::uint64_t> head_{0};
  alignas(kApart) atomic<std::uint64_t> tail_{0};
};
#if !defined(FASTFLOW_MODEL)
static_assert(sizeof(ClaimQueue<false>) == 3 * kCacheLine);
#endif

}  // namespace fastflow
