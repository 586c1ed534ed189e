#include "model/engine.hpp"

#include <algorithm>
#include <climits>
#include <cstdio>
#include <cstdlib>

namespace model {

namespace {
constexpr int kMain = 0;
constexpr int kLoneYields = 50;
}  // namespace

Engine& Engine::get() {
  static Engine engine;
  return engine;
}

// --- exploring -----------------------------------------------------------------------

Outcome Engine::explore(Program& program, const Options& options, std::uint64_t seed) {
  program_ = &program;
  options_ = options;
  Outcome outcome;
  if (options.exhaustive) {
    choices_.start(Choices::Mode::kExhaustive);
    memory_.set_random(nullptr);
    bound_ = options.preemptions;
    pct_ = false;
    do {
      if (options.max_executions != 0 && outcome.executions == options.max_executions) {
        outcome.complete = false;
        break;
      }
      run_once();
      ++outcome.executions;
      outcome.deepest = std::max(outcome.deepest, choices_.depth());
      if (failed_) return explain(outcome, false, 0);
    } while (choices_.advance());
  }
  choices_.start(Choices::Mode::kRandom);
  memory_.set_random(&random_);
  bound_ = kUnbounded;
  for (std::uint64_t run = 0; run < options.random_runs; ++run) {
    random_ = Random(seed + run);
    prepare_random();
    run_once();
    ++outcome.executions;
    if (failed_) return explain(outcome, true, seed + run);
  }
  return outcome;
}

Outcome Engine::replay(Program& program, const Options& options,
                       const std::string& digits) {
  program_ = &program;
  options_ = options;
  const auto colon = digits.find(':');
  bound_ = colon == std::string::npos ? options.preemptions
                                      : std::atoi(digits.substr(0, colon).c_str());
  choices_.start_replay(colon == std::string::npos ? digits : digits.substr(colon + 1));
  memory_.set_random(nullptr);
  tracing_ = true;
  trace_.clear();
  run_once();
  tracing_ = false;
  Outcome outcome;
  outcome.executions = 1;
  outcome.violation = failed_;
  outcome.text = trace_ + (failed_ ? "  => " + failure_ + "\n" : "  => no violation\n");
  return outcome;
}

Outcome Engine::explain(Outcome outcome, bool random, std::uint64_t seed) {
  outcome.violation = true;
  const std::string what = failure_;
  choices_.start_replay();
  tracing_ = true;
  trace_.clear();
  run_once();
  tracing_ = false;
  outcome.text = "  violation: " + what +
                 "\n  schedule (thread main is the set-up):\n" + trace_ + "  => " +
                 failure_ + "\n";
  if (random) outcome.text += "  seed: " + std::to_string(seed) + "\n";
  outcome.text += "  replay: --replay=" + std::to_string(bound_) + ":" +
                  choices_.to_string() + "\n";
  return outcome;
}

void Engine::prepare_random() {
  pct_ = random_.one_in(2);
  walk_ = 1 << (1 + random_.below(4));
  change_at_.clear();
  if (!pct_) return;
  for (int changes = random_.below(6); changes > 0; --changes) {
    change_at_.push_back(random_.below(longest_));
  }
  for (Thread& thread : threads_) thread.priority = 1000 + random_.below(1000);
}

void Engine::run_once() {
  choices_.rewind();
  memory_.reset();
  labels_.clear();
  for (Thread& thread : threads_) thread.status = Status::kUnused;
  started_ = 1;
  finished_ = yielding_ = running_ = steps_ = lone_yields_ = 0;
  preemptions_left_ = bound_ == kUnbounded ? INT_MAX : bound_;
  spurious_left_ = options_.spurious_wakeups;
  joining_ = done_ = failed_ = false;
  at(kMain).status = Status::kReady;
  at(kMain).fibre.reset(&Engine::fibre_entry);
  at(kMain).fibre.switch_from(root_);
  longest_ = std::max(longest_, steps_);
}

void Engine::fibre_entry() { get().run_fibre(get().running_); }

void Engine::run_fibre(int id) {
  if (id == kMain) {
    program_->main();
    done_ = true;
    root_.switch_from(at(kMain).fibre);
  }
  at(id).chosen = true;
  program_->thread(id - 1);
  at(id).status = Status::kFinished;
  ++finished_;
  if (tracing_) trace(-1, "ends", std::memory_order_relaxed, "");
  hand_over();
}

void Engine::fail(const std::string& what) {
  failed_ = true;
  failure_ = what;
  root_.switch_from(at(running_).fibre);
  __builtin_unreachable();
}

// --- scheduling ----------------------------------------------------------------------

int Engine::pick(int n) {
  return choices_.pick(n, choices_.random() ? random_.below(n) : 0);
}

int Engine::runnable(int* ids) {
  int n = 0;
  // Sleepers that may get up by themselves come last, as the least tame choice.
  for (int k = 1; k < started_; ++k) {
    const int id = 1 + (running_ - 1 + k + started_ - 1) % (started_ - 1);
    if (id != running_ && at(id).status == Status::kReady) ids[n++] = id;
  }
  for (int id = 1; id < started_; ++id) {
    const Thread& other = at(id);
    if (id != running_ && other.status == Status::kAsleep &&
        (other.timed || spurious_left_ > 0)) {
      ids[n++] = id;
    }
  }
  return n;
}

// Index into ids[0, n); with may_stay, ids[0] is the running thread.
int Engine::choose_thread(const int* ids, int n, bool may_stay) {
  if (n == 1) return 0;
  int drawn = 0;
  if (choices_.random()) {
    if (pct_) {
      for (int i = 1; i < n; ++i) {
        if (at(ids[i]).priority > at(ids[drawn]).priority) drawn = i;
      }
    } else if (!may_stay || random_.one_in(walk_)) {
      drawn = random_.below(n);
    }
  }
  return choices_.pick(n, drawn);
}

void Engine::point() {
  if (running_ == kMain) return;
  if (++steps_ > options_.max_steps) fail("livelock: too many steps");
  if (yielding_ > 0) {
    // We make a step now, so whoever waits for somebody's step may look again.
    for (int id = 1; id < started_; ++id) {
      if (at(id).status == Status::kYielding) at(id).status = Status::kReady;
    }
    yielding_ = 0;
  }
  if (pct_ && choices_.random() &&
      std::find(change_at_.begin(), change_at_.end(), steps_) != change_at_.end()) {
    at(running_).priority = random_.below(1000);
  }
  if (at(running_).chosen) {
    // The scheduler chose this thread just now, nothing happened since.
    at(running_).chosen = false;
    return;
  }
  if (preemptions_left_ == 0 || started_ == 2) return;
  int ids[kMaxThreads];
  ids[0] = running_;
  const int n = 1 + runnable(ids + 1);
  const int next = ids[choose_thread(ids, n, true)];
  if (next == running_) return;
  --preemptions_left_;
  resume(next);
}

void Engine::hand_over() {
  int ids[kMaxThreads];
  int n = runnable(ids);
  bool all_spurious = n > 0;
  for (int i = 0; i < n; ++i) {
    const Thread& other = at(ids[i]);
    all_spurious = all_spurious && other.status == Status::kAsleep && !other.timed;
  }
  if (all_spurious) n = 0;  // nobody may rely on a spurious wake-up
  Thread& self = at(running_);
  if (n == 0 && yielding_ == 0 && self.status == Status::kAsleep && self.timed) {
    wake(self, true);  // nobody else can run, so its timeout comes
    return;
  }
  if (n == 0 && yielding_ > 0) {
    // Only spinning threads are left.  Let them look again, but not for ever.
    if (++lone_yields_ > kLoneYields) fail("livelock: a spin loop that nobody ends");
    for (int id = 1; id < started_; ++id) {
      if (at(id).status == Status::kYielding) {
        at(id).status = Status::kReady;
        ids[n++] = id;
      }
    }
    yielding_ = 0;
  }
  if (n > 0) {
    const int next = ids[choose_thread(ids, n, false)];
    if (next != running_) resume(next);
    return;
  }
  if (joining_ && finished_ == started_ - 1) {
    resume(kMain);
    return;
  }
  fail("deadlock: every unfinished thread is asleep");
}

void Engine::resume(int next) {
  Thread& to = at(next);
  if (to.status == Status::kAsleep) {
    if (!to.timed) --spurious_left_;
    wake(to, true);
  }
  Thread& from = at(running_);
  running_ = next;
  to.fibre.switch_from(from.fibre);
}

void Engine::wake(Thread& sleeper, bool by_timeout) {
  sleeper.status = Status::kReady;
  sleeper.timed_out = by_timeout;
  sleeper.futex = -1;
}

int Engine::start_thread() {
  point();
  if (started_ == kMaxThreads) fail("the scenario starts too many threads");
  const int id = started_++;
  Thread& thread = at(id);
  thread.status = Status::kReady;
  thread.fresh = false;
  thread.futex = -1;
  memory_.start(id, running_);
  thread.fibre.reset(&Engine::fibre_entry);
  if (tracing_) {
    trace(-1, "starts thread", std::memory_order_relaxed, std::to_string(id - 1));
  }
  return id - 1;
}

void Engine::join_all() {
  joining_ = true;
  int ids[kMaxThreads];
  int n = 0;
  for (int id = 1; id < started_; ++id) ids[n++] = id;
  if (n > 0) resume(ids[choose_thread(ids, n, false)]);
  for (int id = 1; id < started_; ++id) memory_.view(kMain).join(memory_.view(id));
}

void Engine::yield() {
  if (running_ == kMain) return;
  if (++steps_ > options_.max_steps) fail("livelock: too many steps");
  at(running_).status = Status::kYielding;
  at(running_).fresh = true;
  if (pct_) at(running_).priority = random_.below(1000);
  ++yielding_;
  const int me = running_;
  hand_over();
  at(me).chosen = true;
}

// --- operations ----------------------------------------------------------------------

void Engine::check_access(int location) {
  if (location < 0 || location >= memory_.locations()) {
    fail("an atomic is used outside of its lifetime");
  }
  if (!memory_.constructed_before(running_, location)) {
    fail("data race: an atomic is used before its constructor happened (" +
         name_of(memory_.address(location), location) + ")");
  }
  memory_.note_access(running_, location);
}

int Engine::create(const void* address, Word initial) {
  if (memory_.locations() == kMaxLocations) fail("too many atomics for the checker");
  return memory_.create(running_, address, initial);
}

void Engine::destroy(int location) {
  if (done_ || failed_ || location < 0 || location >= memory_.locations()) return;
  if (!memory_.accessed_before(running_, location)) {
    fail("data race: an atomic is destroyed while in use (" +
         name_of(memory_.address(location), location) + ")");
  }
}

Word Engine::load(int location, Order order) {
  point();
  check_access(location);
  bool& fresh = at(running_).fresh;
  const Memory::Read read = memory_.load(running_, location, order, fresh, choices_);
  fresh = false;
  if (tracing_) {
    std::string detail = "-> " + std::to_string(static_cast<std::int64_t>(read.value));
    if (read.behind > 0) {
      detail += "   [stale: newest is " +
                std::to_string(static_cast<std::int64_t>(memory_.newest(location))) +
                "]";
    }
    trace(location, "load", order, detail);
  }
  return read.value;
}

void Engine::store(int location, Word value, Order order) {
  point();
  check_access(location);
  const int before = memory_.store(running_, location, value, order, choices_);
  if (tracing_) {
    std::string detail = "<- " + std::to_string(static_cast<std::int64_t>(value));
    if (before > 0) {
      detail += "   [placed before " + std::to_string(before) + " newer store(s)]";
    }
    trace(location, "store", order, detail);
  }
}

Word Engine::rmw_begin(int location, Order order) {
  point();
  check_access(location);
  return memory_.rmw_read(running_, location, order);
}

void Engine::rmw_end(int location, Word before, Word after, Order order) {
  memory_.rmw_write(running_, location, after, order);
  if (tracing_) {
    trace(location, "rmw", order,
          std::to_string(static_cast<std::int64_t>(before)) + " => " +
              std::to_string(static_cast<std::int64_t>(after)));
  }
}

bool Engine::compare_exchange(int location, Word& expected, Word desired, Order success,
                              Order failure) {
  point();
  check_access(location);
  int behind = 0;
  const Word wanted = expected;
  const bool done = memory_.compare_exchange(running_, location, expected, desired,
                                             success, failure, choices_, &behind);
  if (tracing_) {
    const auto text = [](Word w) {
      return std::to_string(static_cast<std::int64_t>(w));
    };
    trace(location, "cas", done ? success : failure,
          done ? text(wanted) + " => " + text(desired)
               : "fails: wanted " + text(wanted) + ", found " + text(expected) +
                     (behind > 0 ? "   [stale]" : ""));
  }
  return done;
}

void Engine::fence_all_threads() {
  point();
  memory_.fence_all_threads();
  if (tracing_) trace(-1, "fence of all threads", std::memory_order_seq_cst, "");
}

bool Engine::futex_wait(int location, Word expected, bool timed) {
  point();
  check_access(location);
  const Word now = memory_.newest(location);
  if (now != expected) {
    if (tracing_) {
      trace(location, "futex_wait", std::memory_order_relaxed,
            "returns: value is " + std::to_string(now));
    }
    at(running_).fresh = true;
    return true;
  }
  if (tracing_) {
    trace(location, timed ? "futex_wait (timed)" : "futex_wait",
          std::memory_order_relaxed, "sleeps at " + std::to_string(now));
  }
  Thread& self = at(running_);
  self.status = Status::kAsleep;
  self.timed = timed;
  self.futex = location;
  const int me = running_;
  hand_over();
  at(me).chosen = true;
  at(me).fresh = true;  // the kernel's locks make the newest value visible
  const bool timed_out = at(me).timed_out;
  if (tracing_) {
    trace(location, "futex_wait", std::memory_order_relaxed,
          !timed_out ? "woken"
          : timed    ? "timeout"
                     : "spurious wake-up");
  }
  return !timed || !timed_out;
}

void Engine::futex_wake(int location, int count) {
  point();
  check_access(location);
  int woken = 0;
  for (; woken < count; ++woken) {
    int ids[kMaxThreads];
    int n = 0;
    for (int id = 1; id < started_; ++id) {
      if (at(id).status == Status::kAsleep && at(id).futex == location) ids[n++] = id;
    }
    if (n == 0) break;
    const bool any = n > 1 && count - woken < n;
    wake(at(ids[any ? pick(n) : 0]), false);
  }
  if (tracing_) {
    trace(location, "futex_wake", std::memory_order_relaxed,
          "woke " + std::to_string(woken));
  }
}

// --- traces --------------------------------------------------------------------------

void Engine::label(const void* begin, std::size_t size, const char* name) {
  if (tracing_) labels_.push_back({static_cast<const char*>(begin), size, name});
}

std::string Engine::name_of(const void* address, int location) {
  const char* at_byte = static_cast<const char*>(address);
  for (const Label& label : labels_) {
    if (at_byte < label.begin || at_byte >= label.begin + label.size) continue;
    return std::string(label.name) + "+" + std::to_string(at_byte - label.begin);
  }
  return (location < 0 ? "plain" : "atomic#" + std::to_string(location));
}

void Engine::trace(int location, const char* what, Order order,
                   const std::string& detail) {
  static const char* const kOrders[] = {"relaxed", "consume", "acquire",
                                        "release", "acq_rel", "seq_cst"};
  char line[200];
  const std::string who = running_ == kMain ? "main" : std::to_string(running_ - 1);
  const std::string where =
      location < 0 ? "" : name_of(memory_.address(location), location);
  const bool ordered = location >= 0 && std::string(what).rfind("futex", 0) != 0;
  std::snprintf(line, sizeof line, "    %4d  thread %-4s  %-18s %-16s %-8s %s\n",
                steps_, who.c_str(), what, where.c_str(),
                ordered ? kOrders[static_cast<int>(order)] : "", detail.c_str());
  trace_ += line;
}

void Engine::trace_plain(const void* address, const char* what) {
  trace(-1, what, std::memory_order_relaxed, name_of(address, -1));
}

}  // namespace model

#if defined(__GLIBC__)
// assert() in the code under test ends the execution like a failed check, with
// a trace.
extern "C" void __assert_fail(const char* text, const char* file, unsigned line,
                              const char*) noexcept {
  model::Engine::get().fail(std::string("assert(") + text + ") at " + file + ":" +
                            std::to_string(line));
}
#endif
