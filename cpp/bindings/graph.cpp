#include "graph.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "call_run.hpp"
#include "guarded.hpp"
#include "kernel_run.hpp"
#include "node.hpp"

namespace fastflow::py {

PyTypeObject* graph_type = nullptr;

namespace {

std::atomic<std::uint64_t> g_serial{1};

// --- arguments -----------------------------------------------------------------------

void drop(Argument argument);

template <class Arguments>
void drop_all(Arguments& arguments, std::size_t from = 0) {
  std::vector<Argument> old(arguments.begin() + static_cast<std::ptrdiff_t>(from),
                            arguments.end());
  arguments.erase(arguments.begin() + static_cast<std::ptrdiff_t>(from),
                  arguments.end());
  for (Argument argument : old) drop(argument);  // may run Python code
}

void drop(Argument argument) {
  if (argument.kind() == Argument::Kind::kConstant) {
    Py_DECREF(argument.object());
  } else if (argument.kind() == Argument::Kind::kGathered) {
    Gathered* items = argument.items();
    drop_all(items->items);
    Py_XDECREF(items->keys);
    delete items;
  }
}

bool check_member(const GraphParts& parts, PyObject* node) {
  if (node_of(node)->graph == parts.serial) return true;
  PyErr_Format(imports.graph_error,
               "%R belongs to another graph; pass its result, or add its function to "
               "this graph, too",
               node);
  return false;
}

bool holds_nodes(PyObject* const* items, Py_ssize_t n) {
  return std::any_of(items, items + n, [](PyObject* item) { return is_node(item); });
}

bool gather(const GraphParts& parts, PyObject* const* items, Py_ssize_t n,
            std::vector<Argument>* to) {
  to->reserve(static_cast<std::size_t>(n));
  for (Py_ssize_t i = 0; i < n; ++i) {
    if (!is_node(items[i])) {
      to->push_back(Argument::constant(items[i]));
    } else if (check_member(parts, items[i])) {
      to->push_back(Argument::node(node_of(items[i])->index));
    } else {
      return false;
    }
  }
  return true;
}

// A container that holds nodes, else a constant.
bool store_container(GraphParts& parts, PyObject* object, Ref items, Ref keys) {
  PyObject* const* data = PySequence_Fast_ITEMS(items.get());
  const Py_ssize_t n = PySequence_Fast_GET_SIZE(items.get());
  if (!holds_nodes(data, n)) {
    parts.arguments.push_back(Argument::constant(object));
    return true;
  }
  auto* gathered = new Gathered{Py_TYPE(object), keys.release(), {}};
  const bool good = gather(parts, data, n, &gathered->items);
  parts.arguments.push_back(Argument::gathered(gathered));
  return good;
}

bool store_argument(GraphParts& parts, PyObject* object) {
  if (is_node(object)) {
    if (!check_member(parts, object)) return false;
    parts.arguments.push_back(Argument::node(node_of(object)->index));
    return true;
  }
  if (PyList_CheckExact(object) || PyTuple_CheckExact(object)) {
    return store_container(parts, object, Ref::borrow(object), Ref());
  }
  if (PyDict_CheckExact(object)) {
    Ref values = Ref::steal(PyDict_Values(object));
    Ref keys = Ref::steal(PyDict_Keys(object));
    if (!values || !keys) return false;
    Ref names = Ref::steal(PyList_AsTuple(keys.get()));
    return names && store_container(parts, object, std::move(values), std::move(names));
  }
  parts.arguments.push_back(Argument::constant(object));
  return true;
}

// --- changing ------------------------------------------------------------------------

bool may_change(const GraphParts& parts) {
  if (parts.from_edges) {
    PyErr_SetString(PyExc_TypeError,
                    "a graph made by from_edges() has all its nodes and edges");
    return false;
  }
  if (parts.runs.load() > 0) {
    PyErr_SetString(PyExc_RuntimeError, "the graph is running: it can't be changed");
    return false;
  }
  return true;
}

bool add_order(GraphParts& parts, PyObject* before, std::uint32_t after) {
  if (!is_node(before)) {
    PyErr_Format(PyExc_TypeError, "expected a node of the graph, not %.200s",
                 Py_TYPE(before)->tp_name);
    return false;
  }
  if (!check_member(parts, before)) return false;
  parts.before.push_back(static_cast<std::int32_t>(node_of(before)->index));
  parts.after.push_back(static_cast<std::int32_t>(after));
  return true;
}

bool add_orders(GraphParts& parts, PyObject* nodes, std::uint32_t after) {
  if (is_node(nodes)) return add_order(parts, nodes, after);
  Ref list = Ref::steal(PySequence_Fast(nodes, "after must be a node or nodes"));
  if (!list) return false;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(list.get()); ++i) {
    if (!add_order(parts, PySequence_Fast_GET_ITEM(list.get(), i), after)) return false;
  }
  return true;
}

// What add() was given by name.
struct Named {
  PyObject* name = nullptr;   // borrowed
  PyObject* after = nullptr;  // borrowed
  Ref keywords;               // names of the function's own, or nothing
};

// Takes `name` and `after` out; the values of the others go to `rest`.
bool read_named(PyObject* const* values, PyObject* names, Named* named,
                std::vector<PyObject*>* rest) {
  const Py_ssize_t n = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  std::vector<PyObject*> kept;
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* name = PyTuple_GET_ITEM(names, i);
    if (PyUnicode_CompareWithASCIIString(name, "name") == 0) {
      if (values[i] != Py_None) named->name = values[i];
    } else if (PyUnicode_CompareWithASCIIString(name, "after") == 0) {
      named->after = values[i];
    } else {
      kept.push_back(name);
      rest->push_back(values[i]);
    }
  }
  if (named->name != nullptr && !PyUnicode_Check(named->name)) {
    PyErr_Format(PyExc_TypeError, "name must be a str, not %.200s",
                 Py_TYPE(named->name)->tp_name);
    return false;
  }
  if (kept.empty()) return true;
  named->keywords = Ref::steal(PyTuple_New(static_cast<Py_ssize_t>(kept.size())));
  if (!named->keywords) return false;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    PyTuple_SET_ITEM(named->keywords.get(), static_cast<Py_ssize_t>(i),
                     Py_NewRef(kept[i]));
  }
  return true;
}

