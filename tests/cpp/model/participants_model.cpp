// Participants under the checker, in a run of a few items: those who make something
// ready (the creator, bodies, and somebody outside who ends an item that was deferred),
// workers with the run's token, the creator who waits, helps or is alone, and somebody
// who takes out a participant that doesn't come back.
//
// Checked: all items run, none after the end, no more at a time than there is room for;
// whoever waits wakes up (the checker finds who sleeps for ever) and sees what all did;
// one token is on its way at most; the end is announced once; two newcomers don't both
// retreat where there is room.
#include "participants.hpp"

#include "futex.hpp"
#include "model/scenario.hpp"

namespace {

using fastflow::FutexWord;
using fastflow::Participants;

enum Feature : unsigned {
  kHelps = 1,      // the creator takes part, then waits
  kAlone = 2,      // the creator makes all calls
  kMeet = 4,       // a body waits until all have begun
  kShort = 8,      // a participant leaves after each item
  kDeferred = 16,  // the first item ends elsewhere, then there are more
  kLost = 32,      // the first body is taken out
  kLate = 64,      // the creator publishes one item after the other
  kLocked = 128,   // what is ready is behind a lock
  kMeetLast = 256  // the last two bodies to begin wait for each other
};

// What is ready, as in streams: in one seq_cst word.
class OpenBag {
 public:
  void put(int n) { ready_.fetch_add(n); }
  bool any() { return ready_.load() > 0; }
  bool take() {
    for (int n = ready_.load(); n > 0;) {
      if (ready_.compare_exchange_strong(n, n - 1)) return true;
    }
    return false;
  }

 private:
  fastflow::atomic<int> ready_{0};
};

// The same as in graphs of calls: no more than the lock orders it.
class LockedBag {
 public:
  void put(int n) {
    lock();
    ready_ = ready_ + n;
    unlock();
  }
  bool any() {
    lock();
    const bool some = ready_ > 0;
    unlock();
    return some;
  }
  bool take() {
    lock();
    const bool some = ready_ > 0;
    if (some) ready_ = ready_ - 1;
    unlock();
    return some;
  }

 private:
  void lock() {
    while (lock_.exchange(1, std::memory_order_acquire) != 0) futex_wait(lock_, 1U);
  }
  void unlock() {
    lock_.store(0, std::memory_order_release);
    futex_wake(lock_, 1);
  }

  FutexWord lock_{0};
  model::plain<int> ready_{0};
};

// kFirst items to begin with, and kMore that come later: by the creator (kLate), or by
// the end of the first one.
template <int kMost, int kWorkers, int kFirst, int kMore, unsigned kFeatures>
class Run {
  static constexpr bool has(Feature feature) { return (kFeatures & feature) != 0; }
  static constexpr bool kOutside = has(kDeferred) || has(kLost);
  static constexpr std::uint32_t kItems = kFirst + kMore;
  using Bag = std::conditional_t<has(kLocked), LockedBag, OpenBag>;

 public:
  static constexpr int kThreads = 1 + kWorkers + (kOutside ? 1 : 0);

  Run() {
    model::label(participants_, "participants");
    model::label(tokens_, "tokens");
    model::label(ended_, "ended");
  }

  void thread(int id) {
    if (id == 0) return create();
    if (id > 0 && id <= kWorkers) return work(id);
    has(kLost) ? take_out(id) : settle_outside(id);
  }

  void finish() {
    model::check(!bag_.any(), "nothing is left");
    model::check(participants_.inside() == 0, "nobody is left");
    if (!has(kAlone)) model::check(announced_.load() <= 1, "the end is announced once");
  }

 private:
  struct Guest {
    Run* run;
    int id;
    bool more() { return run->bag_.any(); }
    bool send_token() {
      model::check(!has(kAlone), "no token is sent to who is alone");
      const auto before = run->tokens_.fetch_or(kToken);
      model::check((before & kToken) == 0, "one token at a time");
      futex_wake(run->tokens_, 1);
      return true;
    }
    bool take_part() { return run->take_part(*this); }
    void announce() {
      run->announced_.fetch_add(1);
      futex_wake(run->announced_, kThreads);
    }
  };

  // --- threads
  void create() {
    Guest guest{this, 0};
    if (has(kAlone)) participants_.keep_to_caller();
    bag_.put(kFirst);
    if (has(kAlone)) {
      make_all_calls(guest);
    } else if (has(kHelps)) {
      participants_.join(guest);
    } else {
      participants_.invite(guest);
    }
    for (int i = 0; has(kLate) && i < kMore; ++i) {
      bag_.put(1);
      participants_.invite(guest);
    }
    sleep_until([this] { return participants_.await_end(); });
    over_ = true;
    model::check(ended_.load() == kItems, "all items have ended");
    int spent = 0;
    for (const auto& each : spent_) spent += each;
    model::check(spent >= 0, "what they did is seen");
    tokens_.fetch_or(kStop);
    futex_wake(tokens_, kThreads);
  }

