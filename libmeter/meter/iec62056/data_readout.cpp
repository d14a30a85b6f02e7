// SPDX-License-Identifier: Apache-2.0
// Registers, number and clock of a meter from its data lines.
#include "meter/iec62056/data_readout.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <string_view>

#include "meter/data_line.hpp"
#include "meter/explain_line.hpp"

namespace meter::iec62056 {
namespace {

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

/// `text` up to the next line's end, which is taken off its front with it.
std::string_view take_line(std::string_view& text) noexcept {
  const std::string_view line = text.substr(0, text.find_first_of("\r\n"));
  text.remove_prefix(line.size());
  const std::size_t next = text.find_first_not_of("\r\n");
  text.remove_prefix(next == std::string_view::npos ? text.size() : next);
  return line;
}

/// Heat meters (EN 1434-3 over IEC 62056-21) use codes of two groups of their own, without medium:
/// 6.8 is their heat, and would be reactive energy in an electricity meter.
struct HeatCode {
  std::string_view code;
  Obis obis;  ///< our own where there is a quantity for it
};
constexpr HeatCode heat_codes[] = {
    {"6.8", "200-0:41.0.0"_obis},   // heat
    {"6.26", "200-0:40.0.0"_obis},  // volume
    {"6.31", "200-0:51.0.0"_obis},  // operating time
};

/// Where the meter's number may stand; the first of the list that is there counts.
constexpr std::array<std::string_view, 8> number_codes = {
    "0.0.0", "1-0:0.0.0", "C.1.0", "0.0", "1-0:96.1.0", "0-0:96.1.0", "0-0:96.1.255", "1-0:0.0.9"};
/// … of a heat meter: number of the device, then that of its owner.
constexpr std::array<std::string_view, 3> heat_number_codes = {"9.20", "9.21", "0.0"};

/// Six digits with or without separators: `hh:mm:ss`, `YY-MM-DD`; in front of them perhaps the
/// season (`1hhmmss`: 1 summer, 0 winter) or the century (`20YYMMDD`).
struct ThreeNumbers {
  std::array<std::uint8_t, 3> value{};
  std::optional<bool> is_summer;
};
std::optional<ThreeNumbers> parse_three_numbers(std::string_view text) noexcept {
  std::array<char, 8> digits{};
  std::size_t count = 0;
  for (const char c : text) {
    if (c == ':' || c == '-' || c == '.') continue;
    if (!is_digit(c) || count == digits.size()) return std::nullopt;
    digits[count++] = c;
  }
  if (count < 6) return std::nullopt;
  ThreeNumbers numbers;
  const std::size_t first = count - 6;
  if (first == 2 && (digits[0] != '2' || digits[1] != '0')) return std::nullopt;
  if (first == 1) {
    if (digits[0] > '1') return std::nullopt;
    numbers.is_summer = digits[0] == '1';
  }
  for (std::size_t i = 0; i < 3; ++i)
    numbers.value[i] = static_cast<std::uint8_t>((digits[first + 2 * i] - '0') * 10 +
                                                 (digits[first + 2 * i + 1] - '0'));
  return numbers;
}

/// 0.9.1 and 0.9.2, which a readout may repeat: the first counts.
class Clock {
 public:
  void take(std::string_view code, std::string_view value) noexcept {
    if (code.ends_with("0.9.1") && !time_) time_ = parse_three_numbers(value);
    if (code.ends_with("0.9.2") && !date_) date_ = parse_three_numbers(value);
  }
  std::optional<DateTime> date_time() const noexcept {
    if (!time_ || !date_) return std::nullopt;
    // Through the time stamp of P1, which checks that there is such a day.
    std::array<char, 13> text;
    char* at = text.data();
    for (const auto& numbers : {date_->value, time_->value})
      for (const std::uint8_t number : numbers) {
        *at++ = static_cast<char>('0' + number / 10);
        *at++ = static_cast<char>('0' + number % 10);
      }
    *at = time_->is_summer.value_or(false) ? 'S' : 'W';
    auto parsed = DateTime::from_p1({text.data(), text.size()});
    if (parsed && !time_->is_summer) parsed->status = 0xff;
    return parsed;
  }

 private:
  std::optional<ThreeNumbers> time_, date_;
};

/// IEC 62056-21 6.3.2: `/XXXZ…`; the mode follows from Z.
std::string_view profile_of(std::string_view identification) noexcept {
  if (identification.size() < 5) return "iec62056-21-block";
  const char speed = identification[4];
  if (is_digit(speed)) return "iec62056-21-mode-c";
  if (speed >= 'A' && speed <= 'I') return "iec62056-21-mode-b";
  return "iec62056-21-mode-a";
}

class Readout {
 public:
  explicit Readout(ReadingSet& out) noexcept : out_(out) {}

  /// Looks for what only a heat meter says.
  void look_ahead(std::string_view lines) noexcept {
    while (!lines.empty()) {
      std::string_view line = take_line(lines);
      while (const auto set = next(line)) {
        auto values = set->values;
        const DataValue value = parse_data_value(values.next().value_or(""));
        is_heat_ = is_heat_ || (set->code == "6.26" && value.unit == Unit::cubic_metre) ||
                   (set->code == "6.8" && value.unit != Unit::kilovar_hour && value.number &&
                    value.unit != Unit::none);
      }
    }
  }
  Result<void> read(std::string_view message) noexcept {
    if (message.starts_with('/')) identification_ = take_line(message);
    look_ahead(message);
    if (is_heat_) out_.medium = Medium::heat;
    while (!message.empty()) {
      std::string_view line = take_line(message);
      while (const auto set = next(line))
        if (!add(*set)) return fault(Errc::too_many_elements);
    }
    if (out_.readings.empty()) return fault(is_error_ ? Errc::list_unknown : Errc::truncated);
    out_.profile = profile_of(identification_);
    out_.time = clock_.date_time();
    name_meter();
    return {};
  }
  std::string_view identification() const noexcept { return identification_; }
  bool is_heat() const noexcept { return is_heat_; }

