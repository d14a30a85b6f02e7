// SPDX-License-Identifier: Apache-2.0
// redact: find the ids, replace them in every form, put the checksums right, decode again.
#include "tools/smartmeterctl/redact.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <memory>
#include <random>
#include <set>
#include <utility>

#include "meter/reseal.hpp"
#include "tools/capture_format.hpp"
#include "tools/smartmeterctl/redact_text.hpp"
#include "tools/smartmeterctl/text.hpp"

namespace smartmeterctl::redact {
namespace {

using meter::Bytes;
using meter::u8;

/// The recording's octets, of which some are replaced already and some must stay.
class Replacing {
 public:
  Replacing(const Recording& original, const Walk& walk, const Pseudonyms& names)
      : original_(original),
        walk_(walk),
        names_(names),
        octets_(original.octets),
        is_fixed_(octets_.size(), false) {
    for (const Frame& frame : walk.frames)
      if (frame.state == Frame::State::locked)
        std::fill_n(is_fixed_.begin() + static_cast<std::ptrdiff_t>(frame.at), frame.size, true);
  }

  /// An id where its register, header or line is, however short.
  void at_places(const Content& content, const std::vector<Found>& found) {
    for (const Found& each : found)
      for (const Place& place : each.places)
        if (const Form* form = names_.find(Bytes(content.octets).subspan(place.at, place.size)))
          (void)replace(*form, content, place.at);
  }
  /// Wherever else it stands.
  void everywhere(const std::vector<Content>& contents) {
    const Content all = whole();
    for (const Form& form : names_.forms()) {
      if (!form.is_telling) continue;
      for (const Content& content : contents) each(form, content);
      each(form, all);
    }
  }
  /// The checksums of what was changed. False where one does not fit.
  bool reseal() {
    bool fits = true;
    for (const Frame& frame : walk_.frames) {
      const std::span<std::byte> now = std::span(octets_).subspan(frame.at, frame.size);
      const Bytes before = Bytes(original_.octets).subspan(frame.at, frame.size);
      if (frame.state != Frame::State::locked && !std::ranges::equal(now, before))
        fits = meter::reseal(frame.link, before, now) && fits;
    }
    return fits;
  }
  Octets take() { return std::move(octets_); }
  std::uint64_t places() const { return places_; }
  std::uint64_t ids() const { return ids_.size(); }

 private:
  Content whole() const {
    Content content;
    content.octets = original_.octets;
    content.at.resize(original_.octets.size());
    for (std::size_t i = 0; i < content.at.size(); ++i) content.at[i] = i;
    return content;
  }
  void each(const Form& form, const Content& content) {
    for (auto at = find_form(form, content.octets, 0); at;
         at = find_form(form, content.octets, *at + 1))
      (void)replace(form, content, *at);
  }
  bool replace(const Form& form, const Content& content, std::size_t at) {
    for (std::size_t i = 0; i < form.to.size(); ++i)
      if (content.at[at + i] == Content::nowhere || is_fixed_[content.at[at + i]]) return false;
    for (std::size_t i = 0; i < form.to.size(); ++i) {
      const std::size_t octet_at = content.at[at + i];
      octets_[octet_at] = with_parity_of(original_.octets[octet_at], content.octets[at + i],
                                         form.to[i]);
      is_fixed_[octet_at] = true;
    }
    ++places_;
    ids_.insert(form.id);
    return true;
  }
  /// IEC 62056-21 in eight bits: `was` is `character` with even parity, or as it is.
  static std::byte with_parity_of(std::byte was, std::byte character, std::byte to) {
    const bool is_bare = was == character && std::popcount(u8(was)) % 2 != 0;
    const bool has_parity = was != character;
    if (!has_parity || is_bare) return to;
    return std::popcount(u8(to)) % 2 != 0 ? to | std::byte{0x80} : to;
  }

