// Kernel: a native function void(int64_t index, void* data) that workers call without
// touching the interpreter.
#pragma once

#include "python.hpp"

namespace fastflow::py {

using KernelFunction = void (*)(std::int64_t index, void* data);

struct KernelObject {
  PyObject_HEAD vectorcallfunc vectorcall;
  KernelFunction function;
  void* data;
  PyObject* keep;  // keeps function and data alive
  PyObject* name;
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

}  // namespace fastflow::py
