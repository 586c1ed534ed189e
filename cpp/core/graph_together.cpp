// GraphRun's participants in company, where neighbours lie together and bodies are
// short.
#include "graph_nodes.hpp"

namespace fastflow {

using graph::kNone;

// Goes the same way as follow_nodes does, and counts along with others: until it is
// time to look at the clock, somebody looks for work while there is some besides, or
// nothing more is at hand.  Returns how many nodes it ran.  Locked on entry and exit.
//
// The place's lock costs two stores and a load (SoloLock), and only while something
// lies on the stack; else there is nothing for a watcher to take.
FASTFLOW_APART std::uint32_t GraphRun::follow_together(Participant& self) {
  WorkStack& work = self.work;
  const NodeBody body = body_;
  const std::uint32_t *const first = first_, *const targets = targets_;
  Arrivals<GraphPlan>::Together together(arrivals_);
  const std::uint32_t most =
      self.look_every - std::min(self.since_look, self.look_every - 1);
  work.make_room(graph::kWideFan);
  std::uint32_t v = work.nodes[--work.count];
  if (work.has_spare()) offer(self, 1);
  std::uint32_t ready = work.count, left = most;
  const std::uint32_t* edge = targets + first[v];
  for (;;) {
    if (ready == 0) {
      body.call(v, body.data);
    } else {
      work.count = ready;
      self.unlock();
      body.call(v, body.data);
      self.lock();
      ready = work.count;  // fewer, if a watcher came
    }
    --left;
    const std::uint32_t* const end = targets + first[v + 1];
    std::uint32_t next = kNone;
    while (edge != end) {
      const std::uint32_t t = *edge++;
      if (!together.arrive(t)) continue;
      next = t;
      break;
    }
    while (edge != end) {
      const std::uint32_t t = *edge++;
      if (together.arrive(t)) work.nodes[ready++] = t;
    }
    if (next == kNone) {
      if (ready == 0) break;
      next = work.nodes[--ready];
    }
    std::uint32_t following = v + 1;
    conceal(following);  // as in Path::go_to
    if (next == v + 1) [[likely]] {
      v = following;  // its edges begin where those of v end
    } else {
      v = next;
      edge = targets + first[v];
    }
    // relaxed: a hint.
    if (left == 0 || self.in_the_way.load(std::memory_order_relaxed) ||
        ready > graph::kMostReady || (ready > 0 && is_wanted())) [[unlikely]] {
      work.nodes[ready++] = v;
      break;
    }
  }
  work.count = ready;
  self.executed += most - left;
  self.since_look += most - left;
  return most - left;
}

}  // namespace fastflow
