// SPDX-License-Identifier: Apache-2.0
// MqttSink against a real mosquitto (and fake brokers where mosquitto cannot misbehave), on both
// back ends of the loop.
#include "daemon/mqtt/mqtt_sink.hpp"

#include <poll.h>

#include <atomic>
#include <system_error>

#include "meter/telegram_json.hpp"
#include "tests/daemon/localhost.hpp"
#include "tests/daemon/mqtt/broker.hpp"
#include "tests/daemon/mqtt/fake_meter.hpp"
#include "tests/daemon/mqtt/loop_fixture.hpp"

// For the leak sanitizer: libmosquitto 2.0.11 forgets the packet that it is sending when the
// broker says DISCONNECT (do_client_disconnect). Only packets of mosquitto_publish_v5 are
// overlooked; finding that name in the library takes a full unwinding.
extern "C" {
const char* __lsan_default_suppressions();
const char* __lsan_default_suppressions() {
  return "leak:mosquitto_publish_v5\n";
}
const char* __asan_default_options();
const char* __asan_default_options() {
  return "fast_unwind_on_malloc=0";
}
}

namespace smartmeterd::mqtt {
namespace {

using namespace std::chrono_literals;
using meter::Decimal;
using meter::Unit;
using namespace meter::literals;
using test::Authority;
using test::Broker;
using test::FakeMeter;
using test::patience;
using test::Subscriber;

class MqttSinkTest : public test::LoopTest {
 protected:
  void TearDown() override {
    sink_.reset();
    LoopTest::TearDown();
  }

  void make_sink(const BrokerConfig& broker) {
    sink_ = make_mqtt_sink(*loop_, broker, "host", [this](const Publisher& publisher) {
      states_.push_back(publisher.state);
    });
    sink_->start();
  }
  bool come_online() {
    return run_until([this] { return sink_->publisher().state == PublisherState::online; });
  }
  bool fail_with(const std::string& reason) {
    return run_until([&] { return sink_->publisher().last_error == reason; });
  }

