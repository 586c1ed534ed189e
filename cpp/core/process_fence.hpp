// A fence for all threads of the process at once, paid for by the one that calls it.
//
// Usage: two threads that have to see each other's store, one of them often, the other
// one hardly ever.
//   often                                 hardly ever
//     mine.store(true, relaxed);            theirs.store(true);
//     fence_lightly();                      if (!fence_all_threads()) give up
//     if (theirs.load()) ...                if (mine.load()) ...
//
// What it promises: at least one of the two sees the other's store (store buffering,
// Dekker).  fence_all_threads() makes every running thread pass a full fence somewhere
// in its own program (threads that do not run pass one when they are switched).  If
// `often` passes it before its load, then its load is not early: it sees `theirs`.  If
// after, then its store has left the processor before the fence is over: `mine` is
// seen.  The compiler keeps the order, for which fence_lightly() is a barrier.
//
// Linux: membarrier(2), the private expedited kind, from Linux 4.14 on; a microsecond
// or so.  Elsewhere there is no such thing, and process_fence_works() says so; then
// `often` has to fence its store and load itself (both seq_cst).
//
// Model tests: the checker's own (tests/cpp/model/memory.hpp).
#pragma once

#include "atomic.hpp"

namespace fastflow {

#if defined(FASTFLOW_MODEL)
inline void fence_lightly() noexcept {}
[[nodiscard]] inline bool process_fence_works() noexcept { return true; }
[[nodiscard]] inline bool fence_all_threads() noexcept {
  model::fence_all_threads();
  return true;
}
#else
// Order for the compiler only, and nothing for the processor to do.
inline void fence_lightly() noexcept {
  std::atomic_signal_fence(std::memory_order_seq_cst);
}
// Always the same answer in one process.
[[nodiscard]] bool process_fence_works() noexcept;
// False: nothing is promised.
[[nodiscard]] bool fence_all_threads() noexcept;
#endif

}  // namespace fastflow
