// SPDX-License-Identifier: Apache-2.0
// smartmeterctl claim, unclaim: which serial adapters meters are read with.
#include <fmt/core.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#define SD_JOURNAL_SUPPRESS_LOCATION  // who reads the message has no use for it
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <utility>

#include "tools/smartmeterctl/claim_effects.hpp"
#include "tools/smartmeterctl/local_rules.hpp"
#include "tools/smartmeterctl/port_text.hpp"
#include "tools/smartmeterctl/program.hpp"
#include "tools/smartmeterctl/serial_ports.hpp"
#include "tools/smartmeterctl/system_file.hpp"
#include "tools/smartmeterctl/style.hpp"
#include "tools/smartmeterctl/text.hpp"
#include "tools/smartmeterctl/verbs.hpp"

namespace smartmeterctl {
namespace {

namespace fs = std::filesystem;

struct ClaimOptions {
  std::string root;
  std::string device;
  Claim claim;
  bool dry_run = false;
  bool force = false;
  bool json = false;
  bool hint = false;

  fs::path rules() const { return below(root, local_rules_file); }
};

constexpr const char* claim_footer = R"(
Without DEVICE: the serial adapters that nobody has claimed, what is known of each, and the command
to type. No port is opened.

With DEVICE (a node, any of its links, or a name such as ttyUSB0): writes a line into
/etc/udev/rules.d/60-smartmeter-local.rules that knows the adapter by its serial number; by where
it is plugged in, where the chip has no serial number of its own; or by its name, if it is on the
board. From then on it has the links /dev/smartmeter_KIND and /dev/smartmeter/by-..., and
smartmeterd reads it whenever it is plugged in. Claiming again replaces the line.

LINK is a name of your own: neither like those that the kernel and udev give (ttyUSB5, sda, input),
nor of another kind (smartmeter_ir for M-Bus), nor of something that is in /dev already.

Exit status: 0 claimed, or there is an adapter to claim, 1 there is none, or an error, 2 wrong
usage.

Examples:
  smartmeterctl claim
  sudo smartmeterctl claim /dev/ttyUSB0 --kind mbus
  sudo smartmeterctl claim ttyUSB1 --kind ir --name cellar
  sudo smartmeterctl claim ttyUSB0 --kind mbus --link smartmeter_modbus
  sudo smartmeterctl claim ttyUSB2 --kind none      no meter: no more hints)";

constexpr const char* unclaim_footer = R"(
Removes the adapter's line from /etc/udev/rules.d/60-smartmeter-local.rules; one that would be taken
all the same (a known product) gets a line that says it is no meter. DEVICE is a node, a link, the
adapter's name (--name), or the serial number or place in that line, in full.

Exit status: 0 given back, 1 an error, 2 wrong usage.

Examples:
  sudo smartmeterctl unclaim /dev/ttyUSB0
  sudo smartmeterctl unclaim cellar)";

constexpr const char* kinds =
    "mbus: M-Bus; ir: an optical head; p1: a P1 cable; none: it is no meter";

// What is asked for

/// As a script gives whose variable was not set.
std::string is_not_empty(const std::string& text) {
  return text.empty() ? "it is empty: \"smartmeterctl claim\" lists the adapters" : "";
}

void check_name(const std::string& name) {
  if (!name.empty() && !is_plain_name(name))
    throw UsageError("--name: letters, digits, '-' and '_', as in \"cellar\"");
}

