// The Python face of FutureBase: the methods of concurrent.futures.Future, natively.
#include "future.hpp"

#include <new>

#include "condition.hpp"
#include "guarded.hpp"
#include "kernel.hpp"
#include "object.hpp"

namespace fastflow::py {

PyTypeObject* future_base_type = nullptr;

namespace {

PyObject* phase_names[5];  // by Phase; immortal

bool make_phase_names() {
  constexpr std::pair<Phase, const char*> kNames[] = {
      {Phase::kPending, "PENDING"},
      {Phase::kRunning, "RUNNING"},
      {Phase::kCancelled, "CANCELLED"},
      {Phase::kCancelledNotified, "CANCELLED_AND_NOTIFIED"},
      {Phase::kFinished, "FINISHED"}};
  for (const auto& [phase, name] : kNames) {
    PyObject*& made = phase_names[static_cast<int>(phase)];
    made = PyUnicode_InternFromString(name);
    if (made == nullptr) return false;
  }
  return true;
}

FutureObject* self_of(PyObject* object) { return static_cast<FutureObject*>(object); }

Phase phase_of(PyObject* self) {
  follow_cancel(self_of(self));
  return self_of(self)->state.phase();
}

bool is_done(PyObject* self) {
  return TaskState::is_done(static_cast<TaskState::Word>(phase_of(self)));
}

int future_init(PyObject*, PyObject* args, PyObject* kwargs) {
  if (PyTuple_GET_SIZE(args) == 0 && (kwargs == nullptr || PyDict_Size(kwargs) == 0)) {
    return 0;
  }
  PyErr_SetString(PyExc_TypeError, "Future() takes no arguments");
  return -1;
}

}  // namespace

void FutureObject::before_end() {
  const TaskState::Word w = state.load();
  if (holds == Holds::kOutcome && failed && (w & TaskState::kObserved) == 0 &&
      engine != nullptr && !(extras_in(this) != nullptr && extras_in(this)->scope)) {
    add_unobserved(engine, outcome, number);
  }
}

int FutureObject::traverse(visitproc visit, void* arg) const {
  Py_VISIT(engine);
  Py_VISIT(dict);
  if (holds == Holds::kOutcome) Py_VISIT(outcome);
  if (holds == Holds::kKernel) Py_VISIT(kernel_call.kernel);
  if (holds == Holds::kCall) {
    if (int stop = call.traverse(visit, arg)) return stop;
  }
  const Extras* more = extras_in(this);
  if (more == nullptr) return 0;
  for (const Ref& fn : more->callbacks) Py_VISIT(fn.get());
  return visit_all(visit, arg, more->condition, more->waiters, more->context,
                   more->scope);
}

void FutureObject::clear() {
  delete extras.exchange(nullptr);
  drop_call(this);
  if (holds == Holds::kOutcome) clear_all(outcome);
  clear_all(engine, dict);
}

namespace {

// --- asking --------------------------------------------------------------------------

PyObject* future_done(PyObject* self, PyObject*) {
  return PyBool_FromLong(is_done(self));
}

PyObject* future_running(PyObject* self, PyObject*) {
  return PyBool_FromLong(phase_of(self) == Phase::kRunning);
}

PyObject* future_cancelled(PyObject* self, PyObject*) {
  const Phase phase = phase_of(self);
  return PyBool_FromLong(phase == Phase::kCancelled ||
                         phase == Phase::kCancelledNotified);
}

PyObject* future_cancel(PyObject* self, PyObject*) {
  return PyBool_FromLong(cancel(self_of(self)));
}

// Waits for the end; false with an exception (timeout, cancelled, interrupted).
bool await_outcome(PyObject* self, PyObject* timeout_arg) {
  FutureObject* f = self_of(self);
  if (!f->state.done()) {
    double timeout = -1;
    if (!parse_timeout(timeout_arg, &timeout)) return false;
    switch (wait_until_done(f, timeout)) {
      case WaitEnd::kDone:
        break;
      case WaitEnd::kTimeout:
        PyErr_SetNone(imports.timeout_error);
        return false;
      case WaitEnd::kError:
        return false;
    }
  }
  if (f->state.phase() == Phase::kFinished) return true;
  PyErr_SetNone(imports.cancelled_error);
  return false;
}

// result(timeout=None) and exception(timeout=None) have one optional argument.
bool timeout_argument(const char* name, PyObject* const* args, Py_ssize_t nargs,
                      PyObject* names, PyObject** timeout) {
  const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  *timeout = Py_None;
  if (nargs + named == 0) return true;
  if (nargs + named > 1) {
    PyErr_Format(PyExc_TypeError, "%s() takes at most 1 argument (timeout)", name);
    return false;
  }
  if (named == 1 &&
      PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "timeout") != 0) {
    PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument %R", name,
                 PyTuple_GET_ITEM(names, 0));
    return false;
  }
  *timeout = args[0];
  return true;
}

