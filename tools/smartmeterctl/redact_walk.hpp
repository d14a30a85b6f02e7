// SPDX-License-Identifier: Apache-2.0
// Walk: which frames and telegrams a recording consists of, and what the clear ones say.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "meter/base/bytes.hpp"
#include "meter/base/decimal.hpp"
#include "meter/base/errc.hpp"
#include "meter/date_time.hpp"
#include "meter/obis.hpp"
#include "meter/reading.hpp"

namespace smartmeterctl::redact {

using Octets = std::vector<std::byte>;

/// The received bytes of a recording, and where they were cut when they came.
struct Recording {
  struct Piece {
    std::size_t at = 0, size = 0;
    std::optional<std::chrono::microseconds> time;  ///< since the start
    bool is_after_silence = false;                  ///< nothing goes on from the piece before
  };
  Octets octets;
  std::vector<Piece> pieces;
};

/// One link frame.
struct Frame {
  enum class State : std::uint8_t {
    clear,    ///< of a telegram that was read
    locked,   ///< of one that is encrypted, or whose tag vouches for every octet of it
    unknown,  ///< sound, but of no telegram that was read
  };
  std::size_t at = 0, size = 0;
  meter::Link link = meter::Link::raw;
  State state = State::unknown;
  friend bool operator==(const Frame&, const Frame&) = default;
};

/// One register of a telegram: a copy of Reading and ReadingDetail.
struct Entry {
  meter::Obis obis;
  meter::Reading::Kind kind = meter::Reading::Kind::number;
  meter::Unit unit = meter::Unit::none;
  std::uint8_t sub_meter = 0;
  bool has_scale = true;
  std::string label;
  std::uint64_t storage = 0;
  std::uint32_t tariff = 0;
  meter::Decimal value;  ///< Kind::number
  Octets octets;         ///< every other kind
};

struct Telegram {
  std::vector<std::size_t> frames;  ///< indices into Walk::frames
  meter::Link link = meter::Link::raw;
  /// Signed, not encrypted: everybody can read it, nobody can change it.
  bool is_signed_only = false;
  std::string meter_id, manufacturer, profile;
  meter::Medium medium = meter::Medium::unknown;
  std::optional<meter::DateTime> time;
  std::vector<std::string> sub_meter_ids;
  std::vector<Entry> entries;
};

struct Refusal {
  meter::Errc code;
  std::uint64_t offset;
  friend bool operator==(const Refusal&, const Refusal&) = default;
};

struct Walk {
  std::vector<Frame> frames;
  std::vector<Telegram> telegrams;  ///< those that were read
  std::vector<Refusal> refusals;
  std::uint64_t encrypted = 0;  ///< telegrams
};

/// As `smartmeterctl replay` decodes it, without a key.
Walk walk(const Recording& recording);

/// What a telegram's frames carry, one behind the other, and where each octet stands in the
/// recording: fragments, segments and blocks without what announces them. IEC 62056-21: seven bits
/// of each character, and a line end between identification and data.
struct Content {
  static constexpr std::size_t nowhere = SIZE_MAX;  ///< of what is not in the recording
  Octets octets;
  std::vector<std::size_t> at;
  bool is_application_message = false;  ///< of EN 13757-3, from C on
};
Content content_of(const Recording& recording, const Walk& walk, const Telegram& telegram);

/// Ranges of the recording that belong to no frame, or to a frame of no telegram; what only
/// separates frames is left out.
struct Range {
  std::size_t at = 0, size = 0;
  bool is_frame = false;
};
std::vector<Range> unread_ranges(const Recording& recording, const Walk& walk);

}  // namespace smartmeterctl::redact
