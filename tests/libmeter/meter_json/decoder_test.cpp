// SPDX-License-Identifier: Apache-2.0
// Messages of each gateway to readings. Expected values are those that their sources publish
// beside the messages, or what the attribute's definition says; each case names which.
#include "meter_json/decoder.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>

#include "meter/quantity.hpp"

namespace {
std::size_t allocations = 0;
}

// Not under the address sanitizer, which starts up in an allocator of its own.
#if defined(__SANITIZE_ADDRESS__)
#define COUNTS_ALLOCATIONS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define COUNTS_ALLOCATIONS 0
#endif
#endif
#ifndef COUNTS_ALLOCATIONS
#define COUNTS_ALLOCATIONS 1
#endif

#if COUNTS_ALLOCATIONS
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void* malloc(std::size_t size) noexcept {
  ++allocations;
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) noexcept {
  ++allocations;
  return __libc_calloc(count, size);
}
void* realloc(void* memory, std::size_t size) noexcept {
  ++allocations;
  return __libc_realloc(memory, size);
}
void* memalign(std::size_t alignment, std::size_t size) noexcept {
  ++allocations;
  return __libc_memalign(alignment, size);
}
}
#endif

namespace meter::json {
namespace {

using Values = std::map<std::string, std::string>;

struct Meter {
  std::string id, time, profile;
  Medium medium = Medium::electricity;
  Link link = Link::raw;
  Values readings;   ///< by canonical name, in canonical units
  Values registers;  ///< by label: "5072.076 kWh", text; "?" behind an unknown scale
};

std::string printed(const Reading& reading) {
  char buffer[Decimal::text_size_max];
  if (reading.kind() == Reading::Kind::date_time)
    return std::string(reading.date_time()->to_text(buffer));
  if (reading.kind() != Reading::Kind::number) return std::string(reading.text());
  std::string text(reading.value().to_text(buffer));
  if (const auto unit = symbol(reading.unit()); !unit.empty()) text += ' ' + std::string(unit);
  return text + (reading.has(Reading::scale_unknown) ? "?" : "");
}

Meter kept(const ReadingSet& set) {
  static const QuantityMap map;
  static NamedReadings named;
  char buffer[Decimal::text_size_max];
  Meter meter{std::string(set.meter_id.view()),
              set.time ? std::string(set.time->to_text(buffer)) : "",
              std::string(set.profile),
              set.medium,
              set.link,
              {},
              {}};
  EXPECT_EQ(set.details.size(), set.readings.size());
  for (std::size_t i = 0; i < set.readings.size(); ++i)
    meter.registers[std::string(set.details[i].label)] = printed(set.readings[i]);
  harmonize(set, map, named);
  for (const NamedReading& reading : named)
    meter.readings[std::string(reading.name)] =
        std::string(reading.is_time ? reading.time.to_text(buffer) : reading.value.to_text(buffer));
  return meter;
}

class JsonDecoder : public testing::Test {
 protected:
  std::vector<Meter> read(std::string_view text, std::string_view topic = {}) {
    std::vector<char> payload(text.begin(), text.end());
    const auto parsed = decoder_.read(topic, std::as_bytes(std::span(payload)));
    std::vector<char>().swap(payload);  // gone before the sets are asked for: the topic must stay
    fault_ = parsed ? std::nullopt : std::optional(parsed.error().code);
    std::vector<Meter> meters;
    for (ReadingSet set; decoder_.next(set);) meters.push_back(kept(set));
    EXPECT_FALSE(fault_ && !meters.empty());
    return meters;
  }
  Meter one(std::string_view text, std::string_view topic = {}) {
    auto meters = read(text, topic);
    EXPECT_EQ(meters.size(), 1u) << text;
    return meters.empty() ? Meter{} : meters[0];
  }
  Decoder decoder_;
  std::optional<Errc> fault_;
};

// ---- Glow, raw attributes
// ------------------------------------------------------------------------

// The public test message of andrewjw/glowprom; its identities are left out.
constexpr std::string_view glow = R"({"elecMtr":{"0702":{"00":{"00":"0000004D64CC",
 "01":"000000000000","02":"000000000000","07":"00000000","14":"02"},"02":{"00":"00"},
 "03":{"00":"00","01":"00000001","02":"000003E8","03":"2B","04":"00","06":"00","07":"MPAN123",
 "08":""},"04":{"00":"000009F3","01":"001F23","30":"004A12","40":"011C3C"}},
 "0705":{"00":{"00":"0C94","01":"00000000"}},"0708":{"01":{"01":"Supplier"}}},
 "gasMtr":{"0702":{"00":{"00":"00000022D37B","14":"02"},"03":{"00":"01","01":"00000001",
 "02":"000003E8","03":"2B","06":"80","07":"MPRN456","12":"00"},
 "0C":{"01":"009A1C","30":"015DF5","40":"0440B4"}}},
 "ts":"2020-10-06 20:53:16","hversion":"GLOW-IHD-01-1v4-SMETS2","time":"5F7CD93C",
 "gmtime":1602017596,"pan":{"rssi":"BF","status":"joined","nPAN":"00","join":"0","lqi":"8C"},
 "gid":"0123456789ABCDEF"})";

