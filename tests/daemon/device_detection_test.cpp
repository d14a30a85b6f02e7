// SPDX-License-Identifier: Apache-2.0
// A device that finds its line settings: on a wire with levels, with a kernel and a clock of the
// test.
#include <gmock/gmock.h>

#include <unistd.h>

#include <csignal>

#include "daemon/device.hpp"
#include "tests/daemon/fake_line.hpp"
#include "tests/daemon/io/io_fixture.hpp"
#include "tests/daemon/p1_telegram.hpp"

namespace smartmeterd {
namespace {

using namespace std::chrono_literals;
using test::p1_telegram;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Recorder : public Sink {
 public:
  void adapter_changed(const Adapter& adapter) override {
    const std::string now = adapter.line + " " + std::string(name(adapter.line_source));
    if (lines.empty() || lines.back() != now) lines.push_back(now);
    if (problems.empty() || problems.back() != adapter.problem) problems.push_back(adapter.problem);
  }
  void telegram(const Telegram&) override { ++telegrams; }
  void probe_progress(const Adapter&, const ProbeProgress& now) override {
    progress.push_back(now);
  }
  std::vector<std::string> lines;
  std::vector<Problem> problems;
  std::vector<ProbeProgress> progress;
  int telegrams = 0;
};

/// Keeps in memory what outlives a run.
class MemoryStorage : public history::Storage {
 public:
  std::string problem() const override { return {}; }
  std::vector<meter::dlms::ReplayBaseline> replay_baselines(std::string_view) override {
    return {};
  }
  void save_replay_baselines(std::string_view,
                             std::span<const meter::dlms::ReplayBaseline>) override {}
  std::string line_settings(std::string_view adapter) override {
    return lines[std::string(adapter)];
  }
  void save_line_settings(std::string_view adapter, std::string_view line) override {
    lines[std::string(adapter)] = line;
  }
  Backlog* backlog(std::string_view, std::size_t) override { return nullptr; }
  history::History* history() override { return nullptr; }
  std::size_t dropped() const noexcept override { return 0; }
  std::map<std::string, std::string> lines;
};

constexpr LineSettings mbus_line{2400, 8, 'E', 1}, ir_line{9600, 8, 'N', 1},
    p1_line{115200, 8, 'N', 1};

class DetectionTest : public testing::Test {
 protected:
  void start(std::string_view kind = "", AdapterConfig config = {}) {
    device_.reset();
    recorder_ = {};
    kernel_.nodes.clear();
    kernel_.plug();
    if (config.tcp.empty()) config.device = "/dev/ttyUSB0";
    config.is_found = true;
    config.name = "cellar";
    serial_.syspath = "/sys/devices/usb1";
    serial_.node = config.device;
    serial_.kind = kind;
    const DeviceEnvironment environment{.loop = loop_,
                                        .sinks = recorder_,
                                        .meters = meters_,
                                        .storage = storage_,
                                        .make_port = test::make_fake_port};
    device_ = std::make_unique<Device>(environment, config, serial_,
                                       std::make_shared<const meter::dlms::KeyRing>());
    loop_.pass(0s);
  }
  const Adapter& adapter() const { return device_->adapter(); }
  std::string source() const { return std::string(name(adapter().line_source)); }
  /// Pushes until one was read, and a little pause as the meter makes it; how many.
  int push_until_read(test::FakeLine& line, int limit = 6) {
    const int before = recorder_.telegrams;
    for (int push = 1; push <= limit; ++push) {
      loop_.pass(5s);
      line.send(p1_telegram());
      loop_.pass(1s);
      if (recorder_.telegrams > before) return push;
    }
    return limit + 1;
  }
  ProbeDone told() {
    return [this](const ProbeResult& result) { results_.push_back(result); };
  }

