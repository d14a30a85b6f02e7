// SPDX-License-Identifier: Apache-2.0
// Units, media and counters of the fixed data structure (M-Bus documentation 6.2).
#include "meter/mbus/fixed.hpp"

#include <algorithm>
#include <array>

#include "meter/base/hex.hpp"
#include "meter/base/reader.hpp"
#include "meter/mbus/number.hpp"
#include "meter/mbus/quantities.hpp"

namespace meter::mbus {
namespace {

/// Unit codes `first` to `last` are ×1, ×10, ×100 of one unit (M-Bus documentation table 5).
struct UnitRow {
  std::uint8_t first, last;
  std::string_view label;
  Unit unit;
  std::int8_t power;
  Measured measured;
};
constexpr auto unit_rows = std::to_array<UnitRow>({
    {0x02, 0x0a, "energy", Unit::watt_hour, 0, Measured::energy},
    {0x0b, 0x13, "energy", Unit::joule, 3, Measured::energy},
    {0x14, 0x1c, "power", Unit::watt, 0, Measured::power},
    {0x1d, 0x25, "power", Unit::joule_per_hour, 3, Measured::power},
    {0x26, 0x2e, "volume", Unit::cubic_metre, -6, Measured::volume},
    {0x2f, 0x37, "volume flow", Unit::cubic_metre_per_hour, -6, Measured::volume_flow},
    {0x38, 0x38, "temperature", Unit::degree_celsius, -3, Measured::other},
    {0x39, 0x39, "h.c.a.", Unit::none, 0, Measured::heat_cost},
});
constexpr std::uint8_t unit_code_mask = 0x3f;
constexpr std::uint8_t same_but_historic = 0x3e;

/// Bits 7 and 6 of the second unit octet, then of the first.
constexpr std::array<Medium, 16> media = {
    Medium::other,      Medium::oil,   Medium::electricity, Medium::gas,
    Medium::heat,       Medium::steam, Medium::warm_water,  Medium::water,
    Medium::heat_cost,  Medium::other, Medium::gas,         Medium::heat,
    Medium::warm_water, Medium::water, Medium::heat_cost,   Medium::other,
};

constexpr unsigned status_binary = 0x01;         // else BCD
constexpr unsigned status_at_fixed_date = 0x02;  // else the current values

Result<void> add(Bytes counter, bool high_octet_first, unsigned unit_code, bool historic,
                 bool binary, ReadingSet& out) noexcept {
  std::byte reversed[4];
  Bytes octets = counter;
  if (high_octet_first) {
    std::ranges::reverse_copy(counter, reversed);
    octets = reversed;
  }
  Record record;
  record.storage = historic ? 1 : 0;
  ValueInformation information;
  information.label = "counter";
  const auto* row = std::ranges::find_if(unit_rows, [unit_code](const UnitRow& each) {
    return unit_code >= each.first && unit_code <= each.last;
  });
  const bool known = row != unit_rows.end();
  if (known) {
    information.label = row->label;
    information.unit = row->unit;
    information.power =
        static_cast<std::int16_t>(row->power + static_cast<int>(unit_code) - row->first);
    information.measured = row->measured;
  }
  const ReadingDetail detail{
      .label = information.label, .storage = record.storage, .is_record = true};
  const auto number = binary ? std::optional(signed_number(octets)) : bcd_number(octets);
  const Obis code = code_of(record, information, out.medium == Medium::electricity);
  const Reading reading =
      number ? Reading::number(code, {*number, static_cast<std::int8_t>(information.power)},
                               information.unit, known ? 0 : Reading::scale_unknown)
             : Reading::octets({}, counter);
  if (!out.readings.push_back(reading) || !out.details.push_back(detail))
    return fault(Errc::too_many_elements);
  return {};
}

}  // namespace

Result<void> read_fixed(Bytes data, bool high_octet_first, ReadingSet& out) noexcept {
  Reader reader(data);
  const Bytes number = reader.take(4);
  const std::uint8_t access_number = reader.octet();
  const std::uint8_t status = reader.octet();
  const std::uint8_t units[] = {reader.octet(), reader.octet()};
  const Bytes counters[] = {reader.take(4), reader.take(4)};
  if (!reader.ok()) return fault(Errc::truncated, data.size());
  if (!reader.consumed()) return fault(Errc::malformed, reader.offset());

  std::array<std::byte, 4> in_order;
  std::ranges::reverse_copy(number, in_order.begin());
  std::array<char, 8> digits;
  (void)out.meter_id.assign(write_hex(in_order, digits, hex_upper));
  out.medium = media[static_cast<std::size_t>(units[1] >> 6 << 2 | units[0] >> 6)];

  unsigned unit_code = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    const unsigned sent = units[i] & unit_code_mask;
    const bool historic = sent == same_but_historic || (status & status_at_fixed_date) != 0;
    if (sent != same_but_historic) unit_code = sent;
    const bool binary = (status & status_binary) != 0;
    if (const auto added = add(counters[i], high_octet_first, unit_code, historic, binary, out);
        !added)
      return added;
  }
  for (const auto& [label, value] :
       {std::pair<std::string_view, std::uint8_t>{"access number", access_number},
        {"status", status}})
    if (!out.readings.push_back(Reading::number({}, {value, 0}, Unit::none)) ||
        !out.details.push_back({.label = label}))
      return fault(Errc::too_many_elements);
  return {};
}

}  // namespace meter::mbus
