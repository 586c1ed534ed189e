#include "task.hpp"

#include "call_run.hpp"
#include "future.hpp"
#include "guarded.hpp"
#include "map.hpp"
#include "object.hpp"
#include "scope.hpp"
#include "stream.hpp"

namespace fastflow::py {

namespace {

PyTypeObject* task_type = nullptr;

struct TaskObject : PyObject {
  int traverse(visitproc visit, void* arg) const { return visit_all(visit, arg, work); }
  void clear() { clear_all(work); }

  Ref work;  // future, map, stream or run
};

bool is_cancelled(PyObject* work) {
  if (is_stream(work)) return stream_cancelled(work);
  if (Py_TYPE(work) == map_type) return map_cancelled(map_of(work));
  if (Py_TYPE(work) == call_run_type) return call_run_cancelled(work);
  auto* f = static_cast<FutureObject*>(work);
  if ((f->state.load() & TaskState::kCancelRequested) != 0) return true;
  if (f->engine != nullptr && f->engine->cancel_all.load()) return true;
  ScopeObject* scope = scope_in(f);
  return scope != nullptr && scope->cancelled.load();
}

PyObject* get_cancelled(PyObject* self, void*) {
  return PyBool_FromLong(is_cancelled(static_cast<TaskObject*>(self)->work.get()));
}

PyObject* check(PyObject* self, PyObject*) {
  if (!is_cancelled(static_cast<TaskObject*>(self)->work.get())) Py_RETURN_NONE;
  PyErr_SetString(imports.cancelled_signal,
                  "the task was asked to stop (its group, its executor or its future "
                  "was cancelled)");
  return nullptr;
}

PyMethodDef methods[] = {{"check", method<check>(), METH_NOARGS,
                          "Raises fastflow.Cancelled if the task should stop."},
                         {nullptr, nullptr, 0, nullptr}};

PyGetSetDef getset[] = {{"cancelled", guarded<get_cancelled>, nullptr,
                         "True if the task should stop.", nullptr},
                        {nullptr, nullptr, nullptr, nullptr, nullptr}};

}  // namespace

bool add_task_type(PyObject* module) {
  return add_type<TaskObject>(module, "fastflow._core.CurrentTask", &task_type,
                              {.methods = methods, .getset = getset});
}

PyObject* current_task() {
  if (t_current_task == nullptr) Py_RETURN_NONE;
  Ref object = make<TaskObject>(task_type);
  if (!object) return nullptr;
  static_cast<TaskObject*>(object.get())->work = Ref::borrow(t_current_task);
  return object.release();
}

ScopeObject* current_scope() {
  PyObject* task = t_current_task;
  if (task == nullptr) return nullptr;
  if (is_stream(task)) return stream_scope(task);
  if (Py_TYPE(task) == map_type) return map_of(task)->scope.get();
  if (Py_TYPE(task) == call_run_type) return call_run_scope(task);
  if (Py_TYPE(task) == imports.future_type) {
    return scope_in(static_cast<FutureObject*>(task));
  }
  return nullptr;  // of another kind of run, without groups
}

}  // namespace fastflow::py
