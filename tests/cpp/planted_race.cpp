// A deliberate data race.  The ThreadSanitizer build must report it; if it does
// not, the clean runs of the other tests prove nothing.
#include <thread>

namespace {
int shared = 0;
}

int main() {
  std::thread other([] { ++shared; });
  ++shared;
  other.join();
  return shared == 0;  // uses the value, so that nothing is optimised away
}
