// SoloLock: lets one thread work alone, without atomic read-modify-writes, until
// another one wants to join it; from then on, for good, everybody works as if shared.
// Or until another one has seen to something in its place, and gives it back.
//
// Usage
//   the soloist                               somebody else
//     bool alone = lock.lock();                 if (lock.try_lock()) {
//     ... bookkeeping ...                         // the soloist is outside:
//     if (alone) lock.unlock();                   // take over what it left behind
//     ... something long ...                      lock.share();
//     alone = alone && lock.lock();             }
//                                               if (lock.shared()) ... work, too
//   With give_back() in place of share() it is a lock as others are, but for what it
//   costs the two sides, and lock() is always true.  Who can't come another time says
//   visit() in place of try_lock(), and waits until the soloist is outside.
//
// Algorithm: a lock biased towards the soloist, who takes and gives it for every node.
//   `inside` is the soloist's word, `others` that of everybody else: nobody -> wanted
//   (try_lock) -> nobody (not to be had, or give_back) or shared (share).  The soloist
//   says that it is inside and looks whether it is wanted, the other one says that it
//   wants and looks whether somebody is inside; the soloist steps back if it sees the
//   other one, as does that one (try_lock), or it waits (visit). That both see nothing
//   is ruled out by the process fence, which the other one pays for.  Where there is
//   none (the heavy kind), the soloist comes in by a seq_cst exchange.
//
// Why it is safe: the soloist does its bookkeeping only while it is inside and has seen
// `nobody` since it came in.  Others do any only after share().  If they come by
// try_lock or visit, then after having seen `inside` false with `wanted` set: the
// soloist will see that before it does anything more.  What it finds in place of
// `wanted` later was stored by give_back, or is built on what that stored.  All
// transitions are release stores read by acquire loads, so whatever the soloist did
// alone happens before anything that the others do, and the other way round.
//
// Why it ends: the soloist waits in lock() for no longer than others hold it: a few
// instructions and a system call, or until they share.  A visitor waits for the few
// instructions that the soloist is inside.  (Neither must want another lock meanwhile,
// such as the interpreter's.)
//
// Threads: lock, unlock by the soloist, try_lock and visit by the others; share by the
// soloist while it is inside, or by whose try_lock said true, as give_back; shared by
// anybody.  Soloists may follow each other if something orders them.  Visitors come one
// at a time (they have a lock of their own for that), and to a lock that nobody shares.
#pragma once

#include <cstdint>
#include <thread>

#include "atomic.hpp"
#include "cache_line.hpp"
#include "compiler.hpp"
#include "process_fence.hpp"

namespace fastflow {

// Alone on its cache lines, as the soloist writes `inside` for every node while
// somebody may be looking at what stands beside it.
class alignas(kCacheLine) SoloLock {
 public:
  explicit SoloLock(bool heavy = !process_fence_works())
      : heavy_(heavy ? kHeavy : 0), others_{kNobody | heavy_} {}

  // True: held.  False: the time alone is over.
  [[nodiscard]] bool lock() noexcept {
    inside_.store(true, std::memory_order_relaxed);  // ordered by the process fence
    fence_lightly();
    // acquire: pairs with share and give_back.
    if (others_.load(std::memory_order_acquire) == kNobody) [[likely]]
      return true;
    return lock_slowly();
  }
  void unlock() noexcept {
    inside_.store(false, std::memory_order_release);  // pairs with try_lock and visit
  }
  // True: held, until share() or give_back().
  [[nodiscard]] bool try_lock() noexcept {
    if (!want()) return false;
    // seq_cst for the heavy kind; acquires what the soloist did until it left.
    if (!inside_.load()) return true;
    want_no_more();
    return false;
  }
  // The same, but it waits for the soloist.  False: not to be had, as the system
  // refuses the fence that it had granted before.
  [[nodiscard]] bool visit() noexcept {
    if (!want()) return false;
    // seq_cst and acquire as above.
    for (int spins = 0; inside_.load(); ++spins) pause(spins);
    return true;
  }
  // Instead of share(), by whose try_lock or visit said true: as if nothing had been.
  void give_back() noexcept {
    // release: pairs with lock.
    others_.store(kNobody | heavy_, std::memory_order_release);
  }
  void share() noexcept {
    // release: pairs with shared and lock.
    others_.store(kShared | heavy_, std::memory_order_release);
  }
  [[nodiscard]] bool shared() const noexcept {
    // acquire: pairs with share.
    return (others_.load(std::memory_order_acquire) & kShared) != 0;
  }

 private:
  // kHeavy is added to all of them in the heavy kind, so that lock() finds nobody only
  // in the light one.
  static constexpr std::uint32_t kNobody = 0, kWanted = 1, kShared = 2, kHeavy = 4;

  // True: whether the soloist is inside can be asked now.
  bool want() noexcept {
    std::uint32_t others = kNobody | heavy_;
    if (!others_.compare_exchange_strong(others, kWanted | heavy_)) return false;
    if (heavy_ != 0 || fence_all_threads()) return true;
    want_no_more();
    return false;
  }
  void want_no_more() noexcept {
    std::uint32_t others = kWanted | heavy_;
    // Unless the soloist has shared it meanwhile.  relaxed: nothing was done.
    others_.compare_exchange_strong(others, kNobody | heavy_,
                                    std::memory_order_relaxed);
  }

  // Out again while somebody wants it, and in by an exchange, which does for both
  // kinds.
  FASTFLOW_COLD bool lock_slowly() noexcept {
    for (int spins = 0;;) {
      inside_.store(false, std::memory_order_release);  // pairs with try_lock, visit
      // acquire: pairs with share.
      const std::uint32_t seen = others_.load(std::memory_order_acquire);
      if ((seen & kShared) != 0) return false;
      if ((seen & kWanted) != 0) {
        pause(spins++);
        continue;
      }
      inside_.exchange(true);                                 // seq_cst: as a fence
      if (others_.load() == (kNobody | heavy_)) return true;  // seq_cst: the same
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
#if !defined(FASTFLOW_MODEL)
static_assert(sizeof(SoloLock) == kCacheLine);
#endif

}  // namespace fastflow
