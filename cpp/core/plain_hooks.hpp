// PlainHooks: WorkerHooks for C++ alone.  Workers are std::threads and nothing needs to
// be attached; the tests and the native benchmarks use it.
#pragma once

#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "pool.hpp"
#include "worker_hooks.hpp"

namespace fastflow {

class PlainHooks : public WorkerHooks {
 public:
  bool spawn(Pool& pool) override {
    std::lock_guard lock(mutex_);
    try {
      threads_.emplace_back([&pool] { pool.run_worker(); });
    } catch (const std::system_error&) {
      return false;  // the system has no more threads
    }
    return true;
  }

  // Joins all threads, those that are started meanwhile included.  Call pool.stop()
  // first.
  void join() {
    for (;;) {
      std::vector<std::thread> threads;
      {
        std::lock_guard lock(mutex_);
        threads.swap(threads_);
      }
      if (threads.empty()) return;
      for (std::thread& thread : threads) thread.join();
    }
  }

 private:
  std::mutex mutex_;
  std::vector<std::thread> threads_;  // guarded by mutex_
};

}  // namespace fastflow
