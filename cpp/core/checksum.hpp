// Checksum: 64 bits over bytes, to tell a message that was torn or overwritten from one
// that is whole.  No defence against somebody who means to deceive.
//
// Algorithm
//   Four lanes of 64 bits, so that four multiplications are under way at a time.  A
//   lane takes a word by xor, a multiplication with an odd number and an xor-shift,
//   each of which can be undone.  So a change of one word always changes its lane, and
//   changes of several words cancel out with a probability of 2^-64.  At the end the
//   lanes are folded into one in the same way.  The seed takes the place of the first
//   lanes: equal bytes with another seed have another sum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace fastflow {

namespace detail {

inline std::uint64_t mix(std::uint64_t lane, std::uint64_t word) noexcept {
  constexpr std::uint64_t kOdd = 0xd6e8feb86659fd93;
  lane = (lane ^ word) * kOdd;
  return lane ^ (lane >> 32);
}

inline std::uint64_t word_at(const std::byte* bytes, std::size_t size = 8) noexcept {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, size);
  return word;
}

}  // namespace detail

[[nodiscard]] inline std::uint64_t checksum(const std::byte* bytes, std::size_t size,
                                            std::uint64_t seed) noexcept {
  using detail::mix;
  using detail::word_at;
  std::uint64_t a = seed, b = size, c = ~seed, d = ~b;
  for (; size >= 32; size -= 32, bytes += 32) {
    a = mix(a, word_at(bytes));
    b = mix(b, word_at(bytes + 8));
    c = mix(c, word_at(bytes + 16));
    d = mix(d, word_at(bytes + 24));
  }
  for (; size >= 8; size -= 8, bytes += 8) a = mix(a, word_at(bytes));
  if (size > 0) b = mix(b, word_at(bytes, size));
  return mix(mix(mix(mix(a, b), c), d), 0);
}

}  // namespace fastflow