  void make_all_calls(Guest& guest) {
    do {
      participants_.visit(guest);
      sleep_until([this] { return participants_.await_call(); });
    } while (!participants_.over());
  }

  // As the parking lot does it: announcements after the first look count.
  template <class Done>
  void sleep_until(Done done) {
    for (;;) {
      const std::uint32_t now = announced_.load();
      if (done()) return;
      futex_wait(announced_, now);
    }
  }

  void work(int id) {
    for (;;) {
      const std::uint32_t now = tokens_.load();
      if ((now & kToken) != 0) {
        if ((tokens_.fetch_and(kStop) & kToken) == 0) continue;
        participants_.visit(Guest{this, id});
      } else if (now == kStop) {
        return;
      } else {
        futex_wait(tokens_, now);
      }
    }
  }

  void settle_outside(int id) {
    await(first_, kBegun);
    end_first(Guest{this, id});
  }

  void take_out(int id) {
    await(first_, kBegun);
    std::uint32_t state = kBegun;
    if (!first_.compare_exchange_strong(state, kTakenOut)) return;
    Guest guest{this, id};
    --here_;
    end_first(guest);
    participants_.leave(guest);
  }

  // --- taking part
  // False: taken out.
  bool take_part(Guest& guest) {
    model::check(++here_ <= kMost, "no more than there is room for");
    while (bag_.take()) {
      if (bag_.any() && participants_.wants_company()) participants_.invite(guest);
      if (!call(guest)) return false;
      if (has(kShort)) break;
    }
    --here_;
    spent_[guest.id] = spent_[guest.id] + 1;  // after all that others wait for
    return true;
  }

  bool call(Guest& guest) {
    model::check(!over_, "no body runs when it is over");
    const std::uint32_t before = begun_.fetch_add(1);
    const bool first = before == 0;
    futex_wake(begun_, kThreads);
    if (has(kMeet) || (has(kMeetLast) && before + 2 >= kItems)) await(begun_, kItems);
    if (!first || (!kOutside && has(kLate))) {
      end_one(guest);
    } else if (!kOutside) {
      end_first(guest);
    } else {
      begin_first();
      if (has(kLost)) return come_back(guest);
    }
    return true;
  }

  void begin_first() {
    first_.store(kBegun);
    futex_wake(first_, kThreads);
  }

  bool come_back(Guest& guest) {
    std::uint32_t state = kBegun;
    if (!first_.compare_exchange_strong(state, kCameBack)) return false;
    end_first(guest);
    return true;
  }

  // After it there are more.
  void end_first(Guest guest) {
    if (!has(kLate)) bag_.put(kMore);
    end_one(guest);
    if (kOutside) participants_.invite(guest);
  }

  void end_one(Guest& guest) {
    if (ended_.fetch_add(1) + 1 == kItems) participants_.close(guest);
  }

  static void await(FutexWord& word, std::uint32_t enough) {
    for (std::uint32_t n; (n = word.load()) < enough;) futex_wait(word, n);
  }

  static constexpr std::uint32_t kToken = 1, kStop = 2;
  static constexpr std::uint32_t kBegun = 1, kTakenOut = 2, kCameBack = 3;

  Participants participants_{kMost};
  Bag bag_;
  FutexWord tokens_{0}, announced_{0}, begun_{0}, ended_{0};
  FutexWord first_{0};  // the first item, if it ends elsewhere or is taken out
  model::plain<int> spent_[kThreads];
  int here_ = 0;  // the checker's own book-keeping
  bool over_ = false;
};

// Newcomers that stay: as many as there is room for.
template <int kMost, int kComers>
struct Newcomers {
  static constexpr int kThreads = kComers;
  Participants participants{kMost};
  struct Guest {
    static bool more() { return false; }
    static bool send_token() { return true; }
    static bool take_part() { return false; }
    static void announce() {}
  };
  void thread(int id) {
    id == 0 ? participants.visit(Guest{}) : participants.join(Guest{});
  }
  void finish() {
    model::check(
        participants.inside() == static_cast<std::uint32_t>(std::min(kMost, kComers)),
        "the room is used");
  }
};

// Several who invite, close and leave at once: the end is announced once, to who waits.
template <int kInside, int kClosers>
struct Ends {
  static constexpr int kThreads = 1 + kInside + kClosers;
  Participants participants{kInside};
  FutexWord announced{0};
  // The second one to close may find it closed, and publishes nothing.
  static constexpr int kWriters = kInside + (kClosers == 1 ? 1 : 0);
  model::plain<int> written[kWriters];