  const Recording& original_;
  const Walk& walk_;
  const Pseudonyms& names_;
  Octets octets_;
  std::vector<bool> is_fixed_;
  std::uint64_t places_ = 0;
  std::set<std::size_t> ids_;  ///< of those that stand somewhere
};

/// The octets with every form of an id replaced.
Octets renamed(const Octets& octets, const Pseudonyms& names) {
  Octets out = octets;
  std::vector<bool> is_done(octets.size(), false);
  const auto put = [&](const Form& form, std::size_t at) {
    const auto begin = is_done.begin() + static_cast<std::ptrdiff_t>(at);
    const auto end = begin + static_cast<std::ptrdiff_t>(form.to.size());
    if (std::find(begin, end, true) != end) return;
    std::fill(begin, end, true);
    std::ranges::copy(form.to, out.begin() + static_cast<std::ptrdiff_t>(at));
  };
  if (const Form* form = names.find(octets)) put(*form, 0);
  for (const Form& form : names.forms())
    for (auto at = form.is_telling ? find_form(form, octets, 0) : std::nullopt; at;
         at = find_form(form, octets, *at + 1))
      put(form, *at);
  return out;
}

/// It could have been told from others.
bool names_somebody(const Entry& entry) {
  if (entry.kind == meter::Reading::Kind::number) return entry.value.mantissa > 0;
  const auto is_name = [](std::byte octet) {
    return !meter::is_printable(octet) || std::isalnum(static_cast<int>(u8(octet))) != 0;
  };
  return !is_blank(entry.octets) && std::ranges::any_of(entry.octets, is_name);
}

/// The same register; its value may differ where it is an id, and only there.
bool is_same(const Entry& before, const Entry& after, bool is_an_id, const Pseudonyms& names) {
  const bool same_kind = before.obis == after.obis && before.kind == after.kind &&
                         before.unit == after.unit && before.sub_meter == after.sub_meter &&
                         before.has_scale == after.has_scale &&
                         before.storage == after.storage && before.tariff == after.tariff &&
                         before.label.size() == after.label.size();
  if (!same_kind) return false;
  const bool is_number = before.kind == meter::Reading::Kind::number;
  const bool is_equal = is_number ? before.value == after.value : before.octets == after.octets;
  if (is_an_id && names_somebody(before))
    return !is_equal && before.value.exponent == after.value.exponent &&
           before.octets.size() == after.octets.size();
  return is_equal || (!is_number && after.octets == renamed(before.octets, names));
}

bool is_same(const Telegram& before, const Telegram& after, const Pseudonyms& names) {
  const bool same_facts = before.frames == after.frames && before.link == after.link &&
                          before.profile == after.profile &&
                          before.manufacturer == after.manufacturer &&
                          before.medium == after.medium && before.time == after.time &&
                          before.meter_id.size() == after.meter_id.size() &&
                          before.sub_meter_ids.size() == after.sub_meter_ids.size() &&
                          before.entries.size() == after.entries.size();
  if (!same_facts) return false;
  for (std::size_t i = 0; i < before.entries.size(); ++i)
    if (!is_same(before.entries[i], after.entries[i], is_id(before, before.entries[i]), names))
      return false;
  return true;
}

/// Empty, or what is not as it was.
std::string difference(const Walk& before, const Walk& after, const Pseudonyms& names) {
  if (before.telegrams.size() != after.telegrams.size()) return "another number of telegrams";
  if (before.refusals != after.refusals || before.encrypted != after.encrypted)
    return "other refusals";
  if (before.frames != after.frames) return "other frames";
  for (std::size_t i = 0; i < before.telegrams.size(); ++i)
    if (!is_same(before.telegrams[i], after.telegrams[i], names))
      return fmt::format("other values in telegram {}", i + 1);
  return {};
}

/// An id is still there, in any form, where it could be replaced.
bool still_names(const Recording& recording, const Walk& walk, const Pseudonyms& names) {
  std::vector<Octets> parts;
  std::size_t end = 0;
  const auto add = [&](std::size_t from, std::size_t to) {
    parts.emplace_back(recording.octets.begin() + static_cast<std::ptrdiff_t>(from),
                       recording.octets.begin() + static_cast<std::ptrdiff_t>(to));
  };
  for (const Frame& frame : walk.frames) {
    if (frame.state != Frame::State::locked) continue;
    add(end, frame.at);
    end = frame.at + frame.size;
  }
  add(end, recording.octets.size());
  for (const Telegram& telegram : walk.telegrams)
    if (!telegram.is_signed_only) parts.push_back(content_of(recording, walk, telegram).octets);
  return std::ranges::any_of(parts, [&names](const Octets& part) {
    return std::ranges::any_of(names.forms(), [&part](const Form& form) {
      return form.is_telling && find_form(form, part, 0).has_value();
    });
  });
}

/// The ids of all telegrams, and the contents in which they stand.
struct Findings {
  std::vector<Content> contents;
  std::vector<std::vector<Found>> found;
  std::vector<Id> ids;
};
Findings find_all(const Recording& recording, const Walk& walk) {
  Findings all;
  std::set<std::pair<Id::Kind, Octets>> seen;
  for (const Telegram& telegram : walk.telegrams) {
    if (telegram.is_signed_only) continue;
    Content content = content_of(recording, walk, telegram);
    std::vector<Found> found = find_ids(telegram, content);
    for (const Found& each : found)
      if (!each.id.value.empty() && seen.emplace(each.id.kind, each.id.value).second)
        all.ids.push_back(each.id);
    all.contents.push_back(std::move(content));
    all.found.push_back(std::move(found));
  }
  return all;
}

Report report_of(const Recording& recording, const Walk& walk) {
  Report report;
  report.telegrams = walk.telegrams.size();
  report.encrypted = walk.encrypted;
  for (const Telegram& telegram : walk.telegrams) report.signed_only += telegram.is_signed_only;
  for (const Range& range : unread_ranges(recording, walk)) {
    const auto piece = std::ranges::find_if(
        recording.pieces, [&](const auto& each) { return each.at + each.size > range.at; });
    report.unread.push_back({range, piece->time});
  }
  return report;
}

}  // namespace

Redacted redact(std::string_view capture, const Random& random) {
  const CaptureText text(capture);
  const Recording& recording = text.recording();
  const Walk before = walk(recording);
  const Findings findings = find_all(recording, before);
  std::string why;
  // Chance may make a pseudonym of another's id, or a damaged frame whole.
  constexpr int attempts = 5;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    const Pseudonyms names(findings.ids, random);
    Replacing replacing(recording, before, names);
    for (std::size_t i = 0; i < findings.contents.size(); ++i)
      replacing.at_places(findings.contents[i], findings.found[i]);
    replacing.everywhere(findings.contents);
    why = replacing.reseal() ? "" : "a checksum that is sent without its leading zeros";
    if (!why.empty()) continue;
    Recording redacted{replacing.take(), recording.pieces};
    const Walk after = walk(redacted);
    why = difference(before, after, names);
    if (why.empty() && still_names(redacted, after, names)) why = "an id that is still there";
    if (!why.empty()) continue;
    Redacted result{{}, report_of(recording, before)};
    result.report.ids = replacing.ids();
    result.report.places = replacing.places();
    result.text = text.with(redacted.octets, names, random, result.report);
    return result;
  }
  throw Error("the capture would not be the same without the ids (" + why +
              "): nothing was written; please report this, without the capture");
}

Random unpredictable() {
  auto device = std::make_shared<std::random_device>();
  return [device](std::uint32_t limit) {
    return std::uniform_int_distribution<std::uint32_t>(0, limit - 1)(*device);
  };
}

Random seeded(std::uint64_t seed) {
  auto engine = std::make_shared<std::mt19937_64>(seed);
  return [engine](std::uint32_t limit) {
    return std::uniform_int_distribution<std::uint32_t>(0, limit - 1)(*engine);
  };
}

}  // namespace smartmeterctl::redact
