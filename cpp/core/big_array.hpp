// BigArray: memory for millions of small numbers, not initialised.
//
// Large ones ask the system for huge pages: the first touch of an ordinary page costs
// as much as writing it several times over, and random accesses to millions of numbers
// miss the processor's table of pages.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>
#include <type_traits>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace fastflow {

template <class T>
class BigArray {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  BigArray() = default;
  // Throws std::bad_alloc.
  explicit BigArray(std::size_t n) : data_(allocate(n * sizeof(T))), size_(n) {}
  BigArray(BigArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  BigArray& operator=(BigArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~BigArray() { std::free(data_); }

  [[nodiscard]] T* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return size_ * sizeof(T); }
  T& operator[](std::size_t i) const noexcept { return data_[i]; }

 private:
  static constexpr std::size_t kHugePage = std::size_t{2} << 20;

  static T* allocate(std::size_t bytes) {
    void* memory = nullptr;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (bytes >= 2 * kHugePage) {
      const std::size_t rounded = (bytes + kHugePage - 1) / kHugePage * kHugePage;
      memory = std::aligned_alloc(kHugePage, rounded);
      // Advice: what comes of it does not matter for what we do.
      if (memory != nullptr) (void)madvise(memory, bytes, MADV_HUGEPAGE);
    }
#endif
    if (memory == nullptr) memory = std::malloc(bytes > 0 ? bytes : 1);
    if (memory == nullptr) throw std::bad_alloc();
    return static_cast<T*>(memory);
  }

  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace fastflow
