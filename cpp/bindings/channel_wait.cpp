// Waits of channels: see channel.hpp in the core for how threads sleep, and why no call
// is lost.
#include "channel_object.hpp"

#if defined(__linux__)

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "gil.hpp"
#include "guarded.hpp"
#include "wait.hpp"

namespace fastflow::py {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

// A message may be a microsecond away, and a sleep costs the other process some, and us
// a switch.  No longer: what we wait for may need this very core.
constexpr std::chrono::microseconds kSpin{4};

// A signal ends a sleep at once, unless it came just before the sleep began, or another
// thread got it: so no sleep is longer than this.
constexpr std::chrono::milliseconds kSlice{100};
// For a descriptor, while another thread of ours may be the one to receive it.
constexpr std::chrono::milliseconds kShortSlice{5};

class Deadline {
 public:
  // Negative: none.
  explicit Deadline(double seconds) : bounded_(seconds >= 0) {
    if (!bounded_) return;
    const std::chrono::duration<double> capped(std::min(seconds, 1e9));
    at_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(capped);
  }
  [[nodiscard]] bool passed() const { return bounded_ && Clock::now() >= at_; }
  // Until then, but at most `slice`.
  [[nodiscard]] nanoseconds left(nanoseconds slice) const {
    if (!bounded_) return slice;
    return std::clamp<nanoseconds>(at_ - Clock::now(), nanoseconds(0), slice);
  }

 private:
  bool bounded_;
  Clock::time_point at_{};
};

// A list of threads that sleep has this one in it, for as long as it lives.
class Enlisted {
 public:
  // REQUIRES: attached.  `sleep` is false if there is something already.
  Enlisted(const ChannelUser& user, bool for_room) : user_(&user) {
    const ObjectLock lock(user.object());
    enlisted_ = user.channel()->enlist(for_room);
  }
  Enlisted(Enlisted&& other) noexcept
      : user_(other.user_), enlisted_(std::exchange(other.enlisted_, false)) {}
  Enlisted(const Enlisted&) = delete;
  ~Enlisted() {
    if (!enlisted_) return;
    try {
      leave();
    } catch (const std::exception&) {  // the next call meets it
    }
  }
  void leave() {
    enlisted_ = false;
    const ObjectLock lock(user_->object());
    user_->channel()->leave();
  }
  [[nodiscard]] bool sleep() const noexcept { return enlisted_; }

 private:
  const ChannelUser* user_;
  bool enlisted_ = false;
};

void spin(const Channel& channel, Position seen) {
  const auto end = Clock::now() + kSpin;
  do {
    for (int i = 0; i < 16; ++i) {
      if (channel.receiver.has_more(seen)) return;
      cpu_pause();
    }
  } while (Clock::now() < end);
}

enum class State { kReady, kClosed, kNothing, kAbandoned };

State look(const ChannelUser& user, bool for_room, Position* seen) {
  const ObjectLock lock(user.object());
  Channel* channel = live_channel(user.object());
  if (channel == nullptr) return State::kAbandoned;
  const bool ready = channel->ready(for_room);
  *seen = channel->receiver.seen();
  if (!ready) return State::kNothing;
  RingReceiver<MessageMemory>::Message message;
  return channel->receiver.look(&message) == Found::kNothing && channel->bell.closed()
             ? State::kClosed
             : State::kReady;
}

PyObject* raise_eof() {
  PyErr_SetString(PyExc_EOFError, "the other process has closed the channel");
  return nullptr;
}

bool parse_wait(PyObject* args, PyObject* names, const char* format, double* timeout) {
  static const char* keywords[] = {"timeout", nullptr};
  PyObject* given = nullptr;
  return PyArg_ParseTupleAndKeywords(args, names, format, const_cast<char**>(keywords),
                                     &given) &&
         parse_timeout(given, timeout);
}

// --- several channels
// -----------------------------------------------------------------

struct Watched {
  std::vector<ChannelUser> users;
  std::vector<pollfd> sockets;  // of the users, then further ones

