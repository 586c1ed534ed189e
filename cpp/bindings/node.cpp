#include "node.hpp"

#include <structmember.h>

#include "guarded.hpp"

namespace fastflow::py {

PyTypeObject* node_type = nullptr;

namespace {

void dealloc(PyObject* object) {
  Py_XDECREF(node_of(object)->name);
  free_object(object);
}

PyObject* repr(PyObject* self) {
  const NodeObject* node = node_of(self);
  if (node->name == nullptr) return PyUnicode_FromFormat("<Node %u>", node->index);
  return PyUnicode_FromFormat("<Node %u %R>", node->index, node->name);
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
  PyObject* name = node_of(self)->name;
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

PyType_Slot slots[] = {
    {Py_tp_dealloc, slot<dealloc>()}, {Py_tp_repr, slot<repr>()},
    {Py_tp_hash, slot<hash>()},       {Py_tp_richcompare, slot<compare>()},
    {Py_tp_getset, getset},           {0, nullptr}};

PyType_Spec spec = {"fastflow._core.Node", sizeof(NodeObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

}  // namespace

bool add_node_type(PyObject* module) { return add_type(module, spec, &node_type); }

PyObject* new_node(std::uint64_t graph, PyObject* name) {
  NodeObject* node = PyObject_New(NodeObject, node_type);
  if (node == nullptr) return nullptr;
  node->graph = graph;
  node->index = 0;
  node->name = Py_XNewRef(name);
  return reinterpret_cast<PyObject*>(node);
}

}  // namespace fastflow::py
