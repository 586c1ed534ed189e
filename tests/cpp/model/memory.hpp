// Memory: the C++ memory model as a machine that answers "which stores may this
// load read?".
//
// Algorithm
//   Every atomic location keeps its stores in modification order, each with a
//   sortable key.  Every thread has a view: per location the key of the newest
//   store that it wrote, read, or learned of through happens-before.  A load
//   may return any store whose key is not below the view's; that is exactly the
//   four coherence rules (read-read, read-write, write-read, write-write).  A
//   release store carries a copy of its thread's view; an acquire load joins
//   that copy into its own.  A read-modify-write hands on the carried view of
//   the store it replaced (release sequence, in its C++20 form).  Views also
//   contain a vector clock, which decides whether two accesses to a `plain`
//   variable race. (The view formulation follows J. Kang, C.-K. Hur, O. Lahav,
//   V. Vafeiadis, D. Dreyer, "A promising semantics for relaxed-memory
//   concurrency", POPL 2017, without its promises.)
//
//   seq_cst: the order S is the order of execution.  Each location has a floor:
//   the newest store that a seq_cst operation wrote or read.  A seq_cst load
//   reads nothing below the floor, a seq_cst store is never placed below it
//   (C++20 [atomics.order]: coherence-ordered-before must agree with S). Weaker
//   loads ignore the floor.
//
//   fence_all_threads (process_fence.hpp): every thread passes a full fence at this
//   moment, so from then on no load by anybody returns a store that is older than the
//   newest one of its location now.  That orders; it does not make anything happen
//   before anything else, so it does not excuse races.
//
//   A store that is not seq_cst may also be placed *before* stores which its
//   thread knows nothing of (needed for the weak outcome of 2+2W), though never
//   between a read-modify-write and the store that it read.
//
// Limits: what is allowed by C++ and never explored here
//   * load buffering: a load never returns a store that is executed later, so
//   no
//     out-of-thin-air values, but also no reordering of a load after a later
//     store;
//   * S always agrees with happens-before (C++11); C++20 allows a little less
//   than that
//     when seq_cst and weaker accesses to one location are mixed;
//   * a read-modify-write always takes the newest store, also when a store that
//   its
//     thread does not know of could be placed after it;
//   * compare_exchange_weak never fails without reason; a failing
//   compare-exchange may
//     however read a stale value, as a load may;
//   * consume is treated as acquire; standalone fences are not offered;
//   * the compiler moving something past the place where a thread was when another
//   one called
//     fence_all_threads: fence_lightly() is there to forbid it;
//   * accesses of different sizes to one object; volatile; the compiler's own
//   doings.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "model/choices.hpp"

namespace model {

using Word = std::uint64_t;
using Order = std::memory_order;
using Key = std::uint32_t;
using Clock = std::uint16_t;

inline constexpr int kMaxThreads = 8;  // one of them is the scenario's main thread
inline constexpr int kMaxLocations = 96;

struct View {
  int size = 0;  // keys at and beyond it count as 0
  std::array<Key, kMaxLocations> keys;
  std::array<Clock, kMaxThreads> clocks;

  void clear() {
    size = 0;
    clocks.fill(0);
  }
  void copy(const View& from);
  void join(const View& other);
  [[nodiscard]] Key key(int location) const {
    return location < size ? keys[static_cast<std::size_t>(location)] : 0;
  }
  void raise(int location, Key key);
  [[nodiscard]] Clock clock(int thread) const {
    return clocks[static_cast<std::size_t>(thread)];
  }
};

struct Store {
  Word value = 0;
  Key key = 0;
  int carried = -1;  // index of the released view, or none
  bool rmw = false;
};

class Memory {
 public:
  // What a load saw: `behind` newer stores existed.
  struct Read {
    Word value;
    int behind;
  };

  void reset();
  // `child` starts after everything that `parent` did so far.
  void start(int child, int parent);
  void set_random(Random* random) { random_ = random; }

  int create(int thread, const void* address, Word initial);

  // `fresh`: the newest store only (used after a spin loop yielded).
  Read load(int thread, int location, Order order, bool fresh, Choices& choices);
  // Returns before how many existing stores it was placed.
  int store(int thread, int location, Word value, Order order, Choices& choices);
  // Read-modify-write in two halves, with nothing in between.
  Word rmw_read(int thread, int location, Order order);
  void rmw_write(int thread, int location, Word value, Order order);
  // Returns true if exchanged; `expected` is what was read otherwise.
  bool compare_exchange(int thread, int location, Word& expected, Word desired,
                        Order success, Order failure, Choices& choices, int* behind);

  void fence_all_threads();

  [[nodiscard]] Word newest(int location) const {
    return at(location).stores.back().value;
  }
  [[nodiscard]] const void* address(int location) const { return at(location).address; }
  [[nodiscard]] View& view(int thread) {
    return views_[static_cast<std::size_t>(thread)];
  }

  // True if `location` was constructed before whatever `thread` does now.
  [[nodiscard]] bool constructed_before(int thread, int location);
  // Notes the access; the destructor must come after all of them.
  void note_access(int thread, int location);
  [[nodiscard]] bool accessed_before(int thread, int location);
  [[nodiscard]] int locations() const { return count_; }

 private:
  static constexpr Key kGap = 1u << 14;

  struct Location {
    std::vector<Store> stores;  // in modification order
    const void* address = nullptr;
    Key floor = 0;  // newest store that a seq_cst operation wrote or read
    int creator = 0;
    Clock created = 0;
    std::array<Clock, kMaxThreads> accessed{};
  };

  Location& at(int i) { return locations_[static_cast<std::size_t>(i)]; }
  const Location& at(int i) const { return locations_[static_cast<std::size_t>(i)]; }
  // How many of the newest stores may be read, at least 1.
  int readable(int thread, int location, Order order) const;
  void take(int thread, int location, const Store& store, Order order);
  int carry(int thread, Order order);
  void tick(int thread);
  // A random answer to "how stale": mostly 0.
  int draw(int n);

  std::array<Location, kMaxLocations> locations_;
  int count_ = 0;
  std::array<View, kMaxThreads> views_;
  std::vector<View> carried_;
  int carried_count_ = 0;
  Random* random_ = nullptr;
};

}  // namespace model
