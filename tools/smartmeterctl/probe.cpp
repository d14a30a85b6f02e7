// SPDX-License-Identifier: Apache-2.0
// smartmeterctl probe: has smartmeterd find an adapter's line settings, and shows how it goes.
#include <fmt/core.h>

#include <chrono>
#include <memory>
#include <optional>

#include "tools/smartmeterctl/bus.hpp"
#include "tools/smartmeterctl/style.hpp"
#include "tools/smartmeterctl/text.hpp"
#include "tools/smartmeterctl/verbs.hpp"

namespace smartmeterctl {
namespace {

constexpr const char* footer = R"(
Finds speed, parity and link layer from the bytes that the meter sends; smartmeterd keeps what it
found. It does so by itself for every adapter without line = in its table: this is to watch it, and
to begin anew after the meter or the cable was changed. ADAPTER is a node as "smartmeterctl list"
shows it, one of its links, or its name in topics; it may be left out where there is but one.

Exit status: 0 found, 1 not found or an error, 2 wrong usage.

Examples:
  sudo smartmeterctl probe
  sudo smartmeterctl probe /dev/ttyUSB0 --timeout 120
  sudo smartmeterctl probe --json smartmeter_ir)";

/// Twice the push interval of the slowest meters that speak by themselves is less.
constexpr unsigned timeout_default_s = 60;
constexpr unsigned timeout_max_s = 3600;
/// Elsewhere than on a terminal a line is said so often at most, unless something was found.
constexpr std::chrono::seconds line_interval{5};

struct ProbeOptions : BusOptions {
  std::string adapter;
  unsigned timeout_s = timeout_default_s;
};

/// "2400-8E1: 376 bytes, 2 frame starts, 1 whole frame, 0 line errors"
std::string evidence(const Value& details) {
  return fmt::format("{}: {}, {}, {}, {}", or_dash(details["line-settings"].text()),
                     counted(details["bytes"].count(), "byte"),
                     counted(details["frame-starts"].count(), "frame start"),
                     counted(details["frames"].count(), "whole frame"),
                     counted(details["errors"].count(), "line error"));
}

/// Shows each ProbeProgress, and keeps the last one.
class Progress {
 public:
  void show(const Value& details) {
    const auto now = std::chrono::steady_clock::now();
    const bool is_new = !last_ ||
                        details["line-settings"].text() != (*last_)["line-settings"].text() ||
                        details["frames"].count() != (*last_)["frames"].count();
    last_ = details;
    if (!StatusLine::is_rewritten() && !is_new && now - said_ < line_interval) return;
    said_ = now;
    const std::string message = details["message"].text();
    line_.show(evidence(details) + (message.empty() ? "" : "; " + message));
  }
  void end() { line_.clear(); }
  const std::optional<Value>& last() const { return last_; }

