// SPDX-License-Identifier: Apache-2.0
// The configuration: what is taken, what wins, and where a mistake is said to be.
#include "daemon/config.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

namespace smartmeterd {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

/// A directory of its own for each test.
class ConfigTest : public testing::Test {
 protected:
  ConfigTest() {
    std::string name = fs::temp_directory_path() / "smartmeterd-config-XXXXXX";
    directory_ = ::mkdtemp(name.data());
    fs::create_directory(directory_ / "conf.d");
  }
  ~ConfigTest() override { fs::remove_all(directory_); }

  fs::path file() const { return directory_ / "smartmeterd.toml"; }
  void write(std::string_view name, std::string_view text) const {
    std::ofstream(directory_ / name) << text;
  }
  Config load(std::string_view text) const {
    write("smartmeterd.toml", text);
    return Config::load(file(), true);
  }
  /// The error of a file, without its directory.
  std::string error(std::string_view text) const {
    try {
      load(text);
    } catch (const ConfigError& error) {
      const std::string what = error.what();
      EXPECT_THAT(what, StartsWith(directory_.native()));
      return what.substr(directory_.native().size() + 1);
    }
    return "no error";
  }

  fs::path directory_;
};

TEST_F(ConfigTest, BrokerOnASocket) {
  const auto config = load("[broker.here]\nurl = \"unix:///run/mosquitto.sock\"\n");
  EXPECT_EQ(config.brokers.at(0).socket, "/run/mosquitto.sock");
  EXPECT_THAT(error("[broker.here]\nurl = \"unix://mosquitto.sock\"\n"),
              HasSubstr("toml:2:7: broker.here.url: expected mqtt://"));
}

TEST_F(ConfigTest, SourceAndItsBroker) {
  constexpr auto broker = "[broker.cloud]\nurl = \"mqtt://cloud\"\nrole = \"source\"\n";
  const auto config = load(std::string(broker) +
                           "[source.glow]\nbroker = \"cloud\"\nformat = \"glow\"\n"
                           "[source.mine]\nbroker = \"cloud\"\ntopic = \"cellar/meter\"\n"
                           "keys = { P_Bezug = { obis = \"1-0:1.7.0\", unit = \"kW\" }, "
                           "T = false }\n"
                           "[source.many]\nbroker = \"cloud\"\nformat = \"raw\"\ngroup = \"g\"\n"
                           "topic = [\"a/#\", \"b/+/c\"]\n");
  ASSERT_EQ(config.sources.size(), 3u);
  EXPECT_FALSE(config.brokers.at(0).publishes());
  const auto named = [&](std::string_view name) {
    return *std::ranges::find(config.sources, name, &SourceConfig::name);
  };
  EXPECT_EQ(named("glow").format, SourceFormat::glow);
  EXPECT_FALSE(named("glow").stateless);
  ASSERT_EQ(named("mine").keys.size(), 2u);
  EXPECT_EQ(named("mine").keys.at(0).obis, meter::Obis::parse("1-0:1.7.0"));
  EXPECT_EQ(named("mine").keys.at(0).unit, meter::Unit::kilowatt);
  EXPECT_EQ(named("mine").keys.at(1).obis, std::nullopt);
  EXPECT_TRUE(named("many").stateless);
  EXPECT_THAT(named("many").topics, ElementsAre("a/#", "b/+/c"));
}

TEST_F(ConfigTest, MistakesInSources) {
  const std::string broker = "[broker.cloud]\nurl = \"mqtt://cloud\"\n";
  const std::string both = broker + "role = \"both\"\n";
  EXPECT_THAT(error("[source.a]\ntopic = \"x\"\n"),
              HasSubstr("toml:1:1: [source.a]: expected broker"));
  EXPECT_THAT(error("[source.a]\nbroker = \"x\"\n"), HasSubstr("there is no [broker.x]"));
  EXPECT_THAT(error(broker + "[source.a]\nbroker = \"cloud\"\n"), HasSubstr("expected role ="));
  EXPECT_THAT(error(both + "[source.a]\nbroker = \"cloud\"\n"), HasSubstr("expected topic"));
  for (const char* topic : {"a+/b", "a/#/b", "$SYS/x", "a#"})
    EXPECT_THAT(error(both + "[source.a]\nbroker = \"cloud\"\ntopic = \"" + topic + "\"\n"),
                HasSubstr("is no topic filter")) << topic;
  EXPECT_THAT(error(both + "[source.a]\nbroker = \"cloud\"\ntopic = \"x\"\ngroup = \"g\"\n"
                           "stateless = false\n"),
              HasSubstr("does not see every telegram"));
  EXPECT_THAT(error(broker + "role = \"source\"\nraw = true\n"),
              HasSubstr("toml:4:7: broker.cloud.raw: nothing is published on a source"));
}

TEST_F(ConfigTest, PrefixesOfProfilesDiffer) {
  EXPECT_THAT(error("[broker.b]\nurl = \"mqtt://b\"\nprofiles = [\"smartmeterd\", "
                    "\"datacollector\"]\ndatacollector_prefix = \"smartmeter\"\n"),
              HasSubstr("prefix and datacollector_prefix are the same"));
  EXPECT_THAT(error("[broker.b]\nurl = \"mqtt://b\"\nprefix = \"homeassistant\"\n"),
              HasSubstr("prefix and discovery_prefix are the same"));
  EXPECT_THAT(error("[broker.b]\nurl = \"mqtt://b\"\nprofiles = [\"smartmeterd\", \"seed\"]\n"
                    "seed_prefix = \"ha\"\ndiscovery_prefix = \"ha\"\n"),
              HasSubstr("discovery_prefix and seed_prefix are the same"));
  EXPECT_EQ(error("[broker.b]\nurl = \"mqtt://b\"\nprefix = \"home/smart_meter\"\n"), "no error")
      << "nothing is published with the other one";
}

TEST_F(ConfigTest, OneNameForOneQuantity) {
  const auto quantities = [&](std::string_view text) {
    return error("[quantities]\n" + std::string(text));
  };
  EXPECT_THAT(quantities("\"1-0:1.7.0\" = { name = \"power_export\" }\n"),
              HasSubstr("toml:2:15: quantities.1-0:1.7.0: power_export is another quantity"));
  EXPECT_THAT(quantities("\"1-0:1.7.0\" = { name = \"energy_import\", unit = \"kWh\" }\n"),
              HasSubstr("is another quantity"));
  EXPECT_THAT(quantities("\"1-0:1.7.0\" = { name = \"p\" }\n\"1-0:2.7.0\" = { name = \"p\" }\n"),
              HasSubstr("another code has the name p already"));
  EXPECT_THAT(quantities("\"1-0:1.7.0\" = { name = \"" + std::string(65, 'p') + "\" }\n"),
              HasSubstr("at most 64"));
  // A meter's own code for what others send under the standard's.
  EXPECT_EQ(quantities("\"1-0:128.7.0\" = { name = \"power_import\", unit = \"W\" }\n"),
            "no error");
}

TEST_F(ConfigTest, Exports) {
  const auto config = load("[export.p1]\nlisten = \"[::1]:1502\"\n"
                           "[export.raw]\nlisten = \"unix:/run/raw\"\nformat = \"received\"\n"
                           "adapter = \"main\"\n");
  ASSERT_EQ(config.exports.size(), 2u);
  EXPECT_EQ(config.exports.at(0).host, "::1");
  EXPECT_EQ(config.exports.at(0).port, 1502);
  EXPECT_EQ(config.exports.at(1).socket, "/run/raw");
  EXPECT_EQ(config.exports.at(1).format, ExportFormat::received);
  EXPECT_THAT(error("[export.p1]\n"), HasSubstr("expected listen"));
  const auto option = parse_export_option("unix:/run/p1,format=received,meter=ABC 1");
  EXPECT_EQ(option.socket, "/run/p1");
  EXPECT_EQ(option.meter, "ABC 1");
  EXPECT_THROW(parse_export_option("localhost"), ConfigError);
  EXPECT_THROW(parse_export_option("localhost:1,format=x"), ConfigError);
}

TEST_F(ConfigTest, NothingIsNeeded) {
  const auto config = Config::load(file(), false);
  EXPECT_THAT(config.adapters, IsEmpty());
  EXPECT_THAT(config.brokers, IsEmpty());
  EXPECT_EQ(config.history.days, 400u);
  EXPECT_THAT(config.instance, Not(IsEmpty()));  // the host's name
  EXPECT_EQ(config.instance, meter::slug(config.instance));
  EXPECT_THROW(Config::load(file(), true), ConfigError);
  EXPECT_THROW(Config::load(directory_, true), ConfigError);
}

TEST_F(ConfigTest, EveryKey) {
  const auto config = load(R"(
[gateway]
instance = "cellar"
accept_counter_reset = true

[adapter.main]
device = "/dev/smartmeter_mbus"
link = "mbus"
line = "2400-8E1"
role = "listen"
dtr = "on"
rts = "off"

[adapter.attic]
tcp = "[fe80::1%eth0]:4001"

[meter.house]
id = "181220000009"
adapter = "main"
name = "House"
zone = "UTC"

[broker.home]
url = "mqtts://reader@broker.example"
prefix = "energy/meters"
seed_prefix = "home/meter"
profiles = ["smartmeterd", "seed"]
registers = true
values = true
password_file = "/etc/smartmeterd/password"
client_id = "cellar-1"
keepalive = 60
protocol = "5"
tls.ca = "/etc/ssl/ca.pem"
tls.certificate = "/etc/ssl/me.pem"
tls.key = "/etc/ssl/me.key"
outbox_bytes = 65536

[history]
days = 30
bytes = 1048576

[quantities]
"1-0:128.7.0" = { name = "power_pump", unit = "W", scale = -1 }
"1-0:13.7.0" = false
"1-0:1.8.0" = { scale = 1 }
)");
  EXPECT_EQ(config.instance, "cellar");
  EXPECT_TRUE(config.accept_counter_reset);
  ASSERT_EQ(config.adapters.size(), 2u);
  EXPECT_EQ(config.adapters[0].tcp, "[fe80::1%eth0]:4001");
  const auto& adapter = config.adapters[1];
  EXPECT_EQ(adapter.name, "main");
  EXPECT_EQ(adapter.device, "/dev/smartmeter_mbus");
  EXPECT_EQ(adapter.link, meter::Link::mbus);
  EXPECT_EQ(adapter.line, (LineSettings{2400, 8, 'E', 1}));
  EXPECT_EQ(adapter.role, Role::listen);
  EXPECT_EQ(adapter.dtr, ModemLine::on);
  EXPECT_EQ(adapter.rts, ModemLine::off);
  ASSERT_EQ(config.meters.size(), 1u);
  EXPECT_EQ(config.meters[0].name, "house");
  EXPECT_EQ(config.meters[0].id, "181220000009");
  EXPECT_EQ(config.meters[0].adapter, "main");
  EXPECT_EQ(config.meters[0].display_name, "House");
  EXPECT_EQ(config.meters[0].zone, "UTC");
  ASSERT_EQ(config.brokers.size(), 1u);
  const auto& broker = config.brokers[0];
  EXPECT_EQ(broker.host, "broker.example");
  EXPECT_EQ(broker.port, 8883);
  EXPECT_TRUE(broker.tls);
  EXPECT_EQ(broker.user, "reader");
  EXPECT_EQ(broker.prefix, "energy/meters");
  EXPECT_EQ(broker.seed_prefix, "home/meter");
  EXPECT_THAT(broker.profiles, ElementsAre("smartmeterd", "seed"));
  EXPECT_TRUE(broker.registers);
  EXPECT_TRUE(broker.values);
  EXPECT_EQ(broker.password_file, "/etc/smartmeterd/password");
  EXPECT_EQ(broker.client_id, "cellar-1");
  EXPECT_EQ(broker.keepalive, std::chrono::seconds(60));
  EXPECT_EQ(broker.protocol, "5");
  EXPECT_EQ(broker.tls_ca, "/etc/ssl/ca.pem");
  EXPECT_EQ(broker.tls_certificate, "/etc/ssl/me.pem");
  EXPECT_EQ(broker.tls_key, "/etc/ssl/me.key");
  EXPECT_EQ(broker.outbox_bytes, 65536u);
  EXPECT_EQ(config.history, (HistoryConfig{.days = 30, .bytes = 1048576}));
  ASSERT_EQ(config.quantities.size(), 3u);
  const meter::QuantityMap map(config.quantities);
  using namespace meter::literals;
  EXPECT_EQ(map.find("1-0:128.7.0"_obis).name, "power_pump");
  EXPECT_EQ(map.find("1-0:128.7.0"_obis).scale, -1);
  EXPECT_EQ(map.find("1-0:128.7.0"_obis).unit, meter::Unit::watt);
  EXPECT_EQ(map.find("1-0:13.7.0"_obis).name, "");
  EXPECT_EQ(map.find("1-0:1.8.0"_obis).name, "energy_import");
  EXPECT_EQ(map.find("1-0:1.8.0"_obis).scale, 1);
}

TEST_F(ConfigTest, LaterFilesWinKeyByKey) {
  write("conf.d/20-b.toml",
        "[adapter.main]\nline = \"9600-7E1\"\n[quantities]\n"
        "\"1-0:1.8.0\" = false\n");
  write("conf.d/10-a.toml",
        "[adapter.main]\nline = \"300-7E1\"\nrts = \"on\"\n"
        "[broker.b]\nurl = \"mqtt://localhost:1884\"\n");
  write("conf.d/30-note.txt", "not toml");
  const auto config = load(
      "[adapter.main]\ndevice = \"/dev/ttyUSB0\"\nline = \"2400-8E1\"\n"
      "[quantities]\n\"1-0:1.8.0\" = { name = \"energy\" }\n");
  ASSERT_EQ(config.adapters.size(), 1u);
  EXPECT_EQ(config.adapters[0].device, "/dev/ttyUSB0");
  EXPECT_EQ(config.adapters[0].line, (LineSettings{9600, 7, 'E', 1}));
  EXPECT_EQ(config.adapters[0].rts, ModemLine::on);
  ASSERT_EQ(config.brokers.size(), 1u);
  EXPECT_EQ(config.brokers[0].port, 1884);
  ASSERT_EQ(config.quantities.size(), 1u);
  EXPECT_EQ(config.quantities[0].name, "");
}

TEST_F(ConfigTest, ARoleThatSpeaksNeedsALinkToSpeak) {
  const auto master = load(
      "[adapter.a]\ndevice = \"/dev/x\"\nlink = \"mbus-master\"\nrole = \"master\"\n"
      "interval = 900\naddresses = [\"1\", \"12345678FFFFFFFF\"]\n");
  EXPECT_EQ(master.adapters[0].role, Role::master);
  EXPECT_EQ(master.adapters[0].interval, std::chrono::seconds(900));
  EXPECT_THAT(master.adapters[0].addresses, ElementsAre("1", "12345678FFFFFFFF"));
  EXPECT_EQ(load("[adapter.a]\ndevice = \"/dev/x\"\nrole = \"listen\"\n").adapters[0].role,
            Role::listen);
  EXPECT_EQ(load("[adapter.a]\ndevice = \"/dev/x\"\nrole = \"reader\"\n").adapters[0].role,
            Role::reader) << "line and link are found by asking";
  EXPECT_THAT(error("[adapter.a]\ndevice = \"/dev/x\"\nrole = \"reader\"\n"
                    "line = \"300-7E1\"\n"),
              AllOf(StartsWith("smartmeterd.toml:3:8: adapter.a.role: "),
                    HasSubstr("link = \"iec62056-21\" or link = \"amis\"")));
  EXPECT_THAT(error("[adapter.a]\nrole = \"master\"\ndevice = \"/dev/x\"\nlink = \"auto\"\n"),
              AllOf(StartsWith("smartmeterd.toml:2:8: "), HasSubstr("link = \"mbus-master\"")));
  EXPECT_THAT(error("[adapter.a]\nlink = \"mbus-master\"\ndevice = \"/dev/x\"\n"
                    "role = \"reader\"\n"),
              StartsWith("smartmeterd.toml:4:8: "));
  for (const char* option : {"interval = 60", "addresses = [\"1\"]"})
    EXPECT_THAT(error(std::string("[adapter.a]\ndevice = \"/dev/x\"\n") + option + "\n"),
                AllOf(StartsWith("smartmeterd.toml:3:"), HasSubstr("expected role = ")));
  EXPECT_THAT(error("[adapter.a]\ninterval = \"60s\"\n"), HasSubstr("expected a number from 1"));
  EXPECT_THAT(error("[adapter.a]\naddresses = [\"1\", 2]\n"),
              AllOf(StartsWith("smartmeterd.toml:2:19: "), HasSubstr("expected a text")));
  EXPECT_THAT(error("[adapter.a]\naddresses = [\"/?!\"]\n"), HasSubstr("letters and digits"));
  EXPECT_THAT(error("[adapter.a]\ndevice = \"/dev/x\"\nlink = \"mbus-master\"\n"
                    "role = \"master\"\naddresses = [\"251\"]\n"),
              AllOf(StartsWith("smartmeterd.toml:5:"), HasSubstr("0 to 250")));
  const auto reader = load(
      "[adapter.a]\ndevice = \"/dev/x\"\nlink = \"iec62056-21\"\nrole = \"reader\"\n"
      "iec62056.acknowledgement = \"051\"\niec62056.wake_up = true\n"
      "iec62056.registers = [\"F001\"]\n");
  EXPECT_EQ(reader.adapters[0].acknowledgement, "051");
  EXPECT_TRUE(reader.adapters[0].wake_up);
  EXPECT_THAT(reader.adapters[0].registers, ElementsAre("F001"));
  EXPECT_THAT(error("[adapter.a]\niec62056.acknowledgement = \"W1\"\n"),
              HasSubstr("three digits"));
}

TEST_F(ConfigTest, MistakesNameTheirPlaceAndWhatWasExpected) {
  EXPECT_THAT(error("[gatway]\n"),
              AllOf(StartsWith("smartmeterd.toml:1:2: "), HasSubstr("gatway"),
                    HasSubstr("expected gateway, adapter, meter, broker, source, export, "
                              "history or quantities")));
  EXPECT_THAT(error("[gateway]\n\n  instanze = \"x\"\n"),
              AllOf(StartsWith("smartmeterd.toml:3:3: "), HasSubstr("gateway.instanze"),
                    HasSubstr("expected instance or accept_counter_reset")));
  EXPECT_THAT(error("[history]\ndays = -1\n"),
              AllOf(StartsWith("smartmeterd.toml:2:8: history.days"),
                    HasSubstr("expected a number from 0 to ")));
  EXPECT_THAT(error("[history]\nbytes = 1\n"),
              AllOf(StartsWith("smartmeterd.toml:2:9: history.bytes"),
                    HasSubstr("expected a number from 65536 to ")));
  EXPECT_THAT(
      error("[adapter.a]\ndevice = 3\n"),
      AllOf(StartsWith("smartmeterd.toml:2:10: adapter.a.device"), HasSubstr("expected a text")));
  EXPECT_THAT(error("[adapter.a]\nlink = \"usb\"\n"),
              AllOf(StartsWith("smartmeterd.toml:2:8: "),
                    HasSubstr("expected \"auto\", \"hdlc\", "), HasSubstr("\"mbus\"")));
  EXPECT_THAT(error("[adapter.a]\nline = \"2400\"\n"), HasSubstr("such as \"2400-8E1\""));
  EXPECT_THAT(error("[adapter.a]\nrole = \"slave\"\n"),
              HasSubstr("expected \"listen\", \"reader\" or \"master\""));
  EXPECT_THAT(error("[adapter.a]\ntcp = \"host\"\n"), HasSubstr("expected HOST:PORT"));
  EXPECT_THAT(error("[adapter.a]\ntcp = \"host:70000\"\n"), HasSubstr("expected HOST:PORT"));
  EXPECT_THAT(error("[adapter]\ndevice = \"/dev/x\"\n"), HasSubstr("expected tables [adapter.NA"));
  EXPECT_THAT(error("[adapter.\"A b\"]\n"), HasSubstr("lower-case"));
  EXPECT_THAT(error("\n[adapter.a]\nline = \"2400-8E1\"\n"),
              AllOf(StartsWith("smartmeterd.toml:2:1: [adapter.a]"),
                    HasSubstr("expected either device or tcp")));
  EXPECT_THAT(error("[adapter.a]\ndevice = \"/dev/x\"\ntcp = \"h:1\"\n"),
              HasSubstr("expected either device or tcp"));
  EXPECT_THAT(error("[meter.m]\nid = \"1\"\nzone = \"Mars/Olympus\"\n"),
              AllOf(StartsWith("smartmeterd.toml:3:8: "), HasSubstr("time zone")));
  EXPECT_THAT(error("[meter.m]\nid = \"1\"\nzone = \"../../../etc/passwd\"\n"),
              HasSubstr("time zone"));
  EXPECT_THAT(error("[meter.m]\nname = \"x\"\n"), HasSubstr("expected id"));
  EXPECT_THAT(error("[broker.b]\nurl = \"http://x\"\n"), HasSubstr("expected mqtt://HOST"));
  EXPECT_THAT(error("[broker.b]\nprefix = \"x\"\n"), HasSubstr("expected url"));
  EXPECT_THAT(error("[broker.b]\nprefix = \"a/#\"\n"), HasSubstr("'#'"));
  EXPECT_THAT(error("[broker.b]\nkeepalive = 1\n"), HasSubstr("from 5 to 65535"));
  EXPECT_THAT(
      error("[broker.b]\nprofiles = [\"sed\"]\n"),
      AllOf(StartsWith("smartmeterd.toml:2:13: "),
            HasSubstr("\"smartmeterd\", \"seed\", \"rl-dsp\"")));
  EXPECT_THAT(error("[broker.b]\nurl = \"mqtt://h\"\ntls.ca = \"/a\"\n"), HasSubstr("mqtts://"));
  EXPECT_THAT(
      error("[broker.b]\ntls.cafile = \"/a\"\n"),
      AllOf(HasSubstr("broker.b.tls.cafile"),
            HasSubstr("expected ca, certificate, key, psk_file or psk_identity")));
  EXPECT_THAT(error("[broker.b]\nurl = \"mqtt://h\"\npassword_file = \"/a\"\n"),
              HasSubstr("expected user"));
  EXPECT_THAT(error("[quantities]\nenergy = false\n"), HasSubstr("OBIS code"));
  EXPECT_THAT(error("[quantities]\n\"1-0:1.8.0\" = true\n"), HasSubstr("or false"));
  EXPECT_THAT(error("[quantities]\n\"1-0:1.8.0\" = { unit = \"Wh\" }\n"),
              HasSubstr("energy_import is always in kWh"));
  EXPECT_THAT(error("[quantities]\n\"1-0:200.7.0\" = { unit = \"W\" }\n"),
              HasSubstr("expected a name"));
  EXPECT_THAT(error("[quantities]\n\"1-0:200.7.0\" = { name = \"a b\" }\n"),
              HasSubstr("expected lower-case"));
  EXPECT_THAT(error("[gateway\n"), StartsWith("smartmeterd.toml:1:"));
}

TEST_F(ConfigTest, PlaceNamesTheFileOfConfD) {
  write("conf.d/a.toml", "[gateway]\nfoo = 1\n");
  EXPECT_THAT(error(""), StartsWith("conf.d/a.toml:2:1: "));
}

TEST_F(ConfigTest, TextsHaveLimits) {
  const auto with = [](std::string_view before, std::size_t size) {
    return fmt::format("{} = \"{}\"\n", before, std::string(size, 'a'));
  };
  const std::string broker = "[broker.b]\nurl = \"mqtt://h\"\n";
  for (const auto& [before, limit] : std::map<std::string, std::size_t>{
           {"[gateway]\ninstance", 64}, {broker + "prefix", 1024},
           {broker + "seed_prefix", 1024}, {broker + "discovery_prefix", 1024},
           {broker + "user", 65'535}, {broker + "client_id", 65'535}}) {
    EXPECT_EQ(error(with(before, limit)), "no error") << before;
    for (const std::size_t size : {limit + 1, std::size_t{70'000}})
      EXPECT_THAT(error(with(before, size)),
                  EndsWith(fmt::format(": expected at most {} octets", limit))) << before;
  }
  const auto table = [](std::size_t size) {
    return fmt::format("[adapter.{}]\ndevice = \"/dev/x\"\n", std::string(size, 'a'));
  };
  EXPECT_EQ(error(table(128)), "no error");
  EXPECT_THAT(error(table(129)), EndsWith(": expected a name of at most 128 octets"));
}

TEST_F(ConfigTest, PasswordInUrlIsRefusedAndNotRepeated) {
  const auto said = error("[broker.b]\nurl = \"mqtt://me:hunter2@host\"\n");
  EXPECT_THAT(said, AllOf(HasSubstr("password_file"), Not(HasSubstr("hunter2"))));
  try {
    parse_mqtt_option("mqtt://me:hunter2@host");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("password_file"), Not(HasSubstr("hunter2"))));
  }
}

TEST(LineSettings, ParsesAndPrints) {
  for (const auto* text : {"2400-8E1", "115200-8N1", "9600-7E1", "300-7O2"}) {
    const auto line = LineSettings::parse(text);
    ASSERT_TRUE(line) << text;
    EXPECT_EQ(line->to_text(), text);
  }
  EXPECT_EQ(LineSettings::parse("9600-7E2"), (LineSettings{9600, 7, 'E', 2}));
  for (const auto* text : {"", "2400", "2400-", "2400-8E", "2400-8E11", "0-8N1", "-1-8N1",
                           "2400-9N1", "2400-8X1", "2400-8N3", "2400 8E1", "9999999999-8N1"})
    EXPECT_FALSE(LineSettings::parse(text)) << text;
}

TEST(DeviceOption, PathsAndAddresses) {
  const auto plain = parse_device_option("/dev/ttyUSB0");
  EXPECT_EQ(plain.device, "/dev/ttyUSB0");
  EXPECT_EQ(plain.name, "ttyusb0");
  EXPECT_FALSE(plain.link);
  const auto full =
      parse_device_option("tcp://10.0.0.5:4001,link=iec62056-21,line=300-7E1,role=reader");
  EXPECT_EQ(full.tcp, "10.0.0.5:4001");
  EXPECT_EQ(full.device, "");
  EXPECT_EQ(full.link, meter::Link::iec62056_21);
  EXPECT_EQ(full.line, (LineSettings{300, 7, 'E', 1}));
  EXPECT_EQ(full.role, Role::reader);
  for (const auto* text : {"", "tcp://", "tcp://host", "/dev/x,", "/dev/x,link", "/dev/x,link=usb",
                           "/dev/x,line=1", "/dev/x,role=boss", "/dev/x,speed=3",
                           "/dev/x,line=300-7E1,role=reader", "tcp://host:1,role=reader",
                           "/dev/x,role=master,link=mbus"})
    EXPECT_THROW(parse_device_option(text), ConfigError) << text;
}

TEST(MqttOption, Urls) {
  const auto plain = parse_mqtt_option("mqtt://localhost");
  EXPECT_EQ(plain.host, "localhost");
  EXPECT_EQ(plain.port, 1883);
  EXPECT_FALSE(plain.tls);
  const auto full = parse_mqtt_option("mqtts://me@[2001:db8::1]:9999/");
  EXPECT_EQ(full.host, "2001:db8::1");
  EXPECT_EQ(full.port, 9999);
  EXPECT_EQ(full.user, "me");
  EXPECT_TRUE(full.tls);
  for (const auto* text : {"", "localhost", "mqtt://", "mqtt://h:", "mqtt://h:0", "mqtt://h:1x",
                           "mqtt://h/topic", "mqtt://@h", "mqtt://[::1", "ws://h", "mqtt://a b"})
    EXPECT_THROW(parse_mqtt_option(text), ConfigError) << text;
}

/// Every line of the shipped file uncommented parses, and every key that the parser knows is
/// there.
class ShippedFile : public ConfigTest {};

TEST_F(ShippedFile, NamesEveryKeyAndParsesUncommented) {
  std::ifstream shipped(SHIPPED_CONFIG);
  ASSERT_TRUE(shipped.is_open());
  std::string as_shipped;
  std::string uncommented;
  std::string table;
  std::vector<std::string> named;
  for (std::string line; std::getline(shipped, line);) {
    as_shipped += line + '\n';
    // Prose is "# text"; what can be uncommented is "#[table]" or "#key = value".
    const bool setting = line.size() > 1 && line[0] == '#' && line[1] != ' ';
    if (setting) line.erase(0, 1);
    uncommented += line + '\n';
    if (line.empty() || line[0] == '#') continue;
    if (line[0] == '[') {
      table = line.substr(1, line.find(']') - 1);
      if (const auto dot = table.find('.'); dot != table.npos) table.replace(dot, table.npos, ".*");
    } else if (table == "quantities") {
      for (const auto* key : {"name", "unit", "scale"})
        if (line.find(std::string(key) + " =") != line.npos)
          named.push_back("quantities.*." + std::string(key));
    } else {
      named.push_back(table + "." + line.substr(0, line.find(" =")));
    }
  }
  const auto nothing = load(as_shipped);
  EXPECT_THAT(nothing.adapters, IsEmpty());
  EXPECT_THAT(nothing.brokers, IsEmpty());
  write("smartmeterd.toml", uncommented);
  EXPECT_NO_THROW(Config::load(file(), true)) << uncommented;
  for (const auto& key : config_keys()) EXPECT_THAT(named, testing::Contains(key));
}

/// What a connection needs, and the prefix of raw topics, are for a source too; the rest would be
/// without any effect there.
TEST_F(ShippedFile, SourceTakesNoKeyOfPublishing) {
  const std::set<std::string, std::less<>> of_connection = {
      "url", "role", "prefix", "user", "password_file", "client_id", "keepalive", "session",
      "protocol", "tls.ca", "tls.certificate", "tls.key", "tls.psk_file", "tls.psk_identity"};
  std::ifstream shipped(SHIPPED_CONFIG);
  std::map<std::string, std::string> lines;  // of a broker, by key
  bool is_broker = false;
  for (std::string line; std::getline(shipped, line);) {
    if (line.starts_with("#[")) is_broker = line.starts_with("#[broker.");
    const bool setting = is_broker && line.size() > 1 && line[0] == '#' && line[1] != ' ';
    if (setting && line[1] != '[') lines[line.substr(1, line.find(" =") - 1)] = line.substr(1);
  }
  std::size_t refused = 0;
  for (const std::string& name : config_keys()) {
    constexpr std::string_view table = "broker.*.";
    if (!name.starts_with(table)) continue;
    const std::string key = name.substr(table.size());
    if (of_connection.contains(key)) continue;
    ASSERT_TRUE(lines.contains(key)) << key;
    const std::string broker = "[broker.b]\nurl = \"mqtt://b\"\n" + lines[key] + "\nrole = ";
    EXPECT_THAT(error(broker + "\"source\"\n"),
                HasSubstr("toml:3:" + std::to_string(key.size() + 4) + ": broker.b." + key +
                          ": nothing is published on a source"));
    EXPECT_EQ(error(broker + "\"both\"\n"), "no error");
    ++refused;
  }
  EXPECT_GT(refused, 0u);
  EXPECT_EQ(error("[broker.b]\nurl = \"mqtts://u@b\"\nrole = \"source\"\nprefix = \"p\"\n"
                  "password_file = \"/p\"\nclient_id = \"c\"\nkeepalive = 9\nsession = 9\n"
                  "protocol = \"5\"\ntls = { ca = \"/c\", certificate = \"/d\", key = \"/k\" }\n"),
            "no error");
}

}  // namespace
}  // namespace smartmeterd
