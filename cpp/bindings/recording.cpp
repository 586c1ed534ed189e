#include "recording.hpp"

#include <time.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <new>
#include <string>
#include <unordered_map>
#include <vector>

#include "gil.hpp"
#include "guarded.hpp"
#include "kernel.hpp"
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

// --- labels --------------------------------------------------------------------------

namespace {

struct Label {
  PyObject *name, *module;  // owned; the latter may be nullptr
  bool ours = false;        // the module is one of this package's
};

struct Key {
  const void *first, *second;
  bool operator==(const Key&) const = default;
};
struct HashOfKey {
  std::size_t operator()(const Key& key) const noexcept {
    const auto a = reinterpret_cast<std::uintptr_t>(key.first);
    const auto b = reinterpret_cast<std::uintptr_t>(key.second);
    return static_cast<std::size_t>((a ^ (b << 7)) * 0x9E3779B97F4A7C15ULL >> 13);
  }
};

// Guarded by the registry's mutex.
struct Labels {
  std::vector<Label> all;
  std::unordered_map<Key, std::uint32_t, HashOfKey> by_key;
  std::unordered_map<std::string, std::uint32_t> by_text;
};
Labels* g_labels = nullptr;
constexpr std::size_t kMostLabels = 1 << 14;

// What this thread has asked for last.
struct Near {
  Key key;
  std::uint32_t label;
  bool ours;
};
constexpr std::size_t kNear = 16;
thread_local Near t_near[kNear]{};

// What a callable is known by, what of it must stay alive, and how it is called.
struct Found {
  Key key{nullptr, nullptr};
  PyObject *name = nullptr, *module = nullptr;  // borrowed
  PyObject* keep = nullptr;                     // borrowed
};

bool find_quickly(PyObject* callable, Found* found) noexcept {
  if (PyMethod_Check(callable)) callable = PyMethod_GET_FUNCTION(callable);
  if (PyFunction_Check(callable)) {
    auto* function = reinterpret_cast<PyFunctionObject*>(callable);
    *found = {{function->func_code, function->func_qualname},
              function->func_qualname,
              function->func_module,
              function->func_code};
    return true;
  }
  if (PyCFunction_Check(callable)) {
    found->key = {reinterpret_cast<PyCFunctionObject*>(callable)->m_ml, nullptr};
    return true;
  }
  if (is_kernel(callable)) {
    KernelObject* kernel = kernel_of(callable);
    *found = {{reinterpret_cast<const void*>(kernel->function), kernel->name.get()},
              kernel->name.get(),
              nullptr,
              nullptr};
    return true;
  }
  return false;
}

// REQUIRES: the key's objects are alive, or `keep` is one that keeps them so.
std::uint32_t enter_label(const Key* key, PyObject* keep, PyObject* name,
                          PyObject* module) {
  const char* text = PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : nullptr;
  if (text == nullptr) {
    PyErr_Clear();
    return 0;
  }
  std::string spelled(text);
  const char* of =
      module != nullptr && PyUnicode_Check(module) ? PyUnicode_AsUTF8(module) : nullptr;
  if (of == nullptr) {
    PyErr_Clear();
    module = nullptr;
  } else {
    spelled.append(1, '\0').append(of);
  }
  const std::lock_guard guard(g_registry->mutex);
  Labels& labels = *g_labels;
  auto known = labels.by_text.find(spelled);
  std::uint32_t number = 0;
  if (known != labels.by_text.end()) {
    number = known->second;
  } else if (labels.all.size() < kMostLabels) {
    number = static_cast<std::uint32_t>(labels.all.size());
    labels.all.reserve(number + 1);
    labels.by_text.emplace(spelled, number);
    const bool ours = of != nullptr && std::strncmp(of, "fastflow.", 9) == 0;
    labels.all.push_back({Py_NewRef(name), Py_XNewRef(module), ours});
  }
  if (key != nullptr && labels.by_key.size() < kMostLabels &&
      labels.by_key.emplace(*key, number).second) {
    Py_XINCREF(keep);  // for good, as the name: else their addresses could be others'
    Py_INCREF(name);
  }
  return number;
}

// From its attributes: of what is wrapped, if it is a wrapper.
std::uint32_t find_slowly(PyObject* callable, int depth) {
  for (const char* inner : {"__wrapped__", "func"}) {
    Ref wrapped = Ref::steal(PyObject_GetAttrString(callable, inner));
    PyErr_Clear();
    Found found;
    if (!wrapped || depth > 4 || PyCallable_Check(wrapped.get()) == 0) continue;
    if (find_quickly(wrapped.get(), &found) && found.name != nullptr) {
      return enter_label(nullptr, nullptr, found.name, found.module);
    }
    return find_slowly(wrapped.get(), depth + 1);
  }
  Ref module = Ref::steal(PyObject_GetAttrString(callable, "__module__"));
  PyErr_Clear();
  for (const char* attribute : {"__qualname__", "__name__"}) {
    Ref name = Ref::steal(PyObject_GetAttrString(callable, attribute));
    PyErr_Clear();
    if (name && PyUnicode_Check(name.get())) {
      return enter_label(nullptr, nullptr, name.get(), module.get());
    }
  }
  Ref type = Ref::steal(PyType_GetQualName(Py_TYPE(callable)));
  PyErr_Clear();
  return type ? enter_label(nullptr, nullptr, type.get(), module.get()) : 0;
}

std::uint32_t look_up(PyObject* callable, const Found& found, bool quick) {
  if (quick) {
    const std::lock_guard guard(g_registry->mutex);
    const auto known = g_labels->by_key.find(found.key);
    if (known != g_labels->by_key.end()) return known->second;
  }
  if (!quick) return find_slowly(callable, 0);
  if (found.name != nullptr) {
    return enter_label(&found.key, found.keep, found.name, found.module);
  }
  // A function of C: its definition stays as long as its module.
  Ref name = Ref::steal(PyObject_GetAttrString(callable, "__qualname__"));
  PyErr_Clear();
  Ref module = Ref::steal(PyObject_GetAttrString(callable, "__module__"));
  PyErr_Clear();
  return name ? enter_label(&found.key, callable, name.get(), module.get()) : 0;
}

// `known`: whether the key's addresses stay those of its objects.  `ours` as
// label_of's.
FASTFLOW_COLD std::uint32_t label_afar(PyObject* callable, const Found& found,
                                       bool quick, bool* known, bool* ours) noexcept {
  PyObject* before = PyErr_Occurred() != nullptr ? take_exception() : nullptr;
  std::uint32_t label = 0;
  try {
    label = look_up(callable, found, quick);
    const std::lock_guard guard(g_registry->mutex);
    *ours = g_labels->all[label].ours;
    if (quick) {
      *known = g_labels->by_key.contains(found.key);
    }
  } catch (const std::bad_alloc&) {
  }
  if (before != nullptr) {
    raise_exception(before);
    Py_DECREF(before);
  }
  return label;
}

}  // namespace

