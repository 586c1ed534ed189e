#include "context_per_call.hpp"

#include <new>

#include "guarded.hpp"
#include "task_context.hpp"

namespace fastflow::py {

namespace {

PyTypeObject* context_per_call_type = nullptr;

struct ContextPerCall {
  PyObject_HEAD PyObject* base;  // what capture_context gave
  ItemContext context;           // guarded by `busy`
  std::atomic<bool> busy;        // a call is under way
};

ContextPerCall* self_of(PyObject* object) {
  return reinterpret_cast<ContextPerCall*>(object);
}

PyObject* new_object(PyTypeObject* type, PyObject* args, PyObject*) {
  if (!PyArg_ParseTuple(args, ":ContextPerCall")) return nullptr;
  Ref object = Ref::steal(type->tp_alloc(type, 0));
  if (!object) return nullptr;
  ContextPerCall* self = self_of(object.get());
  new (&self->context) ItemContext;
  new (&self->busy) std::atomic<bool>(false);
  if (!capture_context(&self->base) || !self->context.open(self->base)) return nullptr;
  return object.release();
}

PyObject* call(PyObject* const* args, Py_ssize_t nargs, PyObject* names) {
  return PyObject_Vectorcall(args[0], args + 1, static_cast<std::size_t>(nargs - 1),
                             names);
}

// A call from within a call, or from another thread meanwhile: a context for it alone.
PyObject* call_beside(ContextPerCall* self, PyObject* const* args, Py_ssize_t nargs,
                      PyObject* names) {
  ItemContext context;
  if (!context.open(self->base) || !context.enter()) return nullptr;
  PyObject* result = call(args, nargs, names);
  context.exit();
  return result;
}

// run(fn, *args, **kwargs) -> fn's result
PyObject* run(PyObject* object, PyObject* const* args, Py_ssize_t nargs,
              PyObject* names) {
  ContextPerCall* self = self_of(object);
  if (nargs < 1) {
    PyErr_SetString(PyExc_TypeError, "run(fn, *args, **kwargs)");
    return nullptr;
  }
  if (self->busy.load(kAttachedOrder) || self->busy.exchange(true)) {
    return call_beside(self, args, nargs, names);
  }
  if (!self->context.enter()) {
    self->busy.store(false);
    return nullptr;
  }
  Ref result = Ref::steal(call(args, nargs, names));
  Ref error = Ref::steal(result ? nullptr : take_exception());
  const bool renewed = self->context.renew();
  if (error) raise_exception(error.get());
  self->context.exit();
  self->busy.store(false, kAttachedOrder);
  return renewed ? result.release() : nullptr;
}

int traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self_of(object)->base);
  return 0;
}

void dealloc(PyObject* object) {
  PyObject_GC_UnTrack(object);
  self_of(object)->context.~ItemContext();
  Py_CLEAR(self_of(object)->base);
  free_object(object);
}

PyMethodDef methods[] = {
    {"run", method<run>(), METH_FASTCALL | METH_KEYWORDS,
     "run(fn, *args, **kwargs): what fn sets in context variables is gone after it."},
    {nullptr, nullptr, 0, nullptr}};

PyType_Slot slots[] = {{Py_tp_new, slot<new_object>()},
                       {Py_tp_dealloc, slot<dealloc>()},
                       {Py_tp_traverse, slot<traverse>()},
                       {Py_tp_methods, methods},
                       {0, nullptr}};

PyType_Spec spec = {"fastflow._core.ContextPerCall", sizeof(ContextPerCall), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, slots};

}  // namespace

bool add_context_per_call_type(PyObject* module) {
  return add_type(module, spec, &context_per_call_type);
}

}  // namespace fastflow::py
