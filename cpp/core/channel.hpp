// Channel: one of the two ends of what a process and its worker process tell each
// other: a ring in each direction (ring.hpp) in one piece of shared memory, and a
// doorbell.
//
// The process that creates it writes into the first ring and reads from the second; the
// worker attaches, once, and does the opposite.
//
// Sleepers
//   A thread that wants to sleep enlists, which looks once more, sleeps until the
//   descriptor that it is given is readable, and leaves.
//   Several threads of this end may sleep at a time, for the same or for different
//   things.  The bell is for one of them to hear, the listener, as two that take bytes
//   away from a socket take them from each other.  The others are followers and sleep
//   on an event counter.  A listener that leaves drains the bell, and then owes each
//   follower one count, which that one takes away when it leaves.  So a follower sleeps
//   only while somebody listens; whatever the bell was about, all look; and the first
//   that enlists anew is the listener.  (Many followers are woken in vain: they are
//   rare.)
//
// Threads: one at a time; spinning (has_more) and polling beside it.
#pragma once

#if defined(__linux__)

#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "doorbell.hpp"
#include "message_memory.hpp"
#include "ring.hpp"
#include "shared_memory.hpp"

namespace fastflow {

class Channel {
 public:
  using Sender = RingSender<MessageMemory>;
  using Receiver = RingReceiver<MessageMemory>;

  // `capacity`: bytes in each direction, rounded up.  Throws std::system_error, and
  // std::invalid_argument for a capacity beyond kMostCapacity.
  static std::unique_ptr<Channel> create(int socket, std::size_t capacity);
  // Takes over `memory`.  Throws std::invalid_argument if it is not that of a channel,
  // or if somebody has attached already.
  static std::unique_ptr<Channel> attach(int socket, Descriptor memory);

  static constexpr std::size_t kMostCapacity = std::size_t{1} << 31;

  [[nodiscard]] int memory_fd() const noexcept { return memory_.get(); }
  void release_fd() noexcept { memory_.close(); }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

  Sender sender;
  Receiver receiver;
  Doorbell bell;

  // --- room ---
  // There was no room for a message.  Until one is sent, sleepers wait for it as well.
  // True: there is room now.
  [[nodiscard]] bool refused(std::size_t length) noexcept;
  void accepted() noexcept { wanted_ = 0; }
  [[nodiscard]] bool wants_room() const noexcept { return wanted_ != 0; }

  // Gives back the room of what was passed, and calls the other end if it waits for it.
  void release() noexcept;

  // --- sleep ---
  struct Wish {
    bool message = false;
    bool room = false;  // for what was refused last, or for anything
    bool descriptor = false;
  };
  // Also at the end of the other one, and if there is a fault.
  [[nodiscard]] bool ready(Wish wish);
  // The descriptor to sleep on, before leave(); kReady: there is no need to.  Throws
  // std::system_error.
  [[nodiscard]] int enlist(Wish wish);
  static constexpr int kReady = -1;
  // Also without having enlisted: hears the bell if nobody else does.
  void leave();
  [[nodiscard]] bool somebody_listens() const noexcept;
  // Several messages came since the last sleep: the next may be a moment away.
  [[nodiscard]] bool in_burst() const noexcept {
    return receiver.claimed() > claimed_before_sleep_ + 1;
  }

 private:
  Channel(int socket, Descriptor memory, Mapping mapping, std::size_t capacity,
          bool creator) noexcept;

  struct Sleeper {
    std::thread::id thread;
    bool listens;
    bool owed = false;  // a count of `counter_` is for it
  };
  using Sleepers = std::vector<Sleeper>;
  void strike_out(Sleepers::iterator mine);
  [[nodiscard]] std::size_t refused_length() const noexcept {
    return wanted_ == 0 ? 0 : wanted_ - 1;
  }

  Descriptor memory_;
  Mapping mapping_;
  std::size_t capacity_;
  std::size_t wanted_ = 0;  // 1 + length of what was refused
  std::uint64_t claimed_before_sleep_ = 0;
  Sleepers sleepers_;
  Descriptor counter_;  // of the followers, once there are some
};

}  // namespace fastflow

#endif
