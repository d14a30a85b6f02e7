// SPDX-License-Identifier: Apache-2.0
// BusSink on a real bus, read by a second connection, over both back ends of the loop.
#include "daemon/bus/bus_sink.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <future>
#include <map>
#include <optional>
#include <system_error>

#include "daemon/capture.hpp"
#include "private_bus.hpp"
#include "server.hpp"

namespace smartmeterd::bus::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string root = "/org/smartmeterd1";
const std::string meter_path = "/org/smartmeterd1/meter/_31KFM0200169986";
const std::string gas_path = "/org/smartmeterd1/meter/G_2d1";
const std::string adapter_path = "/org/smartmeterd1/adapter/usb_2dm_2dbus";
const std::string broker_path = "/org/smartmeterd1/broker/home";
const std::string manager = "org.smartmeterd1.Manager";
const std::string meter_interface = "org.smartmeterd1.Meter";
const std::string adapter_interface = "org.smartmeterd1.Adapter";
const std::string electricity = "org.smartmeterd1.Electricity";
const std::string properties = "org.freedesktop.DBus.Properties";
const std::string object_manager = "org.freedesktop.DBus.ObjectManager";

class BusSinkTest : public testing::TestWithParam<io::Backend> {
 protected:
  void SetUp() override {
    try {
      io::Loop::make(GetParam());
    } catch (const std::system_error& error) {
      GTEST_SKIP() << "the kernel refuses io_uring: " << error.what();
    }
    options_.address = bus_.address();
    options_.version = "1.2.3";
    options_.features = {"epoll", "udev"};
    options_.reload = [this] { return reload_answer_; };
    options_.counters = [] {
      return std::map<std::string, std::uint64_t, std::less<>>{{"history-rows", 7}};
    };
  }

  /// Bus, service with the world in it, and a client that hears its signals.
  void start_all() {
    bus_.start();
    start_server();
    connect();
  }
  void start_server() {
    server_.emplace(GetParam(), options_);
    server_->run([this](Sink& sink) { world_.add_to(sink); });
  }
  void connect() {
    client_.emplace(bus_.address());
    ASSERT_TRUE(client_->wait_for_service());
    client_->listen();
  }
  void telegram(Meter& meter, std::vector<World::Value> values) {
    server_->run([&](Sink& sink) { World::telegram(sink, meter, std::move(values)); });
  }
  bool wait_for_signals(std::size_t count) {
    return client_->wait_until([&] { return client_->signals.size() >= count; });
  }
  std::string get(const std::string& path, const std::string& interface,
                  const std::string& property) {
    return client_->get(path, interface, property);
  }

  World world_;
  std::string reload_answer_;
  PrivateBus bus_;
  BusOptions options_;
  std::optional<Server> server_;
  std::optional<Client> client_;
};

TEST_P(BusSinkTest, ShowsEveryPropertyOfAnAdapter) {
  start_all();
  auto adapter = [&](const char* property) {
    return get(adapter_path, adapter_interface, property);
  };
  EXPECT_EQ(adapter("Device"), "<s /dev/ttyUSB0>");
  EXPECT_EQ(adapter("Links"), "<as [/dev/smartmeter_mbus /dev/serial/by-id/usb-m-bus]>");
  EXPECT_EQ(adapter("Kind"), "<s mbus>");
  EXPECT_EQ(adapter("UsbId"), "<s 0403:6001>");
  EXPECT_EQ(adapter("Serial"), "<s A1>");
  EXPECT_EQ(adapter("State"), "<s synced>");
  EXPECT_EQ(adapter("Problem"), "<s none>");
  EXPECT_EQ(adapter("LineSettings"), "<s 2400-8E1>");
  EXPECT_EQ(adapter("Protocol"), "<s mbus>");
  EXPECT_EQ(adapter("BytesReceived"), "<t 376>");
  EXPECT_EQ(adapter("TelegramsReceived"), "<t 1>");
  EXPECT_EQ(adapter("Errors"), "<a{st} {crc: 2}>");
  EXPECT_EQ(adapter("LastActivity"), "<t 1700000000000000>");
}

