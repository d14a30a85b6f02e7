// SPDX-License-Identifier: Apache-2.0
// A device on a pty: what it does for a session, and that it keeps silent without one.
#include "daemon/device.hpp"

#include <gmock/gmock.h>

#include <deque>

#include "meter/base/hex.hpp"
#include "tests/daemon/io/io_fixture.hpp"
#include "tests/daemon/p1_telegram.hpp"
#include "tests/libmeter/dlms/ciphering.hpp"
#include "tests/libmeter/link/frames.hpp"

namespace smartmeterd {
namespace {

using namespace std::chrono_literals;
using io::Backend;
using meter::Session;
using testing::ElementsAre;
using testing::IsEmpty;

/// What a test wants done, and what it was told.
struct Script {
  Session::Action start;
  std::deque<Session::Action> timeouts;
  Session::Action answer;  // to each frame
  std::chrono::seconds interval{0};
  int starts = 0;
  std::vector<std::string> frames;
  std::vector<Session::Verdict> verdicts;
  std::vector<meter::Link> links;  // asked for
  meter::SessionOptions options;
};
Script* script = nullptr;

class ScriptedSession : public Session {
 public:
  Action on_start() noexcept override {
    ++script->starts;
    return script->start;
  }
  Action on_frame(meter::Bytes frame, Verdict verdict) noexcept override {
    script->frames.emplace_back(meter::text_of(frame));
    script->verdicts.push_back(verdict);
    return script->answer;
  }
  Action on_timeout() noexcept override {
    if (script->timeouts.empty()) return {};
    const Action action = script->timeouts.front();
    script->timeouts.pop_front();
    return action;
  }
  std::chrono::seconds interval() const noexcept override { return script->interval; }
};

std::unique_ptr<Session> make_scripted(meter::Link link, const meter::SessionOptions& options) {
  script->links.push_back(link);
  script->options = options;
  return std::make_unique<ScriptedSession>();
}

/// What is passed on.
struct RawSink : Sink {
  struct Raw {
    std::string frames;
    meter::Link link;
    bool is_verified;
    friend bool operator==(const Raw&, const Raw&) = default;
  };
  void telegram(const Telegram& telegram) override { order += "t" + telegram.meter.id; }
  void raw_telegram(const RawTelegram& telegram) override {
    order += "r";
    raw.push_back({std::string(meter::text_of(telegram.frames)), telegram.link,
                   telegram.is_verified});
  }
  std::string order;
  std::vector<Raw> raw;
};

/// EN 13757-2 6.2: a long frame whose checksum is right, with no telegram in it.
const std::string frame("\x68\x03\x03\x68\x53\xfe\xbd\x0e\x16", 9);

class DeviceTest : public io::LoopTest {
 protected:
  void SetUp() override {
    LoopTest::SetUp();
    if (IsSkipped()) return;
    script = &script_;
    meters_ = std::make_unique<MeterRegistry>(*loop, sink_);
    storage_ = history::Storage::open("/dev/null/none");
  }
  void TearDown() override {
    device_.reset();
    meters_.reset();
    script = nullptr;
  }

  void start(Role role, meter::Link link = meter::Link::mbus) {
    AdapterConfig config;
    config.device = pty_.path;
    config.role = role;
    config.link = link;
    config.interval = 900s;
    config.addresses = {"1", "2"};
    config.line = line_;
    const DeviceEnvironment environment{*loop,     sink_, *meters_,
                                        *storage_, false, make_scripted};
    device_ = std::make_unique<Device>(environment, config, std::nullopt, keys_);
    ASSERT_TRUE(run_until([&] { return device_->adapter().state == AdapterState::probing; }));
  }
  /// What the device wrote so far.
  const std::string& written() {
    char buffer[256];
    ssize_t count;
    while ((count = ::read(pty_.master.get(), buffer, sizeof buffer)) > 0)
      written_.append(buffer, static_cast<std::size_t>(count));
    return written_;
  }
  static meter::Bytes bytes(std::string_view text) { return meter::bytes_of(text); }

