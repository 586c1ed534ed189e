// BlockPool: memory for blocks of one size that come and go in large numbers.
//
// Usage
//   BlockPool pool(128);
//   void* block = pool.take();     // nullptr: there is no memory
//   pool.give(block);
//
// What it is for
//   The first touch of an ordinary page costs half a microsecond and more, on virtual
//   machines 2; with a general allocator, which gives pages back and takes them again,
//   that was a third of what a pending task costs.  Blocks here come from chunks of one
//   huge page each, whose first touch costs a twelfth of that per byte.
//
// Algorithm
//   A chunk begins on a multiple of its size, so a block finds its own by a mask.  In a
//   chunk, blocks that were never used follow `fresh`; those given back are a list
//   through their first word.  The newest is used first, so a pool that holds little
//   touches little.  The first chunk is never given back and asks for no huge page: a
//   program with few blocks pays for those.  Of the others, an empty one is kept as it
//   is for the next rise, and some more are laid aside: their pages are the system's to
//   take when it needs some (MADV_FREE), and as good as touched if it did not.  To
//   touch new ones costs 6 ns for each block, and 250 on a virtual machine whose host
//   has to find the memory first.
//
// Threads
//   None of its own: who calls take and give sees to it that they exclude each other.
//
// Invariants
//   `open_` links exactly the chunks that have a block to take, and the one that is
//   taken from is its first.  used == number of blocks of the chunk that are out.
//   Nothing is known of what stands in a chunk that is laid aside.
//
// AddressSanitizer is told of blocks that were given back: who uses one is found, until
// it is taken again.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

#include "cache_line.hpp"
#include "compiler.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if FASTFLOW_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace fastflow {

class BlockPool {
 public:
  static constexpr std::size_t kChunk = std::size_t{2} << 20;
  // Chunks that are laid aside: where the system can't take their pages, few.
#if defined(__linux__) && defined(MADV_FREE)
  static constexpr std::size_t kAside = 64;
#else
  static constexpr std::size_t kAside = 4;
#endif

  // `size` in bytes, a multiple of 16 and far below a chunk's.
  explicit BlockPool(std::size_t size) noexcept : size_(size) {
    assert(size % 16 == 0 && size > 0 && size <= kChunk / 64);
  }
  ~BlockPool() {
    while (Chunk* chunk = open_) {  // those with blocks that are out stay: these live
      unlink(chunk);
      if (chunk->used == 0) release(chunk);
    }
    while (n_aside_ > 0) release(aside_[--n_aside_]);
  }
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  [[nodiscard]] void* take() noexcept {
    Chunk* chunk = open_;
    if (chunk == nullptr) [[unlikely]] {
      if ((chunk = add_chunk()) == nullptr) return nullptr;
    }
    if (chunk->used++ == 0 && chunk != first_) --spare_;
    if (Free* block = chunk->free; block != nullptr) {
      allow(block, size_);
      chunk->free = block->next;
      if (block->next == nullptr && !has_fresh(chunk)) unlink(chunk);
      return block;
    }
    char* block = std::exchange(chunk->fresh, chunk->fresh + size_);
    if (!has_fresh(chunk)) unlink(chunk);
    return block;
  }

  void give(void* memory) noexcept {
    Chunk* chunk = chunk_of(memory);
    const bool was_full = chunk->free == nullptr && !has_fresh(chunk);
    chunk->free = new (memory) Free{chunk->free};
    forbid(chunk->free + 1, size_ - sizeof(Free));
    if (was_full) link(chunk);
    if (--chunk->used == 0) [[unlikely]]
      emptied(chunk);
  }

  // For tests: in use, or empty and as they are; and laid aside.
  [[nodiscard]] std::size_t chunks() const noexcept { return chunks_; }
  [[nodiscard]] std::size_t aside() const noexcept { return n_aside_; }

 private:
  struct Free {
    Free* next;
  };
  struct Chunk {
    Chunk *before, *after;  // in open_
    Free* free;
    char* fresh;
    std::size_t used;
  };
  static constexpr std::size_t kHeader = 2 * kCacheLine;
  static_assert(sizeof(Chunk) <= kHeader);

