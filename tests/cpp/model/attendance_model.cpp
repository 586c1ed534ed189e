// Attendance under the checker, in a run of a few bodies that is to GraphRun what a
// sketch is to a picture: the founder alone and in company, workers with the run's
// token, who enter, watch and take over.
//
// Checked: the run ends, all bodies have run by then and none does later, whoever waits
// for the end sees what all of them did, a place is one participant's at a time, the
// last reference is dropped once, and nobody is left out who could have come.
#include "attendance.hpp"

#include "model/scenario.hpp"

namespace {

using fastflow::Attendance;
using fastflow::FutexWord;
using fastflow::Place;

enum Feature : unsigned {
  kMeet = 1,      // a body waits until all the others have begun, too
  kStuck = 2,     // the founder's first body waits until all the others have ended
  kShared = 4,    // the founder shares at once
  kAtOnce = 8,    // offers wake who watches, who would not wake up otherwise
  kLater = 16,    // the founder is a worker; the creator only waits
  kStopped = 32,  // the first body stops the run
  kLastMeet = 64  // the last two bodies to begin wait for each other
};

// Bodies come in two kinds, counted in one word: those that make two more ready, and
// those that make none.
using Bag = std::uint32_t;
constexpr Bag kLeaf = 1, kParent = 16;
constexpr Bag one_of(Bag bag) { return bag >= kParent ? kParent : kLeaf; }

template <int kMost, int kWorkers, int kParents, int kLeaves, unsigned kFeatures>
class Run {
 public:
  static constexpr int kThreads = 1 + kWorkers;
  static constexpr std::uint32_t kBodies = 3 * kParents + kLeaves;

  Run() : state_(new State) { model::label(state_->attendance, "attendance"); }

  void thread(int id) { id == 0 ? create() : work(); }

  void finish() { model::check(state_ == nullptr, "the last reference is dropped"); }

 private:
  static constexpr bool has(Feature feature) { return (kFeatures & feature) != 0; }

  struct Participant : Place {
    model::plain<Bag> own{0};
    fastflow::atomic<Bag> offered{0};
    model::plain<std::uint32_t> done{0};
  };
  struct State {
    Attendance attendance{kMost};
    Participant places[kMost];
    FutexWord begun{0};
    FutexWord ended{0};
    fastflow::atomic<bool> stopped{false};
  };

  // --- the run, as its guests see it
  struct Guest {
    Run* run;
    Place& place(std::uint32_t i) { return run->state().places[i]; }
    bool anything_offered() {
      for (const Participant& p : run->state().places) {
        if (p.offered.load() != 0) return true;
      }
      return false;
    }
    void offer_all(Place& place) { run->offer(static_cast<Participant&>(place)); }
    void take_part(Place& place) {
      auto& self = static_cast<Participant&>(place);
      self.lock();
      run->take_turns(self);
      self.unlock();
    }
    void send_token() {
      run->tokens_.fetch_or(kToken);
      futex_wake(run->tokens_, 1);
    }
    void sleep(FutexWord& word, std::uint32_t value, bool /*first*/) {
      if (has(kAtOnce)) {
        futex_wait(word, value);
      } else if (word.load() == value) {
        model::yield();
      }
    }
    bool stopped() { return run->state().stopped.load(); }
  };
  Guest guest() { return Guest{this}; }
  State& state() {
    model::check(state_ != nullptr, "nobody uses the run when it is gone");
    return *state_;
  }

  // --- threads
  void create() {
    State& s = state();
    Participant& founder = s.places[0];
    founder.taken.store(true, std::memory_order_relaxed);
    founder.own = kParents * kParent + kLeaves * kLeaf;
    if (has(kLater)) {
      s.attendance.solo.share();
      s.attendance.found_later(guest());
    } else {
      found(founder);
      s.attendance.leave(founder);
    }
    const auto sleep = [](FutexWord& word, std::uint32_t value) {
      futex_wait(word, value);
    };
    while (!s.attendance.wait(sleep)) {
    }
    over_ = true;
    std::uint32_t done = 0;
    for (const Participant& p : s.places) done += p.done;
    if (!has(kStopped)) model::check(done == kBodies, "all bodies have run");
    if (s.attendance.drop()) destroy();
    tokens_.fetch_or(kStop);
    futex_wake(tokens_, kThreads);
  }

