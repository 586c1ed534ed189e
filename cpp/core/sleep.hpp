// Sleep: decides which workers are awake.  Wakes dominate the cost of a fine-grained
// pool (a wake costs its issuer microseconds), so at most one worker at a time is on
// its way to new work, and nobody is woken beyond the pool's limit.
//
// Usage
//   submitter            push a job; if (sleep.work_added(lane) == Need::kThread) start
//                        a worker thread (it begins with a reservation, searching)
//   worker, searching    found a job: sleep.found(has_work) before running it
//   worker, out of work  sleep.sleep(...) and, when it returns kAwake, search again
//   worker, about to block in a wait of ours: blocked(has_work) ... unblocked()
//
// State: one 64-bit word, the gauge
//   active      workers that hold a reservation: running a job or on their way to one.
//               At most `limit`, except for workers that come back from a block.
//   searching   active workers that look for any job
//   attaching   active workers that wait for the binding's lock (the interpreter's) in
//               order to take a job of the attached lane; they can't serve the native
//               lane
//   and the counter `grants`: reservations made by a waker for whichever sleeper gets
//   up.
//
// Protocol and why no job is forgotten
//   All accesses to the gauge, to the grants, and the queues' push and empty are
//   seq_cst, so they have one order.
//   A submitter pushes, then reads the gauge.  It does nothing if some worker is
//   searching (for the attached lane: or attaching), or if `limit` workers are active.
//   (1) A worker that stops searching (it found a job, or gave up) first leaves the
//       gauge's count and then looks at the queues again if it was the last.  So either
//       the submitter saw it leave, or it sees the submitter's job, and then adds the
//       wake that the submitter left out.
//   (2) An active worker looks at the queues again after giving its reservation back
//       and before it sleeps.  So a job that a submitter left to `limit` active workers
//       is seen by the first of them that gives up.
//   (3) A wake: the waker reserves (active, searching) on behalf of the sleeper, adds a
//       grant, and notifies.  Sleepers take a grant with their wake; a worker that
//       cancels its sleep because it saw a job looks for a grant afterwards and undoes
//       it if there is one (the notification may have counted on it), so a grant never
//       outlives the notification with all workers asleep, and `searching` never stays
//       up without a searcher.
//   Jobs pushed while every active worker is inside a long job wait until one ends, as
//   in any pool with a limit.
//
// Threads
//   work_added, stop, blocked, unblocked: any thread.  The rest: the worker concerned.
#pragma once

#include <cassert>
#include <chrono>
#include <cstdint>

#include "atomic.hpp"
#include "cache_line.hpp"
#include "event_count.hpp"

namespace fastflow {

// Two kinds of jobs: `native` ones run anywhere, `attached` ones need the lock that
// WorkerHooks::attach takes.
enum class Lane : std::uint8_t { kNative = 0, kAttached = 1 };
inline constexpr int kLanes = 2;

enum class Need { kNothing, kWoken, kThread };
enum class Woken { kAwake, kStop, kTimeout };

class Sleep {
 public:
  explicit Sleep(std::uint32_t limit, EventCount::Key first_epoch = 0)
      : limit_(limit), wait_(first_epoch) {}

  // --- submitters --------------------------------------------------------------------

  // After a push.  kWoken: a sleeper was woken for it.  kThread: nobody sleeps; start a
  // thread, which owns a reservation and is searching (or call `spawn_failed`).
  [[nodiscard]] Need work_added(Lane lane) noexcept {
    if (!wake_wanted(gauge_->load(), lane)) return Need::kNothing;
    return wake(lane);
  }

  // Undoes the reservation that came with kThread.
  void spawn_failed() noexcept { gauge_->fetch_sub(kActive + kSearching); }

  // A reservation for a thread that is started whatever the gauge says.
  void add_searcher() noexcept { gauge_->fetch_add(kActive + kSearching); }

  // From now on sleepers leave as soon as they see no work.
  void stop() noexcept {
    stop_.store(true);
    wait_.notify_all();
  }
  [[nodiscard]] bool stopping() const noexcept { return stop_.load(); }

  // --- workers -----------------------------------------------------------------------

  // A searcher enters attach().  True: it must look at the native lane once more, and
  // wake somebody for it if there is work (see (1)).
  [[nodiscard]] bool begin_attach() noexcept {
    const std::uint64_t before = gauge_->fetch_add(kAttaching - kSearching);
    return searching(before) == 1;
  }

  // A searcher (was_attaching: in or after attach()) has a job, or gives up.  True: it
  // was the last one that some lane could count on, so the caller looks at the queues
  // and calls work_added for each lane that has more.
  [[nodiscard]] bool end_search(bool was_attaching) noexcept {
    if (!was_attaching) return searching(gauge_->fetch_sub(kSearching)) == 1;
    const std::uint64_t before = gauge_->fetch_sub(kAttaching);
    return searching(before) + attaching(before) == 1;
  }

  // attach() is done but the job is gone: look for others.
  void end_attach() noexcept { gauge_->fetch_add(kSearching - kAttaching); }

  // An active worker that has no job starts to look for one.
  void begin_search() noexcept { gauge_->fetch_add(kSearching); }

