// SPDX-License-Identifier: Apache-2.0
// What `smartmeterctl plot` shows of a meter's rows.
#include "tools/smartmeterctl/plot_text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>

#include "tools/smartmeterctl/history_text.hpp"
#include "tools/smartmeterctl/text.hpp"

namespace smartmeterctl {
namespace {

using namespace std::chrono;

/// "1000000 ┤", which only values that no house has need.
constexpr unsigned margin_usual = 7;
constexpr unsigned columns_min = 8;
/// A bar of one column cannot be told from its neighbours.
constexpr unsigned bar_columns_wanted = 2;
/// From here on bars are drawn with a column between them.
constexpr unsigned bar_columns_apart = 2;
/// Lines besides the rows of both charts: two of the meter, and two blank ones; of each chart its
/// title, zero line and labels; the prompt afterwards.
constexpr unsigned other_rows = 11;
constexpr unsigned load_rows_min = 4, load_rows_max = 14, bar_rows_min = 3, bar_rows_max = 8;
constexpr double kilo = 1e3, mega = 1e6;

constexpr std::array<Step, 7> longer_steps{{
    {Step::Kind::seconds, hours(1)},
    {Step::Kind::seconds, hours(2)},
    {Step::Kind::seconds, hours(3)},
    {Step::Kind::seconds, hours(6)},
    each_day,
    each_week,
    each_month,
}};

unsigned count_rows(const TimeRange& range, unsigned enough) {
  unsigned count = 0;
  for (Instant at = range.from; at < range.to && count < enough; ++count)
    at = row_end(at, range.step, range.from);
  return count;
}

/// About how long rows are, for their order.
seconds length_of(const Step& step) {
  switch (step.kind) {
    case Step::Kind::day:
      return days(1);
    case Step::Kind::week:
      return weeks(1);
    case Step::Kind::month:
      return months(1);
    case Step::Kind::seconds:
      break;
  }
  return step.length;
}

/// Values of the rows that a column of the time axis covers.
struct Sample {
  std::optional<double> mean, min, max;
};

std::vector<Sample> resampled(const HistoryRows& rows, const TimeAxis& axis) {
  std::vector<Sample> samples(axis.columns);
  std::size_t first = 0;
  for (unsigned column = 0; column < axis.columns; ++column) {
    const Instant begin = axis.begin_of(column), end = axis.begin_of(column + 1);
    while (first < rows.size() && rows[first].end <= begin) ++first;
    double sum = 0, weight = 0;
    Sample& sample = samples[column];
    for (std::size_t i = first; i < rows.size() && rows[i].start < end; ++i) {
      const auto mean = power_of(rows[i], Of::mean);
      if (!mean) continue;
      const auto shown = std::min(end, rows[i].end) - std::max(begin, rows[i].start);
      const auto part = static_cast<double>(std::max<std::int64_t>(shown.count(), 1));
      sum += *mean * part;
      weight += part;
      const double min = power_of(rows[i], Of::min).value_or(*mean),
                   max = power_of(rows[i], Of::max).value_or(*mean);
      sample.min = std::min(sample.min.value_or(min), min);
      sample.max = std::max(sample.max.value_or(max), max);
    }
    if (weight > 0) sample.mean = sum / weight;
  }
  return samples;
}

void add_gap(Chart& chart, unsigned first, unsigned last) {
  if (!chart.gaps.empty() && chart.gaps.back().second == first)
    chart.gaps.back().second = last;
  else
    chart.gaps.emplace_back(first, last);
}

/// A chart with its axis in place, or nothing where it has no value.
struct Drawing {
  std::vector<std::string> titles;  ///< from the longest on
  Chart chart;
};

std::optional<Drawing> draw_load(const PlotPlan& plan, const HistoryRows& rows, Instant now,
                                 unsigned height, const Pen& pen) {
  Overview all;
  for (const HistoryRow& row : rows) all.add(row);
  const auto mean = power_of(all, Of::mean);
  if (!mean) return std::nullopt;
  Drawing drawing;
  Chart& chart = drawing.chart;
  chart.time = {plan.load.from, plan.load.to, plan.columns};
  const auto samples = resampled(rows, chart.time);
  double low = 0, high = 0;
  for (unsigned column = 0; column < plan.columns; ++column) {
    const Sample& sample = samples[column];
    if (!sample.mean) {
      if (chart.time.begin_of(column + 1) <= now) add_gap(chart, column, column + 1);
      continue;
    }
    const double min = std::min(*sample.min, *sample.mean),
                 max = std::max(*sample.max, *sample.mean);
    chart.blocks.push_back({column, column + 1, std::max(*sample.mean, 0.0),
                            std::min(*sample.mean, 0.0), std::max(max, 0.0), std::min(min, 0.0)});
    low = std::min(low, min);
    high = std::max(high, max);
  }
  chart.value = value_axis(low, high, height);
  const double size = std::max(high, -low);
  chart.scale = size >= mega ? mega : size >= kilo ? kilo : 1;
  const char* unit = size >= mega ? "MW" : size >= kilo ? "kW" : "W";
  const int digits = size >= kilo ? 2 : 0;
  const auto text = [&](double value) { return fixed(value / chart.scale, digits); };
  const std::string head = fmt::format("Power, {}", unit);
  const std::string means = fmt::format("{}: mean {}", head, text(*mean));
  const std::string numbers =
      fmt::format("{}, {} to {}", means, text(power_of(all, Of::min).value_or(*mean)),
                  text(power_of(all, Of::max).value_or(*mean)));
  const std::string legend = pen.is_ascii ? "   # mean  : extremes" : "   █ mean  ░ extremes";
  drawing.titles = {numbers + legend, numbers, means, head};
  return drawing;
}

/// "Energy", "Volume"
std::string name_of(const std::string& register_name) {
  std::string name = register_name.starts_with("energy_") ? "energy" : register_name;
  std::ranges::replace(name, '_', ' ');
  name.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(name.front())));
  return name;
}