 private:
  StatusLine line_;
  std::optional<Value> last_;
  std::chrono::steady_clock::time_point said_{};
};

/// What the daemon refused, as it is called on the bus: "Timeout".
std::string short_name(const BusError& error) {
  return error.name.substr(error.name.rfind('.') + 1);
}

/// What is wrong with the adapter now: "key-missing"; "none" also where it has gone.
std::string problem_of(Bus& bus, const std::string& path) {
  for (const Object& object : bus.adapters())
    if (object.path == path) return object.adapter()["Problem"].text();
  return "none";
}

/// What to do next.
std::string advice(const BusError& error, const std::string& problem) {
  const std::string name = short_name(error);
  if (name == "NoData") return problem_advice(problem == "none" ? "no-bytes" : problem);
  if (name == "Timeout" && problem == "break") return problem_advice(problem);
  if (name == "Timeout")
    return "check the cable and the adapter; wait longer with --timeout where the meter sends "
           "seldom; a meter that must be asked needs role = \"reader\" in the adapter's table";
  if (name == "InProgress") return "wait until it has ended";
  return {};
}

/// The meter that was found: its id, or empty.
Value meter_of(Bus& bus, const Value& result) {
  const std::string path = result["meter"].text();
  return path.empty() || path == "/" ? Value() : bus.meter_properties(path);
}

void print_found(const std::string& device, const Value& result, const Value& meter,
                 const std::string& problem) {
  const std::string protocol = result["protocol"].text(), id = meter["Id"].text();
  fmt::print("{}: {}{}{}\n", bold(device), toned(result["line-settings"].text(), Tone::good),
             safe(protocol.empty() ? "" : ", " + protocol),
             safe(id.empty() ? "" : ", meter " + id));
  if (problem == "none" || problem.empty()) return;
  const std::string words = problem_text(problem) + ": ";
  fmt::print("{}", toned(words, tone_of_problem(problem)));
  for (const std::string& line :
       wrapped(problem_advice(problem), terminal_columns(), display_width(words)))
    fmt::print("{}\n", line);
}

void print_json(const std::string& device, const Value& result, const Value& meter,
                const std::string& problem) {
  std::string text;
  meter::JsonWriter json(text);
  json.begin_object().key("adapter").text(device);
  for (const char* key : {"line-settings", "protocol"}) json.key(key).text(result[key].text());
  json.key("meter");
  if (meter["Id"].text().empty())
    json.null();
  else
    json.text(meter["Id"].text());
  json.key("problem").text(or_dash(problem)).end_object();
  fmt::print("{}\n", text);
}

void print_json_error(const std::string& device, const BusError& error,
                      const std::optional<Value>& last) {
  std::string text;
  meter::JsonWriter json(text);
  json.begin_object().key("adapter").text(device);
  json.key("error").text(short_name(error)).key("message").text(error.what());
  if (last) write_value(json.key("progress"), *last);
  json.end_object();
  fmt::print("{}\n", text);
}

/// Throws what smartmeterd would answer, with what to do, before a person is told to wait.
void check_is_sought(const Value& adapter) {
  if (adapter["Device"].text().starts_with("tcp://"))
    throw BusError(SD_BUS_ERROR_NOT_SUPPORTED, "a network connection has no line settings to find");
  if (adapter["LineSource"].text() == "configured")
    throw BusError(
        SD_BUS_ERROR_NOT_SUPPORTED,
        fmt::format("the line is configured ({}): remove line = from the adapter's table in "
                    "/etc/smartmeterd/smartmeterd.toml, then \"sudo systemctl restart "
                    "smartmeterd\"",
                    adapter["LineSettings"].text()));
}

int probe(const ProbeOptions& options) {
  Bus bus(options.bus);
  const Object adapter = bus.adapter(options.adapter);
  const std::string device = adapter.adapter()["Device"].text();
  Progress progress;
  try {
    check_is_sought(adapter.adapter());
    fmt::print(stderr, "Finding the line settings of {}, at most {} s …\n", safe(device),
               options.timeout_s);
    const Value result = bus.probe(adapter, std::chrono::seconds(options.timeout_s),
                                   [&](const Value& details) { progress.show(details); });
    progress.end();
    const Value meter = meter_of(bus, result);
    const std::string problem = problem_of(bus, adapter.path);
    if (options.json)
      print_json(device, result, meter, problem);
    else
      print_found(device, result, meter, problem);
    return exit_good;
  } catch (const BusError& error) {
    progress.end();
    if (options.json) print_json_error(device, error, progress.last());
    const std::string seen = progress.last() ? " (last: " + evidence(*progress.last()) + ")" : "";
    const std::string next = advice(error, problem_of(bus, adapter.path));
    fmt::print(stderr, "smartmeterctl: {}\n",
               safe(fmt::format("{}: {}{}{}", device, error.what(), seen,
                                next.empty() ? "" : ": " + next)));
    return exit_nothing;
  }
}

}  // namespace

void add_probe(CLI::App& app, Action& action) {
  auto options = std::make_shared<ProbeOptions>();
  CLI::App* command = app.add_subcommand("probe", "find an adapter's line settings anew");
  command->footer(footer);
  options->add_to(*command, false);
  command->add_option("ADAPTER", options->adapter, "node, link or name");
  command->add_option("--timeout", options->timeout_s, "give up after so long")
      ->type_name("SECONDS")
      ->check(CLI::Range(1u, timeout_max_s))
      ->capture_default_str();
  command->callback([options, &action] { action = [options] { return probe(*options); }; });
}

}  // namespace smartmeterctl
