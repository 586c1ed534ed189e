// What a participant of a GraphRun has to do: node numbers and ranges, private to it,
// and blocks of them for others to take.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "compiler.hpp"
#include "deque.hpp"

namespace fastflow {

// Positions [begin, end) of edges whose targets have not been arrived at, or of nodes
// of which those without predecessors are ready.
struct Span {
  enum class Kind : std::uint8_t { kEdges, kSources };
  std::uint32_t begin = 0, end = 0;
  Kind kind = Kind::kEdges;
  [[nodiscard]] std::uint32_t size() const noexcept { return end - begin; }
};

// A unit of theft: some nodes, or one span.
struct Block {
  static constexpr std::uint32_t kNodes = 60;
  Block* next = nullptr;  // while free
  std::uint32_t count = 0;
  Span span;
  std::uint32_t nodes[kNodes];
};

// Memory: what is only offered to others is not when there is none left; make_room,
// push and take throw std::bad_alloc then, and have changed nothing.
//
// Threads: the owner; thieves only use `offered`.
class WorkStack {
 public:
  static constexpr std::uint32_t kRoom = 256;

  WorkStack() = default;
  WorkStack(const WorkStack&) = delete;
  WorkStack& operator=(const WorkStack&) = delete;
  ~WorkStack() {
    while (free_ != nullptr) delete std::exchange(free_, free_->next);
  }

  // Nodes on top of the stack: may be written beyond `count` up to kRoom.
  std::uint32_t nodes[kRoom];
  std::uint32_t count = 0;
  std::vector<Span> spans;
  DequeOf<Block> offered{64};

  [[nodiscard]] bool has_spare() const noexcept { return count > 0 || !spans.empty(); }

  void push(std::uint32_t v) {
    make_room(1);
    nodes[count++] = v;
  }

  // Moves the oldest nodes to the deque until `room` more fit.
  void make_room(std::uint32_t room) {
    if (count + room > kRoom) [[unlikely]]
      offer_oldest(room);
  }

  // Offers the n oldest nodes as one block.  False: there is no memory for that.
  bool offer_nodes(std::uint32_t n) noexcept {
    n = std::min({n, count, Block::kNodes});
    Block* block = new_block();
    if (block == nullptr) return false;
    block->count = n;
    std::copy_n(nodes, n, block->nodes);
    if (!publish(block)) return false;
    drop_oldest(n);
    return true;
  }

  // REQUIRES: n <= count.
  void drop_oldest(std::uint32_t n) noexcept {
    count -= n;
    std::memmove(nodes, nodes + n, count * sizeof(nodes[0]));
  }

  // Offers the back half of the oldest span (all of it if it is short).
  bool offer_span(std::uint32_t shortest) noexcept {
    Span& span = spans.front();
    const bool halved = span.size() >= 2 * shortest;
    const std::uint32_t begin = halved ? span.begin + span.size() / 2 : span.begin;
    Block* block = new_block();
    if (block == nullptr) return false;
    block->count = 0;
    block->span = span;
    block->span.begin = begin;
    if (!publish(block)) return false;
    if (halved) {
      span.end = begin;
    } else {
      spans.erase(spans.begin());
    }
    return true;
  }

  // As much as there is memory for.
  void offer_all() noexcept {
    while (count > 0 && offer_nodes(Block::kNodes)) {
    }
    while (!spans.empty() && offer_span(0xffff'ffff / 2)) {
    }
  }

  // Takes the contents of a block that came from some deque.
  void take(Block* block) {
    if (block->count == 0) {
      spans.push_back(block->span);
    } else {
      make_room(block->count);
      std::copy_n(block->nodes, block->count, nodes + count);
      count += block->count;
    }
    put_away(block);
  }

  // A block that is not used any more.
  void put_away(Block* block) noexcept {
    block->next = free_;
    free_ = block;
  }

 private:
  FASTFLOW_COLD void offer_oldest(std::uint32_t room) {
    while (count + room > kRoom) {
      if (!offer_nodes(Block::kNodes)) throw std::bad_alloc();
    }
  }
  Block* new_block() noexcept {
    if (free_ == nullptr) return new (std::nothrow) Block;
    return std::exchange(free_, free_->next);
  }
  bool publish(Block* block) noexcept {
    if (offered.push(block)) return true;
    put_away(block);
    return false;
  }

  Block* free_ = nullptr;
};

}  // namespace fastflow
