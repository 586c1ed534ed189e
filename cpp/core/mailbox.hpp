// Mailbox: one node for a participant that looks for work, from one that has too many.
//
// Usage
//   who looks for work                        who has more than it can do
//     box.open();                               if (box.give(v)) ... v is gone
//     while (!box.full() && ...) { ... }      somebody else who looks for work
//     v = box.close();   // what came           v = box.take_back();
//
// Why: a node on a deque is found by reading the deque's ends, moving one of them, and
// reading the block, each of them a line of memory from another core.  A box is one
// line, and the one who waits for it reads nothing else.
//
// A given node is one participant's: `give`, `close` and `take_back` each replace the
// word in one step.  It can be taken back so that it does not lie with somebody who is
// not running.  No value comes twice while a box is open: a node becomes ready once.
//
// Threads: open, full, close by the owner; give, take_back by any other thread.
#pragma once

#include <cstdint>

#include "atomic.hpp"

namespace fastflow {

class Mailbox {
 public:
  static constexpr std::uint32_t kNone = 0xffff'ffff;

  void open() noexcept { word_.store(kOpen, std::memory_order_relaxed); }
  [[nodiscard]] bool full() const noexcept {
    // relaxed: a hint; close() acquires.
    return word_.load(std::memory_order_relaxed) < kOpen;
  }
  // What was given, or kNone.
  [[nodiscard]] std::uint32_t close() noexcept {
    // acquire: pairs with give.
    const std::uint32_t word = word_.exchange(kNone, std::memory_order_acquire);
    return word < kOpen ? word : kNone;
  }
  // REQUIRES: v < kOpen.  True: it is the owner's now.
  [[nodiscard]] bool give(std::uint32_t v) noexcept {
    std::uint32_t word = kOpen;
    if (word_.load(std::memory_order_relaxed) != kOpen) return false;  // a hint
    // release: all that made v ready goes with it.
    return word_.compare_exchange_strong(word, v, std::memory_order_release,
                                         std::memory_order_relaxed);
  }
  // What was given and not read yet, or kNone.
  [[nodiscard]] std::uint32_t take_back() noexcept {
    std::uint32_t word = word_.load(std::memory_order_relaxed);
    if (word >= kOpen) return kNone;
    // acquire: pairs with give.
    const bool mine = word_.compare_exchange_strong(
        word, kOpen, std::memory_order_acquire, std::memory_order_relaxed);
    return mine ? word : kNone;
  }

 private:
  static constexpr std::uint32_t kOpen = 0xffff'fffe;

  atomic<std::uint32_t> word_{kNone};  // kNone: closed
};

}  // namespace fastflow
