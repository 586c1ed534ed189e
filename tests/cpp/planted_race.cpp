// A deliberate data race.  The ThreadSanitizer build must report it; if it does
// not, the clean runs of the other tests prove nothing.
//
// The detector notes accesses without a lock of its own and can miss two that
// happen in the very same moment.  So the second one waits for the first, by
// way of a relaxed flag: that orders them in time, but nothing in the memory
// model, which makes it a race in every run.
#include <atomic>
#include <thread>

namespace {
int shared = 0;
std::atomic<bool> written{false};
}  // namespace

int main() {
  std::thread other([] {
    ++shared;
    written.store(true, std::memory_order_relaxed);
  });
  while (!written.load(std::memory_order_relaxed)) std::this_thread::yield();
  ++shared;
  other.join();
  return shared == 0;  // uses the value, so that nothing is optimised away
}
