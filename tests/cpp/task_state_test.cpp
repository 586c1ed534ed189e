#include "task_state.hpp"

#include <doctest/doctest.h>

#include <memory>

#include "stress.hpp"

using fastflow::Phase;
using fastflow::TaskState;

TEST_CASE("pending, running, finished") {
  TaskState state;
  CHECK(state.phase() == Phase::kPending);
  CHECK_FALSE(state.done());
  CHECK(state.try_start());
  CHECK_FALSE(state.try_start());
  CHECK_FALSE(state.try_cancel());
  CHECK(state.phase() == Phase::kRunning);
  CHECK(state.finish() == static_cast<TaskState::Word>(Phase::kRunning));
  CHECK(state.phase() == Phase::kFinished);
  CHECK(state.done());
}

TEST_CASE("a pending task can be cancelled, and the cancelling announced once") {
  TaskState state;
  CHECK_FALSE(state.notify_cancelled());
  CHECK(state.try_cancel());
  CHECK_FALSE(state.try_cancel());
  CHECK_FALSE(state.try_start());
  CHECK(state.done());
  CHECK(state.notify_cancelled());
  CHECK_FALSE(state.notify_cancelled());
  CHECK(state.phase() == Phase::kCancelledNotified);
}

TEST_CASE("flags survive transitions and are reported by the end") {
  TaskState state;
  CHECK(state.add_flag(TaskState::kObserved) == 0);
  CHECK(state.try_start());
  CHECK((state.add_flag(TaskState::kWaited) & TaskState::kObserved) != 0);
  TaskState::Word flags = 0;
  CHECK(state.finish_unshared(&flags));
  CHECK((flags & TaskState::kWaited) != 0);
  CHECK((flags & TaskState::kObserved) != 0);
  CHECK(TaskState::is_done(state.add_flag(TaskState::kShared)));
}

TEST_CASE("a shared task is not finished the quick way") {
  TaskState state(Phase::kRunning);
  state.add_flag(TaskState::kShared);
  TaskState::Word flags = 0;
  CHECK_FALSE(state.finish_unshared(&flags));
  CHECK(state.phase() == Phase::kRunning);
  CHECK((state.finish() & TaskState::kShared) != 0);
  CHECK(state.done());
}

TEST_CASE("a running task may end as cancelled") {
  TaskState state(Phase::kRunning);
  state.finish(Phase::kCancelledNotified);
  CHECK(state.phase() == Phase::kCancelledNotified);
}

namespace {

struct Task {
  TaskState state;
  int outcome = 0;  // plain on purpose: TSan watches
  std::atomic<int> winners{0};
  std::atomic<int> announced{0};
};

// What thread `id` does with one task: two workers, a canceller, a waiter.
void use(Task& task, int id, std::atomic<int>& wrong) {
  if (id < 2) {
    if (!task.state.try_start()) return;
    task.winners.fetch_add(1);
    task.outcome = 42;
    TaskState::Word flags = 0;
    if (!task.state.finish_unshared(&flags)) flags = task.state.finish();
    if ((flags & TaskState::kShared) != 0) task.announced.fetch_add(1);
  } else if (id == 2) {
    if (!task.state.try_cancel()) return;
    task.winners.fetch_add(1);
    if ((task.state.load() & TaskState::kShared) != 0) task.announced.fetch_add(1);
  } else {
    const auto before = task.state.add_flag(TaskState::kShared);
    if (!TaskState::is_done(before)) return;
    if (TaskState::phase_of(before) == Phase::kFinished) {
      wrong.fetch_add(task.outcome != 42);
    }
    task.announced.fetch_add(1);
  }
}

}  // namespace

TEST_CASE("stress: one winner per task, its outcome visible, nobody forgotten") {
  const std::uint64_t seed = stress::seed();
  constexpr int kThreads = 4;
  constexpr std::size_t kTasks = 100'000;
  const auto tasks = std::make_unique<Task[]>(kTasks);
  std::atomic<int> wrong{0};
  stress::threads(kThreads, seed, [&](int id, std::mt19937_64& random) {
    for (std::size_t i = 0; i < kTasks; ++i) {
      use(tasks[i], id, wrong);
      if (random() % 256 == 0) std::this_thread::yield();
    }
  });
  std::size_t winners = 0, forgotten = 0;
  for (std::size_t i = 0; i < kTasks; ++i) {
    winners += tasks[i].winners.load() == 1;
    forgotten += tasks[i].announced.load() == 0;
  }
  CHECK(winners == kTasks);
  CHECK(forgotten == 0);
  CHECK(wrong.load() == 0);
}
