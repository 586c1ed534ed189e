// Who runs the calls of a CallRun, and what comes after each: see call_run.hpp.
#pragma once

#include "call_run_state.hpp"

namespace fastflow::py::call_run {

// What a function for all nodes may return in place of a result; see call_run.hpp.
extern PyObject *deferred, *failed_quietly, *lost;

// Speaks for the run.
struct Guest {
  CallRun* run;
  bool is_caller = false;
  Ref error{};  // the caller's; an exception that is not a node's business

  [[nodiscard]] bool more() const;
  [[nodiscard]] bool send_token() const;
  void announce() const;
  bool take_part();  // false: lost (R8)
};

// The run's token, as a job.
void run_token(Job* token, Worker& worker);

// Sees to it that somebody comes for what is ready.  False with an exception if the
// pool could not start a thread for it.
bool invite(CallRun* run);

// Begins nothing more; over as soon as nothing is under way.
void stop(CallRun* run);
// Over.
void finish(CallRun* run);

// One call, or deferred node, fewer.  REQUIRES: the object lock, and that there is one.
void end_one(CallRun* run);
// A node that was deferred, or has failed without an exception; whether there is more
// to do.  Such runs have one function, so that no arguments are held.
bool settle_plainly(CallRun* run, std::uint32_t v, bool ok);

}  // namespace fastflow::py::call_run
