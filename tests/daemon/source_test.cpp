// SPDX-License-Identifier: Apache-2.0
// Messages of a broker: which become readings, which are refused and why, and which are our own.
#include "daemon/source.hpp"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "meter/telegram_json.hpp"
#include "tests/daemon/p1_telegram.hpp"
#include "tests/libmeter/dlms/ciphering.hpp"

namespace smartmeterd {
namespace {

using meter::Errc;
using meter::test::from_hex;
using meter::test::Octets;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

class Recorder : public Sink {
 public:
  void adapter_added(const Adapter& adapter) override { adapters[adapter.name] = &adapter; }
  void adapter_removed(const Adapter& adapter) override { adapters.erase(adapter.name); }
  void meter_added(const Meter& meter) override { meters[meter.id] = &meter; }
  void meter_removed(const Meter& meter) override { meters.erase(meter.id); }
  void telegram(const Telegram& telegram) override { telegrams.push_back(telegram.meter.id); }
  void telegram_rejected(const Adapter& adapter, meter::Fault fault, std::uint64_t) override {
    rejected.push_back(adapter.name + ": " + std::string(meter::name(fault.code)));
  }
  std::vector<std::string> meter_ids() const {
    std::vector<std::string> ids;
    for (const auto& [id, meter] : meters) ids.push_back(id);
    return ids;
  }
  std::map<std::string, const Adapter*> adapters;
  std::map<std::string, const Meter*> meters;
  std::vector<std::string> telegrams;
  std::vector<std::string> rejected;
};

constexpr const char* key_text = "000102030405060708090A0B0C0D0E0F";

std::shared_ptr<const meter::dlms::KeyRing> ring_of(const char* key) {
  std::vector<meter::dlms::KeyEntry> entries;
  entries.push_back({"*", std::move(*meter::dlms::EncryptionKey::parse(key).key), {}, {}});
  return std::make_shared<meter::dlms::KeyRing>(std::move(entries));
}

/// An encrypted push in one M-Bus frame, with the invocation counter given: 545 W.
std::string encrypted(std::uint32_t counter, std::uint8_t last_octet_of_title = 9) {
  Octets title = from_hex("4B464D6750000009");
  title.back() = static_cast<std::byte>(last_octet_of_title);
  const Octets clear = from_hex("0F 00000001 0C 07E5091B01092F0F00FF8880 02 03"
                                "09 06 0100010700FF 06 00000221 02 02 0F 00 16 1B");
  const Octets apdu = meter::test::general_glo(
      title, meter::test::protected_content(0x20, counter, title, from_hex(key_text), {}, clear));
  Octets content = from_hex("53 FF 10 01 67");
  meter::test::append(content, apdu);
  const Octets wire = meter::test::mbus_frame(content);
  return std::string(meter::text_of(wire));
}

class SourceTest : public testing::Test {
 protected:
  SourceTest() {
    char name[] = "/tmp/source-test-XXXXXX";
    directory_ = mkdtemp(name);
    open_storage();
    broker_.host = "broker.example";
  }
  ~SourceTest() override {
    source_.reset();
    storage_.reset();
    std::filesystem::remove_all(directory_);
  }

  void open_storage() {
    storage_.reset();  // writes what is queued
    storage_ = history::Storage::open(directory_, std::chrono::milliseconds(0));
  }
  /// A source of this format, and online.
  void start(SourceFormat format, std::vector<std::string> topics = {},
             std::shared_ptr<const meter::dlms::KeyRing> keys = nullptr) {
    config_.name = "house";
    config_.format = format;
    config_.topics = std::move(topics);
    source_.reset();
    source_ = std::make_unique<Source>(
        SourceEnvironment{.loop = *loop_,
                          .sinks = recorder_,
                          .meters = meters_,
                          .storage = *storage_,
                          .instance = "here",
                          .prefixes = {"smartmeter/"},
                          .accept_counter_reset = false,
                          .names = names_},
        config_, broker_, std::move(keys));
    source_->set_online(true);
  }
  void take(std::string_view topic, std::string_view payload, bool retained = false,
            std::vector<mqtt::UserProperty> properties = {}) {
    source_->message({topic, meter::bytes_of(payload), retained, properties});
  }
  const Adapter& adapter(const std::string& name) { return *recorder_.adapters.at(name); }