bool store_node(GraphParts& parts, std::uint32_t index, PyObject* const* args,
                std::size_t nargs, const std::vector<PyObject*>& rest,
                const Named& named) {
  for (std::size_t i = 1; i < nargs; ++i) {
    if (!store_argument(parts, args[i])) return false;
  }
  for (PyObject* value : rest) {
    if (!store_argument(parts, value)) return false;
  }
  return named.after == nullptr || add_orders(parts, named.after, index);
}

// add(fn, *args, name=None, after=(), **kwargs) -> Node
PyObject* add(PyObject* self, PyObject* const* args, Py_ssize_t count,
              PyObject* names) {
  GraphParts& parts = parts_of(self);
  const auto nargs = static_cast<std::size_t>(count);
  if (nargs < 1 || !PyCallable_Check(args[0])) {
    PyErr_Format(PyExc_TypeError, "add(fn, *args): fn must be callable, not %.200s",
                 nargs < 1 ? "missing" : Py_TYPE(args[0])->tp_name);
    return nullptr;
  }
  Named named;
  std::vector<PyObject*> rest;
  if (names != nullptr && !read_named(args + nargs, names, &named, &rest))
    return nullptr;
  ObjectLock lock(self);
  if (!may_change(parts)) return nullptr;
  const std::size_t arguments = parts.arguments.size(), orders = parts.before.size();
  if (parts.functions.size() >= GraphPlan::kMost || arguments >= GraphPlan::kMost) {
    PyErr_SetString(imports.graph_error,
                    "a graph has fewer than 2**31 nodes and edges");
    return nullptr;
  }
  const auto index = static_cast<std::uint32_t>(parts.functions.size());
  if (!store_node(parts, index, args, nargs, rest, named)) {
    drop_all(parts.arguments, arguments);
    parts.before.resize(orders);
    parts.after.resize(orders);
    return nullptr;
  }
  parts.functions.push_back(Py_NewRef(args[0]));
  parts.first_argument.push_back(static_cast<std::uint32_t>(parts.arguments.size()));
  if (named.keywords) parts.keywords[index] = named.keywords.release();
  if (named.name != nullptr) parts.names[index] = Py_NewRef(named.name);
  parts.plan.reset();
  return new_node(parts.serial, index, named.name);
}

