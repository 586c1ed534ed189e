#include "futex.hpp"

#include <climits>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

namespace fastflow {

static_assert(sizeof(FutexWord) == sizeof(std::uint32_t), "the kernel reads 32 bits");

namespace {

long futex(FutexWord& word, int op, std::uint32_t value, const timespec* timeout) {
  return syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word),
                 op | FUTEX_PRIVATE_FLAG, value, timeout, nullptr, 0);
}

}  // namespace

void futex_wait(FutexWord& word, std::uint32_t expected) noexcept {
  futex(word, FUTEX_WAIT, expected, nullptr);
}

bool futex_wait_for(FutexWord& word, std::uint32_t expected,
                    std::chrono::nanoseconds timeout) noexcept {
  const auto ns = timeout.count();
  if (ns <= 0) return false;
  timespec ts{};
  ts.tv_sec = static_cast<time_t>(ns / 1'000'000'000);
  ts.tv_nsec = static_cast<long>(ns % 1'000'000'000);
  return !(futex(word, FUTEX_WAIT, expected, &ts) == -1 && errno == ETIMEDOUT);
}

void futex_wake(FutexWord& word, int count) noexcept {
  futex(word, FUTEX_WAKE, static_cast<std::uint32_t>(count), nullptr);
}

}  // namespace fastflow

#else
#include <array>
#include <condition_variable>
#include <mutex>

namespace fastflow {
namespace {

struct Bucket {
  std::mutex mutex;
  std::condition_variable changed;
};

// One bucket may serve several words: its sleepers then wake spuriously, which every
// caller allows for.
Bucket& bucket_of(const FutexWord& word) {
  static std::array<Bucket, 64> buckets;
  const auto address = reinterpret_cast<std::uintptr_t>(&word);
  return buckets[(address >> 4) % buckets.size()];
}

}  // namespace

void futex_wait(FutexWord& word, std::uint32_t expected) noexcept {
  Bucket& bucket = bucket_of(word);
  std::unique_lock lock(bucket.mutex);
  if (word.load() != expected) return;
  bucket.changed.wait(lock);
}

bool futex_wait_for(FutexWord& word, std::uint32_t expected,
                    std::chrono::nanoseconds timeout) noexcept {
  Bucket& bucket = bucket_of(word);
  std::unique_lock lock(bucket.mutex);
  if (word.load() != expected) return true;
  return bucket.changed.wait_for(lock, timeout) == std::cv_status::no_timeout;
}

void futex_wake(FutexWord& word, int) noexcept {
  Bucket& bucket = bucket_of(word);
  // The lock orders this wake after the comparison of a thread about to sleep.
  { std::lock_guard lock(bucket.mutex); }
  bucket.changed.notify_all();
}

}  // namespace fastflow
#endif
