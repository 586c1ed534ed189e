#include "executor.hpp"

#include <vector>

#include "compiler.hpp"
#include "guarded.hpp"
#include "kernel.hpp"
#include "object.hpp"
#include "recording.hpp"
#include "scope.hpp"
#include "task_context.hpp"

namespace fastflow::py {

PyTypeObject* executor_base_type = nullptr;

namespace {

struct ExecutorObject : PyObject {
  int traverse(visitproc visit, void* arg) const {
    for (const Ref& left : before) Py_VISIT(left.get());
    return visit_all(visit, arg, engine.load());
  }
  void clear() {
    const Ref dropped = Ref::steal(engine.exchange(nullptr));
    for (const Ref& left : std::exchange(before, {})) static_cast<void>(left);
  }
  // Nobody can submit any more: the workers leave when the queue is empty.
  void finalize() {
    Engine* e = engine.load();
    if (e == nullptr || e->forked.load() || e->shut_down.exchange(true)) return;
    e->pool->stop();
  }

  // Owned; nullptr until _open.  In a forked child another one comes in its place while
  // somebody may just have read it here: so the ones before are kept, and whoever has
  // the executor can use what it has read.
  std::atomic<Engine*> engine{nullptr};
  std::vector<Ref> before;  // under ObjectLock
};

ExecutorObject* self_of(PyObject* object) {
  return static_cast<ExecutorObject*>(object);
}

FASTFLOW_INLINE bool fill(FutureObject* f, PyObject* scope, PyObject* const* args,
                          std::size_t nargs, PyObject* names, std::int64_t index) {
  if (is_kernel(args[0])) {
    f->kernel_call.index = index;
    f->kernel_call.kernel = kernel_of(Py_NewRef(args[0]));
    f->holds = Holds::kKernel;
    f->job.run = run_kernel_future;
  } else {
    if (!f->call.store(args[0], args + 1, nargs - 1, names)) return false;
    PyObject* context = nullptr;
    if (f->engine->propagate_context && !capture_context(&context)) return false;
    Ref captured = Ref::steal(context);
    if (captured) {
      if (extras_of(f) == nullptr) return false;
      extras_in(f)->context = std::move(captured);
    }
  }
  if (scope != nullptr) {
    if (extras_of(f) == nullptr) return false;
    extras_in(f)->scope = Ref::borrow(scope);
    f->state.add_flag(TaskState::kShared);
    scope_enter(scope_of(scope));
  }
#ifdef Py_GIL_DISABLED
  f->number = f->engine->counters.submitted.fetch_add(1, std::memory_order_relaxed) + 1;
#else
  bump(f->engine->counters.submitted);
  f->number = f->engine->counters.submitted.load(std::memory_order_relaxed);
#endif
  return true;
}

template <bool kRecorded>
FASTFLOW_INLINE PyObject* submit_accepted(Engine* e, PyObject* scope,
                                          PyObject* const* args, std::size_t n,
                                          PyObject* names, std::int64_t index) {
  const Room room = make_room(e);
  if (room == Room::kError) return nullptr;
  FutureObject* f = new_future(e);
  if (f == nullptr) {
    if (room == Room::kQueue) task_started(e);
    return nullptr;
  }
  PyObject* future = object_of(f);
  if (!fill(f, scope, args, n, names, index)) {
    if (room == Room::kQueue) task_started(e);
    Py_DECREF(future);
    return nullptr;
  }
  if constexpr (kRecorded) {
    const bool native = f->holds == Holds::kKernel;
    if (native) (void)recording::label_of(args[0]);  // which needs the interpreter
    f->job.run = native ? run_recorded_kernel_future : run_recorded_future;
    set_submitted(f, stamp());
  }
  if (room == Room::kRun) {
    (void)f->state.try_start();
    if constexpr (kRecorded) {
      execute_recorded(f);
    } else {
      execute(f);
    }
    // Ctrl-C came while the task ran in the caller's thread: it is the caller's.
    if (f->failed && PyErr_GivenExceptionMatches(f->outcome, PyExc_KeyboardInterrupt)) {
      f->state.add_flag(TaskState::kObserved);
      raise_exception(f->outcome);
      Py_DECREF(future);
      return nullptr;
    }
    return future;
  }
  Py_INCREF(future);  // the queue's
  const Lane lane = f->holds == Holds::kKernel ? Lane::kNative : Lane::kAttached;
  const Need need = e->pool->enqueue(&f->job, lane);
  t_woke_worker = need != Need::kNothing;
  if (need == Need::kThread && !satisfy(e, need)) {
    Py_DECREF(future);
    return nullptr;
  }
  return future;
}

FASTFLOW_COLD PyObject* submit_recorded(Engine* e, PyObject* scope,
                                        PyObject* const* args, std::size_t n,
                                        PyObject* names, std::int64_t index) {
  return submit_accepted<true>(e, scope, args, n, names, index);
}

}  // namespace

PyObject* submit(Engine* e, PyObject* scope, PyObject* const* args,
                 std::size_t positional, PyObject* names) {
  if (positional < 1) {
    PyErr_SetString(PyExc_TypeError,
                    "submit() missing 1 required positional argument: 'fn'");
    return nullptr;
  }
  const std::size_t named =
      names == nullptr ? 0 : static_cast<std::size_t>(PyTuple_GET_SIZE(names));
  // First what may run Python code, which may submit and shut down itself.
  std::int64_t index = 0;
  if (is_kernel(args[0]) &&
      !kernel_index(args + 1, positional + named - 1, names, &index)) {
    return nullptr;
  }
  PyObject* keywords = named == 0 ? nullptr : names;
  const Accepts accepted = accepts(e);
  if (accepted == Accepts::kYes) [[likely]] {
    return submit_accepted<false>(e, scope, args, positional + named, keywords, index);
  }
  if (accepted == Accepts::kNo) return nullptr;
  return submit_recorded(e, scope, args, positional + named, keywords, index);
}

namespace {

// nullptr with an exception.  A forked child gets a fresh one at first use.
Engine* engine_in(PyObject* self) {
  Engine* e = self_of(self)->engine.load(std::memory_order_acquire);  // from _open
  if (e == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "Executor.__init__() was not called");
    return nullptr;
  }
  if (!e->forked.load(std::memory_order_relaxed)) [[likely]]
    return e;
  const Ref done = Ref::steal(PyObject_CallMethod(self, "_renew", nullptr));
  return done ? self_of(self)->engine.load() : nullptr;
}

PyObject* executor_submit(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                          PyObject* names) {
  // It may be replaced by code that runs below (a fork in a signal handler).
  Engine* e = engine_in(self);
  if (e == nullptr) return nullptr;
  return submit(e, nullptr, args, static_cast<std::size_t>(nargs), names);
}

// _open(engine) -> bool: false if another thread was first.
PyObject* executor_open(PyObject* self, PyObject* engine) {
  if (Py_TYPE(engine) != engine_type) {
    PyErr_SetString(PyExc_TypeError, "_open() wants an Engine");
    return nullptr;
  }
  ExecutorObject* executor = self_of(self);
  ObjectLock lock(self);
  Engine* now = executor->engine.load();
  if (now != nullptr && !now->forked.load()) Py_RETURN_FALSE;
  executor->before.reserve(executor->before.size() + 1);
  if (now != nullptr) executor->before.push_back(Ref::steal(now));
  executor->engine.store(engine_of(Py_NewRef(engine)));
  Py_RETURN_TRUE;
}

PyObject* get_engine(PyObject* self, void*) {
  return Py_XNewRef(reinterpret_cast<PyObject*>(engine_in(self)));
}

PyMethodDef methods[] = {
    {"submit", method<executor_submit>(), METH_FASTCALL | METH_KEYWORDS,
     "submit($self, fn, /, *args, **kwargs)\n--\n\n"
     "Schedules fn(*args, **kwargs) and returns a fastflow.Future for it.\n\n"
     "Tasks start in the order of their submission.  A fastflow.Kernel as fn takes "
     "one\n"
     "int and runs without the interpreter lock.\n\n"
     "Raises\n------\n"
     "RuntimeError\n    After shutdown, or while the interpreter exits.\n"
     "BrokenExecutor\n    If a worker's initializer failed.\n"
     "QueueFullError\n    If max_pending is reached and on_full is 'raise'."},
    {"_open", method<executor_open>(), METH_O,
     "_open(engine) -> bool: sets it unless there is one that can be used."},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef getset[] = {{"_engine", guarded<get_engine>, nullptr, nullptr, nullptr},
                        {nullptr, nullptr, nullptr, nullptr, nullptr}};

}  // namespace

bool add_executor_type(PyObject* module) {
  return add_type<ExecutorObject>(module, "fastflow._core.ExecutorBase",
                                  &executor_base_type,
                                  {.methods = methods,
                                   .getset = getset,
                                   .make = guarded<new_object<ExecutorObject>>,
                                   .flags = Py_TPFLAGS_BASETYPE});
}

}  // namespace fastflow::py