std::uint32_t label_of(PyObject* callable, bool* ours) noexcept {
  Found found;
  const bool quick = find_quickly(callable, &found);
  bool known = false, is_ours = false;
  if (ours == nullptr) ours = &is_ours;
  if (!quick) return label_afar(callable, found, false, &known, ours);
  Near& near = t_near[HashOfKey()(found.key) % kNear];
  if (near.key == found.key) [[likely]] {
    *ours = near.ours;
    return near.label;
  }
  const std::uint32_t label = label_afar(callable, found, true, &known, ours);
  if (known) near = {found.key, label, *ours};
  return label;
}

std::uint32_t known_label_of(PyObject* callable) noexcept {
  Found found;
  if (!find_quickly(callable, &found)) return 0;
  Near& near = t_near[HashOfKey()(found.key) % kNear];
  if (near.key == found.key) return near.label;
  const std::lock_guard guard(g_registry->mutex);
  const auto known = g_labels->by_key.find(found.key);
  if (known == g_labels->by_key.end()) return 0;
  near = {found.key, known->second, g_labels->all[known->second].ours};
  return near.label;
}

// --- failures ------------------------------------------------------------------------

namespace {
PyObject* g_on_failure = nullptr;  // (exception) -> number; of the Python layer
}  // namespace

std::uint32_t failure_of(PyObject* error) noexcept {
  if (g_on_failure == nullptr) return 0;
  Ref number = Ref::steal(PyObject_CallOneArg(g_on_failure, error));
  const unsigned long value = number ? PyLong_AsUnsignedLong(number.get()) : 0;
  if (PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    return 0;
  }
  return static_cast<std::uint32_t>(value);
}

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

// recording_labels() -> [(name, module or None), ...] by number
PyObject* all_labels(PyObject*, PyObject*) {
  std::vector<Label> copy;
  {
    const std::lock_guard guard(g_registry->mutex);
    copy = g_labels->all;  // what is in it stays alive
  }
  Ref list = Ref::steal(PyList_New(0));
  for (const Label& label : copy) {
    Ref pair = Ref::steal(Py_BuildValue(
        "(OO)", label.name, label.module != nullptr ? label.module : Py_None));
    if (!list || !pair || PyList_Append(list.get(), pair.get()) < 0) return nullptr;
  }
  return list.release();
}

// recording_label(text or callable) -> number
PyObject* new_label(PyObject*, PyObject* object) {
  const std::uint32_t label = PyUnicode_Check(object)
                                  ? enter_label(nullptr, nullptr, object, nullptr)
                                  : label_of(object);
  return PyLong_FromUnsignedLong(label);
}

// recording_run() -> the run whose call this thread is in, or 0
PyObject* run_here(PyObject*, PyObject*) {
  return PyLong_FromUnsignedLong(t_lane != nullptr ? t_lane->run() : 0);
}

PyObject* set_on_failure(PyObject*, PyObject* function) {
  PyObject* old = std::exchange(g_on_failure, Py_NewRef(function));
  Py_XDECREF(old);
  Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"recording_labels", method<all_labels>(), METH_NOARGS,
     "recording_labels() -> [(name, module or None), ...] by number"},
    {"recording_label", method<new_label>(), METH_O,
     "recording_label(text or callable) -> its number"},
    {"recording_run", method<run_here>(), METH_NOARGS,
     "recording_run() -> the run whose call this thread is in, or 0"},
    {"recording_on_failure", method<set_on_failure>(), METH_O,
     "recording_on_failure(f): f(exception) -> number, for calls that fail"},
    {nullptr, nullptr, 0, nullptr}};

}  // namespace

void reset_after_fork() {
  // The other threads' lanes are lost, and so is what the tapes would take from them.
  g_registry = new (registry_storage) Registry;
  t_lane = nullptr;
  process_state.fetch_and(~kRecording);
}

bool add_type(PyObject* module) {
  g_registry = new (registry_storage) Registry;
  g_labels = new Labels;
  Ref other = Ref::steal(PyUnicode_FromString("(other)"));
  if (!other) return false;
  (void)enter_label(nullptr, nullptr, other.get(), nullptr);
  return fastflow::py::add_type<TapeObject>(
             module, "fastflow._core.Tape", &tape_type,
             {.methods = methods, .getset = getset, .create = guarded<tape_new>}) &&
         PyModule_AddFunctions(module, functions) == 0;
}

}  // namespace fastflow::py::recording