/// Whether the kernel, udev, systemd or a claim of ours gives names like this one, the first part
/// of a path below /dev: Linux, Documentation/admin-guide/devices.txt.
bool is_taken_name(const std::string& name) {
  constexpr std::array patterns = {
      // directories
      "block", "bsg", "bus", "char", "cpu", "disk", "dma_heap", "dri", "dvb", "hugepages", "input",
      "mapper", "mqueue", "net", "pts", "serial", "shm", "smartmeter", "snd", "usb", "vfio",
      // what every system has
      "console", "core", "fd", "full", "fuse", "initctl", "kmsg", "log", "mem", "null", "port",
      "ptmx", "*random", "std*", "tty*", "vcs*", "zero", "*mem", "kvm", "uinput", "uhid", "rfkill",
      // disks, and what else has letters or numbers at its end
      "[shv]d[a-z]*", "xvd*", "cdrom*", "dvd*", "sr[0-9]*", "sg[0-9]*", "st[0-9]*", "md[0-9]*",
      "dm-*", "fd[0-9]*", "fb[0-9]*", "lp[0-9]*", "gpio*", "hidraw*", "hpet", "i2c-*", "loop*",
      "media[0-9]*", "mmcblk*", "mtd*", "nbd*", "nst[0-9]*", "nvme*", "parport*", "ppp*", "ram*",
      "rfcomm*", "rtc*", "spidev*", "tpm*", "ubi*", "usbmon*", "v4l*", "vhost-*", "video*",
      "watchdog*", "zram*", "gps*"};
  return std::ranges::any_of(
      patterns, [&](const char* pattern) { return ::fnmatch(pattern, name.c_str(), 0) == 0; });
}

/// A link's name below /dev, without "/dev/" in front.
std::string checked_link(std::string link) {
  if (link.starts_with("/dev/")) link.erase(0, 5);
  constexpr std::string_view allowed =
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.:/";
  const bool is_clean = link.size() <= 128 && link.find_first_not_of(allowed) == link.npos &&
                        !link.starts_with('/') && !link.ends_with('/') && !link.empty();
  bool stays_below = true;
  for (const fs::path& part : fs::path(link)) stays_below &= part != "." && part != "..";
  if (!is_clean || !stays_below || link.find("//") != link.npos)
    throw UsageError("--link: a name below /dev, as in \"smartmeter_modbus\"");
  if (is_taken_name(link.substr(0, link.find('/'))))
    throw UsageError(
        fmt::format("--link: /dev/{} is such a name as the kernel or udev gives: choose another, "
                    "as in \"smartmeter_modbus\"",
                    link));
  return link;
}

/// Refuses a link where something else is, or that says another kind.
void check_place(const std::string& link, const std::string& kind, const SerialPort& port,
                 const std::vector<SerialPort>& ports) {
  for (const char* other : {"mbus", "ir", "p1"})
    if (other != kind && link.starts_with(fmt::format("smartmeter_{}", other)))
      throw UsageError(fmt::format("--link: /dev/{} would say {}, and this is {}: choose another",
                                   link, other, kind));
  if (link == "smartmeter_" + kind)
    throw UsageError(
        fmt::format("--link: it gets /dev/{} without asking, --priority before others", link));
  fs::path path = "/dev";
  for (const fs::path& part : fs::path(link)) {
    path /= part;
    std::error_code error;
    const fs::file_status status = fs::symlink_status(path, error);
    const bool is_last = path == fs::path("/dev") / link;
    if (!fs::exists(status) || (is_last ? fs::is_symlink(status) : fs::is_directory(status)))
      continue;
    throw std::runtime_error(fmt::format(
        "--link: {} is there already and is no link: choose another name", path.native()));
  }
  for (const SerialPort& other : ports)
    if (other.syspath != port.syspath &&
        std::ranges::find(other.links, path.native()) != other.links.end())
      throw std::runtime_error(fmt::format(
          "--link: {} is a link to {} already: choose another name, or take it from that one first",
          path.native(), other.node));
  std::error_code error;
  if (!fs::is_symlink(fs::symlink_status(path, error)) ||
      std::ranges::find(port.links, path.native()) != port.links.end())
    return;
  const SerialPort* leads_to = find_port(ports, path.native());
  if (leads_to == nullptr || leads_to->syspath != port.syspath)
    throw std::runtime_error(
        fmt::format("--link: {} is there already, a link to {}: choose another name", path.native(),
                    printable(fs::read_symlink(path, error).native())));
}

/// The words after "smartmeterctl" that ask for the same.
std::string claim_arguments(const ClaimOptions& options) {
  std::string text = "claim " + printable(options.device);
  const Claim& claim = options.claim;
  if (!claim.kind.empty()) text += " --kind " + claim.kind;
  if (!claim.name.empty()) text += " --name " + claim.name;
  if (!claim.link.empty()) text += " --link " + claim.link;
  if (claim.high_priority) text += " --priority";
  if (options.force) text += " --force";
  return text;
}

