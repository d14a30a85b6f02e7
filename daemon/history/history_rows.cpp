// SPDX-License-Identifier: Apache-2.0
// HistoryRows: from quarter hours to the rows of an answer.
#include "daemon/history/history_rows.hpp"

#include <algorithm>
#include <utility>

namespace smartmeterd::history {

using meter::Decimal;

void Growth::begin_row() noexcept {
  before_ = last_;
  fell_ = false;
  is_replaced_ = false;
}

void Growth::add(const Decimal& value) {
  if (!last_ || Decimal::compare(value, *last_) >= 0) {
    if (!before_) before_ = last_;  // in the first row there ever was, growth begins with a value
    last_ = value;
    fallen_.reset();  // that was a wrong value
    fell_ = false;
    return;
  }
  if (!fallen_ || Decimal::compare(value, *fallen_) < 0) {
    fallen_ = value;
    fell_ = true;
  } else if (Decimal::compare(value, *fallen_) > 0) {
    // It grows from there: a new meter.
    if (fell_)
      is_replaced_ = true;
    else
      before_ = fallen_;
    last_ = value;
    fallen_.reset();
  }
}

std::optional<Decimal> Growth::delta() const {
  if (!before_ || !last_ || fallen_ || fell_ || is_replaced_) return std::nullopt;
  return Decimal::subtract(*last_, *before_);
}

HistoryRows::HistoryRows(std::int64_t from_s, std::int64_t step_s, std::optional<Calendar> calendar)
    : from_s_(from_s), step_s_(step_s), calendar_(std::move(calendar)) {}

HistoryRows::Track& HistoryRows::track_of(std::string_view name, std::size_t hint) {
  Tracks& tracks = *tracks_;
  if (hint < tracks.size() && tracks[hint].name == name) return tracks[hint];
  if (const auto found = std::ranges::find(tracks, name, &Track::name); found != tracks.end())
    return *found;
  const std::string text(name);
  return tracks.emplace_back(Track{.name = text,
                                   .delta_key = text + "_delta",
                                   .min_key = text + "_min",
                                   .mean_key = text + "_mean",
                                   .max_key = text + "_max",
                                   .growth = {}});
}

void HistoryRows::before(const QuarterHour& quarter) {
  for (std::size_t i = 0; i < quarter.columns.size(); ++i) {
    const QuarterHour::Column& column = quarter.columns[i];
    if (column.is_counter && column.count > 0) track_of(column.name, i).growth.add(column.last);
  }
}

bool HistoryRows::add(const QuarterHour& quarter) {
  if (row_.telegrams == 0 || quarter.start_s >= end_s_) {
    end_row();
    if (answer_.rows.size() == rows_max || value_count_ > values_max) return false;
    begin_row(quarter.start_s);
  }
  row_.merge(quarter);
  before(quarter);  // the next one
  return true;
}

void HistoryRows::begin_row(std::int64_t time_s) {
  if (calendar_) {
    const Calendar::Span span = calendar_->around(time_s);
    row_.start_s = std::max(span.begin_s, end_s_);
    end_s_ = span.end_s;
  } else {
    row_.start_s = time_s - (time_s - from_s_) % step_s_;
    end_s_ = row_.start_s + step_s_;
  }
  for (Track& track : *tracks_) track.growth.begin_row();
}

void HistoryRows::end_row() {
  if (row_.telegrams == 0) return;
  HistoryRow& out = answer_.rows.emplace_back();
  out.start_us = row_.start_s * 1'000'000;
  out.values.reserve(1 + 3 * row_.columns.size());
  for (std::size_t i = 0; i < row_.columns.size(); ++i)
    if (row_.columns[i].count > 0) put(out, row_.columns[i], track_of(row_.columns[i].name, i));
  out.values.emplace_back("telegrams", row_.telegrams);
  value_count_ += out.values.size();
  row_.telegrams = 0;
  for (QuarterHour::Column& column : row_.columns) column.count = 0;
}

void HistoryRows::put(HistoryRow& out, const QuarterHour::Column& column,
                      const Track& track) const {
  if (column.is_counter) {
    out.values.emplace_back(track.name, column.last.to_double());
    if (const auto delta = track.growth.delta())
      out.values.emplace_back(track.delta_key, delta->to_double());
    return;
  }
  out.values.emplace_back(track.min_key, column.min.to_double());
  out.values.emplace_back(track.mean_key, column.sum.to_double() / column.count);
  out.values.emplace_back(track.max_key, column.max.to_double());
}

HistoryAnswer HistoryRows::finish() && {
  end_row();
  answer_.keys = std::move(tracks_);
  return std::move(answer_);
}

}  // namespace smartmeterd::history
