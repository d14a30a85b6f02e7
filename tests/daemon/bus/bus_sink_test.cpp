// SPDX-License-Identifier: Apache-2.0
// BusSink on a real bus, read by a second connection, over both back ends of the loop.
#include "daemon/bus/bus_sink.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cinttypes>
#include <cstdio>
#include <optional>

#include "bus_fixture.hpp"

namespace smartmeterd::bus::test {
namespace {

using testing::HasSubstr;

using BusSinkTest = BusFixture;

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

INSTANTIATE_TEST_SUITE_P(, BusSinkTest, both_backends, backend_name);
INSTANTIATE_TEST_SUITE_P(, BusLatencyTest, both_backends, backend_name);

}  // namespace
}  // namespace smartmeterd::bus::test