// connect(before, after)
PyObject* connect(PyObject* self, PyObject* const* args, Py_ssize_t nargs) {
  GraphParts& parts = parts_of(self);
  if (nargs != 2 || !is_node(args[0]) || !is_node(args[1])) {
    PyErr_SetString(PyExc_TypeError, "connect(before, after) takes two nodes");
    return nullptr;
  }
  ObjectLock lock(self);
  if (!may_change(parts) || !check_member(parts, args[1])) return nullptr;
  if (!add_order(parts, args[0], node_of(args[1])->index)) return nullptr;
  parts.plan.reset();
  Py_RETURN_NONE;
}

// --- the plan ------------------------------------------------------------------------

PyObject* node_label(const GraphParts& parts, std::uint32_t index) {
  if (parts.from_edges) return PyLong_FromUnsignedLong(index);
  return name_of(parts, index);
}

// CycleError(message, path), the first node repeated at the end.
void raise_cycle(const GraphParts& parts, const std::vector<std::uint32_t>& cycle) {
  constexpr std::size_t kShown = 12;
  Ref path = Ref::steal(PyTuple_New(static_cast<Py_ssize_t>(cycle.size() + 1)));
  if (!path) return;
  std::string text;
  for (std::size_t i = 0; i <= cycle.size(); ++i) {
    Ref label = Ref::steal(node_label(parts, cycle[i % cycle.size()]));
    if (!label) return;
    if (i < kShown || i == cycle.size()) {
      Ref shown = Ref::steal(PyObject_Str(label.get()));
      const char* utf8 = shown ? PyUnicode_AsUTF8(shown.get()) : nullptr;
      if (utf8 == nullptr) return;
      if (i > 0) text += " -> ";
      if (i == cycle.size() && i > kShown) text += "... -> ";
      text += utf8;
    }
    PyTuple_SET_ITEM(path.get(), static_cast<Py_ssize_t>(i), label.release());
  }
  text = "the graph has a cycle, so none of these nodes can start: " + text;
  Ref error = Ref::steal(
      PyObject_CallFunction(imports.cycle_error, "sO", text.c_str(), path.get()));
  if (error) PyErr_SetObject(imports.cycle_error, error.get());
}

template <class Index>
std::shared_ptr<const GraphPlan> build(const GraphParts& parts, std::int64_t n,
                                       const Index* src, const Index* dst,
                                       std::int64_t m, bool detach) {
  PlanError error;
  std::shared_ptr<const GraphPlan> plan;
  PyThreadState* state = detach ? PyEval_SaveThread() : nullptr;
  try {
    plan = GraphPlan::build(n, src, dst, m, &error);
  } catch (const std::bad_alloc&) {
  }
  if (state != nullptr) PyEval_RestoreThread(state);
  if (plan != nullptr) return plan;
  switch (error.kind) {
    case PlanError::Kind::kNone:
      PyErr_NoMemory();
      break;
    case PlanError::Kind::kCycle:
      raise_cycle(parts, error.cycle);
      break;
    case PlanError::Kind::kOutOfRange:
      PyErr_Format(
          imports.graph_error,
          "edge %lld leads from %lld to %lld, but the nodes are 0 to %lld",
          static_cast<long long>(error.edge), static_cast<long long>(src[error.edge]),
          static_cast<long long>(dst[error.edge]), static_cast<long long>(n - 1));
  }
  return nullptr;
}