  void work() {
    for (;;) {
      const std::uint32_t now = tokens_.load();
      if ((now & kToken) != 0) {
        if ((tokens_.fetch_and(kStop) & kToken) == 0) continue;
        state().attendance.visit(guest());
        if (state().attendance.drop()) destroy();
      } else if (now == kStop) {
        return;
      } else {
        futex_wait(tokens_, now);
      }
    }
  }

  void destroy() {
    delete state_;
    state_ = nullptr;
  }

  // --- taking part
  void found(Participant& self) {
    State& s = state();
    if (has(kShared)) {
      s.attendance.solo.share();
    } else if (s.attendance.solo.lock() && alone(self)) {
      return;
    }
    self.lock();
    take_turns(self);
    self.unlock();
  }

  // True: nothing is left, and the solo lock is kept.  False: in company.
  bool alone(Participant& self) {
    State& s = state();
    bool asked = false;
    while (self.own != 0) {
      const Bag body = one_of(self.own);
      self.own = self.own - body;
      const bool spare = self.own != 0;
      if (spare) {
        if (!std::exchange(asked, true)) s.attendance.invite(guest());
        s.attendance.solo.unlock();
      }
      call(self);
      const bool still = !spare || s.attendance.solo.lock();
      if (!still) self.lock();
      if (body == kParent) self.own = self.own + 2 * kLeaf;
      if (!still) {
        self.unlock();
        return false;
      }
      self.moved();
    }
    return true;
  }

  void take_turns(Participant& self) {
    State& s = state();
    while (!s.stopped.load()) {
      if (self.own == 0) self.own = take_any();
      if (self.own == 0) return;
      const Bag body = one_of(self.own);
      self.own = self.own - body;
      // Without room it is kept, and found by a watcher that looks from time to time.
      if (self.own != 0 && (has(kAtOnce) || s.attendance.has_room())) {
        offer(self);
        s.attendance.call(guest(), has(kAtOnce));
      }
      self.unlock();
      call(self);
      self.lock();
      if (body == kParent) self.own = self.own + 2 * kLeaf;
      self.moved();
    }
    self.own = 0;
  }

  void call(Participant& self) {
    State& s = state();
    model::check(!over_, "no body runs when it is over");
    self.done = self.done + 1;
    const std::uint32_t before = s.begun.fetch_add(1);
    futex_wake(s.begun, kThreads);
    if (has(kStopped)) s.stopped.store(true);
    if (has(kMeet)) await(s.begun, kBodies);
    if (has(kLastMeet) && before >= kBodies - 2) await(s.begun, kBodies);
    if (has(kStuck) && before == 0) await(s.ended, kBodies - 1);
    s.ended.fetch_add(1);
    futex_wake(s.ended, kThreads);
  }

  static void await(FutexWord& word, std::uint32_t enough) {
    for (std::uint32_t n; (n = word.load()) < enough;) futex_wait(word, n);
  }

  void offer(Participant& self) {
    if (self.own == 0) return;
    self.offered.fetch_add(self.own);
    self.own = 0;
  }

  Bag take_any() {
    for (Participant& p : state().places) {
      for (Bag there = p.offered.load(); there != 0;) {
        const Bag body = one_of(there);
        if (p.offered.compare_exchange_strong(there, there - body)) return body;
      }
    }
    return 0;
  }

  static constexpr std::uint32_t kToken = 1, kStop = 2;

  State* state_;
  FutexWord tokens_{0};
  bool over_ = false;  // the checker's own book-keeping
};

// Nothing but coming and going: visitors for a few offers, which nobody runs.
template <int kMost, int kVisitors, int kOffers>
struct Crowd {
  static constexpr int kThreads = 1 + kVisitors;
  struct Participant : Place {
    model::plain<int> visits{0};
  };
  Attendance attendance{kMost};
  Participant places[kMost];
  fastflow::atomic<int> offers{kOffers};
  int here = 0;  // the checker's own book-keeping
  bool over = false;

  struct Guest {
    Crowd* crowd;
    Place& place(std::uint32_t i) { return crowd->places[i]; }
    bool anything_offered() { return crowd->offers.load() > 0; }
    void offer_all(Place&) {}
    void take_part(Place& place) {
      auto& self = static_cast<Participant&>(place);
      model::check(!crowd->over, "nobody comes when it is over");
      model::check(++crowd->here <= kMost, "no more than there is room for");
      self.visits = self.visits + 1;
      for (int there = crowd->offers.load(); there > 0;) {
        if (crowd->offers.compare_exchange_strong(there, there - 1)) break;
      }
      self.visits = self.visits + 1;
      --crowd->here;
    }
    void send_token() {}
    void sleep(FutexWord& word, std::uint32_t value, bool /*first*/) {
      if (word.load() == value) model::yield();
    }
    bool stopped() { return false; }
  };

