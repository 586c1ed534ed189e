// The checked counterparts of std::atomic, of plain variables and of the futex:
// what cpp/core/atomic.hpp and futex.hpp use when FASTFLOW_MODEL is defined.
// See engine.hpp and memory.hpp for the algorithm and for what the checker
// cannot find.
//
// They work only inside a scenario that the engine runs: as members of it, or
// in what its constructor and its threads create.
//
// Limits: T is trivially copyable, at most 8 bytes, without padding; no
// wait/notify members, no references (atomic_ref), no pointer arithmetic;
// volatile is not offered.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "model/engine.hpp"

namespace model {

template <class T>
class atomic {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(Word));

 public:
  using value_type = T;

  atomic() noexcept : atomic(T{}) {}
  atomic(T initial) noexcept  // NOLINT: implicit, as in std::atomic
      : location_(Engine::get().create(this, word(initial))) {}
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;
  ~atomic() { Engine::get().destroy(location_); }

  T load(Order order = std::memory_order_seq_cst) const noexcept {
    return value(Engine::get().load(location_, order));
  }
  void store(T desired, Order order = std::memory_order_seq_cst) noexcept {
    Engine::get().store(location_, word(desired), order);
  }
  operator T() const noexcept { return load(); }
  T operator=(T desired) noexcept {
    store(desired);
    return desired;
  }

  T exchange(T desired, Order order = std::memory_order_seq_cst) noexcept {
    return update(order, [desired](T) { return desired; });
  }
  T fetch_add(T n, Order order = std::memory_order_seq_cst) noexcept {
    return update(order, [n](T old) { return static_cast<T>(old + n); });
  }
  T fetch_sub(T n, Order order = std::memory_order_seq_cst) noexcept {
    return update(order, [n](T old) { return static_cast<T>(old - n); });
  }
  T fetch_or(T n, Order order = std::memory_order_seq_cst) noexcept {
    return update(order, [n](T old) { return static_cast<T>(old | n); });
  }
  T fetch_and(T n, Order order = std::memory_order_seq_cst) noexcept {
    return update(order, [n](T old) { return static_cast<T>(old & n); });
  }
  T fetch_xor(T n, Order order = std::memory_order_seq_cst) noexcept {
    return update(order, [n](T old) { return static_cast<T>(old ^ n); });
  }

  bool compare_exchange_strong(T& expected, T desired, Order success,
                               Order failure) noexcept {
    Word wanted = word(expected);
    const bool done = Engine::get().compare_exchange(location_, wanted, word(desired),
                                                     success, failure);
    if (!done) expected = value(wanted);
    return done;
  }
  bool compare_exchange_strong(T& expected, T desired,
                               Order order = std::memory_order_seq_cst) noexcept {
    return compare_exchange_strong(expected, desired, order, on_failure(order));
  }
  bool compare_exchange_weak(T& expected, T desired, Order success,
                             Order failure) noexcept {
    return compare_exchange_strong(expected, desired, success, failure);
  }
  bool compare_exchange_weak(T& expected, T desired,
                             Order order = std::memory_order_seq_cst) noexcept {
    return compare_exchange_strong(expected, desired, order);
  }

  [[nodiscard]] int location() const noexcept { return location_; }

 private:
  static Word word(T value) noexcept {
    Word w = 0;
    std::memcpy(&w, &value, sizeof value);
    return w;
  }
  static T value(Word w) noexcept {
    T v;
    std::memcpy(&v, &w, sizeof v);
    return v;
  }
  static Order on_failure(Order order) noexcept {
    if (order == std::memory_order_acq_rel) return std::memory_order_acquire;
    if (order == std::memory_order_release) return std::memory_order_relaxed;
    return order;
  }
  template <class F>
  T update(Order order, F f) noexcept {
    const Word before = Engine::get().rmw_begin(location_, order);
    Engine::get().rmw_end(location_, before, word(f(value(before))), order);
    return value(before);
  }

  int location_;
};

// A variable without an atomic of its own: behaves like a T, and reports a data
// race if two threads access it, one of them writing, and neither happens
// before the other.
template <class T>
class plain {
 public:
  plain() : plain(T{}) {}
  plain(T initial) : value_(initial) {  // NOLINT: implicit, as a T would be
    writer_ = Engine::get().thread();
    written_ = Engine::get().view().clock(writer_);
  }
  plain(const plain& other) : plain(static_cast<T>(other)) {}
  plain& operator=(const plain& other) { return *this = static_cast<T>(other); }
  plain& operator=(T desired) {
    on_write();
    value_ = desired;
    return *this;
  }
  operator T() const {  // NOLINT: implicit, as a T would be
    on_read();
    return value_;
  }
  T operator->() const requires std::is_pointer_v<T> { return *this; }

 private:
  void on_read() const {
    Engine& engine = Engine::get();
    const View& view = engine.view();
    const int me = engine.thread();
    if (engine.tracing()) engine.trace_plain(this, "reads");
    if (me != writer_ && view.clock(writer_) < written_) {
      engine.fail("data race: a plain variable is read while thread " +
                  std::to_string(writer_ - 1) + " writes it");
    }
    read_[static_cast<std::size_t>(me)] = view.clock(me);
  }
  void on_write() {
    Engine& engine = Engine::get();
    const View& view = engine.view();
    const int me = engine.thread();
    if (engine.tracing()) engine.trace_plain(this, "writes");
    bool race = me != writer_ && view.clock(writer_) < written_;
    for (int t = 0; t < kMaxThreads; ++t) {
      race = race || (t != me && view.clock(t) < read_[static_cast<std::size_t>(t)]);
    }
    if (race) engine.fail("data race: a plain variable is written while in use");
    writer_ = me;
    written_ = view.clock(me);
  }

  T value_;
  int writer_;
  Clock written_;
  mutable std::array<Clock, kMaxThreads> read_{};
};

inline void yield() { Engine::get().yield(); }

// See memory.hpp.
inline void fence_all_threads() { Engine::get().fence_all_threads(); }

inline void check(bool condition, const char* text) {
  if (!condition) Engine::get().fail(std::string("check failed: ") + text);
}

// Names the atomics inside `object` in traces.
template <class T>
void label(const T& object, const char* name) {
  Engine::get().label(&object, sizeof object, name);
}

template <class T>
void futex_wait(atomic<T>& word, T expected) {
  Engine::get().futex_wait(word.location(), expected, false);
}
template <class T>
bool futex_wait_or_timeout(atomic<T>& word, T expected) {
  return Engine::get().futex_wait(word.location(), expected, true);
}
template <class T>
void futex_wake(atomic<T>& word, int count) {
  Engine::get().futex_wake(word.location(), count);
}

}  // namespace model