// A buffer of int32 or int64; the Python layer has made it one-dimensional.
class Indices {
 public:
  ~Indices() {
    if (view_.obj != nullptr) PyBuffer_Release(&view_);
  }
  bool open(PyObject* object) {
    if (PyObject_GetBuffer(object, &view_, PyBUF_CONTIG_RO) < 0) return false;
    if (view_.itemsize == 4 || view_.itemsize == 8) return true;
    PyErr_SetString(PyExc_TypeError, "edges must be int32 or int64");
    return false;
  }
  [[nodiscard]] std::int64_t size() const { return view_.len / view_.itemsize; }
  [[nodiscard]] bool wide() const { return view_.itemsize == 8; }
  template <class Index>
  [[nodiscard]] const Index* as() const {
    return static_cast<const Index*>(view_.buf);
  }

 private:
  Py_buffer view_{};
};

// set_edges(n, src, dst): makes it a graph of numbers.
PyObject* set_edges(PyObject* self, PyObject* args) {
  long long n = 0;
  PyObject *src_object, *dst_object;
  if (!PyArg_ParseTuple(args, "LOO:set_edges", &n, &src_object, &dst_object)) {
    return nullptr;
  }
  Indices src, dst;
  if (!src.open(src_object) || !dst.open(dst_object)) return nullptr;
  const std::int64_t m = src.size();
  if (n < 0 || n > GraphPlan::kMost || m > GraphPlan::kMost || m != dst.size() ||
      src.wide() != dst.wide()) {
    PyErr_SetString(PyExc_ValueError, "set_edges: sizes do not fit");
    return nullptr;
  }
  GraphParts& parts = parts_of(self);
  ObjectLock lock(self);
  if (!may_change(parts)) return nullptr;
  parts.from_edges = true;
  parts.plan =
      src.wide()
          ? build(parts, n, src.as<std::int64_t>(), dst.as<std::int64_t>(), m, true)
          : build(parts, n, src.as<std::int32_t>(), dst.as<std::int32_t>(), m, true);
  if (parts.plan == nullptr) return nullptr;
  Py_RETURN_NONE;
}

// --- looking -------------------------------------------------------------------------

std::int64_t count_nodes(const GraphParts& parts) {
  return parts.from_edges ? parts.plan->nodes()
                          : static_cast<std::int64_t>(parts.functions.size());
}

Py_ssize_t length(PyObject* self) {
  return static_cast<Py_ssize_t>(count_nodes(parts_of(self)));
}

PyObject* get_nodes(PyObject* self, void*) {
  return PyLong_FromLongLong(count_nodes(parts_of(self)));
}

PyObject* get_edges(PyObject* self, void*) {
  const GraphParts& parts = parts_of(self);
  if (parts.from_edges) return PyLong_FromUnsignedLong(parts.plan->edges());
  std::size_t n = parts.before.size();
  for_each_source(parts, 0, static_cast<std::uint32_t>(parts.arguments.size()),
                  [&n](std::uint32_t) { ++n; });
  return PyLong_FromSize_t(n);
}

// Bytes of the plan, which is built if need be, and of one run's counters.
PyObject* get_bytes(PyObject* self, void*) {
  const auto plan = plan_of(self);
  if (plan == nullptr) return nullptr;
  return PyLong_FromSize_t(plan->bytes() + plan->run_bytes());
}

PyObject* get_serial(PyObject* self, void*) {
  return PyLong_FromUnsignedLongLong(parts_of(self).serial);
}
PyObject* get_from_edges(PyObject* self, void*) {
  return PyBool_FromLong(parts_of(self).from_edges);
}

bool read_index(const GraphParts& parts, PyObject* object, std::uint32_t* index) {
  const long long i = PyLong_AsLongLong(object);
  if (i == -1 && PyErr_Occurred()) return false;
  if (i < 0 || i >= count_nodes(parts)) {
    PyErr_Format(PyExc_IndexError, "the graph has no node %lld", i);
    return false;
  }
  *index = static_cast<std::uint32_t>(i);
  return true;
}

