// MiniPool: the smallest pool that uses Sleep as cpp/core/worker.cpp does, for
// the checker.  Submitters and jobs follow a script, one letter each:
//
//   N  pushes a native job                    A  pushes an attached job
//   R  pushes a native job that waits, without telling Sleep, until every R
//   runs: so R
//      jobs must run at the same time, which `limit` has to have room for
//   B  pushes a native job that waits, between blocked() and unblocked(), for
//   all N jobs H  takes the binding's lock               h  waits for all N
//   jobs, gives it back
//
// Checked: each job runs once, at most `limit` at once (scripts without B),
// nobody sleeps for ever (the checker reports that as a deadlock), every worker
// leaves after stop(), and the counts are back at 0.
//
// Left out of the real worker: its stacks, spinning, and statistics.
#pragma once

#include <algorithm>

#include "deque.hpp"
#include "model/jobs.hpp"
#include "ready_queue.hpp"
#include "sleep.hpp"

namespace model {

#if defined(FF_MUTANT_OFFER_WITHOUT_WAKE)
inline constexpr bool kOfferWakes = false;
#else
inline constexpr bool kOfferWakes = true;
#endif

template <std::size_t N>
struct Script {
  char letters[N]{};
  constexpr Script(const char (&text)[N]) {  // NOLINT: implicit, a template argument
    std::copy_n(text, N, letters);
  }
  [[nodiscard]] constexpr int count(char letter) const {
    return static_cast<int>(std::count(letters, letters + N, letter));
  }
  [[nodiscard]] constexpr int jobs() const {
    return count('N') + count('A') + count('R') + count('B');
  }
};

enum Feature : unsigned {
  kShare = 1,       // workers offer what they took to the others (deques)
  kLinger = 2,      // the first sleep of a worker is a timed one
  kSpawnFails = 4,  // the first thread cannot be started
  kLeave = 8,       // with kLinger: a worker whose sleep times out leaves for good
};

template <int kLimit, unsigned kFeatures, Script... kScripts>
class MiniPool {
 public:
  static constexpr int kSubmitters = sizeof...(kScripts);
  static constexpr int kThreads = kSubmitters;  // workers are started on demand

  MiniPool() {
    label(sleep_, "sleep");
    label(ready_, "ready");
    label(lock_, "lock");
  }

  void thread(int id) {
    if (id >= kSubmitters) {
      work(id - kSubmitters);
      return;
    }
    static constexpr const char* kTexts[] = {kScripts.letters...};
    int base = 0;
    static constexpr int kCounts[] = {kScripts.jobs()...};
    for (int i = 0; i < id; ++i) base += kCounts[i];
    for (const char* c = kTexts[id]; *c != '\0'; ++c) submit(*c, &base);
    // The pool stops when the last submitter is done, not when the jobs are.
    if (--submitters_ == 0) sleep_.stop();
  }

  void finish() {
    jobs_.check_all();
    check(sleep_.searching_workers() == 0, "nobody is searching at the end");
    check(sleep_.active_workers() == 0, "nobody is active at the end");
    check(sleep_.sleepers() == 0, "nobody sleeps at the end");
  }

 private:
  using Job = fastflow::Job;
  using Lane = fastflow::Lane;
  using Need = fastflow::Need;
  using Woken = fastflow::Woken;
  static constexpr int kJobs = (kScripts.jobs() + ...);
  static constexpr int kRendezvous = (kScripts.count('R') + ...);
  static constexpr int kNormal = (kScripts.count('N') + ...);
  static constexpr bool kBlocks = (kScripts.count('B') + ...) > 0;
  // More than ever run at once: slots of workers that left are not used again.
  static constexpr int kMaxWorkers =
      std::min(kMaxThreads - 1 - kSubmitters, kLimit + 2 + (kBlocks ? 1 : 0));

  static std::size_t index(Lane lane) { return static_cast<std::size_t>(lane); }

  // --- submitters
  // --------------------------------------------------------------------
  void submit(char letter, int* next) {
    if (letter == 'H') {
      lock();
    } else if (letter == 'h') {
      await(normal_done_, kNormal);
      unlock();
    } else {
      const Lane lane = letter == 'A' ? Lane::kAttached : Lane::kNative;
      kinds_[*next] = letter;
      ready_[index(lane)].push(jobs_.prepare((*next)++));
      wake(lane);
    }
  }

  void wake(Lane lane) {
    Need need = sleep_.work_added(lane);
    while (need == Need::kThread && (kFeatures & kSpawnFails) != 0 && !spawn_failed_) {
      spawn_failed_ = true;
      sleep_.spawn_failed();
      need = sleep_.work_added(lane);
    }
    if (need == Need::kThread) start_thread();
  }

  void wake_if_work() {
    for (const Lane lane : {Lane::kNative, Lane::kAttached}) {
      if (has_work(lane)) wake(lane);
    }
  }

  // --- workers
  // -----------------------------------------------------------------------
  struct Worker {
    Job* rest[2] = {nullptr, nullptr};  // taken but not offered
    bool attached = false;
  };

  void work(int id) {
    check(id < kMaxWorkers, "no more workers than expected");
    Worker& self = workers_[id];
    while (Job* job = search(self)) {
      do {
        execute(job);
      } while (!sleep_.crowded() && (job = next(self)) != nullptr);
      sleep_.begin_search();
    }
    detach(self);
  }

