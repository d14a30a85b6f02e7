// SPDX-License-Identifier: Apache-2.0
// smartmeterctl show --stats: counters and times.
#include "tools/smartmeterctl/show_stats.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/smartmeterctl/bus.hpp"
#include "tools/smartmeterctl/style.hpp"
#include "tools/smartmeterctl/text.hpp"

namespace smartmeterctl {
namespace {

struct Statistics {
  Value counters;
  std::vector<Object> adapters, brokers, meters;
};

/// (count, minimum, median, 99th percentile, maximum) of the bus; the times in seconds.
constexpr std::array<std::string_view, 4> times = {"min", "median", "p99", "max"};

/// A century: more, and what is no number at all, is nothing that a service measured.
constexpr double ns_max = 3.2e18;

Statistics collect(const BusOptions& options) {
  Bus bus(options.bus);
  Statistics all{.meters = bus.meters(options.meter)};  // which says so where there is no such one
  all.counters = bus.manager_properties()["Counters"];
  for (Object& object : bus.objects()) {
    const auto is_its = [&](const Object& meter) {
      return meter.meter()["Adapter"].text() == object.path;
    };
    const bool is_wanted = options.meter.empty() || std::ranges::any_of(all.meters, is_its);
    if (!object.publisher().map().empty())
      all.brokers.push_back(std::move(object));
    else if (!object.adapter().map().empty() && is_wanted)
      all.adapters.push_back(std::move(object));
  }
  return all;
}

// JSON

void write_latency(meter::JsonWriter& json, const Value& latency) {
  const Value::List& parts = latency.list();
  json.begin_object();
  if (parts.size() > times.size()) {
    write_value(json.key("count"), parts[0]);
    for (std::size_t i = 0; i < times.size(); ++i) {
      const double ns = std::round(1e9 * parts[i + 1].number());
      json.key(times[i]);
      if (std::abs(ns) < ns_max)
        json.number(meter::Decimal{static_cast<std::int64_t>(ns), -9});
      else
        json.null();
    }
  }
  json.end_object();
}

using Keys = std::vector<std::pair<const char*, const char*>>;

/// Key and property of each.
void write_properties(meter::JsonWriter& json, const Value& properties, const Keys& keys) {
  for (const auto& [key, property] : keys) write_value(json.key(key), properties[property]);
}

void print_json(const Statistics& all) {
  std::string text;
  meter::JsonWriter json(text);
  write_value(json.begin_object().key("counters"), all.counters);
  json.key("adapters").begin_array();
  for (const Object& object : all.adapters) {
    const Value& adapter = object.adapter();
    json.begin_object().key("path").text(object.path);
    write_properties(json, adapter,
                     {{"device", "Device"},
                      {"bytes", "BytesReceived"},
                      {"telegrams", "TelegramsReceived"},
                      {"errors", "Errors"}});
    json.key("latencies").begin_object();
    for (const auto& [stage, latency] : adapter["Latencies"].map())
      write_latency(json.key(stage), latency);
    json.end_object().end_object();
  }
  json.end_array().key("brokers").begin_array();
  for (const Object& object : all.brokers) {
    json.begin_object().key("path").text(object.path);
    write_properties(json, object.publisher(),
                     {{"broker", "Broker"},
                      {"role", "Role"},
                      {"state", "State"},
                      {"published", "Published"},
                      {"queued", "Queued"},
                      {"dropped", "Dropped"}});
    write_latency(json.key("latency"), object.publisher()["Latency"]);
    json.end_object();
  }
  json.end_array().key("meters").begin_array();
  for (const Object& object : all.meters) {
    json.begin_object();
    write_properties(json, object.meter(),
                     {{"id", "Id"}, {"interval", "Interval"}, {"telegrams", "Sequence"}});
    const std::uint64_t last_us = object.meter()["LastUpdate"].count();
    std::array<char, 32> buffer;
    json.key("last");
    if (last_us == 0)
      json.null();
    else
      json.text(meter::utc_text(static_cast<std::int64_t>(last_us), buffer));
    json.end_object();
  }
  json.end_array().end_object();
  fmt::print("{}\n", text);
}

// Tables

std::string duration_text(double seconds) {
  if (seconds < 1e-3) return fmt::format("{:.3g} µs", std::round(1e7 * seconds) / 10);
  if (seconds < 1) return fmt::format("{:.3g} ms", 1e3 * seconds);
  return fmt::format("{:.3g} s", seconds);
}

std::string number(const Value& count) {
  return fmt::format("{}", count.count());
}

/// "crc 2, framing 1"
std::string counts_text(const Value& counts) {
  std::string text;
  for (const auto& [name, count] : counts.map())
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, count.count());
  return text;
}

void print_adapters(const std::vector<Object>& adapters) {
  Table table({{"ADAPTER", 0, 12},
               {"BYTES", 1, 0, Align::right},
               {"TELEGRAMS", 0, 0, Align::right},
               {"ERRORS", 0, 12}});
  for (const Object& object : adapters) {
    const Value& adapter = object.adapter();
    const std::string errors = counts_text(adapter["Errors"]);
    table.add({adapter["Device"].text(),
               number(adapter["BytesReceived"]),
               number(adapter["TelegramsReceived"]),
               {or_dash(errors), errors.empty() ? Tone::plain : Tone::warn}});
  }
  table.print();
}

void print_latencies(const Statistics& all) {
  Table table({{"FROM THE LAST BYTE UNTIL", 0, 12},
               {"OF", 2, 12},
               {"COUNT", 1, 0, Align::right},
               {"MIN", 0, 0, Align::right},
               {"MEDIAN", 0, 0, Align::right},
               {"P99", 0, 0, Align::right},
               {"MAX", 0, 0, Align::right}});
  const auto add = [&](std::string_view stage, const std::string& of, const Value& latency) {
    const Value::List& parts = latency.list();
    if (parts.size() <= times.size()) return;
    std::vector<Cell> row = {std::string(stage), of, number(parts[0])};
    for (std::size_t i = 1; i <= times.size(); ++i)
      row.emplace_back(parts[0].count() == 0 ? std::string(absent)
                                             : duration_text(parts[i].number()));
    table.add(std::move(row));
  };
  for (const Object& object : all.adapters)
    for (const auto& [stage, latency] : object.adapter()["Latencies"].map())
      add(stage, object.adapter()["Device"].text(), latency);
  for (const Object& object : all.brokers)
    if (object.publisher()["Role"].text() != "source")  // nothing is published there
      add("in the broker's socket", object.publisher()["Broker"].text(),
          object.publisher()["Latency"]);
  table.print();
}

void print_brokers(const std::vector<Object>& brokers) {
  Table table({{"BROKER", 0, 12},
               {"ROLE", 2},
               {"STATE", 1},
               {"PUBLISHED", 0, 0, Align::right},
               {"QUEUED", 0, 0, Align::right},
               {"DROPPED", 0, 0, Align::right}});
  for (const Object& object : brokers) {
    const Value& broker = object.publisher();
    const std::string state = broker["State"].text();
    table.add(
        {broker["Broker"].text(),
         broker["Role"].text(),
         {state, tone_of_state(state)},
         number(broker["Published"]),
         number(broker["Queued"]),
         {number(broker["Dropped"]), broker["Dropped"].count() == 0 ? Tone::plain : Tone::warn}});
  }
  table.print();
}

void print_meters(const std::vector<Object>& meters) {
  Table table({{"METER", 0, 12},
               {"INTERVAL", 0, 0, Align::right},
               {"TELEGRAMS", 0, 0, Align::right},
               {"LAST TELEGRAM"}});
  for (const Object& object : meters) {
    const Value& meter = object.meter();
    const double interval = meter["Interval"].number();
    table.add({meter["Id"].text(),
               interval > 0 ? number_text(interval) + " s" : std::string(absent),
               number(meter["Sequence"]),
               {age_text(meter["LastUpdate"].count()), Tone::dim}});
  }
  table.print();
}

void print_counters(const Value& counters) {
  Table table({{"SINCE THE START", 0, 12}, {"COUNT", 0, 0, Align::right}});
  for (const auto& [name, count] : counters.map()) table.add({name, number(count)});
  table.print();
}

void print(const Statistics& all) {
  print_counters(all.counters);
  if (!all.adapters.empty()) {
    fmt::print("\n");
    print_adapters(all.adapters);
  }
  if (!all.adapters.empty() || !all.brokers.empty()) {
    fmt::print("\n");
    print_latencies(all);
  }
  if (!all.brokers.empty()) {
    fmt::print("\n");
    print_brokers(all.brokers);
  }
  if (!all.meters.empty()) {
    fmt::print("\n");
    print_meters(all.meters);
  }
}

}  // namespace

int show_stats(const BusOptions& options) {
  const Statistics all = collect(options);
  if (options.json)
    print_json(all);
  else
    print(all);
  return exit_good;
}

}  // namespace smartmeterctl
