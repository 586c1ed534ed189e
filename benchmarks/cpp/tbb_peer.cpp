// oneTBB's parallel_for as a peer of fastflow.for_each.
//
// Built two ways from this one file:
//   shared library  `fastflow bench` loads it with ctypes. Both engines then call the
//                   very same function pointers in the same process, in turns.
//   program         with FASTFLOW_PEER_MAIN: prints one JSON object and exits.

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <atomic>
#include <chrono>
#include <cstdint>

#include "peer_bodies.hpp"

namespace {

using Range = tbb::blocked_range<std::int64_t>;

}  // namespace

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
