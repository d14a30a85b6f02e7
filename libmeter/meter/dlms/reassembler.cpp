// SPDX-License-Identifier: Apache-2.0
// Joins M-Bus fragments, HDLC segments and transfer blocks into APDUs.
#include "meter/dlms/reassembler.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "meter/base/inline_vector.hpp"
#include "meter/base/reader.hpp"

namespace meter::dlms {
namespace {

constexpr std::size_t llc_size = 3;
/// C and A of M-Bus requests; less is the acknowledgement.
constexpr std::size_t short_frame_size = 2;
constexpr unsigned from_master = 0x40;  // of the C field (EN 13757-2 5.7)
constexpr unsigned tag_data_notification = 0x0f;
constexpr unsigned tag_general_glo_ciphering = 0xdb;
constexpr unsigned tag_general_block_transfer = 0xe0;

/// LLC header of a response or a command (IEC 62056-46 5.3.2).
bool starts_with_llc(Bytes octets) noexcept {
  return octets.size() >= llc_size && u8(octets[0]) == 0xe6 &&
         (u8(octets[1]) == 0xe7 || u8(octets[1]) == 0xe6) && u8(octets[2]) == 0;
}

Bytes without_llc(Bytes octets) noexcept {
  return starts_with_llc(octets) ? octets.subspan(llc_size) : octets;
}

/// Whose message it is: the frame's address octets (and for HDLC segments the kind of frame).
/// Pieces of different origin are never joined.
struct Origin {
  std::uint64_t addresses = 0;
  std::uint8_t kind = 0;
  friend bool operator==(const Origin&, const Origin&) = default;
};

void clear_eighth_bits(std::span<std::byte> characters) noexcept {
  for (std::byte& character : characters) character &= std::byte{0x7f};
}

/// A message that is being joined.
class Joint {
 public:
  Joint() : octets_(std::make_unique_for_overwrite<std::byte[]>(Reassembler::apdu_size_max)) {}
  void begin(const Origin& origin) noexcept {
    origin_ = origin;
    size_ = 0;
    pending_ = true;
  }
  /// False, and dropped, when the limit is exceeded.
  bool append(Bytes piece) noexcept {
    if (piece.size() > Reassembler::apdu_size_max - size_) return drop(), false;
    if (!piece.empty()) std::memcpy(octets_.get() + size_, piece.data(), piece.size());
    size_ += piece.size();
    return true;
  }
  /// The same of characters of seven bits: the eighth may be their parity and is left out.
  bool append_characters(Bytes piece) noexcept {
    const std::size_t begin = size_;
    if (!append(piece)) return false;
    clear_eighth_bits({octets_.get() + begin, piece.size()});
    return true;
  }
  /// The joined octets; valid until the next `begin`.
  Bytes finish() noexcept {
    pending_ = false;
    return octets();
  }
  bool drop() noexcept { return std::exchange(pending_, false); }
  bool pending() const noexcept { return pending_; }
  const Origin& origin() const noexcept { return origin_; }
  Bytes octets() const noexcept { return {octets_.get(), size_}; }

 private:
  std::unique_ptr<std::byte[]> octets_;
  std::size_t size_ = 0;
  Origin origin_;
  bool pending_ = false;
};

/// The link frames that a message is joined from, as received. One that is a message by itself is
/// not copied.
class Frames {
 public:
  Frames() : octets_(std::make_unique_for_overwrite<std::byte[]>(Reassembler::frames_size_max)) {}
  void next(const WireFrame& frame) noexcept {
    if (is_done_) clear();
    frame_ = frame;
    is_kept_ = false;
    whole_ = {};
  }
  /// The frame in hand belongs to a message that is half received.
  void keep() noexcept {
    if (std::exchange(is_kept_, true)) return;
    if (append(frame_)) size_ += frame_.octets.size() + frame_.closing.size();
  }
  /// What was kept so far stays when the message that follows is dropped: blocks of a transfer.
  void settle() noexcept {
    keep();
    settled_ = size_;
  }
  void drop_unsettled() noexcept {
    size_ = settled_;
    if (size_ == 0) clear();
  }
  /// All that came before the message in hand.
  void drop_settled() noexcept {
    if (settled_ == 0) return;
    std::memmove(octets_.get(), octets_.get() + settled_, size_ - settled_);
    size_ -= std::exchange(settled_, 0);
    if (size_ == 0) clear();
  }
  void clear() noexcept {
    size_ = settled_ = 0;
    is_done_ = is_over_ = false;
  }
  /// The message in hand is whole. One that was not joined leaves a half-received one alone.
  void finish() noexcept {
    is_done_ = is_kept_;
    if (is_kept_)
      whole_ = is_over_ ? Bytes() : Bytes(octets_.get(), size_);
    else if (frame_.closing.empty())
      whole_ = frame_.octets;
    else if (append(frame_))
      whole_ = {octets_.get() + size_, frame_.octets.size() + frame_.closing.size()};
  }
  Bytes whole() const noexcept { return whole_; }

