#include "ring.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

#include "checksum.hpp"
#include "message_memory.hpp"
#include "shared_memory.hpp"
#include "stress.hpp"

using fastflow::checksum;
using fastflow::Fault;
using fastflow::Found;
using fastflow::MessageMemory;
using fastflow::Position;
using fastflow::RingMessage;
using fastflow::RingReceiver;
using fastflow::RingSender;
using fastflow::RingWords;
using fastflow::Room;

namespace {

const std::byte* bytes_of(const std::string& text) {
  return reinterpret_cast<const std::byte*>(text.data());
}

// Both ends on one mapping, so that the sanitizers see what each of them does.
struct Ring {
  explicit Ring(std::size_t capacity = fastflow::page_size())
      : memory(fastflow::create_memory("ring-test", fastflow::page_size() + capacity)),
        mapping(fastflow::map_rings(memory.get(), fastflow::page_size(), capacity, 1)),
        words(*new (mapping.data()) RingWords),
        bytes(mapping.data() + fastflow::page_size(), capacity) {
    fastflow::begin_ring(words, bytes);
  }

  Position send(const std::string& text) {
    REQUIRE(sender.room(text.size()) == Room::kYes);
    const Position ticket = sender.put(bytes_of(text), text.size());
    (void)sender.publish();
    return ticket;
  }
  // What is there next; "-" if nothing is.
  std::string receive() {
    RingReceiver<MessageMemory>::Message message;
    for (;;) {
      const Found found = receiver.look(&message);
      REQUIRE(found != Found::kFault);
      if (found == Found::kNothing) {
        (void)receiver.release();
        return "-";
      }
      const auto* begin =
          reinterpret_cast<const char*>(bytes.payload(message.position));
      std::string text(begin, message.length);
      const bool ours = receiver.claim(message);
      receiver.pass(message);
      (void)receiver.release();
      if (ours) return text;
    }
  }
  Found look() {
    RingReceiver<MessageMemory>::Message message;
    return receiver.look(&message);
  }
  std::byte* at(Position position) {
    return mapping.data() + fastflow::page_size() + position % bytes.capacity();
  }

  fastflow::Descriptor memory;
  fastflow::Mapping mapping;
  RingWords& words;
  MessageMemory bytes;
  RingSender<MessageMemory> sender{words, bytes};
  RingReceiver<MessageMemory> receiver{words, bytes};
};

std::string text_of(std::size_t number, std::size_t length) {
  std::string text(length, '\0');
  for (std::size_t i = 0; i < length; ++i) text[i] = static_cast<char>(number * 7 + i);
  return text;
}

}  // namespace

TEST_CASE("a checksum changes with each bit, with the length and with the seed") {
  for (std::size_t length = 0; length < 140; ++length) {
    std::string text = text_of(length, length);
    const std::uint64_t sum = checksum(bytes_of(text), length, 5);
    CHECK(checksum(bytes_of(text), length, 5) == sum);
    CHECK(checksum(bytes_of(text), length, 6) != sum);
    text += '\0';
    CHECK(checksum(bytes_of(text), length + 1, 5) != sum);
    for (std::size_t bit = 0; bit < length * 8; ++bit) {
      text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << (bit % 8)));
      CHECK(checksum(bytes_of(text), length, 5) != sum);
      text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << (bit % 8)));
    }
  }
}

TEST_CASE("messages of all lengths go round the ring many times") {
  Ring ring;
  std::size_t number = 0;
  for (int round = 0; round < 20; ++round) {
    for (std::size_t length = 0; length < 300; ++length, ++number) {
      const std::string text = text_of(number, length);
      CHECK(ring.send(text) > 0);
      CHECK(ring.receive() == text);
    }
  }
  CHECK(ring.receive() == "-");
}

TEST_CASE("the longest message fits into an empty ring, and nothing beside it") {
  Ring ring;
  for (int round = 0; round < 5; ++round) {
    const std::string longest = text_of(1, ring.sender.max_payload());
    ring.send(longest);
    CHECK(ring.sender.room(0) == Room::kNo);
    CHECK(ring.receive() == longest);
    ring.send("x");
    CHECK(ring.sender.room(ring.sender.max_payload()) == Room::kNo);
    CHECK(ring.receive() == "x");
  }
}

TEST_CASE("a ring is filled to the last message, and refuses the next") {
  Ring ring;
  std::size_t n = 0;
  for (; ring.sender.room(40) == Room::kYes; ++n) ring.send(text_of(n, 40));
  CHECK(n == ring.bytes.capacity() / RingMessage::bytes(40));
  CHECK(ring.sender.unclaimed() == n);
  for (std::size_t i = 0; i < n; ++i) CHECK(ring.receive() == text_of(i, 40));
  CHECK(ring.sender.unclaimed() == 0);
  CHECK(ring.sender.room(40) == Room::kYes);
}

