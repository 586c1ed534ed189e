// Graphs of numbers: edges from arrays.  And the plan of every graph.
#pragma once

#include "graph.hpp"

namespace fastflow::py {

struct Buffer {
  Py_buffer view{};
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (view.obj != nullptr) PyBuffer_Release(&view);
  }
};

// The name of a node, borrowed; nullptr: it has none.
PyObject* find_name(const GraphParts& parts, std::uint32_t index);

// set_edges(*, n, src, dst): makes it a graph of numbers.
PyObject* graph_set_edges(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                          PyObject* names);

}  // namespace fastflow::py
