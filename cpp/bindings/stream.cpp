#include "stream.hpp"

#include "guarded.hpp"
#include "keywords.hpp"
#include "object.hpp"
#include "recording.hpp"
#include "stream_run.hpp"
#include "wait.hpp"

namespace fastflow::py {

StreamObject::StreamObject(Engine* in, std::size_t capacity, std::uint32_t most)
    : token{nullptr, run_stream_token},
      engine(in),
      body(new StreamBody(capacity, most)) {}

int StreamObject::traverse(visitproc visit, void* arg) const {
  for (const StreamItem& item : body->items) Py_VISIT(item.value);
  return visit_all(visit, arg, engine, function, iterators, context, scope,
                   input_error);
}

void StreamObject::clear() {
  clear_all(function, iterators, context, input_error);
  scope.clear();
  for (StreamItem& item : body->items) clear_all(item.value);
}

namespace {

PyTypeObject* stream_type = nullptr;
// The iterator of one that was made while somebody records is of another type: so
// nothing is asked for each item.
PyTypeObject *iterator_type = nullptr, *recorded_iterator_type = nullptr;

// The consumer's; when it goes, nobody takes results any more.
struct IteratorObject : PyObject {
  int traverse(visitproc visit, void* arg) const {
    return visit_all(visit, arg, stream);
  }
  void clear() {
    if (stream != nullptr) close_stream(stream);
    clear_all(stream);
  }

  StreamObject* stream = nullptr;  // owned
};

PyObject* iterator_next(PyObject* self) {
  return stream_next(static_cast<IteratorObject*>(self)->stream);
}

PyObject* recorded_iterator_next(PyObject* self) {
  return recorded_stream_next(static_cast<IteratorObject*>(self)->stream);
}

// start(): reads ahead and lets the pool begin, before the first result is asked for.
PyObject* iterator_start(PyObject* self, PyObject*) {
  if (!stream_begin(static_cast<IteratorObject*>(self)->stream)) return nullptr;
  Py_RETURN_NONE;
}

bool check_inputs(PyObject* iterators, Py_ssize_t capacity) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(iterators); ++i) {
    if (!PyIter_Check(PyTuple_GET_ITEM(iterators, i))) {
      PyErr_SetString(PyExc_TypeError, "Stream wants iterators");
      return false;
    }
  }
  if (capacity < 1 || PyTuple_GET_SIZE(iterators) < 1) {
    PyErr_SetString(PyExc_ValueError, "Stream wants a capacity >= 1 and an iterator");
    return false;
  }
  return true;
}

Keywords stream_keywords("Stream",
                         {"engine", "fn", "iterators", "capacity", "ordered",
                          "return_exceptions", "caller_helps", "most", "timeout",
                          "run"},
                         9);

PyObject* iterator_new(PyObject*, PyObject* const* args, std::size_t nargs,
                       PyObject* names) {
  PyObject *engine, *function, *iterators, *timeout;
  bool ordered, return_exceptions, help;
  int most;
  Py_ssize_t capacity;
  double seconds;
  std::int64_t run = 0;
  if (!stream_keywords.read({args, PyVectorcall_NARGS(nargs), names},
                            instance(engine_type, &engine), &function,
                            instance(&PyTuple_Type, &iterators), &capacity, &ordered,
                            &return_exceptions, &help, &most, &timeout, &run) ||
      !parse_timeout(timeout, &seconds) || !check_inputs(iterators, capacity)) {
    return nullptr;
  }
  if (!accepts_work(engine_of(engine))) return nullptr;
  Ref stream = make<StreamObject>(stream_type, engine_of(engine),
                                  static_cast<std::size_t>(capacity),
                                  static_cast<std::uint32_t>(most));
  if (!stream) return nullptr;
  StreamObject* s = stream_of(stream.get());
  s->scope.join();
  s->function = Py_NewRef(function);
  s->iterators = Py_NewRef(iterators);
  s->width = PyTuple_GET_SIZE(iterators);
  s->ordered = ordered;
  s->return_exceptions = return_exceptions;
  s->help = help;
  s->run = static_cast<std::uint32_t>(run);
  const bool recorded = recording::on();
  if (recorded) s->body->numbers.resize(static_cast<std::size_t>(capacity));
  s->timeout = seconds;
  if (s->engine->propagate_context && !capture_context(&s->context)) return nullptr;
  Ref object = make<IteratorObject>(recorded ? recorded_iterator_type : iterator_type);
  if (!object) return nullptr;
  static_cast<IteratorObject*>(object.get())->stream = stream_of(stream.release());
  return object.release();
}

PyObject* iterator_close(PyObject* self, PyObject*) {
  close_stream(static_cast<IteratorObject*>(self)->stream);
  Py_RETURN_NONE;
}

PyObject* get_done(PyObject* self, void*) {
  return PyLong_FromUnsignedLongLong(
      static_cast<IteratorObject*>(self)->stream->body->ended.load());
}

PyMethodDef methods[] = {{"start", method<iterator_start>(), METH_NOARGS,
                          "Reads ahead and lets the pool begin."},
                         {"close", method<iterator_close>(), METH_NOARGS,
                          "Items that have not started never will; the inputs are "
                          "dropped."},
                         {nullptr, nullptr, 0, nullptr}};
PyGetSetDef getset[] = {
    {"done", guarded<get_done>, nullptr, "Items finished.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

}  // namespace

bool add_stream_type(PyObject* module) {
  return add_type<StreamObject>(module, "fastflow._core.StreamState", &stream_type,
                                {}) &&
         add_type<IteratorObject>(
             module, "fastflow._core.Stream", &iterator_type,
             {.methods = methods,
              .getset = getset,
              .create = guarded<iterator_new>,
              .others = {{Py_tp_iter, reinterpret_cast<void*>(PyObject_SelfIter)},
                         {Py_tp_iternext, slot<iterator_next>()}}}) &&
         add_type<IteratorObject>(
             module, "fastflow._core.RecordedStream", &recorded_iterator_type,
             {.methods = methods,
              .getset = getset,
              .others = {{Py_tp_iter, reinterpret_cast<void*>(PyObject_SelfIter)},
                         {Py_tp_iternext, slot<recorded_iterator_next>()}}});
}

ScopeObject* stream_scope(PyObject* stream) { return stream_of(stream)->scope.get(); }

bool is_stream(PyObject* object) { return Py_TYPE(object) == stream_type; }

bool stream_cancelled(PyObject* stream) {
  StreamObject* s = stream_of(stream);
  return s->body->participants.closed() || s->engine->cancel_all.load() ||
         s->scope.cancelled();
}

}  // namespace fastflow::py