TEST_F(JsonDecoder, GlowGivesTheValuesThatItsSourcePublishes) {
  const auto meters = read(glow);
  ASSERT_EQ(meters.size(), 2u);
  const Meter &electricity = meters[0], &gas = meters[1];
  EXPECT_EQ(electricity.id, "MPAN123");
  EXPECT_EQ(electricity.link, Link::glow);
  EXPECT_EQ(electricity.time, "2020-10-06T20:53:16+00:00");
  EXPECT_EQ(electricity.readings, (Values{{"energy_import", "5072.076"},
                                          {"energy_export", "0.000"},
                                          {"power_net", "2547"},
                                          {"power_import", "2547"},
                                          {"power_export", "0"},
                                          {"energy_import_day", "7.971"},
                                          {"energy_import_week", "18.962"},
                                          {"energy_import_month", "72.764"},
                                          {"supply_status", "2"},
                                          {"link_rssi", "-65"},
                                          {"link_lqi", "140"}}));
  EXPECT_EQ(gas.id, "MPRN456");
  EXPECT_EQ(gas.medium, Medium::gas);
  EXPECT_EQ(gas.readings, (Values{{"volume", "2282.363"},
                                  {"energy_day", "39.452"},
                                  {"energy_week", "89.589"},
                                  {"energy_month", "278.708"},
                                  {"supply_status", "2"},
                                  {"link_rssi", "-65"},
                                  {"link_lqi", "140"}}));
}

TEST_F(JsonDecoder, GlowKeepsEveryAttribute) {
  const Meter meter = read(glow)[0];
  EXPECT_EQ(meter.registers.at("elecMtr.0702.0401"), "7.971 kWh");
  EXPECT_EQ(meter.registers.at("elecMtr.0702.0303"), "2B");
  EXPECT_EQ(meter.registers.at("elecMtr.0702.0302"), "1000");
  EXPECT_EQ(meter.registers.at("elecMtr.0702.0002"), "0.000 kW");
  EXPECT_EQ(meter.registers.at("elecMtr.0702.0200"), "00");
  EXPECT_EQ(meter.registers.at("elecMtr.0705.0000"), "0C94");
  EXPECT_EQ(meter.registers.at("elecMtr.0705.0001"), "0?");
  EXPECT_EQ(meter.registers.at("elecMtr.0708.0101"), "Supplier");
  EXPECT_FALSE(meter.registers.contains("elecMtr.0702.0308")) << "an empty text says nothing";
  const Meter other = one(R"({"elecMtr":{"0702":{"00":{"55":"0A"}},"0999":{"12":{"34":"FF"}}}})");
  EXPECT_EQ(other.registers, (Values{{"elecMtr.0702.0055", "0A"}, {"elecMtr.0999.1234", "FF"}}));
  EXPECT_TRUE(other.readings.empty());
}

/// An electricity meter of thousandths of kWh with these attributes of the cluster.
std::string glow_with(const std::string& sets,
                      const std::string& formatting = R"("00":"00","01":"01","02":"03E8")") {
  return R"({"elecMtr":{"0702":{"03":{)" + formatting + "}," + sets + R"(}},"gid":"00AA"})";
}

