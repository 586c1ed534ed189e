// RangeJob: runs body(begin, end) over [0, n) on a pool, the calling thread included.
//
// Usage
//   auto* job = RangeJob::create(pool, n, body, argument, most);
//   job->help();                       // returns when nothing is left to take
//   while (!job->wait_for(timeout)) …  // until the others are done, too
//   job->release();
//
// Algorithm
//   Lazy splitting: nothing is split in advance.  Every participant owns a slot with
//   one range, packed into a 64-bit word (begin, end).  The owner takes a grain from
//   the front, a thief takes the back half, both by compare-exchange.  A participant
//   whose slot is empty visits the others' and leaves when all are empty: first the
//   slot of who has called it, then from another one on each time, as all beginning at
//   the same one would halve the same range again and again.
//
//   The grain adapts: it doubles while a grain takes less than kAim, and halves when it
//   takes much more; near the end of a slot's range it is bounded by a quarter of what
//   is left, so that there is something to steal.
//
// Why the compare-exchange is enough
//   A word is exactly the set of indices that its slot holds; whoever exchanges it
//   takes out what it replaces.  If a word leaves and comes back, its indices really
//   are there again, so there is no ABA problem.  Indices on their way from one slot to
//   another are held by a participant that has not left.  So if the slots are seen
//   empty and then `inside` is seen zero, every index was passed to body exactly once,
//   or the job was cancelled.
//
// Threads
//   help, wait_for and release: the creator.  cancel: any thread.  Tokens run on
//   workers of the native lane.  There is one for each slot but the creator's.  They
//   form a heap: whoever takes part in slot k queues the tokens of slots 2k+1 and 2k+2
//   first, so that callers double with every wake-up.
//   Lifetime: counted references of the creator and of the tokens in the queue.
//
// Limits: n < 2^32 (larger ranges: one job after the other).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "atomic.hpp"
#include "cache_line.hpp"
#include "futex.hpp"
#include "job.hpp"

namespace fastflow {

class Pool;

class RangeJob {
 public:
  using Body = void (*)(std::int64_t begin, std::int64_t end, void* argument);
  static constexpr std::int64_t kMost = 0xffff'ffff;

  // At most `most` participants, the creator included.  REQUIRES: 0 <= n <= kMost.
  static RangeJob* create(Pool& pool, std::int64_t n, Body body, void* argument,
                          std::uint32_t most);
  void release() noexcept;

  // Invites workers and takes part until nothing is left to take, or until `deadline`;
  // false if that came first.
  bool help(std::chrono::steady_clock::time_point deadline);
  // Instead of help: leaves it all to the workers.
  void start();
  // True when all participants have left; false after `timeout`.
  bool wait_for(std::chrono::nanoseconds timeout) noexcept;
  // What nobody has taken yet will not run.
  void cancel() noexcept;

 private:
  using Clock = std::chrono::steady_clock;
  struct Slot : Job {  // the job: the token of its participant
    atomic<std::uint64_t> word{0};
    RangeJob* range = nullptr;
    std::uint32_t index = 0;
  };
  class Range;

  RangeJob(Pool& pool, std::int64_t n, Body body, void* argument, std::uint32_t most);
  ~RangeJob() = default;

  static void run_token(Job* token, Worker& worker);
  void invite(std::uint32_t slot);
  bool participate(std::uint32_t slot, Clock::time_point deadline);
  bool take_grain(Slot& slot, std::uint32_t grain, std::uint32_t* begin,
                  std::uint32_t* end) noexcept;
  bool steal_into(std::uint32_t own, std::uint32_t first) noexcept;
  [[nodiscard]] bool anything_left() const noexcept;
  void leave() noexcept;

  Pool& pool_;
  const Body body_;
  void* const argument_;
  const std::uint32_t most_;
  std::unique_ptr<CacheAligned<Slot>[]> slots_;
  bool invited_ = false;  // by the creator, whose slot is 0
  FutexWord inside_{1};   // participants, the creator from the beginning
  atomic<std::uint32_t> references_{1};
};

}  // namespace fastflow
