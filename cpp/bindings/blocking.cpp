#include "blocking.hpp"

#include "gil.hpp"
#include "guarded.hpp"
#include "object.hpp"
#include "recording.hpp"

namespace fastflow::py {

namespace {

// For one block of one thread.
struct BlockingObject : PyObject {
  Worker* worker = nullptr;   // that has entered it
  std::uint64_t entered = 0;  // a stamp, if somebody recorded then
};

BlockingObject* self_of(PyObject* object) {
  return static_cast<BlockingObject*>(object);
}

PyObject* enter(PyObject* self, PyObject*) {
  Worker* worker = self_of(self)->worker = current_worker();
  if (worker != nullptr) {
    attachment(*worker).announce_now();
    worker->pool().blocked(*worker);
    self_of(self)->entered = recording::on() ? stamp() : 0;
  }
  Py_RETURN_NONE;
}

PyObject* leave(PyObject* self, PyObject* const*, Py_ssize_t) {
  if (Worker* worker = std::exchange(self_of(self)->worker, nullptr)) {
    worker->pool().unblocked(*worker);
    const std::uint64_t entered = std::exchange(self_of(self)->entered, 0);
    if (entered != 0) recording::note_since(SpanKind::kBlocked, entered);
  }
  Py_RETURN_NONE;
}

PyMethodDef methods[] = {{"__enter__", method<enter>(), METH_NOARGS, nullptr},
                         {"__exit__", method<leave>(), METH_FASTCALL, nullptr},
                         {nullptr, nullptr, 0, nullptr}};

PyTypeObject* blocking_type = nullptr;

}  // namespace

bool add_blocking_type(PyObject* module) {
  return add_type<BlockingObject>(
      module, "fastflow._core.Blocking", &blocking_type,
      {.methods = methods, .make = guarded<new_object<BlockingObject>>});
}

}  // namespace fastflow::py
