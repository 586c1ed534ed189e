// Graph: nodes that are Python calls, or just numbers with edges from arrays.
//
// A node is a function and its arguments, stored for vectorcall: constants, other nodes
// (their results are passed), and lists, tuples or dicts that hold nodes.  Nothing but
// the handle that add() returns is made for each node, and that is not tracked by the
// garbage collector: it knows its graph by a number only.
//
// The CSR plan is built at the first run and kept until the graph changes.
// Threads: the object lock guards all of GraphParts, and nobody runs Python code while
// it holds it and has half a change done (on free-threaded builds that would suspend
// the lock, on others let other threads in).  Runs read without the lock: a run is
// counted under it, and while there are any the graph can't be changed.
#pragma once

#include "python.hpp"

#include <memory>
#include <unordered_map>
#include <vector>

#include "big_array.hpp"
#include "graph_plan.hpp"

namespace fastflow::py {

struct Gathered;

// One argument of a node, in a word: the low bits tell which.
class Argument {
 public:
  enum class Kind : std::uint8_t { kConstant = 0, kNode = 1, kGathered = 2 };
  Argument() = default;                         // none yet
  static Argument constant(PyObject* object) {  // takes a new reference
    return Argument(reinterpret_cast<std::uintptr_t>(Py_NewRef(object)));
  }
  static Argument node(std::uint32_t index) {
    return Argument((std::uintptr_t{index} << 2) | 1);
  }
  static Argument gathered(Gathered* items) {  // takes it over
    return Argument(reinterpret_cast<std::uintptr_t>(items) | 2);
  }
  [[nodiscard]] Kind kind() const noexcept { return static_cast<Kind>(word_ & 3); }
  [[nodiscard]] PyObject* object() const noexcept {
    return reinterpret_cast<PyObject*>(word_);
  }
  [[nodiscard]] std::uint32_t index() const noexcept {
    return static_cast<std::uint32_t>(word_ >> 2);
  }
  [[nodiscard]] Gathered* items() const noexcept {
    return reinterpret_cast<Gathered*>(word_ & ~std::uintptr_t{3});
  }

 private:
  explicit Argument(std::uintptr_t word) : word_(word) {}
  std::uintptr_t word_;
};

// A list, tuple or dict among the arguments that holds nodes; or another object that
// holds some, at any depth.
struct Gathered {
  Gathered(PyTypeObject* of, PyObject* with_keys) : type(of), keys(with_keys) {}
  PyTypeObject* type;  // PyList_Type, PyTuple_Type, PyDict_Type; or nullptr: another
  PyObject* keys;      // of the dict: a tuple; of another: makes it of the items; owned
  std::vector<Argument> items;
};

std::uint64_t next_serial();

// What a graph is.
struct GraphParts {
  const std::uint64_t serial = next_serial();  // of the graph, in its nodes
  bool from_edges = false;
  BigVector<PyObject*> functions;
  BigVector<std::uint32_t> first_argument{0};  // one more than functions
  BigVector<Argument> arguments;
  // These two may have entries without a value.
  std::unordered_map<std::uint32_t, PyObject*> keywords;  // tuples of names
  std::unordered_map<std::uint32_t, PyObject*> names;
  std::vector<std::int32_t> before, after;  // edges that pass no value
  std::shared_ptr<const GraphPlan> plan;    // or nullptr: to be built
  std::atomic<std::int64_t> runs{0};        // under way
};

struct GraphObject : PyObject {
  ~GraphObject();
  int traverse(visitproc visit, void* arg) const;
  void clear();

  GraphParts parts;
};

extern PyTypeObject* graph_type;
bool add_graph_types(PyObject* module);

inline GraphParts& parts_of(PyObject* graph) {
  return static_cast<GraphObject*>(graph)->parts;
}

// Calls f(index) for every node among the arguments [begin, end).
template <class F>
void for_each_source(const GraphParts& parts, std::uint32_t begin, std::uint32_t end,
                     const F& f) {
  for (std::uint32_t k = begin; k < end; ++k) {
    const Argument argument = parts.arguments[k];
    if (argument.kind() == Argument::Kind::kNode) {
      f(argument.index());
    } else if (argument.kind() == Argument::Kind::kGathered) {
      for (const Argument& item : argument.items()->items) {
        if (item.kind() == Argument::Kind::kNode) f(item.index());
      }
    }
  }
}

// The plan, built now if need be.  nullptr with CycleError.
std::shared_ptr<const GraphPlan> plan_of(PyObject* graph);

// The name of a node, or its number as a string: a new reference.
PyObject* name_of(const GraphParts& parts, std::uint32_t index);

// Counts a run of the graph for as long as it lives.
class RunningGraph {
 public:
  explicit RunningGraph(PyObject* graph) : graph_(Ref::borrow(graph)) {
    ObjectLock lock(graph);
    parts_of(graph).runs.fetch_add(1);
  }
  ~RunningGraph() { parts_of(graph_.get()).runs.fetch_sub(1); }
  RunningGraph(const RunningGraph&) = delete;
  RunningGraph& operator=(const RunningGraph&) = delete;

 private:
  Ref graph_;
};

}  // namespace fastflow::py
