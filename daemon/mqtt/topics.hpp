// SPDX-License-Identifier: Apache-2.0
// Topics: what the topics and payloads of several profiles have in common.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "daemon/config.hpp"
#include "daemon/model.hpp"
#include "meter/quantity.hpp"
#include "meter/telegram_json.hpp"

namespace smartmeterd::mqtt {

inline constexpr std::string_view json_type = "application/json";

/// Topics of the profile "smartmeterd": "<prefix>/<meter's slug>/<word>".
namespace meter_topic {
inline constexpr std::string_view state = "state", availability = "availability", info = "info",
                                  history = "history";
inline constexpr std::string_view words[] = {state, availability, info, history};
inline constexpr std::string_view values = "value/";  ///< and the name of a quantity
}  // namespace meter_topic

/// Of the service itself: "<prefix>/gateway/<instance>/<word>".
namespace gateway_topic {
inline constexpr std::string_view stem = "gateway/";
inline constexpr std::string_view status = "status", health = "health";
inline constexpr std::string_view raw = "raw";  ///< and the name of an adapter
}  // namespace gateway_topic

inline std::string with_slash(std::string prefix) {
  if (!prefix.empty() && !prefix.ends_with('/')) prefix += '/';
  return prefix;
}

/// "smartmeter/gateway/<instance>/": what is said of the service itself.
inline std::string gateway_prefix(const BrokerConfig& broker, const std::string& instance) {
  return with_slash(broker.prefix).append(gateway_topic::stem) + meter::slug(instance) + '/';
}

/// The meter's id as a topic level; its slug where the id has something that a level must not have,
/// or better not.
inline std::string_view topic_level(const Meter& meter) {
  const bool is_plain = std::ranges::all_of(
      meter.id, [](char c) { return c > ' ' && c <= '~' && c != '+' && c != '#' && c != '/'; });
  return is_plain ? meter.id : meter.slug;
}

/// "2026-11-20T11:00:05Z": `meter::utc_text` to the second.
inline std::string_view utc_seconds_text(std::int64_t epoch_us, std::span<char, 32> buffer) {
  constexpr std::size_t seconds_end = std::string_view("2026-11-20T11:00:05").size();
  (void)meter::utc_text(epoch_us, buffer);
  buffer[seconds_end] = 'Z';
  return {buffer.data(), seconds_end + 1};
}

/// The same quantity on whatever channel.
inline bool is_same_quantity(const meter::Obis& a, const meter::Obis& b) noexcept {
  return a.a == b.a && a.c == b.c && a.d == b.d && a.e == b.e && a.f == b.f;
}

}  // namespace smartmeterd::mqtt