// The port that is meant

/// Why a thing that is not among the serial ports cannot be claimed.
[[noreturn]] void refuse(const std::string& device) {
  // Linux, Documentation/admin-guide/devices.txt
  constexpr unsigned virtual_console = 4, pty_first = 136, pty_last = 143, rfcomm = 216;
  const std::string name = printable(device);
  const char* in_configuration =
      "name it in /etc/smartmeterd/smartmeterd.toml instead: [adapter.NAME]";
  if (device.starts_with("tcp://"))
    throw std::runtime_error(
        fmt::format("{}: only ports of this machine can be claimed: {}", name, in_configuration));
  struct stat status {};
  const std::string path = device.find('/') == device.npos ? "/dev/" + device : device;
  if (::stat(path.c_str(), &status) != 0)
    throw std::runtime_error(errno == ENOENT
                                 ? fmt::format("there is no {}: \"smartmeterctl claim\" lists the "
                                               "adapters that are plugged in",
                                               name)
                                 : fmt::format("{}: {}", name, std::strerror(errno)));
  if (!S_ISCHR(status.st_mode)) throw std::runtime_error(name + " is not a serial port");
  const unsigned number = major(status.st_rdev);
  if (number >= pty_first && number <= pty_last)
    throw std::runtime_error(
        fmt::format("{} belongs to a program (a pseudo-terminal), and udev does not see it: {}",
                    name, in_configuration));
  if (number == rfcomm)
    throw std::runtime_error(fmt::format(
        "{} is a Bluetooth connection, which is not plugged in: {}", name, in_configuration));
  if (number == virtual_console && path.find("ttyS") != path.npos)
    throw std::runtime_error(name + " has no hardware behind it");
  throw std::runtime_error(name + " is not a serial port");
}

const SerialPort& required_port(const std::vector<SerialPort>& ports, const std::string& device) {
  const SerialPort* port = find_port(ports, device);
  if (port == nullptr) refuse(device);
  return *port;
}

/// The kernel or a login writes to it.
bool is_console(const SerialPort& port) {
  std::ifstream active("/sys/class/tty/console/active");
  for (std::string name; active >> name;)
    if (name == port.name()) return true;
  return false;
}

/// Programs that have the port open, smartmeterd aside.
std::vector<Holder> other_holders(const SerialPort& port) {
  auto holders = holders_of(port);
  std::erase_if(holders, [](const Holder& holder) { return holder.command == "smartmeterd"; });
  return holders;
}

/// How to get a port back from a program.
std::string release_text(const std::string& program, const SerialPort& port) {
  if (program == "ModemManager")
    return "it looks for a modem there and is done within a minute: try again then";
  if (program == "agetty")
    return fmt::format("run systemctl disable --now serial-getty@{}.service first", port.name());
  if (program == "gpsd") return "run systemctl stop gpsd.socket gpsd.service first";
  return "stop that program first";
}

/// A port in use stays with who uses it, unless the user insists.
void check_free(const SerialPort& port) {
  const char* insist = "--force claims it all the same";
  if (is_console(port))
    throw std::runtime_error(fmt::format(
        "{} is the system's console: take console={} out of the kernel's command line first; {}",
        port.node, port.name(), insist));
  const auto holders = other_holders(port);
  if (holders.empty()) return;
  throw std::runtime_error(fmt::format("{} is in use by {}: {}; {}", port.node,
                                       holders_text(holders),
                                       release_text(holders.front().command, port), insist));
}

void warn_of_rivals(const SerialPort& port, const std::string& root) {
  for (const Rival& rival : rivals_of(port, root))
    if (rival.takes_claimed())
      fmt::print(
          stderr,
          "smartmeterctl: {0} gives every adapter with this chip to {1}, which keeps the port "
          "from being read. Remove {1}, or switch the rule off: "
          "ln -s /dev/null /etc/udev/rules.d/{2}\n",
          rival.file.native(), rival.program, rival.file.filename().native());
}

