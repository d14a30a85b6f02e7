// SPDX-License-Identifier: Apache-2.0
// Decoder: joins link layer, reassembly, ciphering and application decoders.
#include "meter/decoder.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "meter/dlms/data_notification.hpp"
#include "meter/dlms/reassembler.hpp"
#include "meter/explain_line.hpp"
#include "meter/iec62056/data_readout.hpp"
#include "meter/link/amis.hpp"
#include "meter/link/hdlc.hpp"
#include "meter/link/search.hpp"
#include "meter/mbus/amis.hpp"
#include "meter/mbus/application.hpp"
#include "meter/p1/telegram.hpp"
#include "meter/sml/file.hpp"

namespace meter {
namespace {

constexpr std::uint8_t tag_general_glo_ciphering = 0xdb;  // Green Book 9.5

/// Bytes without a good frame after which an automatically found link layer is given up: the
/// adapter was moved to another meter. More than any damaged telegram has.
constexpr std::size_t unlock_after = 8 * 1024;

/// Reads one kind of clear message. Content decides: after decryption too.
struct ApplicationDecoder {
  /// Its first octets, and the link layer where they alone do not tell, claim this decoder.
  bool (*begins)(Link link, Bytes apdu) noexcept;
  /// It goes on as it should: false for almost every text of a wrong key.
  bool (*plausible)(Bytes apdu) noexcept;
  /// May name `out.link` more exactly than the link layer does.
  Result<void> (*decode)(Bytes apdu, ReadingSet& out, DecodeObserver* observer,
                         std::uint64_t observer_offset) noexcept;
  /// Reads a frame's payload as it stood, which no joined or decrypted APDU can pass for.
  bool of_payload = false;
};

/// The octets after the length octet of a date-time: year, month and day are possible or FF.
bool plausible_date(Bytes octets) noexcept {
  if (octets.size() < 12) return false;
  const unsigned century = u8(octets[0]), month = u8(octets[2]), day = u8(octets[3]);
  return (century == 0x07 || century == 0 || century == 0xff) &&
         ((month >= 1 && month <= 12) || month >= 0xfd) && ((day >= 1 && day <= 31) || day >= 0xfd);
}

/// Tag, long-invoke-id, then one of the three forms of date-time: none and a structure or array,
/// 12 octets, or 12 octets with the tag of an octet string (Kaifa and Kamstrup, older firmware).
bool plausible_notification(Bytes apdu) noexcept {
  if (apdu.size() < 7) return false;
  switch (u8(apdu[5])) {
    case 0x00:
      return u8(apdu[6]) == 0x01 || u8(apdu[6]) == 0x02;
    case 0x0c:
      return plausible_date(apdu.subspan(6));
    case 0x09:
      return u8(apdu[6]) == 0x0c && plausible_date(apdu.subspan(7));
    default:
      return false;
  }
}

/// No P1 socket's text is one, however it was ciphered: what looks so is another link's frame.
bool begins_notification(Link link, Bytes apdu) noexcept {
  return link != Link::p1 && !apdu.empty() && u8(apdu[0]) == dlms::tag_data_notification;
}

bool begins_p1_telegram(Link link, Bytes apdu) noexcept {
  return (link == Link::p1 || link == Link::raw) && !apdu.empty() && u8(apdu[0]) == '/';
}

bool begins_sml(Link link, Bytes message) noexcept {
  return link == Link::sml && sml::begins_file(message);
}

bool begins_amis(Link link, Bytes clear) noexcept {
  return link == Link::amis && mbus::plausible_amis(clear);
}

bool begins_readout(Link link, Bytes) noexcept {
  return link == Link::iec62056_21;
}
/// Never behind a cipher of DLMS: what a wrong key yields must not pass for one of these.
bool never_encrypted(Bytes) noexcept {
  return false;
}

bool begins_mbus_message(Link link, Bytes message) noexcept {
  return (link == Link::mbus || link == Link::mbus_master) && mbus::is_application_message(message);
}

constexpr ApplicationDecoder application_decoders[] = {
    {begins_notification, plausible_notification, dlms::decode_data_notification},
    {begins_amis, mbus::plausible_amis, mbus::decode_amis},
    {begins_mbus_message, never_encrypted, mbus::decode, true},
    {begins_sml, sml::begins_file, sml::decode_file},
    {begins_p1_telegram, p1::plausible_telegram, p1::decode_telegram},
    {begins_readout, never_encrypted, iec62056::decode_data_readout},
};

const ApplicationDecoder* find_application_decoder(Link link, Bytes apdu, Bytes payload) noexcept {
  for (const ApplicationDecoder& decoder : application_decoders)
    if (decoder.begins(link, apdu) && (!decoder.of_payload || apdu.data() == payload.data()))
      return &decoder;
  return nullptr;
}

/// The first octet of input that is an APDU without a link layer: a ciphered or clear telegram, or
/// the LLC header in front of one (IEC 62056-46 5.3.2).
bool begins_as_apdu(Bytes received) noexcept {
  const unsigned first = u8(received[0]);
  return first == tag_general_glo_ciphering || first == 0xe6 ||
         begins_notification(Link::raw, received);
}

/// HDLC addresses end with the octet whose bit 0 is set (IEC 62056-46 6.4.2.2).
Bytes take_hdlc_address(Bytes& octets) noexcept {
  std::size_t size = 0;
  while (size < octets.size() && size < 4 && (u8(octets[size]) & 1) == 0) ++size;
  size = std::min(size + 1, octets.size());
  const Bytes address = octets.first(size);
  octets = octets.subspan(size);
  return address;
}

/// HDLC's closing flag may be the next frame's opening flag, and may not be here yet.
dlms::WireFrame wire_frame(Link link, Bytes received, const link::Scan& found) noexcept {
  const Bytes rest = received.subspan(found.discard);
  if (link != Link::hdlc) return {rest.first(found.size)};
  if (rest.size() > found.size && rest[found.size] == link::hdlc_flag)
    return {rest.first(found.size + 1)};
  return {rest.first(found.size), Bytes(&link::hdlc_flag, 1)};
}

}  // namespace

static_assert(Decoder::frames_size_max == dlms::Reassembler::frames_size_max);

struct Decoder::State final : dlms::ClearTextReader {
  State(const DecoderOptions& configured, std::shared_ptr<const dlms::KeyRing> keys)
      : options(configured),
        layer(options.link ? link::find_link_layer(*options.link) : nullptr),
        decryptor({options.check_replay, options.accept_counter_reset},
                  dlms::Reassembler::apdu_size_max) {
    decryptor.set_keys(std::move(keys));
  }

