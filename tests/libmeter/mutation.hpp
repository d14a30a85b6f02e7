// SPDX-License-Identifier: Apache-2.0
// Mutation: telegrams damaged on their way, and what the decoder makes of them. For the test that
// nothing wrong ever comes out, and for the campaign that measures where a check's guarantee ends.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "meter/decoder.hpp"
#include "tools/metersim/meter.hpp"

namespace meter::test {

/// The same numbers with every standard library.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}
  std::size_t roll(std::size_t low, std::size_t high) {
    return low + static_cast<std::size_t>(engine_() % (high - low + 1));
  }
  /// Never 0: xor with it changes an octet.
  std::uint8_t difference() { return static_cast<std::uint8_t>(roll(1, 255)); }

 private:
  std::mt19937_64 engine_;
};

/// Octets before the content of a frame: 68 L L 68 C A CI STSAP DTSAP (EN 13757-2, -1), and
/// 7E, format 2, addresses 2 + 1, control, HCS 2 (IEC 62056-46).
inline constexpr std::size_t header_size = 9;
/// M-Bus: sum and 16. HDLC: FCS of two octets and 7E.
inline std::size_t trailer_size(metersim::Link link) noexcept {
  return link == metersim::Link::mbus ? 2 : 3;
}

inline std::uint8_t mbus_sum(const metersim::Octets& frame) noexcept {
  std::uint8_t sum = 0;
  for (std::size_t i = 4; i + 2 < frame.size(); ++i)
    sum = static_cast<std::uint8_t>(sum + frame[i]);
  return sum;
}
inline std::uint16_t hdlc_fcs(const metersim::Octets& frame) {
  return metersim::crc16_x25(metersim::OctetView(frame).subspan(1, frame.size() - 4));
}
/// Whether the frame's own check holds.
inline bool is_sound(metersim::Link link, const metersim::Octets& frame) {
  const std::size_t end = frame.size();
  if (link == metersim::Link::mbus) return frame[end - 2] == mbus_sum(frame);
  return (frame[end - 3] | frame[end - 2] << 8) == hdlc_fcs(frame);
}
/// As if the content had been sent like this.
inline void mend(metersim::Link link, metersim::Octets& frame) {
  const std::size_t end = frame.size();
  if (link == metersim::Link::mbus) {
    frame[end - 2] = mbus_sum(frame);
  } else {
    const std::uint16_t fcs = hdlc_fcs(frame);
    frame[end - 3] = static_cast<std::uint8_t>(fcs);
    frame[end - 2] = static_cast<std::uint8_t>(fcs >> 8);
  }
}

/// One bit, or one octet: what the sum of M-Bus always finds.
inline void damage_one_octet(Dice& dice, metersim::Octets& frame) {
  std::uint8_t& octet = frame[dice.roll(0, frame.size() - 1)];
  const bool bit = dice.roll(0, 1) == 0;
  octet ^= bit ? static_cast<std::uint8_t>(1u << dice.roll(0, 7)) : dice.difference();
}
inline void flip(metersim::Octets& frame, std::size_t bit) {
  frame[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);  // HDLC sends the low bit first
}
/// Up to three bits, or one burst of up to 16 bits: what CRC-16 always finds.
inline void damage_bits(Dice& dice, metersim::Octets& frame) {
  const std::size_t bits = frame.size() * 8;
  if (dice.roll(0, 1) == 0) {
    std::vector<std::size_t> flipped;
    for (std::size_t count = dice.roll(1, 3); flipped.size() < count;) {
      const std::size_t bit = dice.roll(0, bits - 1);
      if (std::find(flipped.begin(), flipped.end(), bit) != flipped.end()) continue;
      flipped.push_back(bit);
      flip(frame, bit);
    }
    return;
  }
  const std::size_t length = dice.roll(2, 16), first = dice.roll(0, bits - length);
  flip(frame, first);
  for (std::size_t i = 1; i + 1 < length; ++i)
    if (dice.roll(0, 1) == 0) flip(frame, first + i);
  flip(frame, first + length - 1);
}
/// Anything in the frame's content: bits, or a run of other octets. `run_min` octets at least.
inline void damage_content(Dice& dice, metersim::Link link, metersim::Octets& frame,
                           std::size_t run_min = 1) {
  const std::size_t content = frame.size() - header_size - trailer_size(link);
  if (run_min == 1 && dice.roll(0, 1) == 0) {
    for (std::size_t count = dice.roll(1, 8); count > 0; --count)
      flip(frame, header_size * 8 + dice.roll(0, content * 8 - 1));
    return;
  }
  const std::size_t length = std::min(content, dice.roll(run_min, run_min + 31));
  const std::size_t first = header_size + dice.roll(0, content - length);
  for (std::size_t i = 0; i < length; ++i)
    frame[first + i] = static_cast<std::uint8_t>(dice.roll(0, 255));
  frame[first] ^= dice.difference();
}

