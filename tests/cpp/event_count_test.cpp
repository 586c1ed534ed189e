#include "event_count.hpp"

#include <doctest/doctest.h>

#include "stress.hpp"

using fastflow::EventCount;
using std::chrono::milliseconds;

TEST_CASE("nobody waits: a notification wakes nobody and says so") {
  EventCount events;
  CHECK_FALSE(events.notify_one());
  CHECK_FALSE(events.notify_all());
  CHECK(events.waiters() == 0);
}

TEST_CASE("prepare counts, cancel takes back") {
  EventCount events;
  [[maybe_unused]] const auto key = events.prepare_wait();
  CHECK(events.waiters() == 1);
  CHECK(events.notify_one());
  events.cancel_wait();
  CHECK(events.waiters() == 0);
}

TEST_CASE("a notification between prepare and commit ends the wait at once") {
  EventCount events(0xffffffffu);  // and wraps the epoch around
  const auto key = events.prepare_wait();
  events.notify_one();
  events.commit_wait(key);
  CHECK(events.waiters() == 0);
  const auto next = events.prepare_wait();
  CHECK(next != key);
  events.notify_all();
  CHECK(events.commit_wait_for(next, std::chrono::hours(1)));
}

TEST_CASE("a timeout is reported") {
  EventCount events;
  const auto key = events.prepare_wait();
  CHECK_FALSE(events.commit_wait_for(key, milliseconds(1)));
  CHECK(events.waiters() == 0);
}

TEST_CASE("stress: every token finds a sleeper, no wake-up is lost") {
  const std::uint64_t seed = stress::seed();
  constexpr int kPairs = 2;
  constexpr int kTokens = 30'000;  // per waker, and per sleeper
  EventCount events(0xffffff00u);
  std::atomic<int> tokens{0};
  const auto take = [&] {
    int n = tokens.load();
    while (n > 0) {
      if (tokens.compare_exchange_weak(n, n - 1)) return true;
    }
    return false;
  };
  const auto wait = [&](std::mt19937_64& random) {
    const auto key = events.prepare_wait();
    if (take()) {
      events.cancel_wait();
      return true;
    }
    if (random() % 4 == 0) {
      (void)events.commit_wait_for(key, std::chrono::microseconds(random() % 100));
    } else {
      events.commit_wait(key);
    }
    return false;
  };
  stress::threads(2 * kPairs, seed, [&](int id, std::mt19937_64& random) {
    for (int i = 0; i < kTokens; ++i) {
      if (id < kPairs) {
        tokens.fetch_add(1);
        events.notify_one();
        if (random() % 16 == 0) std::this_thread::yield();
      } else {
        while (!take() && !wait(random)) {
        }
      }
    }
  });
  CHECK(tokens.load() == 0);
  CHECK(events.waiters() == 0);
}
