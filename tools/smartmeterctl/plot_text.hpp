// SPDX-License-Identifier: Apache-2.0
// Rows of the past as charts: power over time, and bars of what registers grew.
#pragma once

#include <string>
#include <vector>

#include "tools/smartmeterctl/chart.hpp"
#include "tools/smartmeterctl/history_rows.hpp"

namespace smartmeterctl {

/// Room on the screen.
struct PlotSize {
  unsigned columns = 80, rows = 30;
};

/// What is asked for so that a range can be drawn there.
struct PlotPlan {
  TimeRange bars;    ///< rows that become bars
  TimeRange load;    ///< finer rows, of which each column shows some
  unsigned columns;  ///< all bars are equally wide
};
/// Bars of `range.step`, or of longer rows where there is no room for so many.
PlotPlan plan_plot(const TimeRange& range, const PlotSize& screen);

/// The first of the texts that has room, else the last one, cut.
std::string fitting(const std::vector<std::string>& texts, const PlotSize& screen, const Pen& pen);

/// Lines within the screen's columns. Columns before `now` without data are gaps.
std::vector<std::string> plot_text(const PlotPlan& plan, const HistoryRows& load,
                                   const HistoryRows& bars, Instant now, const PlotSize& screen,
                                   const Pen& pen);

}  // namespace smartmeterctl
