#include "kernel_run.hpp"

#include <mutex>
#include <new>
#include <optional>
#include <vector>

#include "engine.hpp"
#include "graph.hpp"
#include "graph_run.hpp"
#include "guarded.hpp"
#include "kernel.hpp"
#include "keywords.hpp"
#include "object.hpp"
#include "recording.hpp"
#include "timings.hpp"

namespace fastflow::py {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kSignalCheck{50};

// What the workers see of a run.
struct Body {
  const KernelObject* kernel;
  Timings timings;
  std::mutex lock;
  // Nodes and what they reported; guarded by lock.
  std::vector<std::pair<std::uint32_t, std::int32_t>> failures;
  bool lost = false;  // there was no memory for one of them; guarded by lock
  std::uint32_t label = 0, number = 0;  // of the kernel and the run, if recorded
};

PyTypeObject* kernel_run_type = nullptr;

struct KernelRun : PyObject {
  KernelRun(Engine* in, PyObject* of, PyObject* with, std::uint32_t n)
      : engine(in), graph(of), kernel(with), nodes(n), body{kernel_of(with), {}, {}, {},
                                                            false,           0,  0} {}
  ~KernelRun() {
    if (run != nullptr) run->release();
  }
  int traverse(visitproc visit, void* arg) const {
    return visit_all(visit, arg, engine, graph, kernel);
  }