TEST_P(BusSinkTest, ShowsEveryPropertyOfAMeterAfterATelegram) {
  start_all();
  server_->run([&](Sink& sink) {
    world_.electricity.interval_s = 5;
    world_.electricity.meter_time = "2021-09-27T09:47:15";
    world_.electricity.registers = {
        {*meter::Obis::parse("1-0:1.8.0"), {12937, 0}, meter::Unit::watt_hour, false, ""},
        {*meter::Obis::parse("1-0:32.7.0"), {2337, -1}, meter::Unit::volt, false, ""},
        {*meter::Obis::parse("0-0:96.1.0"), {}, meter::Unit::none, true, "181220000009"}};
    World::telegram(sink, world_.electricity,
                    {{"energy_import", {12937, -3}, ""}, {"meter_serial", {}, "181220000009"}});
  });
  auto shown = [&](const char* property) { return get(meter_path, meter_interface, property); };
  EXPECT_EQ(shown("Id"), "<s 1KFM0200169986>");
  EXPECT_EQ(shown("Name"), "<s Zähler>");
  EXPECT_EQ(shown("Medium"), "<s electricity>");
  EXPECT_EQ(shown("Manufacturer"), "<s KFM>");
  EXPECT_EQ(shown("Model"), "<s MA309>");
  EXPECT_EQ(shown("Adapter"), "<o " + adapter_path + ">");
  EXPECT_EQ(shown("Parent"), "<o />");
  EXPECT_EQ(shown("Encrypted"), "<b true>");
  EXPECT_EQ(shown("KeyState"), "<s ok>");
  EXPECT_EQ(shown("Interval"), "<d 5>");
  EXPECT_EQ(shown("LastUpdate"), "<t 5000000>");
  EXPECT_EQ(shown("Registers"), "<a{s(xns)} {1-0:1.8.0: (12937 0 Wh) 1-0:32.7.0: (2337 -1 V)}>");
  EXPECT_EQ(shown("Texts"), "<a{ss} {0-0:96.1.0: 181220000009}>");
  EXPECT_EQ(shown("Readings"),
            "<a{sv} {energy_import: <d 12.937> meter_serial: <s 181220000009>}>");
  EXPECT_EQ(shown("MeterTime"), "<s 2021-09-27T09:47:15>");
  EXPECT_EQ(shown("Authenticated"), "<s yes>");
  EXPECT_EQ(shown("Link"), "<s mbus>");
}

TEST_P(BusSinkTest, ShowsTypedValuesAndWhatIsAbsent) {
  start_all();
  auto shown = [&](const char* property) { return get(meter_path, electricity, property); };
  EXPECT_EQ(shown("PowerImport"), "<d nan>");
  EXPECT_EQ(shown("Voltage"), "<ad []>");
  EXPECT_EQ(shown("EnergyImportTariffs"), "<ad []>");
  EXPECT_EQ(shown("Tariff"), "<u 0>");

  telegram(world_.electricity, {{"power_import", {545, 0}, ""},
                                {"power_export", {0, 0}, ""},
                                {"reactive_power_import", {12, 0}, ""},
                                {"reactive_power_export", {13, 0}, ""},
                                {"energy_import", {12937, -3}, ""},
                                {"energy_export", {1, -3}, ""},
                                {"reactive_energy_import", {2, -3}, ""},
                                {"reactive_energy_export", {3, -3}, ""},
                                {"energy_import_t1", {1, 0}, ""},
                                {"energy_import_t2", {2, 0}, ""},
                                {"energy_export_t2", {4, 0}, ""},
                                {"tariff", {}, "0002"},
                                {"voltage_l1", {2337, -1}, ""},
                                {"current_l1", {2, 0}, ""},
                                {"current_l3", {31, -1}, ""},
                                {"power_factor", {99, -2}, ""},
                                {"frequency", {4999, -2}, ""}});
  EXPECT_EQ(shown("PowerImport"), "<d 545>");
  EXPECT_EQ(shown("PowerExport"), "<d 0>");
  EXPECT_EQ(shown("ReactivePowerImport"), "<d 12>");
  EXPECT_EQ(shown("ReactivePowerExport"), "<d 13>");
  EXPECT_EQ(shown("EnergyImport"), "<d 12.937>");
  EXPECT_EQ(shown("EnergyExport"), "<d 0.001>");
  EXPECT_EQ(shown("ReactiveEnergyImport"), "<d 0.002>");
  EXPECT_EQ(shown("ReactiveEnergyExport"), "<d 0.003>");
  EXPECT_EQ(shown("EnergyImportTariffs"), "<ad [1 2]>");
  EXPECT_EQ(shown("EnergyExportTariffs"), "<ad [nan 4]>");
  EXPECT_EQ(shown("Tariff"), "<u 2>");
  EXPECT_EQ(shown("Voltage"), "<ad [233.7 nan nan]>");
  EXPECT_EQ(shown("Current"), "<ad [2 nan 3.1]>");
  EXPECT_EQ(shown("PowerFactor"), "<d 0.99>");
  EXPECT_EQ(shown("Frequency"), "<d 49.99>");
}