  std::unique_ptr<io::Loop> loop_ = io::Loop::make(io::Backend::epoll);
  Recorder recorder_;
  MeterRegistry meters_{*loop_, recorder_};
  std::string directory_;
  std::unique_ptr<history::Storage> storage_;
  std::set<std::string, std::less<>> names_;
  SourceConfig config_;
  BrokerConfig broker_;
  std::unique_ptr<Source> source_;
};

constexpr const char* gplug = R"({"Time":"2023-08-15T10:00:00","z":{"SMid":"77","Pi":0.545}})";
constexpr const char* whatwatt =
    R"({"report":{"instantaneous_power":{"active":{"positive":{"total":0.545}}},"conv_factor":1},)"
    R"("meter":{"id":"88"}})";

// ---- JSON --------------------------------------------------------------------------------------

TEST_F(SourceTest, AMessageBecomesAReading) {
  if (!reads_json()) GTEST_SKIP() << "built without simdjson";
  start(SourceFormat::gplug);
  EXPECT_THAT(source_->filters(), ElementsAre("tele/+/SENSOR"));
  EXPECT_EQ(adapter("house").state, AdapterState::probing);
  take("tele/gPlug10/SENSOR", gplug);
  EXPECT_THAT(recorder_.meter_ids(), ElementsAre("77"));
  const Meter& meter = *recorder_.meters.at("77");
  EXPECT_EQ(meter.find("power_import")->value, (meter::Decimal{545, 0}));
  EXPECT_EQ(meter.link, meter::Link::gplug);
  const Adapter& house = adapter("house");
  EXPECT_EQ(meter.adapter, &house);
  EXPECT_EQ(house.kind, "mqtt");
  EXPECT_EQ(house.device, "mqtt://broker.example:1883/tele/+/SENSOR");
  EXPECT_EQ(house.translated_from, house.device);
  EXPECT_EQ(house.state, AdapterState::synced);
  EXPECT_EQ(house.protocol, "gplug");
  EXPECT_EQ(house.telegrams_received, 1u);
  EXPECT_EQ(house.bytes_received, std::string_view(gplug).size());
  EXPECT_NE(house.last_activity_us, 0);
}

TEST_F(SourceTest, AMessageWithoutAValueMakesNoMeter) {
  if (!reads_json()) GTEST_SKIP() << "built without simdjson";
  start(SourceFormat::gplug);
  take("tele/gPlug10/SENSOR", R"({"z":{"SMid":"x","Ei":null}})");
  EXPECT_THAT(recorder_.meter_ids(), IsEmpty());
  EXPECT_THAT(adapter("house").errors, ElementsAre(Pair("unknown", 1)));
}

TEST_F(SourceTest, AMeterThatAnotherSourceFeedsIsCounted) {
  if (!reads_json()) GTEST_SKIP() << "built without simdjson";
  Adapter other;
  other.name = other.table = "other";
  other.translated_from = "mqtt://elsewhere:1883/#";
  meter::ReadingSet readings;
  ASSERT_TRUE(readings.meter_id.assign("77"));
  ASSERT_TRUE(readings.readings.push_back(meter::Reading::number(
      *meter::Obis::parse("1-0:1.8.0"), meter::Decimal{1, 0}, meter::Unit::kilowatt_hour)));
  ASSERT_FALSE(meters_.accept(other, readings));
  start(SourceFormat::gplug);
  take("tele/gPlug10/SENSOR", gplug);
  EXPECT_EQ(recorder_.meters.at("77")->find("power_import"), nullptr);
  EXPECT_THAT(adapter("house").errors, ElementsAre(Pair("elsewhere", 1)));
}

TEST_F(SourceTest, AConfiguredFormatIsTheOnlyOne) {
  if (!reads_json()) GTEST_SKIP() << "built without simdjson";
  start(SourceFormat::gplug);
  take("tele/gPlug10/SENSOR", whatwatt);
  EXPECT_THAT(recorder_.meter_ids(), IsEmpty());
  EXPECT_THAT(adapter("house").errors, ElementsAre(Pair("format", 1)));
  start(SourceFormat::automatic, {"energy/#"});
  take("energy/whatwatt-001", whatwatt);
  take("energy/other", gplug);
  EXPECT_THAT(recorder_.meter_ids(), UnorderedElementsAre("77", "88"));
}

TEST_F(SourceTest, AKeyOfOnesOwn) {
  if (!reads_json()) GTEST_SKIP() << "built without simdjson";
  config_.keys = {{"Leistung", meter::Obis::parse("1-0:1.7.0"), meter::Unit::kilowatt, 0},
                  {"Pi", std::nullopt, meter::Unit::none, 0}};
  start(SourceFormat::gplug);
  take("tele/x/SENSOR", R"({"z":{"SMid":"9","Leistung":1.5,"Pi":7}})");
  EXPECT_EQ(recorder_.meters.at("9")->find("power_import")->value.to_double(), 1500);
}

TEST_F(SourceTest, WhatIsNoMessageIsRefusedWithItsReason) {
  if (!reads_json()) GTEST_SKIP() << "built without simdjson";
  start(SourceFormat::gplug);
  take("tele/x/SENSOR", "{\"z\":");
  take("tele/x/SENSOR", "Online");
  take("tele/x/SENSOR", R"({"hello":"world"})");
  take("tele/x/SENSOR", std::string(64 * 1024 + 1, ' '));
  take("tele/" + std::string(300, 'x') + "/SENSOR", gplug);
  take("tele/\n/SENSOR", gplug);
  take("tele/x/SENSOR", "");  // a retained message was removed
  EXPECT_THAT(recorder_.meter_ids(), IsEmpty());
  EXPECT_THAT(adapter("house").errors,
              UnorderedElementsAre(Pair("length", 1), Pair("unknown", 3), Pair("overflow", 2)));
  EXPECT_THAT(recorder_.rejected,
              ElementsAre("house: truncated", "house: malformed", "house: list-unknown",
                          "house: oversize"));  // once a second each
  EXPECT_EQ(adapter("house").state, AdapterState::probing);
  EXPECT_EQ(adapter("house").problem, Problem::list_unknown);
  take("tele/x/SENSOR", gplug);
  EXPECT_EQ(adapter("house").problem, Problem::none);
}

TEST_F(SourceTest, AnOldRetainedMessageSaysNothingOfNow) {
  if (!reads_json()) GTEST_SKIP() << "built without simdjson";
  start(SourceFormat::gplug);
  take("tele/gPlug10/SENSOR", gplug, true);
  EXPECT_THAT(recorder_.meter_ids(), IsEmpty());
  EXPECT_THAT(adapter("house").errors, ElementsAre(Pair("stale", 1)));
  const std::time_t minutes_ago = std::time(nullptr) - 300;
  std::tm local{};
  localtime_r(&minutes_ago, &local);
  char time[32];
  std::strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%S", &local);
  take("tele/gPlug10/SENSOR",
       std::string(R"({"Time":")") + time + R"(","z":{"SMid":"77","Pi":0.545}})", true);
  EXPECT_THAT(recorder_.meter_ids(), ElementsAre("77"));
}

TEST_F(SourceTest, WhatSmartmeterdSaysOfMetersBecomesNone) {
  start(reads_json() ? SourceFormat::automatic : SourceFormat::raw, {"smartmeter/#", "other/#"});
  for (const char* topic :
       {"smartmeter/lgz1/state", "smartmeter/lgz1/availability", "smartmeter/lgz1/info",
        "smartmeter/lgz1/history", "smartmeter/lgz1/value/power_import",
        "smartmeter/gateway/there/status", "smartmeter/gateway/there/health",
        "smartmeter/gateway/here/health"})
    for (const char* payload : {"online", "545", gplug, R"({"value":545,"timestamp":1629055611})"})
      take(topic, payload);
  EXPECT_THAT(recorder_.meter_ids(), IsEmpty());
  EXPECT_THAT(adapter("house").errors, IsEmpty());  // such messages are expected there
  // Also where a bridge has moved them.
  take("other/lgz1/state",
       R"({"profile":"smartmeterd/1","meter":"LGZ1","time":null,"received":null,"sequence":1,)"
       R"("link":"mbus","authenticated":null,"readings":{"power_import":545,)"
       R"("obis_1_0_128_7_0":5},"derived":[],"registers":[{"obis":"1-0:1.7.0","value":545}]})");
  EXPECT_THAT(recorder_.meter_ids(), IsEmpty());
}

TEST_F(SourceTest, TheDataCollectorsTopicsAreReadBesideOurs) {
  if (!reads_json()) GTEST_SKIP() << "built without simdjson";
  start(SourceFormat::datacollector, {"smartmeter/+/+"});
  take("smartmeter/LGZ1030655933512/ACTIVE_POWER_P", R"({"value":1,"timestamp":1629055611})");
  take("smartmeter/lgz1030655933512/state", R"({"value":2,"timestamp":1629055611})");
  EXPECT_THAT(recorder_.meter_ids(), ElementsAre("LGZ1030655933512"));
  EXPECT_THAT(recorder_.telegrams, ElementsAre("LGZ1030655933512"));
}

// ---- telegrams ---------------------------------------------------------------------------------

constexpr const char* raw_topic = "smartmeter/gateway/there/raw/ttyusb0";

TEST_F(SourceTest, ATelegramOfAnotherGatewayIsReadAsItsAdapter) {
  start(SourceFormat::raw);
  EXPECT_THAT(source_->filters(), ElementsAre("smartmeter/gateway/+/raw/+"));
  take(raw_topic, test::p1_telegram());
  EXPECT_THAT(recorder_.meter_ids(), ElementsAre("E0044007123456789"));
  const Adapter& remote = adapter("there-ttyusb0");
  EXPECT_EQ(recorder_.meters.begin()->second->adapter, &remote);
  EXPECT_EQ(remote.device, std::string("mqtt://broker.example:1883/") + raw_topic);
  EXPECT_EQ(remote.state, AdapterState::synced);
  EXPECT_EQ(remote.protocol, "p1");
  EXPECT_EQ(adapter("house").state, AdapterState::synced);
}

TEST_F(SourceTest, TheGatewaySaysWhenItReceivedATelegram) {
  start(SourceFormat::raw);
  const auto last_update = [&](std::int64_t said_us) {
    char text[32];
    const std::string t(meter::utc_text(said_us, text));
    take(raw_topic, test::p1_telegram(), false, {{"adapter", "ttyusb0"}, {"t", t}});
    return recorder_.meters.at("E0044007123456789")->last_update_us;
  };
  const std::int64_t now = loop_->realtime_us();
  EXPECT_EQ(last_update(now - 3'600'000'000), now - 3'600'000'000);
  EXPECT_EQ(last_update(now + 30'000'000), now + 30'000'000);
  EXPECT_LT(last_update(now + 90'000'000), now + 60'000'000);
  take(raw_topic, test::p1_telegram(), false, {{"t", "yesterday"}});
  EXPECT_GE(recorder_.meters.at("E0044007123456789")->last_update_us, now);
}

TEST_F(SourceTest, AnOldRetainedTelegramIsIgnored) {
  start(SourceFormat::raw);
  take(raw_topic, test::p1_telegram(), true, {{"t", "2026-01-01T00:00:00Z"}});
  EXPECT_THAT(recorder_.meter_ids(), IsEmpty());
  EXPECT_THAT(adapter("there-ttyusb0").errors, ElementsAre(Pair("stale", 1)));
}

TEST_F(SourceTest, TheLinkThatTheGatewayNamesIsTaken) {
  start(SourceFormat::raw);
  take(raw_topic, test::p1_telegram(), false, {{"protocol", "hdlc"}});
  EXPECT_THAT(recorder_.meter_ids(), IsEmpty());
  take(raw_topic, test::p1_telegram(), false, {{"protocol", "p1"}});
  EXPECT_EQ(recorder_.telegrams.size(), 1u);
  take(raw_topic, test::p1_telegram(), false, {{"protocol", "no such link"}});
  EXPECT_EQ(recorder_.telegrams.size(), 2u);
}

TEST_F(SourceTest, AMessageNeverCompletesTheOneBefore) {
  start(SourceFormat::raw);
  const std::string telegram = test::p1_telegram();
  take(raw_topic, telegram.substr(0, 100));
  take(raw_topic, telegram.substr(100));
  EXPECT_THAT(recorder_.meter_ids(), IsEmpty());
  EXPECT_EQ(adapter("there-ttyusb0").errors.at("length"), 2u);
  take(raw_topic, telegram);
  EXPECT_EQ(recorder_.telegrams.size(), 1u);
}

TEST_F(SourceTest, BadTelegramsAreRefusedWithTheirReason) {
  start(SourceFormat::raw);
  std::string damaged = test::p1_telegram();
  damaged[damaged.find("1234.567")] = '7';
  take(raw_topic, damaged, false, {{"protocol", "p1"}});
  take(raw_topic, "garbage", false, {{"protocol", "mbus"}});
  take(raw_topic, "garbage");
  take(raw_topic, std::string(16 * 1024 + 1, '\x68'));
  EXPECT_THAT(recorder_.meter_ids(), IsEmpty());
  EXPECT_THAT(adapter("there-ttyusb0").errors,
              UnorderedElementsAre(Pair("crc", 1), Pair("unknown", 1), Pair("length", 1)));
  EXPECT_THAT(adapter("house").errors, ElementsAre(Pair("overflow", 1)));
  EXPECT_THAT(recorder_.rejected,
              ElementsAre("there-ttyusb0: bad-checksum", "there-ttyusb0: line-noise",
                          "there-ttyusb0: silence", "house: oversize"));
}

TEST_F(SourceTest, KeysAreThoseOfTheTranslator) {
  start(SourceFormat::raw);
  take(raw_topic, encrypted(1));
  EXPECT_EQ(adapter("there-ttyusb0").problem, Problem::key_missing);
  source_->set_keys(ring_of("FFEEDDCCBBAA99887766554433221100"));
  take(raw_topic, encrypted(2));
  EXPECT_EQ(adapter("there-ttyusb0").problem, Problem::key_wrong);
  source_->set_keys(ring_of(key_text));
  take(raw_topic, encrypted(3));
  EXPECT_EQ(adapter("there-ttyusb0").problem, Problem::none);
  EXPECT_EQ(recorder_.telegrams.size(), 1u);
  EXPECT_THAT(adapter("there-ttyusb0").errors, ElementsAre(Pair("decrypt", 2)));
}

TEST_F(SourceTest, NoTelegramIsTakenTwiceAlsoAfterARestart) {
  start(SourceFormat::raw, {}, ring_of(key_text));
  take(raw_topic, encrypted(7));
  take(raw_topic, encrypted(7));  // again, as QoS 1 may
  EXPECT_EQ(recorder_.telegrams.size(), 1u);
  EXPECT_THAT(adapter("there-ttyusb0").errors, IsEmpty());
  take(raw_topic, encrypted(6));
  EXPECT_THAT(adapter("there-ttyusb0").errors, ElementsAre(Pair("replay", 1)));
  source_.reset();
  open_storage();
  start(SourceFormat::raw, {}, ring_of(key_text));
  take(raw_topic, encrypted(6));
  EXPECT_THAT(adapter("there-ttyusb0").errors, ElementsAre(Pair("replay", 1)));
  take(raw_topic, encrypted(8));
  EXPECT_EQ(recorder_.telegrams.size(), 2u);
}

TEST_F(SourceTest, NoTelegramComesAgainUnderAnotherGatewaysName) {
  const auto topic_of = [](const std::string& gateway) {
    return "smartmeter/gateway/" + gateway + "/raw/m";
  };
  start(SourceFormat::raw, {}, ring_of(key_text));
  take(topic_of("there"), encrypted(100));
  take(topic_of("there"), encrypted(119));
  take(topic_of("evil"), encrypted(99));
  take(topic_of("evil2"), encrypted(110));
  EXPECT_EQ(recorder_.telegrams.size(), 2u);
  EXPECT_THAT(adapter("evil-m").errors, ElementsAre(Pair("replay", 1)));
  EXPECT_THAT(adapter("evil2-m").errors, ElementsAre(Pair("replay", 1)));
  take(topic_of("neighbour"), encrypted(119));  // hears the meter too
  EXPECT_EQ(recorder_.telegrams.size(), 2u);
  EXPECT_THAT(adapter("neighbour-m").errors, IsEmpty());
  take(topic_of("neighbour"), encrypted(120));  // the meter moved there
  EXPECT_EQ(recorder_.telegrams.size(), 3u);
  take(topic_of("evil"), encrypted(5, 10));  // another meter counts for itself
  EXPECT_EQ(recorder_.telegrams.size(), 4u);
  source_.reset();
  open_storage();
  start(SourceFormat::raw, {}, ring_of(key_text));
  take(topic_of("evil3"), encrypted(119));
  EXPECT_EQ(recorder_.telegrams.size(), 4u);
  EXPECT_THAT(adapter("evil3-m").errors, ElementsAre(Pair("replay", 1)));
  take(topic_of("there"), encrypted(121));
  EXPECT_EQ(recorder_.telegrams.size(), 5u);
}

TEST_F(SourceTest, WhatThisGatewaySentIsNeverReadBack) {
  start(SourceFormat::raw, {"#"});
  for (const char* topic : {"smartmeter/gateway/here/raw/ttyusb0", "gateway/here/raw/ttyusb0",
                            "moved/by/a/bridge/gateway/here/raw/ttyusb0"})
    take(topic, test::p1_telegram());
  take("datacollector/1/ACTIVE_POWER_P", R"({"value":1,"timestamp":1629055611})",
       false, {{"gateway", "here"}});
  EXPECT_THAT(recorder_.meter_ids(), IsEmpty());
  EXPECT_THAT(adapter("house").errors, ElementsAre(Pair("loop", 4)));
  take("smartmeter/gateway/there/raw/ttyusb0", test::p1_telegram());
  EXPECT_EQ(recorder_.meters.size(), 1u);
}

/// The other gateway's topics may lie anywhere, and a bridge may have moved them.
TEST_F(SourceTest, WhatAnotherGatewayMadeOfItsMetersIsNotRead) {
  if (!reads_json()) GTEST_SKIP() << "built without simdjson";
  const std::vector<mqtt::UserProperty> there{{"gateway", "there"}};
  const char* const point = R"({"value":1,"timestamp":1629055611})";
  start(SourceFormat::automatic, {"#"});
  take("x/SENSOR", gplug, false, there);
  take("datacollector/1/ACTIVE_POWER_P", point, false, there);
  EXPECT_THAT(recorder_.meter_ids(), IsEmpty());
  EXPECT_THAT(adapter("house").errors, ElementsAre(Pair("loop", 2)));
  take("smartmeter/gateway/there/raw/ttyusb0", test::p1_telegram(), false, there);
  EXPECT_EQ(recorder_.meters.size(), 1u);
  start(SourceFormat::datacollector, {"datacollector/#"});
  take("datacollector/2/ACTIVE_POWER_P", point, false, there);
  EXPECT_TRUE(recorder_.meters.contains("2"));
}

/// Nothing but the content tells it with MQTT 3.1.1.
TEST_F(SourceTest, WhatProfilesPublishIsNoMeterAlsoWithoutProperties) {
  if (!reads_json()) GTEST_SKIP() << "built without simdjson";
  for (const auto format :
       {SourceFormat::automatic, SourceFormat::gplug, SourceFormat::amsreader}) {
    config_.keys = {{.key = "energy_in",
                     .obis = *meter::Obis::parse("1-0:1.8.0"),
                     .unit = meter::Unit::kilowatt_hour},
                    {.key = "Pi", .obis = *meter::Obis::parse("1-0:1.7.0")}};
    start(format, {"#"});
    take("dt/house/1KFM1/ds",
         R"({"meter":{"ts":"2026-11-20T11:00:05Z","1.8.0":12048950,"1.7.0":545}})");
    take("home/smart_meter/json", R"({"timestamp":"2026-11-20T11:00:05Z","energy_in":12048.95})");
    take("other/m/state",
         R"({"profile":"smartmeterd/1","meter":"m","time":null,"readings":{"Pi":1}})");
    take("other/m/history", R"({"profile":"smartmeterd/1","meter":"m","readings":{"Pi":1}})");
    EXPECT_THAT(recorder_.meter_ids(), IsEmpty());
  }
}

TEST_F(SourceTest, WhatAWildcardBringsAlongIsNoTelegram) {
  start(SourceFormat::raw, {"#", "p1/Keller"});
  take("homeassistant/device/x/config", R"({"dev":{}})");
  take("p1/Keller/more", test::p1_telegram());
  EXPECT_EQ(recorder_.adapters.size(), 1u);
  EXPECT_THAT(adapter("house").errors, ElementsAre(Pair("format", 2)));
  EXPECT_EQ(adapter("house").problem, Problem::none);
  take("p1/Keller", test::p1_telegram());
  EXPECT_EQ(adapter("p1-keller").telegrams_received, 1u);
}

TEST_F(SourceTest, AnyTopicMayCarryTelegrams) {
  start(SourceFormat::raw, {"p1/Keller"});
  take("p1/Keller", test::p1_telegram());
  EXPECT_EQ(adapter("p1-keller").telegrams_received, 1u);
}

TEST_F(SourceTest, TwoAdaptersNeverShareAName) {
  names_.insert("there-ttyusb0");
  start(SourceFormat::raw);
  take(raw_topic, test::p1_telegram());
  EXPECT_EQ(adapter("house-there-ttyusb0").telegrams_received, 1u);
  take("elsewhere/gateway/there/raw/ttyusb0", test::p1_telegram());
  EXPECT_EQ(adapter("house-there-ttyusb0-2").telegrams_received, 1u);
}

TEST_F(SourceTest, GatewaysAreLimitedAndWhoWasNeverUnderstoodMakesRoom) {
  start(SourceFormat::raw);
  const auto topic = [](int n) { return "smartmeter/gateway/g" + std::to_string(n) + "/raw/a"; };
  take(topic(0), "garbage");
  for (int n = 1; n < 1024; ++n) take(topic(n), test::p1_telegram());
  EXPECT_TRUE(recorder_.adapters.contains("g0-a"));
  EXPECT_EQ(recorder_.adapters.size(), 1025u);  // with the source's own
  take(topic(1024), test::p1_telegram());
  EXPECT_FALSE(recorder_.adapters.contains("g0-a"));
  EXPECT_TRUE(recorder_.adapters.contains("g1024-a"));
  take(topic(1025), test::p1_telegram());
  EXPECT_EQ(recorder_.adapters.size(), 1025u);
  EXPECT_THAT(adapter("house").errors, ElementsAre(Pair("limit", 1)));
  EXPECT_EQ(recorder_.telegrams.size(), 1024u);
}

// ---- shared subscriptions ----------------------------------------------------------------------

TEST_F(SourceTest, AMemberOfAGroupRemembersNothing) {
  config_.group = "translators";
  config_.stateless = true;
  start(SourceFormat::raw, {}, ring_of(key_text));
  EXPECT_THAT(source_->filters(), ElementsAre("$share/translators/smartmeter/gateway/+/raw/+"));
  take(raw_topic, encrypted(7));
  take("smartmeter/gateway/elsewhere/raw/x", encrypted(6));  // no replay rule
  take("smartmeter/gateway/elsewhere/raw/x", test::p1_telegram());
  take("smartmeter/gateway/elsewhere/raw/x", encrypted(6, 10), false, {{"protocol", "mbus"}});
  EXPECT_EQ(recorder_.telegrams.size(), 4u);
  EXPECT_EQ(recorder_.meters.size(), 3u);
  EXPECT_EQ(recorder_.adapters.size(), 1u);
  EXPECT_TRUE(adapter("house").is_stateless);
  for (const auto& [id, meter] : recorder_.meters) EXPECT_TRUE(meter->is_stateless) << id;
  EXPECT_THAT(adapter("house").errors, IsEmpty());
  take(raw_topic, "garbage", false, {{"protocol", "mbus"}});
  EXPECT_THAT(adapter("house").errors, ElementsAre(Pair("unknown", 1)));
}

// ---- the broker --------------------------------------------------------------------------------

TEST_F(SourceTest, ItsStateFollowsTheBroker) {
  start(SourceFormat::raw);
  take(raw_topic, test::p1_telegram());
  source_->set_online(false);
  EXPECT_EQ(adapter("house").state, AdapterState::waiting);
  EXPECT_EQ(adapter("there-ttyusb0").state, AdapterState::waiting);
  source_->set_online(true);
  EXPECT_EQ(adapter("there-ttyusb0").state, AdapterState::probing);
  source_->subscription_refused("smartmeter/gateway/+/raw/+", "Not authorized");
  EXPECT_EQ(adapter("house").state, AdapterState::failed);
  EXPECT_EQ(adapter("house").problem, Problem::no_access);
  source_.reset();
  EXPECT_THAT(recorder_.adapters, IsEmpty());
  EXPECT_THAT(names_, IsEmpty());
  EXPECT_EQ(recorder_.meters.at("E0044007123456789")->adapter, nullptr);
}

TEST(RawTopics, AreTakenApart) {
  const RawTopic topic = RawTopic::parse("a/b/gateway/there/raw/ttyusb0");
  EXPECT_EQ(topic.instance, "there");
  EXPECT_EQ(topic.adapter, "ttyusb0");
  EXPECT_TRUE(RawTopic::parse("gateway/there/raw/ttyusb0"));
  for (const char* other : {"", "raw/x", "gateway/raw/x", "gateway//raw/x", "a/there/raw/x",
                            "gateway/there/health", "gateway/there/raw/", "gateway/there/raw"})
    EXPECT_FALSE(RawTopic::parse(other)) << other;
}

}  // namespace
}  // namespace smartmeterd
