#include "range.hpp"

#include <doctest/doctest.h>

#include <latch>
#include <mutex>
#include <set>
#include <thread>

#include "running.hpp"
#include "stress.hpp"

using namespace fastflow;  // NOLINT: the test is about all of it
using namespace std::chrono_literals;

namespace {

struct Hits {
  explicit Hits(std::size_t n) : counts(n) {}
  static void body(std::int64_t begin, std::int64_t end, void* argument) {
    auto* self = static_cast<Hits*>(argument);
    for (std::int64_t i = begin; i < end; ++i) {
      self->counts[static_cast<std::size_t>(i)].fetch_add(1, std::memory_order_relaxed);
    }
  }
  [[nodiscard]] std::size_t wrong() const {
    std::size_t n = 0;
    for (const auto& c : counts) n += c.load() != 1;
    return n;
  }
  std::vector<std::atomic<int>> counts;
};

void finish(RangeJob* job) {
  while (!job->wait_for(10ms)) {
  }
  job->release();
}

}  // namespace

TEST_CASE("every index once, for all sizes and numbers of participants") {
  for (std::uint32_t workers : {1U, 2U, 4U}) {
    Running r(workers);
    for (std::int64_t n : {0, 1, 2, 3, 7, 64, 1000, 100'000}) {
      for (std::uint32_t most : {1U, 2U, 5U}) {
        Hits hits(static_cast<std::size_t>(n));
        RangeJob* job = RangeJob::create(r.pool, n, Hits::body, &hits, most);
        CHECK(job->help(std::chrono::steady_clock::time_point::max()));
        finish(job);
        CHECK(hits.wrong() == 0);
      }
    }
  }
}

TEST_CASE("without the creator's help the workers do it all") {
  Running r(2);
  for (int round = 0; round < 200; ++round) {
    Hits hits(500);
    RangeJob* job = RangeJob::create(r.pool, 500, Hits::body, &hits, 3);
    job->start();
    finish(job);
    CHECK(hits.wrong() == 0);
  }
}

TEST_CASE("everybody is invited: seven that wait for each other") {
  struct Meeting {
    static void body(std::int64_t, std::int64_t, void* argument) {
      auto* self = static_cast<Meeting*>(argument);
      bool first = false;
      {
        std::lock_guard lock(self->mutex);
        first = self->seen.insert(std::this_thread::get_id()).second;
      }
      if (first) self->all.arrive_and_wait();
    }
    std::latch all{7};
    std::mutex mutex;
    std::set<std::thread::id> seen;
  };
  Running r(6);
  for (int round = 0; round < 50; ++round) {
    Meeting meeting;
    RangeJob* job = RangeJob::create(r.pool, 1'000, Meeting::body, &meeting, 7);
    CHECK(job->help(std::chrono::steady_clock::time_point::max()));
    finish(job);
    CHECK(meeting.seen.size() == 7);
  }
}

TEST_CASE("help returns at its deadline and can be called again") {
  Running r(1);
  Hits hits(1'000'000);
  RangeJob* job = RangeJob::create(r.pool, 1'000'000, Hits::body, &hits, 1);
  int calls = 0;
  while (!job->help(std::chrono::steady_clock::now())) ++calls;
  finish(job);
  CHECK(calls > 0);
  CHECK(hits.wrong() == 0);
}

TEST_CASE("cancel: nothing twice, and an end") {
  Running r(2);
  struct Cancelling {
    RangeJob* job = nullptr;
    Hits hits{100'000};
  } state;
  auto body = [](std::int64_t begin, std::int64_t end, void* argument) {
    auto* s = static_cast<Cancelling*>(argument);
    Hits::body(begin, end, &s->hits);
    if (begin > 5000) s->job->cancel();
  };
  state.job = RangeJob::create(r.pool, 100'000, body, &state, 3);
  CHECK(state.job->help(std::chrono::steady_clock::time_point::max()));
  finish(state.job);
  std::size_t twice = 0;
  for (const auto& c : state.hits.counts) twice += c.load() > 1;
  CHECK(twice == 0);
}

TEST_CASE("stress: ranges of many sizes from several threads at once") {
  const std::uint64_t seed = stress::seed();
  Running r(4);
  std::atomic<std::size_t> wrong{0};
  stress::threads(3, seed, [&](int, auto& random) {
    for (int round = 0; round < 300; ++round) {
      const auto n = static_cast<std::int64_t>(random() % 3000);
      Hits hits(static_cast<std::size_t>(n));
      RangeJob* job = RangeJob::create(r.pool, n, Hits::body, &hits, 4);
      CHECK(job->help(std::chrono::steady_clock::time_point::max()));
      finish(job);
      wrong.fetch_add(hits.wrong());
    }
  });
  CHECK(wrong.load() == 0);
}