TEST_CASE("what is recalled is not received; what was received is not recalled") {
  Ring ring;
  const Position a = ring.send("a");
  const Position b = ring.send("b");
  const Position c = ring.send("c");
  CHECK(ring.sender.taken_up_to() == 0);
  CHECK(ring.sender.recall(b));
  CHECK_FALSE(ring.sender.recall(b));
  CHECK(ring.sender.unclaimed() == 2);
  CHECK(ring.receive() == "a");
  CHECK(ring.sender.taken_up_to() == a);
  CHECK(ring.receive() == "c");
  CHECK(ring.receive() == "-");
  CHECK(ring.sender.taken_up_to() == c);
  CHECK_FALSE(ring.sender.recall(a));
  CHECK_FALSE(ring.sender.recall(c));
  CHECK_FALSE(ring.sender.recall(0));
  CHECK_FALSE(ring.sender.recall(c + 4096 * RingMessage::kUnit));
  CHECK(ring.sender.unclaimed() == 0);
}

TEST_CASE("recalls by the last ticket of every place") {
  Ring ring;
  std::vector<Position> tickets;
  for (int round = 0; round < 10; ++round) {
    tickets.clear();
    while (ring.sender.room(100) == Room::kYes) {
      tickets.push_back(ring.send(std::string(100, 'r')));
    }
    for (const Position ticket : tickets) CHECK(ring.sender.recall(ticket));
    for (const Position ticket : tickets) CHECK_FALSE(ring.sender.recall(ticket));
    CHECK(ring.receive() == "-");
    CHECK(ring.sender.room(100) == Room::kYes);
  }
}

TEST_CASE("a message that was recalled after the look is not claimed") {
  Ring ring;
  const Position ticket = ring.send("x");
  RingReceiver<MessageMemory>::Message message;
  REQUIRE(ring.receiver.look(&message) == Found::kMessage);
  CHECK(ring.sender.recall(ticket));
  CHECK_FALSE(ring.receiver.claim(message));
  CHECK(ring.look() == Found::kNothing);
}

TEST_CASE("every damaged bit of a message is a fault, and the ring stays there") {
  Ring ring;
  ring.send("goes before");
  CHECK(ring.receive() == "goes before");
  const std::string text = text_of(3, 21);
  const Position ticket = ring.send(text);
  const std::size_t used = RingMessage::kHeader + text.size();
  for (std::size_t bit = 0; bit < used * 8; ++bit) {
    std::byte& byte = ring.at(ticket)[bit / 8];
    const std::byte before = byte;
    byte ^= std::byte{1} << (bit % 8);
    // ready ^ taken: nothing but the receiver makes it so.  ready ^ 2 is "recalled".
    if (bit != 1) {
      CHECK(ring.look() == Found::kFault);
      CHECK(ring.receiver.fault() != Fault::kNone);
      CHECK(ring.receiver.head() == ticket);
    }
    byte = before;
  }
  CHECK(ring.receive() == text);
}

TEST_CASE("what is wrong is named") {
  Ring ring;
  const Position ticket = ring.send(text_of(1, 64));
  const auto with = [&](std::size_t offset, std::uint64_t value) {
    std::array<std::byte, 8> before;
    std::memcpy(before.data(), ring.at(ticket) + offset, 8);
    std::memcpy(ring.at(ticket) + offset, &value, 8);
    CHECK(ring.look() == Found::kFault);
    std::memcpy(ring.at(ticket) + offset, before.data(), 8);
    return ring.receiver.fault();
  };
  CHECK(with(0, 0) == Fault::kSequence);
  CHECK(with(0, ticket + 8 + RingMessage::kReady) == Fault::kSequence);
  CHECK(with(8, 72) == Fault::kLength);
  CHECK(with(8, ~std::uint64_t{0}) == Fault::kLength);
  CHECK(with(8, 63) == Fault::kChecksum);
  CHECK(with(16, 1) == Fault::kChecksum);
  CHECK(with(40, 1) == Fault::kChecksum);
  CHECK(ring.receive() == text_of(1, 64));
}

