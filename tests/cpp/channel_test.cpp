#include "channel.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>

#include "stress.hpp"

using fastflow::Channel;
using fastflow::Descriptor;
using fastflow::Found;
using fastflow::Room;
using std::chrono::nanoseconds;

namespace {

constexpr nanoseconds kForever{-1};

struct Sockets {
  Sockets() {
    int both[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both) == 0);
    first = Descriptor(both[0]);
    second = Descriptor(both[1]);
  }
  Descriptor first, second;
};

// A channel with both ends in this process.
struct Pair {
  explicit Pair(std::size_t capacity = 4096)
      : here(Channel::create(sockets.first.get(), capacity)),
        there(Channel::attach(sockets.second.get(),
                              Descriptor(dup(here->memory_fd())))) {}
  Sockets sockets;
  std::unique_ptr<Channel> here, there;
};

bool send(Channel& channel, const std::string& text) {
  if (channel.sender.room(text.size()) != Room::kYes) {
    if (!channel.refused(text.size())) return false;
  }
  channel.sender.put(reinterpret_cast<const std::byte*>(text.data()), text.size());
  channel.accepted();
  if (channel.sender.publish()) channel.bell.ring();
  return true;
}

// False: there is nothing.
bool receive(Channel& channel, std::string* text) {
  Channel::Receiver::Message message;
  const Found found = channel.receiver.look(&message);
  if (found == Found::kFault) throw std::runtime_error("a fault");
  const bool ours = found == Found::kMessage && channel.receiver.claim(message);
  if (found == Found::kMessage) {
    const auto* begin = reinterpret_cast<const char*>(
        channel.receiver.memory().payload(message.position));
    text->assign(begin, message.length);
    channel.receiver.pass(message);
  }
  channel.release();
  return ours;
}

constexpr Channel::Wish kMessage{.message = true};
constexpr Channel::Wish kBoth{.message = true, .room = true};

void sleep(Channel& channel, Channel::Wish wish) {
  while (!channel.ready(wish)) {
    const int descriptor = channel.enlist(wish);
    if (descriptor == Channel::kReady) return;
    pollfd socket{descriptor, POLLIN, 0};
    fastflow::poll_for(&socket, 1, kForever);
    channel.leave();
  }
}

bool readable(int descriptor) {
  pollfd socket{descriptor, POLLIN, 0};
  return fastflow::poll_for(&socket, 1, nanoseconds(0)) == 1;
}

// False: the other end is gone, and nothing is left.
bool receive_or_sleep(Channel& channel, std::string* text) {
  while (!receive(channel, text)) {
    if (channel.bell.closed()) return receive(channel, text);
    sleep(channel, kMessage);
  }
  return true;
}

void send_or_sleep(Channel& channel, const std::string& text) {
  while (!send(channel, text) && !channel.bell.closed()) sleep(channel, {.room = true});
}

std::string text_of(std::size_t number) {
  return std::to_string(number) + std::string(number * 31 % 700, '.');
}

// What a child process does, which then ends without cleaning up.
template <class Body>
pid_t child(const Body& body) {
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid != 0) return pid;
  int status = 1;
  try {
    status = body();
  } catch (const std::exception&) {
    status = 2;
  }
  _exit(status);
}

int wait_for(pid_t pid) {
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  return status;
}

// Sends back what it receives until the other end is gone.
int echo(Channel& channel) {
  std::string text;
  while (receive_or_sleep(channel, &text)) send_or_sleep(channel, text);
  return 0;
}

}  // namespace

TEST_CASE("both directions are apart") {
  Pair pair;
  std::string text;
  CHECK(send(*pair.here, "to there"));
  CHECK_FALSE(receive(*pair.here, &text));
  CHECK(send(*pair.there, "to here"));
  CHECK(receive(*pair.there, &text));
  CHECK(text == "to there");
  CHECK(receive(*pair.here, &text));
  CHECK(text == "to here");
  CHECK_FALSE(receive(*pair.there, &text));
}

TEST_CASE("a capacity is rounded up") {
  const Pair pair(5000);
  CHECK(pair.here->capacity() == std::max<std::size_t>(8192, fastflow::page_size()));
  CHECK(pair.there->capacity() == pair.here->capacity());
  CHECK_THROWS_AS(Channel::create(0, Channel::kMostCapacity + 1),
                  std::invalid_argument);
}

TEST_CASE("only one attaches, and only to a channel") {
  const Pair pair;
  const int socket = pair.sockets.second.get();
  CHECK_THROWS_AS(Channel::attach(socket, Descriptor(dup(pair.here->memory_fd()))),
                  std::invalid_argument);
  CHECK_THROWS_AS(Channel::attach(socket, fastflow::create_memory("x", 100)),
                  std::invalid_argument);
  CHECK_THROWS_AS(Channel::attach(socket, fastflow::create_memory("x", 65536)),
                  std::invalid_argument);
  CHECK_THROWS_AS(Channel::attach(socket, Descriptor(-1)), std::system_error);
}

TEST_CASE("nobody can make the memory smaller") {
  const Pair pair;
  CHECK(ftruncate(pair.here->memory_fd(), 0) == -1);
}

