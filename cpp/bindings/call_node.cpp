#include "call_node.hpp"

#include "call.hpp"
#include "compiler.hpp"

namespace fastflow::py::call_run {

namespace {

PyObject* value_of(const State& state, Argument argument);

PyObject* gather(const State& state, const Gathered& gathered) {
  const auto n = static_cast<Py_ssize_t>(gathered.items.size());
  Ref tuple = Ref::steal(PyTuple_New(n));
  if (!tuple) return nullptr;
  for (Py_ssize_t i = 0; i < n; ++i) {
    const Argument item = gathered.items[static_cast<std::size_t>(i)];
    PyTuple_SET_ITEM(tuple.get(), i, Py_NewRef(value_of(state, item)));
  }
  if (gathered.type == nullptr) return PyObject_CallOneArg(gathered.keys, tuple.get());
  if (gathered.type == &PyTuple_Type) return tuple.release();
  if (gathered.type == &PyList_Type) return PySequence_List(tuple.get());
  Ref dict = Ref::steal(PyDict_New());
  for (Py_ssize_t i = 0; dict && i < n; ++i) {
    if (PyDict_SetItem(dict.get(), PyTuple_GET_ITEM(gathered.keys, i),
                       PyTuple_GET_ITEM(tuple.get(), i)) < 0) {
      return nullptr;
    }
  }
  return dict.release();
}

// Borrowed.  REQUIRES: not a container.
PyObject* value_of(const State& state, Argument argument) {
  return argument.kind() == Argument::Kind::kNode ? state.slots[argument.index()]
                                                  : argument.object();
}

// Calls v's function; of its n arguments the last ones are named.
PyObject* call_with(const GraphParts& parts, std::uint32_t v, CallArguments& args,
                    std::uint32_t n) {
  PyObject* names = nullptr;
  if (!parts.keywords.empty()) {
    const auto found = parts.keywords.find(v);
    if (found != parts.keywords.end()) names = found->second;
  }
  const std::size_t named =
      names == nullptr ? 0 : static_cast<std::size_t>(PyTuple_GET_SIZE(names));
  return PyObject_Vectorcall(parts.functions[v], args.data(),
                             (n - named) | PY_VECTORCALL_ARGUMENTS_OFFSET, names);
}

// The containers among the first n arguments were ours.
FASTFLOW_COLD void drop_gathered(const Argument* arguments, PyObject* const* values,
                                 std::uint32_t n) {
  for (std::uint32_t k = 0; k < n; ++k) {
    if (arguments[k].kind() == Argument::Kind::kGathered) Py_DECREF(values[k]);
  }
}

PyObject* call_node(const State& state, std::uint32_t v) {
  const GraphParts& parts = state.parts;
  const std::uint32_t begin = parts.first_argument[v];
  const std::uint32_t n = parts.first_argument[v + 1] - begin;
  CallArguments args;
  if (!args.open(n)) return nullptr;
  const Argument* const arguments = parts.arguments.data() + begin;
  PyObject** const values = args.data();
  bool gathered = false;
  std::uint32_t got = 0;
  for (; got < n; ++got) {
    const Argument argument = arguments[got];
    if (argument.kind() == Argument::Kind::kGathered) [[unlikely]] {
      gathered = true;
      values[got] = gather(state, *argument.items());
      if (values[got] == nullptr) break;
    } else {
      values[got] = value_of(state, argument);
    }
  }
  PyObject* result = got == n ? call_with(parts, v, args, n) : nullptr;
  if (gathered) [[unlikely]]
    drop_gathered(arguments, values, got);
  return result;
}

}  // namespace

PyObject* call(CallRun* run, std::uint32_t v) {
  if (refuse_if_broken(run->engine)) return nullptr;
  if (run->function == nullptr) return call_node(*run->state, v);
  PyObject* args[2] = {nullptr, PyLong_FromUnsignedLong(v)};
  if (args[1] == nullptr) return nullptr;
  PyObject* result = PyObject_Vectorcall(run->function, args + 1,
                                         1 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
  Py_DECREF(args[1]);
  return result;
}

}  // namespace fastflow::py::call_run