TEST_F(JsonDecoder, GlowDemandIsSignedInAnyWidth) {
  // An int24 (ZigBee 07-5356, InstantaneousDemand), printed with leading zeros, sign-extended or
  // not; the first one and its 2547 W are of the message above.
  for (const auto& [raw, watt] : {std::pair("000009F3", "2547"),
                                  {"FFFFFE0C", "-500"},
                                  {"FFFE0C", "-500"},
                                  {"00FFFE0C", "-500"},
                                  {"0", "0"},
                                  {"7FFFFF", "8388607"},
                                  {"800001", "-8388607"}}) {
    const Meter meter = one(glow_with(std::string(R"("04":{"00":")") + raw + "\"}"));
    EXPECT_EQ(meter.readings.at("power_net"), watt) << raw;
  }
}

TEST_F(JsonDecoder, GlowValuesWithoutDataAreNoReadings) {
  const Meter meter =
      one(glow_with(R"("00":{"00":"FFFFFFFFFFFF","01":"FFFFFFFFFFFF","07":"FFFFFFFF"},)"
                    R"("04":{"00":"800000","01":"FFFFFF","30":"00FFFFFF","40":"FFFFFFFF"})"));
  EXPECT_TRUE(meter.readings.empty());
  EXPECT_EQ(meter.registers.at("elecMtr.0702.0400"), "800000");
  EXPECT_EQ(one(glow_with(R"("04":{"00":"FF800000","40":"FFFFFF"})")).readings, Values{});
  // Not received yet: 0 is no total. An export of 0 is one.
  const Meter fresh = one(glow_with(R"("00":{"00":"000000000000","01":"000000000000"})"));
  EXPECT_EQ(fresh.readings, (Values{{"energy_export", "0.000"}}));
}

TEST_F(JsonDecoder, GlowScaleIsRememberedForEachMeter) {
  const std::string bare = R"({"elecMtr":{"0702":{"00":{"00":"0000004D64CC"}}},"gid":"00AA"})";
  EXPECT_EQ(one(bare).readings, Values{}) << "never told";
  EXPECT_EQ(one(bare).registers.at("elecMtr.0702.0000"), "5072076?");
  (void)one(glow_with(R"("04":{"00":"00"})"));
  EXPECT_EQ(one(bare).readings.at("energy_import"), "5072.076");
  std::string other = bare;
  other.replace(other.find("00AA"), 4, "00BB");
  EXPECT_EQ(one(other).readings, Values{}) << "another gateway";
}

TEST_F(JsonDecoder, GlowScaleIsExactOrNone) {
  const auto import = [this](const std::string& formatting) {
    return one(glow_with(R"("00":{"00":"64"})", formatting)).registers.at("elecMtr.0702.0000");
  };
  EXPECT_EQ(import(R"("00":"00","01":"01","02":"00")"), "100 kWh") << "divisor 0 is 1";
  EXPECT_EQ(import(R"("00":"00","01":"03","02":"0A")"), "30.0 kWh");
  EXPECT_EQ(import(R"("00":"00","01":"01","02":"08")"), "12.500 kWh");
  EXPECT_EQ(import(R"("00":"00","01":"01","02":"03")"), "100?") << "a third has no end";
  EXPECT_EQ(import(R"("00":"02","01":"01","02":"01")"), "100?") << "cubic feet";
  EXPECT_EQ(import(R"("00":"07","01":"01","02":"01")"), "100 l");
  EXPECT_EQ(import(R"("00":"80","01":"01","02":"0A")"), "6.4 kWh") << "BCD: 64 is 64";
  EXPECT_EQ(one(glow_with(R"("00":{"00":"7FFFFFFFFFFF"})", R"("00":"00","01":"FFFFFF","02":"01")"))
                .readings,
            Values{})
      << "more than 64 bits hold";
}

TEST_F(JsonDecoder, GlowTariffsAndTimes) {
  const Meter meter =
      one(glow_with(R"("01":{"00":"000000000064","02":"0000000000C8","03":"0000000003E8"},)"
                    R"("00":{"06":"5F","07":"270F95BC"})"));
  EXPECT_EQ(meter.readings.at("energy_import_t1"), "0.100");
  EXPECT_EQ(meter.readings.at("energy_import_t2"), "0.200");
  EXPECT_EQ(meter.readings.at("energy_export_t2"), "1.000");
  EXPECT_EQ(meter.readings.at("power_factor"), "0.95");
  // 270F95BC + 946684800 = 5F7CD93C, the message's time above.
  EXPECT_EQ(meter.readings.at("capture_time"), "2020-10-06T20:53:16+00:00");
}

