// SPDX-License-Identifier: Apache-2.0
// smartmeterctl plot: power and energy of a day, a week, a month or a year, drawn in the terminal.
#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <memory>

#include "tools/smartmeterctl/history_source.hpp"
#include "tools/smartmeterctl/history_text.hpp"
#include "tools/smartmeterctl/plot_text.hpp"
#include "tools/smartmeterctl/style.hpp"
#include "tools/smartmeterctl/verbs.hpp"

namespace smartmeterctl {
namespace {

struct PlotOptions : PastOptions {
  bool is_ascii = false;
  unsigned width = 0;  ///< 0: as wide as the terminal
};

constexpr unsigned width_min = 20, width_max = 500;

std::string help() {
  return fmt::format(R"(
Power over time: solid up to its mean, shaded as far as it went besides; up what came from the grid,
down what went there. Below it bars of the energy (or volume) of each hour, day or month; --step
sets of what, and rows are put together where there is no room. A dotted line is where there are no
data. As wide as the terminal, 80 columns where there is none. Without a range: today. All meters
where none is named; the numbers are in "smartmeterctl history".

{}

Exit status: 0 drawn, 1 nothing to draw or an error, 2 wrong usage.

Examples:
  smartmeterctl plot
  smartmeterctl plot --day yesterday
  smartmeterctl plot 181220000009 --month 2026-10
  smartmeterctl plot --from -48h --width 120
  smartmeterctl plot --year --ascii | mail -s "This year" me@example.org)",
                     range_help);
}

PlotSize screen_of(const PlotOptions& options) {
  PlotSize screen;
  winsize window{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_row > 0)
    screen.rows = window.ws_row;
  if (const unsigned columns = terminal_columns(); columns > 0)
    screen.columns = std::clamp(columns, width_min, width_max);
  if (options.width != 0) screen.columns = options.width;
  return screen;
}

HistoryRows all_rows(const Past& past, const TimeRange& range) {
  HistoryRows rows;
  past.for_each_piece(range, [&rows](const HistoryRows& more, const Piece&) {
    rows.insert(rows.end(), more.begin(), more.end());
  });
  return rows;
}

int plot(PlotOptions options) {
  const TimeRange range = options.take(now());
  const PlotSize screen = screen_of(options);
  const Pen pen{options.is_ascii || !is_utf8_locale(), has_colours()};
  const PlotPlan plan = plan_plot(range, screen);
  Bus bus(options.bus);
  bool is_first = true;
  for (const Past& past : pasts_of(bus, options.meter)) {
    const auto lines =
        plot_text(plan, all_rows(past, plan.load), all_rows(past, plan.bars), now(), screen, pen);
    if (lines.empty()) continue;
    if (!is_first) fmt::print("\n");
    is_first = false;
    const auto say = [&](const std::vector<std::string>& texts, Tone tone) {
      fmt::print("{}\n", toned(fitting(texts, screen, pen), tone));
    };
    say({meter_heading(past.meter()), past.id()}, Tone::strong);
    const std::string zone = zone_name();
    say({range.title + (zone.empty() ? "" : ", " + zone), range.title}, Tone::dim);
    fmt::print("\n");
    for (const std::string& line : lines) fmt::print("{}\n", line);
  }
  return is_first ? say_nothing_there(range) : exit_good;
}

}  // namespace

void add_plot(CLI::App& app, Action& action) {
  auto options = std::make_shared<PlotOptions>();
  CLI::App* command = app.add_subcommand("plot", "power and energy, drawn in the terminal");
  command->footer(help());
  options->add_to(*command, true, false);
  options->range.add_to(*command);
  command->add_option("--width", options->width, "columns; those of the terminal without it")
      ->type_name("COLUMNS")
      ->check(CLI::Range(width_min, width_max));
  command->add_flag("--ascii", options->is_ascii,
                    "no other characters; so by itself where the locale is not UTF-8");
  command->callback([options, &action] { action = [options] { return plot(*options); }; });
}

}  // namespace smartmeterctl
