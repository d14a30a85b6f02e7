// SPDX-License-Identifier: Apache-2.0
// SerialPort: the parts that need no udev.
#include "tools/smartmeterctl/serial_ports.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <set>

namespace smartmeterctl {
namespace {

namespace fs = std::filesystem;

/// The drivers of the chips that meter adapters are built with, as 61-smartmeter.rules has them.
constexpr std::array<std::string_view, 5> adapter_drivers = {"ftdi_sio", "cp210x", "ch341",
                                                             "pl2303", "cdc_acm"};

/// What a device calls itself, without blanks at its ends.
std::string words(std::string_view text) {
  std::string clean = printable(text);
  clean.erase(0, std::min(clean.find_first_not_of(' '), clean.size()));
  clean.erase(clean.find_last_not_of(' ') + 1);
  return clean;
}

/// Whether a process, of this or of a container's /dev, has the device open.
bool has_open(const fs::path& process, dev_t number) {
  std::error_code error;
  for (fs::directory_iterator file(process / "fd", error), end; !error && file != end;
       file.increment(error)) {
    // What is known without asking: a file on a dead network share must not hang us.
    struct statx status {};
    if (::statx(AT_FDCWD, file->path().c_str(), AT_STATX_DONT_SYNC, STATX_TYPE, &status) == 0 &&
        S_ISCHR(status.stx_mode) && makedev(status.stx_rdev_major, status.stx_rdev_minor) == number)
      return true;
  }
  return false;
}

}  // namespace

std::string SerialPort::name() const {
  return node.substr(node.rfind('/') + 1);
}

std::string SerialPort::usb_id() const {
  return is_usb() ? vendor_id + ":" + product_id : std::string{};
}

std::string SerialPort::property(std::string_view name) const {
  const auto found = properties.find(name);
  return found == properties.end() ? std::string{} : found->second;
}

bool SerialPort::is_claimed() const {
  // TAGS remembers what the device once had; CURRENT_TAGS came with udev 247.
  const std::string current = property("CURRENT_TAGS");
  return (current.empty() ? property("TAGS") : current).find(":smartmeter:") != std::string::npos;
}

std::string SerialPort::description() const {
  if (!is_usb())
    return driver.empty() ? "on-board UART" : fmt::format("on-board UART ({})", driver);
  std::string text = words(vendor);
  const std::string model = words(product);
  if (!text.empty() && !model.empty()) text += ' ';
  text += model;
  return text.empty() ? "USB adapter without a name" : text;
}

const SerialPort* find_port(const std::vector<SerialPort>& ports, const std::string& device) {
  const auto first = [&](const auto& fits) {
    const auto found = std::ranges::find_if(ports, fits);
    return found == ports.end() ? nullptr : &*found;
  };
  if (const auto* port =
          first([&](const SerialPort& one) { return one.node == device || one.name() == device; }))
    return port;
  // Before the links that udev knows: several adapters may ask for one. Besides, somebody may have
  // made one by hand.
  const std::string path = device.find('/') == device.npos ? "/dev/" + device : device;
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && S_ISCHR(status.st_mode))
    if (const auto* port =
            first([&](const SerialPort& one) { return one.number == status.st_rdev; }))
      return port;
  return first([&](const SerialPort& one) {
    return std::ranges::any_of(one.links, [&](const std::string& link) {
      return link == device || link.substr(link.rfind('/') + 1) == device;
    });
  });
}

bool has_unique_serial(const SerialPort& port, const std::vector<SerialPort>& ports) {
  if (port.serial.empty() || port.serial == "0001") return false;
  if (port.serial.find_first_not_of(port.serial.front()) == std::string::npos) return false;
  return std::ranges::none_of(ports, [&](const SerialPort& other) {
    return other.usb_device != port.usb_device && other.usb_id() == port.usb_id() &&
           other.serial == port.serial;
  });
}

bool is_candidate(const SerialPort& port) {
  if (!port.is_usb() || port.is_claimed() || !port.kind().empty()) return false;
  if (std::ranges::find(adapter_drivers, port.driver) == adapter_drivers.end()) return false;
  // ModemManager's rules mark what they know as a modem or as one's port.
  if (port.property("ID_MM_DEVICE_PROCESS") == "1") return false;
  if (std::ranges::any_of(port.properties, [](const auto& property) {
        return property.first.starts_with("ID_MM_PORT_TYPE_");
      }))
    return false;
  // A phone or a development board is more than a serial port: a disk, a camera, a network card.
  const std::string interfaces = port.property("ID_USB_INTERFACES");  // ":020201:0a0000:"
  for (std::size_t at = 1; at + 6 <= interfaces.size(); at += 7) {
    const std::string_view of_class = std::string_view(interfaces).substr(at, 2);
    if (of_class != "02" && of_class != "0a" && of_class != "ff") return false;
  }
  // kind() is what udev has written down: nothing yet where its rules have not run on this port, as
  // for one that was there before they were installed.
  return product_kind(port) != "none";
}

std::vector<Holder> holders_of(const SerialPort& port) {
  std::vector<Holder> holders;
  std::error_code error;
  for (fs::directory_iterator process("/proc", error), end; !error && process != end;
       process.increment(error)) {
    const std::string name = process->path().filename();
    pid_t pid = 0;
    const auto [rest, bad] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (bad != std::errc{} || rest != name.data() + name.size()) continue;
    if (!has_open(process->path(), port.number)) continue;
    std::string command;
    std::getline(std::ifstream(process->path() / "comm"), command);
    holders.push_back({pid, printable(command)});
  }
  std::ranges::sort(holders, {}, &Holder::pid);
  return holders;
}

std::string holders_text(const std::vector<Holder>& holders) {
  std::string text;
  for (const auto& [pid, command] : holders)
    text += fmt::format("{}{} (process {})", text.empty() ? "" : ", ", command, pid);
  return text;
}

std::string printable(std::string_view text) {
  std::string clean(text);
  std::ranges::replace_if(
      clean, [](char c) { return c < ' ' || c > '~'; }, '?');
  return clean;
}

}  // namespace smartmeterctl
