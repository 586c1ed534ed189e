// Blocking waits: for a future, for an item of a map, for a group.
//
// A wait goes through three stages.
//   1. If the submission did not have to wake anybody, the answer may be a microsecond
//      away: watch for it a little while (kSpin) without sleeping.  After waking a
//      sleeper never: the kernel tends to put it on the waker's own core.
//   2. If more work is queued behind what we wait for: sleep, but look by oneself after
//      1, 1 and 2 ms.  While this lasts, a worker that has more to do need not wake us
//      for every result.
//   3. Tell the workers that we no longer look ("urgent") and sleep until woken.
// A wait on a worker's thread does not count against the pool's limit (BlockedScope).
//
// Signal handlers run between a sleep and the next look.  Whatever they do, nothing is
// missed: who waits is in the parking lot before it asks to be announced, asks before
// it sleeps, and looks after all of that.
#pragma once

#include "python.hpp"

namespace fastflow::py {

class Waitable {
 public:
  // What is announced in the parking lot.
  virtual const void* key() const = 0;
  // Any thread state.
  virtual bool done() const = 0;
  // Asks to be announced; true if it is done already.  Any thread state.
  virtual bool enlist(bool urgent) = 0;

 protected:
  ~Waitable() = default;
};

enum class WaitEnd { kDone, kTimeout, kError };

// What is known about the answer.
enum class Outlook {
  kSoon,  // somebody is at it or about to be: watch, then look now and then
  kBusy,  // other work comes first, or is done meanwhile: look now and then
  kNext,  // a sleeper was woken for this very thing
};

// Waits, attached on entry and exit, for at most timeout seconds (negative: for ever).
// kError: an exception is set (a signal handler raised, or out of memory).
WaitEnd wait_for(Waitable& target, double timeout, Outlook outlook = Outlook::kBusy);

// Reads a timeout argument: None -> -1, else seconds >= 0; false with an exception.
bool parse_timeout(PyObject* object, double* seconds);

// Whether the last submission of this thread woke or started a worker.
extern thread_local bool t_woke_worker;

}  // namespace fastflow::py
