// SPDX-License-Identifier: Apache-2.0
// ExportServer at real sockets: who gets what, and when. Its telegrams go through our own decoder.
#include "daemon/export/export_server.hpp"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>

#include <memory>
#include <string>
#include <tuple>

#include "meter/decoder.hpp"
#include "tests/daemon/io/io_fixture.hpp"

namespace smartmeterd {
namespace {

using namespace std::chrono_literals;
using io::Backend;
using testing::HasSubstr;
using testing::Not;

class ExportServerTest : public io::LoopTest {
 protected:
  void SetUp() override {
    LoopTest::SetUp();
    adapter_.name = "main";
    adapter_.table = "cellar";
    meter_ = meter_named("1KFM0200169986");
  }
  std::unique_ptr<Meter> meter_named(const char* id) {
    auto meter = std::make_unique<Meter>();
    meter->id = id;
    meter->adapter = &adapter_;
    return meter;
  }

  void start(ExportConfig config) {
    config.name = "test";
    config.host = "127.0.0.1";
    config.port = port_ = free_port();
    server_ = std::make_unique<ExportServer>(*loop, config);
    ASSERT_TRUE(server_->is_listening());
  }
  static std::uint16_t free_port() {
    const io::Fd fd(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    auto* const plain = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(fd.get(), plain, size), 0);
    EXPECT_EQ(::getsockname(fd.get(), plain, &size), 0);
    return ntohs(address.sin_port);
  }
  static sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }
  io::Fd connect() {
    io::Fd fd(::socket(AF_INET, SOCK_STREAM, 0));
    const sockaddr_in address = loopback(port_);
    const std::size_t before = server_->clients();
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    fcntl(fd.get(), F_SETFL, O_NONBLOCK);
    EXPECT_TRUE(run_until([&] { return server_->clients() > before; }));
    return fd;
  }
  /// What has arrived.
  static std::string received(const io::Fd& fd) {
    std::string all;
    char buffer[4096];
    for (ssize_t count; (count = ::recv(fd.get(), buffer, sizeof buffer, 0)) > 0;)
      all.append(buffer, static_cast<std::size_t>(count));
    return all;
  }

  void say(Meter& meter, const char* name, meter::Decimal value, meter::Unit unit) {
    for (LatestValue& known : meter.values)
      if (known.name == name) {
        known.value = value;
        known.arrived = loop->now();
        return;
      }
    meter.values.push_back(
        {.name = name, .value = value, .text = {}, .unit = unit, .arrived = loop->now()});
  }
  void say_power(Meter& meter, std::int64_t watts) {
    say(meter, "power_import", {watts, 0}, meter::Unit::watt);
  }
  void tell(const Meter& meter) {
    readings_->clear();
    server_->telegram({meter, *readings_, *named_, quantities_, {}});
  }
  void tell_raw(std::string_view frames, bool is_verified = true) {
    server_->raw_telegram({adapter_, meter::bytes_of(frames), meter::Link::p1, 0, is_verified});
  }

