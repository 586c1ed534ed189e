// The life of a task: made, run, settled, cancelled.  Its Python methods stand in
// future_methods.cpp.
#include "future.hpp"

#include "compiler.hpp"
#include "future_memory.hpp"
#include "kernel.hpp"
#include "object.hpp"
#include "parking_lot.hpp"
#include "recording.hpp"
#include "scope.hpp"

namespace fastflow::py {

thread_local PyObject* t_current_task = nullptr;

namespace {

// Tasks that a worker runs inside the waits of other tasks: beyond this it blocks, and
// another thread goes on with a fresh stack.
constexpr int kInlineDepth = 24;

}  // namespace

ScopeObject* scope_in(const FutureObject* f) {
  return extras_in(f) != nullptr && extras_in(f)->scope
             ? scope_of(extras_in(f)->scope.get())
             : nullptr;
}

namespace {

// --- the end -------------------------------------------------------------------------

// Waiters that look for themselves are told when the worker gives the interpreter lock
// up; those that no longer do, at once.
void announce(FutureObject* f, TaskState::Word flags) {
  if ((flags & TaskState::kWaited) == 0) return;
  Worker* worker = current_worker();
  if (worker != nullptr && (flags & TaskState::kUrgent) == 0) {
    attachment(*worker).announce_later(f);
  } else {
    parking_lot::announce(f);
  }
}

bool call_quietly(PyObject* object, const char* method, PyObject* argument = nullptr) {
  Ref done = Ref::steal(argument == nullptr
                            ? PyObject_CallMethod(object, method, nullptr)
                            : PyObject_CallMethod(object, method, "O", argument));
  if (!done) PyErr_WriteUnraisable(object);
  return static_cast<bool>(done);
}

// Tells the standard library's waiters; the condition is held.
void tell_waiters(FutureObject* f, const char* method) {
  PyObject* waiters = extras_in(f)->waiters.get();
  if (waiters == nullptr) return;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(waiters); ++i) {
    Ref waiter = Ref::steal(list_item(waiters, i));
    if (waiter) call_quietly(waiter.get(), method, object_of(f));
  }
}

// For Py_AddPendingCall: raises `error` in the main thread.
int raise_in_main_thread(void* error) {
  Ref owned = Ref::steal(static_cast<PyObject*>(error));
  raise_exception(owned.get());
  return -1;
}

// What a callback raised is logged; but what is to end the program is raised, too, if
// this is the main thread: as soon as it is back in Python code.  (Who calls us here
// may be in the middle of anything, and has no exception to return.)
void report_callback(FutureObject* f, PyObject* callback, PyObject* error) {
  Ref logged = Ref::steal(PyObject_CallFunctionObjArgs(imports.log_callback_error,
                                                       object_of(f), error, nullptr));
  if (!logged) {
    PyErr_WriteUnraisable(callback);
  } else if (logged.get() == Py_True) {
    Py_INCREF(error);
    if (Py_AddPendingCall(raise_in_main_thread, error) < 0) Py_DECREF(error);
  }
}

void run_callbacks(FutureObject* f) {
  std::vector<Ref> callbacks;
  {
    ObjectLock lock(object_of(f));
    if (Extras* extras = extras_in(f)) callbacks.swap(extras->callbacks);
  }
  for (const Ref& fn : callbacks) {
    Ref done = Ref::steal(PyObject_CallOneArg(fn.get(), object_of(f)));
    if (done) continue;
    Ref error = Ref::steal(take_exception());
    report_callback(f, fn.get(), error.get());
  }
}

// The end of a task that may have a condition, callbacks or a group.  `publish` moves
// the state on and returns the flags found; `failure` is borrowed.
template <class Publish>
void end_shared(FutureObject* f, const char* waiter_method, PyObject* failure,
                const Publish& publish) {
  Ref condition, scope;
  {
    ObjectLock lock(object_of(f));
    if (const Extras* extras = extras_in(f)) {
      condition = Ref::borrow(extras->condition.get());
      scope = Ref::borrow(extras->scope.get());
    }
    // Without a condition under this lock, as whoever makes one now does it under the
    // lock, too, and looks at the state afterwards.
    if (!condition) announce(f, publish());
  }
  if (condition) {
    const bool held = call_quietly(condition.get(), "acquire");
    announce(f, publish());
    tell_waiters(f, waiter_method);
    if (held) {
      call_quietly(condition.get(), "notify_all");
      call_quietly(condition.get(), "release");
    }
  }
  run_callbacks(f);
  if (scope) scope_leave(scope_of(scope.get()), failure);
}

// The garbage collector has to know of an outcome that may be part of a cycle.
void track_if_needed(FutureObject* f, PyObject* outcome) {
  // Its type first, as the rest is a call of the interpreter's.
  if (!PyType_IS_GC(Py_TYPE(outcome)) || !PyObject_IS_GC(outcome)) return;
  ObjectLock lock(object_of(f));  // against who makes extras at this moment
  track(f);
}

}  // namespace