TEST_F(JsonDecoder, GlowMetersWithoutAnIdAreNamedByTheirGateway) {
  const auto meters = read(R"({"elecMtr":{"0702":{"03":{"07":"EMPTY"}}},
                               "gasMtr":{"0702":{"03":{"07":"---"}}},"gid":"00AA"})");
  ASSERT_EQ(meters.size(), 2u);
  EXPECT_EQ(meters[0].id, "00AA_elec");
  EXPECT_EQ(meters[1].id, "00AA_gas");
  EXPECT_EQ(one(R"({"gasMtr":{"0702":{"00":{"14":"02"}}}})", "SMART/HILD/112233").id, "112233_gas");
}

TEST_F(JsonDecoder, GlowGasOfNothingReceivedIsNoReading) {
  const Meter gas = one(R"({"gasMtr":{"0702":{"00":{"00":"000000000000"},
                            "03":{"00":"01","01":"01","02":"03E8"}}}})");
  EXPECT_TRUE(gas.readings.empty());
}

TEST_F(JsonDecoder, GlowSurvivesWrongKinds) {
  for (const char* text :
       {R"({"elecMtr":{}})", R"({"elecMtr":{"0702":1}})", R"({"elecMtr":{"0702":{"00":[]}}})",
        R"({"elecMtr":{"0702":{"00":{"00":5}}}})", R"({"elecMtr":{"xx":{"yy":{"zz":"1"}}}})",
        R"({"elecMtr":{"0702":{"00":{"1234567890":"1"}}},"pan":[],"gmtime":"x","gid":7})"})
    EXPECT_TRUE(read(text).empty()) << text;
}

// ---- Glow, local
// ---------------------------------------------------------------------------------

TEST_F(JsonDecoder, LocalGlowOfElectricity) {
  const Meter meter = one(R"({"electricitymeter":{"timestamp":"2022-11-07T09:20:08Z",
    "energy":{"export":{"cumulative":0.0,"units":"kWh"},"import":{"cumulative":15254.827,
    "day":3.717,"week":3.717,"month":60.439,"units":"kWh","mpan":"not available","supplier":"S",
    "price":{"unitrate":0.16401,"standingcharge":0.19383}}},
    "power":{"value":-0.425,"units":"kW"}}})",
                          "glow/112233445566/SENSOR/electricitymeter");
  EXPECT_EQ(meter.id, "112233445566_elec");
  EXPECT_EQ(meter.profile, "glow-ihd");
  EXPECT_EQ(meter.time, "2022-11-07T09:20:08+00:00");
  EXPECT_EQ(meter.readings, (Values{{"energy_import", "15254.827"},
                                    {"energy_export", "0.0"},
                                    {"energy_import_day", "3.717"},
                                    {"energy_import_week", "3.717"},
                                    {"energy_import_month", "60.439"},
                                    {"power_net", "-425"},
                                    {"power_import", "0"},
                                    {"power_export", "425"},
                                    {"price_import_unit", "0.16401"},
                                    {"standing_charge", "0.19383"}}));
}

TEST_F(JsonDecoder, LocalGlowObeysTheUnitAndNotTheKey) {
  const auto gas = [this](const std::string& history_unit) {
    return one(R"({"gasmeter":{"energy":{"import":{"cumulative":20100.125,"units":"kWh",
      "cumulativevol":1812.5,"cumulativevolunits":"m3","dayvol":9.250,"weekvol":88.500,
      "monthvol":190.750,"dayweekmonthvolunits":")" +
               history_unit + R"(","mprn":"1234"}},
      "power":{"value":0.000,"units":"kW"}}})");
  };
  Meter meter = gas("kWh");
  EXPECT_EQ(meter.medium, Medium::gas);
  EXPECT_EQ(meter.readings, (Values{{"energy", "20100.125"},
                                    {"volume", "1812.5"},
                                    {"energy_day", "9.250"},
                                    {"energy_week", "88.500"},
                                    {"energy_month", "190.750"}}));
  meter = gas("m3");
  EXPECT_EQ(meter.readings.at("volume_day"), "9.250");
  EXPECT_FALSE(meter.readings.contains("energy_day"));
  meter = gas("furlong");
  EXPECT_FALSE(meter.readings.contains("volume_day"));
  EXPECT_EQ(meter.registers.at("gasmeter.energy.import.dayvol"), "9.250?");
}

