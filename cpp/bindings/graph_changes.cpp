#include "graph_changes.hpp"

#include <algorithm>

#include "graph_arguments.hpp"
#include "node.hpp"

namespace fastflow::py {

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

namespace {

// Room for n more, growing as push_back does.  Throws; then nothing has changed.
template <class Vector>
FASTFLOW_COLD void grow(Vector& vector, std::size_t n) {
  vector.reserve(std::max(vector.size() + n, 2 * vector.capacity()));
}
template <class Vector>
inline void make_room(Vector& vector, std::size_t n) {
  if (vector.capacity() - vector.size() < n) [[unlikely]]
    grow(vector, n);
}

// Numbers of the nodes in `after`: a node, or an iterable of them.
bool read_orders(std::uint64_t graph, PyObject* after, std::vector<std::int32_t>* to) {
  Ref nodes;
  if (is_node(after)) {
    nodes = Ref::steal(PyTuple_Pack(1, after));
  } else {
    nodes = Ref::steal(PySequence_Tuple(after));  // runs Python code: a generator's
    if (!nodes && PyErr_ExceptionMatches(PyExc_TypeError) &&
        Py_TYPE(after)->tp_iter == nullptr && !PySequence_Check(after)) {
      PyErr_SetString(PyExc_TypeError, "after must be a node or nodes");
    }
  }
  if (!nodes) return false;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(nodes.get()); ++i) {
    PyObject* node = PyTuple_GET_ITEM(nodes.get(), i);
    if (!is_node(node)) {
      PyErr_Format(PyExc_TypeError, "expected a node of the graph, not %.200s",
                   Py_TYPE(node)->tp_name);
      return false;
    }
    if (!check_member(graph, node)) return false;
    to->push_back(static_cast<std::int32_t>(node_of(node)->index));
  }
  return true;
}

// What add() was given, on its way into the graph.
struct NewNode {
  PyObject* function = nullptr;  // borrowed
  PyObject* name = nullptr;      // borrowed; nullptr: none
  PyObject* after = nullptr;     // borrowed
  Ref keywords;                  // names of the function's own, or nothing
  Arguments arguments;
  std::vector<std::int32_t> before;  // nodes that it waits for only
};

// Takes `name` and `after` out; the values of the others are arguments.
bool read_named(std::uint64_t graph, PyObject* const* values, PyObject* names,
                NewNode* node) {
  const Py_ssize_t n = PyTuple_GET_SIZE(names);
  std::vector<PyObject*> kept;
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* name = PyTuple_GET_ITEM(names, i);
    if (PyUnicode_CompareWithASCIIString(name, "name") == 0) {
      if (values[i] != Py_None) node->name = values[i];
    } else if (PyUnicode_CompareWithASCIIString(name, "after") == 0) {
      node->after = values[i];
    } else {
      kept.push_back(name);
      if (!read_argument(graph, values[i], &node->arguments)) return false;
    }
  }
  if (node->name != nullptr && !PyUnicode_Check(node->name)) {
    PyErr_Format(PyExc_TypeError, "name must be a str, not %.200s",
                 Py_TYPE(node->name)->tp_name);
    return false;
  }
  if (kept.empty()) return true;
  node->keywords = Ref::steal(PyTuple_New(static_cast<Py_ssize_t>(kept.size())));
  if (!node->keywords) return false;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    PyTuple_SET_ITEM(node->keywords.get(), static_cast<Py_ssize_t>(i),
                     Py_NewRef(kept[i]));
  }
  return true;
}

// The last half of add(): gives the node its number and stores it.  Nothing in here
// runs Python code, so on every build nobody comes in between; and what needs memory
// comes before the first change.  False with an exception; then nothing has changed.
bool store_node(PyObject* self, NewNode* node, std::uint32_t* number) {
  GraphParts& parts = parts_of(self);
  ObjectLock lock(self);
  if (!may_change(parts)) return false;
  const std::size_t index = parts.functions.size();
  if (index >= GraphPlan::kMost || parts.arguments.size() >= GraphPlan::kMost) {
    PyErr_SetString(imports.graph_error,
                    "a graph has fewer than 2**31 nodes and edges");
    return false;
  }
  *number = static_cast<std::uint32_t>(index);
  make_room(parts.functions, 1);
  make_room(parts.first_argument, 1);
  make_room(parts.arguments, node->arguments.size());
  if (!node->before.empty()) {
    make_room(parts.before, node->before.size());
    make_room(parts.after, node->before.size());
  }
  // An entry without a value is one of a node that did not come about.
  PyObject** keywords = node->keywords ? &parts.keywords[*number] : nullptr;
  PyObject** name = node->name != nullptr ? &parts.names[*number] : nullptr;
  if (keywords != nullptr) *keywords = node->keywords.release();
  if (name != nullptr) *name = Py_NewRef(node->name);
  node->arguments.move_to(&parts.arguments);
  for (std::int32_t before : node->before) {
    parts.before.push_back(before);
    parts.after.push_back(static_cast<std::int32_t>(index));
  }
  parts.functions.push_back(Py_NewRef(node->function));
  parts.first_argument.push_back(static_cast<std::uint32_t>(parts.arguments.size()));
  parts.plan.reset();
  return true;
}

}  // namespace

// First everything is gathered, which may run Python code that adds nodes itself
// (`after` may be a generator); then the node gets its number.
PyObject* graph_add(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                    PyObject* names) {
  if (nargs < 1 || !PyCallable_Check(args[0])) {
    PyErr_Format(PyExc_TypeError, "add(fn, *args): fn must be callable, not %.200s",
                 nargs < 1 ? "missing" : Py_TYPE(args[0])->tp_name);
    return nullptr;
  }
  if (!check_function(args[0])) return nullptr;
  const std::uint64_t graph = parts_of(self).serial;
  NewNode node;
  node.function = args[0];
  for (Py_ssize_t i = 1; i < nargs; ++i) {
    if (!read_argument(graph, args[i], &node.arguments)) return nullptr;
  }
  if (names != nullptr && !read_named(graph, args + nargs, names, &node))
    return nullptr;
  if (node.after != nullptr && !read_orders(graph, node.after, &node.before)) {
    return nullptr;
  }
  Ref handle = Ref::steal(new_node(graph, node.name));
  if (!handle || !store_node(self, &node, &node_of(handle.get())->index))
    return nullptr;
  return handle.release();
}

PyObject* graph_connect(PyObject* self, PyObject* const* args, Py_ssize_t nargs) {
  GraphParts& parts = parts_of(self);
  if (nargs != 2 || !is_node(args[0]) || !is_node(args[1])) {
    PyErr_SetString(PyExc_TypeError, "connect(before, after) takes two nodes");
    return nullptr;
  }
  if (!check_member(parts.serial, args[1]) || !check_member(parts.serial, args[0])) {
    return nullptr;
  }
  ObjectLock lock(self);
  if (!may_change(parts)) return nullptr;
  make_room(parts.before, 1);
  make_room(parts.after, 1);
  parts.before.push_back(static_cast<std::int32_t>(node_of(args[0])->index));
  parts.after.push_back(static_cast<std::int32_t>(node_of(args[1])->index));
  parts.plan.reset();
  Py_RETURN_NONE;
}

}  // namespace fastflow::py
