// Timer: one thread and one heap for all delays, so that no worker sleeps for them.
//
// Usage
//   Timer timer;
//   Timer::Id id = timer.at(Timer::Clock::now() + 5s, function, argument);
//   timer.cancel(id);            // true: it will not be called
//
// Algorithm
//   A binary heap by due time (ties in order of scheduling) under a mutex; the thread
//   starts with the first entry, sleeps until the earliest is due, and is woken only
//   when an earlier one comes.  Cancelling marks an entry in O(1); its place in the
//   heap goes when it comes to the top, or when more than half of the heap is
//   cancelled.
//
// Threads
//   All members may be called by any thread, also from within a callback.  Callbacks
//   run one after the other on the timer's thread, without the mutex, and should be
//   short: push a job into a pool.  The destructor waits for the callback that runs,
//   drops what is not due, and must not be called from a callback.
//
// A mutex is good enough here: timers are made for retries and timeouts, thousands in a
// second and not millions.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

namespace fastflow {

class Timer {
 public:
  using Clock = std::chrono::steady_clock;
  using Id = std::uint64_t;
  using Callback = void (*)(void* argument);

  Timer() = default;
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Calls callback(argument) at `due` or as soon as possible after it.
  Id at(Clock::time_point due, Callback callback, void* argument);
  Id after(Clock::duration delay, Callback callback, void* argument) {
    return at(Clock::now() + delay, callback, argument);
  }
  // True if the callback has not begun and now never will.
  bool cancel(Id id);
  // Entries that are neither called nor cancelled.
  [[nodiscard]] std::size_t pending() const;

 private:
  struct Entry {
    Clock::time_point due;
    Id id;
    bool operator<(
        const Entry& other) const noexcept {  // for a heap with the least on top
      return due != other.due ? due > other.due : id > other.id;
    }
  };
  struct Action {
    Callback callback;
    void* argument;
  };

  void run();
  void drop_cancelled();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // All guarded by mutex_.
  std::vector<Entry> heap_;
  std::unordered_map<Id, Action> actions_;  // of the entries that are not cancelled
  Id next_id_ = 1;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace fastflow
