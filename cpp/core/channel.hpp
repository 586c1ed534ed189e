// Channel: one of the two ends of what a process and its worker process tell each
// other: a ring in each direction (ring.hpp) in one piece of shared memory, and a
// doorbell.
//
// The process that creates it writes into the first ring and reads from the second; the
// worker attaches, once, and does the opposite.
//
// Sleepers
//   A thread that wants to sleep enlists, looks once more, polls the doorbell's socket,
//   and leaves.  One bell may be meant for several threads of this end, and the first
//   that gets up takes its bytes away.  So whoever leaves announces again on behalf of
//   those who still sleep, and then, awake, takes what is there: they sleep on until
//   more comes.  (Each message wakes one of them at least, and those who get up receive
//   until there is nothing.)  That the other end is gone wakes all.
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

  // --- room
  // --------------------------------------------------------------------------- What a
  // message was refused for, until one is sent: what a sleeper waits for.
  void refused(std::size_t length) noexcept { wanted_ = length + 1; }
  void accepted() noexcept { wanted_ = 0; }
  [[nodiscard]] bool wants_room() const noexcept { return wanted_ != 0; }

  // --- sleep
  // --------------------------------------------------------------------------
  // Something to receive (a fault, too), or room if that is wanted, or the end.
  [[nodiscard]] bool ready(bool for_room);
  // True: sleep, then leave.  False: it is ready.
  [[nodiscard]] bool enlist(bool for_room);
  // Also without having enlisted.  Takes the bell's bytes away; look afterwards.
  void leave();
  [[nodiscard]] bool somebody_sleeps() const noexcept { return !sleepers_.empty(); }

  // Gives back the room of what was passed, and calls the other end if it waits for it.
  void release() {
    if (receiver.release()) bell.ring();
  }

 private:
  Channel(int socket, Descriptor memory, Mapping mapping, std::size_t capacity,
          bool creator) noexcept;

  struct Sleeper {
    std::thread::id thread;
    bool for_room;
  };
  void announce(bool for_room) noexcept;
  void strike_out();

  Descriptor memory_;
  Mapping mapping_;
  std::size_t capacity_;
  std::size_t wanted_ = 0;  // 1 + length of what was refused
  std::vector<Sleeper> sleepers_;
};

}  // namespace fastflow

#endif
