#include "task_context.hpp"

#include "compiler.hpp"

namespace fastflow::py {

namespace {

// --- decimal -------------------------------------------------------------------------

// The variable that holds decimal's context.  The module does not export it, so it is
// looked for in a context in which nothing but decimal.getcontext() has been called.
PyObject* find_decimal_variable(PyObject* module) {
  Ref context = Ref::steal(PyContext_New());
  if (!context) return nullptr;
  Ref getcontext = Ref::steal(PyObject_GetAttrString(module, "getcontext"));
  Ref run = Ref::steal(PyObject_GetAttrString(context.get(), "run"));
  if (!getcontext || !run) return nullptr;
  Ref value = Ref::steal(PyObject_CallOneArg(run.get(), getcontext.get()));
  if (!value) return nullptr;
  Ref items = Ref::steal(PyMapping_Items(context.get()));
  if (!items) return nullptr;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items.get()); ++i) {
    PyObject* item = PyList_GET_ITEM(items.get(), i);
    if (PyTuple_GET_ITEM(item, 1) == value.get()) {
      return Py_NewRef(PyTuple_GET_ITEM(item, 0));
    }
  }
  return nullptr;
}

// A new reference, as others may import and forget modules meanwhile; nullptr without
// an exception if it is not there.
PyObject* loaded_module(const char* name) {
  PyObject* modules = PyImport_GetModuleDict();  // borrowed; never nullptr
#if PY_VERSION_HEX >= 0x030D0000
  PyObject* module = nullptr;
  if (PyDict_GetItemStringRef(modules, name, &module) < 0) PyErr_Clear();
  return module;
#else
  return Py_XNewRef(PyDict_GetItemString(modules, name));
#endif
}

// Borrowed; nullptr without an exception if the program has not imported decimal.  Two
// who look for it at the same time find the same.
PyObject* decimal_variable() {
  static std::atomic<PyObject*> found{nullptr};
  PyObject* variable = found.load(std::memory_order_acquire);  // pairs with the store
  if (variable != nullptr) return variable;
  Ref module = Ref::steal(loaded_module("decimal"));
  // A module that is being imported by another thread has nothing in any context yet.
  if (!module || PyObject_HasAttrString(module.get(), "getcontext") == 0)
    return nullptr;
  variable = find_decimal_variable(module.get());
  if (variable == nullptr) {
    PyErr_Clear();  // not the module that we know
    return nullptr;
  }
  found.store(variable, std::memory_order_release);
  return variable;
}

// Puts a copy of `value`, a decimal context, into the context that is entered.
bool set_copy(PyObject* variable, PyObject* value) {
  Ref copy = Ref::steal(PyObject_CallMethod(value, "copy", nullptr));
  if (!copy) return false;
  Ref token = Ref::steal(PyContextVar_Set(variable, copy.get()));
  return static_cast<bool>(token);
}

// A context that is entered for as long as this lives.
class Entered {
 public:
  explicit Entered(PyObject* context)
      : context_(PyContext_Enter(context) < 0 ? nullptr : context) {}
  ~Entered() {
    if (context_ != nullptr) exit_context(context_);
  }
  Entered(const Entered&) = delete;
  Entered& operator=(const Entered&) = delete;
  explicit operator bool() const noexcept { return context_ != nullptr; }

 private:
  PyObject* context_;
};

// Gives `context`, a copy that is nobody's yet, a decimal context of its own.
bool own_decimal(PyObject* context) {
  PyObject* variable = decimal_variable();
  if (variable == nullptr) return true;
  Entered entered(context);
  if (!entered) return false;
  PyObject* value = nullptr;
  if (PyContextVar_Get(variable, nullptr, &value) < 0) return false;
  Ref held = Ref::steal(value);
  return !held || set_copy(variable, held.get());
}

Ref checked(PyObject* copy) {
  Ref context = Ref::steal(copy);
  if (context && !own_decimal(context.get())) return Ref();
  return context;
}

}  // namespace

bool capture_context(PyObject** context) {
  PyThreadState* state = PyThreadState_Get();
  if (state->context == nullptr || variables_in(state->context) == 0) return true;
  *context = checked(PyContext_CopyCurrent()).release();
  return *context != nullptr;
}

PyObject* task_context(PyObject* context) {
  return checked(context == nullptr ? PyContext_CopyCurrent() : PyContext_Copy(context))
      .release();
}

FASTFLOW_COLD void exit_context_raising(PyObject* context) {
  Ref error = Ref::steal(take_exception());
  if (PyContext_Exit(context) < 0) PyErr_Clear();
  raise_exception(error.get());
}

// --- ItemContext ---------------------------------------------------------------------

bool ItemContext::open(PyObject* base) {
  base_ = base;
  current_ = Ref::steal(base == nullptr ? PyContext_New() : task_context(base));
  return current_ && (base == nullptr || watch());
}

bool ItemContext::watch() {
  size_ = PyObject_Size(base_);
  always_ = size_ > kWatched;
  if (always_) return true;
  Ref items = Ref::steal(PyMapping_Items(base_));
  if (!items) return false;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items.get()); ++i) {
    PyObject* item = PyList_GET_ITEM(items.get(), i);
    watched_[i] = {PyTuple_GET_ITEM(item, 0), PyTuple_GET_ITEM(item, 1)};
    always_ = always_ || watched_[i].variable == decimal_variable();
  }
  return true;
}

bool ItemContext::enter() { return PyContext_Enter(current_.get()) == 0; }

bool ItemContext::value_changed() const {
  for (Py_ssize_t i = 0; i < size_; ++i) {
    const Watched& watched = watched_[i];
    PyObject* value = nullptr;
    if (PyContextVar_Get(watched.variable, nullptr, &value) < 0) {
      PyErr_Clear();
      return true;
    }
    Py_XDECREF(value);
    if (value != watched.value) return true;
  }
  return false;
}

// The values that the item has set are dropped last, outside of both contexts.
bool ItemContext::replace() {
  Ref next = Ref::steal(base_ == nullptr ? PyContext_New() : task_context(base_));
  if (!next || PyContext_Exit(current_.get()) < 0) return false;
  Ref old = std::exchange(current_, std::move(next));
  if (PyContext_Enter(current_.get()) == 0) return true;
  // Cannot happen: nobody else knows the new one.  The old one is entered again, as
  // our caller will exit.
  std::swap(old, current_);
  Ref error = Ref::steal(take_exception());
  if (PyContext_Enter(current_.get()) < 0) PyErr_Clear();
  raise_exception(error.get());
  return false;
}

}  // namespace fastflow::py
