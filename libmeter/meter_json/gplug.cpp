// SPDX-License-Identifier: Apache-2.0
// gPlug and other Tasmota scripts: an object of short keys below the script's own name.
// libmeter/doc/json-sources.md tells which keys mean what, and how the unit of Pi is found.
#include <algorithm>
#include <array>
#include <cmath>

#include "meter/quantity.hpp"
#include "meter/telegram_json.hpp"
#include "meter_json/format.hpp"

namespace meter::json {
namespace {

struct KeyRow {
  std::string_view key;  ///< compared without regard to case
  Obis obis;
  Unit unit;  ///< Unit::other: W or kW, by the rule of Pi and Po
};
constexpr Unit by_rule = Unit::other;
constexpr KeyRow rows[] = {
    {"Pi", "1-0:1.7.0"_obis, by_rule},
    {"Po", "1-0:2.7.0"_obis, by_rule},
    {"P1i", "1-0:21.7.0"_obis, Unit::watt},
    {"P2i", "1-0:41.7.0"_obis, Unit::watt},
    {"P3i", "1-0:61.7.0"_obis, Unit::watt},
    {"P1o", "1-0:22.7.0"_obis, Unit::watt},
    {"P2o", "1-0:42.7.0"_obis, Unit::watt},
    {"P3o", "1-0:62.7.0"_obis, Unit::watt},
    {"V1", "1-0:32.7.0"_obis, Unit::volt},
    {"V2", "1-0:52.7.0"_obis, Unit::volt},
    {"V3", "1-0:72.7.0"_obis, Unit::volt},
    {"I1", "1-0:31.7.0"_obis, Unit::ampere},
    {"I2", "1-0:51.7.0"_obis, Unit::ampere},
    {"I3", "1-0:71.7.0"_obis, Unit::ampere},
    {"Ei", "1-0:1.8.0"_obis, Unit::kilowatt_hour},
    {"Eo", "1-0:2.8.0"_obis, Unit::kilowatt_hour},
    {"Ei1", "1-0:1.8.1"_obis, Unit::kilowatt_hour},
    {"Ei2", "1-0:1.8.2"_obis, Unit::kilowatt_hour},
    {"Eo1", "1-0:2.8.1"_obis, Unit::kilowatt_hour},
    {"Eo2", "1-0:2.8.2"_obis, Unit::kilowatt_hour},
    {"rPi", "1-0:3.7.0"_obis, Unit::var},
    {"rPo", "1-0:4.7.0"_obis, Unit::var},
    {"rEi", "1-0:3.8.0"_obis, Unit::kilovar_hour},
    {"rEo", "1-0:4.8.0"_obis, Unit::kilovar_hour},
    {"Q5", "1-0:5.8.0"_obis, Unit::kilovar_hour},
    {"Q6", "1-0:6.8.0"_obis, Unit::kilovar_hour},
    {"Q7", "1-0:7.8.0"_obis, Unit::kilovar_hour},
    {"Q8", "1-0:8.8.0"_obis, Unit::kilovar_hour},
    {"pf", "1-0:13.7.0"_obis, Unit::none},
    {"pf1", "1-0:33.7.0"_obis, Unit::none},
    {"pf2", "1-0:53.7.0"_obis, Unit::none},
    {"pf3", "1-0:73.7.0"_obis, Unit::none},
    {"Tarif", "0-0:96.14.0"_obis, Unit::none},
    // older and hand-written scripts
    {"P_Bezug", "1-0:1.7.0"_obis, by_rule},
    {"P_Ein", "1-0:1.7.0"_obis, by_rule},
    {"Power_curr", "1-0:16.7.0"_obis, Unit::watt},
    {"Total_in", "1-0:1.8.0"_obis, Unit::kilowatt_hour},
    {"Total_out", "1-0:2.8.0"_obis, Unit::kilowatt_hour},
};
constexpr std::string_view meter_number_key = "SMid";
constexpr Obis meter_serial_code = "0-0:96.1.0"_obis;

const KeyRow* find_row(std::string_view key) noexcept {
  const auto row = std::ranges::find_if(
      rows, [&](const KeyRow& each) { return equal_ignoring_case(each.key, key); });
  return row == std::end(rows) ? nullptr : &*row;
}

const KeyRule* find_rule(const Message& message, std::string_view key) noexcept {
  for (const KeyRule& rule : message.options.rules)
    if ((rule.topic.empty() || rule.topic == message.topic) && equal_ignoring_case(rule.key, key))
      return &rule;
  return nullptr;
}

/// The unit in which scripts give what has a code: what Tasmota's own examples print.
std::optional<Unit> unit_of_code(const Obis& obis) noexcept {
  Obis code = obis;
  code.b = 0;
  const auto all = quantities();
  const auto row = std::ranges::find(all, code, &Quantity::obis);
  return row != all.end() ? std::optional(row->unit) : std::nullopt;
}

bool is_known(const Message& message, std::size_t node) noexcept {
  const Node& found = message[node];
  if (found.kind != Node::Kind::number && found.kind != Node::Kind::text) return false;
  if (found.kind == Node::Kind::text && !measured(found)) return false;
  return find_rule(message, found.key) || obis_of_key(found.key) || find_row(found.key);
}

std::size_t child_ignoring_case(const Document& document, std::size_t parent,
                                std::string_view key) noexcept {
  for (std::size_t i = parent + 1; i < document[parent].end; i = document[i].end)
    if (equal_ignoring_case(document[i].key, key)) return i;
  return 0;
}

/// A value of a child as double, for choosing a factor; NaN where it is not there.
double rough(const Document& document, std::size_t parent, std::string_view key) noexcept {
  const std::size_t node = child_ignoring_case(document, parent, key);
  const auto found = node != 0 ? measured(document[node]) : std::nullopt;
  return found ? found->value.to_double() : std::nan("");
}

/// The unit in which the total stands whose phases, in W, are these; none: they do not tell.
Unit unit_by_phases(const Document& document, std::size_t root, std::string_view total,
                    const std::array<std::string_view, 3>& phases) noexcept {
  constexpr double tolerance = 0.05;
  double sum = 0;
  for (const std::string_view phase : phases)
    if (const double watt = rough(document, root, phase); !std::isnan(watt)) sum += watt;
  const double value = rough(document, root, total);
  if (sum == 0 || std::isnan(value)) return Unit::none;
  if (std::abs(value - sum) <= tolerance * std::abs(sum)) return Unit::watt;
  if (std::abs(1000 * value - sum) <= tolerance * std::abs(sum)) return Unit::kilowatt;
  return Unit::none;
}

/// What the number's own form tells where nothing better does. Zero needs no unit.
std::optional<Unit> unit_by_form(std::string_view token, const Decimal& value) noexcept {
  constexpr Decimal more_than_a_house_has{100, 0};
  if (token.find('.') != token.npos) return Unit::kilowatt;
  if (value.mantissa == 0) return Unit::watt;
  const Decimal size{value.mantissa < 0 ? -value.mantissa : value.mantissa, value.exponent};
  if (Decimal::compare(size, more_than_a_house_has) > 0) return Unit::watt;
  return std::nullopt;
}

class ScriptObject {
 public:
  ScriptObject(SetBuilder& builder, std::size_t root, Source& source) noexcept
      : builder_(builder), message_(builder.message()), root_(root), source_(source) {}