FutureObject* new_future(Engine* engine) {
  PyObject* memory = new_future_memory(imports.future_type);
  if (memory == nullptr) return nullptr;
  auto* f = construct<FutureObject>(memory);
  f->engine = engine;
  Py_INCREF(engine);
  return f;
}

void track(FutureObject* f) {
  if (!PyObject_GC_IsTracked(object_of(f))) PyObject_GC_Track(object_of(f));
}

Extras* extras_of(FutureObject* f) {
  if (Extras* extras = extras_in(f)) return extras;
  auto* extras = new (std::nothrow) Extras;
  if (extras == nullptr) {
    PyErr_NoMemory();
    return nullptr;
  }
  f->extras.store(extras, std::memory_order_release);  // pairs with extras_in
  track(f);  // they may close a cycle (a callback that refers to the future)
  return extras;
}

void drop_call(FutureObject* f) {
  if (f->holds == Holds::kCall) f->call.clear();
  if (f->holds == Holds::kKernel) {
    f->holds = Holds::kOutcome;
    Py_DECREF(std::exchange(f->kernel_call.kernel, nullptr));
    f->outcome = nullptr;
  }
}

void settle(FutureObject* f, PyObject* outcome, bool failed) {
  drop_call(f);
  give_to_others(outcome);
  f->holds = Holds::kOutcome;
  f->failed = failed;
  f->outcome = outcome;
  track_if_needed(f, outcome);
  if (f->engine != nullptr) {
    failed ? bump(f->engine->counters.failed) : count_completed(f->engine);
  }
  TaskState::Word flags = 0;
  if (f->state.finish_unshared(&flags)) {
    announce(f, flags);
    return;
  }
  Ref failure = failed ? Ref::borrow(outcome) : Ref();
  end_shared(f, failed ? "add_exception" : "add_result", failure.get(),
             [f] { return f->state.finish(); });
}

namespace {

// The task gave up because it was asked to.
void settle_cancelled(FutureObject* f) {
  if (f->engine != nullptr) bump(f->engine->counters.cancelled);
  end_shared(f, "add_cancelled", nullptr,
             [f] { return f->state.finish(Phase::kCancelledNotified); });
}

}  // namespace

namespace {

// Calls within `context` (entered and left again).
PyObject* call_within(PyObject* context, StoredCall& call) {
  if (PyContext_Enter(context) < 0) return nullptr;
  PyObject* result = call.invoke();
  if (result != nullptr) {
    if (PyContext_Exit(context) < 0) Py_CLEAR(result);
  } else {
    Ref error = Ref::steal(take_exception());
    if (PyContext_Exit(context) < 0) PyErr_Clear();
    raise_exception(error.get());
  }
  return result;
}

// Every task has a context to itself: the submitter's, or an empty one.  The outermost
// task of a worker may use the worker's own, which is replaced if it was written to.
PyObject* call_in_context(FutureObject* f, StoredCall& call) {
  Worker* worker = current_worker();
  PyObject* context = extras_in(f) != nullptr ? extras_in(f)->context.get() : nullptr;
  CurrentTask current(object_of(f));
  const bool outermost = worker != nullptr && attachment(*worker).inline_depth == 0;
  if (!outermost) {
    Ref empty = Ref::steal(context == nullptr ? PyContext_New() : nullptr);
    if (context == nullptr && !empty) return nullptr;
    return call_within(context != nullptr ? context : empty.get(), call);
  }
  if (context != nullptr) return call_within(context, call);
  PyObject* result = call.invoke();
  attachment(*worker).reset_context();
  return result;
}

}  // namespace

