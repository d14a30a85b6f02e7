// SPDX-License-Identifier: Apache-2.0
// Reading, ReadingSet: what one telegram said, register by register.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "meter/base/bytes.hpp"
#include "meter/base/decimal.hpp"
#include "meter/base/inline_vector.hpp"
#include "meter/date_time.hpp"
#include "meter/obis.hpp"
#include "meter/unit.hpp"

namespace meter {

/// One register of a telegram, as the meter sent it (value after its own scaler).
/// Text and date-time are views into the decoder's buffers: valid until its next call.
class Reading {
 public:
  enum class Kind : std::uint8_t { number, text, octets, date_time };
  enum Flag : std::uint8_t {
    scale_unknown = 1,  ///< no scaler is known: keep the register, make no reading of it
    implied_obis = 2,   ///< the telegram has no code here; the list's rule supplied it
  };

  static Reading number(Obis obis, Decimal value, Unit unit, std::uint8_t flags = 0) noexcept {
    Reading r(obis, Kind::number, unit, flags);
    r.exponent_ = value.exponent;
    r.payload_.mantissa = value.mantissa;
    return r;
  }
  /// `octets` is text when every octet is printable ASCII, else `Kind::octets`.
  static Reading from_octets(Obis obis, Bytes octets, std::uint8_t flags = 0) noexcept;
  static Reading text(Obis obis, std::string_view text, std::uint8_t flags = 0) noexcept {
    return with_octets(obis, Kind::text, bytes_of(text), flags);
  }
  /// Octets that stand for no text, printable or not.
  static Reading octets(Obis obis, Bytes octets, std::uint8_t flags = 0) noexcept {
    return with_octets(obis, Kind::octets, octets, flags);
  }
  /// 12 octets of a COSEM date-time, the 13 characters of a P1 time stamp, or 2, 4 or 6 octets of
  /// M-Bus.
  static Reading date_time(Obis obis, Bytes octets, std::uint8_t flags = 0) noexcept {
    return with_octets(obis, Kind::date_time, octets, flags);
  }

  /// The same register, read on behalf of the meter behind: see ReadingSet::sub_meters.
  Reading of_sub_meter(std::uint8_t number) const noexcept {
    Reading r = *this;
    r.sub_meter_ = number;
    return r;
  }

  void set_sub_meter(std::uint8_t number) noexcept { sub_meter_ = number; }

  /// `Obis{}`: the source has no code for it; its `ReadingDetail` says what it is.
  Obis obis() const noexcept { return obis_; }
  /// Whose value it is: 0 this meter's, n that of `ReadingSet::sub_meters[n - 1]`.
  std::uint8_t sub_meter() const noexcept { return sub_meter_; }
  Kind kind() const noexcept { return kind_; }
  Unit unit() const noexcept { return unit_; }
  bool has(Flag flag) const noexcept { return (flags_ & flag) != 0; }
  /// Kind::number only.
  Decimal value() const noexcept { return {payload_.mantissa, exponent_}; }
  /// Every kind but number: the octets as sent.
  Bytes octets() const noexcept { return {payload_.octets, octet_count_}; }
  std::string_view text() const noexcept { return text_of(octets()); }
  /// Kind::date_time only.
  std::optional<DateTime> date_time() const noexcept;

