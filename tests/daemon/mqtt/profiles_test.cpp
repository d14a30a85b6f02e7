// SPDX-License-Identifier: Apache-2.0
// What holds for every profile of a broker: which ones there are, how often they are told of a
// meter, and who hears what comes in.
#include "daemon/mqtt/profiles.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <utility>

#include "tests/daemon/mqtt/profile_fixture.hpp"

namespace smartmeterd::mqtt {
namespace {

using namespace std::literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using ProfilesTest = test::ProfileTest;
using meter::Unit;

TEST_F(ProfilesTest, EachWordIsAProfileOfItsOwn) {
  // "smartmeterd" comes last: what is retained would be heard again.
  const std::vector<std::pair<std::string, std::string>> places = {
      {"seed", "home/smart_meter/json"},
      {"rl-dsp", "dt/smartmeterd/1/ds"},
      {"datacollector", "datacollector/1/ACTIVE_POWER_P"},
      {"plug-test", "plug-test/1/power/power_in"},
      {"smartmeterd", "smartmeter/1/state"}};
  for (const auto& [word, topic] : places) {
    config_.profiles = {word};
    start();
    send("1", {{"1-0:1.7.0", {1, 0}, Unit::watt}});
    ASSERT_TRUE(hear(topic) != nullptr) << word;
    ASSERT_TRUE(hears("smartmeter/gateway/host/status", "online"));
    sink_->shut_down();  // its last word
    ASSERT_TRUE(hears("smartmeter/gateway/host/status", "offline"));
    for (const auto& [other, elsewhere] : places) {
      if (other != word) {
        EXPECT_EQ(subscriber_->find(elsewhere), nullptr) << word << ": " << other;
      }
    }
    registry_.reset();
  }
}

/// A source's broker belongs to someone else: not a word is said there.
TEST_F(ProfilesTest, NothingIsPublishedWhereTheRoleIsSource) {
  test::Subscriber other(broker_.port());
  config_.role = BrokerRole::source;
  config_.profiles = {"smartmeterd", "seed", "rl-dsp", "datacollector", "plug-test"};
  config_.raw = true;
  config_.values = true;
  start();
  send("1", {{"1-0:1.7.0", {1, 0}, Unit::watt}});
  sink_->raw_telegram({adapter_, meter::bytes_of("x"), meter::Link::p1, 1, true});
  sink_->shut_down();
  ASSERT_TRUE(run_until([&] { return sink_->publisher().state == PublisherState::disabled; }));
  // Somebody else's word shows that everything before it would have been heard.
  config_.role = BrokerRole::sink;
  config_.profiles = {"smartmeterd"};
  config_.prefix = "marker";
  config_.client_id = "marker";
  const auto marker = make_mqtt_sink(*loop_, config_, "marker", [](const Publisher&) {});
  marker->start();
  ASSERT_TRUE(hear("marker/gateway/marker/status") != nullptr);
  for (const auto& message : subscriber_->messages())
    EXPECT_THAT(message.topic, testing::StartsWith("marker/"));
}

/// Whatever the topic: who reads there knows that it is no gateway's own word.
TEST_F(ProfilesTest, EachMessageSaysWhichGatewayItIsFrom) {
  instance_ = "The house";
  config_.profiles = {"smartmeterd", "seed", "rl-dsp", "datacollector", "plug-test"};
  config_.values = true;
  config_.raw = true;
  start();
  send("1", {{"1-0:1.7.0", {1, 0}, Unit::watt}});
  sink_->raw_telegram({adapter_, meter::bytes_of("x"), meter::Link::p1, 1, true});
  hear_everything();
  EXPECT_GE(subscriber_->messages().size(), 10u);
  for (const auto& message : subscriber_->messages())
    EXPECT_EQ(message.properties.count("gateway"), 1u) << message.topic;
  EXPECT_EQ(subscriber_->find("dt/smartmeterd/1/ds")->properties.at("gateway"), "the-house");
}

TEST_F(ProfilesTest, AMeterIsShownOnceInTheTimeOfTheThrottle) {
  config_.throttle = 3600s;
  config_.values = true;
  config_.profiles = {"smartmeterd", "seed", "rl-dsp", "datacollector", "plug-test"};
  start();
  for (int power = 1; power <= 3; ++power) {
    send("1", {{"1-0:1.7.0", {power, 0}, Unit::watt}});
    send("2", {{"1-0:1.7.0", {power, 0}, Unit::watt}});
  }
  hear_everything();
  for (const std::string meter : {"1", "2"}) {
    EXPECT_THAT(heard_below("smartmeter/" + meter + "/state"),
                ElementsAre(HasSubstr(R"("power_import":1)")));
    EXPECT_THAT(heard_below("smartmeter/" + meter + "/value/"), SizeIs(1));
    EXPECT_THAT(heard_below("dt/smartmeterd/" + meter), SizeIs(1));
    EXPECT_THAT(heard_below("datacollector/" + meter), SizeIs(1));
    EXPECT_THAT(heard_below("plug-test/" + meter), SizeIs(1));
  }
  EXPECT_THAT(heard_below("home/smart_meter/json"), SizeIs(1));
}

/// A meter that sends its counters once an hour, between the readings of every few seconds.
TEST_F(ProfilesTest, WhatATelegramBroughtThatWasLeftOutComesWithTheNext) {
  config_.throttle = 1s;
  config_.values = true;
  config_.profiles = {"smartmeterd", "rl-dsp"};
  start();
  send("1", {{"1-0:1.7.0", {1, 0}, Unit::watt}});
  // Of the same moment for the loop: left out.
  send("1", {{"1-0:1.8.0", {7, 0}, Unit::kilowatt_hour}});
  ASSERT_TRUE(hear("smartmeter/1/value/power_import") != nullptr);
  const auto before = loop_->now();
  ASSERT_TRUE(run_until([&] { return loop_->now() > before + config_.throttle; }));
  send("1", {{"1-0:1.7.0", {3, 0}, Unit::watt}});
  EXPECT_TRUE(hears("smartmeter/1/value/energy_import", "7"));
  EXPECT_TRUE(hears("smartmeter/1/value/power_import", "3"));
  hear_everything();
  EXPECT_THAT(
      heard_below("smartmeter/1/state"),
      ElementsAre(Not(HasSubstr("energy_import")),
                  AllOf(HasSubstr(R"("energy_import":7)"), HasSubstr(R"("power_import":3)"))));
  EXPECT_THAT(heard_below("dt/smartmeterd/1/ds"),
              ElementsAre(HasSubstr(R"("1.7.0":1}})"), HasSubstr(R"("1.7.0":3,"1.8.0":7000)")));
}

/// Keeps the topics that it is told of.
struct Listener final : Subscriber {
  void message(const Message& message) override { topics.emplace_back(message.topic); }
  std::vector<std::string> topics;
};

TEST_F(ProfilesTest, AMessageGoesOnceToEachWhoseFilterMatches) {
  config_.role = BrokerRole::both;
  start();
  Listener gplugs, shared, everything;
  sink_->subscribe({"tele/+/SENSOR", "tele/gPlug11/+"}, 1, gplugs);
  sink_->subscribe({"$share/group/glow/+/SENSOR/+"}, 1, shared);
  sink_->subscribe({"tele/#", "end"}, 0, everything);
  const auto publish = [&](const std::string& topic) {
    ASSERT_EQ(test::run({"mosquitto_pub", "-h", "127.0.0.1", "-p", std::to_string(broker_.port()),
                         "-t", topic, "-m", "{}", "-q", "1"}),
              0);
  };
  // The broker answers a subscription after what it had before; this comes until it has it.
  ASSERT_TRUE(run_until([&] {
    publish("end");
    return !everything.topics.empty();
  }));
  for (const char* topic : {"tele/gPlug11/SENSOR", "tele/gPlug11/STATE", "tele/other/STATE",
                            "glow/123/SENSOR/electricitymeter", "smartmeter/1/state", "end"})
    publish(topic);
  const auto ends = std::ranges::count(everything.topics, "end");
  ASSERT_TRUE(run_until([&] { return std::ranges::count(everything.topics, "end") > ends; }));
  std::erase(everything.topics, "end");
  EXPECT_THAT(everything.topics,
              ElementsAre("tele/gPlug11/SENSOR", "tele/gPlug11/STATE", "tele/other/STATE"));
  EXPECT_THAT(gplugs.topics, ElementsAre("tele/gPlug11/SENSOR", "tele/gPlug11/STATE"));
  EXPECT_THAT(shared.topics, ElementsAre("glow/123/SENSOR/electricitymeter"));
}

}  // namespace
}  // namespace smartmeterd::mqtt
