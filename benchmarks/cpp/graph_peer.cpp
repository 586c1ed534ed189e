// Peers of fastflow.Graph: the same graph, the same bodies, other schedulers.
//
//   sweep      one thread, Kahn's algorithm: the work without any scheduler
//   tbb_tasks  oneTBB's task_group over atomic join counters, as an expert writes it
//   tbb_flow   oneTBB's flow graph, a continue_node per node
//   taskflow   Taskflow, where its headers are found
//
// Built as a shared library that `fastflow bench` loads with ctypes. Building a graph
// and running it are apart, and a graph can be run again and again. All calls for one
// engine come from one thread at a time; the Csr must outlive engines made of it.

#include <tbb/flow_graph.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

#include <atomic>
#include <cstring>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "graph_csr.hpp"
#include "peer_bodies.hpp"

#if __has_include(<taskflow/taskflow.hpp>) && !defined(FASTFLOW_WITHOUT_TASKFLOW)
#define FASTFLOW_WITH_TASKFLOW
#include <taskflow/taskflow.hpp>
#endif

namespace {

class Engine {
 public:
  virtual ~Engine() = default;
  virtual void run() = 0;

  void run(Kernel kernel, void* data) {
    kernel_ = kernel;
    data_ = data;
    run();
  }

 protected:
  void call(Node node) const { kernel_(node, data_); }

 private:
  Kernel kernel_ = nullptr;
  void* data_ = nullptr;
};

class Sweep final : public Engine {
 public:
  explicit Sweep(const Csr& graph) : graph_(graph) {}

  void run() override {
    sweep(graph_, left_, queue_, [this](Node node) { call(node); });
  }

 private:
  const Csr& graph_;
  std::vector<std::int32_t> left_;
  std::vector<Node> queue_;
};

// The first successor that becomes ready runs next on the same thread, the others are
// spawned.
class TbbTasks final : public Engine {
 public:
  TbbTasks(const Csr& graph, int workers)
      : graph_(graph), arena_(workers), left_(graph.size()) {}

  void run() override {
    static_assert(sizeof(left_[0]) == sizeof(graph_.joins[0]));
    std::memcpy(static_cast<void*>(left_.data()), graph_.joins.data(),
                left_.size() * sizeof(left_[0]));
    arena_.execute([this] {
      tbb::task_group group;
      for (const Node source : graph_.sources) spawn(group, source);
      group.wait();
    });
  }

 private:
  void spawn(tbb::task_group& group, Node node) {
    group.run([this, &group, node] { follow(group, node); });
  }

  void follow(tbb::task_group& group, Node node) {
    for (bool found = true; found;) {
      call(node);
      found = false;
      Node next = 0;
      for (const Node successor : graph_.successors(node)) {
        if (!arrive(successor)) continue;
        if (found) {
          spawn(group, successor);
        } else {
          found = true;
          next = successor;
        }
      }
      node = next;
    }
  }

  bool arrive(Node node) {
    std::atomic<std::int32_t>& left = left_[node];
    // acquire: pairs with the release halves of the other predecessors' decrements. Who
    // sees 1 is the last one and needs no read-modify-write.
    return left.load(std::memory_order_acquire) == 1 ||
           left.fetch_sub(1, std::memory_order_acq_rel) == 1;
  }

  const Csr& graph_;
  tbb::task_arena arena_;
  std::vector<std::atomic<std::int32_t>> left_;
};

class TbbFlow final : public Engine {
 public:
  TbbFlow(const Csr& graph, int workers) : arena_(workers) {
    arena_.execute([&] { build(graph); });
  }

  void run() override {
    arena_.execute([this] {
      for (Body* source : sources_) source->try_put(tbb::flow::continue_msg());
      graph_->wait_for_all();
    });
  }

 private:
  using Body = tbb::flow::continue_node<tbb::flow::continue_msg>;

  void build(const Csr& graph) {
    graph_ = std::make_unique<tbb::flow::graph>();
    for (Node i = 0; i < graph.size(); ++i) {
      nodes_.emplace_back(*graph_,
                          [this, i](const tbb::flow::continue_msg&) { call(i); });
    }
    for (Node i = 0; i < graph.size(); ++i) {
      for (const Node successor : graph.successors(i)) {
        tbb::flow::make_edge(nodes_[i], nodes_[successor]);
      }
    }
    for (const Node source : graph.sources) sources_.push_back(&nodes_[source]);
  }

  tbb::task_arena arena_;
  std::unique_ptr<tbb::flow::graph> graph_;
  std::deque<Body> nodes_;  // destroyed before the graph they belong to
  std::vector<Body*> sources_;
};

#if defined(FASTFLOW_WITH_TASKFLOW)

class Taskflow final : public Engine {
 public:
  Taskflow(const Csr& graph, int workers) : executor_(executor(workers)) {
    std::vector<tf::Task> tasks;
    tasks.reserve(graph.size());
    for (Node i = 0; i < graph.size(); ++i) {
      tasks.push_back(flow_.emplace([this, i] { call(i); }));
    }
    for (Node i = 0; i < graph.size(); ++i) {
      for (const Node successor : graph.successors(i)) {
        tasks[i].precede(tasks[successor]);
      }
    }
  }

  void run() override { executor_.run(flow_).wait(); }

 private:
  // One for all graphs: to start threads is no part of building a graph.
  static tf::Executor& executor(int workers) {
    static std::unique_ptr<tf::Executor> shared;
    const auto wanted = static_cast<std::size_t>(workers);
    if (!shared || shared->num_workers() != wanted) {
      shared = std::make_unique<tf::Executor>(wanted);
    }
    return *shared;
  }

  tf::Executor& executor_;
  tf::Taskflow flow_;
};

#endif  // FASTFLOW_WITH_TASKFLOW

}  // namespace

PEER_EXPORT Csr* graph_new(std::int64_t n, std::int64_t edges, const std::int32_t* src,
                           const std::int32_t* dst) {
  return new Csr(static_cast<std::size_t>(n), static_cast<std::size_t>(edges), src,
                 dst);
}

PEER_EXPORT void graph_free(Csr* graph) { delete graph; }

PEER_EXPORT std::int64_t graph_critical_path(const Csr* graph) {
  return critical_path(*graph);
}

// A null pointer for an engine that isn't compiled in. REQUIRES: the same number of
// workers in all living Taskflow engines.
PEER_EXPORT Engine* engine_new(const char* name, const Csr* graph, int workers) {
  const auto is = [name](const char* other) { return std::strcmp(name, other) == 0; };
  if (is("sweep")) return new Sweep(*graph);
  if (is("tbb_tasks")) return new TbbTasks(*graph, workers);
  if (is("tbb_flow")) return new TbbFlow(*graph, workers);
#if defined(FASTFLOW_WITH_TASKFLOW)
  if (is("taskflow")) return new Taskflow(*graph, workers);
#endif
  return nullptr;
}

PEER_EXPORT void engine_run(Engine* engine, Kernel kernel, void* data) {
  engine->run(kernel, data);
}

PEER_EXPORT void engine_free(Engine* engine) { delete engine; }

// What the machine allows: `n` bodies split evenly over `workers` threads in advance.
PEER_EXPORT void peer_split(Kernel kernel, void* data, std::int64_t n, int workers) {
  std::vector<std::jthread> threads;
  for (int k = 1; k < workers; ++k) {
    threads.emplace_back([=] {
      peer_sequential(kernel, data, n * (k + 1) / workers - n * k / workers);
    });
  }
  peer_sequential(kernel, data, n / workers);
}
