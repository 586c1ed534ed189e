// SoloLock: lets one thread work alone, without atomic read-modify-writes, until
// another one wants to join it; from then on, for good, everybody works as if shared.
//
// Usage
//   the soloist                               somebody else
//     bool alone = lock.lock();                 if (lock.try_lock()) {
//     ... bookkeeping ...                         // the soloist is outside:
//     if (alone) lock.unlock();                   // take over what it left behind
//     ... something long ...                      lock.share();
//     alone = alone && lock.lock();             }
//                                               if (lock.shared()) ... work, too
//
// States: free -> held (lock, try_lock) -> free (unlock) or shared (share, by the
// holder).  Shared is final: lock() and try_lock() fail from then on (and may leave the
// bit of `held` behind, which then means nothing).
//
// Why it is safe: the soloist does its bookkeeping only between lock() and unlock() or
// share(); nobody else does any before having seen `shared`.  All these transitions are
// release stores read by acquire loads of the one word, so whatever the soloist did
// alone happens before anything that the others do.
//
// Threads: lock by the soloist, try_lock by the others; unlock and share by the holder;
// shared by anybody.  Neither blocks for longer than a holder's few instructions, as
// long as soloists hold it only while there is nothing for others to do.
#pragma once

#include <cstdint>
#include <thread>

#include "atomic.hpp"

namespace fastflow {

class SoloLock {
 public:
  // True: held.  False: the time alone is over.
  [[nodiscard]] bool lock() noexcept {
    for (int spins = 0;; ++spins) {
      // acquire: pairs with unlock and share.
      const std::uint32_t before = word_.fetch_or(kHeld, std::memory_order_acquire);
      if (before == kFree) return true;
      if ((before & kShared) != 0) return false;
      pause(spins);
    }
  }
  [[nodiscard]] bool try_lock() noexcept {
    // acquire: as in lock.
    return word_.fetch_or(kHeld, std::memory_order_acquire) == kFree;
  }
  void unlock() noexcept {
    word_.store(kFree, std::memory_order_release);  // pairs with lock and try_lock
  }
  void share() noexcept {
    word_.store(kShared, std::memory_order_release);  // pairs with shared and lock
  }
  [[nodiscard]] bool shared() const noexcept {
    return (word_.load(std::memory_order_acquire) & kShared) != 0;  // pairs with share
  }

 private:
  static constexpr std::uint32_t kFree = 0, kHeld = 1, kShared = 2;

  static void pause(int spins) noexcept {
#if !defined(FASTFLOW_MODEL)
    if (spins % 64 == 63) std::this_thread::yield();  // the holder may be on this core
#else
    (void)spins;
#endif
    cpu_pause();
  }

  atomic<std::uint32_t> word_{kFree};
};

}  // namespace fastflow