  std::optional<LineSettings> line_;
  std::shared_ptr<const meter::dlms::KeyRing> keys_;
  Script script_;
  RawSink sink_;
  io::Pty pty_;
  std::unique_ptr<MeterRegistry> meters_;
  std::unique_ptr<history::Storage> storage_;
  std::unique_ptr<Device> device_;
  std::string written_;
};

/// Everything that can be read now.
std::string drain(const io::Fd& fd) {
  char buffer[4096];
  const ssize_t count = ::read(fd.get(), buffer, sizeof buffer);
  return {buffer, count > 0 ? static_cast<std::size_t>(count) : 0};
}

INSTANTIATE_TEST_SUITE_P(, DeviceTest, testing::Values(Backend::io_uring, Backend::epoll),
                         io::backend_text);

TEST_P(DeviceTest, CarriesOutWhatASessionWants) {
  script_.interval = 900s;
  script_.start = {.write = bytes("ask"), .line = meter::LineFormat{1200, 7, 'O'},
                   .wake_after = 1ms};
  script_.timeouts = {{.write = bytes(" again"), .wake_after = 1ms}, {.write = bytes(" third")}};
  script_.answer = {.write = bytes(" thanks")};
  start(Role::reader);
  EXPECT_TRUE(run_until([&] { return written() == "ask again third"; }));
  EXPECT_EQ(script_.starts, 1);
  EXPECT_EQ(device_->adapter().line, "1200-7O1");
  termios now{};
  tcgetattr(pty_.slave.get(), &now);
  EXPECT_TRUE(now.c_cflag & PARODD);
  send(pty_.master, frame);
  EXPECT_TRUE(run_until([&] { return written() == "ask again third thanks"; }));
  EXPECT_THAT(script_.frames, ElementsAre(frame));
  EXPECT_THAT(script_.verdicts, ElementsAre(Session::Verdict::rejected));
  EXPECT_EQ(script_.options.interval, 900s);
  EXPECT_THAT(script_.options.addresses, ElementsAre("1", "2"));
  EXPECT_EQ(script_.options.line, (meter::LineFormat{2400, 8, 'E'}));
  EXPECT_EQ(device_->adapter().readout_interval, 900s);
}

TEST_P(DeviceTest, AnEchoIsNeitherAnAnswerNorAnError) {
  script_.start = {.write = bytes(frame)};
  start(Role::master);
  ASSERT_TRUE(run_until([&] { return written() == frame; }));
  send(pty_.master, frame.substr(0, 4));
  settle(5ms);
  send(pty_.master, frame.substr(4));
  settle(5ms);
  EXPECT_THAT(script_.frames, IsEmpty());
  EXPECT_EQ(device_->adapter().last_activity_us, 0);
  send(pty_.master, frame);  // the same again is an answer
  EXPECT_TRUE(run_until([&] { return script_.frames.size() == 1; }));
  send(pty_.master, "x" + frame);
  EXPECT_TRUE(run_until([&] { return script_.frames.size() == 2; }));
}

TEST_P(DeviceTest, ACaptureHoldsEveryByteAsItCame) {
  script_.start = {.write = bytes(frame)};
  start(Role::master);
  ASSERT_TRUE(run_until([&] { return written() == frame; }));
  ASSERT_NE(device_->adapter().control, nullptr);
  const io::Fd stream(device_->adapter().control->open_capture(CaptureFormat::raw).value_or(-1));
  ASSERT_GE(stream.get(), 0);
  std::string captured;
  const std::string noise(40'000, '\x55');  // more than the ring holds
  const std::string sent = frame + frame.substr(0, 4) + noise + frame;  // an echo first
  for (std::size_t at = 0; at < sent.size(); at += 1000) {
    send(pty_.master, std::string_view(sent).substr(at, 1000));
    ASSERT_TRUE(run_until([&] {  // a pseudo terminal holds little
      captured += drain(stream);
      return captured.size() >= std::min(sent.size(), at + 1000);
    }));
  }
  EXPECT_EQ(captured, sent);
  device_->vanished();  // unplugged: the capture waits with the adapter
  EXPECT_EQ(poll_now(stream), 0);
  device_.reset();
  EXPECT_EQ(poll_now(stream), POLLHUP);
}

TEST_P(DeviceTest, WhoListensNeverWritesAByte) {
  script_.start = {.write = bytes("ask"), .wake_after = 1ms};
  script_.timeouts = {{.write = bytes(" again")}};
  script_.answer = {.write = bytes("thanks")};
  for (const meter::Link link : {meter::Link::mbus, meter::Link::mbus_master, meter::Link::amis,
                                 meter::Link::iec62056_21}) {
    device_.reset();
    start(Role::listen, link);
    send(pty_.master, frame + "/?!\r\n" + frame);
    settle(20ms);
  }
  EXPECT_EQ(written(), "");
  EXPECT_THAT(script_.links, IsEmpty());
}

TEST_P(DeviceTest, PassesOnWhatItRead) {
  const std::string telegram = test::p1_telegram();
  std::string damaged = telegram;
  damaged[30] ^= 1;
  line_ = LineSettings{115200, 8, 'N', 1};
  start(Role::listen, meter::Link::p1);
  send(pty_.master, telegram + damaged + telegram);
  ASSERT_TRUE(run_until([&] { return sink_.raw.size() == 2; }));
  const RawSink::Raw whole{telegram, meter::Link::p1, true};
  EXPECT_THAT(sink_.raw, ElementsAre(whole, whole));
  EXPECT_EQ(sink_.order, "tE0044007123456789rtE0044007123456789r");
}

/// DLMS/COSEM Green Book 9.2.7.2.4: DB, system title, length, security control 30, counter,
/// ciphertext, tag; what it says needs a key.
std::string locked() {
  constexpr std::string_view content(
      "\x53\xff\x10\x01\x67\xdb\x08KFM\x10\x00\x00\x00\x01\x15\x30\x00\x00\x00\x01"
      "ciphertext tag..",
      37);
  return std::string(meter::text_of(meter::test::mbus_frame(meter::bytes_of(content))));
}

TEST_P(DeviceTest, PassesOnWhatItHasNoKeyForAsUnverified) {
  line_ = LineSettings{2400, 8, 'E', 1};
  start(Role::listen);
  send(pty_.master, locked());
  ASSERT_TRUE(run_until([&] { return !sink_.raw.empty(); }));
  EXPECT_THAT(sink_.raw, ElementsAre(RawSink::Raw{locked(), meter::Link::mbus, false}));
  EXPECT_EQ(sink_.order, "r");
}

/// A tag that is right, around a list that nobody knows.
TEST_P(DeviceTest, PassesOnNoReplayAndNoRepetition) {
  using namespace meter::test;
  const Octets key = from_hex("000102030405060708090A0B0C0D0E0F");
  const Octets authentication_key = from_hex("D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF");
  std::vector<meter::dlms::KeyEntry> entries;
  entries.push_back({"*", *meter::dlms::EncryptionKey::from_octets(key), {}, {}});
  entries[0].authentication.push_back(
      *meter::dlms::AuthenticationKey::from_octets(authentication_key));
  keys_ = std::make_shared<const meter::dlms::KeyRing>(std::move(entries));
  const auto telegram = [&](std::uint32_t counter) {
    const Octets title = from_hex("4B464D1000000001");
    const Octets apdu = general_glo(
        title, protected_content(0x30, counter, title, key, authentication_key,
                                 from_hex("0F 00000001 00 02 01 06 000001F4")));
    return std::string(
        meter::text_of(mbus_frame(concatenated({from_hex("53 FF 10 01 67"), apdu}))));
  };
  line_ = LineSettings{2400, 8, 'E', 1};
  start(Role::listen);
  send(pty_.master, telegram(5) + telegram(4) + telegram(5) + telegram(6));
  ASSERT_TRUE(run_until([&] { return sink_.raw.size() == 2; }));
  settle();
  EXPECT_THAT(sink_.raw, ElementsAre(RawSink::Raw{telegram(5), meter::Link::mbus, false},
                                     RawSink::Raw{telegram(6), meter::Link::mbus, false}));
  EXPECT_EQ(device_->adapter().errors.find("replay")->second, 1u);
}

TEST_P(DeviceTest, ASessionBeginsAnewWithThePort) {
  script_.start = {.write = bytes("ask"), .wake_after = 1h};
  start(Role::reader);
  ASSERT_TRUE(run_until([&] { return written() == "ask"; }));
  device_->vanished();
  io::SerialDevice serial;
  serial.node = pty_.path;
  device_->appeared(serial);
  EXPECT_TRUE(run_until([&] { return written() == "askask"; }));
  EXPECT_EQ(script_.starts, 2);
}

}  // namespace
}  // namespace smartmeterd
