#include "doorbell.hpp"

#if defined(__linux__)

#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace fastflow {

namespace {

// One recvmsg brings the descriptors of one sendmsg at most.
constexpr std::size_t kMostDescriptors = 4;

bool peer_gone(int error) {
  return error == EPIPE || error == ECONNRESET || error == ENOTCONN;
}

[[noreturn]] void fail(int error, const char* what) {
  throw std::system_error(error, std::generic_category(), what);
}

template <class Call>
auto retry(const Call& call) {
  for (;;) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

}  // namespace

void Doorbell::ring() {
  const char byte = 'r';
  const auto sent =
      retry([&] { return ::send(socket_, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL); });
  if (sent >= 0 || errno == EAGAIN) return;
  if (!peer_gone(errno)) fail(errno, "waking the other process");
  closed_ = true;
}

bool Doorbell::send(int fd) {
  char byte = 'd';
  iovec data{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  const auto sent =
      retry([&] { return sendmsg(socket_, &message, MSG_DONTWAIT | MSG_NOSIGNAL); });
  if (sent >= 0) return true;
  // ETOOMANYREFS: too many are under way.
  if (errno == EAGAIN || errno == ETOOMANYREFS) return false;
  if (peer_gone(errno)) closed_ = true;
  fail(peer_gone(errno) ? EPIPE : errno,
       "sending a file descriptor to the other process");
}

void Doorbell::drain() {
  while (!closed_ && drain_once()) {
  }
}

// True: there may be more.
bool Doorbell::drain_once() {
  std::array<char, 64> bytes;
  iovec data{bytes.data(), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostDescriptors * sizeof(int))> control;
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const auto got = retry(
      [&] { return recvmsg(socket_, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC); });
  if (got < 0) {
    if (errno == EAGAIN) return false;
    if (!peer_gone(errno)) fail(errno, "listening for the other process");
  }
  if (got <= 0) {
    closed_ = true;
    return false;
  }
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      descriptors_.emplace_back(fd);
    }
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0) descriptors_.emplace_back(-1);
  return message.msg_controllen > 0 || got == static_cast<ssize_t>(bytes.size());
}

Descriptor Doorbell::take_descriptor() {
  Descriptor first = std::move(descriptors_.front());
  descriptors_.erase(descriptors_.begin());
  if (first.get() < 0) {
    fail(EMFILE, "a file descriptor from the other process could not be received");
  }
  return first;
}

Descriptor create_counter() {
  Descriptor counter(eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK));
  if (counter.get() < 0) fail(errno, "creating an event counter (eventfd)");
  return counter;
}

void count_up(int counter) {
  if (eventfd_write(counter, 1) != 0) fail(errno, "counting up");
}

void count_down(int counter) {
  eventfd_t one = 0;
  if (eventfd_read(counter, &one) != 0) fail(errno, "counting down");
}

int poll_for(pollfd* sockets, std::size_t count, std::chrono::nanoseconds timeout) {
  timespec limit{};
  if (timeout.count() > 0) {
    limit.tv_sec = timeout.count() / 1'000'000'000;
    limit.tv_nsec = timeout.count() % 1'000'000'000;
  }
  const int ready =
      ppoll(sockets, count, timeout.count() < 0 ? nullptr : &limit, nullptr);
  if (ready < 0 && errno == EINTR) return 0;
  if (ready < 0) fail(errno, "waiting for the other process");
  return ready;
}

}  // namespace fastflow

#endif
