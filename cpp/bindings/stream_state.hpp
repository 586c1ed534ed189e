// The state of one imap(): see stream.hpp.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "claim_queue.hpp"
#include "engine.hpp"
#include "participants.hpp"
#include "python.hpp"
#include "scope.hpp"
#include "task_context.hpp"

namespace fastflow::py {

struct StreamItem {
  enum State : std::uint8_t { kFree, kQueued, kRunning, kDone, kFailed };
  std::atomic<std::uint8_t> state{kFree};
  PyObject* value =
      nullptr;  // argument (tuple of them if there are several), or result
};

// Numbers of items, first in, first out; each is in here once at most.
class Ring {
 public:
  explicit Ring(std::size_t capacity) : items_(capacity) {}
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] std::size_t front() const noexcept { return items_[first_]; }
  void push_back(std::size_t item) noexcept {
    const std::size_t at = first_ + count_++;
    items_[at < items_.size() ? at : at - items_.size()] = item;
  }
  void pop_front() noexcept {
    --count_;
    if (++first_ == items_.size()) first_ = 0;
  }

 private:
  std::vector<std::size_t> items_;
  std::size_t first_ = 0, count_ = 0;
};

// The parts apart from the Python object, as lines of the cache are.
//
// Who may use what: `free`, and `order` if results come in the order of the items, are
// the consumer's; else `order` is used under the stream's ObjectLock.  An item is the
// consumer's until it is queued, then of whoever claims it, and from kDone or kFailed
// on the consumer's again, who reads the state without the lock.
struct StreamBody {
  StreamBody(std::size_t capacity, std::uint32_t most)
      : items(capacity), queue(capacity), order(capacity), participants(most) {
    free.reserve(capacity);
    for (std::size_t i = capacity; i > 0; --i) free.push_back(i - 1);
  }
  std::vector<StreamItem> items;
  std::vector<std::size_t> free;
  std::vector<std::int64_t> numbers;   // of the items, if it is recorded; else empty
  ClaimQueue<kAttachedExclude> queue;  // not started
  Ring order;                 // to hand out: as pulled, or as finished (unordered)
  Participants participants;  // workers; closed: the consumer is gone
  std::atomic<std::int64_t> wanted{-1};  // item (or kAny) that the consumer waits for
  std::atomic<std::uint64_t> ended{0};
  std::atomic<bool> consuming{false};  // a thread is in iterator_next
  ItemContext here;  // of items that the consumer's thread runs; guarded by `consuming`
  static constexpr std::int64_t kAny = 1LL << 62;
};

struct StreamObject : PyObject {
  StreamObject(Engine* in, std::size_t capacity, std::uint32_t most);
  int traverse(visitproc visit, void* arg) const;
  void clear();

  Job token;
  const Shared<Engine> engine;
  PyObject* function = nullptr;
  PyObject* iterators = nullptr;  // tuple; nullptr once closed
  Py_ssize_t width = 0;           // of it
  PyObject* context = nullptr;
  RunScope scope;
  PyObject* input_error = nullptr;  // of an input: raised after the items before it
  bool ordered = false, return_exceptions = false, help = false, exhausted = false;
  double timeout = -1;
  std::uint32_t run = 0;    // its number, if it is recorded (recording.hpp)
  std::int64_t pulled = 0;  // items, if it is recorded
  const std::unique_ptr<StreamBody> body;
};

inline StreamObject* stream_of(PyObject* object) {
  return static_cast<StreamObject*>(object);
}
inline PyObject* object_of(StreamObject* s) { return s; }

}  // namespace fastflow::py
