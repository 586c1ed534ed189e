#include "ready_queue.hpp"

#include <doctest/doctest.h>

#include "stress.hpp"

using fastflow::Job;
using fastflow::ReadyQueue;

TEST_CASE("a new queue is empty") {
  ReadyQueue queue;
  CHECK(queue.empty());
  CHECK(queue.take_all() == nullptr);
}

TEST_CASE("take_all returns everything, newest first, and empties the queue") {
  ReadyQueue queue;
  Job jobs[3];
  for (Job& job : jobs) queue.push(&job);
  CHECK_FALSE(queue.empty());
  Job* job = queue.take_all();
  for (int i = 2; i >= 0; --i, job = job->next) REQUIRE(job == &jobs[i]);
  CHECK(job == nullptr);
  CHECK(queue.empty());
}

TEST_CASE("a job may be pushed again after it was taken") {
  ReadyQueue queue;
  Job job;
  for (int i = 0; i < 3; ++i) {
    queue.push(&job);
    CHECK(queue.take_all() == &job);
    CHECK(job.next == nullptr);
  }
}

TEST_CASE("stress: exactly once, and in each producer's order within a taker") {
  const std::uint64_t seed = stress::seed();
  constexpr std::size_t kPushers = 3;
  constexpr std::size_t kEach = 250'000;
  stress::Jobs jobs(kPushers * kEach);
  ReadyQueue queue;
  std::atomic<int> out_of_order{0};
  stress::threads(kPushers + 2, seed, [&](int id, std::mt19937_64& random) {
    const auto pusher = static_cast<std::size_t>(id);
    if (pusher < kPushers) {
      for (std::size_t k = 0; k < kEach; ++k) {
        queue.push(jobs[pusher * kEach + k]);
        if (random() % 64 == 0) std::this_thread::yield();
      }
      return;
    }
    std::size_t next_of[kPushers] = {};
    while (jobs.total() < jobs.size()) {
      std::vector<std::size_t> batch;
      for (Job* job = queue.take_all(); job != nullptr;) {
        Job* following = job->next;
        batch.push_back(jobs.take(job));
        job = following;
      }
      for (auto number = batch.rbegin(); number != batch.rend(); ++number) {
        std::size_t& next = next_of[*number / kEach];
        if (*number % kEach < next) out_of_order.fetch_add(1);
        next = *number % kEach + 1;
      }
      if (batch.empty()) std::this_thread::yield();
    }
  });
  CHECK(jobs.wrong() == 0);
  CHECK(out_of_order.load() == 0);
  CHECK(queue.empty());
}
