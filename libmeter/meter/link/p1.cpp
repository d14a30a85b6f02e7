// SPDX-License-Identifier: Apache-2.0
// P1 telegrams: '/' … '!' CRC, or a general-glo-ciphering APDU by its own length.
#include "meter/link/p1.hpp"

#include <algorithm>
#include <cstring>

#include "meter/base/reader.hpp"
#include "meter/link/search.hpp"

namespace meter::link {
namespace {

constexpr std::byte text_start{'/'};
constexpr std::byte ciphered_start{0xdb};  // general-glo-ciphering (Green Book 9.5)
constexpr std::size_t title_end = 10;      // DB 08, system title
/// Security control, invocation counter, and no text shorter than a tag.
constexpr std::size_t ciphered_content_min = 5 + 12;

/// What stands between telegrams on some cables and bridges, and is no noise.
constexpr bool is_fill(std::byte octet) noexcept {
  const unsigned value = u8(octet);
  return value == 0 || value == ' ' || value == '\t' || value == '\r' || value == '\n';
}

bool is_letter(std::byte octet) noexcept {
  const unsigned lower = u8(octet) | 0x20;
  return lower >= 'a' && lower <= 'z';
}

/// DB 08, a system title that begins with the maker's letters, length, content. Nothing but the
/// tag inside proves the length: a frame in which the next one begins has lost octets.
Candidate examine_ciphered(Bytes at_start) noexcept {
  if (at_start.size() > 1 && u8(at_start[1]) != sizeof(SystemTitle)) return no_candidate();
  for (std::size_t at = 2; at < std::min<std::size_t>(5, at_start.size()); ++at)
    if (!is_letter(at_start[at])) return no_candidate();
  if (at_start.size() <= title_end) return incomplete();
  Reader reader(at_start);
  reader.skip(title_end);
  if (reader.peek() == 0x80 || reader.peek() > 0x82) return no_candidate();
  const std::size_t content = reader.ber_length();
  if (!reader.ok() || reader.remaining() == 0) return incomplete();
  if ((reader.peek() & 0x80) != 0 || (reader.peek() & 0x0f) > 2) return no_candidate();
  if (content < ciphered_content_min) return refused(Errc::bad_length);
  const std::size_t size = reader.offset() + content;
  if (size > p1_frame_size_max) return refused(Errc::oversize);
  const Bytes claimed = at_start.first(std::min(size, at_start.size()));
  const std::string_view next_start = text_of(claimed.first(title_end));
  if (text_of(claimed).find(next_start, title_end) != std::string_view::npos)
    return refused(Errc::truncated);
  if (at_start.size() < size) return incomplete();
  return frame(size, claimed);
}

/// `proven` says whether a CRC vouches for the frame.
Candidate examine_text(Bytes at_start, bool at_end, bool& proven) noexcept {
  const P1Text text = examine_p1_text(at_start, at_end);
  switch (text.state) {
    case P1Text::State::no_candidate: return no_candidate();
    case P1Text::State::refused: return refused(text.cause);
    case P1Text::State::incomplete: return incomplete();
    case P1Text::State::whole: break;
  }
  proven = text.checked;
  if (text.ciphered_size != 0)
    return frame(text.size, at_start.subspan(text.ciphered_at, text.ciphered_size));
  return frame(text.size, at_start.first(text.body_size + (text.checked ? 0 : 1)));
}

/// Offset of the next octet that may start a frame, or the size.
std::size_t find_start(Bytes received, std::size_t from) noexcept {
  const Bytes rest = received.subspan(from);
  const void* text = std::memchr(rest.data(), static_cast<int>(text_start), rest.size());
  const std::size_t before_text =
      text == nullptr
          ? rest.size()
          : static_cast<std::size_t>(static_cast<const std::byte*>(text) - rest.data());
  const void* ciphered =
      std::memchr(rest.data(), static_cast<int>(ciphered_start), before_text);
  if (ciphered == nullptr) return from + before_text;
  return from + static_cast<std::size_t>(static_cast<const std::byte*>(ciphered) - rest.data());
}

Scan scan(Bytes received, std::size_t starts_before, bool at_end) noexcept {
  using Verdict = Candidate::Verdict;
  Scan scan;
  const std::size_t end = std::min(received.size(), starts_before);
  while (scan.discard < end) {
    const std::size_t start = find_start(received.first(end), scan.discard);
    for (std::size_t at = scan.discard; at < start && !scan.refused; ++at)
      if (!is_fill(received[at])) note_refusal(scan, Errc::line_noise, at);
    scan.discard = start;
    if (start == end) break;
    const Bytes rest = received.subspan(start);
    bool proven = false;
    const Candidate candidate = rest.front() == text_start ? examine_text(rest, at_end, proven)
                                                           : examine_ciphered(rest);
    if (candidate.verdict == Verdict::incomplete) break;
    if (candidate.verdict == Verdict::frame) {
      scan.size = candidate.size;
      scan.payload = candidate.payload;
      scan.proven = proven;
      break;
    }
    note_refusal(scan, candidate.cause, scan.discard);
    ++scan.discard;
  }
  return scan;
}

}  // namespace

Scan scan_p1(Bytes received, std::size_t starts_before) noexcept {
  return scan(received, starts_before, false);
}

Scan scan_p1_rest(Bytes received, std::size_t starts_before) noexcept {
  return scan(received, starts_before, true);
}

}  // namespace meter::link
