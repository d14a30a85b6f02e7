// SPDX-License-Identifier: Apache-2.0
// smartmeterctl watch: one line for each telegram, as it arrives.
#include <fmt/core.h>

#include <cstdio>
#include <ctime>
#include <memory>

#include "tools/smartmeterctl/bus.hpp"
#include "tools/smartmeterctl/style.hpp"
#include "tools/smartmeterctl/text.hpp"
#include "tools/smartmeterctl/verbs.hpp"

namespace smartmeterctl {
namespace {

struct WatchOptions : BusOptions {
  std::uint64_t count = 0;
};

/// "12:00:05", local time.
std::string clock_text(std::uint64_t time_us) {
  const auto seconds = static_cast<std::time_t>(time_us / 1'000'000);
  std::tm local{};
  localtime_r(&seconds, &local);
  return fmt::format("{:02}:{:02}:{:02}", local.tm_hour, local.tm_min, local.tm_sec);
}

void print_json(const Value& meter, const ReadingSignal& signal) {
  std::string text;
  meter::JsonWriter json(text);
  json.begin_object();
  write_meter_facts(json, meter, signal.time_us, signal.sequence);
  write_readings(json, signal.values);
  json.end_object();
  fmt::print("{}\n", text);
}

/// True for what a line leaves out: tariffs, which `show` prints.
bool is_tariff(std::string_view name) {
  return name.size() > 3 && name[name.size() - 3] == '_' && name[name.size() - 2] == 't';
}

/// "voltage_l1" of "voltage_l1", "voltage_l2", "voltage_l3": "voltage"; else the name itself.
std::string_view without_phase(std::string_view name) {
  return name.ends_with("_l1") || name.ends_with("_l2") || name.ends_with("_l3")
             ? name.substr(0, name.size() - 3)
             : name;
}

/// "12:00:05  181220000009  power_import 545 W  voltage 230.1 229.9 231 V": phases in one place.
void print_line(const Value& meter, const ReadingSignal& signal) {
  std::string line = fmt::format("{}  {}", clock_text(signal.time_us), bold(meter["Id"].text()));
  const auto names = ordered_names(signal.values);
  for (std::size_t i = 0; i < names.size(); ++i) {
    // Texts (numbers of the meter, its clock) are the same every time.
    const auto* number = std::get_if<double>(&signal.values[names[i]].held);
    if (number == nullptr || is_tariff(names[i])) continue;
    const std::string_view name = without_phase(names[i]);
    const bool same_before = i > 0 && name != names[i] && without_phase(names[i - 1]) == name;
    const bool same_after =
        i + 1 < names.size() && name != names[i] && without_phase(names[i + 1]) == name;
    if (!same_before) line += fmt::format("  {}", same_after ? name : names[i]);
    line += ' ';
    line += same_after ? number_text(*number) : value_text(names[i], signal.values[names[i]]);
  }
  fmt::print("{}\n", line);
}

int watch(const WatchOptions& options) {
  Bus bus(options.bus);
  const auto meters = bus.meters(options.meter);  // says what is wrong before the long wait
  const std::string only = options.meter.empty() ? "" : meters.front().path;
  std::uint64_t seen = 0;
  bus.watch(
      [&](const ReadingSignal& signal) {
        if (!only.empty() && signal.path != only) return true;
        const Value meter = bus.meter_properties(signal.path);
        if (options.json)
          print_json(meter, signal);
        else
          print_line(meter, signal);
        std::fflush(stdout);
        return ++seen != options.count;
      },
      [](bool there) {
        fmt::print(stderr, "smartmeterctl: smartmeterd {}\n",
                   there ? "is back" : "has stopped; waiting for it");
      });
  return exit_good;
}

}  // namespace

void add_watch(CLI::App& app, Action& action) {
  auto options = std::make_shared<WatchOptions>();
  CLI::App* command = app.add_subcommand("watch", "one line for each telegram, until interrupted");
  command->footer(
      "\nExamples:\n  smartmeterctl watch\n  smartmeterctl watch --json --count 1 | jq .readings");
  options->add_to(*command, true);
  command->add_option("--count", options->count, "end after this many telegrams; 0: never")
      ->capture_default_str();
  command->callback([options, &action] { action = [options] { return watch(*options); }; });
}

}  // namespace smartmeterctl
