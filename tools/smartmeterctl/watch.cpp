// SPDX-License-Identifier: Apache-2.0
// smartmeterctl watch: every telegram as it arrives, on a whole terminal or as lines.
#include <fmt/core.h>
#include <poll.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <utility>

#include "tools/smartmeterctl/bus.hpp"
#include "tools/smartmeterctl/signals.hpp"
#include "tools/smartmeterctl/style.hpp"
#include "tools/smartmeterctl/text.hpp"
#include "tools/smartmeterctl/verbs.hpp"
#include "tools/smartmeterctl/watch_screen.hpp"

namespace smartmeterctl {
namespace {

constexpr const char* footer = R"(
On a terminal: a view of all meters, with their power, phases, registers, links and brokers. Keys:
up, down, PgUp, PgDn and Tab choose a meter, ? helps, q or Esc leave. Elsewhere, and with --plain,
--json or --count: one line for each telegram.

Exit status: 0 left with q, Ctrl-C or after --count telegrams, 1 an error, 2 wrong usage.

Examples:
  smartmeterctl watch
  smartmeterctl watch --plain | grep power_import
  smartmeterctl watch --json --count 1 | jq .readings)";

struct WatchOptions : BusOptions {
  std::uint64_t count = 0;
  bool plain = false;
};

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
    if (!same_before) line += "  " + safe(same_after ? name : names[i]);
    line += ' ';
    line += same_after ? number_text(*number) : value_text(names[i], signal.values[names[i]]);
  }
  fmt::print("{}\n", line);
}

/// One line for each telegram.
int watch_lines(Bus& bus, const WatchOptions& options, const std::string& only) {
  Signals signals({SIGINT});
  // A bus whose policy was closed is silent: that shows only where one asks.
  constexpr auto look_again = std::chrono::seconds(20);
  auto asked = std::chrono::steady_clock::now();
  bool is_there = true, is_refused = false;
  std::uint64_t seen = 0;
  bus.listen({.on_reading =
                  [&](const ReadingSignal& signal) {
                    if (!only.empty() && signal.path != only) return true;
                    const Value meter = bus.meter_properties(signal.path);
                    if (options.json)
                      print_json(meter, signal);
                    else
                      print_line(meter, signal);
                    if (std::fflush(stdout) != 0)
                      throw std::runtime_error(
                          fmt::format("standard output: {}", std::strerror(errno)));
                    return ++seen != options.count;
                  },
              .on_owner =
                  [&](bool there) {
                    is_there = there;
                    fmt::print(stderr, "smartmeterctl: smartmeterd {}\n",
                               there ? "is back" : "has stopped; waiting for it");
                  },
              .on_objects =
                  [&](const auto& objects) {
                    if (!is_there || std::exchange(is_refused, !objects) == !objects) return;
                    fmt::print(stderr, "smartmeterctl: smartmeterd {}\n",
                               is_refused
                                   ? "does not answer, or the bus does not allow it; waiting"
                                   : "answers again");
                  }});
  while (bus.process() && !signals.take()) {
    if (const auto now = std::chrono::steady_clock::now(); is_there && now >= asked + look_again) {
      asked = now;
      bus.ask_objects();
      continue;
    }
    std::array<pollfd, 2> waits = {bus.waits_for(), {signals.fd(), POLLIN, 0}};
    ::poll(waits.data(), waits.size(), std::chrono::milliseconds(look_again).count());
  }
  return exit_good;
}

int watch(const WatchOptions& options) {
  std::string why_not;
  const bool wants_lines = options.json || options.plain || options.count != 0;
  const bool on_screen = !wants_lines && has_screen(why_not);
  Bus bus(options.bus);
  const auto meters = bus.meters(options.meter);  // says what is wrong before the long wait
  const std::string only = options.meter.empty() ? "" : meters.front().path;
  if (on_screen) return watch_on_screen(bus, only);
  if (!why_not.empty()) fmt::print(stderr, "smartmeterctl: {}\n", safe(why_not));
  return watch_lines(bus, options, only);
}

}  // namespace

void add_watch(CLI::App& app, Action& action) {
  auto options = std::make_shared<WatchOptions>();
  CLI::App* command = app.add_subcommand("watch", "all meters live, until q or Ctrl-C");
  command->footer(footer);
  options->add_to(*command, true);
  command->add_flag("--plain", options->plain, "one line for each telegram, also on a terminal");
  command
      ->add_option("--count", options->count,
                   "lines, and an end after this many telegrams; 0: never")
      ->check(CLI::Validator(
          [](const std::string& text) {
            return std::string(text.starts_with('-') ? "a number is expected, 0 or more" : "");
          },
          ""))
      ->capture_default_str();
  command->callback([options, &action] { action = [options] { return watch(*options); }; });
}

}  // namespace smartmeterctl
