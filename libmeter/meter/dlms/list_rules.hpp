// SPDX-License-Identifier: Apache-2.0
// List rules: what is known of each vendor's push lists, as data.
#pragma once

#include <cstdint>
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
  flat,    ///< code, value, scaler_unit one after the other
  nested,  ///< a structure per entry, with scaler_unit
  pairs,   ///< code, value one after the other; nothing carries a scaler
};
/// What extraction saw of a list.
struct ListShape {
  DataTag top = DataTag::structure;
  ListStart start = ListStart::other;
  ListForm form = ListForm::flat;
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
  std::string_view text;   ///< the list's first string starts so; empty: any or none
  std::string_view title;  ///< the system title starts so; empty: any or none
  Scales scales;
  std::string_view meters;  ///< for people: who sends it

  bool fits(const ListShape& shape) const noexcept {
    return top == shape.top && start == shape.start && form == shape.form &&
           shape.text.starts_with(text) && shape.title.starts_with(title);
  }
};
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

/// An attribute of a COSEM class that a push-object list may carry as a reading.
struct PushedAttribute {
  std::uint16_t class_id;
  std::int8_t attribute;
  std::int8_t scaler_attribute;  ///< attribute with its scaler_unit; 0: none needed
};
/// The row of that attribute, or null: the value is no reading.
const PushedAttribute* find_pushed_attribute(std::uint16_t class_id,
                                             std::int8_t attribute) noexcept;

}  // namespace meter::dlms
