// SPDX-License-Identifier: Apache-2.0
// Recorder: quarter hours end by the clock, also by one that is set; questions know what runs.
#include "daemon/history/recorder.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/daemon/fake_kernel.hpp"
#include "tests/daemon/history/rows.hpp"

namespace smartmeterd::history {
namespace {

using namespace std::chrono_literals;
using meter::Unit;

/// Writes down what it is told, and answers when the test says so.
class FakeHistory final : public History {
 public:
  void configure(const HistoryConfig& config) override { configs.push_back(config); }
  void append(std::vector<QuarterHour> rows) override { batches.push_back(std::move(rows)); }
  void ask(std::uint64_t id, HistoryQuestion question,
           std::optional<QuarterHour> running) override {
    asked.push_back({id, std::move(question), std::move(running)});
  }
  int event_fd() const noexcept override { return -1; }
  std::vector<Answered> take_answers() override { return {}; }
  std::uint64_t written() const override { return 0; }
  std::uint64_t dropped() const override { return 0; }

  struct Asked {
    std::uint64_t id;
    HistoryQuestion question;
    std::optional<QuarterHour> running;
  };
  std::vector<HistoryConfig> configs;
  std::vector<std::vector<QuarterHour>> batches;
  std::vector<Asked> asked;
};

class RecorderTest : public testing::Test {
 protected:
  RecorderTest() {
    recorder_.configure({});
    set_clock(utc("2026-11-27 12:00"));
  }

  void set_clock(std::int64_t time_s) { loop_.set_realtime(time_s * 1'000'000); }
  void send(std::string_view id, std::initializer_list<Value> values, bool is_stateless = false) {
    Meter meter;
    meter.id = id;
    meter.is_stateless = is_stateless;
    const meter::ReadingSet registers;
    const meter::NamedReadings named = readings(values);
    recorder_.telegram({meter, registers, named, quantities_, {}});
  }
  void send(std::string_view energy, std::string_view id = "m") {
    send(id, {{"energy_import", energy}});
  }
  /// "start meter telegrams energy", one batch a line.
  std::string written() const {
    std::string text;
    for (const auto& batch : history_.batches) {
      for (const QuarterHour& row : batch) {
        const std::int64_t minutes = row.start_s % 86'400 / 60;
        text +=
            fmt::format("{:02}:{:02} {} {} {};", minutes / 60, minutes % 60, row.meter,
                        row.telegrams, row.columns.empty() ? 0 : row.columns[0].last.to_double());
      }
      text += '\n';
    }
    return text;
  }

