// SPDX-License-Identifier: Apache-2.0
// SerialDevice: which of its names an adapter goes by.
#include "daemon/io/device_monitor.hpp"

#include <gtest/gtest.h>

namespace smartmeterd::io {
namespace {

std::string name_of(std::vector<std::string> links) {
  SerialDevice serial;
  serial.node = "/dev/ttyUSB0";
  serial.links = std::move(links);
  return serial.stable_name();
}

TEST(StableName, ByIdElseByPathElseTheNode) {
  EXPECT_EQ(name_of({"/dev/smartmeter/by-path/mbus-pci-0000:00:14.0-usb-0:2:1.0-port0",
                     "/dev/smartmeter/by-id/mbus-FTDI_FT230X_D30A9U5N-if00-port0",
                     "/dev/smartmeter_mbus"}),
            "mbus-FTDI_FT230X_D30A9U5N-if00-port0");
  EXPECT_EQ(name_of({"/dev/smartmeter/by-path/p1-platform-ff1a0000.serial",
                     "/dev/smartmeter/by-name/cellar", "/dev/smartmeter_p1"}),
            "p1-platform-ff1a0000.serial");
  EXPECT_EQ(name_of({"/dev/smartmeter_p1"}), "ttyUSB0");
  EXPECT_EQ(name_of({}), "ttyUSB0");
}

TEST(StableName, DoesNotDependOnTheOrderOfLinks) {
  const std::string ours = "/dev/smartmeter/by-id/ir-FTDI-if00";
  const std::string other = "/dev/serial/by-id/usb-FTDI-if00";
  EXPECT_EQ(name_of({ours, other}), "ir-FTDI-if00");
  EXPECT_EQ(name_of({other, ours}), "ir-FTDI-if00");
  EXPECT_EQ(name_of({other, "/dev/smartmeter/by-path/ir-pci"}), "usb-FTDI-if00");
}

}  // namespace
}  // namespace smartmeterd::io
