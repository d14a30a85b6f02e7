// SPDX-License-Identifier: Apache-2.0
// Rows of the past as a table for people, as CSV (RFC 4180) and as JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/smartmeterctl/bus.hpp"
#include "tools/smartmeterctl/history_rows.hpp"

namespace smartmeterctl {

/// "181220000009  House, electricity"
std::string meter_heading(const Value& meter);

/// Watts, positive from the grid: what the meter says of both directions in one value.
enum class Of { min, mean, max };
std::optional<double> power_of(const HistoryRow& row, Of which);
std::optional<double> power_of(const Overview& rows, Of which);

/// The registers of a meter whose growth is looked at: energy_import and energy_export, or energy
/// and volume, or whatever else grows.
std::vector<std::string> main_registers(const Overview& rows);
/// "IMPORT" for "energy_import"
std::string register_heading(std::string_view name);

/// Line by line, in memory of a bounded size: columns are as wide as the overview needs.
class HistoryTable {
 public:
  /// Rows that begin after `now` are not missed. Where lines would be longer than `width` (0: no
  /// limit), columns are left out from the right.
  HistoryTable(const TimeRange& range, const Overview& rows, Instant now, unsigned width = 0);
  std::string head() const;
  /// The next rows, up to `until`, with a line for each gap that has ended.
  std::string rows(const HistoryRows& rows, Instant until);
  /// The gap at the end, totals, and what there is to say about gaps.
  std::string foot();

 private:
  struct Column {
    std::string head;
    std::string total;
    unsigned width = 0;
    std::string (*cell)(const HistoryRow&, const std::string& name);
    std::string name;
  };
  void add_column(Column column, std::initializer_list<std::string> widest);
  void add_registers(const Overview& rows);
  void add_power(const Overview& rows);
  void add_voltage(const Overview& rows);
  std::string label(Instant start) const;
  unsigned label_width() const;
  std::string line(const std::string& label, const std::vector<std::string>& cells) const;
  std::string end_gap(Instant until);

  TimeRange range_;
  Instant now_;
  Instant next_;                ///< where the next row begins
  std::optional<Instant> gap_;  ///< that has not ended
  bool has_gaps_ = false;
  bool has_days_ = false;  ///< times need their date
  unsigned label_width_ = 0;
  std::vector<Column> columns_;
};

/// "meter,start,end,energy_import [kWh],…" CRLF
std::string csv_head(const std::vector<std::string>& names);
/// Empty where a row has no such value.
std::string csv_row(std::string_view meter, const HistoryRow& row,
                    const std::vector<std::string>& names);
/// {"meter":…,"start":…,"end":…,"readings":{…}} and a line end
std::string json_row(std::string_view meter, const HistoryRow& row);

}  // namespace smartmeterctl
