// GraphRun's participants in company, in a graph whose neighbours lie together.
#include "graph_nodes.hpp"

namespace fastflow {

namespace {

constexpr std::uint32_t kNone = 0xffff'ffff;

}  // namespace

FASTFLOW_APART std::uint32_t GraphRun::follow_together(Participant& self) {
  WorkStack& work = self.work;
  const NodeBody body = body_;
  const std::uint32_t* const first = first_;
  const std::uint32_t* const targets = targets_;
  Arrivals<GraphPlan>::Together together(arrivals_);
  const std::uint32_t most =
      self.look_every - std::min(self.since_look, self.look_every - 1);
  std::uint32_t ran = 0;
  work.make_room(graph::kWideFan);
  std::uint32_t v = work.nodes[--work.count];
  if (work.has_spare()) offer(self, 1);
  std::uint32_t ready = work.count;
  for (;;) {
    if (ready == 0) {
      body.call(v, body.data);
    } else {
      work.count = ready;
      self.unlock();
      body.call(v, body.data);
      self.lock();
      ready = work.count;
    }
    ++ran;
    std::uint32_t next = kNone;
    const std::uint32_t* const end = targets + first[v + 1];
    for (const std::uint32_t* edge = targets + first[v]; edge != end; ++edge) {
      const std::uint32_t t = *edge;
      if (!together.arrive(t)) continue;
      if (next == kNone) {
        next = t;
      } else {
        work.nodes[ready++] = t;
      }
    }
    if (next == kNone) {
      if (ready == 0) break;
      next = work.nodes[--ready];
    }
    v = next;
    if (ready > 0 && (is_wanted() || ready > WorkStack::kRoom - graph::kWideFan)) {
      work.count = ready;
      work.make_room(graph::kWideFan);
      offer(self, 1);
      ready = work.count;
    }
    if (ran >= most || self.in_the_way.load(std::memory_order_relaxed)) {
      work.nodes[ready++] = v;
      break;
    }
  }
  work.count = ready;
  self.executed += ran;
  self.since_look += ran;
  return ran;
}

}  // namespace fastflow
