#include "graph_run.hpp"

#include <cassert>
#include <climits>
#include <cstring>
#include <thread>
#include <utility>

#include "arrivals.hpp"
#include "pool.hpp"
#include "work_stack.hpp"

namespace fastflow {

namespace {

using Nanoseconds = std::chrono::nanoseconds;

constexpr std::uint32_t kHand = 16;     // nodes taken at a time while they are short
constexpr std::uint32_t kWideFan = 32;  // more successors than this are a span
constexpr std::uint32_t kGrain = 64;    // of a span, taken at a time
constexpr std::uint32_t kMostUnlooked = 256;  // nodes between two looks at the clock
constexpr Nanoseconds kLookEvery{2'000};      // aim for the time between looks
constexpr Nanoseconds kStarted{3'000};        // no judgement on cold caches before this
constexpr Nanoseconds kWatchEvery{1'000'000};
constexpr Nanoseconds kSearch{40'000};       // how long to look for work before leaving
constexpr Nanoseconds kWorthWaking{10'000};  // backlog that pays for waking a worker
constexpr Nanoseconds kTheft{150};           // what has to be won by each one, at least
constexpr Nanoseconds kLong{2'000};  // from here on nodes are offered one by one

void prefetch(const void* address) noexcept {
#if defined(__GNUC__)
  __builtin_prefetch(address);
#else
  (void)address;
#endif
}

// What an atomic counter that other cores write, too, costs each edge.
Nanoseconds cost_of_company(const GraphPlan& plan) {
  return Nanoseconds(10 + 10 * std::int64_t{plan.edges()} / (plan.nodes() + 1));
}

// Whether the successors of neighbours lie far apart, so that their counters are not in
// the cache and have to be asked for in advance.
bool is_scattered(const GraphPlan& plan) {
  constexpr std::uint32_t kSamples = 64, kNear = 512;
  if (plan.nodes() < (1U << 16)) return false;
  std::uint32_t far = 0, seen = 0;
  for (std::uint32_t i = 0; i < kSamples; ++i) {
    const std::uint32_t v = plan.nodes() / kSamples * i;
    const auto a = plan.successors(v), b = plan.successors(v + 1);
    if (a.empty() || b.empty()) continue;
    ++seen;
    far += std::max(a[0], b[0]) - std::min(a[0], b[0]) > kNear ? 1 : 0;
  }
  return far * 2 > seen;
}

}  // namespace

struct GraphRun::Participant {
  WorkStack work;
  std::uint32_t hand[kHand];
  std::uint32_t later = 0;  // of the hand: those from here on have not run
  // Measuring: nodes until the next look at the clock, since the last one, between two.
  std::uint32_t since_look = 0;
  std::uint32_t look_every = 1;
  std::uint32_t breadth = 0;  // most nodes seen ready at a time since the last look
  Clock::time_point last_look;
  Nanoseconds cost{0};        // of a node, lately
  Nanoseconds unanswered{0};  // time with something on offer and nobody to take it
  std::uint64_t executed = 0;
  bool came_later = true;          // not the first participant, who begins alone
  atomic<std::uint64_t> looks{0};  // tells watchers that work goes on
  // A watcher has seen no progress: the bodies are long, so give back what is in hand.
  atomic<bool> in_the_way{false};
  // Guards `work` while others are about: held but during bodies.
  atomic<bool> locked{false};

  [[nodiscard]] bool try_lock() noexcept {
    return !locked.exchange(true, std::memory_order_acquire);  // pairs with unlock
  }
  void lock() noexcept {
    for (int spins = 0; !try_lock(); ++spins) {
      if (spins % 64 == 63) std::this_thread::yield();  // a watcher, for an instant
      cpu_pause();
    }
  }
  void unlock() noexcept {
    locked.store(false, std::memory_order_release);  // pairs with try_lock
  }
  atomic<bool> taken{false};
};

// --- coming and going --------------------------------------------------------------

GraphRun* GraphRun::create(Pool& pool, std::shared_ptr<const GraphPlan> plan,
                           NodeBody body, Options options) {
  assert(options.most >= 1);
  return new GraphRun(pool, std::move(plan), body, options);
}

GraphRun::GraphRun(Pool& pool, std::shared_ptr<const GraphPlan> plan, NodeBody body,
                   Options options)
    : pool_(pool),
      plan_(std::move(plan)),
      body_(body),
      options_(options),
      first_(plan_->firsts()),
      targets_(plan_->targets()),
      cost_of_company_(cost_of_company(*plan_)),
      scattered_(is_scattered(*plan_)),
      arrivals_(*plan_),
      places_(new CacheAligned<Participant>[options.most]) {
  run = run_token;
  Participant& first = *places_[0];
  first.taken.store(true, std::memory_order_relaxed);  // not shared yet
  first.came_later = false;
  if (plan_->nodes() > 0) {
    first.work.spans.push_back({0, plan_->nodes(), Span::Kind::kSources});
  }
}

GraphRun::~GraphRun() = default;

void GraphRun::release() noexcept {
  // acq_rel: everything that others did with us comes before the deletion.
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

bool GraphRun::help(Clock::time_point deadline) {
  Participant& founder = *places_[0];
  if (!participate(founder, deadline)) return false;
  founder.came_later = true;  // whoever takes the place next
  // release: whoever takes the place next sees it as we leave it.
  founder.taken.store(false, std::memory_order_release);
  leave();
  return true;
}

void GraphRun::start() {
  founder_missing_.store(true);
  invite();
}

void GraphRun::leave() noexcept {
  // acq_rel: releases our work; the creator acquires it in wait_for.
  if (inside_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    futex_wake(inside_, INT_MAX);
    call_watcher();
  }
}

bool GraphRun::wait_for(Nanoseconds timeout) noexcept {
  const auto end = Clock::now() + timeout;
  for (int spins = 0;; ++spins) {
    const std::uint32_t inside = inside_.load(std::memory_order_acquire);  // leave()
    if (inside == 0) return true;
    if (spins < 200) {
      cpu_pause();
      continue;
    }
    const auto left = end - Clock::now();
    if (left <= left.zero()) {
      if (could_invite() && solo_.shared()) invite();  // to watch, if nothing else
      return false;
    }
    futex_wait_for(inside_, inside, left);
  }
}

bool GraphRun::could_invite() const noexcept {
  // relaxed: a hint; invite() decides.
  return !queued_.load(std::memory_order_relaxed) &&
         inside_.load(std::memory_order_relaxed) < options_.most;
}

void GraphRun::invite() {
  if (queued_.exchange(true)) return;
  references_.fetch_add(1, std::memory_order_relaxed);  // we hold one already
  pool_.submit(this, Lane::kNative);
}

void GraphRun::run_token(Job* token, Worker& worker) {
  auto* self = static_cast<GraphRun*>(token);
  self->queued_.store(false);
  self->join(worker);
  self->release();
}

void GraphRun::join(Worker& worker) {
  if (founder_missing_.exchange(false)) {
    help(Clock::time_point::max());
    return;
  }
  for (;;) {
    // Nobody enters without a reason: the run ends when nobody is inside.
    if (!solo_.shared() || !anything_offered()) {
      Watch expected = Watch::kNobody;
      if (!watch_.compare_exchange_strong(expected, Watch::kSomebody)) return;
      const bool called = watch(worker);
      watch_.store(Watch::kNobody);
      if (!called) return;
    }
    const bool alive = inside_.fetch_add(1) > 0;  // else it is over, and stays over
    if (Participant* place = alive ? claim_place() : nullptr) {
      // The next one to watch.
      if (watch_.load() == Watch::kNobody && could_invite()) invite();
      participate(*place, Clock::time_point::max());
      // release: as in help.
      place->taken.store(false, std::memory_order_release);
    }
    leave();
    if (!alive || over()) return;
  }
}

bool GraphRun::anything_offered() const noexcept {
  for (std::uint32_t i = 0; i < options_.most; ++i) {
    if (!places_[i]->work.offered.empty()) return true;
  }
  return false;
}

// Waits until there is something to join.  The first while it stays awake, as after
// short runs the next one often follows at once.  False: the run is over.
bool GraphRun::watch(Worker& worker) {
  std::vector<std::uint64_t> seen(options_.most);
  look_around(&seen);
  for (bool first = true;; first = false) {
    const std::uint32_t news = news_.load();
    if (first && !solo_.shared()) {
      const auto end = Clock::now() + kSearch;
      while (news_.load() == news && !over() && Clock::now() < end) {
        for (int i = 0; i < 16; ++i) cpu_pause();
        std::this_thread::yield();
      }
    } else {
      BlockedScope blocked(&worker);  // others may use this worker's place meanwhile
      futex_wait_for(news_, news, kWatchEvery);
    }
    if (over()) return false;
    if (news_.load() != news || look_around(&seen)) return true;
  }
}

// Whether there is something to take.  Whoever has not moved since `seen` sits in a
// long body: what it has besides is for all.
bool GraphRun::look_around(std::vector<std::uint64_t>* seen) {
  for (std::uint32_t i = 0; i < options_.most; ++i) {
    Participant& place = *places_[i];
    // relaxed: only whether it changes between two looks.
    const std::uint64_t now = place.looks.load(std::memory_order_relaxed) + 1;
    const bool still = std::exchange((*seen)[i], now) == now;
    if (still && i == 0 && solo_.try_lock()) {
      place.work.offer_all();
      place.in_the_way.store(true, std::memory_order_relaxed);  // a hint
      solo_.share();
      return true;
    }
    if (still && solo_.shared() && place.try_lock()) {
      place.work.offer_all();
      place.unlock();
    }
    if (still) place.in_the_way.store(true, std::memory_order_relaxed);  // a hint
  }
  return solo_.shared() && anything_offered();
}

// Ends the watch, if there is one that has not been called yet.  A watcher that is
// missed sees for itself within kWatchEvery.
bool GraphRun::call_watcher() noexcept {
  Watch expected = Watch::kSomebody;
  if (!watch_.compare_exchange_strong(expected, Watch::kCalled)) {
    return expected == Watch::kCalled;
  }
  news_.fetch_add(1);
  futex_wake(news_, INT_MAX);
  return true;
}

GraphRun::Participant* GraphRun::claim_place() {
  for (std::uint32_t i = 0; i < options_.most; ++i) {
    Participant& place = *places_[i];
    bool expected = false;
    // acquire: pairs with the releases in help and join.
    if (place.taken.compare_exchange_strong(expected, true,
                                            std::memory_order_acquire)) {
      return &place;
    }
  }
  return nullptr;
}

// --- taking part
// -----------------------------------------------------------------------

bool GraphRun::participate(Participant& self, Clock::time_point deadline) {
  self.last_look = Clock::now();
  self.since_look = 0;
  Alone alone = Alone::kShared;
  if (!self.came_later && solo_.lock()) alone = work_alone(self, deadline);
  if (alone == Alone::kDeadline) return false;
  if (alone == Alone::kShared && !work_together(self, deadline)) return false;
  if (stopped()) give_up(self);
  executed_.fetch_add(std::exchange(self.executed, 0));
  return true;
}

// The lock is held on entry.  It stays held at the end: nobody else needs to come in.
auto GraphRun::work_alone(Participant& self, Clock::time_point deadline) -> Alone {
  WorkStack& work = self.work;
  const bool may_share = options_.most > 1;
  const auto began = self.last_look;
  bool company_asked = false;
  while (!stopped()) {
    if (work.count == 0 && !refill<true>(self)) {
      Block* block = work.offered.pop();
      if (block == nullptr) return Alone::kDone;
      work.take(block);
      continue;
    }
    if (work.count == 1 && work.spans.empty()) {
      run_chain(self);
    } else {
      self.breadth = std::max(self.breadth, work.count);
      // Few while it is not known that they are short.
      const std::uint32_t hand = take_hand(self, std::min(self.look_every, kHand));
      self.since_look += hand;
      const bool spare = may_share && work.has_spare();
      if (spare) {
        // At once: the first body may be a long one, and the second one, too.
        if (!std::exchange(company_asked, true)) invite();
        solo_.unlock();  // while others could join
      }
      const std::uint32_t n = run_bodies(self, hand);
      if (spare && !solo_.lock()) {
        self.lock();
        put_back(self, hand);
        settle<false>(self, n);
        self.unlock();
        return Alone::kShared;
      }
      put_back(self, hand);
      settle<true>(self, n);
    }
    if (self.since_look < self.look_every) continue;
    look(self);
    const auto alone_for = self.last_look - began;
    if (may_share && alone_for > kStarted && pays_to_share(self)) {
      solo_.share();
      call_watcher();
      return Alone::kShared;
    }
    self.breadth = 0;
    if (self.last_look > deadline) {
      solo_.unlock();
      return Alone::kDeadline;
    }
  }
  return Alone::kDone;
}

bool GraphRun::work_together(Participant& self, Clock::time_point deadline) {
  self.lock();
  const bool done = take_turns(self, deadline);
  self.unlock();
  return done;
}

// Locked on entry and exit.
bool GraphRun::take_turns(Participant& self, Clock::time_point deadline) {
  while (!stopped()) {
    if (self.work.count == 0 && !refill<false>(self)) {
      if (!find_work(self, deadline)) return true;
      continue;
    }
    const std::uint32_t hand = take_hand(self, hand_size(self));
    self.since_look += hand;
    if (self.work.has_spare()) offer(self, hand);
    self.unlock();
    const std::uint32_t n = run_bodies(self, hand);
    self.lock();
    put_back(self, hand);
    settle<false>(self, n);
    if (self.since_look < self.look_every) continue;
    look(self);
    if (!self.work.offered.empty()) self.unanswered += self.cost * hand;
    if (self.last_look > deadline) return false;
  }
  return true;
}

// The run is stopped: what we have never runs.
void GraphRun::give_up(Participant& self) {
  WorkStack& work = self.work;
  for (;;) {
    while (work.count > 0) arrivals_.abandon(work.nodes[--work.count]);
    for (const Span& span : std::exchange(work.spans, {})) {
      if (span.kind == Span::Kind::kEdges) continue;  // their targets still wait
      for (std::uint32_t v = span.begin; v < span.end; ++v) {
        if (plan_->degrees()[v] == 0) arrivals_.abandon(v);
      }
    }
    Block* block = work.offered.pop();
    if (block == nullptr) return;
    work.take(block);
  }
}

// --- bodies, and what they make ready
// --------------------------------------------------

// The newest nodes.
std::uint32_t GraphRun::take_hand(Participant& self, std::uint32_t most) {
  WorkStack& work = self.work;
  const std::uint32_t n = std::min(work.count, most);
  for (std::uint32_t i = 0; i < n; ++i) {
    const std::uint32_t v = work.nodes[--work.count];
    self.hand[i] = v;
    if (scattered_) prefetch(&first_[v]);
  }
  return n;
}

// Runs the n nodes of the hand, or as many as it may.  Returns how many of them are to
// arrive at their successors; they stand in front, the ones left for later at
// self.later .. n.
inline std::uint32_t GraphRun::run_bodies(Participant& self, std::uint32_t n) {
  if (body_.checked != nullptr) return run_checked(self, n);
  const auto call = body_.call;
  void* const data = body_.data;
  std::uint32_t i = 0;
  do {
    call(self.hand[i], data);
    // relaxed: a hint; what is put back is guarded by the participant's lock.
  } while (++i < n && !self.in_the_way.load(std::memory_order_relaxed));
  self.executed += i;
  self.later = i;
  return i;
}

std::uint32_t GraphRun::run_checked(Participant& self, std::uint32_t n) {
  std::uint32_t good = 0, i = 0;
  do {
    const std::uint32_t v = self.hand[i];
    if (stopped()) {
      arrivals_.abandon(v);
      continue;
    }
    ++self.executed;
    if (body_.checked(v, body_.data)) {
      self.hand[good++] = v;
    } else {
      fail(v);
    }
  } while (++i < n && !self.in_the_way.load(std::memory_order_relaxed));  // a hint
  self.later = i;
  return good;
}

// What is left of a hand of n goes back to the stack.
inline void GraphRun::put_back(Participant& self, std::uint32_t n) {
  if (self.later == n) return;
  self.work.make_room(n - self.later);
  while (n > self.later) self.work.nodes[self.work.count++] = self.hand[--n];
  self.in_the_way.store(false, std::memory_order_relaxed);  // a hint
  self.look_every = 1;
}

void GraphRun::fail(std::uint32_t node) {
  std::lock_guard lock(failures_);
  failed_.push_back(node);
  if (options_.on_failure == OnFailure::kStop) stopped_->store(true);
}

// One node after the other, as long as each makes exactly one ready and there is
// nothing for anybody else.  REQUIRES: alone, one node, no spans.
void GraphRun::run_chain(Participant& self) {
  WorkStack& work = self.work;
  std::uint32_t v = work.nodes[0];
  std::uint32_t left = self.look_every - std::min(self.since_look, self.look_every - 1);
  const std::uint32_t most = left;
  work.count = 0;
  do {
    self.hand[0] = v;
    if (run_bodies(self, 1) == 0) break;
    const std::uint32_t begin = first_[v], end = first_[v + 1];
    if (end - begin != 1) {
      settle<true>(self, 1);
    } else if (v = targets_[begin]; arrivals_.arrive_alone(v)) {
      if (left > 1) continue;
      work.nodes[work.count++] = v;
    }
    --left;
    break;
  } while (--left > 0);
  self.since_look += most - left;
}

template <bool kAlone>
inline void GraphRun::settle_edges(Participant& self, std::uint32_t begin,
                                   std::uint32_t end) {
  WorkStack& work = self.work;
  work.make_room(end - begin + 1);
  std::uint32_t n = work.count;
  if constexpr (kAlone) {
    for (std::uint32_t e = begin; e < end; ++e) {
      const std::uint32_t t = targets_[e];
      work.nodes[n] = t;
      n += arrivals_.arrive_alone(t) ? 1 : 0;
    }
  } else {
    for (std::uint32_t e = begin; e < end; ++e) {
      const std::uint32_t t = targets_[e];
      work.nodes[n] = t;
      n += arrivals_.arrive(t) ? 1 : 0;
    }
  }
  work.count = n;
}

// Arrives at the successors of n nodes in the hand.
template <bool kAlone>
void GraphRun::settle(Participant& self, std::uint32_t n) {
  if (n > 2 && scattered_) {
    for (std::uint32_t i = 0; i < n; ++i) prefetch(&targets_[first_[self.hand[i]]]);
    for (std::uint32_t i = 0; i < n; ++i) {
      const std::uint32_t v = self.hand[i];
      const std::uint32_t end = std::min(first_[v + 1], first_[v] + kWideFan);
      for (std::uint32_t e = first_[v]; e < end; ++e) arrivals_.prefetch(targets_[e]);
    }
  }
  for (std::uint32_t i = 0; i < n; ++i) {
    const std::uint32_t begin = first_[self.hand[i]], end = first_[self.hand[i] + 1];
    if (end - begin <= kWideFan) {
      settle_edges<kAlone>(self, begin, end);
    } else {
      self.work.spans.push_back({begin, end, Span::Kind::kEdges});
    }
  }
}

// The first node from `begin` on that waits for no other, or `end`.
std::uint32_t GraphRun::next_source(std::uint32_t begin, std::uint32_t end) const {
  const std::uint8_t* degrees = plan_->degrees();
  if (begin >= end) return end;
  const void* found = std::memchr(degrees + begin, 0, end - begin);
  if (found == nullptr) return end;
  return static_cast<std::uint32_t>(static_cast<const std::uint8_t*>(found) - degrees);
}

// Cuts a piece off the newest span.  False: there is none.
template <bool kAlone>
bool GraphRun::refill(Participant& self) {
  WorkStack& work = self.work;
  while (work.count == 0) {
    if (work.spans.empty()) return false;
    Span& span = work.spans.back();
    const std::uint32_t begin = span.begin;
    const std::uint32_t end = begin + std::min(span.size(), kGrain);
    const Span::Kind kind = span.kind;
    span.begin = kind == Span::Kind::kEdges ? end : next_source(end, span.end);
    if (span.size() == 0) work.spans.pop_back();
    if (kind == Span::Kind::kEdges) {
      settle_edges<kAlone>(self, begin, end);
      continue;
    }
    // Backwards: they are taken from the top, and should run in their order.
    std::uint32_t n = 0;
    for (std::uint32_t v = end; v-- > begin;) {
      work.nodes[n] = v;
      n += plan_->degrees()[v] == 0 ? 1 : 0;
    }
    work.count = n;
  }
  return true;
}

// --- each other
// ------------------------------------------------------------------------

// Looks at the clock: what does a node cost?
void GraphRun::look(Participant& self) {
  const auto now = Clock::now();
  const Nanoseconds took = now - std::exchange(self.last_look, now);
  self.cost = took / std::max(self.since_look, std::uint32_t{1});
  self.since_look = 0;
  const std::int64_t wanted = kLookEvery / std::max(self.cost, Nanoseconds{1});
  const std::uint32_t most = std::min(self.look_every * 2, kMostUnlooked);
  self.look_every =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(wanted, 1, most));
  // relaxed both: watchers only see whether it changes.
  self.looks.store(self.looks.load(std::memory_order_relaxed) + 1,
                   std::memory_order_relaxed);
}

// Whether half of what is ready is worth a theft, and the rest what sharing costs.
bool GraphRun::pays_to_share(const Participant& self) const noexcept {
  if (self.breadth < 2 && self.work.spans.empty()) return false;
  const std::uint32_t half = self.work.spans.empty() ? self.breadth / 2 : kGrain;
  return self.cost >= cost_of_company_ && self.cost * half >= kTheft;
}

// Let others have some of it while there is little.
std::uint32_t GraphRun::hand_size(const Participant& self) const noexcept {
  const std::int64_t affordable = kLong / std::max(self.cost, Nanoseconds{1});
  const auto n =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(affordable, 1, kHand));
  const bool wanted = hungry_->load(std::memory_order_relaxed) > 0;  // a hint
  // Few while it is not known that they are short.
  const std::uint32_t most = std::min(n, self.look_every);
  return wanted ? std::min(most, (self.work.count + 1) / 2) : most;
}

// Lets others have a part of what we have, if there are others.
void GraphRun::offer(Participant& self, std::uint32_t in_hand) {
  WorkStack& work = self.work;
  const bool wanted = hungry_->load(std::memory_order_relaxed) > 0;  // a hint
  if (!wanted && !could_invite()) return;
  const std::uint32_t more = work.spans.empty() ? work.count + in_hand : kGrain;
  if (work.offered.empty()) {
    if (self.cost >= kLong) {
      while (work.count > 0) work.offer_nodes(1);
    } else if (work.count > 0) {
      work.offer_nodes((work.count + in_hand) / 2);
    }
    if (!work.spans.empty()) work.offer_span(kGrain);
  }
  if (wanted) return;
  // Nobody there.  Worth a wake-up at once, or after a while of being worth a little?
  if (self.cost * more + self.unanswered >= kWorthWaking) {
    self.unanswered = Nanoseconds(0);
    if (!call_watcher()) invite();
  } else if (watch_.load(std::memory_order_relaxed) == Watch::kNobody) {  // a hint
    invite();  // at least to watch: this body may be a long one
  }
}

// Own blocks first, then others'.  False: there is nothing, so leave.
bool GraphRun::find_work(Participant& self, Clock::time_point deadline) {
  if (Block* block = self.work.offered.pop()) {
    self.work.take(block);
    return true;
  }
  if (options_.most == 1) return false;
  if (steal(self)) return true;
  hungry_->fetch_add(1);
  const bool found = search(self, deadline);
  hungry_->fetch_sub(1);
  self.last_look = Clock::now();
  self.since_look = 0;
  return found;
}

bool GraphRun::search(Participant& self, Clock::time_point deadline) {
  const auto end = std::min(Clock::now() + kSearch, deadline);
  do {
    for (int i = 0; i < 64; ++i) {
      if (steal(self)) return true;
      cpu_pause();
    }
    std::this_thread::yield();  // those who have work may be on this core
    // When all that are inside look for work there is none, and none will come.
  } while (!stopped() && hungry_->load() < inside_.load() && Clock::now() < end);
  return false;
}

bool GraphRun::steal(Participant& self) noexcept {
  for (std::uint32_t i = 0; i < options_.most; ++i) {
    Participant& victim = *places_[i];
    Block* block = nullptr;
    if (&victim != &self && victim.work.offered.steal(&block) == Steal::kTaken) {
      self.work.take(block);
      return true;
    }
  }
  return false;
}

}  // namespace fastflow
