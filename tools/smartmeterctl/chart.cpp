// SPDX-License-Identifier: Apache-2.0
// Axes with round marks, and bars of eighths of a cell.
#include "tools/smartmeterctl/chart.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <utility>


namespace smartmeterctl {
namespace {

using namespace std::chrono;

constexpr unsigned eighths = 8;
constexpr unsigned label_gap = 2;

/// The characters of a chart.
struct Glyphs {
  std::array<const char*, eighths + 1> up, down;
  const char* shade;
  const char *line, *gap_line, *time_mark;
  const char *side, *side_mark, *zero;
};

// There is but half a block, and an eighth, that hangs from the upper edge in the fonts of all
// terminals.
constexpr Glyphs unicode{{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"},
                         {" ", "▔", "▔", "▀", "▀", "▀", "█", "█", "█"},
                         "░",
                         "─",
                         "┄",
                         "┬",
                         "│",
                         "┤",
                         "┼"};
constexpr Glyphs ascii{{" ", ".", ".", ".", "o", "o", "o", "#", "#"},
                       {" ", "'", "'", "'", "o", "o", "o", "#", "#"},
                       ":",
                       "-",
                       ".",
                       "+",
                       "|",
                       "+",
                       "+"};

void append(Line& line, std::string_view glyph, Tone tone) {
  if (line.empty() || line.back().tone != tone) line.emplace_back(std::string(), tone);
  line.back().text += glyph;
}

/// Blanks at the end are of no use to anybody.
std::string ended(Line line, const Pen& pen) {
  while (!line.empty() && line.back().text.find_last_not_of(' ') == std::string::npos)
    line.pop_back();
  if (!line.empty()) line.back().text.erase(line.back().text.find_last_not_of(' ') + 1);
  return painted(line, pen.has_colours);
}

struct Filling {
  const char* glyph;
  Tone tone;
};

/// How much of a row is filled, in eighths; what there is at all is seen.
unsigned filled(double value, double row, unsigned index) {
  const double part = value / row - index;
  if (part <= 0) return 0;
  if (part >= 1) return eighths;
  const auto rounded = static_cast<unsigned>(std::lround(part * eighths));
  return index == 0 && rounded == 0 ? 1 : rounded;
}

/// The cell of a bar in the row `index` from the zero line outwards.
Filling cell_of(double solid, double shaded, double row, unsigned index,
                const std::array<const char*, eighths + 1>& glyphs, const char* shade, Tone tone) {
  if (const unsigned part = filled(solid, row, index); part > 0) return {glyphs[part], tone};
  if (filled(shaded, row, index) >= eighths / 2) return {shade, Tone::dim};
  return {" ", Tone::plain};
}

const Block* block_at(const std::vector<Block>& blocks, unsigned column) {
  const auto after = std::ranges::upper_bound(blocks, column, {}, &Block::first);
  if (after == blocks.begin()) return nullptr;
  return column < std::prev(after)->last ? &*std::prev(after) : nullptr;
}

bool is_gap(const Chart& chart, unsigned column) {
  return std::ranges::any_of(
      chart.gaps, [column](const auto& gap) { return gap.first <= column && column < gap.second; });
}

std::string side_of(const std::string& label, unsigned margin, const char* line) {
  return padded(label, margin - 1, Align::right) + line;
}

/// `index` rows from the zero line, upwards or downwards.
std::string draw_row(const Chart& chart, unsigned margin, const Pen& pen, const Glyphs& glyphs,
                     unsigned index, bool is_up) {
  const ValueAxis& axis = chart.value;
  const bool has_mark = (index + 1) % axis.mark_rows == 0;
  const double value = (index + 1) / axis.mark_rows * axis.mark * (is_up ? 1 : -1);
  Line line;
  const std::string label =
      has_mark ? mark_text(value / chart.scale, axis.mark / chart.scale) + " " : "";
  append(line, side_of(label, margin, has_mark ? glyphs.side_mark : glyphs.side), Tone::dim);
  for (unsigned column = 0; column < chart.time.columns; ++column) {
    const Block* block = block_at(chart.blocks, column);
    Filling cell{" ", Tone::plain};
    if (block != nullptr && is_up)
      cell = cell_of(block->up, block->up_to, axis.row(), index, glyphs.up, glyphs.shade, tone_up);
    else if (block != nullptr)
      cell = cell_of(-block->down, -block->down_to, axis.row(), index, glyphs.down, glyphs.shade,
                     tone_down);
    append(line, cell.glyph, cell.tone);
  }
  return ended(std::move(line), pen);
}

std::string draw_zero(const Chart& chart, unsigned margin, const Pen& pen, const Glyphs& glyphs,
                      const std::vector<TimeMark>& marks) {
  Line line;
  append(line, side_of("0 ", margin, glyphs.zero), Tone::dim);
  for (unsigned column = 0; column < chart.time.columns; ++column) {
    const bool has_mark = std::ranges::count(marks, column, &TimeMark::column) > 0;
    const char* glyph = is_gap(chart, column) ? glyphs.gap_line : glyphs.line;
    append(line, has_mark ? glyphs.time_mark : glyph, Tone::dim);
  }
  return ended(std::move(line), pen);
}

std::string draw_labels(const std::vector<TimeMark>& marks, unsigned margin, const Pen& pen) {
  std::string text(margin, ' ');
  for (const TimeMark& mark : marks) text = padded(text, margin + mark.column) + mark.label;
  return toned(text, Tone::dim, pen.has_colours);
}

/// The round number at or above: 1, 2 or 5 times a power of ten.
double round_up(double value) {
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (const double digit : {1.0, 2.0, 5.0})
    if (digit * power >= value * (1 - 1e-9)) return digit * power;
  return 10 * power;
}

/// How many rows hold the value.
unsigned rows_for(double value, double row) {
  return static_cast<unsigned>(std::ceil(value / row - 1e-9));
}

/// How marks of a time axis can follow each other.
struct Interval {
  enum class Unit { hours, days, weeks, months, years } unit;
  unsigned count;
};
constexpr std::array<Interval, 21> intervals{{
    {Interval::Unit::hours, 1},  {Interval::Unit::hours, 2},  {Interval::Unit::hours, 3},
    {Interval::Unit::hours, 4},  {Interval::Unit::hours, 6},  {Interval::Unit::hours, 12},
    {Interval::Unit::days, 1},   {Interval::Unit::days, 2},   {Interval::Unit::weeks, 1},
    {Interval::Unit::weeks, 2},  {Interval::Unit::months, 1}, {Interval::Unit::months, 2},
    {Interval::Unit::months, 3}, {Interval::Unit::months, 6}, {Interval::Unit::years, 1},
    {Interval::Unit::years, 2},  {Interval::Unit::years, 5},  {Interval::Unit::years, 10},
    {Interval::Unit::years, 20}, {Interval::Unit::years, 50}, {Interval::Unit::years, 100},
}};

std::string label_of(Interval::Unit unit, Instant instant, bool is_short) {
  const local_days day = floor<days>(local_of(instant));
  const std::string date = date_text(day);
  constexpr std::array<const char*, 12> names{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                              "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const unsigned month = static_cast<unsigned>(year_month_day(day).month());
  switch (unit) {
    case Interval::Unit::hours:
      return clock_text(instant);
    case Interval::Unit::days:
    case Interval::Unit::weeks:
      return is_short ? date.substr(8) : weekday_text(day) + " " + date.substr(8);
    case Interval::Unit::months:
      return names[month - 1];
    case Interval::Unit::years:
      break;
  }
  return date.substr(0, date.find('-', 1));
}

/// The first mark at or after `instant`, by the local clock or calendar.
Instant mark_at_or_after(Instant instant, const Interval& interval) {
  const Local local = local_of(instant);
  const local_days day = floor<days>(local);
  const auto at_or_later = [&](auto mark_before, auto next) {
    Instant mark = midnight_of(mark_before);
    return mark >= instant ? mark : midnight_of(next);
  };
  switch (interval.unit) {
    case Interval::Unit::hours: {
      const hours length(interval.count);
      const hours since = ceil<hours>(local - day);
      const hours mark = (since + length - hours(1)) / length * length;
      return instant_of(Local(day) + mark);
    }
    case Interval::Unit::days:
      return at_or_later(day, day + days(1));
    case Interval::Unit::weeks:
      return at_or_later(monday_of(day), monday_of(day) + weeks(1));
    case Interval::Unit::months: {
      const year_month_day date(day);
      const unsigned month = static_cast<unsigned>(date.month()) - 1;
      const local_days first = local_days(date.year() / 1 / 1);
      const auto before = plus_months(first, months(month / interval.count * interval.count));
      return at_or_later(before, plus_months(before, months(interval.count)));
    }
    case Interval::Unit::years:
      break;
  }
  const int count = static_cast<int>(interval.count);
  const int year_now = static_cast<int>(year_month_day(day).year());
  const local_days before(year(year_now / count * count) / 1 / 1);
  return at_or_later(before, plus_months(before, months(12 * count)));
}

/// The moment after a mark from where the next one is looked for.
Instant behind(Instant mark, const Interval& interval) {
  // An hour that comes twice is marked once.
  if (interval.unit == Interval::Unit::hours) return mark + hours(1);
  const days skipped(interval.unit == Interval::Unit::days    ? interval.count - 1
                     : interval.unit == Interval::Unit::weeks ? 7 * (interval.count - 1)
                                                              : 0);
  return mark + skipped + hours(2);
}

/// Marks of this interval; empty where their labels would touch.
std::vector<TimeMark> marks_of(const TimeAxis& axis, const Interval& interval, bool is_short) {
  std::vector<TimeMark> marks;
  unsigned end_before = 0;
  for (Instant at = mark_at_or_after(axis.from, interval); at < axis.to;
       at = mark_at_or_after(behind(at, interval), interval)) {
    const TimeMark mark{axis.column_of(at), label_of(interval.unit, at, is_short)};
    const unsigned end = mark.column + display_width(mark.label);
    if (!marks.empty() && mark.column < end_before + label_gap) return {};
    if (end > axis.columns) break;
    end_before = end;
    marks.push_back(mark);
  }
  return marks;
}

}  // namespace

ValueAxis value_axis(double low, double high, unsigned rows) {
  constexpr double tiny = 1e-290, huge = 1e290;
  constexpr unsigned mark_rows_max = 5, larger_marks = 9;
  low = std::isfinite(low) ? std::clamp(low, -huge, 0.0) : 0;
  high = std::isfinite(high) ? std::clamp(high, 0.0, huge) : 0;
  if (std::max(high, -low) < tiny) high = 1;
  ValueAxis best{0, 1, 0, 0};
  double mark = round_up((high - low) / rows);
  for (unsigned i = 0; i < larger_marks; ++i, mark = round_up(mark * 1.5))
    for (unsigned mark_rows = mark_rows_max; mark_rows > 0; --mark_rows) {
      const double row = mark / mark_rows;
      if ((high - low) / row > rows) continue;
      const ValueAxis axis{mark, mark_rows, rows_for(high, row), rows_for(-low, row)};
      const bool fits = axis.rows_up + axis.rows_down <= rows &&
                        std::max(axis.rows_up, axis.rows_down) >= mark_rows;
      // Marks in every row are many: better twice the mark in rows of the same size.
      const bool is_better =
          best.mark == 0 || (mark_rows > 1 && row < best.row() * (1 - 1e-9)) ||
          (mark_rows > 1 && best.mark_rows == 1 && row < best.row() * (1 + 1e-9));
      if (fits && is_better) best = axis;
    }
  return best;
}

std::string mark_text(double value, double mark) {
  if (value == 0) return "0";
  constexpr double plain_max = 1e6, plain_min = 1e-3;
  if (std::abs(value) >= plain_max || mark < plain_min) return fmt::format("{:.3g}", value);
  const int digits = std::max(0, -static_cast<int>(std::floor(std::log10(mark) + 1e-9)));
  return fmt::format("{:.{}f}", value, digits);
}

unsigned TimeAxis::column_of(Instant instant) const {
  const double part = static_cast<double>((instant - from).count()) /
                      static_cast<double>(std::max<std::int64_t>((to - from).count(), 1));
  return static_cast<unsigned>(std::lround(std::clamp(part, 0.0, 1.0) * columns));
}

Instant TimeAxis::begin_of(unsigned column) const {
  const double part = static_cast<double>(column) / columns;
  return from + seconds(std::llround(part * static_cast<double>((to - from).count())));
}

std::vector<TimeMark> time_marks(const TimeAxis& axis) {
  for (const Interval& interval : intervals)
    for (const bool is_short : {false, true})
      if (auto marks = marks_of(axis, interval, is_short); !marks.empty()) return marks;
  return {};
}

unsigned margin_of(const ValueAxis& axis, double scale) {
  const double mark = axis.mark / scale;
  unsigned width = 1;
  for (unsigned i = 1; i <= axis.rows_up / axis.mark_rows; ++i)
    width = std::max(width, display_width(mark_text(i * mark, mark)));
  for (unsigned i = 1; i <= axis.rows_down / axis.mark_rows; ++i)
    width = std::max(width, display_width(mark_text(i * -mark, mark)));
  return width + 2;
}

std::vector<std::string> draw(const Chart& chart, unsigned margin, const Pen& pen) {
  const Glyphs& glyphs = pen.is_ascii ? ascii : unicode;
  const auto marks = time_marks(chart.time);
  std::vector<std::string> lines;
  for (unsigned i = chart.value.rows_up; i > 0; --i)
    lines.push_back(draw_row(chart, margin, pen, glyphs, i - 1, true));
  lines.push_back(draw_zero(chart, margin, pen, glyphs, marks));
  for (unsigned i = 0; i < chart.value.rows_down; ++i)
    lines.push_back(draw_row(chart, margin, pen, glyphs, i, false));
  lines.push_back(draw_labels(marks, margin, pen));
  return lines;
}

}  // namespace smartmeterctl