// The result of a finished task; a kernel's is None, without having been stored.
PyObject* outcome_of(FutureObject* f) {
  PyObject* there = f->holds == Holds::kOutcome ? f->outcome : nullptr;
  return Py_NewRef(there != nullptr ? there : Py_None);
}

PyObject* future_result(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                        PyObject* names) {
  FutureObject* f = self_of(self);
  PyObject* timeout;
  if (!timeout_argument("result", args, nargs, names, &timeout)) return nullptr;
  if (!await_outcome(self, timeout)) return nullptr;
  if (!f->failed) return outcome_of(f);
  f->state.add_flag(TaskState::kObserved);
  raise_exception(f->outcome);
  return nullptr;
}

PyObject* future_exception(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                           PyObject* names) {
  FutureObject* f = self_of(self);
  PyObject* timeout;
  if (!timeout_argument("exception", args, nargs, names, &timeout)) return nullptr;
  if (!await_outcome(self, timeout)) return nullptr;
  if (!f->failed) Py_RETURN_NONE;
  f->state.add_flag(TaskState::kObserved);
  return Py_NewRef(f->outcome);
}

// False: the task has ended, and the callback is the caller's to run.
bool leave_callback(FutureObject* f, PyObject* fn) {
  ObjectLock lock(object_of(f));
  Extras* extras = extras_of(f);
  if (extras == nullptr) throw std::bad_alloc();
  extras->callbacks.push_back(Ref::borrow(fn));
  // Who ends the task sees the flag, and takes the callbacks under this lock; or it
  // came first, and then may have been here already.
  if (!TaskState::is_done(f->state.add_flag(TaskState::kShared))) return true;
  extras->callbacks.pop_back();
  return false;
}

PyObject* future_add_done_callback(PyObject* self, PyObject* fn) {
  follow_cancel(self_of(self));
  if (leave_callback(self_of(self), fn)) Py_RETURN_NONE;
  Ref done = Ref::steal(PyObject_CallOneArg(fn, self));
  if (!done) {
    if (PyErr_ExceptionMatches(PyExc_Exception) == 0) return nullptr;  // Ctrl-C, exit
    Ref error = Ref::steal(take_exception());
    Ref logged = Ref::steal(PyObject_CallFunctionObjArgs(imports.log_callback_error,
                                                         self, error.get(), nullptr));
    if (!logged) return nullptr;
  }
  Py_RETURN_NONE;
}

// _forget_callback(fn): takes the newest of these back, if it is still there.
PyObject* future_forget_callback(PyObject* self, PyObject* fn) {
  Ref dropped;  // after the lock
  ObjectLock lock(self);
  Extras* extras = extras_in(self_of(self));
  if (extras == nullptr) Py_RETURN_NONE;
  std::vector<Ref>& callbacks = extras->callbacks;
  for (auto at = callbacks.end(); at != callbacks.begin();) {
    if ((--at)->get() != fn) continue;
    dropped = std::move(*at);
    callbacks.erase(at);
    break;
  }
  Py_RETURN_NONE;
}

// --- setting (for futures made by hand) ----------------------------------------------

