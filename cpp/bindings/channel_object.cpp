#include "channel_object.hpp"

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "gil.hpp"
#include "guarded.hpp"

namespace fastflow::py {

PyObject* channel_error = nullptr;

#if defined(__linux__)

PyTypeObject* channel_type = nullptr;

namespace {

// The bytes of an argument: those of a bytes object, or of any buffer in one piece.
class Payload {
 public:
  explicit Payload(PyObject* object) {
    if (PyBytes_CheckExact(object)) {
      data_ = PyBytes_AS_STRING(object);
      size_ = static_cast<std::size_t>(PyBytes_GET_SIZE(object));
      good_ = true;
    } else if (PyObject_GetBuffer(object, &view_, PyBUF_SIMPLE) == 0) {
      data_ = static_cast<const char*>(view_.buf);
      size_ = static_cast<std::size_t>(view_.len);
      good_ = true;
    }
  }
  Payload(Payload&& other) noexcept
      : data_(other.data_),
        size_(other.size_),
        good_(other.good_),
        view_(std::exchange(other.view_, Py_buffer{})) {}
  Payload(const Payload&) = delete;
  ~Payload() {
    if (view_.obj != nullptr) PyBuffer_Release(&view_);
  }

  // False: an exception is set.
  [[nodiscard]] bool good() const noexcept { return good_; }
  [[nodiscard]] const std::byte* data() const noexcept {
    return reinterpret_cast<const std::byte*>(data_);
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  const char* data_ = nullptr;
  std::size_t size_ = 0;
  bool good_ = false;
  Py_buffer view_{};
};

void raise_fault(Fault fault, Position position) {
  const char* what = "";
  switch (fault) {
    case Fault::kHead:
      what = "the receiver says that it has read what was never sent";
      break;
    case Fault::kTail:
      what = "the sender says that it has sent more than there is room for";
      break;
    case Fault::kSequence:
      what = "what stands there is not the next message";
      break;
    case Fault::kLength:
      what = "the message is longer than what was sent";
      break;
    default:
      what = "the message's checksum is wrong";
  }
  PyErr_Format(
      channel_error,
      "the memory shared with the other process was damaged: %s (at byte %llu)", what,
      static_cast<unsigned long long>(position));
}

PyObject* raise_broken_pipe() {
  errno = EPIPE;
  return PyErr_SetFromErrno(PyExc_OSError);
}

bool check_size(const Channel& channel, std::size_t size) {
  if (size <= channel.sender.max_payload()) return true;
  PyErr_Format(PyExc_ValueError,
               "a message of %zu bytes never fits: the channel takes %zu at most", size,
               channel.sender.max_payload());
  return false;
}

// --- sending
// --------------------------------------------------------------------------

// send(payload) -> ticket, or None if there is no room now
PyObject* channel_send(PyObject* self, PyObject* argument) {
  const Payload payload(argument);
  if (!payload.good()) return nullptr;
  const ObjectLock lock(self);
  Channel* channel = live_channel(self);
  if (channel == nullptr || !check_size(*channel, payload.size())) return nullptr;
  if (channel->bell.closed()) return raise_broken_pipe();
  RingSender<MessageMemory>& sender = channel->sender;
  const Room room = sender.room(payload.size());
  if (room == Room::kFault) {
    raise_fault(Fault::kHead, sender.next_ticket());
    return nullptr;
  }
  if (room == Room::kNo && !channel->refused(payload.size())) Py_RETURN_NONE;
  Ref ticket = Ref::steal(PyLong_FromUnsignedLongLong(sender.next_ticket()));
  if (!ticket) return nullptr;
  sender.put(payload.data(), payload.size());
  channel->accepted();
  if (sender.publish()) {
    channel->bell.ring();
    if (channel->bell.closed()) return raise_broken_pipe();
  }
  return ticket.release();
}

// send_many(list of payloads) -> list of tickets: of the first ones, as many as there
// was room for
PyObject* channel_send_many(PyObject* self, PyObject* argument) {
  Ref items = Ref::steal(PySequence_Tuple(argument));
  if (!items) return nullptr;
  const auto n = static_cast<std::size_t>(PyTuple_GET_SIZE(items.get()));
  std::vector<Payload> payloads;
  payloads.reserve(n);
  for (std::size_t i = 0; i < n; ++i) {
    payloads.emplace_back(PyTuple_GET_ITEM(items.get(), static_cast<Py_ssize_t>(i)));
    if (!payloads.back().good()) return nullptr;
  }
  Ref tickets = Ref::steal(PyList_New(0));
  if (!tickets) return nullptr;
  const ObjectLock lock(self);
  Channel* channel = live_channel(self);
  if (channel == nullptr) return nullptr;
  for (const Payload& payload : payloads) {
    if (!check_size(*channel, payload.size())) return nullptr;
  }
  if (channel->bell.closed()) return raise_broken_pipe();
  RingSender<MessageMemory>& sender = channel->sender;
  bool put = false;
  for (const Payload& payload : payloads) {
    const Room room = sender.room(payload.size());
    if (room == Room::kFault && !put) {
      raise_fault(Fault::kHead, sender.next_ticket());
      return nullptr;
    }
    if (room != Room::kYes && !channel->refused(payload.size())) break;
    Ref ticket = Ref::steal(PyLong_FromUnsignedLongLong(sender.next_ticket()));
    if (!ticket || PyList_Append(tickets.get(), ticket.get()) < 0) {
      if (!put) return nullptr;
      PyErr_Clear();
      break;
    }
    sender.put(payload.data(), payload.size());
    put = true;
    channel->accepted();
  }
  if (put && sender.publish()) {
    channel->bell.ring();
    if (channel->bell.closed()) return raise_broken_pipe();
  }
  return tickets.release();
}

bool ticket_of(PyObject* object, Position* ticket) {
  *ticket = PyLong_AsUnsignedLongLong(object);
  return *ticket != static_cast<Position>(-1) || PyErr_Occurred() == nullptr;
}

// recall(ticket) -> bool
PyObject* channel_recall(PyObject* self, PyObject* argument) {
  Position ticket = 0;
  if (!ticket_of(argument, &ticket)) return nullptr;
  const ObjectLock lock(self);
  Channel* channel = live_channel(self);
  if (channel == nullptr) return nullptr;
  return PyBool_FromLong(channel->sender.recall(ticket));
}

PyObject* channel_unclaimed(PyObject* self, PyObject*) {
  const ObjectLock lock(self);
  const Channel* channel = live_channel(self);
  if (channel == nullptr) return nullptr;
  return PyLong_FromUnsignedLongLong(channel->sender.unclaimed());
}

PyObject* channel_taken_up_to(PyObject* self, PyObject*) {
  const ObjectLock lock(self);
  const Channel* channel = live_channel(self);
  if (channel == nullptr) return nullptr;
  return PyLong_FromUnsignedLongLong(channel->sender.taken_up_to());
}

// --- receiving
// ------------------------------------------------------------------------

enum class Taken { kMessage, kNothing, kError };

// Takes the oldest message that nobody recalls meanwhile; `keep` stores a copy and says
// whether it could, `drop` undoes that.
template <class Keep, class Drop>
Taken take(Channel& channel, const Keep& keep, const Drop& drop) {
  RingReceiver<MessageMemory>& receiver = channel.receiver;
  for (;;) {
    RingReceiver<MessageMemory>::Message message;
    switch (receiver.look(&message)) {
      case Found::kNothing:
        return Taken::kNothing;
      case Found::kFault:
        raise_fault(receiver.fault(), receiver.head());
        return Taken::kError;
      default:
        break;
    }
    // A copy first: without memory for it the message stays where it is.
    PyObject* copy = PyBytes_FromStringAndSize(
        reinterpret_cast<const char*>(receiver.memory().payload(message.position)),
        static_cast<Py_ssize_t>(message.length));
    if (copy == nullptr || !keep(copy)) return Taken::kError;
    const bool ours = receiver.claim(message);
    receiver.pass(message);
    if (ours) return Taken::kMessage;
    drop();
  }
}

// receive() -> bytes, or None if there is nothing
PyObject* channel_receive(PyObject* self, PyObject*) {
  const ObjectLock lock(self);
  Channel* channel = live_channel(self);
  if (channel == nullptr) return nullptr;
  PyObject* message = nullptr;
  const auto keep = [&](PyObject* copy) {
    message = copy;
    return true;
  };
  const Taken taken = take(*channel, keep, [&] { Py_CLEAR(message); });
  channel->release();
  if (taken == Taken::kNothing) Py_RETURN_NONE;
  return message;
}

// receive_many(limit) -> list of bytes
PyObject* channel_receive_many(PyObject* self, PyObject* argument) {
  const Py_ssize_t limit = PyNumber_AsSsize_t(argument, PyExc_OverflowError);
  if (limit == -1 && PyErr_Occurred()) return nullptr;
  Ref messages = Ref::steal(PyList_New(0));
  if (!messages) return nullptr;
  const ObjectLock lock(self);
  Channel* channel = live_channel(self);
  if (channel == nullptr) return nullptr;
  const auto keep = [&](PyObject* copy) {
    const bool kept = PyList_Append(messages.get(), copy) == 0;
    Py_DECREF(copy);
    return kept;
  };
  const auto drop = [&] {
    const Py_ssize_t n = PyList_GET_SIZE(messages.get());
    PyList_SetSlice(messages.get(), n - 1, n, nullptr);
  };
  Taken taken = Taken::kMessage;
  while (taken == Taken::kMessage && PyList_GET_SIZE(messages.get()) < limit) {
    taken = take(*channel, keep, drop);
  }
  channel->release();
  if (taken != Taken::kError) return messages.release();
  if (PyList_GET_SIZE(messages.get()) == 0) return nullptr;
  PyErr_Clear();  // the next call meets it again
  return messages.release();
}

// --- the object ----------------------------------------------------------------------

PyObject* channel_create(PyObject* type, PyObject* args, PyObject* names) {
  static const char* keywords[] = {"socket_fd", "capacity", nullptr};
  int socket = -1;
  Py_ssize_t capacity = 0;
  if (!PyArg_ParseTupleAndKeywords(args, names, "in:create",
                                   const_cast<char**>(keywords), &socket, &capacity)) {
    return nullptr;
  }
  if (capacity < 0) {
    PyErr_SetString(PyExc_ValueError, "capacity must not be negative");
    return nullptr;
  }
  return make<ChannelObject>(
             reinterpret_cast<PyTypeObject*>(type),
             Channel::create(socket, static_cast<std::size_t>(capacity)))
      .release();
}

PyObject* channel_attach(PyObject* type, PyObject* args, PyObject* names) {
  static const char* keywords[] = {"socket_fd", "memory_fd", nullptr};
  int socket = -1, memory = -1;
  if (!PyArg_ParseTupleAndKeywords(args, names, "ii:attach",
                                   const_cast<char**>(keywords), &socket, &memory)) {
    return nullptr;
  }
  return make<ChannelObject>(reinterpret_cast<PyTypeObject*>(type),
                             Channel::attach(socket, Descriptor(memory)))
      .release();
}

PyObject* channel_release_fd(PyObject* self, PyObject*) {
  const ObjectLock lock(self);
  Channel* channel = live_channel(self);
  if (channel == nullptr) return nullptr;
  channel->release_fd();
  Py_RETURN_NONE;
}

PyObject* channel_abandon(PyObject* self, PyObject*) {
  const ObjectLock lock(self);
  ChannelObject* object = channel_of(self);
  object->abandoned = true;
  if (object->users == 0) object->channel.reset();
  Py_RETURN_NONE;
}

PyObject* get_memory_fd(PyObject* self, void*) {
  const ObjectLock lock(self);
  const Channel* channel = live_channel(self);
  return channel == nullptr ? nullptr : PyLong_FromLong(channel->memory_fd());
}
PyObject* get_capacity(PyObject* self, void*) {
  const ObjectLock lock(self);
  const Channel* channel = live_channel(self);
  return channel == nullptr ? nullptr : PyLong_FromSize_t(channel->capacity());
}
PyObject* get_max_payload(PyObject* self, void*) {
  const ObjectLock lock(self);
  const Channel* channel = live_channel(self);
  return channel == nullptr ? nullptr
                            : PyLong_FromSize_t(channel->sender.max_payload());
}
PyObject* get_closed_by_peer(PyObject* self, void*) {
  const ObjectLock lock(self);
  const Channel* channel = live_channel(self);
  return channel == nullptr ? nullptr : PyBool_FromLong(channel->bell.closed());
}

PyMethodDef methods[] = {
    {"create", method<channel_create>(), METH_VARARGS | METH_KEYWORDS | METH_CLASS,
     "create(socket_fd, capacity): the end of the process that has the worker."},
    {"attach", method<channel_attach>(), METH_VARARGS | METH_KEYWORDS | METH_CLASS,
     "attach(socket_fd, memory_fd): the worker's end; memory_fd is closed."},
    {"release_fd", method<channel_release_fd>(), METH_NOARGS,
     "Closes memory_fd, once the worker has attached."},
    {"abandon", method<channel_abandon>(), METH_NOARGS,
     "Forgets the memory; all later calls raise ChannelError."},
    {"send", method<channel_send>(), METH_O,
     "send(payload) -> ticket, or None if there is no room now."},
    {"send_many", method<channel_send_many>(), METH_O,
     "send_many(payloads) -> tickets of the first ones, as many as there was room "
     "for."},
    {"receive", method<channel_receive>(), METH_NOARGS,
     "receive() -> bytes, or None if there is nothing."},
    {"receive_many", method<channel_receive_many>(), METH_O,
     "receive_many(limit) -> what is there."},
    {"recall", method<channel_recall>(), METH_O,
     "recall(ticket) -> bool: the other end will never receive it."},
    {"unclaimed", method<channel_unclaimed>(), METH_NOARGS,
     "How many messages were sent and neither claimed nor recalled, a moment ago."},
    {"taken_up_to", method<channel_taken_up_to>(), METH_NOARGS,
     "The last ticket that the other end has claimed, a moment ago; 0: none."},
    {"prepare_wait", method<channel_prepare_wait>(), METH_VARARGS | METH_KEYWORDS,
     "prepare_wait(for_room=False) -> bool: whether to sleep; then finish_wait()."},
    {"finish_wait", method<channel_finish_wait>(), METH_NOARGS,
     "After a sleep; whoever has slept looks for messages then."},
    {"wait", method<channel_wait>(), METH_VARARGS | METH_KEYWORDS,
     "wait(timeout=None) -> bool: whether there is something to receive."},
    {"wait_for_room", method<channel_wait_for_room>(), METH_VARARGS | METH_KEYWORDS,
     "wait_for_room(timeout=None) -> bool: whether there is room for what was "
     "refused."},
    {"send_descriptor", method<channel_send_descriptor>(), METH_O,
     "send_descriptor(fd)"},
    {"take_descriptor", method<channel_take_descriptor>(), METH_VARARGS | METH_KEYWORDS,
     "take_descriptor(timeout=None) -> fd: the next one that was sent."},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef getset[] = {
    {"memory_fd", guarded<get_memory_fd>, nullptr,
     "Descriptor of the memory, for the worker; -1 once it is released.", nullptr},
    {"capacity", guarded<get_capacity>, nullptr, "Bytes in each direction.", nullptr},
    {"max_payload", guarded<get_max_payload>, nullptr, "Bytes of the longest message.",
     nullptr},
    {"closed_by_peer", guarded<get_closed_by_peer>, nullptr,
     "Whether the other end is known to be gone.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

}  // namespace

Sent channel_put(PyObject* self, PyObject* message, std::uint64_t* ticket) {
  const Payload payload(message);
  if (!payload.good()) return Sent::kError;
  const ObjectLock lock(self);
  if (channel_of(self)->abandoned) return Sent::kGone;
  Channel& channel = *channel_of(self)->channel;
  if (!check_size(channel, payload.size())) return Sent::kError;
  if (channel.bell.closed()) return Sent::kGone;
  const Room room = channel.sender.room(payload.size());
  if (room == Room::kFault) {
    raise_fault(Fault::kHead, channel.sender.next_ticket());
    return Sent::kError;
  }
  if (room == Room::kNo && !channel.refused(payload.size())) return Sent::kNoRoom;
  *ticket = channel.sender.put(payload.data(), payload.size());
  channel.accepted();
  return Sent::kYes;
}

bool channel_publish(PyObject* self) {
  const ObjectLock lock(self);
  if (channel_of(self)->abandoned) return true;
  Channel& channel = *channel_of(self)->channel;
  if (channel.sender.publish()) channel.bell.ring();
  return true;
}

PyObject* channel_take(PyObject* self) {
  const ObjectLock lock(self);
  if (channel_of(self)->abandoned) return nullptr;
  PyObject* message = nullptr;
  const auto keep = [&](PyObject* copy) {
    message = copy;
    return true;
  };
  (void)take(*channel_of(self)->channel, keep, [&] { Py_CLEAR(message); });
  return message;
}

void channel_taken(PyObject* self) {
  const ObjectLock lock(self);
  if (!channel_of(self)->abandoned) channel_of(self)->channel->release();
}

Channel* live_channel(PyObject* object) {
  const ChannelObject* channel = channel_of(object);
  if (!channel->abandoned) return channel->channel.get();
  PyErr_SetString(channel_error, "the channel was abandoned");
  return nullptr;
}

ChannelUser::ChannelUser(PyObject* object) : object_(Ref::borrow(object)) {
  const ObjectLock lock(object);
  channel_ = live_channel(object);
  if (channel_ != nullptr) ++channel_of(object)->users;
}

ChannelUser::ChannelUser(ChannelUser&& other) noexcept
    : object_(std::move(other.object_)),
      channel_(std::exchange(other.channel_, nullptr)) {}

ChannelUser::~ChannelUser() {
  if (is_detached()) (void)object_.release();  // and the channel stays as it is
  if (channel_ == nullptr || is_detached()) return;
  const ObjectLock lock(object_.get());
  ChannelObject* object = channel_of(object_.get());
  if (--object->users == 0 && object->abandoned) object->channel.reset();
}

#endif

bool add_channel_type(PyObject* module) {
  channel_error = PyErr_NewExceptionWithDoc(
      "fastflow._core.ChannelError",
      "What was received is no message of the other process's, or the channel was "
      "abandoned.",
      PyExc_OSError, nullptr);
  if (channel_error == nullptr ||
      PyModule_AddObjectRef(module, "ChannelError", channel_error) < 0) {
    return false;
  }
#if defined(__linux__)
  return add_type<ChannelObject>(module, "fastflow._core.Channel", &channel_type,
                                 {.methods = methods, .getset = getset});
#else
  return true;
#endif
}

}  // namespace fastflow::py