  bool plausible(Bytes clear) const noexcept override;
  bool shares_authentication_key() const noexcept override { return layer->link == Link::p1; }
  Result<void> read(Bytes clear, const dlms::CipherFacts& facts) noexcept override;

  Step step(Bytes received) noexcept;
  link::Scan scan(Bytes received) noexcept;
  link::Scan scan_with(const link::LinkLayer& candidate, Bytes received,
                       std::size_t starts_before = link::everywhere) const noexcept;
  link::Scan detect(Bytes received) noexcept;
  void scan_layers(Bytes received) noexcept;
  Step discard(Bytes received, const link::Scan& found) noexcept;
  Step finish(std::size_t consumed) noexcept;
  Step take(Bytes received, const link::Scan& found) noexcept;
  Step read_whole(Bytes apdu, std::size_t apdu_at, bool in_place,
                  const link::Scan& found) noexcept;
  Result<void> read_apdu(Bytes apdu, std::uint64_t offset) noexcept;
  Result<void> read_amis(Bytes message, std::uint64_t offset) noexcept;
  Step refuse(Errc code, std::size_t offset, std::size_t consumed) noexcept;
  void explain(std::string_view stage, std::uint64_t offset, std::string_view text) const {
    if (options.observer != nullptr) options.observer->stage(stage, offset, text);
  }
  void explain_frame(const link::Scan& found) const;

