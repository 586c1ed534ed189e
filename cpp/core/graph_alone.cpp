// GraphRun's founder while it works alone: under the solo lock but for the time of
// bodies, and counting without atomic read-modify-writes.
#include "graph_nodes.hpp"

namespace fastflow {

namespace {

constexpr std::chrono::microseconds kUnwatched{100};  // then somebody is called anyway
constexpr std::uint32_t kAhead = 16;                  // words: a line of the cache

using graph::kMostReady;
using graph::kNone;

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
  self.ways += hand;
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

// The way that follow_nodes takes, and where on it we are.  A local variable of it
// whose functions are inlined, so that all this stays in registers.
//
// Made for graphs whose neighbours lie together.  Often the next node has the next
// number.  Its edges begin where the last one's end, so that the processor does not
// wait for memory to learn what comes next.  Where it does jump, the paths beside will
// soon be taken in the same way: the memory that follows this node's is asked for.
template <bool kChecked, bool kPlain>
struct GraphRun::Path {
  FASTFLOW_INLINE Path(GraphRun& its_run, Participant& its_self)
      : run(its_run), self(its_self), alone(its_run.arrivals_) {
    if (run.options_.most == 1) {
      mine = INT32_MAX;
    } else {
      mine = work.spans.empty() ? 0 : -1;
    }
    most = self.look_every - std::min(self.since_look, self.look_every - 1);
    left = most;
    work.make_room(graph::kWideFan);
    ready = work.count - 1;
    v = work.nodes[ready];
    edge = targets + first[v];
  }

  // Whether v's body was good.
  FASTFLOW_INLINE bool run_node() {
    bool good;
    if (static_cast<std::int32_t>(ready) <= mine) [[unlikely]] {
      good = run.run_body<kChecked>(self, body, v);
      is_alone = true;
      // relaxed: a hint that it is time to look.
      if (self.in_the_way.load(std::memory_order_relaxed)) [[unlikely]]
        end_here();
    } else {
      work.count = ready;
      solo.unlock();  // others could join
      good = run.run_body<kChecked>(self, body, v);
      is_alone = solo.lock();
    }
    --left;
    return good;
  }

  // It is time to look.
  FASTFLOW_INLINE void end_here() {
    most -= left - 1;
    left = 1;  // this one
  }

  // Others are there now: v, which has run, is to be settled as they do.
  FASTFLOW_INLINE void settle_in_company(bool good) {
    self.hand[0] = v;
    self.later = 1;  // it has run
    ready = run.settle_in_company(self, 1, good ? 1 : 0);
    v = kNone;
  }

  // Puts v's edges aside if they are too many.
  FASTFLOW_INLINE bool is_wide(const std::uint32_t* end) {
    if (kPlain || end - edge <= std::ptrdiff_t{graph::kWideFan}) [[likely]]
      return false;
    run.put_aside_edges(self, edge, end);
    v = kNone;
    return true;
  }

  // Arrives at v's successors up to the first that is ready.  False: none is.
  FASTFLOW_INLINE bool find_next(const std::uint32_t* end, std::uint32_t* next) {
    while (edge != end) [[likely]] {
        *next = *edge++;
        if (alone.arrive(*next)) [[likely]]
          return true;
      }
    return false;
  }

  // And at the others: those that are ready come to the stack.
  FASTFLOW_INLINE void arrive_at_others(const std::uint32_t* end) {
    while (edge != end) {
      const std::uint32_t t = *edge++;
      if (!alone.arrive(t)) [[likely]]
        continue;
      work.nodes[ready++] = t;
      self.breadth = std::max(self.breadth, ready + 1);  // with the next one
      if (ready > kMostReady || !self.called) [[unlikely]]
        ready = run.put_aside(self, ready);
    }
  }

  // The newest node of the stack.  False: it is empty, and the way ends.
  FASTFLOW_INLINE bool take_newest(std::uint32_t* next) {
    if (ready == 0) {
      v = kNone;
      return false;
    }
    ++ways;
    *next = work.nodes[--ready];
    return true;
  }

  FASTFLOW_INLINE void go_to(std::uint32_t next, const std::uint32_t* end) {
    std::uint32_t following = v + 1;
    conceal(following);  // before it can be taken for `next`, which is loaded
    if (next == v + 1) [[likely]] {
      v = following;
      return;
    }
    prefetch(first + v + kAhead);
    prefetch(end + kAhead);
    v = next;
    edge = targets + first[v];
  }

  FASTFLOW_INLINE void leave() {
    if (v != kNone) work.nodes[ready++] = v;
    work.count = ready;
    self.breadth = std::max(self.breadth, ready);
    const std::uint32_t ran = most - left;
    if (!kChecked) self.executed += ran;
    self.since_look += ran;
    self.ways += ways;
  }

  GraphRun& run;
  Participant& self;
  WorkStack& work = self.work;
  SoloLock& solo = run.attendance_.solo;
  const NodeBody body = run.body_;
  const std::uint32_t* const first = run.first_;
  const std::uint32_t* const targets = run.targets_;
  Arrivals<GraphPlan>::Alone<kPlain> alone;
  std::int32_t mine;    // up to so many nodes on the stack there is nothing for others
  std::uint32_t most;   // nodes until the next look
  std::uint32_t left;   // of them
  std::uint32_t ready;  // on the stack, besides v
  std::uint32_t ways = 0;     // that have ended
  std::uint32_t v;            // or kNone
  const std::uint32_t* edge;  // of v, the next to arrive along
  bool is_alone = true;
};

// From node to node: runs one, arrives at its successors, and goes on with the first of
// them that became ready, or else with the newest node of the stack; until it is time
// to look at the clock, or there is nothing more at hand.  False: no longer alone.
//
// kPlain: the graph has no node with many neighbours, which would be counted elsewhere
// or put aside.
template <bool kChecked, bool kPlain>
FASTFLOW_APART bool GraphRun::follow_nodes(Participant& self) {
  Path<kChecked, kPlain> path(*this, self);
  do {
    const bool good = path.run_node();
    if (!path.is_alone) [[unlikely]] {
      path.settle_in_company(good);
      break;
    }
    const std::uint32_t* const end = path.targets + path.first[path.v + 1];
    if (!good) path.edge = end;  // it arrives nowhere; the next node's begin there
    if (path.is_wide(end)) [[unlikely]]
      break;
    std::uint32_t next;
    if (path.find_next(end, &next)) [[likely]] {
      path.arrive_at_others(end);
    } else if (!path.take_newest(&next)) {
      break;
    }
    path.go_to(next, end);
  } while (path.left > 0);
  path.leave();
  return path.is_alone;
}

bool GraphRun::follow(Participant& self) {
  const bool checked = body_.checked != nullptr;
  if (plain_) {
    return checked ? follow_nodes<true, true>(self) : follow_nodes<false, true>(self);
  }
  return checked ? follow_nodes<true, false>(self) : follow_nodes<false, false>(self);
}

}  // namespace fastflow