TEST_P(BusSinkTest, ShowsAGasMeterWithItsParentAndVolume) {
  start_all();
  const std::string volume = "org.smartmeterd1.Volume";
  EXPECT_EQ(get(gas_path, volume, "Volume"), "<d nan>");
  EXPECT_EQ(get(gas_path, volume, "CaptureTime"), "<t 0>");
  // 2021-02-04T15:36:28Z by date(1).
  telegram(world_.gas,
           {{"volume", {1234567, -3}, ""}, {"capture_time", {}, "2021-02-04T16:36:28+01:00"}});
  EXPECT_EQ(get(gas_path, volume, "Volume"), "<d 1234.567>");
  EXPECT_EQ(get(gas_path, volume, "Energy"), "<d nan>");
  EXPECT_EQ(get(gas_path, volume, "CaptureTime"), "<t 1612452988000000>");
  EXPECT_EQ(get(gas_path, meter_interface, "Parent"), "<o " + meter_path + ">");
  EXPECT_THAT(get(gas_path, electricity, "PowerImport"), HasSubstr("error"));
}

TEST_P(BusSinkTest, SendsOneReadingAndThenOneChangePerInterface) {
  start_all();
  telegram(world_.electricity, {{"power_import", {545, 0}, ""},
                                {"voltage_l1", {2337, -1}, ""},
                                {"meter_serial", {}, "181220000009"}});
  telegram(world_.electricity, {{"power_import", {546, 0}, ""}, {"voltage_l1", {2337, -1}, ""}});
  ASSERT_TRUE(wait_for_signals(6));
  // A round trip: whatever would come after them has come now.
  get(root, manager, "Version");
  const std::vector<Signal>& s = client_->signals;
  ASSERT_EQ(s.size(), 6u);
  for (const Signal& signal : s) EXPECT_EQ(signal.path, meter_path);
  EXPECT_EQ(s[0].interface + "." + s[0].member, "org.smartmeterd1.Meter.Reading");
  EXPECT_EQ(s[0].content,
            "5000000 1 {power_import: <d 545> voltage_l1: <d 233.7> "
            "meter_serial: <s 181220000009>}");
  EXPECT_EQ(s[1].interface + "." + s[1].member, properties + ".PropertiesChanged");
  EXPECT_EQ(s[1].content, electricity + " {PowerImport: <d 545> Voltage: <ad [233.7 nan nan]>} []");
  EXPECT_EQ(s[2].content,
            meter_interface + " {LastUpdate: <t 5000000>} [Registers Texts Readings]");
  EXPECT_EQ(s[3].content, "10000000 2 {power_import: <d 546> voltage_l1: <d 233.7>}");
  EXPECT_EQ(s[4].content, electricity + " {PowerImport: <d 546>} []");
  EXPECT_EQ(s[5].content,
            meter_interface + " {LastUpdate: <t 10000000>} [Registers Texts Readings]");
}

