// Stamps: when something happened, as cheaply as the machine can say.
//
// On x86-64 a stamp is the processor's time-stamp counter, where it runs at one rate
// whatever the processor does ("invariant"); elsewhere nanoseconds of the steady clock.
// What a stamp is in nanoseconds is told by two pairs of both clocks, one at each end
// of the time that is looked at: the counter's rate is constant, so the line through
// the pairs is good to the time that taking a pair takes, some 50 ns.
#pragma once

#include <chrono>
#include <cstdint>

#if defined(__x86_64__) || defined(_M_X64)
#define FASTFLOW_HAS_TSC 1
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#include <x86intrin.h>
#endif
#endif

namespace fastflow {

inline std::int64_t steady_ns() noexcept {
  return std::chrono::steady_clock::now().time_since_epoch() /
         std::chrono::nanoseconds(1);
}

#if defined(FASTFLOW_HAS_TSC)
inline bool counter_is_invariant() noexcept {
  constexpr unsigned kPower = 0x80000007U, kInvariant = 1U << 8;
#if defined(_MSC_VER)
  int parts[4] = {};
  __cpuid(parts, static_cast<int>(0x80000000U));
  if (static_cast<unsigned>(parts[0]) < kPower) return false;
  __cpuid(parts, static_cast<int>(kPower));
  return (static_cast<unsigned>(parts[3]) & kInvariant) != 0;
#else
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(kPower, &a, &b, &c, &d) != 0 && (d & kInvariant) != 0;
#endif
}
// Set before any thread of ours runs, never changed.
inline const bool g_counts_ticks = counter_is_invariant();

inline std::uint64_t stamp() noexcept {
  return g_counts_ticks ? __rdtsc() : static_cast<std::uint64_t>(steady_ns());
}
#else
inline std::uint64_t stamp() noexcept {
  return static_cast<std::uint64_t>(steady_ns());
}
#endif

// Both clocks at one moment.
struct StampPair {
  std::uint64_t stamp;
  std::int64_t ns;
};

// The best of a few: the one in which the clock was read most quickly.
inline StampPair stamp_pair() noexcept {
  StampPair best{};
  std::uint64_t least = ~std::uint64_t{0};
  for (int i = 0; i < 5; ++i) {
    const std::uint64_t before = stamp();
    const std::int64_t ns = steady_ns();
    const std::uint64_t after = stamp();
    if (after - before >= least) continue;
    least = after - before;
    best = {before + (after - before) / 2, ns};
  }
  return best;
}

}  // namespace fastflow