  io::Operation wake_{[](int) {}};
  Adapter adapter_;
  std::unique_ptr<Meter> meter_;
  std::unique_ptr<meter::ReadingSet> readings_ = std::make_unique<meter::ReadingSet>();
  std::unique_ptr<meter::NamedReadings> named_ = std::make_unique<meter::NamedReadings>();
  meter::QuantityMap quantities_;
  std::uint16_t port_ = 0;
  std::unique_ptr<ExportServer> server_;
};

INSTANTIATE_TEST_SUITE_P(, ExportServerTest, testing::Values(Backend::io_uring, Backend::epoll),
                         io::backend_text);

TEST_P(ExportServerTest, SyntheticTelegramsHaveWhatTheMeterSaidBefore) {
  start({});
  const io::Fd client = connect();
  say(*meter_, "energy_import", {1234567, -3}, meter::Unit::kilowatt_hour);
  say_power(*meter_, 545);
  tell(*meter_);
  meter::Decoder decoder({.link = meter::Link::p1}, nullptr);
  const auto read = [&](const std::string& text) {
    meter::Bytes rest = meter::bytes_of(text);
    EXPECT_EQ(decoder.next(rest).outcome, meter::Decoder::Outcome::telegram) << text;
    meter::NamedReadings& named = *named_;
    meter::harmonize(decoder.readings(), quantities_, named);
    std::string all(decoder.readings().meter_id.view());
    for (const meter::NamedReading& reading : named) {
      char digits[meter::Decimal::text_size_max];
      if (!reading.is_text && !reading.is_time && !reading.derived)
        all.append(" ").append(reading.name).append("=").append(reading.value.to_text(digits));
    }
    return all;
  };
  const std::string first = read(received(client));
  EXPECT_THAT(first, HasSubstr("1KFM0200169986"));
  EXPECT_THAT(first, HasSubstr("energy_import=1234.567"));
  EXPECT_THAT(first, HasSubstr("power_import=545"));
  say_power(*meter_, 600);  // alone in its list
  tell(*meter_);
  const std::string second = read(received(client));
  EXPECT_THAT(second, HasSubstr("energy_import=1234.567"));
  EXPECT_THAT(second, HasSubstr("power_import=600"));
}

TEST_P(ExportServerTest, ValuesThatAreTooOldAreLeftOut) {
  start({});
  const io::Fd client = connect();
  say_power(*meter_, 545);
  say(*meter_, "voltage_l1", {230, 0}, meter::Unit::volt);
  meter_->values[0].arrived -= 3h;
  tell(*meter_);
  EXPECT_THAT(received(client),
              testing::AllOf(Not(HasSubstr("1.7.0")), HasSubstr("32.7.0(230.0*V)")));
}

TEST_P(ExportServerTest, ANewClientGetsTheLatestOfAMeterThatLives) {
  start({});
  say_power(*meter_, 545);
  tell(*meter_);
  const io::Fd first = connect();
  EXPECT_THAT(received(first), HasSubstr("1-0:1.7.0(00.545*kW)"));
  meter_->fresh = false;
  const io::Fd second = connect();
  EXPECT_EQ(received(second), "");
  meter_->fresh = true;
  server_->meter_removed(*meter_);
  const io::Fd third = connect();
  EXPECT_EQ(received(third), "");
}

TEST_P(ExportServerTest, ShowsTheFirstElectricityMeterOnly) {
  start({});
  const io::Fd client = connect();
  const auto gas = meter_named("G1"), behind = meter_named("E2"), other = meter_named("E3");
  gas->medium = "gas";
  behind->parent_id = meter_->id;
  for (Meter* meter : {gas.get(), behind.get(), meter_.get(), other.get()}) {
    say_power(*meter, 1);
    tell(*meter);
  }
  const std::string all = received(client);
  EXPECT_THAT(all, HasSubstr("314B464D30323030313639393836"));  // its id in hex digits
  EXPECT_EQ(all.find("/SMD5"), all.rfind("/SMD5"));
}

/// Learning its medium or its parent, a meter goes and comes back.
TEST_P(ExportServerTest, TheFirstMeterStaysTheOneWhoseFactsChange) {
  start({});
  const io::Fd client = connect();
  const auto other = meter_named("E3");
  tell(*meter_);
  server_->meter_removed(*meter_);
  server_->meter_added(*meter_);
  (void)received(client);
  tell(*other);
  EXPECT_EQ(received(client), "");
  tell(*meter_);
  EXPECT_NE(received(client), "");
  server_->meter_removed(*meter_);
  server_->meter_added(*other);
  tell(*other);
  EXPECT_NE(received(client), "") << "it is really gone";
}

TEST_P(ExportServerTest, ShowsTheMeterOrAdapterOfTheConfiguration) {
  for (const auto& [meter, adapter, is_shown] :
       {std::tuple{"1KFM0200169986", "", true}, std::tuple{"E3", "", false},
        std::tuple{"", "main", true}, std::tuple{"", "cellar", true},
        std::tuple{"", "other", false}, std::tuple{"E3", "main", false}}) {
    for (const ExportFormat format : {ExportFormat::dsmr5, ExportFormat::received}) {
      start({.format = format, .meter = meter, .adapter = adapter});
      const io::Fd client = connect();
      say_power(*meter_, 1);
      tell(*meter_);
      tell_raw("raw");
      EXPECT_EQ(!received(client).empty(), is_shown) << meter << adapter;
    }
  }
}

TEST_P(ExportServerTest, ReceivedIsWhatWasVerified) {
  start({.format = ExportFormat::received});
  const io::Fd client = connect();
  tell(*meter_);
  tell_raw("one");
  tell_raw("no", false);
  tell(*meter_);
  tell_raw("two");
  EXPECT_EQ(received(client), "onetwo");
}

/// A telegram of one meter says nothing of the raw one that follows another's.
TEST_P(ExportServerTest, ReceivedOfOneMeter) {
  start({.format = ExportFormat::received, .meter = meter_->id});
  const io::Fd client = connect();
  const auto other = meter_named("E3"), behind = meter_named("G1");
  behind->parent_id = meter_->id;
  tell(*meter_);
  tell(*behind);
  tell_raw("mine");
  tell(*meter_);  // it came from a broker: nothing raw follows
  tell(*other);
  tell_raw("other");
  tell_raw("nobody's", true);
  EXPECT_EQ(received(client), "mine");
}

TEST_P(ExportServerTest, WhoDoesNotKeepUpIsDroppedAlone) {
  start({.format = ExportFormat::received});
  const io::Fd slow = connect(), good = connect();
  const std::string telegram(8192, 'x');
  std::size_t sent = 0, came = 0;
  while (server_->dropped() == 0 && sent < 4096 * telegram.size()) {
    tell(*meter_);
    tell_raw(telegram);
    sent += telegram.size();
    EXPECT_TRUE(run_until([&] {
      came += received(good).size();
      return came == sent;
    }));
  }
  EXPECT_EQ(server_->dropped(), 1u);
  EXPECT_EQ(server_->clients(), 1u);
  std::size_t rest = 0;
  EXPECT_TRUE(run_until([&] {  // it sees the end, once the loop has let go of the socket
    loop->timer(wake_, loop->now() + 1ms);
    rest += received(slow).size();
    char end;
    return ::recv(slow.get(), &end, 1, MSG_PEEK) == 0;
  }));
  EXPECT_LT(rest, sent);
}

TEST_P(ExportServerTest, TheAddressIsFreeAtOnce) {
  start({});
  const io::Fd client = connect();
  const ExportConfig config = server_->config();
  server_.reset();
  ExportServer again(*loop, config);
  EXPECT_TRUE(again.is_listening());
}

}  // namespace
}  // namespace smartmeterd