TEST_P(BusSinkTest, SignalsWhatChangedAndNoCounters) {
  start_all();
  server_->run([&](Sink& sink) {
    world_.adapter.bytes_received = 1000;
    sink.adapter_changed(world_.adapter);  // a counter alone: no signal
    world_.adapter.state = AdapterState::silent;
    world_.adapter.problem = Problem::line_break;
    sink.adapter_changed(world_.adapter);
    world_.electricity.key_state = KeyState::wrong;
    world_.electricity.interval_s = 10;
    sink.meter_changed(world_.electricity);
    world_.broker.state = PublisherState::waiting;
    world_.broker.last_error = "connection refused";
    world_.broker.queued = 7;
    sink.publisher_changed(world_.broker);
    sink.telegram_rejected(world_.adapter, {meter::Errc::bad_checksum, 12}, 3);
  });
  ASSERT_TRUE(wait_for_signals(4));
  const std::vector<Signal>& s = client_->signals;
  ASSERT_EQ(s.size(), 4u);
  EXPECT_EQ(s[0].path, adapter_path);
  EXPECT_EQ(s[0].content, adapter_interface + " {State: <s silent> Problem: <s break>} []");
  EXPECT_EQ(s[1].path, meter_path);
  EXPECT_EQ(s[1].content, meter_interface + " {KeyState: <s wrong> Interval: <d 10>} []");
  EXPECT_EQ(s[2].path, broker_path);
  EXPECT_EQ(s[2].content,
            "org.smartmeterd1.Publisher {State: <s waiting> LastError: <s connection refused>} []");
  EXPECT_EQ(s[3].interface + "." + s[3].member, adapter_interface + ".TelegramRejected");
  EXPECT_THAT(s[3].content, HasSubstr("bad-checksum {message: <s "));
  EXPECT_THAT(s[3].content, HasSubstr("offset: <u 12> count: <t 3>}"));
  EXPECT_EQ(get(broker_path, "org.smartmeterd1.Publisher", "Queued"), "<t 7>");
}

TEST_P(BusSinkTest, AddsAndRemovesObjects) {
  start_all();
  Meter water;
  water.id = "W1";
  water.medium = "water";
  server_->run([&](Sink& sink) {
    sink.meter_added(water);
    sink.meter_removed(water);
  });
  ASSERT_TRUE(wait_for_signals(2));
  const std::vector<Signal>& s = client_->signals;
  EXPECT_EQ(s[0].path, root);
  EXPECT_EQ(s[0].interface + "." + s[0].member, object_manager + ".InterfacesAdded");
  EXPECT_THAT(s[0].content, HasSubstr("/org/smartmeterd1/meter/W1 {"));
  EXPECT_THAT(s[0].content, HasSubstr("org.smartmeterd1.Meter: {Id: <s W1>"));
  EXPECT_THAT(s[0].content, HasSubstr("org.smartmeterd1.Volume: {Volume: <d nan>"));
  EXPECT_EQ(s[1].interface + "." + s[1].member, object_manager + ".InterfacesRemoved");
  EXPECT_THAT(s[1].content, HasSubstr("org.smartmeterd1.Meter"));
  EXPECT_THAT(s[1].content, HasSubstr("org.smartmeterd1.Volume"));

  const std::string all = client_->call(root, object_manager, "GetManagedObjects");
  for (const std::string& path : {meter_path, gas_path, adapter_path, broker_path})
    EXPECT_THAT(all, HasSubstr(path + ": {"));
  EXPECT_THAT(all, Not(HasSubstr("meter/W1")));
}

TEST_P(BusSinkTest, AnswersTheManager) {
  start_all();
  EXPECT_EQ(get(root, manager, "Version"), "<s 1.2.3>");
  EXPECT_EQ(get(root, manager, "Features"), "<as [epoll udev]>");
  EXPECT_EQ(client_->call(root, manager, "GetMeter", {"1KFM0200169986"}), meter_path);
  EXPECT_EQ(client_->call(root, manager, "GetMeter", {"nobody"}),
            "error org.smartmeterd1.Error.NoSuchMeter: there is no meter with the id \"nobody\": "
            "ids are case-sensitive, and GetManagedObjects lists every meter");
  EXPECT_EQ(client_->call(root, manager, "Reload"), "");
  server_->run([&](Sink&) { reload_answer_ = "smartmeterd.toml:3:1: unknown key 'colour'"; });
  EXPECT_EQ(client_->call(root, manager, "Reload"),
            "error org.smartmeterd1.Error.InvalidConfiguration: "
            "smartmeterd.toml:3:1: unknown key 'colour'");
}