TEST_CASE("a sleeper is rung awake, by messages, by room and by the end") {
  Pair pair;
  std::string text;
  const int there = pair.sockets.second.get(), here = pair.sockets.first.get();
  CHECK(pair.there->enlist(kMessage) == there);
  CHECK_FALSE(readable(there));
  CHECK(send(*pair.here, "x"));
  CHECK(readable(there));
  pair.there->leave();
  CHECK_FALSE(readable(there));
  CHECK(pair.there->enlist(kMessage) == Channel::kReady);
  CHECK_FALSE(pair.there->somebody_listens());
  CHECK(receive(*pair.there, &text));

  while (send(*pair.here, std::string(100, 'x'))) {
  }
  CHECK(pair.here->enlist({.room = true}) == here);
  while (receive(*pair.there, &text)) {
  }
  CHECK(readable(here));
  pair.here->leave();
  CHECK(send(*pair.here, std::string(100, 'x')));

  pair.there.reset();
  pair.sockets.second.close();
  CHECK(readable(here));
  pair.here->leave();
  CHECK(pair.here->bell.closed());
  CHECK(pair.here->enlist(kMessage) == Channel::kReady);
}

TEST_CASE("ringing at a closed door is noticed") {
  Pair pair;
  CHECK(pair.there->enlist(kMessage) != Channel::kReady);
  pair.sockets.second.close();
  CHECK(send(*pair.here, "x"));
  CHECK(pair.here->bell.closed());
}

TEST_CASE("who follows is woken by who listened, and listens next") {
  Pair pair;
  const int listener = pair.there->enlist(kMessage);
  CHECK(listener == pair.sockets.second.get());
  int follower = -1;
  std::thread([&] { follower = pair.there->enlist(kMessage); }).join();
  CHECK(follower != listener);
  CHECK_FALSE(readable(follower));
  CHECK(send(*pair.here, "x"));
  CHECK(readable(listener));
  CHECK_FALSE(readable(follower));
  pair.there->leave();
  CHECK(readable(follower));
  CHECK_FALSE(readable(listener));
  CHECK_FALSE(pair.there->somebody_listens());
}

TEST_CASE("stress: threads of one end sleep for different things") {
  constexpr std::size_t kMessages = 4'000;
  Sockets sockets;
  const auto here = Channel::create(sockets.first.get(), 4096);
  const pid_t pid = child([&] {
    sockets.first.close();
    const auto there =
        Channel::attach(sockets.second.get(), Descriptor(dup(here->memory_fd())));
    return echo(*there);
  });
  sockets.second.close();
  std::mutex mutex;  // what the interpreter lock is to the binding
  const auto sleep_for = [&](Channel::Wish wish) {
    std::unique_lock<std::mutex> lock(mutex);
    while (!here->ready(wish)) {
      const int descriptor = here->enlist(wish);
      if (descriptor == Channel::kReady) return;
      lock.unlock();
      pollfd socket{descriptor, POLLIN, 0};
      fastflow::poll_for(&socket, 1, kForever);
      lock.lock();
      here->leave();
    }
  };
  std::size_t received = 0, wrong = 0;
  stress::threads(4, stress::seed(), [&](int id, std::mt19937_64&) {
    if (id == 0) {  // long ones, so that there often is no room
      for (std::size_t i = 0; i < kMessages; ++i) {
        for (;;) {
          {
            const std::lock_guard<std::mutex> lock(mutex);
            if (send(*here, std::string(1000, static_cast<char>(i)))) break;
          }
          sleep_for({.room = true});
        }
      }
      return;
    }
    for (;;) {
      sleep_for(kMessage);
      const std::lock_guard<std::mutex> lock(mutex);
      std::string text;
      while (receive(*here, &text)) {
        wrong += text != std::string(1000, static_cast<char>(received++));
      }
      if (received < kMessages) continue;
      shutdown(sockets.first.get(), SHUT_RDWR);  // wakes the others
      return;
    }
  });
  CHECK(received == kMessages);
  CHECK(wrong == 0);
  CHECK(wait_for(pid) == 0);
}

TEST_CASE("the room of recalled messages is told to a sender that sleeps") {
  Pair pair;
  std::vector<fastflow::Position> tickets;
  while (true) {
    const fastflow::Position ticket = pair.here->sender.next_ticket();
    if (!send(*pair.here, std::string(500, 'x'))) break;
    tickets.push_back(ticket);
  }
  for (const auto ticket : tickets) CHECK(pair.here->sender.recall(ticket));
  CHECK(pair.here->enlist({.room = true}) == pair.sockets.first.get());
  CHECK_FALSE(pair.there->ready(kMessage));
  CHECK(readable(pair.sockets.first.get()));
}

TEST_CASE("a message that is refused while a thread sleeps is waited for by it") {
  Pair pair;
  CHECK(pair.here->enlist(kMessage) == pair.sockets.first.get());
  while (send(*pair.here, std::string(100, 'x'))) {
  }
  std::string text;
  while (receive(*pair.there, &text)) {
  }
  CHECK(readable(pair.sockets.first.get()));
}

