// SPDX-License-Identifier: Apache-2.0
// The M-Bus application layer (EN 13757-3): messages of data records, and the fixed structure.
#pragma once

#include <cstdint>

#include "meter/base/bytes.hpp"
#include "meter/base/errc.hpp"
#include "meter/decode_observer.hpp"
#include "meter/reading.hpp"

namespace meter::mbus {

/// What stands in front of the records of a message.
struct Header {
  std::uint8_t control_information = 0;
  Bytes identification;  ///< number(4) manufacturer(2) version medium, as sent; empty: not sent
  std::uint8_t access_number = 0;
  std::uint8_t status = 0;
  std::uint16_t configuration = 0;
  std::size_t size = 0;  ///< offset of the records in the message

  /// Security mode (EN 13757-7 table 19); 0: none.
  unsigned mode() const noexcept { return configuration >> 8 & 0x1f; }
  /// Encrypted blocks of 16 octets at the front of the records.
  unsigned blocks() const noexcept { return configuration >> 4 & 0x0f; }
  /// The records, or some of them, are ciphertext. Meters from before the modes send other words.
  bool is_encrypted() const noexcept;
  /// A command to a device (Siemens AMIS sends its readings so), not a meter's answer.
  bool is_command() const noexcept;
  std::uint16_t manufacturer() const noexcept;  ///< three letters of five bits; 0: not sent
};

/// `message`: C A CI and the user data, as the link layer delivers it. True where CI announces
/// what `decode` reads: 70, 72, 73, 76, 77, 78, 7A, and the commands 53, 5A, 5B.
bool is_application_message(Bytes message) noexcept;

/// The header of a message of records. Errc::truncated, or unsupported_apdu for another CI.
Result<Header> parse_header(Bytes message) noexcept;

/// Reads a whole message into `out`. A register for each record, in order, with its detail; then
/// what the header says. Current values of known quantities get the code of the quantity, an
/// electricity meter's the OBIS code. A refused message leaves nothing behind.
///   key_missing        encrypted in mode 5: `decode_records` reads it once it is opened;
///   unsupported_suite  encrypted in another mode;
///   device_error       the meter's own refusal (CI 70);
///   truncated, malformed, unsupported_apdu, too_many_elements.
/// Offsets count from the first octet of `message`. Texts are views into it or into `out`.
Result<void> decode(Bytes message, ReadingSet& out, DecodeObserver* observer,
                    std::uint64_t observer_offset) noexcept;

/// As `decode`, for records that stood encrypted behind `header`: `records` is the clear text.
/// Offsets count from its first octet.
Result<void> decode_records(const Header& header, Bytes records, ReadingSet& out,
                            DecodeObserver* observer, std::uint64_t observer_offset) noexcept;

/// The message ends with DIF 1F: the next answer has more of this meter's records.
bool more_records_follow(Bytes message) noexcept;

}  // namespace meter::mbus