TEST_P(BusSinkTest, SaysWhatIsNotSupportedYet) {
  start_all();
  const std::string refused = "error org.freedesktop.DBus.Error.NotSupported: ";
  EXPECT_EQ(client_->call_with_options(meter_path, meter_interface, "History", 2).find(refused),
            0u);
}

/// An adapter that gives each client a pipe of its own, until they are too many.
class CapturedAdapter final : public AdapterControl {
 public:
  void probe(std::chrono::milliseconds timeout, ProbeDone done) override {
    probe_timeout = timeout;
    probe_done = std::move(done);
  }
  std::expected<int, int> open_capture(CaptureFormat format) override {
    return captures_.open(format);
  }
  void receive(std::string_view text) { captures_.write(meter::bytes_of(text)); }

  std::chrono::milliseconds probe_timeout{};
  ProbeDone probe_done;

 private:
  Adapter adapter_;
  std::unique_ptr<io::Loop> loop_ = io::Loop::make(io::Backend::epoll);
  Captures captures_{adapter_, *loop_};
};

TEST_P(BusSinkTest, GivesTheStreamOfACapture) {
  CapturedAdapter control;
  world_.adapter.control = &control;
  start_all();
  std::vector<Message> answers;  // each owns its stream
  auto open = [&] {
    sd_bus_message* answer = nullptr;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    const int r = sd_bus_call_method(client_->bus(), bus_name, adapter_path.c_str(),
                                     adapter_interface.c_str(), "OpenCapture", &error, &answer,
                                     "a{sv}", 0);
    answers.emplace_back(answer);
    const std::string name = error.name ? error.name : "";
    sd_bus_error_free(&error);
    int stream = -1;
    if (r >= 0) sd_bus_message_read(answer, "h", &stream);
    return std::pair(stream, name);
  };
  const int stream = open().first;
  ASSERT_GE(stream, 0);
  server_->run([&](Sink&) { control.receive("\x68\xfa"); });
  char octets[16];
  ASSERT_EQ(::read(stream, octets, sizeof octets), 2);
  EXPECT_EQ(std::string_view(octets, 2), "\x68\xfa");
  while (answers.size() < Captures::captures_max) EXPECT_GE(open().first, 0);
  EXPECT_EQ(open().second, "org.smartmeterd1.Error.LimitReached");
  answers.erase(answers.begin());  // the first one leaves
  EXPECT_GE(open().first, 0);
}

TEST_P(BusSinkTest, ACaptureComesAsBytesOrAsText) {
  std::signal(SIGPIPE, SIG_IGN);
  CapturedAdapter control;
  world_.adapter.control = &control;
  start_all();
  const auto open = [&](const char* format) {
    sd_bus_message* answer = nullptr;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    sd_bus_call_method(client_->bus(), bus_name, adapter_path.c_str(), adapter_interface.c_str(),
                       "OpenCapture", &error, &answer, "a{sv}", 1, "format", "s", format);
    const Message owned(answer);
    std::string text = error.name ? error.name : "";
    sd_bus_error_free(&error);
    int stream = -1;
    if (!answer || sd_bus_message_read(answer, "h", &stream) < 0) return text;
    server_->run([&](Sink&) { control.receive("\x68\xfa"); });
    text.resize(4096);
    const ssize_t size = ::read(stream, text.data(), text.size());
    text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return text;
  };
  EXPECT_EQ(open("raw"), "\x68\xfa");
  const std::string text = open("capture");
  EXPECT_EQ(text.find("#smartmeter-capture 1\n"), 0u) << text;
  EXPECT_NE(text.find("\n68FA\n"), std::string::npos) << text;
  EXPECT_EQ(open("pcap"), "org.smartmeterd1.Error.InvalidOption");
}