  Crowd() {
    model::label(attendance, "attendance");
    attendance.solo.share();
    places[0].taken.store(true);
  }
  void thread(int id) {
    Guest guest{this};
    if (id > 0) return attendance.visit(guest);
    guest.take_part(places[0]);
    attendance.leave(places[0]);
    const auto sleep = [](FutexWord& word, std::uint32_t value) {
      futex_wait(word, value);
    };
    while (!attendance.wait(sleep)) {
    }
    over = true;
  }
  void finish() {}
};

constexpr const char* kGroup = "attendance";
// Many steps: who watches looks around again whenever the others have made one step.
constexpr model::Options bound(int preemptions, std::uint64_t random_runs) {
  return {.preemptions = preemptions, .random_runs = random_runs, .max_steps = 4000};
}
constexpr model::Options random(std::uint64_t runs) {
  return {.exhaustive = false, .random_runs = runs, .max_steps = 4000};
}

[[maybe_unused]] const bool added[] = {
    model::add<Crowd<2, 2, 2>>(kGroup, "two for one place", bound(2, 20'000)),
    model::add<Crowd<3, 2, 3>>(kGroup, "two for two places", bound(2, 20'000)),
    model::add<Crowd<2, 3, 2>>(kGroup, "three for one place", bound(1, 20'000)),
    model::add<Run<2, 1, 0, 2, 0>>(kGroup, "alone, one comes", bound(3, 20'000)),
    model::add<Run<2, 1, 1, 1, 0>>(kGroup, "alone, one comes, more", bound(2, 20'000)),
    model::add<Run<2, 1, 0, 2, kMeet>>(kGroup, "alone, two meet", bound(3, 20'000)),
    model::add<Run<2, 1, 0, 3, kStuck>>(kGroup, "alone, stuck", bound(2, 20'000)),
    model::add<Run<2, 2, 0, 2, kShared>>(kGroup, "two come", bound(2, 20'000)),
    model::add<Run<2, 2, 0, 2, kShared | kMeet>>(kGroup, "two meet", bound(2, 20'000)),
    model::add<Run<2, 2, 0, 2, kShared | kMeet | kAtOnce>>(kGroup, "two meet, called",
                                                           bound(2, 20'000)),
    model::add<Run<3, 2, 0, 3, kShared | kMeet>>(kGroup, "three meet",
                                                 bound(1, 50'000)),
    model::add<Run<3, 2, 0, 3, kShared | kMeet | kAtOnce>>(kGroup, "three meet, called",
                                                           bound(1, 50'000)),
    model::add<Run<3, 2, 0, 3, kShared>>(kGroup, "three come", bound(2, 20'000)),
    model::add<Run<2, 2, 1, 0, kShared>>(kGroup, "two come, something later",
                                         bound(2, 20'000)),
    model::add<Run<2, 2, 1, 1, kShared>>(kGroup, "two come for one place",
                                         bound(2, 20'000)),
    model::add<Run<2, 1, 1, 1, kShared | kLastMeet | kAtOnce>>(
        kGroup, "one watches and is called", bound(2, 20'000)),
    model::add<Run<2, 1, 0, 3, kShared | kStuck>>(kGroup, "stuck", bound(2, 20'000)),
    model::add<Run<2, 2, 0, 2, kLater>>(kGroup, "left to workers", bound(2, 20'000)),
    model::add<Run<2, 2, 0, 2, kLater | kMeet>>(kGroup, "workers meet",
                                                bound(2, 20'000)),
    model::add<Run<2, 2, 0, 3, kShared | kStopped>>(kGroup, "stopped",
                                                    bound(2, 20'000)),
    model::add<Run<2, 3, 2, 2, kShared>>(kGroup, "deep, more workers than places",
                                         random(50'000)),
    model::add<Run<3, 3, 2, 3, kShared>>(kGroup, "deep, three places", random(50'000)),
    model::add<Run<3, 3, 2, 3, kShared | kAtOnce>>(kGroup, "deep, called",
                                                   random(50'000)),
    model::add<Run<4, 3, 0, 4, kMeet>>(kGroup, "deep, alone, four meet",
                                       random(50'000)),
    model::add<Run<3, 4, 0, 3, kLater | kMeet>>(kGroup, "deep, workers meet",
                                                random(50'000)),
};

}  // namespace
