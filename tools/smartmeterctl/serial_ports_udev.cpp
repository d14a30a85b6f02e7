// SPDX-License-Identifier: Apache-2.0
// SerialPort over libudev.
#include <fmt/core.h>
#include <libudev.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "tools/smartmeterctl/serial_ports.hpp"

namespace smartmeterctl {
namespace {

struct Unref {
  void operator()(udev* object) const { udev_unref(object); }
  void operator()(udev_enumerate* object) const { udev_enumerate_unref(object); }
  void operator()(udev_device* object) const { udev_device_unref(object); }
  void operator()(udev_hwdb* object) const { udev_hwdb_unref(object); }
};
template <class Object>
using Handle = std::unique_ptr<Object, Unref>;

std::string text(const char* value) {
  return value != nullptr ? value : "";
}

std::string attribute(udev_device* device, const char* name) {
  return text(udev_device_get_sysattr_value(device, name));
}

/// The driver that a person knows: since Linux 6.6 two devices of the serial core stand between an
/// on-board UART and its tty.
std::string driver_of(udev_device* tty) {
  for (auto* parent = udev_device_get_parent(tty); parent != nullptr;
       parent = udev_device_get_parent(parent)) {
    const std::string subsystem = text(udev_device_get_subsystem(parent));
    // The chip's driver, not the name of its ports ("ch341-uart").
    if (subsystem == "serial-base" || subsystem == "usb-serial") continue;
    const char* driver = udev_device_get_driver(parent);
    if (driver == nullptr) driver = udev_device_get_property_value(parent, "DRIVER");
    if (driver != nullptr) return driver;
  }
  return {};
}

void describe_usb(udev_device* tty, SerialPort& port) {
  auto* device = udev_device_get_parent_with_subsystem_devtype(tty, "usb", "usb_device");
  if (device == nullptr) return;
  port.usb_device = text(udev_device_get_syspath(device));
  port.vendor_id = attribute(device, "idVendor");
  port.product_id = attribute(device, "idProduct");
  port.vendor = attribute(device, "manufacturer");
  port.product = attribute(device, "product");
  port.serial = attribute(device, "serial");
  if (auto* one = udev_device_get_parent_with_subsystem_devtype(tty, "usb", "usb_interface"))
    port.interface_number = attribute(one, "bInterfaceNumber");
  if (auto* one = udev_device_get_parent_with_subsystem_devtype(tty, "usb-serial", nullptr))
    port.port_number = attribute(one, "port_number");
}

/// Terminals of the screen, of programs and of Bluetooth are none.
bool is_serial_port(udev_device* tty) {
  if (udev_device_get_devnode(tty) == nullptr || udev_device_get_parent(tty) == nullptr)
    return false;
  if (udev_device_get_parent_with_subsystem_devtype(tty, "bluetooth", nullptr) != nullptr)
    return false;
  // The 8250 driver has ports in reserve with nothing behind them: PORT_UNKNOWN.
  return attribute(tty, "type") != "0";
}

SerialPort describe(udev_device* tty) {
  SerialPort port;
  port.syspath = text(udev_device_get_syspath(tty));
  port.node = text(udev_device_get_devnode(tty));
  port.number = udev_device_get_devnum(tty);
  udev_list_entry* entry = nullptr;
  udev_list_entry_foreach(entry, udev_device_get_devlinks_list_entry(tty))
      port.links.push_back(text(udev_list_entry_get_name(entry)));
  std::ranges::sort(port.links);
  udev_list_entry_foreach(entry, udev_device_get_properties_list_entry(tty))
      port.properties.emplace(text(udev_list_entry_get_name(entry)),
                              text(udev_list_entry_get_value(entry)));
  port.driver = driver_of(tty);
  port.path = port.property("ID_PATH");
  describe_usb(tty, port);
  return port;
}

/// ttyUSB2 before ttyUSB10.
bool is_before(const SerialPort& a, const SerialPort& b) {
  return std::pair(a.node.size(), a.node) < std::pair(b.node.size(), b.node);
}

}  // namespace

bool has_udev() {
  return true;
}

std::vector<SerialPort> serial_ports() {
  const Handle<udev> context(udev_new());
  const Handle<udev_enumerate> list(udev_enumerate_new(context.get()));
  udev_enumerate_add_match_subsystem(list.get(), "tty");
  if (udev_enumerate_scan_devices(list.get()) < 0)
    throw std::runtime_error("cannot list the serial ports: is /sys mounted?");
  std::vector<SerialPort> ports;
  udev_list_entry* entry = nullptr;
  udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(list.get())) {
    const Handle<udev_device> tty(
        udev_device_new_from_syspath(context.get(), udev_list_entry_get_name(entry)));
    if (tty && is_serial_port(tty.get())) ports.push_back(describe(tty.get()));
  }
  std::ranges::sort(ports, is_before);
  return ports;
}

std::string product_kind(const SerialPort& port) {
  if (!port.is_usb()) return {};
  const Handle<udev> context(udev_new());
  const Handle<udev_hwdb> database(udev_hwdb_new(context.get()));
  if (!database) return {};
  // As 61-smartmeter.rules asks.
  const std::string key = fmt::format("smartmeter:usb:v{}p{}:{}:{}:{}", port.vendor_id,
                                      port.product_id, port.property("ID_VENDOR"),
                                      port.property("ID_MODEL"), port.property("ID_SERIAL_SHORT"));
  udev_list_entry* entry = nullptr;
  udev_list_entry_foreach(
      entry, udev_hwdb_get_properties_list_entry(
                 database.get(), key.c_str(),
                 0)) if (text(udev_list_entry_get_name(entry)) ==
                         "SMARTMETER_KIND") return text(udev_list_entry_get_value(entry));
  return {};
}

}  // namespace smartmeterctl