/// Calls Probe with a time-out and something that no version knows; null where that failed.
Message probe(Client& client, unsigned timeout_ms, std::string& failure) {
  sd_bus_message* answer = nullptr;
  sd_bus_error error = SD_BUS_ERROR_NULL;
  sd_bus_call_method(client.bus(), bus_name, adapter_path.c_str(), adapter_interface.c_str(),
                     "Probe", &error, &answer, "a{sv}", 2, "colour", "(sb)", "blue", 1,
                     "timeout-ms", "u", timeout_ms);
  failure = error.name ? std::string(error.name) + ": " + error.message : "";
  sd_bus_error_free(&error);
  return Message(answer);
}

TEST_P(BusSinkTest, AProbeIsAnsweredWhenItIsOver) {
  CapturedAdapter control;
  world_.adapter.control = &control;
  start_all();
  using Error = ProbeResult::Error;
  const std::pair<ProbeResult, std::string> cases[] = {
      {{.line = "2400-8E1", .protocol = "mbus", .meter_id = "1KFM0200169986"},
       "{line-settings: <s 2400-8E1> protocol: <s mbus> meter: <o " + meter_path + ">}"},
      {{.line = "9600-7E1"}, "{line-settings: <s 9600-7E1> protocol: <s> meter: <o />}"},
      {{.error = Error::timeout, .message = "no frame"},
       "org.smartmeterd1.Error.Timeout: no frame"},
      {{.error = Error::no_data, .message = "no byte"}, "org.smartmeterd1.Error.NoData: no byte"},
      {{.error = Error::in_progress, .message = "already"},
       "org.smartmeterd1.Error.InProgress: already"},
      {{.error = Error::not_supported, .message = "configured"},
       "org.freedesktop.DBus.Error.NotSupported: configured"}};
  for (const auto& [result, expected] : cases) {
    std::string failure;
    auto call = std::async(std::launch::async, [&] {
      const Message answer = probe(*client_, 1234, failure);
      return failure.empty() && answer ? text_of(answer.get()) : failure;
    });
    bool is_asked = false;
    while (!is_asked) server_->run([&](Sink&) { is_asked = control.probe_done != nullptr; });
    EXPECT_EQ(control.probe_timeout, std::chrono::milliseconds(1234));
    server_->run([&](Sink&) { std::exchange(control.probe_done, nullptr)(result); });
    EXPECT_EQ(call.get(), expected);
  }
}

TEST_P(BusSinkTest, AnAnswerThatNobodyWaitsForIsNoHarm) {
  CapturedAdapter control;
  world_.adapter.control = &control;
  start_all();
  const auto ask = [&](Client& client) {
    sd_bus_message* call = nullptr;
    sd_bus_message_new_method_call(client.bus(), &call, bus_name, adapter_path.c_str(),
                                   adapter_interface.c_str(), "Probe");
    const Message owned(call);
    sd_bus_message_append(call, "a{sv}", 0);
    sd_bus_send(client.bus(), call, nullptr);
    sd_bus_flush(client.bus());
    bool is_asked = false;
    while (!is_asked) server_->run([&](Sink&) { is_asked = control.probe_done != nullptr; });
  };
  const auto answer = [&] {
    server_->run([&](Sink&) { std::exchange(control.probe_done, nullptr)({.line = "300-7E1"}); });
  };
  {
    Client other(bus_.address());
    ask(other);
    EXPECT_EQ(control.probe_timeout, std::chrono::minutes(1)) << "unless the client says so";
  }
  answer();  // the client has gone
  ask(*client_);
  client_.reset();
  bus_.kill();
  answer();  // so has the bus
  bus_.start();
  connect();
  EXPECT_EQ(get(meter_path, meter_interface, "Id"), "<s 1KFM0200169986>");
}

TEST_P(BusSinkTest, SignalsHowASearchGoes) {
  start_all();
  server_->run([&](Sink& sink) {
    sink.probe_progress(world_.adapter, {.line = "9600-8N1",
                                         .bytes = 100,
                                         .frames = 1,
                                         .frame_starts = 2,
                                         .errors = 3,
                                         .message = "a frame has begun"});
    world_.adapter.line = "9600-8N1";
    world_.adapter.line_source = LineSource::detected;
    world_.adapter.device = "/dev/ttyUSB1";
    sink.adapter_changed(world_.adapter);
  });
  ASSERT_TRUE(wait_for_signals(2));
  EXPECT_EQ(client_->signals[0].path, adapter_path);
  EXPECT_EQ(client_->signals[0].interface + "." + client_->signals[0].member,
            adapter_interface + ".ProbeProgress");
  EXPECT_EQ(client_->signals[0].content,
            "{line-settings: <s 9600-8N1> bytes: <t 100> frames: <t 1> frame-starts: <t 2> "
            "errors: <t 3> message: <s a frame has begun>}");
  EXPECT_EQ(client_->signals[1].content,
            adapter_interface + " {Device: <s /dev/ttyUSB1> LineSettings: <s 9600-8N1> "
                                "LineSource: <s detected>} []");
}

