#include "scope.hpp"

#include <mutex>

#include "future.hpp"
#include "guarded.hpp"
#include "object.hpp"
#include "parking_lot.hpp"
#include "wait.hpp"

namespace fastflow::py {

PyTypeObject* scope_type = nullptr;

namespace {

std::mutex g_family;  // who is whose child; nothing that waits is done under it

// False: it has a parent already.
bool join_family(ScopeObject* scope, ScopeObject* parent) {
  const std::lock_guard<std::mutex> lock(g_family);
  if (scope->parent != nullptr) return false;
  Py_INCREF(reinterpret_cast<PyObject*>(parent));
  scope->parent = parent;
  scope->next = parent->child;
  if (scope->next != nullptr) scope->next->before = scope;
  parent->child = scope;
  return true;
}

// Whether the parent was cancelled by then.
bool leave_family(ScopeObject* scope) {
  ScopeObject* parent;
  {
    const std::lock_guard<std::mutex> lock(g_family);
    parent = std::exchange(scope->parent, nullptr);
    if (parent == nullptr) return false;
    (scope->before != nullptr ? scope->before->next : parent->child) = scope->next;
    if (scope->next != nullptr) scope->next->before = scope->before;
    scope->next = scope->before = nullptr;
  }
  const bool reached = parent->cancelled.load();
  Py_DECREF(reinterpret_cast<PyObject*>(parent));
  return reached;
}

void announce_end(ScopeObject* scope) {
  if (scope->waiters.load() != 0) parking_lot::announce(scope);  // seq_cst: see enlist
}

PyObject* scope_new(PyTypeObject* type, PyObject*, PyObject*) {
  Ref object = make<ScopeObject>(type);
  if (!object) return nullptr;
  scope_of(object.get())->failures = Ref::steal(PyList_New(0));
  return scope_of(object.get())->failures ? object.release() : nullptr;
}

}  // namespace

void ScopeObject::before_end() { leave_family(this); }

int ScopeObject::traverse(visitproc visit, void* arg) const {
  return visit_all(visit, arg, failures);
}

void ScopeObject::clear() { clear_all(failures); }

namespace {

class ScopeEnd final : public Waitable {
 public:
  explicit ScopeEnd(ScopeObject* scope) : scope_(scope) {}
  const void* key() const override { return scope_; }
  bool done() const override {
    return scope_->open.load() == 0 ||
           (scope_->cancelled.load() && scope_->running.load() == 0);
  }
  bool enlist(bool urgent) override {
    // seq_cst, against announce_end: whoever ends the group sees the bit or we see that
    // it has ended.
    scope_->waiters.fetch_or(urgent ? 3U : 1U);
    return done();
  }

