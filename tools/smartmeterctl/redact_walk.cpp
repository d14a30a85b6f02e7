// SPDX-License-Identifier: Apache-2.0
// Walk: a decoder without keys over a recording, and what it took from where.
#include "tools/smartmeterctl/redact_walk.hpp"

#include <algorithm>

#include "meter/base/reader.hpp"
#include "meter/decoder.hpp"
#include "meter/link/link_layer.hpp"
#include "meter/mbus/application.hpp"
#include "meter/reseal.hpp"

namespace smartmeterctl::redact {
namespace {

using meter::Bytes;
using meter::Errc;
using meter::u8;

/// Refusals behind which a cipher or its tag stands: the telegram must stay as it is.
bool is_locked(Errc code) {
  switch (code) {
    case Errc::key_missing:
    case Errc::key_wrong:
    case Errc::authentication_key_wrong:
    case Errc::bad_tag:
    case Errc::tag_missing:
    case Errc::unsupported_suite:
    case Errc::unsupported_compression:
      return true;
    default:
      return false;
  }
}

Entry entry_of(const meter::Reading& reading) {
  Entry entry;
  entry.obis = reading.obis();
  entry.kind = reading.kind();
  entry.unit = reading.unit();
  entry.sub_meter = reading.sub_meter();
  entry.has_scale = !reading.has(meter::Reading::scale_unknown);
  if (entry.kind == meter::Reading::Kind::number)
    entry.value = reading.value();
  else
    entry.octets.assign(reading.octets().begin(), reading.octets().end());
  return entry;
}

class Walker {
 public:
  explicit Walker(const Recording& recording) : recording_(recording) {}
  Walk run();

 private:
  void decode();
  void take_frame(const meter::Decoder::Step& step, Bytes rest, std::size_t at);
  void settle(Frame::State state);
  void add_telegram();