TEST_P(BusSinkTest, AnAdapterWithoutAPortHasNoCapture) {
  start_all();
  EXPECT_EQ(client_->call_with_options(adapter_path, adapter_interface, "Probe"),
            "error org.freedesktop.DBus.Error.NotSupported: this adapter cannot be probed");
  EXPECT_EQ(client_->call_with_options(adapter_path, adapter_interface, "OpenCapture"),
            "error org.freedesktop.DBus.Error.NotSupported: this adapter has no port: record its "
            "messages at their broker, with mosquitto_sub");
}

TEST_P(BusSinkTest, TextThatIsNotUtf8DoesNotCostTheConnection) {
  start_all();
  telegram(world_.electricity, {{"text_message", {}, "a\xff\xc3(b"}});
  ASSERT_TRUE(wait_for_signals(1));
  EXPECT_EQ(client_->signals[0].content,
            "5000000 1 {text_message: <s a\xef\xbf\xbd\xef\xbf\xbd(b>}");
}

TEST_P(BusSinkTest, ObjectsComeBackWithTheBus) {
  start_server();  // no bus yet
  bus_.start();
  connect();
  EXPECT_EQ(get(meter_path, meter_interface, "Id"), "<s 1KFM0200169986>");

  client_.reset();
  bus_.kill();
  telegram(world_.electricity, {{"power_import", {1, 0}, ""}});
  server_->run([&](Sink& sink) { sink.meter_removed(world_.gas); });
  bus_.start();
  connect();
  EXPECT_EQ(get(meter_path, electricity, "PowerImport"), "<d 1>");
  const std::string all = client_->call(root, object_manager, "GetManagedObjects");
  for (const std::string& path : {meter_path, adapter_path, broker_path})
    EXPECT_THAT(all, HasSubstr(path));
  EXPECT_THAT(all, Not(HasSubstr(gas_path)));
  telegram(world_.electricity, {{"power_import", {2, 0}, ""}});
  ASSERT_TRUE(wait_for_signals(1));
  EXPECT_EQ(client_->signals[0].member, "Reading");
}

TEST_P(BusSinkTest, WaitsForANameThatAnotherHas) {
  bus_.start();
  {
    Client other(bus_.address());
    ASSERT_GE(sd_bus_request_name(other.bus(), bus_name, 0), 0);
    start_server();
    // Nothing may be heard from a service that has no name.
    other.listen();
    telegram(world_.electricity, {{"power_import", {1, 0}, ""}});
    server_->iterations();
    EXPECT_TRUE(other.signals.empty());
  }
  connect();
  EXPECT_EQ(get(meter_path, electricity, "PowerImport"), "<d 1>");
}

TEST_P(BusSinkTest, ABusThatTakesNothingCostsReadingsNotMemory) {
  start_all();
  constexpr int telegrams = 6000;
  bus_.freeze();
  for (int i = 1; i <= telegrams; ++i) telegram(world_.electricity, {{"power_import", {i, 0}, ""}});
  telegram(world_.electricity, {{"frequency", {50, 0}, ""}});  // held back with the others
  bus_.thaw();
  // The queue drains, and the next telegram brings every change that was held back.
  std::size_t readings = 0, seen = 0;
  bool frequency_came = false;
  EXPECT_TRUE(client_->wait_until([&] {
    telegram(world_.electricity, {{"tariff", {1, 0}, ""}});
    for (; seen < client_->signals.size(); ++seen) {
      const Signal& signal = client_->signals[seen];
      readings += signal.member == "Reading";
      frequency_came |= signal.content.find("Frequency: <d 50>") != std::string::npos;
    }
    return frequency_came;
  }));
  EXPECT_LT(readings, world_.electricity.sequence);
  EXPECT_EQ(get(meter_path, electricity, "PowerImport"), "<d 6000>");
  std::uint64_t counted = 0;
  EXPECT_EQ(sscanf(get(root, manager, "Counters").c_str(),
                   "<a{st} {history-rows: 7 readings-not-signalled: %" SCNu64, &counted),
            1);
  EXPECT_GT(counted, 0u);
  EXPECT_LT(counted, world_.electricity.sequence);
}