  DecoderOptions options;
  const link::LinkLayer* layer;  ///< null: not found yet
  /// What each layer, in the table's order, found in `scanned`: while one waits for more bytes, the
  /// others look only at those that came.
  std::array<link::Scan, link::layer_count> scans{};
  std::array<std::byte, buffer_size_min> scanned{};  ///< a copy: who drops bytes need not say so
  std::size_t scanned_size = 0;
  bool scanned_as_end = false;
  dlms::Reassembler reassembler;
  dlms::Decryptor decryptor;
  ReadingSet readings;
  std::optional<dlms::ReplayGuard::Telegram> counted;  ///< of `readings`
  std::array<std::uint64_t, errc_count> refusals{};
  std::uint64_t telegrams = 0;
  InlineVector<std::byte, link::amis_frame_size_max> last_amis;  ///< the last good message
  std::uint64_t stream_offset = 0;  ///< of the first byte of `received`
  Bytes payload;                    ///< of the frame being taken
  std::uint64_t apdu_offset = 0;    ///< of the APDU being read, for the observer
  std::size_t without_frame = 0;    ///< bytes since the last good frame
  unsigned frames = 0;              ///< of the telegram so far
  bool believed = true;             ///< a proof beyond structure was seen for `layer`
  bool in_noise = false;            ///< a run of noise is counted once
  bool may_be_raw = true;           ///< nothing was consumed that contradicts a bare APDU
  bool ended = false;               ///< what waits will not be completed
  bool silent = false;              ///< and more may come after it
};

Decoder::Step Decoder::State::refuse(Errc code, std::size_t offset, std::size_t consumed) noexcept {
  ++refusals[std::to_underlying(code)];
  const auto outcome = code == Errc::duplicate ? Outcome::duplicate : Outcome::rejected;
  return {outcome, consumed, {code, static_cast<std::uint32_t>(offset)}};
}

Decoder::Step Decoder::State::step(Bytes received) noexcept {
  if (received.empty()) return finish(0);
  may_be_raw = may_be_raw && stream_offset == 0 && layer == nullptr &&
               received.size() < buffer_size_min && begins_as_apdu(received);
  link::Scan found = scan(received);
  if (may_be_raw &&
      (found.size == 0 || (!found.proven && !decryptor.opens(found.payload, *this)))) {
    // Held back until a layer with a checksum finds a frame, or a key opens a P1 telegram, or the
    // end shows that none will.
    if (!ended) {
      layer = nullptr;
      return {};
    }
    may_be_raw = false;
    if (!silent) {
      layer = link::find_link_layer(Link::raw);
      believed = true;
      found = scan(received);
    }
  }
  if (found.discard != 0 && found.refused) return discard(received, found);
  if (found.size == 0) return finish(found.discard);
  Step taken = take(received, found);
  taken.frame = received.subspan(found.discard, found.size);
  if (!believed) {
    believed = taken.outcome == Outcome::telegram || taken.outcome == Outcome::duplicate;
    if (!believed) layer = nullptr;
  }
  return taken;
}

link::Scan Decoder::State::scan(Bytes received) noexcept {
  if (layer == nullptr) return detect(received);
  return scan_with(*layer, received);
}

link::Scan Decoder::State::scan_with(const link::LinkLayer& candidate, Bytes received,
                                     std::size_t starts_before) const noexcept {
  return ended ? link::scan_rest(candidate, received, starts_before)
               : candidate.scan(received, starts_before);
}

/// The first frame of any layer, and what the others see up to there. The search goes on in twice
/// as many bytes each time: of a line full of short frames no layer searches everything for each of
/// them. No start is examined twice.
void Decoder::State::scan_layers(Bytes received) noexcept {
  const bool goes_on = ended == scanned_as_end && scanned_size != 0 &&
                       received.size() >= scanned_size &&
                       std::memcmp(received.data(), scanned.data(), scanned_size) == 0;
  if (!goes_on) {
    scans = {};
    scanned_size = 0;
  }
  scanned_as_end = ended;
  // What was found is looked at again: the bytes may lie elsewhere now.
  for (link::Scan& seen : scans) seen.size = 0;
  bool found = false;
  std::size_t searched = 0;
  for (std::size_t end = 1; !found && searched < received.size(); end *= 2) {
    auto scan = scans.begin();
    for (const link::LinkLayer& candidate : link::link_layers()) {
      link::Scan& seen = *scan++;
      const bool waits = seen.discard < searched;
      if (!candidate.has_checksum || waits || seen.discard >= end) continue;
      link::go_on(seen, scan_with(candidate, received.subspan(seen.discard), end - seen.discard));
      found = found || seen.size != 0;
    }
    searched = end;
  }
  if (received.size() > scanned.size()) {
    scanned_size = 0;  // so much does not wait
    return;
  }
  const Bytes fresh = received.subspan(scanned_size);
  std::memcpy(scanned.data() + scanned_size, fresh.data(), fresh.size());
  scanned_size = received.size();
}

/// The layer with the first frame whose checksum is right is the one. Until then a byte is
/// dropped only when no layer has a use for it. A frame that nothing proves may be the content of
/// one that another layer is still waiting for, or has refused: then only a key that opens it
/// shows that it is not, and of what is not only its start is dropped.
link::Scan Decoder::State::detect(Bytes received) noexcept {
  link::Scan frame, nothing;
  const link::LinkLayer* found_by = nullptr;
  Fault cause{Errc::line_noise, 0};
  nothing.discard = received.size();
  nothing.refused = true;
  std::size_t waited_for = received.size();
  scan_layers(received);
  auto scan = scans.begin();
  for (const link::LinkLayer& candidate : link::link_layers()) {
    const link::Scan& found = *scan++;
    if (!candidate.has_checksum) continue;
    nothing.discard = std::min(nothing.discard, found.discard);
    nothing.refused = nothing.refused && found.refused;
    const bool damaged = found.refused && found.fault.code != Errc::line_noise;
    if (cause.code == Errc::line_noise ? found.refused
                                       : damaged && found.fault.offset < cause.offset)
      cause = found.fault;
    if (found.size == 0) waited_for = std::min(waited_for, found.discard);
    if (found.size == 0 || (frame.size != 0 && frame.discard <= found.discard)) continue;
    frame = found;
    found_by = &candidate;
  }
  if (frame.size != 0 && (frame.proven || waited_for > frame.discard)) {
    layer = found_by;
    believed = frame.proven;
    const bool inside_damaged = cause.code != Errc::line_noise && cause.offset < frame.discard;
    if (believed || !inside_damaged || u8(frame.payload[0]) != tag_general_glo_ciphering ||
        decryptor.opens(frame.payload, *this))
      return frame;
    layer = nullptr;
    nothing.discard = frame.discard + 1;
    nothing.refused = true;
  }
  // A refusal beyond the dropped bytes is found again, and reported, when they are dropped.
  if (cause.code != Errc::line_noise && cause.offset < nothing.discard) {
    nothing.refused = true;
    nothing.fault = cause;
  }
  return nothing;
}

/// Drops bytes that belong to no frame; a frame behind them is found again by the next call.
Decoder::Step Decoder::State::discard(Bytes received, const link::Scan& found) noexcept {
  without_frame += found.discard;
  if (without_frame > unlock_after && found.size == 0 && !options.link) {
    layer = nullptr;
    without_frame = 0;
  }
  const bool noise = found.fault.code == Errc::line_noise;
  const bool repeated = noise && in_noise;
  in_noise = noise;
  if (repeated) return {Outcome::progress, found.discard, {}};
  if (options.observer != nullptr) {
    ExplainLine line;
    line.number(found.discard).text(" octets dropped, beginning with ");
    line.hex(received.first(std::min<std::size_t>(found.discard, 8))).text(": ");
    explain("link", stream_offset + found.fault.offset,
            line.text(describe(found.fault.code)).view());
  }
  return refuse(found.fault.code, found.fault.offset, found.discard);
}

/// Nothing more in these bytes. At the end of input a half-received telegram stays one.
Decoder::Step Decoder::State::finish(std::size_t consumed) noexcept {
  if (!ended || !reassembler.reset()) return {Outcome::need_more, consumed, {}};
  frames = 0;
  explain("reassembly", stream_offset + consumed, describe(Errc::lost_fragment));
  return refuse(Errc::lost_fragment, consumed, consumed);
}

void Decoder::State::explain_frame(const link::Scan& found) const {
  ExplainLine line;
  line.text(name(layer->link)).text(" frame of ").number(found.size).text(" octets");
  Bytes rest = found.payload;
  if (layer->link == Link::hdlc && rest.size() > 2) {
    line.text(", format ").hex(rest.first(2));
    rest = rest.subspan(2);
    line.text(", destination ").hex(take_hdlc_address(rest));
    line.text(", source ").hex(take_hdlc_address(rest));
    if (!rest.empty()) line.text(", control ").hex(rest.first(1));
  } else if (rest.size() > 2 && (layer->link == Link::mbus || layer->link == Link::mbus_master ||
                                 layer->link == Link::amis)) {
    line.text(", control ").hex(rest.first(1)).text(", address ").hex(rest.subspan(1, 1));
    line.text(", CI ").hex(rest.subspan(2, 1));
  } else if (layer->link == Link::p1) {
    const bool is_text = !rest.empty() && u8(rest[0]) == '/';
    line.text(is_text ? ", text" : ", ciphered");
    line.text(found.proven ? ", CRC right" : is_text ? ", no CRC" : "");
  }
  explain("link", stream_offset + found.discard, line.view());
}

Decoder::Step Decoder::State::take(Bytes received, const link::Scan& found) noexcept {
  const std::size_t consumed = found.discard + found.size;
  const auto payload_at = static_cast<std::size_t>(found.payload.data() - received.data());
  may_be_raw = false;
  in_noise = false;
  without_frame = 0;
  ++frames;
  if (options.observer != nullptr) explain_frame(found);
  payload = found.payload;
  const auto taken =
      reassembler.take(layer->link, payload, wire_frame(layer->link, received, found));
  if (!taken) {
    frames = reassembler.pending() ? 1 : 0;
    explain("reassembly", stream_offset + payload_at, describe(taken.error().code));
    return refuse(taken.error().code, payload_at + taken.error().offset, consumed);
  }
  if (!*taken) return {Outcome::progress, consumed, {}};

  const Bytes apdu = **taken;
  // A view into the received bytes, or a copy that was joined from several frames.
  const bool in_place =
      apdu.data() >= received.data() && apdu.data() < received.data() + received.size();
  const std::size_t apdu_at =
      in_place ? static_cast<std::size_t>(apdu.data() - received.data()) : payload_at;
  if (options.observer != nullptr) {
    ExplainLine line;
    line.text("telegram of ").number(apdu.size()).text(" octets from ").number(frames);
    line.text(frames == 1 ? " frame" : " frames");
    explain("reassembly", stream_offset + apdu_at, line.view());
  }
  frames = 0;
  Step step = read_whole(apdu, apdu_at, in_place, found);
  step.frames = reassembler.frames();
  step.link = layer->link;
  return step;
}

Decoder::Step Decoder::State::read_whole(Bytes apdu, std::size_t apdu_at, bool in_place,
                                         const link::Scan& found) noexcept {
  const std::size_t consumed = found.discard + found.size;
  const auto read = read_apdu(apdu, stream_offset + apdu_at);
  if (!read) {
    const Errc code = read.error().code;
    // A length that nothing proves may be the lost end of this telegram and the next one's front.
    const bool is_unproven = !found.proven && (code == Errc::key_wrong || code == Errc::bad_tag ||
                                               code == Errc::authentication_key_wrong);
    return refuse(code, apdu_at + (in_place ? read.error().offset : 0),
                  is_unproven ? found.discard + 1 : consumed);
  }
  ++telegrams;
  return {Outcome::telegram, consumed, {}};
}

/// The meter repeats what was not acknowledged: with the frame count bit unchanged all of it is
/// the same.
Result<void> Decoder::State::read_amis(Bytes message, std::uint64_t offset) noexcept {
  if (options.check_replay && std::ranges::equal(message, last_amis)) return fault(Errc::duplicate);
  const auto parsed = mbus::parse_amis(message);
  if (!parsed) return std::unexpected(parsed.error());
  const std::size_t records_at = mbus::AmisMessage::records_at;
  apdu_offset = offset + records_at;
  dlms::CipherFacts facts;
  facts.authentication = Authentication::clear;
  const auto read_records =
      parsed->is_encrypted
          ? decryptor.open_cbc({parsed->address, parsed->access_number, parsed->records}, *this,
                               options.observer, offset)
          : read(parsed->records, facts);
  if (!read_records)
    return fault(read_records.error().code, records_at + read_records.error().offset);
  last_amis.clear();
  for (const std::byte octet : message) (void)last_amis.push_back(octet);
  return {};
}

Result<void> Decoder::State::read_apdu(Bytes apdu, std::uint64_t offset) noexcept {
  apdu_offset = offset;
  if (layer->link == Link::amis) return read_amis(apdu, offset);
  if (!apdu.empty() && u8(apdu[0]) == tag_general_glo_ciphering)
    return decryptor.open(apdu, *this, options.observer, offset);
  dlms::CipherFacts facts;
  facts.authentication = Authentication::clear;
  const auto read_clear = read(apdu, facts);
  if (!read_clear) explain("notification", offset, describe(read_clear.error().code));
  return read_clear;
}

bool Decoder::State::plausible(Bytes clear) const noexcept {
  const ApplicationDecoder* decoder = find_application_decoder(layer->link, clear, payload);
  return decoder != nullptr && decoder->plausible(clear);
}

Result<void> Decoder::State::read(Bytes clear, const dlms::CipherFacts& facts) noexcept {
  readings.clear();
  readings.link = layer->link;
  readings.authentication = facts.authentication;
  readings.system_title = facts.system_title;
  readings.invocation_counter = facts.invocation_counter;
  counted = facts.counted;
  const ApplicationDecoder* decoder = find_application_decoder(layer->link, clear, payload);
  if (decoder == nullptr) return fault(Errc::unsupported_apdu, 0);
  const auto read =
      decoder->decode(clear, readings, options.observer, apdu_offset + facts.clear_offset);
  // Clocks of DLMS say their deviation; these keep the local time.
  if (readings.link != Link::hdlc && readings.link != Link::raw && readings.link != Link::sml)
    readings.standard_offset_min = options.standard_offset_min;
  if (readings.time)
    readings.time = readings.time->with_standard_offset(readings.standard_offset_min);
  if (!read) readings.clear();
  return read;
}

Decoder::Decoder(const DecoderOptions& options, std::shared_ptr<const dlms::KeyRing> keys)
    : state_(std::make_unique<State>(options, std::move(keys))) {}
Decoder::~Decoder() = default;

Decoder::Step Decoder::next(Bytes received) noexcept {
  const Step step = state_->step(received);
  state_->stream_offset += step.consumed;
  if (step.outcome == Outcome::need_more && state_->silent) state_->ended = state_->silent = false;
  return step;
}

const ReadingSet& Decoder::readings() const noexcept {
  return state_->readings;
}

void Decoder::silence() noexcept {
  state_->ended = true;
  state_->silent = true;
}

void Decoder::restart(std::optional<Link> link) noexcept {
  State& own = *state_;
  own.options.link = link;
  own.layer = link ? link::find_link_layer(*link) : nullptr;
  own.scanned_size = 0;
  own.reassembler.restart();
  own.stream_offset = 0;
  own.without_frame = 0;
  own.frames = 0;
  own.believed = own.may_be_raw = true;
  own.in_noise = own.ended = own.silent = false;
}

bool Decoder::pending() const noexcept {
  return state_->reassembler.pending();
}

void Decoder::end_of_input() noexcept {
  state_->ended = true;
  state_->silent = false;
}

void Decoder::set_keys(std::shared_ptr<const dlms::KeyRing> keys) noexcept {
  state_->decryptor.set_keys(std::move(keys));
}

void Decoder::set_standard_offset(std::optional<std::int16_t> minutes) noexcept {
  state_->options.standard_offset_min = minutes;
}

std::optional<SystemTitle> Decoder::system_title() const noexcept {
  return state_->decryptor.last_title();
}

std::optional<Link> Decoder::link() const noexcept {
  if (state_->layer == nullptr) return std::nullopt;
  return state_->layer->link;
}

std::span<const std::uint64_t, errc_count> Decoder::refusals() const noexcept {
  return state_->refusals;
}

std::uint64_t Decoder::telegrams() const noexcept {
  return state_->telegrams;
}

const std::optional<dlms::ReplayGuard::Telegram>& Decoder::counted() const noexcept {
  return state_->counted;
}

void Decoder::restore_replay_baseline(const dlms::ReplayBaseline& baseline) noexcept {
  state_->decryptor.replay_guard().restore(baseline);
}

std::span<const dlms::ReplayBaseline> Decoder::replay_baselines() const noexcept {
  return state_->decryptor.replay_guard().baselines();
}

}  // namespace meter
