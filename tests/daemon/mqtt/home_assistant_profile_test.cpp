// SPDX-License-Identifier: Apache-2.0
// What discovery does with what an earlier run left on the broker.
#include <gmock/gmock.h>

#include <algorithm>
#include <deque>
#include <string>

#include "tests/daemon/mqtt/profile_fixture.hpp"

namespace smartmeterd::mqtt {
namespace {

using testing::HasSubstr;
using HomeAssistantProfileTest = test::ProfileTest;

/// The service's discovery grows with its adapters, and is read back whatever its length.
TEST_F(HomeAssistantProfileTest, AnAdapterOfManyThatIsGoneAfterARestartIsRemoved) {
  const std::string topic = "homeassistant/device/smartmeterd_gateway_host/config";
  std::deque<Adapter> adapters;
  for (int i = 0; i < 100; ++i) {
    adapters.emplace_back();
    adapters.back().name = "ttyusb" + std::to_string(i) + "-";
  }
  start();
  for (const Adapter& adapter : adapters) sink_->adapter_added(adapter);
  ASSERT_TRUE(run_until([&] {
    const auto said = subscriber_->payload(topic);
    return said && said->find(R"("ttyusb99-_state":{"p":"sensor","uniq_id")") != said->npos;
  }));
  ASSERT_GT(subscriber_->payload(topic)->size(), 64u * 1024);
  sink_->shut_down();
  ASSERT_TRUE(hears("smartmeter/gateway/host/status", "offline"));
  registry_.reset();

  adapters.pop_back();
  start();
  subscriber_->forget(topic);
  for (const Adapter& adapter : adapters) sink_->adapter_added(adapter);
  // Home Assistant removes an entity whose component is nothing but its platform.
  EXPECT_TRUE(run_until([&] {
    return std::ranges::any_of(subscriber_->messages(), [&](const auto& message) {
      return message.topic == topic &&
             message.payload.find(R"("ttyusb99-_state":{"p":"sensor"})") != std::string::npos;
    });
  }));
  ASSERT_TRUE(run_until([&] {
    const auto said = subscriber_->payload(topic);
    return said && said->find("ttyusb99-") == said->npos;
  }));
  EXPECT_THAT(*subscriber_->payload(topic), HasSubstr("ttyusb98-"));
}

/// Without the topics that it is about nothing of it is true.
TEST_F(HomeAssistantProfileTest, WithoutItsProfileWhatAnEarlierRunSaidIsRemoved) {
  const std::string device = "homeassistant/device/smartmeterd_1/config";
  const std::string service = "homeassistant/device/smartmeterd_gateway_host/config";
  start();
  send("1", {{"1-0:1.7.0", {1, 0}, Unit::watt}});
  ASSERT_TRUE(hear(device) != nullptr);
  ASSERT_TRUE(hear(service) != nullptr);
  sink_->shut_down();
  ASSERT_TRUE(hears("smartmeter/gateway/host/status", "offline"));
  registry_.reset();

  config_.profiles = {"seed"};
  start();
  send("1", {{"1-0:1.7.0", {1, 0}, Unit::watt}});
  EXPECT_TRUE(run_until([&] {
    const auto is_removed = [&](const std::string& topic) {
      return std::ranges::any_of(subscriber_->messages(), [&](const auto& message) {
        return message.topic == topic && message.payload.empty();
      });
    };
    return is_removed(device) && is_removed(service);
  }));
  EXPECT_TRUE(hear("home/smart_meter/power_in") != nullptr);
}

}  // namespace
}  // namespace smartmeterd::mqtt
