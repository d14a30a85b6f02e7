// SPDX-License-Identifier: Apache-2.0
// Field, FieldReader: the type-length fields of SML (SML 1.03, 6.3).
#pragma once

#include <cstdint>

#include "meter/base/bytes.hpp"
#include "meter/base/errc.hpp"

namespace meter::sml {

/// Bits 6 to 4 of the first octet.
enum class Type : std::uint8_t {
  octets = 0,
  boolean = 4,
  integer = 5,
  unsigned_integer = 6,
  list = 7
};

/// One field. A list's elements follow it.
struct Field {
  Type type = Type::octets;
  std::uint32_t count = 0;  ///< elements of a list
  Bytes content{};          ///< of everything but a list; big-endian
  /// An octet string of no octets stands for an optional element that was left out.
  bool absent() const noexcept { return type == Type::octets && content.empty(); }
  bool is_integer() const noexcept {
    return (type == Type::integer || type == Type::unsigned_integer) && !content.empty() &&
           content.size() <= integer_size_max;
  }
  /// Meters leave leading octets out, also of a negative number. `is_integer()` only.
  std::uint64_t as_unsigned() const noexcept;
  std::int64_t as_signed() const noexcept;

  static constexpr std::size_t integer_size_max = 8;
};

/// Reads fields in wire order. The first fault is kept, and everything after it reads as absent,
/// so that a decoder asks `ok()` once. Never reads outside its octets, never calls itself.
class FieldReader {
 public:
  /// Octets of one type-length field: enough for 4096 elements or octets, more than a telegram has.
  static constexpr unsigned header_octets_max = 3;

  explicit FieldReader(Bytes octets) noexcept : octets_(octets) {}

  /// The next field; of a list only its head.
  Field next() noexcept;
  /// A list of so many elements is next: false, and a fault, where it is something else.
  bool list(std::uint32_t count) noexcept;
  /// Passes over the next field with everything in it, however deeply nested.
  void skip() noexcept { skip(1); }
  void skip(std::uint32_t fields) noexcept;
  /// 00: the end of a message. A fault where it is something else.
  void end_of_message() noexcept;

  std::size_t offset() const noexcept { return at_; }
  std::size_t remaining() const noexcept { return octets_.size() - at_; }
  bool ok() const noexcept { return !failed_; }
  /// Where `ok()` is false.
  const Fault& fault() const noexcept { return fault_; }
  /// The first counts; the rest of the octets is given up.
  void fail(Errc code, std::size_t offset) noexcept;

 private:
  Bytes octets_;
  std::size_t at_ = 0;
  bool failed_ = false;
  Fault fault_{Errc::malformed, 0};
};

}  // namespace meter::sml
