// SPDX-License-Identifier: Apache-2.0
// List rules: what is known of each vendor's push lists, as data.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "meter/dlms/axdr.hpp"
#include "meter/dlms/cosem.hpp"

namespace meter::dlms {

/// Powers of ten of a list that sends values without scaler_unit.
struct Scales {
  static constexpr std::int8_t unknown = 127;
  std::int8_t energy = unknown, power = unknown, voltage = unknown, current = unknown,
              power_factor = unknown;
  constexpr std::int8_t of(Magnitude magnitude) const noexcept {
    switch (magnitude) {
      case Magnitude::energy:
        return energy;
      case Magnitude::power:
        return power;
      case Magnitude::voltage:
        return voltage;
      case Magnitude::current:
        return current;
      case Magnitude::power_factor:
        return power_factor;
      case Magnitude::unscaled:
        return 0;
      case Magnitude::other:
        break;
    }
    return unknown;
  }
};

/// How a list begins.
enum class ListStart : std::uint8_t {
  date_time,  ///< a bare date-time
  code,       ///< an OBIS code
  text,       ///< a string
  entry,      ///< a structure per entry
  other,
};
/// How its entries stand.
enum class ListForm : std::uint8_t {
  flat,        ///< code, value, scaler_unit one after the other
  nested,      ///< a structure per entry, with scaler_unit
  pairs,       ///< code, value one after the other; nothing carries a scaler
  attributes,  ///< attribute descriptor, value; nothing carries a scaler
};
/// What extraction saw of a list.
struct ListShape {
  DataTag top = DataTag::structure;
  ListStart start = ListStart::other;
  ListForm form = ListForm::flat;
  std::size_t items = 0;
  std::string_view text;   ///< the first string of the list where it stands first or second
  std::string_view title;  ///< system title, 8 octets; empty when the telegram has none
};

/// A list of codes with values. The first row that fits names the list; its scales are only for
/// values without scaler_unit.
struct ListRule {
  std::string_view name;
  DataTag top;
  ListStart start;
  ListForm form;
  std::size_t items;            ///< of the list; 0: any number
  std::string_view text;        ///< the list's first string starts so; empty: any or none
  std::string_view title;       ///< the system title starts so; empty: any or none
  Obis text_code;               ///< of a first string without a code; Obis{}: no register
  Obis where;                   ///< this register …
  std::string_view where_text;  ///< … is a text that starts so; empty: no such condition
  std::int64_t voltage_above;   ///< some voltage, as sent, is above; 0: no such condition
  Scales scales;
  std::string_view meters;  ///< for people: who sends it

  /// Its conditions on registers are for the caller.
  bool fits(const ListShape& shape) const noexcept {
    return top == shape.top && start == shape.start && form == shape.form &&
           (items == 0 || items == shape.items) && shape.text.starts_with(text) &&
           shape.title.starts_with(title);
  }
  bool has_conditions() const noexcept { return !where_text.empty() || voltage_above != 0; }
};
/// Those with more conditions first.
std::span<const ListRule> list_rules() noexcept;

/// A list that begins with the array of its push-object descriptors, named by group B of its
/// push setup object 0-B:25.9.0.
struct PushObjectRule {
  std::string_view name;
  std::uint8_t channel;  ///< B
  bool wide;             ///< its integers have 64 bits
  Scales scales;
  std::string_view meters;
};
std::span<const PushObjectRule> push_object_rules() noexcept;

/// A tag in a set of tags.
constexpr std::uint64_t tag_bit(DataTag tag) noexcept {
  const auto bit = static_cast<std::uint8_t>(tag);
  return bit < 64 ? std::uint64_t{1} << bit : 0;
}

/// An element of a list without codes.
struct Position {
  enum class Kind : std::uint8_t {
    number,
    text,          ///< a string of printable ASCII
    date_time,     ///< of the years 2000 to 2100
    octets,        ///< an octet string of `size`
    octet_number,  ///< an octet string of `size` that is a number, big-endian
    list,
  };
  std::uint64_t tags;     ///< the types that it may have; null-data: it may have no value
  std::string_view text;  ///< Kind::text: starts so
  Obis obis;              ///< Obis{}: what it means is not known, it is passed over
  Unit unit;
  std::int8_t scale;  ///< or Scales::unknown
  Kind kind;
  std::uint8_t size;

  bool fits(const Element& element) const noexcept;
};

/// One element is the sum of others: a total and its tariffs. Numbers of elements.
struct PositionSum {
  static constexpr std::size_t addends_max = 4;
  std::uint8_t total, count;
  std::uint8_t addends[addends_max];
};

/// A list without codes: a structure in which the place says what a value is.
struct PositionalList {
  static constexpr std::size_t no_id = 255;
  std::string_view name;
  std::string_view meters;  ///< for people: who sends it
  std::string_view title;   ///< as ListRule::title
  std::span<const Position> positions;
  std::span<const PositionSum> sums;
  std::size_t id;                          ///< the element with the meter's id, or no_id
  std::string_view id_prefix;              ///< the id is this and …
  std::size_t id_last;                     ///< … the element's last characters; 0: all of it
  std::optional<std::uint32_t> invoke_id;  ///< long-invoke-id-and-priority of the notification
  bool needs_date_time;                    ///< in the header of the notification
  bool needs_checksum;                     ///< of the link layer
};
/// Those with that many elements. No telegram fits two of them.
std::span<const PositionalList> positional_lists(std::size_t items) noexcept;

/// An attribute of a COSEM class that a push-object list may carry as a reading.
struct PushedAttribute {
  std::uint16_t class_id;
  std::int8_t attribute;
  static constexpr std::int8_t elsewhere = -128;  ///< no attribute of the object
  std::int8_t scaler_attribute;  ///< attribute with its scaler_unit; 0: none needed
};
/// The row of that attribute, or null: the value is no reading.
const PushedAttribute* find_pushed_attribute(std::uint16_t class_id,
                                             std::int8_t attribute) noexcept;

}  // namespace meter::dlms
