// A graph as the peers get it: successors in compressed rows, and join counts.

#ifndef FASTFLOW_BENCHMARKS_GRAPH_CSR_HPP_
#define FASTFLOW_BENCHMARKS_GRAPH_CSR_HPP_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

using Node = std::uint32_t;

struct Csr {
  // REQUIRES: 0 <= src[k], dst[k] < n; n and edges below 2^32; no cycle.
  Csr(std::size_t n, std::size_t edges, const std::int32_t* src,
      const std::int32_t* dst)
      : first(n + 1, 0), next(edges), joins(n, 0) {
    for (std::size_t k = 0; k < edges; ++k) {
      ++first[static_cast<Node>(src[k]) + 1];
      ++joins[static_cast<Node>(dst[k])];
    }
    for (std::size_t i = 0; i < n; ++i) first[i + 1] += first[i];
    std::vector<Node> slot(first.begin(), first.end() - 1);
    for (std::size_t k = 0; k < edges; ++k) {
      next[slot[static_cast<Node>(src[k])]++] = static_cast<Node>(dst[k]);
    }
    for (Node i = 0; i < n; ++i) {
      if (joins[i] == 0) sources.push_back(i);
    }
  }

  std::size_t size() const { return joins.size(); }

  std::span<const Node> successors(Node i) const {
    return {next.data() + first[i], next.data() + first[i + 1]};
  }

  std::vector<Node> first;          // length n + 1
  std::vector<Node> next;           // length edges
  std::vector<std::int32_t> joins;  // in-edges, length n
  std::vector<Node> sources;
};

// Kahn's algorithm: visits every node after its predecessors, in order of readiness.
// `left` and `queue` are scratch space, kept between runs.
template <typename Visit>
void sweep(const Csr& graph, std::vector<std::int32_t>& left, std::vector<Node>& queue,
           Visit visit) {
  left = graph.joins;
  queue.resize(graph.size());
  std::copy(graph.sources.begin(), graph.sources.end(), queue.begin());
  std::size_t ready = graph.sources.size();
  for (std::size_t done = 0; done < ready; ++done) {
    const Node node = queue[done];
    visit(node);
    for (const Node successor : graph.successors(node)) {
      if (--left[successor] == 0) queue[ready++] = successor;
    }
  }
}

// Number of nodes on the longest path.
inline std::int64_t critical_path(const Csr& graph) {
  std::vector<std::int32_t> left;
  std::vector<Node> queue;
  std::vector<std::int64_t> depth(graph.size(), 1);
  std::int64_t longest = 0;
  sweep(graph, left, queue, [&](Node node) {
    longest = std::max(longest, depth[node]);
    for (const Node successor : graph.successors(node)) {
      depth[successor] = std::max(depth[successor], depth[node] + 1);
    }
  });
  return longest;
}

#endif  // FASTFLOW_BENCHMARKS_GRAPH_CSR_HPP_
