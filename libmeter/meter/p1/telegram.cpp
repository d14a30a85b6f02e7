// SPDX-License-Identifier: Apache-2.0
// One pass over the lines of a P1 telegram.
#include "meter/p1/telegram.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "meter/base/hex.hpp"
#include "meter/data_line.hpp"
#include "meter/explain_line.hpp"
#include "meter/p1/profile.hpp"
#include "meter/p1_text.hpp"

namespace meter::p1 {
namespace {

/// Channels of sub-meters: B of 0-n codes. Four in the national documents, eight in some.
constexpr std::uint8_t channel_max = 15;
static_assert(channel_max <= ReadingSet::sub_meters_max);
/// F of the last completed billing period (IEC 62056-61: 102 the one before, and so on).
constexpr std::uint8_t last_billing_period = 101;
constexpr unsigned billing_periods_max = 24;

using namespace literals;
constexpr Obis clock_code = "0-0:1.0.0"_obis;
constexpr Obis version_code = "1-3:0.2.8"_obis;
constexpr Obis belgian_version_code = "0-0:96.1.4"_obis;
constexpr Obis profile_code = "0-0:98.1.0"_obis;
constexpr Obis peak_code = "1-0:1.6.0"_obis;
constexpr Obis tariff_11_code = "1-0:1.8.11"_obis;
/// Where a meter says who it is, the best first.
constexpr Obis identity_codes[] = {
    "0-0:42.0.0"_obis, "0-0:96.1.1"_obis,   "0-0:96.1.0"_obis,
    "1-0:0.0.0"_obis,  "0-0:96.1.255"_obis, "1-0:96.1.0"_obis,
};

/// Codes whose values are texts even where they are digits: identifications, versions, messages.
constexpr bool is_text_code(const Obis& obis) noexcept {
  return (obis.c == 0 && (obis.d == 0 || obis.d == 2)) ||
         (obis.c == 96 && (obis.d == 1 || obis.d == 13)) ||
         (obis.a == 0 && (obis.c == 42 || obis.c == 97));
}
/// Text messages: each of them counts (rule of 0-0:96.13.x); of any other code the last one does.
constexpr bool may_repeat(const Obis& obis) noexcept { return obis.c == 96 && obis.d == 13; }
constexpr bool is_power_factor(const Obis& obis) noexcept {
  return obis.d == 7 && (obis.c == 13 || obis.c == 33 || obis.c == 53 || obis.c == 73);
}

/// TST of DSMR, also the impossible one (632525252525W) that stands for "no value yet".
bool looks_like_time(std::string_view text) noexcept {
  constexpr std::size_t digits = 12;
  if (text.size() == digits + 1 && (text.back() == 'S' || text.back() == 'W'))
    text.remove_suffix(1);
  else if (text.size() != digits)
    return DateTime::from_p1(text).has_value();
  return std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

std::string_view without_blanks(std::string_view text) noexcept {
  const auto is_blank = [](char c) { return c == ' ' || c == '\0'; };
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  return text;
}

/// An identification: octets of a text in hex digits (Sn of DSMR), or the text itself.
MeterId decode_id(std::string_view sent) noexcept {
  std::array<char, MeterId::capacity> text;
  std::size_t size = 0;
  bool is_hex = sent.size() % 2 == 0 && sent.size() <= 2 * text.size();
  for (std::size_t i = 0; is_hex && i < sent.size(); i += 2) {
    const int high = hex_value(sent[i]), low = hex_value(sent[i + 1]);
    const auto octet = static_cast<char>(high << 4 | low);
    is_hex = high >= 0 && low >= 0 && (octet == '\0' || is_printable(std::byte(octet)));
    text[size++] = octet;
  }
  if (is_hex)
    if (const MeterId id(without_blanks({text.data(), size})); !id.empty()) return id;
  return MeterId(without_blanks(sent));
}

/// A line's values, as far as the shapes of lines differ.
struct Values {
  static constexpr std::size_t kept = 8;
  explicit Values(const DataSet& set) noexcept : count(set.value_count) {
    const std::string_view all = set.values.rest();
    if (count == 1) {  // almost always
      (void)value.push_back_made([&] { return std::string_view(all.data() + 1, all.size() - 2); });
      return;
    }
    ValueGroups groups = set.values;
    while (const auto next = groups.next())
      if (!value.push_back(*next)) break;
  }
  InlineVector<std::string_view, kept> value;
  std::size_t count;  ///< may be more than `kept`
};

class Telegram {
 public:
  Telegram(ReadingSet& out, bool checked, DecodeObserver* observer, std::uint64_t offset) noexcept
      : out_(out), observer_(observer), offset_(offset) {
    traits_.checked = checked;
  }
  Result<void> read(std::string_view text) noexcept;

 private:
  bool take_line(std::string_view line) noexcept;
  void take_sub_meter(const DataSet& set, const Values& values) noexcept;
  void take_own(const DataSet& set, const Values& values) noexcept;
  void take_values(const DataSet& set, const Values& values, std::uint8_t sub_meter) noexcept;
  void take_value(const Obis& obis, std::string_view value, std::uint8_t sub_meter) noexcept;
  void take_peaks(const DataSet& set) noexcept;
  void take_two_lines(Obis obis, const Values& values, std::uint8_t sub_meter) noexcept;
  void take_continuation(std::string_view value) noexcept;
  std::uint8_t sub_meter_of(std::uint8_t channel) noexcept;
  void note_identity(const Obis& obis, std::string_view value) noexcept;
  template <class Make>
  void add(const Obis& obis, bool is_time, std::uint8_t sub_meter, Make make) noexcept;
  void add_number(const Obis& obis, const Decimal& value, Unit unit, std::uint8_t sub_meter,
                  std::uint8_t flags = 0) noexcept;
  void add_octets(const Obis& obis, std::string_view octets, std::uint8_t sub_meter) noexcept;
  void add_time(const Obis& obis, std::string_view time, std::uint8_t sub_meter) noexcept;
  void explain(std::uint64_t at, std::string_view text) const {
    if (observer_ != nullptr) observer_->stage("list", offset_ + at, text);
  }
  void skip(std::uint64_t at, std::string_view line) const;
  void finish() noexcept;

  ReadingSet& out_;
  DecodeObserver* observer_;
  std::uint64_t offset_;
  Traits traits_;
  bool too_many_ = false;
  std::array<std::uint8_t, channel_max + 1> sub_meter_of_channel_{};  ///< 0: not seen yet
  std::array<std::string_view, std::size(identity_codes)> identities_{};
  /// The reading whose value comes in the next line (DSMR 2.2 and 3).
  struct {
    Obis obis;
    std::string_view time, unit;
    std::uint8_t sub_meter = 0;
    bool awaited = false;
  } next_line_;
  /// One bit for each hash of a code: most lines need no search for their like.
  std::array<std::uint64_t, 4> seen_{};
};

/// What `make` returns, appended or put in the place of the earlier line with the same code.
template <class Make>
void Telegram::add(const Obis& obis, bool is_time, std::uint8_t sub_meter, Make make) noexcept {
  constexpr std::uint64_t golden_ratio = 0x9e3779b97f4a7c15;  // spreads (Knuth 6.4)
  const auto hash = static_cast<std::uint8_t>(
      (obis.key() << 1 | (is_time ? 1u : 0u)) * golden_ratio >> 56);
  std::uint64_t& word = seen_[hash >> 6];
  const std::uint64_t bit = std::uint64_t{1} << (hash & 63);
  if ((word & bit) != 0 && !may_repeat(obis))
    for (Reading& earlier : out_.readings)
      if (earlier.obis() == obis && (earlier.kind() == Reading::Kind::date_time) == is_time) {
        earlier = make();
        return earlier.set_sub_meter(sub_meter);
      }
  word |= bit;
  if (out_.readings.push_back_made(make))
    out_.readings.back().set_sub_meter(sub_meter);
  else
    too_many_ = true;
}

void Telegram::add_number(const Obis& obis, const Decimal& value, Unit unit,
                          std::uint8_t sub_meter, std::uint8_t flags) noexcept {
  add(obis, false, sub_meter, [&] { return Reading::number(obis, value, unit, flags); });
}

void Telegram::add_octets(const Obis& obis, std::string_view octets,
                          std::uint8_t sub_meter) noexcept {
  add(obis, false, sub_meter, [&] { return Reading::from_octets(obis, bytes_of(octets)); });
}

/// An impossible one (632525252525W) is none.
void Telegram::add_time(const Obis& obis, std::string_view time, std::uint8_t sub_meter) noexcept {
  if (!DateTime::from_p1(time)) return;
  add(obis, true, sub_meter, [&] { return Reading::date_time(obis, bytes_of(time)); });
}

void Telegram::take_value(const Obis& obis, std::string_view value,
                          std::uint8_t sub_meter) noexcept {
  if (value.empty()) return;
  if (!is_text_code(obis)) {
    const DataValue parsed = parse_data_value(value);
    if (parsed.number) {
      // Values above 1 of Hungary's sample telegram: nobody knows what they are.
      const bool unexplained = is_power_factor(obis) && parsed.unit == Unit::none &&
                               Decimal::compare(*parsed.number, {1, 0}) > 0;
      const auto flags = static_cast<std::uint8_t>(unexplained ? Reading::scale_unknown : 0);
      return add_number(obis, *parsed.number, parsed.unit, sub_meter, flags);
    }
  }
  add_octets(obis, value, sub_meter);
}

/// `(v)`, `(TST)(v)`, or a list, which is kept as it was sent.
void Telegram::take_values(const DataSet& set, const Values& values,
                           std::uint8_t sub_meter) noexcept {
  if (values.count == 1) return take_value(set.obis, values.value[0], sub_meter);
  if (values.count == 2 && looks_like_time(values.value[0])) {
    take_value(set.obis, values.value[1], sub_meter);
    if (!values.value[1].empty()) add_time(set.obis, values.value[0], sub_meter);
    return;
  }
  add_octets(set.obis, set.values.rest(), sub_meter);
}

/// 0-0:98.1.0(n)(1-0:1.6.0)(1-0:1.6.0) and n times (month's end)(time of the peak)(peak): eMUCS.
/// The month's peaks become 1-0:1.6.0*101 for the last month, *102 for the one before.
void Telegram::take_peaks(const DataSet& set) noexcept {
  struct Peak {
    std::string_view month, time, value;
  };
  std::array<Peak, billing_periods_max> peaks;
  std::size_t count = 0;
  ValueGroups values = set.values;
  const auto announced = parse_data_value(values.next().value_or("")).number;
  const auto code = parse_line_code(values.next().value_or(""));
  if (!announced || code != peak_code || parse_line_code(values.next().value_or("")) != code)
    return;
  while (const auto month = values.next()) {
    const auto time = values.next(), value = values.next();
    if (count == peaks.size() || !time || !value || !DateTime::from_p1(*month)) return;
    peaks[count++] = {*month, *time, *value};
  }
  if (count == 0 || announced->exponent != 0 ||
      announced->mantissa != static_cast<std::int64_t>(count))
    return;
  const bool newest_first = peaks[0].month >= peaks[count - 1].month;  // YYMMDD… sorts as text
  for (std::size_t i = 0; i < count; ++i) {
    const auto& peak = peaks[newest_first ? i : count - 1 - i];
    const DataValue parsed = parse_data_value(peak.value);
    // Without a possible time of the peak the value says nothing.
    if (!parsed.number || !DateTime::from_p1(peak.time)) continue;
    Obis obis = peak_code;
    obis.f = static_cast<std::uint8_t>(last_billing_period + i);
    add_number(obis, *parsed.number, parsed.unit, 0);
    add_time(obis, peak.time, 0);
  }
}

/// The index + 1 of the channel's sub-meter, which is new if need be.
std::uint8_t Telegram::sub_meter_of(std::uint8_t channel) noexcept {
  std::uint8_t& number = sub_meter_of_channel_[channel];
  if (number == 0) {
    SubMeter sub_meter;
    sub_meter.channel = channel;
    (void)out_.sub_meters.push_back(sub_meter);  // no more than channel_max
    number = static_cast<std::uint8_t>(out_.sub_meters.size());
  }
  return number;
}

/// (TST)(status)(minutes)(count)(code)(unit), the value behind it or in the next line.
void Telegram::take_two_lines(Obis obis, const Values& values, std::uint8_t sub_meter) noexcept {
  constexpr std::size_t time = 0, number = 3, code = 4, unit = 5, value = 6;
  const auto count = parse_data_value(values.value[number]).number;
  const auto reading = parse_line_code(values.value[code]);
  if (!reading || reading->c != 24 || !count || *count != Decimal{1, 0}) return;
  obis = {0, obis.b, 24, reading->d, reading->e, 255};
  next_line_ = {obis, values.value[time], values.value[unit], sub_meter, true};
  if (values.count > value) take_continuation(values.value[value]);
}

void Telegram::take_continuation(std::string_view value) noexcept {
  if (!std::exchange(next_line_.awaited, false)) return;
  const auto number = parse_data_value(value).number;
  if (!number) return;
  constexpr std::size_t unit_size_max = 8;
  std::array<char, 2 + unit_size_max> with_unit{'1', '*'};
  const std::string_view unit = next_line_.unit.substr(0, unit_size_max);
  if (!unit.empty()) std::memcpy(with_unit.data() + 2, unit.data(), unit.size());
  const DataValue one = parse_data_value({with_unit.data(), 2 + unit.size()});
  if (!one.number) return;
  add_number(next_line_.obis, number->scaled(one.number->exponent), one.unit,
             next_line_.sub_meter);
  add_time(next_line_.obis, next_line_.time, next_line_.sub_meter);
}

/// A line of channel n. What is empty (24.1.0(000), 96.1.1()) says that nothing is connected.
void Telegram::take_sub_meter(const DataSet& set, const Values& values) noexcept {
  const Obis& obis = set.obis;
  const bool is_type = obis.c == 24 && obis.d == 1 && obis.e == 0;
  const bool is_two_lines = obis.c == 24 && obis.d == 3;
  if (is_two_lines) traits_.two_line_gas = true;
  if (values.value[0].empty()) return;
  Decimal type;
  if (is_type) type = parse_data_value(values.value[0]).number.value_or(Decimal{});
  if (is_type && type.mantissa == 0) return;
  const std::uint8_t number = sub_meter_of(obis.b);
  SubMeter& sub_meter = out_.sub_meters[number - 1u];
  if (is_type && type.exponent == 0 && type.mantissa > 0 && type.mantissa <= 0xff)
    sub_meter.medium = static_cast<Medium>(type.mantissa);
  if (obis.c == 96 && obis.d == 1 && obis.e <= 1 && sub_meter.id.empty())
    sub_meter.id = decode_id(values.value[0]);
  if (is_two_lines && values.count >= 6 && values.count <= Values::kept)
    return take_two_lines(obis, values, number);
  take_values(set, values, number);
}

void Telegram::note_identity(const Obis& obis, std::string_view value) noexcept {
  for (std::size_t i = 0; i < std::size(identity_codes); ++i)
    if (identity_codes[i] == obis) identities_[i] = value;
}

/// A line of the meter itself.
void Telegram::take_own(const DataSet& set, const Values& values) noexcept {
  const Obis& obis = set.obis;
  const std::string_view first = values.value[0];
  if (obis.a == 0) traits_.own_codes = true;
  if (is_text_code(obis)) {
    note_identity(obis, first);
    if (obis == version_code) traits_.version = first;
    if (obis == belgian_version_code) traits_.belgian_version = true;
  } else if (obis == clock_code) {
    traits_.clock = true;
    if (values.count != 1) return take_values(set, values, 0);
    out_.time = DateTime::from_p1(first);
    if (!out_.time) return take_value(obis, first, 0);
    return add(obis, true, 0, [&] { return Reading::date_time(obis, bytes_of(first)); });
  } else if (obis == profile_code) {
    traits_.snapshot = looks_like_time(first);
    take_peaks(set);
  } else if (obis.a == 1 && obis.b == 1) {
    traits_.channel_1 = true;
  } else if (obis == tariff_11_code) {
    traits_.tariff_11 = true;
  }
  take_values(set, values, 0);
}

/// False: the line breaks the grammar.
bool Telegram::take_line(std::string_view line) noexcept {
  const auto set = next_data_set(line);
  if (!set || !line.empty()) return false;
  const Values values(*set);
  if (set->code.empty()) {
    take_continuation(values.value[0]);
    return true;
  }
  next_line_.awaited = false;
  const Obis& obis = set->obis;
  if (obis.a == 0 && obis.b != 0 && obis.b <= channel_max) {
    traits_.own_codes = true;
    take_sub_meter(*set, values);
  } else {
    take_own(*set, values);
  }
  return true;
}

void Telegram::skip(std::uint64_t at, std::string_view line) const {
  constexpr std::size_t shown = 60;
  if (observer_ == nullptr) return;
  ExplainLine explanation;
  explanation.text("line left out, it breaks the grammar: ").text(line.substr(0, shown));
  explain(at, explanation.view());
}

void Telegram::finish() noexcept {
  for (const std::string_view identity : identities_) {
    if (out_.meter_id.empty() && !identity.empty()) out_.meter_id = decode_id(identity);
  }
  if (out_.meter_id.empty()) out_.meter_id = MeterId(without_blanks(traits_.identification));
  const Profile& profile = find_profile(traits_);
  out_.profile = profile.name;
  if (profile.name == mode_d_profile) out_.link = Link::iec62056_21;
  if (observer_ == nullptr) return;
  ExplainLine line;
  line.text(profile.name).text(": ").text(profile.why).text("; ");
  line.number(out_.readings.size()).text(" registers, ");
  line.number(out_.sub_meters.size()).text(" meters behind this one");
  explain(0, line.view());
}

Result<void> Telegram::read(std::string_view text) noexcept {
  std::string_view rest = text;
  traits_.identification = next_p1_line(rest).value_or("");
  if (!traits_.identification.empty()) traits_.identification.remove_prefix(1);  // '/'
  for (;;) {
    const auto at = static_cast<std::size_t>(text.size() - rest.size());
    const auto line = next_p1_line(rest);
    if (!line) break;
    if (line->empty() || take_line(*line)) continue;
    if (!traits_.checked) return fault(Errc::malformed, at);
    skip(at, *line);
  }
  if (too_many_) return fault(Errc::too_many_elements, text.size());
  if (out_.readings.empty()) return fault(Errc::malformed, text.size());
  finish();
  return {};
}

}  // namespace

bool plausible_telegram(Bytes message) noexcept {
  return message.size() > 4 && u8(message[0]) == '/' &&
         std::ranges::all_of(message.subspan(1, 3), [](std::byte octet) {
           return (u8(octet) | 0x20) >= 'a' && (u8(octet) | 0x20) <= 'z';
         });
}

Result<void> decode_telegram(Bytes message, ReadingSet& out, DecodeObserver* observer,
                             std::uint64_t observer_offset) noexcept {
  std::size_t body_size = message.size();
  bool checked = true;
  if (message.empty()) return fault(Errc::truncated);
  if (out.authentication != Authentication::clear) {
    const P1Text text = examine_p1_text(message, true);
    if (text.state == P1Text::State::refused) return fault(text.cause);
    if (text.state != P1Text::State::whole || text.ciphered_size != 0)
      return fault(Errc::truncated);
    body_size = text.body_size;
    checked = text.checked;
  } else if (u8(message.back()) == '!') {
    --body_size;
    checked = false;
  }
  const auto read = Telegram(out, checked, observer, observer_offset)
                        .read(text_of(message.first(body_size)));
  if (read) return read;
  out.readings.clear();
  out.sub_meters.clear();
  out.time.reset();
  return read;
}

}  // namespace meter::p1
