#include "graph.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

#include "call_run.hpp"
#include "compiler.hpp"
#include "gil.hpp"
#include "guarded.hpp"
#include "kernel_run.hpp"
#include "keywords.hpp"
#include "node.hpp"
#include "object.hpp"

namespace fastflow::py {

PyTypeObject* graph_type = nullptr;

std::uint64_t next_serial() {
  static std::atomic<std::uint64_t> serial{1};
  return serial.fetch_add(1);
}

namespace {

// --- arguments -----------------------------------------------------------------------

void drop(Argument argument) {
  if (argument.kind() == Argument::Kind::kConstant) {
    Py_DECREF(argument.object());
  } else if (argument.kind() == Argument::Kind::kGathered) {
    Gathered* items = argument.items();
    for (Argument item : items->items) drop(item);
    Py_XDECREF(items->keys);
    delete items;
  }
}

// Arguments on their way into the graph: dropped unless they arrive there.  A few need
// no memory of their own.
class Arguments {
 public:
  Arguments() = default;
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;
  ~Arguments() {
    for (std::size_t i = 0; i < size_; ++i) drop(data()[i]);  // may run Python code
  }

  void add_node(std::uint32_t index) { add(Argument::node(index)); }
  void add_constant(PyObject* object) {
    add(Argument::node(0));  // first: it may be that there is no memory
    data()[size_ - 1] = Argument::constant(object);
  }
  void add_gathered(PyTypeObject* type, Ref keys, Arguments& items) {
    add(Argument::node(0));
    auto gathered = std::make_unique<Gathered>(type, nullptr);
    gathered->items.assign(items.data(), items.data() + items.size_);
    items.size_ = 0;
    gathered->keys = keys.release();
    data()[size_ - 1] = Argument::gathered(gathered.release());
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  // REQUIRES: `to` has room for them.
  void move_to(BigVector<Argument>* to) noexcept {
    const Argument* from = data();
    for (std::size_t i = 0; i < size_; ++i) to->push_back(from[i]);
    size_ = 0;
  }

 private:
  static constexpr std::size_t kNear = 6;

  void add(Argument argument) {
    if (size_ < kNear) [[likely]] {
      near_[size_++] = argument;
    } else {
      add_far(argument);
    }
  }
  FASTFLOW_COLD void add_far(Argument argument) {
    if (far_.empty()) far_.assign(near_, near_ + kNear);
    far_.push_back(argument);
    ++size_;
  }
  [[nodiscard]] Argument* data() noexcept { return far_.empty() ? near_ : far_.data(); }

  std::size_t size_ = 0;
  Argument near_[kNear];
  std::vector<Argument> far_;  // all of them, once there are more
};

bool check_member(std::uint64_t graph, PyObject* node) {
  if (node_of(node)->graph == graph) return true;
  PyErr_Format(imports.graph_error,
               "%R belongs to another graph; pass its result, or add its function to "
               "this graph, too",
               node);
  return false;
}

// A node, or a constant.
bool read_item(std::uint64_t graph, PyObject* object, Arguments* to) {
  if (!is_node(object)) {
    to->add_constant(object);
    return true;
  }
  if (!check_member(graph, object)) return false;
  to->add_node(node_of(object)->index);
  return true;
}

bool is_array_of_objects(PyObject* object) {
  if (std::strcmp(Py_TYPE(object)->tp_name, "numpy.ndarray") != 0) return false;
  static PyObject *dtype_name = nullptr, *object_name = nullptr;
  if (dtype_name == nullptr) dtype_name = PyUnicode_InternFromString("dtype");
  if (object_name == nullptr) object_name = PyUnicode_InternFromString("hasobject");
  if (dtype_name == nullptr || object_name == nullptr) {
    PyErr_Clear();
    return true;  // no memory: let the Python layer find out
  }
  Ref dtype = Ref::steal(PyObject_GetAttr(object, dtype_name));
  Ref has = Ref::steal(dtype ? PyObject_GetAttr(dtype.get(), object_name) : nullptr);
  if (!has) PyErr_Clear();
  return has.get() == Py_True;
}

// The usual ones: nothing is inside.
inline bool is_plain(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  return type == &PyLong_Type || type == &PyFunction_Type || type == &PyUnicode_Type ||
         type == &PyCFunction_Type || type == &PyFloat_Type || type == node_type ||
         object == Py_None || type == &PyBool_Type || type == &PyType_Type ||
         type == &PyBytes_Type;
}

// Whether nodes may be inside, which the Python layer looks for.  Types of C are known;
// those made by a class statement may be dataclasses, or may keep nodes in attributes.
bool may_hold_nodes(PyObject* object) {
  constexpr unsigned long kSuspect = Py_TPFLAGS_HEAPTYPE | Py_TPFLAGS_LIST_SUBCLASS |
                                     Py_TPFLAGS_TUPLE_SUBCLASS |
                                     Py_TPFLAGS_DICT_SUBCLASS;
  PyTypeObject* type = Py_TYPE(object);
  if (is_plain(object) || imports.nodes_in == nullptr) return false;
  if ((type->tp_flags & kSuspect) != 0) return true;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(imports.containers); ++i) {
    if (reinterpret_cast<PyObject*>(type) == PyTuple_GET_ITEM(imports.containers, i)) {
      return true;
    }
  }
  return type->tp_as_buffer != nullptr && is_array_of_objects(object);
}

// An object that may hold nodes anywhere; a constant if it doesn't.
bool read_nested(std::uint64_t graph, PyObject* object, Arguments* to) {
  Ref found = Ref::steal(PyObject_CallOneArg(imports.nodes_in, object));
  if (!found) return false;
  if (found.get() == Py_None) {
    to->add_constant(object);
    return true;
  }
  PyObject* nodes = PyTuple_GET_ITEM(found.get(), 0);
  const Py_ssize_t n = PyTuple_GET_SIZE(nodes);
  Arguments inner;
  for (Py_ssize_t i = 0; i < n; ++i) {
    if (!read_item(graph, PyTuple_GET_ITEM(nodes, i), &inner)) return false;
  }
  to->add_gathered(nullptr, Ref::borrow(PyTuple_GET_ITEM(found.get(), 1)), inner);
  return true;
}

// A container that holds nodes, else a constant.  `items` is a tuple of our own, as the
// container may change while we look at it.
bool read_container(std::uint64_t graph, PyObject* object, Ref items, Ref keys,
                    Arguments* to) {
  const Py_ssize_t n = PyTuple_GET_SIZE(items.get());
  bool any = false;
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* item = PyTuple_GET_ITEM(items.get(), i);
    any |= is_node(item);
    if (may_hold_nodes(item)) return read_nested(graph, object, to);
  }
  // Keys that are nodes, or hold some, are refused there.
  for (Py_ssize_t i = 0; i < (keys ? n : 0); ++i) {
    PyObject* key = PyTuple_GET_ITEM(keys.get(), i);
    if (is_node(key) || may_hold_nodes(key)) return read_nested(graph, object, to);
  }
  if (!any) {
    to->add_constant(object);
    return true;
  }
  Arguments inner;
  for (Py_ssize_t i = 0; i < n; ++i) {
    if (!read_item(graph, PyTuple_GET_ITEM(items.get(), i), &inner)) return false;
  }
  to->add_gathered(Py_TYPE(object), std::move(keys), inner);
  return true;
}

// The keys and values of a dict, as they are at one moment.
bool read_dict(PyObject* dict, Ref* keys, Ref* values) {
  Ref items = Ref::steal(PyDict_Items(dict));
  if (!items) return false;
  const Py_ssize_t n = PyList_GET_SIZE(items.get());
  *keys = Ref::steal(PyTuple_New(n));
  *values = Ref::steal(PyTuple_New(n));
  if (!*keys || !*values) return false;
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* pair = PyList_GET_ITEM(items.get(), i);
    PyTuple_SET_ITEM(keys->get(), i, Py_NewRef(PyTuple_GET_ITEM(pair, 0)));
    PyTuple_SET_ITEM(values->get(), i, Py_NewRef(PyTuple_GET_ITEM(pair, 1)));
  }
  return true;
}