// node(index) -> a handle of the node
PyObject* node_at(PyObject* self, PyObject* number) {
  const GraphParts& parts = parts_of(self);
  std::uint32_t index = 0;
  if (!read_index(parts, number, &index)) return nullptr;
  const auto found = parts.names.find(index);
  return new_node(parts.serial, index,
                  found == parts.names.end() ? nullptr : found->second);
}

PyObject* label(PyObject* self, PyObject* number) {
  const GraphParts& parts = parts_of(self);
  std::uint32_t index = 0;
  if (!read_index(parts, number, &index)) return nullptr;
  return name_of(parts, index);
}

// successors(index) -> tuple of numbers
PyObject* successors(PyObject* self, PyObject* number) {
  std::uint32_t index = 0;
  const auto plan = plan_of(self);
  if (plan == nullptr || !read_index(parts_of(self), number, &index)) return nullptr;
  const auto targets = plan->successors(index);
  PyObject* tuple = PyTuple_New(static_cast<Py_ssize_t>(targets.size()));
  for (std::size_t i = 0; tuple != nullptr && i < targets.size(); ++i) {
    PyObject* item = PyLong_FromUnsignedLong(targets[i]);
    if (item == nullptr)
      Py_CLEAR(tuple);
    else
      PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), item);
  }
  return tuple;
}

// mark_behind(states, from): in the writable buffer of one byte for each node, puts 3
// wherever there is 0 behind the nodes that have the value `from`.
PyObject* mark_behind(PyObject* self, PyObject* args) {
  Py_buffer view;
  int from = 0;
  if (!PyArg_ParseTuple(args, "w*i:mark_behind", &view, &from)) return nullptr;
  const auto plan = plan_of(self);
  auto* states = static_cast<unsigned char*>(view.buf);
  if (plan != nullptr && view.len == plan->nodes()) {
    std::vector<std::uint32_t> stack;
    for (std::uint32_t v = 0; v < plan->nodes(); ++v) {
      if (states[v] == from) stack.push_back(v);
    }
    while (!stack.empty()) {
      const std::uint32_t v = stack.back();
      stack.pop_back();
      for (std::uint32_t t : plan->successors(v)) {
        if (states[t] == 0) {
          states[t] = 3;
          stack.push_back(t);
        }
      }
    }
  }
  PyBuffer_Release(&view);
  if (plan == nullptr) return nullptr;
  Py_RETURN_NONE;
}

// --- the type ------------------------------------------------------------------------

PyObject* graph_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* object = type->tp_alloc(type, 0);
  if (object == nullptr) return nullptr;
  auto* parts = new GraphParts;
  parts->serial = g_serial.fetch_add(1);
  reinterpret_cast<GraphObject*>(object)->parts = parts;
  return object;
}

template <class Arguments>
int visit_arguments(const Arguments& arguments, visitproc visit, void* arg) {
  for (const Argument& argument : arguments) {
    if (argument.kind() == Argument::Kind::kConstant) {
      Py_VISIT(argument.object());
    } else if (argument.kind() == Argument::Kind::kGathered) {
      Py_VISIT(argument.items()->keys);
      const int result = visit_arguments(argument.items()->items, visit, arg);
      if (result != 0) return result;
    }
  }
  return 0;
}

int graph_traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(object));
  const GraphParts& parts = parts_of(object);
  for (PyObject* function : parts.functions) Py_VISIT(function);
  return visit_arguments(parts.arguments, visit, arg);
}

int graph_clear(PyObject* object) {
  GraphParts& parts = parts_of(object);
  BigVector<PyObject*> functions;
  functions.swap(parts.functions);
  parts.first_argument.assign(1, 0);
  drop_all(parts.arguments);
  for (PyObject* function : functions) Py_DECREF(function);
  return 0;
}

void graph_dealloc(PyObject* object) {
  PyObject_GC_UnTrack(object);
  graph_clear(object);
  GraphParts* parts = &parts_of(object);
  for (auto& [index, name] : parts->names) Py_DECREF(name);
  for (auto& [index, names] : parts->keywords) Py_DECREF(names);
  delete parts;
  free_object(object);
}

