#include "recording_labels.hpp"

#include <cstring>
#include <mutex>
#include <new>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "compiler.hpp"
#include "guarded.hpp"
#include "kernel.hpp"

namespace fastflow::py::recording {

namespace {

struct Label {
  PyObject *name, *module;  // owned; the latter may be nullptr
  bool ours = false;        // the module is one of this package's
};

struct Key {
  const void *first, *second;
  bool operator==(const Key&) const = default;
};
struct HashOfKey {
  std::size_t operator()(const Key& key) const noexcept {
    const auto a = reinterpret_cast<std::uintptr_t>(key.first);
    const auto b = reinterpret_cast<std::uintptr_t>(key.second);
    return static_cast<std::size_t>((a ^ (b << 7)) * 0x9E3779B97F4A7C15ULL >> 13);
  }
};

struct Labels {
  std::mutex mutex;
  // Guarded by it.
  std::vector<Label> all;
  std::unordered_map<Key, std::uint32_t, HashOfKey> by_key;
  std::unordered_map<std::string, std::uint32_t> by_text;
};
Labels* g_labels = nullptr;
constexpr std::size_t kMostLabels = 1 << 14;

// What this thread has asked for last.
struct Near {
  Key key;
  std::uint32_t label;
  bool ours;
};
constexpr std::size_t kNear = 16;
thread_local Near t_near[kNear]{};

// What a callable is known by, what of it must stay alive, and how it is called.
struct Found {
  Key key{nullptr, nullptr};
  PyObject *name = nullptr, *module = nullptr;  // borrowed
  PyObject* keep = nullptr;                     // borrowed
};

bool find_quickly(PyObject* callable, Found* found) noexcept {
  if (PyMethod_Check(callable)) callable = PyMethod_GET_FUNCTION(callable);
  if (PyFunction_Check(callable)) {
    auto* function = reinterpret_cast<PyFunctionObject*>(callable);
    *found = {{function->func_code, function->func_qualname},
              function->func_qualname,
              function->func_module,
              function->func_code};
    return true;
  }
  if (PyCFunction_Check(callable)) {
    found->key = {reinterpret_cast<PyCFunctionObject*>(callable)->m_ml, nullptr};
    return true;
  }
  if (is_kernel(callable)) {
    KernelObject* kernel = kernel_of(callable);
    *found = {{reinterpret_cast<const void*>(kernel->function), kernel->name.get()},
              kernel->name.get(),
              nullptr,
              nullptr};
    return true;
  }
  return false;
}

// REQUIRES: the key's objects are alive, or `keep` is one that keeps them so.
std::uint32_t enter_label(const Key* key, PyObject* keep, PyObject* name,
                          PyObject* module) {
  const char* text = PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : nullptr;
  if (text == nullptr) {
    PyErr_Clear();
    return 0;
  }
  std::string spelled(text);
  const char* of =
      module != nullptr && PyUnicode_Check(module) ? PyUnicode_AsUTF8(module) : nullptr;
  if (of == nullptr) {
    PyErr_Clear();
    module = nullptr;
  } else {
    spelled.append(1, '\0').append(of);
  }
  const std::lock_guard guard(g_labels->mutex);
  Labels& labels = *g_labels;
  auto known = labels.by_text.find(spelled);
  std::uint32_t number = 0;
  if (known != labels.by_text.end()) {
    number = known->second;
  } else if (labels.all.size() < kMostLabels) {
    number = static_cast<std::uint32_t>(labels.all.size());
    labels.all.reserve(number + 1);
    labels.by_text.emplace(spelled, number);
    const bool ours = of != nullptr && std::strncmp(of, "fastflow.", 9) == 0;
    labels.all.push_back({Py_NewRef(name), Py_XNewRef(module), ours});
  }
  if (key != nullptr && labels.by_key.size() < kMostLabels &&
      labels.by_key.emplace(*key, number).second) {
    Py_XINCREF(keep);  // for good, as the name: else their addresses could be others'
    Py_INCREF(name);
  }
  return number;
}

// From its attributes: of what is wrapped, if it is a wrapper.
std::uint32_t find_slowly(PyObject* callable, int depth) {
  for (const char* inner : {"__wrapped__", "func"}) {
    Ref wrapped = Ref::steal(PyObject_GetAttrString(callable, inner));
    PyErr_Clear();
    Found found;
    if (!wrapped || depth > 4 || PyCallable_Check(wrapped.get()) == 0) continue;
    if (find_quickly(wrapped.get(), &found) && found.name != nullptr) {
      return enter_label(nullptr, nullptr, found.name, found.module);
    }
    return find_slowly(wrapped.get(), depth + 1);
  }
  Ref module = Ref::steal(PyObject_GetAttrString(callable, "__module__"));
  PyErr_Clear();
  for (const char* attribute : {"__qualname__", "__name__"}) {
    Ref name = Ref::steal(PyObject_GetAttrString(callable, attribute));
    PyErr_Clear();
    if (name && PyUnicode_Check(name.get())) {
      return enter_label(nullptr, nullptr, name.get(), module.get());
    }
  }
  Ref type = Ref::steal(PyType_GetQualName(Py_TYPE(callable)));
  PyErr_Clear();
  return type ? enter_label(nullptr, nullptr, type.get(), module.get()) : 0;
}

std::uint32_t look_up(PyObject* callable, const Found& found, bool quick) {
  if (quick) {
    const std::lock_guard guard(g_labels->mutex);
    const auto known = g_labels->by_key.find(found.key);
    if (known != g_labels->by_key.end()) return known->second;
  }
  if (!quick) return find_slowly(callable, 0);
  if (found.name != nullptr) {
    return enter_label(&found.key, found.keep, found.name, found.module);
  }
  // A function of C: its definition stays as long as its module.
  Ref name = Ref::steal(PyObject_GetAttrString(callable, "__qualname__"));
  PyErr_Clear();
  Ref module = Ref::steal(PyObject_GetAttrString(callable, "__module__"));
  PyErr_Clear();
  return name ? enter_label(&found.key, callable, name.get(), module.get()) : 0;
}

// `known`: whether the key's addresses stay those of its objects.  `ours` as
// label_of's.
FASTFLOW_COLD std::uint32_t label_afar(PyObject* callable, const Found& found,
                                       bool quick, bool* known, bool* ours) noexcept {
  PyObject* before = PyErr_Occurred() != nullptr ? take_exception() : nullptr;
  std::uint32_t label = 0;
  try {
    label = look_up(callable, found, quick);
    const std::lock_guard guard(g_labels->mutex);
    *ours = g_labels->all[label].ours;
    if (quick) {
      *known = g_labels->by_key.contains(found.key);
    }
  } catch (const std::bad_alloc&) {
  }
  if (before != nullptr) {
    raise_exception(before);
    Py_DECREF(before);
  }
  return label;
}

}  // namespace

std::uint32_t label_of(PyObject* callable, bool* ours) noexcept {
  Found found;
  const bool quick = find_quickly(callable, &found);
  bool known = false, is_ours = false;
  if (ours == nullptr) ours = &is_ours;
  if (!quick) return label_afar(callable, found, false, &known, ours);
  Near& near = t_near[HashOfKey()(found.key) % kNear];
  if (near.key == found.key) [[likely]] {
    *ours = near.ours;
    return near.label;
  }
  const std::uint32_t label = label_afar(callable, found, true, &known, ours);
  if (known) near = {found.key, label, *ours};
  return label;
}

std::uint32_t known_label_of(PyObject* callable) noexcept {
  Found found;
  if (!find_quickly(callable, &found)) return 0;
  Near& near = t_near[HashOfKey()(found.key) % kNear];
  if (near.key == found.key) return near.label;
  const std::lock_guard guard(g_labels->mutex);
  const auto known = g_labels->by_key.find(found.key);
  if (known == g_labels->by_key.end()) return 0;
  near = {found.key, known->second, g_labels->all[known->second].ours};
  return near.label;
}

// --- failures ------------------------------------------------------------------------

namespace {
PyObject* g_on_failure = nullptr;  // (exception) -> number; of the Python layer
}  // namespace

std::uint32_t failure_of(PyObject* error) noexcept {
  if (g_on_failure == nullptr) return 0;
  Ref number = Ref::steal(PyObject_CallOneArg(g_on_failure, error));
  const unsigned long value = number ? PyLong_AsUnsignedLong(number.get()) : 0;
  if (PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    return 0;
  }
  return static_cast<std::uint32_t>(value);
}

// --- for Python ----------------------------------------------------------------------

namespace {

// recording_labels() -> [(name, module or None), ...] by number
PyObject* all_labels(PyObject*, PyObject*) {
  std::vector<Label> copy;
  {
    const std::lock_guard guard(g_labels->mutex);
    copy = g_labels->all;  // what is in it stays alive
  }
  Ref list = Ref::steal(PyList_New(0));
  for (const Label& label : copy) {
    Ref pair = Ref::steal(Py_BuildValue(
        "(OO)", label.name, label.module != nullptr ? label.module : Py_None));
    if (!list || !pair || PyList_Append(list.get(), pair.get()) < 0) return nullptr;
  }
  return list.release();
}

// recording_label(text or callable) -> number
PyObject* new_label(PyObject*, PyObject* object) {
  const std::uint32_t label = PyUnicode_Check(object)
                                  ? enter_label(nullptr, nullptr, object, nullptr)
                                  : label_of(object);
  return PyLong_FromUnsignedLong(label);
}

PyObject* set_on_failure(PyObject*, PyObject* function) {
  PyObject* old = std::exchange(g_on_failure, Py_NewRef(function));
  Py_XDECREF(old);
  Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"recording_labels", method<all_labels>(), METH_NOARGS,
     "recording_labels() -> [(name, module or None), ...] by number"},
    {"recording_label", method<new_label>(), METH_O,
     "recording_label(text or callable) -> its number"},
    {"recording_on_failure", method<set_on_failure>(), METH_O,
     "recording_on_failure(f): f(exception) -> number, for calls that fail"},
    {nullptr, nullptr, 0, nullptr}};

}  // namespace

void reset_labels_after_fork() { new (&g_labels->mutex) std::mutex; }

bool add_label_functions(PyObject* module) {
  g_labels = new Labels;
  Ref other = Ref::steal(PyUnicode_FromString("(other)"));
  if (!other) return false;
  (void)enter_label(nullptr, nullptr, other.get(), nullptr);
  return PyModule_AddFunctions(module, functions) == 0;
}

}  // namespace fastflow::py::recording
