// SPDX-License-Identifier: Apache-2.0
// A serial port in words, in JSON and as the command that claims it.
#include "tools/smartmeterctl/port_text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

namespace smartmeterctl {

std::string_view usual_products(const SerialPort& port) {
  // Chips by the beginning of "vendor:product"; what they are seen in.
  constexpr std::array<std::pair<std::string_view, std::string_view>, 14> chips = {{
      {"0403:6001", "FT232R: most P1 cables, many M-Bus slaves"},
      {"0403:6015", "FT230X: optical heads"},
      {"0403:6010", "FT2232: two ports"},
      {"0403:6011", "FT4232: four ports"},
      {"0403:6014", "FT232H"},
      {"10c4:ea60", "CP210x: optical heads, M-Bus slaves"},
      {"067b:", "PL2303: M-Bus slaves, older optical heads"},
      {"1a86:7523", "CH340: M-Bus slaves"},
      {"1a86:7522", "CH340: M-Bus slaves"},
      {"1a86:5523", "CH341: M-Bus slaves"},
      {"1a86:55d", "CH343, CH9102"},
      {"2341:", "Arduino: readers built at home"},
      {"303a:", "ESP32: readers built at home"},
      {"1209:", "pid.codes: readers built at home"},
  }};
  const std::string id = port.usb_id();
  const auto found =
      std::ranges::find_if(chips, [&](const auto& chip) { return id.starts_with(chip.first); });
  return found == chips.end() ? std::string_view{} : found->second;
}

std::string claim_command(const SerialPort& port) {
  return fmt::format("sudo smartmeterctl claim {} --kind {}", port.node,
                     port.is_usb() ? "mbus" : "p1");
}

std::vector<SerialPort> unclaimed_ports(const std::vector<SerialPort>& ports,
                                        const std::vector<std::string>& read) {
  auto free = ports;
  std::erase_if(free, [&](const SerialPort& port) {
    return !is_candidate(port) || std::ranges::any_of(read, [&](const std::string& device) {
      const SerialPort* used = find_port(ports, device);
      return used != nullptr && used->syspath == port.syspath;
    });
  });
  return free;
}

void write_port(meter::JsonWriter& json, const SerialPort& port,
                const std::vector<SerialPort>& ports) {
  json.begin_object().key("device").text(port.node).key("links").begin_array();
  for (const std::string& link : port.links) json.text(printable(link));
  json.end_array().key("description").text(port.description());
  json.key("driver").text(port.driver).key("usb_id").text(port.usb_id());
  json.key("serial").text(printable(port.serial));
  json.key("serial_is_unique").boolean(has_unique_serial(port, ports));
  json.key("path").text(port.path).key("kind").text(port.kind());
  json.key("usually").text(std::string(usual_products(port)));
  json.key("holders").begin_array();
  for (const auto& [pid, command] : holders_of(port)) {
    json.begin_object().key("pid").number(std::int64_t{pid});
    json.key("command").text(command).end_object();
  }
  json.end_array().key("claimed").boolean(port.is_claimed());
  json.key("candidate").boolean(is_candidate(port));
  json.key("command").text(claim_command(port)).end_object();
}

}  // namespace smartmeterctl
