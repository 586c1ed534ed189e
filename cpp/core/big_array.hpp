// BigArray, BigVector: memory for millions of small things.
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
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace fastflow {

// Memory to be given back by std::free.  Throws std::bad_alloc.
inline void* allocate_big(std::size_t bytes) {
  void* memory = nullptr;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  if (bytes >= kHugePage) {
    const std::size_t rounded = (bytes + kHugePage - 1) / kHugePage * kHugePage;
    memory = std::aligned_alloc(kHugePage, rounded);
    // Advice: what comes of it does not matter for what we do.
    if (memory != nullptr) (void)madvise(memory, rounded, MADV_HUGEPAGE);
  }
#endif
  if (memory == nullptr) memory = std::malloc(bytes > 0 ? bytes : 1);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

// The same for a container that grows: std::vector<T, BigAllocator<T>>.
template <class T>
struct BigAllocator {
  using value_type = T;
  BigAllocator() = default;
  template <class U>
  explicit BigAllocator(const BigAllocator<U>&) noexcept {}
  T* allocate(std::size_t n) {
    // NOLINTNEXTLINE(bugprone-sizeof-expression): T may well be a pointer
    return static_cast<T*>(allocate_big(n * sizeof(T)));
  }
  void deallocate(T* memory, std::size_t) noexcept { std::free(memory); }
  bool operator==(const BigAllocator&) const = default;
};

template <class T>
using BigVector = std::vector<T, BigAllocator<T>>;

// A fixed number of them, not initialised.
template <class T>
class BigArray {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  BigArray() = default;
  // Throws std::bad_alloc.
  explicit BigArray(std::size_t n)
      : data_(static_cast<T*>(allocate_big(n * sizeof(T)))), size_(n) {}
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
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace fastflow
