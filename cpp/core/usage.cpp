#include "usage.hpp"

#if !defined(_WIN32)
#include <sys/resource.h>
#include <sys/types.h>
#include <time.h>
#else
#include <ctime>
#endif

#if defined(__linux__)
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#endif

namespace fastflow {

namespace {

#if !defined(_WIN32)
std::int64_t ns_of(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}
std::int64_t ns_of(const timeval& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + std::int64_t{time.tv_usec} * 1000;
}
std::int64_t clock_ns(clockid_t clock) {
  timespec now{};
  return ::clock_gettime(clock, &now) == 0 ? ns_of(now) : 0;
}
#endif

#if defined(__linux__)
// The second number of schedstat: ns on a queue for a core.  -1: it can't be had.
std::int64_t waited_ns(int folder, const char* thread) {
  char path[64];
  std::snprintf(path, sizeof path, "%s/schedstat", thread);
  const int fd = ::openat(folder, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  char text[96];
  const ssize_t n = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  if (n <= 0) return -1;
  text[n] = '\0';
  char* rest = text;
  (void)std::strtoull(text, &rest, 10);
  return static_cast<std::int64_t>(std::strtoull(rest, nullptr, 10));
}
#endif

}  // namespace

std::int64_t cpu_ns() noexcept {
#if !defined(_WIN32)
  rusage children{};
  std::int64_t total = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  if (::getrusage(RUSAGE_CHILDREN, &children) == 0) {
    total += ns_of(children.ru_utime) + ns_of(children.ru_stime);
  }
  return total;
#else
  return static_cast<std::int64_t>(std::clock()) * (1'000'000'000 / CLOCKS_PER_SEC);
#endif
}

std::int64_t cpu_ns_of(std::int64_t pid) noexcept {
#if defined(__linux__)
  clockid_t clock{};
  if (pid <= 0 || ::clock_getcpuclockid(static_cast<pid_t>(pid), &clock) != 0) return 0;
  return clock_ns(clock);
#else
  (void)pid;
  return 0;
#endif
}

std::int64_t starved_ns(int most) noexcept {
#if defined(__linux__)
  DIR* folder = ::opendir("/proc/self/task");
  if (folder == nullptr) return -1;
  std::int64_t total = 0;
  bool known = false;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody else has this folder
  while (const dirent* entry = most > 0 ? ::readdir(folder) : nullptr) {
    if (entry->d_name[0] == '.') continue;
    const std::int64_t waited = waited_ns(::dirfd(folder), entry->d_name);
    --most;
    if (waited < 0) continue;  // it has ended
    known = true;
    total += waited;
  }
  ::closedir(folder);
  return known ? total : -1;
#else
  (void)most;
  return -1;
#endif
}

std::int64_t thread_cpu_ns() noexcept {
#if defined(CLOCK_THREAD_CPUTIME_ID)
  return clock_ns(CLOCK_THREAD_CPUTIME_ID);
#else
  return 0;
#endif
}

}  // namespace fastflow