 private:
  /// Behind what is kept, if it fits.
  bool append(const WireFrame& frame) noexcept {
    std::size_t at = size_;
    if (frame.octets.size() + frame.closing.size() > Reassembler::frames_size_max - at)
      return is_over_ = true, false;
    for (const Bytes octets : {frame.octets, frame.closing}) {
      if (!octets.empty()) std::memcpy(octets_.get() + at, octets.data(), octets.size());
      at += octets.size();
    }
    return true;
  }

  std::unique_ptr<std::byte[]> octets_;
  std::size_t size_ = 0;
  std::size_t settled_ = 0;
  WireFrame frame_;
  Bytes whole_;
  bool is_kept_ = false;  ///< the frame in hand
  bool is_over_ = false;  ///< the limit was exceeded
  bool is_done_ = false;  ///< of a message that was whole
};

/// A message as the link layer delivers it, after fragments and segments were joined.
struct Message {
  Origin origin;
  Bytes octets;
  std::size_t offset;  ///< of its last piece in the frame's payload
};

/// One piece of a message, however the link layer marks it.
struct Piece {
  Origin origin;
  Bytes octets;
  std::size_t offset;  ///< of `octets` in the frame's payload
  bool first;
  bool last;
  bool in_order;  ///< continues the pending message, if its origin is the same
};

}  // namespace

struct Reassembler::State {
  Joint link_message;          ///< M-Bus fragments or HDLC segments
  unsigned next_fragment = 0;  ///< M-Bus
  Frames frames;               ///< of both
  /// IEC 62056-21: who answered, for the block that follows, however long the meter takes.
  InlineText<64> identification;

  /// More blocks than the smallest transmit buffer (128 octets) needs for the largest APDU.
  static constexpr std::size_t blocks_max = 256;
  Joint transfer;                                  ///< general block transfer
  InlineVector<std::uint16_t, blocks_max> starts;  ///< of each block so far in `transfer`

