#include "block_pool.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <set>
#include <vector>

using fastflow::BlockPool;

namespace {

constexpr std::size_t kSize = 128;
constexpr std::size_t kPerChunk = BlockPool::kChunk / kSize;

}  // namespace

TEST_CASE("blocks are apart, and keep what is written there") {
  BlockPool pool(48);
  std::vector<unsigned char*> blocks;
  for (int i = 0; i < 1000; ++i) {
    auto* block = static_cast<unsigned char*>(pool.take());
    REQUIRE(block != nullptr);
    CHECK(reinterpret_cast<std::uintptr_t>(block) % 16 == 0);
    std::memset(block, i % 251, 48);
    blocks.push_back(block);
  }
  for (int i = 0; i < 1000; ++i) {
    const unsigned char* block = blocks[static_cast<std::size_t>(i)];
    CHECK(std::all_of(block, block + 48, [i](int byte) { return byte == i % 251; }));
  }
  for (unsigned char* block : blocks) pool.give(block);
}

TEST_CASE("what was given back last is taken first") {
  BlockPool pool(kSize);
  void* first = pool.take();
  void* second = pool.take();
  pool.give(first);
  CHECK(pool.take() == first);
  pool.give(second);
  pool.give(first);
  CHECK(pool.take() == first);  // in order of the addresses, as all were there
}

TEST_CASE("empty chunks are laid aside, but for two, and taken from there") {
  BlockPool pool(kSize);
  std::vector<void*> blocks;
  for (int round = 0; round < 2; ++round) {
    for (std::size_t i = 0; i < 5 * kPerChunk; ++i) {
      blocks.push_back(pool.take());
      std::memset(blocks.back(), round, kSize);
    }
    CHECK(pool.chunks() == 6);  // each has a header
    CHECK(pool.aside() == 0);
    for (void* block : blocks) {
      CHECK(*static_cast<char*>(block) == round);
      pool.give(block);
    }
    CHECK(pool.chunks() == 2);
    CHECK(pool.aside() == 4);
    blocks.clear();
  }
  for (std::size_t i = 0; i < kPerChunk; ++i) blocks.push_back(pool.take());
  CHECK(pool.chunks() == 2);
  CHECK(pool.aside() == 4);
  for (void* block : blocks) pool.give(block);
}

TEST_CASE("of very many chunks, most go back") {
  BlockPool pool(1 << 14);
  std::vector<void*> blocks;
  while (pool.chunks() < BlockPool::kAside + 9) blocks.push_back(pool.take());
  for (void* block : blocks) pool.give(block);
  CHECK(pool.chunks() == 2);
  CHECK(pool.aside() == BlockPool::kAside);
}

TEST_CASE("random orders: no block is out twice") {
  std::mt19937_64 random(7);
  BlockPool pool(kSize);
  std::vector<void*> out;
  std::set<void*> there;
  const auto take = [&] {
    void* block = pool.take();
    REQUIRE(block != nullptr);
    REQUIRE(there.insert(block).second);
    out.push_back(block);
  };
  const auto give = [&] {
    std::swap(out[random() % out.size()], out.back());
    there.erase(out.back());
    pool.give(out.back());
    out.pop_back();
  };
  for (int round = 0; round < 6; ++round) {
    const std::size_t top = kPerChunk * (1 + random() % 3);
    while (out.size() < top) random() % 4 == 0 && !out.empty() ? give() : take();
    const std::size_t bottom = random() % 2 == 0 ? 0 : random() % kPerChunk;
    while (out.size() > bottom) random() % 4 == 0 ? take() : give();
  }
  while (!out.empty()) give();
  CHECK(pool.chunks() <= 2);
}
