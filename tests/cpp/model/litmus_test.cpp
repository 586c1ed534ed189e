// The checker's own tests: litmus programs whose allowed outcomes are known
// from the C++ standard.  "weak" in a name says that the surprising outcome
// must turn up, a test without it that it must not.
//
// Not among them: load buffering (see the limits in memory.hpp).
#include <set>
#include <string>

#include "model/scenario.hpp"

namespace {

using model::Options;
using model::Order;
constexpr Order kRelaxed = std::memory_order_relaxed;
constexpr Order kAcquire = std::memory_order_acquire;
constexpr Order kRelease = std::memory_order_release;
constexpr Order kAcqRel = std::memory_order_acq_rel;
constexpr Order kSeqCst = std::memory_order_seq_cst;

constexpr Options kAll{.preemptions = model::kUnbounded};

// Collects whether the weak outcome was seen, and the number of different
// outcomes.
template <class Self, bool kWeakAllowed>
struct Litmus {
  static inline std::set<int> seen;
  static inline bool weak_seen = false;
  static void outcome(int code, bool weak) {
    seen.insert(code);
    weak_seen = weak_seen || weak;
  }
  static std::string verdict() {
    if (weak_seen == kWeakAllowed) return "";
    return kWeakAllowed ? "MISSED the weak outcome" : "WRONG: saw the weak outcome";
  }
};

// --- store buffering -----------------------------------------------------------------
template <Order kStore, Order kLoad, bool kWeak>
struct StoreBuffering : Litmus<StoreBuffering<kStore, kLoad, kWeak>, kWeak> {
  static constexpr int kThreads = 2;
  model::atomic<int> x{0}, y{0};
  int r[2] = {};
  void thread(int id) {
    (id == 0 ? x : y).store(1, kStore);
    r[id] = (id == 0 ? y : x).load(kLoad);
  }
  void finish() { this->outcome(2 * r[0] + r[1], r[0] == 0 && r[1] == 0); }
};

// The same with read-modify-writes: only a seq_cst *load* helps.
template <Order kRmw, Order kLoad, bool kWeak>
struct RmwBuffering : Litmus<RmwBuffering<kRmw, kLoad, kWeak>, kWeak> {
  static constexpr int kThreads = 2;
  model::atomic<int> x{0}, y{0};
  int r[2] = {};
  void thread(int id) {
    (id == 0 ? x : y).fetch_add(1, kRmw);
    r[id] = (id == 0 ? y : x).load(kLoad);
  }
  void finish() { this->outcome(2 * r[0] + r[1], r[0] == 0 && r[1] == 0); }
};

// With a fence of all threads between one thread's store and load, the other one needs
// none: neither before nor after its own.  It orders, but publishes nothing.
template <bool kFence>
struct AsymmetricBuffering : Litmus<AsymmetricBuffering<kFence>, !kFence> {
  static constexpr int kThreads = 2;
  model::atomic<int> x{0}, y{0};
  int r[2] = {};
  void thread(int id) {
    (id == 0 ? x : y).store(1, kRelaxed);
    if (kFence && id == 1) model::fence_all_threads();
    r[id] = (id == 0 ? y : x).load(kRelaxed);
  }
  void finish() { this->outcome(2 * r[0] + r[1], r[0] == 0 && r[1] == 0); }
};

struct FencePublishesNothing {
  static constexpr int kThreads = 2;
  model::atomic<int> flag{0};
  model::plain<int> data{0};
  void thread(int id) {
    if (id == 0) {
      data = 1;
      flag.store(1, kRelaxed);
    } else {
      model::fence_all_threads();
      if (flag.load(kRelaxed) == 1) (void)static_cast<int>(data);
    }
  }
  void finish() {}
};

// --- message passing -----------------------------------------------------------------
template <Order kStore, Order kLoad, bool kWeak>
struct MessagePassing : Litmus<MessagePassing<kStore, kLoad, kWeak>, kWeak> {
  static constexpr int kThreads = 2;
  model::atomic<int> data{0}, flag{0};
  int f = 0, d = 0;
  void thread(int id) {
    if (id == 0) {
      data.store(1, kRelaxed);
      flag.store(1, kStore);
    } else {
      f = flag.load(kLoad);
      d = data.load(kRelaxed);
    }
  }
  void finish() { this->outcome(2 * f + d, f == 1 && d == 0); }
};

// The reader learns of it through a third thread (cumulativity).
struct WriteToReadCausality : Litmus<WriteToReadCausality, false> {
  static constexpr int kThreads = 3;
  model::atomic<int> x{0}, y{0};
  int a = 0, b = 0, c = 0;
  void thread(int id) {
    if (id == 0) {
      x.store(1, kRelease);
    } else if (id == 1) {
      a = x.load(kAcquire);
      y.store(1, kRelease);
    } else {
      b = y.load(kAcquire);
      c = x.load(kRelaxed);
    }
  }
  void finish() { outcome(4 * a + 2 * b + c, a == 1 && b == 1 && c == 0); }
};

// --- independent reads of independent writes -----------------------------------------
template <Order kStore, Order kLoad, bool kWeak>
struct Iriw : Litmus<Iriw<kStore, kLoad, kWeak>, kWeak> {
  static constexpr int kThreads = 4;
  model::atomic<int> x{0}, y{0};
  int r[4] = {};
  void thread(int id) {
    if (id < 2) {
      (id == 0 ? x : y).store(1, kStore);
    } else if (id == 2) {
      r[0] = x.load(kLoad);
      r[1] = y.load(kLoad);
    } else {
      r[2] = y.load(kLoad);
      r[3] = x.load(kLoad);
    }
  }
  void finish() {
    this->outcome(8 * r[0] + 4 * r[1] + 2 * r[2] + r[3],
                  r[0] == 1 && r[1] == 0 && r[2] == 1 && r[3] == 0);
  }
};

// --- coherence -----------------------------------------------------------------------
struct LoadLoadCoherence : Litmus<LoadLoadCoherence, false> {
  static constexpr int kThreads = 2;
  model::atomic<int> x{0};
  int a = 0, b = 0;
  void thread(int id) {
    if (id == 0) {
      x.store(1, kRelaxed);
      x.store(2, kRelaxed);
    } else {
      a = x.load(kRelaxed);
      b = x.load(kRelaxed);
    }
  }
  void finish() { outcome(3 * a + b, b < a); }
};

// Two readers must agree on the order of two independent stores.
struct ReadersAgree : Litmus<ReadersAgree, false> {
  static constexpr int kThreads = 4;
  model::atomic<int> x{0};
  int r[4] = {};
  void thread(int id) {
    if (id < 2) {
      x.store(id + 1, kRelaxed);
    } else {
      r[2 * (id - 2)] = x.load(kRelaxed);
      r[2 * (id - 2) + 1] = x.load(kRelaxed);
    }
  }
  void finish() {
    outcome(0, (r[0] == 1 && r[1] == 2 && r[2] == 2 && r[3] == 1) ||
                   (r[0] == 2 && r[1] == 1 && r[2] == 1 && r[3] == 2));
  }
};

// A thread reads its own store or a newer one; a load is not overtaken by the
// store that follows it.
struct WriteReadCoherence : Litmus<WriteReadCoherence, false> {
  static constexpr int kThreads = 2;
  model::atomic<int> x{0};
  int before = 0, after = 0, last = 0;
  void thread(int id) {
    if (id == 0) {
      x.store(1, kRelaxed);
      return;
    }
    before = x.load(kRelaxed);
    x.store(2, kRelaxed);
    after = x.load(kRelaxed);
  }
  void finish() {
    last = x.load();
    // before == 1: our store comes after it, so 2 is the last and what we read.
    outcome(last,
            after == 0 || before == 2 || (before == 1 && (last != 2 || after != 2)));
  }
};

template <Order kStore, bool kWeak>
struct TwoPlusTwoW : Litmus<TwoPlusTwoW<kStore, kWeak>, kWeak> {
  static constexpr int kThreads = 2;
  model::atomic<int> x{0}, y{0};
  void thread(int id) {
    (id == 0 ? x : y).store(1, kStore);
    (id == 0 ? y : x).store(2, kStore);
  }
  void finish() {
    const int a = x.load();
    const int b = y.load();
    this->outcome(3 * a + b, a == 1 && b == 1);
  }
};

// --- release sequences and read-modify-writes
// ---------------------------------------- A relaxed read-modify-write (C++20:
// of any thread) continues the release sequence, a relaxed store of another
// thread breaks it.
template <bool kThroughRmw, bool kWeak>
struct ReleaseSequence : Litmus<ReleaseSequence<kThroughRmw, kWeak>, kWeak> {
  static constexpr int kThreads = 3;
  model::atomic<int> data{0}, flag{0};
  int f = 0, d = 0;
  void thread(int id) {
    if (id == 0) {
      data.store(1, kRelaxed);
      flag.store(1, kRelease);
    } else if (id == 1) {
      int one = 1;
      if (kThroughRmw) {
        flag.compare_exchange_strong(one, 2, kRelaxed);
      } else if (flag.load(kRelaxed) == 1) {
        flag.store(2, kRelaxed);
      }
    } else {
      f = flag.load(kAcquire);
      d = data.load(kRelaxed);
    }
  }
  void finish() { this->outcome(2 * f + d, f == 2 && d == 0); }
};

struct RmwIsAtomic : Litmus<RmwIsAtomic, false> {
  static constexpr int kThreads = 3;
  model::atomic<int> x{0};
  void thread(int) { x.fetch_add(1, kRelaxed); }
  void finish() { outcome(0, x.load() != 3); }
};

// A failing compare-exchange is a load and may be stale.
struct FailingCasIsStale : Litmus<FailingCasIsStale, true> {
  static constexpr int kThreads = 2;
  model::atomic<int> x{0}, flag{0};
  bool weak = false;
  void thread(int id) {
    if (id == 0) {
      x.store(1, kRelaxed);
      flag.store(1, kRelaxed);
    } else if (flag.load(kRelaxed) == 1) {
      int expected = 1;
      weak = !x.compare_exchange_strong(expected, 2, kRelaxed) && expected == 0;
    }
  }
  void finish() { outcome(weak, weak); }
};

// --- seq_cst mixed with weaker accesses
// ---------------------------------------------- seq_cst stores, acquire loads:
// the loads are not ordered by S.
using IriwAcquireLoads = Iriw<kSeqCst, kAcquire, true>;

// A seq_cst load must see a seq_cst store that precedes it in S, also through a
// chain of other locations, while a relaxed load need not.
template <Order kLast, bool kWeak>
struct SeqCstOrder : Litmus<SeqCstOrder<kLast, kWeak>, kWeak> {
  static constexpr int kThreads = 3;
  model::atomic<int> x{0}, y{0}, z{0};
  int a = 0, b = 0, c = 0;
  void thread(int id) {
    if (id == 0) {
      x.store(1);
      a = y.load();
    } else if (id == 1) {
      y.store(1);
      b = z.load();
    } else {
      z.store(1);
      c = x.load(kLast);
    }
  }
  void finish() { this->outcome(4 * a + 2 * b + c, a == 0 && b == 0 && c == 0); }
};

// --- plain variables -----------------------------------------------------------------
template <Order kStore, Order kLoad>
struct PlainMessage {
  static constexpr int kThreads = 2;
  model::plain<int> data{0};
  model::atomic<int> flag{0};
  void thread(int id) {
    if (id == 0) {
      data = 42;
      flag.store(1, kStore);
    } else if (flag.load(kLoad) == 1) {
      model::check(data == 42, "data is there");
    }
  }
  void finish() {}
};

// Written again after the release: the race is with that later write.
struct PlainAfterRelease {
  static constexpr int kThreads = 2;
  model::plain<int> data{0};
  model::atomic<int> flag{0};
  void thread(int id) {
    if (id == 0) {
      flag.store(1, kRelease);
      data = 42;
    } else if (flag.load(kAcquire) == 1) {
      [[maybe_unused]] const int d = data;
    }
  }
  void finish() {}
};

struct PlainReadersOnly {
  static constexpr int kThreads = 3;
  model::plain<int> data{7};
  model::atomic<int> x{0};
  void thread(int) {
    x.fetch_add(1, kRelaxed);
    model::check(data == 7, "data stays");
  }
  void finish() { data = 8; }
};

// An object published without release: its atomic's constructor races.
template <Order kPublish>
struct PublishObject {
  static constexpr int kThreads = 2;
  std::unique_ptr<model::atomic<int>> object;
  model::atomic<model::atomic<int>*> shared{nullptr};
  void thread(int id) {
    if (id == 0) {
      object = std::make_unique<model::atomic<int>>(5);
      shared.store(object.get(), kPublish);
    } else if (auto* p = shared.load(kAcquire)) {
      model::check(p->load(kRelaxed) == 5, "constructed");
    }
  }
  void finish() {}
};

// --- futex, deadlock, spinning
// ------------------------------------------------------- Store and wake after
// it: cannot be missed, spurious wake-ups included.
struct FutexHandshake {
  static constexpr int kThreads = 2;
  model::atomic<std::uint32_t> word{0};
  void thread(int id) {
    if (id == 0) {
      while (word.load(kAcquire) == 0) model::futex_wait(word, 0u);
    } else {
      word.store(1, kRelease);
      model::futex_wake(word, 1);
    }
  }
  void finish() {}
};

// The wake is skipped if no sleeper was announced, with too weak an order.
template <Order kOrder>
struct SkippedWake {
  static constexpr int kThreads = 2;
  model::atomic<std::uint32_t> word{0};
  model::atomic<int> sleepers{0};
  void thread(int id) {
    if (id == 0) {
      sleepers.store(1, kOrder);
      if (word.load(kOrder) == 0) model::futex_wait(word, 0u);
    } else {
      word.store(1, kOrder);
      if (sleepers.load(kOrder) == 1) model::futex_wake(word, 1);
    }
  }
  void finish() {}
};

// Wakes before it stores.
struct LostWakeUp {
  static constexpr int kThreads = 2;
  model::atomic<std::uint32_t> word{0};
  void thread(int id) {
    if (id == 0) {
      while (word.load() == 0) model::futex_wait(word, 0u);
    } else {
      model::futex_wake(word, 1);
      word.store(1);
    }
  }
  void finish() {}
};

// Two sleepers, one wake, and both must be reachable by it: with the first-come
// one asleep only, the other one's wake is missing.
struct WakePicksAny : Litmus<WakePicksAny, true> {
  static constexpr int kThreads = 3;
  model::atomic<std::uint32_t> word{0};
  model::atomic<int> order{0};
  int first = -1;
  void thread(int id) {
    if (id < 2) {
      order.fetch_add(1);
      model::futex_wait(word, 0u);
      if (first < 0) first = id;
      model::futex_wake(word, 1);
      return;
    }
    while (order.load() < 2) model::yield();
    word.store(1);
    model::futex_wake(word, 1);
  }
  void finish() { outcome(first, first == 1); }
};

struct Deadlock {
  static constexpr int kThreads = 2;
  model::atomic<std::uint32_t> locks[2] = {0, 0};
  void lock(int i) {
    while (locks[i].exchange(1) == 1) model::futex_wait(locks[i], 1u);
  }
  void unlock(int i) {
    locks[i].store(0);
    model::futex_wake(locks[i], 1);
  }
  void thread(int id) {
    lock(id);
    lock(1 - id);
    unlock(1 - id);
    unlock(id);
  }
  void finish() {}
};

struct TimedSleepIsNoDeadlock : Litmus<TimedSleepIsNoDeadlock, true> {
  static constexpr int kThreads = 2;
  model::atomic<std::uint32_t> word{0};
  bool woken = false;
  void thread(int id) {
    if (id == 0) {
      woken = model::futex_wait_or_timeout(word, 0u);
    } else {
      model::futex_wake(word, 1);
    }
  }
  void finish() { outcome(woken, woken); }
  static std::string verdict() {
    return seen == std::set<int>{0, 1} ? "" : "MISSED one of wake and timeout";
  }
};

struct SpinUntilSet {
  static constexpr int kThreads = 2;
  model::atomic<int> flag{0};
  void thread(int id) {
    if (id == 0) {
      while (flag.load(kAcquire) == 0) model::yield();
    } else {
      flag.store(1, kRelease);
    }
  }
  void finish() {}
};

struct SpinForEver {
  static constexpr int kThreads = 2;
  model::atomic<int> flag{0};
  void thread(int id) {
    if (id == 0) {
      while (flag.load() == 0) model::yield();
    } else {
      [[maybe_unused]] const int f = flag.load();
    }
  }
  void finish() {}
};

constexpr auto kMust = model::Expect::kViolation;
constexpr const char* kGroup = "litmus";

template <class S>
bool clean(const char* name, Options options = kAll) {
  return model::add<S>(kGroup, name, options);
}
template <class S>
bool caught(const char* name, Options options = kAll) {
  return model::add<S>(kGroup, name, options, kMust);
}

[[maybe_unused]] const bool added[] = {
    clean<StoreBuffering<kRelaxed, kRelaxed, true>>("store buffering relaxed: weak"),
    clean<StoreBuffering<kRelease, kAcquire, true>>("store buffering rel/acq: weak"),
    clean<StoreBuffering<kSeqCst, kAcquire, true>>("store buffering sc/acq: weak"),
    clean<StoreBuffering<kSeqCst, kSeqCst, false>>("store buffering seq_cst"),
    clean<RmwBuffering<kAcqRel, kSeqCst, true>>("rmw buffering acq_rel/sc: weak"),
    clean<RmwBuffering<kSeqCst, kAcquire, true>>("rmw buffering sc/acq: weak"),
    clean<RmwBuffering<kSeqCst, kSeqCst, false>>("rmw buffering seq_cst"),
    clean<AsymmetricBuffering<true>>("store buffering, one fences for both"),
    clean<AsymmetricBuffering<false>>("store buffering, nobody fences: weak"),
    caught<FencePublishesNothing>("plain data, fence of all threads: race"),
    clean<MessagePassing<kRelaxed, kRelaxed, true>>("message passing relaxed: weak"),
    clean<MessagePassing<kRelease, kRelaxed, true>>("message passing rel/rlx: weak"),
    clean<MessagePassing<kRelaxed, kAcquire, true>>("message passing rlx/acq: weak"),
    clean<MessagePassing<kRelease, kAcquire, false>>("message passing rel/acq"),
    clean<WriteToReadCausality>("write-to-read causality"),
    clean<Iriw<kRelaxed, kRelaxed, true>>("IRIW relaxed: weak"),
    clean<Iriw<kRelease, kAcquire, true>>("IRIW rel/acq: weak"),
    clean<IriwAcquireLoads>("IRIW sc/acq: weak"),
    clean<Iriw<kSeqCst, kSeqCst, false>>("IRIW seq_cst"),
    clean<LoadLoadCoherence>("coherence: load-load"),
    clean<ReadersAgree>("coherence: readers agree"),
    clean<WriteReadCoherence>("coherence: write-read, read-write"),
    clean<TwoPlusTwoW<kRelaxed, true>>("2+2W relaxed: weak"),
    clean<TwoPlusTwoW<kRelease, true>>("2+2W release: weak"),
    clean<TwoPlusTwoW<kSeqCst, false>>("2+2W seq_cst"),
    clean<ReleaseSequence<true, false>>("release sequence through rmw"),
    clean<ReleaseSequence<false, true>>("release sequence broken by store: weak"),
    clean<RmwIsAtomic>("rmw is atomic"),
    clean<FailingCasIsStale>("a failing cas may be stale: weak"),
    clean<SeqCstOrder<kSeqCst, false>>("seq_cst order over three locations"),
    clean<SeqCstOrder<kAcquire, true>>("seq_cst order, last load acquire: weak"),
    clean<PlainMessage<kRelease, kAcquire>>("plain data, rel/acq"),
    clean<PlainReadersOnly>("plain data, readers only"),
    caught<PlainMessage<kRelaxed, kAcquire>>("plain data, rlx/acq: race"),
    caught<PlainMessage<kRelease, kRelaxed>>("plain data, rel/rlx: race"),
    caught<PlainAfterRelease>("plain write after release: race"),
    clean<PublishObject<kRelease>>("object published with release"),
    caught<PublishObject<kRelaxed>>("object published relaxed: race"),
    clean<FutexHandshake>("futex handshake",
                          {.preemptions = model::kUnbounded, .spurious_wakeups = 2}),
    clean<SkippedWake<kSeqCst>>("skipped wake, seq_cst"),
    caught<SkippedWake<kRelaxed>>("skipped wake, relaxed: deadlock"),
    caught<LostWakeUp>("lost wake-up: deadlock"),
    clean<WakePicksAny>("a wake may pick any sleeper"),
    caught<Deadlock>("two locks: deadlock"),
    clean<TimedSleepIsNoDeadlock>("timed sleep is no deadlock"),
    clean<SpinUntilSet>("spin until set"),
    caught<SpinForEver>("spin for ever: livelock"),
    caught<Deadlock>("two locks: deadlock, 1 preemption", {.preemptions = 1}),
    caught<Deadlock>("two locks: deadlock, random",
                     {.exhaustive = false, .random_runs = 1000}),
    caught<PlainMessage<kRelaxed, kAcquire>>(
        "plain race, random", {.exhaustive = false, .random_runs = 1000}),
};

}  // namespace
