// SPDX-License-Identifier: Apache-2.0
// MirroredRing: a receive ring whose content is always one contiguous view.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "meter/base/bytes.hpp"

namespace smartmeterd::io {

/// A ring of pages mapped twice in a row (memfd, closed after mapping), so that neither the
/// kernel's write nor the decoder's view ever wraps. Held by shared_ptr: a pending READ keeps it.
class MirroredRing {
 public:
  /// Two of the longest telegrams (Decoder::buffer_size_min): one is read, the next one arrives.
  static constexpr std::size_t size_default = 32 * 1024;

  /// `size` is rounded up to pages. Throws std::system_error.
  static std::shared_ptr<MirroredRing> make(std::size_t size = size_default);
  ~MirroredRing();
  MirroredRing(const MirroredRing&) = delete;
  MirroredRing& operator=(const MirroredRing&) = delete;

  std::size_t size() const noexcept { return size_; }
  /// What was received and not consumed; valid until the next non-const call.
  meter::Bytes readable() const noexcept {
    return {base_ + static_cast<std::size_t>(tail_ % size_),
            static_cast<std::size_t>(head_ - tail_)};
  }
  /// Where the next READ may write; at most size() bytes, empty when the ring is full.
  std::span<std::byte> writable() noexcept {
    return {base_ + static_cast<std::size_t>(head_ % size_),
            size_ - static_cast<std::size_t>(head_ - tail_)};
  }
  /// The READ wrote `count` bytes at the front of `writable()`.
  void produced(std::size_t count) noexcept;
  /// Drops `count` bytes at the front of `readable()`.
  void consume(std::size_t count) noexcept;
  void clear() noexcept { tail_ = head_; }
  /// A full ring drops its oldest bytes to make `count` free; returns how many were lost.
  std::size_t make_room(std::size_t count) noexcept;
  /// Bytes ever received.
  std::uint64_t total() const noexcept { return head_; }

 private:
  MirroredRing(std::byte* base, std::size_t size) noexcept : base_(base), size_(size) {}
  std::byte* base_;
  std::size_t size_;
  std::uint64_t head_ = 0;
  std::uint64_t tail_ = 0;
};

}  // namespace smartmeterd::io