 private:
  ScopeObject* scope_;
};

PyObject* scope_cancel(PyObject* self, PyObject*) {
  scope_cancel_all(scope_of(self));
  Py_RETURN_NONE;
}

// enter(): by the running task, whose group this one is to be a child of.
PyObject* scope_nest(PyObject* self, PyObject*) {
  ScopeObject* scope = scope_of(self);
  ScopeObject* parent = current_scope();
  if (parent == nullptr || parent == scope || !join_family(scope, parent)) {
    Py_RETURN_NONE;
  }
  if (parent->cancelled.load()) scope_cancel_all(scope);
  Py_RETURN_NONE;
}

// leave() -> bool: it has ended, and is a child no more; whether the group around it
// was cancelled by then.
PyObject* scope_unnest(PyObject* self, PyObject*) {
  return PyBool_FromLong(leave_family(scope_of(self)));
}

PyObject* get_reached(PyObject* self, void*) {
  const std::lock_guard<std::mutex> lock(g_family);
  const ScopeObject* parent = scope_of(self)->parent;
  return PyBool_FromLong(parent != nullptr && parent->cancelled.load());
}

// wait(timeout=None) -> bool: whether all tasks have ended.
PyObject* scope_wait(PyObject* self, PyObject* const* args, Py_ssize_t nargs) {
  double timeout = -1;
  if (nargs > 0 && !parse_timeout(args[0], &timeout)) return nullptr;
  ScopeEnd end(scope_of(self));
  switch (wait_for(end, timeout)) {
    case WaitEnd::kDone:
      Py_RETURN_TRUE;
    case WaitEnd::kTimeout:
      Py_RETURN_FALSE;
    default:
      return nullptr;
  }
}

PyObject* scope_failures(PyObject* self, PyObject*) {
  ObjectLock lock(self);
  return PySequence_List(scope_of(self)->failures.get());
}

PyObject* get_cancelled(PyObject* self, void*) {
  return PyBool_FromLong(scope_of(self)->cancelled.load());
}
PyObject* get_open(PyObject* self, void*) {
  return PyLong_FromLongLong(scope_of(self)->open.load());
}

PyMethodDef methods[] = {
    {"enter", method<scope_nest>(), METH_NOARGS,
     "Makes it a child of the group that the running task belongs to."},
    {"leave", method<scope_unnest>(), METH_NOARGS,
     "leave() -> bool: it has ended; whether a group around it was cancelled."},
    {"cancel", method<scope_cancel>(), METH_NOARGS,
     "Cancels the group and those below it."},
    {"wait", method<scope_wait>(), METH_FASTCALL,
     "wait(timeout=None) -> bool: whether all tasks have ended."},
    {"failures", method<scope_failures>(), METH_NOARGS,
     "The exceptions so far, in order."},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef getset[] = {
    {"cancelled", guarded<get_cancelled>, nullptr, nullptr, nullptr},
    {"reached", guarded<get_reached>, nullptr, "A group around it was cancelled.",
     nullptr},
    {"open", guarded<get_open>, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

// --- the end of a group's block ------------------------------------------------------

// Cancels the group and waits for what runs, until a signal's handler raises again.
// Keeps the exception that is set.
void give_up_block(PyObject* block) {
  Ref error = Ref::steal(take_exception());
  Ref scope = Ref::steal(PyObject_GetAttrString(block, "_scope"));
  if (scope && Py_TYPE(scope.get()) == scope_type) {
    scope_cancel_all(scope_of(scope.get()));
    ScopeEnd end(scope_of(scope.get()));
    static_cast<void>(wait_for(end, -1));
    leave_family(scope_of(scope.get()));
  }
  PyErr_Clear();
  if (PyObject_SetAttrString(block, "_left", Py_True) < 0) PyErr_Clear();
  raise_exception(error.get());
}

// __exit__(kind, error, traceback): _finish(error), a method in Python.  A
// signal's handler may raise at that method's first instruction, before it can catch
// anything; so here, where no handler runs, we see to it that the group is left.
PyObject* block_exit(PyObject* self, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 3) {
    PyErr_SetString(PyExc_TypeError, "__exit__(kind, error, traceback)");
    return nullptr;
  }
  Ref finish = Ref::steal(PyObject_GetAttrString(self, "_finish"));
  PyObject* result = finish ? PyObject_CallOneArg(finish.get(), args[1]) : nullptr;
  if (result != nullptr) return result;
  Ref error = Ref::steal(take_exception());
  Ref left = Ref::steal(PyObject_GetAttrString(self, "_left"));
  const bool done = left.get() == Py_True;
  raise_exception(error.get());
  if (!done) give_up_block(self);
  return nullptr;
}

PyMethodDef block_methods[] = {
    {"__exit__", method<block_exit>(), METH_FASTCALL, "Waits for the group's tasks."},
    {nullptr, nullptr, 0, nullptr}};

struct GroupBlock : PyObject {};

PyTypeObject* block_type = nullptr;

}  // namespace

bool add_scope_type(PyObject* module) {
  return add_type<ScopeObject>(
             module, "fastflow._core.Scope", &scope_type,
             {.methods = methods, .getset = getset, .make = guarded<scope_new>}) &&
         add_type<GroupBlock>(module, "fastflow._core.GroupBlock", &block_type,
                              {.methods = block_methods,
                               .make = guarded<new_object<GroupBlock>>,
                               .flags = Py_TPFLAGS_BASETYPE});
}

PyObject* RunScope::raise_cancelled() {
  PyErr_SetString(imports.cancelled_signal,
                  "the group around this call was cancelled before its end");
  return nullptr;
}

void scope_enter(ScopeObject* scope) {
  scope->open.fetch_add(1, std::memory_order_relaxed);  // published with the task
}

void scope_cancel_all(ScopeObject* root) {
  const std::lock_guard<std::mutex> lock(g_family);
  for (ScopeObject* scope = root; scope != nullptr;) {
    scope->cancelled.store(true);
    announce_end(scope);
    if (scope->child != nullptr) {
      scope = scope->child;
      continue;
    }
    while (scope != root && scope->next == nullptr) scope = scope->parent;
    scope = scope == root ? nullptr : scope->next;
  }
}

bool scope_start(ScopeObject* scope) {
  scope->running.fetch_add(1);
  if (!scope->cancelled.load()) return true;
  scope_stop(scope);
  return false;
}

void scope_stop(ScopeObject* scope) {
  if (scope->running.fetch_sub(1) == 1 && scope->cancelled.load()) announce_end(scope);
}

void scope_leave(ScopeObject* scope, PyObject* failure) {
  if (failure != nullptr) {
    ObjectLock lock(reinterpret_cast<PyObject*>(scope));
    if (PyList_Append(scope->failures.get(), failure) < 0) PyErr_Clear();
  }
  if (failure != nullptr) scope_cancel_all(scope);
  if (scope->open.fetch_sub(1) == 1) announce_end(scope);
}

}  // namespace fastflow::py
