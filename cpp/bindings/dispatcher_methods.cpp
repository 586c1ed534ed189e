#include "dispatcher_methods.hpp"

#include <algorithm>

#include "dispatcher.hpp"
#include "future.hpp"
#include "guarded.hpp"
#include "hold.hpp"

namespace fastflow::py {

PyObject* list_of(const std::vector<Ref>& refs) {
  Ref list = Ref::steal(PyList_New(static_cast<Py_ssize_t>(refs.size())));
  if (!list) return nullptr;
  for (std::size_t i = 0; i < refs.size(); ++i) {
    PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), Py_NewRef(refs[i].get()));
  }
  return list.release();
}

namespace {

constexpr std::uint64_t kTakeEvery = 64;  // calls submitted
constexpr std::uint64_t kAlone = 4;       // calls
constexpr int kMostTries = 3;             // of a call whose workers die

// What is to be done after a call was added.
enum Due : long { kNothing = 0, kTake = 1, kStart = 2 };

DispatcherObject* self_of(PyObject* object) { return dispatcher_of(object); }

bool wrong_arguments(const char* usage) {
  PyErr_SetString(PyExc_TypeError, usage);
  return false;
}

// --- calls come ----------------------------------------------------------------------

PyObject* raise_refusal(DispatcherObject* self, Stretch& stretch) {
  Ref why = Ref::borrow(self->refusal.get());
  stretch.unlock();
  Ref error = Ref::steal(PyObject_CallNoArgs(why.get()));
  if (error) raise_exception(error.get());
  return nullptr;
}

PyObject* add_call(DispatcherObject* self, Call call) {
  Stretch stretch(self->mutex);
  if (self->refusal && self->refusal.get() != Py_None) {
    return raise_refusal(self, stretch);
  }
  if (self->order.empty()) self->dropped = 0;
  self->order.push_back(std::move(call));
  ++self->burst;
  if (self->piped) {
    self->ring_watcher();
    self->ring_helper();
    return PyLong_FromLong(self->wants_worker() ? kStart : kNothing);
  }
  const bool take = self->burst % kTakeEvery == 0;
  const bool held = !take && self->order.size() < self->hold && !self->growing() &&
                    (self->burst > kAlone || !self->has_idle());
  if (held || self->inside) {
    // It waits for company though a worker idles: the watcher ends that.
    if (self->order.size() == 1 && self->has_idle()) self->ring_watcher();
    return PyLong_FromLong(kNothing);
  }
  const bool start = self->wants_worker();
  if (self->room && !start && !dispatch(self, stretch)) return nullptr;
  return PyLong_FromLong((take ? kTake : 0) | (start ? kStart : 0));
}

// add(future, number, message) -> what is due
PyObject* add(PyObject* self, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 3) {
    wrong_arguments("add(future, number, message)");
    return nullptr;
  }
  const long long number = PyLong_AsLongLong(args[1]);
  if (number == -1 && PyErr_Occurred()) return nullptr;
  return add_call(self_of(self),
                  {Ref::borrow(args[0]), Ref::borrow(args[2]), number, 0, false, 0});
}

PyObject* add_map(PyObject* self, PyObject* map) {
  return add_call(self_of(self), {Ref::borrow(map), Ref(), -1, 0, true, 0});
}

// --- answers come --------------------------------------------------------------------

PyObject* take(PyObject* object, PyObject*) {
  DispatcherObject* self = self_of(object);
  std::size_t count = 0;
  bool good = true;
  Ref error;
  Stretch stretch(self->mutex);
  ++self->takes;
  good = take_in(self) && forget_segments(self) && dispatch_or_rebalance(self, stretch);
  if (!good) error = Ref::steal(take_exception());
  if (!settle_all(self, stretch, &count)) {
    if (!error) return nullptr;
    PyErr_Clear();
  }
  if (!good) {
    raise_exception(error.get());
    return nullptr;
  }
  return PyLong_FromSize_t(count);
}

// --- what is asked of a call ---------------------------------------------------------

struct Place {
  WindowObject* window = nullptr;
  std::size_t i = 0;
};

// Where a call is that was sent.
Place find(DispatcherObject* self, PyObject* target) {
  for (const Ref& each : self->windows) {
    WindowObject* window = window_of(each.get());
    for (std::size_t i = 0; i < window->calls.size(); ++i) {
      if (window->calls[i].target.get() == target) return {window, i};
    }
  }
  return {};
}

// Whether it has its answer, or its worker has ended.
bool is_past(DispatcherObject* self, PyObject* target) {
  const auto is_for = [&](const Answer& answer) {
    return answer.target.get() == target;
  };
  if (std::any_of(self->settling.begin(), self->settling.end(), is_for) ||
      std::any_of(self->left.begin(), self->left.end(), is_for) || self->in_hand > 0) {
    return true;
  }
  for (const Ref& each : self->dead) {
    for (const Call& call : window_of(each.get())->calls) {
      if (call.target.get() == target) return true;
    }
  }
  return false;
}

bool is_in_order(DispatcherObject* self, PyObject* target) {
  return std::any_of(self->order.begin(), self->order.end(),
                     [&](const Call& call) { return call.target.get() == target; });
}