// Without DEVICE

/// What is not worth a hint, in a few words; empty: it is.
std::string why_left_alone(const SerialPort& port) {
  if (port.kind() == "none" || product_kind(port) == "none") return "marked as no meter";
  if (!is_candidate(port)) return "probably something else";
  return {};
}

void print_candidate(const SerialPort& port, const std::vector<SerialPort>& ports,
                     const std::string& root) {
  const auto row = [](std::string_view what, std::string_view text) {
    if (!text.empty()) fmt::print("  {:<15}{}\n", what, text);
  };
  fmt::print("{}  {} ({}, {})\n", bold(port.node), port.description(), port.usb_id(), port.driver);
  std::string number = port.serial.empty() ? "none" : printable(port.serial);
  if (!serial_number_trouble(port, ports).empty()) {
    if (!port.serial.empty())
      number += has_unique_serial(port, ports) ? ", which cannot stand in a rule" : ", not its own";
    number += ": it is known by where it is plugged in";
  }
  row("serial number", number);
  row("plugged in at", printable(port.path));
  row("chip", usual_products(port));
  row("in use by", holders_text(other_holders(port)));
  for (const Rival& rival : rivals_of(port, root))
    row("wanted by", fmt::format("{} ({})", rival.program, rival.file.native()));
  row("to claim it", claim_command(port));
}

int list_ports(const ClaimOptions& options) {
  const auto ports = serial_ports();
  if (options.json) {
    std::string text;
    meter::JsonWriter json(text);
    json.begin_array();
    for (const SerialPort& port : ports) write_port(json, port, ports);
    json.end_array();
    fmt::print("{}\n", text);
    return exit_good;
  }
  const LocalRules rules(options.rules());
  std::string claimed, others;
  std::size_t candidates = 0;
  for (const SerialPort& port : ports) {
    if (port.is_claimed()) {
      claimed += fmt::format("  {}  {}{}{}\n", port.node, port.kind(),
                             port.given_name().empty() ? "" : "  ", port.given_name());
    } else if (!port.is_usb()) {
      others += fmt::format("  {}  {}{}\n", port.node, port.description(),
                            is_console(port) ? ": the system's console" : "");
    } else if (const std::string why = why_left_alone(port); !why.empty()) {
      others += fmt::format("  {}  {}: {}\n", port.node, port.description(), why);
    } else {
      if (++candidates > 1) fmt::print("\n");
      print_candidate(port, ports, options.root);
    }
  }
  for (const LocalRule& rule : rules.absent(ports))
    claimed +=
        fmt::format("  not plugged in: {}{}{} ({})\n", rule.claim.name,
                    rule.claim.name.empty() ? "" : ", ", rule.claim.kind, rule.description());
  if (candidates == 0)
    fmt::print("No serial adapter is waiting to be claimed: plug one in.\n");
  else
    fmt::print("\n--kind is {}.\n", kinds);
  if (!claimed.empty()) fmt::print("\nClaimed:\n{}", claimed);
  if (!others.empty()) fmt::print("\nOther serial ports, which can be claimed too:\n{}", others);
  if (::geteuid() != 0 && candidates > 0)
    fmt::print("\nRun this as root to see which programs use the ports.\n");
  return candidates > 0 ? exit_good : exit_nothing;
}

// The journal's hint

int hint(const ClaimOptions& options) {
  constexpr int priority_notice = 5;
  const auto ports = serial_ports();
  const SerialPort* port = find_port(ports, options.device);
  // Unplugged or claimed meanwhile, or something else: nothing to say.
  if (port == nullptr || !is_candidate(*port)) return exit_good;
  const std::string serial =
      port->serial.empty() ? "" : ", serial number " + printable(port->serial);
  const std::string message = fmt::format(
      "Nobody has claimed the serial adapter {} ({}{}). If it reads a meter: {} (or ir for an "
      "optical head, p1 for a P1 cable)",
      port->node, port->description(), serial, claim_command(*port));
  if (std::getenv("INVOCATION_ID") == nullptr) {  // not run by systemd: for who is looking
    fmt::print("{}\n", message);
    return exit_good;
  }
  const int result =
      sd_journal_send("MESSAGE=%s", message.c_str(), "MESSAGE_ID=84e59435fb3046c78a46c8f84504315e",
                      "PRIORITY=%i", priority_notice, "SMARTMETER_DEVICE=%s", port->node.c_str(),
                      "SMARTMETER_USB_ID=%s", port->usb_id().c_str(), nullptr);
  if (result < 0)
    throw std::runtime_error(fmt::format("no journal to write to: {}", std::strerror(-result)));
  return exit_good;
}

