// TaskState: the life of one task in one atomic word, with named transitions.
//
//   Pending --try_start--> Running --finish--> Finished (or CancelledNotified)
//      \--try_cancel--> Cancelled --notify_cancelled--> CancelledNotified
//
// Flags beside the phase:
//   kWaited           a thread waits for the end (it is in the parking lot)
//   kUrgent           ... and sleeps without looking by itself now and then
//   kShared           somebody attached a callback, a condition or a group: the end
//   must
//                     be announced under the task's lock (the slow way)
//   kObserved         result() or exception() was asked for
//   kCancelRequested  cancel() came too late to stop the task; it may look at this
//   kLeftBehind       its threads are gone (a fork), and somebody is to end it
//
// Threads: every member may be called by any thread.  Only the thread whose try_start
// returned true may call finish or finish_unshared.
//
// The argument for "no callback and no waiter is forgotten": flags are set with a
// read-modify-write that returns the phase it found; the end is a read-modify-write
// that returns the flags it found.  One of the two comes first in the word's
// modification order: either the end sees the flag, or whoever sets the flag sees the
// end and acts by itself.
#pragma once

#include <cassert>
#include <cstdint>

#include "atomic.hpp"

namespace fastflow {

enum class Phase : std::uint32_t {
  kPending = 0,
  kRunning = 1,
  kCancelled = 2,
  kCancelledNotified = 3,
  kFinished = 4,
};

class TaskState {
 public:
  using Word = std::uint32_t;
  static constexpr Word kPhaseMask = 7;
  static constexpr Word kWaited = 8;
  static constexpr Word kUrgent = 16;
  static constexpr Word kShared = 32;
  static constexpr Word kObserved = 64;
  static constexpr Word kCancelRequested = 128;
  static constexpr Word kLeftBehind = 256;

  explicit TaskState(Phase phase = Phase::kPending) noexcept
      : word_(static_cast<Word>(phase)) {}

  // acquire: whoever sees the end sees the outcome stored before it.
  [[nodiscard]] Word load() const noexcept {
    return word_.load(std::memory_order_acquire);
  }
  [[nodiscard]] Phase phase() const noexcept { return phase_of(load()); }
  [[nodiscard]] static Phase phase_of(Word word) noexcept {
    return static_cast<Phase>(word & kPhaseMask);
  }
  // Finished or cancelled: the outcome is known.
  [[nodiscard]] static bool is_done(Word word) noexcept {
    return phase_of(word) >= Phase::kCancelled;
  }
  [[nodiscard]] bool done() const noexcept { return is_done(load()); }

  [[nodiscard]] bool try_start() noexcept {
    return move(Phase::kPending, Phase::kRunning) != kRefused;
  }
  [[nodiscard]] bool try_cancel() noexcept {
    return move(Phase::kPending, Phase::kCancelled) != kRefused;
  }
  [[nodiscard]] bool notify_cancelled() noexcept {
    return move(Phase::kCancelled, Phase::kCancelledNotified) != kRefused;
  }

  // Ends a running task unless it is shared; then nothing changes and the caller goes
  // the slow way.  On success `flags` are those found.  REQUIRES: the outcome is
  // stored.
  [[nodiscard]] bool finish_unshared(Word* flags) noexcept {
    Word w = word_.load(std::memory_order_relaxed);  // a guess, validated below
    do {
      assert(phase_of(w) == Phase::kRunning);
      if ((w & kShared) != 0) return false;
      // acq_rel: releases the outcome to load() and add_flag(); acquires what the
      // setter of a flag prepared.
    } while (!word_.compare_exchange_weak(w, with(w, Phase::kFinished),
                                          std::memory_order_acq_rel,
                                          std::memory_order_relaxed));
    *flags = w;
    return true;
  }

  // Ends a running task, shared or not; returns the flags found.  `end` is kFinished,
  // or kCancelledNotified for a task that gave up because it was asked to.
  Word finish(Phase end = Phase::kFinished) noexcept {
    const Word before = move(Phase::kRunning, end);
    assert(before != kRefused);
    return before;
  }

  // Sets a flag; returns the word as it was before.
  Word add_flag(Word flag) noexcept {
    // acq_rel: release what the flag announces to the end; acquire the outcome if the
    // end came first.
    return word_.fetch_or(flag, std::memory_order_acq_rel);
  }

 private:
  static constexpr Word kRefused = ~Word{0};

  static Word with(Word word, Phase phase) noexcept {
    return (word & ~kPhaseMask) | static_cast<Word>(phase);
  }

  // from -> to, flags kept; the word before, or kRefused.
  Word move(Phase from, Phase to) noexcept {
    Word w = word_.load(std::memory_order_relaxed);  // a guess, validated below
    do {
      if (phase_of(w) != from) return kRefused;
      // acq_rel as in finish_unshared.
    } while (!word_.compare_exchange_weak(w, with(w, to), std::memory_order_acq_rel,
                                          std::memory_order_relaxed));
    return w;
  }

  atomic<Word> word_;
};

}  // namespace fastflow
