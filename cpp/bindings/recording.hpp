// Recording: what threads do while somebody records, written down by each for itself.
//
// Whether anybody does is a bit of process_state (engine.hpp), which every submission
// looks at anyway.  A run (a map, a graph) looks once for each of its participants.
// Then another variant of the same code makes the calls: what is not recorded has not
// one instruction more.
//
// Lanes
//   A thread that makes recorded calls has a Lane, found by a thread_local word.  It
//   holds the calls that it is in, and for each recording that is open two rings of
//   fixed size (span_ring.hpp): one for calls, one for what workers themselves do.  The
//   thread writes under the lane's SoloLock, which costs it no atomic
//   read-modify-write.  Whoever opens or closes a recording goes through all lanes and
//   visits each: puts an empty pair of rings in, or takes the pair out, which from then
//   on is its own alone.  So a ring is never read while it is written, and a thread
//   can't write to one that has been taken.
//
// Why nothing is lost, and nothing double: the list of lanes, and which recordings are
// open, are guarded by one mutex.  A lane is made under it, with rings for all that are
// open then; a recording is opened and closed under it, in all lanes that there are.  A
// thread that ends takes its lane out under it, and hands the rings to their
// recordings.
//
// Order of locks: the interpreter's, then the mutex, then a lane's.  Nothing is called
// under the last two that could want the first; who waits for the mutex has given the
// interpreter's up, or holds it while those inside need no more than memory.
//
// Stamps: the end of a call is the beginning of the next one where nothing comes in
// between (stamp.hpp says what a stamp is).
//
// Free-threaded builds: nothing here counts on the interpreter lock but Python's own
// objects.
#pragma once

#include "python.hpp"

#include <memory>
#include <string>

#include "engine.hpp"
#include "recording_labels.hpp"
#include "solo_lock.hpp"
#include "span_ring.hpp"
#include "stamp.hpp"

namespace fastflow::py::recording {

bool add_type(PyObject* module);
// In a forked child nobody records.
void reset_after_fork();

// relaxed: which calls are the first and the last ones to be seen is nobody's promise.
inline bool on() noexcept {
  return (process_state.load(std::memory_order_relaxed) & kRecording) != 0;
}

struct Tape;

// What one thread did, for one recording.
struct Rings {
  Rings(Tape* of, std::size_t size) : tape(of), calls(size), others(size / 4) {}
  Tape* const tape;
  SpanRing calls, others;
};

inline constexpr std::size_t kMostRecordings = 8;

// A call that is under way.
struct Frame {
  std::uint64_t start, ready;
  std::int64_t item;
  std::uint32_t label, run;
  std::uint32_t cpu;  // of the thread at its start; SpanRecord::kNone: not known
  SpanKind kind;
};

class Lane {
 public:
  struct What {
    std::uint32_t label;
    std::uint32_t run = 0;
    std::int64_t item = -1;
    std::uint64_t ready = 0;
  };

  // A call begins; `follows`: nothing came between the end of the last one and this.
  void begin(const What& what, bool follows, SpanKind kind = SpanKind::kCall) noexcept {
    const std::uint64_t start = follows && last_ != 0 ? last_ : stamp();
    if (was_long_ && cpu_stamp_ != start) read_cpu(start);
    (void)lock_.lock();
    if (depth_ < kDeep) [[likely]] {
      frames_[depth_] = {start,     what.ready,
                         what.item, what.label,
                         what.run,  cpu_stamp_ == start ? cpu_ : SpanRecord::kNone,
                         kind};
    }
    ++depth_;
    lock_.unlock();
  }
  // The call that has begun last ends.
  void end(SpanState state) noexcept { end(state, 0, stamp()); }
  void end(SpanState state, std::uint32_t failure, std::uint64_t now) noexcept {
    if (depth_ <= kDeep) [[likely]] {
      const Frame& frame = frames_[depth_ - 1];
      SpanRecord span;
      span.start = frame.start;
      span.end = now < frame.start ? frame.start : now;
      span.ready = frame.ready;
      span.item = frame.item;
      span.label = frame.label;
      span.run = frame.run;
      span.kind = frame.kind;
      span.state = state;
      span.failure = failure;
      was_long_ = now - frame.start > long_call();
      if (was_long_) {
        read_cpu(now);
        if (frame.cpu != SpanRecord::kNone) span.cpu = cpu_ - frame.cpu;
      }
      (void)lock_.lock();
      --depth_;
      add(span);
      lock_.unlock();
    } else {
      (void)lock_.lock();
      --depth_;
      lock_.unlock();
    }
    last_ = now;
  }
  // Something that is over.
  void note(SpanKind kind, std::uint64_t start, std::uint64_t end) noexcept;
  [[nodiscard]] std::uint64_t last() const noexcept { return last_; }
  [[nodiscard]] bool idle() const noexcept { return depth_ == 0; }
  // The run of the call that has begun last; 0: none.
  [[nodiscard]] std::uint32_t run() const noexcept {
    return depth_ > 0 && depth_ <= kDeep ? frames_[depth_ - 1].run : 0;
  }
  // Whether it has gone to sleep, and nothing was noted of its end.
  [[nodiscard]] bool sleeps() const noexcept {
    return depth_ > 0 && depth_ <= kDeep && frames_[depth_ - 1].kind == SpanKind::kIdle;
  }

