// SPDX-License-Identifier: Apache-2.0
// Log: the journal under systemd, standard error elsewhere.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

namespace smartmeterd::log {

enum class Level : std::uint8_t { error = 3, warning = 4, notice = 5, info = 6, debug = 7 };

/// Messages below this level are dropped. Default: info.
void set_level(Level level) noexcept;
/// "error", "warning", "notice", "info", "debug".
std::string_view name(Level level) noexcept;
std::optional<Level> level_from_name(std::string_view name) noexcept;
bool enabled(Level level) noexcept;

/// A journal field besides the message: {"SMARTMETER_ADAPTER", name}.
struct Field {
  std::string_view key;
  std::string_view value;
};
/// Kinds of event with a MESSAGE_ID of their own.
enum class Event : std::uint8_t {
  none, adapter_opened, adapter_lost, meter_found, key_missing, key_wrong, sync_lost, broker_lost,
  broker_back, bus_lost, bus_back, io_fallback, config_error, line_found,
};
/// The event's MESSAGE_ID, 32 hex digits; empty for none.
std::string_view message_id(Event event) noexcept;
/// One line, if the level is wanted. Never throws and never waits for a disk.
void write(Level level, Event event, std::string_view message,
           std::initializer_list<Field> fields = {}) noexcept;

template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::error, Event::none, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::warning, Event::none, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void notice(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::notice, Event::none, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::info, Event::none, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::debug))
    write(Level::debug, Event::none, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace smartmeterd::log
