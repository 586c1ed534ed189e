// What the native peers have in common: the bodies that tasks run, and the clock.
//
// A body has the signature of a fastflow kernel: void (int64_t index, void *data). Each
// peer library includes this header in its one source file, which so exports the
// functions; fastflow is handed the same pointers.

#ifndef FASTFLOW_BENCHMARKS_PEER_BODIES_HPP_
#define FASTFLOW_BENCHMARKS_PEER_BODIES_HPP_

#include <chrono>
#include <cstdint>

#if defined(_WIN32)
#define PEER_EXPORT extern "C" __declspec(dllexport)
#else
#define PEER_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace {

using Kernel = void (*)(std::int64_t, void*);

std::int64_t spin_steps = 0;

// A chain of dependent multiplications: its time is its length, whatever the clock's
// resolution, and the compiler can't shorten it because the end is published.
void spin(std::int64_t steps) {
  std::uint64_t x = 1;
  for (std::int64_t i = 0; i < steps; ++i) {
    x = x * 6364136223846793005ULL + 1442695040888963407ULL;
  }
  // A fence for the compiler alone: the value has to exist, nothing is stored.
#if defined(__GNUC__) || defined(__clang__)
  asm volatile("" : : "r"(x));
#else
  volatile std::uint64_t sink = x;
  (void)sink;
#endif
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

}  // namespace

PEER_EXPORT void peer_noop(std::int64_t, void*) {}

PEER_EXPORT void peer_spin(std::int64_t, void*) { spin(spin_steps); }

// Sets the length of peer_spin to about `ns` nanoseconds on this machine, now. Measured
// with short spins one after another, since neighbouring ones overlap in the processor.
PEER_EXPORT void peer_calibrate(double ns) {
  constexpr std::int64_t kSteps = 100;
  constexpr int kCalls = 20'000;
  double best = 1e9;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kCalls; ++i) spin(kSteps);
    const double took = seconds_since(start);
    best = took < best ? took : best;
  }
  const double ns_per_step = best * 1e9 / (static_cast<double>(kSteps) * kCalls);
  spin_steps = static_cast<std::int64_t>(ns / ns_per_step);
}

PEER_EXPORT void peer_sequential(Kernel kernel, void* data, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) kernel(i, data);
}

#endif  // FASTFLOW_BENCHMARKS_PEER_BODIES_HPP_
