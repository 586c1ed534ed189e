#include "context_per_call.hpp"

#include "guarded.hpp"
#include "object.hpp"
#include "task_context.hpp"

namespace fastflow::py {

namespace {

PyTypeObject* context_per_call_type = nullptr;

struct ContextPerCall : PyObject {
  void before_end() { clear_all(base); }
  int traverse(visitproc visit, void* arg) const { return visit_all(visit, arg, base); }

  PyObject* base = nullptr;       // what capture_context gave
  ItemContext context;            // guarded by `busy`
  std::atomic<bool> busy{false};  // a call is under way
};

ContextPerCall* self_of(PyObject* object) {
  return static_cast<ContextPerCall*>(object);
}

PyObject* create(PyTypeObject* type, PyObject* args, PyObject*) {
  if (!PyArg_ParseTuple(args, ":ContextPerCall")) return nullptr;
  Ref object = make<ContextPerCall>(type);
  if (!object) return nullptr;
  ContextPerCall* self = self_of(object.get());
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

PyMethodDef methods[] = {
    {"run", method<run>(), METH_FASTCALL | METH_KEYWORDS,
     "run(fn, *args, **kwargs): what fn sets in context variables is gone after it."},
    {nullptr, nullptr, 0, nullptr}};

}  // namespace

bool add_context_per_call_type(PyObject* module) {
  return add_type<ContextPerCall>(module, "fastflow._core.ContextPerCall",
                                  &context_per_call_type,
                                  {.methods = methods, .make = guarded<create>});
}

}  // namespace fastflow::py