  void read() noexcept {
    learn();
    const Document& document = message_.document;
    for (std::size_t i = root_ + 1; i < document[root_].end; i = document[i].end)
      if (is_known(message_, i)) read_key(i);
  }

 private:
  void learn() noexcept {
    const Document& document = message_.document;
    Unit unit = unit_by_phases(document, root_, "Pi", {"P1i", "P2i", "P3i"});
    if (unit == Unit::none) unit = unit_by_phases(document, root_, "Po", {"P1o", "P2o", "P3o"});
    if (unit == Unit::none) return;
    source_.power_unit = unit;
    message_.explain(
        "unit", root_,
        ExplainLine().text("Pi and Po are in ").text(symbol(unit)).text(": the phases' sum tells"));
  }
  std::optional<Unit> unit_by_rule(std::size_t node) const noexcept {
    if (source_.power_unit != Unit::none) return source_.power_unit;
    const auto found = measured(message_[node]);
    return found ? unit_by_form(message_[node].text, found->value) : std::nullopt;
  }
  void read_key(std::size_t node) noexcept {
    const std::string_view key = message_[node].key;
    if (const KeyRule* rule = find_rule(message_, key)) {
      if (rule->obis == Obis{}) return message_.document.mark_used(node);
      builder_.value(node, rule->obis, rule->unit, rule->scale);
    } else if (const auto obis = obis_of_key(key)) {
      builder_.value(node, *obis, unit_of_code(*obis));
    } else {
      const KeyRow& row = *find_row(key);
      builder_.value(node, row.obis, row.unit == by_rule ? unit_by_rule(node) : row.unit);
    }
  }

