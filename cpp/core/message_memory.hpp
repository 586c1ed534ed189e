// MessageMemory: where the messages of a ring lie in a mapping, which has the ring
// twice in a row, so that each message is in one piece.
#pragma once

#include <cstdint>
#include <cstring>

#include "checksum.hpp"
#include "ring.hpp"

namespace fastflow {

class MessageMemory {
 public:
  MessageMemory(std::byte* ring, Position capacity) noexcept
      : ring_(ring), mask_(capacity - 1) {}

  [[nodiscard]] Position capacity() const noexcept { return mask_ + 1; }

  [[nodiscard]] atomic<std::uint64_t>& claim(Position position) const noexcept {
    return *reinterpret_cast<atomic<std::uint64_t>*>(at(position));
  }
  void put(Position position, const std::byte* payload, std::size_t length) noexcept {
    std::byte* message = at(position);
    const std::uint64_t size = length;
    const std::uint64_t sum = checksum(payload, length, position);
    std::memcpy(message + kLength, &size, sizeof size);
    std::memcpy(message + kSum, &sum, sizeof sum);
    if (length > 0) std::memcpy(message + RingMessage::kHeader, payload, length);
  }
  [[nodiscard]] std::size_t length(Position position) const noexcept {
    return detail::word_at(at(position) + kLength);
  }
  [[nodiscard]] bool intact(Position position, std::size_t length) const noexcept {
    return detail::word_at(at(position) + kSum) ==
           checksum(payload(position), length, position);
  }
  [[nodiscard]] const std::byte* payload(Position position) const noexcept {
    return at(position) + RingMessage::kHeader;
  }

 private:
  static constexpr std::size_t kLength = 8, kSum = 16;
  static_assert(sizeof(atomic<std::uint64_t>) == 8);
  static_assert(atomic<std::uint64_t>::is_always_lock_free);

  [[nodiscard]] std::byte* at(Position position) const noexcept {
    return ring_ + (position & mask_);
  }

  std::byte* ring_;
  Position mask_;
};

}  // namespace fastflow
