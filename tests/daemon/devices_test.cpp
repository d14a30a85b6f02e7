// SPDX-License-Identifier: Apache-2.0
// The life of a port, with a kernel and a clock of the test: unplug and replug in every order of
// events, twins, ports that are held, forbidden or silent.
#include "daemon/devices.hpp"

#include <gmock/gmock.h>

#include "tests/daemon/fake_kernel.hpp"
#include "tests/daemon/p1_telegram.hpp"

namespace smartmeterd {
namespace {

using namespace std::chrono_literals;
using test::FakeKernel;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

/// What the outputs show.
class Recorder : public Sink {
 public:
  void adapter_added(const Adapter& adapter) override {
    adapters.push_back(&adapter);
    events.push_back("added " + adapter.name);
  }
  void adapter_changed(const Adapter& adapter) override {
    const std::string now = std::string(name(adapter.state)) + " " +
                            std::string(name(adapter.problem)) + " " + adapter.device;
    if (states.empty() || states.back() != now) states.push_back(now);
  }
  void adapter_removed(const Adapter& adapter) override {
    std::erase(adapters, &adapter);
    events.push_back("removed " + adapter.name);
  }
  void meter_added(const Meter& meter) override { events.push_back("meter " + meter.id); }
  void meter_removed(const Meter& meter) override { events.push_back("no meter " + meter.id); }
  void telegram(const Telegram& telegram) override {
    ++telegrams;
    last_adapter = telegram.meter.adapter;
  }
  std::vector<const Adapter*> adapters;
  std::vector<std::string> events;
  std::vector<std::string> states;
  int telegrams = 0;
  const Adapter* last_adapter = nullptr;
};

class DevicesTest : public testing::Test {
 protected:
  /// A stick that has a serial number, or none: then a second one has the same by-id link.
  struct Stick {
    std::string serial;
    int socket;
    std::string node{};     // while it is plugged in
    std::string syspath{};
  };
  static io::SerialDevice described(const Stick& stick, std::string_view kind = "p1") {
    const auto socket = std::to_string(stick.socket);
    io::SerialDevice serial;
    serial.syspath = stick.syspath;
    serial.node = stick.node;
    serial.kind = kind;
    serial.serial = stick.serial;
    const std::string place = serial.kind + "-pci-usb-0:" + socket + ":1.0-port0";
    serial.links = {"/dev/serial/by-id/usb-1a86_USB_Serial_" + stick.serial + "-if00-port0",
                    "/dev/smartmeter/by-path/" + place, "/dev/smartmeter_" + serial.kind};
    if (!stick.serial.empty())
      serial.links.push_back("/dev/smartmeter/by-id/" + serial.kind + "-FTDI_" + stick.serial);
    return serial;
  }
  /// The kernel's half: the node is there, no event yet.
  void plug(Stick& stick) {
    stick.node = kernel_.plug();
    stick.syspath = "/sys/devices/usb1/1-" + std::to_string(stick.socket) + "/" +
                    stick.node.substr(5) + "/tty/" + stick.node.substr(5);
  }
  void appear(const Stick& stick) { devices_.appeared(described(stick)); }
  void start(std::vector<AdapterConfig> configured = {}) {
    Config config;
    config.adapters = std::move(configured);
    devices_.configure(config, std::make_shared<const meter::dlms::KeyRing>());
    loop_.pass(0s);
  }
  /// True where it was read.
  bool push(const Stick& stick) {
    const int before = recorder_.telegrams;
    return kernel_.receive(stick.node, test::p1_telegram()) && recorder_.telegrams == before + 1;
  }
  const Adapter& adapter() const { return *recorder_.adapters.at(0); }

