// Engine: the Python object that owns a Pool.  Executors, futures and worker threads
// hold references to it; it knows nothing of the executor in front of it, so an
// executor that nobody refers to can go (and stop the engine) while its tasks go on.
//
// Threads are Python threads: `spawner(engine)`, a callable of the Python layer, makes
// a threading.Thread whose target ends in engine.run_worker().
//
// Threads and locks: fields without a comment are set before the engine is shared.  The
// failures that nobody looked at are guarded by ObjectLock, and logged without it.
// Between accepts_work() and the queue, a submission may run Python code (copies of
// context variables, a wait for room), in which the engine is stopped, or somebody else
// stops it: the task is queued all the same, and as a stopped pool runs what is queued
// it ends as those before it.  Threads are started with no lock held; whoever needs one
// has reserved it in the pool first, so two that do so at the same time start two.
//
// All engines are in a list with a mutex of its own, for load_of_all_engines(): an
// engine is put in when it is complete, and is out before its pool is deleted, so what
// is read under the mutex is there.  Nothing else is done under it: neither does who
// reads want the interpreter, nor who enters or leaves, with it, anything but memory.
#pragma once

#include "python.hpp"

#include "cache_line.hpp"
#include "gil.hpp"
#include "pool.hpp"

namespace fastflow::py {

enum class OnFull : std::uint8_t { kBlock, kRaise, kCallerRuns };

class PoolHooks final : public WorkerHooks {
 public:
  explicit PoolHooks(PyObject* engine) : engine_(engine) {}
  bool spawn(Pool& pool) override;
  void on_start(Worker& worker) override;
  void on_exit(Worker& worker) override;
  void on_sleep(Worker& worker) override;
  void on_wake(Worker& worker) override;
  void attach(Worker& worker) override;
  void detach(Worker& worker) override { attachment(worker).detach(); }
  bool wants_attach(Worker& worker) override { return attachment(worker).drops() > 0; }
  std::chrono::nanoseconds linger_time(Worker& worker) override;
  void on_linger(Worker& worker) override;

 private:
  PyObject* const engine_;  // borrowed: the engine owns us
};

// Keeps words on different lines of the cache that different threads write, where they
// do so at the same time.  (Python does not align objects to lines.)
struct Apart {
#ifdef Py_GIL_DISABLED
  char room[kCacheLine];
#endif
};

struct Counters {
  std::atomic<std::uint64_t> submitted{0};  // tasks and items, these four alike
  Apart apart;
  std::atomic<std::uint64_t> completed{0};  // but for WorkerCounts::completed
  std::atomic<std::uint64_t> failed{0};
  std::atomic<std::uint64_t> cancelled{0};
};

struct Engine : PyObject {
  ~Engine();
  int traverse(visitproc visit, void* arg) const;
  void clear();
  void finalize();

  PyObject* weakrefs = nullptr;
  Apart from_references;  // which each submission counts
  Pool* pool = nullptr;
  PoolHooks* hooks = nullptr;
  PyObject* spawner = nullptr;   // callable(engine); starts a thread
  PyObject* activity = nullptr;  // callable(bool), if given: busy / idle for a while
  bool propagate_context = true;
  bool caller_may_run = true;  // no initializer: callers may run tasks themselves
  OnFull on_full = OnFull::kBlock;
  std::int64_t max_pending = 0;         // 0: no limit
  std::atomic<bool> shut_down{false};   // no more submissions
  std::atomic<bool> cancel_all{false};  // queued tasks are to be cancelled
  std::atomic<bool> broken{false};      // an initializer failed
  std::atomic<bool> forked{false};      // in a child: the threads are gone
  std::atomic<bool> active{false};      // activity(True) was called last

  Apart from_settings;
  Counters counters;
  // Nodes that ended without the interpreter.
  std::atomic<std::uint64_t> kernels_done{0};
  std::atomic<std::int64_t> pending{0};       // counted only if max_pending > 0
  std::atomic<bool> room_wanted{false};       // a submitter waits for pending to fall
  std::uint64_t unobserved = 0;               // failures that nobody looked at
  PyObject* first_unobserved = nullptr;       // that of the earliest of these tasks
  std::uint64_t first_unobserved_number = 0;  // the number of that task
};

extern PyTypeObject* engine_type;
inline Engine* engine_of(PyObject* object) { return static_cast<Engine*>(object); }
bool add_engine_type(PyObject* module);

// What all engines have to do, for whoever looks now and then; without the interpreter.
struct Load {
  std::uint64_t ready = 0, running = 0;  // tasks and items
};
Load load_of_all_engines() noexcept;
// In a forked child: those of the parent have nothing to do.
void forget_engines_after_fork();

// A task or an item of the engine has completed on this thread.  Where workers run
// Python code at the same time, each has a count of its own.
inline void count_completed(Engine* engine) {
#ifdef Py_GIL_DISABLED
  Worker* worker = Worker::current();
  if (worker != nullptr && &worker->pool() == engine->pool) {
    WorkerCounts::add(worker->counts().completed);
    return;
  }
#endif
  bump(engine->counters.completed);
}

// What is unusual in the whole process; submissions look at it.
inline constexpr unsigned kExiting = 1;    // they are refused (threading's own atexit)
inline constexpr unsigned kRecording = 2;  // see recording.hpp
extern std::atomic<unsigned> process_state;

// Raises the error that a submission gets now, if any: kNo.
enum class Accepts { kNo, kYes, kRecorded };
Accepts accepts_unusually(Engine* engine);
inline Accepts accepts(Engine* engine) {
  // relaxed, all of them: flags that are set once, or hints.
  const unsigned unusual =
      process_state.load(std::memory_order_relaxed) |
      static_cast<unsigned>(engine->broken.load(std::memory_order_relaxed)) |
      static_cast<unsigned>(engine->shut_down.load(std::memory_order_relaxed));
  return unusual == 0 ? Accepts::kYes : accepts_unusually(engine);
}
inline bool accepts_work(Engine* engine) { return accepts(engine) != Accepts::kNo; }

// Starts a thread if `need` asks for one; false with an exception when that failed.
bool satisfy(Engine* engine, Need need);

// What pending tasks of an engine that is broken, or was left behind by a fork, end
// with.
PyObject* broken_error(Engine* engine);
// Whether an initializer failed; then with broken_error as the exception.  Whoever is
// about to call a task or an item asks.
bool refuse(Engine* engine);
inline bool refuse_if_broken(Engine* engine) {
  // relaxed: the thread whose initializer failed sees it, and others soon.
  return engine->broken.load(std::memory_order_relaxed) && refuse(engine);
}

// Makes room for one more pending task if there is a limit, waiting for it if that is
// what the engine does when full.  kRun: the caller shall run the task itself.
enum class Room { kQueue, kRun, kError };
Room make_room(Engine* engine);
// A task left the queue: started or cancelled.  Any thread state.
void task_started(Engine* engine);

// Counts a failure whose future died without anybody asking for it; or several, of
// which this was the first.
void add_unobserved(Engine* engine, PyObject* exception, std::uint64_t number,
                    std::uint64_t count = 1);

}  // namespace fastflow::py
