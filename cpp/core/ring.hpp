// Ring: messages of any length from one process to another, in memory that both see.
// One direction; one sender, one receiver.
//
// Positions
//   Bytes are numbered for ever: a position is never used again, and its place in
//   memory is the position modulo the capacity.  A message is named by the position
//   where it begins, its ticket.  `tail` is where the sender writes next, `head` what
//   the receiver has done with everything below; between them lies what is in the ring.
//
// A message
//   claim word (8 bytes: its own position, and in the lowest bits a state), length,
//   checksum of position, length and payload, payload; rounded up to kUnit bytes.
//
// Publishing
//   The sender writes whole messages above the tail, where the receiver never looks,
//   and then moves the tail, once for as many as it has.  If it is killed before,
//   nothing was sent.  The receiver reads a message after it has seen the tail beyond
//   it (store and load synchronise), and moves the head after it has copied the
//   message; the sender writes over bytes only after it has seen a head beyond them
//   (the same).  So no byte is read and written at a time.
//
// Claim and recall
//   The state of a message goes from ready to taken (by the receiver, before it hands
//   the message out) or from ready to recalled (by the sender), by a compare-exchange
//   on one word: exactly one of them wins.  The receiver skips what was recalled. A
//   ticket can outlive its message.  But only the sender writes over a message, and
//   never above the head that it has last read.  So a ticket at or above that head
//   still has its claim word, and one below is of a message that the receiver is
//   through with: it was taken, or recalled before.
//
// What is not believed
//   The other process may write rubbish into the memory, or somebody else may.  A head
//   or a tail has to lie where it can be; a claim word has to bear the position where
//   it stands, which no earlier message in this place and no other ring's does; the
//   length has to fit in what is there; the checksum has to be right.  Anything else is
//   a Fault, nothing of it is interpreted, and the ring stays where it is, so that the
//   next look finds the same.
//
// Sleep, and why no wake-up is lost
//   Whoever calls (a "bell", which is a byte in a socket, see doorbell.hpp) does so
//   only if the other one sleeps, as it costs microseconds.  All accesses named here
//   are seq_cst, so they have one order. Receiver: says that it sleeps (`receiver`),
//   then looks at the tail; sleeps only if there is nothing.  Sender: moves the tail,
//   then looks at `receiver`.  If the sender finds nobody asleep, the announcement
//   comes later, and so does the look at the tail: it sees the message.  Else the
//   sender takes the announcement back, by an exchange, so that one of several
//   publications calls, and rings.  The bell stays rung until the receiver has heard
//   it, so a sleep that begins after the ringing ends at once. Sender without room: the
//   same with `room`, the head that it waits for, in place of a flag, and the head in
//   place of the tail.  It waits for a quarter of the ring at least: else it would be
//   woken for each message that is taken, to send one.  That is reached, at the latest
//   when the ring is empty. An announcement that was taken back because somebody rang
//   has to be made again before the next sleep.
//
// Threads
//   All members of RingSender: one thread at a time.  The same for RingReceiver.  What
//   keeps a process's threads apart is no concern of this file.
//
// Memory: where bytes are, and what they mean to the checker (tests/cpp/model), is left
// to a policy:
//   capacity()                              a power of two
//   claim(position)                         the claim word, an atomic
//   put(position, payload, length)          writes length, checksum, payload
//   length(position)                        what was written
//   intact(position, length)                whether the checksum is right
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "atomic.hpp"
#include "cache_line.hpp"

namespace fastflow {

using Position = std::uint64_t;

// In shared memory, zeroed when it is made, then begun by begin_ring.
struct RingWords {
  struct Taken {
    atomic<Position> head{0};
    atomic<Position> last{0};        // ticket of the last message that was claimed
    atomic<std::uint64_t> count{0};  // how many were claimed
  };
  struct Asleep {
    atomic<std::uint64_t> receiver{0};  // 1: asleep
    atomic<Position> room{0};           // the sender sleeps until the head is there
  };
  CacheAligned<atomic<Position>> tail{Position{0}};
  CacheAligned<Taken> taken;
  CacheAligned<Asleep> asleep;
};

struct RingMessage {
  static constexpr Position kHeader = 24;
  static constexpr Position kUnit = 8;

  // States, in the low bits of a claim word.
  static constexpr std::uint64_t kReady = 1, kTaken = 2, kRecalled = 3;

