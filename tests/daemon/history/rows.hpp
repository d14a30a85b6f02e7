// SPDX-License-Identifier: Apache-2.0
// Quarter hours and answers, as tests of the history write them.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/history/quarter_hour.hpp"
#include "daemon/model.hpp"
#include "meter/base/decimal.hpp"
#include "meter/quantity.hpp"

namespace smartmeterd::history {

/// "2026-11-27 12:15", in UTC, as seconds since the epoch.
inline std::int64_t utc(std::string_view text) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0;
  if (std::sscanf(std::string(text).c_str(), "%d-%d-%d %d:%d", &year, &month, &day, &hour,
                  &minute) < 3)
    ADD_FAILURE() << text;
  using namespace std::chrono;
  const sys_days date(std::chrono::year(year) / month / day);
  return duration_cast<seconds>(date.time_since_epoch()).count() + hour * 3600 + minute * 60;
}

inline meter::Decimal decimal(std::string_view text) {
  const auto value = meter::Decimal::parse(text);
  EXPECT_TRUE(value.has_value()) << text;
  return value.value_or(meter::Decimal{});
}

struct Value {
  std::string_view name;
  std::string_view value;
  meter::Unit unit = meter::Unit::kilowatt_hour;
};

inline meter::NamedReadings readings(std::initializer_list<Value> values) {
  meter::NamedReadings readings;
  for (const Value& value : values)
    EXPECT_TRUE(readings.push_back(
        {.name = value.name, .value = decimal(value.value), .text = {}, .unit = value.unit}));
  return readings;
}

/// A quarter hour with the telegrams that are given.
inline QuarterHour quarter(std::string_view meter, std::int64_t start_s,
                           std::initializer_list<std::initializer_list<Value>> telegrams) {
  QuarterHour row;
  row.meter = meter;
  row.start_s = start_s;
  for (const auto& telegram : telegrams) row.take(readings(telegram));
  return row;
}

using Values = std::map<std::string, double, std::less<>>;
/// Start (seconds since the epoch) and values of each row.
using Rows = std::vector<std::pair<std::int64_t, Values>>;

inline Rows rows_of(const HistoryAnswer& answer) {
  EXPECT_EQ(answer.error, HistoryAnswer::Error::none) << answer.message;
  Rows rows;
  for (const HistoryRow& row : answer.rows) {
    Values values;
    for (const auto& [key, value] : row.values)
      EXPECT_TRUE(values.emplace(key, value).second) << key << " twice";
    EXPECT_EQ(row.start_us % 1'000'000, 0);
    rows.emplace_back(row.start_us / 1'000'000, std::move(values));
  }
  return rows;
}

}  // namespace smartmeterd::history
