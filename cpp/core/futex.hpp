// Sleep until a 32-bit word changes: the only way in which the core puts a thread to
// sleep.
//
//   futex_wait(word, expected)         returns at once if word != expected, else sleeps
//                                      until a wake; may also return spuriously
//   futex_wait_for(word, expected, d)  the same for at most d; false when d has passed
//   futex_wake(word, n)                wakes up to n sleepers of this word
//
// The comparison and going to sleep are one step with respect to futex_wake, so
// `store(word); futex_wake(word)` after the sleeper's load cannot be missed.
//
// Linux: the futex system call.  Elsewhere: a table of mutex + condition variable,
// hashed by address.  Model tests: the checker's own sleep (tests/cpp/model).
#pragma once

#include <chrono>
#include <cstdint>

#include "atomic.hpp"

namespace fastflow {

using FutexWord = atomic<std::uint32_t>;

#if defined(FASTFLOW_MODEL)
inline void futex_wait(FutexWord& word, std::uint32_t expected) noexcept {
  model::futex_wait(word, expected);
}
// In the model a bounded sleep may end at any time: the checker explores both ends.
inline bool futex_wait_for(FutexWord& word, std::uint32_t expected,
                           std::chrono::nanoseconds) noexcept {
  return model::futex_wait_or_timeout(word, expected);
}
inline void futex_wake(FutexWord& word, int count) noexcept {
  model::futex_wake(word, count);
}
#else
void futex_wait(FutexWord& word, std::uint32_t expected) noexcept;
bool futex_wait_for(FutexWord& word, std::uint32_t expected,
                    std::chrono::nanoseconds timeout) noexcept;
void futex_wake(FutexWord& word, int count) noexcept;
#endif

}  // namespace fastflow
