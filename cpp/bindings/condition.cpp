#include "condition.hpp"

#include "guarded.hpp"
#include "object.hpp"

namespace fastflow::py {

namespace {

PyTypeObject* condition_type = nullptr;
PyObject* new_lock = nullptr;  // _thread.RLock
PyObject *text_acquire = nullptr, *text_release = nullptr, *text_is_owned = nullptr;

struct Condition : PyObject {
  Ref lock;  // a reentrant lock
  Ref full;  // threading.Condition over it, for those who wait
};

Condition* self_of(PyObject* object) { return static_cast<Condition*>(object); }

// The full condition, or nothing: from then on it stays the same.
Ref look_for_full(PyObject* object) {
  ObjectLock lock(object);
  return Ref::borrow(self_of(object)->full.get());
}

// Made at first use; empty with an exception.  Of two that are made at the same time one
// is used by both.
Ref full_of(PyObject* object) {
  Ref full = look_for_full(object);
  if (full) return full;
  Condition* self = self_of(object);
  Ref made = Ref::steal(PyObject_CallOneArg(imports.new_condition, self->lock.get()));
  if (!made) return made;
  ObjectLock lock(object);
  if (!self->full) self->full = std::move(made);
  return Ref::borrow(self->full.get());
}

// A method of the full condition.
PyObject* get_from_full(PyObject* object, void* name) {
  Ref full = full_of(object);
  if (!full) return nullptr;
  return PyObject_GetAttrString(full.get(), static_cast<const char*>(name));
}

PyObject* enter(PyObject* object, PyObject*) {
  return PyObject_CallMethodNoArgs(self_of(object)->lock.get(), text_acquire);
}

// acquire(blocking=True, timeout=-1) -> bool
PyObject* acquire(PyObject* object, PyObject* const* args, Py_ssize_t nargs,
                  PyObject* names) {
  if (nargs == 0 && names == nullptr) return enter(object, nullptr);
  Ref bound = Ref::steal(PyObject_GetAttr(self_of(object)->lock.get(), text_acquire));
  if (!bound) return nullptr;
  return PyObject_Vectorcall(bound.get(), args, static_cast<std::size_t>(nargs), names);
}

PyObject* release(PyObject* object, PyObject*) {
  return PyObject_CallMethodNoArgs(self_of(object)->lock.get(), text_release);
}

PyObject* leave(PyObject* object, PyObject* const*, Py_ssize_t) {
  return release(object, nullptr);
}

// With nobody waiting there is only the caller's mistake to tell.
PyObject* notify(PyObject* object, const char* method, PyObject* const* args,
                 Py_ssize_t nargs) {
  Condition* self = self_of(object);
  if (Ref full = look_for_full(object)) {
    Ref bound = Ref::steal(PyObject_GetAttrString(full.get(), method));
    if (!bound) return nullptr;
    return PyObject_Vectorcall(bound.get(), args, static_cast<std::size_t>(nargs),
                               nullptr);
  }
  Ref owned = Ref::steal(PyObject_CallMethodNoArgs(self->lock.get(), text_is_owned));
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
  return new_lock != nullptr &&
         add_type<Condition>(module, "fastflow._core.Condition", &condition_type,
                             {.methods = methods, .getset = getset});
}

PyObject* new_condition() {
  Ref lock = Ref::steal(PyObject_CallNoArgs(new_lock));
  if (!lock) return nullptr;
  Ref object = make<Condition>(condition_type);
  if (object) self_of(object.get())->lock = std::move(lock);
  return object.release();
}

}  // namespace fastflow::py
