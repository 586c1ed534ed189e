#include "call_run.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <new>
#include <optional>
#include <vector>

#include "arrivals.hpp"
#include "call.hpp"
#include "engine.hpp"
#include "future.hpp"
#include "graph.hpp"
#include "guarded.hpp"
#include "keywords.hpp"
#include "object.hpp"
#include "parking_lot.hpp"
#include "ready_calls.hpp"
#include "run_token.hpp"
#include "task_context.hpp"
#include "timings.hpp"
#include "wait.hpp"

namespace fastflow::py {

PyTypeObject* call_run_type = nullptr;

namespace {

using Clock = std::chrono::steady_clock;

enum class Keep : int { kAll = 0, kSinks = 1, kNone = 2 };

// What run() does beside waiting.
enum class Caller : int {
  kWaits = 0,  // on a worker of the pool it helps
  kHelps = 1,
  kNever = 2,  // does not help there either
  kAlone = 3   // makes all calls: no worker takes part
};

// What a function for all nodes may return in place of a result; see the header.
PyObject *deferred = nullptr, *failed_quietly = nullptr, *lost = nullptr;

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
  Participants participants;
  std::atomic<bool> stopped{false};
};

CallRun* run_of(PyObject* object) { return static_cast<CallRun*>(object); }
PyObject* object_of(CallRun* run) { return run; }

// --- claiming ------------------------------------------------------------------------

bool claim(CallRun* run, std::uint32_t* node) {
  State& state = *run->state;
  if (run->stopped.load(std::memory_order_relaxed)) return false;  // also by the lock
  if (!state.units.take(node) && !state.ready.take(node)) return false;
  ++state.running;
  return true;
}

// --- one node ------------------------------------------------------------------------

PyObject* value_of(const State& state, Argument argument);

PyObject* gather(const State& state, const Gathered& gathered) {
  const auto n = static_cast<Py_ssize_t>(gathered.items.size());
  Ref tuple = Ref::steal(PyTuple_New(n));
  if (!tuple) return nullptr;
  for (Py_ssize_t i = 0; i < n; ++i) {
    const Argument item = gathered.items[static_cast<std::size_t>(i)];
    PyTuple_SET_ITEM(tuple.get(), i, Py_NewRef(value_of(state, item)));
  }
  if (gathered.type == nullptr) return PyObject_CallOneArg(gathered.keys, tuple.get());
  if (gathered.type == &PyTuple_Type) return tuple.release();
  if (gathered.type == &PyList_Type) return PySequence_List(tuple.get());
  Ref dict = Ref::steal(PyDict_New());
  for (Py_ssize_t i = 0; dict && i < n; ++i) {
    if (PyDict_SetItem(dict.get(), PyTuple_GET_ITEM(gathered.keys, i),
                       PyTuple_GET_ITEM(tuple.get(), i)) < 0) {
      return nullptr;
    }
  }
  return dict.release();
}

// Borrowed.  REQUIRES: not a container.
PyObject* value_of(const State& state, Argument argument) {
  return argument.kind() == Argument::Kind::kNode ? state.slots[argument.index()]
                                                  : argument.object();
}

// Calls v's function; of its n arguments the last ones are named.
PyObject* call_with(const GraphParts& parts, std::uint32_t v, CallArguments& args,
                    std::uint32_t n) {
  PyObject* names = nullptr;
  if (!parts.keywords.empty()) {
    const auto found = parts.keywords.find(v);
    if (found != parts.keywords.end()) names = found->second;
  }
  const std::size_t named =
      names == nullptr ? 0 : static_cast<std::size_t>(PyTuple_GET_SIZE(names));
  return PyObject_Vectorcall(parts.functions[v], args.data(),
                             (n - named) | PY_VECTORCALL_ARGUMENTS_OFFSET, names);
}

PyObject* call_node(const State& state, std::uint32_t v) {
  const GraphParts& parts = state.parts;
  const std::uint32_t begin = parts.first_argument[v];
  const std::uint32_t n = parts.first_argument[v + 1] - begin;
  CallArguments args;
  if (!args.open(n)) return nullptr;
  std::uint32_t got = 0;
  for (; got < n; ++got) {
    const Argument argument = parts.arguments[begin + got];
    args[got] = argument.kind() == Argument::Kind::kGathered
                    ? gather(state, *argument.items())
                    : value_of(state, argument);
    if (args[got] == nullptr) break;
  }
  PyObject* result = got == n ? call_with(parts, v, args, n) : nullptr;
  for (std::uint32_t k = 0; k < got; ++k) {  // the containers were ours
    if (parts.arguments[begin + k].kind() == Argument::Kind::kGathered) {
      Py_DECREF(args[k]);
    }
  }
  return result;
}

PyObject* function_of(const CallRun* run, std::uint32_t v) {
  return run->function != nullptr ? run->function : run->state->parts.functions[v];
}

PyObject* call(CallRun* run, std::uint32_t v) {
  if (refuse_if_broken(run->engine)) return nullptr;
  if (run->function == nullptr) return call_node(*run->state, v);
  PyObject* args[2] = {nullptr, PyLong_FromUnsignedLong(v)};
  if (args[1] == nullptr) return nullptr;
  PyObject* result = PyObject_Vectorcall(run->function, args + 1,
                                         1 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
  Py_DECREF(args[1]);
  return result;
}

// --- afterwards (under the lock) -----------------------------------------------------

bool is_kept(const CallRun* run, std::uint32_t v) {
  if (run->keep == Keep::kAll) return true;
  return run->keep == Keep::kSinks && run->state->plan->successors(v).empty();
}

// What is to be dropped once the lock is given back, as that may run Python code.
class Drops {
 public:
  Drops() = default;
  Drops(const Drops&) = delete;
  Drops& operator=(const Drops&) = delete;
  ~Drops() {
    for (std::size_t i = 0; i < count_; ++i) Py_XDECREF(near_[i]);
    for (PyObject* object : far_) Py_XDECREF(object);
  }

  // Takes what is in the slot.  Without memory for that it stays there, and goes with
  // the run.
  void take(PyObject** slot) noexcept {
    if (count_ < kNear) {
      near_[count_++] = std::exchange(*slot, nullptr);
      return;
    }
    try {
      far_.push_back(*slot);
    } catch (const std::bad_alloc&) {
      return;
    }
    *slot = nullptr;
  }

 private:
  static constexpr std::size_t kNear = 8;
  PyObject* near_[kNear];
  std::size_t count_ = 0;
  std::vector<PyObject*> far_;
};

// Drops v's result if nobody reads it any more.
void drop_unread(CallRun* run, std::uint32_t v, Drops* drops) {
  if (is_kept(run, v) || run->state->readers[v] > 0) return;
  if (run->state->slots[v] != nullptr) drops->take(&run->state->slots[v]);
}

// The call of v no longer needs its arguments.
void release_arguments(CallRun* run, std::uint32_t v, Drops* drops) {
  State& state = *run->state;
  if (run->function != nullptr || run->keep == Keep::kAll) return;
  const auto& first = state.parts.first_argument;
  for_each_source(state.parts, first[v], first[v + 1], [&](std::uint32_t u) {
    --state.readers[u];
    drop_unread(run, u, drops);
  });
}

void store(CallRun* run, std::uint32_t v, PyObject* result, Drops* drops) {
  State& state = *run->state;
  state.slots[v] = result;
  if (run->keep != Keep::kAll) drop_unread(run, v, drops);
  // Backwards, so that the first successor is the next to run.
  const auto targets = state.plan->successors(v);
  for (auto t = targets.rbegin(); t != targets.rend(); ++t) {
    if (state.arrivals.arrive_alone(*t)) state.ready.push(*t);
  }
}

// The error, with a note, and what it means for the run.  The note may run Python code,
// so this comes before the lock.
PyObject* take_failure(CallRun* run, std::uint32_t v) {
  // At once: no more nodes begin than others have claimed already.
  if (run->stop_on_error || PyErr_ExceptionMatches(PyExc_Exception) == 0) {
    run->stopped.store(true);
  }
  PyObject* error = take_exception();
  add_note(error, function_of(run, v), "node", v);
  return error;
}

void fail(CallRun* run, std::uint32_t v, PyObject* error, Drops* drops) {
  State& state = *run->state;
  try {
    state.failures.push_back({v, error});
  } catch (const std::bad_alloc&) {  // no memory to note it: it ends the run
    PyErr_NoMemory();
    Ref fatal = Ref::steal(take_exception());
    if (state.fatal == nullptr) state.fatal = fatal.release();
    run->stopped.store(true);
    drops->take(&error);
    return;
  }
  const bool ordinary =
      PyObject_TypeCheck(error, reinterpret_cast<PyTypeObject*>(PyExc_Exception));
  if (!ordinary && state.fatal == nullptr) state.fatal = Py_NewRef(error);
  if (!ordinary || run->stop_on_error) run->stopped.store(true);
}

void finish(CallRun* run);

// One call, or deferred node, fewer.  REQUIRES: there is one.
void end_one(CallRun* run) {
  State& state = *run->state;
  if (--state.running == 0 && (run->stopped.load() || !state.more())) finish(run);
}

// After the call of v.
void settle(CallRun* run, std::uint32_t v, PyObject* result) {
  Drops drops;
  PyObject* error = result == nullptr ? take_failure(run, v) : nullptr;
  {
    ObjectLock lock(object_of(run));
    release_arguments(run, v, &drops);
    if (error == nullptr) {
      store(run, v, result, &drops);
    } else {
      fail(run, v, error, &drops);
    }
    ++run->state->done;
    end_one(run);
  }
}

// A node that was deferred, or has failed without an exception; whether there is more
// to do.  Such runs have one function, so that no arguments are held.
bool settle_plainly(CallRun* run, std::uint32_t v, bool ok) {
  Drops drops;
  ObjectLock lock(object_of(run));
  if (run->state->running == 0) return false;  // nobody can have deferred it
  if (ok) {
    store(run, v, Py_NewRef(Py_None), &drops);
  } else {
    run->state->arrivals.abandon(v);  // not to be reported as done
    if (run->stop_on_error) run->stopped.store(true);
  }
  ++run->state->done;
  end_one(run);
  return !run->stopped.load() && run->state->more();
}

// --- participants --------------------------------------------------------------------

// Sees to it that somebody comes for what is ready.  False with an exception if the
// pool could not start a thread for it.
bool invite(CallRun* run);

bool should_leave(Worker* worker, Clock::time_point* last) {
  constexpr std::chrono::milliseconds kSlice{5};
  if (worker == nullptr) return false;
  if (worker->pool().crowded()) return true;
  const auto now = Clock::now();
  if (now - *last < kSlice) return false;
  *last = now;
  return worker->more_work(Lane::kAttached) || worker->more_work(Lane::kNative);
}

bool stop_if_cancelled(CallRun* run) {
  if (run->engine->cancel_all.load() || run->scope.cancelled()) {
    run->stopped.store(true);
  }
  return run->stopped.load();
}

void stop(CallRun* run) {
  ObjectLock lock(object_of(run));
  run->stopped.store(true);
  if (run->state->running == 0) finish(run);
}

// Not a node's, but of what is around it: memory ran out.
void end_with_exception(CallRun* run) {
  Ref error = Ref::steal(take_exception());
  {
    ObjectLock lock(object_of(run));
    if (run->state->fatal == nullptr) run->state->fatal = error.release();
  }
  stop(run);
}

enum class Worked { kToTheEnd, kWithError, kLost };

// What the call of v has led to, but for LOST: whether it has failed.
bool take_result(CallRun* run, std::uint32_t v, PyObject* result) {
  if (v < run->state->plan->nodes()) {
    if (result != deferred && result != failed_quietly) {
      settle(run, v, result);
      return result == nullptr;
    }
    Py_DECREF(result);
    if (result == failed_quietly) settle_plainly(run, v, false);
    return result == failed_quietly;
  }
  Ref ours = Ref::steal(result);
  if (result == nullptr) end_with_exception(run);
  ObjectLock lock(object_of(run));
  end_one(run);
  return result == nullptr;
}

// kWithError: an exception that is not a node's business is set.
Worked work(CallRun* run, bool is_caller, ItemContext& context) {
  Worker* worker = is_caller ? nullptr : current_worker();
  State& state = *run->state;
  const std::uint32_t number = worker == nullptr ? 0 : worker->index() + 1;
  auto last = Clock::now();
  std::uint64_t ran = 0, failed = 0;
  bool good = true, is_lost = false;
  while (good) {
    std::uint32_t v = 0;
    bool spare = false;
    {
      ObjectLock lock(object_of(run));
      if (stop_if_cancelled(run) && state.running == 0) finish(run);
      if (!claim(run, &v)) break;
      spare = state.more();
    }
    if (spare && run->participants.wants_company() && !invite(run)) PyErr_Clear();
    const bool timed = state.timings.wanted();
    if (timed) state.timings.begin(v, number);
    PyObject* result = call(run, v);
    if (timed) state.timings.end(v);
    if (result == lost) {
      Py_DECREF(result);
      is_lost = true;
      break;
    }
    failed += take_result(run, v, result) ? 1 : 0;
    ++ran;
    good = context.renew();
    if (good && ran % 8 == 0 && !PyFunction_Check(function_of(run, v))) {
      good = yield_point();
    }
    if (ran % 32 == 0 && should_leave(worker, &last)) break;
  }
  bump(run->engine->counters.completed, ran - failed);
  bump(run->engine->counters.failed, failed);
  if (is_lost) return Worked::kLost;
  return good ? Worked::kToTheEnd : Worked::kWithError;
}

Worked work_in_context(CallRun* run, bool is_caller) {
  CurrentTask current(object_of(run));
  ItemContext context;
  if (!context.open(run->context) || !context.enter()) return Worked::kWithError;
  const Worked worked = work(run, is_caller, context);
  context.exit();
  return worked;
}

// Speaks for the run.
struct Guest {
  CallRun* run;
  bool is_caller = false;
  Ref error{};  // the caller's; an exception that is not a node's business

  [[nodiscard]] bool more() const {
    ObjectLock lock(object_of(run));
    return !run->stopped.load() && run->state->more();
  }
  [[nodiscard]] bool send_token() const {
    return py::send_token(run->engine, object_of(run), &run->token);
  }
  void announce() const { parking_lot::announce(run); }

  // False: lost (R8).
  bool take_part() {
    switch (work_in_context(run, is_caller)) {
      case Worked::kToTheEnd:
        return true;
      case Worked::kLost:
        return false;
      case Worked::kWithError:
        break;
    }
    if (is_caller) {
      error = Ref::steal(take_exception());
      stop(run);
    } else {
      end_with_exception(run);
    }
    return true;
  }
};

void finish(CallRun* run) { run->participants.close(Guest{run}); }

bool invite(CallRun* run) { return run->participants.invite(Guest{run}); }

void run_token(Job* token, Worker& worker) {
  auto* run = object_with<CallRun>(token);
  if (!run->participants.visit(Guest{run})) PyErr_Clear();
  end_of_token(object_of(run), worker);
}

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
  ObjectLock lock(self);
  const auto n = static_cast<Py_ssize_t>(state.plan->nodes());
  PyObject* list = PyList_New(n);
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
  const State& state = *run_of(self)->state;
  Ref list = Ref::steal(PyList_New(0));
  if (!list) return nullptr;
  ObjectLock lock(self);
  for (const Failure& failure : state.failures) {
    Ref pair = Ref::steal(Py_BuildValue("(IO)", failure.node, failure.error));
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

namespace {

void count_readers(State& state) {
  state.readers.resize(state.plan->nodes());
  for_each_source(state.parts, 0,
                  static_cast<std::uint32_t>(state.parts.arguments.size()),
                  [&](std::uint32_t u) { ++state.readers[u]; });
}

Keywords run_keywords("CallRun", {"engine", "graph", "fn", "most", "stop_on_error",
                                  "keep", "timings"});

PyObject* run_new(PyObject*, PyObject* const* args, std::size_t nargs,
                  PyObject* names) {
  PyObject *engine, *graph, *function, *timings;
  int most, keep;
  bool stop_on_error;
  if (!run_keywords.read({args, PyVectorcall_NARGS(nargs), names},
                         instance(engine_type, &engine), instance(graph_type, &graph),
                         &function, &most, &stop_on_error, &keep, &timings)) {
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
