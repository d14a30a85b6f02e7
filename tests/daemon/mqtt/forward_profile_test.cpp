// SPDX-License-Identifier: Apache-2.0
// ForwardProfile with the real storage, against a real mosquitto that is away for a while: what a
// subscriber hears afterwards.
#include "daemon/mqtt/forward_profile.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <system_error>

#include "daemon/history/storage.hpp"
#include "daemon/mqtt/mqtt_sink.hpp"
#include "tests/daemon/mqtt/broker.hpp"
#include "tests/daemon/mqtt/fake_meter.hpp"
#include "tests/daemon/mqtt/loop_fixture.hpp"

namespace smartmeterd::mqtt {
namespace {

using namespace std::chrono_literals;
using test::Broker;
using test::FakeMeter;
using test::patience;
using test::Subscriber;
using test::TemporaryDirectory;

constexpr std::size_t plenty = 16 * 1024 * 1024;

/// Between a client and a broker, so that the connection can be cut while both live on.
class Relay {
 public:
  explicit Relay(std::uint16_t broker_port) : broker_port_(broker_port) {
    ::listen(listener_.fd(), 8);
    thread_ = std::thread([this] { run(); });
  }
  ~Relay() {
    stop_ = true;
    ::shutdown(listener_.fd(), SHUT_RDWR);
    thread_.join();
  }
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  std::uint16_t port() const noexcept { return listener_.port(); }
  void cut() { cuts_ += 1; }

 private:
  void run() {
    while (!stop_) {
      const int client = accept(listener_.fd(), nullptr, nullptr);
      if (client < 0) continue;
      const int broker = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      address.sin_port = htons(broker_port_);
      if (connect(broker, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0)
        pass_on(client, broker);
      ::close(broker);
      ::close(client);
    }
  }
  void pass_on(int client, int broker) const {
    const int cuts = cuts_;
    while (!stop_ && cuts == cuts_) {
      pollfd sockets[] = {{client, POLLIN, 0}, {broker, POLLIN, 0}};
      if (poll(sockets, 2, 1) <= 0) continue;
      for (int from = 0; from < 2; ++from) {
        if (sockets[from].revents == 0) continue;
        char buffer[4096];
        const ssize_t size = read(sockets[from].fd, buffer, sizeof buffer);
        if (size <= 0 || send(sockets[1 - from].fd, buffer, static_cast<std::size_t>(size),
                              MSG_NOSIGNAL) != size)
          return;
      }
    }
  }

  const std::uint16_t broker_port_;
  test::BoundSocket listener_;
  std::atomic<bool> stop_ = false;
  std::atomic<int> cuts_ = 0;
  std::thread thread_;
};

class ForwardProfileTest : public test::LoopTest {
 protected:
  void SetUp() override {
    LoopTest::SetUp();
    if (IsSkipped()) return;
    open_storage();
  }
  void TearDown() override {
    sink_.reset();
    storage_.reset();
    LoopTest::TearDown();
  }

  void open_storage() {
    storage_ = history::Storage::open(directory_.path());
    ASSERT_EQ(storage_->problem(), "");
    backlog_ = storage_->backlog("test", plenty);
    ASSERT_NE(backlog_, nullptr);
  }
  void make_sink(std::uint16_t port) {
    sink_ = make_mqtt_sink(
        *loop_, config(port), "host", [](const Publisher&) {}, backlog_);
    sink_->start();
  }
  /// As the daemon's end and a new start.
  void restart(std::uint16_t port) {
    sink_.reset();
    storage_.reset();
    open_storage();
    make_sink(port);
  }
  bool come_online() {
    return run_until([this] { return sink_->publisher().state == PublisherState::online; });
  }
  bool is_away() {
    return run_until([this] { return sink_->publisher().state == PublisherState::waiting; });
  }
  bool is_forwarded(Subscriber* subscriber = nullptr) {
    return run_until([this] { return backlog_->stored() == 0; }, subscriber);
  }
  /// A telegram every 20 s of `minutes` whole minutes; each counts one further.
  void send(FakeMeter& fake, int minutes) {
    for (int i = 0; i < 3 * minutes; ++i) {
      const meter::Decimal energy{++energy_, -3};
      fake.set("energy_import", energy, meter::Unit::kilowatt_hour);
      fake.set("power_import", {545, 0}, meter::Unit::watt);
      fake.named.clear();
      ASSERT_TRUE(fake.named.push_back(
          {.name = "energy_import", .value = energy, .unit = meter::Unit::kilowatt_hour}));
      fake.send(*sink_);
      fake.meter.last_update_us += 20'000'000;
      fake.meter.last_update += 20s;
    }
  }

