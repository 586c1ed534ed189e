#include "graph_plan.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <set>

using namespace fastflow;  // NOLINT: the test is about all of it

namespace {

struct Edges {
  std::vector<std::int32_t> src, dst;
  void add(std::int32_t s, std::int32_t d) {
    src.push_back(s);
    dst.push_back(d);
  }
};

std::shared_ptr<const GraphPlan> build(std::int64_t n, const Edges& e,
                                       PlanError* error) {
  return GraphPlan::build(n, e.src.data(), e.dst.data(),
                          static_cast<std::int64_t>(e.src.size()), error);
}

std::vector<std::uint32_t> sorted(std::span<const std::uint32_t> nodes) {
  std::vector<std::uint32_t> all(nodes.begin(), nodes.end());
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace

TEST_CASE("successors and in-degrees, whatever the order of the edges") {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    const std::int32_t n = 2 + static_cast<std::int32_t>(random() % 60);
    Edges edges;
    std::vector<std::vector<std::uint32_t>> successors(static_cast<std::size_t>(n));
    std::vector<std::uint32_t> degrees(static_cast<std::size_t>(n));
    for (int k = 0; k < 200; ++k) {
      auto a = static_cast<std::int32_t>(random() % static_cast<unsigned>(n));
      auto b = static_cast<std::int32_t>(random() % static_cast<unsigned>(n));
      if (a == b) continue;
      edges.add(std::min(a, b), std::max(a, b));
    }
    if (round % 2 == 0) std::sort(edges.src.begin(), edges.src.end());
    for (std::size_t k = 0; k < edges.src.size(); ++k) {
      if (edges.src[k] >= edges.dst[k]) edges.dst[k] = n - 1;
      if (edges.src[k] >= edges.dst[k]) edges.src[k] = 0;
      successors[static_cast<std::size_t>(edges.src[k])].push_back(
          static_cast<std::uint32_t>(edges.dst[k]));
      ++degrees[static_cast<std::size_t>(edges.dst[k])];
    }
    PlanError error;
    const auto plan = build(n, edges, &error);
    REQUIRE(plan != nullptr);
    CHECK(plan->edges() == edges.src.size());
    for (std::uint32_t v = 0; v < plan->nodes(); ++v) {
      std::sort(successors[v].begin(), successors[v].end());
      CHECK(sorted(plan->successors(v)) == successors[v]);
      CHECK(plan->in_degree(v) == degrees[v]);
    }
  }
}

TEST_CASE("nodes with hundreds of predecessors are counted apart") {
  for (std::int32_t fan : {253, 254, 255, 256, 257, 1000}) {
    for (const bool together : {true, false}) {
      Edges edges;  // two fan-ins, one after the other or mixed
      for (std::int32_t i = 0; i < fan; ++i) {
        edges.add(i, fan);
        if (!together) edges.add(i, fan + 1);
      }
      for (std::int32_t i = 0; together && i < fan; ++i) edges.add(i, fan + 1);
      PlanError error;
      const auto plan = build(fan + 2, edges, &error);
      REQUIRE(plan != nullptr);
      CHECK(plan->in_degree(static_cast<std::uint32_t>(fan)) ==
            static_cast<std::uint32_t>(fan));
      CHECK(plan->in_degree(static_cast<std::uint32_t>(fan) + 1) ==
            static_cast<std::uint32_t>(fan));
      CHECK(plan->wide_degrees().size() == (fan >= 255 ? 2 : 0));
      CHECK(plan->successors(3).size() == 2);
    }
  }
}

TEST_CASE("wide nodes far from each other are found, each with its own count") {
  constexpr std::int32_t kNodes = 1'000;
  Edges edges;
  const std::vector<std::int32_t> wide = {500, 501, 563, 700, 999};
  for (std::size_t k = 0; k < wide.size(); ++k) {
    for (std::int32_t i = 0; i < 300 + static_cast<std::int32_t>(k); ++i) {
      edges.add(i, wide[k]);
    }
  }
  PlanError error;
  const auto plan = build(kNodes, edges, &error);
  REQUIRE(plan != nullptr);
  CHECK(plan->wide_degrees().size() == wide.size());
  for (std::size_t k = 0; k < wide.size(); ++k) {
    const auto v = static_cast<std::uint32_t>(wide[k]);
    CHECK(plan->wide_index(v) == k);
    CHECK(plan->in_degree(v) == 300 + k);
    CHECK(plan->in_degree(v - 2) == 0);
  }
  CHECK(plan->most_successors() == wide.size());
}

TEST_CASE("an edge that leads nowhere is named") {
  PlanError error;
  for (const std::int64_t bad :
       {std::int64_t{3}, std::int64_t{-1}, std::int64_t{1} << 40}) {
    const std::int64_t src[] = {0, 1, bad}, dst[] = {1, 2, 2};
    CHECK(GraphPlan::build(3, src, dst, 3, &error) == nullptr);
    CHECK(error.kind == PlanError::Kind::kOutOfRange);
    CHECK(error.edge == 2);
    CHECK(GraphPlan::build(3, dst, src, 3, &error) == nullptr);
    CHECK(error.edge == 2);
  }
}

TEST_CASE("a cycle is found and is one") {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    const std::int32_t n = 3 + static_cast<std::int32_t>(random() % 40);
    Edges edges;
    for (int k = 0; k < 60; ++k) {
      edges.add(static_cast<std::int32_t>(random() % static_cast<unsigned>(n)),
                static_cast<std::int32_t>(random() % static_cast<unsigned>(n)));
    }
    PlanError error;
    if (build(n, edges, &error) != nullptr) continue;
    REQUIRE(error.kind == PlanError::Kind::kCycle);
    std::set<std::pair<std::uint32_t, std::uint32_t>> known;
    for (std::size_t k = 0; k < edges.src.size(); ++k) {
      known.emplace(edges.src[k], edges.dst[k]);
    }
    const auto& cycle = error.cycle;
    REQUIRE(!cycle.empty());
    CHECK(std::set(cycle.begin(), cycle.end()).size() == cycle.size());
    for (std::size_t i = 0; i < cycle.size(); ++i) {
      CHECK(known.contains({cycle[i], cycle[(i + 1) % cycle.size()]}));
    }
  }
}

