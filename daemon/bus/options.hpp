// SPDX-License-Identifier: Apache-2.0
// Options: the a{sv} at the end of a method's arguments.
#pragma once

#include <systemd/sd-bus.h>

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <variant>

namespace smartmeterd::bus {

/// A key that a method knows, and where its value goes, which stays as it is where the caller does
/// not give it; a text is valid as long as the call is.
struct Option {
  std::string_view key;
  std::variant<std::uint32_t*, std::string_view*> value;
};

/// Reads the a{sv} that is next in `call`. Keys that are not known are skipped: a client may know
/// more than this version does. Negative: `error` is set, to InvalidOption where a value is of
/// another type.
int read_options(sd_bus_message* call, std::initializer_list<Option> options,
                 sd_bus_error* error) noexcept;

}  // namespace smartmeterd::bus