/// The growth of `up`, and of `down` where it is not empty.
std::optional<Drawing> draw_bars(const PlotPlan& plan, const HistoryRows& rows, Instant now,
                                 const std::string& up, const std::string& down, unsigned height) {
  Drawing drawing;
  Chart& chart = drawing.chart;
  chart.time = {plan.bars.from, plan.bars.to, plan.columns};
  auto row = rows.begin();
  double low = 0, high = 0, total_up = 0, total_down = 0;
  const unsigned count = std::max(1u, count_rows(plan.bars, plan.columns));
  const bool is_apart = plan.columns / count >= bar_columns_apart;
  bool has_values = false;
  for (Instant at = plan.bars.from; at < plan.bars.to;) {
    const Instant end = std::min(row_end(at, plan.bars.step, plan.bars.from), plan.bars.to);
    const unsigned first = std::min(chart.time.column_of(at), plan.columns - 1);
    unsigned last = std::max(chart.time.column_of(end), first + 1);
    while (row != rows.end() && row->end <= at) ++row;
    if (row == rows.end() || row->start >= end) {
      if (end <= now) add_gap(chart, first, last);
      at = end;
      continue;
    }
    if (is_apart) --last;
    const auto in = row->find(up + "_delta");
    std::optional<double> out;
    if (!down.empty()) out = row->find(down + "_delta");
    has_values = has_values || in || out;
    total_up += in.value_or(0);
    total_down += out.value_or(0);
    // Several bars in a column are one.
    if (chart.blocks.empty() || chart.blocks.back().first != first)
      chart.blocks.push_back({first, last});
    Block& block = chart.blocks.back();
    block.up += std::max(in.value_or(0), 0.0);
    block.down -= std::max(out.value_or(0), 0.0);
    high = std::max(high, block.up);
    low = std::min(low, block.down);
    at = end;
  }
  if (!has_values) return std::nullopt;
  chart.value = value_axis(low, high, height);
  const std::string head =
      fmt::format("{} per {}, {}", name_of(up), step_text(plan.bars.step), unit_of(up));
  std::string sums = fmt::format("{}: {}", head, fixed(total_up, 3));
  if (up == "energy_import") sums += " imported";
  if (up == "energy_export") sums += " exported";
  if (!down.empty()) sums += fmt::format(", {} exported", fixed(total_down, 3));
  drawing.titles = {sums, head};
  return drawing;
}

