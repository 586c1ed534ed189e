#include "stream.hpp"

#include <new>
#include <vector>

#include "claim_queue.hpp"
#include "compiler.hpp"
#include "engine.hpp"
#include "future.hpp"
#include "guarded.hpp"
#include "parking_lot.hpp"
#include "task_context.hpp"
#include "wait.hpp"

namespace fastflow::py {

namespace {

PyTypeObject* stream_type = nullptr;
PyTypeObject* iterator_type = nullptr;

struct Item {
  enum State : std::uint8_t { kFree, kQueued, kRunning, kDone, kFailed };
  std::atomic<std::uint8_t> state{kFree};
  PyObject* value =
      nullptr;  // argument (tuple of them if there are several), or result
};

// Numbers of items, first in, first out; each is in here once at most.
class Ring {
 public:
  explicit Ring(std::size_t capacity) : items_(capacity) {}
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] std::size_t front() const noexcept { return items_[first_]; }
  void push_back(std::size_t item) noexcept {
    const std::size_t at = first_ + count_++;
    items_[at < items_.size() ? at : at - items_.size()] = item;
  }
  void pop_front() noexcept {
    --count_;
    if (++first_ == items_.size()) first_ = 0;
  }

 private:
  std::vector<std::size_t> items_;
  std::size_t first_ = 0, count_ = 0;
};

// The parts with constructors, so that the Python object can hold one pointer.
//
// Who may use what: `free`, and `order` if results come in the order of the items, are
// the consumer's; else `order` is used under the stream's ObjectLock.  An item is the
// consumer's until it is queued, then of whoever claims it, and from kDone or kFailed
// on the consumer's again, who reads the state without the lock.
struct Body {
  explicit Body(std::size_t capacity)
      : items(capacity), queue(capacity), order(capacity) {
    free.reserve(capacity);
    for (std::size_t i = capacity; i > 0; --i) free.push_back(i - 1);
  }
  std::vector<Item> items;
  std::vector<std::size_t> free;
  ClaimQueue<kAttachedExclude> queue;  // not started
  Ring order;  // to hand out: as pulled, or as finished (unordered)
  std::atomic<int> inside{0};
  std::atomic<bool> queued{false};       // the token is in the pool
  std::atomic<bool> closed{false};       // the consumer is gone
  std::atomic<std::int64_t> wanted{-1};  // item (or kAny) that the consumer waits for
  std::atomic<std::uint64_t> ended{0};
  std::atomic<bool> consuming{false};  // a thread is in iterator_next
  ItemContext here;  // of items that the consumer's thread runs; guarded by `consuming`
  static constexpr std::int64_t kAny = 1LL << 62;
};

struct StreamObject {
  PyObject_HEAD Job token;
  Engine* engine;
  PyObject* function;
  PyObject* iterators;  // tuple; nullptr once closed
  Py_ssize_t width;     // of it
  PyObject* context;
  RunScope scope;
  PyObject* input_error;  // raised by an input, to be raised after the items before it
  bool ordered, return_exceptions, help, exhausted;
  int most;
  double timeout;
  Body* body;
};

struct IteratorObject {
  PyObject_HEAD StreamObject* stream;
};

StreamObject* stream_of(PyObject* object) {
  return reinterpret_cast<StreamObject*>(object);
}
PyObject* object_of(StreamObject* s) { return reinterpret_cast<PyObject*>(s); }

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

// After an item that raised: takes the exception; gives the item's state.
FASTFLOW_COLD Item::State item_failed(StreamObject* s, PyObject** result) {
  *result = take_exception();
  const bool ordinary = PyObject_IsInstance(*result, PyExc_Exception) > 0;
  add_note(*result, s->function, "item of", s->body->ended.load());
  bump(s->engine->counters.failed);
  return s->return_exceptions && ordinary ? Item::kDone : Item::kFailed;
}

// Runs a claimed item.  False: Ctrl-C in the consumer's thread, set as an exception.
bool run_item(StreamObject* s, std::size_t index, bool is_consumer) {
  Item& item = s->body->items[index];
  Ref value = Ref::steal(std::exchange(item.value, nullptr));
  PyObject* result = call(s, value.get());
  auto state = Item::kDone;
  bool interrupted = false;
  if (result == nullptr) {
    state = item_failed(s, &result);
    interrupted =
        is_consumer && PyErr_GivenExceptionMatches(result, PyExc_KeyboardInterrupt);
    if (interrupted) raise_exception(result);
  } else {
    bump(s->engine->counters.completed);
  }
  item.value = result;
  if (s->ordered) {
    item.state.store(state, kAttachedOrder);  // against ItemEnd::enlist
    bump(s->body->ended);
  } else {
    ObjectLock lock(object_of(s));
    item.state.store(state, kAttachedOrder);
    s->body->order.push_back(index);
    bump(s->body->ended);
  }
  const std::int64_t wanted = s->body->wanted.load();
  if (wanted == static_cast<std::int64_t>(index) || wanted == Body::kAny) {
    parking_lot::announce(s);
  }
  return !interrupted;
}

// Runs a claimed item in the consumer's thread, but in a context of its own.
bool run_item_here(StreamObject* s, std::size_t index) {
  ItemContext& context = s->body->here;
  if (!context.enter()) return false;
  CurrentTask current(object_of(s));
  const bool good = run_item(s, index, true) && context.renew();
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

bool invite(StreamObject* s) {
  Body& body = *s->body;
  if (body.closed.load() || body.inside.load() >= s->most || body.queued.load() ||
      body.queue.empty() || body.queued.exchange(true)) {
    return true;
  }
  Py_INCREF(object_of(s));
  return satisfy(s->engine, s->engine->pool->enqueue(&s->token, Lane::kAttached));
}

void work(StreamObject* s, Worker& worker) {
  CurrentTask current(object_of(s));
  ItemContext context;
  bool good = context.open(s->context) && context.enter();
  if (!good) {
    PyErr_WriteUnraisable(s->function);
    return;
  }
  while (good && !s->body->closed.load() && !worker.pool().crowded()) {
    const std::int64_t index = claim(s);
    if (index < 0) break;
    run_item(s, static_cast<std::size_t>(index), false);
    good = context.renew();
    attachment(worker).end_of_job(worker);
  }
  if (!good) PyErr_WriteUnraisable(s->function);
  context.exit();
}

void run_token(Job* token, Worker& worker) {
  auto* s = reinterpret_cast<StreamObject*>(reinterpret_cast<char*>(token) -
                                            offsetof(StreamObject, token));
  s->body->queued.store(false);
  if (s->body->inside.fetch_add(1) < s->most) {
    if (!invite(s)) PyErr_Clear();
    work(s, worker);
  }
  s->body->inside.fetch_sub(1);
  if (!invite(s)) PyErr_Clear();
  Py_DECREF(object_of(s));
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
void fill(StreamObject* s) {
  Body& body = *s->body;
  while (!s->exhausted && !body.closed.load() && !body.free.empty()) {
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
    if (s->ordered) body.order.push_back(index);
    bump(s->engine->counters.submitted);
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
    if (s_->body->closed.load()) return true;
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

PyObject* next_result(StreamObject* s) {
  ItemContext& context = s->body->here;
  if (s->help && !context.is_open() && !context.open(s->context)) return nullptr;
  for (;;) {
    if (s->body->closed.load()) return nullptr;
    fill(s);
    if (s->body->closed.load()) return nullptr;  // by its own input, say
    if (nothing_under_way(s)) {
      if (s->input_error != nullptr) {
        Ref error = Ref::steal(std::exchange(s->input_error, nullptr));
        raise_exception(error.get());
      }
      return nullptr;
    }
    if (s->scope.cancelled()) {
      s->body->closed.store(true);
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
    if (!run_item_here(s, static_cast<std::size_t>(index))) return nullptr;
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

// Nobody iterates any more: nothing more is read or begun, and the inputs and the items
// that wait are dropped (which ends a generator that nobody else has).  Whoever is in
// iterator_next meanwhile, an input or another thread, does so when it leaves: it reads
// `closed` after `consuming` was cleared, and here they are used in the opposite order.
void close_stream(StreamObject* s) {
  Body& body = *s->body;
  body.closed.store(true);
  if (!set_flag(body.consuming)) {
    parking_lot::announce(s);
    return;
  }
  Ref inputs = Ref::steal(std::exchange(s->iterators, nullptr));
  s->exhausted = true;
  for (Ref value; take_back(s, &value);) value = Ref();
  body.consuming.store(false, kAttachedOrder);
}

// --- types ---------------------------------------------------------------------------

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
    if (stream_->body->closed.load()) closed_meanwhile();
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

PyObject* iterator_next(PyObject* self) {
  StreamObject* s = reinterpret_cast<IteratorObject*>(self)->stream;
  Consuming consuming(s);
  return consuming ? next_result(s) : nullptr;
}

// start(): reads ahead and lets the pool begin, before the first result is asked for.
PyObject* iterator_start(PyObject* self, PyObject*) {
  StreamObject* s = reinterpret_cast<IteratorObject*>(self)->stream;
  Consuming consuming(s);
  if (!consuming) return nullptr;
  fill(s);
  if (!invite(s)) return nullptr;
  Py_RETURN_NONE;
}

// Stream(engine, fn, iterators, capacity, ordered, return_exceptions, help, most,
//        timeout) -> iterator
PyObject* iterator_new(PyTypeObject* type, PyObject* args, PyObject*) {
  PyObject *engine, *function, *iterators, *timeout;
  int ordered, return_exceptions, help, most;
  Py_ssize_t capacity;
  if (!PyArg_ParseTuple(args, "O!OO!npppiO:Stream", engine_type, &engine, &function,
                        &PyTuple_Type, &iterators, &capacity, &ordered,
                        &return_exceptions, &help, &most, &timeout)) {
    return nullptr;
  }
  double seconds;
  if (!parse_timeout(timeout, &seconds)) return nullptr;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(iterators); ++i) {
    if (!PyIter_Check(PyTuple_GET_ITEM(iterators, i))) {
      PyErr_SetString(PyExc_TypeError, "Stream wants iterators");
      return nullptr;
    }
  }
  if (capacity < 1 || PyTuple_GET_SIZE(iterators) < 1) {
    PyErr_SetString(PyExc_ValueError, "Stream wants a capacity >= 1 and an iterator");
    return nullptr;
  }
  if (!accepts_work(reinterpret_cast<Engine*>(engine))) return nullptr;
  Ref stream = Ref::steal(stream_type->tp_alloc(stream_type, 0));
  if (!stream) return nullptr;
  StreamObject* s = stream_of(stream.get());
  new (&s->token) Job{nullptr, run_token};
  new (&s->scope) RunScope;
  s->scope.join();
  s->engine = reinterpret_cast<Engine*>(Py_NewRef(engine));
  s->function = Py_NewRef(function);
  s->iterators = Py_NewRef(iterators);
  s->width = PyTuple_GET_SIZE(iterators);
  s->ordered = ordered != 0;
  s->return_exceptions = return_exceptions != 0;
  s->help = help != 0;
  s->most = most;
  s->timeout = seconds;
  s->body = new Body(static_cast<std::size_t>(capacity));
  if (s->engine->propagate_context && !capture_context(&s->context)) return nullptr;
  PyObject* object = type->tp_alloc(type, 0);
  if (object == nullptr) return nullptr;
  reinterpret_cast<IteratorObject*>(object)->stream = stream_of(stream.release());
  return object;
}

int stream_traverse(PyObject* object, visitproc visit, void* arg) {
  StreamObject* s = stream_of(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(s->engine);
  Py_VISIT(s->function);
  Py_VISIT(s->iterators);
  Py_VISIT(s->context);
  Py_VISIT(s->scope.get());
  Py_VISIT(s->input_error);
  if (s->body != nullptr) {
    for (const Item& item : s->body->items) Py_VISIT(item.value);
  }
  return 0;
}

int stream_clear(PyObject* object) {
  StreamObject* s = stream_of(object);
  Py_CLEAR(s->function);
  Py_CLEAR(s->iterators);
  Py_CLEAR(s->context);
  s->scope.clear();
  Py_CLEAR(s->input_error);
  if (s->body != nullptr) {
    for (Item& item : s->body->items) Py_CLEAR(item.value);
  }
  Py_CLEAR(s->engine);
  return 0;
}

void stream_dealloc(PyObject* object) {
  PyObject_GC_UnTrack(object);
  stream_clear(object);
  delete stream_of(object)->body;
  free_object(object);
}

int iterator_traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(reinterpret_cast<IteratorObject*>(object)->stream);
  return 0;
}

int iterator_clear(PyObject* object) {
  auto* it = reinterpret_cast<IteratorObject*>(object);
  if (it->stream != nullptr) close_stream(it->stream);
  Py_CLEAR(it->stream);
  return 0;
}

void iterator_dealloc(PyObject* object) {
  PyObject_GC_UnTrack(object);
  iterator_clear(object);
  free_object(object);
}

PyObject* iterator_close(PyObject* self, PyObject*) {
  close_stream(reinterpret_cast<IteratorObject*>(self)->stream);
  Py_RETURN_NONE;
}

PyObject* get_done(PyObject* self, void*) {
  return PyLong_FromUnsignedLongLong(
      reinterpret_cast<IteratorObject*>(self)->stream->body->ended.load());
}

PyMethodDef methods[] = {{"start", method<iterator_start>(), METH_NOARGS,
                          "Reads ahead and lets the pool begin."},
                         {"close", method<iterator_close>(), METH_NOARGS,
                          "Items that have not started never will; the inputs are "
                          "dropped."},
                         {nullptr, nullptr, 0, nullptr}};
PyGetSetDef getset[] = {
    {"done", guarded<get_done>, nullptr, "Items finished.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyType_Slot stream_slots[] = {{Py_tp_dealloc, slot<stream_dealloc>()},
                              {Py_tp_traverse, slot<stream_traverse>()},
                              {Py_tp_clear, slot<stream_clear>()},
                              {0, nullptr}};
PyType_Spec stream_spec = {
    "fastflow._core.StreamState", sizeof(StreamObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    stream_slots};

PyType_Slot iterator_slots[] = {
    {Py_tp_new, slot<iterator_new>()},
    {Py_tp_dealloc, slot<iterator_dealloc>()},
    {Py_tp_traverse, slot<iterator_traverse>()},
    {Py_tp_clear, slot<iterator_clear>()},
    {Py_tp_iter, reinterpret_cast<void*>(PyObject_SelfIter)},
    {Py_tp_iternext, slot<iterator_next>()},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {0, nullptr}};
PyType_Spec iterator_spec = {"fastflow._core.Stream", sizeof(IteratorObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, iterator_slots};

}  // namespace

bool add_stream_type(PyObject* module) {
  return add_type(module, stream_spec, &stream_type) &&
         add_type(module, iterator_spec, &iterator_type);
}

ScopeObject* stream_scope(PyObject* stream) { return stream_of(stream)->scope.get(); }

bool is_stream(PyObject* object) { return Py_TYPE(object) == stream_type; }

bool stream_cancelled(PyObject* stream) {
  StreamObject* s = stream_of(stream);
  return s->body->closed.load() || s->engine->cancel_all.load() || s->scope.cancelled();
}

}  // namespace fastflow::py
