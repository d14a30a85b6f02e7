// SPDX-License-Identifier: Apache-2.0
// Type-length fields: one to three octets of head, then content or elements.
#include "meter/sml/fields.hpp"

namespace meter::sml {
namespace {

constexpr unsigned more_follows = 0x80;
constexpr unsigned length_bits = 4;

}  // namespace

std::uint64_t Field::as_unsigned() const noexcept {
  std::uint64_t value = 0;
  for (const std::byte octet : content) value = value << 8 | u8(octet);
  return value;
}

std::int64_t Field::as_signed() const noexcept {
  const unsigned unused = static_cast<unsigned>(64 - 8 * content.size());
  return static_cast<std::int64_t>(as_unsigned() << unused) >> unused;
}

void FieldReader::fail(Errc code, std::size_t offset) noexcept {
  if (!failed_) fault_ = {code, static_cast<std::uint32_t>(offset)};
  failed_ = true;
  at_ = octets_.size();
}

Field FieldReader::next() noexcept {
  const std::size_t begin = at_;
  std::uint32_t length = 0;
  unsigned head_size = 0;
  unsigned octet = 0;
  Type type = Type::octets;
  do {
    if (at_ == octets_.size()) return fail(Errc::truncated, at_), Field{};
    if (head_size == header_octets_max) return fail(Errc::oversize, begin), Field{};
    octet = u8(octets_[at_++]);
    if (head_size++ == 0) type = static_cast<Type>(octet >> length_bits & 7);
    length = length << length_bits | (octet & 0x0f);
  } while ((octet & more_follows) != 0);
  if (type == Type::list) {
    // An element has an octet at least.
    if (length > remaining()) return fail(Errc::truncated, begin), Field{};
    return {.type = type, .count = length};
  }
  // The length counts its own octets. Types 1 to 3 are reserved; a zero is the end of a message.
  if (length < head_size || (type > Type::octets && type < Type::boolean))
    return fail(Errc::malformed, begin), Field{};
  length -= head_size;
  if (length > remaining()) return fail(Errc::truncated, begin), Field{};
  const Field field{.type = type, .content = octets_.subspan(at_, length)};
  at_ += length;
  return field;
}

bool FieldReader::list(std::uint32_t count) noexcept {
  const std::size_t begin = at_;
  const Field field = next();
  if (ok() && (field.type != Type::list || field.count != count)) fail(Errc::malformed, begin);
  return ok();
}

void FieldReader::skip(std::uint32_t fields) noexcept {
  // Elements that are still to come; every one of them has an octet at least.
  for (std::size_t pending = fields; pending > 0 && ok(); --pending) {
    const std::size_t begin = at_;
    pending += next().count;
    if (pending > remaining() + 1) fail(Errc::truncated, begin);
  }
}

void FieldReader::end_of_message() noexcept {
  if (remaining() == 0) return fail(Errc::truncated, at_);
  if (u8(octets_[at_]) != 0) return fail(Errc::malformed, at_);
  ++at_;
}

}  // namespace meter::sml