PyMethodDef methods[] = {
    {"add", method<add>(), METH_FASTCALL | METH_KEYWORDS,
     "add($self, fn, /, *args, name=None, after=(), **kwargs)\n--\n\n"
     "Add a node that calls fn(*args, **kwargs) and return its handle.\n\n"
     "A node among the arguments, also inside a list, tuple or dict, is a dependency:\n"
     "the call gets its result.  Nodes in `after` only have to be done before."},
    {"connect", method<connect>(), METH_FASTCALL,
     "connect($self, before, after, /)\n--\n\n"
     "Let node `after` start only when node `before` is done."},
    {"set_edges", method<set_edges>(), METH_VARARGS, "set_edges(n, src, dst)"},
    {"node", method<node_at>(), METH_O,
     "node($self, index, /)\n--\n\nReturn the handle of the node with that number."},
    {"label", method<label>(), METH_O,
     "label(index) -> its name, or its number as a string"},
    {"successors", method<successors>(), METH_O,
     "successors($self, index, /)\n--\n\n"
     "Return the numbers of the nodes that wait for node `index`."},
    {"mark_behind", method<mark_behind>(), METH_VARARGS, "mark_behind(states, from)"},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef getset[] = {
    {"n_nodes", guarded<get_nodes>, nullptr, "Number of nodes.", nullptr},
    {"n_edges", guarded<get_edges>, nullptr, "Number of edges, repeated ones included.",
     nullptr},
    {"nbytes", guarded<get_bytes>, nullptr,
     "Bytes that the compiled plan and the counters of one run take.", nullptr},
    {"serial", guarded<get_serial>, nullptr, nullptr, nullptr},
    {"is_numbered", guarded<get_from_edges>, nullptr, "Made by from_edges().", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyType_Slot slots[] = {{Py_tp_new, slot<graph_new>()},
                       {Py_tp_dealloc, slot<graph_dealloc>()},
                       {Py_tp_traverse, slot<graph_traverse>()},
                       {Py_tp_clear, slot<graph_clear>()},
                       {Py_sq_length, slot<length>()},
                       {Py_tp_methods, methods},
                       {Py_tp_getset, getset},
                       {0, nullptr}};

PyType_Spec spec = {"fastflow._core.Graph", sizeof(GraphObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
                    slots};

}  // namespace

std::shared_ptr<const GraphPlan> plan_of(PyObject* graph) {
  GraphParts& parts = parts_of(graph);
  ObjectLock lock(graph);
  if (parts.plan != nullptr) return parts.plan;
  std::vector<std::int32_t> src, dst;
  const auto room = parts.arguments.size() + parts.before.size();
  src.reserve(room);
  dst.reserve(room);
  for (std::uint32_t v = 0; v < parts.functions.size(); ++v) {
    for_each_source(parts, parts.first_argument[v], parts.first_argument[v + 1],
                    [&](std::uint32_t u) {
                      src.push_back(static_cast<std::int32_t>(u));
                      dst.push_back(static_cast<std::int32_t>(v));
                    });
  }
  src.insert(src.end(), parts.before.begin(), parts.before.end());
  dst.insert(dst.end(), parts.after.begin(), parts.after.end());
  if (src.size() > GraphPlan::kMost) {
    PyErr_SetString(imports.graph_error, "a graph has fewer than 2**31 edges");
    return nullptr;
  }
  parts.plan =
      build(parts, static_cast<std::int64_t>(parts.functions.size()), src.data(),
            dst.data(), static_cast<std::int64_t>(src.size()), false);
  return parts.plan;
}

PyObject* name_of(const GraphParts& parts, std::uint32_t index) {
  const auto found = parts.names.find(index);
  if (found != parts.names.end()) return Py_NewRef(found->second);
  return PyUnicode_FromFormat("%u", index);
}

bool add_graph_types(PyObject* module) {
  return add_node_type(module) && add_type(module, spec, &graph_type) &&
         add_call_run_type(module) && add_kernel_run_type(module);
}

}  // namespace fastflow::py
