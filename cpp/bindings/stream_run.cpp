#include "stream_run.hpp"

#include "compiler.hpp"
#include "future.hpp"
#include "parking_lot.hpp"
#include "recording.hpp"
#include "run_token.hpp"
#include "wait.hpp"

namespace fastflow::py {

namespace {

using Item = StreamItem;
using Body = StreamBody;

// --- counting ------------------------------------------------------------------------

// Without an interpreter lock an addition to what several threads count is a quarter of
// a short item.  So what the consumer's thread counts is kept apart, and the engine is
// told now and then, before a wait and at the end.
constexpr std::uint64_t kUntold = 32;

// REQUIRES: `consuming`.
void tell_engine(StreamObject* s) {
  Body& body = *s->body;
  bump(s->engine->counters.submitted, std::exchange(body.submitted_here, 0));
  bump(s->engine->counters.completed, std::exchange(body.completed_here, 0));
}

void count_submitted(StreamObject* s) {
  if constexpr (kAttachedExclude) {
    bump(s->engine->counters.submitted);
  } else if (++s->body->submitted_here >= kUntold) {
    tell_engine(s);
  }
}

void count_completed(StreamObject* s, bool is_consumer) {
  if (kAttachedExclude || !is_consumer) {
    py::count_completed(s->engine);
  } else {
    ++s->body->completed_here;
  }
}

void count_ended(StreamObject* s, bool is_consumer) {
  if (kAttachedExclude || !is_consumer) {
    bump(s->body->ended);
  } else {
    std::atomic<std::uint64_t>& ended = s->body->ended_here;  // relaxed: one writer
    ended.store(ended.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
}

// --- running items -------------------------------------------------------------------

PyObject* call(StreamObject* s, PyObject* value) {
  if (refuse_if_broken(s->engine)) return nullptr;
  if (s->width == 1) {
    PyObject* args[] = {nullptr, value};
    return PyObject_Vectorcall(s->function, args + 1,
                               1 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
  }
  return PyObject_CallObject(s->function, value);
}

// What is noted of an item, if it is recorded.
template <bool kRecorded>
class Noting {
 public:
  Noting(StreamObject*, std::size_t) {}
  void end() {}
  [[nodiscard]] recording::Lane* lane() const { return nullptr; }
};

template <>
class Noting<true> {
 public:
  Noting(StreamObject* s, std::size_t index) : lane_(recording::lane()) {
    if (lane_ == nullptr) return;
    const auto& numbers = s->body->numbers;
    const std::int64_t number = numbers.empty() ? -1 : numbers[index];
    lane_->begin({recording::label_of(s->function), s->run, number}, false);
  }
  void end() {
    if (lane_ != nullptr) lane_->end(SpanState::kDone);
  }
  [[nodiscard]] recording::Lane* lane() const { return lane_; }

 private:
  recording::Lane* const lane_;
};

// After an item that raised: takes the exception; gives the item's state.
// `lane`: where it is noted, or nullptr.
FASTFLOW_COLD Item::State item_failed(StreamObject* s, PyObject** result,
                                      recording::Lane* lane) {
  const std::uint64_t now = lane != nullptr ? stamp() : 0;
  *result = take_exception();
  if (lane != nullptr) {
    lane->end(SpanState::kFailed, recording::failure_of(*result), now);
  }
  const bool ordinary = PyObject_IsInstance(*result, PyExc_Exception) > 0;
  add_note(*result, s->function, "item of", s->body->all_ended());
  bump(s->engine->counters.failed);
  return s->return_exceptions && ordinary ? Item::kDone : Item::kFailed;
}

// Runs a claimed item.  False: Ctrl-C in the consumer's thread, set as an exception.
template <bool kRecorded>
FASTFLOW_INLINE bool run_item(StreamObject* s, std::size_t index, bool is_consumer) {
  Item& item = s->body->items[index];
  Noting<kRecorded> noting(s, index);
  Ref value = Ref::steal(std::exchange(item.value, nullptr));
  PyObject* result = call(s, value.get());
  auto state = Item::kDone;
  bool interrupted = false;
  if (result == nullptr) {
    state = item_failed(s, &result, noting.lane());
    interrupted =
        is_consumer && PyErr_GivenExceptionMatches(result, PyExc_KeyboardInterrupt);
    if (interrupted) raise_exception(result);
  } else {
    noting.end();
    count_completed(s, is_consumer);
  }
  if (!is_consumer) give_to_others(result);
  item.value = result;
  if (s->ordered) {
    if (is_consumer) {
      item.state.store(state, std::memory_order_relaxed);  // it does not wait meanwhile
    } else {
      item.state.store(state, kAttachedOrder);  // against ItemEnd::enlist
    }
    count_ended(s, is_consumer);
  } else {
    ObjectLock lock(object_of(s));
    item.state.store(state, kAttachedOrder);
    s->body->order.push_back(index);
    count_ended(s, is_consumer);
  }
  const std::int64_t wanted = s->body->wanted.load();
  if (wanted == static_cast<std::int64_t>(index) || wanted == Body::kAny) {
    parking_lot::announce(s);
  }
  return !interrupted;
}

// Runs a claimed item in the consumer's thread, but in a context of its own.
template <bool kRecorded>
FASTFLOW_INLINE bool run_item_here(StreamObject* s, std::size_t index) {
  ItemContext& context = s->body->here;
  if (!context.enter()) return false;
  CurrentTask current(object_of(s));
  const bool good = run_item<kRecorded>(s, index, true) && context.renew();
  context.exit();
  return good;
}

// The oldest queued item, now running; -1 if there is none (or it isn't `only`).
std::int64_t claim(StreamObject* s, std::int64_t only = -1) {
  using Queue = decltype(s->body->queue);
  const std::size_t index =
      s->body->queue.take(only < 0 ? Queue::kNone : static_cast<std::size_t>(only));
  if (index == Queue::kNone) return -1;
  s->body->items[index].state.store(Item::kRunning, std::memory_order_relaxed);
  return static_cast<std::int64_t>(index);
}

bool invite(StreamObject* s);

template <bool kRecorded>
void work(StreamObject* s, Worker& worker) {
  CurrentTask current(object_of(s));
  ItemContext context;
  bool good = context.open(s->context) && context.enter();
  if (!good) {
    PyErr_WriteUnraisable(s->function);
    return;
  }
  const bool looks = looks_by_itself(s->function);
  while (good && !s->body->participants.closed() && !worker.pool().crowded()) {
    const std::int64_t index = claim(s);
    if (index < 0) break;
    run_item<kRecorded>(s, static_cast<std::size_t>(index), false);
    good = context.renew();
    attachment(worker).end_of_job(worker, looks);
  }
  if (!good) PyErr_WriteUnraisable(s->function);
  context.exit();
}

// Speaks for the stream; nobody waits for its end.
struct Guest {
  StreamObject* s;

  [[nodiscard]] bool more() const {
    return !s->body->participants.closed() && !s->body->queue.empty();
  }
  [[nodiscard]] bool send_token() const {
    return py::send_token(s->engine, object_of(s), &s->token);
  }
  void announce() const { parking_lot::announce(s); }
  [[nodiscard]] bool take_part() const {
    if (!invite(s)) PyErr_Clear();
    Worker& worker = *current_worker();
    recording::on() ? work<true>(s, worker) : work<false>(s, worker);
    return true;
  }
};

bool invite(StreamObject* s) {
  Body& body = *s->body;
  if (!body.participants.wants_company() || body.queue.empty()) return true;
  return body.participants.invite(Guest{s});
}

// --- the consumer --------------------------------------------------------------------

// The next arguments: one, or a tuple; nullptr at the end or with an exception.
PyObject* pull(StreamObject* s) {
  const Py_ssize_t width = s->width;
  auto next = [s](Py_ssize_t i) {
    PyObject* it = PyTuple_GET_ITEM(s->iterators, i);
    return Py_TYPE(it)->tp_iternext(it);
  };
  if (width == 1) return next(0);
  Ref tuple = Ref::steal(PyTuple_New(width));
  if (!tuple) return nullptr;
  for (Py_ssize_t i = 0; i < width; ++i) {
    PyObject* value = next(i);
    if (value == nullptr) return nullptr;
    PyTuple_SET_ITEM(tuple.get(), i, value);
  }
  return tuple.release();
}

// Tops the items under way up to the capacity.
template <bool kRecorded>
FASTFLOW_INLINE void fill(StreamObject* s) {
  Body& body = *s->body;
  while (!s->exhausted && !body.participants.closed() && !body.free.empty()) {
    PyObject* value = pull(s);
    if (value == nullptr) {
      s->exhausted = true;
      if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_StopIteration))
        PyErr_Clear();
      if (PyErr_Occurred()) s->input_error = take_exception();
      return;
    }
    const std::size_t index = body.free.back();
    body.free.pop_back();
    body.items[index].value = value;
    body.items[index].state.store(Item::kQueued, std::memory_order_relaxed);
    if constexpr (kRecorded) {
      if (!body.numbers.empty()) body.numbers[index] = s->pulled++;
    }
    if (s->ordered) body.order.push_back(index);
    count_submitted(s);
    body.queue.put(index);
  }
}

// The first in `order`, -1 if it is empty.
std::int64_t first_in_order(StreamObject* s) {
  const Ring& order = s->body->order;
  auto first = [&order] {
    return order.empty() ? -1 : static_cast<std::int64_t>(order.front());
  };
  if (s->ordered) return first();
  ObjectLock lock(object_of(s));
  return first();
}

// The item to hand out next if it has ended; -1 if it has not.
std::int64_t ready_item(StreamObject* s) {
  const std::int64_t first = first_in_order(s);
  if (first < 0 || !s->ordered) return first;
  return s->body->items[static_cast<std::size_t>(first)].state.load() >= Item::kDone
             ? first
             : -1;
}

// Takes the first out of `order`.
void pop_first(StreamObject* s) {
  if (s->ordered) {
    s->body->order.pop_front();
    return;
  }
  ObjectLock lock(object_of(s));
  s->body->order.pop_front();
}

// Raises an item's exception from the iterator: StopIteration would end it, so that
// becomes the cause of a RuntimeError, as it does in generators.
void raise_from_next(PyObject* error) {
  if (PyErr_GivenExceptionMatches(error, PyExc_StopIteration) == 0) {
    raise_exception(error);
    return;
  }
  Ref told = Ref::steal(
      PyObject_CallFunction(PyExc_RuntimeError, "s", "an item raised StopIteration"));
  if (!told) return;
  PyException_SetCause(told.get(), Py_NewRef(error));
  PyException_SetContext(told.get(), Py_NewRef(error));
  raise_exception(told.get());
}

PyObject* hand_out(StreamObject* s, std::size_t index) {
  pop_first(s);
  Body& body = *s->body;
  Item& item = body.items[index];
  Ref value = Ref::steal(std::exchange(item.value, nullptr));
  const bool failed = item.state.load() == Item::kFailed;
  item.state.store(Item::kFree, std::memory_order_relaxed);
  body.free.push_back(index);
  if (!failed) return value.release();
  raise_from_next(value.get());
  return nullptr;
}

class ItemEnd final : public Waitable {
 public:
  explicit ItemEnd(StreamObject* s) : s_(s), ended_(s->body->ended.load()) {
    wanted_ =
        s->ordered ? static_cast<std::int64_t>(s->body->order.front()) : Body::kAny;
  }
  const void* key() const override { return s_; }
  bool done() const override {
    if (s_->body->participants.closed()) return true;
    if (wanted_ == Body::kAny) return s_->body->ended.load() != ended_;
    return s_->body->items[static_cast<std::size_t>(wanted_)].state.load() >=
           Item::kDone;
  }
  bool enlist(bool) override {
    s_->body->wanted.store(wanted_);  // seq_cst, against run_item
    return done();
  }

 private:
  StreamObject* s_;
  std::uint64_t ended_;
  std::int64_t wanted_;
};

bool wait_for_item(StreamObject* s) {
  tell_engine(s);
  ItemEnd end(s);
  const WaitEnd waited =
      ready_item(s) >= 0 ? WaitEnd::kDone : wait_for(end, s->timeout);
  s->body->wanted.store(-1);
  if (waited == WaitEnd::kTimeout) PyErr_SetNone(imports.timeout_error);
  return waited == WaitEnd::kDone;
}

bool nothing_under_way(StreamObject* s) {
  return s->body->free.size() == s->body->items.size();
}

template <bool kRecorded>
PyObject* next_result(StreamObject* s) {
  ItemContext& context = s->body->here;
  if (s->help && !context.is_open() && !context.open(s->context)) return nullptr;
  for (;;) {
    if (s->body->participants.closed()) return nullptr;
    fill<kRecorded>(s);
    if (s->body->participants.closed()) return nullptr;  // by its own input, say
    if (nothing_under_way(s)) {
      tell_engine(s);
      if (s->input_error != nullptr) {
        Ref error = Ref::steal(std::exchange(s->input_error, nullptr));
        raise_exception(error.get());
      }
      return nullptr;
    }
    if (s->scope.cancelled()) {
      s->body->participants.close(Guest{s});
      return RunScope::raise_cancelled();
    }
    if (s->engine->cancel_all.load()) {
      PyErr_SetNone(imports.cancelled_error);
      return nullptr;
    }
    if (!invite(s)) return nullptr;
    std::int64_t index = ready_item(s);
    if (index >= 0) return hand_out(s, static_cast<std::size_t>(index));
    const std::int64_t only =
        s->ordered ? static_cast<std::int64_t>(s->body->order.front()) : -1;
    index = s->help ? claim(s, only) : -1;
    if (index < 0) {
      if (!wait_for_item(s)) return nullptr;
      continue;
    }
    if (!run_item_here<kRecorded>(s, static_cast<std::size_t>(index))) return nullptr;
    if (s->ordered) return hand_out(s, static_cast<std::size_t>(index));
  }
}

// The oldest item that nobody has begun, taken away; false if there is none.
bool take_back(StreamObject* s, Ref* value) {
  const std::int64_t index = claim(s);
  if (index < 0) return false;
  Item& item = s->body->items[static_cast<std::size_t>(index)];
  *value = Ref::steal(std::exchange(item.value, nullptr));
  return true;
}

// One thread at a time is the consumer.
class Consuming {
 public:
  explicit Consuming(StreamObject* stream) : stream_(stream) {
    Body& body = *stream->body;
    if (set_flag(body.consuming)) return;
    stream_ = nullptr;
    PyErr_SetString(PyExc_ValueError,
                    "the iterator is in use by another thread, or by its own input");
  }
  ~Consuming() {
    if (stream_ == nullptr) return;
    stream_->body->consuming.store(false, kAttachedOrder);
    if (stream_->body->participants.closed()) closed_meanwhile();
  }
  Consuming(const Consuming&) = delete;
  Consuming& operator=(const Consuming&) = delete;
  explicit operator bool() const noexcept { return stream_ != nullptr; }

 private:
  FASTFLOW_COLD void closed_meanwhile() {
    Ref error = Ref::steal(PyErr_Occurred() != nullptr ? take_exception() : nullptr);
    close_stream(stream_);
    if (error) raise_exception(error.get());
  }

  StreamObject* stream_;
};

}  // namespace

void run_stream_token(Job* token, Worker&) {
  auto* s = object_with<StreamObject>(token);
  if (!s->body->participants.visit(Guest{s})) PyErr_Clear();
  Py_DECREF(object_of(s));
}

// Nobody iterates any more: nothing more is read or begun, and the inputs and the items
// that wait are dropped (which ends a generator that nobody else has).  Whoever is in
// iterator_next meanwhile, an input or another thread, does so when it leaves: it reads
// `closed` after `consuming` was cleared, and here they are used in the opposite order.
void close_stream(StreamObject* s) {
  Body& body = *s->body;
  body.participants.close(Guest{s});
  if (!set_flag(body.consuming)) {
    parking_lot::announce(s);
    return;
  }
  Ref inputs = Ref::steal(std::exchange(s->iterators, nullptr));
  s->exhausted = true;
  for (Ref value; take_back(s, &value);) value = Ref();
  tell_engine(s);
  body.consuming.store(false, kAttachedOrder);
}

PyObject* stream_next(StreamObject* s) {
  Consuming consuming(s);
  return consuming ? next_result<false>(s) : nullptr;
}

PyObject* recorded_stream_next(StreamObject* s) {
  Consuming consuming(s);
  return consuming ? next_result<true>(s) : nullptr;
}

bool stream_begin(StreamObject* s) {
  Consuming consuming(s);
  if (!consuming) return false;
  s->body->numbers.empty() ? fill<false>(s) : fill<true>(s);
  return invite(s);
}

}  // namespace fastflow::py