  test::FakeLoop loop_;
  FakeHistory history_;
  Recorder recorder_{loop_, history_};
  const meter::QuantityMap quantities_;
};

TEST_F(RecorderTest, ARowIsWrittenWhenItsQuarterHourEnds) {
  loop_.pass(1min);
  send("1");
  loop_.pass(10min);
  send("2");
  loop_.pass(4min - 1ms);
  EXPECT_EQ(written(), "") << "not before";
  loop_.pass(2ms);
  EXPECT_EQ(written(), "12:00 m 2 2;\n") << "without another telegram";
  loop_.pass(2h);
  EXPECT_EQ(history_.batches.size(), 1u) << "nothing where there is nothing";
}

TEST_F(RecorderTest, AllMetersAreOneBatch) {
  send("1", "a");
  send("5", "b");
  loop_.pass(20min);
  send("2", "a");
  send("2.5", "a");
  loop_.pass(15min);
  EXPECT_EQ(written(), "12:00 a 1 1;12:00 b 1 5;\n12:15 a 2 2.5;\n");
}

TEST_F(RecorderTest, TheFirstTelegramOfAQuarterHourIsOfThatOne) {
  loop_.pass(15min - 1us);
  send("1");
  set_clock(utc("2026-11-27 12:15"));  // a microsecond on, the timer not seen yet
  send("2");
  loop_.pass(15min);
  EXPECT_EQ(written(), "12:00 m 1 1;\n12:15 m 1 2;\n");
}

TEST_F(RecorderTest, OfStatelessMetersNothingIsKept) {
  send("m", {{"energy_import", "1"}}, true);
  loop_.pass(1h);
  EXPECT_EQ(written(), "");
}

TEST_F(RecorderTest, AtAStopTheRowIsHandedOn) {
  loop_.pass(3min);
  send("1");
  recorder_.finish();
  EXPECT_EQ(written(), "12:00 m 1 1;\n");
  loop_.pass(1h);
  recorder_.finish();
  EXPECT_EQ(history_.batches.size(), 1u);
}

/// A Pi starts with the time at which it was stopped, and hears the right one a little later.
TEST_F(RecorderTest, WhatWasReadBeforeTheClockWasSetGetsItsRightTime) {
  send("1");
  loop_.pass(40s);
  set_clock(utc("2026-11-28 06:31"));
  send("2");
  EXPECT_EQ(written(), "");
  loop_.pass(14min);
  EXPECT_EQ(written(), "06:30 m 2 2;\n");
}

TEST_F(RecorderTest, AlsoWhereItWasSetWhileNothingCame) {
  send("1");
  loop_.pass(40s);
  set_clock(utc("2026-11-28 06:44"));
  loop_.pass(20min);
  EXPECT_EQ(written(), "06:30 m 1 1;\n") << "when the timer looks, it is long over";
}

TEST_F(RecorderTest, AClockThatGoesYearsForwardAndBackLosesNothing) {
  send("1");
  loop_.pass(1min);
  set_clock(utc("2051-01-01 00:05"));
  send("2");
  loop_.pass(1min);
  set_clock(utc("2026-11-27 12:02"));
  send("3");
  EXPECT_EQ(written(), "") << "nor is more written";
  loop_.pass(14min);
  EXPECT_EQ(written(), "12:00 m 3 3;\n");
}

TEST_F(RecorderTest, AClockThatJumpsAllTheTimeDoesNotWriteMore) {
  for (int minute = 0; minute < 60; ++minute) {
    send(std::to_string(minute));
    loop_.pass(1min);
    set_clock(utc("2026-11-27 12:00") + (minute % 2 == 0 ? 7 * 3600 : -9000) + minute * 60);
  }
  recorder_.finish();
  std::uint32_t telegrams = 0;
  for (const auto& batch : history_.batches)
    for (const QuarterHour& row : batch) telegrams += row.telegrams;
  EXPECT_EQ(telegrams, 60u);
  EXPECT_LE(history_.batches.size(), 6u);
}

TEST_F(RecorderTest, ASmallCorrectionIsNone) {
  send("1");
  loop_.pass(14min + 59s);
  set_clock(utc("2026-11-27 12:15"));  // a second forward
  send("2");
  EXPECT_EQ(written(), "12:00 m 1 1;\n");
}

TEST_F(RecorderTest, AQuestionComesWithTheRunningQuarterHour) {
  send("m", {{"power", "50", Unit::watt}});
  const auto never = [](const HistoryAnswer&) { FAIL(); };
  recorder_.ask({.meter_id = "m", .from_us = 0, .to_us = 1, .period = {}, .zone = {}}, never);
  recorder_.ask({.meter_id = "n", .from_us = 0, .to_us = 1, .period = "day", .zone = {}}, never);
  ASSERT_EQ(history_.asked.size(), 2u);
  ASSERT_TRUE(history_.asked[0].running.has_value());
  EXPECT_EQ(history_.asked[0].running->start_s, utc("2026-11-27 12:00"));
  EXPECT_EQ(history_.asked[0].running->telegrams, 1u);
  EXPECT_FALSE(history_.asked[1].running.has_value());
  EXPECT_NE(history_.asked[0].id, history_.asked[1].id);
}

}  // namespace
}  // namespace smartmeterd::history
