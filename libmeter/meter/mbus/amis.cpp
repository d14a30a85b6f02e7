// SPDX-License-Identifier: Apache-2.0
// AMIS messages: header, and nine records known by position.
#include "meter/mbus/amis.hpp"

#include <algorithm>

#include "meter/base/hex.hpp"
#include "meter/base/reader.hpp"
#include "meter/decode_observer.hpp"

namespace meter::mbus {
namespace {

constexpr std::byte filler{0x2f};
constexpr std::size_t block_size = 16, clock_size = 6;

/// DIF, DIFE, VIF and VIFEs as octets, and what their value is.
struct Record {
  std::uint8_t head[6];
  std::uint8_t head_size;
  bool is_signed;
  Unit unit;
  Obis obis;
  Obis total;  ///< the same value's other code, or none
};
constexpr std::uint8_t clock_head[] = {0x06, 0x6d};
constexpr Record records[] = {
    {{0x04, 0x03}, 2, false, Unit::watt_hour, "1-0:1.8.0"_obis, {}},
    {{0x04, 0x83, 0x3c}, 3, false, Unit::watt_hour, "1-0:2.8.0"_obis, {}},
    {{0x84, 0x10, 0xfb, 0x82, 0x73}, 5, false, Unit::var_hour, "1-0:3.8.1"_obis, "1-0:3.8.0"_obis},
    {{0x84, 0x10, 0xfb, 0x82, 0xf3, 0x3c}, 6, false, Unit::var_hour, "1-0:4.8.1"_obis,
     "1-0:4.8.0"_obis},
    {{0x04, 0x2b}, 2, false, Unit::watt, "1-0:1.7.0"_obis, {}},
    {{0x04, 0xab, 0x3c}, 3, false, Unit::watt, "1-0:2.7.0"_obis, {}},
    {{0x04, 0xfb, 0x14}, 3, false, Unit::var, "1-0:3.7.0"_obis, {}},
    {{0x04, 0xfb, 0x94, 0x3c}, 4, false, Unit::var, "1-0:4.7.0"_obis, {}},
    {{0x04, 0x83, 0xff, 0x04}, 4, true, Unit::watt_hour, "1-0:1.128.0"_obis, {}},
};

bool take_head(Reader& in, const std::uint8_t* head, std::size_t size) noexcept {
  const Bytes taken = in.take(size);
  return in.ok() && std::ranges::equal(taken, std::span(head, size), {}, u8);
}

}  // namespace

Result<AmisMessage> parse_amis(Bytes message) noexcept {
  AmisMessage parsed;
  if (message.size() < AmisMessage::records_at) return fault(Errc::truncated, message.size());
  // Behind C A CI: id(4) manufacturer(2) version medium; the IV begins with the manufacturer.
  const auto manufacturer = message.subspan(7, 2), id = message.subspan(3, 4),
             kind = message.subspan(9, 2);
  std::ranges::copy(
      kind, std::ranges::copy(id, std::ranges::copy(manufacturer, parsed.address.begin()).out).out);
  parsed.access_number = static_cast<std::uint8_t>(u8(message[11]));
  const unsigned mode = u8(message[14]) & 0x1f, blocks = u8(message[13]) >> 4;
  parsed.records = message.subspan(AmisMessage::records_at);
  if (mode != 0 && mode != 5) return fault(Errc::unsupported_suite, 14);
  parsed.is_encrypted = mode == 5;
  if (parsed.is_encrypted && (blocks == 0 || blocks * block_size != parsed.records.size()))
    return fault(Errc::malformed, 13);
  return parsed;
}

bool plausible_amis(Bytes clear) noexcept {
  return clear.size() > 2 && clear[0] == filler && clear[1] == filler;
}

Result<void> decode_amis(Bytes clear, ReadingSet& out, DecodeObserver* observer,
                         std::uint64_t observer_offset) noexcept {
  if (!plausible_amis(clear)) return fault(Errc::malformed, 0);
  Reader in(clear.subspan(2));
  if (!take_head(in, clock_head, std::size(clock_head))) return fault(Errc::malformed, 2);
  const Bytes clock = in.take(clock_size);
  if (!in.ok()) return fault(Errc::malformed, 2);
  out.time = DateTime::from_mbus(clock);
  for (const Record& record : records) {
    const std::size_t at = 2 + in.offset();
    const bool known = take_head(in, record.head, record.head_size);
    const std::uint32_t value = in.le<std::uint32_t>();
    if (!known || !in.ok()) return fault(Errc::malformed, at);
    const std::int64_t mantissa =
        record.is_signed ? static_cast<std::int32_t>(value) : std::int64_t{value};
    for (const Obis& obis : {record.obis, record.total})
      if (obis != Obis{})
        (void)out.readings.push_back(
            Reading::number(obis, {mantissa, 0}, record.unit, Reading::implied_obis));
  }
  const Bytes rest = in.rest();
  if (std::ranges::any_of(rest, [](std::byte octet) { return octet != filler; }))
    return fault(Errc::malformed, 2 + in.offset());
  out.profile = "amis-td351x";
  if (observer != nullptr)
    observer->stage("list", observer_offset,
                    "amis-td351x: the nine records of the customer interface, in their order");
  return {};
}

}  // namespace meter::mbus
