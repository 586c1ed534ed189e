#include "call.hpp"

namespace fastflow::py {

bool StoredCall::store(PyObject* function, PyObject* const* args, std::size_t count,
                       PyObject* names) {
  PyObject** to = inline_;
  if (count > kInline) {
    block_ = static_cast<PyObject**>(PyMem_Malloc((count + 1) * sizeof(PyObject*)));
    if (block_ == nullptr) {
      PyErr_NoMemory();
      return false;
    }
    to = block_ + 1;
  }
  for (std::size_t i = 0; i < count; ++i) to[i] = Py_NewRef(args[i]);
  count_ = static_cast<std::uint32_t>(count);
  function_ = Py_NewRef(function);
  names_ = Py_XNewRef(names);
  return true;
}

void StoredCall::move_to(StoredCall* to) noexcept {
  to->function_ = std::exchange(function_, nullptr);
  to->names_ = std::exchange(names_, nullptr);
  to->count_ = std::exchange(count_, 0U);
  to->inline_[0] = inline_[0];
  to->inline_[1] = inline_[1];
}

PyObject* StoredCall::invoke() const {
  const std::size_t flagged = positional() | PY_VECTORCALL_ARGUMENTS_OFFSET;
  if (count_ > kInline) {
    return PyObject_Vectorcall(function_, block_ + 1, flagged, names_);
  }
  PyObject* args[kInline + 1] = {nullptr, inline_[0], inline_[1]};
  return PyObject_Vectorcall(function_, args + 1, flagged, names_);
}

void StoredCall::clear() {
  if (function_ == nullptr) return;
  StoredCall old;
  move_to(&old);  // first: the code that runs below may look at us
  PyObject* const* from = old.args();
  for (std::size_t i = 0; i < old.count_; ++i) Py_DECREF(from[i]);
  if (old.count_ > kInline) PyMem_Free(old.block_);
  Py_XDECREF(old.names_);
  Py_DECREF(old.function_);
}

int StoredCall::traverse(visitproc visit, void* arg) const {
  if (function_ == nullptr) return 0;
  Py_VISIT(function_);
  for (std::size_t i = 0; i < count_; ++i) Py_VISIT(args()[i]);
  return 0;
}

}  // namespace fastflow::py
