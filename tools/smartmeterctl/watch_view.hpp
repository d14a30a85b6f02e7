// SPDX-License-Identifier: Apache-2.0
// The view of watch: what is known, laid out for a terminal. Nothing is asked or drawn here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "tools/smartmeterctl/bus.hpp"
#include "tools/smartmeterctl/style.hpp"

namespace smartmeterctl {

/// The power of a meter in the last minutes, as far as it was seen.
class PowerTrace {
 public:
  static constexpr std::uint64_t span_us = 300'000'000;
  static constexpr std::size_t points_max = 600;

  /// W; negative: to the grid. Values without power are passed over.
  void add(std::uint64_t time_us, const Value& readings);
  /// Means of as many equal parts of the span that ends now; NaN: nothing is known of it. A value
  /// holds until the next one, for `hold_us` at most.
  std::vector<double> means(std::size_t parts, std::uint64_t now_us, std::uint64_t hold_us) const;

 private:
  struct Point {
    std::uint64_t time_us;
    double watts;
  };
  std::deque<Point> points_;
};

/// What watch knows.
struct WatchState {
  std::vector<Object> objects;
  std::map<std::string, PowerTrace> traces;  ///< by the path of the meter
  bool is_there = true;                      ///< smartmeterd
  bool is_refused = false;                   ///< it, or the bus, does not answer
  std::string only;                          ///< path of the one meter that is wanted, or empty
  std::string chosen;                        ///< path of an entry
  bool shows_help = false;

  /// A telegram; false where its meter is not known yet.
  bool take(const ReadingSignal& signal);
  /// The paths of what can be chosen, in the order in which it is shown: meters without those
  /// behind them, then adapters without a meter.
  std::vector<std::string> entries() const;
  /// The place of what is chosen in `entries`; 0 where it has gone.
  std::size_t chosen_place() const;
  /// Chooses the entry so many places further, the last one at most.
  void move(std::ptrdiff_t places);
  /// Chooses the next one; after the last one the first.
  void move_around();
};

struct WatchSize {
  unsigned columns, rows;
};
/// Below this nothing is shown but that it is too small.
inline constexpr WatchSize watch_size_min{40, 10};

/// As many lines as the size has rows, each exactly as wide as it. `now_us`: microseconds since the
/// epoch. `coarse`: the terminal has only half blocks (the Linux console).
std::vector<Line> watch_lines(const WatchState& state, WatchSize size, std::uint64_t now_us,
                              bool coarse);

}  // namespace smartmeterctl
