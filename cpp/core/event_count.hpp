// EventCount: lets a thread sleep until "something may have changed", without a lock on
// the side that changes it.
//
// Usage
//   sleeper                                    waker
//     key = ec.prepare_wait();                   make the condition true  (seq_cst)
//     if (condition) { ec.cancel_wait(); ... }   ec.notify_one();  // or notify_all
//     else ec.commit_wait(key);
//
// Algorithm
//   Two words: `waiters`, how many threads are between prepare and the end of their
//   wait, and `epoch`, which every notification that finds waiters advances.  A sleeper
//   sleeps only while the epoch is still the one it read before it looked at the
//   condition.
//
// Why no wake-up is lost
//   All operations named here are seq_cst, so there is one order of them all.
//   (1) The waker reads waiters == 0: then the sleeper's increment of waiters comes
//       after, hence so does its look at the condition, and it sees the condition true.
//   (2) The waker reads waiters > 0 and advances the epoch.  A sleeper that read the
//   old
//       epoch does not sleep, or is woken by the futex (compare-and-sleep is one step).
//       A sleeper that read the new epoch looked at the condition after the waker had
//       made it true.
//   Either way at least one thread that could have missed the condition gets up.
//   notify_one may make more than one get up (a thread that was about to sleep, and one
//   that slept): sleepers look at the condition again, always.
//
// Threads
//   Every member may be called by any thread.  A prepare_wait is followed by exactly
//   one cancel_wait, commit_wait or commit_wait_for on the same thread.
//
// Limits
//   The epoch has 32 bits: a sleeper suspended between prepare and commit for exactly a
//   multiple of 2^32 notifications would sleep through them.
#pragma once

#include <chrono>
#include <climits>
#include <cstdint>

#include "atomic.hpp"
#include "futex.hpp"

namespace fastflow {

class EventCount {
 public:
  using Key = std::uint32_t;

  // `first_epoch`: only the tests start elsewhere than at 0 (close to the wrap-around).
  explicit EventCount(Key first_epoch = 0) : epoch_(first_epoch) {}
  EventCount(const EventCount&) = delete;
  EventCount& operator=(const EventCount&) = delete;

  [[nodiscard]] Key prepare_wait() noexcept {
    waiters_.fetch_add(1);
    return epoch_.load();
  }

  void cancel_wait() noexcept { waiters_.fetch_sub(1); }

  void commit_wait(Key key) noexcept {
    while (epoch_.load() == key) futex_wait(epoch_, key);
    waiters_.fetch_sub(1);
  }

  // False when `timeout` passed without a notification.
  bool commit_wait_for(Key key, std::chrono::nanoseconds timeout) noexcept {
    bool notified = epoch_.load() != key;
    if (!notified) {
      futex_wait_for(epoch_, key, timeout);
      notified = epoch_.load() != key;
    }
    waiters_.fetch_sub(1);
    return notified;
  }

  // False when nobody waits (and so nobody was woken).
  bool notify_one() noexcept { return notify(1); }
  bool notify_all() noexcept { return notify(INT_MAX); }

  // How many threads wait or are about to; exact only when nothing moves.
  [[nodiscard]] std::uint32_t waiters() const noexcept { return waiters_.load(); }

 private:
  bool notify(int count) noexcept {
    if (waiters_.load() == 0) return false;
    epoch_.fetch_add(1);
    futex_wake(epoch_, count);
    return true;
  }

  atomic<std::uint32_t> waiters_{0};
  FutexWord epoch_;
};

}  // namespace fastflow
