#include "engine.hpp"

#include <algorithm>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#include "guarded.hpp"
#include "keywords.hpp"
#include "object.hpp"
#include "parking_lot.hpp"
#include "recording.hpp"
#include "wait.hpp"

namespace fastflow::py {

PyTypeObject* engine_type = nullptr;
std::atomic<unsigned> process_state{0};

namespace {

Engine* self_of(PyObject* object) { return engine_of(object); }

// --- all engines ---------------------------------------------------------------------

struct Engines {
  std::mutex mutex;
  std::vector<Engine*> all;
};
// Never destroyed: threads may look late.
alignas(Engines) unsigned char engines_storage[sizeof(Engines)];
Engines* g_engines = new (engines_storage) Engines;

void enlist(Engine* e) {
  const std::lock_guard guard(g_engines->mutex);
  g_engines->all.push_back(e);
}

void delist(Engine* e) {
  const std::lock_guard guard(g_engines->mutex);
  std::erase(g_engines->all, e);
}

// As stats() has it.
Load load_of(const Engine& e) noexcept {
  const auto get = [](const std::atomic<std::uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);  // statistics
  };
  // What has ended first: it is no more than what was submitted after that.
  const std::uint64_t ended = get(e.counters.completed) + get(e.kernels_done) +
                              e.pool->counts().completed + get(e.counters.failed) +
                              get(e.counters.cancelled);
  const std::uint64_t submitted = get(e.counters.submitted);
  const std::uint64_t pending = submitted > ended ? submitted - ended : 0;
  const std::uint64_t running =
      std::min<std::uint64_t>(pending, e.pool->active_workers());
  return {pending - running, running};
}

// --- construction --------------------------------------------------------------------

Keywords engine_keywords("Engine",
                         {"limit", "spawner", "activity", "caller_may_run",
                          "max_pending", "on_full", "propagate_context"},
                         2);

PyObject* engine_new(PyObject*, PyObject* const* args, std::size_t nargs,
                     PyObject* names) {
  int limit = 0, on_full = 0;
  bool caller_may_run = true, propagate_context = true;
  PyObject *spawner = nullptr, *activity = Py_None;
  std::int64_t max_pending = 0;
  if (!engine_keywords.read({args, PyVectorcall_NARGS(nargs), names}, &limit, &spawner,
                            &activity, &caller_may_run, &max_pending, &on_full,
                            &propagate_context)) {
    return nullptr;
  }
  if (limit < 1 || max_pending < 0 || on_full < 0 || on_full > 2) {
    PyErr_SetString(PyExc_ValueError, "Engine: argument out of range");
    return nullptr;
  }
  Ref object = make<Engine>(engine_type);
  if (!object) return nullptr;
  Engine* e = self_of(object.get());
  e->spawner = Py_NewRef(spawner);
  e->activity = activity == Py_None ? nullptr : Py_NewRef(activity);
  e->propagate_context = propagate_context;
  e->caller_may_run = caller_may_run;
  e->on_full = static_cast<OnFull>(on_full);
  e->max_pending = max_pending;
  e->hooks = new PoolHooks(object.get());
  e->pool = new Pool(static_cast<std::uint32_t>(limit), *e->hooks);
  enlist(e);
  return object.release();
}

// False with an exception; then they are still to be reported.
bool report_unobserved(Engine* e) {
  Ref first;
  std::uint64_t count, number;
  {
    ObjectLock lock(reinterpret_cast<PyObject*>(e));
    if (e->unobserved == 0 || imports.log_unobserved == nullptr) return true;
    first = Ref::steal(std::exchange(e->first_unobserved, nullptr));
    count = std::exchange(e->unobserved, 0);
    number = e->first_unobserved_number;
  }
  Ref done = Ref::steal(PyObject_CallFunction(imports.log_unobserved, "KO",
                                              static_cast<unsigned long long>(count),
                                              first.get()));
  if (done) return true;
  add_unobserved(e, first.get(), number, count);  // others may have come meanwhile
  return false;
}

}  // namespace

