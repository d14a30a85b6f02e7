// SPDX-License-Identifier: Apache-2.0
// SeedProfile: the topics of the Kaifa bridge smartmeter-ha, for who already uses them.
#include "daemon/mqtt/seed_profile.hpp"

#include <utility>

#include "daemon/log.hpp"
#include "daemon/mqtt/client.hpp"
#include "daemon/mqtt/topics.hpp"
#include "meter/telegram_json.hpp"

namespace smartmeterd::mqtt {

namespace {

struct Key {
  std::string_view seed;
  std::string_view name;
};
/// In the bridge's order (smartmeter-ha, kaifa.py): kWh and kvarh, W, V, A.
constexpr Key keys[] = {
    {"energy_in", "energy_import"},
    {"energy_out", "energy_export"},
    {"power_in", "power_import"},
    {"power_out", "power_export"},
    {"reactive_energy_in", "reactive_energy_import"},
    {"reactive_energy_out", "reactive_energy_export"},
    {"voltage_l1", "voltage_l1"},
    {"voltage_l2", "voltage_l2"},
    {"voltage_l3", "voltage_l3"},
    {"current_l1", "current_l1"},
    {"current_l2", "current_l2"},
    {"current_l3", "current_l3"},
};

}  // namespace

SeedProfile::SeedProfile(const ProfileContext& context)
    : client_(context.client), prefix_(with_slash(context.broker.seed_prefix)) {}

void SeedProfile::telegram(const Telegram& telegram) {
  const Meter& meter = telegram.meter;
  if (meter.medium != "electricity" || !meter.parent_id.empty()) return;
  if (meter_ == nullptr) meter_ = &meter;
  if (meter_ != &meter) {
    if (!std::exchange(others_logged_, true))
      log::notice("mqtt: the topics {}… show meter {} only", prefix_, meter_->id);
    return;
  }
  // "2023-04-30T10:11:37Z": the arrival, to the second.
  char time[32];
  std::string_view now = meter::utc_text(meter.last_update_us, time);
  char text[32];
  const std::size_t seconds = now.copy(text, std::string_view("2023-04-30T10:11:37").size());
  text[seconds] = 'Z';
  now = {text, seconds + 1};

  json_.clear();
  meter::JsonWriter json(json_);
  json.begin_object().key("timestamp").text(now);
  publish("timestamp", now);
  for (const Key& key : keys) {
    const LatestValue* value = meter.find(key.name);
    if (value == nullptr || value->is_text) continue;
    char digits[meter::Decimal::text_size_max];
    publish(key.seed, value->value.to_text(digits));
    json.key(key.seed).number(value->value);
  }
  json.end_object();
  publish("json", json_);
}

void SeedProfile::publish(std::string_view key, std::string_view value) {
  topic_.assign(prefix_).append(key);
  client_.publish({.topic = topic_, .payload = value});
}

void SeedProfile::meter_removed(const Meter& meter) {
  if (meter_ == &meter) meter_ = nullptr;
}

}  // namespace smartmeterd::mqtt
