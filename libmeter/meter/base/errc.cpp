// SPDX-License-Identifier: Apache-2.0
// Names and sentences of Errc, in one table.
#include "meter/base/errc.hpp"

#include <array>
#include <utility>

namespace meter {
namespace {

struct Words {
  std::string_view name;
  std::string_view description;
};

constexpr std::array<Words, errc_count> words = {{
    {"bad-checksum", "the checksum does not match: bytes were damaged on the line"},
    {"bad-length", "the length field does not fit the frame"},
    {"line-noise", "the bytes belong to no known frame"},
    {"silence", "the frame was cut: the line went silent in the middle of it"},
    {"lost-fragment", "a part of the telegram is missing or came out of order"},
    {"oversize", "the telegram is longer than any meter sends"},
    {"unsupported-suite", "the telegram uses a security suite that is not supported"},
    {"unsupported-compression", "the telegram is compressed (V.44), which is not supported"},
    {"unsupported-apdu", "the frame carries something other than a meter's push telegram"},
    {"key-missing", "the telegram is encrypted, and no key is configured for this meter"},
    {"key-wrong", "the telegram is encrypted, and no configured key fits it"},
    {"authentication-key-wrong",
     "the encryption key fits, but the authentication key does not verify the telegram"},
    {"bad-tag", "the authentication tag does not verify: the telegram was altered or damaged"},
    {"tag-missing", "the telegram is less protected than this meter's telegrams were before"},
    {"replayed", "the invocation counter went back: an old telegram, or a replaced meter"},
    {"duplicate", "the same telegram again"},
    {"truncated", "the telegram ends too early"},
    {"malformed", "the telegram contradicts its own structure"},
    {"nesting-too-deep", "the telegram is nested deeper than any meter's"},
    {"too-many-elements", "the telegram has more elements than any meter's"},
    {"device-error", "the meter refuses to be read: it answered with an error code"},
    {"list-unknown", "the telegram was decoded, but the meaning of its list is not known"},
}};

}  // namespace

std::string_view name(Errc code) noexcept { return words[std::to_underlying(code)].name; }
std::string_view describe(Errc code) noexcept {
  return words[std::to_underlying(code)].description;
}

}  // namespace meter
