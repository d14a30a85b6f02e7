// SPDX-License-Identifier: Apache-2.0
// Names of links; kinds of octet strings.
#include "meter/reading.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

#include "meter/base/hex.hpp"

namespace meter {
namespace {

constexpr std::array<std::string_view, 12> link_names = {
    "mbus", "hdlc", "raw", "p1", "sml", "iec62056-21", "mbus-master", "amis", "glow", "gplug",
    "whatwatt", "datacollector"};

}  // namespace

std::string_view name(Link link) noexcept { return link_names[std::to_underlying(link)]; }

std::optional<Link> link_from_name(std::string_view name) noexcept {
  const auto found = std::ranges::find(link_names, name);
  if (found == link_names.end()) return std::nullopt;
  return static_cast<Link>(found - link_names.begin());
}

std::string describe(const SystemTitle& title) {
  const std::string_view letters = text_of(Bytes(title).first(3));
  std::array<char, 2 * std::tuple_size_v<SystemTitle>> digits;
  const std::string hex(write_hex(title, digits, hex_upper));
  if (std::ranges::all_of(letters, [](char c) { return c >= 'A' && c <= 'Z'; }))
    return std::string(letters).append(" (system title ").append(hex).append(")");
  return "with system title " + hex;
}

Reading Reading::from_octets(Obis obis, Bytes octets, std::uint8_t flags) noexcept {
  // Without an early end: most texts are printable to theirs, and so the compiler may vectorise.
  unsigned others = 0;
  for (std::byte octet : octets) others |= is_printable(octet) ? 0u : 1u;
  return with_octets(obis, others == 0 ? Kind::text : Kind::octets, octets, flags);
}

std::optional<DateTime> Reading::date_time() const noexcept {
  if (kind_ != Kind::date_time) return std::nullopt;
  if (auto cosem = DateTime::from_cosem(octets())) return cosem;
  if (auto mbus = DateTime::from_mbus(octets())) return mbus;
  return DateTime::from_p1(text());
}

std::optional<DateTime> ReadingSet::time_of(const Reading& reading) const noexcept {
  const auto sent = reading.date_time();
  if (!sent) return std::nullopt;
  return sent->with_standard_offset(standard_offset_min);
}

void ReadingSet::clear() noexcept {
  readings.clear();
  details.clear();
  sub_meters.clear();
  medium = Medium::electricity;
  reordered.clear();
  meter_id.clear();
  manufacturer.clear();
  meter_id_is_title = false;
  time.reset();
  standard_offset_min.reset();
  link = Link::raw;
  authentication = Authentication::clear;
  system_title.reset();
  invocation_counter = 0;
  profile = {};
}

std::string_view name(ReadingDetail::Function function) noexcept {
  using Function = ReadingDetail::Function;
  switch (function) {
    case Function::maximum: return "maximum";
    case Function::minimum: return "minimum";
    case Function::at_error: return "at-error";
    case Function::instantaneous: break;
  }
  return "instantaneous";
}

std::string_view name(Medium medium) noexcept {
  switch (medium) {
    case Medium::electricity: return "electricity";
    case Medium::gas: return "gas";
    case Medium::heat:
    case Medium::heat_inlet: return "heat";
    case Medium::cooling_outlet:
    case Medium::cooling_inlet: return "cooling";
    case Medium::heat_cooling: return "heat-cooling";
    case Medium::warm_water:
    case Medium::hot_water: return "warm-water";
    case Medium::water:
    case Medium::cold_water:
    case Medium::dual_water: return "water";
    case Medium::waste_water: return "waste-water";
    case Medium::oil: return "oil";
    case Medium::steam: return "steam";
    case Medium::heat_cost: return "heat-cost";
    case Medium::compressed_air: return "compressed-air";
    case Medium::pressure: return "pressure";
    case Medium::system: return "system";
    case Medium::other:
    case Medium::unknown: break;
  }
  return "other";
}

void sub_meter_telegram(const ReadingSet& telegram, std::size_t index, ReadingSet& out) noexcept {
  const SubMeter& sub_meter = telegram.sub_meters[index];
  out.clear();
  out.medium = sub_meter.medium;
  out.time = telegram.time;
  out.standard_offset_min = telegram.standard_offset_min;
  out.link = telegram.link;
  out.authentication = telegram.authentication;
  out.profile = telegram.profile;
  out.meter_id = sub_meter.id;
  if (out.meter_id.empty() && !telegram.meter_id.empty()) {
    char text[MeterId::capacity + 4];
    const std::string_view parent = telegram.meter_id.view();
    char* end = std::ranges::copy(parent, text).out;
    *end++ = '-';
    end = std::to_chars(end, std::end(text), sub_meter.channel).ptr;
    (void)out.meter_id.assign({text, static_cast<std::size_t>(end - text)});
  }
  constexpr Obis last_value = "0-0:24.2.1"_obis, energy_import = "1-0:1.8.0"_obis;
  for (std::size_t i = 0; i < telegram.readings.size(); ++i) {
    const Reading& reading = telegram.readings[i];
    if (reading.sub_meter() != index + 1) continue;
    Obis any_channel = reading.obis();
    any_channel.b = 0;
    const bool is_energy = sub_meter.medium == Medium::electricity && any_channel == last_value &&
                           reading.kind() == Reading::Kind::number;
    // The readings' own vectors have the same capacity, so that neither can be full.
    (void)out.readings.push_back(is_energy
                                     ? Reading::number(energy_import, reading.value(),
                                                       reading.unit())
                                     : reading.of_sub_meter(0));
    if (!telegram.details.empty()) (void)out.details.push_back(telegram.details[i]);
  }
}

}  // namespace meter
