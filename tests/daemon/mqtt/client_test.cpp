// SPDX-License-Identifier: Apache-2.0
// Client against a real mosquitto: what a broker may do to it, and what both may do to a message.
// Further failures of brokers, as a sink meets them, are in mqtt_sink_test.
#include "daemon/mqtt/client.hpp"

#include <poll.h>
#include <sys/un.h>

#include <atomic>
#include <mutex>
#include <set>
#include <system_error>

#include "tests/daemon/localhost.hpp"
#include "tests/daemon/mqtt/broker.hpp"
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
using test::Authority;
using test::Broker;
using test::patience;
using test::Subscriber;

/// What a client tells.
struct Listener : ClientListener {
  struct Heard {
    std::string topic;
    std::string payload;
    bool retained;
    std::vector<std::pair<std::string, std::string>> properties;
  };
  void broker_online() override { ++connects; }
  void broker_tick() override {}
  void client_changed() override {}
  void message(const Message& message) override {
    Heard now{std::string(message.topic),
              std::string(meter::text_of(message.payload)),
              message.retained,
              {}};
    for (const auto& [name, value] : message.properties) now.properties.emplace_back(name, value);
    heard.push_back(std::move(now));
    if (answer) answer(message);
  }
  void subscription_refused(std::string_view filter, std::string_view) override {
    refused.emplace_back(filter);
  }
  void acknowledged(std::uint64_t ticket) override { tickets.push_back(ticket); }

  int connects = 0;
  std::vector<Heard> heard;
  std::vector<std::string> refused;
  std::vector<std::uint64_t> tickets;
  std::function<void(const Message&)> answer;
};

class ClientTest : public test::LoopTest {
 protected:
  void TearDown() override {
    client_.reset();
    LoopTest::TearDown();
  }

  std::unique_ptr<Client> make(const BrokerConfig& broker, Listener& listener,
                               const std::string& id = "smartmeterd-host") {
    auto client = std::make_unique<Client>(
        *loop_, broker, id, broker.publishes() ? "smartmeter/gateway/host/status" : "", listener);
    client->start();
    return client;
  }
  void connect(const BrokerConfig& broker) { client_ = make(broker, listener_); }
  bool come_online() {
    return run_until([this] { return client_->online(); });
  }
  bool fail_with(const std::string& reason) {
    return run_until([&] { return client_->publisher().last_error == reason; });
  }
  void leave() {
    client_->shut_down();
    EXPECT_TRUE(
        run_until([this] { return client_->publisher().state == PublisherState::disabled; }));
    client_.reset();
  }
  static std::vector<std::string> payloads(const Subscriber& subscriber, std::string_view topic) {
    std::vector<std::string> found;
    for (const auto& message : subscriber.messages())
      if (message.topic == topic) found.push_back(message.payload);
    return found;
  }
  static std::vector<std::string> numbers(int count) {
    std::vector<std::string> texts;
    for (int i = 0; i < count; ++i) texts.push_back(std::to_string(i));
    return texts;
  }

  Listener listener_;
  std::unique_ptr<Client> client_;
};

// What a broker may do.

