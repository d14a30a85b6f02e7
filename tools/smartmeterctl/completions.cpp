// SPDX-License-Identifier: Apache-2.0
// What the shells complete values with: see the header.
#include "tools/smartmeterctl/completions.hpp"

#include <chrono>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>

#include "tools/smartmeterctl/bus.hpp"
#include "tools/smartmeterctl/decoding.hpp"
#include "tools/smartmeterctl/key.hpp"
#include "tools/smartmeterctl/serial_ports.hpp"
#include "tools/smartmeterctl/style.hpp"

namespace smartmeterctl {
namespace {

using completion::Kind;
using completion::Typed;
using completion::Word;
using Words = std::vector<Word>;
using namespace std::chrono_literals;

/// Somebody waits with a finger on the key.
constexpr std::chrono::microseconds patience = 500ms;

std::string typed_value(const Typed& typed, const char* option, const char* otherwise) {
  const auto found = typed.find(option);
  return found == typed.end() ? otherwise : found->second;
}

/// Adds what can be typed as it is: an id is text of whoever, and with "-" it would be an option.
void offer(Words& words, const std::string& text, const std::string& about) {
  if (!text.empty() && text.front() != '-' && text == safe(text))
    words.push_back({text, safe(about)});
}

/// Both, with a comma between where there are both.
std::string joined(const std::string& a, const std::string& b) {
  return a.empty() || b.empty() ? a + b : a + ", " + b;
}

/// What smartmeterd serves, if it runs; to look does not start it.
std::vector<Object> objects(const Typed& typed) {
  Bus bus(typed_value(typed, "--bus", "system"), patience);
  return bus.owner() ? bus.objects() : std::vector<Object>{};
}

Words meter_ids(const Typed& typed) {
  Words words;
  for (const Object& object : objects(typed)) {
    const Value& meter = object.meter();
    offer(words, meter["Id"].text(), joined(meter["Name"].text(), meter["Medium"].text()));
  }
  return words;
}

Words meters(const Typed& typed) {
  Words words;
  for (const Object& object : objects(typed)) {
    const Value& meter = object.meter();
    const std::string id = meter["Id"].text(), name = meter["Name"].text();
    offer(words, id, joined(name, meter["Medium"].text()));
    if (name != id) offer(words, name, joined(id, meter["Medium"].text()));
  }
  return words;
}

Words adapters(const Typed& typed) {
  Words words;
  for (const Object& object : objects(typed)) {
    const Value& adapter = object.adapter();
    const std::string about = joined(adapter["Kind"].text(), adapter["State"].text());
    offer(words, adapter["Device"].text(), about);
    for (const Value& link : adapter["Links"].list())
      if (link.text().starts_with("/dev/smartmeter")) offer(words, link.text(), about);
  }
  return words;
}

Words buses(const Typed&) {
  return {{"system", "where the service is"}, {"session", "of this login"}};
}

/// Serial ports that are claimed as meter adapters, or those that are not.
Words ports(bool claimed) {
  Words words;
  for (const SerialPort& port : serial_ports()) {
    if (port.is_claimed() != claimed) continue;
    offer(words, port.node, port.description());
    if (claimed) offer(words, port.given_name(), port.node);
  }
  return words;
}

Words key_names(const Typed& typed) {
  Words words;
  const KeyOptions options{.root = typed_value(typed, "--root", "")};
  for (const auto& entry : std::filesystem::directory_iterator(options.directory()))
    if (entry.path().extension() == ".toml") offer(words, entry.path().stem().native(), "");
  return words;
}

/// As history and plot know them; no words for a day itself.
Words dates(const Typed&) {
  return {{"today", ""}, {"yesterday", ""}};
}

Words steps(const Typed&) {
  return {{"15m", "as stored"}, {"1h", ""}, {"6h", ""}, {"day", ""}, {"week", ""}, {"month", ""}};
}

Words just_max(const Typed&) {
  return {{"max", "without pauses"}};
}

/// Of capture: an adapter, or with --redact a recording.
Words adapters_unless_redacted(const Typed& typed) {
  return typed.contains("--redact") ? Words{} : adapters(typed);
}

/// Of replay: a link layer, or with --pty a path, for which there are no words.
Words links_unless_pty(const Typed& typed) {
  Words words;
  if (!typed.contains("--pty"))
    for (const std::string& link : DecodeOptions::links()) offer(words, link, "");
  return words;
}

/// Zones and their other names, as the one-letter lines of zic(8) have them.
Words zones(const Typed&) {
  Words words;
  std::ifstream table("/usr/share/zoneinfo/tzdata.zi");
  std::set<std::string> names;
  std::string line;
  while (std::getline(table, line)) {
    if (line.starts_with("Z ")) names.insert(line.substr(2, line.find(' ', 2) - 2));
    if (line.starts_with("L ")) names.insert(line.substr(line.rfind(' ') + 1));
  }
  for (const std::string& name : names) offer(words, name, "");
  return words;
}

/// Asks, and is silent where nobody answers.
Kind quietly(std::function<Words(const Typed&)> ask, Kind::Paths otherwise = Kind::Paths::none) {
  const auto quiet = [ask = std::move(ask)](const Typed& typed) {
    try {
      return ask(typed);
    } catch (const std::exception&) {  // an error in the middle of a line that is being typed
      return Words{};
    }
  };
  return Kind(quiet, otherwise);
}

}  // namespace

completion::Kinds completion_kinds() {
  return {
      {"METER", quietly(meters)},
      {"ADAPTER", quietly(adapters)},
      {"BUS", quietly(buses)},
      {"--zone", quietly(zones)},
      {"capture ADAPTER", quietly(adapters_unless_redacted, Kind::Paths::files)},
      {"DATE", Kind(dates)},
      {"TIME", Kind(dates)},
      {"STEP", Kind(steps)},
      {"--speed", Kind(just_max)},
      {"replay --link", Kind(links_unless_pty, Kind::Paths::files)},
      {"key add --meter", quietly(meter_ids)},
      {"key remove NAME", quietly(key_names)},
      {"claim DEVICE", quietly([](const Typed&) { return ports(false); })},
      {"unclaim DEVICE", quietly([](const Typed&) { return ports(true); })},
  };
}

}  // namespace smartmeterctl
