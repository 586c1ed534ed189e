// MapObject: one call of map / for_each / Executor.map over n items.
//
// One function, one set of input columns, one array of results; no job, no future and
// no tuple per item.  Those who work on it (workers of the pool, and the caller if it
// may) are its participants.  Each claims the next index, calls the function, stores
// the result in that index's slot.
//
// Claiming
//   Items are claimed one by one, in their order (unless a chunksize was given).  So
//   slow items never queue behind each other, items that wait for each other get on as
//   long as there are participants, and every item with a lower index than a failed one
//   was started.  With a global interpreter lock every participant holds it when it
//   claims, so the lock itself makes "read next, add one" atomic and no item costs an
//   atomic instruction.  On a free-threaded build `next` is advanced by fetch_add.
//   (Several items at a time would cost less while they are short, but nobody can tell
//   that the next one will be, and what is behind it would wait for nothing.)
//
// Participants (participants.hpp)
//   A token, the object's one Job, invites workers: whoever takes it sends it again if
//   there is room for more of them, then works.  Between items a participant looks up
//   now and then (kLook): C functions never give the interpreter lock up by themselves;
//   a pool that has too many workers awake, or other work queued, gets this one back.
//   Who finds all items claimed closes the run.
//
//   Its items run in one context as long as they leave it as it was: task_context.hpp.
//   A map that a task of a group runs begins no item once that group is cancelled.
//
// Threads and locks: `next` and `wanted` are seq_cst where they decide about a wake-up.
// Slots are written by the one participant that claimed the index.  Whatever runs in
// between (the item, the note on what it raised, the drop of its arguments), the index
// stays that participant's, and the map is not over before it has left; so a result is
// published once, and nobody decides by a slot that somebody is about to fill.  `error`
// is a minimum, kept under ObjectLock: it does not matter in which order failures come.
// Without an interpreter lock items may be claimed while the map is cut before them:
// they run to their end, but nobody is given their results.  The results' list is
// known to nobody else, and its owner alone calls run(), or take() for each index once.
#pragma once

#include "engine.hpp"
#include "job.hpp"
#include "participants.hpp"
#include "python.hpp"
#include "scope.hpp"

namespace fastflow::py {

// Where the i-th argument of one position comes from.
struct Column {
  enum class Kind { kList, kTuple, kRange } kind;
  PyObject* object;       // borrowed from MapObject::columns
  long long start, step;  // kRange
  // A new reference, or nullptr with an exception.
  [[nodiscard]] PyObject* get(Py_ssize_t i) const;
};

struct MapObject : PyObject {
  MapObject(Engine* in, int most);
  ~MapObject() { delete[] sources; }
  int traverse(visitproc visit, void* arg) const;
  void clear();

  Job token;
  const Shared<Engine> engine;
  PyObject* function = nullptr;
  PyObject* columns = nullptr;  // tuple of list / tuple / range
  Column* sources = nullptr;    // one for each column
  int width = 0;                // how many columns
  bool star = false;            // the one column's items are argument tuples
  bool return_exceptions = false;
  bool stop_on_error = false;
  std::int64_t n = 0;
  std::int64_t chunk = 0;
  std::uint32_t run = 0;  // its number, if it is recorded (recording.hpp)

  PyObject* results = nullptr;  // list under construction, untracked; none: for_each
  PyObject* context = nullptr;  // the caller's, copied; or nullptr
  RunScope scope;
  std::atomic<std::int64_t> next{0};
  Participants participants;
  std::atomic<bool> cancelled{false};
  std::atomic<std::int64_t> cut;         // items from here on will never run
  std::atomic<std::int64_t> wanted{-1};  // index somebody waits for; -1: nobody
  PyObject* error = nullptr;             // of the failed item with the lowest index
  std::int64_t error_index = -1;
};

extern PyTypeObject* map_type;
bool add_map_type(PyObject* module);

inline MapObject* map_of(PyObject* object) {
  return reinterpret_cast<MapObject*>(object);
}
inline bool map_cancelled(MapObject* map) {
  return map->cancelled.load() || map->engine->cancel_all.load() ||
         map->scope.cancelled();
}

}  // namespace fastflow::py
