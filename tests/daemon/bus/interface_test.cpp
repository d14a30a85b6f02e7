// SPDX-License-Identifier: Apache-2.0
// dbus/org.smartmeterd1.xml against what the service says of itself, member by member.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <optional>
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

struct Tag {
  std::string name;
  std::map<std::string, std::string> attributes;
  bool closes, empty;
};

/// Takes the next tag off the front of `xml`; nothing at the end. Introspection data is elements
/// and attributes in double quotes, nothing else.
std::optional<Tag> next_tag(std::string_view& xml) {
  const std::size_t begin = xml.find('<');
  if (begin == xml.npos) return std::nullopt;
  const std::size_t end = xml.find('>', begin);
  std::string_view inside = xml.substr(begin + 1, end - begin - 1);
  xml.remove_prefix(end + 1);
  Tag tag{.closes = inside.starts_with('/'), .empty = inside.ends_with('/')};
  if (tag.closes) inside.remove_prefix(1);
  tag.name = inside.substr(0, inside.find_first_of(" /"));
  inside.remove_prefix(tag.name.size());
  for (std::size_t at; (at = inside.find('=')) != inside.npos;) {
    std::string_view key = inside.substr(0, at);
    key.remove_prefix(key.find_first_not_of(" \n"));
    const std::size_t close = inside.find('"', at + 2);
    tag.attributes.emplace(key, inside.substr(at + 2, close - at - 2));
    inside.remove_prefix(close + 1);
  }
  return tag;
}

Interfaces parse(const std::string& text) {
  const std::string clean = without_comments(text);
  std::string_view xml = clean;
  xml.remove_prefix(xml.find("<node"));  // the document type
  Interfaces found;
  std::vector<std::string> open;  // descriptions of the elements around, below the interface
  std::string interface;
  int argument = 0;
  while (const std::optional<Tag> tag = next_tag(xml)) {
    if (tag->closes) {
      if (!open.empty()) open.pop_back();
      if (tag->name == "interface") interface.clear();
      continue;
    }
    if (tag->name == "interface") interface = tag->attributes.at("name");
    if (interface.empty() || tag->name == "interface") continue;
    argument = tag->name == "arg" ? argument + 1 : 0;
    std::string element = tag->name + (argument > 0 ? " " + std::to_string(argument) : "");
    for (const auto& [key, value] : tag->attributes) element.append(" " + key + "=" + value);
    std::string line;
    for (const std::string& outer : open) line += outer + " / ";
    found[interface].push_back(line + element);
    if (!tag->empty) open.push_back(element);
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
  if (!client.wait_for_service()) throw std::runtime_error("no service");
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
