// guarded<f>: the function f, for Python to call, as one that lets no C++ exception
// out.
//
// Python is written in C: an exception that passes its frames ends the process.  So
// everything that Python calls (slots, methods, getters, module functions) is entered
// through here, and only here exceptions become Python's: std::bad_alloc is
// MemoryError, std::system_error OSError, std::invalid_argument ValueError, any other
// RuntimeError.  The functions themselves release what they hold through destructors,
// and are in order again when they are left by an exception.
//
// Usage
//   {"cancel", method<cancel>(), METH_NOARGS, "..."}      in a PyMethodDef
//   {"done", guarded<get_done>, nullptr, nullptr, nullptr}  in a PyGetSetDef
//   {Py_tp_dealloc, slot<dealloc>()}                       in a PyType_Slot
//
// What workers run (Job::run) is not called by Python; it must not throw at all.
//
// One exception passes: the one by which glibc ends a thread.  That is what Python
// before 3.14 does with daemon threads that want the interpreter while it finalizes.
#pragma once

#include "python.hpp"

#if defined(__GLIBCXX__)
#include <cxxabi.h>
#endif

#include <exception>
#include <type_traits>

namespace fastflow::py {

// libstdc++ allocates data for a thread when that thread first throws, and glibc aborts
// the process without memory for it.  So a thread asks for it early, not with the first
// std::bad_alloc.
inline void allocate_thread_data_of_exceptions() noexcept {
  [[maybe_unused]] const volatile int asked = std::uncaught_exceptions();
}

// Raises what is being handled (REQUIRES: inside a catch) as Python's exception.
void translate_exception() noexcept;

template <auto f>
struct Guarded;

template <class Result, class... Arguments, Result (*f)(Arguments...)>
struct Guarded<f> {
  static Result call(Arguments... arguments) {
    try {
      return f(arguments...);
#if defined(__GLIBCXX__)
    } catch (const abi::__forced_unwind&) {
      throw;
#endif
    } catch (...) {
      translate_exception();
    }
    if constexpr (std::is_pointer_v<Result>) {
      return nullptr;
    } else if constexpr (std::is_void_v<Result>) {
      PyErr_WriteUnraisable(nullptr);
    } else {
      return static_cast<Result>(-1);
    }
  }
};

template <auto f>
inline constexpr auto guarded = &Guarded<f>::call;

// The same for a PyMethodDef: of any of the METH_ kinds.
template <auto f>
PyCFunction method() {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(guarded<f>));
}

// And for a PyType_Slot.
template <auto f>
void* slot() {
  return reinterpret_cast<void*>(guarded<f>);
}

}  // namespace fastflow::py
