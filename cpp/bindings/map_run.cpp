#include "map_run.hpp"

#include <algorithm>
#include <chrono>
#include <climits>
#include <vector>

#include "call.hpp"
#include "compiler.hpp"
#include "future.hpp"
#include "parking_lot.hpp"
#include "recording.hpp"
#include "run_token.hpp"
#include "task_context.hpp"
#include "wait.hpp"

namespace fastflow::py {

namespace {

using Clock = std::chrono::steady_clock;

// A result slot holds a new reference, or an exception marked by the lowest bit.
constexpr std::uintptr_t kExceptionBit = 1;

PyObject* mark(PyObject* exception) {
  return reinterpret_cast<PyObject*>(reinterpret_cast<std::uintptr_t>(exception) |
                                     kExceptionBit);
}
bool is_marked(PyObject* slot) {
  return (reinterpret_cast<std::uintptr_t>(slot) & kExceptionBit) != 0;
}
PyObject* unmark(PyObject* slot) {
  return reinterpret_cast<PyObject*>(reinterpret_cast<std::uintptr_t>(slot) &
                                     ~kExceptionBit);
}

std::atomic_ref<PyObject*> slot_of(MapObject* map, std::int64_t i) {
  PyObject** items = reinterpret_cast<PyListObject*>(map->results)->ob_item;
  return std::atomic_ref<PyObject*>(items[i]);
}

// --- claiming ------------------------------------------------------------------------

void close(MapObject* map);

std::int64_t claim(MapObject* map, std::int64_t count) {
#ifdef Py_GIL_DISABLED
  return map->next.fetch_add(count);
#else
  // relaxed: all participants hold the interpreter lock here.
  const std::int64_t i = map->next.load(std::memory_order_relaxed);
  map->next.store(i + count, std::memory_order_relaxed);
  return i;
#endif
}

// Items from here on that have not begun never will.  REQUIRES: those before it are
// claimed.
void cut_at(MapObject* map, std::int64_t index) {
  std::int64_t cut = map->cut.load();
  while (index < cut && !map->cut.compare_exchange_weak(cut, index)) {
  }
  close(map);
  if (map->wanted.load() >= 0) parking_lot::announce(map);
}

bool all_claimed(MapObject* map) {
  return map->next.load() >= std::min(map->n, map->cut.load());
}

// --- one item ------------------------------------------------------------------------

void fail(MapObject* map, std::int64_t i, PyObject* error) {
  Ref old;  // goes after the lock, as it may run code of the user
  ObjectLock lock(reinterpret_cast<PyObject*>(map));
  if (map->error != nullptr && i >= map->error_index) return;
  old = Ref::steal(std::exchange(map->error, Py_NewRef(error)));
  map->error_index = i;
}

PyObject* call_item(MapObject* map, std::int64_t i) {
  if (refuse_if_broken(map->engine)) return nullptr;
  CallArguments args;
  if (!args.open(static_cast<std::size_t>(map->width))) return nullptr;
  int got = 0;
  PyObject* result = nullptr;
  while (got < map->width) {
    PyObject* arg = map->sources[got].get(static_cast<Py_ssize_t>(i));
    if (arg == nullptr) break;
    args[static_cast<std::size_t>(got++)] = arg;
  }
  if (got == map->width) {
    if (map->star) {
      Ref tuple = Ref::steal(PySequence_Tuple(args[0]));
      if (tuple) result = PyObject_Call(map->function, tuple.get(), nullptr);
    } else {
      result = PyObject_Vectorcall(
          map->function, args.data(),
          static_cast<std::size_t>(got) | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
    }
  }
  for (int k = 0; k < got; ++k) Py_DECREF(args[static_cast<std::size_t>(k)]);
  return result;
}

// What is noted of a participant's items, if they are recorded.
template <bool kRecorded>
class Noting {
 public:
  explicit Noting(MapObject*) {}
  void begin(std::int64_t) {}
  void end() {}
  void fail(PyObject*) {}
  void interrupted() {}
};

template <>
class Noting<true> {
 public:
  explicit Noting(MapObject* map)
      : lane_(recording::lane()),
        run_(map->run),
        label_(recording::label_of(map->function)) {}
  void begin(std::int64_t i) {
    // Each time: the recording may be over meanwhile.
    lane_ = recording::lane();
    if (lane_ != nullptr) lane_->begin({label_, run_, i}, follows_);
  }
  void end() {
    if (lane_ != nullptr) lane_->end(SpanState::kDone);
    follows_ = true;
  }
  void fail(PyObject* error) {
    if (lane_ == nullptr) return;
    const std::uint64_t now = stamp();
    lane_->end(SpanState::kFailed, recording::failure_of(error), now);
    follows_ = false;
  }
  // Something else came after the last item.
  void interrupted() { follows_ = false; }

 private:
  recording::Lane* lane_;
  const std::uint32_t run_, label_;
  bool follows_ = false;
};

// After an item that raised: gives what its result slot gets, if anything.  False as
// run_item.
template <bool kRecorded>
FASTFLOW_COLD bool item_failed(MapObject* map, std::int64_t i, bool is_caller,
                               PyObject** result, Noting<kRecorded>& noting) {
  Ref error = Ref::steal(take_exception());
  noting.fail(error.get());
  const bool ordinary = PyObject_IsInstance(error.get(), PyExc_Exception) > 0;
  add_note(error.get(), map->function, "item", static_cast<std::uint64_t>(i));
  if (is_caller && PyErr_GivenExceptionMatches(error.get(), PyExc_KeyboardInterrupt)) {
    raise_exception(error.get());
    return false;
  }
  if (map->return_exceptions && ordinary) {
    *result = error.release();
    return true;
  }
  fail(map, i, error.get());
  if (map->stop_on_error) {
    cancel_map(map);
  } else {
    *result = mark(error.release());
  }
  return true;
}

// False: stop, an exception that is not an item's business is set (Ctrl-C).
template <bool kRecorded>
FASTFLOW_INLINE bool run_item(MapObject* map, std::int64_t i, bool is_caller,
                              std::uint64_t* failures, Noting<kRecorded>& noting) {
  noting.begin(i);
  PyObject* result = call_item(map, i);
  if (result == nullptr) {
    ++*failures;
    if (!item_failed(map, i, is_caller, &result, noting)) return false;
  } else {
    noting.end();
  }
  if (map->results == nullptr) {
    if (!is_marked(result)) Py_XDECREF(result);
  } else if (result != nullptr) {
#ifdef Py_GIL_DISABLED
    slot_of(map, i).store(result);  // seq_cst, against ItemEnd::enlist
#else
    // relaxed: readers hold the interpreter lock, or re-check under it.
    slot_of(map, i).store(result, std::memory_order_relaxed);
#endif
    if (map->wanted.load() == i) parking_lot::announce(map);
  }
  return true;
}

// --- participants --------------------------------------------------------------------

// What a participant does between items now and then.
class Look {
 public:
  enum class Next { kGoOn, kLeave, kError };

  Look(MapObject* map, bool is_caller)
      : is_caller_(is_caller), looks_by_itself_(looks_by_itself(map->function)) {}

  // Whether the next call of between_items() lets others have the interpreter lock.
  [[nodiscard]] bool yields_next() const {
    return (items_ + 1) % kYield == 0 && !looks_by_itself_;
  }

  Next between_items() {
    if (++items_ % kYield == 0 && !looks_by_itself_ && !yield_point())
      return Next::kError;
    return items_ % kLook != 0 ? Next::kGoOn : look();
  }

 private:
  static constexpr std::uint32_t kLook = 32;
  static constexpr std::uint32_t kYield = 8;
  static constexpr std::chrono::milliseconds kSlice{5};

  Next look() {
    const auto now = Clock::now();
    if (now - last_ < kSlice) return Next::kGoOn;
    last_ = now;
    if (is_caller_) return Next::kGoOn;
    Worker* worker = current_worker();
    const bool others_wait =
        worker->more_work(Lane::kAttached) || worker->more_work(Lane::kNative);
    return others_wait ? Next::kLeave : Next::kGoOn;
  }

  const bool is_caller_;
  const bool looks_by_itself_;  // what is called
  std::uint32_t items_ = 0;
  Clock::time_point last_ = Clock::now();
};

// The claims of one participant; false with an exception that ends the map.
template <bool kRecorded>
bool work(MapObject* map, bool is_caller, ItemContext& context) {
  Worker* worker = is_caller ? nullptr : current_worker();
  Look look(map, is_caller);
  Noting<kRecorded> noting(map);
  const std::int64_t count = std::max<std::int64_t>(map->chunk, 1);
  std::uint64_t ran = 0, failures = 0;
  bool good = true;
  bool leave = false;
  while (good && !leave) {
    if (map_cancelled(map)) cancel_map(map);
    const std::int64_t i = claim(map, count);
    const std::int64_t end = std::min({i + count, map->n, map->cut.load()});
    if (i >= end) break;
    std::int64_t k = i;
    do {
      good = run_item(map, k, is_caller, &failures, noting) && context.renew();
      ++ran;
    } while (++k < end && good && !map->cancelled.load(kAttachedOrder));
    if (k < end) cut_at(map, k);  // the rest of the chunk is nobody's
    if constexpr (kRecorded) {
      if (look.yields_next()) noting.interrupted();
    }
    switch (look.between_items()) {
      case Look::Next::kGoOn:
        leave = worker != nullptr && worker->pool().crowded();
        break;
      case Look::Next::kLeave:
        leave = true;
        break;
      case Look::Next::kError:
        good = false;
    }
  }
  bump(map->engine->counters.completed, ran - failures);
  bump(map->engine->counters.failed, failures);
  return good;
}

bool work_in_context(MapObject* map, bool is_caller) {
  CurrentTask current(reinterpret_cast<PyObject*>(map));
  ItemContext context;
  if (!context.open(map->context) || !context.enter()) return false;
  const bool good = recording::on() ? work<true>(map, is_caller, context)
                                    : work<false>(map, is_caller, context);
  context.exit();
  return good;
}

// Speaks for the map.
struct Guest {
  MapObject* map;
  bool is_caller = false;
  Ref error{};  // the caller's; an exception that ends the map

  [[nodiscard]] bool more() const { return !all_claimed(map); }
  [[nodiscard]] bool send_token() const {
    return py::send_token(map->engine, reinterpret_cast<PyObject*>(map), &map->token);
  }
  void announce() const { parking_lot::announce(map); }

  bool take_part() {
    bool good = invite(map);
    if (!good && !is_caller) {
      PyErr_Clear();
      good = true;
    }
    if (!good || !work_in_context(map, is_caller)) fail_map();
    if (all_claimed(map)) map->participants.close(*this);
    return true;
  }

 private:
  void fail_map() {
    Ref taken = Ref::steal(take_exception());
    if (is_caller) {
      error = std::move(taken);
    } else {
      fail(map, map->n, taken.get());
    }
    cancel_map(map);
  }
};

void close(MapObject* map) { map->participants.close(Guest{map}); }

}  // namespace

bool invite(MapObject* map) {
  if (!all_claimed(map)) return map->participants.invite(Guest{map});
  close(map);
  return true;
}

void run_map_token(Job* token, Worker& worker) {
  auto* map = object_with<MapObject>(token);
  if (!map->participants.visit(Guest{map})) PyErr_Clear();
  end_of_token(reinterpret_cast<PyObject*>(map), worker);
}

void cancel_map(MapObject* map) {
  map->cancelled.store(true);
  cut_at(map, map->next.load());
}

// --- waiting -------------------------------------------------------------------------

namespace {

class ItemEnd final : public Waitable {
 public:
  ItemEnd(MapObject* map, std::int64_t index) : map_(map), index_(index) {}
  const void* key() const override { return map_; }
  bool done() const override {
    return slot_of(map_, index_).load() != nullptr || index_ >= map_->cut.load();
  }
  bool enlist(bool) override {
    map_->wanted.store(index_);  // seq_cst, against run_item
    return done();
  }