  Result<std::optional<Bytes>> take(Link link, Bytes payload) noexcept;
  void forget_frames() noexcept;
  Result<std::optional<Message>> take_mbus(Bytes payload) noexcept;
  Result<std::optional<Message>> take_hdlc(Bytes payload) noexcept;
  Result<std::optional<Bytes>> take_sml(Bytes payload) noexcept;
  Result<std::optional<Message>> take_iec62056(Bytes payload) noexcept;
  Result<std::optional<Message>> join(const Piece& piece) noexcept;
  Result<std::optional<Bytes>> take_block(const Message& message) noexcept;
  Result<std::optional<Bytes>> begin_transfer(const Message& message, Bytes block) noexcept;
};

/// The rule that fragments and segments share. A message in one piece is not copied, and ends a
/// half-received one without a fault of its own: a good message comes first.
Result<std::optional<Message>> Reassembler::State::join(const Piece& piece) noexcept {
  if (piece.first) {
    const bool interrupted = link_message.drop();
    frames.drop_unsettled();
    if (piece.last) return Message{piece.origin, piece.octets, piece.offset};
    link_message.begin(piece.origin);
    if (!link_message.append(piece.octets)) return fault(Errc::oversize, piece.offset);
    frames.keep();
    if (interrupted) return fault(Errc::lost_fragment, piece.offset);
    return std::nullopt;
  }
  if (!link_message.pending() || !piece.in_order || piece.origin != link_message.origin()) {
    link_message.drop();
    return fault(Errc::lost_fragment, piece.offset);
  }
  if (!link_message.append(piece.octets)) return fault(Errc::oversize, piece.offset);
  frames.keep();
  if (!piece.last) return std::nullopt;
  return Message{piece.origin, link_message.finish(), piece.offset};
}

/// C A CI STSAP DTSAP data (EN 13757-1: CI 00 to 1F is fragment number and FIN). Under any other CI
/// the frame is a message of its own, which C, A and CI belong to (EN 13757-3).
Result<std::optional<Message>> Reassembler::State::take_mbus(Bytes payload) noexcept {
  constexpr std::size_t header_size = 5;
  if (payload.size() < 3) return fault(Errc::truncated, payload.size());
  const unsigned control_information = u8(payload[2]);
  if (control_information > 0x1f) return Message{Origin{}, payload, 0};
  if (payload.size() < header_size) return fault(Errc::truncated, payload.size());
  const unsigned number = control_information & 0x0f;
  const Origin origin{u8(payload[1]) << 16 | u8(payload[3]) << 8 | u8(payload[4]), 0};
  const Piece piece{.origin = origin,
                    .octets = payload.subspan(header_size),
                    .offset = header_size,
                    .first = number == 0,
                    .last = (control_information & 0x10) != 0,
                    .in_order = number == next_fragment};
  next_fragment = number + 1;
  return join(piece);
}

/// Frame format, addresses, control, then HCS and information unless that is empty.
Result<std::optional<Message>> Reassembler::State::take_hdlc(Bytes payload) noexcept {
  Reader reader(payload);
  const bool segmented = (reader.octet() & 0x08) != 0;
  reader.skip(1);
  Origin origin;
  for (int address = 0; address < 2; ++address) {
    std::uint8_t octet = 0;
    do {
      octet = reader.octet();
      origin.addresses = origin.addresses << 8 | octet;
    } while (reader.ok() && (octet & 1) == 0);
  }
  const std::uint8_t control = reader.octet();
  // An I frame's sequence numbers and the poll bit change from segment to segment (AM550: 03, 13).
  origin.kind = (control & 1) == 0 ? 0 : control & 0xef;
  if (!reader.ok()) return fault(Errc::truncated, payload.size());
  if (reader.remaining() == 0) return std::nullopt;  // no information field
  reader.skip(2);
  const Bytes information = reader.rest();
  if (information.empty()) return fault(Errc::truncated, payload.size());

  const bool has_llc = starts_with_llc(information);
  const unsigned tag = reader.peek();
  // Without an LLC header a message starts only where nothing was left out: later blocks of a
  // transfer come that way, and whole APDUs of some meters. Otherwise it is a segment's rest.
  const bool whole = !segmented && !link_message.pending() &&
                     (tag == tag_general_block_transfer || tag == tag_data_notification ||
                      tag == tag_general_glo_ciphering);
  return join({.origin = origin,
               .octets = without_llc(information),
               .offset = reader.offset() + (has_llc ? llc_size : 0),
               .first = has_llc || whole,
               .last = !segmented,
               .in_order = true});
}

/// Where the next octet 1B stands, or the end.
std::size_t find_escape(Bytes octets, std::size_t from) noexcept {
  const void* found = std::memchr(octets.data() + from, 0x1b, octets.size() - from);
  if (found == nullptr) return octets.size();
  return static_cast<std::size_t>(static_cast<const std::byte*>(found) - octets.data());
}

/// Four 1B of the content are eight on the line (SML 1.03, 8.1). Almost no telegram has any.
Result<std::optional<Bytes>> Reassembler::State::take_sml(Bytes payload) noexcept {
  constexpr std::size_t escape_size = 4;
  if (payload.empty()) return fault(Errc::truncated);
  std::size_t copied = 0;
  std::size_t run_size = 0;
  for (std::size_t at = find_escape(payload, 0); at < payload.size();) {
    run_size = u8(payload[at]) == 0x1b ? run_size + 1 : 0;
    ++at;
    if (run_size == 2 * escape_size) {
      if (copied == 0) link_message.begin({});
      const std::size_t kept_end = at - escape_size;
      if (!link_message.append(payload.subspan(copied, kept_end - copied)))
        return fault(Errc::oversize, at);
      copied = at;
    }
    if (run_size == 0 || run_size == 2 * escape_size) {
      run_size = 0;
      at = find_escape(payload, at);
    }
  }
  if (copied == 0) return payload;
  if (!link_message.append(payload.subspan(copied))) return fault(Errc::oversize, payload.size());
  return link_message.finish();
}

/// The data lines with which meters begin their list. Bare lines whose identification was not
/// heard are whole only from there: "1.8.0" may be the rest of "21.8.0".
bool begins_a_list(std::string_view lines) noexcept {
  for (const std::string_view code : {"0.0.0(", "F.F(", "C.1.0("})
    if (lines.starts_with(code)) return true;
  return false;
}

/// Identification and data lines become one text, `/XXXZ…` CR LF in front; STX, ETX and EOT are
/// taken off. A block that ends with EOT is followed by more (IEC 62056-21 6.3.14).
Result<std::optional<Message>> Reassembler::State::take_iec62056(Bytes payload) noexcept {
  constexpr unsigned soh = 0x01, stx = 0x02, etx = 0x03, eot = 0x04;
  const auto character = [](std::byte octet) { return u8(octet) & 0x7f; };
  if (payload.empty()) return fault(Errc::truncated);
  const unsigned first = character(payload.front()), last = character(payload.back());
  if (first == soh) return std::nullopt;  // a command, or the echo of one
  if (first == '/') {
    std::array<std::byte, decltype(identification)::capacity> line;
    const std::size_t size = std::min(payload.size(), line.size());
    std::memcpy(line.data(), payload.data(), size);
    clear_eighth_bits(std::span(line).first(size));
    (void)identification.assign(text_of(Bytes(line).first(size)));
    transfer.drop();
    frames.clear();
    frames.settle();
    if (link_message.drop()) return fault(Errc::lost_fragment);
    return std::nullopt;
  }
  if (!link_message.pending()) {
    link_message.begin(Origin{});
    if (!identification.empty()) {
      (void)link_message.append(bytes_of(identification.view()));
      (void)link_message.append(bytes_of("\r\n"));
    }
  }
  frames.keep();
  const bool is_block = first == stx;
  if (is_block) payload = payload.subspan(1);
  if (is_block && (last == etx || last == eot)) payload = payload.first(payload.size() - 1);
  const std::size_t begin = link_message.octets().size();
  if (!link_message.append_characters(payload)) return fault(Errc::oversize);
  if (!is_block && identification.empty() &&
      !begins_a_list(text_of(link_message.octets().subspan(begin)))) {
    link_message.drop();
    return fault(Errc::lost_fragment);
  }
  if (is_block && last == eot) return std::nullopt;
  identification.clear();
  return Message{Origin{}, link_message.finish(), 0};
}

/// Block 1 always begins a transfer anew: meters break transfers off and restart them.
Result<std::optional<Bytes>> Reassembler::State::begin_transfer(const Message& message,
                                                                Bytes block) noexcept {
  const bool interrupted = transfer.drop();
  transfer.begin(message.origin);
  starts.clear();
  (void)starts.push_back(0);
  frames.drop_settled();
  frames.settle();
  if (!transfer.append(block)) return fault(Errc::oversize, message.offset);
  if (interrupted) return fault(Errc::lost_fragment, message.offset);
  return std::nullopt;
}

/// E0 control(1) number(2) acknowledged(2) length octets (Green Book 9.4.6.12).
Result<std::optional<Bytes>> Reassembler::State::take_block(const Message& message) noexcept {
  Reader reader(message.octets);
  reader.skip(1);
  const bool last = (reader.octet() & 0x80) != 0;
  const std::size_t number = reader.be<std::uint16_t>();
  reader.skip(2);
  const Bytes block = reader.take(reader.ber_length());
  if (!reader.ok()) return fault(Errc::truncated, message.offset);
  if (!reader.consumed() || block.empty()) return fault(Errc::malformed, message.offset);

  if (number == 1 && last) {
    transfer.drop();
    frames.drop_settled();
    return block;
  }
  if (number == 1) return begin_transfer(message, block);
  if (!transfer.pending() || message.origin != transfer.origin() || number == 0 ||
      number > starts.size() + 1) {
    transfer.drop();
    return fault(Errc::lost_fragment, message.offset);
  }
  if (number <= starts.size()) {
    // Again a block that is already there: ignored if it is the same.
    const std::size_t start = starts[number - 1];
    const std::size_t end = number < starts.size() ? starts[number] : transfer.octets().size();
    if (std::ranges::equal(block, transfer.octets().subspan(start, end - start))) {
      frames.drop_unsettled();
      return std::nullopt;
    }
    transfer.drop();
    return fault(Errc::lost_fragment, message.offset);
  }
  if (!starts.push_back(static_cast<std::uint16_t>(transfer.octets().size())) ||
      !transfer.append(block)) {
    transfer.drop();
    return fault(Errc::oversize, message.offset);
  }
  frames.settle();
  if (!last) return std::nullopt;
  return transfer.finish();
}

Result<std::optional<Bytes>> Reassembler::State::take(Link link, Bytes payload) noexcept {
  Result<std::optional<Message>> message;
  switch (link) {
    case Link::mbus_master:
      if (payload.size() <= short_frame_size || (u8(payload[0]) & from_master) != 0)
        return std::nullopt;  // nothing but an acknowledgement, or an echo of the master's request
      [[fallthrough]];
    case Link::mbus:
      message = take_mbus(payload);
      break;
    case Link::hdlc:
      message = take_hdlc(payload);
      break;
    case Link::iec62056_21:
      message = take_iec62056(payload);
      break;
    case Link::raw:
      message = Message{Origin{}, without_llc(payload), 0};
      break;
    case Link::amis:  // SND_NKE says nothing
      if (payload.size() < 3) return std::nullopt;
      return payload;
    case Link::sml:
      return take_sml(payload);
    case Link::p1:
      if (payload.empty() || u8(payload.front()) != 0) return payload;
      // Poland leaves the tag out: 00 length content.
      link_message.begin({});
      if (const std::byte tag{tag_general_glo_ciphering};
          !link_message.append({&tag, 1}) || !link_message.append(payload))
        return fault(Errc::oversize);
      return link_message.finish();
    default:
      return fault(Errc::unsupported_apdu);
  }
  if (!message) return std::unexpected(message.error());
  if (!*message) return std::nullopt;
  const Bytes apdu = (*message)->octets;
  if (apdu.empty()) return fault(Errc::truncated, (*message)->offset);
  if (u8(apdu.front()) == tag_general_block_transfer) return take_block(**message);
  if (transfer.drop()) frames.drop_settled();
  return apdu;
}

/// Of what a fault dropped.
void Reassembler::State::forget_frames() noexcept {
  if (!link_message.pending()) frames.drop_unsettled();
  if (!transfer.pending() && identification.empty()) frames.drop_settled();
}

Reassembler::Reassembler() : state_(std::make_unique<State>()) {}
Reassembler::~Reassembler() = default;

Result<std::optional<Bytes>> Reassembler::take(Link link, Bytes payload,
                                               const WireFrame& frame) noexcept {
  State& state = *state_;
  state.frames.next(frame);
  const auto apdu = state.take(link, payload);
  if (!apdu)
    state.forget_frames();
  else if (*apdu)
    state.frames.finish();
  return apdu;
}

Bytes Reassembler::frames() const noexcept {
  return state_->frames.whole();
}

bool Reassembler::reset() noexcept {
  const bool fragments = state_->link_message.drop();
  const bool blocks = state_->transfer.drop();
  state_->forget_frames();
  return fragments || blocks;
}

void Reassembler::restart() noexcept {
  state_->identification.clear();
  (void)reset();
}

bool Reassembler::pending() const noexcept {
  return state_->link_message.pending() || state_->transfer.pending();
}

}  // namespace meter::dlms
