// SPDX-License-Identifier: Apache-2.0
// The telegram JSON: one writer for `smartmeterctl decode`, MQTT state and `watch --json`.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "meter/quantity.hpp"
#include "meter/reading.hpp"

namespace meter {

inline constexpr std::string_view telegram_profile = "smartmeterd/1";

/// Length of the well-formed UTF-8 sequence at the front (RFC 3629); 0 if there is none.
std::size_t utf8_sequence(std::string_view text) noexcept;

/// Appends JSON to a string that the caller keeps and reuses (no allocation once it has grown).
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) noexcept : out_(out) {}
  JsonWriter& begin_object();
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  JsonWriter& key(std::string_view name);
  JsonWriter& text(std::string_view value);     ///< escaped; invalid UTF-8 becomes U+FFFD
  JsonWriter& hex(Bytes octets);                ///< lower-case hex digits as a string
  JsonWriter& number(const Decimal& value);     ///< plain notation, digits as sent
  JsonWriter& number(std::int64_t value);
  JsonWriter& boolean(bool value);
  JsonWriter& null();

 private:
  void separate();
  std::string& out_;
  bool comma_ = false;  ///< the next value needs a comma first
};

/// What the JSON says besides the telegram itself.
struct TelegramFacts {
  std::string_view meter_id;                   ///< empty: null
  std::optional<std::int64_t> received_us;     ///< host's clock, µs since the epoch; null in decode
  std::uint64_t sequence = 1;
  bool with_registers = true;
  /// `decode` alone: elsewhere the meters behind this one speak for themselves.
  bool with_sub_meters = false;
  /// Seconds since each merged reading arrived that is not from this telegram; may be empty.
  struct Age {
    std::string_view name;
    std::uint64_t seconds;
  };
  std::span<const Age> ages;
};

/// Appends the telegram JSON (no line end) to `out`. `readings` may hold more than the telegram:
/// the merged values of the meter's other lists.
void write_telegram_json(const ReadingSet& telegram, std::span<const NamedReading> readings,
                         const QuantityMap& map, const TelegramFacts& facts, std::string& out);

/// "2026-11-20T11:00:05.481203Z" from microseconds since the epoch; the view is in `buffer`.
std::string_view utc_text(std::int64_t epoch_us, std::span<char, 32> buffer) noexcept;
/// The other way; up to nine digits of a second, of which six count. Nothing for any other form.
std::optional<std::int64_t> parse_utc(std::string_view text) noexcept;

}  // namespace meter
