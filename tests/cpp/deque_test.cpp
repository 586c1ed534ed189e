#include "deque.hpp"

#include <doctest/doctest.h>

#include "stress.hpp"

using fastflow::Deque;
using fastflow::Job;
using fastflow::Steal;

TEST_CASE("a new deque is empty") {
  Deque deque;
  CHECK(deque.empty());
  CHECK(deque.pop() == nullptr);
  Job* job = nullptr;
  CHECK(deque.steal(&job) == Steal::kEmpty);
  CHECK(job == nullptr);
}

TEST_CASE("the owner pops newest first, a thief steals oldest first") {
  Deque deque(4);
  Job jobs[3];
  for (Job& job : jobs) deque.push(&job);
  Job* stolen = nullptr;
  CHECK(deque.steal(&stolen) == Steal::kTaken);
  CHECK(stolen == &jobs[0]);
  CHECK(deque.pop() == &jobs[2]);
  CHECK(deque.pop() == &jobs[1]);
  CHECK(deque.pop() == nullptr);
  CHECK(deque.empty());
}

TEST_CASE("the array grows and keeps the order, also when it has wrapped around") {
  Deque deque(2);
  Job jobs[40];
  Job* stolen = nullptr;
  for (int i = 0; i < 5; ++i) {  // moves top, so that later indices wrap
    deque.push(&jobs[0]);
    CHECK(deque.steal(&stolen) == Steal::kTaken);
  }
  for (Job& job : jobs) deque.push(&job);
  for (Job& job : jobs) {
    CHECK(deque.steal(&stolen) == Steal::kTaken);
    CHECK(stolen == &job);
  }
  CHECK(deque.empty());
}

TEST_CASE("push_batch pushes a list, newest first, but for the oldest") {
  // Into arrays that have room for all, or for some, and are not empty, or have gone
  // round.
  for (const int capacity : {2, 4, 8, 32}) {
    for (const int before : {0, 1, 3}) {
      for (const int n : {1, 2, 3, 9, 40}) {
        CAPTURE(capacity);
        CAPTURE(before);
        CAPTURE(n);
        Deque deque(capacity);
        std::vector<Job> jobs(static_cast<std::size_t>(before + n + 3));
        Job* job = nullptr;
        for (int i = 0; i < 3; ++i) {  // somewhere in the array
          deque.push(&jobs[0]);
          CHECK(deque.steal(&job) == Steal::kTaken);
        }
        const auto at = [&](int i) { return &jobs[static_cast<std::size_t>(i)]; };
        for (int i = 0; i < before; ++i) deque.push(at(i));
        for (int i = 1; i < n; ++i) at(before + i)->next = at(before + i - 1);
        CHECK(deque.push_batch(at(before + n - 1)) == at(before));
        for (int i = 0; i < before; ++i) {
          CHECK(deque.steal(&job) == Steal::kTaken);
          CHECK(job == at(i));
        }
        for (int i = before + n - 1; i > before; --i) CHECK(deque.pop() == at(i));
        CHECK(deque.empty());
      }
    }
  }
}

TEST_CASE("stress: each job is taken exactly once") {
  const std::uint64_t seed = stress::seed();
  constexpr int kThieves = 3;
  stress::Jobs jobs(1'000'000);
  Deque deque(2);
  stress::threads(1 + kThieves, seed, [&](int id, std::mt19937_64& random) {
    std::size_t pushed = 0;
    Job* job = nullptr;
    while (jobs.total() < jobs.size()) {
      if (id > 0) {
        if (deque.steal(&job) == Steal::kTaken) {
          jobs.take(job);
        } else {
          std::this_thread::yield();
        }
      } else if (pushed < jobs.size() && random() % 8 < 5) {
        deque.push(jobs[pushed++]);
      } else if ((job = deque.pop()) != nullptr) {
        jobs.take(job);
      }
    }
  });
  CHECK(jobs.wrong() == 0);
  CHECK(deque.empty());
}
