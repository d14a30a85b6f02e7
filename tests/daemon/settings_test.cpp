// SPDX-License-Identifier: Apache-2.0
// Files and command line together: what wins, what is named how, and which connections there are.
#include "daemon/settings.hpp"

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
using testing::HasSubstr;
using testing::Pair;
using testing::UnorderedElementsAre;

/// A directory of its own for each test.
class SettingsTest : public testing::Test {
 protected:
  SettingsTest() {
    std::string name = fs::temp_directory_path() / "smartmeterd-settings-XXXXXX";
    directory_ = ::mkdtemp(name.data());
    options_.config_file = directory_ / "smartmeterd.toml";
    options_.config_file_given = true;
  }
  ~SettingsTest() override { fs::remove_all(directory_); }

  Config load(std::string_view text) const {
    std::ofstream(options_.config_file) << text;
    return Settings::load(options_, true).config;
  }
  std::string error(std::string_view text) const {
    try {
      load(text);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "no error";
  }
  static std::map<std::string, std::string> client_ids(const Config& config) {
    std::map<std::string, std::string> ids;
    for (const BrokerConfig& broker : config.brokers) ids[broker.name] = broker.client_id;
    EXPECT_EQ(ids.size(), config.brokers.size()) << "a name twice";
    return ids;
  }

  fs::path directory_;
  Options options_;
};

constexpr std::string_view attic = "[gateway]\ninstance = \"attic\"\n";

TEST_F(SettingsTest, SecondConnectionToABrokerHasItsOwnClientId) {
  const auto config = load(std::string(attic) +
                           "[broker.a]\nurl = \"mqtt://b\"\n[broker.b]\nurl = \"mqtt://b\"\n"
                           "[broker.c]\nurl = \"mqtt://c\"\n");
  EXPECT_THAT(client_ids(config),
              UnorderedElementsAre(Pair("a", "smartmeterd-attic"), Pair("b", "smartmeterd-attic-b"),
                                   Pair("c", "smartmeterd-attic")));
}

TEST_F(SettingsTest, EachDirectionHasItsOwnClientId) {
  const auto config = load(std::string(attic) +
                           "[broker.a]\nurl = \"mqtt://b\"\nrole = \"both\"\n"
                           "[broker.b]\nurl = \"mqtt://b\"\nrole = \"both\"\nclient_id = \"x\"\n"
                           "[source.s]\nbroker = \"a\"\nformat = \"raw\"\n");
  EXPECT_THAT(client_ids(config),
              UnorderedElementsAre(Pair("a", "smartmeterd-attic"),
                                   Pair("a-source", "smartmeterd-attic-a-source"), Pair("b", "x"),
                                   Pair("b-source", "x-source")));
  EXPECT_EQ(config.sources.at(0).broker, "a-source");
  for (const BrokerConfig& broker : config.brokers) EXPECT_NE(broker.role, BrokerRole::both);
}

TEST_F(SettingsTest, ConnectionThatReadsTakesNoOtherTablesName) {
  const auto config = load(std::string(attic) +
                           "[broker.a]\nurl = \"mqtt://b\"\nrole = \"both\"\n"
                           "[broker.a-source]\nurl = \"mqtt://c\"\n"
                           "[source.s]\nbroker = \"a\"\nformat = \"raw\"\n");
  EXPECT_EQ(client_ids(config).size(), 3u);
  const auto reader =
      std::ranges::find(config.brokers, config.sources.at(0).broker, &BrokerConfig::name);
  ASSERT_NE(reader, config.brokers.end());
  EXPECT_EQ(reader->host, "b");
  EXPECT_EQ(reader->role, BrokerRole::source);
}

TEST_F(SettingsTest, ClientIdThatIsGivenIsNotGivenAgain) {
  EXPECT_THAT(client_ids(load(std::string(attic) +
                              "[broker.a]\nurl = \"mqtt://b\"\n"
                              "[broker.b]\nurl = \"mqtt://b\"\nclient_id = \"smartmeterd-attic\"\n"
                              "[broker.c]\nurl = \"mqtt://b\"\n"
                              "client_id = \"smartmeterd-attic-a\"\n")),
              UnorderedElementsAre(Pair("a", "smartmeterd-attic-a-2"),
                                   Pair("b", "smartmeterd-attic"),
                                   Pair("c", "smartmeterd-attic-a")));
  EXPECT_THAT(error("[broker.a]\nurl = \"mqtt://b\"\nclient_id = \"x\"\n"
                    "[broker.b]\nurl = \"mqtt://b\"\nclient_id = \"x\"\n"),
              AllOf(HasSubstr("[broker.b]: the client_id \"x\" of broker.a"),
                    HasSubstr("expected another one")));
  EXPECT_EQ(error("[broker.a]\nurl = \"mqtt://b\"\nclient_id = \"x\"\n"
                  "[broker.b]\nurl = \"mqtt://c\"\nclient_id = \"x\"\n"),
            "no error");
}

TEST_F(SettingsTest, TranslatorBesideAGatewayIsAnotherClient) {
  constexpr auto tables =
      "[broker.a]\nurl = \"mqtt://b\"\n[broker.b]\nurl = \"mqtt://b\"\nprefix = \"other\"\n";
  const auto ids = [&] {
    std::set<std::string> set;
    for (const auto& [name, id] : client_ids(load(tables))) set.insert(id);
    return set;
  };
  const auto gateway = ids();
  options_.translate = true;
  const auto translator = ids();
  EXPECT_EQ(gateway.size(), 2u);
  EXPECT_EQ(translator.size(), 4u);
  for (const std::string& id : translator) EXPECT_FALSE(gateway.contains(id)) << id;
}

TEST_F(SettingsTest, BrokerOfTheOptionsThatATableSaysMoreOf) {
  options_.mqtt = {"mqtt://b", "mqtt://b", "mqtt://b:1884"};
  const auto config = load(std::string(attic) + "[broker.home]\nurl = \"mqtt://b\"\nraw = true\n");
  EXPECT_THAT(client_ids(config), UnorderedElementsAre(Pair("home", "smartmeterd-attic"),
                                                       Pair("b", "smartmeterd-attic")));
  EXPECT_TRUE(config.brokers.at(0).raw);
}

TEST_F(SettingsTest, EachBrokerOfOneHostIsReadByATranslator) {
  options_.translate = true;
  options_.mqtt = {"mqtt://b", "mqtt://b:1884", "mqtts://b"};
  const auto config = load("[broker.b-8883]\nurl = \"mqtt://elsewhere\"\n");
  EXPECT_EQ(client_ids(config).size(), 8u);
  std::set<std::pair<std::string, int>> read;
  std::set<std::string> names;
  for (const SourceConfig& source : config.sources) {
    names.insert(source.name);
    const auto broker = std::ranges::find(config.brokers, source.broker, &BrokerConfig::name);
    ASSERT_NE(broker, config.brokers.end());
    EXPECT_TRUE(broker->subscribes());
    read.emplace(broker->host, broker->port);
  }
  EXPECT_THAT(read, UnorderedElementsAre(Pair("b", 1883), Pair("b", 1884), Pair("b", 8883),
                                         Pair("elsewhere", 1883)));
  EXPECT_THAT(names, UnorderedElementsAre("b", "b-1884", "b-8883", "b-8883-2"));
}

TEST_F(SettingsTest, PortsAndAddressesOfTheOptionsWinAndHaveNamesOfTheirOwn) {
  options_.devices = {"/dev/ttyUSB0,line=9600-8N1", "/dev/other/ttyUSB0"};
  options_.exports = {"unix:/run/a-b", "unix:/run/a/b", "localhost:1502,format=received"};
  const auto config = load("[adapter.main]\ndevice = \"/dev/ttyUSB0\"\n"
                           "[adapter.ttyusb0]\ndevice = \"/dev/ttyUSB7\"\n"
                           "[export.p1]\nlisten = \"localhost:1502\"\n");
  std::map<std::string, std::string> devices, exports;
  for (const AdapterConfig& adapter : config.adapters) devices[adapter.name] = adapter.device;
  for (const ExportConfig& item : config.exports) exports[item.name] = item.socket;
  EXPECT_THAT(devices, UnorderedElementsAre(Pair("ttyusb0", "/dev/ttyUSB7"),
                                            Pair("ttyusb0-2", "/dev/ttyUSB0"),
                                            Pair("ttyusb0-3", "/dev/other/ttyUSB0")));
  EXPECT_EQ(config.exports.size(), 3u);
  EXPECT_EQ(exports.size(), 3u);
  EXPECT_EQ(config.exports.back().format, ExportFormat::received);
}

}  // namespace
}  // namespace smartmeterd
