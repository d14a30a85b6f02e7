// SPDX-License-Identifier: Apache-2.0
// smartmeterctl history: what a meter measured, row by row, for people and for other programs.
#include <fmt/core.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "tools/smartmeterctl/history_source.hpp"
#include "tools/smartmeterctl/history_text.hpp"
#include "tools/smartmeterctl/style.hpp"
#include "tools/smartmeterctl/verbs.hpp"

namespace smartmeterctl {
namespace {

struct HistoryOptions : PastOptions {
  bool csv = false;
};

std::string help() {
  return fmt::format(R"(
What smartmeterd has kept: energy (and volume) that came and went in each row, the power's mean,
least and most (positive from the grid), and the voltage of all phases. Without a range: today's
hours. All meters where none is named.

{}

--csv (RFC 4180) and --json (an object a line) have every value by its name on the bus, and none for
rows without data: NAME is a register's last value in the row, NAME_delta what it grew, NAME_min,
NAME_mean and NAME_max are of power and voltage, telegrams says of how many. In CSV, texts that a
spreadsheet would take for a formula (=, +, - or @ first) have an apostrophe before them.

Exit status: 0 rows were found, 1 none or an error, 2 wrong usage.

Examples:
  smartmeterctl history
  smartmeterctl history --day yesterday --step 15m
  smartmeterctl history 181220000009 --month 2026-10
  smartmeterctl history --from 2026-10-01 --to 2026-10-15
  smartmeterctl history --from 2025-01-01 --step 15m --csv > all.csv
  smartmeterctl history --year --json | jq -r '[.start, .readings.energy_import_delta] | @tsv')",
                     range_help);
}

/// An export that a full disk cut short must not look whole.
void check_written(bool is_good) {
  if (!is_good)
    throw std::runtime_error(fmt::format("cannot write the rows: {}", std::strerror(errno)));
}

void print(const std::string& text) {
  check_written(std::fwrite(text.data(), 1, text.size(), stdout) == text.size());
}

void print_table(const Past& past, const Overview& overview, const TimeRange& range) {
  print(bold(meter_heading(past.meter())) + "\n");
  const std::string zone = zone_name();
  print(toned(fmt::format("{}, every {}{}", range.title, step_text(range.step),
                          zone.empty() ? "" : ", " + zone),
              Tone::dim) +
        "\n\n");
  if (overview.is_empty()) return print("no data\n");
  HistoryTable table(range, overview, now(), terminal_columns());
  print(table.head());
  past.for_each_piece(range, [&](const HistoryRows& rows, const Piece& piece) {
    print(table.rows(rows, piece.to));
  });
  print(table.foot());
}

/// The names of all meters, each once, in their order.
std::vector<std::string> all_names(const std::vector<Overview>& overviews) {
  Overview all;
  for (const Overview& overview : overviews) all.add_names(overview);
  return all.names();
}

void print_csv(const std::vector<Past>& pasts, const std::vector<Overview>& overviews,
               const TimeRange& range) {
  const auto names = all_names(overviews);
  print(csv_head(names));
  for (const Past& past : pasts)
    past.for_each_piece(range, [&](const HistoryRows& rows, const Piece&) {
      for (const HistoryRow& row : rows) print(csv_row(past.id(), row, names));
    });
}

void print_json(const Past& past, const TimeRange& range) {
  past.for_each_piece(range, [&](const HistoryRows& rows, const Piece&) {
    for (const HistoryRow& row : rows) print(json_row(past.id(), row));
  });
}

int history(HistoryOptions options) {
  const TimeRange range = options.take(now());
  Bus bus(options.bus);
  auto pasts = pasts_of(bus, options.meter);
  std::vector<Overview> overviews;
  bool is_empty = true;
  for (Past& past : pasts) {
    overviews.push_back(past.overview(range));
    is_empty = is_empty && overviews.back().is_empty();
  }
  if (is_empty) return say_nothing_there(range);
  if (options.csv) print_csv(pasts, overviews, range);
  for (std::size_t i = 0; i < pasts.size() && !options.csv; ++i) {
    if (!options.json && i > 0) print("\n");
    if (options.json)
      print_json(pasts[i], range);
    else
      print_table(pasts[i], overviews[i], range);
  }
  check_written(std::fflush(stdout) == 0);
  return exit_good;
}

}  // namespace

void add_history(CLI::App& app, Action& action) {
  auto options = std::make_shared<HistoryOptions>();
  CLI::App* command = app.add_subcommand("history", "what was measured: hours, days, months");
  command->footer(help());
  options->add_to(*command, true);
  auto* csv = command->add_flag("--csv", options->csv, "for spreadsheets: comma-separated values");
  csv->excludes(command->get_option("--json"));
  options->range.add_to(*command);
  command->callback([options, &action] { action = [options] { return history(*options); }; });
}

}  // namespace smartmeterctl