  FakeKernel kernel_;
  test::FakeLoop loop_;
  Recorder recorder_;
  MeterRegistry meters_{loop_, recorder_};
  std::unique_ptr<history::Storage> storage_ = history::Storage::open("/dev/null/none");
  Devices devices_{{.loop = loop_,
                    .sinks = recorder_,
                    .meters = meters_,
                    .storage = *storage_,
                    .make_port = test::make_fake_port}};
};

TEST_F(DevicesTest, UnplugAndReplugInAnyOrderOfEvents) {
  start();
  // What happens to a stick that is pulled and put back: read() ends, udev's remove, udev's add.
  std::vector<std::string> order = {"add", "end", "remove"};
  do {
    for (const bool is_error : {false, true}) {
      for (const auto pause : {0ms, 300ms, 5000ms}) {
        for (const bool is_early : {false, true}) {
          SCOPED_TRACE(testing::Message() << testing::PrintToString(order) << " pause "
                                          << pause.count() << (is_early ? " early" : ""));
          Stick stick{"A1", 1};
          plug(stick);
          appear(stick);
          loop_.pass(0s);
          ASSERT_TRUE(push(stick));
          const Stick before = stick;
          kernel_.unplug(before.node);
          // The kernel gives the node away once nobody holds it: the stick may come back before.
          if (is_early) plug(stick);
          bool is_back = false;
          for (const std::string& event : order) {
            if (event == "end")
              kernel_.hang_up(before.node, is_error ? "Input/output error" : "hung up");
            // udev keeps the order of events of one path in /sys.
            if (event == "remove" && (!is_back || stick.syspath != before.syspath))
              devices_.vanished(described(before));
            if (event == "add") {
              if (!is_early) plug(stick);
              appear(stick);
              is_back = true;
            }
            loop_.pass(pause);
          }
          loop_.pass(0s);
          EXPECT_TRUE(push(stick));
          EXPECT_EQ(adapter().device, stick.node);
          EXPECT_EQ(adapter().state, AdapterState::synced);
          EXPECT_THAT(kernel_.ports, SizeIs(1));
          kernel_.unplug(stick.node);
          kernel_.hang_up(stick.node);
          devices_.vanished(described(stick));
          EXPECT_FALSE(kernel_.is_held(stick.node));
          loop_.pass(1h);
        }
      }
    }
  } while (std::ranges::next_permutation(order).found);
  EXPECT_THAT(recorder_.events, ElementsAre("added p1-ftdi-a1", "meter E0044007123456789"))
      << "the same objects all the time";
  EXPECT_EQ(recorder_.last_adapter, &adapter());
}

TEST_F(DevicesTest, TheNodeIsFreeAtOnce) {
  start();
  Stick stick{"A1", 1};
  plug(stick);
  appear(stick);
  loop_.pass(0s);
  kernel_.unplug(stick.node);
  devices_.vanished(described(stick));
  EXPECT_FALSE(kernel_.is_held(stick.node));
  plug(stick);
  EXPECT_EQ(stick.node, "/dev/ttyUSB0") << "the number could be used again";
  loop_.pass(1h);
  EXPECT_FALSE(kernel_.is_held(stick.node)) << "before the event it may be another adapter";
  appear(stick);
  loop_.pass(0s);
  EXPECT_TRUE(push(stick));
}

TEST_F(DevicesTest, AnotherSocketIsTheSameAdapterWhereItHasASerialNumber) {
  start();
  Stick stick{"A1", 1};
  plug(stick);
  appear(stick);
  loop_.pass(0s);
  const Stick before = stick;
  kernel_.unplug(before.node);
  stick.socket = 2;
  plug(stick);
  EXPECT_EQ(stick.node, "/dev/ttyUSB1") << "the first one is still held";
  kernel_.hang_up(before.node);
  appear(stick);  // before the other's remove event
  devices_.vanished(described(before));
  loop_.pass(0s);
  EXPECT_TRUE(push(stick));
  EXPECT_THAT(recorder_.adapters, SizeIs(1));
}

TEST_F(DevicesTest, TwinsWithoutASerialNumberAreTwoAdapters) {
  start();
  Stick first{"", 1}, second{"", 2};
  plug(first);
  appear(first);
  plug(second);
  appear(second);
  loop_.pass(0s);
  EXPECT_THAT(recorder_.events,
              ElementsAre("added usb-1a86-usb-serial--if00-port0",
                          "added p1-pci-usb-0-2-1-0-port0"));
  // Both are pulled, and come back the other way round.
  for (Stick* stick : {&first, &second}) {
    kernel_.unplug(stick->node);
    kernel_.hang_up(stick->node);
    devices_.vanished(described(*stick));
  }
  for (Stick* stick : {&second, &first}) {
    plug(*stick);
    appear(*stick);
    loop_.pass(0s);
  }
  EXPECT_TRUE(push(first));
  EXPECT_EQ(recorder_.last_adapter->device, first.node);
  EXPECT_EQ(recorder_.last_adapter->name, "usb-1a86-usb-serial--if00-port0");
  EXPECT_TRUE(push(second));
  EXPECT_EQ(recorder_.last_adapter->name, "p1-pci-usb-0-2-1-0-port0");
  EXPECT_THAT(recorder_.events, SizeIs(3)) << "and the meter";
}

TEST_F(DevicesTest, AnotherAdapterAtTheSameNodeIsAnother) {
  start();
  Stick first{"A1", 1}, second{"B2", 1};
  plug(first);
  appear(first);
  loop_.pass(0s);
  kernel_.unplug(first.node);
  kernel_.hang_up(first.node);
  plug(second);
  ASSERT_EQ(second.node, first.node);
  appear(second);  // the remove event was lost, and udev's key is the same
  loop_.pass(1min);
  EXPECT_TRUE(push(second));
  EXPECT_EQ(recorder_.last_adapter->usb_serial, "B2");
  EXPECT_THAT(kernel_.ports, SizeIs(1)) << "nobody else waits for this node";
}

TEST_F(DevicesTest, AConfiguredLinkFollowsTheAdapter) {
  AdapterConfig config;
  config.name = "cellar";
  config.device = "/dev/smartmeter_p1";
  start({config});
  EXPECT_EQ(adapter().state, AdapterState::waiting);
  Stick stick{"A1", 1};
  for (int round = 0; round < 3; ++round) {
    plug(stick);
    kernel_.nodes[config.device] = kernel_.nodes[stick.node];
    appear(stick);
    loop_.pass(0s);
    EXPECT_TRUE(kernel_.receive(config.device, test::p1_telegram()));
    EXPECT_EQ(adapter().state, AdapterState::synced);
    EXPECT_EQ(adapter().line, "115200-8N1") << "udev says that it is a P1 port";
    kernel_.unplug(stick.node);
    kernel_.hang_up(config.device);
    if (round > 0) devices_.vanished(described(stick));
    loop_.pass(100ms);
  }
  EXPECT_THAT(recorder_.adapters, SizeIs(1));
  EXPECT_EQ(adapter().device, config.device);
}

TEST_F(DevicesTest, ADriverResetWithoutUnplug) {
  start();
  Stick stick{"A1", 1};
  plug(stick);
  appear(stick);
  loop_.pass(0s);
  ASSERT_TRUE(push(stick));
  // The driver is bound anew: the port ends, the node is there again, and udev says nothing.
  kernel_.unplug(stick.node);
  kernel_.hang_up(stick.node);
  EXPECT_EQ(adapter().state, AdapterState::waiting);
  kernel_.nodes[stick.node]->is_there = true;
  loop_.pass(1100ms);
  EXPECT_TRUE(push(stick));
}

TEST_F(DevicesTest, AChangeOfPermissionsOpensAtOnceAndDisturbsNobody) {
  start();
  Stick stick{"A1", 1};
  plug(stick);
  kernel_.nodes[stick.node]->is_refused = true;
  kernel_.nodes[stick.node]->refusal = io::PortError::no_access;
  appear(stick);
  loop_.pass(10min);
  EXPECT_EQ(adapter().problem, Problem::no_access);
  kernel_.nodes[stick.node]->is_refused = false;
  appear(stick);  // "change"
  loop_.pass(0s);
  EXPECT_EQ(adapter().state, AdapterState::probing);
  kernel_.trace.clear();
  for (int i = 0; i < 3; ++i) appear(stick);
  loop_.pass(1s);
  EXPECT_THAT(kernel_.trace, IsEmpty());
  EXPECT_TRUE(push(stick));
}

TEST_F(DevicesTest, APortThatAnotherProgramHolds) {
  start();
  Stick stick{"A1", 1};
  plug(stick);
  kernel_.nodes[stick.node]->is_refused = true;
  kernel_.nodes[stick.node]->refusal = io::PortError::busy;
  appear(stick);
  loop_.pass(10min);
  EXPECT_EQ(adapter().state, AdapterState::failed);
  EXPECT_EQ(adapter().problem, Problem::port_busy);
  kernel_.nodes[stick.node]->is_refused = false;
  loop_.pass(30s);
  EXPECT_TRUE(push(stick));
  EXPECT_EQ(adapter().problem, Problem::none);
}

TEST_F(DevicesTest, APortThatEndsEachTimeIsOpenedMoreAndMoreRarely) {
  start();
  Stick stick{"A1", 1};
  plug(stick);
  appear(stick);
  int openings = 0;
  for (int second = 0; second < 600; ++second) {
    loop_.pass(1s);
    if (!kernel_.is_held(stick.node)) continue;
    ++openings;
    kernel_.unplug(stick.node);
    kernel_.hang_up(stick.node);
    kernel_.nodes[stick.node]->is_there = true;
  }
  EXPECT_GT(openings, 5);
  EXPECT_LT(openings, 40);
}

TEST_F(DevicesTest, AWithdrawnClaimEndsItAndReloadForgetsWhatIsUnplugged) {
  start();
  Stick stick{"A1", 1};
  plug(stick);
  appear(stick);
  loop_.pass(0s);
  devices_.released(described(stick));
  EXPECT_FALSE(kernel_.is_held(stick.node));
  EXPECT_THAT(recorder_.adapters, IsEmpty());
  appear(stick);
  loop_.pass(0s);
  EXPECT_THAT(recorder_.adapters, SizeIs(1));
  start();
  EXPECT_TRUE(push(stick)) << "a reload disturbs nobody";
  kernel_.unplug(stick.node);
  kernel_.hang_up(stick.node);
  devices_.vanished(described(stick));
  EXPECT_THAT(recorder_.adapters, SizeIs(1));
  start();
  EXPECT_THAT(recorder_.adapters, IsEmpty());
}

TEST_F(DevicesTest, ClaimedAsAnotherKindItIsAnotherAdapter) {
  start();
  Stick stick{"A1", 1};
  plug(stick);
  devices_.appeared(described(stick, "mbus"));
  loop_.pass(0s);
  devices_.appeared(described(stick, "p1"));
  loop_.pass(0s);
  EXPECT_THAT(recorder_.events,
              ElementsAre("added mbus-ftdi-a1", "removed mbus-ftdi-a1", "added p1-ftdi-a1"));
  EXPECT_EQ(adapter().line, "115200-8N1");
  EXPECT_TRUE(push(stick));
}

TEST_F(DevicesTest, ATableForAPluggedAdapterTakesItOver) {
  start();
  Stick stick{"A1", 1};
  plug(stick);
  appear(stick);
  loop_.pass(0s);
  AdapterConfig config;
  config.name = "cellar";
  config.device = stick.node;
  start({config});
  EXPECT_THAT(kernel_.ports, SizeIs(1));
  EXPECT_TRUE(push(stick));
  EXPECT_EQ(adapter().table, "cellar");
  start();
  EXPECT_TRUE(push(stick));
  EXPECT_THAT(recorder_.adapters, SizeIs(1));
}

class SilenceTest : public DevicesTest {
 protected:
  void SetUp() override {
    start();
    plug(stick_);
    appear(stick_);
    loop_.pass(0s);
  }
  /// `count` telegrams, one each `interval`.
  void push_every(io::Clock::duration interval, int count) {
    for (int i = 0; i < count; ++i) {
      loop_.pass(interval);
      ASSERT_TRUE(push(stick_)) << i;
    }
  }
  std::uint64_t resets() const {
    const auto found = adapter().errors.find("reset");
    return found == adapter().errors.end() ? 0 : found->second;
  }
  bool is_silent() const { return adapter().state == AdapterState::silent; }
  Stick stick_{"A1", 1};
};

TEST_F(SilenceTest, IsMeasuredAgainstTheMetersOwnInterval) {
  // A P1 meter sends each second (DSMR 5), Kaifa's IR each 15 s, others each minute or quarter.
  const std::pair<io::Clock::duration, io::Clock::duration> cases[] = {
      {1s, 4500ms}, {5s, 17500ms}, {15s, 52500ms}, {60s, 210s}, {900s, 3150s}};
  for (const auto& [interval, limit] : cases) {
    SCOPED_TRACE(std::chrono::duration_cast<std::chrono::seconds>(interval).count());
    push_every(interval, 12);
    EXPECT_EQ(adapter().state, AdapterState::synced);
    const auto before = resets();
    loop_.pass(limit - 100ms);
    EXPECT_FALSE(is_silent());
    EXPECT_EQ(resets(), before);
    loop_.pass(200ms);
    EXPECT_TRUE(is_silent());
    EXPECT_EQ(adapter().problem, Problem::no_bytes);
    EXPECT_EQ(resets(), before + 1);
    loop_.pass(1s);
    EXPECT_TRUE(push(stick_));
    EXPECT_EQ(adapter().state, AdapterState::synced);
    EXPECT_EQ(adapter().problem, Problem::none);
  }
}

TEST_F(SilenceTest, TelegramsInPairsAreOnePush) {
  for (int i = 0; i < 5; ++i) {
    push_every(2s, 1);
    push_every(58s, 1);
  }
  loop_.pass(150s);
  EXPECT_FALSE(is_silent());
}

TEST_F(SilenceTest, AnUnplugIsNoPauseOfTheMeters) {
  push_every(5s, 2);
  for (int i = 0; i < 3; ++i) {
    kernel_.unplug(stick_.node);
    kernel_.hang_up(stick_.node);
    devices_.vanished(described(stick_));
    loop_.pass(1h);
    plug(stick_);
    appear(stick_);
    push_every(5s, 2);
  }
  loop_.pass(18s);
  EXPECT_TRUE(is_silent());
}

TEST_F(SilenceTest, ThePortIsResetMoreAndMoreRarelyAndToldOnce) {
  push_every(1s, 5);
  kernel_.trace.clear();
  recorder_.states.clear();
  loop_.pass(5s);
  EXPECT_EQ(resets(), 1u);
  loop_.pass(200ms);
  EXPECT_THAT(kernel_.trace, ElementsAre("reset /dev/ttyUSB0", "close /dev/ttyUSB0",
                                         "open /dev/ttyUSB0 115200-8N1"));
  loop_.pass(24h);
  EXPECT_GT(resets(), 20u) << "each hour in the end";
  EXPECT_LT(resets(), 40u);
  EXPECT_THAT(recorder_.states, ElementsAre("silent no-bytes /dev/ttyUSB0"));
  EXPECT_TRUE(push(stick_));
  EXPECT_EQ(adapter().state, AdapterState::synced);
}

TEST_F(SilenceTest, UnpluggedWhileItIsReset) {
  push_every(1s, 5);
  loop_.pass(5s);
  ASSERT_TRUE(is_silent());
  kernel_.unplug(stick_.node);  // in the pause
  devices_.vanished(described(stick_));
  EXPECT_EQ(adapter().state, AdapterState::waiting);
  loop_.pass(1h);
  plug(stick_);
  appear(stick_);
  loop_.pass(0s);
  EXPECT_EQ(adapter().state, AdapterState::probing);
  EXPECT_TRUE(push(stick_));
}

TEST_F(SilenceTest, WithoutAFirstByteItIsSaidAfterHalfAMinute) {
  loop_.pass(34s);
  EXPECT_FALSE(is_silent());
  loop_.pass(2s);
  EXPECT_TRUE(is_silent());
}

TEST_F(SilenceTest, OneTelegramTellsNoInterval) {
  push_every(1s, 1);
  loop_.pass(60s);
  EXPECT_FALSE(is_silent());
  EXPECT_TRUE(push(stick_));
  loop_.pass(120s);
  EXPECT_FALSE(is_silent());
}

}  // namespace
}  // namespace smartmeterd
