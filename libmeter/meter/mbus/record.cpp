// SPDX-License-Identifier: Apache-2.0
// DIF, DIFEs, VIF, VIFEs, LVAR and data of one record.
#include "meter/mbus/record.hpp"

#include "meter/mbus/vif.hpp"

namespace meter::mbus {
namespace {

constexpr std::uint8_t extension_bit = 0x80;
constexpr std::uint8_t vif_text = 0x7c;  // EN 13757-3 6.4.3: the unit as text

/// Octets of each data field; LVAR and special functions have none of their own.
constexpr std::uint8_t field_sizes[] = {0, 1, 2, 3, 4, 4, 6, 8, 0, 1, 2, 3, 4, 0, 6, 0};

/// Octets behind an LVAR (EN 13757-3 table 5), or −1 where it is reserved.
constexpr int variable_size(std::uint8_t lvar) noexcept {
  if (lvar <= 0xbf) return lvar;         // text
  if (lvar <= 0xc9) return lvar - 0xc0;  // positive BCD
  if (lvar <= 0xcf) return -1;
  if (lvar <= 0xd9) return lvar - 0xd0;  // negative BCD
  if (lvar <= 0xdf) return -1;
  if (lvar <= 0xef) return lvar - 0xe0;        // binary number
  if (lvar <= 0xf4) return 4 * (lvar - 0xec);  // large binary number: 16 to 32 octets
  if (lvar == 0xf5) return 48;
  if (lvar == 0xf6) return 64;
  return -1;
}

}  // namespace

Result<void> RecordReader::read_difes(std::uint8_t dif, Record& record) noexcept {
  record.field = static_cast<DataField>(dif & 0x0f);
  record.function = static_cast<ReadingDetail::Function>(dif >> 4 & 3);
  record.storage = dif >> 6 & 1;
  record.tariff = 0;
  record.subunit = 0;
  std::uint8_t octet = dif;
  for (unsigned count = 0; (octet & extension_bit) != 0; ++count) {
    if (count == dife_count_max) return fault(Errc::malformed, in_.offset());
    octet = in_.octet();
    record.storage |= std::uint64_t{octet & 0x0fu} << (1 + 4 * count);
    record.tariff |= (octet >> 4 & 3u) << (2 * count);
    record.subunit = static_cast<std::uint16_t>(record.subunit | (octet >> 6 & 1u) << count);
  }
  return {};
}

/// The text of VIF 7C and FC stands between the VIF and its VIFEs: that is how meters send it.
Result<void> RecordReader::read_value_chain(Record& record) noexcept {
  record.vif = in_.octet();
  record.text = {};
  if ((record.vif & ~extension_bit) == vif_text) record.text = in_.take(in_.octet());
  const Bytes rest = in_.rest();
  std::size_t count = 0;
  std::uint8_t octet = record.vif;
  while ((octet & extension_bit) != 0) {
    if (count == vife_count_max) return fault(Errc::malformed, in_.offset());
    octet = in_.octet();
    ++count;
  }
  record.vifes = in_.ok() ? rest.first(count) : Bytes{};
  return {};
}

Result<void> RecordReader::read_data(Record& record) noexcept {
  if (record.field != DataField::variable) {
    record.data = in_.take(field_sizes[static_cast<unsigned>(record.field)]);
    return {};
  }
  record.lvar = in_.octet();
  const int size = variable_size(record.lvar);
  if (size < 0) return fault(Errc::malformed, in_.offset() - 1);
  record.data = in_.take(static_cast<std::size_t>(size));
  return {};
}

Result<bool> RecordReader::next(Record& record) noexcept {
  constexpr std::uint8_t idle_filler = 0x2f, manufacturer_end = 0x0f, manufacturer_more = 0x1f,
                         global_readout = 0x7f;
  while (in_.peek() == idle_filler || in_.peek() == global_readout) in_.skip(1);
  if (in_.remaining() == 0) return false;
  const std::size_t start = in_.offset();
  const std::uint8_t dif = in_.octet();
  if (dif == manufacturer_end || dif == manufacturer_more) {
    more_follow_ = dif == manufacturer_more;
    manufacturer_data_ = in_.take(in_.remaining());
    return false;
  }
  if ((dif & 0x0f) == static_cast<std::uint8_t>(DataField::special))
    return fault(Errc::malformed, start);
  if (const auto read = read_difes(dif, record); !read) return std::unexpected(read.error());
  if (const auto read = read_value_chain(record); !read) return std::unexpected(read.error());
  if (const auto read = read_data(record); !read) return std::unexpected(read.error());
  if (!in_.ok()) return fault(Errc::truncated, start);
  return true;
}

}  // namespace meter::mbus
