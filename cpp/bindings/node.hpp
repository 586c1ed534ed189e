// Node: the handle that Graph.add() returns.  Two handles of one node are equal.
#pragma once

#include "python.hpp"

namespace fastflow::py {

struct NodeObject : PyObject {
  std::uint64_t graph = 0;  // its serial number
  Ref name;                 // str, or none
  std::uint32_t index = 0;
};

extern PyTypeObject* node_type;
bool add_node_type(PyObject* module);

// Its number is the caller's to set.
PyObject* new_node(std::uint64_t graph, PyObject* name);

inline bool is_node(PyObject* object) { return Py_TYPE(object) == node_type; }
inline NodeObject* node_of(PyObject* object) {
  return static_cast<NodeObject*>(object);
}

}  // namespace fastflow::py
