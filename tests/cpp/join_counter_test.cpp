#include "join_counter.hpp"

#include <doctest/doctest.h>

#include "stress.hpp"

using fastflow::JoinCounter;

TEST_CASE("only the last arrival is told so") {
  JoinCounter counter(3);
  CHECK_FALSE(counter.arrive());
  CHECK(counter.missing() == 2);
  CHECK_FALSE(counter.arrive());
  CHECK(counter.arrive());
  CHECK(counter.missing() == 0);
}

TEST_CASE("several arrivals at once") {
  JoinCounter counter(5);
  CHECK_FALSE(counter.arrive(4));
  CHECK(counter.arrive());
}

TEST_CASE("expect announces more, reset starts over") {
  JoinCounter counter(1);
  counter.expect(2);
  CHECK_FALSE(counter.arrive(2));
  CHECK(counter.arrive());
  counter.reset(1);
  CHECK(counter.missing() == 1);
  CHECK(counter.arrive());
}

TEST_CASE("stress: one last arrival per round, which sees everybody's work") {
  const std::uint64_t seed = stress::seed();
  constexpr int kThreads = 4;
  constexpr int kRounds = 50'000;
  // One counter per round; the last arrival opens the next round.
  std::vector<JoinCounter> counters(kRounds);
  for (JoinCounter& counter : counters) counter.reset(kThreads);
  int work[kThreads] = {};  // plain on purpose: TSan watches
  std::atomic<int> round{0};
  std::atomic<int> lasts{0};
  std::atomic<int> wrong{0};
  stress::threads(kThreads, seed, [&](int id, std::mt19937_64&) {
    for (int r = 0; r < kRounds; ++r) {
      while (round.load() < r) std::this_thread::yield();
      work[id] = r;
      if (!counters[static_cast<std::size_t>(r)].arrive()) continue;
      for (const int w : work) wrong.fetch_add(w != r);
      lasts.fetch_add(1);
      round.store(r + 1);
    }
  });
  CHECK(lasts.load() == kRounds);
  CHECK(wrong.load() == 0);
}
