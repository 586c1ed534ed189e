// BiasedLock: a lock that belongs to one thread, which takes it without an atomic
// read-modify-write, and that others may visit now and then.
//
// Usage
//   the owner, all the time                   a visitor, hardly ever
//     lock.lock();                              if (lock.visit()) {
//     ... a few instructions ...                  ... look, or change things ...
//     lock.unlock();                              lock.leave();
//                                               }
//
// Algorithm: `inside` is the owner's word, `others` that of the visitor.  The owner
// says that it is inside and looks whether somebody visits; the visitor says that it
// does and waits until the owner is outside.  That both see nothing of each other is
// ruled out by the process fence, which the visitor pays for.  Where there is none (the
// heavy kind), the owner comes in by a seq_cst exchange.
//
// Why it is safe: after its fence the visitor reads `inside`.  Is it false, then either
// the owner's last unlock comes before, and by its release happens before what the
// visitor does; or the owner is about to come in, and by the fence (or the exchange)
// will see `wanted` before it does anything.  It then waits for leave(), whose release
// its acquire reads: what the visitor did happens before what the owner does next.  So
// they never overlap, and each sees what the other one has done.
//
// Why it ends: the owner waits only while there is a visitor; a visitor waits for the
// few instructions that the owner is inside.  What the owner does inside takes no other
// lock.  (In Python's words: neither must want the interpreter lock while it holds this
// one.)
//
// Threads: lock, unlock by the owner; visit, leave by others, one at a time: they have
// a lock of their own for that.
#pragma once

#include <cstdint>
#include <thread>

#include "atomic.hpp"
#include "compiler.hpp"
#include "process_fence.hpp"

namespace fastflow {

class BiasedLock {
 public:
  explicit BiasedLock(bool heavy = !process_fence_works())
      : heavy_(heavy ? kHeavy : 0), others_{heavy_} {}
  BiasedLock(const BiasedLock&) = delete;
  BiasedLock& operator=(const BiasedLock&) = delete;

  void lock() noexcept {
    inside_.store(true, std::memory_order_relaxed);  // ordered by the process fence
    fence_lightly();
    // acquire: pairs with leave.
    if (others_.load(std::memory_order_acquire) == 0) [[likely]]
      return;
    lock_slowly();
  }
  void unlock() noexcept {
    inside_.store(false, std::memory_order_release);  // pairs with visit
  }

  // False: not to be had, as the system refuses the fence that it had granted before.
  [[nodiscard]] bool visit() noexcept {
    others_.store(kWanted | heavy_);  // seq_cst, against lock_slowly
    if (heavy_ == 0 && !fence_all_threads()) {
      leave();
      return false;
    }
    // seq_cst for the heavy kind; acquires what the owner did until it left.
    for (int spins = 0; inside_.load(); ++spins) pause(spins);
    return true;
  }
  void leave() noexcept {
    others_.store(heavy_, std::memory_order_release);  // pairs with lock
  }

 private:
  // kHeavy is always there in the heavy kind, so that lock() finds nothing only in the
  // light one.
  static constexpr std::uint32_t kWanted = 1, kHeavy = 2;

  // Out again while somebody visits, and in by an exchange, which does for both kinds.
  FASTFLOW_COLD void lock_slowly() noexcept {
    for (int spins = 0;; ++spins) {
      inside_.store(false, std::memory_order_release);  // pairs with visit
      // acquire: pairs with leave.
      if ((others_.load(std::memory_order_acquire) & kWanted) != 0) {
        pause(spins);
        continue;
      }
      inside_.exchange(true);                       // seq_cst: as a fence
      if ((others_.load() & kWanted) == 0) return;  // seq_cst: the same
    }
  }

  static void pause(int spins) noexcept {
#if !defined(FASTFLOW_MODEL)
    if (spins % 64 == 63) std::this_thread::yield();  // the other may be on this core
#else
    (void)spins;
#endif
    cpu_pause();
  }

  const std::uint32_t heavy_;
  atomic<bool> inside_{false};
  atomic<std::uint32_t> others_;
};

}  // namespace fastflow
