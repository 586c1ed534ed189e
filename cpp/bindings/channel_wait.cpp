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

// In the middle of a burst, the next message may be a microsecond away, and a sleep
// costs the other process some, and us a switch.  No longer: what we wait for may need
// this very core.  After a single message never: a question and its answer took 9 us
// with it, and 6 without.
constexpr std::chrono::microseconds kSpin{10};

// A signal ends a sleep at once, unless it came just before the sleep began, or another
// thread got it: so no sleep is longer than this.
constexpr std::chrono::milliseconds kSlice{100};
// Until descriptors that are under way have arrived: nothing tells when.
constexpr std::chrono::milliseconds kShortSlice{1};

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

// A channel's list of sleepers has this thread in it, for as long as this lives.
class Enlisted {
 public:
  // REQUIRES: attached.
  Enlisted(const ChannelUser& user, Channel::Wish wish) : user_(&user) {
    const ObjectLock lock(user.object());
    descriptor_ = user.channel()->enlist(wish);
  }
  Enlisted(Enlisted&& other) noexcept
      : user_(other.user_),
        descriptor_(std::exchange(other.descriptor_, Channel::kReady)) {}
  Enlisted(const Enlisted&) = delete;
  ~Enlisted() {
    if (!sleep() || is_detached()) return;
    try {
      leave();
    } catch (const std::exception&) {  // the next call meets it
    }
  }
  void leave() {
    descriptor_ = Channel::kReady;
    const ObjectLock lock(user_->object());
    user_->channel()->leave();
  }
  // False: there is something already.
  [[nodiscard]] bool sleep() const noexcept { return descriptor_ != Channel::kReady; }
  // To sleep on.
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

 private:
  const ChannelUser* user_;
  int descriptor_ = Channel::kReady;
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

State look(const ChannelUser& user, Channel::Wish wish, Position* seen) {
  const ObjectLock lock(user.object());
  Channel* channel = live_channel(user.object());
  if (channel == nullptr) return State::kAbandoned;
  const bool ready = channel->ready(wish);
  *seen = channel->receiver.seen();
  if (!ready) return State::kNothing;
  if (!channel->bell.closed()) return State::kReady;
  RingReceiver<MessageMemory>::Message message;
  const bool more = wish.message && channel->receiver.look(&message) != Found::kNothing;
  return more ? State::kReady : State::kClosed;
}

bool in_burst(const ChannelUser& user) {
  const ObjectLock lock(user.object());
  return user.channel()->in_burst();
}

// What a sleep of several channels is for.
Channel::Wish any_wish(const ChannelUser& user) {
  const ObjectLock lock(user.object());
  return {.message = true, .room = user.channel()->wants_room()};
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
    sockets.push_back({-1, POLLIN, 0});  // sleep_for_any knows
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
    const State state = look(users[i], any_wish(users[i]), &seen);
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
  for (pollfd& socket : watched.sockets) socket.revents = 0;
  std::vector<Enlisted> enlisted;
  enlisted.reserve(watched.users.size());
  for (std::size_t i = 0; i < watched.users.size(); ++i) {
    enlisted.emplace_back(watched.users[i], any_wish(watched.users[i]));
    if (!enlisted.back().sleep()) return;
    watched.sockets[i].fd = enlisted.back().descriptor();
  }
  call_detached(
      [&] { poll_for(watched.sockets.data(), watched.sockets.size(), most); });
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
    {
      Ref ready = Ref::steal(PyList_New(0));
      if (!ready || !watched.append_ready(ready.get())) return nullptr;
      if (PyList_GET_SIZE(ready.get()) > 0) look_at_descriptors(watched);
      if (!watched.append_descriptors(ready.get())) return nullptr;
      if (PyList_GET_SIZE(ready.get()) > 0) return ready.release();
      if (slept && deadline.passed()) return ready.release();
    }
    sleep_for_any(watched, deadline.left(kSlice));
    if (PyErr_CheckSignals() < 0) return nullptr;
  }
}

namespace {

enum class Wait { kReady, kTimeout, kClosed, kError };

Wait wait_on(const ChannelUser& user, Channel::Wish wish, const Deadline& deadline) {
  bool may_spin = wish.message && in_burst(user);
  for (bool slept = false;;) {
    Position seen = 0;
    const State state = look(user, wish, &seen);
    if (state == State::kAbandoned) return Wait::kError;
    if (state == State::kReady) return Wait::kReady;
    if (state == State::kClosed) return Wait::kClosed;
    if (slept && deadline.passed()) return Wait::kTimeout;
    if (std::exchange(may_spin, false)) {
      call_detached([&] { spin(*user.channel(), seen); });
      continue;
    }
    Enlisted enlisted(user, wish);
    if (!enlisted.sleep()) continue;
    pollfd socket{enlisted.descriptor(), POLLIN, 0};
    call_detached([&] { poll_for(&socket, 1, deadline.left(kSlice)); });
    enlisted.leave();
    slept = true;
    if (PyErr_CheckSignals() < 0) return Wait::kError;
  }
}

PyObject* wait_for_wish(PyObject* self, PyObject* args, PyObject* names,
                        const char* format, Channel::Wish wish) {
  double timeout = -1;
  if (!parse_wait(args, names, format, &timeout)) return nullptr;
  const ChannelUser user(self);
  if (user.channel() == nullptr) return nullptr;
  switch (wait_on(user, wish, Deadline(timeout))) {
    case Wait::kReady:
      Py_RETURN_TRUE;
    case Wait::kTimeout:
      Py_RETURN_FALSE;
    case Wait::kClosed:
      return raise_eof();
    default:
      return nullptr;
  }
}

}  // namespace

PyObject* channel_wait(PyObject* self, PyObject* args, PyObject* names) {
  return wait_for_wish(self, args, names, "|O:wait", {.message = true});
}

PyObject* channel_wait_for_room(PyObject* self, PyObject* args, PyObject* names) {
  return wait_for_wish(self, args, names, "|O:wait_for_room", {.room = true});
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
  if (channel == nullptr) return nullptr;
  if (channel->somebody_listens()) {
    PyErr_SetString(PyExc_RuntimeError, "another thread sleeps on this channel");
    return nullptr;
  }
  const int descriptor = channel->enlist({.message = true, .room = for_room != 0});
  return PyBool_FromLong(descriptor != Channel::kReady);
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
    call_detached([&] {
      poll_for(&socket, 1, kShortSlice);
      // Writable, but too many descriptors are under way.
      if (socket.revents != 0) std::this_thread::yield();
    });
    if (PyErr_CheckSignals() < 0) return nullptr;
  }
}

PyObject* channel_take_descriptor(PyObject* self, PyObject* args, PyObject* names) {
  double timeout = -1;
  if (!parse_wait(args, names, "|O:take_descriptor", &timeout)) return nullptr;
  const ChannelUser user(self);
  if (user.channel() == nullptr) return nullptr;
  const Deadline deadline(timeout);
  for (;;) {
    const Wait waited = wait_on(user, {.descriptor = true}, deadline);
    if (waited == Wait::kError) return nullptr;
    if (waited == Wait::kTimeout) {
      PyErr_SetString(PyExc_TimeoutError, "no file descriptor has come");
      return nullptr;
    }
    const ObjectLock lock(self);
    Channel* channel = live_channel(self);
    if (channel == nullptr) return nullptr;
    if (channel->bell.has_descriptor()) {
      return PyLong_FromLong(channel->bell.take_descriptor().release());
    }
    if (channel->bell.closed()) return raise_eof();
    // Another thread was quicker.
  }
}

}  // namespace fastflow::py

#endif
