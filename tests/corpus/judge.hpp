// SPDX-License-Identifier: Apache-2.0
// decode(), judge(): a capture through the whole chain, and what became of it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "meter/base/errc.hpp"
#include "tests/corpus/match.hpp"
#include "tests/corpus/sample.hpp"

namespace meter::corpus {

/// What became of a sample.
enum class Outcome : std::uint8_t {
  right,        ///< as its source published
  reference,    ///< nothing published; as another decoder says
  decoded,      ///< nothing published, nothing to compare with
  rejected,     ///< as it must be
  damaged,      ///< its checksum is wrong, or a part is missing: rightly refused
  locked,       ///< encrypted, and its key is not known: no telegram, and the reason is said
  unreadable,   ///< for people: comments between the octets, parts made unreadable
  not_decoded,  ///< has its reason in the corpus test
  wrong,
};
inline constexpr std::array<std::string_view, 9> outcome_names = {
    "right", "as reference", "decoded", "rejected", "damaged", "no key", "not for machines",
    "not decoded", "wrong"};

/// A telegram as it was received, with its link frames.
struct Raw {
  Link link = Link::raw;
  std::vector<std::byte> frames;
  friend bool operator==(const Raw&, const Raw&) = default;
};

struct Decoded {
  std::vector<Telegram> telegrams;
  std::vector<Raw> raw;  ///< of each telegram; none of JSON
  std::vector<std::uint64_t> refusals;  ///< by Errc
  std::uint64_t refused(Errc code) const { return refusals[static_cast<std::size_t>(code)]; }
};
/// `next_piece` says how many octets come next.
Decoded decode(const Sample& sample, const std::function<std::size_t()>& next_piece);
Decoded decode_whole(const Sample& sample);

/// What another decoder with the sample's keys makes of one telegram alone.
Decoded decode_again(const Sample& sample, const Raw& raw);

/// What is wrong goes to `why`.
Outcome judge(const Sample& sample, const Decoded& decoded, std::string& why);

}  // namespace meter::corpus
