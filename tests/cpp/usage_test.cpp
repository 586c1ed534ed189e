#include "usage.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace {

void spin_until(std::int64_t cpu) {
  while (fastflow::thread_cpu_ns() < cpu) {
  }
}

}  // namespace

TEST_CASE("the time of a thread is part of that of the process") {
  const std::int64_t all = fastflow::cpu_ns();  // first: both count what lies between
  const std::int64_t thread = fastflow::thread_cpu_ns();
  if (thread == 0) return;  // this system doesn't say
  spin_until(thread + 5'000'000);
  CHECK(fastflow::cpu_ns() - all >= 5'000'000);
}

#if defined(__linux__)
TEST_CASE("other processes have a time of their own, until they end") {
  CHECK(fastflow::cpu_ns_of(::getpid()) > 0);
  int go[2];
  REQUIRE(::pipe(go) == 0);
  int done[2];
  REQUIRE(::pipe(done) == 0);
  const pid_t child = ::fork();
  char byte = 0;
  if (child == 0) {
    spin_until(fastflow::thread_cpu_ns() + 20'000'000);
    (void)!::write(done[1], "x", 1);
    (void)!::read(go[0], &byte, 1);
    ::_exit(0);
  }
  REQUIRE(::read(done[0], &byte, 1) == 1);
  const std::int64_t before = fastflow::cpu_ns();
  CHECK(fastflow::cpu_ns_of(child) >= 20'000'000);
  REQUIRE(::write(go[1], "x", 1) == 1);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  CHECK(fastflow::cpu_ns_of(child) == 0);
  CHECK(fastflow::cpu_ns() - before >= 10'000'000);  // it counts as ours now
  for (const int fd : {go[0], go[1], done[0], done[1]}) ::close(fd);
}

TEST_CASE("what threads wait for a core grows where there are more than cores") {
  if (fastflow::starved_ns(200) < 0) return;  // the system doesn't say
  const std::int64_t before = fastflow::starved_ns(200);
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 2 * std::thread::hardware_concurrency(); ++i) {
    threads.emplace_back([&over] {
      while (!over.load()) {
      }
    });
  }
  while (fastflow::starved_ns(200) - before < 1'000'000) std::this_thread::yield();
  over.store(true);
  for (std::thread& thread : threads) thread.join();
  CHECK(fastflow::starved_ns(0) == -1);
}
#endif

TEST_CASE("nobody") {
  CHECK(fastflow::cpu_ns_of(0) == 0);
  CHECK(fastflow::cpu_ns_of(-1) == 0);
}
