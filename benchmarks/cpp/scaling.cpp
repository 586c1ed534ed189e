// The roads of docs/scaling.md, alone with the core: what a task costs on each, and
// what the machine's own steps cost.
//
//   scaling ROAD TASKS NS WORKERS REPEATS
//
// prints one line per repeat: what a body takes at that time, and the nanoseconds from
// the first task to the last.  NS is the length that a body should have; the calling
// thread is one of the WORKERS where the road lets it help.
//
//   stack      a job pushes TASKS jobs onto its worker's own stack; others steal them
//   queue      the calling thread submits TASKS jobs
//   range      RangeJob over TASKS indices
//   claim      threads take TASKS indices from one shared counter
//   wavefront  GraphRun over the square that holds TASKS nodes
//   wake       submits one job to a pool asleep: until submit returned, until it began
//   line       TASKS additions to one word, by WORKERS threads at the same time
//   swap       TASKS times a word goes to another core and back
#if defined(__linux__)
#include <sys/prctl.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <latch>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cache_line.hpp"
#include "compiler.hpp"
#include "graph_run.hpp"
#include "peer_bodies.hpp"
#include "plain_hooks.hpp"
#include "pool.hpp"
#include "range.hpp"

using namespace fastflow;  // NOLINT: the benchmark is about all of it

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::int64_t tasks, ns;
  std::uint32_t workers;
};

double ns_since(Clock::time_point start) { return seconds_since(start) * 1e9; }

