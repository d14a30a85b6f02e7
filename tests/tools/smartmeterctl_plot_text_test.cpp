// SPDX-License-Identifier: Apache-2.0
// Charts: drawn by hand here, and what holds of all of them.
#include "tools/smartmeterctl/plot_text.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace smartmeterctl {
namespace {

using namespace std::chrono;
using namespace std::chrono_literals;

using Lines = std::vector<std::string>;

Instant at(int year, unsigned month, unsigned day, int hour) {
  return sys_days(std::chrono::year(year) / std::chrono::month(month) / std::chrono::day(day)) +
         hours(hour);
}

constexpr Pen unicode{}, ascii{.is_ascii = true};

/// Eight hours of a night in UTC.
Chart chart_of(std::vector<Block> blocks, const ValueAxis& axis) {
  return {.time = {at(2026, 1, 1, 0), at(2026, 1, 1, 8), 16},
          .value = axis,
          .blocks = std::move(blocks),
          .gaps = {}};
}

class Plot : public testing::Test {
 protected:
  Plot() { EXPECT_TRUE(use_zone("UTC")); }
};

TEST_F(Plot, RoundMarks) {
  const auto is = [](const ValueAxis& axis, double mark, unsigned rows, unsigned up,
                     unsigned down) {
    return std::abs(axis.mark - mark) < mark * 1e-9 && axis.mark_rows == rows &&
           axis.rows_up == up && axis.rows_down == down;
  };
  EXPECT_TRUE(is(value_axis(0, 10, 10), 2, 2, 10, 0));
  EXPECT_TRUE(is(value_axis(0, 1, 4), 0.5, 2, 4, 0));
  EXPECT_TRUE(is(value_axis(-1, 1, 4), 1, 2, 2, 2));
  EXPECT_TRUE(is(value_axis(0, 2400, 12), 1000, 5, 12, 0));
  EXPECT_TRUE(is(value_axis(-3, 0, 6), 1, 2, 0, 6));
}

TEST_F(Plot, AxesHoldTheirValues) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> exponent(-12, 12), share(0, 1);
  for (int i = 0; i < 20'000; ++i) {
    const double size = std::pow(10, exponent(random));
    const double high = i % 3 == 0 ? 0 : size * share(random),
                 low = i % 5 == 0 ? 0 : -size * share(random);
    const unsigned rows = 3 + static_cast<unsigned>(i) % 20;
    const ValueAxis axis = value_axis(low, high, rows);
    ASSERT_GT(axis.mark, 0) << low << " " << high;
    EXPECT_LE(axis.rows_up + axis.rows_down, rows) << low << " " << high;
    EXPECT_GE(axis.rows_up + axis.rows_down, 1u);
    EXPECT_GE(axis.rows_up * axis.row() * (1 + 1e-6), high);
    EXPECT_GE(axis.rows_down * axis.row() * (1 + 1e-6), -low);
    // Someone can read how much it is.
    EXPECT_GE(std::max(axis.rows_up, axis.rows_down), axis.mark_rows);
    const double digits = axis.mark / std::pow(10, std::floor(std::log10(axis.mark) + 1e-9));
    EXPECT_TRUE(std::abs(digits - 1) < 1e-6 || std::abs(digits - 2) < 1e-6 ||
                std::abs(digits - 5) < 1e-6)
        << axis.mark;
  }
}

TEST_F(Plot, MarkTexts) {
  EXPECT_EQ(mark_text(2, 2), "2");
  EXPECT_EQ(mark_text(1.5, 0.5), "1.5");
  EXPECT_EQ(mark_text(1, 0.5), "1.0");
  EXPECT_EQ(mark_text(-0.05, 0.05), "-0.05");
  EXPECT_EQ(mark_text(20000, 10000), "20000");
  EXPECT_EQ(mark_text(3e9, 1e9), "3e+09");
  EXPECT_EQ(mark_text(0, 1e9), "0");
}

TEST_F(Plot, Bars) {
  const Chart chart = chart_of(
      {{0, 3, 2, -1}, {4, 7, 0.75, -0.25}, {8, 11, 0.001, 0}, {12, 15, 1.5, -0.5}}, {1, 1, 2, 1});
  EXPECT_EQ(draw(chart, margin_of(chart.value, 1), unicode),
            (Lines{" 2 ┤███         ▄▄▄", " 1 ┤███ ▆▆▆ ▁▁▁ ███", " 0 ┼┬───────┬───────",
                   "-1 ┤███ ▔▔▔     ▀▀▀", "    00:00   04:00"}));
  EXPECT_EQ(draw(chart, margin_of(chart.value, 1), ascii),
            (Lines{" 2 +###         ooo", " 1 +### ooo ... ###", " 0 ++-------+-------",
                   "-1 +### '''     ooo", "    00:00   04:00"}));
}

