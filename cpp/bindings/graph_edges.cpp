#include "graph_edges.hpp"

#include <string>

#include "gil.hpp"
#include "graph_changes.hpp"
#include "keywords.hpp"

namespace fastflow::py {

PyObject* find_name(const GraphParts& parts, std::uint32_t index) {
  const auto found = parts.names.find(index);
  return found == parts.names.end() ? nullptr : found->second;
}

PyObject* name_of(const GraphParts& parts, std::uint32_t index) {
  PyObject* name = find_name(parts, index);
  return name != nullptr ? Py_NewRef(name) : PyUnicode_FromFormat("%u", index);
}

namespace {

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

}  // namespace

PyObject* graph_set_edges(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
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
  auto plan = build(&parts, static_cast<std::int64_t>(parts.functions.size()),
                    src.data(), dst.data(), static_cast<std::int64_t>(src.size()));
  // A cycle's report runs Python code, and the graph may be another one by now.
  if (plan != nullptr) parts.plan = plan;
  return plan;
}

}  // namespace fastflow::py