Load load_of_all_engines() noexcept {
  Load total;
  const std::lock_guard guard(g_engines->mutex);
  for (const Engine* e : g_engines->all) {
    const Load load = load_of(*e);
    total.ready += load.ready;
    total.running += load.running;
  }
  return total;
}

void forget_engines_after_fork() { g_engines = new (engines_storage) Engines; }

Engine::~Engine() {
  delist(this);
  // A forked child leaves the pool alone: its threads are gone and a lock may be held.
  if (forked.load()) return;
  delete pool;
  delete hooks;
}

int Engine::traverse(visitproc visit, void* arg) const {
  return visit_all(visit, arg, spawner, activity, first_unobserved);
}

void Engine::clear() { clear_all(spawner, activity, first_unobserved); }

void Engine::finalize() {
  Ref error = Ref::steal(PyErr_Occurred() ? take_exception() : nullptr);
  if (!report_unobserved(this)) PyErr_WriteUnraisable(nullptr);
  if (error) raise_exception(error.get());
}

namespace {

// --- methods -------------------------------------------------------------------------

// REQUIRES: shut_down is set.
void finish_and_leave(Engine* e) {
  parking_lot::announce(&e->room_wanted);
  if (!e->forked.load()) e->pool->stop();
}

// Whether the calling thread gets the one thing that is in the list (pop is atomic).
bool take(PyObject* ticket) {
  if (Ref::steal(PyObject_CallMethod(ticket, "pop", nullptr))) return true;
  PyErr_Clear();
  return false;
}

// A thread's last step must be made.  What hinders it may be a trace or a profile
// function that raises, which Python calls no more then.
void call_surely(PyObject* function) {
  for (int hindered = 0; hindered < 3; ++hindered) {
    if (Ref::steal(PyObject_CallNoArgs(function))) return;
    PyErr_WriteUnraisable(function);
  }
}

Keywords worker_keywords("run_worker", {"ticket", "begin", "end"});

// The body of a worker thread.  Nothing here is Python's but `begin` and `end`, so no
// trace function can end a thread that somebody counts on.
PyObject* run_worker(PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                     PyObject* names) {
  PyObject *ticket, *begin, *end;
  if (!worker_keywords.read({args, nargs, names}, instance(&PyList_Type, &ticket),
                            &begin, &end)) {
    return nullptr;
  }
  if (take(ticket)) {
    if (begin != Py_None && !Ref::steal(PyObject_CallNoArgs(begin))) {
      // As if the initializer had failed: this thread fails what is queued, and leaves.
      PyErr_WriteUnraisable(begin);
      self_of(self)->broken.store(true);
      self_of(self)->shut_down.store(true);
      finish_and_leave(self_of(self));
    }
    allocate_thread_data_of_exceptions();
    Attachment mine(PyThreadState_Get());
    self_of(self)->pool->run_worker(&mine);
  }
  call_surely(end);
  Py_RETURN_NONE;
}

// The spawner raises an exception but the thread has started all the same: makes up for
// the reservation that the failure takes away.
PyObject* keep_reservation(PyObject* self, PyObject*) {
  self_of(self)->pool->keep_reservation();
  Py_RETURN_NONE;
}

// A queued task that a free worker is on its way to counts as started: lets the workers
// take what they can before the rest is cancelled.  Bounded, in case a worker can't
// come.
void let_workers_start(Engine* e) {
  Detached detached;
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
  while (e->pool->has_work() && e->pool->someone_is_searching() &&
         std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

PyObject* stop(PyObject* self, PyObject* cancel) {
  Engine* e = self_of(self);
  const int cancel_futures = PyObject_IsTrue(cancel);
  if (cancel_futures < 0) return nullptr;
  e->shut_down.store(true);
  if (cancel_futures != 0) {
    if (!e->forked.load()) let_workers_start(e);
    e->cancel_all.store(true);
  }
  finish_and_leave(e);
  Py_RETURN_NONE;
}

// wait_stopped(seconds) -> bool: whether the stopped engine has no thread and no work.
PyObject* wait_stopped(PyObject* self, PyObject* timeout) {
  Engine* e = self_of(self);
  double seconds;
  if (!parse_timeout(timeout, &seconds)) return nullptr;
  if (e->forked.load()) Py_RETURN_TRUE;
  bool stopped;
  {
    Detached detached;
    stopped = e->pool->wait_until_stopped(
        std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9)));
  }
  // Work is left, nobody is there to do it, and no thread could be started for it.
  if (PyErr_Occurred()) return nullptr;
  if (PyErr_CheckSignals() < 0) return nullptr;
  return PyBool_FromLong(stopped);
}

PyObject* set_broken(PyObject* self, PyObject*) {
  self_of(self)->broken.store(true);
  Py_RETURN_NONE;
}

PyObject* mark_forked(PyObject* self, PyObject*) {
  self_of(self)->forked.store(true);
  Py_RETURN_NONE;
}

PyObject* report(PyObject* self, PyObject*) {
  if (!report_unobserved(self_of(self))) return nullptr;
  Py_RETURN_NONE;
}

PyObject* stats(PyObject* self, PyObject*) {
  Engine* e = self_of(self);
  const PoolCounts pool = e->forked.load() ? PoolCounts{} : e->pool->counts();
  const auto get = [](const std::atomic<std::uint64_t>& counter) {
    return static_cast<unsigned long long>(counter.load(std::memory_order_relaxed));
  };
  return Py_BuildValue("(KKKKKKII)", get(e->counters.submitted),
                       get(e->counters.completed) + get(e->kernels_done) +
                           static_cast<unsigned long long>(pool.completed),
                       get(e->counters.failed), get(e->counters.cancelled),
                       static_cast<unsigned long long>(pool.stolen),
                       static_cast<unsigned long long>(pool.parked), pool.workers,
                       pool.blocked);
}

PyObject* get_shut_down(PyObject* self, void*) {
  return PyBool_FromLong(self_of(self)->shut_down.load());
}
PyObject* get_broken(PyObject* self, void*) {
  return PyBool_FromLong(self_of(self)->broken.load());
}
PyObject* get_forked(PyObject* self, void*) {
  return PyBool_FromLong(self_of(self)->forked.load());
}
PyObject* get_limit(PyObject* self, void*) {
  return PyLong_FromUnsignedLong(self_of(self)->pool->limit());
}
PyObject* get_spawner(PyObject* self, void*) {
  PyObject* spawner = self_of(self)->spawner;
  return Py_NewRef(spawner != nullptr ? spawner : Py_None);
}
PyObject* get_caller_may_run(PyObject* self, void*) {
  return PyBool_FromLong(self_of(self)->caller_may_run);
}

PyObject* get_active(PyObject* self, void*) {
  return PyLong_FromUnsignedLong(self_of(self)->pool->active_workers());
}

PyMethodDef methods[] = {
    {"run_worker", method<run_worker>(), METH_FASTCALL | METH_KEYWORDS,
     "run_worker(*, ticket, begin, end): the body of a worker thread.  It works if it\n"
     "gets what is in the list."},
    {"keep_reservation", method<keep_reservation>(), METH_NOARGS,
     "For a spawner that raises although its thread has started."},
    {"stop", method<stop>(), METH_O,
     "stop(cancel_futures): finish what is queued, then leave."},
    {"wait_stopped", method<wait_stopped>(), METH_O,
     "wait_stopped(seconds) -> bool: no thread is left and no work."},
    {"set_broken", method<set_broken>(), METH_NOARGS, "An initializer failed."},
    {"mark_forked", method<mark_forked>(), METH_NOARGS,
     "In a forked child: the threads are gone."},
    {"report_unobserved", method<report>(), METH_NOARGS,
     "Logs failures nobody looked at."},
    {"stats", method<stats>(), METH_NOARGS,
     "(submitted, completed, failed, cancelled, stolen, parked, workers, blocked)"},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef getset[] = {
    {"shut_down", guarded<get_shut_down>, nullptr, nullptr, nullptr},
    {"broken", guarded<get_broken>, nullptr, nullptr, nullptr},
    {"forked", guarded<get_forked>, nullptr, nullptr, nullptr},
    {"limit", guarded<get_limit>, nullptr, nullptr, nullptr},
    {"spawner", guarded<get_spawner>, nullptr, nullptr, nullptr},
    {"caller_may_run", guarded<get_caller_may_run>, nullptr, nullptr, nullptr},
    {"active", guarded<get_active>, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

}  // namespace

bool add_engine_type(PyObject* module) {
  return add_type<Engine>(
      module, "fastflow._core.Engine", &engine_type,
      {.methods = methods, .getset = getset, .create = guarded<engine_new>});
}

Accepts accepts_unusually(Engine* e) {
  if (e->broken.load(std::memory_order_relaxed)) {
    PyErr_SetString(imports.broken_executor,
                    "a worker's initializer failed; the pool is not usable anymore");
  } else if ((process_state.load(std::memory_order_relaxed) & kExiting) != 0) {
    PyErr_SetString(PyExc_RuntimeError,
                    "cannot schedule new futures after interpreter shutdown");
  } else if (e->shut_down.load(std::memory_order_relaxed)) {
    PyErr_SetString(PyExc_RuntimeError, "cannot schedule new futures after shutdown");
  } else {
    return Accepts::kRecorded;
  }
  return Accepts::kNo;
}

PyObject* broken_error(Engine* e) {
  PyErr_SetString(
      imports.broken_executor,
      e->forked.load()
          ? "the process forked while this task was pending: it belongs to "
            "the parent; submit it again in the child"
          : "a worker's initializer failed; the pool is not usable anymore");
  return take_exception();
}

bool refuse(Engine* e) {
  Ref error = Ref::steal(broken_error(e));
  raise_exception(error.get());
  return true;
}

bool satisfy(Engine* e, Need need) {
  if (need != Need::kThread || e->pool->start_thread()) return true;
  if (PyErr_Occurred()) return false;
  // Only a worker's spawn() fails without an exception.
  if (current_worker() == nullptr) {
    PyErr_NoMemory();
  } else {
    PyErr_SetString(PyExc_RuntimeError, "can't start new thread");
  }
  return false;
}

namespace {

class RoomWanted final : public Waitable {
 public:
  explicit RoomWanted(Engine* e) : e_(e) {}
  const void* key() const override { return &e_->room_wanted; }
  bool done() const override {
    return e_->pending.load() < e_->max_pending || e_->shut_down.load();
  }
  bool enlist(bool) override {
    e_->room_wanted.store(true);  // seq_cst, against task_started
    return done();
  }

 private:
  Engine* e_;
};

}  // namespace

Room make_room(Engine* e) {
  if (e->max_pending == 0) return Room::kQueue;
  for (;;) {
    if (e->pending.fetch_add(1) < e->max_pending) return Room::kQueue;
    e->pending.fetch_sub(1);
    if (e->on_full == OnFull::kCallerRuns) return Room::kRun;
    if (e->on_full == OnFull::kRaise) {
      PyErr_Format(imports.queue_full,
                   "%lld tasks are pending, which is the executor's max_pending; wait "
                   "for some of them, or use on_full='block' or 'caller_runs'",
                   static_cast<long long>(e->max_pending));
      return Room::kError;
    }
    RoomWanted room(e);
    if (wait_for(room, -1) == WaitEnd::kError) return Room::kError;
    if (!accepts_work(e)) return Room::kError;
  }
}

void task_started(Engine* e) {
  if (e->max_pending == 0) return;
  const std::int64_t left = e->pending.fetch_sub(1) - 1;
  // Wake the submitter for a quarter of the room at a time, not for every task.
  if (left <= e->max_pending - e->max_pending / 4 - 1 && e->room_wanted.load() &&
      e->room_wanted.exchange(false)) {
    parking_lot::announce(&e->room_wanted);
  }
}

// Futures die in any order, above all without an interpreter lock.  So the first one is
// told by the number of its task.
void add_unobserved(Engine* e, PyObject* exception, std::uint64_t number,
                    std::uint64_t count) {
  Ref replaced;  // goes after the lock, as it may run code of the user
  ObjectLock lock(reinterpret_cast<PyObject*>(e));
  const bool is_first = std::exchange(e->unobserved, e->unobserved + count) == 0;
  if (!is_first && number > e->first_unobserved_number) return;
  replaced = Ref::steal(std::exchange(e->first_unobserved, Py_NewRef(exception)));
  e->first_unobserved_number = number;
}

// --- hooks ---------------------------------------------------------------------------

bool PoolHooks::spawn(Pool&) {
  Worker* worker = current_worker();
  const bool was_detached = PyGILState_Check() == 0;
  PyGILState_STATE gil{};
  if (was_detached) gil = PyGILState_Ensure();
  PyObject* pending = PyErr_Occurred() ? take_exception() : nullptr;
  PyObject* spawner = reinterpret_cast<Engine*>(engine_)->spawner;
  // The reference goes while the interpreter lock is held.
  const bool ok = static_cast<bool>(Ref::steal(PyObject_CallOneArg(spawner, engine_)));
  // A worker that wanted company does without; a submitter is told.
  if (!ok && worker != nullptr) PyErr_Clear();
  if (pending != nullptr) {
    raise_exception(pending);
    Py_DECREF(pending);
  }
  if (was_detached) PyGILState_Release(gil);
  return ok;
}

namespace {

// Tells the Python layer that the pool starts or ends a time of activity.
void set_active(Engine* e, bool active) {
  if (e->activity == nullptr || e->active.exchange(active) == active) return;
  // Calls of several threads may overtake each other: the last one to return says what
  // is the case then.
  do {
    active = e->active.load();
    Ref done =
        Ref::steal(PyObject_CallOneArg(e->activity, active ? Py_True : Py_False));
    if (!done) PyErr_WriteUnraisable(e->activity);
  } while (e->active.load() != active);
}

}  // namespace

void PoolHooks::on_start(Worker& worker) {
  attachment(worker).enter_fresh_context();
  attachment(worker).detach();
}

void PoolHooks::attach(Worker& worker) {
  {
    const recording::Noted waits(SpanKind::kLock);
    attachment(worker).attach();
  }
  Engine* e = reinterpret_cast<Engine*>(engine_);
  // relaxed: attached threads are ordered by the interpreter's lock; without one, two
  // calls in a row do no harm.
  if (e->activity != nullptr && !e->active.load(std::memory_order_relaxed)) {
    set_active(e, true);
  }
}

void PoolHooks::on_sleep(Worker&) {
  if (recording::Lane* lane = recording::lane()) {
    lane->begin({SpanRecord::kNone}, false, SpanKind::kIdle);
  }
}

void PoolHooks::on_wake(Worker&) { recording::end_idle(); }

void PoolHooks::on_exit(Worker& worker) {
  Attachment* mine = &attachment(worker);
  mine->attach();
  Engine* e = reinterpret_cast<Engine*>(engine_);
  if (e->pool->live() == 1) set_active(e, false);
  mine->leave_context();
}

std::chrono::nanoseconds PoolHooks::linger_time(Worker&) {
  Engine* e = reinterpret_cast<Engine*>(engine_);
  return e->active.load() ? std::chrono::milliseconds(20)
                          : std::chrono::nanoseconds::max();
}

void PoolHooks::on_linger(Worker& worker) {
  Engine* e = reinterpret_cast<Engine*>(engine_);
  if (e->pool->active_workers() > 0 || !e->active.load()) return;
  attachment(worker).attach();
  set_active(e, false);
  attachment(worker).detach();
}

}  // namespace fastflow::py
