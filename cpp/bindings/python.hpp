// Python.h and the few helpers that every binding file needs.
#pragma once

#include <Python.h>

#include <atomic>
#include <cstdint>
#include <utility>

namespace fastflow::py {

// An owned reference.
class Ref {
 public:
  Ref() = default;
  // Takes over a new reference; nullptr is allowed.
  static Ref steal(PyObject* object) { return Ref(object); }
  static Ref borrow(PyObject* object) { return Ref(Py_XNewRef(object)); }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref&& other) noexcept {
    Ref old(std::exchange(object_, std::exchange(other.object_, nullptr)));
    return *this;
  }
  Ref(const Ref&) = delete;
  Ref& operator=(const Ref&) = delete;
  ~Ref() { Py_XDECREF(object_); }

  [[nodiscard]] PyObject* get() const noexcept { return object_; }
  [[nodiscard]] PyObject* release() noexcept { return std::exchange(object_, nullptr); }
  explicit operator bool() const noexcept { return object_ != nullptr; }

 private:
  explicit Ref(PyObject* object) : object_(object) {}
  PyObject* object_ = nullptr;
};

// The same of an object of a type of ours, for as long as its holder lives.
template <class Object>
class Shared {
 public:
  explicit Shared(Object* object) : object_(object) { Py_INCREF(object); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  ~Shared() noexcept(false) { Py_DECREF(object_); }  // see object.hpp

  [[nodiscard]] Object* get() const noexcept { return object_; }
  operator Object*() const noexcept { return object_; }
  Object* operator->() const noexcept { return object_; }

 private:
  Object* const object_;
};

// A counter that is only ever changed by attached threads.  With a global interpreter
// lock that makes a plain addition safe; without one it has to be atomic.
inline void bump(std::atomic<std::uint64_t>& counter, std::uint64_t n = 1) noexcept {
#ifdef Py_GIL_DISABLED
  counter.fetch_add(n, std::memory_order_relaxed);
#else
  counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
#endif
}

// For accesses that attached threads order among themselves: by the interpreter lock,
// or, where there is none, by the accesses.
#ifdef Py_GIL_DISABLED
constexpr std::memory_order kAttachedOrder = std::memory_order_seq_cst;
constexpr bool kAttachedExclude = false;  // whether attached threads exclude each other
#else
constexpr std::memory_order kAttachedOrder = std::memory_order_relaxed;
constexpr bool kAttachedExclude = true;
#endif

// Sets a flag by which attached threads keep each other out; false if it was set.
inline bool set_flag(std::atomic<bool>& flag) noexcept {
  if (flag.load(kAttachedOrder)) return false;
#ifdef Py_GIL_DISABLED
  return !flag.exchange(true);
#else
  flag.store(true, kAttachedOrder);
  return true;
#endif
}

// Mutual exclusion over one object's fields: the interpreter lock where there is one,
// the object's own lock on a free-threaded build.
//
// It excludes others only for as long as nothing in between runs Python code or waits:
// then the interpreter lock changes hands, and a free-threaded build gives the lock back
// meanwhile.  Code is run by calls, by dropping what may be a last reference, by lookups
// and comparisons, and before 3.12, where the garbage collector does its work inside of
// them, by making an object that is collected.  So what is needed is made before, what
// is to be dropped is moved out and goes after, and in between are only fields of ours.
class ObjectLock {
 public:
#ifdef Py_GIL_DISABLED
  explicit ObjectLock(PyObject* object) { PyCriticalSection_Begin(&section_, object); }
  ~ObjectLock() { PyCriticalSection_End(&section_); }

 private:
  PyCriticalSection section_;
#else
  explicit ObjectLock(PyObject*) {}
  ~ObjectLock() {}
#endif
 public:
  ObjectLock(const ObjectLock&) = delete;
  ObjectLock& operator=(const ObjectLock&) = delete;
};

// Item i of a list that others may change meanwhile, as a new reference; nullptr without
// an exception if the list is too short.
inline PyObject* list_item(PyObject* list, Py_ssize_t i) {
#if PY_VERSION_HEX >= 0x030D0000
  PyObject* item = PyList_GetItemRef(list, i);
  if (item == nullptr) PyErr_Clear();
  return item;
#else
  return i < PyList_GET_SIZE(list) ? Py_NewRef(PyList_GET_ITEM(list, i)) : nullptr;
#endif
}

// The exception now set, normalised and owned; clears the error indicator.
inline PyObject* take_exception() {
#if PY_VERSION_HEX >= 0x030C0000
  return PyErr_GetRaisedException();
#else
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (traceback != nullptr) PyException_SetTraceback(value, traceback);
  Py_XDECREF(type);
  Py_XDECREF(traceback);
  return value;
#endif
}

// Raises `exception` (borrowed), keeping its traceback.
inline void raise_exception(PyObject* exception) {
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception)), exception);
}

// Python objects that the binding needs from the Python layer; set once by
// _core.configure() right after import, by configure_graph() while the module is imported
// that alone makes graphs; never changed.
struct Imports {
  PyTypeObject* future_type = nullptr;     // fastflow.Future
  PyObject* cancelled_error = nullptr;     // concurrent.futures.CancelledError
  PyObject* timeout_error = nullptr;       // concurrent.futures.TimeoutError
  PyObject* broken_executor = nullptr;     // fastflow.errors.BrokenPoolError
  PyObject* queue_full = nullptr;          // fastflow.errors.QueueFullError
  PyObject* cancelled_signal = nullptr;    // fastflow.errors.Cancelled
  PyObject* invalid_state = nullptr;       // concurrent.futures.InvalidStateError
  PyObject* new_condition = nullptr;       // threading.Condition
  PyObject* log_callback_error = nullptr;  // (future) -> None, with the error set
  PyObject* empty_function = nullptr;      // a Python function that does nothing
  PyObject* log_unobserved = nullptr;      // (count, first exception) -> None
  PyObject* graph_error = nullptr;         // fastflow.errors.GraphError
  PyObject* cycle_error = nullptr;         // fastflow.errors.CycleError
  PyObject* kernel_failed = nullptr;       // fastflow.errors.KernelFailedError
  // In an object that is not a plain list, tuple or dict of nodes and constants: None,
  // or a tuple of nodes and a function that makes the object of their results.
  PyObject* nodes_in = nullptr;
  PyObject* containers = nullptr;  // tuple of the types in which they may be
};
extern Imports imports;

}  // namespace fastflow::py
