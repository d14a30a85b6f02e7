// SPDX-License-Identifier: Apache-2.0
// smartmeterctl doctor: what was found out about an adapter, and what follows from it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/smartmeterctl/bus.hpp"
#include "tools/smartmeterctl/serial_ports.hpp"

namespace smartmeterctl {

enum class Verdict : std::uint8_t {
  ok,
  warning,  ///< works, and should be looked at
  failed,
  unknown,  ///< could not be found out
  skipped,  ///< there is nothing to examine, or a step before failed
};

/// One step of the walk from the adapter to the broker.
struct Step {
  std::string name;  ///< "adapter", "permissions", …
  Verdict verdict;
  std::string state;     ///< where it is not ok, the name of it: "key-missing"; for machines
  std::string evidence;  ///< what was found, a clause
  std::string advice;    ///< what to do, with the command; may be empty
};

/// Who may do what with a device node.
struct Node {
  /// An entry of its access control list: a user beside the owner, or a group.
  struct Grant {
    bool is_group;
    std::uint32_t id;
    bool may_use;  ///< read and write
  };
  std::uint32_t owner = 0, group = 0;
  mode_t mode = 0;
  std::string owner_name, group_name;  ///< the number where there is no name
  std::vector<Grant> grants;
  bool is_serial = true;   ///< a terminal of any kind
  bool is_pseudo = false;  ///< a pseudo-terminal, which always another program holds
};

/// Who the service is.
struct Account {
  std::string name;      ///< "smartmeterd"
  bool is_there = true;  ///< false: there is no such user
  std::uint32_t user = 0;
  std::vector<std::uint32_t> groups;
};

/// Whether an account may read and write through the node.
bool may_use(const Node& node, const Account& account);

/// Another program that has the port open or has locked it.
struct PortUser : Holder {
  std::string unit;  ///< "vzlogger.service" where systemd started it
};

/// A line of a udev rule.
struct RulePlace {
  std::string program;  ///< whose rule it is: "brltty", "gpsd"; "" of this machine's administrator
  std::string place;    ///< "/etc/udev/rules.d/99-meter.rules:3"
  bool operator==(const RulePlace&) const = default;
  /// "99-meter.rules"
  std::string file_name() const {
    const std::size_t start = place.rfind('/') + 1;
    return place.substr(start, place.rfind(':') - start);
  }
};

/// Who else is interested in the port.
struct Others {
  std::vector<PortUser> users;      ///< first who holds a lock
  bool all_processes_seen = false;  ///< only root sees who has a file open
  bool modem_manager_runs = false;
  bool brltty_is_there = false;      ///< it runs, or has rules
  std::vector<RulePlace> grabbing;   ///< rules by which another program takes such an adapter
  std::vector<RulePlace> naming;     ///< rules of the administrator that also name or open it up
  std::vector<RulePlace> left_over;  ///< claims of adapters that are not there
};

/// What systemd says of smartmeterd.service.
struct ServiceFacts {
  bool is_known = false;   ///< systemd could be asked
  std::string load;        ///< "loaded", "not-found", "masked"
  std::string active;      ///< "active", "activating", "failed", "inactive"
  std::string last_error;  ///< the newest error that it logged, where the journal can be read
};

/// The way to the service.
struct BusFacts {
  std::string where = "system";  ///< system, session or an address
  std::string error;             ///< why the bus cannot be reached
  std::optional<pid_t> owner;    ///< the process that owns org.smartmeterd1
  std::string refusal;           ///< what the bus answered instead of the objects
  bool is_silent = false;        ///< that is: nothing, the bus or its owner hangs
};

/// All that is known of one adapter. Properties are as the interface org.smartmeterd1 has them;
/// an empty value where the service did not say.
struct Findings {
  /// "/dev/ttyUSB0", "tcp://host:port", "mqtt://host:port/topic"; empty: there is none at all
  std::string device;
  std::vector<std::string> other_ports;  ///< where there is none: ports that could be anything
  std::vector<std::string> chips_without_port;  ///< "1a86:7523 (USB Serial)"
  std::optional<SerialPort> port;               ///< where udev knows it
  std::optional<Node> node;                     ///< empty: it does not exist
  Account account;
  Others others;
  ServiceFacts service;
  BusFacts bus;
  std::string path;       ///< of the adapter's object
  Value before, adapter;  ///< at the start and at the end of the watch
  std::chrono::seconds watched{0};
  std::vector<Value> meters;  ///< that are read with this adapter
  std::vector<Value> publishers;
  std::string refused_key_file;  ///< one that is not used, and why

  bool is_network() const { return device.find("://") != std::string::npos; }
  /// Messages of a broker's topic.
  bool is_source() const { return is_network() && !device.starts_with("tcp://"); }
};

/// The steps, always the same ones in the same order.
std::vector<Step> judge(const Findings& findings);

/// The step that decides: the first that failed, else the first that is not known; null: all well.
const Step* deciding(const std::vector<Step>& steps);

/// False while watching on can still tell more.
bool is_conclusive(const Value& adapter, const std::vector<Value>& meters);
/// How long to watch: a few of the meter's own intervals.
std::chrono::seconds watch_limit(const std::vector<Value>& meters);

}  // namespace smartmeterctl
