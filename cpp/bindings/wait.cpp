#include "wait.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <new>
#include <thread>

#include "gil.hpp"
#include "parking_lot.hpp"
#include "recording.hpp"

namespace fastflow::py {

thread_local bool t_woke_worker = false;

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::microseconds kSpin{30};
constexpr std::int64_t kLooks[] = {1000, 1000, 2000};  // microseconds
constexpr int kLookCount = 3;

// A signal ends a sleep at once (where the system's locks allow that), unless it comes
// just before the sleep begins: so no sleep is longer than this.  Only Outlook::kNext
// takes that risk, as the standard library does: there the time between the last look
// for signals and the sleep is a microsecond or two, and setting the machine's timer
// would double the cost of the wait.
constexpr std::int64_t kSlice = 100'000;  // microseconds

class Sleeper {
 public:
  Sleeper(Waitable& target, double timeout, Outlook outlook)
      : target_(target),
        bounded_(timeout >= 0),
        untimed_(outlook == Outlook::kNext && !bounded_),
        look_(outlook == Outlook::kNext ? kLookCount : 0) {
    if (bounded_) {
      const double capped = std::min(timeout, 1e9);
      deadline_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                     std::chrono::duration<double>(capped));
    }
  }

  // Detached.  Until called, done or out of time, or to look for signals.
  void until_something(WaitNode& node, bool may_spin) {
    if (may_spin && spin(node)) return;
    for (;;) {
      if (node.called()) return;
      if (look_ >= kLookCount && !urgent() && target_.enlist(true)) return;
      const std::int64_t most = next_sleep();
      const WaitNode::Slept slept = node.sleep(most < 0 ? most : until_deadline(most));
      if (slept != WaitNode::Slept::kTimeout || target_.done() || expired()) return;
      if (most == kSlice) return;  // time to look for signals
    }
  }

  [[nodiscard]] bool expired() const { return bounded_ && Clock::now() >= deadline_; }

 private:
  bool spin(WaitNode& node) {
    const auto end = Clock::now() + kSpin;
    do {
      for (int i = 0; i < 16; ++i) {
        if (node.called()) return true;
        cpu_pause();
      }
      std::this_thread::yield();  // the worker may be on this very core
    } while (Clock::now() < end);
    return false;
  }

  // Microseconds; -1: until woken.
  [[nodiscard]] std::int64_t next_sleep() {
    if (look_ < kLookCount) return kLooks[look_++];
    return std::exchange(untimed_, false) ? -1 : kSlice;
  }

  // True from the second call on.
  bool urgent() { return std::exchange(urgent_, true); }

  [[nodiscard]] std::int64_t until_deadline(std::int64_t most) const {
    if (!bounded_) return most;
    const auto left =
        std::chrono::duration_cast<std::chrono::microseconds>(deadline_ - Clock::now())
            .count();
    return std::clamp<std::int64_t>(left + 1, 0, most);
  }

  Waitable& target_;
  const bool bounded_;
  Clock::time_point deadline_{};
  bool untimed_;  // the next sleep
  int look_;
  bool urgent_ = false;
};

}  // namespace

WaitEnd wait_for(Waitable& target, double timeout, Outlook outlook) {
  if (target.done()) return WaitEnd::kDone;
  if (timeout == 0) return WaitEnd::kTimeout;
  Worker* worker = current_worker();
  if (worker != nullptr) attachment(*worker).announce_now();
  BlockedScope blocked(worker);
  const recording::Noted waits(SpanKind::kBlocked);
  Sleeper sleeper(target, timeout, outlook);
  bool may_spin = outlook == Outlook::kSoon;
  for (;;) {
    WaitNode node(target.key());
    if (node.lock == nullptr) {
      PyErr_NoMemory();
      return WaitEnd::kError;
    }
    if (target.enlist(false)) return WaitEnd::kDone;
    {
      Detached detached;
      sleeper.until_something(node, may_spin);
    }
    // Also when it is done: a signal that came during the wait is raised from the wait,
    // not from wherever the caller happens to be next.
    if (PyErr_CheckSignals() < 0) return WaitEnd::kError;
    if (target.done()) return WaitEnd::kDone;
    if (sleeper.expired()) return target.done() ? WaitEnd::kDone : WaitEnd::kTimeout;
    may_spin = false;
  }
}

bool parse_timeout(PyObject* object, double* seconds) {
  if (object == nullptr || object == Py_None) {
    *seconds = -1;
    return true;
  }
  const double value = PyFloat_AsDouble(object);
  if (value == -1.0 && PyErr_Occurred()) return false;
  if (std::isnan(value)) {
    PyErr_SetString(PyExc_ValueError, "timeout must not be NaN");
    return false;
  }
  *seconds = std::max(value, 0.0);
  return true;
}

}  // namespace fastflow::py
