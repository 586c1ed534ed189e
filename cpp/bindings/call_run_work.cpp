#include "call_run_work.hpp"

#include <chrono>
#include <new>

#include "call_node.hpp"
#include "compiler.hpp"
#include "future.hpp"
#include "parking_lot.hpp"
#include "recording.hpp"
#include "run_token.hpp"
#include "task_context.hpp"

namespace fastflow::py::call_run {

PyObject *deferred = nullptr, *failed_quietly = nullptr, *lost = nullptr;

namespace {

using Clock = std::chrono::steady_clock;

bool claim(CallRun* run, std::uint32_t* node) {
  State& state = *run->state;
  if (run->stopped.load(std::memory_order_relaxed)) return false;  // also by the lock
  if (!state.units.take(node) && !state.ready.take(node)) return false;
  ++state.running;
  return true;
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

FASTFLOW_INLINE void store(CallRun* run, std::uint32_t v, PyObject* result,
                           Drops* drops) {
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
  give_to_others(error);  // the caller, who drops it
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

}  // namespace

void end_one(CallRun* run) {
  State& state = *run->state;
  if (--state.running == 0 && (run->stopped.load() || !state.more())) finish(run);
}

namespace {

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

}  // namespace

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

namespace {

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

}  // namespace

void stop(CallRun* run) {
  ObjectLock lock(object_of(run));
  run->stopped.store(true);
  if (run->state->running == 0) finish(run);
}

namespace {

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

// What is noted of a participant's calls, if they are timed or recorded.
class Watch {
 public:
  Watch(CallRun* run, const Worker* worker)
      : run_(run),
        timings_(run->state->timings),
        worker_(worker == nullptr ? 0 : worker->index() + 1) {}
  // Runs whose nodes share one function are recorded by whoever has given it.
  [[nodiscard]] bool wanted() const noexcept {
    return timings_.wanted() || (run_->number != 0 && recording::on());
  }

  FASTFLOW_COLD void begin(std::uint32_t v) {
    if (timings_.wanted()) timings_.begin(v, worker_);
    // Each time: the recording may be over meanwhile.
    lane_ = run_->number != 0 ? recording::lane() : nullptr;
    if (lane_ == nullptr) return;
    lane_->begin({recording::label_of(function_of(run_, v)), run_->number, v},
                 follows_);
  }
  // With the exception set, if there is one.
  FASTFLOW_COLD void end(std::uint32_t v, bool good) {
    if (timings_.wanted()) timings_.end(v);
    if (lane_ == nullptr) return;
    const std::uint64_t now = stamp();
    follows_ = good;
    if (good) {
      lane_->end(SpanState::kDone, 0, now);
      return;
    }
    Ref error = Ref::steal(take_exception());
    lane_->end(SpanState::kFailed, recording::failure_of(error.get()), now);
    raise_exception(error.get());
  }
  // Something else came after the last call.
  void interrupted() { follows_ = false; }

 private:
  CallRun* const run_;
  Timings& timings_;
  const std::uint32_t worker_;
  recording::Lane* lane_ = nullptr;
  bool follows_ = false;
};

// kWithError: an exception that is not a node's business is set.
Worked work(CallRun* run, bool is_caller, ItemContext& context) {
  Worker* worker = is_caller ? nullptr : current_worker();
  State& state = *run->state;
  Watch watch(run, worker);
  const bool watched = watch.wanted();
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
    if (watched) watch.begin(v);
    PyObject* result = call(run, v);
    if (watched) watch.end(v, result != nullptr);
    if (result == lost) {
      Py_DECREF(result);
      is_lost = true;
      break;
    }
    failed += take_result(run, v, result) ? 1 : 0;
    ++ran;
    good = context.renew();
    if (good && ran % 8 == 0 && !looks_by_itself(function_of(run, v))) {
      good = yield_point();
      watch.interrupted();
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

}  // namespace

bool Guest::more() const {
  ObjectLock lock(object_of(run));
  return !run->stopped.load() && run->state->more();
}

bool Guest::send_token() const {
  return py::send_token(run->engine, object_of(run), &run->token);
}

void Guest::announce() const { parking_lot::announce(run); }

bool Guest::take_part() {
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

void finish(CallRun* run) { run->participants.close(Guest{run}); }

bool invite(CallRun* run) { return run->participants.invite(Guest{run}); }

void run_token(Job* token, Worker& worker) {
  auto* run = object_with<CallRun>(token);
  if (!run->participants.visit(Guest{run})) PyErr_Clear();
  end_of_token(object_of(run), worker);
}

}  // namespace fastflow::py::call_run
