// SPDX-License-Identifier: Apache-2.0
// The view of watch: what is known, laid out for a terminal. Nothing is asked or drawn here.
#include "tools/smartmeterctl/watch_view.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "tools/smartmeterctl/text.hpp"
#include "tools/smartmeterctl/watch_card.hpp"

namespace smartmeterctl {
namespace {

/// Left at the left end, right at the right end, as far as there is room.
Line ends(const Line& left, const Line& right, unsigned columns) {
  const unsigned room = columns - std::min(columns, display_width(right) + 1);
  if (room < display_width(left)) return exactly(left, columns);
  Line line = exactly(left, columns - display_width(right));
  line.insert(line.end(), right.begin(), right.end());
  return line;
}

Line head(const WatchState& state, const WatchSize& size, std::uint64_t now_us) {
  const Cell clock(clock_text(now_us), Tone::dim);
  if (!state.is_there)
    return ends({{"smartmeterd has stopped, waiting for it", Tone::bad}}, {clock}, size.columns);
  if (state.is_refused)
    return ends({{"smartmeterd does not answer, or the bus does not allow it", Tone::bad}}, {clock},
                size.columns);
  const auto entries = state.entries();
  const auto meters = std::ranges::count_if(
      state.objects, [](const Object& object) { return !object.meter().map().empty(); });
  Line left{{"smartmeterd", Tone::strong},
            {"  " + counted(static_cast<std::uint64_t>(meters), "meter")}};
  if (entries.size() > 1)
    left.emplace_back(fmt::format("  entry {} of {}", state.chosen_place() + 1, entries.size()),
                      Tone::dim);
  return ends(left, {clock}, size.columns);
}

Line foot(const WatchState& state, unsigned columns) {
  if (state.shows_help)
    return exactly({{"q Esc Ctrl-C: leave  ↑↓ PgUp PgDn Tab: move  Ctrl-Z: stop  ?: close this"}},
                   columns);
  Line left;
  for (const Object& object : state.objects) {
    const Value& broker = object.publisher();
    if (broker.map().empty()) continue;
    const std::string word = broker["State"].text(), error = broker["LastError"].text();
    const std::string address = broker["Broker"].text();
    const bool is_twice = std::ranges::count_if(state.objects, [&](const Object& other) {
                            return other.publisher()["Broker"].text() == address;
                          }) > 1;
    const std::string role = is_twice ? broker["Role"].text() + " " : "";
    left.emplace_back((left.empty() ? "" : "  ") + safe(address + " " + role), Tone::dim);
    left.push_back(state.is_there ? Cell(safe(word), tone_of_state(word))
                                  : Cell("unknown", Tone::dim));
    if (const auto queued = broker["Queued"].count(); queued > 0)
      left.emplace_back(fmt::format(", {} kept", queued), Tone::warn);
    if (!error.empty()) left.emplace_back(", " + safe(error), Tone::warn);
  }
  if (left.empty()) left.emplace_back("no broker", Tone::dim);
  const Line right{
      {"q", Tone::strong}, {": leave  ", Tone::dim}, {"?", Tone::strong}, {": help", Tone::dim}};
  const unsigned room = columns - std::min(columns, display_width(right) + 2);
  return ends(exactly(left, std::min(room, display_width(left))), right, columns);
}

/// All cards one below the other; nothing where they do not fit.
std::vector<Line> all_cards(const WatchState& state, const std::vector<std::string>& entries,
                            unsigned rows, CardStyle style) {
  std::vector<Line> lines;
  for (const std::string& path : entries) {
    style.is_chosen = entries.size() > 1 && path == entries[state.chosen_place()];
    if (!lines.empty()) lines.emplace_back();
    const auto one = card(state, path, style);
    lines.insert(lines.end(), one.begin(), one.end());
    if (lines.size() > rows) return {};
  }
  return lines;
}

/// A list of all, as much of it as fits, and the card of the one that is chosen.
std::vector<Line> list_and_card(const WatchState& state, const std::vector<std::string>& entries,
                                unsigned rows, CardStyle style) {
  constexpr unsigned heading_min = 5;  // rows of the list that leave one for the titles
  const std::size_t place = state.chosen_place(), count = entries.size();
  style.is_chosen = false;
  auto detail = card(state, entries[place], style);
  if (style.large && detail.size() + 1 + std::min<std::size_t>(count, rows / 3) > rows) {
    style.large = false;
    detail = card(state, entries[place], style);
  }
  const auto free = rows - std::min<std::size_t>(rows, detail.size() + 1);
  std::size_t list_rows = std::min(count + 1, std::max<std::size_t>({free, rows / 3, 1}));
  const bool has_heading = list_rows >= heading_min;
  const std::size_t shown = std::min(list_rows - (has_heading ? 1 : 0), count);
  list_rows = shown + (has_heading ? 1 : 0);
  const std::size_t first = std::min(place - std::min(place, shown / 2), count - shown);
  Table table = list_table();
  for (std::size_t i = 0; i < count; ++i) {
    style.is_chosen = i == place;
    table.add(list_row(state, entries[i], style));
  }
  const auto all = table.lines(style.columns);
  std::vector<Line> lines;
  if (has_heading) lines.push_back(all.front());
  for (std::size_t i = first; i < first + shown; ++i) lines.push_back(all[i + 1]);
  if (list_rows + 1 >= rows) return lines;
  lines.emplace_back();
  if (detail.size() > rows - lines.size()) {
    detail.resize(rows - lines.size());
    detail.back() = {{"…", Tone::dim}};
  }
  lines.insert(lines.end(), detail.begin(), detail.end());
  return lines;
}

std::vector<Line> body(const WatchState& state, unsigned rows, CardStyle style) {
  const auto entries = state.entries();
  std::vector<Line> lines;
  if (entries.empty()) {
    for (const std::string& line :
         wrapped("No adapter yet: plug one in. \"smartmeterctl list\" shows what could be claimed.",
                 style.columns, 0))
      lines.push_back({{line}});
    return lines;
  }
  for (const bool large : {true, false}) {
    style.large = large;
    if (lines = all_cards(state, entries, rows, style); !lines.empty()) return lines;
  }
  style.large = true;
  if (entries.size() > 1) return list_and_card(state, entries, rows, style);
  style.large = false;
  return card(state, entries.front(), style);
}

}  // namespace

std::vector<Line> watch_lines(const WatchState& state, WatchSize size, std::uint64_t now_us,
                              bool coarse) {
  std::vector<Line> lines;
  if (size.columns < watch_size_min.columns || size.rows < watch_size_min.rows) {
    lines.push_back(
        {{fmt::format("too small: {}×{} is needed", watch_size_min.columns, watch_size_min.rows)}});
  } else {
    lines.push_back(head(state, size, now_us));
    lines.emplace_back();
    const auto middle = body(state, size.rows - 3,
                             {.columns = size.columns,
                              .now_us = now_us,
                              .large = true,
                              .is_chosen = false,
                              .coarse = coarse});
    lines.insert(lines.end(), middle.begin(), middle.end());
    lines.resize(size.rows - 1);
    lines.push_back(foot(state, size.columns));
  }
  lines.resize(size.rows);
  for (Line& line : lines) line = exactly(line, size.columns);
  return lines;
}

}  // namespace smartmeterctl