struct Running {
  explicit Running(std::uint32_t limit) : pool(limit, hooks) {}
  ~Running() {
    pool.stop();
    while (!pool.wait_until_stopped(std::chrono::milliseconds(10))) {
    }
    hooks.join();
  }
  // Without a word that the jobs would have to write for it.  Apart, as
  // benchmarks/scaling/instructions.py leaves it out of what it counts.
  FASTFLOW_APART void wait_for(std::uint64_t executed) {
    while (pool.counts().executed < executed) {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }
  PlainHooks hooks;
  Pool pool;
};

// The pool's threads have started and sleep again.
void warm(Pool& pool, std::uint32_t workers) {
  std::latch all(workers);
  struct Meeting : Job {
    std::latch* all;
  };
  std::vector<Meeting> jobs(workers);
  for (Meeting& job : jobs) {
    job.all = &all;
    job.run = [](Job* self, Worker&) {
      static_cast<Meeting*>(self)->all->arrive_and_wait();
    };
    pool.submit(&job, Lane::kNative);
  }
  all.wait();
  while (pool.active_workers() > 0) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

struct Task : Job {
  Task() {
    run = [](Job*, Worker&) { spin(spin_steps); };
  }
};

struct Root : Job {
  std::vector<Task>* tasks;
};

double stack(const Options& options) {
  Running running(options.workers);
  warm(running.pool, options.workers);
  std::vector<Task> tasks(static_cast<std::size_t>(options.tasks));
  Root root;
  root.tasks = &tasks;
  root.run = [](Job* self, Worker& worker) {
    for (Task& task : *static_cast<Root*>(self)->tasks) {
      worker.pool().submit(&task, Lane::kNative);
    }
  };
  const std::uint64_t before = running.pool.counts().executed;
  const auto start = Clock::now();
  running.pool.submit(&root, Lane::kNative);
  running.wait_for(before + tasks.size() + 1);
  return ns_since(start);
}

double queue(const Options& options) {
  Running running(options.workers);
  warm(running.pool, options.workers);
  std::vector<Task> tasks(static_cast<std::size_t>(options.tasks));
  const std::uint64_t before = running.pool.counts().executed;
  const auto start = Clock::now();
  for (Task& task : tasks) running.pool.submit(&task, Lane::kNative);
  running.wait_for(before + tasks.size());
  return ns_since(start);
}

double range(const Options& options) {
  Running running(options.workers);
  warm(running.pool, options.workers);
  const auto body = [](std::int64_t begin, std::int64_t end, void*) {
    for (std::int64_t i = begin; i < end; ++i) spin(spin_steps);
  };
  const auto start = Clock::now();
  RangeJob* job =
      RangeJob::create(running.pool, options.tasks, body, nullptr, options.workers);
  while (!job->help(Clock::now() + std::chrono::seconds(1))) {
  }
  while (!job->wait_for(std::chrono::seconds(1))) {
  }
  const double took = ns_since(start);
  job->release();
  return took;
}

// What a thread does that is one of `workers`; all begin at the same time.
double side_by_side(std::uint32_t workers,
                    const std::function<void(std::uint32_t)>& f) {
  std::atomic<std::uint32_t> ready{0};
  std::atomic<bool> go{false};
  const auto wait_and_run = [&](std::uint32_t i) {
    ready.fetch_add(1);
    while (!go.load()) std::this_thread::yield();
    f(i);
  };
  std::vector<std::thread> threads;
  for (std::uint32_t i = 1; i < workers; ++i) threads.emplace_back(wait_and_run, i);
  while (ready.load() + 1 < workers) std::this_thread::yield();
  const auto start = Clock::now();
  go.store(true);
  f(0);
  for (std::thread& thread : threads) thread.join();
  return ns_since(start);
}

double claim(const Options& options) {
  CacheAligned<std::atomic<std::int64_t>> next{0};
  return side_by_side(options.workers, [&](std::uint32_t) {
    while (next->fetch_add(1) < options.tasks) spin(spin_steps);
  });
}

double line(const Options& options) {
  CacheAligned<std::atomic<std::int64_t>> word{0};
  return side_by_side(options.workers, [&](std::uint32_t) {
    for (std::int64_t i = 0; i < options.tasks; ++i) word->fetch_add(1);
  });
}

double swap(const Options& options) {
  CacheAligned<std::atomic<std::int64_t>> word{0};
  return side_by_side(2, [&](std::uint32_t me) {
    for (std::int64_t i = me; i < 2 * options.tasks; i += 2) {
      for (int tries = 0; word->load() != i; ++tries) {
        if (tries % 4096 == 4095) std::this_thread::yield();
      }
      word->store(i + 1);
    }
  });
}

std::shared_ptr<const GraphPlan> square(std::int32_t side) {
  std::vector<std::int32_t> from, to;
  for (std::int32_t v = 0; v < side * side; ++v) {
    for (const std::int32_t step : {1, side}) {
      if (step == 1 ? v % side == side - 1 : v + side >= side * side) continue;
      from.push_back(v);
      to.push_back(v + step);
    }
  }
  PlanError error;
  return GraphPlan::build(std::int64_t{side} * side, from.data(), to.data(),
                          static_cast<std::int64_t>(from.size()), &error);
}

double wavefront(const Options& options) {
  const auto plan = square(static_cast<std::int32_t>(
      std::lround(std::sqrt(static_cast<double>(options.tasks)))));
  Running running(options.workers);
  warm(running.pool, options.workers);
  const NodeBody body{peer_spin, nullptr, nullptr};
  const auto start = Clock::now();
  GraphRun* run =
      GraphRun::create(running.pool, plan, body, {OnFailure::kStop, options.workers});
  while (!run->help(Clock::now() + std::chrono::seconds(1))) {
  }
  while (!run->wait_for(std::chrono::seconds(1))) {
  }
  const double took = ns_since(start);
  run->release();
  return took;
}

// What a body takes now: the machine's speed changes.
double body_now() {
  double best = 1e9;
  const int calls = 1 + static_cast<int>(20'000 / (1 + spin_steps));
  for (int repeat = 0; repeat < 3; ++repeat) {
    const auto start = Clock::now();
    for (int i = 0; i < calls; ++i) spin(spin_steps);
    best = std::min(best, ns_since(start) / calls);
  }
  return best;
}

// Prints the first time itself.
double wake(const Options&) {
  struct Stamp : Job {
    std::atomic<bool> done{false};
    Clock::time_point began;
  };
  Running running(1);
  warm(running.pool, 1);
  Stamp stamp;
  stamp.run = [](Job* self, Worker&) {
    static_cast<Stamp*>(self)->began = Clock::now();
    static_cast<Stamp*>(self)->done.store(true);
  };
  const auto start = Clock::now();
  running.pool.submit(&stamp, Lane::kNative);
  std::printf("%.0f ", ns_since(start));
  while (!stamp.done.load()) std::this_thread::yield();
  return std::chrono::duration<double>(stamp.began - start).count() * 1e9;
}

}  // namespace

int main(int argc, char** argv) {
#if defined(__linux__)
  prctl(PR_SET_TIMERSLACK, 1'000UL, 0UL, 0UL, 0UL);  // for wait_for()
#endif
  const std::map<std::string, double (*)(const Options&)> roads = {
      {"stack", stack},         {"queue", queue}, {"range", range}, {"claim", claim},
      {"wavefront", wavefront}, {"wake", wake},   {"line", line},   {"swap", swap}};
  const auto road = argc == 6 ? roads.find(argv[1]) : roads.end();
  if (road == roads.end()) {
    std::fputs("usage: scaling ROAD TASKS NS WORKERS REPEATS\n", stderr);
    return 2;
  }
  const Options options{std::atoll(argv[2]), std::atoll(argv[3]),
                        static_cast<std::uint32_t>(std::atoi(argv[4]))};
  if (options.ns > 0) peer_calibrate(static_cast<double>(options.ns));
  for (int repeat = std::atoi(argv[5]); repeat > 0; --repeat) {
    std::printf("%.1f ", body_now());
    std::printf("%.0f\n", road->second(options));
  }
  return 0;
}
