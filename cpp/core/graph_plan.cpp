#include "graph_plan.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace fastflow {

namespace {

// Kahn's algorithm; what is left in `degrees` above zero lies on a cycle or behind one.
void remove_acyclic_part(const GraphPlan& plan, std::vector<std::uint32_t>* degrees) {
  std::vector<std::uint32_t> ready;
  for (std::uint32_t v = 0; v < plan.nodes(); ++v) {
    if ((*degrees)[v] == 0) ready.push_back(v);
  }
  while (!ready.empty()) {
    const std::uint32_t v = ready.back();
    ready.pop_back();
    for (std::uint32_t t : plan.successors(v)) {
      if (--(*degrees)[t] == 0) ready.push_back(t);
    }
  }
}

std::vector<std::uint32_t> degrees_of(const GraphPlan& plan) {
  std::vector<std::uint32_t> degrees(plan.nodes());
  for (std::uint32_t v = 0; v < plan.nodes(); ++v) degrees[v] = plan.in_degree(v);
  return degrees;
}

}  // namespace

template <class Index>
std::shared_ptr<const GraphPlan> GraphPlan::build(std::int64_t n, const Index* src,
                                                  const Index* dst, std::int64_t m,
                                                  PlanError* error) {
  assert(n >= 0 && n <= kMost && m >= 0 && m <= kMost);
  std::shared_ptr<GraphPlan> plan(new GraphPlan);
  plan->nodes_ = static_cast<std::uint32_t>(n);
  if (!plan->read_edges(src, dst, m, error)) return nullptr;
  plan->sort_targets(src, dst, m);
  if (plan->forward_) return plan;
  std::vector<std::uint32_t> left = degrees_of(*plan);
  remove_acyclic_part(*plan, &left);
  if (std::all_of(left.begin(), left.end(), [](auto d) { return d == 0; })) return plan;
  error->kind = PlanError::Kind::kCycle;
  error->cycle = plan->find_cycle();
  return nullptr;
}

// Counts the edges of each node, two places ahead of its own in first_, and its
// predecessors.  False: some end of an edge is not a node.
template <class Index>
bool GraphPlan::read_edges(const Index* src, const Index* dst, std::int64_t m,
                           PlanError* error) {
  first_ = BigArray<std::uint32_t>(std::size_t{nodes_} + 2);
  degrees_ = BigArray<std::uint8_t>(nodes_);
  std::fill_n(first_.data(), first_.size(), 0U);
  std::fill_n(degrees_.data(), degrees_.size(), std::uint8_t{0});
  std::unordered_map<std::uint32_t, std::uint32_t> more;  // beyond kWide
  std::uint32_t* const counts = first_.data() + 2;
  std::uint8_t* const degrees = degrees_.data();
  bool sorted = true, forward = true;
  Index before = 0;
  for (std::int64_t e = 0; e < m; ++e) {
    const Index s = src[e], d = dst[e];
    // One comparison each: as unsigned numbers, negative ones are too large.
    if (static_cast<std::uint64_t>(s) >= nodes_ ||
        static_cast<std::uint64_t>(d) >= nodes_) {
      error->kind = PlanError::Kind::kOutOfRange;
      error->edge = e;
      return false;
    }
    sorted &= s >= before;
    forward &= s < d;
    before = s;
    ++counts[s];
    if (degrees[d] < kWide) {
      ++degrees[d];
    } else {
      std::int64_t run = e + 1;  // a fan-in often stands together
      while (run < m && dst[run] == d && src[run] >= before &&
             static_cast<std::uint64_t>(src[run]) < nodes_) {
        before = src[run];
        forward &= before < d;
        ++counts[src[run++]];
      }
      more[static_cast<std::uint32_t>(d)] += static_cast<std::uint32_t>(run - e);
      e = run - 1;
    }
  }
  sorted_ = sorted;
  forward_ = forward;
  const auto single = std::count(degrees, degrees + nodes_, std::uint8_t{1});
  joining_edges_ = static_cast<std::uint32_t>(m - single);
  keep_wide(more);
  return true;
}

