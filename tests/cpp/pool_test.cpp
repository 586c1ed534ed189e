#include "pool.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <latch>
#include <memory>
#include <semaphore>
#include <thread>

#include "running.hpp"
#include "stress.hpp"

using namespace fastflow;  // NOLINT: the test is about all of it

namespace {

// A job that calls a function.
class Call : public Job {
 public:
  explicit Call(std::function<void(Worker&)> body) : body_(std::move(body)) {
    run = [](Job* self, Worker& worker) { static_cast<Call*>(self)->body_(worker); };
  }

 private:
  std::function<void(Worker&)> body_;
};

}  // namespace

TEST_CASE("threads start on demand and never more than the limit") {
  Running r(4);
  CHECK(r.pool.live() == 0);
  std::latch done(100);
  std::vector<std::unique_ptr<Call>> jobs;
  for (int i = 0; i < 100; ++i) {
    jobs.push_back(std::make_unique<Call>([&](Worker&) { done.count_down(); }));
    r.pool.submit(jobs.back().get(), Lane::kNative);
  }
  done.wait();
  CHECK(r.pool.live() >= 1);
  CHECK(r.pool.live() <= 4);
}

TEST_CASE("jobs that block each occupy a worker: all of them run side by side") {
  for (Lane lane : {Lane::kNative, Lane::kAttached}) {
    Running r(6);
    std::latch all(6);
    std::latch done(6);
    std::vector<std::unique_ptr<Call>> jobs;
    for (int i = 0; i < 6; ++i) {
      jobs.push_back(std::make_unique<Call>([&](Worker&) {
        all.arrive_and_wait();
        done.count_down();
      }));
      r.pool.submit(jobs.back().get(), lane);
    }
    done.wait();
  }
}

