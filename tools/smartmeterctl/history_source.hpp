// SPDX-License-Identifier: Apache-2.0
// The past of meters, as the verbs ask smartmeterd for it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tools/smartmeterctl/bus.hpp"
#include "tools/smartmeterctl/history_rows.hpp"
#include "tools/smartmeterctl/text.hpp"
#include "tools/smartmeterctl/verbs.hpp"

namespace smartmeterctl {

/// What the verbs that look back share.
struct PastOptions : BusOptions {
  RangeOptions range;
  /// Of now, by the zone that is asked for: from then on the process's own. Takes the meter's name
  /// from where the command line put it. Throws UsageError.
  TimeRange take(Instant now);
};

Instant now();

/// One meter's rows. `bus` outlives it.
class Past {
 public:
  Past(Bus& bus, const Object& meter) : bus_(&bus), meter_(meter) {}
  const Value& meter() const { return meter_.meter(); }
  std::string id() const { return meter()["Id"].text(); }
  /// The rows of [from, to), which begins and ends with a row.
  HistoryRows rows(const Piece& piece, const Step& step) const;
  /// All of a range, piece by piece, with a status line where it takes more than one.
  void for_each_piece(const TimeRange& range,
                      const std::function<void(const HistoryRows&, const Piece&)>& on_piece) const;
  /// What all rows of a range have in common. Those of a range of one piece are kept for then.
  Overview overview(const TimeRange& range);

 private:
  Bus* bus_;
  Object meter_;
  std::optional<HistoryRows> only_piece_;
};

/// The meters that are asked for. Throws where there is none.
std::vector<Past> pasts_of(Bus& bus, const std::string& meter);
/// Says on standard error that there are no rows, and what to do: exit_nothing.
int say_nothing_there(const TimeRange& range);

}  // namespace smartmeterctl
