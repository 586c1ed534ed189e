// Dispatcher: who has which call of a process executor.  The program's class (Desk, in
// processes/desk.py) derives from it.
//
// A call is at one place at a time
//   order      it waits
//   a window   it was sent to a worker; the first ones may have been begun
//   dead       it is in the window of a worker that has ended
//   settling   it has its answer
//   left       the same, and it is for a thread that no signal handler disturbs
//   a hand     a thread is about to end it
// and everything that is said about calls (how many are unsettled, who idles) is
// derived from these places.
//
// Signal handlers
//   A handler that raises (Ctrl-C, an alarm) may do so between any two bytecodes of the
//   main thread, and nowhere else.  So calls change their place only within functions
//   of this type, in stretches without Python code: what is allocated there are bytes
//   and ints, objects that go are dropped afterwards, and room in C++ containers is
//   found before anything is changed.  Python code runs in these places, each of which
//   may be left by an exception:
//     1. dispatch asks a map for its next chunk, or has a message's segments made
//        (`next_chunk`, `sealed`): nothing has been changed yet; the chunk's items
//        count as taken in the stretch that puts the chunk in the order.  Meanwhile
//        `inside` is set, and is reset by a destructor.
//     2. settle unpickles a value, or tells a chunk its values: the item is in the
//        hand, from where a destructor puts it back.  Whoever settles next does it
//        again; a chunk may be told twice, without effect.
//   What comes when a stretch is over (starting workers, burying them, waking others)
//   can be skipped by an exception.  Then the next call of `take` meets the same state:
//   there is always one, as the helper thread calls it every now and then as long as
//   there are calls.  Only a watcher that sleeps keeps the helper from it, so whatever
//   may concern it rings its bell here (`asleep`), by a destructor, too.
//
//   A future with callbacks or waiters of the standard library is set by undisturbed
//   threads only, as that runs Python code which must not be cut off.  So are failures,
//   notes and whatever has descriptors.  In the main thread these are `left`.
//
//   What an exception means: if unpickling fails in the main thread, it is tried again.
//   If that works, the exception was a handler's, and is raised when the value is in
//   place.  If the same comes again, it is left to an undisturbed thread, which tells
//   the future.
//
// Windows
//   A worker has been sent what it makes and what it needs next: by measured time about
//   kAhead seconds of work, two calls at least.  It is filled again when it is half
//   empty, so that many calls travel at a time.
// Company
//   Short calls wait for each other until they are kTogether of work, or somebody takes
//   in answers.  Not so the first few after a wait for a future.
// Returns
//   When a worker has nothing to do and nothing waits, the later half of the longest
//   window is taken back for it, if it has not been begun: no estimate has to be right.
//
// Threads
//   Any.  The interpreter lock keeps them apart in a stretch; without one, `mutex`,
//   which is never held while Python code runs.  One thread at a time is `inside`; what
//   others add meanwhile it sees before it leaves, as it leaves in the stretch in which
//   it has seen that there is nothing to do.
//   With a channel that is written in Python (`piped`), only the helper calls what uses
//   channels: the program's class sees to that.
#pragma once

#include <list>
#include <memory>
#include <mutex>

#include "window.hpp"

namespace fastflow::py {

// Keeps attached threads out of each other's stretches.
class DispatcherMutex {
 public:
#ifdef Py_GIL_DISABLED
  void lock() { PyMutex_Lock(&mutex_); }
  void unlock() { PyMutex_Unlock(&mutex_); }

 private:
  PyMutex mutex_{};
#else
  void lock() {}
  void unlock() {}
#endif
};
using Stretch = std::unique_lock<DispatcherMutex>;

// The first byte of what a worker sends; see processes/messages.py.
enum class Kind : unsigned char {
  kValue = 0x80,
  kFailed = 'F',
  kShared = 'S',
  kReady = 'R',
  kTimes = 'T',
  kGivenBack = 'B',
  kStarted = 'A',
  kRetires = 'M',
  kLog = 'L',
};

// What a worker has sent, and what it is for.
struct Answer {
  Ref target;   // a call's, or the worker; of a log record, the call's that is made
  Ref message;  // bytes
  Ref window;
  Ref sent;  // the call's message
  Kind kind = Kind::kValue;
};
using Answers = std::list<Answer>;

struct DispatcherObject : PyObject {
  int traverse(visitproc visit, void* arg) const;
  void clear();

