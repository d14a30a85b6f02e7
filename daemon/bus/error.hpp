// SPDX-License-Identifier: Apache-2.0
// Error: what a call is refused with, by name.
#pragma once

#include <systemd/sd-bus.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace smartmeterd::bus {

/// Every error that a member gives; dbus/org.smartmeterd1.xml says which gives which, and when.
enum class Error : std::uint8_t {
  no_such_meter,
  no_such_adapter,
  in_progress,
  timeout,
  no_data,
  invalid_option,
  invalid_configuration,
  limit_reached,
  not_authorized,
  port_busy,
  key_missing,
  key_wrong,
  not_supported,
  io_error,
};
inline constexpr auto last_error = Error::io_error;

/// "org.smartmeterd1.Error.NoSuchMeter", or one of org.freedesktop.DBus.Error.
const char* name(Error error) noexcept;

/// Sets `answer`, and returns what a method's handler returns then. `message`: what is wrong, and
/// what to do about it.
int refuse(sd_bus_error* answer, Error error, const std::string& message) noexcept;

/// What a caller sent, for a message: in quotes, and not longer than a person reads.
std::string in_quotes(std::string_view text);

}  // namespace smartmeterd::bus
