// SPDX-License-Identifier: Apache-2.0
// Encoders of the wire formats that meters send: A-XDR, ciphering, M-Bus and HDLC frames.
// Written from the standards and apart from libmeter, so that each checks the other.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace metersim {

using Octets = std::vector<std::uint8_t>;
using OctetView = std::span<const std::uint8_t>;
/// OBIS code A B C D E F, as in a COSEM logical name.
using Code = std::array<std::uint8_t, 6>;
using Title = std::array<std::uint8_t, 8>;

void append(Octets& out, OctetView octets);

/// Date and time of a meter's clock, encoded as the 12 octets of Blue Book 4.1.6.1.
struct Clock {
  std::int64_t epoch_s = 0;        ///< seconds since the epoch (UTC)
  std::int16_t offset_min = 60;    ///< local time minus UTC, minutes east of Greenwich
  bool send_offset = true;         ///< false: the deviation is sent as "not specified" (8000)
  std::uint8_t hundredths = 0xff;  ///< ff: not specified
  std::uint8_t status = 0x00;      ///< 80: daylight saving time
  std::array<std::uint8_t, 12> octets() const;
  /// "2026-11-20T12:00:05+01:00", without the offset where it is not sent.
  std::string text() const;
};

/// Appends A-XDR Data (IEC 62056-6-2), integers big-endian.
class Axdr {
 public:
  explicit Axdr(Octets& out) : out_(out) {}
  Axdr& array(std::size_t count) { return tagged_length(0x01, count); }
  Axdr& structure(std::size_t count) { return tagged_length(0x02, count); }
  Axdr& octet_string(OctetView octets);
  Axdr& octet_string(std::string_view text);
  Axdr& visible_string(std::string_view text);
  Axdr& null_data() { return tagged(0x00, 0, 0); }
  Axdr& boolean(bool value) { return tagged(0x03, value, 1); }
  Axdr& code(const Code& code) { return octet_string(OctetView(code)); }
  Axdr& date_time(const Clock& clock) { return octet_string(OctetView(clock.octets())); }
  Axdr& integer8(int value) { return tagged(0x0f, static_cast<std::uint64_t>(value), 1); }
  Axdr& enumerate(unsigned value) { return tagged(0x16, value, 1); }
  /// `tag` 05 06 10 11 12 14 15: double-long (unsigned), long, unsigned, long-unsigned, long64.
  Axdr& number(std::uint8_t tag, std::int64_t value);
  /// structure { scaler integer, unit enum }
  Axdr& scaler_unit(int scaler, unsigned unit) {
    return structure(2).integer8(scaler).enumerate(unit);
  }

 private:
  Axdr& tagged_length(std::uint8_t tag, std::size_t length);
  Axdr& tagged(std::uint8_t tag, std::uint64_t value, unsigned octets);
  Octets& out_;
};

/// A BER length (X.690 8.1.3): the shortest form, or with exactly `octets_after_first` octets
/// (meters send over-long forms such as 82 00 3C).
void append_ber_length(Octets& out, std::size_t length, unsigned octets_after_first = 0);

/// DataNotification (Green Book): 0F, long-invoke-id-and-priority, date-time, body.
Octets data_notification(std::uint32_t invoke_id, const Clock& clock, OctetView body);

/// How a meter protects its telegrams.
struct Security {
  /// Security control octet (Green Book 9.2.7.2.4): suite id, 10 authenticated, 20 encrypted.
  std::uint8_t control = 0x20;
  Title system_title{};
  Octets key;                 ///< 16 octets
  Octets authentication_key;  ///< 16 octets; used where `control` has bit 4
  unsigned ber_octets = 0;    ///< as in append_ber_length
};

/// general-glo-ciphering: DB, title, length, control, counter, content, tag of 12 octets where
/// authenticated. AES-128-GCM. Throws std::runtime_error where a key has not 16 octets.
Octets general_glo_ciphering(const Security& security, std::uint32_t invocation_counter,
                             OctetView plaintext);

/// An M-Bus long frame (EN 13757-2): 68 L L 68 content sum 16; L modulo 256.
Octets mbus_frame(OctetView content);

/// DLMS over M-Bus (EN 13757-2 long frames, EN 13757-1 segments): one frame per fragment, CI 00,
/// 01 … and 10 added on the last. `length_max`: the L field of a full frame; from 256 on it is
/// sent modulo 256, as the Sagemcom T210-D does (257 appears as 68 01 01 68).
std::vector<Octets> mbus_frames(OctetView apdu, std::size_t length_max = 0xfa);

/// One HDLC frame type 3 (IEC 62056-46) with flags: destination CE FF, source 03, control 13, as
/// the Landis+Gyr E450.
Octets hdlc_frame(OctetView information);

/// General block transfer of an APDU in HDLC frames (LLC E6 E7 00 in the first), in the block
/// sizes of the E450's 128 octet buffer: 77 hex, then 7A.
std::vector<Octets> hdlc_block_frames(OctetView apdu);

/// An APDU in one HDLC frame, with its LLC header.
std::vector<Octets> hdlc_frames(OctetView apdu);

/// CRC-16/X-25 (poly 1021 reflected, init and xorout FFFF), sent low octet first.
std::uint16_t crc16_x25(OctetView octets);

/// Hex digits, blanks, line breaks, '_', ':' and '-' ignored. Throws std::runtime_error otherwise.
Octets octets_from_hex(std::string_view text);
std::string hex_from_octets(OctetView octets);

}  // namespace metersim
