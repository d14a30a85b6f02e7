// SPDX-License-Identifier: Apache-2.0
// Document: one JSON object as a flat table of its keys, read without the heap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "meter/base/bytes.hpp"
#include "meter/base/errc.hpp"

namespace meter::json {

/// Octets of one message; what meters' gateways send has less than 4 KiB.
inline constexpr std::size_t message_size_max = 64 * 1024;
/// Objects and arrays within each other; whatwatt's report has six.
inline constexpr unsigned depth_max = 16;
/// Keys and elements of arrays of one message; a Glow message with both meters has about 80.
inline constexpr std::size_t node_count_max = 1024;

/// One value of the document. Containers come before what is in them; `nodes[0]` is the root.
struct Node {
  enum class Kind : std::uint8_t {
    object,
    array,
    number,   ///< `text` is the token as it stands in the message, in the grammar of RFC 8259
    text,     ///< `text` without its escapes
    boolean,  ///< `text` is "true" or "false"
    nothing,  ///< null, and what some firmware prints for a missing number: nan, inf
  };
  std::string_view key;  ///< empty for the root and for elements of an array
  std::string_view text;
  std::uint32_t offset = 0;  ///< of the value in the message
  std::uint16_t parent = 0;
  std::uint16_t end = 0;  ///< index behind its last descendant: its next sibling, if it has one
  Kind kind = Kind::nothing;
  bool used = false;  ///< somebody understood it
};

/// Owns every buffer that reading takes. Views live until the next `parse`.
class Document {
 public:
  Document();
  ~Document();
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;

  /// Reads a message: one object, nothing else. Refused: `oversize`, `truncated`, `malformed`
  /// (grammar, UTF-8, a key that stands twice in one object), `nesting_too_deep`,
  /// `too_many_elements`; with the offset in the message. Allocation-free.
  Result<void> parse(Bytes message) noexcept;

  std::span<const Node> nodes() const noexcept;
  const Node& operator[](std::size_t index) const noexcept { return nodes()[index]; }
  /// The child of that name, or 0.
  std::size_t child(std::size_t parent, std::string_view key) const noexcept;
  /// The same along a path: "energy.import.units".
  std::size_t find(std::size_t from, std::string_view path) const noexcept;
  void mark_used(std::size_t index) noexcept;
  /// Writes "report.energy.active", from the root, into `out`; nothing if it does not fit.
  std::string_view write_path(std::size_t index, std::span<char> out) const noexcept;

 private:
  struct Buffers;
  std::unique_ptr<Buffers> buffers_;
};

}  // namespace meter::json
