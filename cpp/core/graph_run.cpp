#include "graph_run.hpp"

#include <cassert>
#include <thread>
#include <utility>

#include "graph_nodes.hpp"
#include "pool.hpp"

namespace fastflow {

namespace {

using Nanoseconds = std::chrono::nanoseconds;

// Nodes between two looks at the clock; and while nobody watches, who would see that
// their bodies have grown long.
constexpr std::uint32_t kMostUnlooked = 512, kMostUnwatched = 64;
constexpr Nanoseconds kLookEvery{2'000};  // aim for the time between looks
constexpr Nanoseconds kJudged{1'000};     // a shorter one says little about nodes
constexpr Nanoseconds kSoon{200};         // from here on offers are made in advance
constexpr std::uint32_t kFew = 4;         // nodes that are given one by one
constexpr Nanoseconds kWatchEvery{1'000'000};
constexpr Nanoseconds kSearch{40'000};       // how long to look for work before leaving
constexpr Nanoseconds kWorthWaking{10'000};  // backlog that pays for waking a worker
constexpr Nanoseconds kTheft{150};           // what has to be won by each one, at least
constexpr Nanoseconds kTiny{32};     // up to here a hand costs more than its nodes
constexpr Nanoseconds kLong{2'000};  // from here on nodes are offered one by one

// What company costs each node: a little for its place in a hand, and something for
// each counter that other cores write, too: much where hands are run and settled,
// little where participants go their own ways.  One that is counted once needs no
// settling.
Nanoseconds cost_of_company(const GraphPlan& plan, bool follows) {
  const std::int64_t each = follows ? 3 : 10;
  return Nanoseconds(2 + each * plan.joining_edges() / (plan.nodes() + 1));
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
      scattered_(is_scattered(*plan_)),
      plain_(plan_->wide_degrees().empty() &&
             plan_->most_successors() <= graph::kWideFan),
      loose_(plan_->edges() == 0 && body_.checked == nullptr),
      follows_(plain_ && !scattered_ && body_.checked == nullptr),
      cost_of_company_(cost_of_company(*plan_, follows_)),
      arrivals_(*plan_),
      attendance_(options.most),
      places_(new CacheAligned<Participant>[options.most]) {
  run = run_token;
  Participant& first = *places_[0];
  first.taken.store(true, std::memory_order_relaxed);  // not shared yet
  first.came_later = false;
  first.called = options.most == 1;  // nobody to call
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

void GraphRun::cancel() noexcept {
  stopped_->store(true);
  // release: who sees this sees that it is stopped.
  for (std::uint32_t i = 0; i < options_.most; ++i) {
    places_[i]->in_the_way.store(true, std::memory_order_release);
  }
}

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

bool GraphRun::participate(Participant& self, Clock::time_point deadline) noexcept {
  self.last_look = Clock::now();
  self.since_look = 0;
  // Where bad_alloc comes from (never from a body) the solo lock or the place's is held
  // as it is at the end of work: the one stays so, the other one was given back.
  try {
    if (!take_part(self, deadline)) return false;
  } catch (const std::bad_alloc&) {
    run_out_of_memory();
  }
  if (stopped()) give_up(self);
  executed_.fetch_add(std::exchange(self.executed, 0));
  self.came_later = true;  // whoever takes the place next
  return true;
}

// False: the deadline came before the end.
bool GraphRun::take_part(Participant& self, Clock::time_point deadline) {
  Alone alone = Alone::kShared;
  if (!self.came_later && attendance_.solo.lock()) alone = work_alone(self, deadline);
  if (alone == Alone::kDeadline) return false;
  return alone == Alone::kDone || work_together(self, deadline);
}

void GraphRun::run_out_of_memory() noexcept {
  out_of_memory_.store(true);
  cancel();
}

bool GraphRun::work_together(Participant& self, Clock::time_point deadline) {
  std::lock_guard<Place> lock(self);
  return take_turns(self, deadline);
}

// Locked on entry and exit.
bool GraphRun::take_turns(Participant& self, Clock::time_point deadline) {
  while (!stopped()) {
    std::uint32_t hand = 0;
    if (loose_ && self.work.count == 0 && !self.work.spans.empty()) {
      hand = run_piece(self);
    } else if (self.work.count > 0 || refill<false>(self)) {
      hand = follows(self) ? follow_together(self) : run_hand(self);
    } else {
      if (!find_work(self, deadline)) return true;
      continue;
    }
    if (!should_look(self)) continue;
    look(self);
    if (!self.work.offered.empty()) self.unanswered += self.cost * hand;
    if (self.last_look > deadline) return false;
  }
  return true;
}

// From node to node, unless they are so long that offers have to be made in advance.
bool GraphRun::follows(const Participant& self) const noexcept {
  return follows_ && self.cost < kSoon;
}

// Returns how many nodes it took.
std::uint32_t GraphRun::run_hand(Participant& self) {
  const std::uint32_t hand = take_hand(self, hand_size(self));
  self.since_look += hand;
  if (self.work.has_spare()) offer(self, hand);
  self.unlock();
  const std::uint32_t n = run_bodies(self, hand);
  self.lock();
  put_back(self, hand);
  settle<false>(self, n);
  return hand;
}

// The same for nodes that nobody waits for, straight from the span that they are in.
std::uint32_t GraphRun::run_piece(Participant& self) {
  Span& span = self.work.spans.back();
  const std::uint32_t begin = span.begin;
  const std::uint32_t end = begin + std::min(span.size(), affordable(self));
  span.begin = end;
  if (span.size() == 0) self.work.spans.pop_back();
  self.since_look += end - begin;
  if (self.work.has_spare()) offer(self, end - begin);
  self.unlock();
  std::uint32_t v = begin;
  const NodeBody body = body_;
  do {
    body.call(v, body.data);
    // relaxed: a hint, as in run_bodies.
  } while (++v < end && !self.in_the_way.load(std::memory_order_relaxed));
  self.lock();
  self.executed += v - begin;
  if (v < end) self.work.spans.push_back({v, end, Span::Kind::kSources});
  return end - begin;
}

// The run is stopped: what we have never runs.
void GraphRun::give_up(Participant& self) noexcept {
  WorkStack& work = self.work;
  const auto abandon = [this](const Span& span) {
    if (span.kind == Span::Kind::kEdges) return;  // their targets still wait
    for (std::uint32_t v = span.begin; v < span.end; ++v) {
      if (plan_->degrees()[v] == 0) arrivals_.abandon(v);
    }
  };
  while (work.count > 0) arrivals_.abandon(work.nodes[--work.count]);
  for (const Span& span : work.spans) abandon(span);
  work.spans.clear();
  while (Block* block = work.offered.pop()) {
    if (block->count == 0) abandon(block->span);
    for (std::uint32_t i = 0; i < block->count; ++i) {
      arrivals_.abandon(block->nodes[i]);
    }
    work.put_away(block);
  }
}

void GraphRun::fail(std::uint32_t node) noexcept {
  std::lock_guard lock(failures_);
  try {
    failed_.push_back(node);
  } catch (const std::bad_alloc&) {
    run_out_of_memory();
  }
  if (options_.on_failure == OnFailure::kStop) stopped_->store(true);
}

// --- each other ----------------------------------------------------------------------

// Looks at the clock: what does a node cost?
void GraphRun::look(Participant& self) {
  const auto now = Clock::now();
  const Nanoseconds took = now - std::exchange(self.last_look, now);
  self.cost = took / std::max(self.since_look, std::uint32_t{1});
  const Nanoseconds judged = took < kJudged ? Nanoseconds{0} : self.cost;
  self.steady = std::min(judged, std::exchange(self.judged, judged));
  self.way = std::max(self.since_look / (2 * self.ways + 1), std::uint32_t{1});
  self.ways = 0;
  self.since_look = 0;
  const std::int64_t wanted = kLookEvery / std::max(self.cost, Nanoseconds{1});
  const bool watched = options_.most > 1 && self.called;
  const std::uint32_t most =
      std::min(self.look_every * 2, watched ? kMostUnlooked : kMostUnwatched);
  self.look_every =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(wanted, 1, most));
  self.moved();
  // acquire: pairs with cancel, which stops first.
  if (self.in_the_way.load(std::memory_order_relaxed) &&
      self.in_the_way.exchange(false, std::memory_order_acquire)) {
    self.look_every = 1;
  }
}

// Whether half of what is ready, with the ways that begin there, is worth a theft, and
// the rest what sharing costs.
bool GraphRun::pays_to_share(const Participant& self) const noexcept {
  const auto& spans = self.work.spans;
  if (loose_ && !spans.empty()) {  // nothing is counted, and half is given at once
    return self.steady * (spans.front().size() / 2) >= kWorthWaking;
  }
  if (self.breadth < 2 && spans.empty()) return false;
  const std::uint32_t half = spans.empty() ? self.breadth / 2 : graph::kGrain;
  return self.steady >= cost_of_company_ && self.steady * half * self.way >= kTheft;
}

// How many nodes may be run without looking at anything else: few while it is not
// known that they are short.
std::uint32_t GraphRun::affordable(const Participant& self) const noexcept {
  const std::int64_t wanted = kLong / std::max(self.cost, Nanoseconds{1});
  const std::uint32_t most =
      self.cost < kTiny && !scattered_ ? graph::kTinyHand : graph::kHand;
  const auto n = static_cast<std::uint32_t>(std::clamp<std::int64_t>(wanted, 1, most));
  return std::min(n, self.look_every);
}

// Let others have some of it while there is little.
std::uint32_t GraphRun::hand_size(const Participant& self) const noexcept {
  const std::uint32_t most = affordable(self);
  const bool shared = is_wanted() || will_be_wanted(self);
  return shared ? std::min(most, (self.work.count + 1) / 2) : most;
}

// Somebody inside looks for work.
bool GraphRun::is_wanted() const noexcept {
  return hungry_->load(std::memory_order_relaxed) > 0;  // a hint
}
// Somebody could do so before the next body is over.
bool GraphRun::will_be_wanted(const Participant& self) const noexcept {
  return self.cost >= kSoon && options_.most > 1;
}

// Lets others have a part of what we have, if there are others.
void GraphRun::offer(Participant& self, std::uint32_t in_hand) {
  WorkStack& work = self.work;
  const bool wanted = is_wanted();
  if (!wanted && !will_be_wanted(self) && !attendance_.could_invite()) return;
  if (wanted && give_one(self, in_hand)) return;
  const std::uint32_t more = work.spans.empty() ? work.count + in_hand : graph::kGrain;
  if (work.offered.empty()) {
    if (self.cost >= kLong) {
      while (work.count > 0 && work.offer_nodes(1)) {
      }
    } else if (work.count > 0) {
      work.offer_nodes((work.count + in_hand) / 2);
    }
    if (!work.spans.empty()) work.offer_span(graph::kGrain);
  }
  if (wanted || !attendance_.could_invite()) return;
  // Nobody there.  Worth a wake-up at once, or after a while of being worth a little?
  const bool at_once = self.cost * more + self.unanswered >= kWorthWaking;
  if (at_once) self.unanswered = Nanoseconds(0);
  // If not at once, then at least to watch: this body may be a long one.
  attendance_.call(Guest{*this, nullptr}, at_once);
}

// Few nodes go one by one, to whom looks for them.  False: not to be done so.
bool GraphRun::give_one(Participant& self, std::uint32_t in_hand) {
  WorkStack& work = self.work;
  if (work.count == 0 || work.count + in_hand > kFew) return false;
  for (Participant* other = &next_to(self); other != &self; other = &next_to(*other)) {
    if (!other->box->give(work.nodes[0])) continue;
    work.drop_oldest(1);
    hungry_->fetch_sub(1);  // the other one, no longer
    return true;
  }
  return false;
}

// Who looks for another one begins behind itself and goes round, so that not all of
// them come to the same one first.
GraphRun::Participant& GraphRun::next_to(const Participant& other) const noexcept {
  const auto* at = reinterpret_cast<const CacheAligned<Participant>*>(&other);
  const auto next = static_cast<std::uint32_t>(at - places_.get()) + 1;
  return *places_[next == options_.most ? 0 : next];
}

// Own blocks first, then others'.  False: there is nothing, so leave.
bool GraphRun::find_work(Participant& self, Clock::time_point deadline) {
  if (Block* block = self.work.offered.pop()) {
    self.work.take(block);
    return true;
  }
  if (options_.most == 1) return false;
  if (steal(self)) return true;
  const bool found = search(self, deadline);
  self.last_look = Clock::now();
  self.since_look = 0;
  return found;
}

// Who looks for work and has got no mail counts as hungry; who gives or takes back
// keeps the count for the other one.
bool GraphRun::search(Participant& self, Clock::time_point deadline) {
  hungry_->fetch_add(1);
  self.box->open();
  const bool found = wait_for_work(self, deadline);
  const std::uint32_t v = self.box->close();
  if (v == Mailbox::kNone) {
    hungry_->fetch_sub(1);
    return found;
  }
  self.work.push(v);
  return true;
}

// Looks at one of the others at a time, however many there are: what comes by mail
// should not have to wait for all of them.
bool GraphRun::wait_for_work(Participant& self, Clock::time_point deadline) {
  const auto end = std::min(Clock::now() + kSearch, deadline);
  Participant* victim = &self;
  do {
    for (int i = 0; i < 64; ++i) {
      victim = &next_to(*victim);
      if (victim == &self) victim = &next_to(self);
      if (self.box->full() || steal_from(*victim, self)) return true;
      cpu_pause();
    }
    std::this_thread::yield();  // those who have work may be on this core
    // When all that are inside look for work there is none, and none will come.
  } while (!stopped() && hungry_->load() < attendance_.inside() && Clock::now() < end);
  return false;
}

bool GraphRun::steal(Participant& self) noexcept {
  for (Participant* other = &next_to(self); other != &self; other = &next_to(*other)) {
    if (steal_from(*other, self)) return true;
  }
  return false;
}

bool GraphRun::steal_from(Participant& victim, Participant& self) noexcept {
  Block* block = nullptr;
  if (victim.work.offered.steal(&block) == Steal::kTaken) {
    self.work.take(block);
    return true;
  }
  const std::uint32_t v = victim.box->take_back();
  if (v == Mailbox::kNone) return false;
  hungry_->fetch_add(1);  // the other one, again
  self.work.push(v);
  return true;
}

}  // namespace fastflow
