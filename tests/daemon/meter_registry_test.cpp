// SPDX-License-Identifier: Apache-2.0
// Which meter a telegram belongs to, and what is kept of it.
#include "daemon/meter_registry.hpp"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace smartmeterd {
namespace {

using meter::Decimal;
using meter::Obis;
using meter::Reading;
using meter::Unit;

/// Writes down what it is told.
class Recorder : public Sink {
 public:
  void meter_added(const Meter& meter) override {
    events.push_back("added " + meter.id);
    meters[meter.id] = &meter;
  }
  void meter_removed(const Meter& meter) override {
    events.push_back("removed " + meter.id);
    meters.erase(meter.id);
  }
  void meter_changed(const Meter& meter) override {
    if (!meter.fresh) offline.push_back(meter.id);
  }
  void telegram(const Telegram& telegram) override {
    events.push_back("telegram " + telegram.meter.id);
    changed.assign(telegram.changed.begin(), telegram.changed.end());
    last = &telegram.meter;
    if (telegram.last_byte) measured.push_back(telegram.meter.id);
  }
  std::vector<std::string> events;
  std::vector<std::string> offline;
  std::map<std::string, const Meter*> meters;  // that are there
  std::vector<std::string> changed;
  std::vector<std::string> measured;  // telegrams of these meters
  const Meter* last = nullptr;
};

class MeterRegistryTest : public testing::Test {
 protected:
  MeterRegistryTest() {
    adapter_.name = "pts-1";
    adapter_.table = "main";
    adapter_.device = "/dev/pts/1";
  }

  std::optional<meter::Errc> send(std::string_view id, std::vector<Reading> readings,
                                  bool id_is_title = false) {
    meter::ReadingSet set;
    set.clear();
    EXPECT_TRUE(set.meter_id.assign(id));
    set.meter_id_is_title = id_is_title;
    if (id_is_title) set.authentication = meter::Authentication::verified;
    if (encrypted_)
      set.system_title = meter::SystemTitle{std::byte{'K'}, std::byte{'F'}, std::byte{'M'}};
    for (const Reading& reading : readings) EXPECT_TRUE(set.readings.push_back(reading));
    if (authentication_) set.authentication = *authentication_;
    return registry_.accept(*from_, set, arrival_);
  }
  struct Behind {
    std::string_view id;
    meter::Medium medium;
    std::uint8_t channel;
    Reading reading;
  };
  /// A telegram of a meter with others behind it; each sent its type and one value.
  std::optional<meter::Errc> send_with(std::string_view id, std::vector<Behind> behind) {
    meter::ReadingSet set;
    EXPECT_TRUE(set.meter_id.assign(id));
    EXPECT_TRUE(set.readings.push_back(number("1-0:1.7.0", 5, Unit::watt)));
    for (const Behind& one : behind) {
      meter::SubMeter sub_meter;
      EXPECT_TRUE(sub_meter.id.assign(one.id));
      sub_meter.medium = one.medium;
      sub_meter.channel = one.channel;
      EXPECT_TRUE(set.sub_meters.push_back(sub_meter));
      const auto number = static_cast<std::uint8_t>(set.sub_meters.size());
      EXPECT_TRUE(set.readings.push_back(one.reading.of_sub_meter(number)));
    }
    if (authentication_) set.authentication = *authentication_;
    return registry_.accept(adapter_, set, arrival_);
  }
  static Behind gas(std::string_view id, std::int64_t litres) {
    return {id, meter::Medium::gas, 1,
            Reading::number(*Obis::parse("0-1:24.2.1"), Decimal{litres, -3}, Unit::cubic_metre)};
  }
  static Behind heat(std::string_view id, std::int64_t megajoule) {
    return {id, meter::Medium::heat, 2,
            Reading::number(*Obis::parse("0-2:24.2.1"), Decimal{megajoule, -3}, Unit::gigajoule)};
  }

  static Reading number(const char* obis, std::int64_t mantissa, Unit unit) {
    return Reading::number(*Obis::parse(obis), Decimal{mantissa, 0}, unit);
  }

