// Line: messages of one worker, through a channel of either kind: the native one
// (channel_object.hpp), or one that is written in Python, where there is no shared
// memory (processes/pipe.py).
//
// With a native channel no Python code runs in any of these functions.
#pragma once

#include "python.hpp"

#include <cstdint>

namespace fastflow::py {

enum class Sent : std::uint8_t {
  kYes,
  kNoRoom,
  kGone,   // the worker has ended
  kError,  // an exception is set
};

class Line {
 public:
  Line() = default;
  explicit Line(PyObject* channel);

  [[nodiscard]] bool native() const noexcept { return native_; }
  [[nodiscard]] PyObject* channel() const noexcept { return channel_.get(); }

  // Puts a bytes object; nobody is told before publish().
  Sent put(PyObject* message, std::uint64_t* ticket) const;
  // False: an exception is set.
  [[nodiscard]] bool publish() const;

  // The next message; empty: there is none, or an exception is set.
  Ref receive() const;
  // After some of these.
  void received() const;

  // True: the worker will never take the message.
  [[nodiscard]] bool recall(std::uint64_t ticket) const;
  // The last ticket that was taken; REQUIRES: native().
  [[nodiscard]] std::uint64_t taken_up_to() const;
  [[nodiscard]] bool closed() const;
  // Waits as long as descriptors can't be sent; false: an exception is set, which may
  // be that of a signal handler, and it was not sent.
  [[nodiscard]] bool send_descriptor(int fd) const;

 private:
  Ref channel_;
  bool native_ = false;
};

}  // namespace fastflow::py