PyObject* future_set_running(PyObject* self, PyObject*) {
  FutureObject* f = self_of(self);
  follow_cancel(f);
  if (f->state.try_start()) Py_RETURN_TRUE;
  const Phase phase = f->state.phase();
  if (phase == Phase::kCancelled || phase == Phase::kCancelledNotified) Py_RETURN_FALSE;
  PyErr_SetString(PyExc_RuntimeError, "Future in unexpected state");
  return nullptr;
}

// Makes the outcome the caller's to set; false: it is set or the task cancelled
// already, or it is run by a worker, who will set it.  Of two who ask, the second finds
// what the first has done; who cancels the task does so before the start, or finds it
// started.
bool claim_outcome(FutureObject* f, StoredCall* unused) {
  ObjectLock lock(object_of(f));
  const bool by_hand = f->engine == nullptr;
  if (f->holds == Holds::kOutcome) return false;
  if (!f->state.try_start() && !(by_hand && f->state.phase() == Phase::kRunning)) {
    return false;
  }
  if (!by_hand) task_started(f->engine);
  if (f->holds == Holds::kCall) {
    f->call.move_to(unused);
    f->holds = Holds::kOutcome;
    f->outcome = nullptr;
  }
  return true;
}

}  // namespace

PyObject* set_outcome(PyObject* self, PyObject* outcome, bool failed) {
  FutureObject* f = self_of(self);
  StoredCall unused;  // dropped without the lock: that may run Python code
  if (!claim_outcome(f, &unused)) {
    PyErr_Format(imports.invalid_state, "%R: the outcome is set already", self);
    return nullptr;
  }
  unused.clear();
  settle(f, Py_NewRef(outcome), failed);
  Py_RETURN_NONE;
}