  std::unique_ptr<MqttSink> sink_;
  std::vector<PublisherState> states_;
};

TEST_P(MqttSinkTest, StateIsRetainedForWhoComesLater) {
  Broker broker;
  make_sink(config(broker.port()));
  FakeMeter meter;
  meter.fill();
  sink_->adapter_added(meter.adapter);
  sink_->meter_added(meter.meter);
  ASSERT_TRUE(come_online());
  EXPECT_EQ(sink_->publisher().last_error, "");
  EXPECT_EQ(sink_->publisher().broker, "127.0.0.1:" + std::to_string(broker.port()));
  meter.send(*sink_);
  Subscriber first(broker.port());
  const std::string state =
      R"({"profile":"smartmeterd/1","meter":"1KFM0200169986","time":null,)"
      R"("received":"2025-11-20T11:00:05.481203Z","sequence":1,"link":"mbus",)"
      R"("authenticated":true,)"
      R"("readings":{"energy_import":12048.950,"power_import":545,"voltage_l1":230.1},)"
      R"("derived":[]})";
  EXPECT_TRUE(hear(first, "smartmeter/1kfm0200169986/state", state))
      << first.payload("smartmeter/1kfm0200169986/state").value_or("nothing");

  Subscriber late(broker.port());
  ASSERT_TRUE(hear(late, "smartmeter/1kfm0200169986/state", state));
  EXPECT_TRUE(hear(late, "smartmeter/1kfm0200169986/availability", "online"));
  EXPECT_TRUE(hear(late, "smartmeter/gateway/host/status", "online"));
  const std::string info =
      R"({"id":"1KFM0200169986","manufacturer":"KFM","medium":"electricity","adapter":"ttyusb0",)"
      R"("link":"mbus","line":"2400-8E1","interval":5.0,"encrypted":true,"key_state":"ok"})";
  EXPECT_TRUE(hear(late, "smartmeter/1kfm0200169986/info", info))
      << late.payload("smartmeter/1kfm0200169986/info").value_or("nothing");
  EXPECT_TRUE(late.payload("smartmeter/gateway/host/health").has_value());
  for (const auto& message : late.messages()) EXPECT_TRUE(message.retained) << message.topic;
}

TEST_P(MqttSinkTest, ValuesOfOtherListsCarryTheirAge) {
  Broker broker;
  make_sink(config(broker.port()));
  ASSERT_TRUE(come_online());
  Subscriber subscriber(broker.port());
  FakeMeter meter;
  meter.fill();
  meter.meter.last_update += 47s;
  meter.set("power_import", {600, 0}, Unit::watt);
  meter.set("voltage_l1", {2310, -1}, Unit::volt);
  meter.send(*sink_);
  const std::string topic = "smartmeter/1kfm0200169986/state";
  ASSERT_TRUE(run_until([&] { return subscriber.payload(topic).has_value(); }, &subscriber));
  const std::string state = *subscriber.payload(topic);
  EXPECT_NE(state.find(R"("ages":{"energy_import":47})"), std::string::npos) << state;
  EXPECT_NE(state.find(R"("voltage_l1":231.0)"), std::string::npos) << state;
}

TEST_P(MqttSinkTest, RegistersAndValuesAreOptions) {
  Broker broker;
  BrokerConfig options = config(broker.port());
  options.registers = true;
  options.values = true;
  options.prefix = "house/meters";
  make_sink(options);
  ASSERT_TRUE(come_online());
  Subscriber subscriber(broker.port());
  FakeMeter meter;
  meter.fill();
  ASSERT_TRUE(meter.readings.readings.push_back(
      meter::Reading::number("1-0:1.8.0"_obis, {12048950, 0}, Unit::watt_hour)));
  ASSERT_TRUE(meter.named.push_back({"energy_import", {12048950, -3}, "", Unit::kilowatt_hour}));
  meter.send(*sink_);
  EXPECT_TRUE(hear(subscriber, "house/meters/1kfm0200169986/value/energy_import", "12048.950"));
  const std::string state = subscriber.payload("house/meters/1kfm0200169986/state").value_or("");
  EXPECT_NE(state.find(R"("registers":[{"obis":"1-0:1.8.0","name":"energy_import",)"
                       R"("value":12048950,"unit":"Wh"}])"),
            std::string::npos)
      << state;
}

TEST_P(MqttSinkTest, RemovedMeterLeavesNothingRetained) {
  Broker broker;
  make_sink(config(broker.port()));
  ASSERT_TRUE(come_online());
  FakeMeter unknown("unknown-ttyusb0");
  FakeMeter known;
  unknown.fill();
  known.fill();
  sink_->meter_added(unknown.meter);
  unknown.send(*sink_);
  sink_->meter_removed(unknown.meter);
  sink_->meter_added(known.meter);
  known.send(*sink_);
  Subscriber subscriber(broker.port());
  ASSERT_TRUE(
      run_until([&] { return subscriber.payload("smartmeter/1kfm0200169986/state").has_value(); },
                &subscriber));
  Subscriber late(broker.port());
  ASSERT_TRUE(run_until([&] { return late.payload("smartmeter/1kfm0200169986/state").has_value(); },
                        &late));
  for (const auto& message : late.messages())
    EXPECT_EQ(message.topic.find("unknown"), std::string::npos) << message.topic;
}

TEST_P(MqttSinkTest, AvailabilityFollowsTheMeter) {
  Broker broker;
  make_sink(config(broker.port()));
  ASSERT_TRUE(come_online());
  Subscriber subscriber(broker.port());
  FakeMeter meter;
  sink_->meter_added(meter.meter);
  EXPECT_TRUE(hear(subscriber, "smartmeter/1kfm0200169986/availability", "online"));
  meter.meter.fresh = false;
  sink_->meter_changed(meter.meter);
  EXPECT_TRUE(hear(subscriber, "smartmeter/1kfm0200169986/availability", "offline"));
}

TEST_P(MqttSinkTest, ShutDownSaysOffline) {
  Broker broker;
  make_sink(config(broker.port()));
  ASSERT_TRUE(come_online());
  Subscriber subscriber(broker.port());
  ASSERT_TRUE(hear(subscriber, "smartmeter/gateway/host/status", "online"));
  sink_->shut_down();
  EXPECT_TRUE(run_until([&] { return sink_->publisher().state == PublisherState::disabled; }));
  EXPECT_TRUE(hear(subscriber, "smartmeter/gateway/host/status", "offline"));
}

/// Who takes a filter over does not have the broker forget what it keeps for it, nor does who ends.
TEST_P(MqttSinkTest, FilterThatStaysIsNotUnsubscribed) {
  struct Ear : mqtt::Subscriber {
    void message(const Message& message) override {
      heard.emplace_back(meter::text_of(message.payload));
    }
    void subscription_refused(std::string_view, std::string_view) override {}
    std::vector<std::string> heard;
  } former, heir;
  Broker broker;
  const auto say = [&](const std::string& topic, const std::string& text) {
    test::run(
        {"mosquitto_pub", "-p", std::to_string(broker.port()), "-q", "1", "-t", topic, "-m", text});
  };
  BrokerConfig options = config(broker.port());
  options.role = BrokerRole::source;
  options.client_id = "source";
  options.session = 60s;
  make_sink(options);
  sink_->subscribe({"stays", "goes"}, 1, former);
  ASSERT_TRUE(come_online());
  sink_->unsubscribe(former);
  sink_->subscribe({"stays"}, 1, heir);
  sink_->forget_filters({});
  say("goes", "0");
  say("stays", "1");
  ASSERT_TRUE(run_until([&] { return !heir.heard.empty(); }));
  sink_->stop_reading();
  sink_->unsubscribe(heir);
  sink_->shut_down();
  ASSERT_TRUE(run_until([&] { return sink_->publisher().state == PublisherState::disabled; }));
  say("goes", "2");
  say("stays", "3");
  make_sink(options);
  sink_->subscribe({"stays", "goes"}, 1, former);
  ASSERT_TRUE(run_until([&] { return !former.heard.empty(); }));
  EXPECT_EQ(former.heard, std::vector<std::string>{"3"});
  EXPECT_EQ(heir.heard, std::vector<std::string>{"1"});
}

TEST_P(MqttSinkTest, LastWillSaysOfflineWhenTheProcessDies) {
  Broker broker;
  Subscriber subscriber(broker.port());
  const pid_t child = fork();
  if (child == 0) {
    try {
      const auto loop = io::Loop::make(GetParam());
      const auto sink =
          make_mqtt_sink(*loop, config(broker.port()), "host", [](const Publisher&) {});
      sink->start();
      loop->run();
    } catch (...) {
    }
    _exit(1);
  }
  EXPECT_TRUE(hear(subscriber, "smartmeter/gateway/host/status", "online"));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(hear(subscriber, "smartmeter/gateway/host/status", "offline"));
}

TEST_P(MqttSinkTest, EverythingIsSaidAgainToABrokerThatCameBack) {
  Broker broker;
  make_sink(config(broker.port()));
  ASSERT_TRUE(come_online());
  FakeMeter meter;
  meter.fill();
  sink_->meter_added(meter.meter);
  meter.send(*sink_);
  broker.stop(SIGKILL);
  ASSERT_TRUE(run_until([&] { return sink_->publisher().state == PublisherState::waiting; }));
  EXPECT_EQ(sink_->publisher().last_error, "connection lost");
  meter.set("power_import", {601, 0}, Unit::watt);
  meter.send(*sink_);
  meter.set("power_import", {602, 0}, Unit::watt);
  meter.send(*sink_);
  EXPECT_GT(sink_->publisher().queued, 0u);
  broker.start();
  ASSERT_TRUE(come_online());
  Subscriber subscriber(broker.port());
  const std::string topic = "smartmeter/1kfm0200169986/state";
  ASSERT_TRUE(run_until([&] { return subscriber.payload(topic).has_value(); }, &subscriber));
  EXPECT_NE(subscriber.payload(topic)->find(R"("power_import":602)"), std::string::npos);
  EXPECT_TRUE(hear(subscriber, "smartmeter/gateway/host/status", "online"));
  EXPECT_TRUE(hear(subscriber, "smartmeter/1kfm0200169986/availability", "online"));
  EXPECT_EQ(sink_->publisher().queued, 0u);
  EXPECT_EQ(sink_->publisher().dropped, 0u);
}

TEST_P(MqttSinkTest, MeasuresEachTelegramOfAPortOnce) {
  Broker broker;
  BrokerConfig options = config(broker.port());
  options.profiles = {"smartmeterd", "seed"};
  options.values = true;
  make_sink(options);
  ASSERT_TRUE(come_online());
  const std::uint64_t before = sink_->publisher().published;
  FakeMeter meter;
  meter.fill();
  for (int i = 0; i < 5; ++i) meter.send(*sink_, io::Clock::now());
  meter.send(*sink_);  // of a source
  Subscriber subscriber(broker.port());
  const std::string topic = "smartmeter/1kfm0200169986/state";
  ASSERT_TRUE(run_until(
      [&] {
        return subscriber.payload(topic).value_or("").find(R"("sequence":6)") != std::string::npos;
      },
      &subscriber));
  const LatencySummary latency = sink_->publisher().latency.summary();
  EXPECT_EQ(latency.count, 5u);
  EXPECT_GT(latency.min_s, 0);
  EXPECT_LE(latency.min_s, latency.median_s);
  EXPECT_LE(latency.p99_s, latency.max_s);
  EXPECT_GE(sink_->publisher().published, before + 12);  // a state and at least one of the other
}

TEST_P(MqttSinkTest, MeasuresRawTelegramsWhereNothingElseIsPublished) {
  for (const bool has_profile : {false, true}) {
    Broker broker;
    BrokerConfig options = config(broker.port());
    options.raw = true;
    options.profiles.clear();
    if (has_profile) options.profiles = {"smartmeterd"};
    make_sink(options);
    ASSERT_TRUE(come_online());
    FakeMeter meter;
    meter.fill();
    sink_->adapter_added(meter.adapter);
    for (int i = 0; i < 3; ++i) {
      meter.send(*sink_, io::Clock::now());
      sink_->raw_telegram({meter.adapter, std::as_bytes(std::span("telegram")), meter::Link::mbus,
                           1, true, io::Clock::now()});
    }
    EXPECT_EQ(sink_->publisher().latency.count(), 3u) << has_profile;
  }
}

TEST_P(MqttSinkTest, MeasuresNothingWhileTheBrokerIsAway) {
  Broker broker;
  BrokerConfig options = config(broker.port());
  options.profiles = {"smartmeterd", "rl-dsp"};  // retained, and not
  make_sink(options);
  FakeMeter meter;
  meter.fill();
  meter.send(*sink_, io::Clock::now());
  ASSERT_TRUE(come_online());
  meter.send(*sink_, io::Clock::now());
  broker.stop(SIGKILL);
  ASSERT_TRUE(run_until([&] { return sink_->publisher().state == PublisherState::waiting; }));
  for (int i = 0; i < 3; ++i) meter.send(*sink_, io::Clock::now());
  const std::uint64_t before = sink_->publisher().published;
  broker.start();
  ASSERT_TRUE(come_online());
  ASSERT_TRUE(run_until([&] { return sink_->publisher().queued == 0; }));
  EXPECT_GT(sink_->publisher().published, before);
  EXPECT_EQ(sink_->publisher().latency.count(), 1u);
  meter.send(*sink_, loop_->now());
  EXPECT_TRUE(run_until([&] { return sink_->publisher().latency.count() == 2; }));
}

TEST_P(MqttSinkTest, MeasuresWhenTheMessageIsInTheSocket) {
  Broker broker;
  make_sink(config(broker.port()));
  ASSERT_TRUE(come_online());
  FakeMeter meter;
  meter.fill();
  broker.send_signal(SIGSTOP);
  std::uint64_t sent = 0;
  for (; sent < 40'000 && sink_->publisher().queued < 10; ++sent) {
    meter.send(*sink_, io::Clock::now());
    if (sent % 100 == 0) loop_->run_once();
  }
  EXPECT_LT(sink_->publisher().latency.count(), sent);  // the others wait in the outbox
  broker.send_signal(SIGCONT);
  EXPECT_TRUE(run_until([&] { return sink_->publisher().latency.count() == sent; }));
}

TEST_P(MqttSinkTest, BrokerMayComeLater) {
  const std::uint16_t port = test::free_port();
  make_sink(config(port));
  EXPECT_EQ(sink_->publisher().state, PublisherState::connecting);
  ASSERT_TRUE(fail_with("connection refused"));
  EXPECT_EQ(sink_->publisher().state, PublisherState::waiting);
  Broker broker("allow_anonymous true\n", port);
  EXPECT_TRUE(come_online());
}

TEST_P(MqttSinkTest, NameThatDoesNotResolveHoldsNothingUp) {
  BrokerConfig broker = config(1883);
  broker.host = "broker.invalid";  // RFC 6761: never resolves
  make_sink(broker);
  EXPECT_TRUE(fail_with("name not resolved")) << sink_->publisher().last_error;
}

TEST_P(MqttSinkTest, AddressThatSwallowsEverythingHoldsNothingUp) {
  // A full accept queue: the kernel drops further SYNs, and connect() waits for minutes.
  test::BoundSocket hole;
  listen(hole.fd(), 0);
  std::vector<int> fillers;
  for (int i = 0; i < 8; ++i) {
    fillers.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(hole.port());
    (void)connect(fillers.back(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
  make_sink(config(hole.port()));
  FakeMeter meter;
  meter.fill();
  const std::uint64_t before = loop_->iterations();
  for (int i = 0; i < 20; ++i) {
    meter.send(*sink_);
    loop_->run_once();
  }
  EXPECT_EQ(loop_->iterations(), before + 20);
  EXPECT_EQ(sink_->publisher().state, PublisherState::connecting);
  EXPECT_EQ(sink_->publisher().queued, 1u);
  sink_->shut_down();  // neither this nor the destructor waits for the thread
  sink_.reset();
  for (const int fd : fillers) close(fd);
}

TEST_P(MqttSinkTest, WrongPasswordIsNotAuthorized) {
  test::TemporaryDirectory files;
  ASSERT_EQ(test::run({"mosquitto_passwd", "-b", "-c", files / "passwords", "meter", "right"}), 0);
  std::filesystem::permissions(files / "passwords", std::filesystem::perms{0644});
  Broker broker("allow_anonymous false\npassword_file " + (files / "passwords").string() + "\n");
  test::write_file(files / "password", "wrong\n");
  std::filesystem::permissions(files / "password", std::filesystem::perms{0600});
  BrokerConfig options = config(broker.port());
  options.user = "meter";
  options.password_file = files / "password";
  for (const char* protocol : {"5", "3.1.1"}) {
    options.protocol = protocol;
    make_sink(options);
    EXPECT_TRUE(fail_with("not authorized")) << sink_->publisher().last_error;
    EXPECT_TRUE(sink_->publisher().is_unauthorized);
    EXPECT_EQ(sink_->publisher().state, PublisherState::waiting);
  }
  test::write_file(files / "password", "right\n");
  make_sink(options);
  EXPECT_TRUE(come_online());
  options.password_file = files / "missing";
  make_sink(options);
  EXPECT_TRUE(fail_with("password file " + options.password_file.string() + " cannot be read"));
}

TEST_P(MqttSinkTest, StoppedBrokerHoldsNothingUp) {
  Broker broker;
  BrokerConfig options = config(broker.port());
  options.profiles = {"smartmeterd", "seed"};
  options.outbox_bytes = 64 * 1024;
  make_sink(options);
  ASSERT_TRUE(come_online());
  FakeMeter meter;
  meter.fill();
  broker.send_signal(SIGSTOP);
  // More than the two sockets' buffers and the outbox together hold.
  for (int i = 0; i < 40'000 && sink_->publisher().dropped < 100; ++i) {
    meter.meter.values[1].value.mantissa = i;
    meter.send(*sink_);
    if (i % 100 == 0) loop_->run_once();
  }
  EXPECT_GE(sink_->publisher().dropped, 100u);
  EXPECT_GT(sink_->publisher().queued, 0u);
  meter.set("power_import", {4711, 0}, Unit::watt);
  meter.send(*sink_);
  broker.send_signal(SIGCONT);
  EXPECT_TRUE(run_until([&] { return sink_->publisher().queued == 0; }));
  // A fresh subscriber each time: mosquitto drops what a slow one does not take in time.
  EXPECT_TRUE(run_until([&] {
    Subscriber late(broker.port());
    const std::string topic = "smartmeter/1kfm0200169986/state";
    for (int i = 0; i < 100 && !late.payload(topic); ++i) late.step(10);
    return late.payload(topic).value_or("").find(R"("power_import":4711)") != std::string::npos;
  }));
  EXPECT_EQ(sink_->publisher().state, PublisherState::online);
}

TEST_P(MqttSinkTest, CountsIdleWakeUps) {
  Broker broker;
  make_sink(config(broker.port()));
  ASSERT_TRUE(come_online());
  loop_->cancel(*alarm_);
  const auto end = std::chrono::steady_clock::now() + 3s;
  const std::uint64_t before = loop_->iterations();
  while (std::chrono::steady_clock::now() < end) loop_->run_once();
  std::cout << "connected and idle for 3 s: " << loop_->iterations() - before << " iterations\n";
}

/// Answers CONNECT of MQTT 5 as told, that of 3.1.1 with success, and notes what it saw.
class FakeBroker {
 public:
  explicit FakeBroker(std::string answer_to_5) : answer_to_5_(std::move(answer_to_5)) {
    listen(socket_.fd(), 8);
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeBroker() {
    stop_ = true;
    thread_.join();
  }
  std::uint16_t port() const noexcept { return socket_.port(); }
  int connects_of_5() const noexcept { return connects_of_5_; }
  int connects_of_311() const noexcept { return connects_of_311_; }

 private:
  static bool readable(int fd) {
    pollfd poll_fd{fd, POLLIN, 0};
    return poll(&poll_fd, 1, 20) == 1;
  }
  void serve() {
    while (!stop_) {
      if (!readable(socket_.fd())) continue;
      const int fd = accept(socket_.fd(), nullptr, nullptr);
      talk(fd);
      close(fd);
    }
  }
  void talk(int fd) {
    char packet[512];
    while (!stop_) {
      if (!readable(fd)) continue;
      const ssize_t size = recv(fd, packet, sizeof packet, 0);
      if (size <= 0) return;
      if ((packet[0] & 0xf0) != 0x10) continue;
      // Fixed header of two octets, "MQTT" with its length, protocol level (3.1.1 section 3.1).
      const bool version_5 = packet[8] == 5;
      ++(version_5 ? connects_of_5_ : connects_of_311_);
      const std::string answer = version_5 ? answer_to_5_ : std::string("\x20\x02\x00\x00", 4);
      (void)send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
      if (version_5) return;
    }
  }
  test::BoundSocket socket_;
  std::string answer_to_5_;
  std::atomic<bool> stop_ = false;
  std::atomic<int> connects_of_5_ = 0;
  std::atomic<int> connects_of_311_ = 0;
  std::thread thread_;
};

TEST_P(MqttSinkTest, FallsBackToVersion311) {
  using namespace std::string_literals;
  // CONNACK of 3.1.1 (code 1), of MQTT 5 (reason 0x84), and the one in the other's form.
  for (const std::string& refusal :
       {"\x20\x02\x00\x01"s, "\x20\x03\x00\x84\x00"s, "\x20\x02\x00\x84"s}) {
    FakeBroker broker(refusal);
    make_sink(config(broker.port()));
    EXPECT_TRUE(come_online()) << sink_->publisher().last_error;
    EXPECT_EQ(broker.connects_of_5(), 1);
    EXPECT_EQ(broker.connects_of_311(), 1);
    sink_.reset();
  }
}

TEST_P(MqttSinkTest, VersionThatWasDemandedIsNotChanged) {
  using namespace std::string_literals;
  FakeBroker broker("\x20\x02\x00\x01"s);
  BrokerConfig options = config(broker.port());
  options.protocol = "5";
  make_sink(options);
  EXPECT_TRUE(fail_with("MQTT version not supported by the broker"));
  EXPECT_EQ(broker.connects_of_311(), 0);
  options.protocol = "3.1.1";
  make_sink(options);
  EXPECT_TRUE(come_online());
  sink_.reset();
}

TEST_P(MqttSinkTest, ClientIdTakenOverIsNamed) {
  using namespace std::string_literals;
  // CONNACK with success, then DISCONNECT "session taken over" (MQTT 5.0 section 3.14.2.1).
  FakeBroker broker("\x20\x03\x00\x00\x00\xe0\x01\x8e"s);
  make_sink(config(broker.port()));
  EXPECT_TRUE(fail_with("another client uses the client id smartmeterd-host"))
      << sink_->publisher().last_error;
}

/// mosquitto 2.0.11 throws the older client out without a word.
TEST_P(MqttSinkTest, ClientIdInDisputeIsSuspected) {
  Broker broker;
  make_sink(config(broker.port()));
  const std::string suspicion =
      "connection lost again and again: another client may use the client id smartmeterd-host";
  for (int round = 0; round < 3; ++round) {
    EXPECT_NE(sink_->publisher().last_error, suspicion);
    ASSERT_TRUE(come_online());
    mosquitto* other = mosquitto_new("smartmeterd-host", true, nullptr);
    ASSERT_EQ(mosquitto_connect(other, "127.0.0.1", broker.port(), 60), MOSQ_ERR_SUCCESS);
    EXPECT_TRUE(run_until([&] { return sink_->publisher().state == PublisherState::waiting; }));
    mosquitto_destroy(other);
  }
  EXPECT_EQ(sink_->publisher().last_error, suspicion);
}

TEST_P(MqttSinkTest, SilentServerIsGivenUp) {
  test::BoundSocket silent;  // accepts by the kernel's hand, never answers
  listen(silent.fd(), 8);
  BrokerConfig options = config(silent.port());
  options.keepalive = 5s;
  make_sink(options);
  EXPECT_TRUE(fail_with("the broker does not answer")) << sink_->publisher().last_error;
}

TEST_P(MqttSinkTest, TlsTrustsTheGivenAuthorityOnly) {
  if (!test::knows_localhost()) GTEST_SKIP() << test::no_localhost;
  Authority authority("right");
  Authority stranger("wrong");
  authority.issue("server", "localhost");
  Broker broker("allow_anonymous true\ncafile " + authority.file("ca.pem") + "\ncertfile " +
                authority.file("server.pem") + "\nkeyfile " + authority.file("server.key") + "\n");
  BrokerConfig options = config(broker.port());
  options.tls = true;
  options.host = "localhost";
  options.tls_ca = authority.file("ca.pem");
  make_sink(options);
  ASSERT_TRUE(come_online()) << sink_->publisher().last_error;
  FakeMeter meter;
  meter.fill();
  for (int i = 0; i < 300; ++i) meter.send(*sink_);
  EXPECT_TRUE(run_until([&] { return sink_->publisher().queued == 0; }));
  EXPECT_EQ(sink_->publisher().state, PublisherState::online);

  options.tls_ca = stranger.file("ca.pem");
  make_sink(options);
  EXPECT_TRUE(fail_with("certificate not trusted")) << sink_->publisher().last_error;
  options.tls_ca = "";  // the system's store does not know it either
  make_sink(options);
  EXPECT_TRUE(fail_with("certificate not trusted")) << sink_->publisher().last_error;
  options.tls_ca = authority.file("ca.pem");
  options.host = "127.0.0.1";
  make_sink(options);
  EXPECT_TRUE(fail_with("certificate is for another host name")) << sink_->publisher().last_error;
  options.tls_ca = authority.file("missing.pem");
  make_sink(options);
  EXPECT_TRUE(fail_with("file " + options.tls_ca.string() + " cannot be read"));
}

TEST_P(MqttSinkTest, TlsShowsAClientCertificate) {
  if (!test::knows_localhost()) GTEST_SKIP() << test::no_localhost;
  Authority authority("right");
  authority.issue("server", "localhost");
  authority.issue("client", "meter");
  Broker broker("allow_anonymous true\nrequire_certificate true\ncafile " +
                authority.file("ca.pem") + "\ncertfile " + authority.file("server.pem") +
                "\nkeyfile " + authority.file("server.key") + "\n");
  BrokerConfig options = config(broker.port());
  options.tls = true;
  options.host = "localhost";
  options.tls_ca = authority.file("ca.pem");
  make_sink(options);
  ASSERT_TRUE(run_until([&] { return sink_->publisher().state == PublisherState::waiting; }));
  EXPECT_NE(sink_->publisher().last_error, "");
  options.tls_certificate = authority.file("client.pem");
  options.tls_key = authority.file("client.key");
  make_sink(options);
  EXPECT_TRUE(come_online()) << sink_->publisher().last_error;
}

INSTANTIATE_TEST_SUITE_P(Loop, MqttSinkTest, test::both_back_ends, test::back_end_name);

}  // namespace
}  // namespace smartmeterd::mqtt