 private:
  Reading(Obis obis, Kind kind, Unit unit, std::uint8_t flags) noexcept
      : obis_(obis), unit_(unit), kind_(kind), flags_(flags) {}
  static Reading with_octets(Obis obis, Kind kind, Bytes octets, std::uint8_t flags) noexcept {
    Reading r(obis, kind, Unit::none, flags);
    r.octet_count_ = static_cast<std::uint16_t>(octets.size());
    r.payload_.octets = octets.data();
    return r;
  }
  Obis obis_;
  Unit unit_;
  Kind kind_;
  std::int8_t exponent_ = 0;
  std::uint8_t flags_;
  std::uint16_t octet_count_ = 0;
  std::uint8_t sub_meter_ = 0;
  union {
    std::int64_t mantissa;
    const std::byte* octets;
  } payload_{};
};
static_assert(sizeof(Reading) == 24);

/// What a source says of a value besides an OBIS code, or instead of one: records of EN 13757-3,
/// fields of JSON.
struct ReadingDetail {
  enum class Function : std::uint8_t { instantaneous, maximum, minimum, at_error };
  /// What the source calls it: "volume flow", "elecMtr.0702.0400". Static text, or a view as long
  /// as the ReadingSet's.
  std::string_view label;
  std::uint64_t storage = 0;  ///< storage number: 0 the current value
  std::uint32_t tariff = 0;
  std::uint16_t subunit = 0;
  Function function = Function::instantaneous;
  bool is_record = false;  ///< storage, tariff, subunit and function were sent (EN 13757-3)
};
std::string_view name(ReadingDetail::Function function) noexcept;

/// What a meter measures: the device types of EN 13757-3 (table 6), as sent.
enum class Medium : std::uint8_t {
  other = 0x00, oil = 0x01, electricity = 0x02, gas = 0x03, heat = 0x04, steam = 0x05,
  warm_water = 0x06, water = 0x07, heat_cost = 0x08, compressed_air = 0x09,
  cooling_outlet = 0x0a, cooling_inlet = 0x0b, heat_inlet = 0x0c, heat_cooling = 0x0d,
  system = 0x0e, unknown = 0x0f, hot_water = 0x15, cold_water = 0x16, dual_water = 0x17,
  pressure = 0x18, waste_water = 0x28,
};
/// "electricity", "gas", "heat", "cooling", "water", "warm-water", …; "other" where there is none.
std::string_view name(Medium medium) noexcept;

/// How a telegram reached us; the names are the `link` values of the telegram JSON.
enum class Link : std::uint8_t {
  mbus, hdlc, raw, p1, sml, iec62056_21, mbus_master, amis, glow, gplug, whatwatt, datacollector,
};
std::string_view name(Link link) noexcept;
std::optional<Link> link_from_name(std::string_view name) noexcept;

/// What is known of a telegram's origin.
enum class Authentication : std::uint8_t {
  clear,       ///< not encrypted
  unverified,  ///< encrypted, but no tag, or no authentication key for it
  verified,    ///< the GCM tag was checked and is right
};

using SystemTitle = std::array<std::byte, 8>;  ///< 3 letters of the manufacturer, 5 octets
/// "KFM (system title 4B464D6750000009)" or, where it begins with no letters, "with system
/// title …": for sentences about a meter.
std::string describe(const SystemTitle& title);
using MeterId = InlineText<64>;

/// A meter behind the one that sent the telegram: gas, water, heat on its M-Bus.
struct SubMeter {
  MeterId id;                ///< equipment id; empty: not known yet
  Medium medium = Medium::unknown;
  std::uint8_t channel = 0;  ///< group B of its codes
};

/// Everything one telegram said. Owned by the decoder and reused: valid until its next call.
struct ReadingSet {
  /// More registers than any known push list carries (Kamstrup DK: 32, eMUCS P1: about 60;
  /// wired M-Bus with history over 200).
  static constexpr std::size_t readings_max = 256;
  /// Channels of an electricity meter's M-Bus: four in all national documents, eight in some.
  static constexpr std::size_t sub_meters_max = 16;

  InlineVector<Reading, readings_max> readings;
  /// One for each reading, or empty.
  InlineVector<ReadingDetail, readings_max> details;
  /// Their values are in `readings` too: `sub_meter_telegram` picks one's out.
  InlineVector<SubMeter, sub_meters_max> sub_meters;
  Medium medium = Medium::electricity;
  /// What readings and labels point to where the source sends it in another order (texts of
  /// EN 13757-3 come last character first). As much as one frame can hold, and labels.
  InlineVector<std::byte, 1024> reordered;
  MeterId meter_id;               ///< empty: the telegram names no meter
  InlineText<3> manufacturer;     ///< "KAM" (EN 13757-3); empty: not sent
  bool meter_id_is_title = false; ///< only the system title was there: a better id may come
  std::optional<DateTime> time;   ///< the meter's clock; nothing if it sent none
  /// Minutes east of Greenwich of the meter's standard time, where its clock tells summer from
  /// winter and no offset (P1): `time` has it already, for date-times of `readings` see `time_of`.
  std::optional<std::int16_t> standard_offset_min;
  Link link = Link::raw;
  Authentication authentication = Authentication::clear;
  std::optional<SystemTitle> system_title;   ///< of an encrypted telegram
  std::uint32_t invocation_counter = 0;      ///< of an encrypted telegram
  std::string_view profile;                  ///< name of the list rule that matched; static text

  /// The reading's date-time with the offset that is known.
  std::optional<DateTime> time_of(const Reading& reading) const noexcept;
  void clear() noexcept;
};

/// The telegram of one meter behind this one: `out` gets the values of `sub_meters[index]`, its id
/// ("<parent>-<channel>" while it has none) and its medium; time, link and security facts are
/// the parent's. An electricity meter's 24.2.1 becomes 1-0:1.8.0. Views point where `telegram`'s
/// do.
void sub_meter_telegram(const ReadingSet& telegram, std::size_t index, ReadingSet& out) noexcept;

}  // namespace meter
