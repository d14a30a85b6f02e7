// SPDX-License-Identifier: Apache-2.0
// Which discovery messages are due, and which ones of earlier are over.
#include "daemon/mqtt/home_assistant.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <utility>

#include "daemon/log.hpp"
#include "daemon/mqtt/client.hpp"
#include "daemon/mqtt/seed_profile.hpp"
#include "daemon/mqtt/topics.hpp"
#include "daemon/version.hpp"
#include "meter/base/bytes.hpp"
#include "meter/quantity.hpp"

namespace smartmeterd::mqtt {

namespace ha = home_assistant;

namespace {

using namespace std::chrono_literals;
using std::chrono::seconds;

/// Home Assistant's birth message: this topic whatever its discovery prefix is.
constexpr std::string_view birth_topic = "homeassistant/status";
/// A fleet of gateways is not to answer a birth in one wave.
constexpr int birth_delay_min_ms = 500, birth_delay_max_ms = 3000;
/// Brokers send what is retained right after the subscription.
constexpr auto look_back_time = 2s;
/// A broker that throws out who subscribes to what it may not see is not asked for ever.
constexpr int look_backs_max = 3;
/// Adapters come and go together, as do the lists of a meter that has just been found.
constexpr auto settle_time = 2s;
/// No list of a meter comes more rarely than once a day.
constexpr auto earlier_kept = 25h;
/// More discovery messages than this are not ours.
constexpr std::size_t found_max = 10'000;
/// As many bytes of them are kept until they are compared.
constexpr std::size_t found_bytes_max = 32 * 1024 * 1024;
/// A home has fewer, and the outbox has to hold the discovery of all of them.
constexpr std::size_t meters_max = 500;
/// Readings that are this many intervals old are shown no more, even where nobody can say so.
constexpr int intervals_until_expired = 5;
constexpr unsigned expire_after_min_s = 60;

constexpr std::string_view id_stem = "smartmeterd_";
/// Of the service's own device. No slug has a '_' in it, and no meter's slug is "gateway".
constexpr std::string_view service_stem = "smartmeterd_gateway_";

}  // namespace

HomeAssistantProfile::HomeAssistantProfile(const ProfileContext& context)
    : context_(context),
      form_(context.broker.has_profile("smartmeterd") ? context.broker.discovery : Discovery::off),
      prefix_(with_slash(context.broker.prefix)),
      gateway_(gateway_prefix(context.broker, context.instance)),
      discovery_(with_slash(context.broker.discovery_prefix)),
      random_(std::random_device{}()),
      say_again_([this](int result) {
        if (result == -ECANCELED) return;
        // First who they are, then what they say.
        context_.client.say_again_below(discovery_);
        context_.client.say_again_below(prefix_);
      }) {
  // Whatever the discovery prefix was, of one level.
  for (const std::string_view form : {"device", "sensor"}) {
    look_back_filters_.push_back(fmt::format("+/{}/+/config", form));
    if (context.broker.discovery_prefix.find('/') != std::string::npos)
      look_back_filters_.push_back(fmt::format("{}{}/+/config", discovery_, form));
  }
}

std::string HomeAssistantProfile::device_id(const Entry& entry) const {
  if (entry.meter == nullptr)
    return std::string(service_stem).append(meter::slug(context_.instance));
  return std::string(id_stem).append(entry.meter->slug);
}

std::string HomeAssistantProfile::topic_of(std::string_view device_id) const {
  return fmt::format("{}device/{}/config", discovery_, device_id);
}

std::string HomeAssistantProfile::topic_of(std::string_view device_id,
                                           std::string_view component) const {
  return fmt::format("{}sensor/{}_{}/config", discovery_, device_id, component);
}

void HomeAssistantProfile::adapter_added(const Adapter& adapter) {
  if (!adapter.translated_from.empty()) return;  // a fleet has more of them than a device can show
  adapters_.push_back(&adapter);
  service_.due = next_due_ = context_.loop.now() + settle_time;
}

void HomeAssistantProfile::adapter_removed(const Adapter& adapter) {
  if (std::erase(adapters_, &adapter) != 0)
    service_.due = next_due_ = context_.loop.now() + settle_time;
}

void HomeAssistantProfile::meter_added(const Meter& meter) {
  // Of those in a shared subscription no member can say whether they are available.
  if (meter.is_stateless || form_ == Discovery::off) return;
  if (meters_.size() < meters_max)
    meters_[&meter].meter = &meter;
  else if (!std::exchange(has_too_many_, true))
    log::notice("mqtt {}: discovery shows the first {} meters only", context_.broker.name,
                meters_max);
}

void HomeAssistantProfile::meter_changed(const Meter& meter) {
  const auto found = meters_.find(&meter);
  if (found == meters_.end() || !found->second.has_been_heard) return;
  found->second.due = std::min(found->second.due, context_.loop.now());
  next_due_ = std::min(next_due_, found->second.due);
}

void HomeAssistantProfile::meter_removed(const Meter& meter) {
  const auto found = meters_.find(&meter);
  if (found == meters_.end()) return;
  remove(found->second);
  meters_.erase(found);
}

/// Everything that the broker has of it.
void HomeAssistantProfile::remove(Entry& entry) {
  const std::string id = device_id(entry);
  if (bridge_device_ == id) bridge_device_.clear();
  if (entry.shown.empty()) return;
  if (form_ == Discovery::device)
    context_.client.remove(topic_of(id));
  else
    for (const auto& [key, shown] : entry.shown) context_.client.remove(topic_of(id, key));
}

/// The quantities that the meter has; true where they changed, or come with more decimals.
bool HomeAssistantProfile::learn_quantities(Entry& entry, const Telegram& telegram) {
  const auto decimals = [](const LatestValue& value) { return std::max(0, -value.value.exponent); };
  const bool is_known =
      std::ranges::equal(entry.quantities, telegram.meter.values,
                         [&](const Quantity& known, const LatestValue& value) {
                           return known.name == value.name && known.decimals >= decimals(value);
                         });
  if (is_known) return false;
  std::vector<Quantity> quantities;
  for (const LatestValue& value : telegram.meter.values) {
    const auto known = std::ranges::find(entry.quantities, value.name, &Quantity::name);
    const int before = known == entry.quantities.end() ? 0 : known->decimals;
    quantities.push_back({value.name, std::max(before, decimals(value)),
                          SeedProfile::key_of(telegram.quantities.code_of(value.name))});
  }
  entry.quantities = std::move(quantities);
  return true;
}

void HomeAssistantProfile::telegram(const Telegram& telegram) {
  const auto found = meters_.find(&telegram.meter);
  if (found == meters_.end()) return;
  Entry& entry = found->second;
  bool is_due = learn_quantities(entry, telegram);
  if (!entry.has_been_heard) {
    entry.has_been_heard = true;
    entry.first_heard = context_.loop.now();
  }
  if (!is_looking_back_ && !entry.is_earlier_checked) {
    check_earlier(entry, telegram);
    is_due = true;
  }
  if (!is_due) return;
  entry.due = std::min(entry.due, context_.loop.now());
  next_due_ = std::min(next_due_, entry.due);
}

/// What no code is called any more will not come: it is over at once.
void HomeAssistantProfile::check_earlier(Entry& entry, const Telegram& telegram) {
  entry.is_earlier_checked = true;
  take_over(entry);
  for (auto& [key, shown] : entry.shown)
    if (shown.is_earlier && !telegram.quantities.gives(key)) shown.is_earlier = false;
}

void HomeAssistantProfile::forget_earlier(Entry& entry) {
  for (auto& [key, shown] : entry.shown) shown.is_earlier = false;
}

/// Changes with the interval, but not with its jitter.
unsigned HomeAssistantProfile::expire_after(const Entry& entry) const {
  const Meter& meter = *entry.meter;
  if (meter.interval_s <= 0) return 0;
  const seconds readout = meter.adapter != nullptr ? meter.adapter->readout_interval : 0s;
  const double interval_s = std::max({meter.interval_s, static_cast<double>(readout.count()),
                                      static_cast<double>(context_.broker.throttle.count())});
  const auto wanted = std::max(
      expire_after_min_s, static_cast<unsigned>(std::ceil(interval_s * intervals_until_expired)));
  const unsigned now = entry.expire_after_s;
  const bool is_near = wanted <= now + now / 2 && now <= wanted + wanted / 2;
  return is_near ? now : wanted;
}

ha::Device HomeAssistantProfile::describe(const Entry& entry) const {
  ha::Device device;
  device.id = device_id(entry);
  device.qos = context_.broker.qos;
  device.availability_topics.push_back(gateway_ + "status");
  if (entry.meter == nullptr) {
    device.name = fmt::format("smartmeterd {}", context_.instance);
    device.manufacturer = "smartmeterd";
    device.model = "Smart meter gateway";
    device.software = version;
    device.state_topic = gateway_ + "health";
    return device;
  }
  const Meter& meter = *entry.meter;
  device.via_id = device_id(service_);
  for (const auto& [other, other_entry] : meters_)
    if (!meter.parent_id.empty() && other->id == meter.parent_id)
      device.via_id = device_id(other_entry);
  device.name = meter.display_name.empty() ? ha::medium_name(meter.medium) : meter.display_name;
  device.manufacturer = meter.manufacturer;
  device.model = meter.model;
  device.serial_number = meter.id;
  device.state_topic = fmt::format("{}{}/state", prefix_, meter.slug);
  device.availability_topics.push_back(fmt::format("{}{}/availability", prefix_, meter.slug));
  return device;
}

std::vector<ha::Component> HomeAssistantProfile::components_of(const Entry& entry) const {
  const std::string id = device_id(entry);
  std::vector<ha::Component> components;
  if (entry.meter == nullptr) {
    components.push_back(ha::dropped_component());
    for (const Adapter* adapter : adapters_)
      std::ranges::move(ha::adapter_components(adapter->name), std::back_inserter(components));
  } else {
    const Meter& meter = *entry.meter;
    for (const Quantity& quantity : entry.quantities) {
      const LatestValue* value = meter.find(quantity.name);
      if (value == nullptr) continue;
      components.push_back(ha::reading_component(*value, meter.medium, quantity.decimals));
      if (id == bridge_device_ && !quantity.bridge_key.empty())
        components.back().unique_id = fmt::format("smart_meter_{}", quantity.bridge_key);
    }
    components.push_back(ha::last_reading_component());
    for (ha::Component& component : components) component.expire_after_s = entry.expire_after_s;
    components.push_back(ha::key_state_component(fmt::format("{}{}/info", prefix_, meter.slug)));
  }
  for (ha::Component& component : components)
    if (component.unique_id.empty()) component.unique_id = fmt::format("{}_{}", id, component.key);
  return components;
}

void HomeAssistantProfile::broker_online() {
  // The first time waits for a tick: who ends at once has no answer to read.
  if (is_looking_back_ && look_backs_ > 0) look_back();
}

void HomeAssistantProfile::look_back() {
  if (++look_backs_ > look_backs_max) {
    log::notice(
        "mqtt {}: the connection is lost whenever discovery of earlier is looked for; "
        "none is removed",
        context_.broker.name);
    end_look_back();
    return;
  }
  found_.clear();
  found_bytes_ = 0;
  look_back_end_ = context_.loop.now() + look_back_time;
  if (look_backs_ > 1) return;  // the client subscribes again by itself
  if (form_ != Discovery::off) context_.client.subscribe(std::string(birth_topic), 0);
  for (const std::string& filter : look_back_filters_) context_.client.subscribe(filter, 0);
}

void HomeAssistantProfile::end_look_back() {
  is_looking_back_ = false;
  for (const std::string& filter : look_back_filters_) context_.client.unsubscribe(filter);
  // The meter that has the bridge's ids keeps them, whichever is heard first this time.
  for (const Found& found : found_)
    if (context_.broker.unique_ids == UniqueIds::bridge &&
        found.payload.find(R"("uniq_id":"smart_meter_)") != std::string::npos)
      bridge_device_ = found.device;
  service_.due = next_due_ = std::min(service_.due, context_.loop.now());
}

void HomeAssistantProfile::message(const Message& message) {
  const std::string_view payload(reinterpret_cast<const char*>(message.payload.data()),
                                 message.payload.size());
  if (message.topic == birth_topic) {
    // A retained one is old; what is retained here has just been said.
    if (message.retained || payload != "online" || is_looking_back_ || say_again_.pending() ||
        form_ == Discovery::off)
      return;
    std::uniform_int_distribution<int> delay(birth_delay_min_ms, birth_delay_max_ms);
    context_.loop.timer(say_again_,
                        context_.loop.now() + std::chrono::milliseconds(delay(random_)));
  } else if (is_looking_back_ && message.retained && !payload.empty()) {
    found(message.topic, payload);
  }
}

/// Only what this instance said. Another one's entities have its own status for availability.
bool HomeAssistantProfile::is_own(std::string_view payload) const {
  const std::string status = fmt::format("gateway/{}/status\"}}", meter::slug(context_.instance));
  const std::size_t at = payload.find(status);
  return payload.find(R"("o":{"name":"smartmeterd",)") != payload.npos && at != payload.npos &&
         at > 0 && (payload[at - 1] == '/' || payload[at - 1] == '"');
}

/// A retained discovery message: "<prefix>/device/<id>/config" or "<prefix>/sensor/<id>/config".
void HomeAssistantProfile::found(std::string_view topic, std::string_view payload) {
  constexpr std::string_view end = "/config";
  const std::size_t id_at = topic.rfind(std::string("/").append(id_stem));
  if (id_at == topic.npos || !topic.ends_with(end) || found_.size() >= found_max ||
      found_bytes_ + payload.size() > found_bytes_max || !is_own(payload))
    return;
  std::string_view id = topic.substr(id_at + 1);
  id.remove_suffix(end.size());
  const std::string_view before = topic.substr(0, id_at);
  Found found{before == discovery_ + "device", std::string(id), {}, std::string(topic), {}};
  const bool is_below_another_prefix = !found.is_device_form && before != discovery_ + "sensor";
  if (form_ == Discovery::off || is_below_another_prefix) {
    context_.client.remove(topic);
    return;
  }
  if (!found.is_device_form) {
    const std::size_t stem = id.starts_with(service_stem) ? service_stem.size() : id_stem.size();
    const std::size_t slug_end = id.find('_', stem);
    if (slug_end == id.npos) return;
    found.device = id.substr(0, slug_end);
    found.component = id.substr(slug_end + 1);
  }
  found.payload = payload;
  found_bytes_ += payload.size();
  found_.push_back(std::move(found));
}

/// What the look back found of this device.
void HomeAssistantProfile::take_over(Entry& entry) {
  if (std::exchange(entry.is_taken_over, true)) return;
  const std::string id = device_id(entry);
  // Before its telegrams said who it is, in a run that ended before they did.
  const std::string unknown = entry.meter != nullptr && entry.meter->adapter != nullptr
                                  ? fmt::format("{}unknown-{}", id_stem, entry.meter->adapter->name)
                                  : id;
  std::erase_if(found_, [&](Found& found) {
    if (found.device == unknown && unknown != id) {
      context_.client.remove(found.topic);
      return true;
    }
    if (found.device != id) return false;
    const bool is_device_form = form_ == Discovery::device;
    // The service knows its adapters, and a meter its own affairs.
    const auto is_earlier = [&](std::string_view key) {
      return entry.meter != nullptr && key.find('-') == key.npos;
    };
    if (found.is_device_form != is_device_form) {
      entry.old_topics.push_back(found.topic);
    } else if (is_device_form) {
      for (auto& [key, json] : ha::components_of(found.payload))
        entry.shown[key] = {ha::unique_id_of(json), json, is_earlier(key)};
    } else {
      entry.shown[found.component] = {
          ha::unique_id_of(found.payload), {}, is_earlier(found.component)};
    }
    return true;
  });
}

void HomeAssistantProfile::tick() {
  if (look_backs_ == 0) look_back();
  if (is_looking_back_ && context_.loop.now() >= look_back_end_) end_look_back();
  if (!is_looking_back_ && !is_over_ && form_ != Discovery::off && context_.loop.now() >= next_due_)
    publish_due();
}

/// Home Assistant wants the device in front of another one first.
void HomeAssistantProfile::publish_due() {
  const io::TimePoint now = context_.loop.now();
  next_due_ = io::TimePoint::max();
  if (service_.due <= now) publish(service_);
  for (const bool behind : {false, true}) {
    for (auto& [meter, entry] : meters_) {
      if (meter->parent_id.empty() == behind) continue;
      if (entry.due <= now && entry.has_been_heard) publish(entry);
      next_due_ = std::min(next_due_, entry.due);
    }
  }
  next_due_ = std::min(next_due_, service_.due);
}

void HomeAssistantProfile::publish(Entry& entry) {
  entry.due = io::TimePoint::max();
  take_over(entry);
  if (entry.meter != nullptr) {
    const Meter& meter = *entry.meter;
    if (context_.broker.unique_ids == UniqueIds::bridge && bridge_device_.empty() &&
        meter.medium == "electricity" && meter.parent_id.empty())
      bridge_device_ = device_id(entry);
    entry.expire_after_s = expire_after(entry);
    const io::TimePoint kept_until = entry.first_heard + earlier_kept;
    const bool has_earlier =
        std::ranges::any_of(entry.shown, [](const auto& row) { return row.second.is_earlier; });
    if (has_earlier && context_.loop.now() >= kept_until)
      forget_earlier(entry);
    else if (has_earlier)
      entry.due = kept_until;
  }
  const ha::Device device = describe(entry);
  const std::vector<ha::Component> components = components_of(entry);
  for (const std::string& topic : entry.old_topics)
    context_.client.publish({.topic = topic, .payload = ha::migration});
  if (form_ == Discovery::device)
    publish_as_device(entry, device, components);
  else
    publish_as_entities(entry, device, components);
  for (const std::string& topic : entry.old_topics) context_.client.remove(topic);
  entry.old_topics.clear();
}

void HomeAssistantProfile::say(const std::string& topic, std::string_view payload) {
  context_.client.publish_if_changed({.topic = topic, .payload = payload, .retain = true});
}

void HomeAssistantProfile::publish_as_device(Entry& entry, const ha::Device& device,
                                             const std::vector<ha::Component>& components) {
  std::vector<ha::Member> kept, leaving;
  std::vector<ha::Component> staying;
  for (const auto& [key, shown] : entry.shown) {
    if (!shown.is_earlier && !std::ranges::count(components, key, &ha::Component::key))
      leaving.emplace_back(key, ha::removed_component);
  }
  for (const ha::Component& component : components) {
    const auto shown = entry.shown.find(component.key);
    // An entity cannot change its unique id: it goes and comes back with the other one.
    if (shown != entry.shown.end() && shown->second.unique_id != component.unique_id)
      leaving.emplace_back(component.key, ha::removed_component);
    else
      staying.push_back(component);
    entry.shown[component.key] = {component.unique_id, {}, false};
  }
  for (const auto& [key, shown] : entry.shown)
    if (shown.is_earlier) kept.emplace_back(key, shown.json);
  const std::string topic = topic_of(device.id);
  if (!leaving.empty()) {
    std::ranges::copy(kept, std::back_inserter(leaving));
    payload_.clear();
    ha::write_device(device, staying, leaving, payload_);
    say(topic, payload_);
  }
  payload_.clear();
  ha::write_device(device, components, kept, payload_);
  say(topic, payload_);
  forget_what_left(entry, components);
}

void HomeAssistantProfile::publish_as_entities(Entry& entry, const ha::Device& device,
                                               const std::vector<ha::Component>& components) {
  for (const auto& [key, shown] : entry.shown)
    if (!shown.is_earlier && !std::ranges::count(components, key, &ha::Component::key))
      context_.client.remove(topic_of(device.id, key));
  for (const ha::Component& component : components) {
    const std::string topic = topic_of(device.id, component.key);
    const auto shown = entry.shown.find(component.key);
    if (shown != entry.shown.end() && shown->second.unique_id != component.unique_id)
      context_.client.remove(topic);
    entry.shown[component.key] = {component.unique_id, {}, false};
    payload_.clear();
    ha::write_entity(device, component, payload_);
    say(topic, payload_);
  }
  forget_what_left(entry, components);
}

void HomeAssistantProfile::forget_what_left(Entry& entry,
                                            const std::vector<ha::Component>& components) {
  std::erase_if(entry.shown, [&](const auto& row) {
    return !row.second.is_earlier &&
           !std::ranges::count(components, row.first, &ha::Component::key);
  });
}

}  // namespace smartmeterd::mqtt
