// What the model tests of the queues share: jobs that know who took them.
#pragma once

#include <array>
#include <cstddef>

#include "job.hpp"
#include "model/scenario.hpp"

namespace model {

// A job with a payload.  The payload is a plain variable written just before
// the push, so that a queue that publishes a job without release shows up as a
// data race.
struct TestJob : fastflow::Job {
  plain<int> payload{0};
  int runs = 0;  // the checker's own book-keeping
};

template <int kCount>
class TestJobs {
 public:
  // The job number i, ready to be pushed.
  fastflow::Job* prepare(int i) {
    TestJob& job = jobs_[static_cast<std::size_t>(i)];
    job.payload = i + 100;
    return &job;
  }
  // A queue handed out `job`; returns its number.  Read job->next before.
  int taken(fastflow::Job* job) {
    check(job != nullptr, "a job, not nullptr");
    auto* mine = static_cast<TestJob*>(job);
    const int i = static_cast<int>(mine - jobs_.data());
    check(i >= 0 && i < kCount, "one of our jobs");
    check(++mine->runs == 1, "no job is handed out twice");
    check(mine->payload == i + 100, "the job's contents are visible");
    mine->next = nullptr;  // the link is free for whoever has the job
    return i;
  }
  // After everything: the first n jobs were handed out once each.
  void check_all(int n = kCount) const {
    for (int i = 0; i < n; ++i) {
      check(jobs_[static_cast<std::size_t>(i)].runs == 1, "no job is lost");
    }
  }

 private:
  std::array<TestJob, kCount> jobs_;
};

}  // namespace model
