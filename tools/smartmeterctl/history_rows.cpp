// SPDX-License-Identifier: Apache-2.0
// Rows of the past: where to cut what is asked for, and what they have in common.
#include "tools/smartmeterctl/history_rows.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "meter/quantity.hpp"
#include "tools/smartmeterctl/text.hpp"

namespace smartmeterctl {
namespace {

constexpr std::string_view telegrams = "telegrams";
constexpr std::array<std::string_view, 4> suffixes{"_delta", "_min", "_mean", "_max"};

std::string_view suffix_of(std::string_view name) {
  for (const std::string_view suffix : suffixes)
    if (name.ends_with(suffix) && name.size() > suffix.size()) return suffix;
  return {};
}

/// No meter has more, and sums of less are finite.
constexpr double value_max = 1e100;

bool is_value(double value) {
  return std::abs(value) <= value_max;
}

template <class Map>
std::optional<double> lookup(const Map& map, std::string_view name) {
  const auto found = map.find(name);
  return found == map.end() ? std::nullopt : std::optional<double>(found->second);
}

/// Where the quantity table has it; unknown names after all others, "telegrams" last.
std::ptrdiff_t rank(std::string_view name) {
  const auto table = meter::quantities();
  if (name == telegrams) return std::ssize(table) + 1;
  const meter::Quantity* quantity = meter::find_quantity(base_name(name));
  return quantity == nullptr ? std::ssize(table) : quantity - table.data();
}

}  // namespace

std::optional<double> HistoryRow::find(std::string_view name) const {
  const auto value = lookup(values, name);
  return value && is_value(*value) ? value : std::nullopt;
}

std::vector<Piece> pieces_of(const TimeRange& range) {
  std::vector<Piece> pieces;
  Instant begin = range.from;
  while (begin < range.to) {
    Instant end = begin;
    for (std::size_t rows = 0; rows < piece_rows_max; ++rows) {
      const Instant next = row_end(end, range.step, begin);
      const bool is_too_long = rows > 0 && next - begin > piece_span_max;
      if (is_too_long || next > range.to) break;
      end = next;
    }
    if (end == begin) end = range.to;  // the last row is shorter
    pieces.push_back({begin, end});
    begin = end;
  }
  return pieces;
}

std::string_view base_name(std::string_view name) {
  // Powers and voltages never stand alone: "power_demand_import_max" is a quantity, too, but here
  // the maximum of "power_demand_import"; its own is "power_demand_import_max_max".
  const meter::Quantity* quantity = meter::find_quantity(name);
  const bool is_alone = quantity != nullptr && quantity->unit != meter::Unit::watt &&
                        quantity->unit != meter::Unit::volt;
  if (is_alone) return name;
  return name.substr(0, name.size() - suffix_of(name).size());
}

std::string_view unit_of(std::string_view name) {
  return unit_text(base_name(name));
}

bool is_register(std::string_view name) {
  return name != telegrams && base_name(name) == name;
}

void Overview::add(const HistoryRow& row) {
  ++rows_;
  first_ = std::min(first_, row.start);
  last_ = std::max(last_, row.end);
  const double weight = std::max(row.find(telegrams).value_or(1), 1.0);
  for (const auto& [name, value] : row.values) {
    names_.insert(name);
    if (is_register(name)) names_.insert(name + "_delta");
    if (!is_value(value)) continue;
    const std::string base(base_name(name));
    const std::string_view suffix = std::string_view(name).substr(base.size());
    if (suffix == "_delta") growth_[base] += value;
    if (suffix == "_max") max_[base] = std::max(lookup(max_, base).value_or(value), value);
    if (suffix == "_min") min_[base] = std::min(lookup(min_, base).value_or(value), value);
    if (suffix != "_mean") continue;
    Sum& sum = mean_[base];
    sum.sum += value * weight;
    sum.weight += weight;
  }
}

std::vector<std::string> Overview::names() const {
  std::vector<std::string> names(names_.begin(), names_.end());
  const auto key = [](const std::string& name) {
    const auto at = std::ranges::find(suffixes, suffix_of(name)) - suffixes.begin();
    return std::tuple(rank(name), base_name(name), is_register(name) ? -1 : at);
  };
  std::ranges::sort(names, {}, key);
  return names;
}

std::optional<double> Overview::growth(std::string_view register_name) const {
  return lookup(growth_, register_name);
}
std::optional<double> Overview::max(std::string_view name) const {
  return lookup(max_, name);
}
std::optional<double> Overview::min(std::string_view name) const {
  return lookup(min_, name);
}
std::optional<double> Overview::mean(std::string_view name) const {
  const auto found = mean_.find(name);
  if (found == mean_.end()) return std::nullopt;
  return found->second.sum / found->second.weight;
}

}  // namespace smartmeterctl