TEST_F(JsonDecoder, LocalGlowWithoutDataIsNoReading) {
  const Meter meter = one(R"({"electricitymeter":{"energy":{"import":{"cumulative":0.000,
    "day":null,"units":"kWh"}},"power":{"value":-8388.608,"units":"kW"}}})");
  EXPECT_TRUE(meter.readings.empty());
  EXPECT_EQ(meter.registers.at("electricitymeter.power.value"), "-8388.608 kW");
}

TEST_F(JsonDecoder, GlowStateIsNoMeters) {
  // Published with the message: rssi -88 dBm, lqi 48.
  const Meter gateway = one(R"({"timestamp":"2026-01-19T20:55:38Z","software":"v2.0.2",
    "hardware":"GLOW-IHD-02-1v4-SMETS2","wifistamac":"112233445566","smetsversion":"SMETS2",
    "eui":"00:11","zigbee":"1.2.5","han":{"rssi":-88,"status":"joined","lqi":48}})");
  EXPECT_EQ(decoder_.format(), Format::glow_state);
  EXPECT_EQ(gateway.medium, Medium::system);
  EXPECT_EQ(gateway.id, "112233445566");
  EXPECT_EQ(gateway.registers, (Values{{"han.rssi", "-88 dBm"}, {"han.lqi", "48"}}));
}

// ---- gPlug and Tasmota
// ---------------------------------------------------------------------------

TEST_F(JsonDecoder, GplugInKilowattByItsPhases) {
  // A public sample: Po is 0.632 while its phases are 226 + 167 + 239 W.
  const Meter meter = one(R"({"z":{"V1":239,"P3o":239,"Ei":45982.8,"rEo":21155.5,"rEi":8579.97,
    "P2o":167,"Po":0.632,"I2":1.34,"pf1":0.56,"P1o":226,"rPo":768,"Pi":0,"SMid":32942200,
    "I3":1.96,"Eo":34485.8,"V3":239,"I1":2.21}})",
                          "tele/gPlug10/SENSOR");
  EXPECT_EQ(meter.id, "32942200");
  EXPECT_EQ(meter.link, Link::gplug);
  EXPECT_EQ(meter.readings, (Values{{"voltage_l1", "239"},
                                    {"voltage_l3", "239"},
                                    {"power_export_l1", "226"},
                                    {"power_export_l2", "167"},
                                    {"power_export_l3", "239"},
                                    {"energy_import", "45982.8"},
                                    {"energy_export", "34485.8"},
                                    {"reactive_energy_import", "8579.97"},
                                    {"reactive_energy_export", "21155.5"},
                                    {"reactive_power_export", "768"},
                                    {"power_export", "632"},
                                    {"power_import", "0"},
                                    {"power_net", "-632"},
                                    {"power_factor_l1", "0.56"},
                                    {"current_l1", "2.21"},
                                    {"current_l2", "1.34"},
                                    {"current_l3", "1.96"}}));
}

TEST_F(JsonDecoder, GplugUnitRule) {
  const auto import = [this](std::string_view keys, std::string_view topic = "tele/a/SENSOR") {
    const Meter meter = one("{\"z\":{" + std::string(keys) + "}}", topic);
    return meter.registers.at("z.Pi");
  };
  EXPECT_EQ(import(R"("Pi":12)"), "12?") << "the plug-test: W or kW, nothing tells";
  EXPECT_EQ(import(R"("Pi":0)"), "0 W") << "nothing is nothing in every unit";
  EXPECT_EQ(import(R"("Pi":0.010)"), "0.010 kW");
  EXPECT_EQ(import(R"("Pi":545)"), "545 W");
  EXPECT_EQ(import(R"("Pi":"12 W")"), "12 W") << "its own unit goes first";
  EXPECT_EQ(import(R"("Pi":12,"P1i":12)"), "12 W");
  EXPECT_EQ(import(R"("Pi":12)"), "12 W") << "learnt";
  EXPECT_EQ(import(R"("Pi":12)", "tele/b/SENSOR"), "12?") << "of another gateway nothing";
  EXPECT_EQ(import(R"("Pi":12,"P1i":4000,"P2i":4000,"P3i":4100)", "tele/b/SENSOR"), "12 kW");
  EXPECT_EQ(import(R"("Pi":3,"P1i":500)", "tele/c/SENSOR"), "3?") << "no factor fits";
}

