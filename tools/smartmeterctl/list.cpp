// SPDX-License-Identifier: Apache-2.0
// smartmeterctl list: adapters and meters, and what is wrong with them; adapters to be claimed.
#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "tools/smartmeterctl/bus.hpp"
#include "tools/smartmeterctl/port_text.hpp"
#include "tools/smartmeterctl/serial_ports.hpp"
#include "tools/smartmeterctl/style.hpp"
#include "tools/smartmeterctl/text.hpp"
#include "tools/smartmeterctl/verbs.hpp"

namespace smartmeterctl {
namespace {

/// An object's properties, and the path under which others name it.
void write_object(meter::JsonWriter& json, const Object& object, const Value& properties) {
  json.begin_object().key("path").text(object.path);
  for (const auto& [name, value] : properties.map()) write_value(json.key(name), value);
  json.end_object();
}

/// What there is, from whomever it was to be had.
struct Found {
  std::vector<Object> adapters, meters;
  std::vector<SerialPort> ports;
  std::string trouble;  ///< smartmeterd could not be asked

  std::vector<SerialPort> unclaimed() const {
    std::vector<std::string> read;
    for (const Object& object : adapters) read.push_back(object.adapter()["Device"].text());
    return unclaimed_ports(ports, read);
  }
};

void print_json(const Found& found) {
  std::string text;
  meter::JsonWriter json(text);
  json.begin_object().key("adapters").begin_array();
  for (const Object& object : found.adapters) write_object(json, object, object.adapter());
  json.end_array().key("meters").begin_array();
  for (const Object& object : found.meters) write_object(json, object, object.meter());
  json.end_array().key("unclaimed").begin_array();
  for (const SerialPort& port : found.unclaimed()) write_port(json, port, found.ports);
  json.end_array().end_object();
  fmt::print("{}\n", text);
}

/// Each meter with those behind it after it.
std::vector<const Object*> by_parent(const std::vector<Object>& meters) {
  std::vector<const Object*> ordered;
  for (const Object* top : meters_behind(meters)) {
    ordered.push_back(top);
    for (const Object* behind : meters_behind(meters, top->path)) ordered.push_back(behind);
  }
  return ordered;
}

Found find(const BusOptions& options) {
  Found found;
  if (has_udev()) found.ports = serial_ports();
  try {
    Bus bus(options.bus);
    found.adapters = bus.adapters();
    found.meters = bus.meters("");
  } catch (const std::runtime_error& error) {
    found.trouble = error.what();
  }
  return found;
}

/// Columns that are enough to tell names apart, and to see what a sentence is about.
constexpr unsigned narrow = 12, wide = 24;

void print_adapters(const std::vector<Object>& adapters) {
  Table table({{"ADAPTER", 0, narrow},
               {"STATE"},
               {"LINE", 2},
               {"LINK", 3},
               {"TELEGRAMS", 4, 0, Align::right},
               {"LAST BYTE", 1},
               {"PROBLEM", 0, wide}});
  for (const Object& object : adapters) {
    const Value& adapter = object.adapter();
    const std::string state = adapter["State"].text(), problem = adapter["Problem"].text();
    table.add({adapter["Device"].text(),
               {state, tone_of_state(state)},
               or_dash(adapter["LineSettings"].text()),
               or_dash(adapter["Protocol"].text()),
               fmt::format("{}", adapter["TelegramsReceived"].count()),
               {age_text(adapter["LastActivity"].count()), Tone::dim},
               {problem_text(problem), tone_of_problem(problem)}});
  }
  table.print();
}

/// What to do about each problem, below the table that names it.
void print_advice(const std::vector<Object>& adapters) {
  constexpr unsigned indent = 2;
  for (const Object& object : adapters) {
    const std::string advice = problem_advice(object.adapter()["Problem"].text());
    if (advice.empty()) continue;
    fmt::print("\n{}:\n{:{}}", bold(object.adapter()["Device"].text()), "", indent);
    for (const std::string& line : wrapped(advice, terminal_columns(), indent))
      fmt::print("{}\n", line);
  }
}

void print_meters(const std::vector<Object>& meters) {
  Table table({{"METER", 0, narrow},
               {"NAME", 3, narrow},
               {"MEDIUM", 2},
               {"MANUFACTURER", 4},
               {"KEY", 1},
               {"LAST TELEGRAM"}});
  for (const Object* object : by_parent(meters)) {
    const Value& meter = object->meter();
    const bool is_behind = meter["Parent"].text().size() > 1;  // "/" is none
    const std::string key = meter["KeyState"].text();
    table.add({(is_behind ? "  " : "") + meter["Id"].text(),
               or_dash(meter["Name"].text()),
               meter["Medium"].text(),
               or_dash(meter["Manufacturer"].text()),
               {key, tone_of_state(key)},
               {age_text(meter["LastUpdate"].count()), Tone::dim}});
  }
  table.print();
}

void print_unclaimed(const std::vector<SerialPort>& ports) {
  Table table({{"UNCLAIMED"}, {"WHAT IT IS", 1, narrow}, {"IF A METER IS ON IT"}});
  for (const SerialPort& port : ports)
    table.add({port.node, port.description(), {claim_command(port), Tone::accent}});
  table.print();
}

void print(const Found& found) {
  const auto unclaimed = found.unclaimed();
  bool is_first = true;
  const auto begin_part = [&is_first] {
    if (!is_first) fmt::print("\n");
    is_first = false;
  };
  if (!found.adapters.empty()) {
    begin_part();
    print_adapters(found.adapters);
    print_advice(found.adapters);
    if (found.meters.empty()) fmt::print("\nNo meter yet.\n");
  } else if (unclaimed.empty() && found.trouble.empty()) {
    fmt::print("No adapter: plug one in, or name one with --device or in smartmeterd.toml.\n");
  }
  if (!found.meters.empty()) {
    begin_part();
    print_meters(found.meters);
  }
  if (!unclaimed.empty()) {
    begin_part();
    print_unclaimed(unclaimed);
  }
}

int list(const BusOptions& options) {
  const Found found = find(options);
  if (options.json)
    print_json(found);
  else
    print(found);
  if (!found.trouble.empty()) throw std::runtime_error(found.trouble);
  return exit_good;
}

}  // namespace

void BusOptions::add_to(CLI::App& command, bool with_meter, bool with_json) {
  command.add_option("--bus", bus, "system, session or an address")
      ->type_name("BUS")
      ->check(CLI::Validator(
          [](const std::string& text) {
            return std::string(text.empty() ? "system, session or an address is expected" : "");
          },
          ""))
      ->capture_default_str();
  if (with_json) command.add_flag("--json", json, "for machines: JSON, one object a line");
  if (with_meter) command.add_option("METER", meter, "id or name; all meters without it");
}

void add_list(CLI::App& app, Action& action) {
  auto options = std::make_shared<BusOptions>();
  CLI::App* command =
      app.add_subcommand("list", "adapters and meters, and what is wrong with them");
  command->footer(
      "\nExit status: 0 good, 1 smartmeterd cannot be asked, 2 wrong usage."
      "\n\nExamples:\n  smartmeterctl list\n  smartmeterctl list --json | jq .meters"
      "\n  smartmeterctl list --json | jq .unclaimed");
  options->add_to(*command, false);
  command->callback([options, &action] { action = [options] { return list(*options); }; });
}

}  // namespace smartmeterctl
