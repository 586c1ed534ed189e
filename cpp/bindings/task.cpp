#include "task.hpp"

#include "call_run.hpp"
#include "future.hpp"
#include "guarded.hpp"
#include "map.hpp"
#include "scope.hpp"
#include "stream.hpp"

namespace fastflow::py {

namespace {

PyTypeObject* task_type = nullptr;

struct TaskObject {
  PyObject_HEAD PyObject* work;  // future, map, stream or run; owned
};

bool is_cancelled(PyObject* work) {
  if (is_stream(work)) return stream_cancelled(work);
  if (Py_TYPE(work) == map_type) return map_cancelled(map_of(work));
  if (Py_TYPE(work) == call_run_type) return call_run_cancelled(work);
  auto* f = reinterpret_cast<FutureObject*>(work);
  if ((f->state.load() & TaskState::kCancelRequested) != 0) return true;
  if (f->engine != nullptr && f->engine->cancel_all.load()) return true;
  ScopeObject* scope = scope_in(f);
  return scope != nullptr && scope->cancelled.load();
}

PyObject* get_cancelled(PyObject* self, void*) {
  return PyBool_FromLong(is_cancelled(reinterpret_cast<TaskObject*>(self)->work));
}

PyObject* check(PyObject* self, PyObject*) {
  if (!is_cancelled(reinterpret_cast<TaskObject*>(self)->work)) Py_RETURN_NONE;
  PyErr_SetString(imports.cancelled_signal,
                  "the task was asked to stop (its group, its executor or its future "
                  "was cancelled)");
  return nullptr;
}

int traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(reinterpret_cast<TaskObject*>(object)->work);
  return 0;
}

int clear(PyObject* object) {
  Py_CLEAR(reinterpret_cast<TaskObject*>(object)->work);
  return 0;
}

void dealloc(PyObject* object) {
  PyObject_GC_UnTrack(object);
  clear(object);
  free_object(object);
}

PyMethodDef methods[] = {{"check", method<check>(), METH_NOARGS,
                          "Raises fastflow.Cancelled if the task should stop."},
                         {nullptr, nullptr, 0, nullptr}};

PyGetSetDef getset[] = {{"cancelled", guarded<get_cancelled>, nullptr,
                         "True if the task should stop.", nullptr},
                        {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyType_Slot slots[] = {
    {Py_tp_dealloc, slot<dealloc>()}, {Py_tp_traverse, slot<traverse>()},
    {Py_tp_clear, slot<clear>()},     {Py_tp_methods, methods},
    {Py_tp_getset, getset},           {0, nullptr}};

PyType_Spec spec = {
    "fastflow._core.CurrentTask", sizeof(TaskObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

}  // namespace

bool add_task_type(PyObject* module) { return add_type(module, spec, &task_type); }

PyObject* current_task() {
  if (t_current_task == nullptr) Py_RETURN_NONE;
  PyObject* object = task_type->tp_alloc(task_type, 0);
  if (object == nullptr) return nullptr;
  reinterpret_cast<TaskObject*>(object)->work = Py_NewRef(t_current_task);
  return object;
}

ScopeObject* current_scope() {
  PyObject* task = t_current_task;
  if (task == nullptr) return nullptr;
  if (is_stream(task)) return stream_scope(task);
  if (Py_TYPE(task) == map_type) return map_of(task)->scope.get();
  if (Py_TYPE(task) == call_run_type) return call_run_scope(task);
  if (Py_TYPE(task) == imports.future_type) {
    return scope_in(reinterpret_cast<FutureObject*>(task));
  }
  return nullptr;  // of another kind of run, without groups
}

}  // namespace fastflow::py
