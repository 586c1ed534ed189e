// Engine: runs one scenario under every schedule it is asked to, on fibres.
//
// Algorithm
//   Before each atomic or futex operation the running fibre is at a scheduling
//   point: it may go on (answer 0) or be preempted by another runnable one, at
//   most `preemptions` times per execution (M. Musuvathi, S. Qadeer, "Iterative
//   context bounding for systematic testing of multithreaded programs", PLDI
//   2007).  A thread that finishes, sleeps or yields hands over for free, to
//   every possible successor in turn.  Code between two such operations is one
//   step; that hides nothing, as its accesses to shared memory are `plain`
//   variables, which are checked for races with vector clocks whatever the
//   order of steps.
//
//   Random executions come in two kinds, alternating: a random walk, and PCT
//   (random priorities with a few change points; S. Burckhardt, P. Kothari, M.
//   Musuvathi, S. Nagarakatte, "A randomized scheduler with probabilistic
//   guarantees of finding bugs", ASPLOS 2010).  They have no preemption bound.
//
//   futex_wait compares with the newest store and sleeps in one step, and
//   synchronises with nothing.  A wake that has several sleepers to choose from
//   tries every choice. A timed wait may end whenever the scheduler picks the
//   sleeper.
//
// Violations: a failed check or assert, a data race, a deadlock (all unfinished
// threads sleep without a timeout), a livelock (too many steps, or a spin loop
// that nobody can end), an atomic used before its constructor or destroyed
// before its last use in the sense of happens-before.
//
// Limits
//   * what memory.hpp lists;
//   * nothing beyond the preemption bound, the scenario's size and its inputs;
//   * use after free is only noticed as a race with the destructor of an
//   atomic;
//   * model::yield() in a spin loop makes the next load of that thread read the
//   newest
//     store ("a store becomes visible in finite time");
//   * memory that is neither atomic nor plain is not checked.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/choices.hpp"
#include "model/fibre.hpp"
#include "model/memory.hpp"

namespace model {

inline constexpr int kUnbounded = -1;

struct Options {
  int preemptions = 3;  // or kUnbounded
  bool exhaustive = true;
  std::uint64_t random_runs = 0;  // beside the exhaustive ones
  int spurious_wakeups = 0;       // of untimed sleeps, per execution
  int max_steps = 3000;           // more count as a livelock
  std::uint64_t max_executions =
      0;  // exhaustive: 0 is no limit; reaching it is an error
};

// What the engine runs; scenario.hpp makes one out of a plain struct.
class Program {
 public:
  virtual ~Program() = default;
  // Builds the state, calls Engine::start_thread and join_all, checks, tears
  // down.
  virtual void main() = 0;
  virtual void thread(int id) = 0;
};

struct Outcome {
  std::uint64_t executions = 0;
  bool complete = true;
  bool violation = false;
  std::string text;  // with trace and how to replay it
  std::size_t deepest = 0;
};

class Engine {
 public:
  static Engine& get();

  Outcome explore(Program& program, const Options& options, std::uint64_t seed);
  // One execution, printed.
  Outcome replay(Program& program, const Options& options, const std::string& digits);

  // --- called by the scenario's fibres
  // ------------------------------------------------ Starts the next thread;
  // returns its id, counted from 0.
  int start_thread();
  void join_all();
  [[noreturn]] void fail(const std::string& what);
  void yield();

  int create(const void* address, Word initial);
  void destroy(int location);
  Word load(int location, Order order);
  void store(int location, Word value, Order order);
  // Read-modify-write: `rmw_begin`, then at once `rmw_end`.
  Word rmw_begin(int location, Order order);
  void rmw_end(int location, Word before, Word after, Order order);
  bool compare_exchange(int location, Word& expected, Word desired, Order success,
                        Order failure);
  void fence_all_threads();
  bool futex_wait(int location, Word expected, bool timed);
  void futex_wake(int location, int count);

  // For plain variables.
  [[nodiscard]] int thread() const { return running_; }
  [[nodiscard]] const View& view() { return memory_.view(running_); }
  [[nodiscard]] bool tracing() const { return tracing_; }
  // A name for the locations in [begin, begin + size), for traces.
  void label(const void* begin, std::size_t size, const char* name);
  void trace_plain(const void* address, const char* what);

 private:
  enum class Status : std::uint8_t { kUnused, kReady, kYielding, kAsleep, kFinished };
  struct Thread {
    Fibre fibre;
    Status status = Status::kUnused;
    bool timed = false;      // its sleep
    bool timed_out = false;  // ... ended by itself
    bool fresh = false;      // it yielded: the next load reads the newest store
    bool chosen = false;     // to run, and made no step since
    int futex = -1;
    int priority = 0;  // in PCT executions
  };
  struct Label {
    const char* begin;
    std::size_t size;
    const char* name;
  };

  static void fibre_entry();
  void run_once();
  void prepare_random();
  void run_fibre(int id);
  void point();            // a scheduling point of a runnable thread
  void hand_over();        // the running thread cannot go on
  void resume(int next);   // switches to `next`
  int runnable(int* ids);  // others than the running one
  int choose_thread(const int* ids, int n, bool may_stay);
  int pick(int n);  // a decision without a preference
  void check_access(int location);
  void wake(Thread& sleeper, bool by_timeout);
  Thread& at(int id) { return threads_[static_cast<std::size_t>(id)]; }

  Outcome explain(Outcome outcome, bool random, std::uint64_t seed);
  void trace(int location, const char* what, Order order, const std::string& detail);
  std::string name_of(const void* address, int location);

  Memory memory_;
  Choices choices_;
  Random random_;
  Program* program_ = nullptr;
  Options options_;

  Fibre root_;
  std::array<Thread, kMaxThreads> threads_;
  int started_ = 0;   // threads with a fibre, the main one included
  int finished_ = 0;  // of the others
  int yielding_ = 0;
  int running_ = 0;
  int steps_ = 0;
  int longest_ = 100;  // steps of the longest execution so far
  int lone_yields_ = 0;
  int bound_ = 0;  // preemptions allowed in this kind of execution
  int preemptions_left_ = 0;
  int spurious_left_ = 0;
  bool joining_ = false;
  bool done_ = false;
  bool failed_ = false;
  std::string failure_;

  bool pct_ = false;            // this random execution uses priorities
  int walk_ = 2;                // a random walk switches once in so many points
  std::vector<int> change_at_;  // PCT: steps at which the running thread drops back

  bool tracing_ = false;
  std::string trace_;
  std::vector<Label> labels_;
};

}  // namespace model
