// Node: the handle that Graph.add() returns.  Two handles of one node are equal.
#pragma once

#include "python.hpp"

namespace fastflow::py {

struct NodeObject {
  PyObject_HEAD std::uint64_t graph;  // its serial number
  PyObject* name;                     // str or nullptr
  std::uint32_t index;
};

extern PyTypeObject* node_type;
bool add_node_type(PyObject* module);

// Its number is the caller's to set.
PyObject* new_node(std::uint64_t graph, PyObject* name);

inline bool is_node(PyObject* object) { return Py_TYPE(object) == node_type; }
inline NodeObject* node_of(PyObject* object) {
  return reinterpret_cast<NodeObject*>(object);
}

}  // namespace fastflow::py
