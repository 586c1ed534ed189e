// JoinCounter under the checker: exactly one arrival is the last, and it sees
// what all others wrote before they arrived.
#include "join_counter.hpp"
#include "model/scenario.hpp"

namespace {

using fastflow::JoinCounter;

template <int kArrivals>
struct Arrive {
  static constexpr int kThreads = kArrivals;
  JoinCounter counter{kArrivals};
  model::plain<int> written[kArrivals];
  int lasts = 0;

  void thread(int id) {
    written[id] = id + 1;
    if (!counter.arrive()) return;
    ++lasts;
    int sum = 0;
    for (const auto& w : written) sum += w;
    model::check(sum == kArrivals * (kArrivals + 1) / 2, "everything is visible");
  }
  void finish() {
    model::check(lasts == 1, "one last arrival");
    model::check(counter.missing() == 0, "nobody is missing");
  }
};

// A thread that is still missing announces another one.
struct Expect {
  static constexpr int kThreads = 2;
  JoinCounter counter{2};
  model::plain<int> written[3];
  int lasts = 0;

  void thread(int id) {
    if (id == 0) {
      counter.expect(1);
      model::start_thread();
    }
    written[id] = 1;
    if (!counter.arrive()) return;
    ++lasts;
    model::check(written[0] + written[1] + written[2] == 3, "everything is visible");
  }
  void finish() { model::check(lasts == 1, "one last arrival"); }
};

// A third thread only looks at missing().
struct Watch {
  static constexpr int kThreads = 3;
  JoinCounter counter{2};
  model::plain<int> written[2];

  void thread(int id) {
    if (id < 2) {
      written[id] = 1;
      (void)counter.arrive();
    } else if (counter.missing() == 0) {
      model::check(written[0] + written[1] == 2, "everything is visible");
    }
  }
  void finish() {}
};

constexpr const char* kGroup = "join_counter";
constexpr model::Options kAll{.preemptions = model::kUnbounded};

[[maybe_unused]] const bool added[] = {
    model::add<Arrive<2>>(kGroup, "2 arrivals", kAll),
    model::add<Arrive<4>>(kGroup, "4 arrivals", kAll),
    model::add<Expect>(kGroup, "expect one more", kAll),
    model::add<Watch>(kGroup, "missing() watched", kAll),
};

}  // namespace
