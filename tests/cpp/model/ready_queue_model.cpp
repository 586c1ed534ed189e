// ReadyQueue under the checker: every pushed job comes out exactly once with
// its contents visible, and within a batch (read from its end) each producer's
// jobs are in the order in which it pushed them.
#include "model/jobs.hpp"
#include "ready_queue.hpp"

namespace {

using fastflow::Job;
using fastflow::ReadyQueue;

template <int kPushers, int kEach, int kTakers, int kTakes>
struct PushTake {
  static constexpr int kThreads = kPushers + kTakers;
  static constexpr int kJobs = kPushers * kEach;

  ReadyQueue queue;
  model::TestJobs<kJobs> jobs;
  int last_of[kPushers][kTakers + 1];  // newest number of the producer per taker

  PushTake() {
    model::label(queue, "queue");
    for (auto& row : last_of) {
      for (int& last : row) last = -1;
    }
  }

  void thread(int id) {
    if (id < kPushers) {
      for (int k = 0; k < kEach; ++k) queue.push(jobs.prepare(id * kEach + k));
    } else {
      for (int k = 0; k < kTakes; ++k) take(id - kPushers);
    }
  }

  void take(int taker) {
    // Newest first, so the oldest ones are at the end: reverse.
    int numbers[kJobs];
    int n = 0;
    for (Job* job = queue.take_all(); job != nullptr;) {
      Job* next = job->next;
      model::check(n < kJobs, "the batch ends");
      numbers[n++] = jobs.taken(job);
      job = next;
    }
    while (n > 0) {
      const int number = numbers[--n];
      int& last = last_of[number / kEach][taker];
      model::check(number > last, "in the producer's order");
      last = number;
    }
  }

  void finish() {
    take(kTakers);
    model::check(queue.empty(), "empty after take_all");
    jobs.check_all();
  }
};

// push and empty are the two sides of the wake protocol.
struct WakeProtocol {
  static constexpr int kThreads = 3;
  ReadyQueue queue;
  model::TestJobs<1> jobs;
  model::atomic<int> asleep{0};
  bool saw_sleeper = false, saw_job = false, taken = false;

  void thread(int id) {
    if (id == 0) {
      queue.push(jobs.prepare(0));
      saw_sleeper = asleep.load() == 1;
    } else if (id == 1) {
      asleep.store(1);
      saw_job = !queue.empty();
    } else {
      taken = queue.take_all() != nullptr;
    }
  }
  void finish() {
    model::check(saw_sleeper || saw_job || taken, "nobody is forgotten");
  }
};

// A job comes back into the queue after it was taken (the ABA pattern).
struct PushAgain {
  static constexpr int kThreads = 2;
  ReadyQueue queue;
  model::TestJob a, b;
  int taken_of_a = 0, taken_of_b = 0;

  void count(Job* job) {
    int n = 0;
    while (job != nullptr) {
      Job* next = job->next;
      ++(job == &a ? taken_of_a : taken_of_b);
      model::check(++n <= 2, "the list ends");
      job = next;
    }
  }
  void thread(int id) {
    if (id == 0) {
      queue.push(&a);
      Job* batch = queue.take_all();
      const bool mine = batch == &a || (batch == &b && b.next == &a);
      count(batch);
      if (mine) queue.push(&a);
    } else {
      queue.push(&b);
      count(queue.take_all());
    }
  }
  void finish() {
    count(queue.take_all());
    model::check(taken_of_b == 1, "b once");
    model::check(taken_of_a == 1 || taken_of_a == 2, "a once for each push");
  }
};

constexpr const char* kGroup = "ready_queue";
constexpr model::Options kAll{.preemptions = model::kUnbounded};
constexpr model::Options kBound3{.preemptions = 3, .random_runs = 20'000};

[[maybe_unused]] const bool added[] = {
    model::add<PushTake<1, 2, 1, 2>>(kGroup, "2 pushes | 2 takes", kAll),
    model::add<PushTake<2, 1, 1, 2>>(kGroup, "1 push | 1 push | 2 takes", kAll),
    model::add<WakeProtocol>(kGroup, "wake protocol", kAll),
    model::add<PushAgain>(kGroup, "a job comes back", kAll),
    model::add<PushTake<2, 2, 1, 2>>(kGroup, "2 pushes | 2 pushes | 2 takes", kBound3),
    model::add<PushTake<2, 2, 2, 1>>(kGroup, "2 pushes twice | 1 take twice", kBound3),
    model::add<PushTake<1, 3, 2, 2>>(kGroup, "3 pushes | 2 takes twice", kBound3),
    model::add<PushTake<3, 4, 2, 4>>(kGroup, "deep, 3 pushers, 2 takers",
                                     {.exhaustive = false, .random_runs = 150'000}),
};

}  // namespace