  SetBuilder& builder_;
  Message& message_;
  std::size_t root_;
  Source& source_;
};

/// The object that holds the sensors: the message, or what the answer to "Status 10" wraps.
std::size_t sensors(const Document& document) noexcept {
  return document.child(0, "StatusSNS");
}

/// {"meter":{"ts":…,"1.8.0":…}}, as Swiss grid operators have it: its codes are in base units, and
/// no script of Tasmota's is like that.
bool is_rl_dsp(const Document& document, std::size_t object) noexcept {
  return document[object].key == "meter" && document.child(object, "ts") != 0;
}

/// The JSON of telegrams, with whatever names the quantities were given, and that of the bridge
/// smartmeter-ha: smartmeterd publishes both, and would read its own meters back.
bool is_republished(const Document& document) noexcept {
  const std::size_t profile = document.child(0, "profile");
  if (profile != 0 && document[profile].text == telegram_profile) return true;
  const std::size_t time = document.child(0, "timestamp");
  if (time == 0 || document[time].kind != Node::Kind::text) return false;
  constexpr std::string_view keys[] = {"energy_in", "energy_out", "power_in", "power_out"};
  return std::ranges::any_of(keys, [&](auto key) { return document.child(0, key) != 0; });
}

}  // namespace

void find_gplug(const Message& message, Roots& roots) noexcept {
  const Document& document = message.document;
  if (is_republished(document)) return;
  const auto look_into = [&](std::size_t object) {
    if (document[object].kind != Node::Kind::object || is_rl_dsp(document, object)) return;
    bool known = child_ignoring_case(document, object, meter_number_key) != 0;
    for (std::size_t i = object + 1; i < document[object].end && !known; i = document[i].end)
      known = is_known(message, i);
    if (known) (void)roots.push_back(static_cast<std::uint16_t>(object));
  };
  const std::size_t top = sensors(document);
  look_into(top);
  for (std::size_t i = top + 1; i < document[top].end; i = document[i].end) look_into(i);
}

void read_gplug(SetBuilder& builder, std::size_t root, std::size_t meters) noexcept {
  Message& message = builder.message();
  Document& document = message.document;
  const std::string_view device = device_of(message.topic);
  const std::string_view object = document[root].key;
  Source& source = message.sources.of(Format::gplug, device, object);
  ScriptObject(builder, root, source).read();
  const std::string_view number =
      builder.identity(child_ignoring_case(document, root, meter_number_key), meter_serial_code);
  char suffix[text_size_max];
  std::size_t size = 0;
  if (meters > 1 && object.size() < sizeof suffix) {
    suffix[size++] = '_';
    size += object.copy(suffix + size, object.size());
  }
  settle_identity(builder.set(), source, number, device, {suffix, size});
  if (const std::size_t time = document.child(sensors(document), "Time"); time != 0) {
    document.mark_used(time);
    builder.set().time = time_of(document[time]);
  }
}

}  // namespace meter::json