  bool add_channels(PyObject* sequence);
  bool add_descriptors(PyObject* sequence);
  // Appends the indexes of channels that are ready; false with an exception.
  bool append_ready(PyObject* list) const;
  bool append_descriptors(PyObject* list) const;
};

bool Watched::add_channels(PyObject* sequence) {
  Ref items = Ref::steal(PySequence_Tuple(sequence));
  if (!items) return false;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.get()); ++i) {
    PyObject* item = PyTuple_GET_ITEM(items.get(), i);
    if (Py_TYPE(item) != channel_type) {
      PyErr_Format(PyExc_TypeError, "wait_channels waits for channels, not for %R",
                   item);
      return false;
    }
    users.emplace_back(item);
    if (users.back().channel() == nullptr) return false;
    sockets.push_back({users.back().channel()->bell.socket(), POLLIN, 0});
  }
  return true;
}

bool Watched::add_descriptors(PyObject* sequence) {
  Ref items = Ref::steal(PySequence_Tuple(sequence));
  if (!items) return false;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.get()); ++i) {
    const int fd = PyObject_AsFileDescriptor(PyTuple_GET_ITEM(items.get(), i));
    if (fd < 0) return false;
    sockets.push_back({fd, POLLIN, 0});
  }
  return true;
}

bool append_index(PyObject* list, std::size_t index) {
  Ref number = Ref::steal(PyLong_FromSize_t(index));
  return number && PyList_Append(list, number.get()) == 0;
}

bool Watched::append_ready(PyObject* list) const {
  for (std::size_t i = 0; i < users.size(); ++i) {
    Position seen = 0;
    const State state = look(users[i], users[i].channel()->wants_room(), &seen);
    if (state == State::kAbandoned) return false;
    if (state != State::kNothing && !append_index(list, i)) return false;
  }
  return true;
}

bool Watched::append_descriptors(PyObject* list) const {
  for (std::size_t i = users.size(); i < sockets.size(); ++i) {
    if (sockets[i].revents != 0 && !append_index(list, i)) return false;
  }
  return true;
}

// Enlists with all and sleeps, unless one of them is ready.
void sleep_for_any(Watched& watched, nanoseconds most) {
  std::vector<Enlisted> enlisted;
  enlisted.reserve(watched.users.size());
  for (const ChannelUser& user : watched.users) {
    enlisted.emplace_back(user, user.channel()->wants_room());
    if (!enlisted.back().sleep()) return;
  }
  {
    const Detached detached;
    poll_for(watched.sockets.data(), watched.sockets.size(), most);
  }
  for (Enlisted& each : enlisted) each.leave();
}

// Which of the further descriptors are readable, without waiting.
void look_at_descriptors(Watched& watched) {
  const std::size_t n = watched.users.size();
  if (watched.sockets.size() > n) {
    poll_for(watched.sockets.data() + n, watched.sockets.size() - n, nanoseconds(0));
  }
}

}  // namespace

PyObject* wait_channels(PyObject*, PyObject* args, PyObject* names) {
  static const char* keywords[] = {"channels", "extra_fds", "timeout", nullptr};
  PyObject *channels = nullptr, *descriptors = nullptr, *given = nullptr;
  double timeout = -1;
  if (!PyArg_ParseTupleAndKeywords(args, names, "O|OO:wait_channels",
                                   const_cast<char**>(keywords), &channels,
                                   &descriptors, &given) ||
      !parse_timeout(given, &timeout)) {
    return nullptr;
  }
  Watched watched;
  if (!watched.add_channels(channels)) return nullptr;
  if (descriptors != nullptr && !watched.add_descriptors(descriptors)) return nullptr;
  const Deadline deadline(timeout);
  for (bool slept = false;; slept = true) {
    Ref ready = Ref::steal(PyList_New(0));
    if (!ready || !watched.append_ready(ready.get())) return nullptr;
    look_at_descriptors(watched);
    if (!watched.append_descriptors(ready.get())) return nullptr;
    if (PyList_GET_SIZE(ready.get()) > 0) return ready.release();
    if (slept && deadline.passed()) return ready.release();
    sleep_for_any(watched, deadline.left(kSlice));
    if (PyErr_CheckSignals() < 0) return nullptr;
  }
}