// With DEVICE

std::string identity_text(const SerialPort& port, const std::vector<SerialPort>& ports) {
  switch (identity_of(port, ports)) {
    case Identity::serial:
      return fmt::format("by its serial number {}", port.serial);
    case Identity::place:
      return fmt::format("by where it is plugged in ({}), as {}: leave it in this socket",
                         port.path, serial_number_trouble(port, ports));
    case Identity::name:
      break;
  }
  return "by its name";
}

void print_links(const SerialPort& port) {
  for (const std::string& link : port.links) {
    if (!link.starts_with("/dev/smartmeter") && link.find("/by-") != link.npos) continue;
    std::error_code error;
    const bool is_its_own = fs::read_symlink(link, error).filename() == port.name();
    fmt::print("  {}{}\n", printable(link),
               is_its_own ? "" : "  (another adapter's now: --priority gives it to this one)");
  }
}

/// Refuses names that another adapter's rule has.
void check_names(const LocalRules& rules, const std::vector<LocalRule>& own, const Claim& claim) {
  for (const LocalRule& rule : rules.rules()) {
    if (std::ranges::find(own, rule.line, &LocalRule::line) != own.end()) continue;
    for (const auto& [option, mine, its] : {std::tuple{"--name", claim.name, rule.claim.name},
                                            {"--link", claim.link, rule.claim.link}})
      if (!mine.empty() && mine == its)
        throw std::runtime_error(fmt::format(
            "{}: line {} of {} gives \"{}\" to another adapter ({}): choose another, or unclaim it",
            option, rule.line, rules.path().native(), mine, rule.description()));
  }
}

void print_plan(const LocalRules& rules, const std::vector<LocalRule>& replaced,
                const std::string& rule) {
  for (const LocalRule& old : replaced)
    fmt::print("Would remove line {} of {}\n", old.line, rules.path().native());
  if (!rule.empty()) fmt::print("Would add to {}:\n{}\n", rules.path().native(), rule);
}

/// What is asked for, completed by what is known; nothing to do: false. `on_system`: not in a
/// scratch tree.
bool complete(Claim& claim, const SerialPort& port, const std::vector<LocalRule>& own,
              bool on_system) {
  const std::string product = product_kind(port);
  const bool only_kind = claim.name.empty() && claim.link.empty() && !claim.high_priority;
  if (port.is_claimed() && only_kind && (claim.kind.empty() || claim.kind == port.kind()) &&
      (!on_system || claim_troubles(port, {.kind = port.kind()}).empty())) {
    fmt::print("{} is claimed already as {}{}.\n", port.node, port.kind(),
               own.empty() && product == port.kind()
                   ? ": a known product, which needs no claim (--kind none gives it back)"
                   : "");
    print_links(port);
    return false;
  }
  if (claim.kind.empty() && !own.empty()) claim.kind = own.back().claim.kind;
  if (claim.kind.empty()) claim.kind = product;
  if (claim.kind.empty()) throw UsageError(fmt::format("--kind is needed: {}", kinds));
  if (claim.kind == "none" && !only_kind)
    throw UsageError("--kind none: an adapter that is no meter gets no names");
  return true;
}

