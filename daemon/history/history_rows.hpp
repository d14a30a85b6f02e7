// SPDX-License-Identifier: Apache-2.0
// HistoryRows: from quarter hours to the rows of an answer.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/history/calendar.hpp"
#include "daemon/history/quarter_hour.hpp"
#include "daemon/model.hpp"

namespace smartmeterd::history {

/// How much a counter grew from one row to the next. One that falls belongs to a new meter, or the
/// value is wrong: which of them, the value shows that comes after it. Neither is growth.
class Growth {
 public:
  /// What comes from now on belongs to another row.
  void begin_row() noexcept;
  void add(const meter::Decimal& value);
  /// Since the last value before the row, or its own first one where there is none before. Nothing
  /// where it has only that one, or it fell.
  std::optional<meter::Decimal> delta() const;

 private:
  std::optional<meter::Decimal> before_;  ///< the row
  std::optional<meter::Decimal> last_;    ///< that can be believed
  std::optional<meter::Decimal> fallen_;  ///< below it
  bool fell_ = false;                     ///< in this row
  bool is_replaced_ = false;              ///< in this row: what it grew is of two meters
};

/// Takes a meter's quarter hours in the order of time.
class HistoryRows {
 public:
  /// One answer has no more: 100 days of quarter hours, 27 years of days.
  static constexpr std::size_t rows_max = 10'000;
  /// Nor more of these, with a row's to spare: what no message on the bus holds is not collected.
  static constexpr std::size_t values_max = 500'000;

  /// Rows of `step_s` from `from_s` on, or those of the calendar.
  HistoryRows(std::int64_t from_s, std::int64_t step_s, std::optional<Calendar> calendar);

  /// One before the first row.
  void before(const QuarterHour& quarter);
  /// False: more rows or values than there may be.
  bool add(const QuarterHour& quarter);
  HistoryAnswer finish() &&;

 private:
  /// A reading by its name.
  struct Track {
    std::string name;
    std::string delta_key;
    std::string min_key;
    std::string mean_key;
    std::string max_key;
    Growth growth;
  };
  using Tracks = std::deque<Track>;  // what is in it stays where it is

  Track& track_of(std::string_view name, std::size_t hint);
  void begin_row(std::int64_t time_s);
  void end_row();
  void put(HistoryRow& out, const QuarterHour::Column& column, const Track& track) const;

  std::int64_t from_s_;
  std::int64_t step_s_;
  std::optional<Calendar> calendar_;
  std::shared_ptr<Tracks> tracks_ = std::make_shared<Tracks>();
  QuarterHour row_;  ///< without telegrams: there is none
  std::int64_t end_s_ = INT64_MIN;
  HistoryAnswer answer_;
  std::size_t value_count_ = 0;  ///< in it
};

}  // namespace smartmeterd::history
