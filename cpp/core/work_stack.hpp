// What a participant of a GraphRun has to do: node numbers and ranges, private to it,
// and blocks of them for others to take.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <cstring>
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

  // Offers the n oldest nodes as one block.
  void offer_nodes(std::uint32_t n) {
    n = std::min({n, count, Block::kNodes});
    Block* block = new_block();
    block->count = n;
    std::copy_n(nodes, n, block->nodes);
    drop_oldest(n);
    offered.push(block);
  }

  // REQUIRES: n <= count.
  void drop_oldest(std::uint32_t n) noexcept {
    count -= n;
    std::memmove(nodes, nodes + n, count * sizeof(nodes[0]));
  }

  // Offers the back half of the oldest span (all of it if it is short).
  void offer_span(std::uint32_t shortest) {
    Span& span = spans.front();
    Block* block = new_block();
    block->count = 0;
    block->span = span;
    if (span.size() >= 2 * shortest) {
      block->span.begin = span.begin + span.size() / 2;
      span.end = block->span.begin;
    } else {
      spans.erase(spans.begin());
    }
    offered.push(block);
  }

  void offer_all() {
    while (count > 0) offer_nodes(Block::kNodes);
    while (!spans.empty()) offer_span(0xffff'ffff / 2);
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
    block->next = free_;
    free_ = block;
  }

 private:
  FASTFLOW_COLD void offer_oldest(std::uint32_t room) {
    while (count + room > kRoom) offer_nodes(Block::kNodes);
  }
  Block* new_block() {
    if (free_ == nullptr) return new Block;
    return std::exchange(free_, free_->next);
  }

  Block* free_ = nullptr;
};

}  // namespace fastflow
