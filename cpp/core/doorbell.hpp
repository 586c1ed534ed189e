// Doorbell: one end of a connected pair of stream sockets (AF_UNIX) between two
// processes.  It wakes the other one, tells that it is gone, and carries file
// descriptors.
//
//   ring       a byte, without waiting.  If there is no room for it, the bell rings
//              already.
//   send       a byte with a descriptor beside it; the kernel keeps them in order
//   drain      takes all bytes that have come.  Descriptors are kept, in order, until
//              somebody takes them; bytes alone mean no more than "look again".
//   poll       (any number of sockets) sleeps until one is readable, which it stays
//              until it is drained
//   closed     the other end is closed, which also the death of its process does
//
// The socket is borrowed: whoever owns it keeps it open as long as this is used.
//
// Threads: one at a time, but poll_for, which uses no object.
// Errors are std::system_error.
#pragma once

#if defined(__linux__)

#include <poll.h>

#include <chrono>
#include <vector>

#include "shared_memory.hpp"

namespace fastflow {

class Doorbell {
 public:
  explicit Doorbell(int socket) noexcept : socket_(socket) {}

  void ring();
  void drain();
  // False: no room for it now; poll for POLLOUT.
  [[nodiscard]] bool send(int fd);

  [[nodiscard]] bool has_descriptor() const noexcept { return !descriptors_.empty(); }
  // REQUIRES: has_descriptor.  Throws if it could not be received (too many are open).
  [[nodiscard]] Descriptor take_descriptor();

  [[nodiscard]] bool closed() const noexcept { return closed_; }
  [[nodiscard]] int socket() const noexcept { return socket_; }

 private:
  bool drain_once();

  int socket_;
  bool closed_ = false;
  std::vector<Descriptor> descriptors_;  // -1: one that was lost
};

// A counter that is readable while it is not 0: for threads of one process.
[[nodiscard]] Descriptor create_counter();
void count_up(int counter);
void count_down(int counter);

// poll(2) with a finer timeout; negative: for ever.  0: none is ready, or a signal
// came.
int poll_for(pollfd* sockets, std::size_t count, std::chrono::nanoseconds timeout);

}  // namespace fastflow

#endif
