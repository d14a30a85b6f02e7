// SPDX-License-Identifier: Apache-2.0
// What makes a claim work: udev, the service's device list, the service.
#include "tools/smartmeterctl/claim_effects.hpp"

#include <fmt/core.h>
#include <grp.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <stdexcept>

#include "tools/smartmeterctl/program.hpp"
#include "tools/smartmeterctl/system_file.hpp"

namespace smartmeterctl {
namespace {

namespace fs = std::filesystem;

constexpr const char* service = "smartmeterd.service";
constexpr const char* group_name = "smartmeterd";
constexpr std::string_view drop_in_head =
    "# Ports that smartmeterd may open besides ttyUSB and ttyACM: by \"smartmeterctl claim\".\n"
    "[Service]\n";

bool runs_systemd() {
  return fs::exists("/run/systemd/system");
}

/// Whether a command of systemctl about the service succeeds.
bool systemctl(auto... words) {
  return run_program({"systemctl", words..., service}) == 0;
}

std::vector<std::string> group_troubles(const std::string& node) {
  struct stat status {};
  if (::stat(node.c_str(), &status) != 0) return {node + ": the node has gone: is it plugged in?"};
  const struct group* group = ::getgrnam(group_name);
  if (group == nullptr)
    return {
        fmt::format("there is no group {}: run systemd-sysusers, then systemctl restart "
                    "systemd-udevd, then this command again",
                    group_name)};
  if (status.st_gid == group->gr_gid) return {};
  // A group that udev did not know when it read the rules is not looked up again.
  return {
      fmt::format("{} does not belong to the group {}: udev read its rules before the group was "
                  "there. Run systemctl restart systemd-udevd, then this command again",
                  node, group_name)};
}

}  // namespace

bool needs_device_allow(const std::string& node) {
  return !node.starts_with("/dev/ttyUSB") && !node.starts_with("/dev/ttyACM");
}

bool allow_port(const std::string& root, const std::string& node, bool allow) {
  const fs::path file = below(root, ports_drop_in);
  const std::string before = read_file(file);
  const std::string wanted = fmt::format("DeviceAllow={} rw", node);
  std::string after;
  bool there = false;
  std::istringstream lines(before);
  for (std::string line; std::getline(lines, line);) {
    const bool is_this = line == wanted;
    there |= is_this;
    if (!is_this || allow) after += line + '\n';
  }
  if (there == allow) return false;
  if (allow) after = (before.empty() ? std::string(drop_in_head) : after) + wanted + '\n';
  constexpr mode_t for_everybody_to_read = 0644;
  if (after == drop_in_head)
    remove_file(file);
  else
    write_file(file, after, for_everybody_to_read);
  return true;
}

SerialPort apply_rules(const SerialPort& port, bool given_back) {
  if (run_program({"udevadm", "control", "--reload"}) != 0)
    throw std::runtime_error(
        "the rule is written, but udev cannot be told: is systemd-udevd running? In a container it "
        "runs on the host: do this there");
  const auto trigger = [](const char* action, const std::string& syspath) {
    return run_program({"udevadm", "trigger", action, "--settle", syspath}) == 0;
  };
  if ((port.is_usb() && !trigger("--action=change", port.usb_device)) ||
      !trigger(given_back ? "--action=add" : "--action=change", port.syspath))
    throw std::runtime_error(fmt::format(
        "the rule is written, but udev did not apply it: unplug {} and plug it in again",
        port.node));
  const auto ports = serial_ports();
  const auto found = std::ranges::find(ports, port.syspath, &SerialPort::syspath);
  if (found == ports.end())
    throw std::runtime_error(
        fmt::format("the rule is written; {} has been unplugged meanwhile", port.node));
  return *found;
}

std::vector<std::string> claim_troubles(const SerialPort& port, const Claim& claim) {
  if (claim.kind == "none") return {};
  if (port.kind() != claim.kind)
    return {
        fmt::format("udev gives {} the kind \"{}\", not {}: another file in /etc/udev/rules.d "
                    "sets SMARTMETER_KIND as well",
                    port.node, printable(port.kind()), claim.kind)};
  if (!port.is_claimed())
    return {
        "udev knows the kind, but does not claim the adapter: 61-smartmeter.rules is missing, or "
        "a file of that name in /etc/udev/rules.d switches it off"};
  std::vector<std::string> troubles = group_troubles(port.node);
  std::vector<std::string> wanted;
  if (!claim.name.empty()) wanted.push_back("/dev/smartmeter/by-name/" + claim.name);
  if (!claim.link.empty()) wanted.push_back("/dev/" + claim.link);
  for (const std::string& link : wanted)
    if (std::ranges::find(port.links, link) == port.links.end())
      troubles.push_back(link + " was not made: udevadm test says why");
  return troubles;
}

std::string start_service(bool device_list_changed) {
  if (!runs_systemd()) return "Start smartmeterd to read it.";
  if (systemctl("is-active", "--quiet")) {
    if (!device_list_changed) return "smartmeterd is running and takes it.";
    restart_service();
    return "smartmeterd was restarted: it may open the port now.";
  }
  if (device_list_changed) run_program({"systemctl", "daemon-reload"});
  // udev wants it started too, but not where somebody has stopped it.
  return systemctl("start") ? "smartmeterd was started."
                            : "smartmeterd did not start: systemctl status smartmeterd says why.";
}

void restart_service() {
  if (!runs_systemd()) return;
  run_program({"systemctl", "daemon-reload"});
  systemctl("try-restart");
}

}  // namespace smartmeterctl
