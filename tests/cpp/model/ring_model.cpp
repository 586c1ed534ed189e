// Ring under the checker: each message that is sent is received once, in order and
// whole, or recalled, also when its place is used again; and neither of two processes
// that sleep for each other is forgotten.
#include "ring.hpp"

#include "model/scenario.hpp"

namespace {

using fastflow::Found;
using fastflow::Position;
using fastflow::RingMessage;
using fastflow::RingWords;
using fastflow::Room;

// Memory in units of 8 bytes.  A `word` is what the bytes are to the race detector: a
// claim word is used by both sides while nobody writes over it, so its uses are reads.
// With kShown, payloads are seen through claim words, too, as they are in real memory.
template <int kUnits, bool kShown = false>
struct Bytes {
  model::atomic<std::uint64_t> claims[kUnits];
  model::plain<std::uint64_t> words[kUnits];
  std::uint64_t disguise = 0;  // the first word of further payloads, unless 0
};

template <int kUnits, bool kShown>
class Memory {
 public:
  explicit Memory(Bytes<kUnits, kShown>& bytes) : bytes_(&bytes) {}

  [[nodiscard]] Position capacity() const { return kUnits * RingMessage::kUnit; }
  [[nodiscard]] model::atomic<std::uint64_t>& claim(Position position) const {
    (void)word(position, 0);
    return bytes_->claims[index(position, 0)];
  }
  void put(Position position, const std::byte* payload, std::size_t length) {
    const auto value = static_cast<std::uint64_t>(*payload);
    set(position, 0, 0);
    set(position, 1, length);
    set(position, 2, sum(position, length));
    for (std::size_t i = 0; i < length / 8; ++i) {
      set(position, 3 + i, i == 0 && bytes_->disguise != 0 ? bytes_->disguise : value);
    }
  }
  [[nodiscard]] std::size_t length(Position position) const {
    return word(position, 1);
  }
  [[nodiscard]] bool intact(Position position, std::size_t length) const {
    for (std::size_t i = 0; i < length / 8; ++i) (void)word(position, 3 + i);
    return word(position, 2) == sum(position, length);
  }
  // The payload's last word.
  [[nodiscard]] std::uint64_t value(Position position, std::size_t length) const {
    return word(position, 2 + length / 8);
  }

 private:
  static std::size_t index(Position position, std::size_t i) {
    return (position / RingMessage::kUnit + i) % kUnits;
  }
  static std::uint64_t sum(Position position, std::size_t length) {
    return position * 1000 + length;
  }
  [[nodiscard]] std::uint64_t word(Position position, std::size_t i) const {
    return bytes_->words[index(position, i)];
  }
  void set(Position position, std::size_t i, std::uint64_t value) {
    bytes_->words[index(position, i)] = value;
    if (kShown && i > 0) {
      // relaxed: bytes.
      bytes_->claims[index(position, i)].store(value, std::memory_order_relaxed);
    }
  }

  Bytes<kUnits, kShown>* bytes_;
};

// A byte in a socket: no order comes with it.
class Bell {
 public:
  void ring() {
    bytes_.fetch_add(1, std::memory_order_relaxed);
    model::futex_wake(bytes_, 1);
    ++rings;
  }
  void sleep_and_drain() {
    while (bytes_.exchange(0, std::memory_order_relaxed) == 0) {
      model::futex_wait(bytes_, 0U);
    }
  }
  int rings = 0;

 private:
  model::atomic<std::uint32_t> bytes_{0};
};

constexpr int kMost = 8;

template <int kUnits, bool kShown = false>
struct Direction {
  using M = Memory<kUnits, kShown>;
  Bytes<kUnits, kShown> bytes;
  RingWords words;
  M memory{bytes};
  fastflow::RingSender<M> sender{words, memory};
  fastflow::RingReceiver<M> receiver{words, memory};
  Bell to_receiver, to_sender;
  int announced_receiver = 0, announced_room = 0;