namespace {

bool cancel_due(const FutureObject* f) {
  const ScopeObject* scope = scope_in(f);
  // relaxed: a cancel that races with the start of a task may come too late.
  return f->engine->cancel_all.load(std::memory_order_relaxed) ||
         (scope != nullptr && scope->cancelled.load(std::memory_order_relaxed));
}

FASTFLOW_INLINE bool is_to_be_cancelled(const FutureObject* f) {
  return f->engine != nullptr && f->state.phase() == Phase::kPending && cancel_due(f);
}

template <class Execute>
FASTFLOW_INLINE bool run_if_pending_by(FutureObject* f, const Execute& execute) {
  if (is_to_be_cancelled(f)) [[unlikely]]
    cancel(f);
  Ref scope = Ref::borrow(reinterpret_cast<PyObject*>(scope_in(f)));
  if (scope && !scope_start(scope_of(scope.get()))) {
    follow_cancel(f);
    return false;
  }
  const bool started = f->state.try_start();
  if (started) {
    task_started(f->engine);
    execute(f);
  }
  if (scope) scope_stop(scope_of(scope.get()));
  return started;
}

bool is_recorded(const FutureObject* f) {
  return f->job.run == run_recorded_future || f->job.run == run_recorded_kernel_future;
}

}  // namespace

bool run_if_pending(FutureObject* f) {
  return is_recorded(f) ? run_if_pending_by(f, execute_recorded)
                        : run_if_pending_by(f, execute);
}

namespace {

// What a kernel's call comes to.
void settle_kernel(FutureObject* f, const KernelCall& call, std::int32_t status) {
  if (status == 0) {
    settle(f, Py_NewRef(Py_None), false);
    return;
  }
  raise_kernel_failure(reinterpret_cast<PyObject*>(call.kernel), call.index, status);
  settle(f, take_exception(), true);
}

}  // namespace

namespace {

// What is noted of a task's call, if it is recorded.
template <bool kRecorded>
class Noting {
 public:
  void begin(FutureObject*, PyObject*, std::int64_t = -1) {}
  void begin(FutureObject*, const StoredCall&) {}
  void end(SpanState) {}
  void fail(PyObject*) {}
};

template <>
class Noting<true> {
 public:
  // `follows`: nothing came after the thread's last recorded call.
  explicit Noting(recording::Lane* lane, bool follows = false)
      : lane_(lane), follows_(follows) {}
  void begin(FutureObject* f, PyObject* function, std::int64_t item = -1) {
    if (lane_ == nullptr) return;
    bool ours = false;
    const std::uint32_t label = recording::label_of(function, &ours);
    if (ours) {  // whoever has sent it tells what it does
      lane_ = nullptr;
      return;
    }
    lane_->begin({label, 0, item, submitted(f)}, follows_);
  }
  // The same, where the function may be a context's run().
  void begin(FutureObject* f, const StoredCall& call) {
    PyObject* function = call.function();
    if (PyCFunction_Check(function) && call.count() > 0) {
      PyObject* self = PyCFunction_GET_SELF(function);
      if (self != nullptr && PyContext_CheckExact(self)) function = call.argument(0);
    }
    begin(f, function);
  }
  void end(SpanState state) {
    if (lane_ != nullptr) lane_->end(state);
  }
  void fail(PyObject* error) {
    if (lane_ == nullptr) return;
    const std::uint64_t now = stamp();
    lane_->end(SpanState::kFailed, recording::failure_of(error), now);
  }

 private:
  recording::Lane* lane_;
  const bool follows_;
};

// Whether what was called has looked for those who want the interpreter lock.
template <bool kRecorded>
FASTFLOW_INLINE bool execute_as(FutureObject* f, Noting<kRecorded> noting) {
  if (f->holds == Holds::kKernel) {
    const KernelCall call = f->kernel_call;
    noting.begin(f, call.kernel, call.index);
    {
      Detached detached;
      call.kernel->function(call.index, call.kernel->data);
    }
    noting.end(SpanState::kDone);
    settle_kernel(f, call, take_status(call.kernel, call.index));
    return false;
  }
  StoredCall call;
  f->call.move_to(&call);
  if (f->engine != nullptr && f->engine->broken.load(std::memory_order_relaxed)) {
    settle(f, broken_error(f->engine), true);
    call.drop();
    return false;
  }
  noting.begin(f, call);
  PyObject* result = call_in_context(f, call);
  if (result != nullptr) {
    noting.end(SpanState::kDone);
    settle(f, result, false);
  } else {
    Ref error = Ref::steal(take_exception());
    if (PyErr_GivenExceptionMatches(error.get(), imports.cancelled_signal)) {
      noting.end(SpanState::kCancelled);
      settle_cancelled(f);
    } else {
      noting.fail(error.get());
      add_note(error.get(), call.function(), "task", f->number);
      settle(f, error.release(), true);
    }
  }
  // A call that fails may have done so before any bytecode, by its arguments.
  const bool looked = result != nullptr && looks_by_itself(call.function());
  call.drop();
  return looked;
}

}  // namespace