bool read_argument(std::uint64_t graph, PyObject* object, Arguments* to) {
  if (is_plain(object)) return read_item(graph, object, to);
  if (PyTuple_CheckExact(object)) {
    return read_container(graph, object, Ref::borrow(object), Ref(), to);
  }
  if (PyList_CheckExact(object)) {
    Ref items = Ref::steal(PyList_AsTuple(object));
    return items && read_container(graph, object, std::move(items), Ref(), to);
  }
  if (PyDict_CheckExact(object)) {
    Ref keys, values;
    return read_dict(object, &keys, &values) &&
           read_container(graph, object, std::move(values), std::move(keys), to);
  }
  return may_hold_nodes(object) ? read_nested(graph, object, to)
                                : read_item(graph, object, to);
}

// Nodes that a function has with it (a partial one's) would go unseen.
bool check_function(PyObject* function) {
  if (is_plain(function) || !may_hold_nodes(function)) return true;
  Ref found = Ref::steal(PyObject_CallOneArg(imports.nodes_in, function));
  if (!found) return false;
  if (found.get() == Py_None) return true;
  PyErr_Format(PyExc_TypeError,
               "the function %R has %R with it, and would not get its result; pass it "
               "as an argument of add()",
               function, PyTuple_GET_ITEM(PyTuple_GET_ITEM(found.get(), 0), 0));
  return false;
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

// add(fn, *args, name=None, after=(), **kwargs) -> Node
//
// First everything is gathered, which may run Python code that adds nodes itself
// (`after` may be a generator); then the node gets its number.
PyObject* add(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
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

// connect(before, after)
PyObject* connect(PyObject* self, PyObject* const* args, Py_ssize_t nargs) {
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

// --- the plan ------------------------------------------------------------------------

// `parts`: nullptr in a graph of numbers.
PyObject* node_label(const GraphParts* parts, std::uint32_t index) {
  if (parts == nullptr) return PyLong_FromUnsignedLong(index);
  return name_of(*parts, index);
}

// CycleError(message, path), the first node repeated at the end.
void raise_cycle(const GraphParts* parts, const std::vector<std::uint32_t>& cycle) {
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

// `parts`: where the labels are; nullptr: a graph of numbers, which may be large, so
// others may go on meanwhile.
template <class Index>
std::shared_ptr<const GraphPlan> build(const GraphParts* parts, std::int64_t n,
                                       const Index* src, const Index* dst,
                                       std::int64_t m) {
  PlanError error;
  std::shared_ptr<const GraphPlan> plan;
  if (parts == nullptr) {
    Detached detached;
    plan = GraphPlan::build(n, src, dst, m, &error);
  } else {
    plan = GraphPlan::build(n, src, dst, m, &error);
  }
  if (plan != nullptr) return plan;
  switch (error.kind) {
    case PlanError::Kind::kNone:
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

struct Buffer {
  Py_buffer view{};
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (view.obj != nullptr) PyBuffer_Release(&view);
  }
};

// A buffer of int32 or int64; the Python layer has made it one-dimensional.
class Indices : Buffer {
 public:
  bool open(PyObject* object) {
    if (PyObject_GetBuffer(object, &view, PyBUF_CONTIG_RO) < 0) return false;
    if (view.itemsize == 4 || view.itemsize == 8) return true;
    PyErr_SetString(PyExc_TypeError, "edges must be int32 or int64");
    return false;
  }
  [[nodiscard]] std::int64_t size() const { return view.len / view.itemsize; }
  [[nodiscard]] bool wide() const { return view.itemsize == 8; }
  template <class Index>
  [[nodiscard]] const Index* as() const {
    return static_cast<const Index*>(view.buf);
  }
};

Keywords edges_keywords("set_edges", {"n", "src", "dst"});

// Makes it a graph of numbers.
PyObject* set_edges(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                    PyObject* names) {
  std::int64_t n = 0;
  PyObject *src_object, *dst_object;
  if (!edges_keywords.read({args, nargs, names}, &n, &src_object, &dst_object)) {
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
  // Built first: that takes long, without the interpreter's lock.
  auto plan =
      src.wide() ? build(nullptr, n, src.as<std::int64_t>(), dst.as<std::int64_t>(), m)
                 : build(nullptr, n, src.as<std::int32_t>(), dst.as<std::int32_t>(), m);
  if (plan == nullptr) return nullptr;
  GraphParts& parts = parts_of(self);
  ObjectLock lock(self);
  if (!may_change(parts)) return nullptr;
  if (!parts.functions.empty()) {
    PyErr_SetString(PyExc_TypeError, "set_edges: the graph has nodes already");
    return nullptr;
  }
  parts.from_edges = true;
  parts.plan = std::move(plan);
  Py_RETURN_NONE;
}

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

// The name of a node, borrowed; nullptr: it has none.
PyObject* find_name(const GraphParts& parts, std::uint32_t index) {
  const auto found = parts.names.find(index);
  return found == parts.names.end() ? nullptr : found->second;
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
    {"add", method<add>(), METH_FASTCALL | METH_KEYWORDS,
     "add($self, fn, /, *args, name=None, after=(), **kwargs)\n--\n\n"
     "Add a node that calls fn(*args, **kwargs) and return its handle.\n\n"
     "A node among the arguments, also at any depth of lists, tuples, dicts, sets,\n"
     "their subclasses and dataclasses, is a dependency: the call gets its result.\n"
     "Nodes in `after` only have to be done before."},
    {"connect", method<connect>(), METH_FASTCALL,
     "connect($self, before, after, /)\n--\n\n"
     "Let node `after` start only when node `before` is done."},
    {"set_edges", method<set_edges>(), METH_FASTCALL | METH_KEYWORDS,
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
  parts.plan = build(&parts, static_cast<std::int64_t>(parts.functions.size()),
                     src.data(), dst.data(), static_cast<std::int64_t>(src.size()));
  return parts.plan;
}

PyObject* name_of(const GraphParts& parts, std::uint32_t index) {
  PyObject* name = find_name(parts, index);
  return name != nullptr ? Py_NewRef(name) : PyUnicode_FromFormat("%u", index);
}

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