/// Writes are done: has everybody see them, and says what there is now.
int finish_claim(const SerialPort& before, const Claim& claim, bool device_list_changed) {
  const SerialPort port = apply_rules(before, claim.kind == "none");
  const auto troubles = claim_troubles(port, claim);
  for (const std::string& trouble : troubles) fmt::print(stderr, "smartmeterctl: {}\n", trouble);
  if (!troubles.empty()) return exit_nothing;
  if (claim.kind == "none") return exit_good;
  print_links(port);
  fmt::print("{}\n", start_service(device_list_changed));
  fmt::print(
      "\nNext: \"smartmeterctl list\" shows the meter after its first telegram. One that "
      "encrypts needs its key:\n  sudo smartmeterctl key add NAME\n");
  return exit_good;
}

int claim_port(ClaimOptions options) {
  Claim& claim = options.claim;
  check_name(claim.name);
  if (!claim.link.empty()) claim.link = checked_link(claim.link);
  const auto ports = serial_ports();
  const SerialPort& port = required_port(ports, options.device);
  const ChangeLock lock(options.root);
  LocalRules rules(options.rules());
  const auto own = rules.own_rules(port, ports);
  if (!complete(claim, port, own, options.root.empty())) return exit_good;
  check_names(rules, own, claim);
  if (!claim.link.empty()) check_place(claim.link, claim.kind, port, ports);
  const std::string rule = rule_for(port, ports, claim);
  if (options.dry_run) {
    print_plan(rules, own, rule);
    if (claim.kind != "none" && needs_device_allow(port.node))
      fmt::print("Would add to {}:\nDeviceAllow={} rw\n",
                 below(options.root, ports_drop_in).native(), port.node);
    return exit_good;
  }
  require_root(options.root, claim_arguments(options));
  if (claim.kind != "none" && !options.force) check_free(port);
  warn_of_rivals(port, options.root);
  rules.remove(own);
  rules.append(rule);
  rules.save();
  const bool device_list_changed =
      needs_device_allow(port.node) && allow_port(options.root, port.node, claim.kind != "none");
  if (claim.kind == "none")
    fmt::print("{} ({}) is marked as no meter.\n", port.node, port.description());
  else
    fmt::print("{} ({}) is claimed as {}, {}.\n", port.node, port.description(), claim.kind,
               identity_text(port, ports));
  if (!options.root.empty()) return exit_good;
  return finish_claim(port, claim, device_list_changed);
}

// unclaim

/// The rule of an adapter that is named by what its line says of it; throws where several fit.
LocalRule rule_called(const LocalRules& rules, const std::string& device) {
  auto called = rules.rules();
  std::erase_if(called, [&](const LocalRule& rule) { return !rule.is_called(device); });
  if (called.empty()) refuse(device);
  if (called.size() == 1) return called.front();
  std::string lines;
  for (const auto& [line, tokens, claim] : called)
    lines += fmt::format("\n  line {}: {}{}{}", line, claim.kind, claim.name.empty() ? "" : ", ",
                         printable(claim.name));
  throw std::runtime_error(fmt::format(
      "{} lines of {} are about {}: name the adapter by its own name (--name), or plug it in and "
      "name its node:{}",
      called.size(), rules.path().native(), printable(device), lines));
}

int unclaim_absent(const ClaimOptions& options, LocalRules& rules, const LocalRule& rule) {
  if (options.dry_run) {
    print_plan(rules, {rule}, {});
    return exit_good;
  }
  require_root(options.root, "unclaim " + printable(options.device));
  rules.remove({rule});
  rules.save();
  for (const RuleToken& token : rule.tokens)
    if (token.key == "KERNEL" && allow_port(options.root, "/dev/" + token.value, false) &&
        options.root.empty())
      restart_service();
  if (options.root.empty()) run_program({"udevadm", "control", "--reload"});
  fmt::print("{} is claimed no more.\n", printable(options.device));
  return exit_good;
}

