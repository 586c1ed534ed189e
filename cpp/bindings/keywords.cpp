#include "keywords.hpp"

#include "compiler.hpp"

namespace fastflow::py {

KeywordTable* KeywordTable::first = nullptr;

KeywordTable::KeywordTable(const char* function, const char* const* texts,
                           PyObject** names, std::size_t count,
                           std::size_t required) noexcept
    : function_(function),
      texts_(texts),
      names_(names),
      count_(count),
      required_(required),
      next_(std::exchange(first, this)) {}

bool KeywordTable::intern_all() {
  for (const KeywordTable* table = first; table != nullptr; table = table->next_) {
    for (std::size_t i = 0; i < table->count_; ++i) {
      table->names_[i] = PyUnicode_InternFromString(table->texts_[i]);
      if (table->names_[i] == nullptr) return false;
    }
  }
  return true;
}

bool KeywordTable::sort(const Given& given, PyObject** found) const {
  if (given.positional != 0) return no_positional(given.positional);
  const Py_ssize_t n = given.names == nullptr ? 0 : PyTuple_GET_SIZE(given.names);
  for (Py_ssize_t k = 0; k < n; ++k) {
    PyObject* name = PyTuple_GET_ITEM(given.names, k);
    auto i = static_cast<std::size_t>(k);
    if (i >= count_ || names_[i] != name) [[unlikely]] {
      i = find(name);
      if (i == count_) return false;
    }
    if (found[i] != nullptr) [[unlikely]] {
      PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%s'",
                   function_, texts_[i]);
      return false;
    }
    found[i] = given.args[k];
  }
  for (std::size_t i = 0; i < required_; ++i) {
    if (found[i] == nullptr) return missing(i);
  }
  return true;
}

// By address first; by text if the name was made at run time.  count_: there is no such
// parameter, and a TypeError.
std::size_t KeywordTable::find(PyObject* name) const {
  for (std::size_t i = 0; i < count_; ++i) {
    if (names_[i] == name) return i;
  }
  for (std::size_t i = 0; i < count_; ++i) {
    if (PyUnicode_Compare(names_[i], name) == 0) return i;
  }
  PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'",
               function_, name);
  return count_;
}

FASTFLOW_COLD bool KeywordTable::no_positional(Py_ssize_t n) const {
  PyErr_Format(PyExc_TypeError, "%s() takes keyword arguments only, not %zd positional",
               function_, n);
  return false;
}

FASTFLOW_COLD bool KeywordTable::missing(std::size_t i) const {
  PyErr_Format(PyExc_TypeError, "%s() missing required keyword argument '%s'",
               function_, texts_[i]);
  return false;
}

FASTFLOW_COLD bool KeywordTable::wrong_type(std::size_t i, const char* wanted,
                                            PyObject* value) const {
  PyErr_Format(PyExc_TypeError, "%s() argument '%s' must be %s, not %.200s", function_,
               texts_[i], wanted, Py_TYPE(value)->tp_name);
  return false;
}

FASTFLOW_COLD bool KeywordTable::out_of_range(std::size_t i) const {
  PyErr_Format(PyExc_OverflowError, "%s() argument '%s' is out of range", function_,
               texts_[i]);
  return false;
}

bool KeywordTable::read_number(std::size_t i, PyObject* value, long long* to) const {
  if (PyIndex_Check(value) == 0) return wrong_type(i, "int", value);
  *to = PyLong_AsLongLong(value);
  if (*to != -1 || PyErr_Occurred() == nullptr) return true;
  return PyErr_ExceptionMatches(PyExc_OverflowError) != 0 && out_of_range(i);
}

}  // namespace fastflow::py
