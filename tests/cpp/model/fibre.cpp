#include "model/fibre.hpp"

#include <cstdint>

#if defined(FF_MODEL_UCONTEXT)

namespace model {

void Fibre::reset(Entry entry) {
  if (!stack_) stack_.reset(new std::byte[kStackBytes]);
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_.get();
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  makecontext(&context_, entry, 0);
}

void Fibre::switch_from(Fibre& from) { swapcontext(&from.context_, &context_); }

}  // namespace model

#else

// void ff_model_switch(void** save, void* load): pushes the callee-saved
// registers, stores the stack pointer to *save, takes `load` as the new one and
// returns there.
asm(R"(
.text
.globl ff_model_switch
.type ff_model_switch, @function
ff_model_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size ff_model_switch, .-ff_model_switch
)");

extern "C" void ff_model_switch(void** save, void* load);

namespace model {

void Fibre::reset(Entry entry) {
  if (!stack_) stack_.reset(new std::byte[kStackBytes]);
  auto top = reinterpret_cast<std::uintptr_t>(stack_.get() + kStackBytes);
  auto* word = reinterpret_cast<std::uintptr_t*>(top & ~std::uintptr_t{15});
  *--word = 0;  // where entry would return to; it never does
  *--word = reinterpret_cast<std::uintptr_t>(entry);
  for (int saved = 0; saved < 6; ++saved) *--word = 0;
  stack_pointer_ = word;
}

void Fibre::switch_from(Fibre& from) {
  ff_model_switch(&from.stack_pointer_, stack_pointer_);
}

}  // namespace model

#endif
