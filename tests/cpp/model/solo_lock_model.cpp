// SoloLock under the checker: the soloist's plain bookkeeping and that of the others
// never overlap, and nothing written alone is lost on those who join.
#include "solo_lock.hpp"

#include "model/scenario.hpp"

namespace {

using fastflow::SoloLock;

// As GraphRun does it: thread 0 counts alone, with a long body in between that the
// others may use to come in; from then on all count with atomics.
template <int kOthers, int kRounds, bool kHeavy>
struct Join {
  static constexpr int kThreads = 1 + kOthers;
  SoloLock lock{kHeavy};
  model::plain<int> alone{0};
  fastflow::atomic<int> together{0};
  int joined = 0;

  void soloist() {
    bool is_alone = lock.lock();
    for (int i = 0; i < kRounds; ++i) {
      if (is_alone) lock.unlock();
      (void)together.load(std::memory_order_relaxed);  // a body
      is_alone = is_alone && lock.lock();
      if (is_alone) {
        alone = alone + 1;
      } else {
        model::check(alone >= 1, "sees what was taken over");
        together.fetch_add(1, std::memory_order_relaxed);
      }
    }
  }

  void other() {
    if (lock.try_lock()) {
      alone = alone + 1;  // takes over what was left behind
      lock.share();
    } else if (!lock.shared()) {
      return;
    }
    ++joined;
    const int seen = alone;  // from here on nobody writes it
    model::check(seen >= 1, "sees what was done alone");
    together.fetch_add(1, std::memory_order_relaxed);
  }

  void thread(int id) { id == 0 ? soloist() : other(); }
  void finish() {
    const int taken_over = joined > 0 ? 1 : 0;
    model::check(alone + together.load() == kRounds + joined + taken_over,
                 "nothing is lost");
  }
};

// The soloist itself says that it is time to share.
template <bool kHeavy>
struct Share {
  static constexpr int kThreads = 2;
  SoloLock lock{kHeavy};
  model::plain<int> alone{0};

  void thread(int id) {
    if (id == 0) {
      if (!lock.lock()) return;
      alone = 1;
      lock.share();
    } else if (lock.shared()) {
      model::check(alone == 1, "sees what was done alone");
    }
  }
  void finish() { model::check(alone == 1, "done"); }
};

// It shares while another one tries to come in, or has come in: one of the two is
// first, and it stays shared.
template <bool kHeavy>
struct ShareWhileWanted {
  static constexpr int kThreads = 2;
  SoloLock lock{kHeavy};
  model::plain<int> alone{0};

  void thread(int id) {
    if (id == 0) {
      if (!lock.lock()) return;
      alone = alone + 1;
      lock.share();
    } else if (lock.try_lock()) {
      alone = alone + 1;
      lock.share();
    }
  }
  void finish() {
    model::check(alone == 1, "one of them was first");
    model::check(lock.shared(), "shared for good");
  }
};

// As a participant's place: others see to something while the soloist is outside, and
// give the lock back.  Two soloists, one after the other.
template <int kOthers, int kRounds, bool kHeavy>
struct Borrow {
  static constexpr int kThreads = 2 + kOthers;
  SoloLock lock{kHeavy};
  fastflow::atomic<bool> taken{false};
  model::plain<int> own{0};
  int borrowed = 0;

  void soloist() {
    // acquire, release: the place is handed on.
    if (taken.exchange(true, std::memory_order_acquire)) return;
    for (int i = 0; i < kRounds; ++i) {
      model::check(lock.lock(), "never shared");
      own = own + 1;
      lock.unlock();
    }
    ++soloists;
    taken.store(false, std::memory_order_release);
  }
  void other() {
    if (!lock.try_lock()) return;
    own = own + 1;
    ++borrowed;
    lock.give_back();
  }
  void thread(int id) { id < 2 ? soloist() : other(); }
  void finish() {
    model::check(own == soloists * kRounds + borrowed, "nothing is lost");
    model::check(!lock.shared(), "never shared");
  }
  int soloists = 0;
};

// As recordings have it: thread 0 writes again and again, the others come by, one at a
// time, and change what it finds.
template <int kVisits, int kRounds, bool kHeavy>
struct Visits {
  static constexpr int kThreads = 2;
  SoloLock lock{kHeavy};
  model::plain<int> value{0};
  int visits = 0;

  void owner() {
    for (int i = 0; i < kRounds; ++i) {
      (void)lock.lock();
      value = value + 1;
      lock.unlock();
    }
  }
  void visitor() {
    for (int i = 0; i < kVisits; ++i) {
      if (!lock.visit()) continue;
      value = value + 1;
      ++visits;
      lock.give_back();
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
  SoloLock lock{kHeavy};
  model::plain<int> ring{0};
  model::plain<bool> is_open{true};

  void thread(int id) {
    if (id == 0) {
      for (int i = 0; i < 2; ++i) {
        (void)lock.lock();
        if (is_open) ring = ring + 1;
        lock.unlock();
      }
      return;
    }
    if (!lock.visit()) return;
    is_open = false;
    lock.give_back();
    // From here on it is ours alone, without the lock.
    const int seen = ring;
    ring = seen + 10;
    model::check(ring == seen + 10, "nobody writes any more");
  }
  void finish() { model::check(ring >= 10 && ring <= 12, "done"); }
};

constexpr const char* kGroup = "solo_lock";
constexpr model::Options kAll{.preemptions = model::kUnbounded};
constexpr model::Options kThree{.preemptions = 3};

[[maybe_unused]] const bool added[] = {
    model::add<Join<1, 2, false>>(kGroup, "one joins", kAll),
    model::add<Join<2, 2, false>>(kGroup, "two join", kThree),
    model::add<Join<1, 3, false>>(kGroup, "one joins, some time", kThree),
    model::add<Share<false>>(kGroup, "the soloist shares", kAll),
    model::add<ShareWhileWanted<false>>(kGroup, "both want to share", kAll),
    model::add<Visits<1, 2, false>>(kGroup, "a visit", kAll),
    model::add<Visits<2, 2, false>>(kGroup, "two visits", kThree),
    model::add<Visits<1, 3, false>>(kGroup, "a visit, some time", kThree),
    model::add<Taken<false>>(kGroup, "what was taken is alone", kAll),
    model::add<Visits<1, 2, true>>(kGroup, "a visit, without a process fence", kAll),
    model::add<Visits<2, 2, true>>(kGroup, "two visits, without a fence", kThree),
    model::add<Taken<true>>(kGroup, "what was taken is alone, without a fence", kAll),
    model::add<Borrow<1, 2, false>>(kGroup, "one borrows", kThree),
    model::add<Borrow<2, 1, false>>(kGroup, "two borrow", kThree),
    model::add<Borrow<1, 2, true>>(kGroup, "one borrows, without a fence", kThree),
    model::add<Borrow<2, 1, true>>(kGroup, "two borrow, without a fence", kThree),
    model::add<Join<1, 2, true>>(kGroup, "one joins, without a process fence", kAll),
    model::add<Join<2, 2, true>>(kGroup, "two join, without a process fence", kThree),
    model::add<Share<true>>(kGroup, "the soloist shares, without a fence", kAll),
    model::add<ShareWhileWanted<true>>(kGroup, "both share, without a fence", kAll),
};

}  // namespace