  const Shared<Engine> engine;
  const Shared<PyObject> graph, kernel;
  const std::uint32_t nodes;
  Body body;
  std::optional<RunningGraph> running_graph;
  GraphRun* run = nullptr;
  std::atomic<bool> stopped{false};
};

KernelRun* run_of(PyObject* object) { return static_cast<KernelRun*>(object); }

// With a look at the clock or at the kernel's status.
bool run_watched(std::int64_t node, void* data) {
  Body& body = *static_cast<Body*>(data);
  const auto v = static_cast<std::uint32_t>(node);
  if (body.timings.wanted()) {
    const Worker* worker = Worker::current();
    body.timings.begin(v, worker == nullptr ? 0 : worker->index() + 1);
  }
  body.kernel->function(node, body.kernel->data);
  if (body.timings.wanted()) body.timings.end(v);
  const std::int32_t status = take_status(body.kernel, node);
  if (status == 0) return true;
  std::lock_guard lock(body.lock);
  try {
    body.failures.emplace_back(v, status);
  } catch (const std::bad_alloc&) {
    body.lost = true;
  }
  return false;
}

// The same, recorded.
bool run_recorded(std::int64_t node, void* data) {
  const Body& body = *static_cast<const Body*>(data);
  recording::Lane* lane = recording::lane();
  if (lane == nullptr) return run_watched(node, data);
  lane->begin({body.label, body.number, node}, false);
  const bool good = run_watched(node, data);
  lane->end(good ? SpanState::kDone : SpanState::kFailed);
  return good;
}

Keywords run_keywords("KernelRun",
                      {"engine", "graph", "kernel", "most", "stop_on_error", "timings",
                       "run"},
                      6);

PyObject* run_new(PyObject*, PyObject* const* args, std::size_t nargs,
                  PyObject* names) {
  PyObject *engine, *graph, *kernel, *timings;
  int most;
  bool stop_on_error;
  std::int64_t number = 0;
  if (!run_keywords.read({args, PyVectorcall_NARGS(nargs), names},
                         instance(engine_type, &engine), instance(graph_type, &graph),
                         instance(kernel_type, &kernel), &most, &stop_on_error,
                         &timings, &number)) {
    return nullptr;
  }
  Engine* e = engine_of(engine);
  if (!accepts_work(e)) return nullptr;
  RunningGraph running(graph);  // first: from here on nobody changes it
  auto plan = plan_of(graph);
  if (plan == nullptr) return nullptr;
  if (!check_status_size(kernel_of(kernel), plan->nodes())) return nullptr;
  Ref object = make<KernelRun>(kernel_run_type, e, graph, kernel, plan->nodes());
  if (!object) return nullptr;
  KernelRun* run = run_of(object.get());
  run->running_graph.emplace(graph);
  if (!run->body.timings.open(timings, run->nodes)) return nullptr;
  const KernelObject* k = kernel_of(kernel);
  const bool plain = k->status == nullptr && !run->body.timings.wanted();
  NodeBody body{k->function, nullptr, k->data};
  if (!plain) body = {nullptr, run_watched, &run->body};
  if (recording::on()) {
    run->body.label = recording::label_of(kernel);
    run->body.number = static_cast<std::uint32_t>(number);
    body = {nullptr, run_recorded, &run->body};
  }
  run->run = GraphRun::create(*e->pool, std::move(plan), body,
                              {stop_on_error ? OnFailure::kStop : OnFailure::kContinue,
                               static_cast<std::uint32_t>(most)});
  return object.release();
}

// run(help): to the end.  Ctrl-C: what was not started never runs.
PyObject* method_run(PyObject* self, PyObject* helping) {
  KernelRun* run = run_of(self);
  bool help = PyObject_IsTrue(helping) > 0;
  bool done = false, good = true;
  if (!help) run->run->start();
  while (!done) {
    {
      Detached detached;
      if (help) {
        const auto deadline =
            good ? Clock::now() + kSignalCheck : Clock::time_point::max();
        help = !run->run->help(deadline);
      }
      if (!help) done = run->run->wait_for(kSignalCheck);
    }
    if (!done && good && PyErr_CheckSignals() < 0) {
      good = false;
      run->stopped.store(true);
      run->run->cancel();
    }
  }
  run->running_graph.reset();
  bump(run->engine->counters.submitted, run->nodes);
  run->engine->kernels_done.fetch_add(run->run->executed(),
                                      std::memory_order_relaxed);  // a statistic
  if (!good) return nullptr;
  if (run->run->out_of_memory() || run->body.lost) return PyErr_NoMemory();
  Py_RETURN_NONE;
}

PyObject* method_cancel(PyObject* self, PyObject*) {
  run_of(self)->stopped.store(true);
  run_of(self)->run->cancel();
  Py_RETURN_NONE;
}

PyObject* method_states(PyObject* self, PyObject*) {
  const KernelRun* run = run_of(self);
  PyObject* bytes = PyBytes_FromStringAndSize(nullptr, run->nodes);
  if (bytes == nullptr) return nullptr;
  char* to = PyBytes_AS_STRING(bytes);
  for (std::uint32_t v = 0; v < run->nodes; ++v) {
    to[v] = run->run->complete(v) ? 1 : 0;
  }
  for (std::uint32_t v : run->run->failed()) to[v] = 2;
  return bytes;
}

// failures() -> [(index, status), ...]
PyObject* method_failures(PyObject* self, PyObject*) {
  const KernelRun* run = run_of(self);
  Ref list = Ref::steal(PyList_New(0));
  for (const auto& [node, status] : run->body.failures) {
    Ref pair = Ref::steal(Py_BuildValue("(Ii)", node, status));
    if (!list || !pair || PyList_Append(list.get(), pair.get()) < 0) return nullptr;
  }
  return list.release();
}

PyObject* get_done(PyObject* self, void*) {
  return PyLong_FromUnsignedLongLong(run_of(self)->run->executed());
}
PyObject* get_stopped(PyObject* self, void*) {
  return PyBool_FromLong(run_of(self)->stopped.load());
}

PyMethodDef methods[] = {{"run", method<method_run>(), METH_O, "run(help): to the end"},
                         {"cancel", method<method_cancel>(), METH_NOARGS,
                          "Nodes that have not started never will."},
                         {"states", method<method_states>(), METH_NOARGS,
                          "states() -> bytes: 1 done, 2 failed, or 0"},
                         {"failures", method<method_failures>(), METH_NOARGS,
                          "failures() -> [(index, status), ...]"},
                         {nullptr, nullptr, 0, nullptr}};

PyObject* get_kernel_name(PyObject* self, void*) {
  return Py_NewRef(kernel_of(run_of(self)->kernel.get())->name.get());
}

PyGetSetDef getset[] = {
    {"kernel_name", guarded<get_kernel_name>, nullptr, nullptr, nullptr},
    {"done", guarded<get_done>, nullptr, "Nodes run; exact after the end.", nullptr},
    {"stopped", guarded<get_stopped>, nullptr, "Cancelled before all nodes ran.",
     nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

}  // namespace

bool add_kernel_run_type(PyObject* module) {
  return add_type<KernelRun>(
      module, "fastflow._core.KernelRun", &kernel_run_type,
      {.methods = methods, .getset = getset, .create = guarded<run_new>});
}

}  // namespace fastflow::py
