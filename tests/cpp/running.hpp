// A pool of plain threads, for as long as a test lasts.
#pragma once

#include <chrono>
#include <cstdint>

#include "plain_hooks.hpp"
#include "pool.hpp"

// Stops and joins at the end, also when a check failed.
struct Running {
  explicit Running(std::uint32_t limit) : pool(limit, hooks) {}
  ~Running() {
    pool.stop();
    while (!pool.wait_until_stopped(std::chrono::milliseconds(10))) {
    }
    hooks.join();
  }
  fastflow::PlainHooks hooks;
  fastflow::Pool pool;
};