TEST_CASE("one worker runs jobs from outside in the order of submission") {
  Running r(1);
  std::vector<int> order;
  std::latch done(1000);
  std::vector<std::unique_ptr<Call>> jobs;
  for (int i = 0; i < 1000; ++i) {
    jobs.push_back(std::make_unique<Call>([&, i](Worker&) {
      order.push_back(i);
      done.count_down();
    }));
    r.pool.submit(jobs.back().get(), Lane::kAttached);
  }
  done.wait();
  for (int i = 0; i < 1000; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
}

TEST_CASE("a blocked worker lets another one run, and the limit holds afterwards") {
  Running r(1);
  std::binary_semaphore inner_ran(0);
  std::latch done(1);
  Call inner([&](Worker&) { inner_ran.release(); });
  Call outer([&](Worker& worker) {
    r.pool.submit(&inner, Lane::kNative);
    {
      BlockedScope blocked(&worker);
      BlockedScope nested(&worker);  // counts once
      inner_ran.acquire();
    }
    done.count_down();
  });
  r.pool.submit(&outer, Lane::kNative);
  done.wait();
  CHECK(r.pool.counts().blocked == 0);

  std::atomic<int> now{0}, most{0};
  std::latch rest(200);
  std::vector<std::unique_ptr<Call>> jobs;
  for (int i = 0; i < 200; ++i) {
    jobs.push_back(std::make_unique<Call>([&](Worker&) {
      const int n = now.fetch_add(1) + 1;
      int m = most.load();
      while (n > m && !most.compare_exchange_weak(m, n)) {
      }
      now.fetch_sub(1);
      rest.count_down();
    }));
    r.pool.submit(jobs.back().get(), Lane::kNative);
  }
  rest.wait();
  CHECK(most.load() == 1);
}

TEST_CASE("a worker that hangs can be counted as blocked by another thread") {
  Running r(1);
  std::atomic<Worker*> hung{nullptr};
  std::binary_semaphore begun(0), go(0), ran(0);
  std::latch over(1);
  Call hangs([&](Worker& worker) {
    hung = &worker;
    begun.release();
    go.acquire();
    r.pool.unblocked(worker);  // its end, inside of the job
    over.count_down();
  });
  Call next([&](Worker&) { ran.release(); });
  r.pool.submit(&hangs, Lane::kNative);
  r.pool.submit(&next, Lane::kNative);
  begun.acquire();
  CHECK(!ran.try_acquire());  // the only worker is busy
  r.pool.blocked(*hung.load());
  ran.acquire();
  CHECK(r.pool.counts().blocked == 1);
  go.release();
  over.wait();
}

TEST_CASE("stress: two threads and the worker itself count it as blocked") {
  Running r(2);
  for (int round = 0; round < 200; ++round) {
    std::atomic<Worker*> hung{nullptr};
    std::binary_semaphore begun(0);
    std::latch over(2), done(1);
    std::atomic<bool> end{false};
    Call hangs([&](Worker& worker) {
      hung = &worker;
      begun.release();
      while (!end.load()) BlockedScope blocked(&worker);
      over.wait();
      done.count_down();
    });
    r.pool.submit(&hangs, Lane::kNative);
    begun.acquire();
    const auto count = [&] {
      for (int i = 0; i < 50; ++i) {
        BlockedScope blocked(hung.load());
        // Never below zero: then it would be far above the limit.
        CHECK(r.pool.active_workers() <= 3);
      }
      over.count_down();
    };
    std::thread other(count);
    count();
    other.join();
    end = true;
    done.wait();
  }
  std::latch rest(100);
  std::vector<std::unique_ptr<Call>> jobs;
  for (int i = 0; i < 100; ++i) {
    jobs.push_back(std::make_unique<Call>([&](Worker&) { rest.count_down(); }));
    r.pool.submit(jobs.back().get(), Lane::kNative);
  }
  rest.wait();
  CHECK(r.pool.counts().blocked == 0);
}

TEST_CASE("stress: trees of jobs from several threads, each job exactly once") {
  const std::uint64_t seed = stress::seed();
  for (std::uint32_t limit : {1U, 2U, 5U, 16U}) {
    constexpr std::size_t kPerThread = 20'000;
    constexpr int kThreads = 3;
    struct Numbered : Job {
      std::atomic<int> runs{0};
      std::size_t left = 0;  // jobs behind this one that it pushes
    };
    static Pool* pool = nullptr;
    static std::atomic<std::size_t> total;
    std::vector<std::vector<Numbered>> jobs;
    {
      Running r(limit);
      pool = &r.pool;
      total = 0;
      for (int t = 0; t < kThreads; ++t) jobs.emplace_back(kPerThread);
      stress::threads(kThreads, seed, [&](int t, auto& random) {
        auto& mine = jobs[static_cast<std::size_t>(t)];
        for (std::size_t i = 0; i < mine.size();) {
          const std::size_t n =
              std::min<std::size_t>(random() % 30, mine.size() - 1 - i);
          Numbered& first = mine[i];
          first.left = n;
          for (std::size_t k = i; k <= i + n; ++k) {
            mine[k].run = [](Job* self, Worker&) {
              auto* job = static_cast<Numbered*>(self);
              job->runs.fetch_add(1);
              // The job's children stand behind it in the array.
              for (std::size_t c = 1; c <= job->left; ++c) {
                pool->submit(job + c, c % 3 == 0 ? Lane::kNative : Lane::kAttached);
              }
              total.fetch_add(1);
            };
          }
          pool->submit(&first, random() % 2 == 0 ? Lane::kNative : Lane::kAttached);
          i += n + 1;
        }
      });
    }  // stop: everything that was submitted is finished
    CHECK(total.load() == kPerThread * kThreads);
    std::size_t wrong = 0;
    for (auto& mine : jobs) {
      for (auto& job : mine) wrong += job.runs.load() != 1;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("stress: submissions race with workers that go to sleep") {
  Running r(3);
  std::counting_semaphore<> ran(0);
  Call job([&](Worker&) { ran.release(); });
  for (int i = 0; i < 20'000; ++i) {
    r.pool.submit(&job, i % 2 == 0 ? Lane::kNative : Lane::kAttached);
    ran.acquire();
  }
}
