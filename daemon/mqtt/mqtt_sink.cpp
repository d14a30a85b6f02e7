// SPDX-License-Identifier: Apache-2.0
// MqttSink: readings to one broker.
#include "daemon/mqtt/mqtt_sink.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <vector>

#include "daemon/mqtt/client.hpp"
#include "daemon/mqtt/seed_profile.hpp"
#include "meter/telegram_json.hpp"

namespace smartmeterd::mqtt {

namespace {

using meter::JsonWriter;

constexpr std::chrono::seconds health_interval{60};

bool has_profile(const BrokerConfig& broker, std::string_view name) {
  return std::ranges::find(broker.profiles, name) != broker.profiles.end();
}

/// A missing value is a missing key.
void write_text(JsonWriter& json, std::string_view key, std::string_view value) {
  if (!value.empty()) json.key(key).text(value);
}

void write_count(JsonWriter& json, std::string_view key, std::uint64_t value) {
  json.key(key).number(static_cast<std::int64_t>(value));
}

void write_time(JsonWriter& json, std::string_view key, std::int64_t epoch_us) {
  char buffer[32];
  if (epoch_us != 0) json.key(key).text(meter::utc_text(epoch_us, buffer));
}

void write_adapter(JsonWriter& json, const Adapter& adapter) {
  json.key(adapter.name).begin_object();
  json.key("state").text(name(adapter.state));
  if (adapter.problem != Problem::none) json.key("problem").text(name(adapter.problem));
  write_text(json, "device", adapter.device);
  write_text(json, "line", adapter.line);
  write_text(json, "protocol", adapter.protocol);
  write_count(json, "bytes", adapter.bytes_received);
  write_count(json, "telegrams", adapter.telegrams_received);
  json.key("errors").begin_object();
  for (const auto& [reason, count] : adapter.errors) write_count(json, reason, count);
  json.end_object();
  write_time(json, "last_activity", adapter.last_activity_us);
  json.end_object();
}

class BrokerSink final : public MqttSink, private ClientListener {
 public:
  BrokerSink(io::Loop& loop, const BrokerConfig& broker, const std::string& instance,
             std::function<void(const Publisher&)> changed);

  const Publisher& publisher() const noexcept override { return client_.publisher(); }
  void shut_down() override;

  void adapter_added(const Adapter& adapter) override { adapters_.push_back(&adapter); }
  void adapter_removed(const Adapter& adapter) override { std::erase(adapters_, &adapter); }
  void meter_added(const Meter& meter) override {
    meters_.push_back(&meter);
    publish_identity(meter);
  }
  void meter_changed(const Meter& meter) override { publish_identity(meter); }
  void meter_removed(const Meter& meter) override;
  void telegram(const Telegram& telegram) override;

 private:
  void broker_online() override;
  void broker_tick() override;
  void client_changed() override { changed_(client_.publisher()); }

  const std::string& topic(std::string_view meter_slug, std::string_view last);
  void publish_state(const Telegram& telegram);
  void publish_values(const Telegram& telegram);
  void publish_identity(const Meter& meter);
  void publish_health();
  void merge(const Meter& meter);

