#include "futex.hpp"

#include <doctest/doctest.h>

#include <climits>

#include "stress.hpp"

using fastflow::futex_wait;
using fastflow::futex_wait_for;
using fastflow::futex_wake;
using fastflow::FutexWord;

TEST_CASE("a wait for another value returns at once") {
  FutexWord word{1};
  futex_wait(word, 0);
  CHECK(futex_wait_for(word, 0, std::chrono::hours(1)));
}

TEST_CASE("a timeout is reported, a negative one at once") {
  FutexWord word{0};
  CHECK_FALSE(futex_wait_for(word, 0, std::chrono::milliseconds(1)));
  CHECK_FALSE(futex_wait_for(word, 0, std::chrono::nanoseconds(-1)));
}

TEST_CASE("a wake without sleepers does nothing") {
  FutexWord word{0};
  futex_wake(word, INT_MAX);
  CHECK(word.load() == 0);
}

TEST_CASE("stress: two threads hand a turn to and fro") {
  const std::uint64_t seed = stress::seed();
  constexpr std::uint32_t kTurns = 20'000;
  FutexWord turn{0};
  std::uint32_t counted = 0;  // written by whoever's turn it is: TSan watches
  stress::threads(2, seed, [&](int id, std::mt19937_64&) {
    const auto mine = static_cast<std::uint32_t>(id);
    for (;;) {
      const std::uint32_t now = turn.load();
      if (now >= kTurns) return;
      if (now % 2 != mine) {
        futex_wait(turn, now);
        continue;
      }
      ++counted;
      turn.store(now + 1);
      futex_wake(turn, 1);
    }
  });
  CHECK(counted == kTurns);
}

TEST_CASE("stress: a wake of all reaches every sleeper") {
  const std::uint64_t seed = stress::seed();
  constexpr std::uint32_t kRounds = 3'000;
  constexpr int kSleepers = 4;
  FutexWord round{0};
  std::atomic<int> arrived{0};
  stress::threads(1 + kSleepers, seed, [&](int id, std::mt19937_64&) {
    for (std::uint32_t r = 0; r < kRounds; ++r) {
      if (id > 0) {
        arrived.fetch_add(1);
        while (round.load() == r) futex_wait(round, r);
        continue;
      }
      while (arrived.load() < kSleepers) std::this_thread::yield();
      arrived.store(0);
      round.store(r + 1);
      futex_wake(round, INT_MAX);
    }
  });
  CHECK(round.load() == kRounds);
}
