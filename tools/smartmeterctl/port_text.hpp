// SPDX-License-Identifier: Apache-2.0
// A serial port in words, in JSON and as the command that claims it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "meter/telegram_json.hpp"
#include "tools/smartmeterctl/serial_ports.hpp"

namespace smartmeterctl {

/// "FT232R: most P1 cables, many M-Bus slaves", or empty.
std::string_view usual_products(const SerialPort& port);

/// "sudo smartmeterctl claim /dev/ttyUSB0 --kind mbus"
std::string claim_command(const SerialPort& port);

/// The candidates for a claim, without those that smartmeterd reads all the same as the
/// configuration names them: `read` are nodes, links or network addresses.
std::vector<SerialPort> unclaimed_ports(const std::vector<SerialPort>& ports,
                                        const std::vector<std::string>& read);

/// What is known of a port: one object.
void write_port(meter::JsonWriter& json, const SerialPort& port,
                const std::vector<SerialPort>& ports);

}  // namespace smartmeterctl
