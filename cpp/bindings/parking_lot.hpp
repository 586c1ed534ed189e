// ParkingLot: lets threads wait for an address to be announced.
//
// A future has no lock and no condition of its own (that would cost hundreds of bytes
// each): a thread that waits for one enters its address here, and whoever completes the
// future announces the address if its "waited for" flag is set.
//
// The waiter's side is interruptible: it sleeps on a PyThread lock, which is what makes
// Ctrl-C end a blocking wait of the main thread at once.
//
// Life of a WaitNode, in its `state`:
//   kAwake    registered; its thread is running (or spinning), not asleep
//   kAsleep   its thread sleeps on the node's lock, or is about to
//   kCalled   announced; no longer in the table
// A node leaves the table either by being announced or by its own thread (remove); both
// happen under the bucket's mutex, so after remove() nobody else touches the node.  The
// lock of a node is released after the mutex was given up, possibly when its owner has
// gone on already and the lock serves another wait: locks are never freed, and every
// wait takes a wake without cause for what it is.  A node for which there was no memory
// for a lock stays kAwake and looks at its state every millisecond.
//
// Threads: every function may be called by any thread, attached to the interpreter or
// not; none of them runs Python code.
#pragma once

#include "python.hpp"

namespace fastflow::py {

struct WaitNode {
  enum State : std::uint32_t { kAwake, kAsleep, kCalled };

  explicit WaitNode(const void* address);
  ~WaitNode();
  WaitNode(const WaitNode&) = delete;
  WaitNode& operator=(const WaitNode&) = delete;

  [[nodiscard]] bool called() const noexcept {
    // acquire: pairs with the exchange in announce().
    return state.load(std::memory_order_acquire) == kCalled;
  }

  enum class Slept { kCalled, kTimeout, kInterrupted };
  // Sleeps for at most `microseconds` (-1: for ever).  Detached from the interpreter.
  Slept sleep(std::int64_t microseconds);

  const void* const key;
  std::atomic<std::uint32_t> state{kAwake};
  PyThread_type_lock lock;   // or null, see above
  WaitNode* next = nullptr;  // in the bucket, or in the list of free locks
  bool linked = false;       // guarded by the bucket's mutex
};

namespace parking_lot {

// Wakes all threads that wait for `key`.
void announce(const void* key);
// After fork, in the child: forgets all waiters (their threads are gone).
void reset_after_fork();

}  // namespace parking_lot

}  // namespace fastflow::py