  io::Loop& loop_;
  std::string prefix_;   ///< with a slash at its end
  std::string gateway_;  ///< "smartmeter/gateway/<instance>/"
  std::string instance_;
  bool smartmeterd_;  ///< the profile of that name: state, value, info, availability, health
  bool registers_;    ///< in the state
  bool values_;       ///< one topic per value
  std::function<void(const Publisher&)> changed_;
  std::vector<const Adapter*> adapters_;
  std::vector<const Meter*> meters_;
  io::TimePoint next_health_{};
  // Reused for each telegram, so that none allocates.
  std::string topic_;
  std::string payload_;
  meter::NamedReadings merged_;
  std::vector<meter::TelegramFacts::Age> ages_;
  Client client_;
  std::optional<SeedProfile> seed_;
};

std::string with_slash(std::string text) {
  if (!text.empty() && !text.ends_with('/')) text += '/';
  return text;
}

BrokerSink::BrokerSink(io::Loop& loop, const BrokerConfig& broker, const std::string& instance,
                       std::function<void(const Publisher&)> changed)
    : loop_(loop),
      prefix_(with_slash(broker.prefix)),
      gateway_(prefix_ + "gateway/" + meter::slug(instance) + '/'),
      instance_(instance),
      smartmeterd_(has_profile(broker, "smartmeterd")),
      registers_(broker.registers),
      values_(broker.values),
      changed_(std::move(changed)),
      client_(loop, broker,
              broker.client_id.empty() ? "smartmeterd-" + meter::slug(instance) : broker.client_id,
              gateway_ + "status", *this) {
  ages_.reserve(merged_.capacity);
  if (has_profile(broker, "seed")) seed_.emplace(client_, broker.seed_prefix);
  client_.start();
}

const std::string& BrokerSink::topic(std::string_view meter_slug, std::string_view last) {
  return topic_.assign(prefix_).append(meter_slug).append("/").append(last);
}

void BrokerSink::telegram(const Telegram& telegram) {
  if (smartmeterd_) {
    publish_state(telegram);
    if (values_) publish_values(telegram);
  }
  if (seed_) seed_->telegram(telegram.meter);
}

/// The meter's values over all its lists, and the age of those that the last telegram did not
/// bring.
void BrokerSink::merge(const Meter& meter) {
  merged_.clear();
  ages_.clear();
  for (const LatestValue& value : meter.values) {
    if (!merged_.push_back({.name = value.name,
                            .value = value.value,
                            .text = value.text,
                            .unit = value.unit,
                            .is_text = value.is_text,
                            .derived = value.derived}))
      return;
    if (value.arrived >= meter.last_update) continue;
    const auto age = std::chrono::floor<std::chrono::seconds>(meter.last_update - value.arrived);
    ages_.push_back({value.name, static_cast<std::uint64_t>(age.count())});
  }
}

void BrokerSink::publish_state(const Telegram& telegram) {
  merge(telegram.meter);
  meter::TelegramFacts facts;
  facts.meter_id = telegram.meter.id;
  facts.received_us = telegram.meter.last_update_us;
  facts.sequence = telegram.meter.sequence;
  facts.with_registers = registers_;
  facts.ages = ages_;
  payload_.clear();
  meter::write_telegram_json(telegram.readings, {merged_.data(), merged_.size()},
                             telegram.quantities, facts, payload_);
  client_.publish_retained(topic(telegram.meter.slug, "state"), payload_);
}

void BrokerSink::publish_values(const Telegram& telegram) {
  topic(telegram.meter.slug, "value/");
  const std::size_t stem = topic_.size();
  for (const meter::NamedReading& reading : telegram.named) {
    topic_.resize(stem);
    topic_.append(reading.name);
    char digits[meter::Decimal::text_size_max], time[meter::DateTime::text_size_max];
    const bool is_number = !reading.is_text && !reading.is_time;
    client_.publish_retained(topic_,
                             is_number ? reading.value.to_text(digits) : text_of(reading, time));
  }
}

void BrokerSink::publish_identity(const Meter& meter) {
  if (!smartmeterd_) return;
  payload_.clear();
  JsonWriter json(payload_);
  json.begin_object();
  write_text(json, "id", meter.id);
  write_text(json, "name", meter.display_name);
  write_text(json, "manufacturer", meter.manufacturer);
  write_text(json, "model", meter.model);
  write_text(json, "medium", meter.medium);
  write_text(json, "parent", meter.parent_id);
  if (meter.adapter != nullptr) write_text(json, "adapter", meter.adapter->name);
  write_text(json, "link", meter::name(meter.link));
  if (meter.adapter != nullptr) write_text(json, "line", meter.adapter->line);
  write_text(json, "profile", meter.profile);
  if (meter.interval_s > 0)
    json.key("interval").number(meter::Decimal{std::llround(meter.interval_s * 10), -1});
  json.key("encrypted").boolean(meter.encrypted);
  json.key("key_state").text(name(meter.key_state));
  json.end_object();
  client_.publish_retained_if_changed(topic(meter.slug, "info"), payload_);
  client_.publish_retained_if_changed(topic(meter.slug, "availability"),
                                      meter.fresh ? "online" : "offline");
}

/// Nobody will say any more whether the data is fresh.
void BrokerSink::shut_down() {
  if (smartmeterd_)
    for (const Meter* meter : meters_)
      client_.publish_retained_if_changed(topic(meter->slug, "availability"), "offline");
  client_.shut_down();
}

void BrokerSink::meter_removed(const Meter& meter) {
  std::erase(meters_, &meter);
  if (seed_) seed_->meter_removed(meter);
  client_.remove_below(topic(meter.slug, ""));
}

void BrokerSink::broker_online() {
  publish_health();
}

void BrokerSink::broker_tick() {
  if (loop_.now() >= next_health_) publish_health();
}

void BrokerSink::publish_health() {
  if (!smartmeterd_) return;
  next_health_ = loop_.now() + health_interval;
  payload_.clear();
  JsonWriter json(payload_);
  json.begin_object();
  write_time(json, "time", loop_.realtime_us());
  write_text(json, "instance", instance_);
  json.key("adapters").begin_object();
  for (const Adapter* adapter : adapters_) write_adapter(json, *adapter);
  json.end_object();
  json.key("queues").begin_object();
  json.key("mqtt").begin_object();
  write_count(json, "queued", client_.publisher().queued);
  write_count(json, "dropped", client_.publisher().dropped);
  json.end_object().end_object().end_object();
  client_.publish_retained(topic_.assign(gateway_).append("health"), payload_);
}

}  // namespace

std::unique_ptr<MqttSink> make_mqtt_sink(io::Loop& loop, const BrokerConfig& broker,
                                         const std::string& instance,
                                         std::function<void(const Publisher&)> changed) {
  return std::make_unique<BrokerSink>(loop, broker, instance, std::move(changed));
}

}  // namespace smartmeterd::mqtt
