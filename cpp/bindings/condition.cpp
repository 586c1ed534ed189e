#include "condition.hpp"

#include "guarded.hpp"

namespace fastflow::py {

namespace {

PyTypeObject* condition_type = nullptr;
PyObject* new_lock = nullptr;  // _thread.RLock
PyObject *text_acquire = nullptr, *text_release = nullptr, *text_is_owned = nullptr;

struct Condition {
  PyObject_HEAD PyObject* lock;  // a reentrant lock
  PyObject* full;                // threading.Condition over it, for those who wait
};

Condition* self_of(PyObject* object) { return reinterpret_cast<Condition*>(object); }

void dealloc(PyObject* object) {
  Py_CLEAR(self_of(object)->full);
  Py_CLEAR(self_of(object)->lock);
  free_object(object);
}

// Borrowed; made at first use.
PyObject* full_of(PyObject* object) {
  Condition* self = self_of(object);
  if (self->full == nullptr) {
    Ref made = Ref::steal(PyObject_CallOneArg(imports.new_condition, self->lock));
    if (!made) return nullptr;
    ObjectLock lock(object);
    if (self->full == nullptr) self->full = made.release();
  }
  return self->full;
}

// A method of the full condition.
PyObject* get_from_full(PyObject* object, void* name) {
  PyObject* full = full_of(object);
  if (full == nullptr) return nullptr;
  return PyObject_GetAttrString(full, static_cast<const char*>(name));
}

PyObject* enter(PyObject* object, PyObject*) {
  return PyObject_CallMethodNoArgs(self_of(object)->lock, text_acquire);
}

// acquire(blocking=True, timeout=-1) -> bool
PyObject* acquire(PyObject* object, PyObject* const* args, Py_ssize_t nargs,
                  PyObject* names) {
  if (nargs == 0 && names == nullptr) return enter(object, nullptr);
  Ref bound = Ref::steal(PyObject_GetAttr(self_of(object)->lock, text_acquire));
  if (!bound) return nullptr;
  return PyObject_Vectorcall(bound.get(), args, static_cast<std::size_t>(nargs), names);
}

PyObject* release(PyObject* object, PyObject*) {
  return PyObject_CallMethodNoArgs(self_of(object)->lock, text_release);
}

PyObject* leave(PyObject* object, PyObject* const*, Py_ssize_t) {
  return release(object, nullptr);
}

// With nobody waiting there is only the caller's mistake to tell.
PyObject* notify(PyObject* object, const char* method, PyObject* const* args,
                 Py_ssize_t nargs) {
  Condition* self = self_of(object);
  Ref full;
  {
    ObjectLock lock(object);
    full = Ref::borrow(self->full);
  }
  if (full) {
    Ref bound = Ref::steal(PyObject_GetAttrString(full.get(), method));
    if (!bound) return nullptr;
    return PyObject_Vectorcall(bound.get(), args, static_cast<std::size_t>(nargs),
                               nullptr);
  }
  Ref owned = Ref::steal(PyObject_CallMethodNoArgs(self->lock, text_is_owned));
  if (!owned) return nullptr;
  if (owned.get() != Py_True) {
    PyErr_SetString(PyExc_RuntimeError, "cannot notify on un-acquired lock");
    return nullptr;
  }
  Py_RETURN_NONE;
}

PyObject* notify_some(PyObject* object, PyObject* const* args, Py_ssize_t nargs) {
  return notify(object, "notify", args, nargs);
}
PyObject* notify_all(PyObject* object, PyObject*) {
  return notify(object, "notify_all", nullptr, 0);
}

void* as_name(const char* name) { return const_cast<char*>(name); }

PyMethodDef methods[] = {
    {"__enter__", method<enter>(), METH_NOARGS, nullptr},
    {"__exit__", method<leave>(), METH_FASTCALL, nullptr},
    {"acquire", method<acquire>(), METH_FASTCALL | METH_KEYWORDS,
     "acquire(blocking=True, timeout=-1) -> bool"},
    {"release", method<release>(), METH_NOARGS, "release()"},
    {"notify", method<notify_some>(), METH_FASTCALL, "notify(n=1)"},
    {"notify_all", method<notify_all>(), METH_NOARGS, "notify_all()"},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef getset[] = {
    {"wait", guarded<get_from_full>, nullptr, nullptr, as_name("wait")},
    {"wait_for", guarded<get_from_full>, nullptr, nullptr, as_name("wait_for")},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyType_Slot slots[] = {{Py_tp_dealloc, slot<dealloc>()},
                       {Py_tp_methods, methods},
                       {Py_tp_getset, getset},
                       {0, nullptr}};

PyType_Spec spec = {"fastflow._core.Condition", sizeof(Condition), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

}  // namespace

bool add_condition_type(PyObject* module) {
  text_acquire = PyUnicode_InternFromString("acquire");
  text_release = PyUnicode_InternFromString("release");
  text_is_owned = PyUnicode_InternFromString("_is_owned");
  Ref threads = Ref::steal(PyImport_ImportModule("_thread"));
  if (!threads || text_acquire == nullptr || text_release == nullptr ||
      text_is_owned == nullptr) {
    return false;
  }
  new_lock = PyObject_GetAttrString(threads.get(), "RLock");
  return new_lock != nullptr && add_type(module, spec, &condition_type);
}

PyObject* new_condition() {
  Ref lock = Ref::steal(PyObject_CallNoArgs(new_lock));
  if (!lock) return nullptr;
  PyObject* object = condition_type->tp_alloc(condition_type, 0);
  if (object != nullptr) self_of(object)->lock = lock.release();
  return object;
}

}  // namespace fastflow::py
