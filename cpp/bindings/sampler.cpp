#include "sampler.hpp"

#if !defined(_WIN32)
#include <sys/resource.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <vector>

#include "engine.hpp"
#include "futex.hpp"
#include "gil.hpp"
#include "guarded.hpp"
#include "keywords.hpp"
#include "object.hpp"
#include "stamp.hpp"
#include "usage.hpp"

namespace fastflow::py {

namespace {

// As seeing/counters reads it.
struct Row {
  std::int64_t time;    // ns
  double cpu, starved;  // cores in use, threads without one; the latter -1: not known
  std::uint64_t ready, running;  // tasks and items
};

constexpr int kMostThreads = 200;     // of which waits for a core are looked at
constexpr std::int64_t kShare = 200;  // a measurement may take such a part of the time

std::int64_t process_id() noexcept {
#if !defined(_WIN32)
  return ::getpid();
#else
  return 0;
#endif
}

struct SamplerObject : PyObject {
  SamplerObject(std::int64_t every_ns, std::size_t room) : every(every_ns), most(room) {
    rows.reserve(most);
  }

  FutexWord over{0};
  std::atomic<bool> running{false};
  const std::int64_t process = process_id();
  // Of the thread that is in run().
  std::int64_t every, next = 0;  // ns
  const std::size_t most;
  std::vector<Row> rows;
  std::vector<std::int64_t> processes;  // whose processor time counts, too
  std::int64_t before = 0, cpu = 0, starved = 0;
};

PyTypeObject* sampler_type = nullptr;
SamplerObject* sampler_of(PyObject* object) {
  return static_cast<SamplerObject*>(object);
}

// --- measuring: without the interpreter ----------------------------------------------

std::int64_t cpu_of_all(const SamplerObject& s) noexcept {
  std::int64_t total = cpu_ns();
  for (const std::int64_t pid : s.processes) total += cpu_ns_of(pid);
  return total;
}

// What later ones are compared with.
void look_first(SamplerObject& s) noexcept {
  s.before = steady_ns();
  s.cpu = cpu_of_all(s);
  s.starved = starved_ns(kMostThreads);
  s.next = s.before + s.every;
}

void keep(SamplerObject& s, const Row& row) noexcept {
  if (s.rows.size() == s.most) {
    for (std::size_t i = 0; i < s.most / 2; ++i) s.rows[i] = s.rows[2 * i];
    s.rows.resize(s.most / 2, row);
    s.every *= 2;
  }
  s.rows.push_back(row);
}

void measure(SamplerObject& s) noexcept {
  const std::int64_t spent = thread_cpu_ns();
  const std::int64_t now = steady_ns();
  const std::int64_t cpu = cpu_of_all(s);
  const std::int64_t starved = starved_ns(kMostThreads);
  const Load load = load_of_all_engines();
  const auto passed = static_cast<double>(std::max<std::int64_t>(now - s.before, 1));
  // Both fall where what has been counted ends.
  const auto rate = [&](std::int64_t then, std::int64_t there) {
    return static_cast<double>(std::max<std::int64_t>(there - then, 0)) / passed;
  };
  const double waiting = starved < 0 || s.starved < 0 ? -1.0 : rate(s.starved, starved);
  keep(s, {now, rate(s.cpu, cpu), waiting, load.ready, load.running});
  s.before = now;
  s.cpu = cpu;
  s.starved = starved;
  s.next = now + std::max(s.every, kShare * (thread_cpu_ns() - spent));
}

// False: it is over.
bool measure_until(SamplerObject& s, std::int64_t end) noexcept {
  if (s.before == 0) look_first(s);
  for (;;) {
    if (s.over.load() != 0) return false;
    const std::int64_t now = steady_ns();
    if (now >= s.next) {
      measure(s);
    } else if (now >= end) {
      return true;
    } else {
      futex_wait_for(s.over, 0, std::chrono::nanoseconds(std::min(s.next, end) - now));
    }
  }
}

// --- for Python ----------------------------------------------------------------------

Keywords sampler_keywords("Sampler", {"every", "most"});

PyObject* sampler_new(PyObject*, PyObject* const* args, std::size_t nargs,
                      PyObject* names) {
  std::int64_t every = 0, most = 0;
  if (!sampler_keywords.read({args, PyVectorcall_NARGS(nargs), names}, &every, &most)) {
    return nullptr;
  }
  if (every < 1 || most < 2) {
    PyErr_SetString(PyExc_ValueError, "Sampler: every >= 1 (ns), most >= 2");
    return nullptr;
  }
  return make<SamplerObject>(sampler_type, every, static_cast<std::size_t>(most))
      .release();
}

// Those that were not there before have had their time until now for nobody.
bool read_processes(PyObject* pids, SamplerObject* s) {
  std::vector<std::int64_t> found;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(pids); ++i) {
    const long long pid = PyLong_AsLongLong(PyTuple_GET_ITEM(pids, i));
    if (pid == -1 && PyErr_Occurred() != nullptr) return false;
    found.push_back(pid);
  }
  if (found == s->processes) return true;
  s->processes.swap(found);
  if (s->before != 0) look_first(*s);
  return true;
}

// How often this thread has given its processor up by itself; -1: not known.
long sleeps_of_thread() noexcept {
#if defined(RUSAGE_THREAD)
  rusage usage{};
  if (::getrusage(RUSAGE_THREAD, &usage) == 0) return usage.ru_nvcsw;
#endif
  return -1;
}

// The one who is in run().
class Running {
 public:
  explicit Running(SamplerObject* s) : s_(s) {
    if (!s->running.exchange(true, std::memory_order_acquire)) return;
    s_ = nullptr;
    PyErr_SetString(PyExc_RuntimeError, "another thread is in run()");
  }
  ~Running() {
    if (s_ != nullptr) s_->running.store(false, std::memory_order_release);
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  explicit operator bool() const noexcept { return s_ != nullptr; }

 private:
  SamplerObject* s_;
};

// run(seconds, pids) -> ns that it took to get the interpreter lock afterwards, 0 if it
// was free or there is none; -1: it is over.
PyObject* sampler_run(PyObject* self, PyObject* const* args, Py_ssize_t nargs) {
  SamplerObject* s = sampler_of(self);
  if (nargs != 2 || !PyTuple_Check(args[1])) {
    PyErr_SetString(PyExc_TypeError, "run(seconds, pids)");
    return nullptr;
  }
  const double seconds = PyFloat_AsDouble(args[0]);
  if (seconds == -1.0 && PyErr_Occurred() != nullptr) return nullptr;
  if (!(seconds >= 0 && seconds <= 3600)) {
    PyErr_SetString(PyExc_ValueError, "run: 0 to 3600 seconds");
    return nullptr;
  }
  Running running(s);
  if (!running || !read_processes(args[1], s)) return nullptr;
  const std::int64_t end = steady_ns() + static_cast<std::int64_t>(seconds * 1e9);
  bool goes_on = false;
  long sleeps = -1;
  std::int64_t asked = 0;
  {
    Detached detached;
    goes_on = measure_until(*s, end);
    sleeps = sleeps_of_thread();
    asked = steady_ns();
  }
  if (!goes_on) return PyLong_FromLong(-1);
#ifdef Py_GIL_DISABLED
  (void)sleeps, (void)asked;
  return PyLong_FromLong(0);
#else
  // Who did not go to sleep for it was at most kept from the processor.
  const bool waited = sleeps < 0 || sleeps_of_thread() != sleeps;
  return PyLong_FromLongLong(waited ? steady_ns() - asked : 0);
#endif
}

// end(): run() returns, now and ever after.
PyObject* sampler_end(PyObject* self, PyObject*) {
  SamplerObject* s = sampler_of(self);
  s->over.store(1);
  futex_wake(s->over, 1);
  Py_RETURN_NONE;
}

// rows() -> bytes: what was measured, while nobody is in run().
PyObject* sampler_rows(PyObject* self, PyObject*) {
  SamplerObject* s = sampler_of(self);
  if (s->process != process_id()) return PyBytes_FromStringAndSize(nullptr, 0);
  Running running(s);
  if (!running) return nullptr;
  return PyBytes_FromStringAndSize(
      reinterpret_cast<const char*>(s->rows.data()),
      static_cast<Py_ssize_t>(s->rows.size() * sizeof(Row)));
}

PyMethodDef methods[] = {
    {"run", method<sampler_run>(), METH_FASTCALL,
     "run(seconds, pids) -> ns it took to get the interpreter lock; -1: it is over"},
    {"end", method<sampler_end>(), METH_NOARGS, "Ends run(), now and ever after."},
    {"rows", method<sampler_rows>(), METH_NOARGS, "What was measured."},
    {nullptr, nullptr, 0, nullptr}};

}  // namespace

bool add_sampler_type(PyObject* module) {
  return add_type<SamplerObject>(module, "fastflow._core.Sampler", &sampler_type,
                                 {.methods = methods, .create = guarded<sampler_new>});
}

}  // namespace fastflow::py
