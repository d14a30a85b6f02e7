// SPDX-License-Identifier: Apache-2.0
// daemon/doc/mqtt.md: its examples are what a subscriber hears, its settings can be read.
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "tests/daemon/mqtt/profile_fixture.hpp"

namespace smartmeterd::mqtt {
namespace {

using meter::Unit;
using MqttPageTest = test::ProfileTest;

/// The page's fenced blocks of this language.
std::vector<std::string> blocks(const std::string& language) {
  std::ifstream page(MQTT_PAGE);
  std::vector<std::string> found;
  bool inside = false, wanted = false;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("```")) {
      inside = !inside;
      wanted = inside && line == "```" + language;
      if (wanted) found.emplace_back();
    } else if (wanted) {
      found.back() += line + '\n';
    }
  }
  return found;
}

Config load(const std::string& text) {
  const test::TemporaryDirectory directory;
  test::write_file(directory / "smartmeterd.toml", text);
  return Config::load(directory / "smartmeterd.toml", true);
}

TEST(MqttPage, SettingsAreRead) {
  const auto settings = blocks("toml");
  EXPECT_GE(settings.size(), 8u);
  for (const std::string& text : settings) {
    EXPECT_NO_THROW({ EXPECT_FALSE(load(text).brokers.empty()) << text; }) << text;
  }
}

TEST_F(MqttPageTest, ExamplesAreWhatIsHeard) {
  constexpr std::int64_t received = 1'795'172'405'481'203;  // 2026-11-20T11:00:05.481203Z
  const Config config = load(blocks("toml").at(1));
  instance_ = config.instance;
  const std::uint16_t port = config_.port;
  config_ = config.brokers.at(0);
  config_.host = "127.0.0.1";
  config_.port = port;
  config_.discovery = Discovery::off;  // a page of its own
  adapter_.name = "main";
  adapter_.device = "/dev/smartmeter_mbus";
  adapter_.state = AdapterState::synced;
  adapter_.protocol = "mbus";
  adapter_.bytes_received = 282;
  adapter_.telegrams_received = 1;
  adapter_.errors["crc"] = 2;
  adapter_.last_activity_us = received;
  start();

  meter::ReadingSet readings;
  ASSERT_TRUE(readings.meter_id.assign("1KFM0200169986"));
  readings.link = meter::Link::mbus;
  readings.profile = "kaifa-austria";
  readings.authentication = meter::Authentication::verified;
  readings.time = meter::DateTime{
      .year = 2026, .month = 11, .day = 20, .hour = 12, .minute = 0, .second = 5, .deviation = -60};
  const auto add = [&](const char* code, Decimal value, Unit unit) {
    const meter::Obis obis = *meter::Obis::parse(code);
    ASSERT_TRUE(readings.readings.push_back(meter::Reading::number(obis, value, unit)));
  };
  add("1-0:1.8.0", {12048950, 0}, Unit::watt_hour);
  add("1-0:1.7.0", {545, 0}, Unit::watt);
  add("1-0:2.7.0", {0, 0}, Unit::watt);
  add("1-0:32.7.0", {2301, -1}, Unit::volt);
  meter::SubMeter gas{.id = {}, .medium = meter::Medium::gas, .channel = 1};
  ASSERT_TRUE(gas.id.assign("G0017"));
  ASSERT_TRUE(readings.sub_meters.push_back(gas));
  add("0-1:24.2.1", {12345678, -3}, Unit::cubic_metre);
  readings.readings.back().set_sub_meter(1);
  ASSERT_FALSE(registry_->accept(adapter_, readings, {.received_us = received}));
  hear_everything();

  // Health is of this moment: its time is cut off.
  const std::string health = hear("smartmeter/gateway/cellar/health")->payload;
  const auto from_instance = [](const std::string& json) {
    return json.substr(std::min(json.find(R"("instance")"), json.size()));
  };
  EXPECT_EQ(from_instance(blocks("json").at(0)), from_instance(health) + '\n');

  const auto examples = blocks("text");
  ASSERT_EQ(examples.size(), 1u);
  std::istringstream lines(examples[0]);
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const std::size_t space = line.find(' ');
    EXPECT_EQ(subscriber_->payload(line.substr(0, space)).value_or("(nothing)"),
              line.substr(space + 1))
        << line;
  }
  EXPECT_GE(count, 20u);
}

}  // namespace
}  // namespace smartmeterd::mqtt
