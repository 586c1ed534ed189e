#include "line.hpp"

#include "channel_object.hpp"

namespace fastflow::py {

namespace {

#if defined(__linux__)
bool is_native(PyObject* channel) { return Py_TYPE(channel) == channel_type; }
#else
bool is_native(PyObject*) { return false; }
#endif

Sent put_through(PyObject* channel, PyObject* message, std::uint64_t* ticket) {
  Ref sent = Ref::steal(PyObject_CallMethod(channel, "send", "(O)", message));
  if (!sent) {
    if (PyErr_ExceptionMatches(PyExc_BrokenPipeError) == 0) return Sent::kError;
    PyErr_Clear();
    return Sent::kGone;
  }
  if (sent.get() == Py_None) return Sent::kNoRoom;
  *ticket = PyLong_AsUnsignedLongLong(sent.get());
  return PyErr_Occurred() == nullptr ? Sent::kYes : Sent::kError;
}

}  // namespace

Line::Line(PyObject* channel)
    : channel_(Ref::borrow(channel)), native_(is_native(channel)) {}

#if defined(__linux__)

Sent Line::put(PyObject* message, std::uint64_t* ticket) const {
  if (native_) return channel_put(channel(), message, ticket);
  return put_through(channel(), message, ticket);
}

bool Line::publish() const { return !native_ || channel_publish(channel()); }

Ref Line::receive() const {
  if (native_) return Ref::steal(channel_take(channel()));
  Ref message = Ref::steal(PyObject_CallMethod(channel(), "receive", nullptr));
  return message.get() == Py_None ? Ref() : std::move(message);
}

void Line::received() const {
  if (native_) channel_taken(channel());
}

bool Line::recall(std::uint64_t ticket) const {
  const ObjectLock lock(channel());
  return native_ && !channel_of(channel())->abandoned &&
         channel_of(channel())->channel->sender.recall(ticket);
}

std::uint64_t Line::taken_up_to() const {
  const ObjectLock lock(channel());
  if (!native_ || channel_of(channel())->abandoned) return 0;
  return channel_of(channel())->channel->sender.taken_up_to();
}

bool Line::closed() const {
  if (native_) {
    const ObjectLock lock(channel());
    return channel_of(channel())->abandoned ||
           channel_of(channel())->channel->bell.closed();
  }
  Ref closed = Ref::steal(PyObject_GetAttrString(channel(), "closed_by_peer"));
  if (!closed) PyErr_Clear();
  return closed.get() != Py_False;
}

#else

Sent Line::put(PyObject* message, std::uint64_t* ticket) const {
  return put_through(channel(), message, ticket);
}
bool Line::publish() const { return true; }
Ref Line::receive() const {
  Ref message = Ref::steal(PyObject_CallMethod(channel(), "receive", nullptr));
  return message.get() == Py_None ? Ref() : std::move(message);
}
void Line::received() const {}
bool Line::recall(std::uint64_t) const { return false; }
std::uint64_t Line::taken_up_to() const { return 0; }
bool Line::closed() const {
  Ref closed = Ref::steal(PyObject_GetAttrString(channel(), "closed_by_peer"));
  if (!closed) PyErr_Clear();
  return closed.get() != Py_False;
}

#endif

bool Line::send_descriptor(int fd) const {
  Ref done = Ref::steal(PyObject_CallMethod(channel(), "send_descriptor", "i", fd));
  return static_cast<bool>(done);
}

}  // namespace fastflow::py
