// SPDX-License-Identifier: Apache-2.0
// Bare APDUs: general-glo-ciphering by its own length, DataNotification to the end of input.
#include "meter/link/raw.hpp"

#include <algorithm>

#include "meter/base/reader.hpp"
#include "meter/link/search.hpp"

namespace meter::link {
namespace {

constexpr unsigned tag_data_notification = 0x0f;
constexpr unsigned tag_general_glo_ciphering = 0xdb;
constexpr std::uint32_t ciphered_size_min = 5;  // security control and invocation counter

Scan refuse_all(Bytes received, Errc cause) noexcept {
  Scan scan;
  note_refusal(scan, cause, 0);
  scan.discard = received.size();
  return scan;
}

/// Octets of LLC header at the front: E6 E7 00 or E6 E6 00 (IEC 62056-46 5.3.2), as far as they
/// are there.
std::size_t llc_size(Bytes received) noexcept {
  Reader reader(received);
  if (reader.peek() != 0xe6) return 0;
  const bool response_or_command = reader.peek(1) == 0xe7 || reader.peek(1) == 0xe6;
  if (received.size() > 1 && !response_or_command) return 0;
  return received.size() > 2 && reader.peek(2) != 0 ? 0 : std::min<std::size_t>(3, received.size());
}

/// General-glo-ciphering: DB, system title, length, content.
Scan scan_ciphered(Bytes received, std::size_t apdu_at) noexcept {
  Reader reader(received.subspan(apdu_at));
  reader.skip(1);
  const std::uint8_t title_size = reader.octet();
  if (title_size != 0 && title_size != sizeof(SystemTitle))
    return refuse_all(received, Errc::malformed);
  reader.skip(title_size);
  if (!reader.ok() || reader.remaining() == 0) return {};
  if (reader.peek() == 0x80 || reader.peek() > 0x84) return refuse_all(received, Errc::bad_length);
  const std::uint32_t content_size = reader.ber_length();
  if (!reader.ok()) return {};
  if (content_size < ciphered_size_min) return refuse_all(received, Errc::bad_length);
  if (content_size > raw_frame_size_max - apdu_at - reader.offset())
    return refuse_all(received, Errc::oversize);
  const std::size_t size = apdu_at + reader.offset() + content_size;
  if (received.size() < size) return {};
  return {.size = size, .payload = received.subspan(apdu_at, size - apdu_at)};
}

}  // namespace

Scan scan_raw(Bytes received, std::size_t) noexcept {
  const std::size_t apdu_at = llc_size(received);
  if (apdu_at == received.size()) return {};
  switch (u8(received[apdu_at])) {
    case tag_general_glo_ciphering:
      return scan_ciphered(received, apdu_at);
    case tag_data_notification:
      if (received.size() >= raw_frame_size_max) return refuse_all(received, Errc::oversize);
      return {};
    default:
      return refuse_all(received, Errc::line_noise);
  }
}

Scan scan_raw_rest(Bytes received, std::size_t starts_before) noexcept {
  Scan scan = scan_raw(received, starts_before);
  const std::size_t apdu_at = llc_size(received);
  if (scan.size != 0 || scan.discard == received.size()) return scan;
  if (apdu_at == received.size() || u8(received[apdu_at]) != tag_data_notification)
    return refuse_all(received, Errc::silence);
  return {.size = received.size(), .payload = received.subspan(apdu_at)};
}

}  // namespace meter::link