// Large enough for the memory of edges to be asked for in advance.
TEST_CASE("a large graph whose edges lie scattered; and what may be wrong with it") {
  constexpr std::int64_t kNodes = 50'000, kEdges = 100'000;
  std::mt19937_64 random(3);
  std::vector<std::int64_t> order(kNodes), src, dst;
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), random);
  std::vector<std::vector<std::uint32_t>> successors(kNodes);
  std::vector<std::uint32_t> degrees(kNodes);
  for (std::int64_t e = 0; e < kEdges; ++e) {
    // Node order[0] is wide, and a successor of all the others.
    const auto v = 1 + random() % (kNodes - 1);
    const auto u = e % 100 == 0 ? 0 : random() % v;
    src.push_back(order[v]);
    dst.push_back(order[u]);
    successors[static_cast<std::size_t>(src.back())].push_back(
        static_cast<std::uint32_t>(dst.back()));
    ++degrees[static_cast<std::size_t>(dst.back())];
  }
  PlanError error;
  const auto plan = GraphPlan::build(kNodes, src.data(), dst.data(), kEdges, &error);
  REQUIRE(plan != nullptr);
  for (std::uint32_t v = 0; v < kNodes; ++v) {
    std::sort(successors[v].begin(), successors[v].end());
    REQUIRE(sorted(plan->successors(v)) == successors[v]);
    REQUIRE(plan->in_degree(v) == degrees[v]);
  }

  for (const std::int64_t e : {std::int64_t{0}, std::int64_t{7}, kEdges - 1}) {
    for (const std::int64_t bad : {kNodes, std::int64_t{-1}, std::int64_t{1} << 62}) {
      auto wrong = src;
      wrong[static_cast<std::size_t>(e)] = bad;
      CHECK(GraphPlan::build(kNodes, wrong.data(), dst.data(), kEdges, &error) ==
            nullptr);
      CHECK(error.edge == e);
      CHECK(GraphPlan::build(kNodes, dst.data(), wrong.data(), kEdges, &error) ==
            nullptr);
      CHECK(error.edge == e);
    }
  }

  // The last edge and back.
  src.push_back(dst.back());
  dst.push_back(src[src.size() - 2]);
  CHECK(GraphPlan::build(kNodes, src.data(), dst.data(), kEdges + 1, &error) ==
        nullptr);
  CHECK(error.kind == PlanError::Kind::kCycle);
}

TEST_CASE("no nodes, no edges, a self-edge") {
  PlanError error;
  const auto none = build(0, {}, &error);
  REQUIRE(none != nullptr);
  CHECK(none->nodes() == 0);
  CHECK(none->edges() == 0);
  CHECK(build(5, {}, &error)->edges() == 0);
  Edges self;
  self.add(2, 2);
  CHECK(build(5, self, &error) == nullptr);
  CHECK(error.cycle == std::vector<std::uint32_t>{2});
}