// cancel(future) -> whether it is cancelled
PyObject* cancel_call(PyObject* object, PyObject* target) {
  DispatcherObject* self = self_of(object);
  auto* future = static_cast<FutureObject*>(target);
  Call recalled;
  Stretch stretch(self->mutex);
  const Place place = find(self, target);
  if (place.window != nullptr) {
    auto& calls = place.window->calls;
    if (!place.window->line.recall(calls[place.i].ticket)) Py_RETURN_FALSE;
    recalled = std::move(calls[place.i]);
    calls.erase(calls.begin() + static_cast<std::ptrdiff_t>(place.i));
    --place.window->assigned;
    self->room = true;
  } else {
    // In a hand, another call may be meant: then one looks.
    if (is_past(self, target) && !is_in_order(self, target)) Py_RETURN_FALSE;
    if (future->state.done()) Py_RETURN_FALSE;
    ++self->dropped;
  }
  stretch.unlock();
  return PyBool_FromLong(cancel(future));  // can't fail: nobody starts it
}

// is_running(future)
PyObject* is_running(PyObject* object, PyObject* target) {
  DispatcherObject* self = self_of(object);
  const Stretch stretch(self->mutex);
  const Place place = find(self, target);
  return PyBool_FromLong(place.window != nullptr && place.window->has_begun(place.i));
}

// worker_of(future) -> the worker that makes it next or now, or None
PyObject* worker_of(PyObject* object, PyObject* target) {
  DispatcherObject* self = self_of(object);
  const Stretch stretch(self->mutex);
  const Place place = find(self, target);
  return Py_NewRef(place.window != nullptr && place.i == 0
                       ? static_cast<PyObject*>(place.window)
                       : Py_None);
}

// --- calls are taken away ------------------------------------------------------------

std::vector<Ref> targets_of(const std::deque<Call>& calls) {
  std::vector<Ref> targets;
  targets.reserve(calls.size());
  for (const Call& call : calls) targets.push_back(Ref::borrow(call.target.get()));
  return targets;
}

// take_waiting(): all that wait, and what workers have but are not to make next
PyObject* take_waiting(PyObject* object, PyObject*) {
  DispatcherObject* self = self_of(object);
  std::deque<Call> taken;
  {
    const Stretch stretch(self->mutex);
    for (std::size_t i = 0; i < self->windows.size(); ++i) {
      const std::size_t n = self->window(i)->calls.size();
      if (n > 1) recall(self, self->window(i), n - 1);
    }
    taken.swap(self->order);
    self->dropped = 0;
  }
  return list_of(targets_of(taken));
}

// take_all(): all calls that have no answer
PyObject* take_all(PyObject* object, PyObject*) {
  DispatcherObject* self = self_of(object);
  std::deque<Call> taken;
  {
    const Stretch stretch(self->mutex);
    taken.swap(self->order);
    self->dropped = 0;
    const auto take_calls = [&](const Ref& each) {
      for (Call& call : window_of(each.get())->calls) taken.push_back(std::move(call));
      window_of(each.get())->calls.clear();
    };
    for (const Ref& each : self->windows) take_calls(each);
    for (const Ref& each : self->dead) take_calls(each);
  }
  return list_of(targets_of(taken));
}

// take_dead(): a worker that has ended, and the calls that it had begun and that are
// not made again, with the numbers of their functions; the others wait again.  Or None.
PyObject* take_dead(PyObject* object, PyObject*) {
  DispatcherObject* self = self_of(object);
  Ref worker;
  std::deque<Call> lost;
  {
    const Stretch stretch(self->mutex);
    if (self->dead.empty()) Py_RETURN_NONE;
    worker = std::move(self->dead.front());
    self->dead.pop_front();
    WindowObject* window = window_of(worker.get());
    std::deque<Call> back;
    bool begun = true;
    for (std::size_t i = 0; i < window->calls.size(); ++i) {
      begun = begun && window->has_begun(i);
      Call& call = window->calls[i];
      if (begun) ++call.tries;
      const bool again =
          !begun || (self->retry && !self->killed && call.tries < kMostTries);
      (again ? back : lost).push_back(std::move(call));
    }
    window->calls.clear();
    while (!back.empty()) {
      self->order.push_front(std::move(back.back()));
      back.pop_back();
    }
    self->room = true;
  }
  Ref calls = Ref::steal(PyList_New(0));
  if (!calls) return nullptr;
  for (const Call& call : lost) {
    Ref pair = Ref::steal(
        Py_BuildValue("(OL)", call.target.get(), static_cast<long long>(call.number)));
    if (!pair || PyList_Append(calls.get(), pair.get()) < 0) return nullptr;
  }
  return Py_BuildValue("(OO)", worker.get(), calls.get());
}

// --- workers come and go -------------------------------------------------------------

PyObject* attach(PyObject* object, PyObject* worker) {
  if (!PyObject_TypeCheck(worker, window_type)) {
    wrong_arguments("attach(worker)");
    return nullptr;
  }
  DispatcherObject* self = self_of(object);
  const Stretch stretch(self->mutex);
  self->windows.push_back(Ref::borrow(worker));
  self->room = true;
  Py_RETURN_NONE;
}

