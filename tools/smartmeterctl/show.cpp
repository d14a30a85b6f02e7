// SPDX-License-Identifier: Apache-2.0
// smartmeterctl show: every value of a meter.
#include <fmt/core.h>

#include <algorithm>
#include <memory>

#include "tools/smartmeterctl/bus.hpp"
#include "tools/smartmeterctl/style.hpp"
#include "tools/smartmeterctl/text.hpp"
#include "tools/smartmeterctl/verbs.hpp"

namespace smartmeterctl {
namespace {

/// Registers of the bus, code → (value, exponent, unit), as in the telegram JSON.
void write_registers(meter::JsonWriter& json, const Value& meter) {
  json.key("registers").begin_array();
  for (const auto& [code, value] : meter["Registers"].map()) {
    const auto* parts = std::get_if<Value::List>(&value.held);
    if (parts == nullptr || parts->size() < 3) continue;
    const auto* mantissa = std::get_if<std::int64_t>(&(*parts)[0].held);
    const auto* exponent = std::get_if<std::int64_t>(&(*parts)[1].held);
    if (mantissa == nullptr || exponent == nullptr) continue;
    json.begin_object().key("obis").text(code);
    json.key("value").number(meter::Decimal{*mantissa, static_cast<std::int8_t>(*exponent)});
    json.key("unit").text((*parts)[2].text()).end_object();
  }
  for (const auto& [code, value] : meter["Texts"].map())
    json.begin_object().key("obis").text(code).key("text").text(value.text()).end_object();
  json.end_array();
}

/// Id of the meter that carries this one; empty: none.
std::string parent_of(const Value& meter, const std::vector<Object>& meters) {
  const auto found = std::ranges::find(meters, meter["Parent"].text(), &Object::path);
  return found == meters.end() ? "" : found->meter()["Id"].text();
}

void print_json(const Value& meter, const std::string& parent) {
  std::string text;
  meter::JsonWriter json(text);
  json.begin_object();
  write_meter_facts(json, meter, meter["LastUpdate"].count(), 0);
  json.key("medium").text(meter["Medium"].text());
  if (!parent.empty()) json.key("parent").text(parent);
  write_readings(json, meter["Readings"]);
  write_registers(json, meter);
  json.end_object();
  fmt::print("{}\n", text);
}

/// What is known of a meter besides its values: "KFM electricity, encrypted, not verified".
std::string description(const Value& meter, const std::string& parent) {
  std::string text = meter["Medium"].text();
  if (const std::string maker = meter["Manufacturer"].text(); !maker.empty())
    text = maker + " " + text;
  if (const std::string name = meter["Name"].text(); !name.empty()) text += ", \"" + name + '"';
  if (!parent.empty()) text += ", behind " + parent;
  if (meter["Encrypted"].boolean())
    text += meter["Authenticated"].text() == "yes" ? ", encrypted and verified"
                                                   : ", encrypted, not verified";
  return text;
}

void print_meter(const Value& meter, const std::string& parent) {
  fmt::print("{}  {}\n", bold(meter["Id"].text()), description(meter, parent));
  const Value& readings = meter["Readings"];
  const auto names = ordered_names(readings);
  std::size_t width = 12;
  for (const std::string& name : names) width = std::max(width, name.size());
  fmt::print("  {:<{}}  {}\n", "last update", width, age_text(meter["LastUpdate"].count()));
  if (const std::string time = meter["MeterTime"].text(); !time.empty())
    fmt::print("  {:<{}}  {}\n", "meter's clock", width, time);
  for (const std::string& name : names)
    fmt::print("  {:<{}}  {}\n", name, width, value_text(name, readings[name]));
}

int show(const BusOptions& options) {
  Bus bus(options.bus);
  const auto all = bus.meters("");
  const auto meters = options.meter.empty() ? all : bus.meters(options.meter);
  bool first = true;
  for (const Object& object : meters) {
    const std::string parent = parent_of(object.meter(), all);
    if (options.json) {
      print_json(object.meter(), parent);
    } else {
      if (!first) fmt::print("\n");
      print_meter(object.meter(), parent);
    }
    first = false;
  }
  if (!meters.empty()) return exit_good;
  fmt::print(stderr, "smartmeterctl: no meter yet: \"smartmeterctl list\" says why\n");
  return exit_nothing;
}

}  // namespace

void add_show(CLI::App& app, Action& action) {
  auto options = std::make_shared<BusOptions>();
  CLI::App* command = app.add_subcommand("show", "every value of a meter");
  command->footer(
      "\nExamples:\n  smartmeterctl show\n  smartmeterctl show 181220000009 --json | jq .readings");
  options->add_to(*command, true);
  command->callback([options, &action] { action = [options] { return show(*options); }; });
}

}  // namespace smartmeterctl