void execute(FutureObject* f) { (void)execute_as<false>(f, {}); }
void execute_recorded(FutureObject* f) {
  (void)execute_as<true>(f, Noting<true>(recording::lane()));
}

void run_future(Job* job, Worker& worker) {
  FutureObject* f = future_of(job);
  bool looked = false;
  run_if_pending_by(f, [&](FutureObject* g) { looked = execute_as<false>(g, {}); });
  Py_DECREF(object_of(f));
  attachment(worker).end_of_job(worker, looked);
}

void run_recorded_future(Job* job, Worker& worker) {
  recording::Lane* lane = recording::lane();
  const bool follows = lane != nullptr && lane->begins_job(worker);
  FutureObject* f = future_of(job);
  bool looked = false;
  run_if_pending_by(f, [&](FutureObject* g) {
    looked = execute_as<true>(g, Noting<true>(lane, follows));
  });
  Py_DECREF(object_of(f));
  Attachment& mine = attachment(worker);
  if (!mine.yields_next(looked)) {
    mine.end_of_job(worker, looked);
    if (lane != nullptr) lane->ends_job();
    return;
  }
  const recording::Noted waits(SpanKind::kLock);
  mine.end_of_job(worker, looked);
}

namespace {

// The rare ends of a kernel task that need the interpreter.
void run_attached(FutureObject* f, Worker& worker) {
  Attachment& mine = attachment(worker);
  mine.attach();
  run_future(&f->job, worker);
  mine.detach();
}
void settle_attached(FutureObject* f, Worker& worker, std::int32_t status) {
  Attachment& mine = attachment(worker);
  mine.attach();
  settle_kernel(f, f->kernel_call, status);
  mine.detach();
}

}  // namespace

namespace {

template <class CallKernel>
void run_kernel_by(Job* job, Worker& worker, const CallKernel& call_kernel) {
  FutureObject* f = future_of(job);
  if (cancel_due(f)) {
    run_attached(f, worker);
    return;
  }
  Attachment& mine = attachment(worker);
  if (scope_in(f) != nullptr) {  // its end is counted by attached code anyway
    run_attached(f, worker);
    return;
  }
  if (f->state.try_start()) {
    task_started(f->engine);
    const KernelCall call = f->kernel_call;
    const std::int32_t status = call_kernel(f, call);
    // Before the end, whose release takes it to whoever has seen the end.
    atomic<std::uint64_t>& counter = worker.counts().completed;
    WorkerCounts::add(counter);
    TaskState::Word flags = 0;
    if (status != 0 || !f->state.finish_unshared(&flags)) {
      WorkerCounts::add(counter, ~std::uint64_t{0});  // settle counts
      settle_attached(f, worker, status);
    } else if ((flags & TaskState::kUrgent) != 0 ||
               ((flags & TaskState::kWaited) != 0 &&
                !worker.more_work(Lane::kNative))) {
      parking_lot::announce(f);
    }
  }
  // The reference can only be dropped by an attached thread: many at a time.
  mine.drop_later(&f->job);
  if (mine.drops() >= 512) {
    mine.attach();
    mine.detach();
  }
}

std::int32_t call_plainly(FutureObject*, const KernelCall& call) {
  call.kernel->function(call.index, call.kernel->data);
  return take_status(call.kernel, call.index);
}

std::int32_t call_noted(FutureObject* f, const KernelCall& call) {
  recording::Lane* lane = recording::lane();
  if (lane == nullptr) return call_plainly(f, call);
  lane->begin({recording::known_label_of(call.kernel), 0, call.index, submitted(f)},
              false);
  const std::int32_t status = call_plainly(f, call);
  lane->end(status == 0 ? SpanState::kDone : SpanState::kFailed);
  return status;
}

}  // namespace

void run_kernel_future(Job* job, Worker& worker) {
  run_kernel_by(job, worker, [](FutureObject* f, const KernelCall& call) {
    return call_plainly(f, call);
  });
}

