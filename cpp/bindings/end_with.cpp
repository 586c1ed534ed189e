#include "end_with.hpp"

#if defined(__linux__)

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

namespace fastflow::py {

namespace {

// A descriptor that somebody closes during a sleep is not missed before the next one,
// and the socket stays open until then.
constexpr int kLook = 1000;  // milliseconds

// Also if the socket isn't there any more: then nobody could tell.
[[noreturn]] void watch(int fd) {
  pollfd entry{fd, POLLRDHUP, 0};
  int found;
  do {
    found = ::poll(&entry, 1, kLook);
  } while (found == 0 || (found < 0 && errno == EINTR));
  ::_exit(1);
}

}  // namespace

PyObject* end_with(PyObject*, PyObject* fd) {
  const long number = PyLong_AsLong(fd);
  if (number == -1 && PyErr_Occurred()) return nullptr;
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const auto restore = [&] { pthread_sigmask(SIG_SETMASK, &before, nullptr); };
  try {
    std::thread(watch, static_cast<int>(number)).detach();
  } catch (...) {
    restore();
    throw;
  }
  restore();
  Py_RETURN_NONE;
}

}  // namespace fastflow::py

#endif
