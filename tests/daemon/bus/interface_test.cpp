// SPDX-License-Identifier: Apache-2.0
// dbus/org.smartmeterd1.xml against what the service says of itself, member by member.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>
#include <stdexcept>

#include "meter/quantity.hpp"
#include "private_bus.hpp"
#include "server.hpp"

namespace smartmeterd::bus::test {
namespace {

/// Interface → its members as "method GetMeter / arg 0 direction=in name=id type=s", sorted.
using Interfaces = std::map<std::string, std::vector<std::string>>;

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::ostringstream all;
  all << file.rdbuf();
  return all.str();
}

std::string without_comments(std::string xml) {
  for (std::size_t at; (at = xml.find("<!--")) != std::string::npos;)
    xml.erase(at, xml.find("-->", at) + 3 - at);
  return xml;
}

/// Introspection data is elements and attributes, nothing else.
Interfaces parse(const std::string& text) {
  static const std::regex tag_pattern("<(/?)(\\w+)([^>]*?)(/?)>");
  static const std::regex attribute_pattern("(\\w+)=\"([^\"]*)\"");
  const std::string xml = without_comments(text);
  Interfaces found;
  std::vector<std::string> open;  // descriptions of the elements around, below the interface
  std::string interface;
  int argument = 0;
  for (std::sregex_iterator tag(xml.begin(), xml.end(), tag_pattern), end; tag != end; ++tag) {
    const std::string name = (*tag)[2];
    if ((*tag)[1] == "/") {
      if (!open.empty()) open.pop_back();
      if (name == "interface") interface.clear();
      continue;
    }
    std::map<std::string, std::string> attributes;
    const std::string all = (*tag)[3];
    for (std::sregex_iterator a(all.begin(), all.end(), attribute_pattern); a != end; ++a)
      attributes[(*a)[1]] = (*a)[2];
    if (name == "interface") interface = attributes["name"];
    if (interface.empty() || name == "interface") continue;
    argument = name == "arg" ? argument + 1 : 0;
    std::string element = name + (name == "arg" ? " " + std::to_string(argument) : "");
    for (const auto& [key, value] : attributes) element += " " + key + "=" + value;
    std::string line;
    for (const std::string& outer : open) line += outer + " / ";
    found[interface].push_back(line + element);
    if ((*tag)[4] != "/") open.push_back(element);
  }
  for (auto& [_, members] : found) std::ranges::sort(members);
  return found;
}

Interfaces served() {
  PrivateBus bus;
  bus.start();
  World world;
  BusOptions options;
  options.address = bus.address();
  Server server(io::Backend::epoll, options);
  server.run([&](Sink& sink) { world.add_to(sink); });
  Client client(bus.address());
  if (!client.wait_for_name()) throw std::runtime_error("no service");
  Interfaces all;
  for (const char* object :
       {"", "/broker/home", "/adapter/usb_2dm_2dbus", "/meter/_31KFM0200169986", "/meter/G_2d1"})
    for (auto& [name, members] :
         parse(client.introspect("/org/smartmeterd1" + std::string(object))))
      if (name.starts_with("org.smartmeterd1.")) all[name] = members;
  return all;
}

TEST(Interface, FileSaysWhatIsServed) {
  const Interfaces file = parse(read_file(DBUS_DIRECTORY "/org.smartmeterd1.xml"));
  ASSERT_EQ(file.size(), 6u);
  const Interfaces live = served();
  for (const auto& [name, members] : file) {
    SCOPED_TRACE(name);
    ASSERT_TRUE(live.contains(name));
    EXPECT_THAT(live.at(name), testing::ElementsAreArray(members));
  }
  EXPECT_EQ(live.size(), file.size());
}

TEST(Interface, ParserSeesMembersArgumentsAndAnnotations) {
  const Interfaces file = parse(read_file(DBUS_DIRECTORY "/org.smartmeterd1.xml"));
  const auto& manager = file.at("org.smartmeterd1.Manager");
  EXPECT_THAT(manager, testing::Contains("method name=GetMeter / arg 2 direction=out name=meter "
                                         "type=o"));
  EXPECT_THAT(manager, testing::Contains("property access=read name=Version type=s / annotation "
                                         "name=org.freedesktop.DBus.Property.EmitsChangedSignal "
                                         "value=const"));
}

TEST(Interface, EveryPropertyOfTheQuantityTableIsThere) {
  const Interfaces file = parse(read_file(DBUS_DIRECTORY "/org.smartmeterd1.xml"));
  std::string values;
  for (const char* name : {"org.smartmeterd1.Electricity", "org.smartmeterd1.Volume"})
    for (const std::string& member : file.at(name)) values += member + "\n";
  for (const meter::Quantity& quantity : meter::quantities()) {
    if (quantity.dbus_property.empty()) continue;
    EXPECT_THAT(values, testing::HasSubstr("name=" + std::string(quantity.dbus_property) + " "));
  }
}

}  // namespace
}  // namespace smartmeterd::bus::test
