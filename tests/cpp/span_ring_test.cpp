#include "span_ring.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <mutex>

#include "solo_lock.hpp"
#include "stamp.hpp"
#include "stress.hpp"

using fastflow::SoloLock;
using fastflow::SpanRecord;
using fastflow::SpanRing;
using fastflow::SpanState;
using fastflow::SpanTotal;

namespace {

SpanRecord call(std::uint64_t start, std::uint64_t length, std::uint32_t label = 0) {
  SpanRecord span;
  span.start = start;
  span.end = start + length;
  span.label = label;
  return span;
}

std::size_t kept_in(const SpanRing& ring) {
  return ring.size() + ring.failed().size() + ring.longest().size();
}

}  // namespace

TEST_CASE("what fits is kept as it came") {
  SpanRing ring(100);
  for (std::uint64_t i = 0; i < 100; ++i) ring.add(call(10 * i, i, i % 3));
  REQUIRE(ring.size() == 100);
  CHECK(ring.made() == 100);
  CHECK(kept_in(ring) == 100);
  for (std::uint64_t i = 0; i < 100; ++i) CHECK(ring.data()[i].start == 10 * i);
  REQUIRE(ring.totals().size() == 3);
  CHECK(ring.totals()[0].count == 34);
  CHECK(ring.totals()[1].longest == 97);
}

TEST_CASE("a full ring keeps an even sample, and exact totals") {
  for (const std::size_t size : {8U, 10U, 63U, 100U}) {
    SpanRing ring(size);
    constexpr std::uint64_t kMade = 5000;
    for (std::uint64_t i = 0; i < kMade; ++i) ring.add(call(i, 1));
    CHECK(ring.made() == kMade);
    CHECK(ring.size() <= size);
    CHECK(2 * ring.size() >= size - 1);
    const std::uint64_t step = ring.data()[1].start - ring.data()[0].start;
    for (std::size_t i = 1; i < ring.size(); ++i) {
      CHECK(ring.data()[i].start == ring.data()[i - 1].start + step);
    }
    CHECK(ring.data()[ring.size() - 1].start + step >= kMade);
    CHECK(ring.totals()[0].count == kMade);
    CHECK(ring.totals()[0].sum == kMade);
  }
}

TEST_CASE("failed and longest ones stay, wherever they come") {
  SpanRing ring(64);
  std::uint64_t failures = 0;
  for (std::uint64_t i = 0; i < 10'000; ++i) {
    SpanRecord span = call(i, i == 4321 || i == 77 ? 1000 + i : 1);
    if (i % 1999 == 1) {
      span.state = SpanState::kFailed;
      ++failures;
    }
    ring.add(span);
  }
  std::uint64_t failed = 0, longest = 0;
  const auto look = [&](const SpanRecord& span) {
    failed += span.state == SpanState::kFailed ? 1 : 0;
    longest += span.end - span.start > 1000 ? 1 : 0;
  };
  for (std::size_t i = 0; i < ring.size(); ++i) look(ring.data()[i]);
  for (const SpanRecord& span : ring.failed()) look(span);
  for (const SpanRecord& span : ring.longest()) look(span);
  CHECK(failed == failures);
  CHECK(longest == 2);
  CHECK(ring.longest().size() <= SpanRing::kLongest);
  CHECK(ring.totals()[0].failed == failures);
}

TEST_CASE("spans without a label count for nobody") {
  SpanRing ring(8);
  ring.add(call(0, 1, SpanRecord::kNone));
  CHECK(ring.made() == 1);
  CHECK(ring.totals().empty());
}

TEST_CASE("stamps go on, and are told by two pairs") {
  const auto first = fastflow::stamp_pair();
  std::uint64_t before = fastflow::stamp();
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t now = fastflow::stamp();
    CHECK(now >= before);
    before = now;
  }
  const auto last = fastflow::stamp_pair();
  CHECK(last.stamp > first.stamp);
  CHECK(last.ns >= first.ns);
}

TEST_CASE("rings are taken out while their threads write") {
  struct Lane {
    SoloLock lock;
    std::unique_ptr<SpanRing> ring = std::make_unique<SpanRing>(64);
  };
  constexpr int kWriters = 3;
  constexpr std::uint64_t kCalls = 30'000;
  Lane lanes[kWriters];
  std::atomic<int> writing{kWriters};
  std::uint64_t taken = 0;
  stress::threads(kWriters + 1, stress::seed(), [&](int id, auto&) {
    if (id < kWriters) {
      Lane& lane = lanes[id];
      for (std::uint64_t i = 0; i < kCalls; ++i) {
        (void)lane.lock.lock();
        lane.ring->add(call(i, 1));
        lane.lock.unlock();
      }
      writing.fetch_sub(1);
      return;
    }
    while (writing.load() > 0) {
      for (Lane& lane : lanes) {
        auto fresh = std::make_unique<SpanRing>(64);
        if (!lane.lock.visit()) continue;
        std::swap(fresh, lane.ring);
        lane.lock.give_back();
        taken += fresh->made();
        if (!fresh->totals().empty()) CHECK(fresh->totals()[0].count == fresh->made());
      }
      std::this_thread::yield();
    }
  });
  for (const Lane& lane : lanes) taken += lane.ring->made();
  CHECK(taken == kWriters * kCalls);
}
