// SPDX-License-Identifier: Apache-2.0
// Pictures of letters: power over time, and a number that is read from across the room.
#include "tools/smartmeterctl/watch_graph.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "tools/smartmeterctl/chart.hpp"

namespace smartmeterctl {
namespace {

constexpr int levels = 8;  // of one letter

/// A letter that is filled from below, 0 to 8 eighths.
std::string_view rising(int eighths, bool coarse) {
  constexpr std::array<std::string_view, levels + 1> fine = {" ", "▁", "▂", "▃", "▄",
                                                             "▅", "▆", "▇", "█"};
  if (!coarse) return fine[static_cast<std::size_t>(eighths)];
  return eighths == 0 ? " " : eighths < 3 ? "_" : eighths < 7 ? "▄" : "█";
}

/// From above; there are fewer such letters.
std::string_view hanging(int eighths, bool coarse) {
  if (eighths == 0) return " ";
  if (eighths < 3 && !coarse) return "▔";
  return eighths < 7 ? "▀" : "█";
}

/// Rows above and below zero that give both sides the same scale, as well as may be.
unsigned rows_above(double highest, double lowest, unsigned rows) {
  if (lowest >= 0 || rows < 2) return lowest < 0 && highest <= 0 ? 0 : rows;
  if (highest <= 0) return 0;
  const double share = highest / (highest - lowest);
  return std::clamp(static_cast<unsigned>(std::lround(share * rows)), 1u, rows - 1);
}

void append(Line& line, std::string_view letter, Tone tone) {
  if (line.empty() || line.back().tone != tone) line.emplace_back(std::string(), tone);
  line.back().text += letter;
}

}  // namespace

std::vector<Line> spark(const std::vector<double>& values, unsigned rows, bool coarse) {
  double highest = 0, lowest = 0;
  for (const double value : values)
    if (std::isfinite(value)) {
      highest = std::max(highest, value);
      lowest = std::min(lowest, value);
    }
  const unsigned above = rows_above(highest, lowest, rows), below = rows - above;
  const double scale = std::max({above > 0 ? highest / above : 0, below > 0 ? -lowest / below : 0});
  std::vector<Line> lines(rows);
  for (const double value : values) {
    const bool is_known = std::isfinite(value);
    const int size =
        is_known && scale > 0 ? static_cast<int>(std::lround(std::abs(value) / scale * levels)) : 0;
    for (unsigned row = 0; row < rows; ++row) {
      const bool is_above = row < above;
      const auto distance = static_cast<int>(is_above ? above - 1 - row : row - above);
      // What is known is seen, and be it zero: at the line between the two sides.
      const int least = distance == 0 && is_known && (value >= 0) == is_above ? 1 : 0;
      const bool is_side = (value >= 0) == is_above;
      const int filled = is_side ? std::clamp(size - distance * levels, least, levels) : 0;
      append(lines[row], is_above ? rising(filled, coarse) : hanging(filled, coarse),
             is_above ? tone_up : tone_down);
    }
  }
  return lines;
}

std::vector<std::string> large_digits(std::string_view digits) {
  constexpr std::array<std::array<std::string_view, large_rows>, 10> shapes = {{
      {"█▀█", "█ █", "▀▀▀"},
      {"▀█ ", " █ ", "▀▀▀"},
      {"▀▀█", "█▀▀", "▀▀▀"},
      {"▀▀█", "▀▀█", "▀▀▀"},
      {"█ █", "▀▀█", "  ▀"},
      {"█▀▀", "▀▀█", "▀▀▀"},
      {"█▀▀", "█▀█", "▀▀▀"},
      {"▀▀█", "  █", "  ▀"},
      {"█▀█", "█▀█", "▀▀▀"},
      {"█▀█", "▀▀█", "▀▀▀"},
  }};
  std::vector<std::string> rows(large_rows);
  for (const char digit : digits)
    for (unsigned row = 0; row < large_rows; ++row)
      rows[row].append(shapes[static_cast<std::size_t>(digit - '0')][row]).append(" ");
  return rows;
}

}  // namespace smartmeterctl