  int sent = 0, received = 0, last = -1;
  Position ticket[kMost] = {};
  bool recalled[kMost] = {}, got[kMost] = {};

  Direction() {
    fastflow::begin_ring(words, memory);
    model::label(words, "words");
  }

  bool put(std::size_t length) {
    const Room room = sender.room(length);
    model::check(room != Room::kFault, "the head is where it can be");
    if (room != Room::kYes) return false;
    const auto value = static_cast<std::byte>(sent);
    ticket[sent++] = sender.put(&value, length);
    return true;
  }
  void publish() {
    if (sender.publish()) to_receiver.ring();
  }
  bool send(std::size_t length) {
    if (!put(length)) return false;
    publish();
    return true;
  }
  // Sleeps for room; never refused.
  void send_sooner_or_later(std::size_t length) {
    while (!send(length)) {
      ++announced_room;
      sender.announce(length);
      if (sender.room(length) == Room::kNo) to_sender.sleep_and_drain();
      sender.withdraw();
    }
  }
  void recall(int i) {
    if (sender.recall(ticket[i])) recalled[i] = true;
  }

  // As many as there are, up to `most`, and one release.
  int receive(int most = 1) {
    int n = 0;
    typename fastflow::RingReceiver<M>::Message message;
    while (n < most) {
      const Found found = receiver.look(&message);
      model::check(found != Found::kFault, "the messages are whole");
      if (found != Found::kMessage) break;
      const int i =
          static_cast<int>(receiver.memory().value(message.position, message.length));
      if (receiver.claim(message)) {
        model::check(i > last && !got[i], "in order, once");
        last = i;
        got[i] = true;
        ++received;
        ++n;
      }
      receiver.pass(message);
    }
    if (receiver.release()) to_sender.ring();
    return n;
  }
  void receive_sooner_or_later() {
    while (receive(kMost) == 0) {
      ++announced_receiver;
      receiver.announce();
      typename fastflow::RingReceiver<M>::Message message;
      const Found found = receiver.look(&message);
      if (receiver.release()) to_sender.ring();  // what was recalled meanwhile
      if (found == Found::kNothing) to_receiver.sleep_and_drain();
      receiver.withdraw();
    }
  }

  void finish() {
    while (receive() > 0) {
    }
    for (int i = 0; i < sent; ++i) {
      model::check(got[i] != recalled[i], "received or recalled");
    }
    model::check(sender.unclaimed() == 0, "nothing is in the ring");
    model::check(to_receiver.rings <= announced_receiver, "one call to a sleeper");
    model::check(to_sender.rings <= announced_room, "one call to a sleeper for room");
  }
};

// Messages of 8 bytes, two of which fill the ring of 8 units.
template <int kMessages, int kAttempts, bool kBatch>
struct Transfers {
  static constexpr int kThreads = 2;
  Direction<8> ring;

  void thread(int id) {
    if (id == 1) {
      for (int k = 0; k < kAttempts; ++k) ring.receive(kBatch ? kMost : 1);
      return;
    }
    for (int k = 0; k < kMessages; ++k) {
      if (kBatch) {
        (void)ring.put(8);
        (void)ring.put(8);
        ring.publish();
      } else {
        (void)ring.send(8);
      }
    }
  }
  void finish() { ring.finish(); }
};

// Lengths that leave no message where an earlier one was: 16, 8, 8, ... bytes.
struct Wraps {
  static constexpr int kThreads = 2;
  Direction<8> ring;

  void thread(int id) {
    if (id == 1) {
      for (int k = 0; k < 3; ++k) ring.receive();
      return;
    }
    (void)ring.send(16);
    for (int k = 0; k < 3; ++k) (void)ring.send(8);
  }
  void finish() { ring.finish(); }
};

// What is sent is taken back, while it is received.
template <int kMessages>
struct Recalls {
  static constexpr int kThreads = 2;
  Direction<8> ring;

