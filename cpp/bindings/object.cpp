#include "object.hpp"

namespace fastflow::py {

bool add_type(PyObject* module, const char* name, std::size_t size, TypeSlots& slots,
              const TypeParts& parts, PyTypeObject** type) {
  slots.add(Py_tp_methods, parts.methods);
  slots.add(Py_tp_getset, parts.getset);
  slots.add(Py_tp_new, reinterpret_cast<void*>(parts.make));
  for (const PyType_Slot& other : parts.others) slots.add(other.slot, other.pfunc);
  unsigned int flags = Py_TPFLAGS_DEFAULT | parts.flags;
  if (parts.make == nullptr) flags |= Py_TPFLAGS_DISALLOW_INSTANTIATION;
  PyType_Spec spec = {name, static_cast<int>(size), 0, flags, slots.data()};
  PyObject* made = PyType_FromSpec(&spec);
  if (made == nullptr) return false;
  *type = reinterpret_cast<PyTypeObject*>(made);
  (*type)->tp_vectorcall = parts.create;  // there is a slot for it from 3.14 on only
  return PyModule_AddType(module, *type) == 0;
}

bool own_methods(PyTypeObject* type) {
  Ref own =
      Ref::steal(PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), "__dict__"));
  if (!own) return false;
  auto* method =
      static_cast<PyMethodDef*>(PyType_GetSlot(type->tp_base, Py_tp_methods));
  for (; method != nullptr && method->ml_name != nullptr; ++method) {
    if ((method->ml_flags & (METH_CLASS | METH_STATIC)) != 0) continue;
    Ref name = Ref::steal(PyUnicode_InternFromString(method->ml_name));
    const int there = name ? PySequence_Contains(own.get(), name.get()) : -1;
    if (there < 0) return false;
    if (there > 0) continue;
    Ref made = Ref::steal(PyDescr_NewMethod(type, method));
    if (!made || PyObject_SetAttr(reinterpret_cast<PyObject*>(type), name.get(),
                                  made.get()) < 0) {
      return false;
    }
  }
  return true;
}

}  // namespace fastflow::py
