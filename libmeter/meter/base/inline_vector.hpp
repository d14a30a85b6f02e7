// SPDX-License-Identifier: Apache-2.0
// InlineVector, InlineText: fixed capacity, no heap.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstring>
#include <new>
#include <string_view>
#include <type_traits>

namespace meter {

/// A vector with its storage inside. `push_back` refuses when full; elements beyond size are
/// never initialised, so that clearing costs nothing.
template <class T, std::size_t Capacity>
class InlineVector {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  static constexpr std::size_t capacity = Capacity;
  InlineVector() noexcept {}
  InlineVector(const InlineVector& other) noexcept { *this = other; }
  InlineVector& operator=(const InlineVector& other) noexcept {
    if (this == &other) return *this;
    size_ = other.size_;
    std::memcpy(storage_, other.storage_, size_ * sizeof(T));
    return *this;
  }

  /// False, and nothing changed, when full.
  [[nodiscard]] bool push_back(const T& value) noexcept {
    if (size_ == Capacity) return false;
    std::memcpy(storage_ + size_ * sizeof(T), &value, sizeof(T));
    ++size_;
    return true;
  }
  /// As push_back(make()), but made in its place: no copy, and no stall of a store that is read
  /// back at another width.
  template <class Make>
  [[nodiscard]] bool push_back_made(Make make) noexcept {
    if (size_ == Capacity) return false;
    new (storage_ + size_ * sizeof(T)) T(make());
    ++size_;
    return true;
  }
  void clear() noexcept { size_ = 0; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  bool full() const noexcept { return size_ == Capacity; }
  T* data() noexcept { return reinterpret_cast<T*>(storage_); }
  const T* data() const noexcept { return reinterpret_cast<const T*>(storage_); }
  T& operator[](std::size_t i) noexcept {
    assert(i < size_);
    return data()[i];
  }
  const T& operator[](std::size_t i) const noexcept {
    assert(i < size_);
    return data()[i];
  }
  T* begin() noexcept { return data(); }
  T* end() noexcept { return data() + size_; }
  const T* begin() const noexcept { return data(); }
  const T* end() const noexcept { return data() + size_; }
  T& back() noexcept { return (*this)[size_ - 1]; }
  const T& back() const noexcept { return (*this)[size_ - 1]; }

 private:
  std::size_t size_ = 0;
  alignas(T) std::byte storage_[Capacity * sizeof(T)];
};

/// Text with its storage inside; longer text is refused, never cut.
template <std::size_t Capacity>
class InlineText {
  static_assert(Capacity < 256);

 public:
  static constexpr std::size_t capacity = Capacity;
  constexpr InlineText() noexcept = default;
  /// Empty when the text does not fit.
  explicit InlineText(std::string_view text) noexcept { (void)assign(text); }
  [[nodiscard]] bool assign(std::string_view text) noexcept {
    if (text.size() > Capacity) return false;
    if (!text.empty()) std::memcpy(text_.data(), text.data(), text.size());
    size_ = static_cast<unsigned char>(text.size());
    return true;
  }
  void clear() noexcept { size_ = 0; }
  bool empty() const noexcept { return size_ == 0; }
  std::string_view view() const noexcept { return {text_.data(), size_}; }
  friend bool operator==(const InlineText& a, const InlineText& b) noexcept {
    return a.view() == b.view();
  }

 private:
  std::array<char, Capacity> text_{};
  unsigned char size_ = 0;
};

}  // namespace meter
