// SPDX-License-Identifier: Apache-2.0
// Errc, Fault, Result: how a stage says that it could not do its work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string_view>

namespace meter {

/// Why bytes were refused. One counter per value; names by `name()`, sentences by `describe()`.
enum class Errc : std::uint8_t {
  // link layer
  bad_checksum,      ///< checksum, HCS or FCS does not match
  bad_length,        ///< length field impossible or contradicted by the frame's end
  line_noise,        ///< bytes that belong to no frame
  silence,           ///< a half-received frame was dropped because nothing followed
  // reassembly
  lost_fragment,     ///< a segment or block is missing, or they came out of order
  oversize,          ///< a limit of the implementation was exceeded
  // ciphering
  unsupported_suite,        ///< security suite id is not 0, 1 or 2
  unsupported_compression,  ///< security control bit 7 (V.44)
  unsupported_apdu,         ///< an APDU tag that no decoder handles
  key_missing,              ///< no key is configured for this system title
  key_wrong,                ///< no configured encryption key yields a plausible plaintext
  authentication_key_wrong, ///< plaintext is right, but no authentication key verifies the tag
  bad_tag,                  ///< the tag failed with a key that verified earlier telegrams
  tag_missing,              ///< no verified tag, although this meter's telegrams had one before
  replayed,                 ///< the invocation counter went back
  duplicate,                ///< the same telegram again: ignored, not an error to the user
  // content
  truncated,         ///< the content ends before its own structure does
  malformed,         ///< the content contradicts its own structure
  nesting_too_deep,  ///< A-XDR nesting beyond the limit
  too_many_elements, ///< more elements or readings than the limit
  device_error,      ///< the meter answers that it cannot do what it was asked for
  list_unknown,      ///< decoded, but no rule knows what the values mean
};
inline constexpr std::size_t errc_count = static_cast<std::size_t>(Errc::list_unknown) + 1;

/// Stable name in kebab-case ("bad-checksum"): journal, explain output, MQTT health.
std::string_view name(Errc code) noexcept;
/// One sentence for a person, without a full stop.
std::string_view describe(Errc code) noexcept;

/// A refusal: why, and at which byte of the stage's input.
struct Fault {
  Errc code;
  std::uint32_t offset = 0;  ///< bytes from the start of what the stage was given
  friend constexpr bool operator==(const Fault&, const Fault&) = default;
};

template <class T>
using Result = std::expected<T, Fault>;

/// `return fault(Errc::truncated, at);`
constexpr std::unexpected<Fault> fault(Errc code, std::size_t offset = 0) noexcept {
  return std::unexpected(Fault{code, static_cast<std::uint32_t>(offset)});
}

}  // namespace meter
