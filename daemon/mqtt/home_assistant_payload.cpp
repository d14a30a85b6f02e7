// SPDX-License-Identifier: Apache-2.0
// Discovery payloads (home-assistant.io/integrations/mqtt, abbreviated keys): what is what in Home
// Assistant's terms.
#include "daemon/mqtt/home_assistant_payload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "daemon/version.hpp"
#include "meter/quantity.hpp"
#include "meter/telegram_json.hpp"
#include "meter/unit.hpp"

namespace smartmeterd::mqtt::home_assistant {

namespace {

using meter::JsonWriter;
using meter::Quantity;
using meter::Unit;

constexpr std::string_view energy = "energy", measurement = "measurement",
                           total_increasing = "total_increasing";

/// What a value in a unit is that only the user has a name for.
struct OfUnit {
  Unit unit;
  std::string_view device_class;
  std::string_view state_class;
};
constexpr OfUnit of_units[] = {
    {Unit::kilowatt_hour, energy, "total"},
    {Unit::watt_hour, energy, "total"},
    {Unit::megajoule, energy, "total"},
    {Unit::gigajoule, energy, "total"},
    {Unit::watt, "power", measurement},
    {Unit::kilowatt, "power", measurement},
    {Unit::volt, "voltage", measurement},
    {Unit::ampere, "current", measurement},
    {Unit::milliampere, "current", measurement},
    {Unit::hertz, "frequency", measurement},
    {Unit::degree_celsius, "temperature", measurement},
    {Unit::cubic_metre, "", "total"},
    {Unit::litre, "", "total"},
};

/// Classes that Home Assistant 2024.12, the first with device discovery, does not know: it would
/// refuse the whole sensor. Statistics need none.
bool is_too_new(std::string_view device_class) {
  return device_class == "reactive_energy";
}

/// The class of a volume is what flows.
std::string_view volume_class(std::string_view medium) {
  if (medium == "gas") return "gas";
  if (medium == "water" || medium == "warm-water") return "water";
  return "volume";
}

std::string_view spelled(Unit unit) {
  if (unit == Unit::litre) return "L";
  return meter::symbol(unit);
}

void classify(const LatestValue& value, std::string_view medium, Component& out) {
  const Quantity* quantity = meter::find_quantity(value.name);
  if (value.is_text) {
    if (quantity != nullptr) out.device_class = quantity->device_class;
    return;
  }
  out.unit = spelled(value.unit);
  if (quantity != nullptr) {
    out.device_class = is_too_new(quantity->device_class) ? "" : quantity->device_class;
    out.state_class = quantity->state_class;
  } else if (const auto* row = std::ranges::find(of_units, value.unit, &OfUnit::unit);
             row != std::end(of_units)) {
    out.device_class = row->device_class;
    out.state_class = row->state_class;
  }
  const bool is_volume = value.unit == Unit::cubic_metre || value.unit == Unit::litre;
  if (is_volume && out.device_class.empty() && !out.state_class.empty())
    out.device_class = volume_class(medium);
}

/// About the meter or its grid rather than what is metered.
bool is_diagnostic(std::string_view name) {
  constexpr std::string_view stems[] = {"link_", "power_failures", "voltage_sag", "voltage_swell",
                                        "text_"};
  return std::ranges::any_of(stems, [&](std::string_view stem) { return name.starts_with(stem); });
}

/// A key may be missing: its list comes once an hour, say, and the service has just started.
/// Numbers then keep their last value (Home Assistant ignores an empty one), anything else is
/// unknown.
std::string value_template(const LatestValue& value, const Component& component) {
  // A name of the user's own may be a method of a dictionary.
  const bool is_builtin = meter::find_quantity(value.name) != nullptr;
  const std::string path = is_builtin ? "value_json.readings." + value.name
                                      : "value_json.readings['" + value.name + "']";
  // The meter may not say its offset: Home Assistant's zone is then as good as any.
  if (component.device_class == "timestamp")
    return fmt::format("{{{{ {0} | as_datetime | as_local if {0} is defined else None }}}}", path);
  if (value.is_text)  // of at most 255 characters
    return fmt::format("{{{{ ({0} | string)[:255] if {0} is defined else None }}}}", path);
  const bool is_numeric = !component.unit.empty() || !component.state_class.empty();
  return fmt::format("{{{{ {} | default({}) }}}}", path, is_numeric ? "''" : "None");
}

template <class State>
std::vector<std::string_view> names_up_to(State last) {
  std::vector<std::string_view> names;
  for (unsigned i = 0; i <= static_cast<unsigned>(last); ++i)
    names.push_back(name(static_cast<State>(i)));
  return names;
}

void write_text(JsonWriter& json, std::string_view key, std::string_view value) {
  if (!value.empty()) json.key(key).text(value);
}

void write_common(const Device& device, JsonWriter& json) {
  json.key("dev").begin_object().key("ids").begin_array().text(device.id).end_array();
  write_text(json, "name", device.name);
  write_text(json, "mf", device.manufacturer);
  write_text(json, "mdl", device.model);
  write_text(json, "sn", device.serial_number);
  write_text(json, "sw", device.software);
  write_text(json, "via_device", device.via_id);
  json.end_object();
  json.key("o").begin_object().key("name").text("smartmeterd").key("sw").text(version).end_object();
  json.key("avty").begin_array();
  for (const std::string& topic : device.availability_topics)
    json.begin_object().key("t").text(topic).end_object();
  json.end_array().key("avty_mode").text("all");
  if (device.qos != 0) json.key("qos").number(std::int64_t{device.qos});
}

void write_members(const Device& device, const Component& component, JsonWriter& json) {
  json.key("uniq_id").text(component.unique_id).key("name").text(component.name);
  json.key("default_entity_id")
      .text(fmt::format("sensor.{}_{}", entity_slug(device.name), entity_slug(component.key)));
  write_text(json, "stat_t", component.state_topic);
  json.key("val_tpl").text(component.value_template);
  write_text(json, "dev_cla", component.device_class);
  write_text(json, "stat_cla", component.state_class);
  write_text(json, "unit_of_meas", component.unit);
  if (component.decimals) json.key("sug_dsp_prc").number(std::int64_t{*component.decimals});
  if (!component.options.empty()) {
    json.key("ops").begin_array();
    for (const std::string_view option : component.options) json.text(option);
    json.end_array();
  }
  if (component.expire_after_s != 0)
    json.key("exp_aft").number(std::int64_t{component.expire_after_s});
  if (component.is_diagnostic) json.key("ent_cat").text("diagnostic");
}

/// Length of the JSON value at the front; 0 where it has no end.
std::size_t value_size(std::string_view text) {
  int depth = 0;
  bool is_quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (is_quoted) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        is_quoted = false;
    } else if (c == '"') {
      is_quoted = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (depth == 0 && (c == ',' || c == '}')) {
      return i;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return 0;
}

}  // namespace

std::string_view medium_name(std::string_view medium) noexcept {
  constexpr std::pair<std::string_view, std::string_view> names[] = {
      {"electricity", "Electricity meter"},
      {"gas", "Gas meter"},
      {"heat", "Heat meter"},
      {"cooling", "Cooling meter"},
      {"heat-cooling", "Heat meter"},
      {"water", "Water meter"},
      {"warm-water", "Hot water meter"},
      {"waste-water", "Waste water meter"},
      {"oil", "Oil meter"},
      {"steam", "Steam meter"},
      {"heat-cost", "Heat cost allocator"},
      {"compressed-air", "Compressed air meter"},
  };
  const auto* found = std::ranges::find(names, medium, [](const auto& row) { return row.first; });
  return found == std::end(names) ? "Meter" : found->second;
}

std::string readable(std::string_view quantity_name) {
  constexpr std::pair<std::string_view, std::string_view> words[] = {
      {"avg", "average"}, {"max", "maximum"}, {"abs", "absolute"}, {"ui", "U–I"},    {"u1", "U1"},
      {"u2", "U2"},       {"u3", "U3"},       {"lqi", "LQI"},      {"rssi", "RSSI"},
  };
  std::string out;
  while (!quantity_name.empty()) {
    const std::size_t size = std::min(quantity_name.find('_'), quantity_name.size());
    const std::string_view word = quantity_name.substr(0, size);
    quantity_name.remove_prefix(std::min(size + 1, quantity_name.size()));
    if (word.empty()) continue;
    if (!out.empty()) out += ' ';
    const bool is_numbered = word.size() == 2 && word[1] >= '0' && word[1] <= '9';
    const auto* known = std::ranges::find(words, word, [](const auto& row) { return row.first; });
    if (is_numbered && word[0] == 'l')
      out.append("L").append(word.substr(1));
    else if (is_numbered && word[0] == 't')
      out.append("tariff ").append(word.substr(1));
    else if (is_numbered && word[0] == 'q')
      out.append("quadrant ").append(word.substr(1));
    else
      out.append(known == std::end(words) ? word : known->second);
  }
  if (!out.empty() && out[0] >= 'a' && out[0] <= 'z') out[0] = static_cast<char>(out[0] - 32);
  return out;
}

std::string entity_slug(std::string_view text) {
  std::string out;
  for (const char c : meter::slug(text)) {
    if (c != '-')
      out += c;
    else if (!out.empty() && out.back() != '_')
      out += '_';
  }
  while (out.ends_with('_')) out.pop_back();
  return out;
}

Component reading_component(const LatestValue& value, std::string_view medium, int decimals) {
  Component out;
  out.key = value.name;
  out.name = readable(value.name);
  classify(value, medium, out);
  out.value_template = value_template(value, out);
  if (!out.unit.empty() || !out.state_class.empty()) out.decimals = decimals;
  out.is_diagnostic = is_diagnostic(value.name);
  return out;
}

// No quantity's name has a '-' in it, so these keys are never taken.

Component last_reading_component() {
  Component out;
  out.key = "last-reading";
  out.name = "Last reading";
  // To the minute: a state that changes with every telegram would fill Home Assistant's database.
  out.value_template = "{{ value_json.received[:16] ~ ':00Z' }}";
  out.device_class = "timestamp";
  out.is_diagnostic = true;
  return out;
}

Component key_state_component(std::string info_topic) {
  Component out;
  out.key = "key-state";
  out.name = "Key";
  out.state_topic = std::move(info_topic);
  out.value_template = "{{ value_json.key_state | default(None) }}";
  out.device_class = "enum";
  out.options = names_up_to(last_key_state);
  out.is_diagnostic = true;
  return out;
}

Component dropped_component() {
  Component out;
  out.key = "dropped";
  out.name = "Messages dropped";
  out.value_template =
      "{{ ((value_json.queues | default({})).mqtt | default({})).dropped | default('') }}";
  out.state_class = total_increasing;
  out.decimals = 0;
  out.is_diagnostic = true;
  return out;
}

std::vector<Component> adapter_components(std::string_view adapter_name) {
  // Missing in the health of a service that does not have the adapter (yet).
  const std::string path = fmt::format("(value_json.adapters['{}'] | default({{}}))", adapter_name);
  const auto component = [&](std::string_view key, std::string name, std::string expression) {
    Component out;
    out.key = fmt::format("{}_{}", adapter_name, key);
    out.name = std::move(name);
    out.value_template = fmt::format("{{{{ {} }}}}", expression);
    out.is_diagnostic = true;
    return out;
  };
  std::vector<Component> out;
  out.push_back(component("state", fmt::format("{} state", adapter_name),
                          path + ".state | default('waiting')"));
  out.back().device_class = "enum";
  out.back().options = names_up_to(last_adapter_state);
  out.push_back(component("problem", fmt::format("{} problem", adapter_name),
                          path + ".problem | default('none')"));
  out.back().device_class = "enum";
  out.back().options = names_up_to(last_problem);
  out.push_back(component("errors", fmt::format("{} errors", adapter_name),
                          "(" + path + ".errors | default({})).values() | sum"));
  out.back().state_class = total_increasing;
  out.back().decimals = 0;
  return out;
}

void write_device(const Device& device, const std::vector<Component>& components,
                  const std::vector<Member>& others, std::string& out) {
  JsonWriter json(out);
  json.begin_object();
  write_common(device, json);
  json.key("stat_t").text(device.state_topic);
  json.key("cmps").begin_object();
  for (const Component& component : components) {
    json.key(component.key).begin_object().key("p").text("sensor");
    write_members(device, component, json);
    json.end_object();
  }
  json.end_object().end_object();
  if (others.empty()) return;
  std::string text;
  for (const auto& [key, value] : others) {
    const bool is_first = text.empty() && components.empty();
    text.append(is_first ? "\"" : ",\"").append(key).append("\":").append(value);
  }
  out.insert(out.size() - 2, text);  // before the two closing brackets
}

void write_entity(const Device& device, const Component& component, std::string& out) {
  JsonWriter json(out);
  json.begin_object();
  write_common(device, json);
  if (component.state_topic.empty()) json.key("stat_t").text(device.state_topic);
  write_members(device, component, json);
  json.end_object();
}

std::vector<Member> components_of(std::string_view payload) {
  constexpr std::string_view start = R"("cmps":{)";
  std::vector<Member> members;
  const std::size_t at = payload.find(start);
  if (at == payload.npos) return {};
  payload.remove_prefix(at + start.size());
  while (payload.starts_with('"')) {
    const std::size_t end = payload.find('"', 1);
    if (end == payload.npos || payload.substr(end + 1, 1) != ":") return {};
    std::string key(payload.substr(1, end - 1));
    payload.remove_prefix(end + 2);
    const std::size_t size = value_size(payload);
    if (size == 0 || !payload.starts_with(R"({"p":"sensor")")) return {};
    members.emplace_back(std::move(key), payload.substr(0, size));
    payload.remove_prefix(size);
    if (payload.starts_with(',')) payload.remove_prefix(1);
  }
  return members;
}

std::string unique_id_of(std::string_view json) {
  constexpr std::string_view start = R"("uniq_id":")";
  const std::size_t at = json.find(start);
  if (at == json.npos) return {};
  json.remove_prefix(at + start.size());
  return std::string(json.substr(0, json.find('"')));
}

}  // namespace smartmeterd::mqtt::home_assistant