  test::FakeKernel kernel_;
  test::FakeLoop loop_;
  Recorder recorder_;
  MemoryStorage storage_;
  MeterRegistry meters_{loop_, recorder_};
  io::SerialDevice serial_;
  std::unique_ptr<Device> device_;
  std::vector<ProbeResult> results_;
};

TEST_F(DetectionTest, FindsTheLineWhateverIsUsual) {
  for (const std::string_view kind : {"mbus", "ir", "p1"}) {
    for (const LineSettings& line : {ir_line, p1_line}) {
      SCOPED_TRACE(std::string(kind) + " " + line.to_text());
      storage_.lines.clear();
      start(kind);
      EXPECT_EQ(source(), "default");
      test::FakeLine meter(kernel_, loop_, "/dev/ttyUSB0", line);
      EXPECT_LE(push_until_read(meter), 3);
      EXPECT_EQ(adapter().line, line.to_text());
      EXPECT_EQ(source(), "detected");
      EXPECT_EQ(adapter().protocol, "p1");
      EXPECT_EQ(storage_.lines["cellar"], line.to_text());
      EXPECT_EQ(kernel_.port_on("/dev/ttyUSB0")->line(), line);
    }
  }
}

TEST_F(DetectionTest, WhatWasProvenIsTriedFirstAtTheNextStart) {
  storage_.lines["cellar"] = "9600-8N1";
  start("mbus");
  EXPECT_EQ(adapter().line, "9600-8N1");
  EXPECT_EQ(source(), "remembered");
  test::FakeLine meter(kernel_, loop_, "/dev/ttyUSB0", ir_line);
  EXPECT_EQ(push_until_read(meter), 1);
  EXPECT_EQ(source(), "detected");
  EXPECT_THAT(recorder_.lines, Not(testing::Contains(HasSubstr("default"))));
}

/// What a capture tells of a search, and of a cable that is pulled: each in its place.
TEST_F(DetectionTest, ACaptureTellsEachLineThatIsTried) {
  std::signal(SIGPIPE, SIG_IGN);
  start("mbus");
  ASSERT_EQ(adapter().line, "2400-8E1");
  const io::Fd stream(device_->adapter().control->open_capture(CaptureFormat::timed).value_or(-1));
  std::string text;
  const auto drain = [&] {
    char buffer[4096];
    ssize_t count = 0;
    while ((count = ::read(stream.get(), buffer, sizeof buffer)) > 0)
      text.append(buffer, static_cast<std::size_t>(count));
  };
  test::FakeLine meter(kernel_, loop_, "/dev/ttyUSB0", ir_line);
  for (int push = 0; push < 6 && recorder_.telegrams == 0; ++push) {
    loop_.pass(5s);
    meter.send(p1_telegram());
    drain();
  }
  kernel_.unplug("/dev/ttyUSB0");
  device_->vanished();
  drain();
  const std::size_t first = text.find("#line 2400-8E1\n"), wrong = text.find("#error framing "),
                    right = text.find("#line 9600-8N1\n"), telegram = text.find("2F", right),
                    unplugged = text.find("#closed unplugged\n");
  EXPECT_LT(first, wrong);
  EXPECT_LT(wrong, right) << text.substr(0, 4000);
  EXPECT_LT(right, telegram);
  EXPECT_LT(telegram, unplugged);
  EXPECT_NE(unplugged, text.npos);
}

TEST_F(DetectionTest, AReplugBeginsWithWhatIsProven) {
  start("mbus");
  test::FakeLine meter(kernel_, loop_, "/dev/ttyUSB0", ir_line);
  ASSERT_LE(push_until_read(meter), 3);
  kernel_.unplug("/dev/ttyUSB0");
  device_->vanished();
  kernel_.plug();
  kernel_.trace.clear();
  io::SerialDevice serial;
  serial.syspath = "/sys/devices/usb1";
  serial.node = "/dev/ttyUSB0";
  serial.kind = "mbus";
  device_->appeared(serial);
  loop_.pass(0s);
  EXPECT_THAT(kernel_.trace, ElementsAre("open /dev/ttyUSB0 9600-8N1"));
  EXPECT_EQ(source(), "detected");
  EXPECT_EQ(push_until_read(meter), 1);
}

TEST_F(DetectionTest, AnotherMeterAtTheSamePortIsFound) {
  start("ir");
  test::FakeLine meter(kernel_, loop_, "/dev/ttyUSB0", ir_line);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(push_until_read(meter), 1);
  meter.set_line(p1_line);
  recorder_.problems.clear();
  EXPECT_LE(push_until_read(meter, 40), 30) << "it is doubted first";
  EXPECT_THAT(recorder_.problems, ElementsAre(Problem::no_frame, Problem::none));
  EXPECT_EQ(adapter().line, "115200-8N1");
  EXPECT_EQ(source(), "detected");
  EXPECT_EQ(storage_.lines["cellar"], "115200-8N1");
}

/// The wire was torn off, or the meter holds it down: the last readings are no sign of health.
TEST_F(DetectionTest, ABreakAfterGoodTelegramsIsToldAsOne) {
  for (const bool is_damaged_before : {false, true}) {
    start("p1");
    test::FakeLine meter(kernel_, loop_, "/dev/ttyUSB0", p1_line);
    ASSERT_EQ(push_until_read(meter), 1);
    if (is_damaged_before) meter.send(p1_telegram().substr(0, 100));
    for (int i = 0; i < 160; ++i) {
      loop_.pass(250ms);
      kernel_.receive("/dev/ttyUSB0", std::string(50, '\0'));
      if (i < 16) continue;
      ASSERT_EQ(adapter().problem, Problem::line_break);
      ASSERT_EQ(adapter().state, AdapterState::probing);
    }
    EXPECT_LE(push_until_read(meter), 3);
    EXPECT_EQ(adapter().problem, Problem::none);
    EXPECT_EQ(adapter().state, AdapterState::synced);
  }
}

TEST_F(DetectionTest, DamageDoesNotMakeItLeaveTheLine) {
  start("p1");
  test::FakeLine meter(kernel_, loop_, "/dev/ttyUSB0", p1_line);
  ASSERT_EQ(push_until_read(meter), 1);
  kernel_.trace.clear();
  for (int i = 0; i < 30; ++i) {
    std::string damaged = p1_telegram();
    damaged[40] ^= 0x10;
    loop_.pass(1s);
    meter.send(damaged);
    loop_.pass(1s);
    if (i % 6 == 5) meter.send(p1_telegram());
  }
  EXPECT_EQ(recorder_.telegrams, 6);
  EXPECT_THAT(kernel_.trace, Not(testing::Contains(HasSubstr("line "))));
}

/// What the kernel has kept while the service stood still is many telegrams in one chunk.
TEST_F(DetectionTest, ABurstOfGoodTelegramsDoesNotMakeItLeaveTheLine) {
  start("p1");
  test::FakeLine meter(kernel_, loop_, "/dev/ttyUSB0", p1_line);
  ASSERT_EQ(push_until_read(meter), 1);
  kernel_.trace.clear();
  recorder_.progress.clear();
  std::string burst;
  for (int i = 0; i < 60; ++i) burst += p1_telegram();
  loop_.pass(5s);
  kernel_.receive("/dev/ttyUSB0", burst);
  EXPECT_EQ(recorder_.telegrams, 61);
  EXPECT_THAT(recorder_.progress, IsEmpty()) << "nothing is looked for";
  EXPECT_THAT(kernel_.trace, Not(testing::Contains(HasSubstr("line "))));
}

/// Nothing else than a telegram can be made of these bytes, whatever is behind them.
TEST_F(DetectionTest, ATelegramWithJunkBehindItProvesTheLine) {
  const std::string with_crc = p1_telegram();
  const std::string without_crc = with_crc.substr(0, with_crc.find('!') + 1) + "\r\n";
  for (const std::string& telegram : {with_crc, without_crc}) {
    for (const std::size_t junk : {9u, 13u, 17u, 21u}) {
      for (const std::string_view kind : {"ir", "p1"}) {
        SCOPED_TRACE(std::string(kind) + " " + std::to_string(telegram.size()) + " + " +
                     std::to_string(junk));
        storage_.lines.clear();
        start(kind);
        const std::string first = adapter().line;
        loop_.pass(5s);
        kernel_.receive("/dev/ttyUSB0", telegram + std::string(junk, 'x'));
        loop_.pass(1s);
        EXPECT_EQ(recorder_.telegrams, 1);
        EXPECT_EQ(adapter().line, first);
        EXPECT_EQ(source(), "detected");
        EXPECT_EQ(adapter().protocol, "p1");
        for (const ProbeProgress& progress : recorder_.progress) EXPECT_EQ(progress.line, first);
      }
    }
  }
}

TEST_F(DetectionTest, AConfiguredLineIsNeverLeft) {
  AdapterConfig config;
  config.line = mbus_line;
  start("p1", config);
  EXPECT_EQ(source(), "configured");
  test::FakeLine meter(kernel_, loop_, "/dev/ttyUSB0", p1_line);
  kernel_.trace.clear();
  EXPECT_EQ(push_until_read(meter), 7);
  EXPECT_THAT(kernel_.trace, IsEmpty());
  EXPECT_THAT(recorder_.progress, IsEmpty());
  EXPECT_THAT(storage_.lines["cellar"], IsEmpty());
}

TEST_F(DetectionTest, ADriverThatRefusesALineIsNoEnd) {
  start("mbus");
  kernel_.nodes["/dev/ttyUSB0"]->line_refused = "9600-8N1";
  test::FakeLine meter(kernel_, loop_, "/dev/ttyUSB0", p1_line);
  EXPECT_LE(push_until_read(meter, 20), 20);
}

TEST_F(DetectionTest, ProgressIsToldAFewTimesASecond) {
  start("p1");
  test::FakeLine meter(kernel_, loop_, "/dev/ttyUSB0", ir_line);
  const auto before = loop_.now();
  ASSERT_LE(push_until_read(meter), 3);
  const double seconds = std::chrono::duration<double>(loop_.now() - before).count();
  EXPECT_GE(recorder_.progress.size(), 3u);
  EXPECT_LT(static_cast<double>(recorder_.progress.size()), 4 * seconds);
  const ProbeProgress& last = recorder_.progress.back();
  EXPECT_EQ(last.line, "9600-8N1");
  EXPECT_GT(last.frames, 0u);
  EXPECT_EQ(last.message, meter::describe(meter::LineDetector::Finding::settled));
  recorder_.progress.clear();
  EXPECT_EQ(push_until_read(meter), 1);
  EXPECT_THAT(recorder_.progress, IsEmpty()) << "nothing is looked for any more";
}

TEST_F(DetectionTest, AProbeAnswersWithLineProtocolAndMeter) {
  start("mbus");
  AdapterControl& control = *adapter().control;
  control.probe(60s, told());
  control.probe(60s, [&](const ProbeResult& result) {
    EXPECT_EQ(result.error, ProbeResult::Error::in_progress);
  });
  EXPECT_THAT(results_, IsEmpty());
  test::FakeLine meter(kernel_, loop_, "/dev/ttyUSB0", ir_line);
  ASSERT_LE(push_until_read(meter), 3);
  ASSERT_EQ(results_.size(), 1u);
  EXPECT_EQ(results_[0].error, ProbeResult::Error::none);
  EXPECT_EQ(results_[0].line, "9600-8N1");
  EXPECT_EQ(results_[0].protocol, "p1");
  EXPECT_EQ(results_[0].meter_id, "E0044007123456789");
  // Once more, on a line that is known and synced.
  control.probe(60s, told());
  EXPECT_EQ(results_.size(), 1u);
  EXPECT_EQ(push_until_read(meter), 1);
  ASSERT_EQ(results_.size(), 2u);
  EXPECT_EQ(results_[1].line, "9600-8N1");
  loop_.pass(2min);
  EXPECT_EQ(results_.size(), 2u) << "each is answered once";
}

TEST_F(DetectionTest, AProbeSaysWhyThereIsNoAnswer) {
  using Error = ProbeResult::Error;
  start("mbus");
  adapter().control->probe(10s, told());
  loop_.pass(11s);
  ASSERT_EQ(results_.size(), 1u);
  EXPECT_EQ(results_[0].error, Error::no_data);
  EXPECT_EQ(results_[0].message, "no byte arrived in 10 s");

  adapter().control->probe(10s, told());
  kernel_.receive("/dev/ttyUSB0", std::string(100, 'x'));
  loop_.pass(11s);
  ASSERT_EQ(results_.size(), 2u);
  EXPECT_EQ(results_[1].error, Error::timeout);
  EXPECT_THAT(results_[1].message, HasSubstr("100 bytes arrived in 10 s"));

  adapter().control->probe(10s, told());
  device_.reset();
  ASSERT_EQ(results_.size(), 3u);
  EXPECT_EQ(results_[2].error, Error::no_adapter);
}

TEST_F(DetectionTest, AProbeOfAPortThatIsNotOpenNeedNotWait) {
  using Error = ProbeResult::Error;
  start("mbus");
  adapter().control->probe(10s, told());
  kernel_.unplug("/dev/ttyUSB0");
  device_->vanished();
  ASSERT_EQ(results_.size(), 1u);
  EXPECT_EQ(results_[0].error, Error::no_adapter);
  EXPECT_THAT(results_[0].message, HasSubstr("plug it in"));

  adapter().control->probe(10s, told());
  ASSERT_EQ(results_.size(), 2u);
  EXPECT_EQ(results_[1].error, Error::no_adapter);

  auto& node = *kernel_.nodes["/dev/ttyUSB0"];
  node.is_there = node.is_refused = true;
  node.refusal = io::PortError::busy;
  device_->appeared(serial_);
  loop_.pass(0s);
  for (const auto& [refusal, error] :
       {std::pair(io::PortError::busy, Error::port_busy),
        std::pair(io::PortError::no_access, Error::no_access),
        std::pair(io::PortError::other, Error::no_data)}) {
    node.refusal = refusal;
    adapter().control->probe(10s, told());
    loop_.pass(0s);
    EXPECT_EQ(results_.back().error, error);
  }
  EXPECT_EQ(results_.size(), 5u);

  node.is_refused = false;  // the other program has ended: the next attempt was a while off
  adapter().control->probe(60s, told());
  test::FakeLine meter(kernel_, loop_, "/dev/ttyUSB0", ir_line);
  ASSERT_LE(push_until_read(meter), 3);
  ASSERT_EQ(results_.size(), 6u);
  EXPECT_EQ(results_[5].error, Error::none);
}

/// IEC 62056-21 6.3: request, identification, acknowledgement.
TEST_F(DetectionTest, AReaderAsksAMeterThatKeepsSilent) {
  AdapterConfig config;
  config.role = Role::reader;
  start("ir", config);
  kernel_.trace.clear();
  loop_.pass(30s);
  EXPECT_THAT(kernel_.trace, testing::IsSupersetOf({"line 300-7E1", "write /?!\r\n"}));
  kernel_.trace.clear();
  loop_.pass(20s);
  while (kernel_.trace.empty() || kernel_.trace.back() != "write /?!\r\n") loop_.pass(100ms);
  loop_.pass(500ms);
  kernel_.trace.clear();
  kernel_.receive("/dev/ttyUSB0", "/EMH5\\@01LZQJL0014F\r\n");
  EXPECT_EQ(adapter().line, "300-7E1");
  EXPECT_THAT(recorder_.lines, testing::Contains("300-7E1 detected"));
  EXPECT_EQ(source(), "asked") << "the session may go to another speed";
  EXPECT_EQ(adapter().protocol, "iec62056-21");
  EXPECT_THAT(kernel_.trace, testing::Contains("write /?!\r\n")) << "a session asks";
}

TEST_F(DetectionTest, WhoListensNeverAsks) {
  start("ir");
  loop_.pass(1h);
  EXPECT_THAT(kernel_.trace, Not(testing::Contains(HasSubstr("write"))));
  EXPECT_EQ(adapter().line, "9600-8N1");
}

TEST_F(DetectionTest, WhatHasNoLineToFindIsNotProbed) {
  AdapterConfig configured;
  configured.line = mbus_line;
  AdapterConfig asked;
  asked.link = meter::Link::iec62056_21;
  asked.role = Role::reader;
  for (const AdapterConfig& config : {configured, asked}) {
    start("ir", config);
    EXPECT_EQ(source(), config.line ? "configured" : "asked");
    adapter().control->probe(10s, told());
    ASSERT_EQ(results_.size(), 1u);
    EXPECT_EQ(results_[0].error, ProbeResult::Error::not_supported);
    results_.clear();
  }
}

}  // namespace
}  // namespace smartmeterd
