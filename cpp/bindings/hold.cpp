#include "hold.hpp"

#include "guarded.hpp"

namespace fastflow::py {

namespace {

PyTypeObject* hold_type = nullptr;
PyTypeObject* seats_type = nullptr;

struct SeatsObject : PyObject {
  unsigned long watcher = 0;  // thread; 0: none
  Py_ssize_t sleepers = 0;
};

SeatsObject* seats_of(PyObject* object) { return static_cast<SeatsObject*>(object); }
HoldObject* hold_of(PyObject* object) { return static_cast<HoldObject*>(object); }

PyObject* hold_enter(PyObject* self, PyObject*) { return Py_NewRef(self); }

PyObject* hold_exit(PyObject* self, PyObject* const*, Py_ssize_t) {
  hold_of(self)->end();
  Py_RETURN_NONE;
}

PyObject* get_granted(PyObject* self, void*) {
  return PyBool_FromLong(hold_of(self)->granted);
}

PyMethodDef hold_methods[] = {{"__enter__", method<hold_enter>(), METH_NOARGS, nullptr},
                              {"__exit__", method<hold_exit>(), METH_FASTCALL, nullptr},
                              {nullptr, nullptr, 0, nullptr}};

PyGetSetDef hold_getset[] = {{"granted", guarded<get_granted>, nullptr,
                              "Whether what was asked for was had.", nullptr},
                             {nullptr, nullptr, nullptr, nullptr, nullptr}};

// --- AtEnd ---------------------------------------------------------------------------

struct AtEndObject : PyObject {
  void before_end() {
    if (!function) return;
    Ref error = Ref::steal(PyErr_Occurred() != nullptr ? take_exception() : nullptr);
    Ref done = Ref::steal(PyObject_CallOneArg(function.get(), argument.get()));
    if (!done) PyErr_WriteUnraisable(function.get());
    if (error) raise_exception(error.get());
  }

  Ref function, argument;
};

PyTypeObject* at_end_type = nullptr;

PyObject* make_at_end(PyTypeObject* type, PyObject* args, PyObject*) {
  PyObject *function, *argument;
  if (!PyArg_ParseTuple(args, "OO:AtEnd", &function, &argument)) return nullptr;
  Ref made = make<AtEndObject>(type);
  if (!made) return nullptr;
  static_cast<AtEndObject*>(made.get())->function = Ref::borrow(function);
  static_cast<AtEndObject*>(made.get())->argument = Ref::borrow(argument);
  return made.release();
}

// --- seats ---------------------------------------------------------------------------

void keep(PyObject*, bool) {}

void leave(PyObject* owner, bool watches) {
  const ObjectLock lock(owner);
  SeatsObject* seats = seats_of(owner);
  if (watches) {
    seats->watcher = 0;
  } else {
    --seats->sleepers;
  }
}

// take(watch, sleep): a Hold; granted with the watch
PyObject* seats_take(PyObject* self, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 2) {
    PyErr_SetString(PyExc_TypeError, "take(watch, sleep)");
    return nullptr;
  }
  const int watch = PyObject_IsTrue(args[0]), sleep = PyObject_IsTrue(args[1]);
  if (watch < 0 || sleep < 0) return nullptr;
  const unsigned long me = PyThread_get_thread_ident();
  Ref seat = make_hold(self, keep, true);
  if (!seat) return nullptr;
  const ObjectLock lock(self);
  SeatsObject* seats = seats_of(self);
  // A signal handler that waits has interrupted who has the watch.
  if (watch != 0 && seats->watcher == me) return seat.release();
  if (watch != 0 && seats->watcher == 0) {
    seats->watcher = me;
  } else if (sleep != 0) {
    ++seats->sleepers;
    hold_of(seat.get())->granted = false;
  } else {
    hold_of(seat.get())->granted = false;
    return seat.release();
  }
  hold_of(seat.get())->release = leave;
  return seat.release();
}

PyObject* get_watched(PyObject* self, void*) {
  return PyBool_FromLong(seats_of(self)->watcher != 0);
}
PyObject* get_sleepers(PyObject* self, void*) {
  return PyLong_FromSsize_t(seats_of(self)->sleepers);
}

PyMethodDef seats_methods[] = {
    {"take", method<seats_take>(), METH_FASTCALL,
     "take(watch, sleep): a Hold that has the watch (granted) if that is wanted and "
     "free, else one that counts as a sleeper if that is wanted."},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef seats_getset[] = {
    {"watched", guarded<get_watched>, nullptr, "Whether a thread has the watch.",
     nullptr},
    {"sleepers", guarded<get_sleepers>, nullptr, "How many threads sleep.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

}  // namespace

void HoldObject::end() {
  Ref old = std::move(owner);
  if (old) release(old.get(), granted);
}

Ref make_hold(PyObject* owner, Release release, bool granted) {
  Ref made = make<HoldObject>(hold_type);
  if (!made) return made;
  hold_of(made.get())->owner = Ref::borrow(owner);
  hold_of(made.get())->release = release;
  hold_of(made.get())->granted = granted;
  return made;
}

bool add_hold_types(PyObject* module) {
  return add_type<HoldObject>(module, "fastflow._core.Hold", &hold_type,
                              {.methods = hold_methods, .getset = hold_getset}) &&
         add_type<AtEndObject>(module, "fastflow._core.AtEnd", &at_end_type,
                               {.make = guarded<make_at_end>}) &&
         add_type<SeatsObject>(module, "fastflow._core.Seats", &seats_type,
                               {.methods = seats_methods,
                                .getset = seats_getset,
                                .make = guarded<new_object<SeatsObject>>});
}

}  // namespace fastflow::py
