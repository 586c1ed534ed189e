// GraphRun's founder while it works alone: under the solo lock but for the time of
// bodies, and counting without atomic read-modify-writes.
#include "graph_nodes.hpp"

namespace fastflow {

namespace {

constexpr std::chrono::microseconds kUnwatched{100};  // then somebody is called anyway
constexpr std::uint32_t kNone = 0xffff'ffff;
constexpr std::uint32_t kMostReady = WorkStack::kRoom - graph::kWideFan;
constexpr std::uint32_t kAhead = 16;  // words: a line of the cache

}  // namespace

// The lock is held on entry.  It stays held at the end: nobody else needs to come in.
auto GraphRun::work_alone(Participant& self, Clock::time_point deadline) -> Alone {
  WorkStack& work = self.work;
  const auto began = self.last_look;
  while (!stopped()) {
    if (work.count == 0 && !refill<true>(self)) {
      Block* block = work.offered.pop();
      if (block == nullptr) return Alone::kDone;
      work.take(block);
      continue;
    }
    if (!self.called && work.count + work.spans.size() > 1) call_company(self);
    const bool alone = scattered_ ? run_hand_alone(self) : follow(self);
    if (!alone) return Alone::kShared;
    if (!should_look(self)) continue;
    look(self);
    if (!self.called && self.last_look - began > kUnwatched) call_company(self);
    if (options_.most > 1 && pays_to_share(self)) {
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

// Somebody else could have something to do.  At once: the next body may be a long one.
FASTFLOW_COLD void GraphRun::call_company(Participant& self) {
  if (!std::exchange(self.called, true)) invite();
}

// The time alone was over when v's body, or the hand's, was.
// Returns how many nodes are on the stack then.
FASTFLOW_COLD std::uint32_t GraphRun::settle_in_company(Participant& self,
                                                        std::uint32_t hand,
                                                        std::uint32_t n) {
  std::lock_guard<Place> lock(self);
  put_back(self, hand);
  settle<false>(self, n);
  return self.work.count;
}

// Many nodes at a time, so that the memory of their successors is asked for in advance.
// False: no longer alone.
FASTFLOW_APART bool GraphRun::run_hand_alone(Participant& self) {
  self.breadth = std::max(self.breadth, self.work.count);
  // Few while it is not known that they are short.
  const std::uint32_t hand = take_hand(self, std::min(self.look_every, graph::kHand));
  self.since_look += hand;
  const bool spare = options_.most > 1 && self.work.has_spare();
  if (spare) attendance_.solo.unlock();  // others could join
  const std::uint32_t n = run_bodies(self, hand);
  if (spare && !attendance_.solo.lock()) {
    settle_in_company(self, hand, n);
    return false;
  }
  put_back(self, hand);
  settle<true>(self, n);
  return true;
}

template <bool kChecked>
inline bool GraphRun::run_body(Participant& self, const NodeBody& body,
                               std::uint32_t v) {
  if constexpr (kChecked) {
    self.hand[0] = v;
    return run_checked(self, 1) == 1;
  } else {
    body.call(v, body.data);
    return true;
  }
}

// More is ready than before.
FASTFLOW_COLD std::uint32_t GraphRun::put_aside(Participant& self,
                                                std::uint32_t ready) {
  call_company(self);
  self.work.count = ready;
  self.work.make_room(graph::kWideFan);
  return self.work.count;
}

FASTFLOW_COLD void GraphRun::put_aside_edges(Participant& self,
                                             const std::uint32_t* begin,
                                             const std::uint32_t* end) {
  self.work.spans.push_back({static_cast<std::uint32_t>(begin - targets_),
                             static_cast<std::uint32_t>(end - targets_),
                             Span::Kind::kEdges});
}

// From node to node: runs one, arrives at its successors, and goes on with the first of
// them that became ready, or else with the newest node of the stack; until it is time
// to look at the clock, or there is nothing more at hand.  False: no longer alone.
//
// kPlain: the graph has no node with many neighbours, which would be counted elsewhere
// or put aside.
//
// Made for graphs whose neighbours lie together.  Often the next node has the next
// number.  Its edges begin where the last one's end, so that the processor does not
// wait for memory to learn what comes next.  Where it does jump, the paths beside will
// soon be taken in the same way: the memory that follows this node's is asked for.
template <bool kChecked, bool kPlain>
FASTFLOW_APART bool GraphRun::follow_nodes(Participant& self) {
  WorkStack& work = self.work;
  SoloLock& solo = attendance_.solo;
  const NodeBody body = body_;
  const std::uint32_t* const first = first_;
  const std::uint32_t* const targets = targets_;
  Arrivals<GraphPlan>::Alone<kPlain> alone(arrivals_);
  // Up to so many nodes on the stack there is nothing for others.
  const std::int32_t mine = options_.most == 1   ? INT32_MAX
                            : work.spans.empty() ? 0
                                                 : -1;
  std::uint32_t most = self.look_every - std::min(self.since_look, self.look_every - 1);
  work.make_room(graph::kWideFan);
  std::uint32_t ran = 0;
  std::uint32_t ready = work.count - 1;  // besides v
  std::uint32_t v = work.nodes[ready];
  const std::uint32_t* edge = targets + first[v];
  bool is_alone = true;
  do {
    bool good;
    if (static_cast<std::int32_t>(ready) <= mine) [[unlikely]] {
      good = run_body<kChecked>(self, body, v);
      // relaxed: a hint that it is time to look.
      if (self.in_the_way.load(std::memory_order_relaxed)) [[unlikely]]
        most = 0;
    } else {
      work.count = ready;
      solo.unlock();  // others could join
      good = run_body<kChecked>(self, body, v);
      is_alone = solo.lock();
    }
    ++ran;
    if (!is_alone) [[unlikely]] {
      self.hand[0] = v;
      self.later = 1;  // it has run
      ready = settle_in_company(self, 1, good ? 1 : 0);
      v = kNone;
      break;
    }
    const std::uint32_t* const end = good ? targets + first[v + 1] : edge;
    if (!kPlain && end - edge > std::ptrdiff_t{graph::kWideFan}) [[unlikely]] {
      put_aside_edges(self, edge, end);
      v = kNone;
      break;
    }
    std::uint32_t next = kNone;
    while (edge != end) [[likely]] {
        const std::uint32_t t = *edge++;
        if (!alone.arrive(t)) [[unlikely]]
          continue;
        next = t;
        break;
      }
    while (edge != end) {
      const std::uint32_t t = *edge++;
      if (!alone.arrive(t)) [[likely]]
        continue;
      work.nodes[ready++] = t;
      self.breadth = std::max(self.breadth, ready + 1);  // with the next one
      if (ready > kMostReady || !self.called) [[unlikely]]
        ready = put_aside(self, ready);
    }
    if (next == v + 1) [[likely]] {
      conceal(++v);
      continue;
    }
    if (next == kNone) {
      if (ready == 0) {
        v = kNone;
        break;
      }
      next = work.nodes[--ready];
      if (next == v + 1) [[likely]] {
        conceal(++v);
        continue;
      }
    }
    prefetch(first + v + kAhead);
    prefetch(end + kAhead);
    v = next;
    edge = targets + first[v];
  } while (ran < most);
  if (v != kNone) work.nodes[ready++] = v;
  work.count = ready;
  self.breadth = std::max(self.breadth, ready);
  if (!kChecked) self.executed += ran;
  self.since_look += ran;
  return is_alone;
}

bool GraphRun::follow(Participant& self) {
  const bool checked = body_.checked != nullptr;
  if (plain_) {
    return checked ? follow_nodes<true, true>(self) : follow_nodes<false, true>(self);
  }
  return checked ? follow_nodes<true, false>(self) : follow_nodes<false, false>(self);
}

}  // namespace fastflow
