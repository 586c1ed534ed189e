#include "graph_plan.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "compiler.hpp"

namespace fastflow {

namespace {

constexpr std::int64_t kAhead = 16;  // edges whose memory is asked for in advance

// Whether neighbours in an array of node numbers lie far apart.
template <class Index>
bool jumps(const Index* nodes, std::int64_t m) {
  constexpr std::int64_t kSamples = 64, kNear = 512;
  if (m < (std::int64_t{1} << 16)) return false;
  std::int64_t far = 0;
  for (std::int64_t i = 0; i < kSamples; ++i) {
    const std::int64_t e = m / kSamples * i;
    // As they are not checked yet, the distance may be any number.
    const auto a = static_cast<std::uint64_t>(nodes[e]);
    const auto b = static_cast<std::uint64_t>(nodes[e + 1]);
    far += std::max(a, b) - std::min(a, b) > kNear ? 1 : 0;
  }
  return far * 2 > kSamples;
}

// Kahn's algorithm; what is left in `degrees` above zero lies on a cycle or behind one.
// Many nodes at a time, so that the memory of their successors is asked for in advance.
void remove_acyclic_part(const GraphPlan& plan, BigVector<std::uint32_t>* degrees) {
  constexpr std::size_t kHand = 16;
  BigVector<std::uint32_t> ready;
  for (std::uint32_t v = 0; v < plan.nodes(); ++v) {
    if ((*degrees)[v] == 0) ready.push_back(v);
  }
  std::uint32_t hand[kHand];
  while (!ready.empty()) {
    const std::size_t n = std::min(ready.size(), kHand);
    std::copy(ready.end() - static_cast<std::ptrdiff_t>(n), ready.end(), hand);
    ready.resize(ready.size() - n);
    for (std::size_t i = 0; i < n; ++i) prefetch(plan.firsts() + hand[i]);
    for (std::size_t i = 0; i < n; ++i) {
      prefetch(plan.targets() + plan.first_edge(hand[i]));
    }
    for (std::size_t i = 0; i < n; ++i) {
      const auto targets = plan.successors(hand[i]);
      for (std::uint32_t t : targets.first(std::min(targets.size(), kHand))) {
        prefetch(degrees->data() + t);
      }
    }
    for (std::size_t i = 0; i < n; ++i) {
      for (std::uint32_t t : plan.successors(hand[i])) {
        if (--(*degrees)[t] == 0) ready.push_back(t);
      }
    }
  }
}

BigVector<std::uint32_t> degrees_of(const GraphPlan& plan) {
  BigVector<std::uint32_t> degrees(plan.nodes());
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
  const bool read = jumps(src, m) || jumps(dst, m)
                        ? plan->take_edges<true>(src, dst, m, error)
                        : plan->take_edges<false>(src, dst, m, error);
  if (!read) return nullptr;
  if (plan->forward_) return plan;
  BigVector<std::uint32_t> left = degrees_of(*plan);
  remove_acyclic_part(*plan, &left);
  if (std::all_of(left.begin(), left.end(), [](auto d) { return d == 0; })) return plan;
  error->kind = PlanError::Kind::kCycle;
  error->cycle = plan->find_cycle();
  return nullptr;
}

// kScattered: the memory of each edge's ends is asked for in advance.
template <bool kScattered, class Index>
bool GraphPlan::take_edges(const Index* src, const Index* dst, std::int64_t m,
                           PlanError* error) {
  if (!read_edges<kScattered>(src, dst, m, error)) return false;
  sort_targets<kScattered>(src, dst, m);
  return true;
}

// Counts the edges of each node, two places ahead of its own in first_, and its
// predecessors.  False: some end of an edge is not a node.
template <bool kScattered, class Index>
bool GraphPlan::read_edges(const Index* src, const Index* dst, std::int64_t m,
                           PlanError* error) {
  first_ = BigArray<std::uint32_t>(std::size_t{nodes_} + 2);
  degrees_ = BigArray<std::uint8_t>(nodes_);
  std::fill_n(first_.data(), first_.size(), 0U);
  std::fill_n(degrees_.data(), degrees_.size(), std::uint8_t{0});
  std::unordered_map<std::uint32_t, std::uint32_t> more;  // beyond kWide
  std::uint32_t* const counts = first_.data() + 2;
  std::uint8_t* const degrees = degrees_.data();
  const std::uint64_t n = nodes_;
  bool sorted = true, forward = true;
  Index before = 0;
  for (std::int64_t e = 0; e < m; ++e) {
    const Index s = src[e], d = dst[e];
    if constexpr (kScattered) {
      const std::int64_t later = std::min(e + kAhead, m - 1);  // not checked yet
      prefetch(counts + std::min(static_cast<std::uint64_t>(src[later]), n));
      prefetch(degrees + std::min(static_cast<std::uint64_t>(dst[later]), n));
    }
    // One comparison each: as unsigned numbers, negative ones are too large.
    if (static_cast<std::uint64_t>(s) >= n || static_cast<std::uint64_t>(d) >= n) {
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
template <bool kScattered, class Index>
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
      if constexpr (kScattered) {  // but for what comes in between, it will go there
        prefetch(next + src[std::min(e + 2 * kAhead, m - 1)]);
        prefetch(targets + next[src[std::min(e + kAhead, m - 1)]]);
      }
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
  BigVector<std::uint32_t> left = degrees_of(*this);
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