 private:
  MapObject* map_;
  const std::int64_t index_;
};

PyObject* finished_list(MapObject* map) {
  if (map->error != nullptr) {
    raise_exception(map->error);
    Py_CLEAR(map->error);  // it would keep its traceback's frames alive
    return nullptr;
  }
  if (map->cut.load() < map->n) {
    if (map->scope.cancelled()) return RunScope::raise_cancelled();
    if (map->engine->cancel_all.load()) {
      PyErr_SetNone(imports.cancelled_error);
      return nullptr;
    }
  }
  if (map->results == nullptr) Py_RETURN_NONE;
  PyObject* list = std::exchange(map->results, nullptr);
  PyObject_GC_Track(list);
  return list;
}

// A worker that waits for a map of its own pool had better help.
bool should_help(MapObject* map, double timeout) {
  Worker* worker = current_worker();
  return worker != nullptr && timeout < 0 && &worker->pool() == map->engine->pool;
}

}  // namespace

PyObject* run_to_end(MapObject* map, bool help, double timeout) {
  if (help || should_help(map, timeout)) {
    Guest caller{map, true};
    if (!map->participants.join(caller)) PyErr_Clear();  // the others go on
    if (caller.error) {
      raise_exception(caller.error.get());
      return nullptr;
    }
  } else if (!invite(map)) {
    return nullptr;
  }
  RunEnd end(map, map->participants);
  const WaitEnd waited = wait_for(end, timeout);
  if (waited == WaitEnd::kDone) return finished_list(map);
  cancel_map(map);
  if (waited == WaitEnd::kTimeout) PyErr_SetNone(imports.timeout_error);
  return nullptr;
}

void drop_results(MapObject* map) {
  PyObject* list = std::exchange(map->results, nullptr);
  if (list == nullptr) return;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); ++i) {
    PyObject** slot = &reinterpret_cast<PyListObject*>(list)->ob_item[i];
    if (!is_marked(*slot)) continue;
    PyObject* error = unmark(std::exchange(*slot, nullptr));
    Py_DECREF(error);
  }
  Py_DECREF(list);
}

