#include "dispatcher.hpp"

#include <unistd.h>

#include <algorithm>

#include "dispatcher_methods.hpp"
#include "future.hpp"
#include "guarded.hpp"

namespace fastflow::py {

PyTypeObject* dispatcher_type = nullptr;

namespace {

constexpr double kAhead = 0.004;      // seconds of work in a window
constexpr double kTogether = 0.0001;  // seconds of work
constexpr double kMostAhead = 2048;   // calls in a window
constexpr double kMostTogether = 64;  // calls

int visit_calls(const std::deque<Call>& calls, visitproc visit, void* arg) {
  for (const Call& call : calls) {
    if (int stop = visit_all(visit, arg, call.target, call.message)) return stop;
  }
  return 0;
}

int visit_answers(const Answers& answers, visitproc visit, void* arg) {
  for (const Answer& each : answers) {
    if (int stop =
            visit_all(visit, arg, each.target, each.message, each.window, each.sent)) {
      return stop;
    }
  }
  return 0;
}

template <class Refs>
int visit_refs(const Refs& refs, visitproc visit, void* arg) {
  for (const Ref& each : refs) Py_VISIT(each.get());
  return 0;
}

// One byte: whoever listens looks at everything.
void ring(int descriptor) noexcept {
#if !defined(_WIN32)
  const char byte = '.';
  // Full: it has rung.
  if (descriptor >= 0) [[maybe_unused]]
    const auto n = ::write(descriptor, &byte, 1);
#else
  (void)descriptor;
#endif
}

}  // namespace

int DispatcherObject::traverse(visitproc visit, void* arg) const {
  if (int stop = visit_calls(order, visit, arg)) return stop;
  if (int stop = visit_answers(settling, visit, arg)) return stop;
  if (int stop = visit_answers(left, visit, arg)) return stop;
  if (int stop = visit_refs(windows, visit, arg)) return stop;
  if (int stop = visit_refs(dead, visit, arg)) return stop;
  if (int stop = visit_refs(bells, visit, arg)) return stop;
  return visit_all(visit, arg, loads, dumps, definitions, graveyard, stop, refusal);
}

void DispatcherObject::clear() {
  drop_each(order);
  drop_each(settling);
  drop_each(left);
  drop_each(windows);
  drop_each(dead);
  drop_each(bells);
  clear_all(loads, dumps, definitions, graveyard, stop, refusal);
}

std::size_t DispatcherObject::unsettled() const {
  std::size_t count = order.size() - std::min(dropped, order.size());
  for (const Ref& each : windows) count += window_of(each.get())->calls.size();
  for (const Ref& each : dead) count += window_of(each.get())->calls.size();
  return count + settling.size() + left.size() + in_hand;
}

bool DispatcherObject::has_idle() const {
  return std::any_of(windows.begin(), windows.end(),
                     [](const Ref& each) { return window_of(each.get())->idles(); });
}

bool DispatcherObject::wants_worker() const {
  if (!growing() || forked || killed || has_idle()) return false;
  // Those behind a call that may be long wait, too: they are taken back.
  return !order.empty() ||
         std::any_of(windows.begin(), windows.end(), [](const Ref& each) {
           return window_of(each.get())->calls.size() > 1;
         });
}

void DispatcherObject::learn(double each) {
  each = std::max(each, 1e-9);
  seconds = seconds < 0 ? each : (seconds + each) / 2;
  limit = static_cast<std::size_t>(std::clamp(kAhead / seconds, 2.0, kMostAhead));
  together =
      static_cast<std::size_t>(std::clamp(kTogether / seconds, 1.0, kMostTogether));
}

void DispatcherObject::ring_watcher() const noexcept {
  if (asleep || piped) ring(watcher_bell);
}

void DispatcherObject::ring_helper() const noexcept { ring(helper_bell); }

bool DispatcherObject::is_disturbed() const noexcept {
  return PyThread_get_thread_ident() == main_thread;
}

bool is_over(const Call& call) {
  return !call.is_map && PyObject_TypeCheck(call.target.get(), future_base_type) &&
         static_cast<FutureObject*>(call.target.get())->state.done();
}

namespace {

int dispatcher_init(PyObject* object, PyObject* args, PyObject* names) {
  static const char* keywords[] = {
      "loads",       "dumps",     "definitions", "graveyard",    "stop",
      "max_workers", "max_tasks", "retry",       "watcher_bell", "helper_bell",
      "main_thread", "piped",     nullptr};
  PyObject *loads, *dumps, *definitions, *graveyard, *stop;
  Py_ssize_t max_workers, max_tasks;
  int retry, piped, watcher_bell, helper_bell;
  unsigned long main_thread;
  if (!PyArg_ParseTupleAndKeywords(
          args, names, "$OOO!OSnnpiikp:Dispatcher", const_cast<char**>(keywords),
          &loads, &dumps, &PyDict_Type, &definitions, &graveyard, &stop, &max_workers,
          &max_tasks, &retry, &watcher_bell, &helper_bell, &main_thread, &piped)) {
    return -1;
  }
  DispatcherObject* self = dispatcher_of(object);
  self->loads = Ref::borrow(loads);
  self->dumps = Ref::borrow(dumps);
  self->definitions = Ref::borrow(definitions);
  self->graveyard = Ref::borrow(graveyard);
  self->stop = Ref::borrow(stop);
  self->max_workers = static_cast<std::size_t>(std::max<Py_ssize_t>(max_workers, 1));
  self->max_tasks = static_cast<std::size_t>(std::max<Py_ssize_t>(max_tasks, 0));
  self->retry = retry != 0;
  self->piped = piped != 0;
  self->watcher_bell = watcher_bell;
  self->helper_bell = helper_bell;
  self->main_thread = main_thread;
  return 0;
}

}  // namespace

bool add_dispatcher_type(PyObject* module) {
  return add_type<DispatcherObject>(
      module, "fastflow._core.Dispatcher", &dispatcher_type,
      {.methods = dispatcher_methods,
       .getset = dispatcher_getset,
       .make = guarded<new_object<DispatcherObject>>,
       .flags = Py_TPFLAGS_BASETYPE,
       .others = {{Py_tp_init, slot<dispatcher_init>()}}});
}

}  // namespace fastflow::py