 private:
  /// The next data set of a line; one whose code is none of ours keeps it as text.
  static std::optional<DataSet> next(std::string_view& line) noexcept {
    if (const auto set = next_data_set(line)) return set;
    const std::size_t open = line.find('(');
    if (open == std::string_view::npos) return std::nullopt;
    const std::string_view code = line.substr(0, open);
    std::string_view values = line.substr(open);
    auto set = next_data_set(values);
    if (!set) return std::nullopt;
    set->code = code;
    line = values;
    return set;
  }

  bool add(const DataSet& set) noexcept {
    auto values = set.values;
    auto value = values.next();
    if (set.code.empty()) {
      // A row of a profile, or the only thing that a refused command gives.
      is_error_ = is_error_ || (value && value->starts_with("ER"));
      return true;
    }
    Obis obis = set.obis;
    if (is_heat_) obis = heat_code(set.code);
    for (std::uint64_t number = 0; value; value = values.next(), ++number) {
      const std::string_view text = trimmed(*value);
      if (text.empty()) continue;
      if (number == 0) {
        clock_.take(set.code, text);
        note_number(set.code, text);
      }
      ReadingDetail detail;
      detail.label = set.code;
      detail.storage = number;
      // Further values of a line are of earlier periods, or the time of the first.
      if (!out_.readings.push_back(reading_of(number == 0 ? obis : Obis{}, set.code, text)) ||
          !out_.details.push_back(detail))
        return false;
    }
    return true;
  }

  static Obis heat_code(std::string_view code) noexcept {
    for (const HeatCode& row : heat_codes)
      if (row.code == code) return row.obis;
    return {};
  }

  Reading reading_of(Obis obis, std::string_view code, std::string_view text) const noexcept {
    DataValue value = parse_data_value(text);
    if (!value.number || is_name(obis, code)) return Reading::text(obis, text);
    if (!value.unit_text.empty()) return Reading::number(obis, *value.number, value.unit);
    const bool is_electric = obis.a == 1 && obis.c > 0 && obis.c < 96;
    const bool is_ratio = obis.c == 13 || obis.c == 33 || obis.c == 53 || obis.c == 73;
    if (!is_electric || is_ratio) return Reading::number(obis, *value.number, Unit::none);
    // eHZ meters print energy in kWh and leave that out (requirements on electronic domestic
    // meters, VDN/FNN).
    if (obis.d == 8 && obis.c <= 2 && is_household_meter())
      return Reading::number(obis, *value.number, Unit::kilowatt_hour);
    return Reading::number(obis, *value.number, Unit::none, Reading::scale_unknown);
  }

  /// Numbers that name something: identification, firmware, error registers, clocks.
  static bool is_name(const Obis& obis, std::string_view code) noexcept {
    if (std::ranges::find(heat_number_codes, code) != heat_number_codes.end()) return true;
    const bool is_general = obis.a <= 1 && obis != Obis{};
    return is_general && (obis.c == 0 || obis.c == 97 ||
                          (obis.c == 96 && (obis.d == 1 || obis.d == 90)));
  }

  bool is_household_meter() const noexcept {
    constexpr std::string_view mark = "ehz";
    const auto found = std::ranges::search(identification_, mark, [](char a, char b) {
      return (a | 0x20) == b;
    });
    return !found.empty();
  }

  template <std::size_t Size>
  static std::size_t rank_in(const std::array<std::string_view, Size>& codes,
                             std::string_view code) noexcept {
    return static_cast<std::size_t>(std::ranges::find(codes, code) - codes.begin());
  }
  void note_number(std::string_view code, std::string_view text) noexcept {
    const std::string_view without_period = code.substr(0, code.find('*'));
    const std::size_t rank = is_heat_ ? rank_in(heat_number_codes, code)
                                      : rank_in(number_codes, without_period);
    const std::size_t none = is_heat_ ? heat_number_codes.size() : number_codes.size();
    if (rank == none || rank >= number_rank_) return;
    if (text.find_first_not_of("0") == std::string_view::npos) return;
    number_ = text;
    number_rank_ = rank;
  }
  void name_meter() noexcept {
    if (!number_.empty()) (void)out_.meter_id.assign(number_);
    if (out_.meter_id.empty() && identification_.size() > 1)
      (void)out_.meter_id.assign(trimmed(identification_.substr(1)));
  }

  ReadingSet& out_;
  std::string_view identification_;
  Clock clock_;
  std::string_view number_;
  std::size_t number_rank_ = SIZE_MAX;
  bool is_heat_ = false;
  bool is_error_ = false;
};

}  // namespace

Result<void> decode_data_readout(Bytes message, ReadingSet& out, DecodeObserver* observer,
                                 std::uint64_t observer_offset) noexcept {
  Readout readout(out);
  const auto read = readout.read(text_of(message));
  if (!read || observer == nullptr) return read;
  ExplainLine line;
  line.text(out.profile).text(": ").number(out.readings.size()).text(" values");
  if (readout.identification().empty())
    line.text(", no identification was heard");
  else
    line.text(" of ").text(readout.identification());
  if (readout.is_heat()) line.text(", a heat meter by its codes");
  observer->stage("list", observer_offset, line.view());
  return read;
}

}  // namespace meter::iec62056
