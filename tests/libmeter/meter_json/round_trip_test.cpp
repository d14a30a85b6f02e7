// SPDX-License-Identifier: Apache-2.0
// What the simulated gateways say they send is what the JSON decoder reads.
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "meter/quantity.hpp"
#include "meter_json/decoder.hpp"
#include "tools/metersim/meter.hpp"

namespace {

using metersim::Family;

/// The set of the meter that the telegram names; others of the message are passed over.
bool find(meter::json::Decoder& decoder, const std::string& id, meter::ReadingSet& set) {
  while (decoder.next(set))
    if (set.meter_id.view() == id) return true;
  return false;
}

std::map<std::string, std::string> readings_of(const meter::ReadingSet& set) {
  const meter::QuantityMap map;
  meter::NamedReadings named;
  meter::harmonize(set, map, named);
  std::map<std::string, std::string> readings;
  for (const meter::NamedReading& reading : named) {
    char buffer[meter::Decimal::text_size_max];
    if (!reading.derived) readings.emplace(reading.name, reading.value.to_text(buffer));
  }
  return readings;
}

TEST(JsonRoundTrip, EveryFamily) {
  unsigned families = 0;
  for (const Family& family : metersim::families()) {
    if (family.link != metersim::Link::json) continue;
    SCOPED_TRACE(family.name);
    ++families;
    metersim::MeterOptions options;
    options.start.epoch_s = 1795172405;
    options.interval_s = 900;  // through a day and its sun: export too
    metersim::Meter meter(family, options);
    meter::json::Decoder decoder;
    for (int i = 0; i < 100; ++i) {
      const metersim::Telegram sent = meter.next();
      const metersim::Octets octets = sent.octets();
      ASSERT_TRUE(decoder.read({}, std::as_bytes(std::span(octets)))) << sent.number;
      meter::ReadingSet set;
      ASSERT_TRUE(find(decoder, sent.meter, set)) << sent.number;
      std::map<std::string, std::string> readings;
      for (const auto& [name, value] : sent.readings) readings.emplace(name, value);
      EXPECT_EQ(readings_of(set), readings) << sent.number;
      char buffer[meter::DateTime::text_size_max];
      ASSERT_TRUE(set.time);
      EXPECT_EQ(set.time->to_text(buffer), *sent.time);
    }
  }
  EXPECT_EQ(families, 4u);
}

}  // namespace
