// SPDX-License-Identifier: Apache-2.0
// RecordReader: the data records of EN 13757-3, one after the other, as they stand in the message.
#pragma once

#include <cstdint>

#include "meter/base/bytes.hpp"
#include "meter/base/errc.hpp"
#include "meter/base/reader.hpp"
#include "meter/reading.hpp"

namespace meter::mbus {

/// How the data of a record are coded: bits 3 to 0 of its DIF (EN 13757-3 table 4).
enum class DataField : std::uint8_t {
  none = 0x0, int8 = 0x1, int16 = 0x2, int24 = 0x3, int32 = 0x4, real32 = 0x5, int48 = 0x6,
  int64 = 0x7, selection = 0x8, bcd2 = 0x9, bcd4 = 0xa, bcd6 = 0xb, bcd8 = 0xc, variable = 0xd,
  bcd12 = 0xe, special = 0xf,
};

/// One record: views into the message.
struct Record {
  DataField field = DataField::none;
  ReadingDetail::Function function = ReadingDetail::Function::instantaneous;
  std::uint64_t storage = 0;
  std::uint32_t tariff = 0;
  std::uint16_t subunit = 0;
  std::uint8_t vif = 0;   ///< with its extension bit
  std::uint8_t lvar = 0;  ///< DataField::variable only
  Bytes text;             ///< unit text of VIF 7C and FC, last character first
  Bytes vifes;            ///< with their extension bits
  Bytes data;             ///< without LVAR
};

/// Walks the records of a message. What is not a record stops it: manufacturer data (DIF 0F, 1F)
/// and the end.
class RecordReader {
 public:
  static constexpr std::size_t dife_count_max = 10;  ///< EN 13757-3 6.3.2

  explicit RecordReader(Bytes records) noexcept : in_(records) {}
  /// Reads the next record into `record`; false at the end. The fault's offset counts from the
  /// first octet of the records.
  Result<bool> next(Record& record) noexcept;
  /// Behind DIF 0F or 1F, to the end; empty: none. Known once `next` gave false.
  Bytes manufacturer_data() const noexcept { return manufacturer_data_; }
  /// DIF 1F: the meter has more records in its next telegram.
  bool more_follow() const noexcept { return more_follow_; }

 private:
  Result<void> read_difes(std::uint8_t dif, Record& record) noexcept;
  Result<void> read_value_chain(Record& record) noexcept;
  Result<void> read_data(Record& record) noexcept;
  Reader in_;
  Bytes manufacturer_data_;
  bool more_follow_ = false;
};

}  // namespace meter::mbus
