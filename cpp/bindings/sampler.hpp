// Sampler: measures now and then what a recording cannot see in spans: cores in use,
// threads without a core, what is ready and running.
//
// Usage, in a thread of Python's that does nothing else
//   while (waited := sampler.run(0.25, pids)) >= 0:   # measures some times
//       ...                                           # a look at what is Python's
//   and, when somebody has called end():
//   sampler.rows()
//
// What it costs: a measurement takes some microseconds and no interpreter lock.  That
// is wanted only when run() returns: who is at work then gives it up once, goes to
// sleep, and comes back with cold caches.  So run() is left rarely, and tells how long
// it took to get the lock again, which is the one look at the lock that there can be.
// Where a measurement is dear, as there are many threads, measurements are rarer: they
// take at most half a hundredth of one core.
//
// Threads: run() is one thread's; a second one is refused.  `over` is the word that it
// sleeps on, set once by end(), from any thread: a futex, so the wake-up can't be
// missed.  The rows are written by run() alone, into memory that is there from the
// beginning, and read by rows() when nobody is in run(): it looks at `running`, which
// run() clears (release) and rows() reads (acquire).  So no lock is held at any time,
// and none can be left behind by a fork, whose child is told no rows.
//
// The end of the interpreter: the thread is ended before it (seeing/counters).  One
// that comes back from run() too late all the same is ended there by Python, by
// unwinding or for ever asleep; it holds nothing that others could wait for.
#pragma once

#include "python.hpp"

namespace fastflow::py {

bool add_sampler_type(PyObject* module);

}  // namespace fastflow::py
