// SPDX-License-Identifier: Apache-2.0
// How the verbs on the bus put values into words and into JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "meter/telegram_json.hpp"
#include "tools/smartmeterctl/bus.hpp"

namespace smartmeterctl {

/// "12048.95 kWh", "1KFM0200169986": a named value with the unit of the quantity table.
std::string value_text(const std::string& name, const Value& value);
/// The unit of a name in the quantity table; empty: none, or the name is not known.
std::string_view unit_text(std::string_view name);
/// Without its unit: "12048.95".
std::string number_text(double value);
/// With that many decimals, never "-0"; from 1e9 on three digits and an exponent: "3e+09".
std::string fixed(double value, int decimals);

/// A reading that is a number; nothing where it is not there, or none.
std::optional<double> number_of(const Value& readings, const std::string& name);
/// W from the grid, negative to it, of what a telegram or a meter says; nothing: no power at all.
std::optional<double> net_power(const Value& readings);

/// The names of `readings` in the order of the quantity table, unknown names last; values that a
/// meter does not deliver are left out.
std::vector<std::string> ordered_names(const Value& readings);

/// "no key for this meter" for "key-missing"; the word itself where it is not known.
std::string problem_text(const std::string& problem);
/// What to do about it, with the command; empty where nothing is wrong or the word is not known.
std::string problem_advice(const std::string& problem);
/// "1 byte", "3 bytes"
std::string counted(std::uint64_t count, std::string_view noun);
/// How long ago that was; microseconds since the epoch.
std::int64_t age_s(std::uint64_t time_us);
/// "3 s ago", "2 h ago", "never"; microseconds since the epoch.
std::string age_text(std::uint64_t time_us);
std::string age_text(std::uint64_t time_us, std::uint64_t now_us);
/// "12:00:05", local time.
std::string clock_text(std::uint64_t time_us);
/// Microseconds since the epoch.
std::uint64_t time_now_us();

/// Says on standard error how a wait goes: one line that is rewritten on a terminal, and is gone in
/// the end; elsewhere a line for each text that differs from the one before.
class StatusLine {
 public:
  StatusLine() = default;
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;
  ~StatusLine() { clear(); }
  static bool is_rewritten();
  void show(const std::string& text);
  /// Before anything else is printed.
  void clear();

 private:
  std::string shown_;
};

/// Good for the name of a file or a link: up to 64 letters, digits, '-' and '_'.
bool is_plain_name(std::string_view text);

/// Key "readings" and its object.
void write_readings(meter::JsonWriter& json, const Value& readings);
/// Any value as it came; numbers that are not finite as null.
void write_value(meter::JsonWriter& json, const Value& value);
/// Keys profile, meter, time, received, sequence (where not 0), link and authenticated, as in the
/// telegram JSON.
void write_meter_facts(meter::JsonWriter& json, const Value& meter, std::uint64_t received_us,
                       std::uint64_t sequence);

}  // namespace smartmeterctl
