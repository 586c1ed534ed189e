// Kernel: a native function void(int64_t index, void* data) that workers call without
// touching the interpreter.  It never changes, and its callers keep it; a status word
// is read once by who made the call, before anything else.
#pragma once

#include "python.hpp"

namespace fastflow::py {

using KernelFunction = void (*)(std::int64_t index, void* data);

struct KernelObject : PyObject {
  int traverse(visitproc visit, void* arg) const {
    Py_VISIT(keep.get());
    return 0;
  }
  void clear() { Ref old = std::move(keep); }

  vectorcallfunc vectorcall = nullptr;
  KernelFunction function = nullptr;
  void* data = nullptr;
  // Where the function reports failures: a word for all indices, one for each, or
  // nullptr.
  std::int32_t* status = nullptr;
  std::int64_t status_count = 0;
  Ref keep;  // keeps function, data and status alive
  Ref name;
};

extern PyTypeObject* kernel_type;
bool add_kernel_type(PyObject* module);

inline bool is_kernel(PyObject* object) { return Py_TYPE(object) == kernel_type; }
inline KernelObject* kernel_of(PyObject* object) {
  return reinterpret_cast<KernelObject*>(object);
}

// Reads a kernel's index from submit's or a call's arguments; false with TypeError.
bool kernel_index(PyObject* const* args, std::size_t nargs, PyObject* names,
                  std::int64_t* index);

// What the function reported for `index`, which has just run on this thread; 0:
// success. A word that is shared by all indices is set back.
inline std::int32_t take_status(const KernelObject* kernel, std::int64_t index) {
  if (kernel->status == nullptr) return 0;
  if (kernel->status_count == 1) {
    std::atomic_ref<std::int32_t> word(*kernel->status);
    // relaxed: the value is all there is.
    if (word.load(std::memory_order_relaxed) == 0) return 0;
    return word.exchange(0, std::memory_order_relaxed);
  }
  return index >= 0 && index < kernel->status_count ? kernel->status[index] : 0;
}

// Whether there is a status for indices up to n; false with ValueError.
bool check_status_size(const KernelObject* kernel, std::int64_t n);

// Raises KernelFailedError.
void raise_kernel_failure(PyObject* kernel, std::int64_t index, std::int32_t status);

}  // namespace fastflow::py