  Job* search(Worker& self) {
    for (;;) {
      if (!sleep_.crowded()) {
        if (has_work(Lane::kNative)) {
          detach(self);
          if (Job* job = find(self, Lane::kNative)) return found(job, false);
        }
        if (has_work(Lane::kAttached)) {
          const bool attach_first = !self.attached;
          if (attach_first) attach(self);
          if (Job* job = find(self, Lane::kAttached)) return found(job, attach_first);
          if (attach_first) sleep_.end_attach();
          continue;
        }
      }
      detach(self);
      (void)sleep_.end_search(false);
      if (!go_to_sleep()) return nullptr;
    }
  }

  Job* found(Job* job, bool was_attaching) {
    if (sleep_.end_search(was_attaching)) wake_if_work();
    return job;
  }

  void attach(Worker& self) {
    if (sleep_.begin_attach() && has_work(Lane::kNative)) wake(Lane::kNative);
    lock();
    self.attached = true;
  }
  void detach(Worker& self) {
    if (!self.attached) return;
    self.attached = false;
    unlock();
  }

  bool go_to_sleep() {
    const auto any = [this] {
      return has_work(Lane::kNative) || has_work(Lane::kAttached);
    };
    if ((kFeatures & kLinger) == 0) return sleep_.sleep(any) == Woken::kAwake;
    Woken woken = sleep_.sleep(any, false, std::chrono::nanoseconds(1));
    if ((kFeatures & kLeave) != 0) return woken == Woken::kAwake;
    if (woken == Woken::kTimeout) woken = sleep_.sleep(any, true);
    return woken == Woken::kAwake;
  }

  // --- queues
  // ------------------------------------------------------------------------
  bool has_work(Lane lane) const {
    if (!ready_[index(lane)].empty()) return true;
    if constexpr ((kFeatures & kShare) != 0) {
      for (const auto& offer : offers_[index(lane)]) {
        if (!offer.empty()) return true;
      }
    }
    return false;
  }

  Job* next(Worker& self) {
    if (Job* job = find(self, self.attached ? Lane::kAttached : Lane::kNative))
      return job;
    return nullptr;
  }

  Job* find(Worker& self, Lane lane) {
    if (Job* job = self.rest[index(lane)]) {
      self.rest[index(lane)] = job->next;
      return job;
    }
    if constexpr ((kFeatures & kShare) != 0) {
      if (Job* job = steal(lane)) return job;
    }
    Job* newest = ready_[index(lane)].take_all();
    if (newest == nullptr || newest->next == nullptr) return newest;
    if constexpr ((kFeatures & kShare) != 0) {
      Job* oldest = offers_[index(lane)][&self - workers_].push_batch(newest);
      // Meanwhile the rest was nowhere to be seen, so a worker that looked for it may
      // have gone to sleep; if we are not searching, nobody else would repair that.
      if (kOfferWakes) wake(lane);
      return oldest;
    }
    Job* oldest = nullptr;
    while (newest != nullptr) {
      Job* following = newest->next;
      newest->next = oldest;
      oldest = newest;
      newest = following;
    }
    self.rest[index(lane)] = oldest->next;
    return oldest;
  }

  Job* steal(Lane lane) {
    for (auto& offer : offers_[index(lane)]) {
      Job* job = nullptr;
      fastflow::Steal result;
      while ((result = offer.steal(&job)) == fastflow::Steal::kLost) yield();
      if (result == fastflow::Steal::kTaken) return job;
    }
    return nullptr;
  }

  // --- jobs
  // --------------------------------------------------------------------------
  void execute(Job* job) {
    const char kind = kinds_[jobs_.taken(job)];
    check(++running_ <= kLimit || kBlocks, "at most `limit` jobs at once");
    if (kind == 'N') {
      normal_done_.fetch_add(1);
      futex_wake(normal_done_, kMaxThreads);
    } else if (kind == 'R') {
      arrived_.fetch_add(1);
      futex_wake(arrived_, kMaxThreads);
      await(arrived_, kRendezvous);
    } else if (kind == 'B') {
      sleep_.blocked();
      wake_if_work();
      await(normal_done_, kNormal);
      sleep_.unblocked();
    } else {
      check(lock_.load() == 1, "an attached job has the lock");
    }
    --running_;
  }

  static void await(atomic<std::uint32_t>& counter, std::uint32_t enough) {
    for (std::uint32_t n; (n = counter.load()) < enough;) futex_wait(counter, n);
  }

  // The binding's lock.
  void lock() {
    while (lock_.exchange(1, std::memory_order_acquire) == 1) futex_wait(lock_, 1u);
  }
  void unlock() {
    lock_.store(0, std::memory_order_release);
    futex_wake(lock_, kMaxThreads);
  }

  struct Offer : fastflow::Deque {
    Offer() : fastflow::Deque(2) {}
  };
  struct NoOffer {};
  static constexpr bool kShares = (kFeatures & kShare) != 0;

  fastflow::Sleep sleep_{kLimit, 0xffffffffu};
  fastflow::ReadyQueue ready_[2];
  std::conditional_t<kShares, Offer, NoOffer> offers_[2][kShares ? kMaxWorkers : 1];
  Worker workers_[kMaxWorkers];
  TestJobs<kJobs> jobs_;
  char kinds_[kJobs] = {};
  atomic<std::uint32_t> lock_{0};
  atomic<std::uint32_t> normal_done_{0};
  atomic<std::uint32_t> arrived_{0};
  // The checker's own book-keeping: one operating-system thread runs
  // everything.
  int running_ = 0;
  int submitters_ = kSubmitters;
  bool spawn_failed_ = false;
};

}  // namespace model