TEST_F(JsonDecoder, TasmotaObjectsAndSiblings) {
  const Meter meter = one(R"({"Time":"2023-08-15T10:00:00","z":{"Pi":0.5,"Free":1.5},
    "ENERGY":{"Power":5},"TempUnit":"C"})",
                          "tele/home/gPlug11/SENSOR");
  EXPECT_EQ(meter.id, "gPlug11");
  EXPECT_EQ(meter.time, "2023-08-15T10:00:00") << "local: it carries no zone";
  EXPECT_EQ(meter.registers, (Values{{"z.Pi", "0.5 kW"}}));
  const auto two = read(R"({"House":{"Total_in":1.5},"Pump":{"Total_in":2.5}})", "tele/t/SENSOR");
  ASSERT_EQ(two.size(), 2u);
  EXPECT_EQ(two[0].id, "t_House");
  EXPECT_EQ(two[1].readings.at("energy_import"), "2.5");
  EXPECT_EQ(one(R"({"StatusSNS":{"Time":"2025-03-02T08:09:10","z":{"Ei":1.5}}})").time,
            "2025-03-02T08:09:10");
}

TEST_F(JsonDecoder, TasmotaKeysInEverySpelling) {
  const Meter meter = one(R"({"m":{"1-0:32.7.0":230.1,"1_8_0":12.5,"16.7.0":-300,"PI":0.5,
                              "Total_out":"1.23 kWh","V2":null,"V3":nan}})");
  EXPECT_EQ(meter.readings, (Values{{"voltage_l1", "230.1"},
                                    {"energy_import", "12.5"},
                                    {"power_net", "-300"},
                                    {"power_import", "500"},
                                    {"energy_export", "1.23"}}));
}

TEST_F(JsonDecoder, AnIdOnceSaidStays) {
  (void)one(R"({"z":{"SMid":"34000113"}})", "tele/g/SENSOR");
  EXPECT_EQ(one(R"({"z":{"Ei":1.5}})", "tele/g/SENSOR").id, "34000113");
  EXPECT_EQ(one(R"({"z":{"Ei":1.5}})", "tele/h/SENSOR").id, "h");
}

TEST(JsonRules, GoBeforeEverythingElse) {
  Decoder decoder({.rules = {{"Strom", "", "1-0:1.8.0"_obis, Unit::watt_hour, 1},
                             {"Pi", "tele/a/SENSOR", "1-0:1.7.0"_obis, Unit::watt, 0},
                             {"Ei", "", {}, Unit::none, 0}},
                   .observer = nullptr});
  ReadingSet set;
  const auto read = [&](std::string_view text, std::string_view topic) {
    EXPECT_TRUE(decoder.read(topic, bytes_of(text)));
    return decoder.next(set) ? kept(set).registers : Values{};
  };
  EXPECT_EQ(read(R"({"x":{"STROM":1234,"Pi":5,"Ei":9}})", "tele/a/SENSOR"),
            (Values{{"x.STROM", "12340 Wh"}, {"x.Pi", "5 W"}}));
  EXPECT_EQ(read(R"({"x":{"Pi":5}})", "tele/b/SENSOR"), (Values{{"x.Pi", "5?"}}));
}

// ---- bridges
// -------------------------------------------------------------------------------------

std::string whatwatt(std::string_view factor) {
  return R"({"report":{"id":7,"date_time":"2025-03-02T08:09:10Z","tariff":2,
    "instantaneous_power":{"active":{"positive":{"total":0.015,"l1":0.004},
    "negative":{"total":2.104}}},"voltage":{"l1":230.5},"current":{"l1":1.2},
    "energy":{"active":{"positive":{"total":203.411,"t1":150.300}},
    "reactive":{"imported":{"inductive":{"total":99.125},"capacitive":{"total":8.250}}}},
    "conv_factor":)" +
         std::string(factor) + R"(,"volume":[1,2]},
    "meter":{"status":"OK","id":"34000113","vendor":"Landis+Gyr","model":"E450"},
    "system":{"id":"112233445566"}})";
}