PyObject* give(PyObject* object, PyObject*) {
  DispatcherObject* self = self_of(object);
  Stretch stretch(self->mutex);
  if (!dispatch(self, stretch)) return nullptr;
  Py_RETURN_NONE;
}

// retire(): have all workers end if there are no calls -> these workers
PyObject* retire(PyObject* object, PyObject*) {
  DispatcherObject* self = self_of(object);
  std::vector<Ref> workers;
  {
    const Stretch stretch(self->mutex);
    if (self->unsettled() == 0) workers.swap(self->windows);
    for (const Ref& each : workers) {
      if (!stop_window(self, window_of(each.get()))) PyErr_Clear();
    }
  }
  return list_of(workers);
}

// disown(): forget all workers, in a forked child -> these workers
PyObject* disown(PyObject* object, PyObject*) {
  DispatcherObject* self = self_of(object);
  new (&self->mutex) DispatcherMutex;  // whoever had it is not there
  self->inside = false;
  self->forked = true;
  std::vector<Ref> workers;
  workers.swap(self->windows);
  return list_of(workers);
}

void end_start(PyObject* owner, bool) {
  const Stretch stretch(self_of(owner)->mutex);
  --self_of(owner)->starting;
}

// claim_start(): a Hold, as long as a worker is started; granted if one is wanted
PyObject* claim_start(PyObject* object, PyObject*) {
  DispatcherObject* self = self_of(object);
  const auto nothing = [](PyObject*, bool) {};
  Ref made = make_hold(object, nothing, false);
  if (!made) return nullptr;
  const Stretch stretch(self->mutex);
  if (self->wants_worker()) {
    ++self->starting;
    auto* hold = static_cast<HoldObject*>(made.get());
    hold->release = end_start;
    hold->granted = true;
  }
  return made.release();
}

// --- the rest ------------------------------------------------------------------------

// call_at_end(bell): set a future when some call has ended, or if there is none
PyObject* add_bell(PyObject* object, PyObject* bell) {
  if (!PyObject_TypeCheck(bell, future_base_type)) {
    wrong_arguments("add_bell(future)");
    return nullptr;
  }
  DispatcherObject* self = self_of(object);
  Stretch stretch(self->mutex);
  if (self->unsettled() > 0) {
    self->bells.push_back(Ref::borrow(bell));
    Py_RETURN_NONE;
  }
  stretch.unlock();
  return set_outcome(bell, Py_None, false);
}

// Whether this thread dispatches, and was called from within.
PyObject* is_entered(PyObject* object, PyObject*) {
  const DispatcherObject* self = self_of(object);
  return PyBool_FromLong(self->inside &&
                         self->inside_thread == PyThread_get_thread_ident());
}

// Whether this thread sets futures, and was called from within.
PyObject* is_settling(PyObject* object, PyObject*) {
  DispatcherObject* self = self_of(object);
  const Stretch stretch(self->mutex);
  return PyBool_FromLong(std::count(self->settlers.begin(), self->settlers.end(),
                                    PyThread_get_thread_ident()));
}

}  // namespace

PyMethodDef dispatcher_methods[] = {
    {"add", method<add>(), METH_FASTCALL,
     "add(future, number, message) -> what is due"},
    {"add_map", method<add_map>(), METH_O, "add_map(map) -> what is due"},
    {"take", method<take>(), METH_NOARGS,
     "Take in what workers have answered, give what waits, end calls -> how many"},
    {"give", method<give>(), METH_NOARGS, "Give what waits to those that have room."},
    {"cancel_call", method<cancel_call>(), METH_O,
     "cancel_call(future) -> whether it is cancelled"},
    {"is_running", method<is_running>(), METH_O, "Whether a worker has begun a call."},
    {"worker_of", method<worker_of>(), METH_O,
     "The worker that makes a call now or next, or None."},
    {"take_waiting", method<take_waiting>(), METH_NOARGS,
     "Take all calls away that wait, or that workers have but won't make next."},
    {"take_all", method<take_all>(), METH_NOARGS,
     "Take all calls away that have no answer."},
    {"take_dead", method<take_dead>(), METH_NOARGS,
     "(worker, [(call, number)]) of one that has ended, or None"},
    {"attach", method<attach>(), METH_O, "Have one more worker."},
    {"retire", method<retire>(), METH_NOARGS,
     "Have all workers end if there are no calls -> these workers"},
    {"disown", method<disown>(), METH_NOARGS,
     "Forget all workers, in a forked child -> these workers"},
    {"claim_start", method<claim_start>(), METH_NOARGS,
     "A Hold for as long as a worker is started; granted if one is wanted."},
    {"add_bell", method<add_bell>(), METH_O,
     "Set a future when some call has ended, or if there is none."},
    {"is_entered", method<is_entered>(), METH_NOARGS,
     "Whether this thread gives calls, and was called from within."},
    {"is_settling", method<is_settling>(), METH_NOARGS,
     "Whether this thread ends calls, and was called from within."},
    {nullptr, nullptr, 0, nullptr}};

}  // namespace fastflow::py
