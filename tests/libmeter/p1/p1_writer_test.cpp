// SPDX-License-Identifier: Apache-2.0
// Synthetic DSMR 5 telegrams: held against the example of the P1 companion standard, and read back
// by the decoder with the values of every simulated family.
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "meter/decoder.hpp"
#include "meter/p1/p1_writer.hpp"
#include "meter/quantity.hpp"
#include "tests/libmeter/link/frames.hpp"
#include "tools/metersim/meter.hpp"

namespace meter::p1 {
namespace {

Decimal decimal(std::string_view text) {
  return Decimal::parse(text).value();
}

/// 2010-12-09 11:30:20 in the Netherlands, the time of the standard's example.
DateTime winter() {
  DateTime time = DateTime::from_epoch(1291890620, -60);
  time.status = 0x00;
  return time;
}
DateTime summer() {
  DateTime time = DateTime::from_epoch(1589284449, -120);  // 2020-05-12 13:54:09
  time.status = 0x80;
  return time;
}

std::string written(const P1Content& content) {
  std::string out = "what was there before";
  write_telegram(content, out);
  return out;
}
std::string written(const std::vector<P1Value>& values) {
  return written({.meter_id = "K8EG004046395507", .time = winter(), .values = values});
}
std::string written(const P1SubMeter& sub_meter) {
  return written({.time = winter(), .sub_meters = {&sub_meter, 1}});
}

std::vector<std::string> lines_of(std::string_view telegram) {
  std::vector<std::string> lines;
  while (!telegram.empty()) {
    const auto end = telegram.find("\r\n");
    EXPECT_NE(end, telegram.npos) << "every line ends with CR LF";
    if (end == telegram.npos) break;
    lines.emplace_back(telegram.substr(0, end));
    telegram.remove_prefix(end + 2);
  }
  return lines;
}
/// The values of a line, "" where there is no such line: "(0002)".
std::string line_of(std::string_view telegram, std::string_view code) {
  for (const std::string& line : lines_of(telegram))
    if (line.starts_with(std::string(code) + "(")) return line.substr(code.size());
  return "";
}

/// What the decoder makes of it; the telegram stays where its texts point.
struct Read {
  explicit Read(std::string telegram) : text(std::move(telegram)) {
    auto rest = bytes_of(text);
    for (;;) {
      const auto step = decoder.next(rest);
      rest = rest.subspan(step.consumed);
      EXPECT_NE(step.outcome, Decoder::Outcome::rejected) << name(step.fault.code) << '\n' << text;
      if (step.outcome == Decoder::Outcome::telegram) break;
      if (step.outcome != Decoder::Outcome::need_more) continue;
      ADD_FAILURE() << "no telegram: " << text;
      break;
    }
    harmonize(set(), map, readings);
  }
  const ReadingSet& set() const { return decoder.readings(); }
  std::map<std::string, Decimal> values() const {
    std::map<std::string, Decimal> found;
    for (const NamedReading& reading : readings)
      if (!reading.is_text && !reading.is_time && !reading.derived)
        found.emplace(reading.name, reading.value);
    return found;
  }
  std::string text;
  QuantityMap map;
  NamedReadings readings;
  Decoder decoder{{.link = Link::p1, .standard_offset_min = 60}, nullptr};
};

// ---- the standard ------------------------------------------------------------------------------

/// P1 companion standard 5.0.2, 6.13, the representation of a telegram, but for its failure log,
/// its text message and its identification.
constexpr std::string_view standard_example =
    "1-3:0.2.8(50)\r\n"
    "0-0:1.0.0(101209113020W)\r\n"
    "0-0:96.1.1(4B384547303034303436333935353037)\r\n"
    "1-0:1.8.1(123456.789*kWh)\r\n"
    "1-0:1.8.2(123456.789*kWh)\r\n"
    "1-0:2.8.1(123456.789*kWh)\r\n"
    "1-0:2.8.2(123456.789*kWh)\r\n"
    "0-0:96.14.0(0002)\r\n"
    "1-0:1.7.0(01.193*kW)\r\n"
    "1-0:2.7.0(00.000*kW)\r\n"
    "0-0:96.7.21(00004)\r\n"
    "0-0:96.7.9(00002)\r\n"
    "1-0:32.32.0(00002)\r\n"
    "1-0:52.32.0(00001)\r\n"
    "1-0:72.32.0(00000)\r\n"
    "1-0:32.36.0(00000)\r\n"
    "1-0:52.36.0(00003)\r\n"
    "1-0:72.36.0(00000)\r\n"
    "1-0:32.7.0(220.1*V)\r\n"
    "1-0:52.7.0(220.2*V)\r\n"
    "1-0:72.7.0(220.3*V)\r\n"
    "1-0:31.7.0(001*A)\r\n"
    "1-0:51.7.0(002*A)\r\n"
    "1-0:71.7.0(003*A)\r\n"
    "1-0:21.7.0(01.111*kW)\r\n"
    "1-0:41.7.0(02.222*kW)\r\n"
    "1-0:61.7.0(03.333*kW)\r\n"
    "1-0:22.7.0(04.444*kW)\r\n"
    "1-0:42.7.0(05.555*kW)\r\n"
    "1-0:62.7.0(06.666*kW)\r\n"
    "0-1:24.1.0(003)\r\n"
    "0-1:96.1.0(3232323241424344313233343536373839)\r\n"
    "0-1:24.2.1(101209112500W)(12785.123*m3)\r\n";

std::string example() {
  const std::vector<P1Value> values = {
      {"energy_import_t1", decimal("123456.789")},
      {"energy_import_t2", decimal("123456.789")},
      {"energy_export_t1", decimal("123456.789")},
      {"energy_export_t2", decimal("123456.789")},
      {"tariff", decimal("2")},
      {"power_import", decimal("1193")},
      {"power_export", decimal("0")},
      {"power_failures", decimal("4")},
      {"power_failures_long", decimal("2")},
      {"voltage_sags_l1", decimal("2")},
      {"voltage_sags_l2", decimal("1")},
      {"voltage_sags_l3", decimal("0")},
      {"voltage_swells_l1", decimal("0")},
      {"voltage_swells_l2", decimal("3")},
      {"voltage_swells_l3", decimal("0")},
      {"voltage_l1", decimal("220.1")},
      {"voltage_l2", decimal("220.2")},
      {"voltage_l3", decimal("220.3")},
      {"current_l1", decimal("1")},
      {"current_l2", decimal("2")},
      {"current_l3", decimal("3")},
      {"power_import_l1", decimal("1111")},
      {"power_import_l2", decimal("2222")},
      {"power_import_l3", decimal("3333")},
      {"power_export_l1", decimal("4444")},
      {"power_export_l2", decimal("5555")},
      {"power_export_l3", decimal("6666")},
  };
  const std::vector<P1Value> gas = {{"volume", decimal("12785.123")}};
  const P1SubMeter sub_meter{.channel = 1,
                             .medium = Medium::gas,
                             .id = "2222ABCD123456789",
                             .capture_time = DateTime::from_p1("101209112500W"),
                             .values = gas};
  return written({.meter_id = "K8EG004046395507",
                  .time = winter(),
                  .values = values,
                  .sub_meters = {&sub_meter, 1}});
}

TEST(P1Writer, TheStandardsExampleLineByLine) {
  const std::string telegram = example();
  const auto body = telegram.find("1-3:");
  ASSERT_NE(body, telegram.npos);
  EXPECT_EQ(telegram.substr(0, body), "/SMD5\\2smartmeterd\r\n\r\n");
  EXPECT_EQ(telegram.substr(body, telegram.find('!') - body), standard_example);
}

TEST(P1Writer, TheChecksumIsThatOfAnotherImplementation) {
  const std::string telegram = example();
  const auto end = telegram.find('!') + 1;
  const unsigned crc = test::slow_crc_arc(bytes_of(std::string_view(telegram).substr(0, end)));
  char digits[16];
  std::snprintf(digits, sizeof digits, "%04X\r\n", crc);
  EXPECT_EQ(telegram.substr(end), digits);
}

TEST(P1Writer, TheDecoderReadsTheExample) {
  const Read read(example());
  EXPECT_EQ(read.set().profile, "dsmr-5");
  EXPECT_EQ(read.set().meter_id.view(), "K8EG004046395507");
  char text[DateTime::text_size_max];
  EXPECT_EQ(read.set().time->to_text(text), "2010-12-09T11:30:20+01:00");
  ASSERT_EQ(read.set().sub_meters.size(), 1u);
  EXPECT_EQ(read.set().sub_meters[0].id.view(), "2222ABCD123456789");
  EXPECT_EQ(read.set().sub_meters[0].medium, Medium::gas);
}

TEST(P1Writer, NothingIsAllocatedOnceTheTextHasGrown) {
  std::string out;
  const std::vector<P1Value> values = {{"energy_import", decimal("1.5")}};
  const P1Content content{.meter_id = "1", .time = winter(), .values = values};
  write_telegram(content, out);
  const std::string first = out;
  const char* const place = out.data();
  write_telegram(content, out);
  EXPECT_EQ(out, first);
  EXPECT_EQ(out.data(), place);
}

// ---- every family ------------------------------------------------------------------------------

/// What a synthetic telegram carries of a simulated meter.
const std::set<std::string_view> carried = {"energy_import",
                                            "energy_import_t1",
                                            "energy_import_t2",
                                            "energy_export",
                                            "energy_export_t1",
                                            "energy_export_t2",
                                            "reactive_energy_import",
                                            "reactive_energy_export",
                                            "tariff",
                                            "power_import",
                                            "power_import_l1",
                                            "power_import_l2",
                                            "power_import_l3",
                                            "power_export",
                                            "power_export_l1",
                                            "power_export_l2",
                                            "power_export_l3",
                                            "reactive_power_import",
                                            "reactive_power_export",
                                            "voltage_l1",
                                            "voltage_l2",
                                            "voltage_l3",
                                            "current_l1",
                                            "current_l2",
                                            "current_l3",
                                            "power_failures",
                                            "power_failures_long",
                                            "voltage_sags_l1",
                                            "voltage_sags_l2",
                                            "voltage_sags_l3",
                                            "voltage_swells_l1",
                                            "voltage_swells_l2",
                                            "voltage_swells_l3"};

class Families : public testing::TestWithParam<std::size_t> {};

TEST_P(Families, AreReadBackWithTheValuesThatTheySent) {
  metersim::MeterOptions options;
  options.start.epoch_s = 1795172405;
  metersim::Meter meter(metersim::families()[GetParam()], options);
  for (int i = 0; i < 30; ++i) {
    const metersim::Telegram sent = meter.next();
    std::vector<P1Value> values;
    std::map<std::string, Decimal> expected;
    for (const auto& [name, value] : sent.readings) {
      values.push_back({name, decimal(value)});
      if (carried.contains(name)) expected.emplace(name, values.back().value);
    }
    const bool has_tariffs =
        expected.contains("energy_import_t1") || expected.contains("energy_export_t1");
    for (const std::string total : {"energy_import", "energy_export"})
      if (expected.contains(total) && !expected.contains(total + "_t1")) {
        expected[total + "_t1"] = expected[total];
        expected[total + "_t2"] = {};
      }
    if (!has_tariffs && (expected.contains("energy_import") || expected.contains("energy_export")))
      expected["tariff"] = {1, 0};
    DateTime time = DateTime::from_epoch(options.start.epoch_s + 5 * i, -60);
    time.status = 0x00;
    const Read read(written({.meter_id = sent.meter, .time = time, .values = values}));
    if (!sent.meter.empty()) {
      EXPECT_EQ(read.set().meter_id.view(), sent.meter);
    }
    EXPECT_EQ(read.set().time->to_epoch_us(), (options.start.epoch_s + 5 * i) * 1'000'000);
    auto found = read.values();
    for (const std::string phase : {"", "_l1", "_l2", "_l3"}) {
      const std::string net = phase.empty() ? "power_net" : "power" + phase;
      const std::string imported = "power_import" + phase, exported = "power_export" + phase;
      const auto value = std::ranges::find(values, net, &P1Value::name);
      if (value == values.end() || expected.contains(imported)) continue;
      const auto difference = Decimal::subtract(found.at(imported), found.at(exported));
      EXPECT_EQ(Decimal::compare(difference.value(), value->value), 0);
      EXPECT_TRUE(found[imported].mantissa == 0 || found[exported].mantissa == 0);
      found.erase(imported);
      found.erase(exported);
    }
    for (const auto& [name, value] : expected) {
      ASSERT_TRUE(found.contains(name)) << name << '\n' << read.text;
      EXPECT_EQ(Decimal::compare(found[name], value), 0) << name << '\n' << read.text;
      found.erase(name);
    }
    for (const auto& [name, value] : found) ADD_FAILURE() << name << " was never sent";
  }
}

/// Those that measure electricity; others have no line of their own in DSMR.
std::vector<std::size_t> electricity_families() {
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < metersim::families().size(); ++i) {
    metersim::MeterOptions options;
    options.start.epoch_s = 1795172405;
    const metersim::Telegram sent = metersim::Meter(metersim::families()[i], options).next();
    if (std::ranges::any_of(sent.readings, [](auto& said) { return carried.contains(said.name); }))
      indices.push_back(i);
  }
  return indices;
}
INSTANTIATE_TEST_SUITE_P(All, Families, testing::ValuesIn(electricity_families()),
                         [](const testing::TestParamInfo<std::size_t>& instance) {
                           std::string name(metersim::families()[instance.param].name);
                           std::ranges::replace_if(
                               name, [](char c) { return c == '-' || c == '.'; }, '_');
                           return name;
                         });

TEST(P1WriterFamilies, AreMostOfThem) {
  EXPECT_GE(electricity_families().size() + 5, metersim::families().size())
      << "mbus families alone measure something else";
}

// ---- meters that are no DSMR meters ------------------------------------------------------------

TEST(P1Writer, WithoutTariffsAllEnergyIsInTariffOne) {
  const std::string telegram =
      written({{"energy_import", decimal("12048.950")}, {"energy_export", decimal("7.1")}});
  EXPECT_EQ(line_of(telegram, "1-0:1.8.0"), "(012048.950*kWh)");
  EXPECT_EQ(line_of(telegram, "1-0:1.8.1"), "(012048.950*kWh)");
  EXPECT_EQ(line_of(telegram, "1-0:1.8.2"), "(000000.000*kWh)");
  EXPECT_EQ(line_of(telegram, "1-0:2.8.1"), "(000007.100*kWh)");
  EXPECT_EQ(line_of(telegram, "1-0:2.8.2"), "(000000.000*kWh)");
  EXPECT_EQ(line_of(telegram, "0-0:96.14.0"), "(0001)");
}

TEST(P1Writer, TariffsAreWrittenAsTheyWereSent) {
  const std::string telegram = written({{"energy_import", decimal("30")},
                                        {"energy_import_t1", decimal("10")},
                                        {"energy_import_t2", decimal("15")},
                                        {"energy_import_t3", decimal("5")},
                                        {"tariff", decimal("3")}});
  EXPECT_EQ(line_of(telegram, "1-0:1.8.0"), "(000030.000*kWh)");
  EXPECT_EQ(line_of(telegram, "1-0:1.8.1"), "(000010.000*kWh)");
  EXPECT_EQ(line_of(telegram, "1-0:1.8.2"), "(000015.000*kWh)");
  EXPECT_EQ(line_of(telegram, "1-0:1.8.3"), "(000005.000*kWh)");
  EXPECT_EQ(line_of(telegram, "1-0:1.8.4"), "");
  EXPECT_EQ(line_of(telegram, "0-0:96.14.0"), "(0003)");
  const std::string without_indicator =
      written({{"energy_import_t1", decimal("10")}, {"energy_import_t2", decimal("15")}});
  EXPECT_EQ(line_of(without_indicator, "0-0:96.14.0"), "") << "nobody said which";
}

TEST(P1Writer, WhatTheMeterDoesNotSendIsNotThere) {
  const std::vector<std::string> lines = lines_of(written({{"power_import", decimal("5")}}));
  ASSERT_EQ(lines.size(), 7u);
  EXPECT_EQ(lines[5], "1-0:1.7.0(00.005*kW)");
  EXPECT_TRUE(lines[6].starts_with("!"));
}

TEST(P1Writer, OneSignedPowerIsSplit) {
  std::string telegram = written({{"power_net", decimal("-1234")},
                                  {"power_l1", decimal("-1500")},
                                  {"power_l2", decimal("266")}});
  EXPECT_EQ(line_of(telegram, "1-0:1.7.0"), "(00.000*kW)");
  EXPECT_EQ(line_of(telegram, "1-0:2.7.0"), "(01.234*kW)");
  EXPECT_EQ(line_of(telegram, "1-0:21.7.0"), "(00.000*kW)");
  EXPECT_EQ(line_of(telegram, "1-0:22.7.0"), "(01.500*kW)");
  EXPECT_EQ(line_of(telegram, "1-0:41.7.0"), "(00.266*kW)");
  EXPECT_EQ(line_of(telegram, "1-0:42.7.0"), "(00.000*kW)");
  telegram = written({{"power_import", decimal("-20")}});
  EXPECT_EQ(line_of(telegram, "1-0:1.7.0"), "(00.000*kW)");
  EXPECT_EQ(line_of(telegram, "1-0:2.7.0"), "(00.020*kW)");
  telegram = written({{"power_import", decimal("500")},
                      {"power_export", decimal("0")},
                      {"power_net", decimal("500")}});
  EXPECT_EQ(line_of(telegram, "1-0:1.7.0"), "(00.500*kW)");
  EXPECT_EQ(line_of(telegram, "1-0:2.7.0"), "(00.000*kW)");
}

TEST(P1Writer, AFieldGrowsAndNeverRollsOver) {
  const std::string telegram = written({{"energy_import", decimal("12345678.9")},
                                        {"energy_export", decimal("123456789")},
                                        {"power_import", decimal("1234567")},
                                        {"voltage_l1", decimal("11547.0")}});
  EXPECT_EQ(line_of(telegram, "1-0:1.8.0"), "(12345678.900*kWh)");
  EXPECT_EQ(line_of(telegram, "1-0:2.8.0"), "") << "more digits than any reader of P1 knows";
  EXPECT_EQ(line_of(telegram, "1-0:1.7.0"), "(1234.567*kW)");
  EXPECT_EQ(line_of(telegram, "1-0:32.7.0"), "(11547.0*V)");
}

TEST(P1Writer, WhatAFieldCannotSayIsLeftOut) {
  const std::string telegram =
      written({{"energy_import", decimal("-1")},
               {"voltage_l1", {1, 30}},
               {"tariff", decimal("12")},
               {"power_import", {std::numeric_limits<std::int64_t>::min(), 0}},
               {"current_l1", {std::numeric_limits<std::int64_t>::min(), 0}}});
  for (const std::string_view code : {"1-0:1.8.0", "1-0:1.8.1", "1-0:1.8.2", "1-0:32.7.0",
                                      "1-0:1.7.0", "1-0:2.7.0", "1-0:31.7.0"})
    EXPECT_EQ(line_of(telegram, code), "") << code;
  (void)Read(telegram);
}

TEST(P1Writer, DigitsBeyondAFieldAreRoundedHalfToEven) {
  for (const auto& [sent, expected] :
       std::map<std::string, std::string>{{"1.0005", "(000001.000*kWh)"},
                                          {"1.0015", "(000001.002*kWh)"},
                                          {"1.00050001", "(000001.001*kWh)"},
                                          {"1.00049999", "(000001.000*kWh)"},
                                          {"0.0000000001", "(000000.000*kWh)"},
                                          {"999999.9996", "(1000000.000*kWh)"}})
    EXPECT_EQ(line_of(written({{"energy_import", decimal(sent)}}), "1-0:1.8.0"), expected) << sent;
}

TEST(P1Writer, CurrentsKeepTheirDecimalsAndLoseTheirSign) {
  const std::string telegram = written({{"current_l1", decimal("2.50")},
                                        {"current_l2", decimal("-16")},
                                        {"current_l3", decimal("0.12345")}});
  EXPECT_EQ(line_of(telegram, "1-0:31.7.0"), "(002.50*A)");
  EXPECT_EQ(line_of(telegram, "1-0:51.7.0"), "(016*A)");
  EXPECT_EQ(line_of(telegram, "1-0:71.7.0"), "(000.123*A)");
}

TEST(P1Writer, ReactiveValuesAsInLuxembourg) {
  const Read read(written(
      {{"reactive_energy_import", decimal("3.021")}, {"reactive_power_export", decimal("123")}}));
  EXPECT_EQ(line_of(read.text, "1-0:3.8.0"), "(000003.021*kvarh)");
  EXPECT_EQ(line_of(read.text, "1-0:4.7.0"), "(00.123*kvar)");
}

TEST(P1Writer, SummerTimeIsSaid) {
  EXPECT_EQ(line_of(written({.meter_id = "", .time = summer()}), "0-0:1.0.0"), "(200512135409S)");
  EXPECT_EQ(line_of(written({.meter_id = "", .time = summer()}), "0-0:96.1.1"), "");
}

TEST(P1Writer, OfALongIdTheEndIsKept) {
  const std::string id = std::string(10, 'x') + std::string(48, 'y');
  const std::string telegram = written({.meter_id = id, .time = winter()});
  std::string digits;
  for (int i = 0; i < 48; ++i) digits += "79";
  EXPECT_EQ(line_of(telegram, "0-0:96.1.1"), "(" + digits + ")");
}

// ---- meters behind the meter -------------------------------------------------------------------

TEST(P1SubMeters, HeatIsInGigajouleAndComesBackAsItWas) {
  // 12.345 GJ, as the decoder gives it: kWh with three decimals.
  const std::vector<P1Value> values = {{"energy", decimal("3429.167")}, {"volume", decimal("99")}};
  const std::string telegram =
      written({.channel = 2, .medium = Medium::heat, .id = "SAG1030790002574", .values = values});
  EXPECT_EQ(line_of(telegram, "0-2:24.1.0"), "(004)");
  EXPECT_EQ(line_of(telegram, "0-2:24.2.1"), "(101209113020W)(00012.345*GJ)");
  const Read read(telegram);
  ASSERT_EQ(read.set().sub_meters.size(), 1u);
  const auto part = std::make_unique<ReadingSet>();
  sub_meter_telegram(read.set(), 0, *part);
  NamedReadings named;
  harmonize(*part, read.map, named);
  ASSERT_FALSE(named.empty());
  EXPECT_EQ(named[0].name, "energy");
  EXPECT_EQ(named[0].value, decimal("3429.167"));
}

TEST(P1SubMeters, WaterAndElectricity) {
  const std::vector<P1Value> water = {{"volume", decimal("12.34")}};
  EXPECT_EQ(
      line_of(written({.channel = 3, .medium = Medium::water, .values = water}), "0-3:24.2.1"),
      "(101209113020W)(00012.340*m3)");
  const std::vector<P1Value> electricity = {{"energy", decimal("8.1")}};
  const std::string telegram =
      written({.channel = 4, .medium = Medium::electricity, .id = "E1", .values = electricity});
  EXPECT_EQ(line_of(telegram, "0-4:24.1.0"), "(002)");
  EXPECT_EQ(line_of(telegram, "0-4:96.1.0"), "(4531)");
  EXPECT_EQ(line_of(telegram, "0-4:24.2.1"), "(101209113020W)(000008.100*kWh)");
}

TEST(P1SubMeters, WithoutAReadingThereIsNoLineOfThem) {
  const std::vector<P1Value> none, energy = {{"energy", decimal("1")}},
                                   negative = {{"volume", decimal("-1")}},
                                   volume = {{"volume", decimal("1")}};
  for (const P1SubMeter& sub_meter :
       {P1SubMeter{.channel = 1, .medium = Medium::gas, .id = "G", .values = none},
        P1SubMeter{.channel = 1, .medium = Medium::gas, .id = "G", .values = energy},
        P1SubMeter{.channel = 1, .medium = Medium::gas, .id = "G", .values = negative},
        P1SubMeter{.channel = 0, .medium = Medium::gas, .id = "G", .values = volume},
        P1SubMeter{.channel = 10, .medium = Medium::gas, .id = "G", .values = volume}})
    EXPECT_EQ(lines_of(written(sub_meter)).size(), 5u);
}

TEST(P1SubMeters, TheCaptureTimeIsTheSameInstant) {
  const std::vector<P1Value> values = {{"volume", decimal("1")}};
  P1SubMeter gas{.channel = 1, .medium = Medium::gas, .values = values};
  gas.capture_time = DateTime::from_epoch(1291890620 - 300, 0);  // said in UTC
  EXPECT_EQ(line_of(written(gas), "0-1:24.2.1"), "(101209112520W)(00001.000*m3)");
  gas.capture_time = DateTime::from_p1("101031023000S");  // a clock that says no offset
  EXPECT_EQ(line_of(written(gas), "0-1:24.2.1"), "(101031023000S)(00001.000*m3)");
}

}  // namespace
}  // namespace meter::p1