TEST_CASE("descriptors come in order, between bells") {
  Pair pair;
  std::array<int, 12> files;
  for (std::size_t i = 0; i < files.size(); ++i) {
    files[i] = fastflow::create_memory("x", 100 + i).release();
    for (std::size_t k = 0; k < i * 3; ++k) pair.here->bell.ring();
    REQUIRE(pair.here->bell.send(files[i]));
    close(files[i]);
  }
  pair.there->bell.drain();
  for (std::size_t i = 0; i < files.size(); ++i) {
    REQUIRE(pair.there->bell.has_descriptor());
    const Descriptor got = pair.there->bell.take_descriptor();
    CHECK(fastflow::memory_size(got.get()) == 100 + i);
    CHECK((fcntl(got.get(), F_GETFD) & FD_CLOEXEC) != 0);
  }
  CHECK_FALSE(pair.there->bell.has_descriptor());
}

TEST_CASE("a descriptor that can't be received is told in its place") {
  Pair pair;
  const Descriptor file = fastflow::create_memory("x", 100);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  REQUIRE(pair.here->bell.send(file.get()));
  const int lowest = dup(file.get());
  close(lowest);
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(lowest);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  pair.there->bell.drain();
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  REQUIRE(pair.here->bell.send(file.get()));
  pair.there->bell.drain();
  CHECK_THROWS_AS((void)pair.there->bell.take_descriptor(), std::system_error);
  CHECK(fastflow::memory_size(pair.there->bell.take_descriptor().get()) == 100);
}

TEST_CASE("a full socket rings already, and takes no descriptor") {
  Pair pair;
  const Descriptor file = fastflow::create_memory("x", 100);
  int sent = 0;
  while (pair.here->bell.send(file.get())) ++sent;
  pair.here->bell.ring();
  CHECK_FALSE(pair.here->bell.closed());
  pair.there->bell.drain();
  for (int i = 0; i < sent; ++i) (void)pair.there->bell.take_descriptor();
  CHECK_FALSE(pair.there->bell.has_descriptor());
}

TEST_CASE("two processes, each sleeping for the other") {
  constexpr std::size_t kMessages = 20'000;
  Sockets sockets;
  const auto here = Channel::create(sockets.first.get(), 4096);
  const pid_t pid = child([&] {
    sockets.first.close();
    const auto there =
        Channel::attach(sockets.second.get(), Descriptor(dup(here->memory_fd())));
    return echo(*there);
  });
  sockets.second.close();
  std::size_t sent = 0, received = 0, wrong = 0;
  std::string text;
  while (received < kMessages) {
    while (sent < kMessages && send(*here, text_of(sent))) ++sent;
    while (receive(*here, &text)) wrong += text != text_of(received++);
    if (received < kMessages) sleep(*here, sent < kMessages ? kBoth : kMessage);
    if (here->bell.closed()) break;
  }
  CHECK(received == kMessages);
  CHECK(wrong == 0);
  sockets.first.close();
  CHECK(wait_for(pid) == 0);
}

TEST_CASE("a process that is killed at any moment leaves whole messages only") {
  std::mt19937_64 random(stress::seed());
  for (int round = 0; round < 60; ++round) {
    Sockets sockets;
    const auto here = Channel::create(sockets.first.get(), 65536);
    const pid_t pid = child([&] {
      sockets.first.close();
      const auto there =
          Channel::attach(sockets.second.get(), Descriptor(dup(here->memory_fd())));
      for (std::size_t i = 0;; ++i) send_or_sleep(*there, text_of(i));
      return 0;
    });
    sockets.second.close();
    const std::size_t kill_at = random() % 3000;
    std::size_t received = 0, wrong = 0;
    std::string text;
    while (receive_or_sleep(*here, &text)) {
      wrong += text != text_of(received);
      if (received++ == kill_at) kill(pid, SIGKILL);
    }
    CHECK(wrong == 0);
    CHECK(received > kill_at);
    CHECK(WTERMSIG(wait_for(pid)) == SIGKILL);
  }
}

TEST_CASE("of what was sent to a process that is killed, the rest can be recalled") {
  Sockets sockets;
  const auto here = Channel::create(sockets.first.get(), 65536);
  std::vector<fastflow::Position> tickets;
  for (std::size_t i = 0; i < 100; ++i) {
    tickets.push_back(here->sender.next_ticket());
    REQUIRE(send(*here, text_of(i)));
  }
  const pid_t pid = child([&] {
    sockets.first.close();
    const auto there =
        Channel::attach(sockets.second.get(), Descriptor(dup(here->memory_fd())));
    std::string text;
    for (int i = 0; i < 10; ++i) receive(*there, &text);
    kill(getpid(), SIGKILL);
    return 0;
  });
  sockets.second.close();
  sleep(*here, kMessage);
  CHECK(here->bell.closed());
  CHECK(here->sender.unclaimed() == 90);
  CHECK(here->sender.taken_up_to() == tickets[9]);
  for (std::size_t i = 0; i < 100; ++i)
    CHECK(here->sender.recall(tickets[i]) == (i >= 10));
  CHECK(WTERMSIG(wait_for(pid)) == SIGKILL);
}
