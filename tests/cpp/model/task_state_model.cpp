// TaskState under the checker: one winner among start and cancel, no callback
// and no waiter is forgotten, nothing is announced twice, and whoever sees the
// end sees the outcome.
#include "model/scenario.hpp"
#include "task_state.hpp"

namespace {

using fastflow::Phase;
using fastflow::TaskState;

// A task as its users use it: an outcome, a lock for the slow way, one
// callback, one parked waiter.
struct Task {
  TaskState state;
  model::plain<int> outcome{0};
  model::atomic<std::uint32_t> lock{0};
  model::plain<bool> listed{false};  // a callback is in the list; under the lock
  model::atomic<std::uint32_t> parked{0};
  int called = 0;

  void acquire() {
    while (lock.exchange(1, std::memory_order_acquire) == 1) {
      model::futex_wait(lock, 1u);
    }
  }
  void release() {
    lock.store(0, std::memory_order_release);
    model::futex_wake(lock, 1);
  }

  void call() {
    model::check(outcome == 42, "the callback sees the outcome");
    model::check(++called == 1, "the callback is called once");
  }

  // The worker's side.
  void run() {
    outcome = 42;
    TaskState::Word flags = 0;
    if (!state.finish_unshared(&flags)) {
      acquire();
      flags = state.finish();
      const bool call_it = listed;
      release();
      if (call_it) call();
    }
    if ((flags & TaskState::kWaited) != 0) unpark();
  }

  void unpark() {
    parked.store(1, std::memory_order_release);
    model::futex_wake(parked, 1);
  }

  void add_callback() {
    acquire();
    const TaskState::Word before = state.add_flag(TaskState::kShared);
    const bool done = TaskState::is_done(before);
    if (!done) listed = true;
    release();
    if (done) call();
  }

  void wait() {
    const TaskState::Word before = state.add_flag(TaskState::kWaited);
    if (!TaskState::is_done(before)) {
      while (parked.load(std::memory_order_acquire) == 0) model::futex_wait(parked, 0u);
      model::check(state.done(), "done after the wait");
    }
    model::check(outcome == 42, "the waiter sees the outcome");
  }
};

// Two workers (one of them a waiter that claims the task) and a canceller.
template <int kStarters, int kCancellers>
struct StartOrCancel {
  static constexpr int kThreads = kStarters + kCancellers;
  Task task;
  int started = 0, cancelled = 0, notified = 0;

  void thread(int id) {
    if (id < kStarters) {
      if (task.state.try_start()) {
        ++started;
        task.run();
      } else if (task.state.notify_cancelled()) {
        ++notified;
      }
      return;
    }
    if (task.state.try_cancel()) {
      ++cancelled;
    } else {
      const auto before = task.state.add_flag(TaskState::kCancelRequested);
      if (TaskState::phase_of(before) == Phase::kFinished) {
        model::check(task.outcome == 42, "the canceller sees the outcome");
      }
    }
  }
  void finish() {
    model::check(started + cancelled == 1, "one winner");
    model::check(notified <= cancelled, "notified once, and only if cancelled");
    const Phase phase = task.state.phase();
    model::check(started == 1
                     ? phase == Phase::kFinished
                     : phase == Phase::kCancelled || phase == Phase::kCancelledNotified,
                 "the phase agrees");
  }
};

// What happens beside the worker, one letter per thread: C adds a callback, W
// waits, O sets kObserved, L looks at the phase.
template <char... kOthers>
struct Finish {
  static constexpr int kThreads = 1 + static_cast<int>(sizeof...(kOthers));
  Task task;

  Finish() { model::check(task.state.try_start(), "starts"); }

  void thread(int id) {
    static constexpr char kLetters[] = {kOthers...};
    if (id == 0) {
      task.run();
    } else {
      other(kLetters[id - 1]);
    }
  }

  void other(char letter) {
    switch (letter) {
      case 'C':
        task.add_callback();
        break;
      case 'W':
        task.wait();
        break;
      case 'O':
        (void)task.state.add_flag(TaskState::kObserved);
        break;
      default:
        if (task.state.done()) {
          model::check(task.outcome == 42, "whoever sees the end sees the outcome");
        }
    }
  }

  void finish() {
    model::check(task.state.phase() == Phase::kFinished, "finished");
    const int callbacks = static_cast<int>(((kOthers == 'C') || ...));
    model::check(task.called == callbacks, "the callback is not forgotten");
    const auto word = task.state.load();
    model::check(((word & TaskState::kObserved) != 0) == ((kOthers == 'O') || ...),
                 "flags outlive the transitions");
  }
};

constexpr const char* kGroup = "task_state";
constexpr model::Options kAll{.preemptions = model::kUnbounded};
constexpr model::Options kBound3{.preemptions = 3, .random_runs = 30'000};

[[maybe_unused]] const bool added[] = {
    model::add<StartOrCancel<1, 1>>(kGroup, "start | cancel", kAll),
    model::add<StartOrCancel<2, 1>>(kGroup, "start | start | cancel", kAll),
    model::add<StartOrCancel<1, 2>>(kGroup, "start | cancel | cancel", kAll),
    model::add<Finish<'C'>>(kGroup, "finish | callback", kAll),
    model::add<Finish<'W'>>(kGroup, "finish | wait", kAll),
    model::add<Finish<'L', 'O'>>(kGroup, "finish | look | observe", kAll),
    model::add<Finish<'C', 'W'>>(kGroup, "finish | callback | wait", kBound3),
    model::add<Finish<'C', 'O'>>(kGroup, "finish | callback | observe", kBound3),
    model::add<Finish<'W', 'O'>>(kGroup, "finish | wait | observe", kBound3),
    model::add<Finish<'C', 'W', 'O', 'L'>>(kGroup,
                                           "finish | callback | wait | observe | look",
                                           {.preemptions = 2, .random_runs = 50'000}),
};

}  // namespace