  const Recording& recording_;
  Walk walk_;
  meter::Decoder decoder_{{.check_replay = false}, nullptr};
  std::size_t done_ = 0, given_ = 0;  // of the recording
  std::vector<std::size_t> pending_;  // frames of a telegram that is not whole yet
};

void Walker::settle(Frame::State state) {
  for (const std::size_t frame : pending_) walk_.frames[frame].state = state;
  pending_.clear();
}

void Walker::add_telegram() {
  const meter::ReadingSet& set = decoder_.readings();
  Telegram telegram;
  telegram.frames = pending_;
  telegram.link = set.link;
  telegram.is_signed_only = set.authentication != meter::Authentication::clear;
  telegram.meter_id = set.meter_id.view();
  telegram.manufacturer = set.manufacturer.view();
  telegram.profile = set.profile;
  telegram.medium = set.medium;
  telegram.time = set.time;
  for (const meter::SubMeter& sub_meter : set.sub_meters)
    telegram.sub_meter_ids.emplace_back(sub_meter.id.view());
  for (std::size_t i = 0; i < set.readings.size(); ++i) {
    Entry entry = entry_of(set.readings[i]);
    if (i < set.details.size()) {
      entry.label = set.details[i].label;
      entry.storage = set.details[i].storage;
      entry.tariff = set.details[i].tariff;
    }
    telegram.entries.push_back(std::move(entry));
  }
  settle(telegram.is_signed_only ? Frame::State::locked : Frame::State::clear);
  walk_.telegrams.push_back(std::move(telegram));
}

void Walker::take_frame(const meter::Decoder::Step& step, Bytes rest, std::size_t at) {
  if (step.frame.empty()) return;
  const auto begin = static_cast<std::size_t>(step.frame.data() - rest.data());
  // A layer that nothing proved is forgotten after its first refusal.
  const auto link = decoder_.link();
  pending_.push_back(walk_.frames.size());
  walk_.frames.push_back({.at = at + begin,
                          .size = step.frame.size(),
                          .link = link.value_or(step.link)});
}

void Walker::decode() {
  using Outcome = meter::Decoder::Outcome;
  for (;;) {
    const Bytes rest = Bytes(recording_.octets).subspan(done_, given_ - done_);
    const auto step = decoder_.next(rest);
    take_frame(step, rest, done_);
    if (step.outcome == Outcome::rejected || step.outcome == Outcome::duplicate)
      walk_.refusals.push_back({step.fault.code, done_ + step.fault.offset});
    if (step.outcome == Outcome::telegram) {
      add_telegram();
    } else if (step.outcome == Outcome::rejected && is_locked(step.fault.code)) {
      ++walk_.encrypted;
      settle(Frame::State::locked);
    } else if (step.outcome == Outcome::rejected && step.fault.code == Errc::lost_fragment &&
               step.frame.empty()) {
      settle(Frame::State::unknown);
    } else if (step.outcome == Outcome::rejected && !step.frame.empty()) {
      // The refused frame may begin a telegram of its own.
      const std::size_t last = pending_.back();
      if (decoder_.pending()) pending_.pop_back();
      settle(Frame::State::unknown);
      if (decoder_.pending()) pending_.push_back(last);
    }
    done_ += step.consumed;
    if (step.outcome == Outcome::need_more) return;
  }
}

Walk Walker::run() {
  for (const Recording::Piece& piece : recording_.pieces) {
    if (piece.is_after_silence) {
      decoder_.silence();
      decode();
    }
    given_ = piece.at + piece.size;
    decode();
  }
  decoder_.end_of_input();
  decode();
  return std::move(walk_);
}

/// Behind the header of a block (Green Book 9.3.13): E0, control, number, acknowledged number.
Bytes without_block_header(Bytes octets) {
  if (octets.empty() || u8(octets[0]) != 0xe0) return octets;
  constexpr std::size_t header_size = 6;
  meter::Reader reader(octets);
  reader.skip(header_size);
  const std::size_t size = reader.ber_length();
  if (!reader.ok() || size > reader.remaining()) return octets;
  return reader.take(size);
}

/// What a frame carries of a telegram; `payload` is as Scan has it.
Bytes piece_of(meter::Link link, Bytes payload) {
  if (link == meter::Link::mbus || link == meter::Link::mbus_master) {
    constexpr std::size_t header_size = 5;
    if (payload.size() < header_size || u8(payload[2]) > 0x1f) return payload;
    return without_block_header(payload.subspan(header_size));
  }
  if (link != meter::Link::hdlc) return payload;
  std::size_t at = 2;
  for (int address = 0; address < 2; ++address) {
    while (at < payload.size() && (u8(payload[at]) & 1) == 0) ++at;
    ++at;
  }
  constexpr std::size_t control_and_check = 3, llc_size = 3;
  at += control_and_check;
  if (at >= payload.size()) return {};
  const Bytes information = payload.subspan(at);
  const bool has_llc = information.size() >= llc_size && u8(information[0]) == 0xe6 &&
                       (u8(information[1]) & 0xfe) == 0xe6 && u8(information[2]) == 0;
  return without_block_header(information.subspan(has_llc ? llc_size : 0));
}

}  // namespace

Walk walk(const Recording& recording) {
  return Walker(recording).run();
}

Content content_of(const Recording& recording, const Walk& walk, const Telegram& telegram) {
  Content content;
  for (const std::size_t index : telegram.frames) {
    const Frame& frame = walk.frames[index];
    const Bytes octets = Bytes(recording.octets).subspan(frame.at, frame.size);
    const auto found = meter::link::scan_rest(*meter::link::find_link_layer(frame.link), octets);
    const Bytes payload = found.size != 0 ? found.payload : octets;
    const Bytes piece = piece_of(frame.link, payload);
    content.is_application_message = frame.link != meter::Link::hdlc &&
                                     frame.link != meter::Link::p1 &&
                                     frame.link != meter::Link::sml &&
                                     frame.link != meter::Link::iec62056_21 &&
                                     piece.size() == payload.size() &&
                                     meter::mbus::is_application_message(piece);
    const auto begin = static_cast<std::size_t>(piece.data() - recording.octets.data());
    const auto add = [&](std::size_t i) {
      const bool has_parity = frame.link == meter::Link::iec62056_21;
      content.octets.push_back(has_parity ? piece[i] & std::byte{0x7f} : piece[i]);
      content.at.push_back(begin + i);
    };
    if (frame.link == meter::Link::iec62056_21 && !content.octets.empty()) {
      content.octets.push_back(std::byte{'\n'});
      content.at.push_back(Content::nowhere);
    }
    if (frame.link == meter::Link::sml)
      std::ranges::for_each(meter::sml_content_offsets(piece), add);
    else
      for (std::size_t i = 0; i < piece.size(); ++i) add(i);
  }
  return content;
}

std::vector<Range> unread_ranges(const Recording& recording, const Walk& walk) {
  std::vector<Range> ranges;
  const auto add = [&](std::size_t from, std::size_t to) {
    const auto separates = [](std::byte octet) {
      const unsigned value = u8(octet);
      return value == 0x7e || value == 0 || value == '\r' || value == '\n' || value == ' ';
    };
    const Bytes octets = Bytes(recording.octets).subspan(from, to - from);
    if (!std::ranges::all_of(octets, separates)) ranges.push_back({from, to - from, false});
  };
  std::size_t end = 0;
  for (const Frame& frame : walk.frames) {
    if (frame.at > end) add(end, frame.at);
    if (frame.state == Frame::State::unknown) ranges.push_back({frame.at, frame.size, true});
    end = std::max(end, frame.at + frame.size);
  }
  if (recording.octets.size() > end) add(end, recording.octets.size());
  return ranges;
}

}  // namespace smartmeterctl::redact