  // REQUIRES: the caller is active and not searching.  Sleeps until there is something
  // to do.  kAwake: the caller is active and searching.  kStop: it is neither; leave.
  // kTimeout: it is neither (active), but may call sleep again with `resume`.
  template <class HasWork>
  [[nodiscard]] Woken sleep(const HasWork& has_work, bool resume = false,
                            std::chrono::nanoseconds timeout = kForever) noexcept {
    bool holds = !resume;
    for (;;) {
      const EventCount::Key key = wait_.prepare_wait();
      if (holds) gauge_->fetch_sub(kActive);
      holds = false;
      if (take_grant()) {
        wait_.cancel_wait();
        return Woken::kAwake;
      }
      const bool work = has_work();
      if (work && reserve()) {
        wait_.cancel_wait();
        if (take_grant()) release_extra();
        return Woken::kAwake;
      }
      if (stopping()) {
        wait_.cancel_wait();
        if (take_grant()) return Woken::kAwake;
        return Woken::kStop;
      }
      if (timeout == kForever) {
        wait_.commit_wait(key);
      } else if (!wait_.commit_wait_for(key, timeout)) {
        return take_grant() ? Woken::kAwake : Woken::kTimeout;
      }
    }
  }

  // A worker is about to block in a wait for other jobs, or hangs in one that nobody
  // waits for: its reservation is free for somebody else.  The caller looks at the
  // queues afterwards and calls work_added.  (Which thread calls is all one, as long as
  // the worker does hold its reservation: that is in a job, which its end follows.)
  void blocked() noexcept { gauge_->fetch_sub(kActive); }
  // Back from the wait.  It goes on at once, even if that makes active > limit.
  void unblocked() noexcept { gauge_->fetch_add(kActive); }

  // True if more than `limit` workers are active (after an unblock): the caller should
  // sleep as soon as it can.
  [[nodiscard]] bool crowded() const noexcept {
    // relaxed: a hint; the caller's sleep() settles it.
    return active(gauge_->load(std::memory_order_relaxed)) > limit_;
  }

  // --- for statistics and tests
  // -------------------------------------------------------
  [[nodiscard]] std::uint32_t active_workers() const noexcept {
    return active(gauge_->load());
  }
  [[nodiscard]] std::uint32_t searching_workers() const noexcept {
    const std::uint64_t g = gauge_->load();
    return searching(g) + attaching(g);
  }
  [[nodiscard]] std::uint32_t sleepers() const noexcept { return wait_.waiters(); }
  [[nodiscard]] std::uint32_t limit() const noexcept { return limit_; }

  static constexpr std::chrono::nanoseconds kForever = std::chrono::nanoseconds::max();

 private:
  static constexpr std::uint64_t kActive = 1;
  static constexpr std::uint64_t kSearching = std::uint64_t{1} << 24;
  static constexpr std::uint64_t kAttaching = std::uint64_t{1} << 44;
  static std::uint32_t active(std::uint64_t g) noexcept {
    return static_cast<std::uint32_t>(g & 0xffffff);
  }
  static std::uint32_t searching(std::uint64_t g) noexcept {
    return static_cast<std::uint32_t>((g >> 24) & 0xfffff);
  }
  static std::uint32_t attaching(std::uint64_t g) noexcept {
    return static_cast<std::uint32_t>(g >> 44);
  }

  [[nodiscard]] bool wake_wanted(std::uint64_t g, Lane lane) const noexcept {
    const std::uint32_t coming =
        searching(g) + (lane == Lane::kAttached ? attaching(g) : 0);
    return coming == 0 && active(g) < limit_;
  }

  [[nodiscard]] Need wake(Lane lane) noexcept {
    std::uint64_t g = gauge_->load();
    do {
      if (!wake_wanted(g, lane)) return Need::kNothing;
    } while (!gauge_->compare_exchange_weak(g, g + kActive + kSearching));
    grants_.fetch_add(1);
    if (wait_.notify_one()) return Need::kWoken;
    // Nobody slept.  Unless a worker took the grant on its way to sleep, the
    // reservation is ours to hand to a new thread.
    return take_grant() ? Need::kThread : Need::kNothing;
  }

  [[nodiscard]] bool take_grant() noexcept {
    std::uint32_t n = grants_.load();
    while (n > 0) {
      if (grants_.compare_exchange_weak(n, n - 1)) return true;
    }
    return false;
  }

  // Takes a reservation for the calling worker, searching, if there is room.
  [[nodiscard]] bool reserve() noexcept {
    std::uint64_t g = gauge_->load();
    do {
      if (active(g) >= limit_) return false;
    } while (!gauge_->compare_exchange_weak(g, g + kActive + kSearching));
    return true;
  }

  // Gives back the reservation of a grant that is not needed: the caller is awake and
  // searching anyway, so it will look at the queues and wake others on finding work.
  void release_extra() noexcept { gauge_->fetch_sub(kActive + kSearching); }

  const std::uint32_t limit_;
  CacheAligned<atomic<std::uint64_t>> gauge_{std::uint64_t{0}};
  atomic<std::uint32_t> grants_{0};
  atomic<bool> stop_{false};
  EventCount wait_;
};

}  // namespace fastflow
