#include "future_memory.hpp"

#include <cstring>

#include "block_pool.hpp"
#include "future.hpp"
#include "guarded.hpp"
#include "object.hpp"

namespace fastflow::py {

#if defined(Py_GIL_DISABLED) || defined(Py_TRACE_REFS)

bool adopt_future_type(PyTypeObject*) { return true; }
PyObject* new_future_memory(PyTypeObject* type) {
  return PyObject_GC_New(PyObject, type);
}

#else

namespace {

// What the collector has in front of an object.
constexpr std::size_t kHead = 2 * sizeof(void*);
constexpr std::size_t kBlock = (kHead + sizeof(FutureObject) + 15) / 16 * 16;

// Never destroyed: futures may outlive everything.
BlockPool& blocks() {
  alignas(BlockPool) static unsigned char storage[sizeof(BlockPool)];
  static BlockPool* made = new (storage) BlockPool(kBlock);
  return *made;
}

bool adopted = false;

PyObject* take(PyTypeObject* type) {
  auto* block = static_cast<char*>(blocks().take());
  if (block == nullptr) return PyErr_NoMemory();
  std::memset(block, 0, kHead);
  return PyObject_Init(reinterpret_cast<PyObject*>(block + kHead), type);
}

// tp_alloc: for `Future()`.  As PyType_GenericAlloc does it.
PyObject* allocate(PyTypeObject* type, Py_ssize_t) {
  PyObject* object = take(type);
  if (object == nullptr) return nullptr;
  std::memset(reinterpret_cast<char*>(object) + sizeof(PyObject), 0,
              sizeof(FutureObject) - sizeof(PyObject));
  PyObject_GC_Track(object);
  return object;
}

// tp_free
void give_back_memory(void* object) {
  PyObject_GC_UnTrack(object);
  blocks().give(static_cast<char*>(object) - kHead);
}

// The collector does not know of `future`.
void end(FutureObject* future) {
  PyObject* object = object_of(future);
  if (future->weakrefs != nullptr) PyObject_ClearWeakRefs(object);
  future->before_end();
  future->clear();
  PyTypeObject* type = Py_TYPE(object);
  future->~FutureObject();
  blocks().give(reinterpret_cast<char*>(object) - kHead);
  Py_DECREF(type);
}

void dealloc(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  if (type != imports.future_type) {  // of a class derived from it
    object::dealloc<FutureObject>(object);
    return;
  }
  if (type->tp_finalize != nullptr && PyObject_CallFinalizerFromDealloc(object) < 0) {
    return;
  }
  auto* future = static_cast<FutureObject*>(object);
  if (!PyObject_GC_IsTracked(object)) {  // no long chain of futures hangs on it
    end(future);
    return;
  }
  PyObject_GC_UnTrack(object);
  Py_TRASHCAN_BEGIN(object, type->tp_dealloc);
  end(future);
  Py_TRASHCAN_END;
}

// Whether the interpreter keeps in front of an object just what we leave room for;
// -1 with an exception.
int has_plain_head(PyTypeObject* type) {
  if (static_cast<std::size_t>(type->tp_basicsize) != sizeof(FutureObject)) return 0;
  Ref future = make<FutureObject>(type);
  Ref sys = Ref::steal(PyImport_ImportModule("sys"));
  if (!future || !sys) return -1;
  Ref whole =
      Ref::steal(PyObject_CallMethod(sys.get(), "getsizeof", "O", future.get()));
  if (!whole) return -1;
  const std::size_t bytes = PyLong_AsSize_t(whole.get());
  if (PyErr_Occurred()) return -1;
  return bytes == kHead + sizeof(FutureObject) ? 1 : 0;
}

}  // namespace

bool adopt_future_type(PyTypeObject* type) {
  const int plain = has_plain_head(type);
  if (plain <= 0) return plain == 0;
  type->tp_alloc = guarded<allocate>;
  type->tp_free = guarded<give_back_memory>;
  type->tp_dealloc = guarded<dealloc>;
  adopted = true;
  return true;
}

PyObject* new_future_memory(PyTypeObject* type) {
  return adopted ? take(type) : PyObject_GC_New(PyObject, type);
}

#endif

}  // namespace fastflow::py
