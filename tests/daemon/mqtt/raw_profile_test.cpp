// SPDX-License-Identifier: Apache-2.0
// The raw topic: the octets, and what they were received with.
#include "daemon/mqtt/raw_profile.hpp"

#include <gmock/gmock.h>

#include "tests/daemon/mqtt/profile_fixture.hpp"

namespace smartmeterd::mqtt {
namespace {

using namespace std::literals;
using testing::ElementsAre;
using testing::Pair;
using testing::UnorderedElementsAre;
using RawProfileTest = test::ProfileTest;

TEST_F(RawProfileTest, OctetsAreAsReceived) {
  config_.raw = true;
  start();
  const std::string frames = "\x68\x00\xff\x16"s;
  sink_->raw_telegram(
      {adapter_, meter::bytes_of(frames), meter::Link::mbus, 1'795'172'405'481'203, false});
  const std::string topic = "smartmeter/gateway/host/raw/ttyusb0";
  ASSERT_TRUE(hears(topic, frames));
  const auto* message = subscriber_->find(topic);
  EXPECT_FALSE(message->retained);
  EXPECT_EQ(message->qos, 0);
  EXPECT_EQ(message->content_type, "application/octet-stream");
  EXPECT_THAT(
      message->properties,
      UnorderedElementsAre(Pair("adapter", "ttyusb0"), Pair("protocol", "mbus"),
                           Pair("settings", "2400-8E1"), Pair("t", "2026-11-20T11:00:05.481203Z"),
                           Pair("gateway", "host")));
}

TEST_F(RawProfileTest, ANetworkHasNoLineSettings) {
  config_.raw = true;
  config_.qos = 1;
  config_.profiles = {};
  config_.throttle = 3600s;  // of readings: a telegram that is left out is lost for who reads these
  start();
  adapter_.line.clear();
  for (const char* frames : {"/first", "/second"})
    sink_->raw_telegram({adapter_, meter::bytes_of(frames), meter::Link::p1, 1, true});
  const std::string topic = "smartmeter/gateway/host/raw/ttyusb0";
  ASSERT_TRUE(hears(topic, "/second"));
  EXPECT_THAT(heard_below(topic), ElementsAre(topic + " /first", topic + " /second"));
  EXPECT_EQ(subscriber_->find(topic)->qos, 1);
  EXPECT_EQ(subscriber_->find(topic)->properties.count("settings"), 0u);
}

/// Another gateway's telegram is there already, and is not to come round again.
TEST_F(RawProfileTest, WhatCameOverMqttIsNotSentOn) {
  config_.raw = true;
  start();
  adapter_.translated_from = "mqtt://127.0.0.1:1883/smartmeter/gateway/other/raw/ttyusb0";
  sink_->raw_telegram({adapter_, meter::bytes_of("x"), meter::Link::p1, 1, true});
  hear_everything();
  EXPECT_THAT(heard_below("smartmeter/gateway/host/raw/"), testing::IsEmpty());
}

TEST_F(RawProfileTest, IsAnOption) {
  start();
  sink_->raw_telegram({adapter_, meter::bytes_of("x"), meter::Link::p1, 1, true});
  hear_everything();
  EXPECT_THAT(heard_below("smartmeter/gateway/host/raw/"), testing::IsEmpty());
}

}  // namespace
}  // namespace smartmeterd::mqtt