TEST_F(Plot, ShadeBehindWhatIsSolid) {
  Chart chart =
      chart_of({{0, 1, 1, 0, 3, -1}, {1, 2, 0.5, 0, 1.4, 0}, {2, 3, 0, -2, 2, -3}}, {1, 1, 3, 3});
  chart.gaps = {{4, 16}};
  EXPECT_EQ(draw(chart, 4, unicode), (Lines{" 3 ┤░", " 2 ┤░ ░", " 1 ┤█▄░", " 0 ┼┬───┄┄┄┄┬┄┄┄┄┄┄┄",
                                            "-1 ┤░ █", "-2 ┤  █", "-3 ┤  ░", "    00:00   04:00"}));
}

TEST_F(Plot, ColoursAreNoOtherLetters) {
  const Chart chart = chart_of({{0, 3, 2, -1}, {4, 7, 0.5, 0, 2, -1}}, {1, 1, 2, 1});
  const Lines plain = draw(chart, 4, unicode), coloured = draw(chart, 4, {.has_colours = true});
  ASSERT_EQ(plain.size(), coloured.size());
  for (std::size_t i = 0; i < plain.size(); ++i) {
    EXPECT_NE(coloured[i].find("\033["), std::string::npos);
    std::string letters;
    for (std::size_t at = 0; at < coloured[i].size(); ++at)
      if (coloured[i][at] == '\033')
        at = coloured[i].find('m', at);
      else
        letters += coloured[i][at];
    EXPECT_EQ(letters, plain[i]);
  }
}

TEST_F(Plot, TimeMarks) {
  using Marks = std::vector<TimeMark>;
  EXPECT_EQ(
      time_marks({at(2026, 1, 1, 0), at(2026, 1, 2, 0), 48}),
      (Marks{
          {0, "00:00"}, {8, "04:00"}, {16, "08:00"}, {24, "12:00"}, {32, "16:00"}, {40, "20:00"}}));
  EXPECT_EQ(time_marks({at(2026, 11, 23, 0), at(2026, 11, 30, 0), 70}).back(),
            (TimeMark{60, "Sun 29"}));
  EXPECT_EQ(time_marks({at(2026, 1, 1, 0), at(2027, 1, 1, 0), 73}).size(), 12u);
  EXPECT_EQ(time_marks({at(2026, 1, 1, 0), at(2027, 1, 1, 0), 73})[11].label, "Dec");
  EXPECT_EQ(time_marks({at(1990, 1, 1, 0), at(2030, 1, 1, 0), 40}),
            (Marks{{0, "1990"}, {10, "2000"}, {20, "2010"}, {30, "2020"}}));
}

TEST_F(Plot, TimeMarksOfDaysWithAnotherLength) {
  ASSERT_TRUE(use_zone("Europe/Vienna"));
  const TimeAxis day{at(2026, 10, 24, 22), at(2026, 10, 25, 23), 75};
  const auto marks = time_marks(day);
  // 03:00 is four hours after midnight.
  ASSERT_GE(marks.size(), 2u);
  EXPECT_EQ(marks[0], (TimeMark{0, "00:00"}));
  EXPECT_EQ(marks[1], (TimeMark{12, "03:00"}));
  EXPECT_EQ(marks[2], (TimeMark{21, "06:00"}));
}

/// Rows of `step` with this energy and power each.
HistoryRows rows_of(const TimeRange& range, double energy, double power, double spread) {
  HistoryRows rows;
  for (Instant begin = range.from; begin < range.to;) {
    const Instant end = row_end(begin, range.step, range.from);
    rows.push_back({begin,
                    end,
                    {{"energy_import_delta", std::max(energy, 0.0)},
                     {"energy_import", 1e6},
                     {"energy_export_delta", std::max(-energy, 0.0)},
                     {"energy_export", 1e6},
                     {"power_net_mean", power},
                     {"power_net_min", power - spread},
                     {"power_net_max", power + spread},
                     {"telegrams", 10}}});
    begin = end;
  }
  return rows;
}

TimeRange day_range() {
  return {at(2026, 1, 1, 0), at(2026, 1, 2, 0), each_hour, "Thu 2026-01-01"};
}

TEST_F(Plot, ADay) {
  const PlotSize screen{31, 21};
  const PlotPlan plan = plan_plot(day_range(), screen);
  EXPECT_EQ(plan.columns, 24u);
  EXPECT_EQ(step_text(plan.bars.step), "2 h");
  EXPECT_EQ(step_text(plan.load.step), "30 min");
  HistoryRows load = rows_of(plan.load, 0.25, 500, 500), bars = rows_of(plan.bars, 1, 500, 0);
  // The meter fell silent from 04:00 to 08:00; later more came than went, and it is 20:00.
  std::erase_if(load, [](const HistoryRow& row) {
    return (row.start >= at(2026, 1, 1, 4) && row.start < at(2026, 1, 1, 8)) ||
           row.start >= at(2026, 1, 1, 20);
  });
  std::erase_if(bars, [](const HistoryRow& row) {
    return (row.start >= at(2026, 1, 1, 4) && row.start < at(2026, 1, 1, 8)) ||
           row.start >= at(2026, 1, 1, 20);
  });
  for (HistoryRow& row : bars)
    if (row.start >= at(2026, 1, 1, 16)) {
      row.values["energy_import_delta"] = 0;
      row.values["energy_export_delta"] = 0.5;
    }
  EXPECT_EQ(
      plot_text(plan, load, bars, at(2026, 1, 1, 20), screen, unicode),
      (Lines{"Power, kW: mean 0.50", "1.0 ┤░░░░    ░░░░░░░░░░░░", "    │░░░░    ░░░░░░░░░░░░",
             "    │░░░░    ░░░░░░░░░░░░", "0.5 ┤████    ████████████", "    │████    ████████████",
             "    │████    ████████████", "  0 ┼┬───┄┄┄┄────┬───────────", "     00:00       12:00",
             "", "Energy per 2 h, kWh", "  1 ┤█ █     █ █ █ █", "    │█ █     █ █ █ █",
             "  0 ┼┬───┄┄┄┄────┬───────────", "    │                █ █",
             "     00:00       12:00"}));
}