  // --- places of calls ---
  std::deque<Call> order;
  std::size_t dropped = 0;  // of these: were cancelled
  std::vector<Ref> windows;
  std::deque<Ref> dead;
  Answers settling, left;
  std::size_t in_hand = 0;
  [[nodiscard]] std::size_t unsettled() const;
  [[nodiscard]] WindowObject* window(std::size_t i) const {
    return window_of(windows[i].get());
  }

  // --- what it was made with ---
  Ref loads;        // pickle.loads
  Ref dumps;        // pickle.dumps
  Ref definitions;  // dict: by number, the message that defines the function
  Ref graveyard;    // deque of inodes of segments that are used no more
  Ref stop;         // the message that ends a worker
  std::size_t max_workers = 1;
  std::size_t max_tasks = 0;  // 0: no limit
  bool retry = false;
  unsigned long main_thread = 0;
  int watcher_bell = -1, helper_bell = -1;  // descriptors

  // --- what it does ---
  DispatcherMutex mutex;
  bool inside = false;
  unsigned long inside_thread = 0;
  std::vector<unsigned long> settlers;  // threads that are about to set futures
  std::vector<Ref> bells;               // futures, set when calls have ended
  Ref refusal;                          // () -> exception: why no more calls are taken
  std::size_t starting = 0;             // workers
  bool piped = false, forked = false, killed = false;
  bool asleep = false;  // the watcher sleeps, or is about to
  std::uint64_t takes = 0;
  std::uint64_t burst = 0;  // calls that came since somebody waited

  // --- what is known of calls ---
  double seconds = -1;  // that one takes; negative: unknown
  std::size_t limit = 2;
  std::size_t together = 1;
  std::size_t hold = 1;  // calls that wait for company
  std::size_t turn = 0;
  bool room = true;          // some worker may take a call
  bool look_closer = false;  // a worker has idled for some time while others had calls
  int early_deaths = 0;

  [[nodiscard]] bool growing() const noexcept {
    return windows.size() + starting < max_workers;
  }
  [[nodiscard]] bool has_idle() const;
  [[nodiscard]] bool wants_worker() const;
  void learn(double each);
  void ring_watcher() const noexcept;
  void ring_helper() const noexcept;
  [[nodiscard]] bool is_disturbed() const noexcept;
};

extern PyTypeObject* dispatcher_type;
bool add_dispatcher_type(PyObject* module);

inline DispatcherObject* dispatcher_of(PyObject* object) {
  return static_cast<DispatcherObject*>(object);
}

// Whether a call in the order was cancelled.
bool is_over(const Call& call);

// The following REQUIRE the stretch, leave it for Python code, and return in it. False:
// an exception is set.

// Gives what waits to those that have room; nothing if somebody is at it.
bool dispatch(DispatcherObject* self, Stretch& stretch);
// Gives it, or takes back for the idle what others have not begun.
bool dispatch_or_rebalance(DispatcherObject* self, Stretch& stretch);
// Takes back up to `count` calls, the last ones, for the head of the order.
std::size_t recall(DispatcherObject* self, WindowObject* window, std::size_t count);
// Has it end after what it was given.
bool stop_window(DispatcherObject* self, WindowObject* window);
// Has workers let go of segments that are used no more.
bool forget_segments(DispatcherObject* self);

// Takes in what workers have sent.
bool take_in(DispatcherObject* self);
// Ends the calls that have answers; how many goes to `count`.
bool settle_all(DispatcherObject* self, Stretch& stretch, std::size_t* count);

}  // namespace fastflow::py
