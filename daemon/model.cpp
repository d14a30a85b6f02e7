// SPDX-License-Identifier: Apache-2.0
// Names of the daemon's states, as D-Bus and MQTT show them.
#include "daemon/model.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace smartmeterd {
namespace {

constexpr std::array<std::string_view, 5> adapter_states = {"waiting", "probing", "synced",
                                                            "silent", "failed"};
constexpr std::array<std::string_view, problem_count> problems = {
    "none",     "port-busy",    "no-access",   "no-bytes",  "break",
    "no-frame", "bad-checksum", "key-missing", "key-wrong", "authentication-key-wrong",
    "list-unknown", "replay",   "less-protected"};
constexpr std::array<std::string_view, 5> key_states = {"not-needed", "missing", "wrong",
                                                        "authentication-key-wrong", "ok"};

constexpr std::array<std::string_view, 6> line_sources = {"",      "default",    "configured",
                                                          "asked", "remembered", "detected"};

}  // namespace

std::string_view name(AdapterState state) noexcept {
  return adapter_states[std::to_underlying(state)];
}
std::string_view name(Problem problem) noexcept { return problems[std::to_underlying(problem)]; }
std::string_view name(LineSource source) noexcept {
  return line_sources[std::to_underlying(source)];
}
std::string_view name(KeyState state) noexcept { return key_states[std::to_underlying(state)]; }

std::string_view text_of(const meter::NamedReading& reading, std::span<char> buffer) noexcept {
  if (reading.is_time) return reading.time.to_text(buffer);
  return reading.is_text ? reading.text : std::string_view();
}

const LatestValue* Meter::find(std::string_view name) const noexcept {
  const auto found = std::ranges::find(values, name, &LatestValue::name);
  return found == values.end() ? nullptr : &*found;
}

}  // namespace smartmeterd
