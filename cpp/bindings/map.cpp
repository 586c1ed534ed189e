#include "map.hpp"

#include <algorithm>
#include <climits>

#include "future.hpp"
#include "guarded.hpp"
#include "keywords.hpp"
#include "map_run.hpp"
#include "object.hpp"
#include "task_context.hpp"
#include "wait.hpp"

namespace fastflow::py {

PyTypeObject* map_type = nullptr;

PyObject* Column::get(Py_ssize_t i) const {
  switch (kind) {
    case Kind::kRange:
      return PyLong_FromLongLong(start + step * i);
    case Kind::kTuple:
      return Py_NewRef(PyTuple_GET_ITEM(object, i));
    case Kind::kList:
      break;
  }
  PyObject* item = list_item(object, i);
  if (item == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "the input list shrank while it was mapped");
  }
  return item;
}

MapObject::MapObject(Engine* in, int most)
    : token{nullptr, run_map_token},
      engine(in),
      participants(static_cast<std::uint32_t>(most)),
      cut(LLONG_MAX) {}

int MapObject::traverse(visitproc visit, void* arg) const {
  return visit_all(visit, arg, engine, function, columns, results, context, scope,
                   error);
}

void MapObject::clear() {
  clear_all(function, columns, context, error);
  drop_results(this);
  scope.clear();
}

namespace {

// --- construction --------------------------------------------------------------------

bool read_range(PyObject* range, Column* column) {
  for (auto [name, to] :
       {std::pair{"start", &column->start}, {"step", &column->step}}) {
    Ref value = Ref::steal(PyObject_GetAttrString(range, name));
    if (!value) return false;
    *to = PyLong_AsLongLong(value.get());
    if (*to == -1 && PyErr_Occurred()) return false;
  }
  return true;
}

// REQUIRES: every column is a list, a tuple or a range (the Python layer sees to it).
bool read_columns(MapObject* map) {
  map->width = static_cast<int>(PyTuple_GET_SIZE(map->columns));
  map->sources = new Column[static_cast<std::size_t>(map->width)];
  map->n = map->width == 0 ? 0 : LLONG_MAX;
  for (int i = 0; i < map->width; ++i) {
    Column& column = map->sources[i];
    column.object = PyTuple_GET_ITEM(map->columns, i);
    const Py_ssize_t size = PyObject_Size(column.object);
    if (size < 0) return false;
    map->n = std::min<std::int64_t>(map->n, size);
    if (PyList_CheckExact(column.object)) {
      column.kind = Column::Kind::kList;
    } else if (PyTuple_CheckExact(column.object)) {
      column.kind = Column::Kind::kTuple;
    } else {
      column.kind = Column::Kind::kRange;
      if (!read_range(column.object, &column)) return false;
    }
  }
  return true;
}

Keywords map_keywords("Map",
                      {"engine", "fn", "columns", "star", "keep", "return_exceptions",
                       "stop_on_error", "chunk", "most", "run"},
                      9);

PyObject* map_new(PyObject*, PyObject* const* args, std::size_t nargs,
                  PyObject* names) {
  PyObject *engine, *function, *columns;
  bool star, keep, return_exceptions, stop_on_error;
  std::int64_t chunk, run = 0;
  int most;
  if (!map_keywords.read({args, PyVectorcall_NARGS(nargs), names},
                         instance(engine_type, &engine), &function,
                         instance(&PyTuple_Type, &columns), &star, &keep,
                         &return_exceptions, &stop_on_error, &chunk, &most, &run)) {
    return nullptr;
  }
  if (!accepts_work(engine_of(engine))) return nullptr;
  Ref object = make<MapObject>(map_type, engine_of(engine), most);
  if (!object) return nullptr;
  MapObject* map = map_of(object.get());
  map->function = Py_NewRef(function);
  map->columns = Py_NewRef(columns);
  map->star = star;
  map->return_exceptions = return_exceptions;
  map->stop_on_error = stop_on_error;
  map->chunk = chunk;
  map->run = static_cast<std::uint32_t>(run);
  bool ok = read_columns(map);
  if (ok && keep) {
    map->results = PyList_New(static_cast<Py_ssize_t>(map->n));
    ok = map->results != nullptr;
    // With holes in it, it is nobody's business until it is handed out.
    if (ok) PyObject_GC_UnTrack(map->results);
  }
  if (map->stop_on_error) map->scope.join();  // Executor.map outlives its task
  if (ok && map->engine->propagate_context) ok = capture_context(&map->context);
  if (!ok) return nullptr;
  bump(map->engine->counters.submitted, static_cast<std::uint64_t>(map->n));
  return object.release();
}

// --- methods -------------------------------------------------------------------------

PyObject* method_start(PyObject* self, PyObject*) {
  if (!invite(map_of(self))) return nullptr;
  Py_RETURN_NONE;
}

PyObject* method_cancel(PyObject* self, PyObject*) {
  cancel_map(map_of(self));
  Py_RETURN_NONE;
}

// run(help, timeout) -> results: to the end, with the caller's help or without.
PyObject* method_run(PyObject* self, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 2) {
    PyErr_SetString(PyExc_TypeError, "run(help, timeout)");
    return nullptr;
  }
  double timeout = -1;
  const int help = PyObject_IsTrue(args[0]);
  if (help < 0 || !parse_timeout(args[1], &timeout)) return nullptr;
  return run_to_end(map_of(self), help != 0, timeout);
}

// take(index, timeout) -> the result of that item, once (Executor.map's iterator).
PyObject* method_take(PyObject* self, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 2) {
    PyErr_SetString(PyExc_TypeError, "take(index, timeout)");
    return nullptr;
  }
  double timeout = -1;
  const Py_ssize_t index = PyLong_AsSsize_t(args[0]);
  if ((index == -1 && PyErr_Occurred()) || !parse_timeout(args[1], &timeout)) {
    return nullptr;
  }
  if (index < 0 || index >= map_of(self)->n) {
    PyErr_SetString(PyExc_IndexError, "take: index out of range");
    return nullptr;
  }
  return take_item(map_of(self), index, timeout);
}

PyObject* get_n(PyObject* self, void*) { return PyLong_FromLongLong(map_of(self)->n); }

// Items whose call has ended, for progress displays; approximate while running.
PyObject* get_done(PyObject* self, void*) {
  MapObject* map = map_of(self);
  const std::int64_t claimed = std::min(map->next.load(), map->n);
  return PyLong_FromLongLong(
      std::max<std::int64_t>(claimed - map->participants.inside(), 0));
}

PyMethodDef methods[] = {
    {"start", method<method_start>(), METH_NOARGS, "Lets the pool begin."},
    {"cancel", method<method_cancel>(), METH_NOARGS,
     "Items that have not started never will."},
    {"run", method<method_run>(), METH_FASTCALL, "run(help, timeout) -> list or None"},
    {"take", method<method_take>(), METH_FASTCALL, "take(index, timeout) -> result"},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef getset[] = {
    {"n", guarded<get_n>, nullptr, "Number of items.", nullptr},
    {"done", guarded<get_done>, nullptr, "Items finished.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

}  // namespace

bool add_map_type(PyObject* module) {
  return add_type<MapObject>(
      module, "fastflow._core.Map", &map_type,
      {.methods = methods, .getset = getset, .create = guarded<map_new>});
}

}  // namespace fastflow::py