/// What came of the damaged telegrams. A telegram is wrong where it says anything that no meter
/// sent: a register, the time or the id.
struct Tally {
  std::uint64_t mutations = 0;
  std::uint64_t sound = 0;     ///< sum or FCS holds all the same (they leave out the start octets)
  std::uint64_t harmless = 0;  ///< the damaged telegram was read, and is right
  std::uint64_t wrong = 0;
  std::uint64_t neighbours_lost = 0;  ///< the telegram behind it was not read
  std::string first_wrong;            ///< hex
  void add(const Tally& other) {
    mutations += other.mutations;
    sound += other.sound;
    harmless += other.harmless;
    wrong += other.wrong;
    neighbours_lost += other.neighbours_lost;
    if (first_wrong.empty()) first_wrong = other.first_wrong;
  }
};

/// One meter and its reader.
class Victim {
 public:
  /// `control`: the security control octet; 0: in clear.
  Victim(const metersim::Family& family, std::uint8_t control)
      : family_(family), decoder_({.check_replay = false}, keys()) {
    metersim::MeterOptions options;
    options.start.epoch_s = 1795172405;
    options.control = control;
    metersim::Meter meter(family, options);
    for (int i = 0; i < telegram_count; ++i) {
      telegrams_.push_back(meter.next().frames);
      std::vector<std::string> read = decode(joined(telegrams_.back()));
      if (read.size() != 1) throw std::logic_error(std::string(family.name) + ": not read");
      truth_.push_back(std::move(read.front()));
    }
  }
  metersim::Link link() const noexcept { return family_.link; }

  /// Damages one frame of a telegram, and sends a good telegram behind it.
  template <class Damage>
  void attack(Dice& dice, Tally& tally, Damage damage) {
    const std::size_t index = dice.roll(0, telegrams_.size() - 2);
    std::vector<metersim::Octets> frames = telegrams_[index];
    metersim::Octets& frame = frames[dice.roll(0, frames.size() - 1)];
    const metersim::Octets before = frame;
    damage(frame);
    if (frame == before) return;
    ++tally.mutations;
    if (is_sound(family_.link, frame)) ++tally.sound;
    metersim::Octets octets = joined(frames);
    metersim::append(octets, joined(telegrams_[index + 1]));
    bool neighbour = false;
    for (const std::string& read : decode(octets)) {
      if (read == truth_[index + 1]) {
        neighbour = true;
      } else if (read == truth_[index]) {
        ++tally.harmless;
      } else {
        if (tally.wrong++ == 0)
          tally.first_wrong = std::string(family_.name) + ' ' + metersim::hex_from_octets(octets);
      }
    }
    if (!neighbour) ++tally.neighbours_lost;
  }

 private:
  static constexpr int telegram_count = 40;