  void thread(int id) {
    if (id == 1) {
      for (int k = 0; k < kMessages; ++k) ring.receive();
      return;
    }
    for (int k = 0; k < kMessages; ++k) (void)ring.send(8);
    for (int k = 0; k < ring.sent; ++k) ring.recall(k);
  }
  void finish() { ring.finish(); }
};

// A ticket whose place is used again: message 1 has, where message 0 had its claim
// word, a payload that looks like it.
struct LateRecall {
  static constexpr int kThreads = 2;
  Direction<8, true> ring;

  void thread(int id) {
    if (id == 1) {
      ring.receive();
      ring.receive();
      return;
    }
    (void)ring.send(16);  // units 0 to 4
    ring.bytes.disguise = ring.ticket[0] | RingMessage::kReady;
    (void)ring.send(16);  // units 5, 6, 7, 0 and 1
    ring.recall(0);
  }
  void finish() { ring.finish(); }
};

// A receiver that sleeps while there is nothing.
template <int kMessages>
struct Sleeps {
  static constexpr int kThreads = 2;
  Direction<16> ring;

  void thread(int id) {
    if (id == 1) {
      while (ring.received < kMessages) ring.receive_sooner_or_later();
    } else {
      for (int k = 0; k < kMessages; ++k) {
        model::check(ring.send(8), "there is room for four");
      }
    }
  }
  void finish() {
    model::check(ring.received == kMessages, "all are received");
    ring.finish();
  }
};

// Both sleep: a sender without room, a receiver without messages.
template <int kMessages, int kUnits>
struct BothSleep {
  static constexpr int kThreads = 2;
  Direction<kUnits> ring;

  void thread(int id) {
    if (id == 1) {
      while (ring.received < kMessages) ring.receive_sooner_or_later();
    } else {
      for (int k = 0; k < kMessages; ++k) ring.send_sooner_or_later(8);
    }
  }
  void finish() {
    model::check(ring.received == kMessages, "all are received");
    ring.finish();
  }
};

// The sender fills the ring, takes all back, and waits for the room of it.
struct RoomOfRecalled {
  static constexpr int kThreads = 2;
  Direction<8> ring;

  void thread(int id) {
    if (id == 1) {
      while (!ring.got[2]) ring.receive_sooner_or_later();
    } else {
      (void)ring.send(8);
      (void)ring.send(8);
      ring.recall(0);
      ring.recall(1);
      ring.send_sooner_or_later(8);
    }
  }
  void finish() { ring.finish(); }
};

constexpr const char* kGroup = "ring";
constexpr model::Options kAll{.preemptions = model::kUnbounded};
constexpr model::Options kSix{.preemptions = 6, .random_runs = 20'000};
constexpr model::Options kFour{.preemptions = 4, .random_runs = 50'000};

[[maybe_unused]] const bool added[] = {
    model::add<Transfers<2, 1, false>>(kGroup, "2 messages, 1 attempt", kAll),
    model::add<Recalls<1>>(kGroup, "1 message is recalled", kAll),
    model::add<Recalls<2>>(kGroup, "2 messages are recalled", kSix),
    model::add<Transfers<4, 4, false>>(kGroup, "4 messages through room for 2", kSix),
    model::add<Transfers<2, 3, true>>(kGroup, "2 batches of 2", kSix),
    model::add<Wraps>(kGroup, "messages over the end", kSix),
    model::add<LateRecall>(kGroup, "recall after its place was used again", kSix),
    model::add<Sleeps<1>>(kGroup, "sleep, 1 message", kAll),
    model::add<Sleeps<3>>(kGroup, "sleep, 3 messages", kSix),
    model::add<BothSleep<3, 4>>(kGroup, "both sleep, room for 1", kFour),
    model::add<BothSleep<4, 8>>(kGroup, "both sleep, room for 2", kFour),
    model::add<RoomOfRecalled>(kGroup, "the room of what was recalled", kFour),
};

}  // namespace