void run_recorded_kernel_future(Job* job, Worker& worker) {
  if (recording::Lane* lane = recording::lane()) (void)lane->begins_job(worker);
  run_kernel_by(job, worker, call_noted);
}

// --- cancelling ----------------------------------------------------------------------

bool cancel(FutureObject* f) {
  if (!f->state.try_cancel()) {
    const Phase phase = f->state.phase();
    if (phase == Phase::kRunning) f->state.add_flag(TaskState::kCancelRequested);
    return phase == Phase::kCancelled || phase == Phase::kCancelledNotified;
  }
  if (f->engine != nullptr) {
    task_started(f->engine);
    bump(f->engine->counters.cancelled);
  }
  end_shared(f, "add_cancelled", nullptr, [f] {
    (void)f->state.notify_cancelled();
    return f->state.load();
  });
  drop_call(f);
  return true;
}

void follow_cancel(FutureObject* f) {
  if (is_to_be_cancelled(f)) cancel(f);
}

// --- waiting -------------------------------------------------------------------------

namespace {

class FutureEnd final : public Waitable {
 public:
  explicit FutureEnd(FutureObject* f) : f_(f) {}
  const void* key() const override { return f_; }
  bool done() const override { return f_->state.done(); }
  bool enlist(bool urgent) override {
    const TaskState::Word flag =
        TaskState::kWaited | (urgent ? TaskState::kUrgent : TaskState::Word{0});
    return TaskState::is_done(f_->state.add_flag(flag));
  }

 private:
  FutureObject* f_;
};

// A task of this worker's own pool that nobody has started is best run right here.
bool run_inline(FutureObject* f) {
  Worker* worker = current_worker();
  if (worker == nullptr || &worker->pool() != f->engine->pool) return false;
  Attachment& mine = attachment(*worker);
  if (mine.inline_depth >= kInlineDepth) return false;
  ++mine.inline_depth;
  const bool ran = run_if_pending(f);
  --mine.inline_depth;
  return ran;
}

}  // namespace

namespace {

// In a forked child, where the threads of its pool are gone: the first who waits for it
// ends it, and others wait for that.  True: it has ended.
bool settle_left_behind(FutureObject* f) {
  (void)f->state.try_start();  // false: a thread that is gone was at it
  const TaskState::Word before = f->state.add_flag(TaskState::kLeftBehind);
  if (!TaskState::is_done(before) && (before & TaskState::kLeftBehind) == 0) {
    settle(f, broken_error(f->engine), true);
  }
  return f->state.done();
}

}  // namespace

WaitEnd wait_until_done(FutureObject* f, double timeout) {
  if (f->state.done()) return WaitEnd::kDone;
  if (Engine* e = f->engine) {
    follow_cancel(f);
    if (e->forked.load(std::memory_order_relaxed) && settle_left_behind(f)) {
      return WaitEnd::kDone;
    }
    if (timeout < 0 && run_inline(f)) return WaitEnd::kDone;
  }
  FutureEnd end(f);
  if (!t_woke_worker) return wait_for(end, timeout, Outlook::kSoon);
  const bool newest =
      f->engine != nullptr && f->number == f->engine->counters.submitted.load();
  return wait_for(end, timeout, newest ? Outlook::kNext : Outlook::kBusy);
}

// --- notes ---------------------------------------------------------------------------

void add_note(PyObject* exception, PyObject* function, const char* kind,
              std::uint64_t number) {
  if (!PyObject_IsInstance(exception, PyExc_Exception)) return;
  ObjectLock lock(exception);  // many tasks may raise the same one
  Ref notes = Ref::steal(PyObject_GetAttrString(exception, "__notes__"));
  if (!notes) PyErr_Clear();
  if (notes) return;  // raised by another task before, or annotated by its author
  Ref name = Ref::steal(PyObject_GetAttrString(function, "__name__"));
  if (!name || !PyUnicode_Check(name.get())) {
    PyErr_Clear();
    name = Ref::steal(PyUnicode_FromString(Py_TYPE(function)->tp_name));
  }
  if (name) {
    Ref text = Ref::steal(PyUnicode_FromFormat(
        "%s '%U' #%llu", kind, name.get(), static_cast<unsigned long long>(number)));
    Ref done;
    if (text) {
      done = Ref::steal(PyObject_CallMethod(exception, "add_note", "O", text.get()));
    }
  }
  PyErr_Clear();
}

}  // namespace fastflow::py
