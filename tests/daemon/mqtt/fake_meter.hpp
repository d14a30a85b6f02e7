// SPDX-License-Identifier: Apache-2.0
// FakeMeter: a meter as the sinks are told of it, without telegrams.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "daemon/model.hpp"

namespace smartmeterd::test {

/// A meter as the daemon's model holds it, and telegrams of it.
struct FakeMeter {
  Adapter adapter;
  Meter meter;
  meter::ReadingSet readings;
  meter::NamedReadings named;
  meter::QuantityMap quantities;

  explicit FakeMeter(const std::string& id = "1KFM0200169986") {
    adapter.name = "ttyusb0";
    adapter.line = "2400-8E1";
    meter.id = id;
    meter.slug = meter::slug(id);
    meter.adapter = &adapter;
    meter.manufacturer = "KFM";
    meter.encrypted = true;
    meter.key_state = KeyState::ok;
    meter.link = meter::Link::mbus;
    meter.interval_s = 5;
    readings.link = meter::Link::mbus;
    readings.authentication = meter::Authentication::verified;
    meter.last_update_us = 1763636405481203;  // 2025-11-20T11:00:05.481203Z
    meter.last_update = io::TimePoint(std::chrono::seconds(1000));
  }
  void set(const std::string& name, meter::Decimal value, meter::Unit unit) {
    for (LatestValue& latest : meter.values) {
      if (latest.name != name) continue;
      latest.value = value;
      latest.arrived = meter.last_update;
      return;
    }
    meter.values.push_back({name, value, "", unit, false, false, meter.last_update});
  }
  /// The Kaifa list of the example in the interface's description.
  void fill() {
    set("energy_import", {12048950, -3}, meter::Unit::kilowatt_hour);
    set("power_import", {545, 0}, meter::Unit::watt);
    set("voltage_l1", {2301, -1}, meter::Unit::volt);
  }
  /// `last_byte`: when a port of this machine had read it.
  void send(Sink& sink, std::optional<io::TimePoint> last_byte = {}) {
    ++meter.sequence;
    sink.telegram({meter, readings, named, quantities, {}, last_byte});
  }
};

}  // namespace smartmeterd::test
