// Memory without a name that processes share: Linux's memfd.  Whoever has the
// descriptor can map it; it is gone when the last descriptor and the last mapping are,
// however their processes end.  Nothing is ever seen in /dev/shm, whose size does not
// matter.
//
// Its size is sealed: nobody can cut it off under a mapping, which would end a process
// that touches it.
//
// Errors are std::system_error, with what was being done.
#pragma once

#if defined(__linux__)

#include <cstddef>
#include <utility>

namespace fastflow {

// Owns a file descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { close(); }

  [[nodiscard]] int get() const noexcept { return fd_; }  // -1: none
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  void close() noexcept;
  // Another descriptor of the same.
  [[nodiscard]] Descriptor duplicate() const;

 private:
  int fd_ = -1;
};

// Owns a range of addresses.
class Mapping {
 public:
  Mapping() = default;
  Mapping(std::byte* data, std::size_t size) noexcept : data_(data), size_(size) {}
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Mapping();

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

enum class Access { kRead, kReadWrite };

[[nodiscard]] std::size_t page_size() noexcept;

// Zeroed memory of `size` bytes; pages are taken when they are first touched.  `name`
// is for /proc/<pid>/maps only.
[[nodiscard]] Descriptor create_memory(const char* name, std::size_t size);

// The size of what is behind a descriptor.
[[nodiscard]] std::size_t memory_size(int fd);

// Takes the pages of the first `size` bytes, zeroed.  Without it a process that touches
// a page for which there is no memory ends; with it, this throws.
void reserve_memory(int fd, std::size_t size);

// Copies into the memory at `offset`.  Half the cost of a copy through a new mapping:
// no page is zeroed before, and none is mapped.
void write_memory(int fd, std::size_t offset, const std::byte* data, std::size_t size);

[[nodiscard]] Mapping map_memory(int fd, std::size_t size, Access access);

// The first `front` bytes, then `rings` times `size` bytes that follow each other in
// the memory, each of them twice in a row: what runs over the end of a ring is at its
// beginning.  All are multiples of the page size.
[[nodiscard]] Mapping map_rings(int fd, std::size_t front, std::size_t size, int rings);

}  // namespace fastflow

#endif
