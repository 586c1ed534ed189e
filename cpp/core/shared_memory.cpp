#include "shared_memory.hpp"

#if defined(__linux__)

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace fastflow {

namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

std::string bytes(std::size_t size) { return std::to_string(size) + " bytes"; }

void map_over(std::byte* at, std::size_t size, int fd, std::size_t offset) {
  void* mapped = mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
                      static_cast<off_t>(offset));
  if (mapped == MAP_FAILED) fail("mapping " + bytes(size) + " of a ring");
}

}  // namespace

void Descriptor::close() noexcept {
  if (fd_ >= 0) ::close(release());
}

Descriptor Descriptor::duplicate() const {
  Descriptor other(fcntl(fd_, F_DUPFD_CLOEXEC, 0));
  if (other.get() < 0) fail("duplicating a descriptor of shared memory");
  return other;
}

Mapping::~Mapping() {
  if (data_ != nullptr) munmap(data_, size_);
}

std::size_t page_size() noexcept {
  static const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

Descriptor create_memory(const char* name, std::size_t size) {
  Descriptor memory(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (memory.get() < 0) fail("creating shared memory (memfd_create)");
  if (ftruncate(memory.get(), static_cast<off_t>(size)) != 0) {
    fail("making shared memory of " + bytes(size));
  }
  if (fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) !=
      0) {
    fail("sealing the size of shared memory");
  }
  return memory;
}

std::size_t memory_size(int fd) {
  struct stat found {};
  if (fstat(fd, &found) != 0) fail("looking at shared memory");
  return static_cast<std::size_t>(found.st_size);
}

void reserve_memory(int fd, std::size_t size) {
  // Each signal begins it anew.  It is a precaution: not for ever.
  for (int attempt = 0; attempt < 10; ++attempt) {
    if (fallocate(fd, 0, 0, static_cast<off_t>(size)) == 0) return;
    if (errno != EINTR) fail("taking " + bytes(size) + " of shared memory");
  }
}

void write_memory(int fd, std::size_t offset, const std::byte* data, std::size_t size) {
  while (size > 0) {
    const ssize_t written = pwrite(fd, data, size, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail("writing " + bytes(size) + " into shared memory");
    const auto n = static_cast<std::size_t>(written);
    data += n;
    offset += n;
    size -= n;
  }
}

Mapping map_memory(int fd, std::size_t size, Access access) {
  const int protection = access == Access::kRead ? PROT_READ : PROT_READ | PROT_WRITE;
  void* mapped = mmap(nullptr, size, protection, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) fail("mapping " + bytes(size) + " of shared memory");
  return {static_cast<std::byte*>(mapped), size};
}

Mapping map_rings(int fd, std::size_t front, std::size_t size, int rings) {
  const std::size_t whole = front + 2 * size * static_cast<std::size_t>(rings);
  void* room = mmap(nullptr, whole, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) fail("taking addresses for " + bytes(whole) + " of rings");
  Mapping mapping(static_cast<std::byte*>(room), whole);
  std::byte* at = mapping.data();
  map_over(at, front, fd, 0);
  at += front;
  for (int ring = 0; ring < rings; ++ring) {
    const std::size_t offset = front + size * static_cast<std::size_t>(ring);
    for (int twice = 0; twice < 2; ++twice, at += size) map_over(at, size, fd, offset);
  }
  return mapping;
}

}  // namespace fastflow

#endif
