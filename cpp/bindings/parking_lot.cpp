#include "parking_lot.hpp"

#include <time.h>

#include <array>
#include <mutex>
#include <new>
#include <vector>

namespace fastflow::py {

namespace {

struct Bucket {
  std::mutex mutex;
  WaitNode* first = nullptr;
};

using Table = std::array<Bucket, 64>;

// In raw storage so that a forked child can make it anew whatever state it was in.
alignas(Table) unsigned char table_storage[sizeof(Table)];
Table& table() {
  static Table* made = new (table_storage) Table;
  return *made;
}

Bucket& bucket_of(const void* key) {
  const auto address = reinterpret_cast<std::uintptr_t>(key);
  return table()[((address >> 4) ^ (address >> 12)) % 64];
}

// Locks for waiting, reused and never freed.
class LockCache {
 public:
  // Null without memory for one.
  PyThread_type_lock take() noexcept {
    {
      std::lock_guard guard(mutex_);
      if (!free_.empty()) {
        PyThread_type_lock lock = free_.back();
        free_.pop_back();
        return lock;
      }
    }
    PyThread_type_lock lock = PyThread_allocate_lock();
    if (lock != nullptr) PyThread_acquire_lock(lock, WAIT_LOCK);
    return lock;
  }
  void give_back(PyThread_type_lock lock) noexcept {
    PyThread_acquire_lock(lock, NOWAIT_LOCK);  // drain a wake that came too late
    std::lock_guard guard(mutex_);
    try {
      free_.push_back(lock);
    } catch (const std::bad_alloc&) {
      // Lost, not freed: somebody may be about to release it.
    }
  }

 private:
  std::mutex mutex_;
  std::vector<PyThread_type_lock> free_;
};

alignas(LockCache) unsigned char cache_storage[sizeof(LockCache)];
LockCache& lock_cache() {
  static LockCache* made = new (cache_storage) LockCache;
  return *made;
}

// Waiting without a lock, as a run has to be waited for even when memory has run out.
WaitNode::Slept sleep_without_lock(const WaitNode& node, std::int64_t microseconds) {
  constexpr std::int64_t kNap = 1000;  // us
  for (std::int64_t left = microseconds; !node.called();) {
    if (left == 0) return WaitNode::Slept::kTimeout;
    const std::int64_t nap = left > 0 && left < kNap ? left : kNap;
    const timespec time{0, static_cast<long>(nap * 1000)};
    if (nanosleep(&time, nullptr) != 0) return WaitNode::Slept::kInterrupted;
    if (left > 0) left -= nap;
  }
  return WaitNode::Slept::kCalled;
}

}  // namespace

WaitNode::WaitNode(const void* address) : key(address), lock(lock_cache().take()) {
  Bucket& bucket = bucket_of(key);
  std::lock_guard guard(bucket.mutex);
  next = bucket.first;
  bucket.first = this;
  linked = true;
}

WaitNode::~WaitNode() {
  Bucket& bucket = bucket_of(key);
  {
    std::lock_guard guard(bucket.mutex);
    for (WaitNode** at = &bucket.first; linked && *at != nullptr; at = &(*at)->next) {
      if (*at == this) {
        *at = next;
        break;
      }
    }
  }
  if (lock != nullptr) lock_cache().give_back(lock);
}

WaitNode::Slept WaitNode::sleep(std::int64_t microseconds) {
  if (lock == nullptr) return sleep_without_lock(*this, microseconds);
  std::uint32_t expected = kAwake;
  // acq_rel: on failure (kCalled) acquires what was announced.
  if (!state.compare_exchange_strong(expected, kAsleep, std::memory_order_acq_rel)) {
    return Slept::kCalled;
  }
  const PyLockStatus status = PyThread_acquire_lock_timed(lock, microseconds, 1);
  expected = kAsleep;
  if (!state.compare_exchange_strong(expected, kAwake, std::memory_order_acq_rel)) {
    return Slept::kCalled;
  }
  return status == PY_LOCK_INTR ? Slept::kInterrupted : Slept::kTimeout;
}

namespace parking_lot {

void announce(const void* key) {
  Bucket& bucket = bucket_of(key);
  std::array<PyThread_type_lock, 16> asleep{};
  bool more = true;
  while (more) {
    more = false;
    std::size_t n = 0;
    {
      std::lock_guard guard(bucket.mutex);
      for (WaitNode** at = &bucket.first; *at != nullptr;) {
        WaitNode* node = *at;
        if (node->key != key) {
          at = &node->next;
          continue;
        }
        if (n == asleep.size()) {
          more = true;
          break;
        }
        *at = node->next;
        node->linked = false;
        PyThread_type_lock lock =
            node->lock;  // the node may be gone after the exchange
        // acq_rel: releases what is announced to called() and sleep().
        if (node->state.exchange(WaitNode::kCalled, std::memory_order_acq_rel) ==
            WaitNode::kAsleep) {
          asleep[n++] = lock;
        }
      }
    }
    for (std::size_t i = 0; i < n; ++i) PyThread_release_lock(asleep[i]);
  }
}

void reset_after_fork() {
  new (table_storage) Table;
  new (cache_storage) LockCache;
}

}  // namespace parking_lot

}  // namespace fastflow::py
