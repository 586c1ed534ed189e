// A stored call: function, arguments, keyword names, ready for vectorcall.
//
// Up to two arguments stand inside the object; more, and those with names, are one
// block on the heap.  No tuple and no dict is made.
#pragma once

#include "python.hpp"

namespace fastflow::py {

// Room for the arguments of one vectorcall, with the slot in front that it may use.
class CallArguments {
 public:
  CallArguments() = default;
  CallArguments(const CallArguments&) = delete;
  CallArguments& operator=(const CallArguments&) = delete;
  ~CallArguments() {
    if (far_ != nullptr) [[unlikely]]
      PyMem_Free(far_);
  }

  // Room for n; false with MemoryError.
  bool open(std::size_t n) {
    if (n <= kNear) return true;
    far_ = static_cast<PyObject**>(PyMem_Malloc((n + 1) * sizeof(PyObject*)));
    if (far_ == nullptr) PyErr_NoMemory();
    return far_ != nullptr;
  }
  PyObject*& operator[](std::size_t i) noexcept { return data()[i]; }
  // The first of them.
  [[nodiscard]] PyObject** data() noexcept {
    return (far_ != nullptr ? far_ : near_) + 1;
  }

 private:
  static constexpr std::size_t kNear = 8;
  PyObject* near_[kNear + 1];
  PyObject** far_ = nullptr;
};

class StoredCall {
 public:
  static constexpr std::size_t kInline = 2;

  StoredCall() = default;
  StoredCall(const StoredCall&) = delete;
  StoredCall& operator=(const StoredCall&) = delete;

  // Stores new references, for another thread.  `count` arguments, the last ones named
  // by the tuple `names` (or nullptr).  False with MemoryError.
  bool store(PyObject* function, PyObject* const* args, std::size_t count,
             PyObject* names);

  // Moves the contents to `*to`, which is empty.
  void move_to(StoredCall* to) noexcept;

  // Calls it; a new reference or nullptr with an exception.
  [[nodiscard]] PyObject* invoke() const;

  // Drops the references; may run Python code, which finds it empty.
  void clear();
  // The same for one that nobody else sees, and that is not used again.
  void drop() const;

  [[nodiscard]] PyObject* function() const noexcept { return function_; }
  [[nodiscard]] std::size_t count() const noexcept { return count_ & ~kNamed; }
  [[nodiscard]] PyObject* argument(std::size_t i) const noexcept { return args()[i]; }

  int traverse(visitproc visit, void* arg) const;

  // Free for whoever has stored the call; not set before.
  std::uint32_t spare;

 private:
  static constexpr std::uint32_t kNamed = std::uint32_t{1} << 31;  // in count_

  [[nodiscard]] bool has_block() const noexcept { return count_ > kInline; }
  [[nodiscard]] PyObject* const* args() const noexcept {
    return has_block() ? block_ + 1 : inline_;
  }
  // The names of the last arguments, borrowed; or nullptr.
  [[nodiscard]] PyObject* names() const noexcept {
    return (count_ & kNamed) != 0 ? block_[1 + count()] : nullptr;
  }

  std::uint32_t count_ = 0;  // with names, kNamed besides
  PyObject* function_ = nullptr;
  union {
    PyObject* inline_[kInline];
    // [0] is the slot that vectorcall may overwrite; names follow the arguments.
    PyObject** block_;
  };
};

}  // namespace fastflow::py