  struct Guest {
    Ends* ends;
    static bool more() { return false; }
    static bool send_token() { return true; }
    static bool take_part() { return false; }
    void announce() {
      ends->announced.fetch_add(1);
      futex_wake(ends->announced, kThreads);
    }
  };
  Ends() {
    for (int i = 0; i < kInside; ++i) participants.join(Guest{this});
  }
  void thread(int id) {
    if (id == 0) return wait();
    Guest guest{this};
    if (id <= kWriters) written[id - 1] = id;
    if (id > kInside) return participants.close(guest);
    participants.leave(guest);
  }
  void wait() {
    for (;;) {
      const std::uint32_t now = announced.load();
      if (participants.await_end()) break;
      futex_wait(announced, now);
    }
    for (int i = 0; i < kWriters; ++i) model::check(written[i] == i + 1, "all is seen");
    participants.join(Guest{this});
    model::check(participants.over(), "nobody comes when it is over");
  }
  void finish() { model::check(announced.load() <= 1, "the end is announced once"); }
};

constexpr const char* kGroup = "participants";
constexpr model::Options kAll{.preemptions = model::kUnbounded};
constexpr model::Options bound(int preemptions, std::uint64_t random_runs = 20'000) {
  return {.preemptions = preemptions, .random_runs = random_runs};
}
constexpr model::Options random(std::uint64_t runs) {
  return {.exhaustive = false, .random_runs = runs};
}

[[maybe_unused]] const bool added[] = {
    model::add<Newcomers<1, 2>>(kGroup, "two for one place", kAll),
    model::add<Newcomers<2, 3>>(kGroup, "three for two places", kAll),
    model::add<Ends<1, 1>>(kGroup, "one leaves, one closes", kAll),
    model::add<Ends<2, 1>>(kGroup, "two leave, one closes", bound(3)),
    model::add<Ends<1, 2>>(kGroup, "one leaves, two close", bound(3)),
    model::add<Run<1, 1, 1, 0, 0>>(kGroup, "one comes", bound(3)),
    model::add<Run<1, 1, 1, 1, 0>>(kGroup, "one comes, more", bound(3)),
    model::add<Run<1, 1, 1, 2, kLate>>(kGroup, "one comes, late items", bound(3)),
    model::add<Run<1, 1, 1, 2, kLate | kLocked>>(kGroup, "one comes, late, locked",
                                                 bound(3)),
    model::add<Run<2, 2, 2, 0, kMeet>>(kGroup, "two meet", bound(2)),
    model::add<Run<2, 2, 1, 1, kLate | kMeet>>(kGroup, "two meet, late", bound(2)),
    model::add<Run<2, 2, 2, 2, kMeetLast>>(kGroup, "two meet, made by a body",
                                           bound(2)),
    model::add<Run<2, 1, 2, 0, kHelps | kMeet>>(kGroup, "the caller and one meet",
                                                bound(2)),
    model::add<Run<3, 2, 3, 0, kHelps | kMeet>>(kGroup, "the caller and two meet",
                                                bound(1)),
    model::add<Run<1, 2, 2, 1, kHelps>>(kGroup, "the caller, no room", bound(2)),
    model::add<Run<1, 1, 2, 1, kShort>>(kGroup, "one, short stays", bound(2)),
    model::add<Run<1, 2, 2, 2, kShort | kLate>>(kGroup, "two for one place, short",
                                                bound(2)),
    model::add<Run<2, 2, 2, 1, kShort | kLocked>>(kGroup, "two, short, locked",
                                                  bound(1)),
    model::add<Run<1, 1, 1, 1, kDeferred>>(kGroup, "deferred", bound(3)),
    model::add<Run<1, 1, 1, 1, kDeferred | kLocked>>(kGroup, "deferred, locked",
                                                     bound(2)),
    model::add<Run<1, 1, 1, 1, kDeferred | kHelps>>(
        kGroup, "deferred, the caller helps", bound(2)),
    model::add<Run<2, 1, 1, 2, kDeferred | kHelps>>(kGroup, "deferred, two for two",
                                                    bound(2)),
    model::add<Run<1, 0, 1, 1, kAlone | kDeferred>>(kGroup, "alone, deferred",
                                                    bound(3)),
    model::add<Run<1, 0, 1, 1, kAlone | kDeferred | kLocked>>(
        kGroup, "alone, deferred, locked", bound(3)),
    model::add<Run<1, 0, 2, 2, kAlone | kLost>>(kGroup, "alone, taken out", bound(3)),
    model::add<Run<1, 2, 1, 1, kLost>>(kGroup, "taken out, one comes", bound(1)),
    model::add<Run<2, 2, 2, 1, kLost>>(kGroup, "taken out, two", bound(1)),
    model::add<Run<1, 1, 2, 1, kLost | kHelps | kLocked>>(
        kGroup, "taken out, the caller helps", bound(2)),
    model::add<Run<2, 3, 2, 3, kLate | kShort>>(kGroup, "deep, short", random(50'000)),
    model::add<Run<3, 3, 2, 3, kDeferred | kHelps | kLocked>>(kGroup, "deep, deferred",
                                                              random(50'000)),
    model::add<Run<2, 3, 3, 2, kLost | kHelps>>(kGroup, "deep, taken out",
                                                random(50'000)),
    model::add<Run<3, 3, 2, 1, kLate | kMeet>>(kGroup, "deep, three meet",
                                               random(50'000)),
};

}  // namespace