// Counting sort by source.
template <class Index>
void GraphPlan::sort_targets(const Index* src, const Index* dst, std::int64_t m) {
  targets_ = BigArray<std::uint32_t>(static_cast<std::size_t>(m));
  // After the sums first_[v + 1] is where v's edges begin; after the filling, where
  // they end.  Edges that come sorted fill nothing, so they end there at once.
  std::uint32_t sum = 0, most = 0;
  std::uint32_t* const ends = first_.data() + (sorted_ ? 1 : 2);
  for (std::size_t v = 0; v < nodes_; ++v) {
    most = std::max(most, first_[v + 2]);
    ends[v] = sum += first_[v + 2];
  }
  most_successors_ = most;
  if (sorted_) {
    std::transform(dst, dst + m, targets_.data(),
                   [](Index d) { return static_cast<std::uint32_t>(d); });
  } else {
    std::uint32_t* const next = first_.data() + 1;
    std::uint32_t* const targets = targets_.data();
    for (std::int64_t e = 0; e < m; ++e) {
      targets[next[src[e]]++] = static_cast<std::uint32_t>(dst[e]);
    }
  }
}

void GraphPlan::keep_wide(
    const std::unordered_map<std::uint32_t, std::uint32_t>& more) {
  const std::uint8_t* const degrees = degrees_.data();
  const auto next_wide = [degrees, n = nodes_](std::uint32_t v) {
    const void* found = v < n ? std::memchr(degrees + v, kWide, n - v) : nullptr;
    if (found == nullptr) return n;
    return static_cast<std::uint32_t>(static_cast<const std::uint8_t*>(found) -
                                      degrees);
  };
  std::uint32_t v = next_wide(0);
  if (v == nodes_) return;
  wide_bits_.resize(std::size_t{nodes_} / 64 + 1);
  for (; v < nodes_; v = next_wide(v + 1)) {
    // One for each word up to that of v.
    wide_before_.resize(v / 64 + 1, static_cast<std::uint32_t>(wide_degrees_.size()));
    const auto found = more.find(v);
    wide_bits_[v / 64] |= std::uint64_t{1} << v % 64;
    wide_degrees_.push_back(kWide + (found == more.end() ? 0 : found->second));
  }
}

// Among the nodes that are never ready each has a predecessor of the same kind: walking
// back from any of them ends in a cycle.
std::vector<std::uint32_t> GraphPlan::find_cycle() const {
  constexpr std::uint32_t kNone = 0xffff'ffff;
  std::vector<std::uint32_t> left = degrees_of(*this);
  remove_acyclic_part(*this, &left);
  std::vector<std::uint32_t> previous(nodes_, kNone);
  std::uint32_t v = kNone;
  for (std::uint32_t s = 0; s < nodes_; ++s) {
    if (left[s] == 0) continue;
    v = s;
    for (std::uint32_t t : successors(s)) {
      if (left[t] > 0) previous[t] = s;
    }
  }
  assert(v != kNone);
  for (std::uint32_t steps = 0; steps < nodes_; ++steps) v = previous[v];
  std::vector<std::uint32_t> cycle;
  for (std::uint32_t w = v; cycle.empty() || w != v; w = previous[w]) {
    cycle.push_back(w);
  }
  std::reverse(cycle.begin(), cycle.end());
  // Begin with the lowest number: the same cycle always reads the same.
  std::rotate(cycle.begin(), std::min_element(cycle.begin(), cycle.end()), cycle.end());
  return cycle;
}

std::size_t GraphPlan::bytes() const noexcept {
  return sizeof(GraphPlan) + first_.bytes() + targets_.bytes() + degrees_.bytes() +
         wide_bits_.capacity() * sizeof(std::uint64_t) +
         wide_before_.capacity() * sizeof(std::uint32_t) +
         wide_degrees_.capacity() * sizeof(std::uint32_t);
}

std::size_t GraphPlan::run_bytes() const noexcept {
  return degrees_.bytes() + wide_degrees_.size() * sizeof(std::uint32_t);
}

template std::shared_ptr<const GraphPlan> GraphPlan::build(std::int64_t,
                                                           const std::int32_t*,
                                                           const std::int32_t*,
                                                           std::int64_t, PlanError*);
template std::shared_ptr<const GraphPlan> GraphPlan::build(std::int64_t,
                                                           const std::int64_t*,
                                                           const std::int64_t*,
                                                           std::int64_t, PlanError*);

}  // namespace fastflow
