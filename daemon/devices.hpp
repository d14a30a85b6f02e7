// SPDX-License-Identifier: Apache-2.0
// Devices: which adapters there are, from the configuration and from udev, over unplug and replug.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "daemon/config.hpp"
#include "daemon/device.hpp"
#include "daemon/io/device_monitor.hpp"

namespace smartmeterd {

/// One Device for each configured adapter, and for each one that udev shows and no table names.
/// An adapter is known by its stable name: plugged in again, also as another ttyUSB number or in
/// another order of events, it is the same Device, and so the same object on D-Bus. Unplugged, it
/// waits for its return until the configuration is read again or its claim is withdrawn.
class Devices {
 public:
  explicit Devices(const DeviceEnvironment& environment) : environment_(environment) {}

  /// What is configured now; every device gets the keys. Before the first call the adapters of
  /// udev are only remembered.
  void configure(const Config& config, std::shared_ptr<const meter::dlms::KeyRing> keys);

  /// Plugged in, or something about it changed: its links, its permissions, its kind.
  void appeared(const io::SerialDevice& serial);
  /// Unplugged.
  void vanished(const io::SerialDevice& serial);
  /// Still there, but it is claimed no more: another program may want it now.
  void released(const io::SerialDevice& serial);

  void clear() { devices_.clear(); }
  const std::vector<std::unique_ptr<Device>>& all() const noexcept { return devices_; }

 private:
  Device* on(const std::string& syspath) const;
  Device* find(const io::SerialDevice& serial) const;
  Device* named(const std::string& name) const;
  void add(const AdapterConfig& config, const io::SerialDevice* serial);
  void add_found(const io::SerialDevice& serial);

  DeviceEnvironment environment_;
  std::shared_ptr<const meter::dlms::KeyRing> keys_;
  std::vector<io::SerialDevice> serials_;  // what udev shows
  std::vector<std::unique_ptr<Device>> devices_;
};

}  // namespace smartmeterd
