// Deque under the checker: each pushed job is handed out exactly once, with its
// contents visible; the owner pops newest first; capacity 2, so that the array
// grows and wraps around within a few pushes.
#include <algorithm>

#include "deque.hpp"
#include "model/jobs.hpp"

namespace {

using fastflow::Deque;
using fastflow::Job;
using fastflow::Steal;

// The owner's program, one letter per call: P push, p pop, B push_batch of three, the
// oldest of which it gets back.
template <std::size_t N>
struct Text {
  char letters[N];
  constexpr Text(const char (&text)[N]) {  // NOLINT: implicit, for template arguments
    std::copy_n(text, N, letters);
  }
};

template <Text kOwner, int kThieves, int kSteals, int kCapacity = 2>
struct Script {
  static constexpr int kThreads = 1 + kThieves;
  static constexpr int kJobs = [] {
    int n = 0;
    for (const char c : kOwner.letters) n += c == 'P' ? 1 : c == 'B' ? 3 : 0;
    return n;
  }();

  Deque deque{kCapacity};
  model::TestJobs<kJobs> jobs;
  int pushed = 0;

  Script() { model::label(deque, "deque"); }

  void thread(int id) {
    if (id == 0) {
      for (const char c : kOwner.letters) owner(c);
    } else {
      for (int i = 0; i < kSteals; ++i) steal();
    }
  }

  void owner(char c) {
    if (c == 'P') {
      Job* job = jobs.prepare(pushed++);
      deque.push(job);
    } else if (c == 'B') {
      Job* newest = nullptr;
      for (int i = 0; i < 3; ++i) {
        Job* job = jobs.prepare(pushed++);
        job->next = newest;
        newest = job;
      }
      jobs.taken(deque.push_batch(newest));
    } else if (c == 'p') {
      if (Job* job = deque.pop()) jobs.taken(job);
    }
  }

  void steal() {
    Job* job = nullptr;
    const Steal result = deque.steal(&job);
    if (result == Steal::kTaken) jobs.taken(job);
    model::check((result == Steal::kTaken) == (job != nullptr), "a job iff taken");
  }

  void finish() {
    int previous = kJobs;
    while (Job* job = deque.pop()) {
      const int i = jobs.taken(job);
      model::check(i < previous, "newest first");
      previous = i;
    }
    model::check(deque.empty(), "empty after the last pop");
    jobs.check_all();
  }
};

// empty() is the re-check of the wake protocol: after a seq_cst announcement,
// either the pusher sees the announcement or empty() sees the job.
struct WakeProtocol {
  static constexpr int kThreads = 3;
  Deque deque{2};
  model::TestJobs<1> jobs;
  model::atomic<int> asleep{0};
  bool saw_sleeper = false, saw_job = false;
  bool stolen = false;

  void thread(int id) {
    if (id == 0) {
      deque.push(jobs.prepare(0));
      saw_sleeper = asleep.load() == 1;
    } else if (id == 1) {
      asleep.store(1);
      saw_job = !deque.empty();
    } else {
      Job* job = nullptr;
      stolen = deque.steal(&job) == Steal::kTaken;
    }
  }
  void finish() {
    model::check(saw_sleeper || saw_job || stolen, "nobody is forgotten");
  }
};

constexpr const char* kGroup = "deque";
constexpr model::Options kAll{.preemptions = model::kUnbounded, .random_runs = 0};
constexpr model::Options kBound3{.preemptions = 3, .random_runs = 20'000};
constexpr model::Options kRandom{.exhaustive = false, .random_runs = 150'000};

[[maybe_unused]] const bool added[] = {
    model::add<Script<"Pp", 1, 1>>(kGroup, "Pp | 1 steal", kAll),
    model::add<Script<"PPp", 1, 2>>(kGroup, "PPp | 2 steals", kAll),
    model::add<WakeProtocol>(kGroup, "wake protocol", kAll),
    model::add<Script<"PpP", 2, 1>>(kGroup, "PpP | 1 steal | 1 steal", kBound3),
    model::add<Script<"PPpp", 2, 1>>(kGroup, "PPpp | 1 steal | 1 steal", kBound3),
    model::add<Script<"PPPp", 2, 1>>(kGroup, "PPPp | 1 steal | 1 steal", kBound3),
    model::add<Script<"PPPP", 1, 3>>(kGroup, "PPPP | 3 steals", kBound3),
    model::add<Script<"PPPpPp", 1, 2>>(kGroup, "PPPpPp | 2 steals", kBound3),
    model::add<Script<"PPpPPPp", 1, 2>>(kGroup, "PPpPPPp | 2 steals", kBound3),
    model::add<Script<"BPp", 2, 1>>(kGroup, "BPp | 1 steal | 1 steal", kBound3),
    model::add<Script<"PBpp", 1, 3>>(kGroup, "PBpp | 3 steals", kBound3),
    model::add<Script<"PPpp", 2, 2>>(kGroup, "PPpp | 2 steals | 2 steals",
                                     {.preemptions = 2}),
    model::add<Script<"PPPpPPpPppPBpp", 3, 3>>(kGroup, "deep, 3 thieves", kRandom),
    model::add<Script<"PpPpBPppPPPPpppp", 2, 5>>(kGroup, "deep, 2 thieves", kRandom),
};

}  // namespace
