// SPDX-License-Identifier: Apache-2.0
// Time zones, read out of the zone database: localtime() knows but one zone for the whole process.
#include "daemon/zone.hpp"

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

namespace smartmeterd {
namespace {

constexpr const char* zone_directory = "/usr/share/zoneinfo";
/// The largest file of the database has 4 KiB.
constexpr std::size_t file_size_max = 64 * 1024;

/// The rule for today and later, which stands between the last two line ends (RFC 9636 3.3).
std::optional<std::string> rule_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(file_size_max, '\0');
  file.read(text.data(), file_size_max);
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (!text.starts_with("TZif") || !text.ends_with('\n')) return std::nullopt;
  text.pop_back();
  const auto begin = text.rfind('\n');
  if (begin == std::string::npos) return std::nullopt;
  return text.substr(begin + 1);
}

}  // namespace

bool has_zone_database() {
  std::error_code error;
  return std::filesystem::is_directory(zone_directory, error);
}

bool is_zone_name(std::string_view zone) {
  return !zone.empty() && zone.size() <= zone_name_max && !zone.starts_with('/') &&
         zone.find("//") == zone.npos &&
         zone.find_first_not_of(
             "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
             "_+-/") == zone.npos;
}

bool has_zone(std::string_view zone) {
  std::error_code error;
  return is_zone_name(zone) &&
         std::filesystem::is_regular_file(std::filesystem::path(zone_directory) / zone, error);
}

std::optional<std::int16_t> posix_offset_min(std::string_view text) {
  // The name: letters, or anything in angle brackets.
  if (text.starts_with('<')) {
    const auto end = text.find('>');
    if (end == text.npos) return std::nullopt;
    text.remove_prefix(end + 1);
  } else {
    const auto end = text.find_first_of("+-0123456789");
    if (end == text.npos || end < 3) return std::nullopt;
    text.remove_prefix(end);
  }
  const bool is_east = text.starts_with('-');  // what must be added to get to UTC
  if (is_east || text.starts_with('+')) text.remove_prefix(1);
  const char* const end = text.data() + text.size();
  unsigned hours = 0, minutes = 0;
  auto [at, error] = std::from_chars(text.data(), end, hours);
  if (error != std::errc{} || hours > 24) return std::nullopt;
  if (at != end && *at == ':' &&
      (std::from_chars(at + 1, end, minutes).ec != std::errc{} || minutes > 59))
    return std::nullopt;
  const auto offset = static_cast<std::int16_t>(hours * 60 + minutes);
  return is_east ? offset : static_cast<std::int16_t>(-offset);
}

std::optional<std::int16_t> standard_offset_min(std::string_view zone) {
  std::string name(zone);
  if (name.empty())
    if (const char* variable = std::getenv("TZ")) name = variable;
  if (name.starts_with(':')) name.erase(0, 1);
  std::string path = name;
  if (name.empty())
    path = "/etc/localtime";
  else if (!name.starts_with('/'))
    path = zone_directory + ('/' + name);
  if (const auto rule = rule_of(path)) return posix_offset_min(*rule);
  return zone.empty() ? posix_offset_min(name) : std::nullopt;
}

std::optional<std::int16_t> meter_offset_min(std::string_view zone) {
  const auto offset = standard_offset_min(zone);
  if (zone.empty() && offset == std::int16_t{0}) return std::nullopt;
  return offset;
}

}  // namespace smartmeterd
