// Fibre: a stack of its own and a way to switch to it, within one
// operating-system thread.  The checker runs every simulated thread on one, so
// that a context switch is a few instructions and the whole run is
// deterministic.
//
// x86-64 (System V): a hand-written switch that saves the callee-saved
// registers only. Elsewhere: ucontext, which works but makes two system calls
// per switch.
//
// Limits: the floating-point control words are not saved (nobody changes them);
// no sanitizer support; exceptions must not leave a fibre's entry function.
#pragma once

#include <cstddef>
#include <memory>

#if !defined(__x86_64__) && !defined(FF_MODEL_UCONTEXT)
#define FF_MODEL_UCONTEXT 1  // may also be defined from outside, to test that path
#endif
#if defined(FF_MODEL_UCONTEXT)
#include <ucontext.h>
#endif

namespace model {

class Fibre {
 public:
  using Entry = void (*)();

  // Without a stack: stands for the thread that calls switch_to first (the
  // root).
  Fibre() = default;
  Fibre(const Fibre&) = delete;
  Fibre& operator=(const Fibre&) = delete;

  // The next switch to this fibre calls `entry` on its fresh stack.  Whatever
  // was on the stack is forgotten, without running destructors.
  void reset(Entry entry);

  // Suspends `from` (the fibre that is running) and continues this one.
  void switch_from(Fibre& from);

 private:
  static constexpr std::size_t kStackBytes = 128 * 1024;

  std::unique_ptr<std::byte[]> stack_;
#if defined(FF_MODEL_UCONTEXT)
  ucontext_t context_{};
#else
  void* stack_pointer_ = nullptr;
#endif
};

}  // namespace model
