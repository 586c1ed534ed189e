#include "graph.hpp"

#include "call_run.hpp"
#include "graph_arguments.hpp"
#include "graph_changes.hpp"
#include "graph_edges.hpp"
#include "guarded.hpp"
#include "kernel_run.hpp"
#include "node.hpp"
#include "object.hpp"

namespace fastflow::py {

PyTypeObject* graph_type = nullptr;

std::uint64_t next_serial() {
  static std::atomic<std::uint64_t> serial{1};
  return serial.fetch_add(1);
}

namespace {

// --- looking -------------------------------------------------------------------------

// REQUIRES: ObjectLock, as all that looks at the parts of a graph that may change.
std::int64_t count_nodes(const GraphParts& parts) {
  return parts.from_edges ? parts.plan->nodes()
                          : static_cast<std::int64_t>(parts.functions.size());
}

Py_ssize_t length(PyObject* self) {
  ObjectLock lock(self);
  return static_cast<Py_ssize_t>(count_nodes(parts_of(self)));
}

PyObject* get_nodes(PyObject* self, void*) {
  ObjectLock lock(self);
  return PyLong_FromLongLong(count_nodes(parts_of(self)));
}

PyObject* get_edges(PyObject* self, void*) {
  const GraphParts& parts = parts_of(self);
  ObjectLock lock(self);
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
  ObjectLock lock(self);
  return PyBool_FromLong(parts_of(self).from_edges);
}

// Reads the number of a node; may run Python code (__index__).
bool read_index(PyObject* object, long long* index) {
  *index = PyLong_AsLongLong(object);
  return !(*index == -1 && PyErr_Occurred());
}
bool check_index(long long index, std::int64_t nodes) {
  if (index >= 0 && index < nodes) return true;
  PyErr_Format(PyExc_IndexError, "the graph has no node %lld", index);
  return false;
}

// node(index) -> a handle of the node
PyObject* node_at(PyObject* self, PyObject* number) {
  const GraphParts& parts = parts_of(self);
  long long index = 0;
  if (!read_index(number, &index)) return nullptr;
  ObjectLock lock(self);
  if (!check_index(index, count_nodes(parts))) return nullptr;
  const auto v = static_cast<std::uint32_t>(index);
  PyObject* node = new_node(parts.serial, find_name(parts, v));
  if (node != nullptr) node_of(node)->index = v;
  return node;
}

PyObject* label(PyObject* self, PyObject* number) {
  long long index = 0;
  if (!read_index(number, &index)) return nullptr;
  ObjectLock lock(self);
  if (!check_index(index, count_nodes(parts_of(self)))) return nullptr;
  return name_of(parts_of(self), static_cast<std::uint32_t>(index));
}

// successors(index) -> tuple of numbers
PyObject* successors(PyObject* self, PyObject* number) {
  long long index = 0;
  if (!read_index(number, &index)) return nullptr;
  const auto plan = plan_of(self);
  if (plan == nullptr || !check_index(index, plan->nodes())) return nullptr;
  const auto targets = plan->successors(static_cast<std::uint32_t>(index));
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

void mark_reached(const GraphPlan& plan, unsigned char* states, int from) {
  std::vector<std::uint32_t> stack;
  for (std::uint32_t v = 0; v < plan.nodes(); ++v) {
    if (states[v] == from) stack.push_back(v);
  }
  while (!stack.empty()) {
    const std::uint32_t v = stack.back();
    stack.pop_back();
    for (std::uint32_t t : plan.successors(v)) {
      if (states[t] == 0) {
        states[t] = 3;
        stack.push_back(t);
      }
    }
  }
}

// mark_behind(states, from): in the writable buffer of one byte for each node, puts 3
// wherever there is 0 behind the nodes that have the value `from`.
PyObject* mark_behind(PyObject* self, PyObject* args) {
  Buffer states;
  int from = 0;
  if (!PyArg_ParseTuple(args, "w*i:mark_behind", &states.view, &from)) return nullptr;
  const auto plan = plan_of(self);
  if (plan == nullptr) return nullptr;
  if (states.view.len == plan->nodes()) {
    mark_reached(*plan, static_cast<unsigned char*>(states.view.buf), from);
  }
  Py_RETURN_NONE;
}

// --- the type ------------------------------------------------------------------------

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

}  // namespace

int GraphObject::traverse(visitproc visit, void* arg) const {
  for (PyObject* function : parts.functions) Py_VISIT(function);
  return visit_arguments(parts.arguments, visit, arg);
}

// Dropping runs Python code, so the parts are out of reach before.
void GraphObject::clear() {
  BigVector<PyObject*> functions;
  BigVector<Argument> arguments;
  functions.swap(parts.functions);
  arguments.swap(parts.arguments);
  parts.first_argument.resize(1);  // the 0 in front
  for (Argument argument : arguments) drop(argument);
  for (PyObject* function : functions) Py_DECREF(function);
}

GraphObject::~GraphObject() {
  for (auto& [index, name] : parts.names) Py_XDECREF(name);
  for (auto& [index, names] : parts.keywords) Py_XDECREF(names);
}

namespace {

PyMethodDef methods[] = {
    {"add", method<graph_add>(), METH_FASTCALL | METH_KEYWORDS,
     "add($self, fn, /, *args, name=None, after=(), **kwargs)\n--\n\n"
     "Add a node that calls fn(*args, **kwargs) and return its handle.\n\n"
     "A node among the arguments, also at any depth of lists, tuples, dicts, sets,\n"
     "their subclasses and dataclasses, is a dependency: the call gets its result.\n"
     "Nodes in `after` only have to be done before."},
    {"connect", method<graph_connect>(), METH_FASTCALL,
     "connect($self, before, after, /)\n--\n\n"
     "Let node `after` start only when node `before` is done."},
    {"set_edges", method<graph_set_edges>(), METH_FASTCALL | METH_KEYWORDS,
     "set_edges(*, n, src, dst)"},
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

}  // namespace

bool add_graph_types(PyObject* module) {
  return add_node_type(module) &&
         add_type<GraphObject>(module, "fastflow._core.Graph", &graph_type,
                               {.methods = methods,
                                .getset = getset,
                                .make = guarded<new_object<GraphObject>>,
                                .flags = Py_TPFLAGS_BASETYPE,
                                .others = {{Py_sq_length, slot<length>()}}}) &&
         add_call_run_type(module) && add_kernel_run_type(module);
}

}  // namespace fastflow::py
