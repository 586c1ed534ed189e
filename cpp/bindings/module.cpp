// The extension module fastflow._core: types and the few functions beside them.
#include <pybind11/pybind11.h>

#include "blocking.hpp"
#include "channel_object.hpp"
#include "condition.hpp"
#include "context_per_call.hpp"
#include "dispatcher.hpp"
#include "end_with.hpp"
#include "engine.hpp"
#include "executor.hpp"
#include "future.hpp"
#include "future_memory.hpp"
#include "graph.hpp"
#include "guarded.hpp"
#include "hold.hpp"
#include "kernel.hpp"
#include "kernel_loop.hpp"
#include "keywords.hpp"
#include "map.hpp"
#include "object.hpp"
#include "parking_lot.hpp"
#include "recording.hpp"
#include "sampler.hpp"
#include "scope.hpp"
#include "segment.hpp"
#include "stream.hpp"
#include "task.hpp"
#include "task_context.hpp"

namespace fastflow::py {

Imports imports;

namespace {

// configure(future_type, names): the objects of the Python layer that we use, kept for
// the life of the process.  All are there before any is set.
PyObject* configure(PyObject*, PyObject* args) {
  PyObject *future_type, *names;
  if (!PyArg_ParseTuple(args, "O!O!:configure", &PyType_Type, &future_type,
                        &PyDict_Type, &names)) {
    return nullptr;
  }
  Imports fresh = imports;  // what configure_graph has set stays
  fresh.future_type = reinterpret_cast<PyTypeObject*>(future_type);
  const std::pair<const char*, PyObject**> wanted[] = {
      {"cancelled_error", &fresh.cancelled_error},
      {"timeout_error", &fresh.timeout_error},
      {"broken_executor", &fresh.broken_executor},
      {"queue_full", &fresh.queue_full},
      {"cancelled_signal", &fresh.cancelled_signal},
      {"invalid_state", &fresh.invalid_state},
      {"new_condition", &fresh.new_condition},
      {"log_callback_error", &fresh.log_callback_error},
      {"empty_function", &fresh.empty_function},
      {"log_unobserved", &fresh.log_unobserved},
      {"graph_error", &fresh.graph_error},
      {"cycle_error", &fresh.cycle_error},
      {"kernel_failed", &fresh.kernel_failed}};
  for (const auto& [name, to] : wanted) {
    Ref key = Ref::steal(PyUnicode_FromString(name));
    if (!key) return nullptr;
    *to = PyDict_GetItemWithError(names, key.get());
    if (*to == nullptr) {
      if (!PyErr_Occurred()) PyErr_SetObject(PyExc_KeyError, key.get());
      return nullptr;
    }
  }
  if (!adopt_future_type(fresh.future_type) || !own_methods(fresh.future_type)) {
    return nullptr;
  }
  Py_INCREF(future_type);
  for (const auto& [name, to] : wanted) Py_INCREF(*to);
  imports = fresh;
  Py_RETURN_NONE;
}

// The worker that runs the calling thread's job, as a number; 0: none.  It is valid
// until the job ends: whoever hands it out sees to that.
PyObject* place(PyObject*, PyObject*) { return PyLong_FromVoidPtr(current_worker()); }

Worker* worker_at(PyObject* place) {
  auto* worker = static_cast<Worker*>(PyLong_AsVoidPtr(place));
  if (worker == nullptr && !PyErr_Occurred()) {
    PyErr_SetString(PyExc_ValueError, "0 is no place");
  }
  return worker;
}

// Between these two calls the worker, which stays in its job, does not count against
// its pool's limit: others get its place.  Any thread.
PyObject* lend(PyObject*, PyObject* place) {
  Worker* worker = worker_at(place);
  if (worker == nullptr) return nullptr;
  worker->pool().blocked(*worker);
  // There may be no thread for its place; who submits next asks for one again.
  PyErr_Clear();
  Py_RETURN_NONE;
}
PyObject* take_back(PyObject*, PyObject* place) {
  Worker* worker = worker_at(place);
  if (worker == nullptr) return nullptr;
  worker->pool().unblocked(*worker);
  Py_RETURN_NONE;
}

PyObject* submit_scoped(PyObject*, PyObject* const* args, Py_ssize_t nargs,
                        PyObject* names) {
  if (nargs < 3 || Py_TYPE(args[0]) != engine_type || Py_TYPE(args[1]) != scope_type) {
    PyErr_SetString(PyExc_TypeError,
                    "submit_scoped(engine, scope, fn, *args, **kwargs)");
    return nullptr;
  }
  return submit(reinterpret_cast<Engine*>(args[0]), args[1], args + 2,
                static_cast<std::size_t>(nargs - 2), names);
}

// task_context(context=None) -> Context
PyObject* new_task_context(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
  PyObject* context = nargs == 1 && args[0] != Py_None ? args[0] : nullptr;
  if (nargs > 1 || (context != nullptr && !PyContext_CheckExact(context))) {
    PyErr_SetString(PyExc_TypeError, "task_context(context=None)");
    return nullptr;
  }
  return task_context(context);
}

PyObject* task_here(PyObject*, PyObject*) { return current_task(); }

// configure_graph(nodes_in, containers): see Imports.
PyObject* configure_graph(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 2 || !PyTuple_Check(args[1])) {
    PyErr_SetString(PyExc_TypeError, "configure_graph(nodes_in, containers)");
    return nullptr;
  }
  imports.containers = Py_NewRef(args[1]);
  imports.nodes_in = Py_NewRef(args[0]);
  Py_RETURN_NONE;
}

// own_methods(type): see object.hpp.
PyObject* own_methods_of(PyObject*, PyObject* type) {
  if (!PyType_Check(type)) {
    PyErr_SetString(PyExc_TypeError, "own_methods() wants a class");
    return nullptr;
  }
  if (!own_methods(reinterpret_cast<PyTypeObject*>(type))) return nullptr;
  Py_RETURN_NONE;
}

PyObject* set_interpreter_exiting(PyObject*, PyObject*) {
  process_state.fetch_or(kExiting);
  Py_RETURN_NONE;
}

// has_shared_memory() -> bool: whether there are Channel and Segment.
PyObject* has_shared_memory(PyObject*, PyObject*) {
#if defined(__linux__)
  Py_RETURN_TRUE;
#else
  Py_RETURN_FALSE;
#endif
}

PyObject* reset_after_fork(PyObject*, PyObject*) {
  parking_lot::reset_after_fork();
  recording::reset_after_fork();
  forget_engines_after_fork();
  Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"configure_graph", method<configure_graph>(), METH_FASTCALL,
     "configure_graph(nodes_in, containers)"},
    {"configure", method<configure>(), METH_VARARGS, "configure(future_type, names)"},
    {"own_methods", method<own_methods_of>(), METH_O,
     "own_methods(cls): the methods of its native base become its own, as these are "
     "called\nwithout detours only on objects of the very class that has them."},
    {"submit_scoped", method<submit_scoped>(), METH_FASTCALL | METH_KEYWORDS,
     "submit() into the group `scope`."},
    {"kernel_loop", method<kernel_loop>(), METH_FASTCALL | METH_KEYWORDS,
     "kernel_loop(*, engine, kernel, start, step, n, most, caller_helps)"},
    {"current_task", method<task_here>(), METH_NOARGS,
     "The task that runs on this thread, or None."},
    {"task_context", method<new_task_context>(), METH_FASTCALL,
     "A copy of `context`, or of the current one, for one task."},
    {"place", method<place>(), METH_NOARGS, "place() -> number of this worker, or 0"},
    {"lend", method<lend>(), METH_O, "lend(place): others may work in its place"},
    {"take_back", method<take_back>(), METH_O, "take_back(place)"},
    {"set_interpreter_exiting", method<set_interpreter_exiting>(), METH_NOARGS,
     "Submissions are refused from now on."},
    {"has_shared_memory", method<has_shared_memory>(), METH_NOARGS,
     "Whether Channel, Segment and wait_channels can be used."},
#if defined(__linux__)
    {"wait_channels", method<wait_channels>(), METH_VARARGS | METH_KEYWORDS,
     "wait_channels(channels, extra_fds=(), timeout=None) -> indexes of those that are "
     "ready; descriptors are counted after the channels."},
    {"end_with", method<end_with>(), METH_O,
     "end_with(fd): this process ends when the socket's other end is closed."},
#endif
    {"reset_after_fork", method<reset_after_fork>(), METH_NOARGS,
     "In a forked child: forgets who waited."},
    {nullptr, nullptr, 0, nullptr}};