TEST_F(Plot, NothingToDraw) {
  const PlotPlan plan = plan_plot(day_range(), {});
  EXPECT_TRUE(plot_text(plan, {}, {}, at(2026, 1, 1, 20), {}, unicode).empty());
  const HistoryRows texts{{at(2026, 1, 1, 0), at(2026, 1, 1, 1), {{"telegrams", 3}}}};
  EXPECT_TRUE(plot_text(plan, texts, texts, at(2026, 1, 1, 20), {}, unicode).empty());
}

/// Whatever is drawn is legible: it fits, has no number that is none, and nothing at line ends.
void expect_legible(const Lines& lines, const PlotSize& screen, const Pen& pen) {
  for (const std::string& line : lines) {
    ASSERT_LE(display_width(line), screen.columns) << line;
    for (const char* no_number : {"nan", "NaN", "inf"})
      ASSERT_EQ(line.find(no_number), std::string::npos) << line;
    ASSERT_FALSE(line.ends_with(' ')) << line;
    const bool is_ascii = std::ranges::all_of(line, [](char c) { return c >= ' ' && c <= '~'; });
    ASSERT_TRUE(is_ascii || !pen.is_ascii) << line;
  }
}

TEST_F(Plot, FitsEveryWidth) {
  ASSERT_TRUE(use_zone("Europe/Vienna"));
  const Instant now = at(2026, 11, 27, 13);
  const TimeRange ranges[] = {
      range_of({.day = "2026-10-25"}, now),         range_of({.week = ""}, now),
      range_of({.month = "2026-03"}, now),          range_of({.year = ""}, now),
      range_of({.from = "1990-01-01"}, now),        range_of({.from = "13:00"}, now),
      range_of({.from = "-3d", .step = "15m"}, now)};
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double values[] = {0,
                           1,
                           -1,
                           0.5,
                           1e-9,
                           -3500,
                           1e7,
                           1e15,
                           -1e200,
                           1e300,
                           nan,
                           std::numeric_limits<double>::infinity(),
                           -std::numeric_limits<double>::max()};
  for (const unsigned columns : {20u, 21u, 33u, 57u, 80u, 132u, 200u})
    for (const TimeRange& range : ranges) {
      const PlotSize screen{columns, 5 + columns % 60};
      const PlotPlan plan = plan_plot(range, screen);
      for (const double value : values) {
        const Pen pen{.is_ascii = columns % 2 == 0};
        HistoryRows load = rows_of(plan.load, value, value, std::abs(value) / 3);
        HistoryRows bars = rows_of(plan.bars, value, value, 0);
        expect_legible(plot_text(plan, load, bars, now, screen, pen), screen, pen);
        load.resize(std::min<std::size_t>(load.size(), 1));
        bars.resize(load.size());
        expect_legible(plot_text(plan, load, bars, now, screen, pen), screen, pen);
      }
    }
}

TEST_F(Plot, AsksForWhatItDraws) {
  const Instant now = at(2026, 11, 27, 13);
  for (unsigned columns = 20; columns <= 500; columns += 7)
    for (const char* from : {"2026-11-27", "2026-11-20", "2026-01-01", "1971-01-01"}) {
      const PlotPlan plan = plan_plot(range_of({.from = from, .to = "now"}, now), {columns, 24});
      EXPECT_LE(plan.columns, columns);
      EXPECT_EQ(plan.load.step.length % quarter_hour, 0s);
      EXPECT_LE(static_cast<std::size_t>((plan.load.to - plan.load.from) / plan.load.step.length),
                4 * plan.columns + 4);
      EXPECT_LE(plan.bars.from, plan.load.from);
      EXPECT_EQ(plan.bars.to, plan.load.to);
    }
}

TEST_F(Plot, OtherLettersInAscii) {
  EXPECT_EQ(in_ascii("Volume, m³"), "Volume, m3");
  EXPECT_EQ(in_ascii("B\xc3\xbcro\xff…"), "B?ro?.");
}

}  // namespace
}  // namespace smartmeterctl
