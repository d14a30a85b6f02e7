// SPDX-License-Identifier: Apache-2.0
// QuarterHour: what is kept of one meter over a quarter hour.
#include "daemon/history/quarter_hour.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>

namespace smartmeterd::history {

namespace {

using meter::Decimal;
using meter::Unit;

constexpr std::int64_t quarter_us = quarter_s * 1'000'000;

bool is_energy_or_volume(Unit unit) noexcept {
  switch (unit) {
    case Unit::kilowatt_hour:
    case Unit::kilovar_hour:
    case Unit::kilovolt_ampere_hour:
    case Unit::cubic_metre:
    case Unit::cubic_metre_corrected:
      return true;
    default:
      return false;
  }
}

/// Grows for ever, as the table says; what a user named himself, by its unit.
bool is_counter(const meter::NamedReading& reading) noexcept {
  if (!is_energy_or_volume(reading.unit)) return false;
  const meter::Quantity* quantity = meter::find_quantity(reading.name);
  return quantity == nullptr || quantity->state_class == "total_increasing";
}

bool is_power_or_voltage(const meter::NamedReading& reading) noexcept {
  return reading.unit == Unit::watt || reading.unit == Unit::volt;
}

/// Reads its way through a payload.
class Scanner {
 public:
  explicit Scanner(std::string_view text) noexcept : text_(text) {}

  bool skip(std::string_view token) noexcept {
    if (!text_.starts_with(token)) return false;
    text_.remove_prefix(token.size());
    return true;
  }
  bool number(Decimal& value) noexcept {
    const auto size = std::min(text_.find_first_not_of("-.0123456789"), text_.size());
    const auto parsed = Decimal::parse(text_.substr(0, size));
    if (!parsed) return false;
    text_.remove_prefix(size);
    value = *parsed;
    return true;
  }
  bool number(std::uint32_t& value) noexcept {
    const char* const begin = text_.data();
    const auto [at, error] = std::from_chars(begin, begin + text_.size(), value);
    text_.remove_prefix(static_cast<std::size_t>(at - begin));
    return error == std::errc{};
  }
  bool is_at_end() const noexcept { return text_.empty(); }

 private:
  std::string_view text_;
};

bool read_column(Scanner& scanner, QuarterHour::Column& column) {
  column.count = 0;
  if (scanner.skip("null")) return true;
  column.is_counter = !scanner.skip("[");
  column.count = 1;
  if (column.is_counter) return scanner.number(column.last);
  return scanner.number(column.min) && scanner.skip(",") && scanner.number(column.max) &&
         scanner.skip(",") && scanner.number(column.sum) && scanner.skip(",") &&
         scanner.number(column.count) && column.count > 0 && scanner.skip("]");
}

/// As the file can give it back: Decimal::parse takes 18 digits.
bool is_storable(const Decimal& value) noexcept {
  std::int64_t limit = 1'000'000'000'000'000'000;
  for (int power = 0; power < value.exponent; ++power) limit /= 10;
  return value.mantissa > -limit && value.mantissa < limit;
}

void append(std::string& payload, const Decimal& value) {
  std::array<char, Decimal::text_size_max> buffer;
  payload += value.to_text(buffer);
}

void append(std::string& payload, const QuarterHour::Column& column) {
  if (column.is_counter) return append(payload, column.last);
  payload += '[';
  for (const Decimal* value : {&column.min, &column.max, &column.sum}) {
    append(payload, *value);
    payload += ',';
  }
  payload += std::to_string(column.count) + ']';
}

}  // namespace

std::int64_t quarter_of(std::int64_t realtime_us) noexcept {
  const std::int64_t rest = realtime_us % quarter_us;
  return (realtime_us - rest) / 1'000'000 - (rest < 0 ? quarter_s : 0);
}

void QuarterHour::Column::take(const Decimal& value) {
  if (is_counter) {
    last = value;
    count = 1;
    return;
  }
  const auto total = count == 0 ? value : Decimal::add(sum, value);
  if (!total || !is_storable(*total)) return;  // beyond what any meter sends
  sum = *total;
  if (count == 0 || Decimal::compare(value, min) < 0) min = value;
  if (count == 0 || Decimal::compare(value, max) > 0) max = value;
  ++count;
}

void QuarterHour::Column::merge(const Column& later) {
  if (later.count == 0) return;
  if (count == 0 || is_counter || later.is_counter) {
    is_counter = later.is_counter;
    last = later.last;
    min = later.min;
    max = later.max;
    sum = later.sum;
    count = later.count;
    return;
  }
  const auto total = Decimal::add(sum, later.sum);
  if (!total || !is_storable(*total) ||
      count > std::numeric_limits<std::uint32_t>::max() - later.count)
    return;
  sum = *total;
  count += later.count;
  if (Decimal::compare(later.min, min) < 0) min = later.min;
  if (Decimal::compare(later.max, max) > 0) max = later.max;
}

QuarterHour::Column* QuarterHour::find(std::string_view name, std::size_t hint) noexcept {
  if (hint < columns.size() && columns[hint].name == name) return &columns[hint];
  const auto found = std::ranges::find(columns, name, &Column::name);
  return found == columns.end() ? nullptr : &*found;
}

void QuarterHour::take(const meter::NamedReadings& readings) {
  ++telegrams;
  std::size_t hint = 0;  // the same readings as in the telegram before, in the same order
  for (const meter::NamedReading& reading : readings) {
    if (reading.is_text || reading.is_time) continue;
    const bool is_range = is_power_or_voltage(reading);
    if (!is_range && !is_energy_or_volume(reading.unit)) continue;
    Column* column = find(reading.name, hint);
    if (column == nullptr) {
      if (!is_range && !is_counter(reading)) continue;
      column = &columns.emplace_back();
      column->name = reading.name;
      column->is_counter = !is_range;
    }
    hint = static_cast<std::size_t>(column - columns.data()) + 1;
    if (is_storable(reading.value)) column->take(reading.value);
  }
}

void QuarterHour::merge(const QuarterHour& later) {
  telegrams += later.telegrams;
  for (std::size_t i = 0; i < later.columns.size(); ++i) {
    if (later.columns[i].count == 0) continue;
    if (Column* column = find(later.columns[i].name, i))
      column->merge(later.columns[i]);
    else
      columns.push_back(later.columns[i]);
  }
}

std::string payload_of(const QuarterHour& row, std::span<const std::string> names) {
  std::string payload = "[";
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) payload += ',';
    const auto column = std::ranges::find(row.columns, names[i], &QuarterHour::Column::name);
    if (column == row.columns.end() || column->count == 0)
      payload += "null";
    else
      append(payload, *column);
  }
  return payload += ']';
}

bool read_payload(std::string_view payload, std::span<const std::string> names, QuarterHour& row) {
  row.columns.resize(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    row.columns[i].name = names[i];
    row.columns[i].count = 0;
  }
  Scanner scanner(payload);
  if (!scanner.skip("[")) return false;
  // Names that came later are not in older rows.
  for (std::size_t i = 0; !scanner.skip("]"); ++i) {
    if (i == names.size() || (i > 0 && !scanner.skip(",")) || !read_column(scanner, row.columns[i]))
      return false;
  }
  return scanner.is_at_end();
}

}  // namespace smartmeterd::history
