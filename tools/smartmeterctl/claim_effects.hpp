// SPDX-License-Identifier: Apache-2.0
// What makes a claim work: udev, the service's device list, the service.
#pragma once

#include <string>
#include <vector>

#include "tools/smartmeterctl/local_rules.hpp"
#include "tools/smartmeterctl/serial_ports.hpp"

namespace smartmeterctl {

/// Below a root: smartmeterd.service may open ttyUSB and ttyACM ports; others stand here.
inline constexpr const char* ports_drop_in =
    "/etc/systemd/system/smartmeterd.service.d/50-claimed-ports.conf";

/// Whether the service needs the drop-in to open this node.
bool needs_device_allow(const std::string& node);
/// Puts `DeviceAllow=NODE rw` into the drop-in below `root`, or takes it out; whether the file has
/// changed.
bool allow_port(const std::string& root, const std::string& node, bool allow);

/// Has udev read its rules and apply them to the port (and its USB device): to one that is claimed
/// now, or, `given_back`, as if it were plugged in: other events leave it our group. The port
/// afterwards. Throws std::runtime_error where udev cannot be asked.
SerialPort apply_rules(const SerialPort& port, bool given_back);

/// What is not as it should be for a claimed port, with what to do; empty: all is well. udev's own
/// tools do not say these things.
std::vector<std::string> claim_troubles(const SerialPort& port, const Claim& claim);

/// Has the service take the adapter: started where it does not run, restarted where what it may
/// open has changed. A sentence on how it is.
std::string start_service(bool device_list_changed);
/// Has the service, where it runs, begin anew with what it may open.
void restart_service();

}  // namespace smartmeterctl