TEST_P(ClientTest, BrokerThatIsKilledComesBack) {
  Broker broker;
  connect(config(broker.port()));
  ASSERT_TRUE(come_online());
  client_->publish({.topic = "state", .payload = "1", .retain = true});
  broker.stop(SIGKILL);
  ASSERT_TRUE(fail_with("connection lost"));
  EXPECT_EQ(client_->publisher().state, PublisherState::waiting);
  client_->publish({.topic = "state", .payload = "2", .retain = true});
  client_->publish({.topic = "event", .payload = "a"});
  client_->publish({.topic = "state", .payload = "3", .retain = true});
  client_->publish({.topic = "event", .payload = "b"});
  EXPECT_EQ(client_->publisher().queued, 3u);
  broker.start();
  Subscriber subscriber(broker.port());
  EXPECT_TRUE(hear(subscriber, "event", "b"));
  EXPECT_EQ(payloads(subscriber, "state"), std::vector<std::string>{"3"});
  EXPECT_EQ(payloads(subscriber, "event"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(payloads(subscriber, "smartmeter/gateway/host/status"),
            std::vector<std::string>{"online"});
  EXPECT_EQ(client_->publisher().dropped, 0u);
}

/// At QoS 1 what the broker had not acknowledged is published again.
TEST_P(ClientTest, BrokerThatIsKilledCostsNothingAtQos1) {
  Broker broker;
  connect(config(broker.port()));
  ASSERT_TRUE(come_online());
  broker.send_signal(SIGSTOP);  // what is written now is never read
  for (const std::string& number : numbers(50))
    client_->publish({.topic = "raw", .payload = number, .qos = 1});
  EXPECT_GE(client_->publisher().queued, 30u);  // 20 are in flight
  broker.stop(SIGKILL);
  ASSERT_TRUE(fail_with("connection lost"));
  EXPECT_EQ(client_->publisher().queued, 50u);
  broker.start();
  Subscriber subscriber(broker.port());
  EXPECT_TRUE(hear(subscriber, "raw", "49"));
  EXPECT_EQ(payloads(subscriber, "raw"), numbers(50));
  EXPECT_EQ(subscriber.messages().back().qos, 1);
}

TEST_P(ClientTest, BrokerThatIsStoppedIsGivenUpByTheKeepalive) {
  Broker broker;
  BrokerConfig options = config(broker.port());
  options.keepalive = 5s;
  connect(options);
  ASSERT_TRUE(come_online());
  broker.send_signal(SIGSTOP);
  ASSERT_TRUE(fail_with("the broker does not answer"));
  EXPECT_EQ(client_->publisher().state, PublisherState::waiting);
  broker.send_signal(SIGCONT);
  EXPECT_TRUE(come_online());
}

TEST_P(ClientTest, ExpiredCertificateIsNamed) {
  if (!test::knows_localhost()) GTEST_SKIP() << test::no_localhost;
  Authority authority("right");
  authority.issue("expired", "localhost", -1);
  Broker broker(authority.settings("expired"));
  BrokerConfig options = config(broker.port());
  options.tls = true;
  options.host = "localhost";
  options.tls_ca = authority.file("ca.pem");
  connect(options);
  EXPECT_TRUE(fail_with("certificate has expired")) << client_->publisher().last_error;
}

TEST_P(ClientTest, PskRightAndWrong) {
  test::TemporaryDirectory files;
  test::write_file(files / "keys", "gateway:0123456789abcdef0123456789ABCDEF\n");
  std::filesystem::permissions(files / "keys", std::filesystem::perms{0644});
  Broker broker("allow_anonymous true\npsk_hint meters\npsk_file " + (files / "keys").string() +
                "\n");
  BrokerConfig options = config(broker.port());
  options.tls = true;
  options.tls_psk_identity = "gateway";
  options.tls_psk_file = files / "psk";
  const std::string file = options.tls_psk_file.string();
  connect(options);
  EXPECT_TRUE(fail_with("PSK file " + file + " cannot be read"));
  test::write_file(options.tls_psk_file, "0123456789abcdef 0123456789abcdef\n");
  connect(options);
  EXPECT_TRUE(fail_with("PSK file " + file + " does not hold hex digits alone"));
  test::write_file(options.tls_psk_file, "00000000000000000000000000000000\n");
  connect(options);
  ASSERT_TRUE(run_until([&] { return client_->publisher().state == PublisherState::waiting; }));
  EXPECT_TRUE(client_->publisher().last_error.starts_with("TLS: "))
      << client_->publisher().last_error;
  EXPECT_NE(client_->publisher().last_error.find("tls.psk_file"), std::string::npos)
      << client_->publisher().last_error;
  test::write_file(options.tls_psk_file, "0123456789abcdef0123456789abcdef \r\n");
  connect(options);
  EXPECT_TRUE(come_online()) << client_->publisher().last_error;
  options.tls_psk_identity = "stranger";
  connect(options);
  ASSERT_TRUE(run_until([&] { return client_->publisher().state == PublisherState::waiting; }));
  EXPECT_NE(client_->publisher().last_error.find("TLS"), std::string::npos)
      << client_->publisher().last_error;
  EXPECT_NE(client_->publisher().last_error.find("tls.psk_identity"), std::string::npos)
      << client_->publisher().last_error;
}

TEST_P(ClientTest, PortOfTheOtherSchemeIsNamed) {
  if (!test::knows_localhost()) GTEST_SKIP() << test::no_localhost;
  Authority authority("right");
  authority.issue("server", "localhost");
  Broker plain;
  Broker encrypted(authority.settings("server"));
  connect(config(encrypted.port()));
  ASSERT_TRUE(run_until([&] { return client_->publisher().state == PublisherState::waiting; }));
  EXPECT_TRUE(client_->publisher().last_error.ends_with("is its port for mqtts?"))
      << client_->publisher().last_error;
  BrokerConfig options = config(plain.port());
  options.tls = true;
  options.host = "localhost";
  options.tls_ca = authority.file("ca.pem");
  connect(options);
  ASSERT_TRUE(run_until([&] { return client_->publisher().state == PublisherState::waiting; }));
  EXPECT_TRUE(
      client_->publisher().last_error.ends_with("is this the port for mqtts, or is it mqtt?"))
      << client_->publisher().last_error;
}

/// The kernel lets a connect wait for two minutes where nobody answers.
TEST_P(ClientTest, AddressThatDoesNotAnswerIsGivenUpByTheKeepalive) {
  test::BoundSocket deaf;
  listen(deaf.fd(), 0);
  sockaddr_in address{};
  socklen_t size = sizeof address;
  getsockname(deaf.fd(), reinterpret_cast<sockaddr*>(&address), &size);
  std::vector<int> callers;  // the kernel answers nobody beyond them
  for (int i = 0; i < 4; ++i) {
    callers.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    (void)::connect(callers.back(), reinterpret_cast<sockaddr*>(&address), size);
  }
  BrokerConfig options = config(deaf.port());
  options.keepalive = 5s;
  connect(options);
  EXPECT_TRUE(fail_with("no answer from the broker")) << client_->publisher().last_error;
  EXPECT_EQ(client_->publisher().state, PublisherState::waiting);
  for (const int fd : callers) ::close(fd);
}

/// OpenSSL's own server, as mosquitto cannot be brought to speak less than TLS 1.2.
TEST_P(ClientTest, TlsBelow12IsRefused) {
  if (!test::knows_localhost()) GTEST_SKIP() << test::no_localhost;
  Authority authority("right");
  authority.issue("server", "localhost");
  const std::uint16_t port = test::free_port();
  const pid_t server = fork();
  if (server == 0) {
    const int null = open("/dev/null", O_RDWR);
    for (const int fd : {0, 1, 2}) dup2(null, fd);
    execlp("openssl", "openssl", "s_server", "-accept",
           ("127.0.0.1:" + std::to_string(port)).c_str(), "-cert",
           authority.file("server.pem").c_str(), "-key", authority.file("server.key").c_str(),
           "-www", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", nullptr);
    _exit(127);
  }
  BrokerConfig options = config(port);
  options.tls = true;
  options.host = "localhost";
  options.tls_ca = authority.file("ca.pem");
  connect(options);
  EXPECT_TRUE(run_until([&] { return client_->publisher().last_error.starts_with("TLS: "); }))
      << client_->publisher().last_error;
  EXPECT_NE(client_->publisher().last_error.find("protocol version"), std::string::npos)
      << client_->publisher().last_error;
  kill(server, SIGKILL);
  waitpid(server, nullptr, 0);
}

TEST_P(ClientTest, PublicationThatIsNotAllowedIsNamed) {
  test::TemporaryDirectory files;
  const std::string list = files / "acl";
  const auto allow = [&](const std::string& lines) {
    test::write_file(list, "topic read #\n" + lines);
    std::filesystem::permissions(list, std::filesystem::perms{0644});
  };
  allow("topic readwrite smartmeter/#\n");
  Broker broker("allow_anonymous true\nacl_file " + list + "\n");
  connect(config(broker.port()));
  ASSERT_TRUE(come_online());
  client_->publish({.topic = "smartmeter/a", .payload = "1", .qos = 1});
  client_->publish({.topic = "other/a", .payload = "1", .retain = true, .qos = 1});
  const std::string refusal = "not allowed to publish other/a: Not authorized";
  EXPECT_TRUE(fail_with(refusal)) << client_->publisher().last_error;
  EXPECT_EQ(client_->publisher().state, PublisherState::online);
  client_->publish({.topic = "smartmeter/a", .payload = "2", .qos = 1});
  Subscriber subscriber(broker.port());
  client_->publish({.topic = "smartmeter/a", .payload = "3", .qos = 1});
  EXPECT_TRUE(hear(subscriber, "smartmeter/a", "3"));
  EXPECT_EQ(client_->publisher().last_error, refusal);
  // Once it is allowed, and published, nothing is wrong any more.
  allow("topic readwrite #\n");
  broker.send_signal(SIGHUP);
  EXPECT_TRUE(run_until(
      [&] {
        client_->publish({.topic = "other/a", .payload = "2", .retain = true, .qos = 1});
        return client_->publisher().last_error.empty();
      },
      &subscriber));
  EXPECT_EQ(client_->publisher().state, PublisherState::online);
}

/// mosquitto's ACL file knows no right to subscribe; its plugin of dynamic rights does.
TEST_P(ClientTest, SubscriptionThatIsNotAllowedIsNamed) {
  const char* plugin = nullptr;
  for (const char* directory :
       {"/usr/lib/x86_64-linux-gnu/", "/usr/lib/aarch64-linux-gnu/", "/usr/lib/"}) {
    static std::string file;
    file = std::string(directory) + "mosquitto_dynamic_security.so";
    if (std::filesystem::exists(file)) plugin = file.c_str();
    if (plugin != nullptr) break;
  }
  if (plugin == nullptr) GTEST_SKIP() << "no mosquitto_dynamic_security.so here";
  test::TemporaryDirectory files;
  const std::string rights = files / "rights.json";
  test::write_file(rights,
                   R"({"defaultACLAccess":{"publishClientSend":true,"publishClientReceive":true,)"
                   R"("subscribe":false,"unsubscribe":true},"clients":[],"anonymousGroup":"all",)"
                   R"("groups":[{"groupname":"all","clients":[],"roles":[{"rolename":"reader"}]}],)"
                   R"("roles":[{"rolename":"reader","acls":[{"acltype":"subscribePattern",)"
                   R"("topic":"allowed/#","priority":0,"allow":true}]}]})");
  std::filesystem::permissions(files.path(), std::filesystem::perms{0777});
  std::filesystem::permissions(rights, std::filesystem::perms{0666});
  Broker broker("allow_anonymous true\nplugin " + std::string(plugin) +
                "\nplugin_opt_config_file " + rights + "\n");
  for (const char* protocol : {"5", "3.1.1"}) {
    listener_ = {};
    BrokerConfig options = config(broker.port());
    options.protocol = protocol;
    connect(options);
    client_->subscribe("allowed/#", 1);
    client_->subscribe("forbidden/#", 1);
    ASSERT_TRUE(come_online()) << client_->publisher().last_error;
    const std::string why = protocol == std::string("5") ? "Not authorized" : "refused";
    EXPECT_TRUE(fail_with("not allowed to subscribe to forbidden/#: " + why))
        << client_->publisher().last_error;
    EXPECT_EQ(listener_.refused, std::vector<std::string>{"forbidden/#"});
    EXPECT_EQ(client_->publisher().state, PublisherState::online);
    Listener other;
    const auto publisher = make(options, other, "publisher");
    publisher->publish({.topic = "allowed/a", .payload = protocol});
    EXPECT_TRUE(run_until([&] { return !listener_.heard.empty(); }));
  }
}

/// A consumer that never reads is the broker's trouble alone.
TEST_P(ClientTest, ConsumerThatDoesNotReadHoldsNothingUp) {
  Broker broker;
  Subscriber lazy(broker.port());
  connect(config(broker.port()));
  ASSERT_TRUE(come_online());
  Subscriber keen(broker.port());
  const std::string padding(1000, 'x');
  for (int i = 0; i < 20'000; ++i) {
    client_->publish({.topic = "state", .payload = padding + std::to_string(i), .retain = true});
    if (i % 100 == 0) loop_->run_once();
    if (i % 100 == 0) keen.step();
  }
  EXPECT_TRUE(hear(keen, "state", padding + "19999"));
  EXPECT_EQ(client_->publisher().state, PublisherState::online);
  EXPECT_EQ(client_->publisher().dropped, 0u);
  EXPECT_EQ(listener_.connects, 1);
}

/// Reads a few bytes at a time, and counts the messages in them.
class SlowBroker {
 public:
  SlowBroker() {
    const int size = 4096;
    setsockopt(socket_.fd(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    listen(socket_.fd(), 1);
    thread_ = std::thread([this] { serve(); });
  }
  ~SlowBroker() {
    stop_ = true;
    thread_.join();
  }
  std::uint16_t port() const noexcept { return socket_.port(); }
  void hurry() { hurry_ = true; }
  std::string received() {
    const std::lock_guard lock(mutex_);
    return received_;
  }

 private:
  void serve() {
    pollfd waiting{socket_.fd(), POLLIN, 0};
    while (poll(&waiting, 1, 20) != 1)
      if (stop_) return;
    const int fd = accept(socket_.fd(), nullptr, nullptr);
    pollfd readable{fd, POLLIN, 0};
    bool is_connected = false;
    while (!stop_) {
      if (poll(&readable, 1, 20) != 1) continue;
      char bytes[4096];
      const ssize_t size = recv(fd, bytes, hurry_ ? sizeof bytes : 512, 0);
      if (size <= 0) break;
      // CONNACK of MQTT 5 without properties.
      if (!std::exchange(is_connected, true)) (void)send(fd, "\x20\x03\x00\x00\x00", 5, 0);
      const std::lock_guard lock(mutex_);
      received_.append(bytes, static_cast<std::size_t>(size));
      if (!hurry_) std::this_thread::sleep_for(1ms);
    }
    close(fd);
  }
  test::BoundSocket socket_;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> hurry_ = false;
  std::mutex mutex_;
  std::string received_;
  std::thread thread_;
};

TEST_P(ClientTest, BrokerThatReadsSlowlyGetsEveryMessageInOrder) {
  SlowBroker broker;
  BrokerConfig options = config(broker.port());
  options.outbox_bytes = 16 * 1024 * 1024;
  connect(options);
  ASSERT_TRUE(come_online());
  constexpr int count = 20'000;  // more than the two sockets' buffers hold
  for (int i = 0; i < count; ++i) {
    const std::string payload = "<" + std::to_string(i) + std::string(500, '.') + ">";
    client_->publish({.topic = "state", .payload = payload, .retain = true});
    if (i % 100 == 0) loop_->run_once();
  }
  EXPECT_GT(client_->publisher().queued, 1000u);
  EXPECT_TRUE(client_->is_congested());
  broker.hurry();
  EXPECT_TRUE(run_until([&] {
    return broker.received().find("<" + std::to_string(count - 1)) != std::string::npos;
  }));
  EXPECT_FALSE(client_->is_congested());
  EXPECT_EQ(client_->publisher().dropped, 0u);
  const std::string received = broker.received();
  std::size_t at = 0;
  for (int i = 0; i < count; ++i) {
    at = received.find('<', at);
    ASSERT_NE(at, std::string::npos) << i;
    ASSERT_EQ(received.compare(at + 1, std::to_string(i).size() + 1, std::to_string(i) + "."), 0)
        << i;
    ++at;
  }
}

TEST_P(ClientTest, BacklogOf100000MessagesIsPublishedInOrder) {
  const std::uint16_t port = test::free_port();
  BrokerConfig options = config(port);
  options.outbox_bytes = 64 * 1024 * 1024;
  connect(options);
  constexpr int count = 100'000;
  for (const std::string& number : numbers(count))
    client_->publish({.topic = "event", .payload = number});
  client_->publish({.topic = "state", .payload = "newest", .retain = true});
  EXPECT_EQ(client_->publisher().queued, count + 1u);
  Broker broker("allow_anonymous true\nmax_queued_messages 0\n", port);
  Subscriber subscriber(port);
  int longest = 0;
  int heard_before = 0;
  ASSERT_TRUE(run_until(
      [&] {
        // However long the backlog, a turn of the loop hands over a bounded part of it.
        const int left = static_cast<int>(client_->publisher().queued);
        if (client_->online()) longest = std::max(longest, heard_before - left);
        heard_before = left;
        return static_cast<int>(subscriber.messages().size()) >= count + 2;
      },
      &subscriber))
      << subscriber.messages().size();
  EXPECT_EQ(payloads(subscriber, "event"), numbers(count));
  EXPECT_EQ(subscriber.messages()[1].topic, "state") << "the newest state goes first";
  EXPECT_LT(longest, 1000);
  EXPECT_EQ(client_->publisher().dropped, 0u);
}

TEST_P(ClientTest, BacklogBeyondTheOutboxDropsTheOldest) {
  const std::uint16_t port = test::free_port();
  BrokerConfig options = config(port);
  options.outbox_bytes = 1024 * 1024;
  connect(options);
  for (const std::string& number : numbers(100'000))
    client_->publish({.topic = "event", .payload = number});
  const std::uint64_t queued = client_->publisher().queued;
  EXPECT_EQ(client_->publisher().dropped + queued, 100'000u);
  Broker broker("allow_anonymous true\nmax_queued_messages 0\n", port);
  Subscriber subscriber(port);
  ASSERT_TRUE(hear(subscriber, "event", "99999"));
  const auto heard = payloads(subscriber, "event");
  EXPECT_EQ(heard.size(), queued);
  EXPECT_EQ(heard.front(), std::to_string(100'000 - queued));
}

TEST_P(ClientTest, UnixSocket) {
  test::TemporaryDirectory files;
  std::filesystem::permissions(files.path(), std::filesystem::perms{0777});
  const std::filesystem::path socket = files / "mosquitto.sock";
  BrokerConfig options = config(0);
  options.host.clear();
  options.socket = socket;
  connect(options);
  EXPECT_TRUE(fail_with("No such file or directory")) << client_->publisher().last_error;
  Broker broker("listener 0 " + socket.string() + "\nallow_anonymous true\n");
  ASSERT_TRUE(come_online()) << client_->publisher().last_error;
  EXPECT_EQ(client_->publisher().broker, "unix://" + socket.string());
  Subscriber subscriber(broker.port());
  client_->publish({.topic = "state", .payload = "1", .retain = true});
  EXPECT_TRUE(hear(subscriber, "state", "1"));
}

// What becomes of a message.

TEST_P(ClientTest, SubscriberSeesWhatMqtt5SaysOfAMessage) {
  Broker broker;
  connect(config(broker.port()));
  ASSERT_TRUE(come_online());
  Subscriber subscriber(broker.port());
  const UserProperty properties[] = {{"adapter", "ttyusb0"}, {"protocol", "mbus"}};
  client_->publish({.topic = "raw",
                    .payload = std::string_view("\x68\x00\x16", 3),
                    .qos = 1,
                    .expiry_s = 60,
                    .content_type = "application/octet-stream",
                    .properties = properties});
  ASSERT_TRUE(run_until([&] { return subscriber.payload("raw").has_value(); }, &subscriber));
  const auto& message = subscriber.messages().back();
  EXPECT_EQ(message.payload, std::string("\x68\x00\x16", 3));
  EXPECT_EQ(message.qos, 1);
  EXPECT_EQ(message.expiry_s, 60u);
  EXPECT_EQ(message.content_type, "application/octet-stream");
  const std::map<std::string, std::string> expected = {{"adapter", "ttyusb0"},
                                                       {"protocol", "mbus"}};
  EXPECT_EQ(message.properties, expected);
}

TEST_P(ClientTest, Version311PublishesWithoutProperties) {
  Broker broker;
  BrokerConfig options = config(broker.port());
  options.protocol = "3.1.1";
  options.session = 60s;
  connect(options);
  ASSERT_TRUE(come_online());
  Subscriber subscriber(broker.port());
  client_->publish({.topic = "raw",
                    .payload = "1",
                    .qos = 1,
                    .expiry_s = 60,
                    .content_type = "application/octet-stream"});
  ASSERT_TRUE(hear(subscriber, "raw", "1"));
  EXPECT_EQ(subscriber.messages().back().expiry_s, 0u);
  EXPECT_EQ(subscriber.messages().back().content_type, "");
}

TEST_P(ClientTest, StateThatExpiredIsGone) {
  Broker broker;
  connect(config(broker.port()));
  ASSERT_TRUE(come_online());
  client_->publish({.topic = "short", .payload = "1", .retain = true, .qos = 1, .expiry_s = 1});
  client_->publish({.topic = "long", .payload = "1", .retain = true, .qos = 1, .expiry_s = 600});
  EXPECT_TRUE(run_until([&] {
    const auto retained = test::retained_on(broker);
    return retained.contains("long") && !retained.contains("short");
  }));
}

TEST_P(ClientTest, RemovedTopicsAreGone) {
  Broker broker;
  connect(config(broker.port()));
  ASSERT_TRUE(come_online());
  for (const char* topic : {"m/a/state", "m/a/info", "m/b/state"})
    client_->publish({.topic = topic, .payload = "1", .retain = true});
  test::run({"mosquitto_pub", "-p", std::to_string(broker.port()), "-t", "old", "-m", "1", "-r"});
  client_->remove_below("m/a/");
  client_->remove("old");
  client_->publish({.topic = "end", .payload = "1", .retain = true, .qos = 1});
  const std::map<std::string, std::string> expected = {
      {"end", "1"}, {"m/b/state", "1"}, {"smartmeter/gateway/host/status", "online"}};
  EXPECT_TRUE(run_until([&] { return test::retained_on(broker) == expected; }));
}

TEST_P(ClientTest, OfferIsTakenWhileThereIsRoomAndAcknowledged) {
  Broker broker;
  connect(config(broker.port()));
  EXPECT_FALSE(client_->offer({.topic = "history", .payload = "0"}, 7)) << "not online";
  ASSERT_TRUE(come_online());
  ASSERT_TRUE(run_until([&] { return client_->offer({.topic = "history", .payload = "1"}, 7); }));
  EXPECT_TRUE(run_until([&] { return listener_.tickets == std::vector<std::uint64_t>{7}; }));
  Subscriber subscriber(broker.port());
  broker.send_signal(SIGSTOP);
  std::vector<std::uint64_t> expected = {7};
  for (std::uint64_t ticket = 100; ticket < 130; ++ticket)
    if (client_->offer({.topic = "history", .payload = std::to_string(ticket)}, ticket))
      expected.push_back(ticket);
  EXPECT_EQ(expected.size(), 21u);
  client_->publish({.topic = "raw", .payload = "x", .qos = 1});
  broker.send_signal(SIGCONT);
  EXPECT_TRUE(run_until([&] { return listener_.tickets.size() == expected.size(); }, &subscriber));
  EXPECT_EQ(listener_.tickets, expected);
  EXPECT_TRUE(hear(subscriber, "raw", "x"));
  EXPECT_EQ(payloads(subscriber, "history").size(), 20u);
}

// What comes in.

TEST_P(ClientTest, MessageIsAnsweredAtOnce) {
  Broker broker;
  connect(config(broker.port()));
  client_->subscribe("question/+", 1);
  listener_.answer = [&](const Message& message) {
    client_->publish({.topic = "answer", .payload = meter::text_of(message.payload)});
  };
  ASSERT_TRUE(come_online());
  Subscriber subscriber(broker.port());
  test::run({"mosquitto_pub", "-V", "5", "-p", std::to_string(broker.port()), "-t", "question/a",
             "-m", "why", "-D", "publish", "user-property", "adapter", "ttyusb0"});
  EXPECT_TRUE(hear(subscriber, "answer", "why"));
  ASSERT_EQ(listener_.heard.size(), 1u);
  EXPECT_EQ(listener_.heard[0].topic, "question/a");
  EXPECT_FALSE(listener_.heard[0].retained);
  const std::vector<std::pair<std::string, std::string>> expected = {{"adapter", "ttyusb0"}};
  EXPECT_EQ(listener_.heard[0].properties, expected);
}

TEST_P(ClientTest, OwnMessagesDoNotComeBack) {
  Broker broker;
  connect(config(broker.port()));
  client_->subscribe("own", 1);
  client_->subscribe("end", 1);
  ASSERT_TRUE(come_online());
  client_->publish({.topic = "own", .payload = "1", .qos = 1});
  test::run({"mosquitto_pub", "-p", std::to_string(broker.port()), "-t", "end", "-m", "1"});
  ASSERT_TRUE(
      run_until([&] { return !listener_.heard.empty() && listener_.heard.back().topic == "end"; }));
  EXPECT_EQ(listener_.heard.size(), 1u);
}

TEST_P(ClientTest, SharedSubscriptionSharesMessages) {
  Broker broker;
  Listener other;
  connect(config(broker.port()));
  const auto member = make(config(broker.port()), other, "member");
  client_->subscribe("$share/translators/raw/#", 1);
  member->subscribe("$share/translators/raw/#", 1);
  ASSERT_TRUE(run_until([&] { return client_->online() && member->online(); }));
  Listener none;
  const auto publisher = make(config(broker.port()), none, "publisher");
  ASSERT_TRUE(run_until([&] { return publisher->online(); }));
  for (const std::string& number : numbers(20))
    publisher->publish({.topic = "raw/a", .payload = number, .qos = 1});
  EXPECT_TRUE(run_until([&] { return listener_.heard.size() + other.heard.size() == 20; }));
  EXPECT_GT(listener_.heard.size(), 0u);
  EXPECT_GT(other.heard.size(), 0u);
}

TEST_P(ClientTest, TooLongAMessageIsDroppedAndCounted) {
  Broker broker;
  connect(config(broker.port()));
  client_->subscribe("raw/#", 1);
  ASSERT_TRUE(come_online());
  test::TemporaryDirectory files;
  for (const std::size_t size : {262144u, 262145u, 1048576u}) {
    test::write_file(files / "payload", std::string(size, 'x'));
    test::run({"mosquitto_pub", "-p", std::to_string(broker.port()), "-t", "raw/a", "-f",
               files / "payload", "-q", "1"});
  }
  test::run({"mosquitto_pub", "-p", std::to_string(broker.port()), "-t", "raw/a", "-m", "end"});
  ASSERT_TRUE(run_until(
      [&] { return !listener_.heard.empty() && listener_.heard.back().payload == "end"; }));
  ASSERT_EQ(listener_.heard.size(), 2u);
  EXPECT_EQ(listener_.heard[0].payload.size(), 256u * 1024);
  // The longest one is more than the client asked the broker for.
  EXPECT_TRUE(run_until([&] { return client_->publisher().dropped == 1; }));
  EXPECT_EQ(client_->publisher().state, PublisherState::online);
}

TEST_P(ClientTest, SessionKeepsMessagesForASource) {
  Broker broker;
  BrokerConfig options = config(broker.port());
  options.role = BrokerRole::source;
  options.session = 600s;
  for (const char* protocol : {"5", "3.1.1"}) {
    options.protocol = protocol;
    client_ = make(options, listener_, std::string("source-") + protocol);
    client_->subscribe("raw/#", 1);
    ASSERT_TRUE(come_online());
    test::run({"mosquitto_pub", "-p", std::to_string(broker.port()), "-t", "raw/a", "-m", "before",
               "-q", "1"});
    ASSERT_TRUE(run_until([&] { return !listener_.heard.empty(); }));
    client_.reset();
    listener_ = {};
    for (const std::string& number : numbers(5))
      test::run({"mosquitto_pub", "-p", std::to_string(broker.port()), "-t", "raw/a", "-m", number,
                 "-q", "1"});
    client_ = make(options, listener_, std::string("source-") + protocol);
    client_->subscribe("raw/#", 1);
    ASSERT_TRUE(run_until([&] { return listener_.heard.size() >= 5; }));
    for (int i = 0; i < 5; ++i)
      EXPECT_EQ(listener_.heard[static_cast<std::size_t>(i)].payload, std::to_string(i));
    client_.reset();
    listener_ = {};
  }
}

/// With a session the broker waits with the will, and forgets it when the client is back.
TEST_P(ClientTest, ShortReconnectMakesNoOffline) {
  Broker broker;
  Subscriber subscriber(broker.port());
  BrokerConfig options = config(broker.port());
  options.session = 600s;
  connect(options);
  ASSERT_TRUE(come_online());
  client_.reset();  // without a word
  connect(options);
  ASSERT_TRUE(come_online());
  client_->publish({.topic = "end", .payload = "1", .qos = 1});
  ASSERT_TRUE(hear(subscriber, "end", "1"));
  EXPECT_EQ(payloads(subscriber, "smartmeter/gateway/host/status"),
            (std::vector<std::string>{"online", "online"}));
  client_.reset();
  EXPECT_TRUE(hear(subscriber, "smartmeter/gateway/host/status", "offline"));
}

TEST_P(ClientTest, SourceLeavesNothingOnItsBroker) {
  Broker broker;
  Subscriber subscriber(broker.port());
  BrokerConfig options = config(broker.port());
  options.role = BrokerRole::source;
  connect(options);
  client_->subscribe("raw/#", 1);
  ASSERT_TRUE(come_online());
  client_.reset();  // without a word: a will would be published
  client_ = make(options, listener_);
  ASSERT_TRUE(come_online());
  client_->shut_down();
  test::run({"mosquitto_pub", "-p", std::to_string(broker.port()), "-t", "end", "-m", "1"});
  ASSERT_TRUE(hear(subscriber, "end", "1"));
  EXPECT_EQ(subscriber.messages().size(), 1u);
}

/// What is not read stays with the broker, and nothing of it is lost.
TEST_P(ClientTest, PausedReadingLosesNothing) {
  Broker broker("allow_anonymous true\nmax_queued_messages 0\n");
  BrokerConfig options = config(broker.port());
  options.session = 600s;
  options.role = BrokerRole::both;
  connect(options);
  client_->subscribe("raw/#", 1);
  ASSERT_TRUE(come_online());
  Listener none;
  BrokerConfig sender = config(broker.port());
  sender.outbox_bytes = 64 * 1024 * 1024;
  const auto publisher = make(sender, none, "publisher");
  ASSERT_TRUE(run_until([&] { return publisher->online(); }));
  constexpr int count = 3000;
  const std::string padding(2000, 'x');
  for (const std::string& number : numbers(count))
    publisher->publish({.topic = "raw/a", .payload = number + " " + padding, .qos = 1});
  ASSERT_TRUE(run_until([&] { return listener_.heard.size() > 10; }));
  client_->pause_reading(true);
  const std::size_t before = listener_.heard.size();
  ASSERT_LT(before, static_cast<std::size_t>(count));
  // What is published here meanwhile is acknowledged behind messages that are not delivered.
  client_->publish({.topic = "state", .payload = "1", .qos = 1});
  ASSERT_TRUE(client_->offer({.topic = "history", .payload = "1"}, 5));
  ASSERT_TRUE(run_until([&] { return publisher->publisher().queued == 0; }));
  ASSERT_TRUE(run_until([&] { return !listener_.tickets.empty(); }));
  EXPECT_EQ(listener_.heard.size(), before);
  client_->pause_reading(false);
  EXPECT_TRUE(run_until([&] { return listener_.heard.size() >= count; })) << listener_.heard.size();
  ASSERT_EQ(listener_.heard.size(), static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i)
    ASSERT_EQ(listener_.heard[static_cast<std::size_t>(i)].payload,
              std::to_string(i) + " " + padding);
  EXPECT_EQ(client_->publisher().dropped, 0u);
  EXPECT_EQ(listener_.connects, 1);
}

/// Who leaves with messages unread must not take down what was published just before.
TEST_P(ClientTest, LastWordsArriveWithMessagesUnread) {
  Broker broker;
  const std::string port = std::to_string(broker.port());
  test::run({"mosquitto_pub", "-p", port, "-r", "-t", "unread", "-m", "x"});
  Subscriber subscriber(broker.port());
  const std::string padding(100'000, 'x');
  for (int round = 0; round < 20; ++round) {
    const std::string last = padding + std::to_string(round);
    connect(config(broker.port()));
    ASSERT_TRUE(come_online());
    client_->pause_reading(true);
    client_->subscribe("unread", 0);
    for (int turn = 0; turn < 10; ++turn) loop_->run_once();
    client_->publish({.topic = "last", .payload = last});
    leave();
    ASSERT_TRUE(hear(subscriber, "last", last)) << round;
    ASSERT_TRUE(hear(subscriber, "smartmeter/gateway/host/status", "offline")) << round;
  }
}

/// More than may be in flight at once.
TEST_P(ClientTest, ShutDownPublishesWhatWaits) {
  Broker broker;
  Subscriber subscriber(broker.port());
  connect(config(broker.port()));
  ASSERT_TRUE(come_online());
  for (const std::string& number : numbers(500))
    client_->publish({.topic = "live", .payload = number, .qos = 1});
  for (const std::string& number : numbers(50))
    client_->publish({.topic = "kept/" + number, .payload = "offline", .retain = true, .qos = 1});
  EXPECT_GT(client_->publisher().queued, 0u);
  leave();
  EXPECT_TRUE(hear(subscriber, "smartmeter/gateway/host/status", "offline"));
  EXPECT_TRUE(hear(subscriber, "kept/49", "offline"));
  EXPECT_EQ(payloads(subscriber, "live"), numbers(500));
  for (const std::string& number : numbers(50))
    EXPECT_EQ(subscriber.payload("kept/" + number), "offline");
}

/// What the library has read is acknowledged: nobody sends it again.
TEST_P(ClientTest, StopReadingHandsOverWhatIsThere) {
  Broker broker;
  BrokerConfig options = config(broker.port());
  options.role = BrokerRole::source;
  options.session = 60s;
  const std::string filter = "many/+";
  const auto listen_there = [&] {
    connect(options);
    client_->subscribe(filter, 1);
    ASSERT_TRUE(come_online());
  };
  listen_there();
  client_->subscribe("end", 1);
  test::run(
      {"mosquitto_pub", "-p", std::to_string(broker.port()), "-q", "1", "-t", "end", "-m", "x"});
  ASSERT_TRUE(run_until([&] { return !listener_.heard.empty(); }));  // subscribed
  client_.reset();
  listener_.heard.clear();
  for (const std::string& number : numbers(40))
    test::run({"mosquitto_pub", "-p", std::to_string(broker.port()), "-q", "1", "-t",
               "many/" + number, "-m", number});
  listener_.answer = [&](const Message&) { client_->pause_reading(true); };
  listen_there();
  ASSERT_TRUE(run_until([&] { return !listener_.heard.empty(); }));
  client_->stop_reading();
  leave();
  listener_.answer = nullptr;
  listen_there();
  ASSERT_TRUE(run_until([&] { return listener_.heard.back().payload == "39"; }));
  std::set<std::string> heard;
  for (const auto& message : listener_.heard) heard.insert(message.payload);
  EXPECT_EQ(heard.size(), 40u);
}

INSTANTIATE_TEST_SUITE_P(Loop, ClientTest, test::both_back_ends, test::back_end_name);

}  // namespace
}  // namespace smartmeterd::mqtt
