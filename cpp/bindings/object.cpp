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
  Ref base = Ref::steal(
      PyObject_GetAttrString(reinterpret_cast<PyObject*>(type->tp_base), "__dict__"));
  Ref own =
      Ref::steal(PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), "__dict__"));
  if (!base || !own) return false;
  Ref items = Ref::steal(PyMapping_Items(base.get()));
  if (!items) return false;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items.get()); ++i) {
    PyObject* name = PyTuple_GET_ITEM(PyList_GET_ITEM(items.get(), i), 0);
    PyObject* value = PyTuple_GET_ITEM(PyList_GET_ITEM(items.get(), i), 1);
    if (!Py_IS_TYPE(value, &PyMethodDescr_Type)) continue;
    const int there = PySequence_Contains(own.get(), name);
    if (there < 0) return false;
    if (there > 0) continue;
    PyMethodDef* method = reinterpret_cast<PyMethodDescrObject*>(value)->d_method;
    Ref made = Ref::steal(PyDescr_NewMethod(type, method));
    if (!made ||
        PyObject_SetAttr(reinterpret_cast<PyObject*>(type), name, made.get()) < 0) {
      return false;
    }
  }
  return true;
}

}  // namespace fastflow::py
