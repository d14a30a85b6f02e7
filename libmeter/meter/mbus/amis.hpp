// SPDX-License-Identifier: Apache-2.0
// Siemens AMIS TD-351x (customer interface of Netz Oberösterreich, version 05.11.2021).
#pragma once

#include <cstdint>

#include "meter/base/bytes.hpp"
#include "meter/base/errc.hpp"
#include "meter/reading.hpp"

namespace meter {
class DecodeObserver;
}

namespace meter::mbus {

/// SND_UD taken apart; views into it.
struct AmisMessage {
  SystemTitle address{};  ///< manufacturer, id, version, medium as sent: front of the IV
  std::uint8_t access_number = 0;
  bool is_encrypted = false;  ///< security mode 5 (EN 13757-7), else clear
  Bytes records;
  static constexpr std::size_t records_at = 15;
};
/// C A CI, a header of twelve octets (EN 13757-3), records. Faults: truncated, malformed (blocks
/// that are not there), unsupported_suite (another mode than 0 and 5).
Result<AmisMessage> parse_amis(Bytes message) noexcept;

/// 2F 2F: a decrypted text is one.
bool plausible_amis(Bytes clear) noexcept;

/// The nine records in their fixed order and nothing else: without a tag the structure is all that
/// vouches for the text. Energies in Wh and varh, powers in W and var, low octet first. R+ and R−
/// stand under 3.8.1 and 4.8.1, and as the only tariff under 3.8.0 and 4.8.0. The telegram names
/// no meter: the id in its header is all zeros. Fault: malformed.
Result<void> decode_amis(Bytes clear, ReadingSet& out, DecodeObserver* observer,
                         std::uint64_t observer_offset) noexcept;

}  // namespace meter::mbus
