// JoinCounter: counts arrivals; exactly one arrival learns that it was the last.
//
// Everything that happened before any arrive() happens before the last one's return.
#pragma once

#include <cassert>
#include <cstdint>

#include "atomic.hpp"

namespace fastflow {

class JoinCounter {
 public:
  explicit JoinCounter(std::int64_t expected = 0) noexcept : missing_(expected) {}

  // REQUIRES: no arrive() is under way.
  void reset(std::int64_t expected) noexcept {
    missing_.store(expected, std::memory_order_relaxed);  // published by whoever starts
  }

  // Announces n more arrivals.  REQUIRES: the caller itself is still missing, so the
  // counter cannot reach zero meanwhile.
  void expect(std::int64_t n) noexcept {
    missing_.fetch_add(n, std::memory_order_relaxed);  // orders nothing: see REQUIRES
  }

  // True for the last of the expected arrivals.
  [[nodiscard]] bool arrive(std::int64_t n = 1) noexcept {
    // acq_rel: release our work to the last arrival; acquire everybody's if we are it.
    const std::int64_t before = missing_.fetch_sub(n, std::memory_order_acq_rel);
    assert(before >= n);
    return before == n;
  }

  [[nodiscard]] std::int64_t missing() const noexcept {
    return missing_.load(std::memory_order_acquire);  // pairs with arrive
  }

 private:
  atomic<std::int64_t> missing_;
};

}  // namespace fastflow
