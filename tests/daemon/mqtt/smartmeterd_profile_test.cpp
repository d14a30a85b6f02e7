// SPDX-License-Identifier: Apache-2.0
// What this service's own topics say, and how: retained, QoS, expiry, content type.
#include "daemon/mqtt/smartmeterd_profile.hpp"

#include <gmock/gmock.h>

#include "tests/daemon/mqtt/fake_meter.hpp"
#include "tests/daemon/mqtt/profile_fixture.hpp"

namespace smartmeterd::mqtt {
namespace {

using namespace std::literals;
using meter::Unit;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class SmartmeterdProfileTest : public test::ProfileTest {
 protected:
  /// The state of a meter with this interval as the subscriber heard it.
  test::Subscriber::Message state_of(double interval_s) {
    test::FakeMeter meter;
    meter.meter.interval_s = interval_s;
    meter.fill();
    meter.send(*sink_);
    return *hear("smartmeter/1kfm0200169986/state");
  }
};

TEST_F(SmartmeterdProfileTest, EachTopicIsSentAsItsPurposeAsks) {
  config_.values = true;
  start();
  send("1KFM0200169986", {{"1-0:1.7.0", {545, 0}, Unit::watt}});
  hear_everything();
  const std::string meter = "smartmeter/1kfm0200169986/";
  for (const auto& message : subscriber_->messages())
    EXPECT_TRUE(message.retained) << message.topic;
  const auto* state = hear(meter + "state");
  EXPECT_EQ(state->qos, 0);
  EXPECT_EQ(state->content_type, "application/json");
  EXPECT_EQ(hear(meter + "value/power_import")->payload, "545");
  EXPECT_EQ(hear(meter + "value/power_import")->qos, 0);
  EXPECT_EQ(hear(meter + "availability")->qos, 1);
  EXPECT_EQ(hear(meter + "info")->qos, 1);
  EXPECT_EQ(hear(meter + "info")->content_type, "application/json");
  EXPECT_EQ(hear("smartmeter/gateway/host/status")->qos, 1);
  EXPECT_EQ(hear("smartmeter/gateway/host/health")->content_type, "application/json");
}

TEST_F(SmartmeterdProfileTest, QosOfReadingsIsAnOption) {
  config_.values = true;
  config_.qos = 1;
  start();
  send("1KFM0200169986", {{"1-0:1.7.0", {545, 0}, Unit::watt}});
  EXPECT_EQ(hear("smartmeter/1kfm0200169986/state")->qos, 1);
  EXPECT_EQ(hear("smartmeter/1kfm0200169986/value/power_import")->qos, 1);
}

TEST_F(SmartmeterdProfileTest, AValueThatIsLeftOutOrRenamedLeavesNoTopicBehind) {
  config_.values = true;
  start();
  const auto say = [&] {
    send("1", {{"1-0:1.7.0", {545, 0}, Unit::watt},
               {"1-0:32.7.0", {2301, -1}, Unit::volt},
               {"1-0:52.7.0", {2302, -1}, Unit::volt}});
  };
  say();
  ASSERT_TRUE(hears("smartmeter/1/value/voltage_l1", "230.1"));
  ASSERT_TRUE(hears("smartmeter/1/value/voltage_l2", "230.2"));
  registry_->configure({},
                       meter::QuantityMap({{*meter::Obis::parse("1-0:32.7.0"), "", {}, {}},
                                           {*meter::Obis::parse("1-0:52.7.0"), "mine", {}, {}}}));
  say();
  ASSERT_TRUE(hears("smartmeter/1/value/mine", "230.2"));
  hear_everything();
  const auto retained = test::retained_on(broker_);
  EXPECT_FALSE(retained.contains("smartmeter/1/value/voltage_l1"));
  EXPECT_FALSE(retained.contains("smartmeter/1/value/voltage_l2"));
  EXPECT_TRUE(retained.contains("smartmeter/1/value/power_import"));
}

TEST_F(SmartmeterdProfileTest, StateExpiresAfterThreeIntervals) {
  start();
  EXPECT_EQ(state_of(5).expiry_s, 15u);
}
TEST_F(SmartmeterdProfileTest, StateOfAFastMeterExpiresWithItsAvailability) {
  start();
  EXPECT_EQ(state_of(1).expiry_s, 10u);
}
TEST_F(SmartmeterdProfileTest, StateWithAnUnknownIntervalStays) {
  start();
  EXPECT_EQ(state_of(0).expiry_s, 0u);
}
TEST_F(SmartmeterdProfileTest, StateOutlivesTheThrottle) {
  config_.throttle = 60s;
  start();
  EXPECT_EQ(state_of(5).expiry_s, 180u);
}
TEST_F(SmartmeterdProfileTest, ExpiryIsAnOption) {
  config_.expiry = false;
  start();
  EXPECT_EQ(state_of(5).expiry_s, 0u);
}
TEST_F(SmartmeterdProfileTest, Version311KnowsNoExpiry) {
  config_.protocol = "3.1.1";
  start();
  const auto state = state_of(5);
  EXPECT_EQ(state.expiry_s, 0u);
  EXPECT_EQ(state.content_type, "");
  EXPECT_TRUE(state.retained);
}

TEST_F(SmartmeterdProfileTest, InfoSaysWhoTranslates) {
  start();
  test::FakeMeter meter;
  sink_->meter_added(meter.meter);
  EXPECT_THAT(hear("smartmeter/1kfm0200169986/info")->payload, Not(HasSubstr("translated_by")));
  test::FakeMeter translated("2");
  translated.adapter.translated_from = "mqtt://127.0.0.1:1883/tele/gPlug11/SENSOR";
  sink_->meter_added(translated.meter);
  EXPECT_THAT(hear("smartmeter/2/info")->payload, HasSubstr(R"("translated_by":"host"})"));
}

/// Other members of its group see telegrams of the same meter: only the telegram itself is certain.
TEST_F(SmartmeterdProfileTest, OfAStatelessMeterOnlyTheStateIsSaid) {
  adapter_.is_stateless = true;
  start();
  send("shared", {{"1-0:1.8.0", {7, 0}, Unit::kilowatt_hour}});
  send("shared", {{"1-0:1.7.0", {545, 0}, Unit::watt}});
  sink_->shut_down();
  ASSERT_TRUE(hears("smartmeter/gateway/host/status", "offline"));
  const auto* state = hear("smartmeter/shared/state");
  EXPECT_THAT(state->payload, HasSubstr(R"("readings":{"power_import":545})"));
  EXPECT_EQ(state->expiry_s, 0u);
  EXPECT_TRUE(state->retained);
  EXPECT_THAT(heard_below("smartmeter/shared/info"), IsEmpty());
  EXPECT_THAT(heard_below("smartmeter/shared/availability"), IsEmpty());
}

TEST_F(SmartmeterdProfileTest, NamesOfReadingsAreTheUsers) {
  config_.values = true;
  start(
      {{.obis = *meter::Obis::parse("1-0:1.7.0"), .name = "house", .unit = Unit::watt, .scale = {}},
       {.obis = *meter::Obis::parse("1-0:2.7.0"), .name = "", .unit = {}, .scale = {}},
       {.obis = *meter::Obis::parse("1-0:128.7.0"),
        .name = "power_pump",
        .unit = Unit::watt,
        .scale = {}}});
  send("1", {{"1-0:1.7.0", {545, -3}, Unit::kilowatt},
             {"1-0:2.7.0", {0, 0}, Unit::watt},
             {"1-0:128.7.0", {7, 0}, Unit::watt}});
  hear_everything();
  EXPECT_THAT(hear("smartmeter/1/state")->payload,
              HasSubstr(R"("readings":{"house":545,"power_pump":7})"));
  EXPECT_THAT(heard_below("smartmeter/1/value/"),
              testing::UnorderedElementsAre("smartmeter/1/value/house 545",
                                            "smartmeter/1/value/power_pump 7"));
}

TEST_F(SmartmeterdProfileTest, HealthSaysWhatAnAdapterDoes) {
  adapter_.state = AdapterState::synced;
  adapter_.protocol = "mbus";
  adapter_.device = "/dev/ttyUSB0";
  adapter_.bytes_received = 282;
  adapter_.telegrams_received = 1;
  adapter_.errors["crc"] = 2;
  adapter_.last_activity_us = 1'795'172'405'481'203;
  start();
  const std::string health = hear("smartmeter/gateway/host/health")->payload;
  EXPECT_THAT(health, HasSubstr(R"("instance":"host","adapters":{"ttyusb0":{"state":"synced",)"
                                R"("device":"/dev/ttyUSB0","line":"2400-8E1","protocol":"mbus",)"
                                R"("bytes":282,"telegrams":1,"errors":{"crc":2},)"
                                R"("last_activity":"2026-11-20T11:00:05.481203Z"}},)"
                                R"("queues":{"mqtt":{"queued":)"));
}

}  // namespace
}  // namespace smartmeterd::mqtt
