// SPDX-License-Identifier: Apache-2.0
// ProfileTest: telegrams through the registry to one broker's profiles, and what a subscriber of a
// real mosquitto hears of them.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "daemon/meter_registry.hpp"
#include "daemon/mqtt/mqtt_sink.hpp"
#include "tests/daemon/mqtt/broker.hpp"

namespace smartmeterd::test {

class ProfileTest : public testing::Test {
 protected:
  using Decimal = meter::Decimal;
  using Unit = meter::Unit;
  /// 2021-08-15T19:26:51Z
  static constexpr std::int64_t received_us = 1'629'055'611'481'203;

  struct Register {
    const char* obis;
    Decimal value;
    Unit unit;
  };

  ProfileTest() {
    config_.name = "test";
    config_.host = "127.0.0.1";
    config_.port = broker_.port();
    adapter_.name = "ttyusb0";
    adapter_.line = "2400-8E1";
    alarm_ = std::make_unique<io::Operation>([this](int result) {
      if (result != -ECANCELED) loop_->timer(*alarm_, loop_->now() + std::chrono::milliseconds(10));
    });
    loop_->timer(*alarm_, loop_->now());
  }
  ~ProfileTest() override {
    registry_.reset();
    sink_.reset();
    alarm_.reset();
  }

  /// Connects with `config_`, and sends what comes from now on.
  void start(std::vector<meter::QuantityMap::Change> changes = {}) {
    if (config_.client_id.empty()) config_.client_id = "smartmeterd-" + meter::slug(instance_);
    sink_ = mqtt::make_mqtt_sink(*loop_, config_, instance_, [](const Publisher&) {});
    sink_->start();
    sink_->adapter_added(adapter_);
    registry_ = std::make_unique<MeterRegistry>(*loop_, *sink_);
    registry_->configure({}, meter::QuantityMap(std::move(changes)));
    subscriber_ = std::make_unique<Subscriber>(broker_.port());
    ASSERT_TRUE(run_until([&] { return sink_->publisher().state == PublisherState::online; }));
  }
  /// A telegram of a meter on `adapter_`.
  void send(std::string_view id, std::initializer_list<Register> registers,
            meter::Link link = meter::Link::hdlc) {
    meter::ReadingSet readings;
    ASSERT_TRUE(readings.meter_id.assign(id));
    readings.link = link;
    for (const Register& r : registers)
      ASSERT_TRUE(readings.readings.push_back(
          meter::Reading::number(*meter::Obis::parse(r.obis), r.value, r.unit)));
    ASSERT_FALSE(registry_->accept(adapter_, readings, {.received_us = received_us}));
  }
  template <class Condition>
  bool run_until(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      loop_->run_once();
      if (subscriber_) subscriber_->step();
    }
    return true;
  }
  const Subscriber::Message* hear(const std::string& topic) {
    run_until([&] { return subscriber_->find(topic) != nullptr; });
    return subscriber_->find(topic);
  }
  /// Whether the newest message of the topic becomes this one.
  testing::AssertionResult hears(const std::string& topic, const std::string& payload) {
    if (run_until([&] { return subscriber_->payload(topic) == payload; }))
      return testing::AssertionSuccess();
    return testing::AssertionFailure()
           << topic << " " << subscriber_->payload(topic).value_or("(nothing)");
  }
  /// Runs until the subscriber has everything that was published so far: the broker keeps the order
  /// of one client's messages.
  void hear_everything() {
    Meter last;
    last.id = "last";
    last.slug = "last";
    sink_->meter_added(last);
    const std::string topic = config_.prefix + "/last/info";
    ASSERT_TRUE(hear(topic) != nullptr);
    sink_->meter_removed(last);
    ASSERT_TRUE(hears(topic, ""));
    subscriber_->forget(config_.prefix + "/last/");
  }
  /// "topic payload" of everything that was heard below a prefix, in order.
  std::vector<std::string> heard_below(const std::string& prefix) const {
    std::vector<std::string> lines;
    for (const Subscriber::Message& message : subscriber_->messages())
      if (message.topic.starts_with(prefix)) lines.push_back(message.topic + " " + message.payload);
    return lines;
  }

  Broker broker_;
  std::unique_ptr<io::Loop> loop_ = io::Loop::make(io::Backend::epoll);
  std::unique_ptr<io::Operation> alarm_;
  BrokerConfig config_;
  std::string instance_ = "host";
  Adapter adapter_;
  std::unique_ptr<mqtt::MqttSink> sink_;
  std::unique_ptr<MeterRegistry> registry_;
  std::unique_ptr<Subscriber> subscriber_;
};

}  // namespace smartmeterd::test
