#include "node.hpp"

#include "guarded.hpp"
#include "object.hpp"

namespace fastflow::py {

PyTypeObject* node_type = nullptr;

namespace {

PyObject* repr(PyObject* self) {
  const NodeObject* node = node_of(self);
  if (!node->name) return PyUnicode_FromFormat("<Node %u>", node->index);
  return PyUnicode_FromFormat("<Node %u %R>", node->index, node->name.get());
}

Py_hash_t hash(PyObject* self) {
  const NodeObject* node = node_of(self);
  return static_cast<Py_hash_t>((node->graph << 40) ^ node->index ^ 0x5bd1e995U);
}

PyObject* compare(PyObject* a, PyObject* b, int operation) {
  if (!is_node(b) || (operation != Py_EQ && operation != Py_NE)) {
    Py_RETURN_NOTIMPLEMENTED;
  }
  const bool equal =
      node_of(a)->graph == node_of(b)->graph && node_of(a)->index == node_of(b)->index;
  return PyBool_FromLong(equal == (operation == Py_EQ));
}

PyObject* get_name(PyObject* self, void*) {
  PyObject* name = node_of(self)->name.get();
  return Py_NewRef(name != nullptr ? name : Py_None);
}
PyObject* get_index(PyObject* self, void*) {
  return PyLong_FromUnsignedLong(node_of(self)->index);
}
PyObject* get_graph(PyObject* self, void*) {
  return PyLong_FromUnsignedLongLong(node_of(self)->graph);
}

PyGetSetDef getset[] = {
    {"name", guarded<get_name>, nullptr, "The name given to add(), or None.", nullptr},
    {"index", guarded<get_index>, nullptr, "Number of the node in its graph.", nullptr},
    {"graph_serial", guarded<get_graph>, nullptr, "Number of the graph.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

}  // namespace

bool add_node_type(PyObject* module) {
  return add_type<NodeObject>(module, "fastflow._core.Node", &node_type,
                              {.getset = getset,
                               .others = {{Py_tp_repr, slot<repr>()},
                                          {Py_tp_hash, slot<hash>()},
                                          {Py_tp_richcompare, slot<compare>()}}});
}

PyObject* new_node(std::uint64_t graph, PyObject* name) {
  PyObject* memory = PyObject_New(PyObject, node_type);
  if (memory == nullptr) return nullptr;
  NodeObject* node = construct<NodeObject>(memory);
  node->graph = graph;
  node->name = Ref::borrow(name);
  return node;
}

}  // namespace fastflow::py
