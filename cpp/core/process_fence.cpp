#include "process_fence.hpp"

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace fastflow {

#if defined(__linux__) && defined(SYS_membarrier)

namespace {

// From <linux/membarrier.h>, which older systems lack.
constexpr int kPrivateExpedited = 1 << 3;
constexpr int kRegisterPrivateExpedited = 1 << 4;

bool membarrier(int command) noexcept {
  return syscall(SYS_membarrier, command, 0) == 0;
}

}  // namespace

bool process_fence_works() noexcept {
  static const bool works = membarrier(kRegisterPrivateExpedited);
  return works;
}

bool fence_all_threads() noexcept {
  if (membarrier(kPrivateExpedited)) return true;
  // A forked child may have to register anew.
  return membarrier(kRegisterPrivateExpedited) && membarrier(kPrivateExpedited);
}

#else

bool process_fence_works() noexcept { return false; }
bool fence_all_threads() noexcept { return false; }

#endif

}  // namespace fastflow
