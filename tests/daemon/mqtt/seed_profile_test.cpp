// SPDX-License-Identifier: Apache-2.0
// The topics of the Kaifa bridge, with what the bridge makes of a telegram: kWh, kvarh, W, V, A
// (smartmeter-ha, src/kaifa.py), but every decimal.
#include "daemon/mqtt/seed_profile.hpp"

#include <gmock/gmock.h>

#include "tests/daemon/mqtt/profile_fixture.hpp"

namespace smartmeterd::mqtt {
namespace {

using testing::ElementsAre;
using SeedProfileTest = test::ProfileTest;
using meter::Unit;

/// The registers of the bridge's meter, a Kaifa MA309, in the units in which it sends them.
TEST_F(SeedProfileTest, TopicsAndValuesAreTheBridges) {
  config_.profiles = {"seed"};
  start();
  send("1KFM0200169986", {{"1-0:32.7.0", {2337, -1}, Unit::volt},
                          {"1-0:52.7.0", {2340, -1}, Unit::volt},
                          {"1-0:72.7.0", {2350, -1}, Unit::volt},
                          {"1-0:31.7.0", {13, -2}, Unit::ampere},
                          {"1-0:51.7.0", {7, -2}, Unit::ampere},
                          {"1-0:71.7.0", {0, -2}, Unit::ampere},
                          {"1-0:1.7.0", {545, 0}, Unit::watt},
                          {"1-0:2.7.0", {0, 0}, Unit::watt},
                          {"1-0:1.8.0", {12937, 0}, Unit::watt_hour},
                          {"1-0:2.8.0", {0, 0}, Unit::watt_hour},
                          {"1-0:3.8.0", {2, 0}, Unit::var_hour},
                          {"1-0:4.8.0", {4567, 0}, Unit::var_hour}});
  ASSERT_TRUE(hear("home/smart_meter/json") != nullptr);
  EXPECT_THAT(
      heard_below("home/smart_meter/"),
      ElementsAre("home/smart_meter/timestamp 2021-08-15T19:26:51Z",
                  "home/smart_meter/energy_in 12.937", "home/smart_meter/energy_out 0.000",
                  "home/smart_meter/power_in 545", "home/smart_meter/power_out 0",
                  "home/smart_meter/reactive_energy_in 0.002",
                  "home/smart_meter/reactive_energy_out 4.567", "home/smart_meter/voltage_l1 233.7",
                  "home/smart_meter/voltage_l2 234.0", "home/smart_meter/voltage_l3 235.0",
                  "home/smart_meter/current_l1 0.13", "home/smart_meter/current_l2 0.07",
                  "home/smart_meter/current_l3 0.00",
                  R"(home/smart_meter/json {"timestamp":"2021-08-15T19:26:51Z","energy_in":12.937,)"
                  R"("energy_out":0.000,"power_in":545,"power_out":0,"reactive_energy_in":0.002,)"
                  R"("reactive_energy_out":4.567,"voltage_l1":233.7,"voltage_l2":234.0,)"
                  R"("voltage_l3":235.0,"current_l1":0.13,"current_l2":0.07,"current_l3":0.00})"));
  for (const auto& message : subscriber_->messages()) {
    if (!message.topic.starts_with("home/")) continue;
    EXPECT_FALSE(message.retained) << message.topic;
    EXPECT_EQ(message.qos, 0) << message.topic;
  }
  EXPECT_EQ(subscriber_->find("home/smart_meter/json")->content_type, "application/json");
}

TEST_F(SeedProfileTest, KeysStayWhateverARegisterIsCalled) {
  config_.profiles = {"seed"};
  config_.seed_prefix = "house/power";
  config_.qos = 1;
  start({{.obis = *meter::Obis::parse("1-0:1.8.0"), .name = "house", .unit = {}, .scale = {}},
         {.obis = *meter::Obis::parse("1-0:32.7.0"), .name = "", .unit = {}, .scale = {}}});
  send("1KFM0200169986",
       {{"1-0:1.8.0", {12937, 0}, Unit::watt_hour}, {"1-0:32.7.0", {2337, -1}, Unit::volt}});
  EXPECT_TRUE(
      hears("house/power/json", R"({"timestamp":"2021-08-15T19:26:51Z","energy_in":12.937})"));
  EXPECT_EQ(hear("house/power/energy_in")->qos, 1);
  EXPECT_EQ(subscriber_->find("house/power/voltage_l1"), nullptr);
}

/// The bridge knows one meter: neither a second one nor the gas meter behind it is mixed in.
TEST_F(SeedProfileTest, ShowsTheFirstElectricityMeterAlone) {
  config_.profiles = {"smartmeterd", "seed"};
  start();
  meter::ReadingSet gas;
  ASSERT_TRUE(gas.meter_id.assign("gas"));
  gas.medium = meter::Medium::gas;
  ASSERT_TRUE(gas.readings.push_back(
      meter::Reading::number(*meter::Obis::parse("0-1:24.2.1"), {5, 0}, Unit::cubic_metre)));
  ASSERT_FALSE(registry_->accept(adapter_, gas));
  send("first", {{"1-0:1.7.0", {1, 0}, Unit::watt}});
  send("second", {{"1-0:1.7.0", {2, 0}, Unit::watt}});
  hear_everything();
  EXPECT_THAT(
      heard_below("home/"),
      ElementsAre("home/smart_meter/timestamp 2021-08-15T19:26:51Z", "home/smart_meter/power_in 1",
                  R"(home/smart_meter/json {"timestamp":"2021-08-15T19:26:51Z",)"
                  R"("power_in":1})"));
}

TEST(SeedProfileKey, IsKnownByTheQuantitysCode) {
  using namespace meter::literals;
  EXPECT_EQ(SeedProfile::key_of("1-0:1.8.0"_obis), "energy_in");
  EXPECT_EQ(SeedProfile::key_of("1-0:71.7.0"_obis), "current_l3");
  EXPECT_EQ(SeedProfile::key_of("1-0:16.7.0"_obis), "");
  EXPECT_EQ(SeedProfile::key_of(meter::Obis{}), "");
}

}  // namespace
}  // namespace smartmeterd::mqtt
