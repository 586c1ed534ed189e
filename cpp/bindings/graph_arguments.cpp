#include "graph_arguments.hpp"

#include <cstring>

#include "node.hpp"

namespace fastflow::py {

void drop(Argument argument) {
  if (argument.kind() == Argument::Kind::kConstant) {
    Py_DECREF(argument.object());
  } else if (argument.kind() == Argument::Kind::kGathered) {
    Gathered* items = argument.items();
    for (Argument item : items->items) drop(item);
    Py_XDECREF(items->keys);
    delete items;
  }
}

bool check_member(std::uint64_t graph, PyObject* node) {
  if (node_of(node)->graph == graph) return true;
  PyErr_Format(imports.graph_error,
               "%R belongs to another graph; pass its result, or add its function to "
               "this graph, too",
               node);
  return false;
}

namespace {

// A node, or a constant.
bool read_item(std::uint64_t graph, PyObject* object, Arguments* to) {
  if (!is_node(object)) {
    to->add_constant(object);
    return true;
  }
  if (!check_member(graph, object)) return false;
  to->add_node(node_of(object)->index);
  return true;
}

bool is_array_of_objects(PyObject* object) {
  if (std::strcmp(Py_TYPE(object)->tp_name, "numpy.ndarray") != 0) return false;
  Ref dtype = Ref::steal(PyObject_GetAttrString(object, "dtype"));
  Ref has = Ref::steal(dtype ? PyObject_GetAttrString(dtype.get(), "hasobject")
                             : nullptr);
  if (!has) PyErr_Clear();  // no memory, say: let the Python layer find out
  return !has || has.get() == Py_True;
}

// The usual ones: nothing is inside.
inline bool is_plain(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  return type == &PyLong_Type || type == &PyFunction_Type || type == &PyUnicode_Type ||
         type == &PyCFunction_Type || type == &PyFloat_Type || type == node_type ||
         object == Py_None || type == &PyBool_Type || type == &PyType_Type ||
         type == &PyBytes_Type;
}

// Whether nodes may be inside, which the Python layer looks for.  Types of C are known;
// those made by a class statement may be dataclasses, or may keep nodes in attributes.
bool may_hold_nodes(PyObject* object) {
  constexpr unsigned long kSuspect = Py_TPFLAGS_HEAPTYPE | Py_TPFLAGS_LIST_SUBCLASS |
                                     Py_TPFLAGS_TUPLE_SUBCLASS |
                                     Py_TPFLAGS_DICT_SUBCLASS;
  PyTypeObject* type = Py_TYPE(object);
  if (is_plain(object) || imports.nodes_in == nullptr) return false;
  if ((type->tp_flags & kSuspect) != 0) return true;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(imports.containers); ++i) {
    if (reinterpret_cast<PyObject*>(type) == PyTuple_GET_ITEM(imports.containers, i)) {
      return true;
    }
  }
  return type->tp_as_buffer != nullptr && is_array_of_objects(object);
}

// An object that may hold nodes anywhere; a constant if it doesn't.
bool read_nested(std::uint64_t graph, PyObject* object, Arguments* to) {
  Ref found = Ref::steal(PyObject_CallOneArg(imports.nodes_in, object));
  if (!found) return false;
  if (found.get() == Py_None) {
    to->add_constant(object);
    return true;
  }
  PyObject* nodes = PyTuple_GET_ITEM(found.get(), 0);
  const Py_ssize_t n = PyTuple_GET_SIZE(nodes);
  Arguments inner;
  for (Py_ssize_t i = 0; i < n; ++i) {
    if (!read_item(graph, PyTuple_GET_ITEM(nodes, i), &inner)) return false;
  }
  to->add_gathered(nullptr, Ref::borrow(PyTuple_GET_ITEM(found.get(), 1)), inner);
  return true;
}

// A container that holds nodes, else a constant.  `items` is a tuple of our own, as the
// container may change while we look at it.
bool read_container(std::uint64_t graph, PyObject* object, Ref items, Ref keys,
                    Arguments* to) {
  const Py_ssize_t n = PyTuple_GET_SIZE(items.get());
  bool any = false;
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* item = PyTuple_GET_ITEM(items.get(), i);
    any |= is_node(item);
    if (may_hold_nodes(item)) return read_nested(graph, object, to);
  }
  // Keys that are nodes, or hold some, are refused there.
  for (Py_ssize_t i = 0; i < (keys ? n : 0); ++i) {
    PyObject* key = PyTuple_GET_ITEM(keys.get(), i);
    if (is_node(key) || may_hold_nodes(key)) return read_nested(graph, object, to);
  }
  if (!any) {
    to->add_constant(object);
    return true;
  }
  Arguments inner;
  for (Py_ssize_t i = 0; i < n; ++i) {
    if (!read_item(graph, PyTuple_GET_ITEM(items.get(), i), &inner)) return false;
  }
  to->add_gathered(Py_TYPE(object), std::move(keys), inner);
  return true;
}

// The keys and values of a dict, as they are at one moment.
bool read_dict(PyObject* dict, Ref* keys, Ref* values) {
  Ref items = Ref::steal(PyDict_Items(dict));
  if (!items) return false;
  const Py_ssize_t n = PyList_GET_SIZE(items.get());
  *keys = Ref::steal(PyTuple_New(n));
  *values = Ref::steal(PyTuple_New(n));
  if (!*keys || !*values) return false;
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* pair = PyList_GET_ITEM(items.get(), i);
    PyTuple_SET_ITEM(keys->get(), i, Py_NewRef(PyTuple_GET_ITEM(pair, 0)));
    PyTuple_SET_ITEM(values->get(), i, Py_NewRef(PyTuple_GET_ITEM(pair, 1)));
  }
  return true;
}

}  // namespace

bool read_argument(std::uint64_t graph, PyObject* object, Arguments* to) {
  if (is_plain(object)) return read_item(graph, object, to);
  if (PyTuple_CheckExact(object)) {
    return read_container(graph, object, Ref::borrow(object), Ref(), to);
  }
  if (PyList_CheckExact(object)) {
    Ref items = Ref::steal(PyList_AsTuple(object));
    return items && read_container(graph, object, std::move(items), Ref(), to);
  }
  if (PyDict_CheckExact(object)) {
    Ref keys, values;
    return read_dict(object, &keys, &values) &&
           read_container(graph, object, std::move(values), std::move(keys), to);
  }
  return may_hold_nodes(object) ? read_nested(graph, object, to)
                                : read_item(graph, object, to);
}

bool check_function(PyObject* function) {
  if (is_plain(function) || !may_hold_nodes(function)) return true;
  Ref found = Ref::steal(PyObject_CallOneArg(imports.nodes_in, function));
  if (!found) return false;
  if (found.get() == Py_None) return true;
  PyErr_Format(PyExc_TypeError,
               "the function %R has %R with it, and would not get its result; pass it "
               "as an argument of add()",
               function, PyTuple_GET_ITEM(PyTuple_GET_ITEM(found.get(), 0), 0));
  return false;
}

}  // namespace fastflow::py
