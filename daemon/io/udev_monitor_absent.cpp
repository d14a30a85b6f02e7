// SPDX-License-Identifier: Apache-2.0
// A build without libudev: configured devices only.
#include "daemon/io/device_monitor.hpp"

namespace smartmeterd::io {

std::unique_ptr<DeviceMonitor> DeviceMonitor::start(Loop&, Events, std::string& error) {
  error = "built without libudev";
  return nullptr;
}

}  // namespace smartmeterd::io