TEST_F(JsonDecoder, WhatwattReport) {
  const Meter meter = one(whatwatt("1"), "energy/whatwatt-001");
  EXPECT_EQ(meter.id, "34000113");
  EXPECT_EQ(meter.link, Link::whatwatt);
  EXPECT_EQ(meter.time, "2025-03-02T08:09:10") << "local, although marked Z";
  EXPECT_EQ(meter.readings, (Values{{"power_import", "15"},
                                    {"power_import_l1", "4"},
                                    {"power_export", "2104"},
                                    {"power_net", "-2089"},
                                    {"voltage_l1", "230.5"},
                                    {"current_l1", "1.2"},
                                    {"energy_import", "203.411"},
                                    {"energy_import_t1", "150.300"},
                                    {"reactive_energy_q1", "99.125"},
                                    {"reactive_energy_q2", "8.250"},
                                    {"tariff", "2"}}));
}

TEST_F(JsonDecoder, WhatwattFactorMakesValuesUncertain) {
  EXPECT_EQ(one(whatwatt("40")).readings, (Values{{"tariff", "2"}}));
  EXPECT_TRUE(one(whatwatt("1.0")).readings.contains("energy_import"));
}

TEST_F(JsonDecoder, DataCollector) {
  const auto message = R"({"value": 1234567, "timestamp": 1629055611})";
  const Meter meter = one(message, "smartmeter/LGZ1030655933512/ACTIVE_ENERGY_P");
  EXPECT_EQ(meter.id, "LGZ1030655933512");
  EXPECT_EQ(meter.link, Link::datacollector);
  EXPECT_EQ(meter.time, "2021-08-15T19:26:51+00:00");
  EXPECT_EQ(meter.readings, (Values{{"energy_import", "1234.567"}})) << "it sends Wh";
  EXPECT_EQ(one(message, "a/b/c/ACTIVE_POWER_P").readings.at("power_import"), "1234567");
  EXPECT_EQ(one(message, "x/y/NET_FREQUENCY").readings.at("frequency"), "1234567");
  EXPECT_TRUE(read(message, "x/y/SOMETHING").empty());
  EXPECT_EQ(fault_, Errc::list_unknown);
  EXPECT_TRUE(read(message).empty()) << "only the topic says what the value is";
}

/// The profile rl-dsp is in Wh and W: read as a script's keys it would be a thousand times as much.
TEST_F(JsonDecoder, WhatIsInBaseUnitsIsNoScript) {
  for (const char* topic : {"dt/house/1KFM1/ds", "tele/x/SENSOR", ""}) {
    EXPECT_TRUE(read(R"({"meter":{"ts":"2026-11-20T11:00:05Z","1.8.0":12048950}})", topic).empty());
    EXPECT_EQ(fault_, Errc::list_unknown);
  }
}

TEST_F(JsonDecoder, HarmonisedTopics) {
  const auto message = R"({"timestamp":1629055611,"value":1.5})";
  const Meter meter = one(message, "smartmeter/LGZ1030655933512/power/power_in");
  EXPECT_EQ(meter.id, "LGZ1030655933512");
  EXPECT_EQ(meter.readings, (Values{{"power_import", "1.5"}}));
  const Meter energy = one(message, "smartmeter/LGZ1030655933512/energy/energy_in");
  EXPECT_TRUE(energy.readings.empty()) << "Wh or kWh: nothing says which";
  EXPECT_EQ(energy.registers, (Values{{"value", "1.5?"}}));
  EXPECT_TRUE(read(message, "smartmeter/x/weather/power_in").empty());
}

TEST_F(JsonDecoder, Amsreader) {
  Meter meter = one(R"({"lv":"AIDON_V0001","id":"7359990000000001","type":"6525","P":512,"Q":0,
    "PO":0,"QO":87,"I1":1.2,"U1":229.1,"t":1602017596})",
                    "ams/power");
  EXPECT_EQ(meter.id, "7359990000000001");
  EXPECT_EQ(meter.time, "2020-10-06T20:53:16+00:00");
  EXPECT_EQ(meter.readings.at("power_import"), "512");
  EXPECT_EQ(meter.readings.at("reactive_power_export"), "87");
  EXPECT_EQ(meter.readings.at("voltage_l1"), "229.1");
  meter = one(R"({"tPI":40123.045,"tPO":0,"tQI":80.1,"tQO":9122.7,"rtc":1602017596,"t":1})",
              "ams/energy");
  EXPECT_EQ(meter.id, "7359990000000001") << "remembered from ams/power";
  EXPECT_EQ(meter.readings.at("energy_import"), "40123.045");
  EXPECT_EQ(meter.time, "2020-10-06T20:53:16+00:00");
  EXPECT_EQ(one(R"({"id":"x","data":{"P":100,"PO":0}})").readings.at("power_import"), "100");
}

