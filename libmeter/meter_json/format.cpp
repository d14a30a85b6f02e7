// SPDX-License-Identifier: Apache-2.0
// What the formats share: registers with labels, identities, what was remembered.
#include "meter_json/format.hpp"

#include <algorithm>

namespace meter::json {
namespace {

constexpr std::uint64_t fnv_offset = 0xcbf29ce484222325u, fnv_prime = 0x100000001b3u;  // FNV-1a

std::uint64_t hash(std::uint64_t seed, std::string_view text) noexcept {
  for (const char c : text) seed = (seed ^ static_cast<unsigned char>(c)) * fnv_prime;
  return (seed ^ 0xff) * fnv_prime;  // "ab","c" is not "a","bc"
}

/// Words of topics that name no device.
constexpr std::string_view plain_segments[] = {
    "SENSOR",           "STATE",    "RESULT", "STATUS10", "tele",   "stat",  "cmnd",
    "electricitymeter", "gasmeter", "ds",     "power",    "energy", "state", "sensor"};

}  // namespace

Source& Sources::of(Format format, std::string_view device, std::string_view whose) noexcept {
  std::uint64_t key = hash(fnv_offset + static_cast<std::uint64_t>(format), device);
  key = std::max<std::uint64_t>(hash(key, whose), 1);
  for (Source& source : sources_)
    if (source.key == key) return source;
  Source& source = sources_[oldest_];
  oldest_ = (oldest_ + 1) % sources_.size();
  source = {};
  source.key = key;
  return source;
}

void SetBuilder::push(std::size_t node, const Reading& reading, std::string_view label) noexcept {
  message_.document.mark_used(node);
  if (label.empty()) {
    label = message_.document.write_path(node, message_.texts.room());
    message_.texts.keep(label.size());
  }
  ReadingDetail detail;
  detail.label = label;
  if (out_.readings.full()) return message_.explain("limit", node, "too many registers: left out");
  (void)out_.readings.push_back(reading);
  (void)out_.details.push_back(detail);
}

void SetBuilder::number(std::size_t node, Obis obis, Decimal value, Unit unit, std::uint8_t flags,
                        std::string_view label) noexcept {
  push(node, Reading::number(obis, value, unit, flags | Reading::implied_obis), label);
}

void SetBuilder::text(std::size_t node, Obis obis, std::string_view text,
                      std::string_view label) noexcept {
  if (text.size() > text_size_max) return message_.explain("limit", node, "text is too long");
  push(node, Reading::text(obis, text, Reading::implied_obis), label);
}

void SetBuilder::time(std::size_t node, Obis obis, const DateTime& t,
                      std::string_view label) noexcept {
  constexpr std::size_t size = 12;  // Blue Book 4.1.6.1
  const std::span<char> room = message_.texts.room();
  if (room.size() < size) return;
  const int octets[size] = {t.year >> 8, t.year & 0xff, t.month, t.day, 0xff, t.hour,
                            t.minute,    t.second,      0xff,    0,     0,    0};
  for (std::size_t i = 0; i < size; ++i) room[i] = static_cast<char>(octets[i]);
  message_.texts.keep(size);
  const Bytes kept = std::as_bytes(room.first(size));
  push(node, Reading::date_time(obis, kept, Reading::implied_obis), label);
}

bool SetBuilder::value(std::size_t node, Obis obis, std::optional<Unit> unit, int scale) noexcept {
  const auto found = measured(message_[node]);
  if (!found) {
    if (message_[node].kind == Node::Kind::nothing) message_.document.mark_used(node);
    return false;
  }
  std::uint8_t flags = 0;
  if (!found->unit.empty()) {
    unit = unit_from_symbol(found->unit);
    scale = 0;
  }
  if (!unit) {
    flags = Reading::scale_unknown;
    message_.explain("unit", node, "is not known: no reading is made of this value");
  }
  const int exponent = found->value.exponent + scale;
  if (exponent < -Decimal::exponent_max || exponent > Decimal::exponent_max) return false;
  number(node, obis, found->value.scaled(scale), unit.value_or(Unit::none), flags);
  return true;
}

std::string_view SetBuilder::identity(std::size_t node, Obis obis) noexcept {
  const Node& found = message_[node];
  if (node == 0 || (found.kind != Node::Kind::text && found.kind != Node::Kind::number)) return {};
  message_.document.mark_used(node);
  if (!is_identity(found.text)) return {};
  text(node, obis, found.text);
  return found.text;
}

void read_rows(SetBuilder& builder, std::size_t from, std::span<const PathRow> rows) noexcept {
  for (const PathRow& row : rows)
    if (const std::size_t node = builder.message().document.find(from, row.path); node != 0)
      builder.value(node, row.obis, row.unit);
}

void settle_identity(ReadingSet& out, Source& source, std::string_view said,
                     std::string_view device, std::string_view suffix) noexcept {
  if (!said.empty()) (void)source.meter_id.assign(said);
  out.meter_id = source.meter_id;
  if (!out.meter_id.empty() || !is_identity(device)) return;
  char joined[MeterId::capacity];
  if (device.size() + suffix.size() > sizeof joined) return;
  const auto end = std::ranges::copy(suffix, std::ranges::copy(device, joined).out).out;
  (void)out.meter_id.assign({joined, static_cast<std::size_t>(end - joined)});
}

std::string_view take_segment(std::string_view& topic) noexcept {
  const std::size_t slash = topic.rfind('/');
  const std::string_view last = topic.substr(slash == topic.npos ? 0 : slash + 1);
  topic = topic.substr(0, slash == topic.npos ? 0 : slash);
  return last;
}

std::string_view device_of(std::string_view topic) noexcept {
  while (!topic.empty()) {
    const std::string_view segment = take_segment(topic);
    if (!segment.empty() && std::ranges::find(plain_segments, segment) == std::end(plain_segments))
      return segment;
  }
  return {};
}

}  // namespace meter::json
