// SPDX-License-Identifier: Apache-2.0
// Names of links; kinds of octet strings.
#include "meter/reading.hpp"

#include <algorithm>
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
  return DateTime::from_p1(text());
}

void ReadingSet::clear() noexcept {
  readings.clear();
  meter_id.clear();
  meter_id_is_title = false;
  time.reset();
  link = Link::raw;
  authentication = Authentication::clear;
  system_title.reset();
  invocation_counter = 0;
  profile = {};
}

}  // namespace meter
