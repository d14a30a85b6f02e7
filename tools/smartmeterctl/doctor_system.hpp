// SPDX-License-Identifier: Apache-2.0
// smartmeterctl doctor: what this machine says of device nodes, accounts, programs and rules.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/smartmeterctl/doctor.hpp"

namespace smartmeterctl {

/// Files below /etc, /run and /usr are looked for below `root`, which tests set to a scratch
/// directory; programs and device nodes are the system's own.

/// The node behind a path, with its access control list; empty: there is no device there.
std::optional<Node> node_of(const std::string& device);

/// Who the service is: the process that owns its name, where there is one, else its user.
Account account_of_service(const std::string& root, std::optional<pid_t> process);

/// Who has a device open, or holds a lock on it, but for `service`.
std::vector<PortUser> other_users(const std::string& device, std::optional<pid_t> service);

/// USB chips that make a serial port of themselves, and did not.
std::vector<std::string> chips_without_port(const std::vector<SerialPort>& ports);

/// Whether a program of this name runs.
bool is_running(std::string_view program);

/// What is said of the port in others' udev rules, and claims that fit none of `ports`.
void examine_rules(const std::string& root, const SerialPort& port,
                   const std::vector<SerialPort>& ports, Others& others);
/// Whether rules of brltty are in force.
bool has_brltty_rules(const std::string& root);
/// The claims that fit none of `ports`.
std::vector<RulePlace> left_over_claims(const std::string& root,
                                        const std::vector<SerialPort>& ports);

/// A key file that smartmeterd does not use, and why; root alone can look.
std::string refused_key_file(const std::string& root);

/// The newest error that a unit has logged; empty where the journal cannot be read.
std::string last_error_of(const std::string& unit);

}  // namespace smartmeterctl
