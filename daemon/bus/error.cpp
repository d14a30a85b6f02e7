// SPDX-License-Identifier: Apache-2.0
// Error: the table of names.
#include "daemon/bus/error.hpp"

#include <algorithm>

#include "meter/telegram_json.hpp"

namespace smartmeterd::bus {
namespace {

/// Octets of a caller's text that are repeated to it.
constexpr std::size_t quote_size_max = 64;

}  // namespace

const char* name(Error error) noexcept {
  switch (error) {
    case Error::no_such_meter:
      return "org.smartmeterd1.Error.NoSuchMeter";
    case Error::no_such_adapter:
      return "org.smartmeterd1.Error.NoSuchAdapter";
    case Error::in_progress:
      return "org.smartmeterd1.Error.InProgress";
    case Error::timeout:
      return "org.smartmeterd1.Error.Timeout";
    case Error::no_data:
      return "org.smartmeterd1.Error.NoData";
    case Error::invalid_option:
      return "org.smartmeterd1.Error.InvalidOption";
    case Error::invalid_configuration:
      return "org.smartmeterd1.Error.InvalidConfiguration";
    case Error::limit_reached:
      return "org.smartmeterd1.Error.LimitReached";
    case Error::not_authorized:
      return "org.smartmeterd1.Error.NotAuthorized";
    case Error::port_busy:
      return "org.smartmeterd1.Error.PortBusy";
    case Error::key_missing:
      return "org.smartmeterd1.Error.KeyMissing";
    case Error::key_wrong:
      return "org.smartmeterd1.Error.KeyWrong";
    case Error::not_supported:
      return SD_BUS_ERROR_NOT_SUPPORTED;
    case Error::io_error:
      return SD_BUS_ERROR_IO_ERROR;
  }
  return SD_BUS_ERROR_FAILED;
}

int refuse(sd_bus_error* answer, Error error, const std::string& message) noexcept {
  return sd_bus_error_set(answer, name(error), message.c_str());
}

std::string in_quotes(std::string_view text) {
  std::size_t size = 0;
  while (size < text.size()) {
    const std::size_t next = std::max<std::size_t>(meter::utf8_sequence(text.substr(size)), 1);
    if (size + next > quote_size_max) break;
    size += next;
  }
  return '"' + std::string(text.substr(0, size)) + (size < text.size() ? "…\"" : "\"");
}

}  // namespace smartmeterd::bus
