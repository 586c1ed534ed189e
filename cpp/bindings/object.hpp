// A Python object that is a C++ struct: how one is made, collected and destroyed.
//
//   struct MapObject : PyObject {
//     explicit MapObject(Engine* of);                // or none
//     int traverse(visitproc visit, void* arg);      // if it is to be collected
//     void clear();                                  // if it may close a cycle
//     void finalize();                               // tp_finalize, if it has one
//     void before_end();                             // nobody knows of it any more
//     PyObject* weakrefs = nullptr;                  // if weak references may be had
//     PyObject* dict = nullptr;                      // if it has attributes of users
//   };
//   add_type<MapObject>(module, "fastflow._core.Map", &map_type, {.methods = methods});
//   Ref map = make<MapObject>(map_type, engine);
//
// A constructor runs no Python code, as the garbage collector knows of the object
// already; if it throws, the memory goes back and the exception passes.  What runs
// Python code, or fails with one of its exceptions, comes after make(): the object is
// whole then, and goes like any other.
//
// At the end come finalize(), before_end(), clear() and the destructor.  References
// that may be the last ones to what runs Python code go before the destructor, or are
// Shared: before 3.14 that may end the thread, by an exception (see guarded.hpp).
//
// The head is Python's.  Compilers take it for a part of the struct, which has no value
// before its constructor and after its destructor, and drop what was written there; so
// it is put back.
#pragma once

#include <Python.h>
#include <structmember.h>

#include <initializer_list>
#include <new>
#include <type_traits>

#include "guarded.hpp"
#include "python.hpp"

namespace fastflow::py {

// --- references ----------------------------------------------------------------------

inline int visit_all(visitproc, void*) { return 0; }
template <class First, class... Others>
int visit_all(visitproc visit, void* arg, const First& first, const Others&... others) {
  PyObject* object = nullptr;
  if constexpr (std::is_pointer_v<First>) {
    object = first;
  } else {
    object = first.get();
  }
  Py_VISIT(object);
  return visit_all(visit, arg, others...);
}

template <class Object>
void drop(Object*& object) {
  Py_XDECREF(static_cast<PyObject*>(std::exchange(object, nullptr)));
}
inline void drop(Ref& ref) { Py_XDECREF(ref.release()); }

// Each is nullptr before its object goes.
template <class... References>
void clear_all(References&... references) {
  (drop(references), ...);
}

// --- one object ----------------------------------------------------------------------

namespace object {

template <class T>
concept Collected = requires(T t, visitproc visit) {
  t.traverse(visit, nullptr);
};
template <class T>
concept Cleared = requires(T t) {
  t.clear();
};
template <class T>
concept Finalized = requires(T t) {
  t.finalize();
};
template <class T>
concept Ended = requires(T t) {
  t.before_end();
};
template <class T>
concept WeaklyReferenced = requires(T t) {
  t.weakrefs;
};
template <class T>
concept HasAttributes = requires(T t) {
  t.dict;
};

// Its memory.
inline void give_back(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  type->tp_free(object);
  Py_DECREF(type);
}

template <class T>
void dealloc(PyObject* object) {
  if constexpr (Finalized<T>) {
    if (PyObject_CallFinalizerFromDealloc(object) < 0) return;
  }
  if constexpr (Collected<T>) PyObject_GC_UnTrack(object);
  T* self = static_cast<T*>(object);
  if constexpr (WeaklyReferenced<T>) {
    if (self->weakrefs != nullptr) PyObject_ClearWeakRefs(object);
  }
  if constexpr (Ended<T>) self->before_end();
  if constexpr (Cleared<T>) self->clear();
  const PyObject head = *object;
  self->~T();
  *object = head;
  give_back(object);
}

template <class T>
int traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(object));
  return static_cast<T*>(object)->traverse(visit, arg);
}

template <class T>
int clear(PyObject* object) {
  static_cast<T*>(object)->clear();
  return 0;
}

template <class T>
void finalize(PyObject* object) {
  static_cast<T*>(object)->finalize();
}

}  // namespace object

// The C++ part, in memory that is new and all zeros but for the head.
template <class T, class... Arguments>
T* construct(PyObject* memory, Arguments&&... arguments) {
  const PyObject head = *memory;
  try {
    T* made;
    if constexpr (sizeof...(Arguments) == 0) {
      made = new (memory) T;
    } else {
      made = new (memory) T(std::forward<Arguments>(arguments)...);
    }
    *memory = head;
    return made;
  } catch (...) {
    *memory = head;
    if constexpr (object::Collected<T>) PyObject_GC_UnTrack(memory);
    object::give_back(memory);
    throw;
  }
}

// Empty: there was no memory for it, and MemoryError is set.
template <class T, class... Arguments>
Ref make(PyTypeObject* type, Arguments&&... arguments) {
  PyObject* memory = type->tp_alloc(type, 0);
  if (memory == nullptr) return Ref();
  construct<T>(memory, std::forward<Arguments>(arguments)...);
  return Ref::steal(memory);
}

// A tp_new for objects that need no arguments; those are the business of __init__.
template <class T>
PyObject* new_object(PyTypeObject* type, PyObject*, PyObject*) {
  return make<T>(type).release();
}

// --- their type ----------------------------------------------------------------------

// What Python code sees of it.
struct TypeParts {
  PyMethodDef* methods = nullptr;
  PyGetSetDef* getset = nullptr;
  // What a call of the type is; with neither, it can't be called.
  vectorcallfunc create = nullptr;
  newfunc make = nullptr;
  unsigned int flags = 0;  // besides those that follow from the struct
  std::initializer_list<PyType_Slot> others = {};
};

class TypeSlots {
 public:
  void add(int slot, void* value) {
    if (value != nullptr) slots_[count_++] = {slot, value};
  }
  PyType_Slot* data() { return slots_; }

 private:
  PyType_Slot slots_[24]{};  // ends with a zero
  std::size_t count_ = 0;
};

// Makes the type, puts it into the module, and into *type.
bool add_type(PyObject* module, const char* name, std::size_t size, TypeSlots& slots,
              const TypeParts& parts, PyTypeObject** type);

// Gives `type`, a class written in Python, the methods of its native base as its own.
// The interpreter calls a native method without detours only on objects of the very
// type that has it.  False with an exception.
bool own_methods(PyTypeObject* type);

template <class T>
bool add_type(PyObject* module, const char* name, PyTypeObject** type,
              TypeParts parts) {
  TypeSlots slots;
  slots.add(Py_tp_dealloc, slot<object::dealloc<T>>());
  if constexpr (object::Collected<T>) {
    parts.flags |= Py_TPFLAGS_HAVE_GC;
    slots.add(Py_tp_traverse, slot<object::traverse<T>>());
  }
  if constexpr (object::Cleared<T>) slots.add(Py_tp_clear, slot<object::clear<T>>());
  if constexpr (object::Finalized<T>) {
    slots.add(Py_tp_finalize, slot<object::finalize<T>>());
  }
  static PyMemberDef offsets[3] = {};
  PyMemberDef* next = offsets;
  if constexpr (object::WeaklyReferenced<T>) {
    *next++ = {"__weaklistoffset__", T_PYSSIZET, offsetof(T, weakrefs), READONLY,
               nullptr};
  }
  if constexpr (object::HasAttributes<T>) {
    *next++ = {"__dictoffset__", T_PYSSIZET, offsetof(T, dict), READONLY, nullptr};
  }
  if (next != offsets) slots.add(Py_tp_members, offsets);
  return add_type(module, name, sizeof(T), slots, parts, type);
}

}  // namespace fastflow::py