class BusLatencyTest : public BusSinkTest {
 protected:
  /// How many telegrams of this adapter's were measured, after one with this last byte.
  std::uint64_t send(std::optional<io::TimePoint> last_byte) {
    const std::string text(1000, 'x');
    server_->run([&](Sink& sink) {
      World::telegram(sink, world_.electricity, {{"meter_serial", {}, text}}, last_byte);
    });
    return measured();
  }
  std::uint64_t measured() {
    std::uint64_t count = 0;
    server_->run([&](Sink&) { count = world_.latencies.signalled.count(); });
    return count;
  }
  /// Sends to a bus that takes nothing until its socket is full; how many were sent.
  std::uint64_t send_until_one_waits() {
    const std::uint64_t before = measured();
    bus_.freeze();
    std::uint64_t sent = 0;
    while (sent < 20'000)
      if (send(io::Clock::now()) < before + ++sent) return sent;
    ADD_FAILURE() << "the socket is never full";
    return sent;
  }
};

TEST_P(BusLatencyTest, MeasuresUntilTheReadingSignalIsInTheSocket) {
  start_all();
  EXPECT_EQ(send(std::nullopt), 0u);  // of a source
  for (std::uint64_t i = 1; i <= 3; ++i)
    EXPECT_EQ(send(io::Clock::now() - std::chrono::seconds(2)), i);
  const std::string shown = get(adapter_path, adapter_interface, "Latencies");
  std::uint64_t count = 0;
  double min = 0, median = 0, p99 = 0, max = 0;
  EXPECT_EQ(sscanf(shown.c_str(),
                   "<a{s(tdddd)} {decoded: (0 0 0 0 0) signalled: (%" SCNu64 " %lf %lf %lf %lf)}",
                   &count, &min, &median, &p99, &max),
            5)
      << shown;
  EXPECT_EQ(count, 3u);
  EXPECT_GE(min, 2);
  EXPECT_LE(min, median);
  EXPECT_LE(median, p99);
  EXPECT_LE(p99, max);
  const std::uint64_t sent = send_until_one_waits();
  bus_.thaw();
  EXPECT_TRUE(client_->wait_until([&] { return measured() == 3 + sent; }));
}

TEST_P(BusLatencyTest, AnAdapterThatGoesIsNotMeasuredAnyMore) {
  start_all();
  send_until_one_waits();
  const std::uint64_t before = measured();
  server_->run([&](Sink& sink) { sink.adapter_removed(world_.adapter); });
  bus_.thaw();
  EXPECT_TRUE(client_->wait_until([&] {
    return std::ranges::any_of(client_->signals, [](const Signal& signal) {
      return signal.member == "InterfacesRemoved";
    });
  }));
  EXPECT_EQ(measured(), before);
}

TEST_P(BusSinkTest, NobodyIsWokenWhileNothingHappens) {
  start_all();
  get(root, manager, "Version");
  const std::uint64_t before = server_->iterations();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  // Asking takes a turn itself, and another one may already wait for what a cancelled request says.
  EXPECT_LE(server_->iterations(), before + 3);
}

const auto back_ends = testing::Values(io::Backend::io_uring, io::Backend::epoll);
std::string name_of(const testing::TestParamInfo<io::Backend>& backend) {
  return backend.param == io::Backend::epoll ? "epoll" : "io_uring";
}
INSTANTIATE_TEST_SUITE_P(, BusSinkTest, back_ends, name_of);
INSTANTIATE_TEST_SUITE_P(, BusLatencyTest, back_ends, name_of);

}  // namespace
}  // namespace smartmeterd::bus::test
