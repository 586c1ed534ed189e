#include "blocking.hpp"

#include "gil.hpp"
#include "guarded.hpp"

namespace fastflow::py {

namespace {

struct BlockingObject {
  PyObject_HEAD Worker* worker;  // that has entered it
};

BlockingObject* self_of(PyObject* object) {
  return reinterpret_cast<BlockingObject*>(object);
}

PyObject* enter(PyObject* self, PyObject*) {
  Worker* worker = self_of(self)->worker = current_worker();
  if (worker != nullptr) {
    attachment(*worker).announce_now();
    worker->pool().blocked(*worker);
  }
  Py_RETURN_NONE;
}

PyObject* leave(PyObject* self, PyObject* const*, Py_ssize_t) {
  if (Worker* worker = std::exchange(self_of(self)->worker, nullptr)) {
    worker->pool().unblocked(*worker);
  }
  Py_RETURN_NONE;
}

PyObject* make(PyTypeObject* type, PyObject*, PyObject*) {
  return type->tp_alloc(type, 0);
}

PyMethodDef methods[] = {{"__enter__", method<enter>(), METH_NOARGS, nullptr},
                         {"__exit__", method<leave>(), METH_FASTCALL, nullptr},
                         {nullptr, nullptr, 0, nullptr}};

PyType_Slot slots[] = {{Py_tp_new, slot<make>()},
                       {Py_tp_dealloc, slot<free_object>()},
                       {Py_tp_methods, methods},
                       {0, nullptr}};

PyType_Spec spec = {"fastflow._core.Blocking", sizeof(BlockingObject), 0,
                    Py_TPFLAGS_DEFAULT, slots};

PyTypeObject* blocking_type = nullptr;

}  // namespace

bool add_blocking_type(PyObject* module) {
  return add_type(module, spec, &blocking_type);
}

}  // namespace fastflow::py
