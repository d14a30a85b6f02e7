// SPDX-License-Identifier: Apache-2.0
// DeviceMonitor: claimed serial adapters coming and going, from udev.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/io/loop.hpp"

namespace smartmeterd::io {

/// A tty that carries the udev tag "smartmeter".
struct SerialDevice {
  std::string syspath;   ///< the key: device numbers and names are re-used
  std::string node;      ///< "/dev/ttyUSB0"
  std::vector<std::string> links;  ///< "/dev/smartmeter_mbus", by-id, by-path, by-name
  std::string kind;      ///< SMARTMETER_KIND: mbus, ir, p1
  std::string usb_id;    ///< "0403:6001" or ""
  std::string serial;    ///< ID_SERIAL_SHORT or ""
  /// Basename of the by-id link, else by-path, else the node, not yet a slug.
  std::string stable_name() const;
  friend bool operator==(const SerialDevice&, const SerialDevice&) = default;
};

/// What comes after the last '/'.
std::string base_name(std::string_view path);

/// Monitor first, enumerate second, de-duplicated by syspath.
class DeviceMonitor {
 public:
  struct Events {
    std::function<void(const SerialDevice&)> added;
    std::function<void(const SerialDevice&)> changed;
    std::function<void(const SerialDevice&)> removed;   ///< unplugged
    std::function<void(const SerialDevice&)> released;  ///< still there, but claimed no more
  };
  virtual ~DeviceMonitor() = default;
  /// Enumerates now; `added` is called for each adapter that is there. Null, with a reason in
  /// `error`, where udev is not to be had (containers): not fatal.
  static std::unique_ptr<DeviceMonitor> start(Loop& loop, Events events, std::string& error);
};

}  // namespace smartmeterd::io