  static std::shared_ptr<const dlms::KeyRing> keys() {
    const metersim::Octets key = metersim::test_key(), own = metersim::test_authentication_key();
    dlms::KeyEntry entry{
        "*", *dlms::EncryptionKey::from_octets(std::as_bytes(std::span(key))), {}, {}};
    entry.authentication.push_back(
        *dlms::AuthenticationKey::from_octets(std::as_bytes(std::span(own))));
    std::vector<dlms::KeyEntry> entries;
    entries.push_back(std::move(entry));
    return std::make_shared<const dlms::KeyRing>(std::move(entries));
  }
  static metersim::Octets joined(const std::vector<metersim::Octets>& frames) {
    metersim::Octets all;
    for (const metersim::Octets& frame : frames) metersim::append(all, frame);
    return all;
  }
  /// All that a telegram says, comparable.
  static std::string content_of(const ReadingSet& set) {
    std::string all(set.meter_id.view());
    char time[DateTime::text_size_max];
    if (set.time) all.append(set.time->to_text(time));
    for (const Reading& reading : set.readings) {
      char text[DateTime::text_size_max + 32];
      all.append(reading.obis().to_text(text)).append("=");
      if (reading.kind() == Reading::Kind::number)
        all.append(reading.value().to_text(text)).append(std::to_string(int(reading.unit())));
      else
        all.append(text_of(reading.octets()));
      all += ';';
    }
    return all;
  }
  /// The telegrams in these octets, and silence behind them.
  std::vector<std::string> decode(const metersim::Octets& octets) {
    std::vector<std::string> read;
    auto rest = std::as_bytes(std::span(octets));
    for (bool silent = false;;) {
      const Decoder::Step step = decoder_.next(rest);
      if (step.outcome == Decoder::Outcome::telegram)
        read.push_back(content_of(decoder_.readings()));
      rest = rest.subspan(step.consumed);
      if (step.outcome != Decoder::Outcome::need_more) continue;
      if (silent) return read;
      decoder_.silence();
      silent = true;
    }
  }

  const metersim::Family& family_;
  Decoder decoder_;
  std::vector<std::vector<metersim::Octets>> telegrams_;
  std::vector<std::string> truth_;
};

/// A check, the damage within its guarantee, and the meters whose telegrams it protects.
struct Check {
  std::string_view name;
  metersim::Link link;
  std::vector<std::uint8_t> controls;  ///< security control octets
  bool (*protects)(const metersim::Family&);
  void (*within)(Dice&, metersim::Link, metersim::Octets& frame);
  /// Null: nothing is beyond.
  void (*beyond)(Dice&, metersim::Link, metersim::Octets& frame);
  double beyond_rate;  ///< of random frames that the check lets through
};

inline const std::vector<Check>& checks() {
  using metersim::Link, metersim::Octets;
  constexpr auto octet = [](Dice& dice, Link, Octets& frame) { damage_one_octet(dice, frame); };
  constexpr auto bits = [](Dice& dice, Link, Octets& frame) { damage_bits(dice, frame); };
  constexpr auto run = [](Dice& dice, Link link, Octets& frame) {
    damage_content(dice, link, frame, 4);
  };
  constexpr auto mended = [](Dice& dice, Link link, Octets& frame) {
    damage_content(dice, link, frame);
    mend(link, frame);
  };
  constexpr auto every = [](const metersim::Family&) { return true; };
  // AMIS has no tag: behind its sum stands only the structure of the nine records, which finds
  // every damaged block of AES-CBC, but not an address whose bits turn those of the clock.
  constexpr auto tagged = [](const metersim::Family& family) { return family.encode == nullptr; };
  static const std::vector<Check> all = {
      {"M-Bus sum, one bit or octet", Link::mbus, {0x00, 0x20, 0x21}, every, octet, run, 1.0 / 256},
      {"HDLC CRC-16, 3 bits or a burst of 16",
       Link::hdlc,
       {0x00, 0x20},
       every,
       bits,
       run,
       1.0 / 65536},
      {"GCM tag over M-Bus, anything", Link::mbus, {0x30, 0x31}, tagged, mended, nullptr, 0},
      {"GCM tag over HDLC, anything", Link::hdlc, {0x30, 0x31}, tagged, mended, nullptr, 0},
  };
  return all;
}

/// `count` mutations in turns over every family of the check's link and every control octet.
inline Tally attack(const Check& check, std::uint64_t count, std::uint64_t seed, bool beyond) {
  std::vector<std::unique_ptr<Victim>> victims;
  for (const metersim::Family& family : metersim::families())
    for (const std::uint8_t control : check.controls)
      if (family.link == check.link && check.protects(family))
        victims.push_back(std::make_unique<Victim>(family, control));
  Dice dice(seed);
  Tally tally;
  const auto damage = beyond ? check.beyond : check.within;
  for (std::size_t i = 0; tally.mutations < count; ++i)
    victims[i % victims.size()]->attack(
        dice, tally, [&](metersim::Octets& frame) { damage(dice, check.link, frame); });
  return tally;
}

}  // namespace meter::test
