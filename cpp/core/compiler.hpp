// What the language has no words for: hints to the compiler and the processor.  None of
// them changes what a program does.
#pragma once

#include <cstdint>

// A function off the beaten track, kept out of the loops that call it; and one that has
// such a loop, kept out of its callers and at the beginning of a line of the cache: the
// loop of a graph's nodes took 2.4 to 3.0 ns for one by where the linker had put it.
// And a part of such a loop, which would cost it its registers if it were a call.
#if defined(__GNUC__)
#define FASTFLOW_COLD [[gnu::noinline, gnu::cold]]
#define FASTFLOW_APART [[gnu::noinline, gnu::aligned(64)]]
#define FASTFLOW_INLINE [[gnu::always_inline]] inline
#else
#define FASTFLOW_COLD
#define FASTFLOW_APART
#define FASTFLOW_INLINE inline
#endif

// Whether AddressSanitizer looks on.
#if defined(__SANITIZE_ADDRESS__)
#define FASTFLOW_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FASTFLOW_ASAN 1
#endif
#endif
#ifndef FASTFLOW_ASAN
#define FASTFLOW_ASAN 0
#endif

namespace fastflow {

// Asks for memory that will be read soon.  Any address will do.
inline void prefetch(const void* address) noexcept {
#if defined(__GNUC__)
  __builtin_prefetch(address);
  // GCC takes a function that does nothing else for one without effects, and drops it.
  asm volatile("" : : "r"(address));
#else
  (void)address;
#endif
}

// The compiler takes `value` for a new one, and may not compute it in another way that
// it knows to give the same.
inline void conceal(std::uint32_t& value) noexcept {
#if defined(__GNUC__)
  asm("" : "+r"(value));
#else
  (void)value;
#endif
}

}  // namespace fastflow
