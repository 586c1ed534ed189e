#include "call.hpp"

namespace fastflow::py {

bool StoredCall::store(PyObject* function, PyObject* const* args, std::size_t count,
                       PyObject* names) {
  PyObject** to = inline_;
  if (count > kInline || names != nullptr) {
    const std::size_t words = 1 + count + (names != nullptr ? 1 : 0);
    block_ = static_cast<PyObject**>(PyMem_Malloc(words * sizeof(PyObject*)));
    if (block_ == nullptr) {
      PyErr_NoMemory();
      return false;
    }
    to = block_ + 1;
    if (names != nullptr) to[count] = Py_NewRef(names);
  }
  for (std::size_t i = 0; i < count; ++i) to[i] = new_ref_for_others(args[i]);
  count_ = static_cast<std::uint32_t>(count) | (names != nullptr ? kNamed : 0);
  function_ = new_ref_for_others(function);
  return true;
}

void StoredCall::move_to(StoredCall* to) noexcept {
  to->function_ = std::exchange(function_, nullptr);
  to->count_ = std::exchange(count_, 0U);
  to->inline_[0] = inline_[0];
  to->inline_[1] = inline_[1];
}

PyObject* StoredCall::invoke() const {
  if (!has_block()) {
    PyObject* args[kInline + 1] = {nullptr, inline_[0], inline_[1]};
    return PyObject_Vectorcall(function_, args + 1,
                               count_ | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
  }
  PyObject* named = names();
  const std::size_t positional =
      count() -
      (named == nullptr ? 0 : static_cast<std::size_t>(PyTuple_GET_SIZE(named)));
  return PyObject_Vectorcall(function_, block_ + 1,
                             positional | PY_VECTORCALL_ARGUMENTS_OFFSET, named);
}

void StoredCall::clear() {
  if (function_ == nullptr) return;
  StoredCall old;
  move_to(&old);  // first: the code that runs below may look at us
  old.drop();
}

void StoredCall::drop() const {
  const std::size_t n = count();
  PyObject* const* from = args();
  for (std::size_t i = 0; i < n; ++i) Py_DECREF(from[i]);
  if (has_block()) {
    Py_XDECREF(names());
    PyMem_Free(block_);
  }
  Py_DECREF(function_);
}

int StoredCall::traverse(visitproc visit, void* arg) const {
  if (function_ == nullptr) return 0;
  Py_VISIT(function_);
  const std::size_t n = count();
  for (std::size_t i = 0; i < n; ++i) Py_VISIT(args()[i]);
  return 0;
}

}  // namespace fastflow::py
