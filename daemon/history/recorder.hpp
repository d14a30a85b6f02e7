// SPDX-License-Identifier: Apache-2.0
// Recorder: the running quarter hour of every meter, and the questions of clients.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "daemon/history/history.hpp"
#include "daemon/io/loop.hpp"
#include "daemon/model.hpp"

namespace smartmeterd::history {

/// What it has is written when the quarter hour ends: never before, for flash wears out.
class Recorder final : public Sink {
 public:
  /// Questions that may wait for their answers.
  static constexpr std::size_t questions_max = 64;

  Recorder(io::Loop& loop, History& history);

  void configure(const HistoryConfig& config);
  void telegram(const Telegram& telegram) override;
  /// The question is as `HistoryQuestion` says. Calls `done` once, at once or later; never, where
  /// the recorder ends before.
  void ask(HistoryQuestion question, HistoryDone done);
  /// The service ends: hands on the quarter hour as far as it came. A later run goes on with it.
  void finish();

 private:
  void follow_clock();
  void end_quarter();
  void wait_for_end();
  void wait_for_answers();
  void answer();

  io::Loop& loop_;
  History& history_;
  unsigned days_ = 0;
  std::map<std::string, QuarterHour, std::less<>> running_;  ///< by meter; all of one quarter hour
  std::int64_t start_s_ = 0;                                 ///< of it
  io::TimePoint last_{};                                     ///< telegram
  std::int64_t clock_us_ = 0;   ///< CLOCK_REALTIME less the monotonic time, when last looked at
  std::int64_t asleep_us_ = 0;  ///< time that the machine slept, which the loop's clock misses
  std::map<std::uint64_t, HistoryDone> asked_;
  std::uint64_t last_id_ = 0;
  io::Operation end_;
  io::Operation answers_;
};

}  // namespace smartmeterd::history
