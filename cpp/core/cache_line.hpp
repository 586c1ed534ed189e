// Padding that keeps independently written words on separate cache lines.
//
// 64 bytes is the line size of every x86-64 and of most 64-bit ARM cores; Apple's cores
// and the adjacent-line prefetcher of Intel's make 128 the safer figure for words that
// different threads hammer.  std::hardware_destructive_interference_size is avoided: it
// is a compile-time guess of the compiler's that changes with -mtune and so would
// change the layout between translation units.
#pragma once

#include <cstddef>

namespace fastflow {

inline constexpr std::size_t kCacheLine = 128;

// A T alone on its cache lines.
template <class T>
struct alignas(kCacheLine) CacheAligned {
  T value;

  CacheAligned() = default;
  template <class... Args>
  explicit CacheAligned(Args&&... args) : value(static_cast<Args&&>(args)...) {}

  T& operator*() noexcept { return value; }
  const T& operator*() const noexcept { return value; }
  T* operator->() noexcept { return &value; }
  const T* operator->() const noexcept { return &value; }
};

static_assert(sizeof(CacheAligned<char>) == kCacheLine);
static_assert(alignof(CacheAligned<char>) == kCacheLine);

}  // namespace fastflow
