// Deque: the work-stealing deque of one worker.
//
// Usage
//   owner:  deque.push(job);  Job* job = deque.pop();          // newest first
//   thief:  Steal s = deque.steal(&job);                        // oldest first
//
// Algorithm
//   D. Chase, Y. Lev, "Dynamic circular work-stealing deque", SPAA 2005, with the C11
//   orders studied by N. M. Lê, A. Pop, A. Cohen, F. Zappa Nardelli, "Correct and
//   efficient work-stealing for weak memory models", PPoPP 2013, but without standalone
//   fences: where they put a seq_cst fence, the two accesses around it are seq_cst
//   here.
//
//   `bottom` is written by the owner only, `top` only ever grows.  The jobs are at
//   indices [top, bottom).  The owner takes index bottom-1 after announcing it by
//   lowering bottom; a thief takes index top by moving top.  They can only meet on the
//   last job: the owner's "store bottom, load top" and the thief's "load top, load
//   bottom" are seq_cst, so at least one of them sees the other; both then settle it by
//   compare-exchange on top, which one of them wins.
//
// Growth
//   A full array is copied to one of twice the size.  A thief may still read the old
//   one: the slot it wants has the same job there, and if it is stale the
//   compare-exchange on top fails.  Old arrays are kept until the deque is destroyed;
//   since sizes double, they add at most as much again as the largest one.
//   Without memory for a larger array push says so and has pushed nothing, push_batch
//   what fits: jobs are never lost, and neither throws.
//   push_batch writes its slots above bottom first, in any order, and some of them
//   twice: thieves take none of these before bottom is stored.
//
// Threads
//   push, push_batch, pop, size_hint_owner: the owner.  steal, empty: any thread.
//
// Invariants
//   0 <= top <= bottom + 1; a slot index i is overwritten by i + capacity only after
//   top > i.  Indices are 64 bits and never wrap.
#pragma once

#include <cassert>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "atomic.hpp"
#include "cache_line.hpp"
#include "compiler.hpp"
#include "job.hpp"

namespace fastflow {

enum class Steal { kEmpty, kLost, kTaken };

// `Item` is what the deque holds pointers to.
template <class Item>
class DequeOf {
 public:
  // REQUIRES: initial_capacity is a power of two.
  explicit DequeOf(std::int64_t initial_capacity = 256) {
    arrays_.push_back(std::make_unique<Array>(initial_capacity));
    array_.store(arrays_.back().get(), std::memory_order_relaxed);  // not shared yet
  }
  DequeOf(const DequeOf&) = delete;
  DequeOf& operator=(const DequeOf&) = delete;

  // False: there is no memory for one more.
  bool push(Item* job) noexcept {
    // relaxed: only the owner writes bottom.
    const std::int64_t b = bottom_->load(std::memory_order_relaxed);
    Array* array = room_for(b, 1);
    if (array == nullptr) [[unlikely]]
      return false;
    array->put(b, job);
    // seq_cst: releases the slot to thieves, and is the store of the wake protocol
    // (pool.hpp): a worker going to sleep sees this job or the pusher sees the sleeper.
    bottom_->store(b + 1);
    return true;
  }

  // Pushes a list that is linked by `next` with the newest first, which is popped
  // first, but for its last item: the oldest is returned.  (In front of it are those
  // for which there was no memory, if any.)  REQUIRES: it is not empty.
  Item* push_batch(Item* item) noexcept {
    // relaxed: only the owner writes bottom and the array.
    const std::int64_t b = bottom_->load(std::memory_order_relaxed);
    Array* array = array_.load(std::memory_order_relaxed);
    // acquire: as in room_for.  Thieves can only add to the room.
    const std::int64_t t = top_->load(std::memory_order_acquire);
    // From the end of the room downwards, as nobody knows how many there are, and to
    // look at each twice would bring it from another core twice.
    std::int64_t end = t + array->capacity();
    std::int64_t from = end;
    while (Item* next = item->next) {
      if (from == b) {
        Array* bigger = grow(array, t, b);
        if (bigger == nullptr) break;
        const std::int64_t moved = bigger->capacity() - array->capacity();
        for (std::int64_t i = from; i < end; ++i) bigger->put(i + moved, array->get(i));
        array = bigger;
        from += moved;
        end += moved;
      }
      prefetch_like(item, next);
      array->put(--from, item);
      item = next;
    }
    const std::int64_t n = end - from;
    for (std::int64_t i = 0; i < n && from > b; ++i)
      array->put(b + i, array->get(from + i));
    bottom_->store(b + n);  // seq_cst: as in push
    return item;
  }

