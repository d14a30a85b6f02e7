// SPDX-License-Identifier: Apache-2.0
// SerialPort: what udev, sysfs and /proc know of a serial port, without opening it.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace smartmeterctl {

/// A serial port with hardware behind it. Texts are what the device says of itself: not to be
/// trusted, and not to be printed without printable().
struct SerialPort {
  std::string syspath;
  std::string node;                ///< "/dev/ttyUSB0"
  std::vector<std::string> links;  ///< sorted
  dev_t number = 0;

  std::string driver;       ///< "ftdi_sio", "cdc_acm", "uart-pl011"
  std::string path;         ///< ID_PATH: the place it is plugged in
  std::string port_number;  ///< on a chip with several ports behind one interface; else "0" or ""

  // USB; empty for others.
  std::string usb_device;             ///< syspath of the device
  std::string vendor_id, product_id;  ///< lower-case hex
  std::string vendor, product, serial;
  std::string interface_number;  ///< "00"

  std::map<std::string, std::string, std::less<>> properties;  ///< udev's

  bool is_usb() const { return !usb_device.empty(); }
  /// "ttyUSB0"
  std::string name() const;
  /// "0403:6001", empty where it is not USB.
  std::string usb_id() const;
  /// Empty where it has none.
  std::string property(std::string_view name) const;
  /// Carries the tag that smartmeterd looks for.
  bool is_claimed() const;
  /// "mbus", "ir", "p1", "none" (a rule says that this is no meter) or empty.
  std::string kind() const { return property("SMARTMETER_KIND"); }
  /// By which a local rule names it: /dev/smartmeter/by-name/NAME.
  std::string given_name() const { return property("SMARTMETER_NAME"); }
  /// "FTDI FT232R USB UART", "on-board UART (uart-pl011)"; printable.
  std::string description() const;
};

/// Whether this build can ask udev.
bool has_udev();

/// All serial ports that have hardware, in the order of their names; no port is opened. Throws
/// std::runtime_error where this build cannot ask udev.
std::vector<SerialPort> serial_ports();

/// The one that a node, a link or the name of either ("ttyUSB0", "smartmeter_ir") means; nullptr:
/// none of these. Of several that ask for one link it is the one to which the link leads.
const SerialPort* find_port(const std::vector<SerialPort>& ports, const std::string& device);

/// Whether the serial number tells this adapter from all others: neither missing nor one of those
/// that whole batches share ("0001", all digits the same), and no other adapter here has it.
bool has_unique_serial(const SerialPort& port, const std::vector<SerialPort>& ports);

/// The kind that the hardware database gives this product: "mbus", "ir", "p1", "none" or empty.
std::string product_kind(const SerialPort& port);

/// A USB chip that meter adapters are built with, claimed by nobody, and by nothing that udev knows
/// something else (a modem, a phone): worth a hint.
bool is_candidate(const SerialPort& port);

/// A process that has a port open.
struct Holder {
  pid_t pid;
  std::string command;  ///< "gpsd"
};
/// Who has this port open; root sees all processes, others their own.
std::vector<Holder> holders_of(const SerialPort& port);

/// "gpsd (process 812), minicom (process 901)"
std::string holders_text(const std::vector<Holder>& holders);

/// What came from a device, for a terminal or a log: control and non-ASCII characters as '?'.
std::string printable(std::string_view text);

}  // namespace smartmeterctl