  // What a message of `length` bytes takes.
  static constexpr Position bytes(std::size_t length) noexcept {
    return (kHeader + length + kUnit - 1) / kUnit * kUnit;
  }
};

// What is wrong with what the other side has written.
enum class Fault : std::uint8_t { kNone, kHead, kTail, kSequence, kLength, kChecksum };

enum class Room : std::uint8_t { kYes, kNo, kFault };
enum class Found : std::uint8_t { kNothing, kMessage, kFault };

// Positions begin at the capacity, so that no ticket is 0.
template <class Memory>
void begin_ring(RingWords& words, const Memory& memory) noexcept {
  words.tail->store(memory.capacity());
  words.taken->head.store(memory.capacity());
}

template <class Memory>
class RingSender {
 public:
  RingSender(RingWords& words, Memory memory) noexcept
      : words_(&words),
        memory_(memory),
        head_(memory.capacity()),
        tail_(memory.capacity()) {}

  [[nodiscard]] std::size_t max_payload() const noexcept {
    return memory_.capacity() - RingMessage::kHeader;
  }

  // Whether a message of `length` bytes, up to max_payload(), can be put now.
  [[nodiscard]] Room room(std::size_t length) noexcept {
    const Position need = RingMessage::bytes(length);
    if (fits(need)) return Room::kYes;
    // seq_cst: see Sleep; acquires what the receiver has read.
    const Position head = words_->taken->head.load();
    if (head - head_ > tail_ - head_) return Room::kFault;
    head_ = head;
    return fits(need) ? Room::kYes : Room::kNo;
  }

  // What put() will return.
  [[nodiscard]] Position next_ticket() const noexcept { return tail_; }

  // REQUIRES: room(length) said yes.  The ticket; nobody sees it before publish().
  Position put(const std::byte* payload, std::size_t length) noexcept {
    const Position ticket = tail_;
    memory_.put(ticket, payload, length);
    // relaxed: published by the tail.
    memory_.claim(ticket).store(ticket | RingMessage::kReady,
                                std::memory_order_relaxed);
    tail_ += RingMessage::bytes(length);
    ++sent_;
    return ticket;
  }

  // Shows what was put.  True: the receiver sleeps and is to be called, by the caller.
  [[nodiscard]] bool publish() noexcept {
    words_->tail->store(tail_);
    return words_->asleep->receiver.load() != 0 &&
           words_->asleep->receiver.exchange(0) != 0;
  }

  // True: the receiver will never hand it out.
  bool recall(Position ticket) noexcept {
    if (ticket < head_ || ticket >= tail_ || ticket % RingMessage::kUnit != 0) {
      return false;
    }
    std::uint64_t expected = ticket | RingMessage::kReady;
    if (!memory_.claim(ticket).compare_exchange_strong(
            expected, ticket | RingMessage::kRecalled)) {
      return false;
    }
    ++recalled_;
    return true;
  }

  // Before a sleep until there is room; then room() is asked once more.
  void announce(std::size_t length) noexcept {
    const Position least = std::max(RingMessage::bytes(length), memory_.capacity() / 4);
    words_->asleep->room.store(tail_ + least - memory_.capacity());
  }
  void withdraw() noexcept { words_->asleep->room.store(0); }

  // How many are neither claimed nor recalled, at some time not long ago.
  [[nodiscard]] std::uint64_t unclaimed() const noexcept {
    // relaxed: nothing is read because of it.
    const std::uint64_t taken =
        words_->taken->count.load(std::memory_order_relaxed) + recalled_;
    return taken < sent_ ? sent_ - taken : 0;
  }
  // The last ticket that was claimed, not long ago; 0: none.
  [[nodiscard]] Position taken_up_to() const noexcept {
    return words_->taken->last.load(std::memory_order_relaxed);  // relaxed: the same
  }

 private:
  [[nodiscard]] bool fits(Position need) const noexcept {
    return tail_ + need - head_ <= memory_.capacity();
  }

  RingWords* words_;
  Memory memory_;
  Position head_;  // as last read: nothing at or above it is written over
  Position tail_;
  std::uint64_t sent_ = 0;
  std::uint64_t recalled_ = 0;
};

template <class Memory>
class RingReceiver {
 public:
  struct Message {
    Position position = 0;
    std::size_t length = 0;
  };