TEST_CASE("a message of an earlier round is no message") {
  Ring ring;
  const Position first = ring.send("old");
  CHECK(ring.receive() == "old");
  const std::vector<std::byte> old(ring.at(first), ring.at(first) + 32);
  while (ring.sender.next_ticket() % ring.bytes.capacity() != 0) {
    ring.send(std::string(8, 'x'));
    (void)ring.receive();
  }
  const Position second = ring.send("new");
  REQUIRE(ring.at(second) == ring.at(first));
  std::copy(old.begin(), old.end(), ring.at(second));
  CHECK(ring.look() == Found::kFault);
  CHECK(ring.receiver.fault() == Fault::kSequence);
}

TEST_CASE("heads and tails that can't be are faults") {
  Ring ring;
  const Position ticket = ring.send("x");
  for (const Position tail : {Position{0}, ticket - 8, ticket + 3,
                              ticket + ring.bytes.capacity() + 8, ~Position{7}}) {
    const Position before = ring.words.tail->exchange(tail);
    CHECK(ring.look() == Found::kFault);
    CHECK(ring.receiver.fault() == Fault::kTail);
    ring.words.tail->store(before);
  }
  CHECK(ring.receive() == "x");

  while (ring.sender.room(1000) == Room::kYes) ring.send(std::string(1000, 'x'));
  for (const Position head : {Position{0}, ring.sender.next_ticket() + 8}) {
    const Position before = ring.words.taken->head.exchange(head);
    CHECK(ring.sender.room(1000) == Room::kFault);
    ring.words.taken->head.store(before);
  }
  CHECK(ring.sender.room(1000) == Room::kNo);
}

TEST_CASE("a sleeper is called once, for several messages") {
  Ring ring;
  ring.receiver.announce();
  const std::string text = "x";
  ring.sender.put(bytes_of(text), 1);
  CHECK(ring.sender.publish());
  ring.sender.put(bytes_of(text), 1);
  CHECK_FALSE(ring.sender.publish());
  ring.receiver.announce();
  ring.receiver.withdraw();
  ring.sender.put(bytes_of(text), 1);
  CHECK_FALSE(ring.sender.publish());
}

TEST_CASE("a sender that waits for room is called when a quarter is free") {
  Ring ring;
  std::size_t n = 0;
  for (; ring.sender.room(40) == Room::kYes; ++n) ring.send(std::string(40, 'x'));
  ring.sender.announce(40);
  std::size_t called_at = 0;
  for (std::size_t i = 1; i <= n; ++i) {
    RingReceiver<MessageMemory>::Message message;
    REQUIRE(ring.receiver.look(&message) == Found::kMessage);
    REQUIRE(ring.receiver.claim(message));
    ring.receiver.pass(message);
    if (ring.receiver.release()) {
      CHECK(called_at == 0);
      called_at = i;
    }
  }
  CHECK(called_at >= n / 4);
  CHECK(called_at <= n / 4 + 1);
}

TEST_CASE("stress: one thread sends and recalls, another receives") {
  const std::uint64_t seed = stress::seed();
  constexpr std::size_t kMessages = 60'000;
  Ring ring;
  std::vector<char> recalled(kMessages), received(kMessages);
  std::atomic<bool> done{false};
  stress::threads(2, seed, [&](int id, std::mt19937_64& random) {
    if (id == 0) {
      std::vector<std::pair<std::size_t, Position>> sent;
      for (std::size_t i = 0; i < kMessages;) {
        const std::string text = std::to_string(i) + std::string(random() % 90, '.');
        const Room room = ring.sender.room(text.size());
        if (room == Room::kFault) break;
        if (room == Room::kYes) {
          sent.emplace_back(i++, ring.sender.put(bytes_of(text), text.size()));
          (void)ring.sender.publish();
        } else {
          std::this_thread::yield();
        }
        if (random() % 3 == 0 && !sent.empty()) {
          const auto [number, ticket] = sent[sent.size() - 1 - random() % sent.size()];
          if (ring.sender.recall(ticket)) recalled[number] = 1;
        }
      }
      done.store(true);
      return;
    }
    std::size_t least = 0;
    for (;;) {
      const bool last = done.load();
      RingReceiver<MessageMemory>::Message message;
      const Found found = ring.receiver.look(&message);
      if (found == Found::kFault) return;
      if (found == Found::kNothing) {
        (void)ring.receiver.release();
        if (last) return;
        std::this_thread::yield();
        continue;
      }
      const auto* text =
          reinterpret_cast<const char*>(ring.bytes.payload(message.position));
      const std::size_t number = std::stoul(std::string(text, message.length));
      if (ring.receiver.claim(message)) {
        if (number >= least) received[number] = 1;
        least = number + 1;
      }
      ring.receiver.pass(message);
      (void)ring.receiver.release();
    }
  });
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < kMessages; ++i) wrong += recalled[i] == received[i];
  CHECK(wrong == 0);
}
