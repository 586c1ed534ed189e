// When each node of a graph ran, and where: arrays of the Python layer.
#pragma once

#include "python.hpp"

#include <chrono>

namespace fastflow::py {

// Threads: begin and end of one node by the thread that runs it.
class Timings {
 public:
  Timings() = default;
  Timings(const Timings&) = delete;
  Timings& operator=(const Timings&) = delete;
  ~Timings() {
    for (Py_buffer& view : views_) {
      if (view.obj != nullptr) PyBuffer_Release(&view);
    }
  }

  // `arrays`: None, or a tuple of three writable arrays of length n: start and end
  // (int64, nanoseconds of the monotonic clock) and worker (int32).
  bool open(PyObject* arrays, std::size_t n) {
    if (arrays == Py_None) return true;
    const std::size_t sizes[3] = {8, 8, 4};
    for (Py_ssize_t i = 0; i < 3; ++i) {
      PyObject* array = PyTuple_GetItem(arrays, i);
      if (array == nullptr || PyObject_GetBuffer(array, &views_[i], PyBUF_CONTIG) < 0) {
        return false;
      }
      if (static_cast<std::size_t>(views_[i].len) != n * sizes[i]) {
        PyErr_SetString(PyExc_ValueError, "timings: sizes do not fit");
        return false;
      }
    }
    return true;
  }

  [[nodiscard]] bool wanted() const noexcept { return views_[0].obj != nullptr; }
  void begin(std::uint32_t node, std::uint32_t worker) noexcept {
    static_cast<std::int32_t*>(views_[2].buf)[node] = static_cast<std::int32_t>(worker);
    static_cast<std::int64_t*>(views_[0].buf)[node] = now();
  }
  void end(std::uint32_t node) noexcept {
    static_cast<std::int64_t*>(views_[1].buf)[node] = now();
  }

 private:
  static std::int64_t now() noexcept {
    return std::chrono::steady_clock::now().time_since_epoch() /
           std::chrono::nanoseconds(1);
  }

  Py_buffer views_[3]{};
};

}  // namespace fastflow::py
