#include "graph_run.hpp"

#include <cassert>
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

struct GraphRun::Participant : Place {
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
  bool came_later = true;  // not the founder, who begins alone
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
      attendance_(options.most),
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
  if (attendance_.drop()) delete this;
}

struct GraphRun::Guest {
  GraphRun& run;
  Worker* worker;  // that it is, or nullptr

  [[nodiscard]] Place& place(std::uint32_t i) const { return *run.places_[i]; }
  [[nodiscard]] bool anything_offered() const { return run.anything_offered(); }
  void offer_all(Place& place) const {
    static_cast<Participant&>(place).work.offer_all();
  }
  void take_part(Place& place) const {
    run.participate(static_cast<Participant&>(place), Clock::time_point::max());
  }
  void send_token() const { run.pool_.submit(&run, Lane::kNative); }
  [[nodiscard]] bool stopped() const { return run.stopped(); }

  // The first sleep is one with open eyes while the founder is alone: after short runs
  // the next one often follows at once.
  void sleep(FutexWord& word, std::uint32_t value, bool first) const {
    if (first && !run.attendance_.solo.shared()) {
      const auto end = Clock::now() + kSearch;
      while (word.load() == value && Clock::now() < end) {
        for (int i = 0; i < 16; ++i) cpu_pause();
        std::this_thread::yield();
      }
      return;
    }
    BlockedScope blocked(worker);  // others may use this worker's place meanwhile
    futex_wait_for(word, value, kWatchEvery);
  }
};

void GraphRun::run_token(Job* token, Worker& worker) {
  auto* self = static_cast<GraphRun*>(token);
  self->attendance_.visit(Guest{*self, &worker});
  self->release();
}

bool GraphRun::help(Clock::time_point deadline) {
  Participant& founder = *places_[0];
  if (!participate(founder, deadline)) return false;
  attendance_.leave(founder);
  return true;
}

void GraphRun::start() { attendance_.found_later(Guest{*this, nullptr}); }

void GraphRun::invite() { attendance_.invite(Guest{*this, nullptr}); }

bool GraphRun::wait_for(Nanoseconds timeout) noexcept {
  for (int spins = 0; spins < 200; ++spins) {
    if (attendance_.over()) return true;
    cpu_pause();
  }
  const auto end = Clock::now() + timeout;
  for (;;) {
    const auto left = end - Clock::now();
    if (left <= left.zero()) {
      // Somebody to watch, if nothing else.
      if (attendance_.solo.shared() && attendance_.has_room()) invite();
      return attendance_.over();
    }
    const auto sleep = [left](FutexWord& word, std::uint32_t value) {
      futex_wait_for(word, value, left);
    };
    if (attendance_.wait(sleep)) return true;
  }
}

bool GraphRun::anything_offered() const noexcept {
  for (std::uint32_t i = 0; i < options_.most; ++i) {
    if (!places_[i]->work.offered.empty()) return true;
  }
  return false;
}

// --- taking part ---------------------------------------------------------------------

bool GraphRun::participate(Participant& self, Clock::time_point deadline) {
  self.last_look = Clock::now();
  self.since_look = 0;
  Alone alone = Alone::kShared;
  if (!self.came_later && attendance_.solo.lock()) alone = work_alone(self, deadline);
  if (alone == Alone::kDeadline) return false;
  if (alone == Alone::kShared && !work_together(self, deadline)) return false;
  if (stopped()) give_up(self);
  executed_.fetch_add(std::exchange(self.executed, 0));
  self.came_later = true;  // whoever takes the place next
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
        attendance_.solo.unlock();  // while others could join
      }
      const std::uint32_t n = run_bodies(self, hand);
      if (spare && !attendance_.solo.lock()) {
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
      attendance_.solo.share();
      attendance_.call_watcher();
      return Alone::kShared;
    }
    self.breadth = 0;
    if (self.last_look > deadline) {
      attendance_.solo.unlock();
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

// --- bodies, and what they make ready ------------------------------------------------

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

// --- each other ----------------------------------------------------------------------

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
  self.moved();
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
  if (!wanted && !attendance_.could_invite()) return;
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
  const bool at_once = self.cost * more + self.unanswered >= kWorthWaking;
  if (at_once) self.unanswered = Nanoseconds(0);
  // If not at once, then at least to watch: this body may be a long one.
  attendance_.call(Guest{*this, nullptr}, at_once);
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
  } while (!stopped() && hungry_->load() < attendance_.inside() && Clock::now() < end);
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
