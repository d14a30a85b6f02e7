// SPDX-License-Identifier: Apache-2.0
// The table of `smartmeterctl history`, and its rows for machines.
#include "tools/smartmeterctl/history_text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "tools/smartmeterctl/style.hpp"
#include "tools/smartmeterctl/text.hpp"

namespace smartmeterctl {
namespace {

using namespace std::chrono;

constexpr std::string_view gap_note =
    "What was used while there are no data counts in the row after them.";

std::string cell_text(std::optional<double> value, int decimals) {
  return value && std::isfinite(*value) ? fixed(*value, decimals) : "-";
}

std::string growth_text(std::optional<double> value) {
  return cell_text(value, 3);
}

std::string watt_text(std::optional<double> value) {
  return cell_text(value, 0);
}

std::string range_text(std::optional<double> min, std::optional<double> max) {
  return !min || !max ? "-" : fmt::format("{}–{}", cell_text(min, 1), cell_text(max, 1));
}

bool is_voltage(std::string_view base) {
  return base == "voltage" || (base.starts_with("voltage_l") && base.size() == 10);
}

/// The lowest and the highest of all phases.
struct Bounds {
  std::optional<double> min, max;
  void take(std::string_view name, double value) {
    if (!is_voltage(base_name(name)) || !std::isfinite(value)) return;
    if (name.ends_with("_min")) min = std::min(min.value_or(value), value);
    if (name.ends_with("_max")) max = std::max(max.value_or(value), value);
  }
};

std::string growth_cell(const HistoryRow& row, const std::string& name) {
  return growth_text(row.find(name + "_delta"));
}
template <Of which>
std::string power_cell(const HistoryRow& row, const std::string&) {
  return watt_text(power_of(row, which));
}
std::string voltage_cell(const HistoryRow& row, const std::string&) {
  Bounds bounds;
  for (const auto& [name, value] : row.values) bounds.take(name, value);
  return range_text(bounds.min, bounds.max);
}

/// How `name` says it: min, mean or max of a power or voltage.
template <class Find>
std::optional<double> power(Find find, Of which) {
  if (const auto net = find("power_net", which)) return net;
  const auto in = find("power_import", which);
  // The least of the difference is where most goes out.
  const Of opposite = which == Of::min ? Of::max : which == Of::max ? Of::min : Of::mean;
  const auto out = find("power_export", opposite);
  if (in && out) return *in - *out;
  if (in) return in;
  if (out) return -*out;
  return find("power", which);
}

std::string unit_heading(const std::string& name) {
  const std::string_view unit = unit_of(name);
  return unit.empty() ? name : fmt::format("{} [{}]", name, unit);
}

/// What arithmetic in binary adds behind the digits of a meter is not printed.
double rounded(double value) {
  constexpr double digits = 1e6;
  return std::abs(value) < 1e9 ? std::round(value * digits) / digits : value;
}

/// Of a text. A spreadsheet takes one that begins so for a formula; with an apostrophe it does not.
std::string csv_field(std::string_view words) {
  const bool is_formula = !words.empty() && std::string_view("=+-@\t\r").contains(words.front());
  const std::string text = (is_formula ? "'" : "") + std::string(words);
  if (text.find_first_of(",\"\r\n") == text.npos) return text;
  std::string result = "\"";
  for (const char c : text) result += c == '"' ? "\"\"" : std::string(1, c);
  return result + '"';
}

}  // namespace

std::string meter_heading(const Value& meter) {
  std::string text = safe(meter["Id"].text()) + "  ";
  if (const std::string name = meter["Name"].text(); !name.empty()) text += safe(name) + ", ";
  return text + safe(meter["Medium"].text());
}

std::optional<double> power_of(const HistoryRow& row, Of which) {
  constexpr std::array<const char*, 3> suffixes{"_min", "_mean", "_max"};
  return power(
      [&](const char* name, Of of) {
        return row.find(std::string(name) + suffixes[static_cast<std::size_t>(of)]);
      },
      which);
}

std::optional<double> power_of(const Overview& rows, Of which) {
  return power(
      [&](const char* name, Of of) {
        return of == Of::min ? rows.min(name) : of == Of::max ? rows.max(name) : rows.mean(name);
      },
      which);
}

std::vector<std::string> main_registers(const Overview& rows) {
  constexpr std::size_t others_max = 3;
  std::vector<std::string> found;
  for (const char* name : {"energy_import", "energy_export", "energy", "volume"})
    if (rows.has(name)) found.emplace_back(name);
  if (!found.empty()) return found;
  for (const std::string& name : rows.names())
    if (is_register(name) && found.size() < others_max) found.push_back(name);
  return found;
}

std::string register_heading(std::string_view name) {
  if (name.starts_with("energy_") && name.size() > 7) name.remove_prefix(7);
  std::string text(name);
  for (char& c : text) c = c == '_' ? ' ' : static_cast<char>(std::toupper(c));
  return text;
}

HistoryTable::HistoryTable(const TimeRange& range, const Overview& rows, Instant now,
                           unsigned width)
    : range_(range), now_(now), next_(range.from) {
  const auto day = [](Instant at) { return floor<days>(local_of(at)); };
  has_days_ = day(range.from) != day(range.to - seconds(1));
  label_width_ = label_width();
  add_registers(rows);
  add_power(rows);
  add_voltage(rows);
  const auto is_too_wide = [&] {
    unsigned whole = label_width_;
    for (const Column& column : columns_) whole += 2 + column.width;
    return width != 0 && whole > width;
  };
  while (columns_.size() > 1 && is_too_wide()) columns_.pop_back();
}

unsigned HistoryTable::label_width() const {
  unsigned width = display_width(label(range_.from));
  if (range_.step.kind != Step::Kind::seconds) return width;
  // An hour that comes twice has its zone's name.
  for (Instant at = range_.from; at < range_.to; at += days(1))
    for (Instant hour = at; offset_at(at) > offset_at(at + days(1)) && hour < at + days(1);
         hour += minutes(15))
      width = std::max(width, display_width(label(hour)));
  return width;
}

void HistoryTable::add_column(Column column, std::initializer_list<std::string> widest) {
  column.width = std::max(display_width(column.head), display_width(column.total));
  for (const std::string& text : widest) column.width = std::max(column.width, display_width(text));
  columns_.push_back(std::move(column));
}

void HistoryTable::add_registers(const Overview& rows) {
  for (const std::string& name : main_registers(rows)) {
    const std::string unit(unit_of(name));
    add_column({.head = register_heading(name) + (unit.empty() ? "" : " " + unit),
                .total = growth_text(rows.growth(name)),
                .cell = growth_cell,
                .name = name},
               {});
  }
}

void HistoryTable::add_power(const Overview& rows) {
  if (!power_of(rows, Of::mean)) return;
  const std::string min = watt_text(power_of(rows, Of::min)),
                    max = watt_text(power_of(rows, Of::max)),
                    mean = watt_text(power_of(rows, Of::mean));
  add_column({.head = "MEAN W", .total = mean, .cell = power_cell<Of::mean>, .name = {}},
             {min, max});
  add_column({.head = "MIN W", .total = min, .cell = power_cell<Of::min>, .name = {}}, {max});
  add_column({.head = "MAX W", .total = max, .cell = power_cell<Of::max>, .name = {}}, {min});
}

void HistoryTable::add_voltage(const Overview& rows) {
  Bounds bounds;
  for (const std::string& name : rows.names()) {
    const std::string_view base = base_name(name);
    if (const auto min = rows.min(base)) bounds.take(name, *min);
    if (const auto max = rows.max(base)) bounds.take(name, *max);
  }
  if (!bounds.min || !bounds.max) return;
  add_column({.head = "VOLTAGE V",
              .total = range_text(bounds.min, bounds.max),
              .cell = voltage_cell,
              .name = {}},
             {});
}

std::string HistoryTable::label(Instant start) const {
  const local_days day = floor<days>(local_of(start));
  if (range_.step.kind == Step::Kind::month) return date_text(day).substr(0, 7);
  const std::string date = weekday_text(day) + " " + date_text(day);
  if (range_.step.kind != Step::Kind::seconds) return date;
  return (has_days_ ? date + " " : "") + clock_text(start) +
         (comes_twice(start) ? " " + zone_abbreviation(start) : "");
}

std::string HistoryTable::line(const std::string& label,
                               const std::vector<std::string>& cells) const {
  std::string text = padded(label, label_width_);
  for (std::size_t i = 0; i < cells.size(); ++i)
    text += "  " + padded(cells[i], columns_[i].width, Align::right);
  return text;
}

std::string HistoryTable::head() const {
  std::vector<std::string> heads;
  for (const Column& column : columns_) heads.push_back(column.head);
  const bool is_clock = range_.step.kind == Step::Kind::seconds && !has_days_;
  return bold(line(is_clock ? "TIME" : "FROM", heads)) + "\n";
}

std::string HistoryTable::end_gap(Instant until) {
  if (!gap_) return {};
  const Instant begin = *std::exchange(gap_, std::nullopt);
  std::string text = label(begin);
  has_gaps_ = true;
  if (row_end(begin, range_.step, range_.from) < until) {
    // A clock says when it ended, a calendar which was the last day.
    const Instant last = range_.step.kind == Step::Kind::seconds ? until : until - seconds(1);
    const Instant first_of_last = range_.step.kind == Step::Kind::week
                                      ? midnight_of(monday_of(floor<days>(local_of(last))))
                                      : last;
    text += " – " + label(first_of_last);
  }
  return toned(padded(text, std::max(display_width(text), label_width_)) + "  no data", Tone::dim) +
         "\n";
}

std::string HistoryTable::rows(const HistoryRows& rows, Instant until) {
  std::string text;
  auto row = rows.begin();
  while (next_ < until) {
    const Instant end = std::min(row_end(next_, range_.step, range_.from), range_.to);
    while (row != rows.end() && row->end <= next_) ++row;
    if (row == rows.end() || row->start >= end) {
      if (!gap_ && next_ <= now_) gap_ = next_;
    } else {
      text += end_gap(next_);
      std::vector<std::string> cells;
      for (const Column& column : columns_) cells.push_back(column.cell(*row, column.name));
      text += line(label(next_), cells) + "\n";
      ++row;
    }
    next_ = end;
  }
  return text;
}

std::string HistoryTable::foot() {
  // The running row has no data yet where none came in it.
  Instant until = range_.from;
  while (until < range_.to && until <= now_)
    until = std::min(row_end(until, range_.step, range_.from), range_.to);
  std::string text = end_gap(until);
  std::vector<std::string> totals;
  for (const Column& column : columns_) totals.push_back(column.total);
  text += bold(line("total", totals)) + "\n";
  if (has_gaps_) text += toned(gap_note, Tone::dim) + "\n";
  return text;
}

std::string csv_head(const std::vector<std::string>& names) {
  std::string line = "meter,start,end";
  for (const std::string& name : names) line += "," + csv_field(unit_heading(name));
  return line + "\r\n";
}

std::string csv_row(std::string_view meter, const HistoryRow& row,
                    const std::vector<std::string>& names) {
  std::string line = csv_field(meter) + "," + iso_text(row.start) + "," + iso_text(row.end);
  for (const std::string& name : names) {
    const auto value = row.find(name);
    line += "," + (value ? fmt::format("{}", rounded(*value)) : "");
  }
  return line + "\r\n";
}

std::string json_row(std::string_view meter, const HistoryRow& row) {
  Overview overview;
  overview.add(row);
  std::string line;
  meter::JsonWriter json(line);
  json.begin_object().key("meter").text(meter);
  json.key("start").text(iso_text(row.start)).key("end").text(iso_text(row.end));
  json.key("readings").begin_object();
  for (const std::string& name : overview.names())
    if (const auto value = row.find(name)) write_value(json.key(name), Value{rounded(*value)});
  json.end_object().end_object();
  return line + "\n";
}

}  // namespace smartmeterctl
