// How nodes come into a graph, and edges between them.
#pragma once

#include "graph.hpp"

namespace fastflow::py {

// REQUIRES: ObjectLock.  False with an exception.
bool may_change(const GraphParts& parts);

// add(fn, *args, name=None, after=(), **kwargs) -> Node
PyObject* graph_add(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                    PyObject* names);
// connect(before, after)
PyObject* graph_connect(PyObject* self, PyObject* const* args, Py_ssize_t nargs);

}  // namespace fastflow::py