// The types are the process's, and a worker attaches to one interpreter, so only the
// main one may have us.  Python itself checks that for interpreters with a lock of
// their own only: not before 3.12, and never for those that share the main one's lock
// (Py_NewInterpreter, mod_wsgi).
bool in_main_interpreter() {
  if (PyInterpreterState_Get() == PyInterpreterState_Main()) return true;
  PyErr_SetString(PyExc_ImportError,
                  "fastflow can't be imported in a sub-interpreter, only in the main "
                  "one; with mod_wsgi set WSGIApplicationGroup %{GLOBAL}");
  return false;
}

}  // namespace

}  // namespace fastflow::py

PYBIND11_MODULE(_core_of_main, m, pybind11::mod_gil_not_used(),
                pybind11::multiple_interpreters::not_supported()) {
  using namespace fastflow::py;
  PyObject* module = m.ptr();
  allocate_thread_data_of_exceptions();
  // Again: Python 3.13 and later may run the function below in the main interpreter on
  // behalf of another one.
  if (!in_main_interpreter() || !KeywordTable::intern_all() ||
      !add_engine_type(module) || !add_future_type(module) ||
      !add_executor_type(module) || !add_kernel_type(module) || !add_map_type(module) ||
      !add_scope_type(module) || !add_graph_types(module) || !add_stream_type(module) ||
      !add_channel_type(module) || !add_hold_types(module) ||
      !add_window_type(module) || !add_dispatcher_type(module) ||
      !add_segment_type(module) || !add_task_type(module) ||
      !add_context_per_call_type(module) || !add_condition_type(module) ||
      !add_blocking_type(module) || !recording::add_type(module) ||
      !add_sampler_type(module) || PyModule_AddFunctions(module, functions) < 0) {
    throw pybind11::error_already_set();
  }
}

// Before pybind11 sees the interpreter: it would take a thread state in the wrong one.
// NOLINTNEXTLINE(bugprone-reserved-identifier): Python wants this name
PyMODINIT_FUNC PyInit__core() {
  return fastflow::py::in_main_interpreter() ? PyInit__core_of_main() : nullptr;
}