PyObject* channel_wait(PyObject* self, PyObject* args, PyObject* names) {
  double timeout = -1;
  if (!parse_wait(args, names, "|O:wait", &timeout)) return nullptr;
  const ChannelUser user(self);
  if (user.channel() == nullptr) return nullptr;
  const Deadline deadline(timeout);
  pollfd socket{user.channel()->bell.socket(), POLLIN, 0};
  bool spun = false;
  for (bool slept = false;;) {
    Position seen = 0;
    const State state = look(user, false, &seen);
    if (state == State::kAbandoned) return nullptr;
    if (state == State::kReady) Py_RETURN_TRUE;
    if (state == State::kClosed) return raise_eof();
    if (slept && deadline.passed()) Py_RETURN_FALSE;
    if (!std::exchange(spun, true)) {
      const Detached detached;
      spin(*user.channel(), seen);
      continue;
    }
    Enlisted enlisted(user, false);
    if (!enlisted.sleep()) continue;
    {
      const Detached detached;
      poll_for(&socket, 1, deadline.left(kSlice));
    }
    enlisted.leave();
    slept = true;
    if (PyErr_CheckSignals() < 0) return nullptr;
  }
}

PyObject* channel_prepare_wait(PyObject* self, PyObject* args, PyObject* names) {
  static const char* keywords[] = {"for_room", nullptr};
  int for_room = 0;
  if (!PyArg_ParseTupleAndKeywords(args, names, "|p:prepare_wait",
                                   const_cast<char**>(keywords), &for_room)) {
    return nullptr;
  }
  const ObjectLock lock(self);
  Channel* channel = live_channel(self);
  return channel == nullptr ? nullptr : PyBool_FromLong(channel->enlist(for_room != 0));
}

PyObject* channel_finish_wait(PyObject* self, PyObject*) {
  const ObjectLock lock(self);
  Channel* channel = live_channel(self);
  if (channel == nullptr) return nullptr;
  channel->leave();
  Py_RETURN_NONE;
}

PyObject* channel_send_descriptor(PyObject* self, PyObject* argument) {
  const int fd = PyObject_AsFileDescriptor(argument);
  if (fd < 0) return nullptr;
  const ChannelUser user(self);
  if (user.channel() == nullptr) return nullptr;
  for (;;) {
    {
      const ObjectLock lock(self);
      Channel* channel = live_channel(self);
      if (channel == nullptr) return nullptr;
      if (channel->bell.send(fd)) Py_RETURN_NONE;
    }
    pollfd socket{user.channel()->bell.socket(), POLLOUT, 0};
    {
      const Detached detached;
      poll_for(&socket, 1, kShortSlice);
      // Writable, but too many descriptors are under way.
      if (socket.revents != 0) std::this_thread::yield();
    }
    if (PyErr_CheckSignals() < 0) return nullptr;
  }
}

PyObject* channel_take_descriptor(PyObject* self, PyObject* args, PyObject* names) {
  double timeout = -1;
  if (!parse_wait(args, names, "|O:take_descriptor", &timeout)) return nullptr;
  const ChannelUser user(self);
  if (user.channel() == nullptr) return nullptr;
  const Deadline deadline(timeout);
  pollfd socket{user.channel()->bell.socket(), POLLIN, 0};
  for (;;) {
    {
      const ObjectLock lock(self);
      Channel* channel = live_channel(self);
      if (channel == nullptr) return nullptr;
      // The bells of those who sleep are theirs to hear: they receive for us.
      if (!channel->bell.has_descriptor() && !channel->somebody_sleeps()) {
        channel->bell.drain();
      }
      if (channel->bell.has_descriptor()) {
        return PyLong_FromLong(channel->bell.take_descriptor().release());
      }
      if (channel->bell.closed()) return raise_eof();
    }
    if (deadline.passed()) {
      PyErr_SetString(PyExc_TimeoutError, "no file descriptor has come");
      return nullptr;
    }
    {
      const Detached detached;
      poll_for(&socket, 1, deadline.left(kShortSlice));
      if (socket.revents != 0) std::this_thread::yield();
    }
    if (PyErr_CheckSignals() < 0) return nullptr;
  }
}

}  // namespace fastflow::py

#endif
