#include "kernel.hpp"

#include <chrono>

#include "atomic.hpp"
#include "guarded.hpp"
#include "keywords.hpp"
#include "object.hpp"

namespace fastflow::py {

PyTypeObject* kernel_type = nullptr;

namespace {

PyObject* kernel_call(PyObject* self, PyObject* const* args, std::size_t nargsf,
                      PyObject* names) {
  std::int64_t index = 0;
  const auto nargs = static_cast<std::size_t>(PyVectorcall_NARGS(nargsf));
  if (!kernel_index(args, nargs, names, &index)) return nullptr;
  const KernelObject* kernel = kernel_of(self);
  Py_BEGIN_ALLOW_THREADS kernel->function(index, kernel->data);
  Py_END_ALLOW_THREADS const std::int32_t status = take_status(kernel, index);
  if (status == 0) Py_RETURN_NONE;
  raise_kernel_failure(self, index, status);
  return nullptr;
}

// Addresses as integers.
Keywords kernel_keywords("Kernel",
                         {"address", "data", "keep", "name", "status", "status_count"},
                         4);

PyObject* kernel_new(PyObject*, PyObject* const* args, std::size_t nargs,
                     PyObject* names) {
  std::uintptr_t address = 0, data = 0, status = 0;
  std::int64_t status_count = 0;
  PyObject *keep = nullptr, *name = nullptr;
  if (!kernel_keywords.read({args, PyVectorcall_NARGS(nargs), names}, &address, &data,
                            &keep, instance(&PyUnicode_Type, &name), &status,
                            &status_count)) {
    return nullptr;
  }
  if (address == 0) {
    PyErr_SetString(PyExc_ValueError, "the kernel's function pointer is null");
    return nullptr;
  }
  Ref object = make<KernelObject>(kernel_type);
  if (!object) return nullptr;
  KernelObject* kernel = kernel_of(object.get());
  kernel->vectorcall = guarded<kernel_call>;
  kernel->function = reinterpret_cast<KernelFunction>(address);
  kernel->data = reinterpret_cast<void*>(data);
  kernel->status = reinterpret_cast<std::int32_t*>(status);
  kernel->status_count = status_count;
  kernel->keep = Ref::borrow(keep);
  kernel->name = Ref::borrow(name);
  return object.release();
}

PyObject* kernel_repr(PyObject* self) {
  return PyUnicode_FromFormat("<Kernel %U at %p>", kernel_of(self)->name.get(),
                              reinterpret_cast<void*>(kernel_of(self)->function));
}

PyObject* get_address(PyObject* self, void*) {
  return PyLong_FromVoidPtr(reinterpret_cast<void*>(kernel_of(self)->function));
}
PyObject* get_data(PyObject* self, void*) {
  return PyLong_FromVoidPtr(kernel_of(self)->data);
}
PyObject* get_name(PyObject* self, void*) {
  return Py_NewRef(kernel_of(self)->name.get());
}

PyGetSetDef getset[] = {{"address", guarded<get_address>, nullptr,
                         "Address of the native function.", nullptr},
                        {"data", guarded<get_data>, nullptr,
                         "The pointer passed as data, as an integer.", nullptr},
                        {"__name__", guarded<get_name>, nullptr, nullptr, nullptr},
                        {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyMemberDef members[] = {{"__vectorcalloffset__", T_PYSSIZET,
                          offsetof(KernelObject, vectorcall), READONLY, nullptr},
                         {nullptr, 0, 0, 0, nullptr}};

void noop_kernel(std::int64_t, void*) {}

// Busy for `data` nanoseconds.
void spin_kernel(std::int64_t, void* data) {
  using Clock = std::chrono::steady_clock;
  const auto ns = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(data));
  const auto end = Clock::now() + std::chrono::nanoseconds(ns);
  while (Clock::now() < end) {
  }
}

}  // namespace

bool add_kernel_type(PyObject* module) {
  if (!add_type<KernelObject>(
          module, "fastflow._core.Kernel", &kernel_type,
          {.getset = getset,
           .create = guarded<kernel_new>,
           .flags = Py_TPFLAGS_HAVE_VECTORCALL,
           .others = {{Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                      {Py_tp_repr, slot<kernel_repr>()},
                      {Py_tp_members, members}}})) {
    return false;
  }
  const auto address = [](KernelFunction f) {
    return PyLong_FromVoidPtr(reinterpret_cast<void*>(f));
  };
  return PyModule_AddObject(module, "NOOP_ADDRESS", address(noop_kernel)) == 0 &&
         PyModule_AddObject(module, "SPIN_ADDRESS", address(spin_kernel)) == 0;
}

bool check_status_size(const KernelObject* kernel, std::int64_t n) {
  if (kernel->status == nullptr || kernel->status_count == 1 ||
      kernel->status_count >= n) {
    return true;
  }
  PyErr_Format(PyExc_ValueError,
               "the kernel's status has length %lld, but %lld indices are to run; give "
               "it length 1 or one word for each index",
               static_cast<long long>(kernel->status_count), static_cast<long long>(n));
  return false;
}

void raise_kernel_failure(PyObject* kernel, std::int64_t index, std::int32_t status) {
  Ref error = Ref::steal(PyObject_CallFunction(imports.kernel_failed, "OLi",
                                               kernel_of(kernel)->name.get(),
                                               static_cast<long long>(index), status));
  if (error) PyErr_SetObject(imports.kernel_failed, error.get());
}

bool kernel_index(PyObject* const* args, std::size_t nargs, PyObject* names,
                  std::int64_t* index) {
  if (nargs != 1 || (names != nullptr && PyTuple_GET_SIZE(names) > 0)) {
    PyErr_SetString(PyExc_TypeError, "a kernel takes one argument, its index (an int)");
    return false;
  }
  *index = PyLong_AsLongLong(args[0]);
  return !(*index == -1 && PyErr_Occurred());
}

}  // namespace fastflow::py
