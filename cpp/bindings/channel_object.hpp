// Channel for Python: one end of the rings between a process and its worker
// (channel.hpp in the core).
//
// Threads
//   Any.  An operation is kept apart from others on the same object by ObjectLock, and
//   no Python code runs in its middle: what it allocates are bytes and ints, and a list
//   before it begins.  Waits leave the interpreter, and the lock, while they sleep;
//   meanwhile they are `users`.
//
// abandon() makes an object unusable; the memory is unmapped when there are no users. A
// forked child has the users of threads that are not there: it keeps the mapping, and
// can't reach it.
#pragma once

#include <memory>
#include <utility>

#include "line.hpp"
#include "object.hpp"
#include "python.hpp"

#if defined(__linux__)
#include "channel.hpp"
#endif

namespace fastflow::py {

// Channel where there is shared memory, ChannelError everywhere.
bool add_channel_type(PyObject* module);

extern PyObject* channel_error;

#if defined(__linux__)

struct ChannelObject : PyObject {
  explicit ChannelObject(std::unique_ptr<Channel> of) noexcept
      : channel(std::move(of)) {}

  std::unique_ptr<Channel> channel;
  std::uint32_t users = 0;
  bool abandoned = false;
};

extern PyTypeObject* channel_type;

inline ChannelObject* channel_of(PyObject* object) {
  return static_cast<ChannelObject*>(object);
}

// REQUIRES: ObjectLock.  nullptr with ChannelError if it was abandoned.
Channel* live_channel(PyObject* object);

// For Line.  put: a bytes object, seen by the worker after publish; take: the next
// message, nullptr if there is none or with an exception.
Sent channel_put(PyObject* self, PyObject* message, std::uint64_t* ticket);
bool channel_publish(PyObject* self);
PyObject* channel_take(PyObject* self);
// After some of these.
void channel_taken(PyObject* self);

// Keeps the channel's memory mapped while the interpreter is left.
class ChannelUser {
 public:
  // Throws nothing; `channel` is nullptr with an exception if it was abandoned.
  explicit ChannelUser(PyObject* object);
  ChannelUser(ChannelUser&& other) noexcept;
  ChannelUser(const ChannelUser&) = delete;
  ~ChannelUser();
  [[nodiscard]] Channel* channel() const noexcept { return channel_; }
  [[nodiscard]] PyObject* object() const noexcept { return object_.get(); }

 private:
  Ref object_;
  Channel* channel_ = nullptr;
};

// Methods of waiting: channel_wait.cpp.
PyObject* channel_wait(PyObject* self, PyObject* args, PyObject* names);
PyObject* channel_wait_for_room(PyObject* self, PyObject* args, PyObject* names);
PyObject* channel_prepare_wait(PyObject* self, PyObject* args, PyObject* names);
PyObject* channel_finish_wait(PyObject* self, PyObject*);
PyObject* channel_send_descriptor(PyObject* self, PyObject* fd);
PyObject* channel_take_descriptor(PyObject* self, PyObject* args, PyObject* names);
// wait_channels(channels, extra_fds=(), timeout=None) -> list of indexes
PyObject* wait_channels(PyObject*, PyObject* args, PyObject* names);

#endif

}  // namespace fastflow::py
