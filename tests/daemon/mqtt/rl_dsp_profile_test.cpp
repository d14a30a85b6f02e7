// SPDX-License-Identifier: Apache-2.0
// The topic and form of RL-DSP.
#include "daemon/mqtt/rl_dsp_profile.hpp"

#include <gmock/gmock.h>

#include "tests/daemon/mqtt/profile_fixture.hpp"

namespace smartmeterd::mqtt {
namespace {

using testing::IsEmpty;
using RlDspProfileTest = test::ProfileTest;
using meter::Unit;

/// dt/<group>/<meter>/ds {"meter":{"ts":"<ISO 8601 UTC>","1.7.0":…}}
TEST_F(RlDspProfileTest, OneMessageForEachTelegram) {
  config_.profiles = {"rl-dsp"};
  config_.rl_dsp_prefix = "dt/house";
  start();
  send("LGZ1030655933512", {{"1-0:1.7.0", {545, -3}, Unit::kilowatt},
                            {"1-0:1.8.0", {12048950, -3}, Unit::kilowatt_hour},
                            {"1-1:1.8.0", {1, 0}, Unit::kilowatt_hour},
                            {"1-0:32.7.0", {2301, -1}, Unit::volt},
                            {"1-0:128.9.9", {7, 0}, Unit::watt}});
  const std::string topic = "dt/house/LGZ1030655933512/ds";
  EXPECT_TRUE(hears(topic, R"({"meter":{"ts":"2021-08-15T19:26:51Z",)"
                           R"("1.7.0":545,"1.8.0":12048950,"32.7.0":230.1}})"));
  const auto* message = hear(topic);
  EXPECT_FALSE(message->retained);
  EXPECT_EQ(message->qos, 0);
  EXPECT_EQ(message->content_type, "application/json");
}

TEST_F(RlDspProfileTest, NamesAreTheUsersAndCodesStay) {
  config_.profiles = {"rl-dsp"};
  config_.qos = 1;
  start({{.obis = *meter::Obis::parse("1-0:1.7.0"), .name = "house", .unit = {}, .scale = {}},
         {.obis = *meter::Obis::parse("1-0:32.7.0"), .name = "", .unit = {}, .scale = {}},
         {.obis = *meter::Obis::parse("1-0:128.9.9"),
          .name = "power_pump",
          .unit = Unit::watt,
          .scale = {}}});
  send("LGZ1", {{"1-0:1.7.0", {545, -3}, Unit::kilowatt},
                {"1-0:32.7.0", {2301, -1}, Unit::volt},
                {"1-0:128.9.9", {7, 0}, Unit::watt}});
  EXPECT_TRUE(hears("dt/smartmeterd/LGZ1/ds",
                    R"({"meter":{"ts":"2021-08-15T19:26:51Z","1.7.0":545,"128.9.9":7}})"));
  EXPECT_EQ(hear("dt/smartmeterd/LGZ1/ds")->qos, 1);
}

/// 24.2.1 of a gas meter says nothing without the groups that are not in the key.
TEST_F(RlDspProfileTest, OtherMediaAreNotShown) {
  config_.profiles = {"smartmeterd", "rl-dsp"};
  start();
  meter::ReadingSet gas;
  ASSERT_TRUE(gas.meter_id.assign("gas"));
  gas.medium = meter::Medium::gas;
  ASSERT_TRUE(gas.readings.push_back(
      meter::Reading::number(*meter::Obis::parse("0-1:24.2.1"), {5, 0}, Unit::cubic_metre)));
  ASSERT_FALSE(registry_->accept(adapter_, gas));
  send("empty", {{"1-0:1.8.0*1", {1, 0}, Unit::kilowatt_hour}});
  hear_everything();
  EXPECT_THAT(heard_below("dt/"), IsEmpty());
}

}  // namespace
}  // namespace smartmeterd::mqtt
