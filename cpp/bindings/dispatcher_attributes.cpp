// What Python code sees of a Dispatcher's state.
#include <algorithm>

#include "dispatcher.hpp"
#include "dispatcher_methods.hpp"
#include "guarded.hpp"

namespace fastflow::py {

namespace {

DispatcherObject* self_of(PyObject* object) { return dispatcher_of(object); }

template <auto get>
PyObject* get_bool(PyObject* object, void*) {
  DispatcherObject* self = self_of(object);
  const Stretch stretch(self->mutex);
  return PyBool_FromLong(get(*self));
}

template <auto get>
PyObject* get_count(PyObject* object, void*) {
  DispatcherObject* self = self_of(object);
  const Stretch stretch(self->mutex);
  return PyLong_FromUnsignedLongLong(get(*self));
}

template <bool DispatcherObject::*flag>
PyObject* get_flag(PyObject* self, void*) {
  return PyBool_FromLong(self_of(self)->*flag);
}

template <bool DispatcherObject::*flag>
int set_flag_to(PyObject* self, PyObject* value, void*) {
  const int is_true = value == nullptr ? 0 : PyObject_IsTrue(value);
  if (is_true < 0) return -1;
  self_of(self)->*flag = is_true > 0;
  return 0;
}

PyObject* get_seconds(PyObject* self, void*) {
  const double seconds = self_of(self)->seconds;
  return seconds < 0 ? Py_NewRef(Py_None) : PyFloat_FromDouble(seconds);
}

PyObject* get_refusal(PyObject* self, void*) {
  PyObject* refusal = self_of(self)->refusal.get();
  return Py_NewRef(refusal != nullptr ? refusal : Py_None);
}

int set_refusal(PyObject* object, PyObject* refusal, void*) {
  Ref old = Ref::borrow(refusal);
  DispatcherObject* self = self_of(object);
  const Stretch stretch(self->mutex);
  std::swap(old, self->refusal);
  return 0;
}

int set_burst(PyObject* self, PyObject* value, void*) {
  const auto burst = static_cast<std::uint64_t>(PyLong_AsUnsignedLongLongMask(value));
  if (PyErr_Occurred() != nullptr) return -1;
  self_of(self)->burst = burst;
  return 0;
}

int set_early_deaths(PyObject* self, PyObject* value, void*) {
  const long count = PyLong_AsLong(value);
  if (count == -1 && PyErr_Occurred() != nullptr) return -1;
  self_of(self)->early_deaths = static_cast<int>(count);
  return 0;
}

PyObject* get_workers(PyObject* object, void*) {
  DispatcherObject* self = self_of(object);
  std::vector<Ref> workers;
  {
    const Stretch stretch(self->mutex);
    workers.reserve(self->windows.size());
    for (const Ref& each : self->windows) workers.push_back(Ref::borrow(each.get()));
  }
  return list_of(workers);
}

constexpr auto kUnsettled = [](const DispatcherObject& d) { return d.unsettled(); };
constexpr auto kTakes = [](const DispatcherObject& d) { return d.takes; };
constexpr auto kBurst = [](const DispatcherObject& d) { return d.burst; };
constexpr auto kLimit = [](const DispatcherObject& d) { return d.limit; };
constexpr auto kEarly = [](const DispatcherObject& d) {
  return static_cast<unsigned long long>(d.early_deaths);
};
constexpr auto kStarting = [](const DispatcherObject& d) { return d.starting; };
constexpr auto kSettlers = [](const DispatcherObject& d) {
  return !d.settlers.empty();
};
constexpr auto kHasDead = [](const DispatcherObject& d) { return !d.dead.empty(); };
constexpr auto kHasLeft = [](const DispatcherObject& d) { return !d.left.empty(); };
constexpr auto kWantsWorker = [](const DispatcherObject& d) {
  return d.wants_worker();
};
// Whether calls wait that could be given to a worker.
constexpr auto kHolds = [](const DispatcherObject& d) {
  return d.order.size() > d.dropped && d.room && !d.inside && d.has_idle();
};
// Whether a worker idles while others may have more than they make.
constexpr auto kUneven = [](const DispatcherObject& d) {
  return d.has_idle() &&
         std::any_of(d.windows.begin(), d.windows.end(), [](const Ref& each) {
           return window_of(each.get())->calls.size() > 1;
         });
};

}  // namespace

PyGetSetDef dispatcher_getset[] = {
    {"unsettled", guarded<get_count<kUnsettled>>, nullptr,
     "Calls that have not ended, and maps that wait.", nullptr},
    {"workers", guarded<get_workers>, nullptr, "A list.", nullptr},
    {"refusal", guarded<get_refusal>, guarded<set_refusal>,
     "Returns why no more calls are taken; or None.", nullptr},
    {"takes", guarded<get_count<kTakes>>, nullptr, "Calls of `take`.", nullptr},
    {"burst", guarded<get_count<kBurst>>, guarded<set_burst>,
     "Calls that came since somebody waited.", nullptr},
    {"seconds", guarded<get_seconds>, nullptr, "That a call takes; or None.", nullptr},
    {"limit", guarded<get_count<kLimit>>, nullptr, "Calls that a worker is sent ahead.",
     nullptr},
    {"early_deaths", guarded<get_count<kEarly>>, guarded<set_early_deaths>,
     "Weighed deaths since a worker was ready.", nullptr},
    {"starting", guarded<get_count<kStarting>>, nullptr, "Workers.", nullptr},
    {"settles", guarded<get_bool<kSettlers>>, nullptr,
     "Whether some thread ends calls now.", nullptr},
    {"has_dead", guarded<get_bool<kHasDead>>, nullptr,
     "Whether `take_dead` has something.", nullptr},
    {"has_left", guarded<get_bool<kHasLeft>>, nullptr,
     "Whether another thread than the main one has to call `take`.", nullptr},
    {"wants_worker", guarded<get_bool<kWantsWorker>>, nullptr,
     "Whether one more would have something to do.", nullptr},
    {"holds", guarded<get_bool<kHolds>>, nullptr,
     "Whether calls wait that could be given to a worker.", nullptr},
    {"is_uneven", guarded<get_bool<kUneven>>, nullptr,
     "Whether a worker idles while others may have more than they make.", nullptr},
    {"look_closer", guarded<get_flag<&DispatcherObject::look_closer>>,
     guarded<set_flag_to<&DispatcherObject::look_closer>>,
     "Whether a worker has idled for some time while others had calls.", nullptr},
    {"asleep", guarded<get_flag<&DispatcherObject::asleep>>,
     guarded<set_flag_to<&DispatcherObject::asleep>>,
     "Whether the watcher sleeps, or is about to.", nullptr},
    {"killed", guarded<get_flag<&DispatcherObject::killed>>,
     guarded<set_flag_to<&DispatcherObject::killed>>,
     "Whether there will be no more workers.", nullptr},
    {"forked", guarded<get_flag<&DispatcherObject::forked>>, nullptr,
     "Whether this is a forked child's.", nullptr},
    {"piped", guarded<get_flag<&DispatcherObject::piped>>, nullptr,
     "Whether only the helper thread may use the channels.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

}  // namespace fastflow::py
