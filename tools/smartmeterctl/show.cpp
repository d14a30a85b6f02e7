// SPDX-License-Identifier: Apache-2.0
// smartmeterctl show: every value of a meter.
#include <fmt/core.h>

#include <algorithm>
#include <memory>

#include "tools/smartmeterctl/bus.hpp"
#include "tools/smartmeterctl/show_stats.hpp"
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

/// Numbers end in one column, so that they can be compared; their units and texts follow.
void print_meter(const Value& meter, const std::string& parent) {
  fmt::print("{}  {}\n", bold(meter["Id"].text()), safe(description(meter, parent)));
  const Value& readings = meter["Readings"];
  const auto names = ordered_names(readings);
  unsigned name_width = 13, number_width = 0;  // of "meter's clock"
  for (const std::string& name : names) {
    name_width = std::max(name_width, display_width(safe(name)));
    if (const auto* number = std::get_if<double>(&readings[name].held))
      number_width = std::max(number_width, display_width(number_text(*number)));
  }
  const auto row = [&](std::string_view name, const std::string& value) {
    fmt::print("  {}  {}\n", padded(name, name_width), value);
  };
  row("last update", toned(age_text(meter["LastUpdate"].count()), Tone::dim));
  if (const std::string time = meter["MeterTime"].text(); !time.empty())
    row("meter's clock", toned(time, Tone::dim));
  for (const std::string& name : names) {
    const auto* number = std::get_if<double>(&readings[name].held);
    const std::string unit = toned(unit_text(name), Tone::dim);
    row(name, number == nullptr ? safe(readings[name].text())
                                : padded(number_text(*number), number_width, Align::right) +
                                      (unit.empty() ? "" : " ") + unit);
  }
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
      "\nExit status: 0 good, 1 no meter or an error, 2 wrong usage."
      "\n\nExamples:\n  smartmeterctl show\n  smartmeterctl show 181220000009 --json | jq "
      ".readings\n  smartmeterctl show --stats");
  options->add_to(*command, true);
  auto is_stats = std::make_shared<bool>(false);
  command->add_flag("--stats", *is_stats,
                    "counters, and how long telegrams take, in place of the values");
  command->callback([options, is_stats, &action] {
    action = [options, is_stats] { return *is_stats ? show_stats(*options) : show(*options); };
  });
}

}  // namespace smartmeterctl
