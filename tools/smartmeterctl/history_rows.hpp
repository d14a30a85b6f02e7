// SPDX-License-Identifier: Apache-2.0
// HistoryRows: what Meter.History answers, asked for in pieces.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tools/smartmeterctl/time_range.hpp"

namespace smartmeterctl {

/// Values by name, as on D-Bus: "energy_import_delta", "power_import_mean", "telegrams".
struct HistoryRow {
  Instant start, end;
  std::map<std::string, double, std::less<>> values;

  std::optional<double> find(std::string_view name) const;
};
using HistoryRows = std::vector<HistoryRow>;

/// What is answered at once stays small: rows, and the time that they are made of.
inline constexpr std::size_t piece_rows_max = 1000;
inline constexpr std::chrono::days piece_span_max{100};

/// A part of a range that begins and ends with a row, or the last row where that is shorter.
struct Piece {
  Instant from, to;
};
std::vector<Piece> pieces_of(const TimeRange& range);

/// What all rows of a range have in common: which values there are, and their bounds.
class Overview {
 public:
  void add(const HistoryRow& row);
  /// The names of another meter, too.
  void add_names(const Overview& other) { names_.insert(other.names_.begin(), other.names_.end()); }
  bool is_empty() const { return rows_ == 0; }
  /// Every name, in the order of the quantity table, unknown ones after those; with the growth of
  /// every register, which the first row of all lacks; "telegrams" last.
  std::vector<std::string> names() const;
  bool has(std::string_view name) const { return names_.contains(name); }
  /// The growth of a register over all rows; nothing where it is not known of any.
  std::optional<double> growth(std::string_view register_name) const;
  /// The largest, the smallest, and the mean by telegrams of what a power or a voltage was.
  std::optional<double> max(std::string_view name) const;
  std::optional<double> min(std::string_view name) const;
  std::optional<double> mean(std::string_view name) const;
  /// Where the data begin and end.
  Instant first() const { return first_; }
  Instant last() const { return last_; }

 private:
  struct Sum {
    double sum = 0, weight = 0;
  };
  std::size_t rows_ = 0;
  Instant first_ = Instant::max(), last_ = Instant::min();
  std::set<std::string, std::less<>> names_;
  std::map<std::string, double, std::less<>> growth_, min_, max_;
  std::map<std::string, Sum, std::less<>> mean_;
};

/// "energy_import" of "energy_import_delta", "power_import" of "power_import_mean"; else the name.
std::string_view base_name(std::string_view name);
/// The unit of a value by the quantity table; empty for a count and for what is not known.
std::string_view unit_of(std::string_view name);
/// A register: its last value, that grows.
bool is_register(std::string_view name);

}  // namespace smartmeterctl
