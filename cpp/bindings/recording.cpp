#include "recording.hpp"

#include <time.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "gil.hpp"
#include "guarded.hpp"
#include "keywords.hpp"
#include "object.hpp"

namespace fastflow::py::recording {

// What is left of a lane for a recording.
struct Part {
  std::unique_ptr<Rings> rings;
  std::vector<Frame> open;
  unsigned long ident;
  std::int32_t worker;
  const void* pool;
  std::string name;
};

// One recording.
struct Tape {
  std::size_t size = 0;
  StampPair from{}, to{};
  std::vector<Part> parts;  // of lanes that it is in no more
};

// All lanes, and what is open.
struct Registry {
  std::mutex mutex;
  std::vector<Lane*> lanes;
  std::vector<Tape*> tapes;

  // REQUIRES of all below: the mutex.
  static void enter(Lane* lane, Tape* tape) {
    auto rings = std::make_unique<Rings>(tape, tape->size);
    if (!lane->lock_.visit()) return;
    lane->rings_[lane->rings_count_++] = rings.release();
    lane->lock_.give_back();
  }
  // Takes the rings out, and appends a part to the tape, which has room for it.
  static void take_out(Lane* lane, Tape* tape, bool own) {
    if (!own && !lane->lock_.visit()) return;
    Rings* rings = nullptr;
    for (std::uint32_t i = 0; i < lane->rings_count_; ++i) {
      if (lane->rings_[i]->tape != tape) continue;
      rings = std::exchange(lane->rings_[i], lane->rings_[--lane->rings_count_]);
      break;
    }
    const std::uint32_t depth = std::min(lane->depth_, Lane::kDeep);
    Frame frames[Lane::kDeep];
    std::copy(lane->frames_, lane->frames_ + depth, frames);
    if (!own) lane->lock_.give_back();
    if (rings == nullptr) return;
    std::unique_ptr<Rings> owned(rings);
    tape->parts.push_back({std::move(owned),
                           {frames, frames + depth},
                           lane->ident_,
                           lane->worker_,
                           lane->pool_,
                           lane->name_});
  }
  static void describe(Lane* lane, unsigned long ident, std::string name) {
    lane->ident_ = ident;
    lane->name_ = std::move(name);
    Worker* worker = current_worker();
    if (worker == nullptr) return;
    lane->stolen_ = worker->counts().stolen.load(std::memory_order_relaxed);
    lane->worker_ = static_cast<std::int32_t>(worker->index());
    lane->pool_ = &worker->pool();
  }
};

namespace {

// Never destroyed: threads may end late.
alignas(Registry) unsigned char registry_storage[sizeof(Registry)];
Registry* g_registry = nullptr;

thread_local Lane* t_lane = nullptr;

// REQUIRES: the mutex.
void show_state() {
  if (g_registry->tapes.empty()) {
    process_state.fetch_and(~kRecording);
  } else {
    process_state.fetch_or(kRecording);
  }
}

// Takes the thread's lane with it.
struct AtThreadEnd {
  ~AtThreadEnd() {
    Lane* lane = std::exchange(t_lane, nullptr);
    if (lane == nullptr) return;
    const std::lock_guard guard(g_registry->mutex);
    for (Tape* tape : g_registry->tapes) {
      try {
        Registry::take_out(lane, tape, true);
      } catch (const std::bad_alloc&) {  // then it is missing
      }
    }
    std::erase(g_registry->lanes, lane);
    delete lane;
  }
  bool used = false;
};
thread_local AtThreadEnd t_at_end;

// threading's name of this thread, if it may ask.
std::string thread_name(unsigned long ident) {
  std::string text;
  if (PyGILState_Check() == 0 || is_detached()) return text;
  PyObject* before = PyErr_Occurred() != nullptr ? take_exception() : nullptr;
  Ref threading = Ref::steal(PyImport_ImportModule("threading"));
  Ref active = Ref::steal(threading ? PyObject_GetAttrString(threading.get(), "_active")
                                    : nullptr);
  Ref number = Ref::steal(PyLong_FromUnsignedLong(ident));
  if (active && number) {
    Ref thread = Ref::steal(PyObject_GetItem(active.get(), number.get()));
    Ref name =
        Ref::steal(thread ? PyObject_GetAttrString(thread.get(), "name") : nullptr);
    const char* spelled =
        name && PyUnicode_Check(name.get()) ? PyUnicode_AsUTF8(name.get()) : nullptr;
    if (spelled != nullptr) text = spelled;
  }
  PyErr_Clear();
  if (before != nullptr) {
    raise_exception(before);
    Py_DECREF(before);
  }
  return text;
}

FASTFLOW_COLD Lane* new_lane() noexcept {
  const unsigned long ident = PyThread_get_thread_ident();
  try {
    t_at_end.used = true;
    auto lane = std::make_unique<Lane>();
    Registry::describe(lane.get(), ident, thread_name(ident));
    const std::lock_guard guard(g_registry->mutex);
    g_registry->lanes.reserve(g_registry->lanes.size() + 1);
    for (Tape* tape : g_registry->tapes) Registry::enter(lane.get(), tape);
    g_registry->lanes.push_back(lane.get());
    return t_lane = lane.release();
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

}  // namespace

Lane* lane_of_thread() noexcept { return t_lane != nullptr ? t_lane : new_lane(); }

std::uint64_t Lane::long_call() noexcept {
#if defined(FASTFLOW_HAS_TSC)
  if (g_counts_ticks) return 50'000;  // 12 to 25 us
#endif
  return 20'000;
}

void Lane::read_cpu(std::uint64_t at) noexcept {
#if defined(CLOCK_THREAD_CPUTIME_ID)
  timespec now{};
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0) return;
  // Differences of it are used, and these are right also after it has wrapped.
  cpu_ = static_cast<std::uint32_t>(static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
                                    static_cast<std::uint64_t>(now.tv_nsec) / 1000);
  if (cpu_ == SpanRecord::kNone) --cpu_;
  cpu_stamp_ = at;
#else
  (void)at;
#endif
}

void Lane::note_steal(std::uint64_t stolen) noexcept {
  stolen_ = stolen;
  const std::uint64_t now = stamp();
  note(SpanKind::kSteal, now, now);
}

void Lane::note(SpanKind kind, std::uint64_t start, std::uint64_t end) noexcept {
  SpanRecord span;
  span.start = start;
  span.end = end;
  span.kind = kind;
  (void)lock_.lock();
  if (depth_ > 0 && depth_ <= kDeep && kind == SpanKind::kBlocked) {
    const Frame& frame = frames_[depth_ - 1];
    span.label = frame.label;
    span.run = frame.run;
    span.item = frame.item;
  }
  add(span);
  lock_.unlock();
  if (kind != SpanKind::kSteal) last_ = 0;
}

void end_idle() noexcept {
  if (t_lane != nullptr && t_lane->sleeps()) t_lane->end(SpanState::kDone);
}

void note_since(SpanKind kind, std::uint64_t start) noexcept {
  const std::uint64_t now = stamp();
  constexpr std::uint64_t kMoment = 2000;  // a microsecond or two
  Lane* mine = lane();
  if (mine == nullptr || now < start + kMoment) return;
  // Waits of those who have begun a call, or of workers.
  const bool waits = kind == SpanKind::kBlocked;
  if (waits && mine->idle() && Worker::current() == nullptr) return;
  mine->note(kind, start, now);
}

void Noted::note() noexcept { note_since(kind_, std::exchange(start_, 0)); }

// --- for Python ----------------------------------------------------------------------

namespace {

struct TapeObject : PyObject {
  ~TapeObject() { close(); }
  // Out of all lanes.
  void close() noexcept {
    if (!open) return;
    open = false;
    const std::lock_guard guard(g_registry->mutex);
    std::erase(g_registry->tapes, &tape);
    show_state();
    for (Lane* lane : g_registry->lanes) {
      try {
        Registry::take_out(lane, &tape, false);
      } catch (const std::bad_alloc&) {  // then it is missing
      }
    }
    tape.to = stamp_pair();
  }