  static constexpr const char* history = "smartmeter/1kfm0200169986/history";
  static constexpr const char* state = "smartmeter/1kfm0200169986/state";

  TemporaryDirectory directory_;
  std::unique_ptr<history::Storage> storage_;
  Backlog* backlog_ = nullptr;
  std::unique_ptr<MqttSink> sink_;
  std::int64_t energy_ = 0;
};

/// The first payload of each text, in the order in which they were heard.
std::vector<std::string> heard(const Subscriber& subscriber, const std::string& topic) {
  std::vector<std::string> payloads;
  std::set<std::string> known;
  for (const Subscriber::Message& message : subscriber.messages())
    if (message.topic == topic && known.insert(message.payload).second)
      payloads.push_back(message.payload);
  return payloads;
}

/// What the n-th message of `send` from the first telegram on has to say.
std::string reading(int minute) {
  char time[32], digits[meter::Decimal::text_size_max];
  const std::int64_t received = 1763636405481203 + minute * std::int64_t{60'000'000};
  return std::string(R"({"profile":"smartmeterd/1","meter":"1KFM0200169986","time":null,)") +
         R"("received":")" + std::string(meter::utc_text(received, time)) + R"(","sequence":)" +
         std::to_string(3 * minute + 1) + R"(,"link":"mbus","authenticated":true,)" +
         R"("readings":{"energy_import":)" +
         std::string(meter::Decimal{3 * minute + 1, -3}.to_text(digits)) + R"(},"derived":[]})";
}

TEST_P(ForwardProfileTest, AnOutageIsToldAfterwardsWithItsOwnTimes) {
  Broker broker;
  broker.stop(SIGKILL);
  make_sink(broker.port());
  FakeMeter meter;
  ASSERT_TRUE(is_away());
  send(meter, 10);
  EXPECT_EQ(backlog_->stored(), 10u);
  broker.start();
  Subscriber subscriber(broker.port());
  ASSERT_TRUE(run_until([&] { return heard(subscriber, history).size() == 10; }, &subscriber));
  ASSERT_TRUE(is_forwarded());
  const auto said = heard(subscriber, history);
  for (int minute = 0; minute < 10; ++minute)
    EXPECT_EQ(said[static_cast<std::size_t>(minute)], reading(minute));

  // What is new came first, once, and is still the newest.
  const auto& messages = subscriber.messages();
  const auto first = [&](const std::string& topic) {
    return std::ranges::find(messages, topic, &Subscriber::Message::topic) - messages.begin();
  };
  EXPECT_LT(first(state), first(history));
  EXPECT_EQ(heard(subscriber, state).size(), 1u);
  EXPECT_NE(subscriber.payload(state)->find(R"("sequence":30)"), std::string::npos);
  for (const auto& message : messages)
    EXPECT_EQ(message.retained, message.topic != history) << message.topic;
  // Not retained: who comes later does not take old for new.
  Subscriber late(broker.port());
  ASSERT_TRUE(run_until([&] { return late.payload(state).has_value(); }, &late));
  EXPECT_FALSE(late.payload(history).has_value());
  EXPECT_EQ(backlog_->dropped(), 0u);
}

TEST_P(ForwardProfileTest, ABrokerThatIsThereMissesNothing) {
  Broker broker;
  make_sink(broker.port());
  ASSERT_TRUE(come_online());
  Subscriber subscriber(broker.port());
  FakeMeter meter;
  send(meter, 10);
  EXPECT_EQ(backlog_->stored(), 0u);
  const std::string last = R"("sequence":30)";
  ASSERT_TRUE(run_until(
      [&] { return subscriber.payload(state).value_or("").find(last) != std::string::npos; },
      &subscriber));
  EXPECT_TRUE(heard(subscriber, history).empty());
}

TEST_P(ForwardProfileTest, ItIsATrickle) {
  Broker broker;
  broker.stop(SIGKILL);
  make_sink(broker.port());
  FakeMeter meter;
  ASSERT_TRUE(is_away());
  send(meter, 120);
  broker.start();
  Subscriber subscriber(broker.port());
  ASSERT_TRUE(come_online());
  const auto before = std::chrono::steady_clock::now();
  ASSERT_TRUE(is_forwarded(&subscriber));
  // 50 a second at most: the second and the third fifty wait for a second each. A lower bound.
  EXPECT_GE(std::chrono::steady_clock::now() - before, 1900ms);
  ASSERT_TRUE(run_until([&] { return heard(subscriber, history).size() == 120; }, &subscriber));
}

TEST_P(ForwardProfileTest, ACutInTheMiddleLosesNothing) {
  Broker broker;
  Relay relay(broker.port());
  broker.stop(SIGKILL);
  make_sink(relay.port());
  FakeMeter meter;
  ASSERT_TRUE(is_away());
  send(meter, 200);
  broker.start();
  Subscriber subscriber(broker.port());
  for (const std::size_t so_far : {30u, 110u}) {
    ASSERT_TRUE(
        run_until([&] { return heard(subscriber, history).size() >= so_far; }, &subscriber));
    relay.cut();
    ASSERT_TRUE(is_away());
    EXPECT_GT(backlog_->stored(), 0u);
  }
  ASSERT_TRUE(run_until([&] { return heard(subscriber, history).size() == 200; }, &subscriber));
  const auto said = heard(subscriber, history);
  for (int minute = 0; minute < 200; ++minute)
    ASSERT_EQ(said[static_cast<std::size_t>(minute)], reading(minute));
  ASSERT_TRUE(is_forwarded());
}

TEST_P(ForwardProfileTest, ARestartInTheMiddleLosesNothing) {
  Broker broker;
  broker.stop(SIGKILL);
  make_sink(broker.port());
  FakeMeter meter;
  ASSERT_TRUE(is_away());
  send(meter, 150);
  restart(broker.port());
  EXPECT_EQ(backlog_->stored(), 150u);
  broker.start();
  Subscriber subscriber(broker.port());
  ASSERT_TRUE(run_until([&] { return heard(subscriber, history).size() >= 60; }, &subscriber));
  restart(broker.port());
  EXPECT_LT(backlog_->stored(), 150u) << "what was acknowledged is gone";
  EXPECT_GT(backlog_->stored(), 0u);
  ASSERT_TRUE(run_until([&] { return heard(subscriber, history).size() == 150; }, &subscriber));
  const auto said = heard(subscriber, history);
  for (int minute = 0; minute < 150; ++minute)
    ASSERT_EQ(said[static_cast<std::size_t>(minute)], reading(minute));
  ASSERT_TRUE(is_forwarded());
  restart(broker.port());
  EXPECT_EQ(backlog_->stored(), 0u);
}

TEST_P(ForwardProfileTest, WhatAHangingConnectionSwallowedIsToldAgain) {
  Broker broker;
  make_sink(broker.port());
  ASSERT_TRUE(come_online());
  broker.send_signal(SIGSTOP);
  FakeMeter meter;
  send(meter, 5);  // the socket takes it
  loop_->run_once();
  EXPECT_EQ(sink_->publisher().state, PublisherState::online);
  broker.stop(SIGKILL);
  ASSERT_TRUE(is_away());
  send(meter, 5);
  broker.start();
  Subscriber subscriber(broker.port());
  ASSERT_TRUE(run_until([&] { return heard(subscriber, history).size() == 10; }, &subscriber));
  const auto said = heard(subscriber, history);
  for (int minute = 0; minute < 10; ++minute)
    EXPECT_EQ(said[static_cast<std::size_t>(minute)], reading(minute));
}

TEST_P(ForwardProfileTest, WhatTheBrokerRefusesIsKept) {
  TemporaryDirectory settings;
  const auto acl = settings / "acl";
  test::write_file(acl, "topic readwrite #\ntopic deny smartmeter/+/history\n");
  Broker broker("allow_anonymous true\nacl_file " + acl.string() + "\n");
  Relay relay(broker.port());
  broker.stop(SIGKILL);
  make_sink(relay.port());
  FakeMeter meter;
  ASSERT_TRUE(is_away());
  send(meter, 10);
  broker.start();
  Subscriber subscriber(broker.port());
  ASSERT_TRUE(come_online());
  int ticks = 0;
  io::Operation tick([&](int) { ++ticks; });
  loop_->timer(tick, loop_->now() + 2s);
  ASSERT_TRUE(run_until([&] { return ticks == 1; }, &subscriber));
  EXPECT_EQ(backlog_->stored(), 10u);
  EXPECT_TRUE(heard(subscriber, history).empty());

  test::write_file(acl, "topic readwrite #\n");
  broker.send_signal(SIGHUP);
  relay.cut();
  ASSERT_TRUE(is_away());
  ASSERT_TRUE(run_until([&] { return heard(subscriber, history).size() == 10; }, &subscriber));
  ASSERT_TRUE(is_forwarded(&subscriber));
}

TEST_P(ForwardProfileTest, CountersOnly) {
  Broker broker;
  broker.stop(SIGKILL);
  make_sink(broker.port());
  ASSERT_TRUE(is_away());
  FakeMeter no_counter("none");
  no_counter.set("power_import", {545, 0}, meter::Unit::watt);
  ASSERT_TRUE(no_counter.named.push_back({.name = "power_import", .unit = meter::Unit::watt}));
  no_counter.send(*sink_);
  EXPECT_EQ(backlog_->stored(), 0u);

  FakeMeter meter("all");
  meter.set("energy_import", {1, 0}, meter::Unit::kilowatt_hour);
  meter.meter.last_update += 3600s;
  for (const auto& [name, unit] : {std::pair{"power_failures", meter::Unit::none},
                                   {"volume", meter::Unit::cubic_metre},
                                   {"voltage_l1", meter::Unit::volt},
                                   {"heat_pump", meter::Unit::kilowatt_hour},
                                   {"heat_pump_power", meter::Unit::watt},
                                   {"garden_water", meter::Unit::cubic_metre}}) {
    meter.set(name, {2, 0}, unit);
    ASSERT_TRUE(meter.named.push_back({.name = name, .value = {2, 0}, .unit = unit}));
  }
  meter.meter.values.push_back({.name = "capture_time",
                                .text = "2025-11-20T12:00:00+01:00",
                                .is_text = true,
                                .arrived = meter.meter.last_update});
  meter.send(*sink_);
  ASSERT_EQ(backlog_->stored(), 1u);
  broker.start();
  Subscriber subscriber(broker.port());
  const std::string topic = "smartmeter/all/history";
  ASSERT_TRUE(run_until([&] { return subscriber.payload(topic).has_value(); }, &subscriber));
  const std::string said = *subscriber.payload(topic);
  EXPECT_NE(said.find(R"("readings":{"energy_import":1,"power_failures":2,"volume":2,)"
                      R"("heat_pump":2,"garden_water":2,)"
                      R"("capture_time":"2025-11-20T12:00:00+01:00"},"derived":[],)"
                      R"("ages":{"energy_import":3600}})"),
            std::string::npos)
      << said;
}

TEST_P(ForwardProfileTest, MetersKeepTheirOrderAndTheirTopics) {
  Broker broker;
  broker.stop(SIGKILL);
  make_sink(broker.port());
  ASSERT_TRUE(is_away());
  FakeMeter one("One 1");
  FakeMeter two("Two/2");
  for (int i = 0; i < 5; ++i) {
    send(one, 1);
    send(two, 1);
  }
  sink_->meter_removed(one.meter);  // what it said stays said
  EXPECT_EQ(backlog_->stored(), 10u);
  broker.start();
  Subscriber subscriber(broker.port());
  ASSERT_TRUE(is_forwarded(&subscriber));
  ASSERT_TRUE(run_until([&] { return heard(subscriber, "smartmeter/two-2/history").size() == 5; },
                        &subscriber));
  EXPECT_EQ(heard(subscriber, "smartmeter/one-1/history").size(), 5u);
}

INSTANTIATE_TEST_SUITE_P(Loop, ForwardProfileTest, test::both_back_ends, test::back_end_name);

}  // namespace
}  // namespace smartmeterd::mqtt
