// What the real-thread stress tests share: a printed seed, threads that start
// together, and the exactly-once bitmap.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "job.hpp"

namespace stress {

// From FASTFLOW_SEED, or new; printed, so that a failure can be repeated.
inline std::uint64_t seed() {
  const char* given = std::getenv("FASTFLOW_SEED");
  const std::uint64_t value =
      given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::printf("FASTFLOW_SEED=%llu\n", static_cast<unsigned long long>(value));
  return value;
}

// Runs body(i, random) on n threads that start together; returns when all
// ended.
template <class Body>
void threads(int n, std::uint64_t seed, const Body& body) {
  std::atomic<int> waiting{n};
  std::vector<std::thread> all;
  for (int i = 0; i < n; ++i) {
    all.emplace_back([&, i] {
      std::mt19937_64 random(seed + static_cast<std::uint64_t>(i));
      waiting.fetch_sub(1);
      while (waiting.load() > 0) std::this_thread::yield();
      body(i, random);
    });
  }
  for (std::thread& thread : all) thread.join();
}

// Numbered jobs, each of which must be taken exactly once.
class Jobs {
 public:
  explicit Jobs(std::size_t count) : jobs_(count), taken_(count) {
    for (std::size_t i = 0; i < count; ++i) jobs_[i].number = i;
  }
  fastflow::Job* operator[](std::size_t i) { return &jobs_[i]; }
  // Returns the job's number.
  std::size_t take(fastflow::Job* job) {
    const std::size_t number = static_cast<Numbered*>(job)->number;
    taken_[number].fetch_add(1,
                             std::memory_order_relaxed);  // read after the joins
    total_.fetch_add(1, std::memory_order_relaxed);       // a progress count only
    return number;
  }
  [[nodiscard]] std::size_t total() const { return total_.load(); }
  [[nodiscard]] std::size_t size() const { return jobs_.size(); }
  // How many were not taken exactly once.
  [[nodiscard]] std::size_t wrong() const {
    std::size_t n = 0;
    for (const auto& t : taken_) n += t.load() != 1;
    return n;
  }

 private:
  struct Numbered : fastflow::Job {
    std::size_t number = 0;
  };
  std::vector<Numbered> jobs_;
  std::vector<std::atomic<int>> taken_;
  std::atomic<std::size_t> total_{0};
};

}  // namespace stress
