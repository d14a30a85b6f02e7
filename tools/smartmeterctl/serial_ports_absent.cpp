// SPDX-License-Identifier: Apache-2.0
// SerialPort where libudev was not there when this was built.
#include <stdexcept>

#include "tools/smartmeterctl/serial_ports.hpp"

namespace smartmeterctl {

bool has_udev() {
  return false;
}

std::vector<SerialPort> serial_ports() {
  throw std::runtime_error("this smartmeterctl was built without libudev: it sees no adapters");
}

std::string product_kind(const SerialPort&) {
  return {};
}

}  // namespace smartmeterctl