  Tape tape;
  bool open = false;
};

PyTypeObject* tape_type = nullptr;
TapeObject* tape_of(PyObject* object) { return static_cast<TapeObject*>(object); }

Keywords tape_keywords("Tape", {"size"});

// Tape(*, size): begins to record.
PyObject* tape_new(PyObject*, PyObject* const* args, std::size_t nargs,
                   PyObject* names) {
  std::int64_t size = 0;
  if (!tape_keywords.read({args, PyVectorcall_NARGS(nargs), names}, &size)) {
    return nullptr;
  }
  if (size < 1) {
    PyErr_SetString(PyExc_ValueError, "Tape: size must be >= 1");
    return nullptr;
  }
  Ref object = make<TapeObject>(tape_type);
  if (!object) return nullptr;
  TapeObject* self = tape_of(object.get());
  self->tape.size = static_cast<std::size_t>(size);
  const std::lock_guard guard(g_registry->mutex);
  if (g_registry->tapes.size() == kMostRecordings) {
    PyErr_Format(PyExc_RuntimeError,
                 "there are %zu recordings at the same time already", kMostRecordings);
    return nullptr;
  }
  g_registry->tapes.reserve(kMostRecordings);
  for (Lane* lane : g_registry->lanes) Registry::enter(lane, &self->tape);
  g_registry->tapes.push_back(&self->tape);
  self->open = true;
  self->tape.from = stamp_pair();
  show_state();
  return object.release();
}

PyObject* tape_close(PyObject* self, PyObject*) {
  tape_of(self)->close();
  Py_RETURN_NONE;
}

PyObject* bytes_of(const void* data, std::size_t size) {
  return PyBytes_FromStringAndSize(static_cast<const char*>(data),
                                   static_cast<Py_ssize_t>(size));
}

PyObject* spans_of(const SpanRing& ring) {
  const std::size_t counts[] = {ring.size(), ring.failed().size(),
                                ring.longest().size()};
  const SpanRecord* from[] = {ring.data(), ring.failed().data(), ring.longest().data()};
  const std::size_t n = counts[0] + counts[1] + counts[2];
  PyObject* bytes = bytes_of(nullptr, n * sizeof(SpanRecord));
  if (bytes == nullptr) return nullptr;
  char* to = PyBytes_AS_STRING(bytes);
  for (int i = 0; i < 3; ++i) {
    if (counts[i] > 0) std::memcpy(to, from[i], counts[i] * sizeof(SpanRecord));
    to += counts[i] * sizeof(SpanRecord);
  }
  return bytes;
}

// The calls that had not ended, as spans without an end.
PyObject* open_of(const Part& part) {
  std::vector<SpanRecord> spans;
  for (const Frame& frame : part.open) {
    SpanRecord span;
    span.start = frame.start;
    span.ready = frame.ready;
    span.item = frame.item;
    span.label = frame.label;
    span.run = frame.run;
    span.kind = frame.kind;
    span.state = SpanState::kRunning;
    spans.push_back(span);
  }
  return bytes_of(spans.data(), spans.size() * sizeof(SpanRecord));
}

PyObject* part_of(const Part& part) {
  const Rings& rings = *part.rings;
  const auto& totals = rings.calls.totals();
  Ref calls = Ref::steal(spans_of(rings.calls));
  Ref others = Ref::steal(spans_of(rings.others));
  Ref open = Ref::steal(open_of(part));
  Ref sums = Ref::steal(bytes_of(totals.data(), totals.size() * sizeof(SpanTotal)));
  if (!calls || !others || !open || !sums) return nullptr;
  return Py_BuildValue("(kiNsOOOOKK)", part.ident, part.worker,
                       PyLong_FromVoidPtr(const_cast<void*>(part.pool)),
                       part.name.c_str(), calls.get(), others.get(), open.get(),
                       sums.get(), static_cast<unsigned long long>(rings.calls.made()),
                       static_cast<unsigned long long>(rings.others.made()));
}

// parts() -> [(thread, worker, pool, name, calls, others, open, totals, calls made,
// others made), ...]: once it is closed.
PyObject* tape_parts(PyObject* self, PyObject*) {
  if (tape_of(self)->open) {
    PyErr_SetString(PyExc_RuntimeError, "the tape is open");
    return nullptr;
  }
  Ref list = Ref::steal(PyList_New(0));
  if (!list) return nullptr;
  for (const Part& part : tape_of(self)->tape.parts) {
    Ref one = Ref::steal(part_of(part));
    if (!one || PyList_Append(list.get(), one.get()) < 0) return nullptr;
  }
  return list.release();
}

PyObject* get_clock(PyObject* self, void*) {
  const Tape& tape = tape_of(self)->tape;
  return Py_BuildValue("(KLKL)", static_cast<unsigned long long>(tape.from.stamp),
                       static_cast<long long>(tape.from.ns),
                       static_cast<unsigned long long>(tape.to.stamp),
                       static_cast<long long>(tape.to.ns));
}

PyMethodDef methods[] = {
    {"close", method<tape_close>(), METH_NOARGS, "Records nothing more."},
    {"parts", method<tape_parts>(), METH_NOARGS,
     "What each thread did, once it is closed."},
    {nullptr, nullptr, 0, nullptr}};
PyGetSetDef getset[] = {
    {"clock", guarded<get_clock>, nullptr,
     "Stamp and nanoseconds at the beginning and at the end.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

// recording_run() -> the run whose call this thread is in, or 0
PyObject* run_here(PyObject*, PyObject*) {
  return PyLong_FromUnsignedLong(t_lane != nullptr ? t_lane->run() : 0);
}

PyMethodDef functions[] = {
    {"recording_run", method<run_here>(), METH_NOARGS,
     "recording_run() -> the run whose call this thread is in, or 0"},
    {nullptr, nullptr, 0, nullptr}};

}  // namespace

void reset_after_fork() {
  // The other threads' lanes are lost, and so is what the tapes would take from them.
  reset_labels_after_fork();
  g_registry = new (registry_storage) Registry;
  t_lane = nullptr;
  process_state.fetch_and(~kRecording);
}

bool add_type(PyObject* module) {
  g_registry = new (registry_storage) Registry;
  return add_label_functions(module) &&
         fastflow::py::add_type<TapeObject>(
             module, "fastflow._core.Tape", &tape_type,
             {.methods = methods, .getset = getset, .create = guarded<tape_new>}) &&
         PyModule_AddFunctions(module, functions) == 0;
}

}  // namespace fastflow::py::recording
