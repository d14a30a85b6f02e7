// SPDX-License-Identifier: Apache-2.0
// Options: keys of a{sv} to values.
#include "daemon/bus/options.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/bus/error.hpp"

namespace smartmeterd::bus {
namespace {

struct Reader {
  sd_bus_message* call;
  int operator()(std::uint32_t* number) const noexcept {
    return sd_bus_message_read(call, "v", "u", number);
  }
  int operator()(std::string_view* text) const noexcept {
    const char* value = nullptr;
    const int r = sd_bus_message_read(call, "v", "s", &value);
    if (r >= 0) *text = value;
    return r;
  }
};

/// The only type that the option may have.
std::string_view type_of(const Option& option) noexcept {
  return std::holds_alternative<std::uint32_t*>(option.value) ? "u" : "s";
}

int read_option(sd_bus_message* call, std::initializer_list<Option> options, sd_bus_error* error) {
  const char* key = nullptr;
  if (const int r = sd_bus_message_read_basic(call, 's', &key); r < 0) return r;
  const auto known = std::ranges::find(options, std::string_view(key), &Option::key);
  if (known == options.end()) return sd_bus_message_skip(call, "v");
  const char* type = nullptr;
  if (const int r = sd_bus_message_peek_type(call, nullptr, &type); r < 0) return r;
  if (type != type_of(*known))
    return refuse(error, Error::invalid_option,
                  fmt::format("option \"{}\": its value is of type \"{}\", expected \"{}\"",
                              known->key, type, type_of(*known)));
  return std::visit(Reader{call}, known->value);
}

}  // namespace

int read_options(sd_bus_message* call, std::initializer_list<Option> options,
                 sd_bus_error* error) noexcept {
  int r = sd_bus_message_enter_container(call, 'a', "{sv}");
  while (r >= 0 && (r = sd_bus_message_enter_container(call, 'e', "sv")) > 0) {
    r = read_option(call, options, error);
    if (r >= 0) r = sd_bus_message_exit_container(call);
  }
  return r < 0 ? r : sd_bus_message_exit_container(call);
}

}  // namespace smartmeterd::bus
