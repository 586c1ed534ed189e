#include "call_run.hpp"

#include "call_run_work.hpp"
#include "future.hpp"
#include "guarded.hpp"
#include "keywords.hpp"
#include "object.hpp"
#include "run_token.hpp"
#include "task_context.hpp"
#include "wait.hpp"

namespace fastflow::py {

using namespace call_run;

PyTypeObject* call_run_type = nullptr;

namespace {

// What run() does beside waiting.
enum class Caller : int {
  kWaits = 0,  // on a worker of the pool it helps
  kHelps = 1,
  kNever = 2,  // does not help there either
  kAlone = 3   // makes all calls: no worker takes part
};

// --- the creator ---------------------------------------------------------------------

// What was ready when the run stopped never ran.
void abandon_ready(CallRun* run) {
  ObjectLock lock(object_of(run));
  State& state = *run->state;
  state.ready.drain([&state](std::uint32_t v) { state.arrivals.abandon(v); });
}

// What the caller's part came to; false with an exception.
bool took_part(Guest& caller, bool invited) {
  if (!invited) PyErr_Clear();  // the others go on
  if (!caller.error) return true;
  raise_exception(caller.error.get());
  return false;
}

bool help(CallRun* run) {
  Guest caller{run, true};
  const bool invited = run->participants.join(caller);
  return took_part(caller, invited);
}

// False with an exception.
bool make_all_calls(CallRun* run) {
  CallOrEnd event(run, run->participants);
  do {
    Guest caller{run, true};
    const bool invited = run->participants.visit(caller);  // L6
    if (!took_part(caller, invited)) return false;
    if (wait_for(event, -1) != WaitEnd::kDone) return false;
  } while (!run->participants.over());
  return true;
}

// False with an exception.
bool take_part(CallRun* run, Caller caller) {
  if (caller == Caller::kAlone) return make_all_calls(run);
  Worker* worker = current_worker();
  const bool nested = worker != nullptr && &worker->pool() == run->engine->pool;
  if (caller == Caller::kHelps || (caller == Caller::kWaits && nested)) {
    return help(run);
  }
  return invite(run);
}

// run(caller): to the end.
PyObject* method_run(PyObject* self, PyObject* how) {
  CallRun* run = run_of(self);
  const long number = PyLong_AsLong(how);
  if (number == -1 && PyErr_Occurred()) return nullptr;
  const auto caller = static_cast<Caller>(number);
  if (caller == Caller::kAlone) run->participants.keep_to_caller();
  if (run->state->plan->nodes() == 0) finish(run);
  if (!take_part(run, caller)) {
    stop(run);
    return nullptr;
  }
  RunEnd end(run, run->participants);
  if (wait_for(end, -1) != WaitEnd::kDone) {
    stop(run);
    return nullptr;
  }
  abandon_ready(run);
  run->state->running_graph.reset();
  if (run->state->fatal != nullptr) {
    raise_exception(run->state->fatal);
    Py_CLEAR(run->state->fatal);
    return nullptr;
  }
  const State& state = *run->state;
  if (run->scope.cancelled() && state.failures.empty() &&
      state.done < state.plan->nodes()) {
    return RunScope::raise_cancelled();
  }
  Py_RETURN_NONE;
}

PyObject* method_cancel(PyObject* self, PyObject*) {
  stop(run_of(self));
  Py_RETURN_NONE;
}

bool parse_number(PyObject* object, std::uint32_t* number) {
  const unsigned long value = PyLong_AsUnsignedLong(object);
  if (value == static_cast<unsigned long>(-1) && PyErr_Occurred()) return false;
  *number = static_cast<std::uint32_t>(value);
  return true;
}

// settle(node, ok): the end of a deferred node.
PyObject* method_settle(PyObject* self, PyObject* const* args, Py_ssize_t nargs) {
  CallRun* run = run_of(self);
  std::uint32_t v = 0;
  if (nargs != 2) {
    PyErr_SetString(PyExc_TypeError, "settle(node, ok)");
    return nullptr;
  }
  if (!parse_number(args[0], &v)) return nullptr;
  if (v >= run->state->plan->nodes()) {
    PyErr_SetObject(PyExc_KeyError, args[0]);
    return nullptr;
  }
  const int ok = PyObject_IsTrue(args[1]);
  if (ok < 0) return nullptr;
  const bool more = settle_plainly(run, v, ok != 0);
  bump(ok != 0 ? run->engine->counters.completed : run->engine->counters.failed, 1);
  if (more && !invite(run)) PyErr_Clear();
  Py_RETURN_NONE;
}

// post(unit): a participant is to call function(unit).
PyObject* method_post(PyObject* self, PyObject* number) {
  CallRun* run = run_of(self);
  std::uint32_t unit = 0;
  if (!parse_number(number, &unit)) return nullptr;
  {
    ObjectLock lock(self);
    run->state->units.push(unit);
  }
  if (!invite(run)) PyErr_Clear();
  Py_RETURN_NONE;
}

// lose(number): the participant inside of that call will find it lost.
PyObject* method_lose(PyObject* self, PyObject* number) {
  CallRun* run = run_of(self);
  std::uint32_t v = 0;
  if (!parse_number(number, &v)) return nullptr;
  if (v >= run->state->plan->nodes()) {
    ObjectLock lock(self);
    if (run->state->running > 0) end_one(run);
  }
  if (!run->participants.leave(Guest{run})) PyErr_Clear();  // L8
  Py_RETURN_NONE;
}

// finish(): over, whatever is still under way.
PyObject* method_finish(PyObject* self, PyObject*) {
  CallRun* run = run_of(self);
  run->stopped.store(true);
  finish(run);
  Py_RETURN_NONE;
}

// result(index) -> the node's result; KeyError if there is none.
PyObject* method_result(PyObject* self, PyObject* number) {
  const State& state = *run_of(self)->state;
  const long long i = PyLong_AsLongLong(number);
  if (i == -1 && PyErr_Occurred()) return nullptr;
  ObjectLock lock(self);
  if (i < 0 || i >= state.plan->nodes() || state.slots[i] == nullptr) {
    PyErr_SetObject(PyExc_KeyError, number);
    return nullptr;
  }
  return Py_NewRef(state.slots[i]);
}

// results(missing) -> list of all results in order of the nodes' numbers
PyObject* method_results(PyObject* self, PyObject* missing) {
  const State& state = *run_of(self)->state;
  const auto n = static_cast<Py_ssize_t>(state.plan->nodes());
  PyObject* list = PyList_New(n);
  ObjectLock lock(self);
  for (Py_ssize_t i = 0; list != nullptr && i < n; ++i) {
    PyObject* result = state.slots[static_cast<std::size_t>(i)];
    PyList_SET_ITEM(list, i, Py_NewRef(result != nullptr ? result : missing));
  }
  return list;
}

// states() -> bytes: for each node 1 if it completed, 2 if it failed, else 0
PyObject* method_states(PyObject* self, PyObject*) {
  const State& state = *run_of(self)->state;
  const std::uint32_t n = state.plan->nodes();
  PyObject* bytes = PyBytes_FromStringAndSize(nullptr, n);
  if (bytes == nullptr) return nullptr;
  char* to = PyBytes_AS_STRING(bytes);
  ObjectLock lock(self);
  for (std::uint32_t v = 0; v < n; ++v) to[v] = state.arrivals.complete(v) ? 1 : 0;
  for (const Failure& failure : state.failures) to[failure.node] = 2;
  return bytes;
}

// failures() -> [(index, exception), ...] in the order in which they came
PyObject* method_failures(PyObject* self, PyObject*) {
  std::vector<std::pair<std::uint32_t, Ref>> failures;  // as there may come more
  {
    ObjectLock lock(self);
    failures.reserve(run_of(self)->state->failures.size());
    for (const Failure& failure : run_of(self)->state->failures) {
      failures.emplace_back(failure.node, Ref::borrow(failure.error));
    }
  }
  Ref list = Ref::steal(PyList_New(0));
  for (const auto& [node, error] : failures) {
    Ref pair = Ref::steal(list ? Py_BuildValue("(IO)", node, error.get()) : nullptr);
    if (!pair || PyList_Append(list.get(), pair.get()) < 0) return nullptr;
  }
  return list.release();
}

PyObject* get_done(PyObject* self, void*) {
  ObjectLock lock(self);
  return PyLong_FromUnsignedLongLong(run_of(self)->state->done);
}
PyObject* get_finished(PyObject* self, void*) {
  return PyBool_FromLong(run_of(self)->participants.closed());
}
PyObject* get_stopped(PyObject* self, void*) {
  return PyBool_FromLong(run_of(self)->stopped.load());
}

// --- the type ------------------------------------------------------------------------

}  // namespace

namespace call_run {

CallRun::CallRun(Engine* in, PyObject* of, int most)
    : token{nullptr, run_token},
      engine(in),
      graph(of),
      participants(static_cast<std::uint32_t>(most)) {}

int CallRun::traverse(visitproc visit, void* arg) const {
  if (state != nullptr) {
    for (PyObject* result : state->slots) Py_VISIT(result);
    for (const Failure& failure : state->failures) Py_VISIT(failure.error);
    Py_VISIT(state->fatal);
  }
  return visit_all(visit, arg, engine, graph, function, context, scope);
}

void CallRun::clear() {
  if (state != nullptr) {
    for (PyObject*& result : state->slots) clear_all(result);
    for (const Failure& failure : std::exchange(state->failures, {})) {
      Py_DECREF(failure.error);
    }
    clear_all(state->fatal);
  }
  clear_all(function, context);
  scope.clear();
}

}  // namespace call_run

namespace {

void count_readers(State& state) {
  state.readers.resize(state.plan->nodes());
  for_each_source(state.parts, 0,
                  static_cast<std::uint32_t>(state.parts.arguments.size()),
                  [&](std::uint32_t u) { ++state.readers[u]; });
}

Keywords run_keywords("CallRun",
                      {"engine", "graph", "fn", "most", "stop_on_error", "keep",
                       "timings", "run"},
                      7);

PyObject* run_new(PyObject*, PyObject* const* args, std::size_t nargs,
                  PyObject* names) {
  PyObject *engine, *graph, *function, *timings;
  int most, keep;
  std::int64_t number = 0;
  bool stop_on_error;
  if (!run_keywords.read({args, PyVectorcall_NARGS(nargs), names},
                         instance(engine_type, &engine), instance(graph_type, &graph),
                         &function, &most, &stop_on_error, &keep, &timings, &number)) {
    return nullptr;
  }
  Engine* e = engine_of(engine);
  if (!accepts_work(e)) return nullptr;
  RunningGraph running(graph);  // first: from here on nobody changes it
  auto plan = plan_of(graph);
  if (plan == nullptr) return nullptr;
  Ref object = make<CallRun>(call_run_type, e, graph, most);
  if (!object) return nullptr;
  CallRun* run = run_of(object.get());
  run->scope.join();
  run->function = function == Py_None ? nullptr : Py_NewRef(function);
  run->stop_on_error = stop_on_error;
  run->number = static_cast<std::uint32_t>(number);
  run->keep = static_cast<Keep>(keep);
  run->state = std::make_unique<State>(graph, std::move(plan));
  if (run->keep != Keep::kAll) count_readers(*run->state);
  if (!run->state->timings.open(timings, run->state->plan->nodes())) return nullptr;
  if (e->propagate_context && !capture_context(&run->context)) return nullptr;
  bump(e->counters.submitted, run->state->plan->nodes());
  return object.release();
}

PyMethodDef methods[] = {
    {"run", method<method_run>(), METH_O,
     "run(caller): to the end; 0 waits, 1 helps, 2 only waits, 3 alone makes all "
     "calls"},
    {"cancel", method<method_cancel>(), METH_NOARGS,
     "Nodes that have not started never will."},
    {"settle", method<method_settle>(), METH_FASTCALL,
     "settle(node, ok): the end of a node whose call returned DEFERRED"},
    {"post", method<method_post>(), METH_O,
     "post(unit): have function(unit) called, for a number beyond the nodes"},
    {"lose", method<method_lose>(), METH_O,
     "lose(number): wait no longer for that call, which will return LOST"},
    {"finish", method<method_finish>(), METH_NOARGS,
     "The run is over once nobody is inside."},
    {"result", method<method_result>(), METH_O, "result(index)"},
    {"results", method<method_results>(), METH_O, "results(missing) -> list"},
    {"states", method<method_states>(), METH_NOARGS,
     "states() -> bytes: 1 done, 2 failed, or 0"},
    {"failures", method<method_failures>(), METH_NOARGS,
     "failures() -> [(index, exception), ...]"},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef getset[] = {
    {"done", guarded<get_done>, nullptr, "Calls that have ended.", nullptr},
    {"finished", guarded<get_finished>, nullptr, "Nothing comes any more.", nullptr},
    {"stopped", guarded<get_stopped>, nullptr, "Ended before all nodes ran.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

}  // namespace

bool add_call_run_type(PyObject* module) {
  const std::pair<const char*, PyObject**> values[] = {
      {"DEFERRED", &deferred}, {"FAILED", &failed_quietly}, {"LOST", &lost}};
  for (const auto& [name, to] : values) {
    *to = PyObject_CallNoArgs(reinterpret_cast<PyObject*>(&PyBaseObject_Type));
    if (*to == nullptr || PyModule_AddObjectRef(module, name, *to) < 0) return false;
  }
  return add_type<CallRun>(
      module, "fastflow._core.CallRun", &call_run_type,
      {.methods = methods, .getset = getset, .create = guarded<run_new>});
}

ScopeObject* call_run_scope(PyObject* run) { return run_of(run)->scope.get(); }

bool call_run_cancelled(PyObject* run) {
  return run_of(run)->stopped.load() || run_of(run)->engine->cancel_all.load() ||
         run_of(run)->scope.cancelled();
}

}  // namespace fastflow::py
