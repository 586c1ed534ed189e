// GraphPlan: an immutable directed acyclic graph in compressed sparse row form.
//
// Usage
//   PlanError error;
//   auto plan = GraphPlan::build(n, src, dst, m, &error);   // int32 or int64 arrays
//   plan->successors(v)                                     // std::span of node
//   numbers
//
// Layout: `first` (n + 1 words) and `targets` (m words): the successors of v are
// targets[first[v]] .. targets[first[v + 1]].  In-degrees take a byte; the few nodes
// with kWide and more predecessors have theirs in a table of their own.  That is 4
// bytes per edge and 5 per node; a run adds 1 per node for its counters.
//
// Building takes linear time: two passes over the edges, and one over the graph only if
// some edge leads to a lower number (else the numbering itself shows that there is no
// cycle).
//
// Limits: fewer than 2^31 nodes and 2^31 edges.
// Threads: a plan never changes once it is built.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "big_array.hpp"

namespace fastflow {

struct PlanError {
  enum class Kind { kNone, kOutOfRange, kCycle };
  Kind kind = Kind::kNone;
  std::int64_t edge = 0;             // kOutOfRange: its position in the arrays
  std::vector<std::uint32_t> cycle;  // kCycle: in the order of the edges, no repetition
};

class GraphPlan {
 public:
  static constexpr std::int64_t kMost = 0x7fff'ffff;  // nodes, edges
  static constexpr std::uint8_t kWide = 0xff;

  // nullptr with *error filled.  REQUIRES: 0 <= n, m < 2^31.
  template <class Index>
  static std::shared_ptr<const GraphPlan> build(std::int64_t n, const Index* src,
                                                const Index* dst, std::int64_t m,
                                                PlanError* error);

  [[nodiscard]] std::uint32_t nodes() const noexcept { return nodes_; }
  [[nodiscard]] std::uint32_t edges() const noexcept { return first_[nodes_]; }
  // Those that lead to nodes with other predecessors.
  [[nodiscard]] std::uint32_t joining_edges() const noexcept { return joining_edges_; }
  // The largest out-degree.
  [[nodiscard]] std::uint32_t most_successors() const noexcept {
    return most_successors_;
  }
  // The edges of v are numbered first_edge(v) .. first_edge(v + 1).
  [[nodiscard]] std::uint32_t first_edge(std::uint32_t v) const noexcept {
    return first_[v];
  }
  [[nodiscard]] const std::uint32_t* targets() const noexcept {
    return targets_.data();
  }
  [[nodiscard]] const std::uint32_t* firsts() const noexcept { return first_.data(); }
  [[nodiscard]] std::span<const std::uint32_t> successors(std::uint32_t v) const {
    return {targets() + first_[v], targets() + first_[v + 1]};
  }
  // In-degrees, kWide standing for kWide and more.
  [[nodiscard]] const std::uint8_t* degrees() const noexcept { return degrees_.data(); }
  [[nodiscard]] std::uint32_t in_degree(std::uint32_t v) const {
    return degrees_[v] < kWide ? degrees_[v] : wide_degrees_[wide_index(v)];
  }
  // The nodes of in-degree kWide and more are numbered 0 .. wide_degrees().size().
  [[nodiscard]] const std::vector<std::uint32_t>& wide_degrees() const noexcept {
    return wide_degrees_;
  }
  // REQUIRES: degrees()[v] == kWide.
  [[nodiscard]] std::uint32_t wide_index(std::uint32_t v) const {
    const std::uint64_t below = wide_bits_[v / 64] & ((std::uint64_t{1} << v % 64) - 1);
    return wide_before_[v / 64] + static_cast<std::uint32_t>(std::popcount(below));
  }

  // Bytes that the plan takes, and those that each run of it adds.
  [[nodiscard]] std::size_t bytes() const noexcept;
  [[nodiscard]] std::size_t run_bytes() const noexcept;

 private:
  GraphPlan() = default;
  template <bool kScattered, class Index>
  bool take_edges(const Index* src, const Index* dst, std::int64_t m, PlanError* error);
  template <bool kScattered, class Index>
  bool read_edges(const Index* src, const Index* dst, std::int64_t m, PlanError* error);
  template <bool kScattered, class Index>
  void sort_targets(const Index* src, const Index* dst, std::int64_t m);
  void keep_wide(const std::unordered_map<std::uint32_t, std::uint32_t>& more);
  [[nodiscard]] std::vector<std::uint32_t> find_cycle() const;

  std::uint32_t nodes_ = 0;
  bool sorted_ = true;   // the edges came sorted by source
  bool forward_ = true;  // every edge leads to a higher number
  std::uint32_t joining_edges_ = 0;
  std::uint32_t most_successors_ = 0;
  BigArray<std::uint32_t> first_;
  BigArray<std::uint32_t> targets_;
  BigArray<std::uint8_t> degrees_;
  // A bit for each wide node, how many there are before each word of bits, and their
  // in-degrees; all empty if there is none.
  std::vector<std::uint64_t> wide_bits_;
  std::vector<std::uint32_t> wide_before_;
  std::vector<std::uint32_t> wide_degrees_;
};

}  // namespace fastflow
