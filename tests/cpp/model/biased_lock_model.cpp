// BiasedLock under the checker: the owner's plain bookkeeping and that of the visitors
// never overlap, and nothing that one of them did is lost on the others.
#include "biased_lock.hpp"

#include "model/scenario.hpp"

namespace {

using fastflow::BiasedLock;

// As recordings have it: thread 0 writes again and again, the others come by, one at a
// time, and change what it finds.
template <int kVisits, int kRounds, bool kHeavy>
struct Visits {
  static constexpr int kThreads = 2;
  BiasedLock lock{kHeavy};
  model::plain<int> value{0};
  int visits = 0;

  void owner() {
    for (int i = 0; i < kRounds; ++i) {
      lock.lock();
      value = value + 1;
      lock.unlock();
    }
  }
  void visitor() {
    for (int i = 0; i < kVisits; ++i) {
      if (!lock.visit()) continue;
      value = value + 1;
      ++visits;
      lock.leave();
    }
  }
  void thread(int id) { id == 0 ? owner() : visitor(); }
  void finish() {
    model::check(value == kRounds + visits, "nothing is lost");
    model::check(visits == kVisits, "a visit is granted in the end");
  }
};

// What a visitor takes away, the owner does not touch any more: a ring that was closed.
template <bool kHeavy>
struct Taken {
  static constexpr int kThreads = 2;
  BiasedLock lock{kHeavy};
  model::plain<int> ring{0};
  model::plain<bool> is_open{true};

  void thread(int id) {
    if (id == 0) {
      for (int i = 0; i < 2; ++i) {
        lock.lock();
        if (is_open) ring = ring + 1;
        lock.unlock();
      }
      return;
    }
    if (!lock.visit()) return;
    is_open = false;
    lock.leave();
    // From here on it is ours alone, without the lock.
    const int seen = ring;
    ring = seen + 10;
    model::check(ring == seen + 10, "nobody writes any more");
  }
  void finish() { model::check(ring >= 10 && ring <= 12, "done"); }
};

constexpr const char* kGroup = "biased_lock";
constexpr model::Options kAll{.preemptions = model::kUnbounded};
constexpr model::Options kThree{.preemptions = 3};

[[maybe_unused]] const bool added[] = {
    model::add<Visits<1, 2, false>>(kGroup, "a visit", kAll),
    model::add<Visits<2, 2, false>>(kGroup, "two visits", kThree),
    model::add<Visits<1, 3, false>>(kGroup, "a visit, some time", kThree),
    model::add<Taken<false>>(kGroup, "what was taken is alone", kAll),
    model::add<Visits<1, 2, true>>(kGroup, "a visit, without a process fence", kAll),
    model::add<Visits<2, 2, true>>(kGroup, "two visits, without a fence", kThree),
    model::add<Taken<true>>(kGroup, "what was taken is alone, without a fence", kAll),
};

}  // namespace
