// SPDX-License-Identifier: Apache-2.0
// MirroredRing: mapping, and moving its two ends.
#include "daemon/io/mirrored_ring.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <system_error>

namespace smartmeterd::io {

namespace {

[[noreturn]] void fail(const char* what, int error) {
  throw std::system_error(error, std::generic_category(), what);
}

/// Reserves 2 × size addresses, and maps the memory over both halves.
std::byte* map_twice(int fd, std::size_t size) {
  if (ftruncate(fd, static_cast<off_t>(size)) < 0) fail("ftruncate", errno);
  void* reserved = mmap(nullptr, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (reserved == MAP_FAILED) fail("mmap", errno);
  auto* base = static_cast<std::byte*>(reserved);
  for (auto* half : {base, base + size})
    if (mmap(half, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
      const int error = errno;
      munmap(base, 2 * size);
      fail("mmap", error);
    }
  return base;
}

}  // namespace

std::shared_ptr<MirroredRing> MirroredRing::make(std::size_t size) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  size = std::max<std::size_t>(1, (size + page - 1) / page) * page;
  const int fd = memfd_create("receive-ring", MFD_CLOEXEC);
  if (fd < 0) fail("memfd_create", errno);
  try {
    auto* base = map_twice(fd, size);
    ::close(fd);  // the mappings hold the memory
    return std::shared_ptr<MirroredRing>(new MirroredRing(base, size));
  } catch (const std::system_error&) {
    ::close(fd);
    throw;
  }
}

MirroredRing::~MirroredRing() {
  munmap(base_, 2 * size_);
}

void MirroredRing::produced(std::size_t count) noexcept {
  assert(count <= writable().size());
  head_ += count;
}

void MirroredRing::consume(std::size_t count) noexcept {
  assert(count <= readable().size());
  tail_ += count;
}

std::size_t MirroredRing::make_room(std::size_t count) noexcept {
  const auto free = writable().size();
  if (count <= free) return 0;
  const auto lost = std::min(count - free, readable().size());
  tail_ += lost;
  return lost;
}

}  // namespace smartmeterd::io