  // Around a recorded job of this thread's worker.  The first notes whether it was
  // stolen, and says whether it follows a recorded one.
  [[nodiscard]] bool begins_job(Worker& worker) noexcept {
    // relaxed, both: our own.
    const std::uint64_t stolen = worker.counts().stolen.load(std::memory_order_relaxed);
    if (stolen != stolen_) [[unlikely]]
      note_steal(stolen);
    job_ = worker.counts().executed.load(std::memory_order_relaxed);
    return depth_ == 0 && job_ == last_job_ + 1;
  }
  void ends_job() noexcept { last_job_ = job_; }

 private:
  friend struct Registry;
  static constexpr std::uint32_t kDeep = 64;

  static std::uint64_t long_call() noexcept;
  void read_cpu(std::uint64_t at) noexcept;
  FASTFLOW_INLINE void add(SpanRecord span) noexcept {
    for (std::uint32_t i = 0; i < rings_count_; ++i) {
      (span.kind == SpanKind::kCall ? rings_[i]->calls : rings_[i]->others).add(span);
    }
  }
  FASTFLOW_COLD void note_steal(std::uint64_t stolen) noexcept;

  SoloLock lock_;
  // Of the thread alone.
  std::uint64_t last_ = 0;
  std::uint64_t job_ = 0, last_job_ = 0, stolen_ = 0;  // of its worker
  std::uint64_t cpu_stamp_ = 0;
  std::uint32_t cpu_ = 0;
  bool was_long_ = false;
  // Under the lock; depth_ is written by the thread only.
  std::uint32_t depth_ = 0;
  std::uint32_t rings_count_ = 0;
  Rings* rings_[kMostRecordings]{};
  Frame frames_[kDeep];
  // Set before the lane is known to others.
  unsigned long ident_ = 0;
  std::int32_t worker_ = -1;
  const void* pool_ = nullptr;
  std::string name_;  // threading's, if it was attached
};

// This thread's, made at first use; nullptr if there is no memory.
Lane* lane_of_thread() noexcept;
// This thread's if anybody records.
inline Lane* lane() noexcept { return on() ? lane_of_thread() : nullptr; }

// A worker's sleep is over.
void end_idle() noexcept;

// What has gone on since a stamp, if that is more than a moment.
void note_since(SpanKind kind, std::uint64_t start) noexcept;

// Around something that a worker does beside calls, or that is within one: it is noted
// if it takes more than a moment.
class Noted {
 public:
  explicit Noted(SpanKind kind) noexcept : kind_(kind) {
    if (on()) [[unlikely]]
      start_ = stamp();
  }
  // Not if the thread is being ended.
  void done() noexcept {
    if (start_ != 0) [[unlikely]]
      note();
  }
  ~Noted() { done(); }
  Noted(const Noted&) = delete;
  Noted& operator=(const Noted&) = delete;

 private:
  void note() noexcept;
  const SpanKind kind_;
  std::uint64_t start_ = 0;
};

}  // namespace fastflow::py::recording