int unclaim(const ClaimOptions& options) {
  const auto ports = serial_ports();
  const ChangeLock lock(options.root);
  LocalRules rules(options.rules());
  const SerialPort* port = find_port(ports, options.device);
  if (port == nullptr) {
    const LocalRule rule = rule_called(rules, options.device);
    for (const SerialPort& one : ports) {
      if (!rule.matches(one)) continue;
      if (port != nullptr)
        throw std::runtime_error(fmt::format("{} is {} and {}: name one of them",
                                             printable(options.device), port->node, one.node));
      port = &one;
    }
    if (port == nullptr) return unclaim_absent(options, rules, rule);
  }
  const auto own = rules.own_rules(*port, ports);
  if (own.empty() && !port->is_claimed())
    throw std::runtime_error(fmt::format("{} is not claimed", port->node));
  rules.remove(own);
  // What would take it all the same: a known product, a line about several, another file.
  const std::string product = product_kind(*port);
  const auto left = rules.rules();
  const bool needs_line =
      (own.empty() && port->is_claimed()) || (!product.empty() && product != "none") ||
      std::ranges::any_of(left, [&](const LocalRule& rule) { return rule.matches(*port); });
  const std::string line = needs_line ? rule_for(*port, ports, {.kind = "none"}) : "";
  if (options.dry_run) {
    print_plan(rules, own, line);
    return exit_good;
  }
  require_root(options.root, "unclaim " + printable(options.device));
  if (needs_line) rules.append(line);
  rules.save();
  const bool device_list_changed =
      needs_device_allow(port->node) && allow_port(options.root, port->node, false);
  fmt::print("{} ({}) is claimed no more{}.\n", port->node, port->description(),
             needs_line ? ": it is marked as no meter" : "");
  if (!options.root.empty()) return exit_good;
  if (apply_rules(*port, true).is_claimed())
    throw std::runtime_error(fmt::format(
        "but udev still claims {}: a later file in /etc/udev/rules.d gives it a kind", port->node));
  if (device_list_changed) restart_service();
  return exit_good;
}

int claim_or_list(const ClaimOptions& options) {
  if (options.hint) return hint(options);
  if (!options.device.empty()) {
    if (options.json) throw UsageError("--json is for the list, without DEVICE");
    return claim_port(options);
  }
  const Claim& claim = options.claim;
  if (!claim.kind.empty() || !claim.name.empty() || !claim.link.empty() || claim.high_priority ||
      options.force || options.dry_run)
    throw UsageError("name the DEVICE: \"smartmeterctl claim\" lists them");
  return list_ports(options);
}

}  // namespace

void add_claim(CLI::App& app, Action& action) {
  auto options = std::make_shared<ClaimOptions>();
  CLI::App* claim =
      app.add_subcommand("claim", "list the serial adapters that nobody claimed, or claim one");
  claim->footer(claim_footer);
  claim->add_option("DEVICE", options->device, "node, link, or a name such as ttyUSB0")
      ->check(is_not_empty);
  claim->add_option("--kind", options->claim.kind, kinds)
      ->check(CLI::IsMember({"mbus", "ir", "p1", "none"}))
      ->type_name("KIND");
  claim->add_option("--name", options->claim.name, "for /dev/smartmeter/by-name/NAME")
      ->type_name("NAME");
  claim->add_option("--link", options->claim.link, "one more link: /dev/LINK")->type_name("LINK");
  claim->add_flag("--priority", options->claim.high_priority,
                  "/dev/smartmeter_KIND is this one where several are plugged in");
  claim->add_flag("--force", options->force, "also a port that another program uses");
  claim->add_flag("--dry-run", options->dry_run, "say what would be written");
  claim->add_flag("--json", options->json, "for machines: all serial ports as one JSON array");
  claim->add_flag("--hint", options->hint)->group("");    // for the unit
  claim->add_option("--root", options->root)->group("");  // for tests: a scratch tree
  claim->callback([options, &action] { action = [options] { return claim_or_list(*options); }; });
}

void add_unclaim(CLI::App& app, Action& action) {
  auto options = std::make_shared<ClaimOptions>();
  CLI::App* command = app.add_subcommand("unclaim", "give a claimed adapter back");
  command->footer(unclaim_footer);
  command->add_option("DEVICE", options->device, "node, link, or name")
      ->required()
      ->check(is_not_empty);
  command->add_flag("--dry-run", options->dry_run, "say what would be written");
  command->add_option("--root", options->root)->group("");  // for tests: a scratch tree
  command->callback([options, &action] { action = [options] { return unclaim(*options); }; });
}

}  // namespace smartmeterctl
