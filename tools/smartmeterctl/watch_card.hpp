// SPDX-License-Identifier: Apache-2.0
// Card: all that watch shows of one meter, or of an adapter without one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/smartmeterctl/watch_view.hpp"

namespace smartmeterctl {

/// How a card is drawn.
struct CardStyle {
  unsigned columns;
  std::uint64_t now_us;
  bool large;      ///< with large digits and a graph of several rows
  bool is_chosen;  ///< of several
  bool coarse;     ///< see watch_lines
};

/// The lines of the entry with this path, none wider than the style's columns.
std::vector<Line> card(const WatchState& state, const std::string& path, const CardStyle& style);

/// The entry in a list: chosen or not, meter or device, name, medium, power, state, age.
std::vector<Cell> list_row(const WatchState& state, const std::string& path,
                           const CardStyle& style);
Table list_table();

/// The line cut or filled up to exactly so many columns.
Line exactly(const Line& line, unsigned columns);

}  // namespace smartmeterctl
