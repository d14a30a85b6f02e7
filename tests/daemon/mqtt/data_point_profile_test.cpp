// SPDX-License-Identifier: Apache-2.0
// The topics of smartmeter-datacollector and of the plug-test, as these wrote them themselves.
#include "daemon/mqtt/data_point_profile.hpp"

#include <gmock/gmock.h>

#include "tests/daemon/mqtt/profile_fixture.hpp"

#if HAS_JSON
#include "meter_json/decoder.hpp"
#endif

namespace smartmeterd::mqtt {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using DataPointProfileTest = test::ProfileTest;
using meter::Unit;

/// Two messages of the plug-test of 2021: from a data collector's topic to the harmonised one.
TEST_F(DataPointProfileTest, MessagesAreThoseOfThePlugTest) {
  config_.prefix = "own";
  config_.profiles = {"datacollector", "plug-test"};
  config_.datacollector_prefix = "smartmeter";
  config_.plug_test_prefix = "harmonised/smartmeter";
  start();
  send("LGZ1030655933512", {{"1-0:1.7.0", {1, 0}, Unit::watt}});
  EXPECT_TRUE(
      hears("smartmeter/LGZ1030655933512/ACTIVE_POWER_P", R"({"value":1,"timestamp":1629055611})"));
  EXPECT_TRUE(hears("harmonised/smartmeter/LGZ1030655933512/power/power_in",
                    R"({"timestamp":1629055611,"value":1})"));
  const auto* message = hear("smartmeter/LGZ1030655933512/ACTIVE_POWER_P");
  EXPECT_FALSE(message->retained);
  EXPECT_EQ(message->qos, 0);
  EXPECT_EQ(message->content_type, "application/json");
}

/// Names and units of the data collector's meter_data.py: W, Wh, VAh for varh, V, A.
TEST_F(DataPointProfileTest, UnitsAreTheDataCollectors) {
  config_.profiles = {"smartmeterd", "datacollector", "plug-test"};
  config_.qos = 1;
  start();
  send("LGZ1", {{"1-0:1.7.0", {545, -3}, Unit::kilowatt},
                {"1-1:1.8.0", {12048950, 0}, Unit::watt_hour},
                {"1-1:5.8.0", {4567, -3}, Unit::kilovar_hour},
                {"1-0:32.7.0", {2301, -1}, Unit::volt},
                {"1-0:31.7.0", {13, -2}, Unit::ampere},
                {"1-0:81.7.4", {60, 0}, Unit::degree},
                {"1-0:14.7.0", {4998, -2}, Unit::hertz}});
  hear_everything();
  EXPECT_THAT(
      heard_below("datacollector/"),
      ElementsAre(R"(datacollector/LGZ1/ACTIVE_POWER_P {"value":545,"timestamp":1629055611})",
                  R"(datacollector/LGZ1/ACTIVE_ENERGY_P )"
                  R"({"value":12048950,"timestamp":1629055611})",
                  R"(datacollector/LGZ1/REACTIVE_ENERGY_Q1 )"
                  R"({"value":4567,"timestamp":1629055611})",
                  R"(datacollector/LGZ1/VOLTAGE_L1 {"value":230.1,"timestamp":1629055611})",
                  R"(datacollector/LGZ1/CURRENT_L1 {"value":0.13,"timestamp":1629055611})",
                  R"(datacollector/LGZ1/NET_FREQUENCY )"
                  R"({"value":49.98,"timestamp":1629055611})"));
  EXPECT_THAT(heard_below("plug-test/"),
              ElementsAre(R"(plug-test/LGZ1/power/power_in {"timestamp":1629055611,"value":545})",
                          R"(plug-test/LGZ1/energy/energy_in )"
                          R"({"timestamp":1629055611,"value":12048950})",
                          R"(plug-test/LGZ1/voltage/voltage_l1 )"
                          R"({"timestamp":1629055611,"value":230.1})",
                          R"(plug-test/LGZ1/current/current_l1 )"
                          R"({"timestamp":1629055611,"value":0.13})"));
  EXPECT_EQ(hear("datacollector/LGZ1/VOLTAGE_L1")->qos, 1);
}

TEST_F(DataPointProfileTest, WhatARegisterIsCalledHereDoesNotMatterThere) {
  config_.profiles = {"smartmeterd", "datacollector"};
  start({{.obis = *meter::Obis::parse("1-0:1.7.0"), .name = "house", .unit = {}, .scale = {}},
         {.obis = *meter::Obis::parse("1-0:2.7.0"), .name = "", .unit = {}, .scale = {}}});
  send("LGZ1", {{"1-0:1.7.0", {545, -3}, Unit::kilowatt}, {"1-0:2.7.0", {0, 0}, Unit::watt}});
  hear_everything();
  EXPECT_THAT(heard_below("datacollector/"),
              ElementsAre(R"(datacollector/LGZ1/ACTIVE_POWER_P )"
                          R"({"value":545,"timestamp":1629055611})"));
}

/// It was read from such topics, and would come back.
TEST_F(DataPointProfileTest, AMeterOfADataCollectorIsNotPublished) {
  config_.profiles = {"smartmeterd", "datacollector", "plug-test"};
  start();
  send("LGZ1", {{"1-0:1.7.0", {1, 0}, Unit::watt}}, meter::Link::datacollector);
  hear_everything();
  EXPECT_THAT(heard_below("datacollector/"), IsEmpty());
  EXPECT_THAT(heard_below("plug-test/"), IsEmpty());
}

TEST_F(DataPointProfileTest, AnIdThatIsNoTopicLevelIsTheSlug) {
  config_.profiles = {"datacollector"};
  start();
  send("A/+#b", {{"1-0:1.7.0", {1, 0}, Unit::watt}});
  EXPECT_TRUE(hears("datacollector/a---b/ACTIVE_POWER_P", R"({"value":1,"timestamp":1629055611})"));
}

#if HAS_JSON
/// What a source reads of these topics is what was read of the meter.
TEST_F(DataPointProfileTest, ReadBackIsTheSameReading) {
  config_.prefix = "own";
  config_.profiles = {"smartmeterd", "datacollector", "plug-test"};
  start();
  std::map<std::string, meter::Decimal, std::less<>> sent;
  const meter::QuantityMap map;
  meter::ReadingSet readings;
  ASSERT_TRUE(readings.meter_id.assign("LGZ1030655933512"));
  readings.link = meter::Link::hdlc;
  for (const meter::DataPoint& point : meter::datacollector_points()) {
    if (point.obis == meter::Obis{}) continue;
    const auto quantity = map.find(point.obis);
    const Decimal value{1000 + static_cast<std::int64_t>(sent.size()), -1};
    sent[std::string(quantity.name)] = value;
    ASSERT_TRUE(
        readings.readings.push_back(meter::Reading::number(point.obis, value, quantity.unit)));
  }
  ASSERT_FALSE(registry_->accept(adapter_, readings, {.received_us = received_us}));
  hear_everything();

  meter::json::Decoder decoder;
  meter::ReadingSet read;
  meter::NamedReadings named;
  std::size_t points = 0;
  for (const auto& message : subscriber_->messages()) {
    if (message.topic.starts_with("own/")) continue;
    ASSERT_TRUE(decoder.read(message.topic, meter::bytes_of(message.payload))) << message.topic;
    ASSERT_TRUE(decoder.next(read));
    EXPECT_EQ(read.meter_id.view(), "LGZ1030655933512");
    EXPECT_EQ(read.link, meter::Link::datacollector);
    char time[meter::DateTime::text_size_max];
    EXPECT_EQ(read.time->to_text(time), "2021-08-15T19:26:51+00:00");
    meter::harmonize(read, map, named);
    // Nobody says in which unit the plug-test's energies are, so that they are no readings.
    if (message.topic.find("/energy/") != std::string::npos) continue;
    ASSERT_EQ(named.size(), 1u) << message.topic;
    EXPECT_EQ(meter::Decimal::compare(named[0].value, sent.at(std::string(named[0].name))), 0)
        << message.topic;
    ++points;
  }
  EXPECT_EQ(points, sent.size() + 8u);
}
#endif

}  // namespace
}  // namespace smartmeterd::mqtt
