// CallRun: one run of a Graph whose nodes are Python calls.
//
// Under the interpreter lock one thread at a time runs Python code, so a run keeps one
// stack of ready nodes for all participants, and its bookkeeping (counters, slots, the
// stack) needs no atomic instructions: the lock orders it (on free-threaded builds, the
// run's own object lock).  Participants (participants.hpp) are the caller, if it may,
// and workers that took the run's token: each takes the newest ready node, calls it,
// stores the result in the node's slot and arrives at its successors.  Whoever sees
// more ready nodes than it can take itself, and room for participants, invites.
//
// A participant that finds nothing ready leaves; when nothing is ready and no call is
// under way the run is closed, by who ends the last call.
//
// Results: arguments are borrowed from the slots of the predecessors; those that are
// not kept are dropped after the last reader's call.
//
// Deferred nodes (of runs with one function for all nodes)
//   A function that returns DEFERRED has begun something that ends elsewhere: the node
//   counts as under way until settle(node, ok), which any thread may call, also before
//   the function has returned; it must come once.  So the run can't be over before.
//   FAILED is a failure without an exception: whoever gave the function has the reason.
//   post(unit): beside the nodes, function(unit) is to be called by a participant, for
//   a number from the nodes' count on; what it returns means nothing.  A stopped run
//   begins no unit, as it begins no node.
//
// Calls that are given up
//   lose(unit) takes a participant out that is inside of a call and may never come
//   back; its call must return LOST when it does, and it then leaves the run without
//   touching it.  Who calls lose() sees to it that of both one happens: the call's
//   result counts, or it is lost.  With a unit's number that unit's call counts as
//   ended, with a node's the node stays under way until it is settled.
//   finish() ends the run as it is, once nobody is inside.
//
// Under the lock nothing runs Python code
//   What a call needs is claimed in one go (R5), what comes after it is done in another;
//   between the two lies the call, with the note on what it raised, and the node counts
//   as running: so the run can't be over, and nobody decides by what it is about to
//   store.  What is dropped goes after the lock.  `stopped` is set before the note, so
//   that no node begins while it is written; who has claimed one by then calls it.  A
//   failure to invite is found after the lock, too, and harms nobody: the caller, or
//   whoever is inside, goes on.
//
// The caller (enum Caller): it helps or waits; or it alone makes all calls, and is
// the one who is called when there are more.
#pragma once

#include "python.hpp"
#include "scope.hpp"

namespace fastflow::py {

extern PyTypeObject* call_run_type;
bool add_call_run_type(PyObject* module);  // and DEFERRED, FAILED, LOST
ScopeObject* call_run_scope(PyObject* run);
bool call_run_cancelled(PyObject* run);

}  // namespace fastflow::py
