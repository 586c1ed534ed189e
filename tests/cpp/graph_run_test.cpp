#include "graph_run.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <random>
#include <thread>

#include "running.hpp"
#include "stress.hpp"

using namespace fastflow;  // NOLINT: the test is about all of it
using namespace std::chrono_literals;

namespace {

using Plan = std::shared_ptr<const GraphPlan>;

struct Edges {
  std::int32_t n = 0;
  std::vector<std::int32_t> src, dst;
  void add(std::int32_t s, std::int32_t d) {
    src.push_back(s);
    dst.push_back(d);
  }
  [[nodiscard]] Plan plan() const {
    PlanError error;
    Plan built = GraphPlan::build(n, src.data(), dst.data(),
                                  static_cast<std::int64_t>(src.size()), &error);
    REQUIRE(built != nullptr);
    return built;
  }
};

Edges random_dag(std::int32_t n, int in_edges, std::mt19937_64& random) {
  Edges edges{n, {}, {}};
  for (std::int32_t v = 1; v < n; ++v) {
    for (int k = 0; k < in_edges; ++k) {
      edges.add(static_cast<std::int32_t>(random() % static_cast<unsigned>(v)), v);
    }
  }
  return edges;
}

// Fan-outs and fan-ins of `width` one after the other.
Edges fans(std::int32_t stages, std::int32_t width) {
  Edges edges{stages * (width + 1) + 1, {}, {}};
  for (std::int32_t s = 0; s < stages; ++s) {
    const std::int32_t hub = s * (width + 1);
    for (std::int32_t i = 1; i <= width; ++i) {
      edges.add(hub, hub + i);
      edges.add(hub + i, hub + width + 1);
    }
  }
  return edges;
}

// A square grid: each node after those to its left and above it.
Edges grid(std::int32_t side) {
  Edges edges{side * side, {}, {}};
  for (std::int32_t v = 0; v < edges.n; ++v) {
    if (v % side + 1 < side) edges.add(v, v + 1);
    if (v + side < edges.n) edges.add(v, v + side);
  }
  return edges;
}

// A binary tree from its leaves to its root, node 0.
Edges tree_to_root(std::int32_t n) {
  Edges edges{n, {}, {}};
  for (std::int32_t v = 1; v < n; ++v) edges.add(v, (v - 1) / 2);
  return edges;
}

// Counts the calls of each node and looks whether its predecessors were done.
struct Recorder {
  Recorder(const Edges& edges, int busy)
      : calls(static_cast<std::size_t>(edges.n)),
        predecessors(static_cast<std::size_t>(edges.n)),
        busy_for(busy) {
    for (std::size_t k = 0; k < edges.src.size(); ++k) {
      predecessors[static_cast<std::size_t>(edges.dst[k])].push_back(edges.src[k]);
    }
  }
  void call(std::int64_t node) {
    const auto v = static_cast<std::size_t>(node);
    for (std::int32_t p : predecessors[v]) {
      // relaxed: that it is visible at all is what the run promises.
      const int before =
          calls[static_cast<std::size_t>(p)].load(std::memory_order_relaxed);
      if (before != round) early.fetch_add(1);
    }
    const bool is_long = long_every > 0 && node % long_every == long_every - 1;
    for (int i = 0; i < (is_long ? 100'000 : busy_for); ++i) cpu_pause();
    calls[v].fetch_add(1, std::memory_order_relaxed);
  }
  static void plain(std::int64_t node, void* data) {
    static_cast<Recorder*>(data)->call(node);
  }
  static bool checked(std::int64_t node, void* data) {
    auto* self = static_cast<Recorder*>(data);
    self->call(node);
    return !self->fails || !self->fails(node);
  }
  [[nodiscard]] std::size_t wrong() const {
    std::size_t n = 0;
    for (const auto& c : calls) n += c.load() == round ? 0 : 1;
    return n;
  }

  std::vector<std::atomic<int>> calls;
  std::vector<std::vector<std::int32_t>> predecessors;
  std::atomic<int> early{0};
  int busy_for;
  std::int64_t long_every = 0;  // every so many nodes a body takes milliseconds
  int round = 1;
  std::function<bool(std::int64_t)> fails;
};

void finish(GraphRun* run) {
  while (!run->help(std::chrono::steady_clock::now() + 5ms)) {
  }
  while (!run->wait_for(10ms)) {
  }
}

}  // namespace

TEST_CASE("every node once, after its predecessors") {
  std::mt19937_64 random(stress::seed());
  for (std::uint32_t workers : {1U, 2U, 4U, 8U}) {
    Running r(workers);
    for (int busy : {0, 5, 200}) {
      for (int shape = 0; shape < 8; ++shape) {
        const std::int32_t n = busy == 200 ? 2'000 : 20'000;
        // The fifth is so large that its neighbours count as far apart.
        if (shape == 4 && busy > 0) continue;
        const Edges edges = shape == 0   ? random_dag(n, 4, random)
                            : shape == 1 ? random_dag(n, 1, random)
                            : shape == 2 ? fans(5, n / 10)
                            : shape == 3 ? Edges{n, {}, {}}
                            : shape == 4 ? random_dag(5 * n, 2, random)
                            : shape == 5 ? grid(busy == 200 ? 40 : 140)
                            : shape == 6 ? fans(n / 3, 2)  // node by node to each other
                                         : tree_to_root(n);
        Recorder recorder(edges, busy);
        GraphRun* run = GraphRun::create(r.pool, edges.plan(),
                                         {Recorder::plain, nullptr, &recorder},
                                         {OnFailure::kStop, workers});
        finish(run);
        CHECK(recorder.wrong() == 0);
        CHECK(recorder.early.load() == 0);
        CHECK(run->executed() == static_cast<std::uint64_t>(edges.n));
        run->release();
      }
    }
  }
}

// Rows of `width` nodes, each after its up to three neighbours one row before.
static Edges stencil(std::int32_t rows, std::int32_t width) {
  Edges edges{rows * width, {}, {}};
  for (std::int32_t v = 0; v + width < edges.n; ++v) {
    const std::int32_t column = v % width, below = v + width;
    if (column > 0) edges.add(v, below - 1);
    edges.add(v, below);
    if (column + 1 < width) edges.add(v, below + 1);
  }
  return edges;
}

TEST_CASE("short bodies in company, some of them long") {
  // Short enough to be followed from node to node; the long ones make a watcher take
  // over what lies beside.
  for (std::uint32_t workers : {2U, 3U, 8U}) {
    Running r(workers);
    for (const Edges& edges :
         {grid(200), stencil(600, 64), stencil(10'000, 2), stencil(100, 300)}) {
      const Plan plan = edges.plan();
      Recorder recorder(edges, 0);
      recorder.long_every = 9'973;
      for (recorder.round = 1; recorder.round <= 5; ++recorder.round) {
        GraphRun* run =
            GraphRun::create(r.pool, plan, {Recorder::plain, nullptr, &recorder},
                             {OnFailure::kStop, workers});
        finish(run);
        CHECK(recorder.wrong() == 0);
        CHECK(run->executed() == static_cast<std::uint64_t>(edges.n));
        run->release();
      }
      CHECK(recorder.early.load() == 0);
    }
  }
}

TEST_CASE("left to the workers; run again and again; no nodes") {
  std::mt19937_64 random(stress::seed());
  Running r(3);
  const Edges edges = random_dag(3'000, 2, random);
  const Plan plan = edges.plan();
  Recorder recorder(edges, 3);
  for (recorder.round = 1; recorder.round <= 20; ++recorder.round) {
    GraphRun* run = GraphRun::create(
        r.pool, plan, {Recorder::plain, nullptr, &recorder}, {OnFailure::kStop, 3});
    run->start();
    while (!run->wait_for(10ms)) {
    }
    run->release();
    CHECK(recorder.wrong() == 0);
  }
  CHECK(recorder.early.load() == 0);
  GraphRun* empty =
      GraphRun::create(r.pool, Edges{}.plan(), {Recorder::plain, nullptr, nullptr}, {});
  finish(empty);
  CHECK(empty->executed() == 0);
  empty->release();
}

TEST_CASE("runs of one plan at once, from several threads") {
  std::mt19937_64 random(stress::seed());
  Running r(3);
  const Edges edges = random_dag(5'000, 3, random);
  const Plan plan = edges.plan();
  std::atomic<std::size_t> wrong{0};
  stress::threads(3, 1, [&](int, std::mt19937_64&) {
    for (int round = 0; round < 5; ++round) {
      Recorder recorder(edges, 10);
      GraphRun* run = GraphRun::create(
          r.pool, plan, {Recorder::plain, nullptr, &recorder}, {OnFailure::kStop, 3});
      finish(run);
      wrong.fetch_add(recorder.wrong() + static_cast<std::size_t>(recorder.early));
      run->release();
    }
  });
  CHECK(wrong.load() == 0);
}

TEST_CASE("a failure: what depends on it never runs, the rest does or stops") {
  std::mt19937_64 random(stress::seed());
  for (std::uint32_t workers : {1U, 2U, 4U}) {
    Running r(workers);
    for (const auto mode : {OnFailure::kContinue, OnFailure::kStop}) {
      for (int busy : {0, 100}) {
        const Edges edges = random_dag(3'000, 2, random);
        Recorder recorder(edges, busy);
        recorder.fails = [](std::int64_t v) { return v % 501 == 500; };
        GraphRun* run =
            GraphRun::create(r.pool, edges.plan(),
                             {nullptr, Recorder::checked, &recorder}, {mode, workers});
        finish(run);
        std::vector<bool> doomed(static_cast<std::size_t>(edges.n));
        std::size_t wrong = 0, ran = 0;
        for (std::size_t v = 0; v < doomed.size(); ++v) {
          for (std::int32_t p : recorder.predecessors[v]) {
            const auto u = static_cast<std::size_t>(p);
            if (doomed[u] || recorder.fails(p)) doomed[v] = true;
          }
          const int calls = recorder.calls[v].load();
          ran += static_cast<std::size_t>(calls);
          if (doomed[v] && calls != 0) ++wrong;
          if (!doomed[v] && mode == OnFailure::kContinue && calls != 1) ++wrong;
          if (calls > 1) ++wrong;
          if (run->complete(static_cast<std::uint32_t>(v)) != (calls == 1)) ++wrong;
        }
        CHECK(wrong == 0);
        CHECK(run->executed() == ran);
        CHECK(!run->failed().empty());
        run->release();
      }
    }
  }
}

// The next node on the stack often has the next number, where the failed one's edges
// end.
TEST_CASE("small graphs in which a third fails: exactly those run that wait for none") {
  std::mt19937_64 random(stress::seed());
  Running r(1);
  std::size_t wrong = 0;
  for (int trial = 0; trial < 500; ++trial) {
    const auto n = static_cast<std::int32_t>(3 + random() % 10);
    Edges edges{n, {}, {}};
    for (std::int32_t u = 0; u < n; ++u) {
      for (std::int32_t v = u + 1; v < n; ++v) {
        if (random() % 5 == 0) edges.add(u, v);
      }
    }
    const auto bad = random();
    Recorder recorder(edges, 0);
    recorder.fails = [bad](std::int64_t v) { return (bad >> (2 * v)) % 4 == 0; };
    GraphRun* run =
        GraphRun::create(r.pool, edges.plan(), {nullptr, Recorder::checked, &recorder},
                         {OnFailure::kContinue, 1});
    finish(run);
    std::vector<bool> runs(static_cast<std::size_t>(n));
    for (std::size_t v = 0; v < runs.size(); ++v) {
      const auto& before = recorder.predecessors[v];
      runs[v] = std::all_of(before.begin(), before.end(), [&](std::int32_t u) {
        return runs[static_cast<std::size_t>(u)] && !recorder.fails(u);
      });
      if (recorder.calls[v].load() != (runs[v] ? 1 : 0)) ++wrong;
    }
    run->release();
  }
  CHECK(wrong == 0);
}

TEST_CASE("cancelled in the middle: it ends, and says what ran") {
  std::mt19937_64 random(stress::seed());
  for (int round = 0; round < 20; ++round) {
    Running r(2);
    const Edges edges =
        round % 2 == 0 ? random_dag(4'000, 2, random) : Edges{4000, {}, {}};
    Recorder recorder(edges, 50);
    GraphRun* run = nullptr;
    recorder.fails = [&](std::int64_t v) {
      if (v == 300) run->cancel();
      return false;
    };
    run =
        GraphRun::create(r.pool, edges.plan(), {nullptr, Recorder::checked, &recorder},
                         {OnFailure::kStop, 2});
    finish(run);
    std::size_t wrong = 0;
    for (std::uint32_t v = 0; v < 4'000; ++v) {
      wrong += run->complete(v) == (recorder.calls[v].load() == 1) ? 0 : 1;
    }
    CHECK(wrong == 0);
    run->release();
  }
}

// The first participant sits in a body until another one has run all the rest: it can
// only end if somebody comes in although it works alone.
TEST_CASE("a long body does not keep the others from what is ready") {
  struct Stuck {
    std::atomic<int> done{0};
    static void body(std::int64_t v, void* data) {
      auto* self = static_cast<Stuck*>(data);
      if (v == 20'000) {
        while (self->done.load() < 9'000) std::this_thread::yield();
      }
      if (v > 20'000) self->done.fetch_add(1);
    }
  } stuck;
  Running r(2);
  // Short nodes first, so that the first participant has reason to stay alone.
  const Edges edges{30000, {}, {}};
  GraphRun* run = GraphRun::create(r.pool, edges.plan(), {Stuck::body, nullptr, &stuck},
                                   {OnFailure::kStop, 2});
  finish(run);
  CHECK(stuck.done.load() == 9'999);
  run->release();
}

// Short nodes and then long ones: who works alone has reason not to look at the clock,
// and comes back soon all the same.
TEST_CASE("bodies that grow long keep nobody from coming back") {
  struct Growing {
    std::int64_t from;
    std::atomic<int> slow{0};
    static void body(std::int64_t v, void* data) {
      auto* self = static_cast<Growing*>(data);
      if (v < self->from) return;
      self->slow.fetch_add(1);
      std::this_thread::sleep_for(1ms);
    }
  };
  for (const std::uint32_t workers : {1U, 2U}) {
    for (const std::int64_t from : {1'100, 1'300, 1'540, 1'700, 1'900, 100'000}) {
      Running r(workers);
      Edges edges{static_cast<std::int32_t>(from) + 1'000, {}, {}};
      for (std::int32_t v = 1; v < edges.n; ++v) edges.add(v - 1, v);
      Growing growing{from, {}};
      GraphRun* run =
          GraphRun::create(r.pool, edges.plan(), {Growing::body, nullptr, &growing},
                           {OnFailure::kStop, workers});
      CHECK(!run->help(std::chrono::steady_clock::now() + 5ms));
      CHECK(growing.slow.load() < 200);
      run->cancel();
      finish(run);
      CHECK(growing.slow.load() < 202);
      run->release();
    }
  }
}

// Each body waits for all the others: only as many participants can end that.
TEST_CASE("independent bodies meet") {
  struct Meeting {
    int guests;
    std::atomic<int> arrived{0};
    static void body(std::int64_t, void* data) {
      auto* self = static_cast<Meeting*>(data);
      self->arrived.fetch_add(1);
      while (self->arrived.load() < self->guests) std::this_thread::yield();
    }
  };
  for (const std::uint32_t workers : {2U, 3U, 8U}) {
    Running r(workers);
    const auto guests = static_cast<std::int32_t>(workers);
    Meeting meeting{guests, {}};
    const Edges edges{guests, {}, {}};
    GraphRun* run =
        GraphRun::create(r.pool, edges.plan(), {Meeting::body, nullptr, &meeting},
                         {OnFailure::kStop, workers});
    finish(run);
    CHECK(meeting.arrived.load() == guests);
    run->release();
  }
}
