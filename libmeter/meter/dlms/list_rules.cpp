// SPDX-License-Identifier: Apache-2.0
// What the tables of vendor knowledge have in common; the tables themselves are in profiles/.
#include "meter/dlms/list_rules.hpp"

#include <algorithm>
#include <array>

namespace meter::dlms {
namespace {

// Blue Book: class identifiers and attributes.
constexpr std::array pushed_attribute_table = std::to_array<PushedAttribute>({
    {1, 2, 0},                            // Data: value
    {3, 2, 3},                            // Register: value
    {4, 2, 3},                            // Extended register: value
    {5, 2, 4},                            // Demand register: current_average_value
    {8, 2, 0},                            // Clock: time
    {70, 3, 0},                           // Disconnect control: control_state
    {71, 3, PushedAttribute::elsewhere},  // Limiter: threshold_active, scaled as what it watches
    {72, 9, 0},                           // M-Bus client: device_type
});

}  // namespace

bool Position::fits(const Element& element) const noexcept {
  if ((tags & tag_bit(element.tag)) == 0) return false;
  if (element.tag == DataTag::null_data) return true;
  switch (kind) {
    case Kind::text:
      return element.size != 0 && std::ranges::all_of(element.octets(), is_printable) &&
             text_of(element.octets()).starts_with(text);
    case Kind::date_time:
      return is_date_time(element.octets());
    case Kind::octets:
    case Kind::octet_number:
      return element.size == size;
    case Kind::number:
    case Kind::list:
      break;
  }
  return true;
}

const PushedAttribute* find_pushed_attribute(std::uint16_t class_id,
                                             std::int8_t attribute) noexcept {
  for (const PushedAttribute& row : pushed_attribute_table)
    if (row.class_id == class_id && row.attribute == attribute) return &row;
  return nullptr;
}

}  // namespace meter::dlms
