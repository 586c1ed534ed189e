// Calls go to workers: see dispatcher.hpp.
#include <algorithm>

#include "channel_object.hpp"
#include "dispatcher.hpp"
#include "future.hpp"

namespace fastflow::py {

namespace {

constexpr std::size_t kMostTogether = 64;  // calls
constexpr std::size_t kSharedAhead = 8;  // calls in a window, if they have descriptors

using Dropped = std::vector<Call>;

// Marks that this thread dispatches.  Left by an exception, it wakes the watcher, as
// what waits may be for it to give.
class Inside {
 public:
  explicit Inside(DispatcherObject* of) : of_(of) {
    of_->inside = true;
    of_->inside_thread = PyThread_get_thread_ident();
  }
  ~Inside() {
    of_->inside = false;
    if (!finished_) of_->ring_watcher();
  }
  Inside(const Inside&) = delete;
  void finished() { finished_ = true; }

 private:
  DispatcherObject* of_;
  bool finished_ = false;
};

// Python code, outside of the stretch.
class Away {
 public:
  explicit Away(Stretch& stretch) : stretch_(stretch) { stretch_.unlock(); }
  ~Away() { stretch_.lock(); }
  Away(const Away&) = delete;

 private:
  Stretch& stretch_;
};

Ref call_away(Stretch& stretch, PyObject* object, const char* method,
              PyObject* argument = nullptr) {
  const Away away(stretch);
  return Ref::steal(argument == nullptr
                        ? PyObject_CallMethod(object, method, nullptr)
                        : PyObject_CallMethod(object, method, "(O)", argument));
}

// --- maps ----------------------------------------------------------------------------

struct Measures {
  std::size_t together = 1, ahead = 2;  // chunks that leave together; that a worker has
};

bool measures_of(Stretch& stretch, PyObject* map, Measures* found) {
  Ref told = call_away(stretch, map, "measures");
  if (!told) return false;
  Py_ssize_t together = 0, ahead = 0;
  if (!PyArg_ParseTuple(told.get(), "nn:measures", &together, &ahead)) return false;
  found->together = static_cast<std::size_t>(std::max<Py_ssize_t>(together, 1));
  found->ahead = static_cast<std::size_t>(std::max<Py_ssize_t>(ahead, 1));
  return true;
}

// Where the map waits, in the order; or its end.
auto find_map(DispatcherObject* self, PyObject* map) {
  return std::find_if(self->order.begin(), self->order.end(), [&](const Call& call) {
    return call.is_map && call.target.get() == map;
  });
}

// Puts the next chunk of a map before it, and the map away if there are no more.
bool add_chunk(DispatcherObject* self, Stretch& stretch, PyObject* map, bool* more) {
  Ref told = call_away(stretch, map, "next_chunk");
  if (!told) return false;
  PyObject *target = nullptr, *message = nullptr, *stop = nullptr;
  long long number = 0;
  int last = 1;
  if (told.get() != Py_None &&
      !PyArg_ParseTuple(told.get(), "OLOOp:next_chunk", &target, &number, &message,
                        &stop, &last)) {
    return false;
  }
  Call call{Ref::borrow(target), Ref::borrow(message), number, 0, false, 0};
  Call old;
  auto at = find_map(self, map);
  *more = at != self->order.end() && last == 0;
  if (at == self->order.end()) return true;  // it was cancelled
  if (target != nullptr) {
    at = self->order.insert(at, Call());
    // That of a plain object: no Python code.
    if (PyObject_SetAttrString(map, "next", stop) < 0) {
      self->order.erase(at);
      return false;
    }
    *at++ = std::move(call);
  }
  if (last != 0) {
    old = std::move(*at);
    self->order.erase(at);
  }
  return true;
}

// --- calls ---------------------------------------------------------------------------

// Has the worker know a function; kNoRoom: it can't be told now.
Sent define(DispatcherObject* self, WindowObject* window, std::int64_t number) {
  if (number < 0) return Sent::kYes;
  const auto i = static_cast<std::size_t>(number);
  if (i < window->known.size() && window->known[i]) return Sent::kYes;
  if (window->known.size() <= i) window->known.resize(i + 64);
  Ref key = Ref::steal(PyLong_FromLongLong(number));
  if (!key) return Sent::kError;
  const Ref message =
      Ref::borrow(PyDict_GetItemWithError(self->definitions.get(), key.get()));
  if (!message) return Sent::kError;
  std::uint64_t ticket = 0;
  const Sent sent = window->line.put(message.get(), &ticket);
  if (sent == Sent::kYes) window->known[i] = true;
  return sent;
}

// Sends the first call of the order, whose message is `message`.
Sent give_first(DispatcherObject* self, WindowObject* window, PyObject* message) {
  const Sent defined = define(self, window, self->order.front().number);
  if (defined != Sent::kYes) return defined;
  if (window->line.native()) {
    window->calls.emplace_back();
    std::uint64_t ticket = 0;
    const Sent sent = window->line.put(message, &ticket);
    if (sent != Sent::kYes) {
      window->calls.pop_back();
      return sent;
    }
    window->calls.back() = std::move(self->order.front());
    window->calls.back().ticket = ticket;
    self->order.pop_front();
    return Sent::kYes;
  }
  // Others may come in while that sends: the call is in the window by then.
  const Ref kept = Ref::borrow(message);
  const Ref target = Ref::borrow(self->order.front().target.get());
  window->calls.push_back(std::move(self->order.front()));
  self->order.pop_front();
  std::uint64_t ticket = 0;
  const Sent sent = window->line.put(message, &ticket);
  auto& calls = window->calls;
  if (calls.empty() || calls.back().target.get() != target.get()) return sent;
  if (sent == Sent::kYes) {
    calls.back().ticket = ticket;
  } else {
    self->order.push_front(std::move(calls.back()));
    calls.pop_back();
  }
  return sent;
}

bool took(WindowObject* window, Sent sent) {
  if (sent == Sent::kYes) {
    ++window->assigned;
  } else if (sent != Sent::kError) {  // who is gone will be seen to
    window->full = true;
  }
  return sent == Sent::kYes;
}

// What a message refers to: the worker gets the descriptors that it has not.
bool send_segments(WindowObject* window, PyObject* segments) {
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(segments); ++i) {
    unsigned long long inode = 0;
    int fd = -1;
    if (!PyArg_ParseTuple(PyList_GET_ITEM(segments, i), "Ki", &inode, &fd)) {
      return false;
    }
    const auto [at, is_new] = window->segments.insert(inode);
    if (is_new && !window->line.send_descriptor(fd)) {
      window->segments.erase(inode);
      return false;
    }
    (void)at;
  }
  return true;
}

bool is_first(DispatcherObject* self, PyObject* target) {
  return !self->order.empty() && self->order.front().target.get() == target;
}

// The first call of the order can't be sent: that is its end.
bool fail_first(DispatcherObject* self, Stretch& stretch, PyObject* target,
                PyObject* error) {
  Call failed;
  if (is_first(self, target)) {
    failed = std::move(self->order.front());
    self->order.pop_front();
  }
  const Away away(stretch);
  Ref told = Ref::steal(
      PyObject_CallMethod(failed.target.get() != nullptr ? failed.target.get() : target,
                          "set_exception", "(O)", error));
  const Call gone = std::move(failed);
  if (!told && PyErr_ExceptionMatches(imports.invalid_state) != 0) PyErr_Clear();
  return PyErr_Occurred() == nullptr;
}

// Sends the first call of the order, whose message refers to segments, or is to.
bool give_with_segments(DispatcherObject* self, Stretch& stretch,
                        WindowObject* window) {
  if (window->calls.size() > kSharedAhead) {  // there may be few descriptors
    window->full = true;
    return true;
  }
  const Ref target = Ref::borrow(self->order.front().target.get());
  const Ref packed = Ref::borrow(self->order.front().message.get());
  Ref sealed = call_away(stretch, self, "sealed", packed.get());
  if (!sealed) {
    if (PyErr_ExceptionMatches(PyExc_Exception) == 0) return false;
    Ref error = Ref::steal(take_exception());
    return fail_first(self, stretch, target.get(), error.get());
  }
  PyObject *message = nullptr, *segments = nullptr;
  if (!PyArg_ParseTuple(sealed.get(), "SO!:sealed", &message, &PyList_Type,
                        &segments)) {
    return false;
  }
  {
    const Away away(stretch);
    if (!send_segments(window, segments)) {
      if (PyErr_ExceptionMatches(PyExc_BrokenPipeError) == 0) return false;
      PyErr_Clear();
      window->full = true;
      return true;
    }
  }
  if (!is_first(self, target.get())) return true;
  const Sent sent = give_first(self, window, message);
  if (sent == Sent::kError) return false;
  (void)took(window, sent);
  return window->line.publish();
}

std::size_t share_of(DispatcherObject* self, WindowObject* window) {
  const std::size_t has = window->calls.size();
  std::size_t count = self->limit > has ? self->limit - has : 0;
  if (self->max_tasks > 0) {
    count = std::min<std::size_t>(count, self->max_tasks - window->assigned);
  }
  const std::size_t fair =
      std::max(self->order.size() / self->windows.size(), self->together);
  return std::max<std::size_t>(1, std::min(count, fair));
}

// Sends some calls from the head of the order.
bool give_calls(DispatcherObject* self, Stretch& stretch, WindowObject* window,
                Dropped& dropped) {
  bool given = false, failed = false;
  for (std::size_t count = share_of(self, window); count > 0; --count) {
    while (!self->order.empty() && is_over(self->order.front())) {
      dropped.push_back(std::move(self->order.front()));
      self->order.pop_front();
      if (self->dropped > 0) --self->dropped;
    }
    if (self->order.empty() || self->order.front().is_map) break;
    const Ref message = Ref::borrow(self->order.front().message.get());
    if (!PyBytes_CheckExact(message.get())) {
      if (!given && !give_with_segments(self, stretch, window)) return false;
      break;
    }
    const Sent sent = give_first(self, window, message.get());
    failed = sent == Sent::kError;
    if (!took(window, sent)) break;
    given = true;
  }
  if (failed) {
    Ref error = Ref::steal(take_exception());
    (void)window->line.publish();
    PyErr_Clear();
    raise_exception(error.get());
    return false;
  }
  if (given && !window->line.publish()) return false;
  if (self->max_tasks > 0 && window->assigned >= self->max_tasks) {
    return stop_window(self, window);
  }
  return true;
}

// A worker that has nothing to do, or else one with room.
WindowObject* next_window(DispatcherObject* self, std::size_t low) {
  const std::size_t n = self->windows.size();
  for (std::size_t i = 0; i < n; ++i) {
    if (self->window(i)->idles()) return self->window(i);
  }
  for (std::size_t i = 0; i < n; ++i) {
    self->turn = (self->turn + 1) % n;
    WindowObject* window = self->window(self->turn);
    if (window->calls.size() <= low && !window->full && !window->retiring) {
      return window;
    }
  }
  return nullptr;
}

bool dispatch_all(DispatcherObject* self, Stretch& stretch, Dropped& dropped) {
  while (!self->order.empty() && !self->windows.empty()) {
    const bool is_map = self->order.front().is_map;
    const Ref map = Ref::borrow(is_map ? self->order.front().target.get() : nullptr);
    Measures measures;
    std::size_t low = self->limit / 2;
    if (is_map) {
      if (!measures_of(stretch, map.get(), &measures)) return false;
      low = measures.ahead - std::min(measures.ahead, measures.together);
    }
    WindowObject* window = next_window(self, low);
    if (window == nullptr) {
      self->room = false;
      return true;
    }
    const Ref kept = Ref::borrow(window);
    if (!is_map) {
      if (!give_calls(self, stretch, window, dropped)) return false;
      continue;
    }
    const std::size_t has = window->calls.size();
    const std::size_t wanted =
        std::min(measures.together, measures.ahead - std::min(measures.ahead, has));
    bool more = true;
    for (std::size_t i = 0; more && i < std::max<std::size_t>(wanted, 1); ++i) {
      if (!add_chunk(self, stretch, map.get(), &more)) return false;
    }
  }
  self->room = true;
  return true;
}

// Who has twice as much to do can wait for company.
void set_hold(DispatcherObject* self) {
  if (self->windows.empty()) return;
  std::size_t least = static_cast<std::size_t>(-1);
  for (std::size_t i = 0; i < self->windows.size(); ++i) {
    least = std::min(least, self->window(i)->calls.size());
  }
  self->hold = std::min(std::max(self->together, least / 2), kMostTogether);
}

}  // namespace

bool dispatch(DispatcherObject* self, Stretch& stretch) {
  if (self->inside || self->windows.empty()) return true;
  Dropped dropped;
  bool good = true;
  {
    Inside inside(self);
    good = dispatch_all(self, stretch, dropped);
    if (good) inside.finished();
  }
  set_hold(self);
  if (!dropped.empty()) {
    Ref error = Ref::steal(good ? nullptr : take_exception());
    {
      const Away away(stretch);
      dropped.clear();
    }
    if (error) raise_exception(error.get());
  }
  return good;
}

}  // namespace fastflow::py
