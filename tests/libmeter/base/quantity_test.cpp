// SPDX-License-Identifier: Apache-2.0
// Names, units and derived values; the telegram JSON's shape.
#include "meter/quantity.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "meter/telegram_json.hpp"

namespace meter {
namespace {

const NamedReading* find(const NamedReadings& readings, std::string_view name) {
  for (const NamedReading& reading : readings)
    if (reading.name == name) return &reading;
  return nullptr;
}

class Harmonize : public testing::Test {
 protected:
  void number(const char* obis, Decimal value, Unit unit, std::uint8_t flags = 0) {
    ASSERT_TRUE(set_.readings.push_back(Reading::number(*Obis::parse(obis), value, unit, flags)));
  }
  // The names are views into the map.
  void run(QuantityMap map = {}) {
    map_ = std::move(map);
    harmonize(set_, map_, named_);
  }
  ReadingSet set_;
  QuantityMap map_;
  NamedReadings named_;
};

TEST_F(Harmonize, ConvertsToCanonicalUnitsExactly) {
  number("1-0:1.8.0", {12048950, 0}, Unit::watt_hour);
  number("1-1:2.8.0", {5, 1}, Unit::watt_hour);  // 10 Wh steps, other channel
  number("1-0:1.7.0", {545, -3}, Unit::kilowatt);
  run();
  EXPECT_EQ(find(named_, "energy_import")->value, (Decimal{12048950, -3}));
  EXPECT_EQ(find(named_, "energy_export")->value, (Decimal{5, -2}));
  EXPECT_EQ(find(named_, "power_import")->value, (Decimal{545, 0}));
  EXPECT_EQ(find(named_, "energy_import")->unit, Unit::kilowatt_hour);
  EXPECT_FALSE(find(named_, "power_net"));  // no export sent: nothing to derive from
}

TEST_F(Harmonize, DerivesNetPower) {
  number("1-0:1.7.0", {545, 0}, Unit::watt);
  number("1-0:2.7.0", {0, 0}, Unit::watt);
  run();
  ASSERT_TRUE(find(named_, "power_net"));
  EXPECT_EQ(find(named_, "power_net")->value, (Decimal{545, 0}));
  EXPECT_TRUE(find(named_, "power_net")->derived);
}

TEST_F(Harmonize, SplitsSignedPower) {
  number("1-0:16.7.0", {-300, 0}, Unit::watt);
  run();
  EXPECT_EQ(find(named_, "power_import")->value, (Decimal{0, 0}));
  EXPECT_EQ(find(named_, "power_export")->value, (Decimal{300, 0}));
}

TEST_F(Harmonize, SumsTariffsOnlyWhereThereIsNoTotal) {
  number("1-0:1.8.1", {1000, -3}, Unit::kilowatt_hour);
  number("1-0:1.8.2", {2500, -3}, Unit::kilowatt_hour);
  run();
  ASSERT_TRUE(find(named_, "energy_import"));
  EXPECT_EQ(find(named_, "energy_import")->value, (Decimal{3500, -3}));
  EXPECT_TRUE(find(named_, "energy_import")->derived);
  number("1-0:1.8.0", {3501, -3}, Unit::kilowatt_hour);
  run();
  EXPECT_FALSE(find(named_, "energy_import")->derived);
}

TEST_F(Harmonize, LeavesOutWhatIsNotCertain) {
  number("1-0:32.7.0", {2337, 0}, Unit::none, Reading::scale_unknown);
  number("1-0:1.8.0", {5, 0}, Unit::volt);             // not a unit of energy
  number("1-0:1.8.0*1", {5, 0}, Unit::watt_hour);      // a billing period's value
  number("1-0:200.99.1", {5, 0}, Unit::watt_hour);     // unknown code
  run();
  EXPECT_TRUE(named_.empty());
}

TEST_F(Harmonize, AUsersScaleIsForValuesWithoutOne) {
  std::vector<QuantityMap::Change> changes;
  changes.push_back({"1-0:1.8.0"_obis, "energy_import", {}, 3});
  number("1-0:1.8.0", {1000, 0}, Unit::watt_hour);
  run(QuantityMap(std::move(changes)));
  EXPECT_EQ(find(named_, "energy_import")->value, (Decimal{1000, -3}));
}

TEST_F(Harmonize, FollowsTheUsersTable) {
  std::vector<QuantityMap::Change> changes;
  changes.push_back({"1-0:32.7.0"_obis, "voltage_l1", {}, -1});
  changes.push_back({"1-0:1.7.0"_obis, "house_power", {}, {}});
  changes.push_back({"1-0:2.7.0"_obis, "", {}, {}});
  changes.push_back({"1-0:128.7.0"_obis, "pump", Unit::kilowatt_hour, {}});
  number("1-0:32.7.0", {2337, 0}, Unit::none, Reading::scale_unknown);
  number("1-0:1.7.0", {545, 0}, Unit::watt);
  number("1-0:2.7.0", {0, 0}, Unit::watt);
  number("1-0:128.7.0", {1500, 0}, Unit::watt_hour);
  run(QuantityMap(std::move(changes)));
  EXPECT_EQ(find(named_, "voltage_l1")->value, (Decimal{2337, -1}));
  EXPECT_EQ(find(named_, "house_power")->unit, Unit::watt);
  EXPECT_FALSE(find(named_, "power_export"));
  EXPECT_EQ(find(named_, "pump")->value, (Decimal{1500, -3}));
}

// 1 GJ = 277.777… kWh.
TEST_F(Harmonize, JouleBecomeKilowattHoursHalfEvenAndDerived) {
  number("200-0:41.0.0", {12043, -3}, Unit::gigajoule);
  run();
  ASSERT_TRUE(find(named_, "energy"));
  EXPECT_EQ(find(named_, "energy")->value, (Decimal{3345278, -3}));
  EXPECT_EQ(find(named_, "energy")->unit, Unit::kilowatt_hour);
  EXPECT_TRUE(find(named_, "energy")->derived);
  set_.clear();
  number("200-0:41.0.0", {18, 2}, Unit::joule);  // 0.0005 kWh: to the even digit
  run();
  EXPECT_EQ(find(named_, "energy")->value, (Decimal{0, -3}));
  set_.clear();
  number("200-0:41.0.0", {-54, 2}, Unit::joule);  // -0.0015 kWh
  run();
  EXPECT_EQ(find(named_, "energy")->value, (Decimal{-2, -3}));
}

// 2.5 Wh and a hair more or less; the limit of 64 bits.
TEST(Convert, JouleExactlyWhateverTheirExponent) {
  const auto kwh = [](Decimal joule) { return convert(joule, Unit::joule, Unit::kilowatt_hour); };
  EXPECT_EQ(kwh({9'000, 0}), (Decimal{2, -3}));
  EXPECT_EQ(kwh({90'000, -1}), (Decimal{2, -3}));
  EXPECT_EQ(kwh({90'001, -1}), (Decimal{3, -3}));
  EXPECT_EQ(kwh({89'999, -1}), (Decimal{2, -3}));
  EXPECT_EQ(kwh({9'000'000'000'000'001, -12}), (Decimal{3, -3}));
  EXPECT_EQ(kwh({-9'000'000'000'000'001, -12}), (Decimal{-3, -3}));
  EXPECT_EQ(kwh({1, -30}), (Decimal{0, -3}));
  EXPECT_EQ(kwh({1, 4}), (Decimal{3, -3}));
  EXPECT_EQ(kwh({INT64_MIN, 0}), (Decimal{-2'562'047'788'015'216, -3}));  // …215.5
  EXPECT_EQ(kwh({33'204'139'332'677'192, 6}), (Decimal{9'223'372'036'854'775'556, -3}));
  EXPECT_EQ(kwh({33'204'139'332'677'193, 6}), std::nullopt);
  EXPECT_EQ(kwh({1, 30}), std::nullopt);
}

TEST_F(Harmonize, ACodeOfSeveralQuantitiesIsNamedByItsUnit) {
  const std::string_view time = "201120113000W";
  auto add = [&](Reading reading) {
    ASSERT_TRUE(set_.readings.push_back(reading.of_sub_meter(1)));
  };
  ASSERT_TRUE(set_.sub_meters.push_back({MeterId("G4"), Medium::gas, 1}));
  add(Reading::date_time("0-1:24.2.1"_obis, bytes_of(time)));
  add(Reading::number("0-1:24.2.1"_obis, {2345678, -3}, Unit::cubic_metre));
  run();
  EXPECT_TRUE(named_.empty()) << "the values of a meter behind this one";
  ReadingSet gas;
  sub_meter_telegram(set_, 0, gas);
  EXPECT_EQ(gas.meter_id.view(), "G4");
  harmonize(gas, map_, named_);
  ASSERT_EQ(named_.size(), 2u);
  ASSERT_TRUE(find(named_, "capture_time"));
  EXPECT_EQ(find(named_, "capture_time")->time.hour, 11);
  EXPECT_EQ(find(named_, "volume")->value, (Decimal{2345678, -3}));
}

TEST_F(Harmonize, AnElectricitySubMeterImports) {
  set_.meter_id = MeterId("PARENT");
  ASSERT_TRUE(set_.sub_meters.push_back({{}, Medium::electricity, 4}));
  const Reading sent = Reading::number("0-4:24.2.1"_obis, {1500, -3}, Unit::kilowatt_hour);
  ASSERT_TRUE(set_.readings.push_back(sent.of_sub_meter(1)));
  ReadingSet slave;
  sub_meter_telegram(set_, 0, slave);
  EXPECT_EQ(slave.meter_id.view(), "PARENT-4");
  harmonize(slave, map_, named_);
  ASSERT_EQ(named_.size(), 1u);
  EXPECT_EQ(named_[0].name, "energy_import");
}

TEST(Quantities, ARegisterFitsOneRowAndAPropertyOneName) {
  std::set<std::tuple<std::uint64_t, Quantity::Use, Unit>> codes;
  std::map<std::string_view, std::string_view> properties;
  for (const Quantity& row : quantities()) {
    EXPECT_TRUE(codes.insert({row.obis.key(), row.use, base_of(row.unit).base}).second) << row.name;
    if (!row.dbus_property.empty()) {
      EXPECT_EQ(properties.emplace(row.dbus_property, row.name).first->second, row.name);
    }
    EXPECT_EQ(slug(row.name).find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-"),
              std::string::npos);
  }
  EXPECT_EQ(find_quantity("energy_import")->obis, "1-0:1.8.0"_obis);
  EXPECT_EQ(find_quantity("no_such_quantity"), nullptr);
}

TEST(Quantities, ACodeIsKnownByWhateverNameTheUserGaveIt) {
  const QuantityMap map({{.obis = "1-0:1.7.0"_obis, .name = "house", .unit = {}, .scale = {}},
                         {.obis = "1-0:2.7.0"_obis, .name = "", .unit = {}, .scale = {}},
                         {.obis = "1-0:16.7.0"_obis, .name = "power_abs", .unit = {}, .scale = {}},
                         {.obis = "1-0:128.7.0"_obis, .name = "pump", .unit = {}, .scale = {}}});
  EXPECT_EQ(map.code_of("house"), "1-0:1.7.0"_obis);
  EXPECT_EQ(map.code_of("pump"), "1-0:128.7.0"_obis);
  EXPECT_EQ(map.code_of("voltage_l1"), "1-0:32.7.0"_obis);
  EXPECT_EQ(map.code_of("power_abs"), "1-0:15.7.0"_obis);  // what the user says it is
  EXPECT_EQ(map.code_of("unheard of"), Obis{});
  EXPECT_EQ(map.code_of(""), Obis{});
}

TEST(Convert, IsExactOrNothing) {
  EXPECT_EQ(convert({12048950, -3}, Unit::kilowatt_hour, Unit::watt_hour), (Decimal{12048950, 0}));
  EXPECT_EQ(convert({545, 0}, Unit::watt, Unit::watt), (Decimal{545, 0}));
  EXPECT_EQ(convert({7, -2}, Unit::none, Unit::none), (Decimal{7, -2}));
  EXPECT_FALSE(convert({1, 0}, Unit::watt_hour, Unit::var_hour));
  EXPECT_FALSE(convert({1, 0}, Unit::degree, Unit::none));
}

TEST(UnknownName, FollowsTheCode) {
  EXPECT_EQ(UnknownName("1-0:128.7.0"_obis).view(), "obis_1_0_128_7_0");
  EXPECT_EQ(UnknownName("255-255:255.255.255*254"_obis).view(),
            "obis_255_255_255_255_255_f254");
}

TEST(Slug, KeepsOnlyTopicCharacters) { EXPECT_EQ(slug("1KFM 02/ü+#"), "1kfm-02-----"); }

TEST(TelegramJson, HasTheContractsShape) {
  ReadingSet set;
  const std::string serial = "1KFM\"\x01\xff";
  ASSERT_TRUE(set.readings.push_back(
      Reading::number("1-0:1.8.0"_obis, {12048950, 0}, Unit::watt_hour)));
  ASSERT_TRUE(set.readings.push_back(Reading::text("0-0:96.1.0"_obis, serial)));
  ASSERT_TRUE(set.readings.push_back(
      Reading::number("1-0:128.7.0"_obis, {7, 0}, Unit::none, Reading::scale_unknown)));
  set.link = Link::mbus;
  set.authentication = Authentication::unverified;
  QuantityMap map;
  NamedReadings named;
  harmonize(set, map, named);
  std::string json;
  const TelegramFacts::Age ages[] = {{"energy_export", 47}};
  write_telegram_json(set, named, map,
                      {.meter_id = "1KFM", .received_us = 1795172405481203, .sequence = 4711,
                       .with_registers = true, .ages = ages},
                      json);
  EXPECT_EQ(json,
            R"({"profile":"smartmeterd/1","meter":"1KFM","time":null,)"
            R"("received":"2026-11-20T11:00:05.481203Z","sequence":4711,"link":"mbus",)"
            R"("authenticated":false,"readings":{"energy_import":12048.950},"derived":[],)"
            R"("ages":{"energy_export":47},"registers":[)"
            R"({"obis":"1-0:1.8.0","name":"energy_import","value":12048950,"unit":"Wh"},)"
            "{\"obis\":\"0-0:96.1.0\",\"name\":\"meter_serial\",\"text\":"
            "\"1KFM\\\"\\u0001\xef\xbf\xbd\"},"
            R"({"obis":"1-0:128.7.0","name":"obis_1_0_128_7_0","value":7,"scale_unknown":true}]})");
}

TEST(Utc, IsReadAsItIsWritten) {
  constexpr std::int64_t us = 1795172405481203;
  char buffer[32];
  EXPECT_EQ(parse_utc(utc_text(us, buffer)), us);
  EXPECT_EQ(parse_utc("2026-11-20T11:00:05Z"), us - 481203);
  EXPECT_EQ(parse_utc("2026-11-20T11:00:05.5Z"), us - 481203 + 500000);
  EXPECT_EQ(parse_utc("2026-11-20T11:00:05.481203999Z"), us);
  EXPECT_EQ(parse_utc("1969-12-31T23:59:59.999999Z"), -1);
  for (const char* text :
       {"", "Z", "2026-11-20T11:00:05", "2026-11-20 11:00:05Z", "2026-02-30T11:00:05Z",
        "2026-11-20T24:00:00Z", "2026-11-20T11:60:00Z", "2026-11-20T11:00:05.Z",
        "2026-11-20T11:00:05.x1Z", "2026-11-20T11:00:05.0123456789Z", "2026-11-20T11:00:05+01:00Z",
        "2026-11-20T11:00:05.5", "20x6-11-20T11:00:05Z"})
    EXPECT_FALSE(parse_utc(text)) << text;
}

}  // namespace
}  // namespace meter