namespace {

PyObject* future_set_result(PyObject* self, PyObject* result) {
  return set_outcome(self, result, false);
}

PyObject* future_set_exception(PyObject* self, PyObject* exception) {
  return set_outcome(self, exception, true);
}

// --- what the standard library's functions use ---------------------------------------

PyObject* get_state(PyObject* self, void*) {
  return Py_NewRef(phase_names[static_cast<int>(phase_of(self))]);
}

PyObject* get_condition(PyObject* self, void*) {
  FutureObject* f = self_of(self);
  follow_cancel(f);
  {
    ObjectLock lock(self);
    if (extras_in(f) != nullptr && extras_in(f)->condition) {
      return Py_NewRef(extras_in(f)->condition.get());
    }
  }
  Ref made = Ref::steal(new_condition());
  if (!made) return nullptr;
  ObjectLock lock(self);
  Extras* extras = extras_of(f);
  if (extras == nullptr) return nullptr;
  if (!extras->condition) extras->condition = std::move(made);
  f->state.add_flag(TaskState::kShared);
  return Py_NewRef(extras->condition.get());
}

PyObject* get_waiters(PyObject* self, void*) {
  FutureObject* f = self_of(self);
  // A task that touches this is about to wait in concurrent.futures.wait().
  Worker* worker = current_worker();
  if (worker != nullptr && !f->state.done()) attachment(*worker).may_block(*worker);
  Ref made = Ref::steal(PyList_New(0));
  if (!made) return nullptr;
  ObjectLock lock(self);
  Extras* extras = extras_of(f);
  if (extras == nullptr) return nullptr;
  if (!extras->waiters) extras->waiters = std::move(made);
  f->state.add_flag(TaskState::kShared);
  return Py_NewRef(extras->waiters.get());
}

// A list of its own, as they may be taken any time.
PyObject* get_callbacks(PyObject* self, void*) {
  std::vector<Ref> callbacks;
  {
    ObjectLock lock(self);
    if (const Extras* extras = extras_in(self_of(self))) {
      callbacks.reserve(extras->callbacks.size());
      for (const Ref& fn : extras->callbacks) {
        callbacks.push_back(Ref::borrow(fn.get()));
      }
    }
  }
  PyObject* list = PyList_New(static_cast<Py_ssize_t>(callbacks.size()));
  for (std::size_t i = 0; list != nullptr && i < callbacks.size(); ++i) {
    PyList_SET_ITEM(list, static_cast<Py_ssize_t>(i), callbacks[i].release());
  }
  return list;
}

PyObject* get_result(PyObject* self, void*) {
  FutureObject* f = self_of(self);
  const bool there = f->state.phase() == Phase::kFinished && !f->failed;
  return there ? outcome_of(f) : Py_NewRef(Py_None);
}

PyObject* get_exception(PyObject* self, void*) {
  FutureObject* f = self_of(self);
  const bool there = f->state.phase() == Phase::kFinished && f->failed;
  if (there) f->state.add_flag(TaskState::kObserved);
  return Py_NewRef(there ? f->outcome : Py_None);
}

// --- attributes of users, which may close a cycle -----------------------------------

void track_locked(PyObject* self) {
  ObjectLock lock(self);
  track(self_of(self));
}

int set_attribute(PyObject* self, PyObject* name, PyObject* value) {
  if (PyObject_GenericSetAttr(self, name, value) < 0) return -1;
  if (self_of(self)->dict != nullptr) track_locked(self);
  return 0;
}

PyObject* get_dict(PyObject* self, void*) {
  track_locked(self);
  return PyObject_GenericGetDict(self, nullptr);
}

int set_dict(PyObject* self, PyObject* value, void*) {
  track_locked(self);
  return PyObject_GenericSetDict(self, value, nullptr);
}

PyObject* get_number(PyObject* self, void*) {
  return PyLong_FromUnsignedLongLong(self_of(self)->number);
}

PyMethodDef methods[] = {
    {"done", method<future_done>(), METH_NOARGS,
     "True if the call was cancelled or has finished."},
    {"running", method<future_running>(), METH_NOARGS,
     "True if the call is being executed."},
    {"cancelled", method<future_cancelled>(), METH_NOARGS,
     "True if the call was cancelled."},
    {"cancel", method<future_cancel>(), METH_NOARGS,
     "Cancels the call if it has not started; True if it is cancelled.\n\n"
     "A call that is running goes on; it can learn of the attempt through\n"
     "fastflow.current_task()."},
    {"result", method<future_result>(), METH_FASTCALL | METH_KEYWORDS,
     "result(timeout=None)\n--\n\nThe call's result, waited for at most timeout "
     "seconds."},
    {"exception", method<future_exception>(), METH_FASTCALL | METH_KEYWORDS,
     "exception(timeout=None)\n--\n\nThe call's exception or None."},
    {"add_done_callback", method<future_add_done_callback>(), METH_O,
     "Calls fn(future) when the call is cancelled or has finished."},
    {"_forget_callback", method<future_forget_callback>(), METH_O,
     "_forget_callback(fn): takes a callback back."},
    {"set_running_or_notify_cancel", method<future_set_running>(), METH_NOARGS,
     "For executors: True if the call should run, False if it was cancelled."},
    {"set_result", method<future_set_result>(), METH_O,
     "For executors: sets the result."},
    {"set_exception", method<future_set_exception>(), METH_O,
     "For executors: sets the exception."},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef getset[] = {
    {"_state", guarded<get_state>, nullptr, nullptr, nullptr},
    {"_condition", guarded<get_condition>, nullptr, nullptr, nullptr},
    {"_waiters", guarded<get_waiters>, nullptr, nullptr, nullptr},
    {"_done_callbacks", guarded<get_callbacks>, nullptr, nullptr, nullptr},
    {"_result", guarded<get_result>, nullptr, nullptr, nullptr},
    {"_exception", guarded<get_exception>, nullptr, nullptr, nullptr},
    {"__dict__", guarded<get_dict>, guarded<set_dict>, nullptr, nullptr},
    {"number", guarded<get_number>, nullptr,
     "Number of the task within its executor, from 1.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

}  // namespace

bool add_future_type(PyObject* module) {
  return make_phase_names() &&
         add_type<FutureObject>(module, "fastflow._core.FutureBase", &future_base_type,
                                {.methods = methods,
                                 .getset = getset,
                                 .make = guarded<new_object<FutureObject>>,
                                 .flags = Py_TPFLAGS_BASETYPE,
                                 .others = {{Py_tp_init, slot<future_init>()},
                                            {Py_tp_setattro, slot<set_attribute>()}}});
}

}  // namespace fastflow::py
