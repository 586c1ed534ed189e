// The inner parts of GraphRun: a participant, the bodies it runs, and what these make
// ready.  For graph_run.cpp, graph_alone.cpp and graph_together.cpp only.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstring>
#include <mutex>
#include <utility>

#include "arrivals.hpp"
#include "compiler.hpp"
#include "graph_run.hpp"
#include "mailbox.hpp"
#include "work_stack.hpp"

namespace fastflow {

namespace graph {

constexpr std::uint32_t kHand = 16;      // nodes taken at a time while they are short
constexpr std::uint32_t kTinyHand = 64;  // and while they are hardly anything
constexpr std::uint32_t kWideFan = 32;   // more successors than this are a span
constexpr std::uint32_t kGrain = 64;     // of a span, taken at a time
constexpr std::uint32_t kNone = 0xffff'ffff;
constexpr std::uint32_t kMostReady = WorkStack::kRoom - kWideFan;

}  // namespace graph

struct GraphRun::Participant : Place {
  WorkStack work;
  std::uint32_t hand[graph::kTinyHand];
  std::uint32_t later = 0;  // of the hand: those from here on have not run
  // Measuring: nodes until the next look at the clock, since the last one, between two.
  std::uint32_t since_look = 0;
  std::uint32_t look_every = 1;
  std::uint32_t ways = 0;     // that ended since then: the next node came off the stack
  std::uint32_t way = 1;      // half of their length in nodes, lately
  std::uint32_t breadth = 0;  // most nodes seen ready at a time since the last look
  Clock::time_point last_look;
  Nanoseconds cost{0};        // of a node, lately
  Nanoseconds judged{0};      // the same; 0 if there was too little to judge by
  Nanoseconds steady{0};      // the lower one of the last two judged: not a hiccup's
  Nanoseconds unanswered{0};  // time with something on offer and nobody to take it
  std::uint64_t executed = 0;
  CacheAligned<Mailbox> box;
  bool called = true;      // for company, by the founder; or there is none to be had
  bool came_later = true;  // not the founder, who begins alone
};

// The newest nodes.
inline std::uint32_t GraphRun::take_hand(Participant& self, std::uint32_t most) {
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

inline std::uint32_t GraphRun::run_checked(Participant& self, std::uint32_t n) {
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
}

// After so many nodes; or at once, as the bodies have grown long or the run is
// cancelled.
inline bool GraphRun::should_look(const Participant& self) const noexcept {
  return self.since_look >= self.look_every ||
         self.in_the_way.load(std::memory_order_relaxed);  // a hint
}

// Backwards, so that the first one that is ready is the next to run.
template <bool kAlone>
inline void GraphRun::settle_edges(Participant& self, std::uint32_t begin,
                                   std::uint32_t end) {
  WorkStack& work = self.work;
  work.make_room(end - begin + 1);
  std::uint32_t n = work.count;
  if constexpr (kAlone) {
    Arrivals<GraphPlan>::Alone<> alone(arrivals_);
    for (std::uint32_t e = end; e-- > begin;) {
      const std::uint32_t t = targets_[e];
      work.nodes[n] = t;
      n += alone.arrive(t) ? 1 : 0;
    }
  } else {
    for (std::uint32_t e = end; e-- > begin;) {
      const std::uint32_t t = targets_[e];
      work.nodes[n] = t;
      n += arrivals_.arrive(t) ? 1 : 0;
    }
  }
  work.count = n;
}

// Arrives at t, the only successor of node i in the hand, for that one and for those
// after it that have no other one either: a fan-in is counted once for a hand.  Returns
// how many there were after it.
inline std::uint32_t GraphRun::settle_alike(Participant& self, std::uint32_t t,
                                            std::uint32_t i, std::uint32_t n) {
  std::uint32_t more = 0;
  for (std::uint32_t k = i + 1; k < n; ++k, ++more) {
    const std::uint32_t* const first = first_ + self.hand[k];
    if (first[1] - first[0] != 1 || targets_[first[0]] != t) break;
  }
  if (arrivals_.arrive(t, more + 1)) self.work.push(t);
  return more;
}

// Arrives at the successors of n nodes in the hand.
template <bool kAlone>
void GraphRun::settle(Participant& self, std::uint32_t n) {
  if (n > 2 && scattered_) {
    for (std::uint32_t i = 0; i < n; ++i) prefetch(&targets_[first_[self.hand[i]]]);
    for (std::uint32_t i = 0; i < n; ++i) {
      const std::uint32_t v = self.hand[i];
      const std::uint32_t end = std::min(first_[v + 1], first_[v] + graph::kWideFan);
      for (std::uint32_t e = first_[v]; e < end; ++e) arrivals_.prefetch(targets_[e]);
    }
  }
  for (std::uint32_t i = 0; i < n; ++i) {
    const std::uint32_t begin = first_[self.hand[i]], end = first_[self.hand[i] + 1];
    if (!kAlone && end - begin == 1) {
      i += settle_alike(self, targets_[begin], i, n);
    } else if (end - begin <= graph::kWideFan) {
      settle_edges<kAlone>(self, begin, end);
    } else {
      self.work.spans.push_back({begin, end, Span::Kind::kEdges});
    }
  }
}

// The first node from `begin` on that waits for no other, or `end`.
inline std::uint32_t GraphRun::next_source(std::uint32_t begin,
                                           std::uint32_t end) const {
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
    const std::uint32_t end = begin + std::min(span.size(), graph::kGrain);
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

}  // namespace fastflow
