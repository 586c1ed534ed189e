// Arrivals: how many predecessors each node of a graph still waits for.
//
// Usage
//   Arrivals arrivals(plan);
//   if (arrivals.arrive(v)) ...          // v is ready: exactly one arrival says so
//   Arrivals::Alone<> alone(arrivals);   // for many of them, while nobody else counts
//   if (alone.arrive(v)) ...             // or Together, where no node is wide
//
// Two ways to count
//   alone   while nobody else arrives anywhere (SoloLock says so): a load and a store.
//   shared  any number of threads.  A last arrival that sees the count at what it
//   brings
//           has nobody to settle it with and saves the read-modify-write.
//   The ways may follow each other if something orders them (again SoloLock).
//
// Why the shortcut is right: each predecessor arrives once, so if what is missing is
// what the caller brings, nobody else writes the count any more.  Its acquire load
// reads from the release sequence of all earlier arrivals, so what they did happens
// before what the caller does next.
//
// Width: a byte for each node, so that many fit into a cache.  Nodes with kWide and
// more predecessors are few: their byte stays at kWide until they are ready, and they
// are counted elsewhere.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>

#include "atomic.hpp"
#include "big_array.hpp"
#include "compiler.hpp"

namespace fastflow {

// `Plan`: GraphPlan, or what the model tests use in its place.
template <class Plan>
class Arrivals {
  using Cell = atomic<std::uint8_t>;

 public:
  explicit Arrivals(const Plan& plan)
      : plan_(plan),
        narrow_(plan.nodes()),
        wide_(std::make_unique<atomic<std::uint32_t>[]>(plan.wide_degrees().size())) {
    copy_degrees();
    for (std::size_t i = 0; i < plan.wide_degrees().size(); ++i) {
      wide_[i].store(plan.wide_degrees()[i],
                     std::memory_order_relaxed);  // unshared yet
    }
  }

  // Counts while nobody else does, anywhere.  To be a local variable: then the compiler
  // keeps in a register where the counters are.  kNoneWide: the plan has no wide node.
  template <bool kNoneWide = false>
  class Alone {
   public:
    explicit Alone(Arrivals& arrivals) noexcept
        : narrow_(arrivals.narrow_.data()), arrivals_(arrivals) {}

    // True if v is ready now.
    [[nodiscard]] bool arrive(std::uint32_t v) noexcept {
      // relaxed both: only one thread counts; SoloLock publishes it to the next.
      const std::uint8_t left = narrow_[v].load(std::memory_order_relaxed);
      const auto less = static_cast<std::uint8_t>(left - 1);
      if constexpr (kNoneWide) {
        narrow_[v].store(less, std::memory_order_relaxed);
        return less == 0;
      }
      // One comparison for what is neither ready nor wide.
      if (static_cast<std::uint8_t>(less - 1) < Plan::kWide - 2) {
        narrow_[v].store(less, std::memory_order_relaxed);
        return false;
      }
      if (less != 0) [[unlikely]]
        return arrivals_.arrive_wide_alone(v);
      narrow_[v].store(0, std::memory_order_relaxed);
      return true;
    }

   private:
    Cell* narrow_;
    Arrivals& arrivals_;
  };
  // Counts along with others, where no node is wide.  A local variable, as Alone.
  class Together {
   public:
    explicit Together(Arrivals& arrivals) noexcept : narrow_(arrivals.narrow_.data()) {}
    // True if v is ready now.
    [[nodiscard]] bool arrive(std::uint32_t v) noexcept {
      // acquire: as in arrive.
      return count(narrow_[v], narrow_[v].load(std::memory_order_acquire), 1);
    }

   private:
    Cell* narrow_;
  };
  // One of them.  REQUIRES: as for Alone.
  [[nodiscard]] bool arrive_alone(std::uint32_t v) noexcept {
    return Alone<>(*this).arrive(v);
  }

  // `times` arrivals at once.  True if v is ready now.
  [[nodiscard]] bool arrive(std::uint32_t v, std::uint32_t times = 1) noexcept {
    // acquire: see "why the shortcut is right"; pairs with the fetch_sub in count.
    const std::uint8_t left = narrow_[v].load(std::memory_order_acquire);
    if (left == Plan::kWide) [[unlikely]]
      return arrive_wide(v, times);
    return count(narrow_[v], left, times);
  }

  // v is ready, and will not run: it counts as never reached.  REQUIRES: the caller
  // alone has v in its hands.
  void abandon(std::uint32_t v) noexcept {
    narrow_[v].store(1, std::memory_order_relaxed);  // read after the end of the run
  }
  // After the run: whether v was ready and not abandoned.
  [[nodiscard]] bool complete(std::uint32_t v) const noexcept {
    return narrow_[v].load(std::memory_order_relaxed) == 0;
  }

  void prefetch(std::uint32_t v) const noexcept {
    fastflow::prefetch(narrow_.data() + v);
  }

 private:
#if defined(FASTFLOW_MODEL)
  struct Cells {
    explicit Cells(std::size_t n) : cells(std::make_unique<Cell[]>(n)) {}
    Cell& operator[](std::size_t i) const { return cells[i]; }
    [[nodiscard]] Cell* data() const { return cells.get(); }
    std::unique_ptr<Cell[]> cells;
  };
  void copy_degrees() {
    for (std::uint32_t v = 0; v < plan_.nodes(); ++v) {
      narrow_[v].store(plan_.degrees()[v], std::memory_order_relaxed);
    }
  }
#else
  using Cells = BigArray<Cell>;
  static_assert(sizeof(Cell) == 1);
  void copy_degrees() {
    if (plan_.nodes() == 0) return;
    std::memcpy(static_cast<void*>(narrow_.data()), plan_.degrees(), plan_.nodes());
  }
#endif

  // `left`: what an acquire load of the cell found.
  [[nodiscard]] static bool count(Cell& cell, std::uint8_t left,
                                  std::uint32_t times) noexcept {
    if (left == times) {
      cell.store(0, std::memory_order_relaxed);  // nobody else counts here now
      return true;
    }
    // acq_rel: releases our work to the last arrival; acquires everybody's if we are
    // it.
    const auto less = static_cast<std::uint8_t>(times);
    return cell.fetch_sub(less, std::memory_order_acq_rel) == times;
  }

  bool arrive_wide(std::uint32_t v, std::uint32_t times) noexcept {
    // acq_rel: as in arrive.
    atomic<std::uint32_t>& count = wide_[plan_.wide_index(v)];
    if (count.fetch_sub(times, std::memory_order_acq_rel) != times) return false;
    narrow_[v].store(0, std::memory_order_relaxed);  // ready: nobody counts here now
    return true;
  }

  bool arrive_wide_alone(std::uint32_t v) noexcept {
    if (v != last_wide_ || last_count_ == nullptr) [[unlikely]]
      find_wide(v);
    // relaxed: as in Alone.
    const std::uint32_t left = last_count_->load(std::memory_order_relaxed) - 1;
    last_count_->store(left, std::memory_order_relaxed);
    if (left > 0) return false;
    narrow_[v].store(0, std::memory_order_relaxed);
    return true;
  }
  FASTFLOW_APART void find_wide(std::uint32_t v) noexcept {
    last_wide_ = v;
    last_count_ = &wide_[plan_.wide_index(v)];
  }

  const Plan& plan_;
  Cells narrow_;
  std::unique_ptr<atomic<std::uint32_t>[]> wide_;
  // The wide node that was counted last by who was alone: a fan-in comes in a row.
  std::uint32_t last_wide_ = 0;
  atomic<std::uint32_t>* last_count_ = nullptr;
};

}  // namespace fastflow
