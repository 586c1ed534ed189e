// Sleep under the checker, driven by a small pool (mini_pool.hpp).
//
// A run of the pool is dozens of operations per thread, so a preemption bound of 3 is
// not affordable for all: pools that share their jobs in deques take a complete bound
// of 2, or 1 with two submitters.  Random executions, which know no bound, stand
// beside.
#include "model/mini_pool.hpp"

namespace {

using model::kLeave;
using model::kLinger;
using model::kShare;
using model::kSpawnFails;
using model::MiniPool;
using model::Options;

constexpr const char* kGroup = "sleep";

constexpr Options bound(int preemptions, std::uint64_t random_runs) {
  return {.preemptions = preemptions, .random_runs = random_runs};
}
constexpr Options random(std::uint64_t runs) {
  return {.exhaustive = false, .random_runs = runs};
}

[[maybe_unused]] const bool added[] = {
    model::add<MiniPool<1, 0, "N">>(kGroup, "limit 1: N", bound(4, 10'000)),
    model::add<MiniPool<1, 0, "NN">>(kGroup, "limit 1: NN", bound(4, 10'000)),
    model::add<MiniPool<2, 0, "NN">>(kGroup, "limit 2: NN", bound(3, 20'000)),
    model::add<MiniPool<1, 0, "N", "N">>(kGroup, "limit 1: N | N", bound(3, 20'000)),
    model::add<MiniPool<2, 0, "N", "N">>(kGroup, "limit 2: N | N", bound(3, 20'000)),
    model::add<MiniPool<1, 0, "NA">>(kGroup, "limit 1: NA", bound(3, 20'000)),
    model::add<MiniPool<2, 0, "AN">>(kGroup, "limit 2: AN", bound(3, 20'000)),
    model::add<MiniPool<2, 0, "A", "N">>(kGroup, "limit 2: A | N", bound(3, 20'000)),
    model::add<MiniPool<1, kLinger, "NN">>(kGroup, "limit 1: NN, timed sleep",
                                           bound(3, 20'000)),
    model::add<MiniPool<2, kLinger, "NN">>(kGroup, "limit 2: NN, timed sleep",
                                           bound(3, 20'000)),
    model::add<MiniPool<1, kLinger | kLeave, "NN">>(
        kGroup, "limit 1: NN, leave at timeout", bound(3, 20'000)),
    model::add<MiniPool<2, kLinger | kLeave, "NN">>(
        kGroup, "limit 2: NN, leave at timeout", bound(3, 20'000)),
    model::add<MiniPool<1, kSpawnFails, "NN">>(kGroup, "limit 1: NN, a start fails",
                                               bound(3, 20'000)),
    model::add<MiniPool<2, kShare, "RR">>(kGroup, "limit 2: RR meet", bound(2, 20'000)),
    model::add<MiniPool<2, kShare, "R", "R">>(kGroup, "limit 2: R | R meet",
                                              bound(2, 20'000)),
    model::add<MiniPool<2, 0, "HANh">>(kGroup, "limit 2: N while the lock is held",
                                       bound(3, 20'000)),
    model::add<MiniPool<2, 0, "HAh", "N">>(kGroup, "limit 2: N elsewhere, lock held",
                                           bound(2, 50'000)),
    model::add<MiniPool<1, kShare, "BN">>(kGroup, "limit 1: B waits for N",
                                          bound(2, 20'000)),
    model::add<MiniPool<1, kShare, "B", "N">>(kGroup, "limit 1: B | N",
                                              bound(2, 20'000)),
    model::add<MiniPool<1, kShare, "BNA">>(kGroup, "limit 1: B waits for N, then A",
                                           bound(2, 20'000)),
    model::add<MiniPool<2, kShare, "NANA", "AN">>(kGroup, "deep, limit 2, both lanes",
                                                  random(100'000)),
    model::add<MiniPool<1, kShare, "NNNN", "NNN">>(kGroup, "deep, limit 1",
                                                   random(100'000)),
    model::add<MiniPool<3, kShare, "RNR", "AR">>(kGroup, "deep, limit 3, three meet",
                                                 random(200'000)),
    model::add<MiniPool<2, kShare | kLinger, "NNAN", "BN">>(
        kGroup, "deep, limit 2, blocking, timed sleep", random(100'000)),
};

}  // namespace