  // The newest job, or nullptr.
  [[nodiscard]] Item* pop() noexcept {
    // relaxed: only the owner writes bottom.  top can only be behind its true value
    // here, so "empty" is never wrong, and "not empty" is settled below.
    const std::int64_t b = bottom_->load(std::memory_order_relaxed) - 1;
    if (b < top_->load(std::memory_order_relaxed)) return nullptr;
    Array* array = array_.load(std::memory_order_relaxed);  // only the owner writes it
    bottom_->store(b);                // seq_cst: announced before looking at top
    std::int64_t t = top_->load();    // seq_cst: see the header
    if (t < b) return array->get(b);  // no thief can reach index b
    Item* job = nullptr;
    if (t == b && top_->compare_exchange_strong(t, t + 1)) job = array->get(b);
    // release: a later steal that reads this value must see the slots below it.
    bottom_->store(b + 1, std::memory_order_release);
    return job;
  }

  // The oldest job.  kLost: another thread took it first; there may be more.
  [[nodiscard]] Steal steal(Item** job) noexcept {
    std::int64_t t = top_->load();           // seq_cst: top before bottom
    const std::int64_t b = bottom_->load();  // seq_cst; acquires the slots below b
    if (t >= b) return Steal::kEmpty;
    // acquire: pairs with the release store in grow().
    Array* array = array_.load(std::memory_order_acquire);
    Item* candidate = array->get(t);
    // seq_cst: the meeting with pop() and other thieves.
    if (!top_->compare_exchange_strong(t, t + 1)) return Steal::kLost;
      // Whoever takes one is likely to take those behind it.
#if !defined(FASTFLOW_MODEL)
    if (t + kAhead < b) prefetch_item(array->get(t + kAhead));
#endif
    *job = candidate;
    return Steal::kTaken;
  }

  // For any thread; the seq_cst loads are the re-check of the wake protocol.
  [[nodiscard]] bool empty() const noexcept {
    const std::int64_t t = top_->load();
    return t >= bottom_->load();
  }

 private:
  class Array {
   public:
    explicit Array(std::int64_t capacity)
        : mask_(capacity - 1),
          slots_(new atomic<Item*>[static_cast<std::size_t>(capacity)]) {
      assert(capacity > 0 && (capacity & mask_) == 0);
    }
    [[nodiscard]] std::int64_t capacity() const noexcept { return mask_ + 1; }
    // relaxed both: a slot is published by the store to bottom and claimed by the
    // compare-exchange on top; the slot itself orders nothing.
    void put(std::int64_t i, Item* job) noexcept {
      slots_[static_cast<std::size_t>(i & mask_)].store(job, std::memory_order_relaxed);
    }
    [[nodiscard]] Item* get(std::int64_t i) const noexcept {
      return slots_[static_cast<std::size_t>(i & mask_)].load(
          std::memory_order_relaxed);
    }

   private:
    std::int64_t mask_;
    std::unique_ptr<atomic<Item*>[]> slots_;
  };

  static constexpr std::int64_t kAhead = 4;

  // The address decides nothing but what comes into the cache.
  static void prefetch_item(const void* item) noexcept {
    prefetch(item);
    prefetch(static_cast<const char*>(item) + kCacheLine);
  }
  // Items of a burst often lie at equal distances: what would come far behind `next`.
  static void prefetch_like(const void* item, const void* next) noexcept {
    const auto at = reinterpret_cast<std::uintptr_t>(next);
    const auto step = at - reinterpret_cast<std::uintptr_t>(item);
    // NOLINTNEXTLINE(performance-no-int-to-ptr): perhaps no object is there
    prefetch(reinterpret_cast<const void*>(at + 8 * step));
  }

  // The array to write n jobs from index b on; grows it when they do not fit.  nullptr:
  // there is no memory for that.
  Array* room_for(std::int64_t b, std::int64_t n) noexcept {
    Array* array = array_.load(std::memory_order_relaxed);  // only the owner writes it
    // acquire: pairs with the compare-exchange of the thief that freed the slot, so its
    // read of the slot is before our write to it.
    const std::int64_t t = top_->load(std::memory_order_acquire);
    return b + n - t <= array->capacity() ? array : grow(array, t, b + n - 1);
  }

  Array* grow(Array* old, std::int64_t t, std::int64_t end) noexcept {
    try {
      arrays_.push_back(std::make_unique<Array>(old->capacity() * 2));
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
    Array* bigger = arrays_.back().get();
    for (std::int64_t i = t; i < end; ++i) bigger->put(i, old->get(i));
    // release: a thief that loads the new array sees its slots.
    array_.store(bigger, std::memory_order_release);
    return bigger;
  }

  CacheAligned<atomic<std::int64_t>> top_{0};     // written by thieves and pop
  CacheAligned<atomic<std::int64_t>> bottom_{0};  // written by the owner
  atomic<Array*> array_{nullptr};
  std::vector<std::unique_ptr<Array>> arrays_;  // owner only; the last one is current
};

using Deque = DequeOf<Job>;
#if !defined(FASTFLOW_MODEL)
// The thieves' word, the owner's, and what hardly changes.
static_assert(sizeof(Deque) == 3 * kCacheLine);
#endif

}  // namespace fastflow
