// CallRun: one run of a Graph whose nodes are Python calls.
//
// Under the interpreter lock one thread at a time runs Python code, so a run keeps one
// stack of ready nodes for all participants, and its bookkeeping (counters, slots, the
// stack) needs no atomic instructions: the lock orders it (on free-threaded builds, the
// run's own object lock).  Participants are the caller, if it may, and workers that
// took the run's token: each takes the newest ready node, calls it, stores the result
// in the node's slot and arrives at its successors.  Whoever sees more ready nodes than
// it can take itself, and room for participants, puts the token into the pool.
//
// A participant that finds nothing ready leaves; the run is over when nothing is ready
// and no call is under way, which the participant that ends the last call sees.
//
// Results: arguments are borrowed from the slots of the predecessors; those that are
// not kept are dropped after the last reader's call.
#pragma once

#include "python.hpp"
#include "scope.hpp"

namespace fastflow::py {

extern PyTypeObject* call_run_type;
bool add_call_run_type(PyObject* module);
ScopeObject* call_run_scope(PyObject* run);
bool call_run_cancelled(PyObject* run);

}  // namespace fastflow::py
