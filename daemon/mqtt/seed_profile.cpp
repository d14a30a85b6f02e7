// SPDX-License-Identifier: Apache-2.0
// SeedProfile: the topics of the Kaifa bridge smartmeter-ha, for who already uses them.
#include "daemon/mqtt/seed_profile.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "daemon/log.hpp"
#include "daemon/mqtt/client.hpp"
#include "daemon/mqtt/topics.hpp"

namespace smartmeterd::mqtt {

namespace {

using meter::Unit;
using namespace meter::literals;

struct Key {
  std::string_view name;
  meter::Obis code;
  Unit unit;
};
/// In the bridge's order (smartmeter-ha, kaifa.py), with its units.
constexpr auto keys = std::to_array<Key>({
    {"energy_in", "1-0:1.8.0"_obis, Unit::kilowatt_hour},
    {"energy_out", "1-0:2.8.0"_obis, Unit::kilowatt_hour},
    {"power_in", "1-0:1.7.0"_obis, Unit::watt},
    {"power_out", "1-0:2.7.0"_obis, Unit::watt},
    {"reactive_energy_in", "1-0:3.8.0"_obis, Unit::kilovar_hour},
    {"reactive_energy_out", "1-0:4.8.0"_obis, Unit::kilovar_hour},
    {"voltage_l1", "1-0:32.7.0"_obis, Unit::volt},
    {"voltage_l2", "1-0:52.7.0"_obis, Unit::volt},
    {"voltage_l3", "1-0:72.7.0"_obis, Unit::volt},
    {"current_l1", "1-0:31.7.0"_obis, Unit::ampere},
    {"current_l2", "1-0:51.7.0"_obis, Unit::ampere},
    {"current_l3", "1-0:71.7.0"_obis, Unit::ampere},
});
using Values = std::array<std::optional<meter::Decimal>, keys.size()>;

/// What is known of the meter for each key, over all its lists.
Values values_of(const Meter& meter, const meter::QuantityMap& quantities) {
  Values values;
  for (const LatestValue& value : meter.values) {
    if (value.is_text) continue;
    const meter::Obis code = quantities.code_of(value.name);
    for (std::size_t i = 0; i < keys.size(); ++i)
      if (!values[i] && is_same_quantity(keys[i].code, code))
        values[i] = meter::convert(value.value, value.unit, keys[i].unit);
  }
  return values;
}

}  // namespace

SeedProfile::SeedProfile(const ProfileContext& context)
    : context_(context), prefix_(with_slash(context.broker.seed_prefix)) {}

std::string_view SeedProfile::key_of(const meter::Obis& code) noexcept {
  const auto* found = std::ranges::find_if(
      keys, [&](const Key& key) { return is_same_quantity(key.code, code); });
  return found == keys.end() ? std::string_view() : found->name;
}

void SeedProfile::telegram(const Telegram& telegram) {
  const Meter& meter = telegram.meter;
  if (meter.medium != "electricity" || !meter.parent_id.empty()) return;
  if (meter_ == nullptr) meter_ = &meter;
  if (meter_ != &meter) {
    if (!std::exchange(others_logged_, true))
      log::notice("mqtt: the topics {}… show meter {} only", prefix_, meter_->id);
    return;
  }
  char time[32];
  const std::string_view now = utc_seconds_text(meter.last_update_us, time);
  json_.clear();
  meter::JsonWriter json(json_);
  json.begin_object().key("timestamp").text(now);
  publish("timestamp", now);
  const Values values = values_of(meter, telegram.quantities);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (!values[i]) continue;
    char digits[meter::Decimal::text_size_max];
    publish(keys[i].name, values[i]->to_text(digits));
    json.key(keys[i].name).number(*values[i]);
  }
  json.end_object();
  publish("json", json_, json_type);
}

void SeedProfile::publish(std::string_view key, std::string_view value,
                          std::string_view content_type) {
  context_.client.publish({.topic = topic_.assign(prefix_).append(key),
                           .payload = value,
                           .qos = context_.broker.qos,
                           .content_type = content_type});
}

void SeedProfile::meter_removed(const Meter& meter) {
  if (meter_ == &meter) meter_ = nullptr;
}

}  // namespace smartmeterd::mqtt
