// ReadyCalls: the nodes of a graph of Python calls that can run now.
//
// Usage
//   ready.push(v);             // v has become ready
//   while (ready.take(&v)) ... // the newest first; sources when nothing else is left
//
// In a large graph whatever a call needs lies somewhere in memory: its record, the
// arguments that this names, the results that those name, and the counters of its
// successors.  One after the other each would be waited for.  So the next kDepth calls
// are chosen in advance, in a ring, and on the way to its end what each needs is asked
// for a step at a time, kGap calls apart: by the time of the next step it is there.
// Nothing is done in advance in a small graph, which is in the cache: there the newest
// ready node always runs next.
//
// Threads: none of its own; the owner's lock.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "arrivals.hpp"
#include "compiler.hpp"
#include "graph.hpp"

namespace fastflow::py {

class ReadyCalls {
 public:
  ReadyCalls(const GraphPlan& plan, const GraphParts& parts,
             const Arrivals<GraphPlan>& arrivals, PyObject* const* results)
      : plan_(plan),
        parts_(parts),
        arrivals_(arrivals),
        results_(results),
        depth_(plan.nodes() >= kLarge ? kDepth : 1) {
    stack_.reserve(plan.nodes());  // so that push() never is without memory
  }

  void push(std::uint32_t v) noexcept { stack_.push_back(v); }

  [[nodiscard]] bool any() {
    return begin_ != end_ || !stack_.empty() || find_source() < plan_.nodes();
  }

  // False: there is none.
  bool take(std::uint32_t* v) {
    while (end_ - begin_ < depth_ && choose(&ring_[end_ % kRoom])) {
      if (depth_ > 1) ask_for_record(ring_[end_ % kRoom]);
      ++end_;
    }
    if (begin_ == end_) return false;
    if (depth_ > 1) look_ahead();
    *v = ring_[begin_++ % kRoom];
    return true;
  }

  // f(v) for each that is left.
  template <class F>
  void drain(const F& f) {
    while (begin_ != end_) f(ring_[begin_++ % kRoom]);
    for (std::uint32_t v = 0; choose(&v);) f(v);
  }

 private:
  static constexpr std::uint32_t kLarge = 1U << 14;  // nodes
  static constexpr std::uint32_t kGap = 2, kSteps = 4, kDepth = kGap * kSteps;
  static constexpr std::uint32_t kRoom = 2 * kDepth;  // a power of two
  static constexpr std::size_t kMost = 8;             // of a node's neighbours

  // The next source, or the number of nodes.
  std::uint32_t find_source() {
    const std::uint8_t* degrees = plan_.degrees();
    while (next_source_ < plan_.nodes() && degrees[next_source_] > 0) ++next_source_;
    return next_source_;
  }

  bool choose(std::uint32_t* v) {
    if (!stack_.empty()) {
      *v = stack_.back();
      stack_.pop_back();
      return true;
    }
    if (find_source() == plan_.nodes()) return false;
    *v = next_source_++;
    return true;
  }

  // A step each for those that have come far enough; several when the ring was empty.
  void look_ahead() {
    for (; step_1_ != end_ && step_1_ - begin_ <= 3 * kGap; ++step_1_) {
      ask_for_lists(ring_[step_1_ % kRoom]);
    }
    for (; step_2_ != step_1_ && step_2_ - begin_ <= 2 * kGap; ++step_2_) {
      ask_for_neighbours(ring_[step_2_ % kRoom]);
    }
    for (; step_3_ != step_2_ && step_3_ - begin_ <= kGap; ++step_3_) {
      ask_for_values(ring_[step_3_ % kRoom]);
    }
  }

  void ask_for_record(std::uint32_t v) const {
    prefetch(plan_.firsts() + v);
    prefetch(&results_[v]);
    if (parts_.from_edges) return;
    prefetch(&parts_.functions[v]);
    prefetch(&parts_.first_argument[v]);
  }

  void ask_for_lists(std::uint32_t v) const {
    prefetch(plan_.targets() + plan_.first_edge(v));
    if (parts_.from_edges) return;
    const std::uint32_t begin = parts_.first_argument[v];
    const std::uint32_t end = parts_.first_argument[v + 1];
    if (begin == end) return;
    prefetch(&parts_.arguments[begin]);
    prefetch(&parts_.arguments[end - 1]);
  }

  void ask_for_neighbours(std::uint32_t v) const {
    const auto targets = plan_.successors(v);
    for (std::uint32_t t : targets.first(std::min(targets.size(), kMost))) {
      arrivals_.prefetch(t);
    }
    each_argument(v, [this](Argument argument) {
      prefetch(argument.kind() == Argument::Kind::kNode
                   ? static_cast<const void*>(&results_[argument.index()])
                   : argument.object());
    });
  }

  void ask_for_values(std::uint32_t v) const {
    each_argument(v, [this](Argument argument) {
      if (argument.kind() == Argument::Kind::kNode) {
        prefetch(results_[argument.index()]);
      }
    });
  }

  template <class F>
  void each_argument(std::uint32_t v, const F& f) const {
    if (parts_.from_edges) return;
    const std::uint32_t* const first = parts_.first_argument.data() + v;
    const Argument* argument = parts_.arguments.data() + first[0];
    const Argument* const end =
        argument + std::min<std::size_t>(first[1] - first[0], kMost);
    for (; argument != end; ++argument) f(*argument);
  }

  const GraphPlan& plan_;
  const GraphParts& parts_;
  const Arrivals<GraphPlan>& arrivals_;
  PyObject* const* const results_;
  const std::uint32_t depth_;

  std::vector<std::uint32_t> stack_;  // the newest at the end
  std::uint32_t next_source_ = 0;     // nodes from here on may be sources
  // Chosen, by running numbers: from begin_ on they are to run, from each step on that
  // step is to come.
  std::uint32_t ring_[kRoom];
  std::uint32_t begin_ = 0, step_3_ = 0, step_2_ = 0, step_1_ = 0, end_ = 0;
};

}  // namespace fastflow::py