  static Chunk* chunk_of(void* block) noexcept {
    return reinterpret_cast<Chunk*>(reinterpret_cast<std::uintptr_t>(block) &
                                    ~(kChunk - 1));
  }
  bool has_fresh(const Chunk* chunk) const noexcept {
    return chunk->fresh + size_ <= reinterpret_cast<const char*>(chunk) + kChunk;
  }

  void link(Chunk* chunk) noexcept {
    chunk->before = nullptr;
    chunk->after = open_;
    if (open_ != nullptr) open_->before = chunk;
    open_ = chunk;
  }
  void unlink(Chunk* chunk) noexcept {
    (chunk->before != nullptr ? chunk->before->after : open_) = chunk->after;
    if (chunk->after != nullptr) chunk->after->before = chunk->before;
  }

  // All blocks are there again: they are taken in order of their addresses from now on.
  static void refresh(Chunk* chunk) noexcept {
    allow(chunk, kChunk);
    chunk->free = nullptr;
    chunk->fresh = reinterpret_cast<char*>(chunk) + kHeader;
  }

#if FASTFLOW_ASAN
  static void forbid(void* memory, std::size_t bytes) noexcept {
    ASAN_POISON_MEMORY_REGION(memory, bytes);
  }
  static void allow(void* memory, std::size_t bytes) noexcept {
    ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
  }
#else
  static void forbid(void*, std::size_t) noexcept {}
  static void allow(void*, std::size_t) noexcept {}
#endif

  void emptied(Chunk* chunk) noexcept {
    refresh(chunk);
    if (chunk == first_ || spare_++ == 0) return;
    --spare_;
    unlink(chunk);
    --chunks_;
    if (n_aside_ == kAside) {
      release(chunk);
      return;
    }
    offer(chunk);
    aside_[n_aside_++] = chunk;
  }

  Chunk* add_chunk() noexcept {
    void* memory = n_aside_ > 0 ? aside_[--n_aside_] : allocate(first_ != nullptr);
    if (memory == nullptr) return nullptr;
    auto* chunk = new (memory) Chunk{};
    refresh(chunk);
    if (first_ == nullptr) {
      first_ = chunk;
    } else {
      ++spare_;
    }
    link(chunk);
    ++chunks_;
    return chunk;
  }

#if defined(__linux__)
  static void* map(std::size_t bytes) noexcept {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? nullptr : memory;
  }
  static void* allocate(bool huge) noexcept {
    // Twice as much, cut at both ends.
    char* memory = static_cast<char*>(map(2 * kChunk));
    if (memory == nullptr) return nullptr;
    char* begin = reinterpret_cast<char*>(chunk_of(memory + kChunk - 1));
    if (begin > memory) munmap(memory, static_cast<std::size_t>(begin - memory));
    char* end = begin + kChunk;
    if (char* last = memory + 2 * kChunk; last > end) {
      munmap(end, static_cast<std::size_t>(last - end));
    }
#if defined(MADV_HUGEPAGE)
    // Advice: what comes of it does not matter for what we do.
    if (huge) (void)madvise(begin, kChunk, MADV_HUGEPAGE);
#endif
    return begin;
  }
  static void release(void* chunk) noexcept { munmap(chunk, kChunk); }
  static void offer([[maybe_unused]] void* chunk) noexcept {
#if defined(MADV_FREE)
    (void)madvise(chunk, kChunk, MADV_FREE);  // or they stay ours: as well
#endif
  }
#else
  static void* allocate(bool) noexcept {
    return ::operator new (kChunk, std::align_val_t{kChunk}, std::nothrow);
  }
  static void release(void* chunk) noexcept {
    ::operator delete (chunk, std::align_val_t{kChunk});
  }
  static void offer(void*) noexcept {}
#endif

  const std::size_t size_;
  Chunk* open_ = nullptr;
  Chunk* first_ = nullptr;
  std::size_t chunks_ = 0;
  std::size_t spare_ = 0;  // of them, but for the first, without a block that is out
  void* aside_[kAside];
  std::size_t n_aside_ = 0;
};

}  // namespace fastflow
