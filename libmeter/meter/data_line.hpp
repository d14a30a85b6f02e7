// SPDX-License-Identifier: Apache-2.0
// DataSet, DataValue: the ASCII grammar `code(value*unit)` of P1 and IEC 62056-21.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "meter/base/decimal.hpp"
#include "meter/obis.hpp"
#include "meter/unit.hpp"

namespace meter {

/// The values in brackets behind a code, one after the other; views into the line.
class ValueGroups {
 public:
  constexpr ValueGroups() noexcept = default;
  /// `text`: "(v1)(v2)…" as `next_data_set` delivers it.
  constexpr explicit ValueGroups(std::string_view text) noexcept : rest_(text) {}
  /// What stands between the next brackets, perhaps nothing ("()"); nullopt behind the last.
  constexpr std::optional<std::string_view> next() noexcept {
    if (rest_.size() < 2) return std::nullopt;
    const std::size_t end = rest_.find(')', 1);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view value = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return value;
  }
  /// "(v1)(v2)…", as far as it was not yet taken.
  constexpr std::string_view rest() const noexcept { return rest_; }

 private:
  std::string_view rest_;
};

/// A code with its values: `[A-B:]C.D[.E][*F](v1)(v2)…` (IEC 62056-21 6.5, IEC 62056-61).
struct DataSet {
  /// Groups that are not sent: A-B is 1-0 (electricity, channel 0; 0-0 where C is `C` or `F`,
  /// whose codes are abstract), E is 0, F is 255. Letters: C = 96, F = 97, L = 98, P = 99.
  Obis obis;
  std::string_view code;  ///< as sent
  ValueGroups values;
  std::size_t value_count = 0;  ///< at least one
};

/// A code as `DataSet` has it, and nothing behind it; nullopt for anything else. F may follow `*`,
/// `&` (reset by hand) or `.`; `:` in place of the second `.` is a misprint of DSMR 4.2 that
/// meters copied.
std::optional<Obis> parse_line_code(std::string_view code) noexcept;

/// Takes the data set at the front of `line` (a line may hold several in IEC 62056-21; P1 has one).
/// nullopt, and `line` unchanged, where none begins: no code, a bracket that does not close or one
/// within another. Values without a code ("(v)", a continued line) have the code "" and `Obis{}`.
std::optional<DataSet> next_data_set(std::string_view& line) noexcept;

/// One value: `number*unit`, a number or text alone, or nothing.
struct DataValue {
  std::string_view text;          ///< in front of `*`; all of it where there is no unit
  std::string_view unit_text;     ///< behind `*`
  std::optional<Decimal> number;  ///< `text` as a number, in `unit`
  /// Of `unit_text`: none where it is empty; other, and the number is as sent, where it is unknown.
  Unit unit = Unit::none;
};
/// Units in any case ("kVArh", "M3"). Those that `Unit` lacks become one of the same dimension, the
/// number scaled exactly: MWh → kWh, kJ → J, l/h → m³/h.
DataValue parse_data_value(std::string_view value) noexcept;

}  // namespace meter
