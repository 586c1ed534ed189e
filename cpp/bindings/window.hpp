// Window: the calls that one worker has been sent and has not answered, in order, and
// what else is known of that worker.  The program's class for workers derives from it.
//
// All of it is under the lock of the dispatcher that has the worker (dispatcher.hpp).
#pragma once

#include <cstdint>
#include <deque>
#include <unordered_set>
#include <vector>

#include "line.hpp"
#include "object.hpp"
#include "python.hpp"

namespace fastflow::py {

// What is to be made, or a map that has more of it.
struct Call {
  Ref target;   // a future, a chunk or a map
  Ref message;  // bytes; or what refers to segments, see processes/buffers.py
  std::int64_t number = -1;  // of the function; negative: it has none
  int tries = 0;             // that have ended with the worker's death
  bool is_map = false;
  std::uint64_t ticket = 0;
};

struct WindowObject : PyObject {
  int traverse(visitproc visit, void* arg) const;
  void clear();

  // Whether the worker has begun call i; the first ones have.
  [[nodiscard]] bool has_begun(std::size_t i) const;
  [[nodiscard]] bool idles() const noexcept {
    return calls.empty() && !full && !retiring;
  }

  Line line;
  std::deque<Call> calls;
  std::vector<bool> known;                     // functions, by number
  std::unordered_set<std::uint64_t> segments;  // inodes of those that it has
  std::vector<std::uint64_t> forgotten;  // of these, those that it is to let go of
  std::uint64_t assigned = 0;            // calls, altogether
  std::uint64_t made = 0;
  bool ready = false;     // begins to take calls
  bool retiring = false;  // ends after what it was given
  bool full = false;      // there was no room for a message
  bool gone = false;      // the process has ended
  bool lied = false;      // it has answered what it was not asked
};

// Drops all of what may run Python code, which finds a container in order; without
// memory.
template <class Container>
void drop_each(Container& container) {
  while (!container.empty()) {
    const auto last = std::move(container.back());
    container.pop_back();
  }
}

extern PyTypeObject* window_type;
bool add_window_type(PyObject* module);

inline WindowObject* window_of(PyObject* object) {
  return static_cast<WindowObject*>(object);
}

}  // namespace fastflow::py
