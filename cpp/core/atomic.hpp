// The one place where the core's atomics come from.
//
// Normally `fastflow::atomic<T>` is std::atomic<T> and `fastflow::plain<T>` is T.  The
// model tests (tests/cpp/model) compile the very same core sources with FASTFLOW_MODEL
// defined: every atomic operation then becomes a scheduling point of a checker that
// explores interleavings and the stale values which the C++ memory model allows, and
// every access to a `plain<T>` is checked for data races.
//
// Rules for code in cpp/core:
//  * orders stand on the operations; no standalone fences (ThreadSanitizer does not
//    model them);
//  * an operation that is not seq_cst has a comment that says what it pairs with;
//  * memory that one thread writes and another reads without an atomic of its own is a
//    `plain<T>`.
#pragma once

#include <atomic>

#if defined(FASTFLOW_MODEL)
#include "model/atomic.hpp"

namespace fastflow {
template <class T>
using atomic = model::atomic<T>;
template <class T>
using plain = model::plain<T>;
inline void cpu_pause() noexcept { model::yield(); }
}  // namespace fastflow
#else

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace fastflow {
template <class T>
using atomic = std::atomic<T>;
template <class T>
using plain = T;

// Tells the processor that this is a spin loop.
inline void cpu_pause() noexcept {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}
}  // namespace fastflow
#endif
