// oneTBB's parallel_for as a peer of fastflow.for_each.
//
// Built two ways from this one file:
//   shared library  `fastflow bench` loads it with ctypes. Both engines then call the
//                   very same function pointers in the same process, in turns.
//   program         with FASTFLOW_PEER_MAIN: prints one JSON object and exits.
//
// A body has the signature of a fastflow kernel: void (int64_t index, void *data).

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <atomic>
#include <chrono>
#include <cstdint>

#if defined(_WIN32)
#define PEER_EXPORT extern "C" __declspec(dllexport)
#else
#define PEER_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace {

using Kernel = void (*)(std::int64_t, void*);
using Range = tbb::blocked_range<std::int64_t>;

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

// tbb::parallel_for with the default (auto) partitioner over `workers` threads, the
// caller being one of them.
PEER_EXPORT void peer_parallel_for(Kernel kernel, void* data, std::int64_t n,
                                   int workers) {
  tbb::task_arena arena(workers);
  arena.execute([=] {
    tbb::parallel_for(Range(0, n), [=](const Range& range) {
      for (std::int64_t i = range.begin(); i != range.end(); ++i) kernel(i, data);
    });
  });
}

// The same with a body that the compiler sees: what a C++ program may reach and a
// library that is handed function pointers can't.
PEER_EXPORT void peer_parallel_for_inlined(std::int64_t n, int workers) {
  tbb::task_arena arena(workers);
  arena.execute([=] {
    tbb::parallel_for(Range(0, n), [](const Range& range) {
      for (std::int64_t i = range.begin(); i != range.end(); ++i) {
        std::atomic_signal_fence(std::memory_order_seq_cst);
      }
    });
  });
}

#if defined(FASTFLOW_PEER_MAIN)

#include <algorithm>
#include <cstdio>
#include <thread>
#include <vector>

namespace {

constexpr int kRepeats = 9;

template <typename Run>
double median_ns_per_item(std::int64_t n, Run run) {
  run();  // warm-up: threads exist, pages are touched
  std::vector<double> times;
  for (int i = 0; i < kRepeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    times.push_back(seconds_since(start) * 1e9 / static_cast<double>(n));
  }
  std::nth_element(times.begin(), times.begin() + kRepeats / 2, times.end());
  return times[kRepeats / 2];
}

}  // namespace

int main() {
  const int workers =
      static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  constexpr std::int64_t kEmpty = 10'000'000;
  constexpr std::int64_t kBodies = 500'000;
  peer_calibrate(100.0);
  const double pointer = median_ns_per_item(
      kEmpty, [=] { peer_parallel_for(peer_noop, nullptr, kEmpty, workers); });
  const double inlined =
      median_ns_per_item(kEmpty, [=] { peer_parallel_for_inlined(kEmpty, workers); });
  const double sequential =
      median_ns_per_item(kBodies, [] { peer_sequential(peer_spin, nullptr, kBodies); });
  const double bodies = median_ns_per_item(
      kBodies, [=] { peer_parallel_for(peer_spin, nullptr, kBodies, workers); });
  std::printf(
      "{\"engine\": \"oneTBB\", \"workers\": %d, \"unit\": \"ns per item\", "
      "\"empty_pointer\": %.3f, \"empty_inlined\": %.3f, "
      "\"spin100_sequential\": %.1f, \"spin100\": %.1f}\n",
      workers, pointer, inlined, sequential, bodies);
  return 0;
}

#endif  // FASTFLOW_PEER_MAIN
