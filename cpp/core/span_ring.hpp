// SpanRing: what one thread did, in memory of a fixed size.
//
// Usage
//   ring.add(span);                          // by the thread that it belongs to
//   ring.kept(), ring.totals(), ...          // by whoever has the ring to itself
//
// When it is full, every second span is dropped, and from then on every second one is
// kept, then every fourth, and so on: what is kept is spread evenly over the time.
// Whatever the place in that order, those that have failed are kept beside, as far as
// there is room, and the longest ones.  Totals are exact.
//
// Memory is asked for at the first span, and once for each label: not per span.
// Without it spans are counted, and dropped.
//
// Threads: none of its own; the owner's lock (SoloLock).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "big_array.hpp"
#include "compiler.hpp"

namespace fastflow {

// The numbers are those of Kind and State in python/fastflow/seeing/trace.py.
enum class SpanKind : std::uint8_t {
  kCall = 0,
  kLock = 1,
  kIdle = 2,
  kBlocked = 3,
  kPause = 4,
  kSend = 5,
  kSteal = 6
};
enum class SpanState : std::uint8_t {
  kDone = 0,
  kFailed = 1,
  kRetried = 2,
  kCancelled = 3,
  kCached = 4,
  kRunning = 5
};

struct SpanRecord {
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  std::uint64_t start = 0, end = 0;  // stamps
  std::uint64_t ready = 0;           // a stamp; 0: not known
  std::int64_t item = -1;            // -1: none
  std::uint32_t label = kNone;
  std::uint32_t run = 0;      // 0: none
  std::uint32_t cpu = kNone;  // microseconds
  std::uint32_t failure = 0;  // its number; 0: none
  std::uint16_t attempt = 1;
  SpanKind kind = SpanKind::kCall;
  SpanState state = SpanState::kDone;
  std::uint32_t padding = 0;
};
static_assert(sizeof(SpanRecord) == 56);

// Of all calls of one label.
struct SpanTotal {
  std::uint64_t count = 0, failed = 0;
  std::uint64_t sum = 0, longest = 0;  // of stamps
};

class SpanRing {
 public:
  // Keeps at most `size` spans, failed and longest ones not counted.
  explicit SpanRing(std::size_t size) noexcept : size_(size < 2 ? 2 : size) {}
  SpanRing(const SpanRing&) = delete;
  SpanRing& operator=(const SpanRing&) = delete;

  // By value, all the way: a span whose address is taken is written to memory, and read
  // from there in other pieces, which costs as much as a stamp.
  FASTFLOW_INLINE void add(SpanRecord span) noexcept {
    if (span.label < totals_.size()) [[likely]] {
      count(totals_[span.label], span);
    } else if (span.label != SpanRecord::kNone) {
      count_new(span);
    }
    if ((made_++ & skipped_) != 0) {
      keep_if_notable(span);
    } else if (n_ < room_) [[likely]] {
      put(&kept_[n_++], span);
    } else {
      add_to_full(span);
    }
  }

  // --- afterwards
  [[nodiscard]] const SpanRecord* data() const noexcept { return kept_.data(); }
  [[nodiscard]] std::size_t size() const noexcept { return n_; }
  [[nodiscard]] const std::vector<SpanRecord>& failed() const noexcept {
    return failed_;
  }
  [[nodiscard]] const std::vector<SpanRecord>& longest() const noexcept {
    return longest_;
  }
  [[nodiscard]] const std::vector<SpanTotal>& totals() const noexcept {
    return totals_;
  }
  [[nodiscard]] std::uint64_t made() const noexcept { return made_; }

  static constexpr std::size_t kLongest = 128;

 private:
  FASTFLOW_INLINE static void put(SpanRecord* to, SpanRecord span) noexcept {
    to->start = span.start;
    to->end = span.end;
    to->ready = span.ready;
    to->item = span.item;
    to->label = span.label;
    to->run = span.run;
    to->cpu = span.cpu;
    to->failure = span.failure;
    to->attempt = span.attempt;
    to->kind = span.kind;
    to->state = span.state;
    to->padding = 0;
  }
  FASTFLOW_INLINE static void count(SpanTotal& total, SpanRecord span) noexcept {
    const std::uint64_t took = span.end - span.start;
    ++total.count;
    total.failed += span.state == SpanState::kFailed ? 1 : 0;
    total.sum += took;
    if (took > total.longest) total.longest = took;
  }
  FASTFLOW_INLINE void keep_if_notable(SpanRecord span) noexcept {
    if (span.state != SpanState::kDone || span.end - span.start > shortest_) {
      keep_notable(span);
    }
  }
  FASTFLOW_COLD void count_new(SpanRecord span) noexcept;
  FASTFLOW_COLD void keep_notable(SpanRecord span) noexcept;
  FASTFLOW_COLD void add_to_full(SpanRecord span) noexcept;
  bool open() noexcept;
  void halve() noexcept;

  const std::size_t size_;
  std::size_t room_ = 0;        // size_ once there is memory
  std::size_t n_ = 0;           // kept in order
  std::uint64_t made_ = 0;      // all of them
  std::uint64_t skipped_ = 0;   // a mask: those with a bit of it are not kept
  std::uint64_t shortest_ = 0;  // of the longest ones, once there are so many
  bool refused_ = false;        // there was no memory
  BigArray<SpanRecord> kept_;
  std::vector<SpanRecord> failed_,
      longest_;                    // the latter a heap, the shortest in front
  std::vector<SpanTotal> totals_;  // by label
};

}  // namespace fastflow