  std::unique_ptr<io::Loop> loop_ = io::Loop::make(io::Backend::epoll);
  Recorder recorder_;
  MeterRegistry registry_{*loop_, recorder_};
  Adapter adapter_;
  const Adapter* from_ = &adapter_;
  Arrival arrival_;
  bool encrypted_ = false;
  std::optional<meter::Authentication> authentication_;
};

using Events = std::vector<std::string>;

TEST_F(MeterRegistryTest, WhatIsLeftOutLeavesAtTheReload) {
  ASSERT_FALSE(send("1", {number("1-0:1.7.0", 5, Unit::watt), number("1-0:32.7.0", 230, Unit::volt),
                          number("1-0:52.7.0", 231, Unit::volt)}));
  std::vector<meter::QuantityMap::Change> changes;
  changes.push_back({.obis = *Obis::parse("1-0:32.7.0"), .name = ""});
  changes.push_back({.obis = *Obis::parse("1-0:52.7.0"), .name = "mains"});
  registry_.configure({}, meter::QuantityMap(std::move(changes)));
  const Meter& meter = *recorder_.meters.at("1");
  EXPECT_NE(meter.find("power_import"), nullptr);
  EXPECT_EQ(meter.find("voltage_l1"), nullptr);
  EXPECT_EQ(meter.find("voltage_l2"), nullptr);
  ASSERT_FALSE(
      send("1", {number("1-0:32.7.0", 230, Unit::volt), number("1-0:52.7.0", 231, Unit::volt)}));
  EXPECT_EQ(meter.find("voltage_l1"), nullptr);
  EXPECT_NE(meter.find("mains"), nullptr);
}

TEST_F(MeterRegistryTest, UnknownUntilAnIdIsSeenAndThenForGood) {
  send("", {number("1-0:1.7.0", 5, Unit::watt)});
  send("LGZ1", {number("1-0:1.8.0", 7, Unit::watt_hour)});
  send("", {number("1-0:1.7.0", 6, Unit::watt)});
  EXPECT_EQ(recorder_.events,
            (Events{"added unknown-pts-1", "telegram unknown-pts-1", "removed unknown-pts-1",
                    "added LGZ1", "telegram LGZ1", "telegram LGZ1"}));
  EXPECT_EQ(registry_.size(), 1u);
  EXPECT_EQ(recorder_.last->sequence, 3u);
}

TEST_F(MeterRegistryTest, SystemTitleIsOnlyALastResort) {
  encrypted_ = true;
  send("4B464D0000000000", {number("1-0:1.7.0", 5, Unit::watt)}, true);
  send("KFM1", {number("1-0:1.7.0", 5, Unit::watt)});
  send("4B464D0000000000", {number("1-0:1.7.0", 5, Unit::watt)}, true);
  EXPECT_EQ(recorder_.events.back(), "telegram KFM1");
  EXPECT_EQ(recorder_.last->manufacturer, "KFM");
  EXPECT_EQ(registry_.size(), 1u);
}

TEST_F(MeterRegistryTest, AConfiguredIdIsForAMeterThatSendsNone) {
  for (const char* adapter : {"main", "pts-1"}) {  // the table's name, and the one that is shown
    registry_.configure({{.name = "house", .id = std::string("my-meter-on-") + adapter,
                          .adapter = adapter, .display_name = "House", .zone = ""}},
                        {});
    send("", {number("1-0:1.7.0", 5, Unit::watt)});
    EXPECT_EQ(recorder_.last->id, std::string("my-meter-on-") + adapter);
    EXPECT_EQ(recorder_.last->display_name, "House");
  }
}

TEST_F(MeterRegistryTest, ListsAreMergedAndOnlyChangesReported) {
  send("LGZ1", {number("1-0:1.7.0", 5, Unit::watt), number("1-0:2.7.0", 0, Unit::watt)});
  send("LGZ1", {number("1-0:1.8.0", 7000, Unit::watt_hour)});
  EXPECT_EQ(recorder_.changed, (Events{"energy_import"}));
  ASSERT_TRUE(recorder_.last->find("power_import"));
  EXPECT_EQ(recorder_.last->find("energy_import")->value, (Decimal{7000, -3}));
  EXPECT_EQ(recorder_.last->registers.size(), 1u);  // of the last telegram only
  send("LGZ1", {number("1-0:1.7.0", 5, Unit::watt), number("1-0:2.7.0", 1, Unit::watt)});
  EXPECT_EQ(recorder_.changed, (Events{"power_export", "power_net"}));
}

TEST_F(MeterRegistryTest, ADerivedValueNeverReplacesASentOne) {
  send("LGZ1", {number("1-0:1.8.0", 7001, Unit::watt_hour)});
  send("LGZ1",
       {number("1-0:1.8.1", 4000, Unit::watt_hour), number("1-0:1.8.2", 3000, Unit::watt_hour)});
  EXPECT_EQ(recorder_.last->find("energy_import")->value, (Decimal{7001, -3}));
  EXPECT_FALSE(recorder_.last->find("energy_import")->derived);
}

TEST_F(MeterRegistryTest, AReplacedMeterIsAnotherMeter) {
  send("LGZ1", {number("1-0:1.7.0", 5, Unit::watt)});
  send("LGZ2", {number("1-0:1.7.0", 5, Unit::watt)});
  send("", {number("1-0:1.7.0", 6, Unit::watt)});
  EXPECT_EQ(recorder_.last->id, "LGZ2");
  EXPECT_EQ(registry_.size(), 2u);
}

TEST_F(MeterRegistryTest, AForgerCannotLeaveTheProtectionOut) {
  authentication_ = meter::Authentication::verified;
  EXPECT_FALSE(send("LGZ1", {number("1-0:1.7.0", 5, Unit::watt)}));
  for (const auto weaker : {meter::Authentication::unverified, meter::Authentication::clear}) {
    authentication_ = weaker;
    EXPECT_EQ(send("LGZ1", {number("1-0:1.7.0", 88888, Unit::watt)}), meter::Errc::tag_missing);
  }
  EXPECT_EQ(recorder_.last->find("power_import")->value, (Decimal{5, 0}));
  registry_.configure({}, {});  // a reload: the operator may really have changed the mode
  EXPECT_FALSE(send("LGZ1", {number("1-0:1.7.0", 6, Unit::watt)}));
}

TEST_F(MeterRegistryTest, NoTwoMetersShareATopic) {
  std::set<std::string> slugs;
  for (const char* id : {"a/b", "a-b", "a b", "A#B", "gateway"}) {
    send(id, {number("1-0:1.7.0", 5, Unit::watt)});
    EXPECT_TRUE(slugs.insert(recorder_.last->slug).second) << recorder_.last->slug;
  }
  EXPECT_FALSE(slugs.contains("gateway"));
}

TEST_F(MeterRegistryTest, MadeUpMetersAreLimited) {
  for (int i = 0; i < 1000; ++i)
    send("id" + std::to_string(i), {number("1-0:1.7.0", 5, Unit::watt)});
  EXPECT_EQ(registry_.size(), 256u);
  EXPECT_EQ(send("another", {}), meter::Errc::too_many_elements);
  EXPECT_FALSE(send("id0", {number("1-0:1.7.0", 6, Unit::watt)}));
}

TEST_F(MeterRegistryTest, AGatewayMaySayWhenItReceivedATelegram) {
  arrival_.received_us = 1'795'172'405'481'203;
  send("LGZ1", {number("1-0:1.7.0", 5, Unit::watt)});
  EXPECT_EQ(recorder_.last->last_update_us, 1'795'172'405'481'203);
}

TEST_F(MeterRegistryTest, AnAcceptedTelegramOfAPortIsMeasuredOnce) {
  Latencies latencies;
  adapter_.latencies = &latencies;
  arrival_.last_byte = io::Clock::now();
  EXPECT_EQ(send_with("E1", {gas("G1", 1000), heat("H1", 500)}), std::nullopt);
  EXPECT_EQ(recorder_.measured, (std::vector<std::string>{"E1"}));
  EXPECT_EQ(latencies.decoded.count(), 1u);
  EXPECT_GE(latencies.decoded.summary().min_s, 0);
  authentication_ = meter::Authentication::verified;
  EXPECT_EQ(send("E1", {}), std::nullopt);
  EXPECT_EQ(latencies.decoded.count(), 2u);
  authentication_ = meter::Authentication::clear;
  EXPECT_NE(send("E1", {}), std::nullopt);  // refused
  arrival_.last_byte.reset();
  authentication_ = meter::Authentication::verified;
  EXPECT_EQ(send("E1", {}), std::nullopt);  // read elsewhere
  EXPECT_EQ(latencies.decoded.count(), 2u);
}

TEST_F(MeterRegistryTest, WhoDoesNotNameItselfAmongManyIsNotTheOneBefore) {
  arrival_.sender = "one";
  send("LGZ1", {number("1-0:1.7.0", 5, Unit::watt)});
  send("", {number("1-0:1.7.0", 6, Unit::watt)});
  EXPECT_EQ(recorder_.last->id, "unknown-one");
  arrival_.sender = "two";
  send("", {number("1-0:1.7.0", 7, Unit::watt)});
  EXPECT_EQ(recorder_.last->id, "unknown-two");
  EXPECT_EQ(registry_.size(), 3u);
}

TEST_F(MeterRegistryTest, ManySendersHaveManyMeters) {
  arrival_.sender = "many";
  for (int i = 0; i < 1000; ++i)
    EXPECT_FALSE(send("id" + std::to_string(i), {number("1-0:1.7.0", 5, Unit::watt)}));
  EXPECT_EQ(registry_.size(), 1000u);
}

TEST_F(MeterRegistryTest, OfAStatelessMeterOnlyTheLastTelegramIsKnown) {
  Adapter shared = adapter_;
  shared.name = "shared";
  shared.is_stateless = true;
  shared.translated_from = "mqtt://broker:1883/#";
  from_ = &shared;
  send("LGZ1", {number("1-0:1.7.0", 5, Unit::watt), number("1-0:2.7.0", 0, Unit::watt)});
  EXPECT_TRUE(recorder_.last->is_stateless);
  EXPECT_EQ(recorder_.last->values.size(), 3u);  // with power_net
  send("LGZ1", {number("1-0:1.8.0", 7000, Unit::watt_hour)});
  ASSERT_EQ(recorder_.last->values.size(), 1u);
  EXPECT_EQ(recorder_.last->values[0].name, "energy_import");
  EXPECT_EQ(recorder_.changed, (Events{"energy_import"}));
  send("LGZ1", {number("1-0:1.8.0", 7000, Unit::watt_hour)});
  EXPECT_EQ(recorder_.changed, (Events{"energy_import"}));  // the other members do not know it
  EXPECT_EQ(recorder_.last->interval_s, 0);
}

TEST_F(MeterRegistryTest, AMeterThatAPortReadsIsNotTakenFromABroker) {
  Adapter translated = adapter_;
  translated.name = "translated";
  translated.translated_from = "mqtt://broker:1883/datacollector/+/+";
  from_ = &translated;
  EXPECT_FALSE(send("LGZ1", {number("1-0:1.7.0", 4, Unit::watt)}));
  from_ = &adapter_;
  EXPECT_FALSE(send("LGZ1", {number("1-0:1.7.0", 5, Unit::watt)}));
  EXPECT_EQ(recorder_.last->adapter, &adapter_);
  from_ = &translated;
  EXPECT_EQ(send("LGZ1", {number("1-0:1.7.0", 4, Unit::watt)}), meter::Errc::duplicate);
  EXPECT_EQ(recorder_.last->find("power_import")->value, (Decimal{5, 0}));
  registry_.adapter_removed(adapter_);
  EXPECT_FALSE(send("LGZ1", {number("1-0:1.7.0", 6, Unit::watt)}));
  EXPECT_EQ(registry_.size(), 1u);
}

/// As single values it is on the broker because we have told it on.
TEST_F(MeterRegistryTest, WhatWeMadeOfAGatewaysMeterDoesNotComeBack) {
  Adapter gateway = adapter_;
  gateway.name = "gplug";
  gateway.translated_from = "mqtt://broker:1883/tele/+/SENSOR";
  Adapter values = adapter_;
  values.name = "values";
  values.translated_from = "mqtt://broker:1883/datacollector/+/+";
  const auto send_as = [&](const Adapter& adapter, meter::Link link, std::int64_t watt) {
    meter::ReadingSet set;
    EXPECT_TRUE(set.meter_id.assign("EXT"));
    set.link = link;
    EXPECT_TRUE(set.readings.push_back(number("1-0:1.7.0", watt, Unit::watt)));
    return registry_.accept(adapter, set, {.sender = "x"});
  };
  EXPECT_FALSE(send_as(gateway, meter::Link::gplug, 5));
  EXPECT_EQ(send_as(values, meter::Link::datacollector, 5), meter::Errc::duplicate);
  EXPECT_EQ(recorder_.last->sequence, 1u);
  EXPECT_EQ(recorder_.last->link, meter::Link::gplug);
  EXPECT_FALSE(send_as(gateway, meter::Link::gplug, 6));
}

TEST_F(MeterRegistryTest, WhatAGatewaySaidIsNotMixedWithWhatAPortSays) {
  Adapter translated = adapter_;
  translated.name = "house";
  translated.translated_from = "mqtt://broker:1883/tele/+/SENSOR";
  from_ = &translated;
  send("A", {number("1-0:1.8.0", 1, Unit::kilowatt_hour),
             number("1-0:5.8.0", 3, Unit::kilovar_hour)});
  from_ = &adapter_;
  send("A", {number("1-0:1.8.1", 7, Unit::kilowatt_hour),
             number("1-0:1.8.2", 5, Unit::kilowatt_hour)});
  const Meter& meter = *recorder_.meters.at("A");
  ASSERT_NE(meter.find("energy_import"), nullptr);
  EXPECT_EQ(meter.find("energy_import")->value.to_double(), 12);
  EXPECT_EQ(meter.find("reactive_energy_q1"), nullptr);
}

TEST_F(MeterRegistryTest, ListsThatOneGatewayHandsOnAreMerged) {
  Adapter gateway = adapter_;
  gateway.name = "a-gateway-whose-name-is-longer-than-a-string-keeps-in-itself";
  gateway.translated_from = "mqtt://broker:1883/smartmeter/gateway/+/raw/+";
  from_ = &gateway;
  send("A", {number("1-0:1.8.0", 1, Unit::kilowatt_hour)});
  for (int watt = 0; watt < 10; ++watt) send("A", {number("1-0:1.7.0", watt, Unit::watt)});
  EXPECT_NE(recorder_.last->find("energy_import"), nullptr);
}

TEST_F(MeterRegistryTest, OneSourceFeedsAMeterUntilItFallsSilent) {
  Adapter first = adapter_, second = adapter_, gateway = adapter_;
  first.name = first.table = "first";
  second.name = second.table = "second";
  gateway.name = "cellar-meter";
  gateway.table = "first";
  for (Adapter* adapter : {&first, &second, &gateway})
    adapter->translated_from = "mqtt://broker:1883/" + adapter->name;
  from_ = &first;
  EXPECT_FALSE(send("TWO", {number("1-0:1.7.0", 4, Unit::watt)}));
  from_ = &second;
  EXPECT_EQ(send("TWO", {number("1-0:1.8.0", 9, Unit::kilowatt_hour)}), meter::Errc::duplicate);
  const Meter& meter = *recorder_.meters.at("TWO");
  EXPECT_EQ(meter.adapter, &first);
  EXPECT_EQ(meter.find("energy_import"), nullptr);
  from_ = &gateway;  // of the same source
  EXPECT_FALSE(send("TWO", {number("1-0:2.7.0", 1, Unit::watt)}));
  EXPECT_EQ(meter.adapter, &gateway);
  EXPECT_EQ(meter.find("power_import"), nullptr);
  from_ = &second;
  registry_.adapter_removed(gateway);
  EXPECT_FALSE(send("TWO", {number("1-0:1.8.0", 9, Unit::kilowatt_hour)}));
  EXPECT_EQ(meter.find("power_export"), nullptr);
  from_ = &adapter_;  // a port always takes over
  EXPECT_FALSE(send("TWO", {number("1-0:1.7.0", 5, Unit::watt)}));
  EXPECT_EQ(meter.adapter, &adapter_);
  EXPECT_EQ(meter.find("energy_import"), nullptr);
  EXPECT_EQ(registry_.size(), 1u);
}

TEST_F(MeterRegistryTest, WhatASourceSaysWithoutAReadingMakesNoMeter) {
  Adapter source = adapter_;
  source.name = "house";
  source.translated_from = "mqtt://broker:1883/tele/+/SENSOR";
  from_ = &source;
  EXPECT_EQ(send("x", {}), meter::Errc::list_unknown);
  EXPECT_EQ(registry_.size(), 0u);
  EXPECT_FALSE(send("without a name", {number("1-0:128.128.0", 5, Unit::watt)}));
  EXPECT_FALSE(send("x", {number("1-0:1.7.0", 5, Unit::watt)}));
  EXPECT_FALSE(send("x", {}));  // it lives
  EXPECT_EQ(recorder_.last->sequence, 2u);
  EXPECT_EQ(recorder_.last->find("power_import")->value, (Decimal{5, 0}));
  from_ = &adapter_;
  EXPECT_FALSE(send("a meter of a port", {}));
}

TEST_F(MeterRegistryTest, WhatFollowedFromAQuantityLeavesWithIt) {
  send("A", {number("1-0:1.7.0", 5, Unit::watt), number("1-0:2.7.0", 0, Unit::watt)});
  const Meter& meter = *recorder_.meters.at("A");
  ASSERT_NE(meter.find("power_net"), nullptr);
  registry_.configure({}, meter::QuantityMap({{.obis = *Obis::parse("1-0:1.7.0"), .name = {}}}));
  send("A", {number("1-0:1.7.0", 6, Unit::watt), number("1-0:2.7.0", 0, Unit::watt)});
  EXPECT_EQ(meter.find("power_net"), nullptr);
}

TEST_F(MeterRegistryTest, MetersBehindAnotherAreMetersOfTheirOwn) {
  EXPECT_FALSE(send_with("LGZ1", {gas("G0025", 14420), heat("H7", 3600)}));
  EXPECT_EQ(recorder_.events, (Events{"added LGZ1", "telegram LGZ1", "added G0025",
                                      "telegram G0025", "added H7", "telegram H7"}));
  const Meter& gas_meter = *recorder_.meters.at("G0025");
  EXPECT_EQ(gas_meter.parent_id, "LGZ1");
  EXPECT_EQ(gas_meter.medium, "gas");
  EXPECT_EQ(gas_meter.slug, "g0025");
  EXPECT_EQ(gas_meter.find("volume")->value, (Decimal{14420, -3}));
  EXPECT_EQ(gas_meter.adapter, &adapter_);
  const Meter& heat_meter = *recorder_.meters.at("H7");
  EXPECT_EQ(heat_meter.medium, "heat");
  EXPECT_EQ(heat_meter.find("energy")->value, (Decimal{1'000'000, -3}));  // 3.6 GJ
  const Meter& main = *recorder_.meters.at("LGZ1");
  EXPECT_EQ(main.parent_id, "");
  EXPECT_FALSE(main.find("volume"));
  EXPECT_EQ(main.registers.size(), 3u);  // the whole telegram, as sent
}

TEST_F(MeterRegistryTest, AMeterBehindIsNamedByItsChannelUntilItsIdIsKnown) {
  send_with("", {gas("", 1)});
  EXPECT_TRUE(recorder_.meters.contains("unknown-pts-1-1"));
  EXPECT_EQ(recorder_.meters.at("unknown-pts-1-1")->parent_id, "unknown-pts-1");
  send_with("LGZ1", {gas("", 2)});
  EXPECT_EQ(recorder_.meters.at("LGZ1-1")->parent_id, "LGZ1");
  send_with("LGZ1", {gas("G0025", 3)});
  send_with("LGZ1", {gas("", 4)});
  EXPECT_EQ(recorder_.events.back(), "telegram G0025");
  EXPECT_EQ(recorder_.last->sequence, 4u);
  EXPECT_EQ(recorder_.meters.size(), 2u);
  EXPECT_EQ(registry_.size(), 2u);
}

TEST_F(MeterRegistryTest, AReplacedMeterBehindGoesOfflineAtOnce) {
  send_with("LGZ1", {gas("G1", 1), heat("H7", 1)});
  send_with("LGZ1", {gas("G2", 2), heat("H7", 1)});
  EXPECT_EQ(recorder_.offline, Events{"G1"});
  EXPECT_FALSE(recorder_.meters.at("G1")->fresh);
  EXPECT_EQ(recorder_.meters.at("G1")->find("volume")->value, (Decimal{1, -3}));
  EXPECT_TRUE(recorder_.meters.at("G2")->fresh);
  EXPECT_TRUE(recorder_.meters.at("H7")->fresh);
  send_with("LGZ1", {gas("G1", 1)});  // put back
  EXPECT_TRUE(recorder_.meters.at("G1")->fresh);
  EXPECT_FALSE(recorder_.meters.at("G2")->fresh);
}

TEST_F(MeterRegistryTest, AMeterBehindStaysWhenTheOneInFrontIsReplaced) {
  send_with("LGZ1", {gas("G1", 1)});
  send_with("LGZ2", {gas("G1", 2)});
  EXPECT_EQ(recorder_.meters.at("G1")->parent_id, "LGZ2");
  EXPECT_EQ(recorder_.meters.at("G1")->sequence, 2u);
  EXPECT_EQ(registry_.size(), 3u);
}

TEST_F(MeterRegistryTest, AMeterReadByItselfKeepsItsName) {
  send("G1", {number("1-0:1.7.0", 5, Unit::watt)});
  send_with("LGZ1", {gas("G1", 1)});
  EXPECT_EQ(recorder_.meters.at("G1")->parent_id, "");
  EXPECT_EQ(recorder_.meters.at("LGZ1-1")->parent_id, "LGZ1");
  // The other way round: shown behind another one first, then heard itself.
  send_with("LGZ1", {heat("H7", 1)});
  send("H7", {number("1-0:1.7.0", 5, Unit::watt)});
  EXPECT_EQ(recorder_.meters.at("H7")->parent_id, "");
}

TEST_F(MeterRegistryTest, MetersBehindAreProtectedAndLimitedToo) {
  authentication_ = meter::Authentication::verified;
  EXPECT_FALSE(send_with("LGZ1", {gas("G1", 1)}));
  authentication_ = meter::Authentication::clear;
  EXPECT_FALSE(send_with("LGZ2", {gas("G1", 9)}));  // not the meter that G1 was seen behind
  EXPECT_EQ(recorder_.meters.at("G1")->find("volume")->value, (Decimal{1, -3}));
  for (int i = 0; i < 1000; ++i) send_with("LGZ2", {heat("id" + std::to_string(i), 1)});
  EXPECT_EQ(registry_.size(), 256u);
}

TEST_F(MeterRegistryTest, OnAWiredBusNobodyInheritsAName) {
  for (const char* id : {"12345678", "", "87654321"}) {
    meter::ReadingSet set;
    EXPECT_TRUE(set.meter_id.assign(id));
    set.link = meter::Link::mbus_master;
    set.medium = meter::Medium::water;
    EXPECT_FALSE(registry_.accept(adapter_, set));
    EXPECT_EQ(recorder_.last->medium, "water");
  }
  EXPECT_EQ(recorder_.events,
            (Events{"added 12345678", "telegram 12345678", "added unknown-pts-1",
                    "telegram unknown-pts-1", "added 87654321", "telegram 87654321"}));
}

TEST_F(MeterRegistryTest, TimesAreTexts) {
  const std::string_view stamp = "101209112500W";
  send_with("LGZ1", {{"G1", meter::Medium::gas, 1,
                      Reading::date_time(*Obis::parse("0-1:24.2.1"), meter::bytes_of(stamp))}});
  const LatestValue* time = recorder_.meters.at("G1")->find("capture_time");
  ASSERT_TRUE(time);
  EXPECT_TRUE(time->is_text);
  EXPECT_EQ(time->text, "2010-12-09T11:25:00");
}

TEST_F(MeterRegistryTest, MetersOutliveTheirAdapter) {
  send("LGZ1", {number("1-0:1.7.0", 5, Unit::watt)});
  registry_.adapter_removed(adapter_);
  EXPECT_EQ(recorder_.last->adapter, nullptr);
  EXPECT_EQ(registry_.size(), 1u);
}

// Ids that two meters share would mix gas with heat.
TEST_F(MeterRegistryTest, MetersBehindThatShareAnIdStayApart) {
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(send_with("MAIN", {gas("G1", 7000), heat("G1", 8000)}));
  ASSERT_EQ(registry_.size(), 3u);
  EXPECT_TRUE(recorder_.meters.contains("G1"));
  EXPECT_TRUE(recorder_.meters.contains("MAIN-2"));
}

}  // namespace
}  // namespace smartmeterd
