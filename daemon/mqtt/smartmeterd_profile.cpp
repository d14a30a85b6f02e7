// SPDX-License-Identifier: Apache-2.0
// SmartmeterdProfile: the topics of this service's own.
#include "daemon/mqtt/smartmeterd_profile.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "daemon/mqtt/client.hpp"
#include "daemon/mqtt/topics.hpp"

namespace smartmeterd::mqtt {

namespace {

using meter::JsonWriter;

constexpr std::chrono::seconds health_interval{60};

/// When a broker may forget a state: when nobody would call it fresh any more. 0: never, or nobody
/// knows when the next one will come.
std::uint32_t expiry_s(const Meter& meter, const BrokerConfig& broker) {
  const auto stale_after = meter.stale_after();
  if (!broker.expiry || !stale_after) return 0;
  const auto limit =
      std::max<io::Clock::duration>(*stale_after, intervals_until_stale * broker.throttle);
  return static_cast<std::uint32_t>(std::chrono::ceil<std::chrono::seconds>(limit).count());
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

}  // namespace

SmartmeterdProfile::SmartmeterdProfile(const ProfileContext& context)
    : context_(context),
      prefix_(with_slash(context.broker.prefix)),
      gateway_(gateway_prefix(context.broker, context.instance)) {}

const std::string& SmartmeterdProfile::topic(const Meter& meter, std::string_view last) {
  return topic_.assign(prefix_).append(meter.slug).append("/").append(last);
}

void SmartmeterdProfile::meter_added(const Meter& meter) {
  meters_.push_back(&meter);
  publish_identity(meter);
}

void SmartmeterdProfile::meter_removed(const Meter& meter) {
  std::erase(meters_, &meter);
  values_.erase(&meter);
  context_.client.remove_below(topic(meter, ""));
}

void SmartmeterdProfile::telegram(const Telegram& telegram) {
  publish_state(telegram);
  if (context_.broker.values) publish_values(telegram);
}

void SmartmeterdProfile::publish_state(const Telegram& telegram) {
  context_.client.publish({.topic = topic(telegram.meter, meter_topic::state),
                           .payload = state_.write(telegram, context_.broker.registers),
                           .retain = true,
                           .qos = context_.broker.qos,
                           .expiry_s = expiry_s(telegram.meter, context_.broker),
                           .content_type = json_type});
}

void SmartmeterdProfile::publish_values(const Telegram& telegram) {
  topic(telegram.meter, meter_topic::values);
  const std::size_t stem = topic_.size();
  auto& published = values_[&telegram.meter];
  std::erase_if(published, [&](const std::string& name) {
    const Meter& meter = telegram.meter;
    if (meter.is_stateless || meter.find(name) || telegram.quantities.gives(name)) return false;
    topic_.resize(stem);
    context_.client.remove(topic_.append(name));
    return true;
  });
  for (const meter::NamedReading& reading : telegram.named) {
    topic_.resize(stem);
    topic_.append(reading.name);
    if (!published.contains(reading.name)) published.emplace(reading.name);
    char digits[meter::Decimal::text_size_max], time[meter::DateTime::text_size_max];
    const bool is_number = !reading.is_text && !reading.is_time;
    context_.client.publish(
        {.topic = topic_,
         .payload = is_number ? reading.value.to_text(digits) : text_of(reading, time),
         .retain = true,
         .qos = context_.broker.qos});
  }
}

/// Of a stateless meter others know as much: what one of them says would not be so for all.
void SmartmeterdProfile::publish_identity(const Meter& meter) {
  if (meter.is_stateless) return;
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
  if (meter.adapter != nullptr && !meter.adapter->translated_from.empty())
    write_text(json, "translated_by", context_.instance);
  json.end_object();
  context_.client.publish_if_changed({.topic = topic(meter, meter_topic::info),
                                      .payload = payload_,
                                      .retain = true,
                                      .qos = 1,
                                      .content_type = json_type});
  publish_availability(meter, meter.fresh);
}

void SmartmeterdProfile::publish_availability(const Meter& meter, bool online) {
  context_.client.publish_if_changed({.topic = topic(meter, meter_topic::availability),
                                      .payload = online ? "online" : "offline",
                                      .retain = true,
                                      .qos = 1});
}

void SmartmeterdProfile::shut_down() {
  for (const Meter* meter : meters_)
    if (!meter->is_stateless) publish_availability(*meter, false);
}

void SmartmeterdProfile::tick() {
  if (context_.loop.now() >= next_health_) publish_health();
}

void SmartmeterdProfile::publish_health() {
  next_health_ = context_.loop.now() + health_interval;
  payload_.clear();
  JsonWriter json(payload_);
  json.begin_object();
  write_time(json, "time", context_.loop.realtime_us());
  write_text(json, "instance", context_.instance);
  json.key("adapters").begin_object();
  for (const Adapter* adapter : adapters_) write_adapter(json, *adapter);
  json.end_object();
  json.key("queues").begin_object();
  json.key("mqtt").begin_object();
  write_count(json, "queued", context_.client.publisher().queued);
  write_count(json, "dropped", context_.client.publisher().dropped);
  if (context_.backlog != nullptr) {
    write_count(json, "stored", context_.backlog->stored());
    write_count(json, "stored_dropped", context_.backlog->dropped());
  }
  json.end_object().end_object().end_object();
  context_.client.publish({.topic = topic_.assign(gateway_).append(gateway_topic::health),
                           .payload = payload_,
                           .retain = true,
                           .content_type = json_type});
}

}  // namespace smartmeterd::mqtt