namespace {

// Runs items on a worker of this pool until the one it waits for has ended.
template <bool kRecorded>
bool help_until(MapObject* map, Py_ssize_t index) {
  CurrentTask current(reinterpret_cast<PyObject*>(map));
  ItemContext context;
  if (!context.open(map->context) || !context.enter()) return false;
  Noting<kRecorded> noting(map);
  std::uint64_t ran = 0, failures = 0;
  bool good = true;
  while (good && slot_of(map, index).load() == nullptr && !all_claimed(map)) {
    const std::int64_t i = claim(map, 1);
    if (i >= std::min(map->n, map->cut.load())) break;
    good = run_item(map, i, true, &failures, noting) && context.renew();
    ++ran;
  }
  context.exit();
  bump(map->engine->counters.completed, ran - failures);
  bump(map->engine->counters.failed, failures);
  return good;
}

}  // namespace

PyObject* take_item(MapObject* map, Py_ssize_t index, double timeout) {
  if (should_help(map, timeout)) {
    const bool good =
        recording::on() ? help_until<true>(map, index) : help_until<false>(map, index);
    if (!good) return nullptr;
  }
  ItemEnd end(map, index);
  switch (wait_for(end, timeout)) {
    case WaitEnd::kDone:
      break;
    case WaitEnd::kTimeout:
      PyErr_SetNone(imports.timeout_error);
      return nullptr;
    case WaitEnd::kError:
      return nullptr;
  }
  PyObject* slot = slot_of(map, index).exchange(nullptr);
  if (slot == nullptr) {
    Ref error;  // what ended the map, if it was not cancelled
    {
      ObjectLock lock(reinterpret_cast<PyObject*>(map));
      error = Ref::borrow(map->error);
    }
    if (error) {
      raise_exception(error.get());
    } else {
      PyErr_SetNone(imports.cancelled_error);
    }
    return nullptr;
  }
  if (!is_marked(slot)) return slot;
  Ref error = Ref::steal(unmark(slot));
  raise_exception(error.get());
  return nullptr;
}

}  // namespace fastflow::py
