// Usage: what the system says that this process, and others, have had of its cores.
//
// Usage
//   cpu_ns()          processor time of this process and of the children it waited for
//   cpu_ns_of(pid)    of another process; 0 if it has ended, or where nobody can say
//   starved_ns(200)   how long its threads together were ready and had no core; -1:
//                     not known (no Linux, or built without scheduling statistics)
//   thread_cpu_ns()   of the calling thread; 0: not known
//
// Threads: no state, any of them may ask.  Errors: what can't be had counts as nothing;
// no memory is asked for but by the C library to list the threads.
#pragma once

#include <cstdint>

namespace fastflow {

std::int64_t cpu_ns() noexcept;
std::int64_t cpu_ns_of(std::int64_t pid) noexcept;
// Of so many threads at most, and of those only that go on.
std::int64_t starved_ns(int most) noexcept;
std::int64_t thread_cpu_ns() noexcept;

}  // namespace fastflow
