// Arrivals under the checker: exactly one arrival makes a node ready, and whoever it is
// sees what all the others wrote before they arrived.
#include "arrivals.hpp"

#include <vector>

#include "model/scenario.hpp"

namespace {

// Two nodes: 0 with `narrow` predecessors, 1 with `wide` of them, counted apart.
struct Plan {
  static constexpr std::uint8_t kWide = 3;
  Plan(std::uint8_t narrow, std::uint32_t wide)
      : in_degrees{narrow, kWide}, wides{wide} {}
  [[nodiscard]] std::uint32_t nodes() const { return 2; }
  [[nodiscard]] const std::uint8_t* degrees() const { return in_degrees; }
  [[nodiscard]] const std::vector<std::uint32_t>& wide_degrees() const { return wides; }
  [[nodiscard]] std::uint32_t wide_index(std::uint32_t) const { return 0; }
  std::uint8_t in_degrees[2];
  std::vector<std::uint32_t> wides;
};

using Arrivals = fastflow::Arrivals<Plan>;

template <std::uint32_t kNode, int kArrivals, bool kNoneWide = false>
struct Arrive {
  static constexpr int kThreads = kArrivals;
  Plan plan{kArrivals < Plan::kWide ? kArrivals : 2, kArrivals};
  Arrivals arrivals{plan};
  model::plain<int> written[kArrivals];
  int ready = 0;

  void thread(int id) {
    written[id] = id + 1;
    const bool last =
        kNoneWide ? Arrivals::Together(arrivals).arrive(kNode) : arrivals.arrive(kNode);
    if (!last) return;
    ++ready;
    int sum = 0;
    for (const auto& w : written) sum += w;
    model::check(sum == kArrivals * (kArrivals + 1) / 2, "everything is visible");
  }
  void finish() {
    model::check(ready == 1, "ready once");
    model::check(arrivals.complete(kNode), "counted to the end");
  }
};

// One thread brings two arrivals at once, another one alone.
template <std::uint32_t kNode>
struct Together {
  static constexpr int kThreads = 2;
  Plan plan{3 - 1, 3};
  Arrivals arrivals{plan};
  model::plain<int> written[2];
  int ready = 0;

  void thread(int id) {
    written[id] = 1;
    const std::uint32_t times = kNode == 1 ? (id == 0 ? 2 : 1) : 1;
    if (!arrivals.arrive(kNode, times)) return;
    ++ready;
    model::check(written[0] + written[1] == 2, "everything is visible");
  }
  void finish() { model::check(ready == 1, "ready once"); }
};

// One alone, then the others: a fan-in that begins without atomic counting.
template <std::uint32_t kNode>
struct AloneFirst {
  static constexpr int kThreads = 2;
  static constexpr std::uint32_t kArrivals = kNode == 0 ? 2 : 4;
  Plan plan{2, 4};
  Arrivals arrivals{plan};
  int ready = 0;

  AloneFirst() {
    for (std::uint32_t i = 2; i < kArrivals; ++i) arrived(arrivals.arrive_alone(kNode));
    model::check(!arrivals.complete(kNode), "some are missing");
  }
  void arrived(bool last) { ready += last ? 1 : 0; }
  void thread(int) { arrived(arrivals.arrive(kNode)); }
  void finish() {
    model::check(ready == 1, "ready once");
    model::check(arrivals.complete(kNode), "counted to the end");
  }
};

// All by one.
template <std::uint32_t kNode>
struct Alone {
  static constexpr int kThreads = 1;
  static constexpr std::uint32_t kArrivals = kNode == 0 ? 2 : 4;
  Plan plan{2, 4};
  Arrivals arrivals{plan};

  void thread(int) {
    for (std::uint32_t i = 1; i <= kArrivals; ++i) {
      model::check(arrivals.arrive_alone(kNode) == (i == kArrivals), "the last one");
    }
  }
  void finish() { model::check(arrivals.complete(kNode), "counted to the end"); }
};

constexpr const char* kGroup = "arrivals";
constexpr model::Options kAll{.preemptions = model::kUnbounded};

[[maybe_unused]] const bool added[] = {
    model::add<Arrive<0, 2>>(kGroup, "2 arrivals", kAll),
    model::add<Arrive<0, 2, true>>(kGroup, "2 arrivals, no node is wide", kAll),
    model::add<Arrive<1, 3>>(kGroup, "3 arrivals, counted apart", kAll),
    model::add<Arrive<1, 4>>(kGroup, "4 arrivals, counted apart", kAll),
    model::add<AloneFirst<1>>(kGroup, "alone, then 2, counted apart", kAll),
    model::add<Alone<0>>(kGroup, "alone", kAll),
    model::add<Alone<1>>(kGroup, "alone, counted apart", kAll),
    model::add<Together<0>>(kGroup, "one each", kAll),
    model::add<Together<1>>(kGroup, "2 at once and 1", kAll),
};

}  // namespace