  RingReceiver(RingWords& words, Memory memory) noexcept
      : words_(&words),
        memory_(memory),
        head_(memory.capacity()),
        tail_(memory.capacity()),
        released_(memory.capacity()) {}

  // The oldest message that is there and not recalled.  It is whole, and it stays where
  // it is; who wants it copies it, then claims it, then passes it.
  [[nodiscard]] Found look(Message* message) noexcept {
    for (;;) {
      if (head_ == tail_ && !see_tail()) {
        return fault_ == Fault::kNone ? Found::kNothing : Found::kFault;
      }
      // relaxed: written before the tail; a recall that is seen too late is seen by
      // claim().
      const std::uint64_t word = memory_.claim(head_).load(std::memory_order_relaxed);
      if (!verify(word)) return Found::kFault;
      *message = whole_;
      if (word != (head_ | RingMessage::kRecalled)) return Found::kMessage;
      pass(whole_);
    }
  }

  // False: it was recalled meanwhile, and is not to be handed out.  Pass it either way.
  [[nodiscard]] bool claim(const Message& message) noexcept {
    std::uint64_t expected = message.position | RingMessage::kReady;
    if (!memory_.claim(message.position)
             .compare_exchange_strong(expected,
                                      message.position | RingMessage::kTaken)) {
      return false;
    }
    // relaxed: for statistics, see RingSender.
    words_->taken->count.store(++claimed_, std::memory_order_relaxed);
    words_->taken->last.store(message.position, std::memory_order_relaxed);
    return true;
  }

  void pass(const Message& message) noexcept {
    head_ = message.position + RingMessage::bytes(message.length);
  }

  // Gives back the room of all that was passed.  True: the sender sleeps until there is
  // as much as that, and is to be called, by the caller.
  [[nodiscard]] bool release() noexcept {
    if (released_ == head_) return false;
    released_ = head_;
    words_->taken->head.store(head_);
    const Position wanted = words_->asleep->room.load();
    return wanted != 0 && head_ >= wanted && words_->asleep->room.exchange(0) != 0;
  }

  // Before a sleep; then look() is asked once more.
  void announce() noexcept { words_->asleep->receiver.store(1); }
  void withdraw() noexcept { words_->asleep->receiver.store(0); }

  [[nodiscard]] std::uint64_t claimed() const noexcept { return claimed_; }
  // For a spin beside the receiver's thread: what has_more compares with.
  [[nodiscard]] Position seen() const noexcept { return tail_; }
  // Whether more was published than seen.  Any thread.
  [[nodiscard]] bool has_more(Position seen) const noexcept {
    // relaxed: a hint, look() follows.
    return words_->tail->load(std::memory_order_relaxed) != seen;
  }

  [[nodiscard]] const Memory& memory() const noexcept { return memory_; }
  // After kFault: what is wrong, and with which message.
  [[nodiscard]] Fault fault() const noexcept { return fault_; }
  [[nodiscard]] Position head() const noexcept { return head_; }

 private:
  bool see_tail() noexcept {
    // seq_cst: see Sleep; acquires the messages.
    const Position tail = words_->tail->load();
    if (tail - head_ > memory_.capacity() || tail % RingMessage::kUnit != 0) {
      fault_ = Fault::kTail;
      return false;
    }
    fault_ = Fault::kNone;
    tail_ = tail;
    return tail_ != head_;
  }

  bool verify(std::uint64_t word) noexcept {
    if (whole_.position == head_) return true;  // by an earlier look
    const std::uint64_t state = word - head_;
    const std::size_t length = memory_.length(head_);
    if (state != RingMessage::kReady && state != RingMessage::kRecalled) {
      fault_ = Fault::kSequence;
    } else if (length > tail_ - head_ || RingMessage::bytes(length) > tail_ - head_) {
      fault_ = Fault::kLength;
    } else if (!memory_.intact(head_, length)) {
      fault_ = Fault::kChecksum;
    } else {
      whole_ = {head_, length};
      return true;
    }
    return false;
  }

  RingWords* words_;
  Memory memory_;
  Position head_;
  Position tail_;      // as last read
  Position released_;  // as the sender knows it
  std::uint64_t claimed_ = 0;
  Message whole_;  // the last one that was verified
  Fault fault_ = Fault::kNone;
};

}  // namespace fastflow
