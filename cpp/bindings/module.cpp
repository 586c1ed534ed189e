// The extension module fastflow._core: types and the few functions beside them.
#include <pybind11/pybind11.h>

#include "engine.hpp"
#include "executor.hpp"
#include "future.hpp"
#include "graph.hpp"
#include "kernel.hpp"
#include "kernel_loop.hpp"
#include "map.hpp"
#include "parking_lot.hpp"
#include "scope.hpp"
#include "stream.hpp"
#include "task.hpp"

namespace fastflow::py {

Imports imports;

bool add_type(PyObject* module, PyType_Spec& spec, PyTypeObject** slot,
              PyObject* bases) {
  PyObject* type = PyType_FromSpecWithBases(&spec, bases);
  if (type == nullptr) return false;
  *slot = reinterpret_cast<PyTypeObject*>(type);
  return PyModule_AddType(module, *slot) == 0;
}

namespace {

namespace pb = pybind11;

// A with block around a wait that the core does not see: the worker that enters it does
// not count against its pool's limit.
class Blocking {
 public:
  void enter() {
    worker_ = current_worker();
    if (worker_ == nullptr) return;
    attachment(*worker_).announce_now();
    worker_->pool().blocked(*worker_);
  }
  void leave(const pb::args&) {
    if (Worker* worker = std::exchange(worker_, nullptr))
      worker->pool().unblocked(*worker);
  }

 private:
  Worker* worker_ = nullptr;
};

// The worker that runs the calling thread's job, as a number; 0: none.  It is valid
// until the job ends: whoever hands it out sees to that.
std::uintptr_t place() { return reinterpret_cast<std::uintptr_t>(current_worker()); }

// Between these two calls the worker, which stays in its job, does not count against
// its pool's limit: others get its place.  Any thread.
void lend(std::uintptr_t place) {
  auto* worker = reinterpret_cast<Worker*>(place);
  worker->pool().blocked(*worker);
}
void take_back(std::uintptr_t place) {
  auto* worker = reinterpret_cast<Worker*>(place);
  worker->pool().unblocked(*worker);
}

// A reference kept for the life of the process.
PyObject* keep(const pb::object& object) { return pb::object(object).release().ptr(); }

void configure(const pb::type& future_type, const pb::dict& names) {
  imports.future_type = reinterpret_cast<PyTypeObject*>(keep(future_type));
  imports.cancelled_error = keep(names["cancelled_error"]);
  imports.timeout_error = keep(names["timeout_error"]);
  imports.broken_executor = keep(names["broken_executor"]);
  imports.queue_full = keep(names["queue_full"]);
  imports.cancelled_signal = keep(names["cancelled_signal"]);
  imports.invalid_state = keep(names["invalid_state"]);
  imports.new_condition = keep(names["new_condition"]);
  imports.log_callback_error = keep(names["log_callback_error"]);
  imports.empty_function = keep(names["empty_function"]);
  imports.log_unobserved = keep(names["log_unobserved"]);
  imports.graph_error = keep(names["graph_error"]);
  imports.cycle_error = keep(names["cycle_error"]);
  imports.kernel_failed = keep(names["kernel_failed"]);
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

PyMethodDef functions[] = {
    {"submit_scoped", as_method(submit_scoped), METH_FASTCALL | METH_KEYWORDS,
     "submit() into the group `scope`."},
    {"kernel_loop", kernel_loop, METH_VARARGS,
     "kernel_loop(engine, kernel, start, step, n, most, help)"},
    {"current_task", [](PyObject*, PyObject*) { return current_task(); }, METH_NOARGS,
     "The task that runs on this thread, or None."},
    {nullptr, nullptr, 0, nullptr}};

}  // namespace

}  // namespace fastflow::py

PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
  using namespace fastflow::py;
  PyObject* module = m.ptr();
  if (!add_engine_type(module) || !add_future_type(module) ||
      !add_executor_type(module) || !add_kernel_type(module) || !add_map_type(module) ||
      !add_scope_type(module) || !add_graph_types(module) || !add_stream_type(module) ||
      !add_task_type(module) || PyModule_AddFunctions(module, functions) < 0) {
    throw pybind11::error_already_set();
  }
  pybind11::class_<Blocking>(m, "Blocking")
      .def(pybind11::init<>())
      .def("__enter__", &Blocking::enter)
      .def("__exit__", &Blocking::leave);
  m.def("place", &place);
  m.def("lend", &lend);
  m.def("take_back", &take_back);
  m.def("configure", &configure);
  m.def("set_interpreter_exiting", [] { interpreter_exiting.store(true); });
  m.def("reset_after_fork", &parking_lot::reset_after_fork);
}