// ---- all of them
// ---------------------------------------------------------------------------------

TEST_F(JsonDecoder, UnknownObjectsAreRefused) {
  for (const char* text : {"{}", R"({"a":1})", R"({"value":1})", R"({"elecMtr":1})",
                           R"({"report":{}})", R"({"han":1})", R"({"Wifi":{"RSSI":70}})"}) {
    EXPECT_TRUE(read(text, "some/topic").empty()) << text;
    EXPECT_EQ(fault_, Errc::list_unknown) << text;
    EXPECT_EQ(decoder_.format(), Format::none);
  }
}

TEST_F(JsonDecoder, HugeNumbersMakeNoReading) {
  const Meter meter = one(R"({"z":{"Ei":1e400,"Eo":123456789012345678901234567890,"V1":230}})");
  EXPECT_EQ(meter.readings, (Values{{"voltage_l1", "230"}}));
}

TEST_F(JsonDecoder, MoreThanFitsIsLeftOut) {
  std::string text = R"({"elecMtr":{"0702":{)";
  for (int set = 0; set < 4; ++set) {
    text += (set ? ",\"" : "\"") + std::to_string(set + 80) + "\":{";
    for (int i = 0; i < 100; ++i)
      text += (i ? ",\"" : "\"") + std::to_string(i / 10) + std::to_string(i % 10) + "\":\"AB\"";
    text += '}';
  }
  EXPECT_EQ(one(text + "}}}").registers.size(), ReadingSet::readings_max);
  std::string objects = "{";
  for (std::size_t i = 0; i < meters_max + 4; ++i)
    objects += "\"m" + std::to_string(i) + "\":{\"Ei\":1.5},";
  EXPECT_EQ(read(objects + "\"x\":1}").size(), meters_max);
  EXPECT_TRUE(read(R"({"z":{"SMid":")" + std::string(5000, 'x') + "\"}}").empty());
}

TEST_F(JsonDecoder, ManyGatewaysForgetTheOldest) {
  const auto message = [&](std::size_t gateway, std::string_view keys) {
    const std::string topic = "tele/g" + std::to_string(gateway) + "/SENSOR";
    return one("{\"z\":{" + std::string(keys) + "}}", topic).registers.at("z.Pi");
  };
  for (std::size_t i = 0; i <= sources_max; ++i) (void)message(i, R"("Pi":12,"P1i":12)");
  EXPECT_EQ(message(sources_max, R"("Pi":12)"), "12 W");
  EXPECT_EQ(message(1, R"("Pi":12)"), "12 W");
  EXPECT_EQ(message(0, R"("Pi":12)"), "12?");
}

TEST(JsonAllocations, NoneAfterConstruction) {
  Decoder decoder;
  ReadingSet set;
  const std::string deep = "{\"a\":" + std::string(60'000, '[');
  const std::string long_text = "{\"a\":\"" + std::string(65'000, 'x') + "\"}";
  const std::string report = whatwatt("1");
  const std::string_view messages[] = {glow,
                                       report,
                                       R"({"z":{"Pi":0.5,"1_8_0":12.5,"SMid":"1"}})",
                                       R"({"value":1})",
                                       R"({"tPI":1})",
                                       "{",
                                       "Online",
                                       "{\"a\":\"\xff\"}",
                                       R"({"a":1,"a":2})",
                                       deep,
                                       long_text};
  const std::size_t before = allocations;
  EXPECT_TRUE(!COUNTS_ALLOCATIONS || before > 0) << "the counter counts";
  for (const std::string_view message : messages) {
    (void)decoder.read("x/y/ACTIVE_POWER_P", bytes_of(message));
    while (decoder.next(set)) {
    }
  }
  const std::size_t after = allocations;
  EXPECT_EQ(after - before, 0u);
  if (!COUNTS_ALLOCATIONS) GTEST_SKIP() << "the address sanitizer owns malloc: nothing was counted";
}

}  // namespace
}  // namespace meter::json
