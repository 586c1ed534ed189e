// Keywords: the parameters of a native function or constructor that takes them by
// keyword only.
//
// Usage
//   Keywords keywords("Map", {"engine", "fn", "most"}, 2);  // the first 2 are required
//   ...
//   PyObject *engine, *fn;
//   int most = 1;  // its default
//   if (!keywords.read({args, nargs, names}, instance(engine_type, &engine), &fn,
//   &most))
//     return nullptr;
//
// What is read is borrowed, and a parameter that was left out keeps what its variable
// held.  A wrong call is a TypeError, a number that does not fit an OverflowError; both
// name the function and the parameter.
//
// Names in Python code are interned, as ours are, and calls are written in our order:
// a parameter costs one comparison of addresses.  No tuple and no dict is made.
#pragma once

#include "python.hpp"

#include <cstddef>
#include <limits>
#include <type_traits>

namespace fastflow::py {

// What a vectorcall or METH_FASTCALL | METH_KEYWORDS got.
struct Given {
  PyObject* const* args;
  Py_ssize_t positional;
  PyObject* names;  // tuple, or nullptr
};

// A parameter that must be an instance of `type`.
struct Instance {
  PyTypeObject* type;
  PyObject** to;
};
inline Instance instance(PyTypeObject* type, PyObject** to) { return {type, to}; }

class KeywordTable {
 public:
  KeywordTable(const KeywordTable&) = delete;
  KeywordTable& operator=(const KeywordTable&) = delete;

  // Makes the names of all tables; false with MemoryError.  Once, before any is used.
  static bool intern_all();

 protected:
  // `names` has room for as many as there are texts.
  KeywordTable(const char* function, const char* const* texts, PyObject** names,
               std::size_t count, std::size_t required) noexcept;
  ~KeywordTable() = default;

  // Puts each argument to its parameter's place; the others stay nullptr.
  bool sort(const Given& given, PyObject** found) const;

  // Parameter i, from `value`; false with an exception.
  static bool convert(std::size_t, PyObject* value, PyObject** to) {
    *to = value;
    return true;
  }
  static bool convert(std::size_t, PyObject* value, bool* to) {
    const int is_true = PyObject_IsTrue(value);
    *to = is_true > 0;
    return is_true >= 0;
  }
  bool convert(std::size_t i, PyObject* value, const Instance& wanted) const {
    *wanted.to = value;
    return PyObject_TypeCheck(value, wanted.type) != 0 ||
           wrong_type(i, wanted.type->tp_name, value);
  }
  // An address: of any sign, as ctypes has them.
  bool convert(std::size_t i, PyObject* value, std::uintptr_t* to) const {
    if (PyIndex_Check(value) == 0) return wrong_type(i, "int", value);
    *to = static_cast<std::uintptr_t>(PyLong_AsUnsignedLongLongMask(value));
    return PyErr_Occurred() == nullptr;
  }
  template <class Number>
  requires std::is_integral_v<Number> && std::is_signed_v<Number>
  bool convert(std::size_t i, PyObject* value, Number* to) const {
    long long wide = 0;
    if (!read_number(i, value, &wide)) return false;
    if (wide < std::numeric_limits<Number>::min() ||
        wide > std::numeric_limits<Number>::max()) {
      return out_of_range(i);
    }
    *to = static_cast<Number>(wide);
    return true;
  }

 private:
  [[nodiscard]] std::size_t find(PyObject* name) const;
  bool no_positional(Py_ssize_t n) const;
  bool missing(std::size_t i) const;
  bool wrong_type(std::size_t i, const char* wanted, PyObject* value) const;
  bool out_of_range(std::size_t i) const;
  bool read_number(std::size_t i, PyObject* value, long long* to) const;

  static KeywordTable* first;

  const char* const function_;
  const char* const* const texts_;
  PyObject** const names_;  // interned, immortal
  const std::size_t count_, required_;
  KeywordTable* const next_;
};

template <std::size_t N>
class Keywords : public KeywordTable {
 public:
  using Texts = const char* const[N];
  // Of `texts`, the first ones are required.
  Keywords(const char* function, Texts& texts, std::size_t required = N) noexcept
      : KeywordTable(function, texts_, names_, N, required) {
    for (std::size_t i = 0; i < N; ++i) texts_[i] = texts[i];
  }

  // In the order of the texts; false with an exception.
  template <class... To>
  bool read(const Given& given, const To&... to) const {
    static_assert(sizeof...(To) == N);
    PyObject* found[N] = {};
    if (!sort(given, found)) return false;
    std::size_t i = 0;
    return (put(i++, found, to) && ...);
  }

 private:
  template <class To>
  bool put(std::size_t i, PyObject* const* found, const To& to) const {
    return found[i] == nullptr || convert(i, found[i], to);
  }

  const char* texts_[N];
  PyObject* names_[N] = {};
};

template <std::size_t N>
Keywords(const char*, const char* const (&)[N]) -> Keywords<N>;
template <std::size_t N>
Keywords(const char*, const char* const (&)[N], std::size_t) -> Keywords<N>;

}  // namespace fastflow::py
