// SPDX-License-Identifier: Apache-2.0
// Bridges that read a meter themselves: whatwatt Go, topics with one value each, amsreader.
// libmeter/doc/json-sources.md tells their layouts.
#include <algorithm>

#include "meter/data_point.hpp"
#include "meter_json/format.hpp"

namespace meter::json {
namespace {

constexpr Obis meter_id_code = "0-0:42.0.0"_obis, meter_serial_code = "0-0:96.1.0"_obis,
               meter_model_code = "0-0:96.1.7"_obis;

// ---- whatwatt Go -------------------------------------------------------------------------------

// Quadrants by what the same meter sends as 5.8.0 to 8.8.0 over another bridge.
constexpr PathRow whatwatt_rows[] = {
    {"instantaneous_power.active.positive.total", "1-0:1.7.0"_obis, Unit::kilowatt},
    {"instantaneous_power.active.positive.l1", "1-0:21.7.0"_obis, Unit::kilowatt},
    {"instantaneous_power.active.positive.l2", "1-0:41.7.0"_obis, Unit::kilowatt},
    {"instantaneous_power.active.positive.l3", "1-0:61.7.0"_obis, Unit::kilowatt},
    {"instantaneous_power.active.negative.total", "1-0:2.7.0"_obis, Unit::kilowatt},
    {"instantaneous_power.active.negative.l1", "1-0:22.7.0"_obis, Unit::kilowatt},
    {"instantaneous_power.active.negative.l2", "1-0:42.7.0"_obis, Unit::kilowatt},
    {"instantaneous_power.active.negative.l3", "1-0:62.7.0"_obis, Unit::kilowatt},
    {"instantaneous_power.reactive.positive.total", "1-0:3.7.0"_obis, Unit::kilovar},
    {"instantaneous_power.reactive.positive.l1", "1-0:23.7.0"_obis, Unit::kilovar},
    {"instantaneous_power.reactive.positive.l2", "1-0:43.7.0"_obis, Unit::kilovar},
    {"instantaneous_power.reactive.positive.l3", "1-0:63.7.0"_obis, Unit::kilovar},
    {"instantaneous_power.reactive.negative.total", "1-0:4.7.0"_obis, Unit::kilovar},
    {"instantaneous_power.reactive.negative.l1", "1-0:24.7.0"_obis, Unit::kilovar},
    {"instantaneous_power.reactive.negative.l2", "1-0:44.7.0"_obis, Unit::kilovar},
    {"instantaneous_power.reactive.negative.l3", "1-0:64.7.0"_obis, Unit::kilovar},
    {"energy.active.positive.total", "1-0:1.8.0"_obis, Unit::kilowatt_hour},
    {"energy.active.positive.t1", "1-0:1.8.1"_obis, Unit::kilowatt_hour},
    {"energy.active.positive.t2", "1-0:1.8.2"_obis, Unit::kilowatt_hour},
    {"energy.active.positive.t3", "1-0:1.8.3"_obis, Unit::kilowatt_hour},
    {"energy.active.positive.t4", "1-0:1.8.4"_obis, Unit::kilowatt_hour},
    {"energy.active.negative.total", "1-0:2.8.0"_obis, Unit::kilowatt_hour},
    {"energy.active.negative.t1", "1-0:2.8.1"_obis, Unit::kilowatt_hour},
    {"energy.active.negative.t2", "1-0:2.8.2"_obis, Unit::kilowatt_hour},
    {"energy.active.negative.t3", "1-0:2.8.3"_obis, Unit::kilowatt_hour},
    {"energy.active.negative.t4", "1-0:2.8.4"_obis, Unit::kilowatt_hour},
    {"energy.reactive.positive.total", "1-0:3.8.0"_obis, Unit::kilovar_hour},
    {"energy.reactive.positive.t1", "1-0:3.8.1"_obis, Unit::kilovar_hour},
    {"energy.reactive.positive.t2", "1-0:3.8.2"_obis, Unit::kilovar_hour},
    {"energy.reactive.negative.total", "1-0:4.8.0"_obis, Unit::kilovar_hour},
    {"energy.reactive.negative.t1", "1-0:4.8.1"_obis, Unit::kilovar_hour},
    {"energy.reactive.negative.t2", "1-0:4.8.2"_obis, Unit::kilovar_hour},
    {"energy.reactive.imported.inductive.total", "1-0:5.8.0"_obis, Unit::kilovar_hour},
    {"energy.reactive.imported.capacitive.total", "1-0:6.8.0"_obis, Unit::kilovar_hour},
    {"energy.reactive.exported.inductive.total", "1-0:7.8.0"_obis, Unit::kilovar_hour},
    {"energy.reactive.exported.capacitive.total", "1-0:8.8.0"_obis, Unit::kilovar_hour},
    {"voltage.l1", "1-0:32.7.0"_obis, Unit::volt},
    {"voltage.l2", "1-0:52.7.0"_obis, Unit::volt},
    {"voltage.l3", "1-0:72.7.0"_obis, Unit::volt},
    {"current.l1", "1-0:31.7.0"_obis, Unit::ampere},
    {"current.l2", "1-0:51.7.0"_obis, Unit::ampere},
    {"current.l3", "1-0:71.7.0"_obis, Unit::ampere},
    {"tariff", "0-0:96.14.0"_obis, Unit::none},
};

/// A factor other than 1 (current transformers): nobody says whether the values hold it already.
bool has_factor(const Message& message, std::size_t node) noexcept {
  if (node == 0) return false;
  message.document.mark_used(node);
  const auto factor = measured(message[node]);
  return factor && Decimal::compare(factor->value, {1, 0}) != 0;
}

// ---- one value a topic -------------------------------------------------------------------------

const DataPoint* find_point(std::span<const DataPoint> rows, std::string_view name) noexcept {
  const auto row = std::ranges::find(rows, name, &DataPoint::name);
  return row == rows.end() ? nullptr : &*row;
}

/// The meter of a topic with one value, and the value's row; none: it is no such topic.
struct Point {
  const DataPoint* row = nullptr;
  std::string_view meter;
};
Point data_point_of(std::string_view topic) noexcept {
  const DataPoint* row = find_point(datacollector_points(), take_segment(topic));
  return {row, take_segment(topic)};
}
Point harmonised_point_of(std::string_view topic) noexcept {
  const DataPoint* row = find_point(plug_test_points(), take_segment(topic));
  const std::string_view group = take_segment(topic);
  if (!is_plug_test_group(group)) row = nullptr;
  return {row, take_segment(topic)};
}

void read_point(SetBuilder& builder, const Point& point) noexcept {
  Message& message = builder.message();
  const std::size_t node = message.document.child(0, "value");
  builder.value(node, point.row->obis,
                point.row->unit == Unit::other ? std::nullopt : std::optional(point.row->unit));
  if (is_identity(point.meter)) (void)builder.set().meter_id.assign(point.meter);
  for (const std::string_view key : {"timestamp", "time"})
    if (const std::size_t time = message.document.child(0, key); time != 0) {
      message.document.mark_used(time);
      builder.set().time = time_of(message[time]);
    }
}

// ---- amsreader ---------------------------------------------------------------------------------

constexpr PathRow amsreader_rows[] = {
    {"P", "1-0:1.7.0"_obis, Unit::watt},
    {"PO", "1-0:2.7.0"_obis, Unit::watt},
    {"Q", "1-0:3.7.0"_obis, Unit::var},
    {"QO", "1-0:4.7.0"_obis, Unit::var},
    {"I1", "1-0:31.7.0"_obis, Unit::ampere},
    {"I2", "1-0:51.7.0"_obis, Unit::ampere},
    {"I3", "1-0:71.7.0"_obis, Unit::ampere},
    {"U1", "1-0:32.7.0"_obis, Unit::volt},
    {"U2", "1-0:52.7.0"_obis, Unit::volt},
    {"U3", "1-0:72.7.0"_obis, Unit::volt},
    {"tPI", "1-0:1.8.0"_obis, Unit::kilowatt_hour},
    {"tPO", "1-0:2.8.0"_obis, Unit::kilowatt_hour},
    {"tQI", "1-0:3.8.0"_obis, Unit::kilovar_hour},
    {"tQO", "1-0:4.8.0"_obis, Unit::kilovar_hour},
};

}  // namespace

void find_whatwatt(const Message& message, Roots& roots) noexcept {
  const Document& document = message.document;
  const std::size_t report = document.child(0, "report");
  if (report != 0 &&
      (document.child(report, "instantaneous_power") != 0 || document.child(report, "energy") != 0))
    (void)roots.push_back(static_cast<std::uint16_t>(report));
}

void read_whatwatt(SetBuilder& builder, std::size_t root, std::size_t) noexcept {
  Message& message = builder.message();
  Document& document = message.document;
  const std::size_t factor = document.child(root, "conv_factor");
  const bool unclear = has_factor(message, factor);
  if (unclear) message.explain("unit", factor, "conv_factor is not 1: no readings are made");
  for (const PathRow& row : whatwatt_rows) {
    const std::size_t node = document.find(root, row.path);
    if (node == 0) continue;
    builder.value(node, row.obis,
                  unclear && row.unit != Unit::none ? std::nullopt : std::optional(row.unit));
  }
  for (const std::string_view path : {"meter.vendor", "meter.logical_name"})
    if (const std::size_t node = document.find(0, path); node != 0) builder.identity(node, Obis{});
  builder.identity(document.find(0, "meter.model"), meter_model_code);
  const std::string_view id = builder.identity(document.find(0, "meter.id"), meter_serial_code);
  const std::size_t system = document.find(0, "system.id");
  const std::string_view device = system != 0 ? document[system].text : device_of(message.topic);
  document.mark_used(system);
  Source& source = message.sources.of(Format::whatwatt, device, message.topic);
  settle_identity(builder.set(), source, id, device, {});
  if (const std::size_t time = document.child(root, "date_time"); time != 0) {
    document.mark_used(time);
    // The meter's local time, although a "Z" stands behind it: the zone is not believed.
    builder.set().time = time_of(document[time]);
    if (builder.set().time) builder.set().time->deviation = DateTime::deviation_unspecified;
  }
}

void find_datacollector(const Message& message, Roots& roots) noexcept {
  if (message.document.child(0, "value") != 0 && data_point_of(message.topic).row)
    (void)roots.push_back(0);
}
void read_datacollector(SetBuilder& builder, std::size_t, std::size_t) noexcept {
  read_point(builder, data_point_of(builder.message().topic));
}

void find_harmonised(const Message& message, Roots& roots) noexcept {
  if (message.document.child(0, "value") != 0 && harmonised_point_of(message.topic).row)
    (void)roots.push_back(0);
}
void read_harmonised(SetBuilder& builder, std::size_t, std::size_t) noexcept {
  read_point(builder, harmonised_point_of(builder.message().topic));
}

void find_amsreader(const Message& message, Roots& roots) noexcept {
  const Document& document = message.document;
  const std::size_t wrapped = document.child(0, "data");
  for (const std::size_t root : {std::size_t{0}, wrapped}) {
    const auto has = [&](std::string_view key) { return document.child(root, key) != 0; };
    const bool found = (has("P") && (has("PO") || has("I1") || has("U1"))) || has("tPI");
    if (found && roots.empty()) (void)roots.push_back(static_cast<std::uint16_t>(root));
  }
}

void read_amsreader(SetBuilder& builder, std::size_t root, std::size_t) noexcept {
  Message& message = builder.message();
  Document& document = message.document;
  read_rows(builder, root, amsreader_rows);
  builder.identity(document.child(root, "type"), meter_model_code);
  const std::string_view id = builder.identity(document.child(root, "id"), meter_id_code);
  std::string_view prefix = message.topic;  // power and energy come with the same one
  (void)take_segment(prefix);
  Source& source = message.sources.of(Format::amsreader, prefix, {});
  settle_identity(builder.set(), source, id, device_of(message.topic), {});
  // The meter's clock where the list has one, else the reader's.
  for (const std::string_view key : {"t", "rtc"})
    if (const std::size_t node = document.child(root, key); node != 0) {
      document.mark_used(node);
      if (const auto time = time_of(document[node])) builder.set().time = time;
    }
}

}  // namespace meter::json
