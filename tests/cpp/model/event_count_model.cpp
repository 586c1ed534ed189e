// EventCount under the checker: no wake-up is lost (a lost one is a deadlock),
// the count of waiters returns to 0, and a timeout is reported only without a
// notification. The epoch starts at 0xffffffff, so the first notification wraps
// it around.
#include "event_count.hpp"
#include "model/scenario.hpp"

namespace {

using fastflow::EventCount;

constexpr EventCount::Key kAlmostWrapped = 0xffffffff;
constexpr auto kSoon = std::chrono::nanoseconds(1);

// Counting tokens: each sleeper takes one, each waker adds one and notifies
// one.
template <int kSleepers, int kWakers, int kEach, bool kAllAtOnce>
struct Tokens {
  static constexpr int kThreads = kSleepers + kWakers;
  static_assert(kSleepers == kWakers * kEach);
  EventCount events{kAlmostWrapped};
  model::atomic<int> tokens{0};

  Tokens() { model::label(events, "events"); }

  bool take() {
    int n = tokens.load();
    while (n > 0) {
      if (tokens.compare_exchange_strong(n, n - 1)) return true;
    }
    return false;
  }

  void thread(int id) {
    if (id < kSleepers) {
      sleeper();
    } else if (kAllAtOnce) {
      tokens.fetch_add(kEach);
      events.notify_all();
    } else {
      for (int i = 0; i < kEach; ++i) {
        tokens.fetch_add(1);
        events.notify_one();
      }
    }
  }

  void sleeper() {
    while (!take()) {
      const EventCount::Key key = events.prepare_wait();
      if (take()) {
        events.cancel_wait();
        return;
      }
      events.commit_wait(key);
    }
  }

  void finish() {
    model::check(events.waiters() == 0, "nobody waits any more");
    model::check(tokens.load() == 0, "every token was taken");
  }
};

// The condition is only looked at between prepare and commit: the weakest use.
template <int kSleepers>
struct Flag {
  static constexpr int kThreads = kSleepers + 1;
  EventCount events{kAlmostWrapped};
  model::atomic<int> flag{0};
  model::plain<int> data{0};

  Flag() { model::label(events, "events"); }

  void thread(int id) {
    if (id == kSleepers) {
      data = 1;
      flag.store(1);
      if (kSleepers == 1) {
        events.notify_one();
      } else {
        events.notify_all();
      }
      return;
    }
    for (;;) {
      const EventCount::Key key = events.prepare_wait();
      if (flag.load() == 1) break;
      events.commit_wait(key);
    }
    events.cancel_wait();
    model::check(data == 1, "what came before the notification is visible");
  }
  void finish() { model::check(events.waiters() == 0, "nobody waits any more"); }
};

// A wait that may time out, twice, before an unlimited one.
struct Timeouts {
  static constexpr int kThreads = 3;
  EventCount events{kAlmostWrapped};
  model::atomic<int> flag{0};
  bool notified = false;

  void thread(int id) {
    if (id == 2) {
      flag.store(1);
      notified = true;
      events.notify_all();
      return;
    }
    int patience = id == 0 ? 2 : 1;
    for (;;) {
      const EventCount::Key key = events.prepare_wait();
      if (flag.load() == 1) break;
      if (patience-- == 0) {
        events.commit_wait(key);
      } else if (events.commit_wait_for(key, kSoon)) {
        model::check(notified, "true only after a notification");
      }
    }
    events.cancel_wait();
  }
  void finish() { model::check(events.waiters() == 0, "nobody waits any more"); }
};

// notify_one's answer: false promises that whoever is still waiting, or comes
// later, saw the change.
struct Answer {
  static constexpr int kThreads = 2;
  EventCount events{kAlmostWrapped};
  model::atomic<int> flag{0};
  bool told = false, saw = false;

  void thread(int id) {
    if (id == 0) {
      flag.store(1);
      told = events.notify_one();
    } else {
      [[maybe_unused]] const auto key = events.prepare_wait();
      saw = flag.load() == 1;  // and waits on
    }
  }
  void finish() {
    model::check(told || saw, "told or saw");
    events.cancel_wait();
  }
};

constexpr const char* kGroup = "event_count";
constexpr model::Options kAll{.preemptions = model::kUnbounded};
constexpr model::Options kBound3{.preemptions = 3, .random_runs = 50'000};

[[maybe_unused]] const bool added[] = {
    model::add<Answer>(kGroup, "answer of notify_one", kAll),
    model::add<Flag<1>>(kGroup, "1 sleeper, notify_one",
                        {.preemptions = model::kUnbounded, .spurious_wakeups = 1}),
    model::add<Tokens<1, 1, 1, false>>(kGroup, "1 token", kAll),
    model::add<Flag<2>>(
        kGroup, "2 sleepers, notify_all",
        {.preemptions = 3, .random_runs = 50'000, .spurious_wakeups = 1}),
    model::add<Tokens<2, 1, 2, false>>(kGroup, "2 tokens one by one, 2 sleepers",
                                       kBound3),
    model::add<Tokens<2, 1, 2, true>>(kGroup, "2 tokens at once, 2 sleepers", kBound3),
    model::add<Tokens<2, 2, 1, false>>(kGroup, "2 wakers, 2 sleepers", kBound3),
    model::add<Timeouts>(kGroup, "timeouts, 2 sleepers, notify_all", kBound3),
    model::add<Tokens<3, 1, 3, false>>(kGroup, "3 tokens, 3 sleepers",
                                       {.preemptions = 2, .random_runs = 50'000}),
    model::add<Tokens<4, 2, 2, false>>(kGroup, "deep, 2 wakers, 4 sleepers",
                                       {.exhaustive = false, .random_runs = 150'000}),
};

}  // namespace