/// Load, what came and went, and whatever else grew.
std::vector<Drawing> draw_all(const PlotPlan& plan, const HistoryRows& load,
                              const HistoryRows& bars, Instant now, unsigned load_rows,
                              unsigned bar_rows, const Pen& pen) {
  std::vector<Drawing> drawings;
  const auto keep = [&drawings](std::optional<Drawing> drawing) {
    if (drawing) drawings.push_back(std::move(*drawing));
  };
  keep(draw_load(plan, load, now, load_rows, pen));
  Overview all;
  for (const HistoryRow& row : bars) all.add(row);
  for (const std::string& name : main_registers(all)) {
    const bool has_both = all.has("energy_import") && all.has("energy_export");
    if (has_both && name == "energy_export") continue;  // downwards beside the other
    const bool is_import = has_both && name == "energy_import";
    keep(draw_bars(plan, bars, now, name, is_import ? "energy_export" : "", bar_rows));
  }
  return drawings;
}

unsigned margin_of(const std::vector<Drawing>& drawings) {
  unsigned margin = 0;
  for (const Drawing& drawing : drawings)
    margin = std::max(margin, margin_of(drawing.chart.value, drawing.chart.scale));
  return margin;
}

}  // namespace

PlotPlan plan_plot(const TimeRange& range, const PlotSize& screen) {
  const unsigned room = std::max(screen.columns, margin_usual + columns_min) - margin_usual;
  PlotPlan plan{range, range, room};
  const auto has_room = [&] {
    return count_rows(plan.bars, room + 1) * bar_columns_wanted <= room;
  };
  for (auto step = longer_steps.begin(); step != longer_steps.end() && !has_room(); ++step)
    if (length_of(*step) > length_of(plan.bars.step)) plan.bars.step = *step;
  plan.bars.from = plan.load.from = row_begin(range.from, plan.bars.step);
  plan.bars.to = plan.load.to = whole_end(range.to, plan.bars.step);
  const unsigned count = std::max(1u, count_rows(plan.bars, room + 1));
  if (count <= room) plan.columns = room / count * count;
  // Two rows a column, as far as they are stored.
  const seconds span = plan.load.to - plan.load.from;
  const seconds length = span / (2 * plan.columns) / seconds(quarter_hour) * quarter_hour;
  plan.load.step = {Step::Kind::seconds, std::max<seconds>(length, quarter_hour)};
  return plan;
}

std::string fitting(const std::vector<std::string>& texts, const PlotSize& screen, const Pen& pen) {
  const auto fits = [&screen](const std::string& text) {
    return display_width(text) <= screen.columns;
  };
  const auto found = std::ranges::find_if(texts, fits);
  const std::string text = found == texts.end() ? cut(texts.back(), screen.columns) : *found;
  return pen.is_ascii ? in_ascii(text) : text;
}

std::vector<std::string> plot_text(const PlotPlan& plan, const HistoryRows& load,
                                   const HistoryRows& bars, Instant now, const PlotSize& screen,
                                   const Pen& pen) {
  const unsigned rows = std::max(screen.rows, other_rows) - other_rows;
  const unsigned load_rows = std::clamp(rows * 3 / 5, load_rows_min, load_rows_max);
  const unsigned bar_rows =
      std::clamp(rows - std::min(rows, load_rows), bar_rows_min, bar_rows_max);
  auto drawings = draw_all(plan, load, bars, now, load_rows, bar_rows, pen);
  unsigned margin = margin_of(drawings);
  // Values that no house has need room for their digits; other marks then may have more of them.
  for (PlotPlan narrow = plan; margin + narrow.columns > screen.columns && narrow.columns > 1;) {
    narrow.columns = screen.columns > margin ? screen.columns - margin : 1;
    drawings = draw_all(narrow, load, bars, now, load_rows, bar_rows, pen);
    margin = margin_of(drawings);
  }
  std::vector<std::string> lines;
  for (const Drawing& drawing : drawings) {
    if (!lines.empty()) lines.emplace_back();
    lines.push_back(toned(fitting(drawing.titles, screen, pen), Tone::strong, pen.has_colours));
    for (std::string& line : draw(drawing.chart, margin, pen)) lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace smartmeterctl
