// ClaimQueue under the checker: each number that is put in is claimed once, with all
// that was written before, also when its slot is used again; and whoever puts one in
// and finds that nobody was called need not look again.
#include "claim_queue.hpp"

#include "model/scenario.hpp"

namespace {

using Queue = fastflow::ClaimQueue<>;

// Thread 0 puts `kItems` numbers in, and each again once it came back, `kRounds` times;
// the others claim.
template <int kItems, int kRounds, int kTakers>
struct Claims {
  static constexpr int kThreads = 1 + kTakers;
  Queue queue{kItems};
  model::plain<int> argument[kItems];
  model::atomic<int> back[kItems];
  int put[kItems] = {};
  int claimed[kItems] = {};

  Claims() {
    for (auto& round : back) round.store(0);
  }
  void thread(int id) {
    if (id > 0) {
      for (int k = 0; k < kItems * kRounds; ++k) claim();
      return;
    }
    for (int round = 0; round < kRounds; ++round) {
      for (int i = 0; i < kItems; ++i) {
        if (back[i].load(std::memory_order_acquire) != round) continue;
        argument[i] = round;
        ++put[i];
        queue.put(static_cast<std::size_t>(i));
      }
    }
  }
  void claim() {
    const std::size_t number = queue.take();
    if (number == Queue::kNone) return;
    model::check(number < kItems, "a number that was put in");
    const int i = static_cast<int>(number);
    const int round = argument[i];
    model::check(round == claimed[i], "what was written before is seen, once");
    ++claimed[i];
    back[i].store(round + 1, std::memory_order_release);
  }
  void finish() {
    for (int k = 0; k < kItems; ++k) claim();
    model::check(queue.empty(), "all are out");
    for (int i = 0; i < kItems; ++i) {
      model::check(claimed[i] == put[i], "each is claimed once");
    }
  }
};

// The token of a stream: who puts a number in calls a worker unless one is called; a
// worker that was called says so before it looks.
struct Calls {
  static constexpr int kThreads = 2;
  Queue queue{1};
  model::atomic<bool> called{true};  // thread 1 was called before
  bool calls = false, finds = false;

  void thread(int id) {
    if (id == 0) {
      queue.put(0);
      calls = !called.load();
    } else {
      called.store(false);
      finds = queue.take() == 0;
    }
  }
  void finish() { model::check(calls || finds, "the number is not forgotten"); }
};

// Only the number that is wanted.
struct Wanted {
  static constexpr int kThreads = 2;
  Queue queue{2};
  int got[2] = {};

  Wanted() {
    queue.put(0);
    queue.put(1);
  }
  void thread(int id) {
    const std::size_t number = id == 0 ? queue.take(0) : queue.take();
    if (number == Queue::kNone) return;
    model::check(id == 1 || number == 0, "the wanted one");
    ++got[number];
  }
  void finish() { model::check(got[0] == 1 && got[1] <= 1, "the oldest is out, once"); }
};

constexpr const char* kGroup = "claim_queue";
constexpr model::Options kAll{.preemptions = model::kUnbounded};
constexpr model::Options kThree{.preemptions = 3};

[[maybe_unused]] const bool added[] = {
    model::add<Claims<1, 2, 1>>(kGroup, "one item, twice, one claims", kAll),
    model::add<Claims<1, 2, 2>>(kGroup, "one item, twice, two claim", kThree),
    model::add<Claims<2, 1, 2>>(kGroup, "two items, two claim", kThree),
    model::add<Claims<2, 2, 2>>(kGroup, "two items, twice, two claim",
                                model::Options{.preemptions = 2}),
    model::add<Calls>(kGroup, "a call is not missed", kAll),
    model::add<Wanted>(kGroup, "one wants the first, one any", kAll),
};

}  // namespace
