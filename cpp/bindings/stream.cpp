#include "stream.hpp"

#include <new>

#include "guarded.hpp"
#include "keywords.hpp"
#include "stream_run.hpp"
#include "wait.hpp"

namespace fastflow::py {

namespace {

PyTypeObject* stream_type = nullptr;
PyTypeObject* iterator_type = nullptr;

struct IteratorObject {
  PyObject_HEAD StreamObject* stream;
};

PyObject* iterator_next(PyObject* self) {
  return stream_next(reinterpret_cast<IteratorObject*>(self)->stream);
}

// start(): reads ahead and lets the pool begin, before the first result is asked for.
PyObject* iterator_start(PyObject* self, PyObject*) {
  if (!stream_begin(reinterpret_cast<IteratorObject*>(self)->stream)) return nullptr;
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
                          "return_exceptions", "caller_helps", "most", "timeout"});

PyObject* iterator_new(PyObject*, PyObject* const* args, std::size_t nargs,
                       PyObject* names) {
  PyObject *engine, *function, *iterators, *timeout;
  bool ordered, return_exceptions, help;
  int most;
  Py_ssize_t capacity;
  double seconds;
  if (!stream_keywords.read({args, PyVectorcall_NARGS(nargs), names},
                            instance(engine_type, &engine), &function,
                            instance(&PyTuple_Type, &iterators), &capacity, &ordered,
                            &return_exceptions, &help, &most, &timeout) ||
      !parse_timeout(timeout, &seconds) || !check_inputs(iterators, capacity)) {
    return nullptr;
  }
  if (!accepts_work(reinterpret_cast<Engine*>(engine))) return nullptr;
  Ref stream = Ref::steal(stream_type->tp_alloc(stream_type, 0));
  if (!stream) return nullptr;
  StreamObject* s = stream_of(stream.get());
  new (&s->token) Job{nullptr, run_stream_token};
  new (&s->scope) RunScope;
  s->scope.join();
  s->engine = reinterpret_cast<Engine*>(Py_NewRef(engine));
  s->function = Py_NewRef(function);
  s->iterators = Py_NewRef(iterators);
  s->width = PyTuple_GET_SIZE(iterators);
  s->ordered = ordered;
  s->return_exceptions = return_exceptions;
  s->help = help;
  s->timeout = seconds;
  s->body = new StreamBody(static_cast<std::size_t>(capacity),
                           static_cast<std::uint32_t>(most));
  if (s->engine->propagate_context && !capture_context(&s->context)) return nullptr;
  PyObject* object = iterator_type->tp_alloc(iterator_type, 0);
  if (object == nullptr) return nullptr;
  reinterpret_cast<IteratorObject*>(object)->stream = stream_of(stream.release());
  return object;
}

int stream_traverse(PyObject* object, visitproc visit, void* arg) {
  StreamObject* s = stream_of(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(s->engine);
  Py_VISIT(s->function);
  Py_VISIT(s->iterators);
  Py_VISIT(s->context);
  Py_VISIT(s->scope.get());
  Py_VISIT(s->input_error);
  if (s->body != nullptr) {
    for (const StreamItem& item : s->body->items) Py_VISIT(item.value);
  }
  return 0;
}

int stream_clear(PyObject* object) {
  StreamObject* s = stream_of(object);
  Py_CLEAR(s->function);
  Py_CLEAR(s->iterators);
  Py_CLEAR(s->context);
  s->scope.clear();
  Py_CLEAR(s->input_error);
  if (s->body != nullptr) {
    for (StreamItem& item : s->body->items) Py_CLEAR(item.value);
  }
  Py_CLEAR(s->engine);
  return 0;
}

void stream_dealloc(PyObject* object) {
  PyObject_GC_UnTrack(object);
  stream_clear(object);
  delete stream_of(object)->body;
  free_object(object);
}

int iterator_traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(reinterpret_cast<IteratorObject*>(object)->stream);
  return 0;
}

int iterator_clear(PyObject* object) {
  auto* it = reinterpret_cast<IteratorObject*>(object);
  if (it->stream != nullptr) close_stream(it->stream);
  Py_CLEAR(it->stream);
  return 0;
}

void iterator_dealloc(PyObject* object) {
  PyObject_GC_UnTrack(object);
  iterator_clear(object);
  free_object(object);
}

PyObject* iterator_close(PyObject* self, PyObject*) {
  close_stream(reinterpret_cast<IteratorObject*>(self)->stream);
  Py_RETURN_NONE;
}

PyObject* get_done(PyObject* self, void*) {
  return PyLong_FromUnsignedLongLong(
      reinterpret_cast<IteratorObject*>(self)->stream->body->ended.load());
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

PyType_Slot stream_slots[] = {{Py_tp_dealloc, slot<stream_dealloc>()},
                              {Py_tp_traverse, slot<stream_traverse>()},
                              {Py_tp_clear, slot<stream_clear>()},
                              {0, nullptr}};
PyType_Spec stream_spec = {
    "fastflow._core.StreamState", sizeof(StreamObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    stream_slots};

PyType_Slot iterator_slots[] = {
    {Py_tp_dealloc, slot<iterator_dealloc>()},
    {Py_tp_traverse, slot<iterator_traverse>()},
    {Py_tp_clear, slot<iterator_clear>()},
    {Py_tp_iter, reinterpret_cast<void*>(PyObject_SelfIter)},
    {Py_tp_iternext, slot<iterator_next>()},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {0, nullptr}};
PyType_Spec iterator_spec = {
    "fastflow._core.Stream", sizeof(IteratorObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    iterator_slots};

}  // namespace

bool add_stream_type(PyObject* module) {
  return add_type(module, stream_spec, &stream_type) &&
         add_type(module, iterator_spec, &iterator_type, guarded<iterator_new>);
}

ScopeObject* stream_scope(PyObject* stream) { return stream_of(stream)->scope.get(); }

bool is_stream(PyObject* object) { return Py_TYPE(object) == stream_type; }

bool stream_cancelled(PyObject* stream) {
  StreamObject* s = stream_of(stream);
  return s->body->participants.closed() || s->engine->cancel_all.load() ||
         s->scope.cancelled();
}

}  // namespace fastflow::py
