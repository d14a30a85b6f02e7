// SPDX-License-Identifier: Apache-2.0
// Sums, CRCs and block check characters of frames that were changed.
#include "meter/reseal.hpp"

#include <algorithm>
#include <bit>
#include <string_view>

#include "meter/base/crc.hpp"
#include "meter/base/hex.hpp"
#include "meter/link/link_layer.hpp"
#include "meter/p1_text.hpp"
#include "meter/sml/fields.hpp"

namespace meter {
namespace {

void put_low_first(std::span<std::byte> at, std::uint16_t value) noexcept {
  at[0] = static_cast<std::byte>(value & 0xff);
  at[1] = static_cast<std::byte>(value >> 8);
}

/// 68 L L 68 content sum 16; 10 C A sum 16; E5 (EN 13757-2).
bool reseal_mbus(std::span<std::byte> frame) noexcept {
  if (frame.size() == 1) return true;
  const std::size_t begin = u8(frame[0]) == 0x68 ? 4 : 1;
  if (frame.size() < begin + 2) return false;
  unsigned sum = 0;
  for (const std::byte octet : frame.subspan(begin, frame.size() - begin - 2)) sum += u8(octet);
  frame[frame.size() - 2] = static_cast<std::byte>(sum & 0xff);
  return true;
}

/// Flag, format, addresses, control, HCS and information unless that is empty, FCS.
bool reseal_hdlc(std::span<std::byte> frame) noexcept {
  std::size_t at = 3;
  for (int address = 0; address < 2; ++address) {
    while (at < frame.size() && (u8(frame[at]) & 1) == 0) ++at;
    ++at;
  }
  const std::size_t header_end = at + 1;
  if (header_end + 2 > frame.size()) return false;
  const std::size_t fcs_at = frame.size() - 2;
  const auto seal = [frame](std::size_t end) {
    put_low_first(frame.subspan(end, 2), Crc16X25().add(frame.subspan(1, end - 1)).value());
  };
  if (header_end != fcs_at && header_end + 2 > fcs_at) return false;
  if (header_end != fcs_at) seal(header_end);
  seal(fcs_at);
  return true;
}

/// Up to four hex digits behind the last '!'.
bool reseal_p1(Bytes original, std::span<std::byte> frame) noexcept {
  if (u8(frame[0]) != '/') return true;  // ciphered
  const std::string_view text = text_of(frame);
  const std::size_t mark = text.rfind('!');
  if (mark == text.npos) return false;
  const Bytes covered = frame.first(mark + 1);
  const std::span<std::byte> rest = frame.subspan(mark + 1);
  std::size_t digits = 0;
  unsigned sent = 0;
  bool is_lower = false;
  for (const char c : text_of(original.subspan(mark + 1))) {
    const int digit = hex_value(c);
    if (digit < 0 || digits == 4) break;
    sent = sent << 4 | static_cast<unsigned>(digit);
    is_lower = is_lower || c >= 'a';
    ++digits;
  }
  if (digits == 0) return true;
  const Bytes was_covered = original.first(mark + 1);
  std::uint16_t crc = 0;
  if (Crc16Arc().add(was_covered).value() == sent)
    crc = Crc16Arc().add(covered).value();
  else if (p1_crc_with_carriage_returns(was_covered) == sent)
    crc = p1_crc_with_carriage_returns(covered);
  else
    return true;
  for (std::size_t i = digits; i-- > 0; crc = static_cast<std::uint16_t>(crc >> 4))
    rest[i] = static_cast<std::byte>((is_lower ? hex_lower : hex_upper)[crc & 15]);
  return crc == 0;
}

/// Octets at `at` are chosen so that the CRC's low octet, which is not sent, is 0.
template <class Crc>
bool find_crc_of_one_octet(std::span<std::byte> message, std::size_t at) noexcept {
  constexpr unsigned first = 0x20, last = 0x7f;  // no escape octet
  for (unsigned high = first; high <= last; ++high)
    for (unsigned low = first; low <= last; ++low) {
      message[at] = static_cast<std::byte>(high);
      message[at + 1] = static_cast<std::byte>(low);
      if ((Crc().add(message).value() & 0xff) == 0) return true;
    }
  return false;
}

/// The CRC of one message, low octet first. Where it was 0 and left out it has to be so again: the
/// transaction id, which is any octets, makes it so.
template <class Crc>
bool put_sml_crc(std::span<std::byte> message, std::span<std::byte> check) noexcept {
  constexpr std::size_t id_at = 2, id_size_min = 2;
  const unsigned id_tag = u8(message[1]);  // of an octet string of up to 14 octets
  if (check.size() == 1) {
    const bool has_room = id_tag > id_size_min && id_tag < 0x10;
    if (!has_room || !find_crc_of_one_octet<Crc>(message, id_at)) return false;
    check[0] = static_cast<std::byte>(Crc().add(message).value() >> 8);
    return true;
  }
  put_low_first(check, Crc().add(message).value());
  return true;
}

/// `was`: the message and what follows it, before the change.
bool reseal_sml_message(Bytes was, std::span<std::byte> message,
                        std::span<std::byte> check) noexcept {
  if (check.empty() || check.size() > 2) return false;
  const Bytes was_message = was.first(message.size());
  if (std::ranges::equal(was_message, message)) return true;
  const Bytes sent = was.subspan(message.size() + 1, check.size());
  const unsigned value = sent.size() == 2 ? u8(sent[0]) | u8(sent[1]) << 8 : u8(sent[0]) << 8;
  if (Crc16X25().add(was_message).value() == value) return put_sml_crc<Crc16X25>(message, check);
  if (Crc16Kermit().add(was_message).value() == value)
    return put_sml_crc<Crc16Kermit>(message, check);
  return true;
}

/// Of each message that was changed. `now` is the content of the file, as `was` before.
bool reseal_sml_messages(Bytes was, std::span<std::byte> now) {
  constexpr std::size_t fields_before_crc = 4;
  sml::FieldReader in(now);
  bool fits = true;
  while (in.ok() && in.remaining() != 0) {
    if (u8(now[in.offset()]) == 0) {
      in.end_of_message();
      continue;
    }
    const std::size_t begin = in.offset();
    if (!in.list(fields_before_crc + 2)) break;
    in.skip(fields_before_crc);
    const std::size_t end = in.offset();
    const sml::Field sent = in.next();
    in.end_of_message();
    if (!in.ok()) break;
    fits = reseal_sml_message(was.subspan(begin), now.subspan(begin, end - begin),
                              now.subspan(end + 1, sent.content.size())) &&
           fits;
  }
  return fits && in.ok();
}

/// The messages' CRCs, then that of the file (SML 1.03, 8.1).
bool reseal_sml(Bytes original, std::span<std::byte> frame) {
  constexpr std::size_t start_size = 8, check_size = 2;
  const link::Scan found = link::find_link_layer(Link::sml)->scan(original);
  if (found.discard != 0 || found.size != frame.size()) return false;
  std::vector<std::byte> was, now;
  const auto offsets = sml_content_offsets(found.payload);
  for (const std::size_t offset : offsets) {
    was.push_back(original[start_size + offset]);
    now.push_back(frame[start_size + offset]);
  }
  const bool fits = reseal_sml_messages(was, now);
  for (std::size_t i = 0; i < offsets.size(); ++i) frame[start_size + offsets[i]] = now[i];
  const std::size_t check_at = frame.size() - check_size;
  put_low_first(frame.subspan(check_at), Crc16X25().add(frame.first(check_at)).value());
  return fits;
}

/// STX or SOH, text, ETX or EOT, then the sum without carry of what stands behind the first.
bool reseal_iec62056(Bytes original, std::span<std::byte> frame) noexcept {
  constexpr unsigned soh = 0x01, stx = 0x02, etx = 0x03, eot = 0x04, parity = 0x80;
  const auto character = [](std::byte octet) { return u8(octet) & 0x7f; };
  const unsigned first = character(frame[0]);
  if (frame.size() < 3 || (first != stx && first != soh)) return true;
  const unsigned last = character(frame[frame.size() - 2]);
  if (last != etx && last != eot) return true;
  unsigned check = 0;
  for (const std::byte octet : frame.subspan(1, frame.size() - 2)) check ^= character(octet);
  const bool has_parity =
      std::ranges::any_of(original, [](std::byte octet) { return u8(octet) >= parity; });
  if (has_parity && std::popcount(check) % 2 != 0) check |= parity;
  frame.back() = static_cast<std::byte>(check);
  return true;
}

}  // namespace

std::vector<std::size_t> sml_content_offsets(Bytes payload) {
  constexpr std::byte escape_octet{0x1b};
  constexpr std::size_t escape_size = 4;
  std::vector<std::size_t> offsets;
  std::size_t run_size = 0;
  for (std::size_t i = 0; i < payload.size(); ++i) {
    run_size = payload[i] == escape_octet ? run_size % (2 * escape_size) + 1 : 0;
    if (run_size <= escape_size) offsets.push_back(i);
    // Fewer than eight: none of them was doubled.
    const bool ends = i + 1 == payload.size() || payload[i + 1] != escape_octet;
    if (ends && run_size > escape_size && run_size < 2 * escape_size)
      for (std::size_t n = run_size - escape_size; n > 0; --n) offsets.push_back(i + 1 - n);
  }
  return offsets;
}

bool reseal(Link link, Bytes original, std::span<std::byte> frame) {
  if (frame.empty() || original.size() != frame.size()) return false;
  switch (link) {
    case Link::mbus:
    case Link::mbus_master:
    case Link::amis:
      return reseal_mbus(frame);
    case Link::hdlc:
      return reseal_hdlc(frame);
    case Link::p1:
      return reseal_p1(original, frame);
    case Link::sml:
      return reseal_sml(original, frame);
    case Link::iec62056_21:
      return reseal_iec62056(original, frame);
    default:
      return true;  // nothing is summed up
  }
}

}  // namespace meter
