// SPDX-License-Identifier: Apache-2.0
// smartmeterctl doctor: the steps about a port: adapter, permissions, other programs.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "tools/smartmeterctl/doctor_walk.hpp"
#include "tools/smartmeterctl/port_text.hpp"
#include "tools/smartmeterctl/text.hpp"

namespace smartmeterctl {
namespace {

/// Has the rules run once more.
std::string udev_again(const std::string& device) {
  return fmt::format(
      "\"sudo udevadm control --reload\" and \"sudo udevadm trigger --action=change "
      "{}\"",
      device);
}

/// How to end it.
std::string end_of(const PortUser& user) {
  return user.unit.empty() ? fmt::format("\"sudo kill {}\"", user.pid)
                           : fmt::format("\"sudo systemctl disable --now {}\"", user.unit);
}

}  // namespace

bool may_use(const Node& node, const Account& account) {
  constexpr mode_t read_write = 06;
  if (account.user == 0) return true;
  if (account.user == node.owner) return (node.mode >> 6 & read_write) == read_write;
  const auto is_member = [&](std::uint32_t group) {
    return std::ranges::find(account.groups, group) != account.groups.end();
  };
  // acl(5): a named user's entry decides; of the groups, any one that grants it.
  for (const Node::Grant& grant : node.grants)
    if (!grant.is_group && grant.id == account.user) return grant.may_use;
  bool in_group = is_member(node.group);
  // With a list, the mode's bits for the group are the list's mask.
  bool granted = in_group && node.grants.empty() && (node.mode >> 3 & read_write) == read_write;
  for (const Node::Grant& grant : node.grants)
    if (grant.is_group && is_member(grant.id)) {
      in_group = true;
      granted = granted || grant.may_use;
    }
  return in_group ? granted : (node.mode & read_write) == read_write;
}

std::string Walk::claim() const {
  SerialPort port = found_.port.value_or(SerialPort{});
  port.node = found_.device.empty() ? found_.other_ports.front() : found_.device;
  return fmt::format("\"{}\" (or another kind: mbus, ir, p1)", claim_command(port));
}

void Walk::adapter() {
  const std::string& device = found_.device;
  if (device.empty() && !found_.chips_without_port.empty())
    return fail(
        "no-port",
        fmt::format("{} is plugged in, but there is no serial port for it",
                    found_.chips_without_port.front()),
        found_.others.brltty_is_there
            ? "brltty takes such chips for Braille displays: \"sudo apt remove brltty\", "
              "then plug the adapter in again"
            : "\"sudo journalctl --dmesg --lines 20\" shows whether the kernel has a driver "
              "for it");
  if (is_blind()) return say(Verdict::skipped, "smartmeterd cannot be asked which ones it reads");
  if (device.empty() && !found_.other_ports.empty())
    return fail("no-adapter",
                fmt::format("no port is known as a meter adapter's; there is {}",
                            fmt::join(found_.other_ports, ", ")),
                "if a meter is behind one of them: " + claim());
  if (device.empty())
    return fail(
        "no-adapter",
        "no serial adapter is plugged in" +
            (found_.others.left_over.empty()
                 ? std::string()
                 : fmt::format("; one is claimed ({})", found_.others.left_over.front().place)),
        "plug the adapter in; \"sudo journalctl --dmesg --lines 20\" shows whether the kernel sees "
        "it. One behind a network is named in /etc/smartmeterd/smartmeterd.toml");
  if (found_.is_network()) return ok(device + ", as configured");
  const bool is_served = !adapter_.map().empty();
  const bool could_be_asked = found_.bus.owner && !found_.bus.is_silent &&
                              found_.bus.refusal.empty() && found_.bus.error.empty();
  if (!found_.node && !could_be_asked && device.find('/') == device.npos)
    return unknown(fmt::format("only smartmeterd knows which adapter {} is", device));
  if (!found_.node)
    return fail("adapter-missing", fmt::format("{} is not there", device),
                "plug the adapter in, or correct its name in /etc/smartmeterd/smartmeterd.toml; "
                "\"smartmeterctl list\" shows the adapters that are there");
  if (!is_serial())
    return fail("not-serial", device + " is not a serial port",
                "\"smartmeterctl list\" shows the adapters that are there");
  std::string text = device;
  const std::string kind = found_.port ? found_.port->kind() : "";
  if (found_.port) text += fmt::format(" ({})", found_.port->description());
  if (is_claimed()) {
    text += ", claimed as " + kind;
    if (const std::string name = found_.port->given_name(); !name.empty())
      text += fmt::format(" \"{}\"", name);
    return ok(std::move(text));
  }
  if (is_served) return ok(text + ", named in the configuration");
  if (kind == "none")
    return fail("unclaimed", text + " is marked as no meter's",
                "if a meter is behind it after all: " + claim());
  if (!kind.empty())
    return fail("not-taken",
                fmt::format("{} is claimed as {}, but udev has not taken it", text, kind),
                fmt::format("{}; 61-smartmeter.rules must be among its rules", udev_again(device)));
  if (!found_.bus.refusal.empty() || !found_.bus.error.empty())
    return say(Verdict::skipped,
               text + ", claimed by nobody; smartmeterd cannot be asked whether it reads it");
  fail("unclaimed", text + " is plugged in, and nobody has said that it is a meter's",
       "if a meter is behind it: " + claim());
}

std::string Walk::give_to_service() const {
  if (!is_claimed()) return claim() + " gives it to the service alone";
  if (!found_.others.naming.empty())
    return fmt::format("{} sets that, too: remove that line, then {}",
                       found_.others.naming.front().place, udev_again(found_.device));
  return udev_again(found_.device) +
         "; if that does not help, \"sudo systemctl restart systemd-udevd\" and plug the adapter "
         "in again";
}

void Walk::permissions() {
  const Account& account = found_.account;
  if (found_.is_network()) return say(Verdict::skipped, "a network connection");
  if (is_blind()) return say(Verdict::skipped, "no adapter is known");
  if (!found_.node) return unknown("there is no device node");
  if (!account.is_there)
    return fail("no-account", fmt::format("there is no user {}", account.name),
                "\"sudo systemd-sysusers\" makes it where smartmeterd is installed; then "
                "\"sudo systemctl restart systemd-udevd\" and plug the adapter in again");
  const Node& node = *found_.node;
  const std::string who = fmt::format("{} {} {:04o}", found_.device,
                                      node.owner_name + ":" + node.group_name, node.mode & 0777);
  if (!may_use(node, account)) {
    // Nobody expects the service to get at what it was not given, or is not known to read.
    const bool is_known_to_read = steps_.front().verdict != Verdict::skipped;
    if (deciding(steps_) != nullptr || !is_known_to_read) return unknown("");
    return fail("no-access", fmt::format("{}: the user {} may not use it", who, account.name),
                give_to_service());
  }
  if (problem_is("no-access"))
    return fail(
        "no-access",
        fmt::format("{}: the user {} may use it, but the service is kept out", who, account.name),
        fmt::format("its sandbox does not name this kind of device: {} writes a drop-in, then "
                    "\"sudo systemctl restart smartmeterd\"",
                    claim()));
  if ((node.mode & S_IRWXO) != 0 && is_serial())
    return say(Verdict::warning, who + ": every user may read it, and telegrams are personal data",
               give_to_service(), "open-to-all");
  ok(fmt::format("{}: {} may use it", who, account.name));
}

void Walk::programs() {
  if (found_.is_network()) return say(Verdict::skipped, "a network connection");
  const Others& others = found_.others;
  if (is_blind()) return say(Verdict::skipped, "no adapter is known");
  if (!found_.node) return unknown("");
  if (!is_serial()) return unknown("");
  const std::string names = holders_text({others.users.begin(), others.users.end()});
  if (problem_is("port-busy") && names.empty())
    return fail("port-busy", "another program has opened the port",
                others.all_processes_seen
                    ? "plug the adapter in again; smartmeterd then opens the port by itself"
                    : "\"sudo smartmeterctl doctor\" names it: only root sees who has it open");
  if (problem_is("port-busy"))
    return fail(
        "port-busy", "the port is open in " + names,
        end_of(others.users.front()) + " ends it; smartmeterd then opens the port by itself");
  // Nothing of this need be a failure.
  std::vector<Step> concerns;
  const auto worry = [&concerns](std::string state, std::string evidence, std::string advice) {
    concerns.push_back(
        {"", Verdict::warning, std::move(state), std::move(evidence), std::move(advice)});
  };
  if (!names.empty() && !found_.node->is_pseudo)
    worry("shared", fmt::format("the port is open in {}, too: bytes may be lost to it", names),
          end_of(others.users.front()) + " ends it; smartmeterd serves any number of readers");
  const bool keeps_off = found_.port && (found_.port->property("ID_MM_PORT_IGNORE") == "1" ||
                                         found_.port->property("ID_MM_DEVICE_IGNORE") == "1");
  if (others.modem_manager_runs && found_.port && !keeps_off)
    worry("modem-manager", "ModemManager runs, and nothing keeps it off this port",
          claim() +
              " does, or \"sudo systemctl disable --now ModemManager\" where there is no modem");
  for (const RulePlace& rule : others.grabbing)
    worry(rule.program,
          fmt::format("{} takes adapters of this kind ({})", rule.program, rule.place),
          fmt::format("\"sudo apt remove {0}\", or \"sudo ln -sf /dev/null "
                      "/etc/udev/rules.d/{1}\" and \"sudo udevadm control --reload\"",
                      rule.program, rule.file_name()));
  for (const RulePlace& rule : others.naming)
    worry("other-rule",
          fmt::format("a rule of this machine's own is about this adapter, too ({})", rule.place),
          "remove that line; where a program needs the name that it gives, \"sudo smartmeterctl "
          "claim\" keeps it with --link");
  for (const RulePlace& rule : others.left_over)
    worry("left-over-rule",
          fmt::format("a claim fits no adapter that is plugged in ({})", rule.place),
          "if that adapter is gone for good: \"sudo smartmeterctl unclaim\" with the serial number "
          "or place in that line");
  if (concerns.empty())
    return ok(others.all_processes_seen ? "nobody else has it open"
                                        : "nobody else is seen to have it open (root sees more)");
  std::string evidence, advice;
  for (const Step& concern : concerns) {
    evidence += (evidence.empty() ? "" : "; ") + concern.evidence;
    advice += (advice.empty() ? "" : "; ") + concern.advice;
  }
  say(Verdict::warning, std::move(evidence), std::move(advice), concerns.front().state);
}

}  // namespace smartmeterctl
