// The state of a run of Python calls: see call_run.hpp.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "arrivals.hpp"
#include "engine.hpp"
#include "graph.hpp"
#include "participants.hpp"
#include "python.hpp"
#include "ready_calls.hpp"
#include "scope.hpp"
#include "timings.hpp"

namespace fastflow::py::call_run {

enum class Keep : int { kAll = 0, kSinks = 1, kNone = 2 };

// Calls beside the nodes, first in, first out.  Under the object lock.
class Units {
 public:
  void push(std::uint32_t unit) { waiting_.push_back(unit); }
  [[nodiscard]] bool any() const { return next_ < waiting_.size(); }
  bool take(std::uint32_t* unit) {
    if (!any()) return false;
    *unit = waiting_[next_++];
    if (next_ == waiting_.size()) {
      waiting_.clear();
      next_ = 0;
    }
    return true;
  }

 private:
  std::vector<std::uint32_t> waiting_;
  std::size_t next_ = 0;
};

struct Failure {
  std::uint32_t node;
  PyObject* error;  // owned
};

// What the object lock guards (but the atomics).
struct State {
  State(PyObject* graph, std::shared_ptr<const GraphPlan> the_plan)
      : plan(std::move(the_plan)),
        parts(parts_of(graph)),
        running_graph(graph),
        arrivals(*plan),
        slots(plan->nodes()),
        ready(*plan, parts, arrivals, slots.data()) {}

  const std::shared_ptr<const GraphPlan> plan;
  const GraphParts& parts;
  std::optional<RunningGraph> running_graph;
  Arrivals<GraphPlan> arrivals;
  BigVector<PyObject*> slots;          // results
  std::vector<std::uint32_t> readers;  // calls that still need a result; if not kAll
  ReadyCalls ready;
  Units units;
  std::uint32_t running = 0;      // calls under way, and deferred nodes
  std::uint64_t done = 0;         // calls that have ended
  std::vector<Failure> failures;  // in the order of their end
  PyObject* fatal = nullptr;      // not an Exception: ends the run as it is
  Timings timings;

  [[nodiscard]] bool more() { return units.any() || ready.any(); }
};

struct CallRun : PyObject {
  CallRun(Engine* in, PyObject* of, int most);
  int traverse(visitproc visit, void* arg) const;
  void clear();

  Job token;
  const Shared<Engine> engine;
  const Shared<PyObject> graph;
  PyObject* function = nullptr;  // fn(i); or nullptr: the nodes have their own
  PyObject* context = nullptr;   // the caller's, copied; or nullptr
  RunScope scope;
  std::unique_ptr<State> state;
  Keep keep = Keep::kAll;
  bool stop_on_error = false;
  std::uint32_t number = 0;  // of the run, if it is recorded; 0: it is not
  Participants participants;
  std::atomic<bool> stopped{false};
};

inline CallRun* run_of(PyObject* object) { return static_cast<CallRun*>(object); }
inline PyObject* object_of(CallRun* run) { return run; }

}  // namespace fastflow::py::call_run
