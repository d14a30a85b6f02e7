// SPDX-License-Identifier: Apache-2.0
// Chart: values over time, drawn in the cells of a terminal.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/smartmeterctl/local_time.hpp"
#include "tools/smartmeterctl/style.hpp"

namespace smartmeterctl {

/// What a chart is drawn with.
struct Pen {
  bool is_ascii = false;
  bool has_colours = false;
};

/// A vertical axis whose marks are round numbers at the outer edges of rows.
struct ValueAxis {
  double mark = 1;         ///< from one mark to the next
  unsigned mark_rows = 1;  ///< rows between two marks
  unsigned rows_up = 1, rows_down = 0;
  double row() const { return mark / mark_rows; }  ///< what a row stands for
  friend bool operator==(const ValueAxis&, const ValueAxis&) = default;
};
/// Holds 0, `low` and `high` in at most so many rows (3 or more), as large as it can be.
ValueAxis value_axis(double low, double high, unsigned rows);
/// "1.5", "-20": with as many digits as the marks differ in.
std::string mark_text(double value, double mark);

/// A horizontal axis: time, from the left edge of its first column to the right one of its last.
struct TimeAxis {
  Instant from, to;
  unsigned columns = 1;
  unsigned column_of(Instant instant) const;
  /// Where a column begins.
  Instant begin_of(unsigned column) const;
};
struct TimeMark {
  unsigned column;
  std::string label;
  friend bool operator==(const TimeMark&, const TimeMark&) = default;
};
/// Hours, days, months or years, as many as their labels have room: each begins at its column.
std::vector<TimeMark> time_marks(const TimeAxis& axis);

/// What was between two columns; up and down from 0.
struct Block {
  unsigned first, last;           ///< columns, `last` not included
  double up = 0, down = 0;        ///< solid: up ≥ 0, down ≤ 0
  double up_to = 0, down_to = 0;  ///< shaded behind it, where they are further out
};

struct Chart {
  TimeAxis time;
  ValueAxis value;
  double scale = 1;  ///< values are divided by this before they are written at the axis
  std::vector<Block> blocks;
  std::vector<std::pair<unsigned, unsigned>> gaps;  ///< columns without data
};

/// Columns that the values at the left take, with their line.
unsigned margin_of(const ValueAxis& axis, double scale);
/// Lines of at most `margin` + columns of the time axis; `margin` as above, or more.
std::vector<std::string> draw(const Chart& chart, unsigned margin, const Pen& pen);

/// The tones of what comes from the grid, and of what goes there.
inline constexpr Tone tone_up = Tone::accent, tone_down = Tone::good;

}  // namespace smartmeterctl
