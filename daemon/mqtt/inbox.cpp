// SPDX-License-Identifier: Apache-2.0
// Inbox: what came in, from the library's callback until it is delivered.
#include "daemon/mqtt/inbox.hpp"

#include <mqtt_protocol.h>

#include <cassert>
#include <cstdlib>

namespace smartmeterd::mqtt {

bool Inbox::put(const mosquitto_message& message, const mosquitto_property* all_properties) {
  ++received_;
  const std::string_view topic = message.topic;
  const std::string_view payload(static_cast<const char*>(message.payload),
                                 static_cast<std::size_t>(message.payloadlen));
  const bool is_too_long = payload.size() > payload_size_max;
  if (is_too_long || text_.size() + topic.size() + payload.size() > bytes_max) {
    ++dropped_;
    lost_ = {is_too_long ? Loss::too_long : Loss::no_room, std::string(topic)};
    return false;
  }
  Entry entry{.topic = store(topic),
              .payload = store(payload),
              .retained = message.retain,
              .first_property = properties_.size(),
              .first_subscription = subscriptions_.size()};
  const mosquitto_property* properties = all_properties;
  char* name = nullptr;
  char* value = nullptr;
  bool is_further = false;
  while ((properties = mosquitto_property_read_string_pair(properties, MQTT_PROP_USER_PROPERTY,
                                                           &name, &value, is_further)) != nullptr) {
    if (text_.size() < bytes_max) properties_.push_back({store(name), store(value)});
    std::free(name);
    std::free(value);
    is_further = true;
  }
  entry.properties = properties_.size() - entry.first_property;
  std::uint32_t subscription = 0;
  properties = all_properties;
  is_further = false;
  while ((properties = mosquitto_property_read_varint(properties, MQTT_PROP_SUBSCRIPTION_IDENTIFIER,
                                                      &subscription, is_further)) != nullptr) {
    subscriptions_.push_back(subscription);
    is_further = true;
  }
  entry.subscriptions = subscriptions_.size() - entry.first_subscription;
  entries_.push_back(entry);
  return true;
}

Inbox::Piece Inbox::store(std::string_view text) {
  const Piece piece{text_.size(), text.size()};
  text_.append(text);
  return piece;
}

Message Inbox::front() {
  assert(!empty());
  const Entry& entry = entries_[next_];
  views_.clear();
  for (std::size_t i = 0; i < entry.properties; ++i) {
    const Property& property = properties_[entry.first_property + i];
    views_.push_back({view(property.name), view(property.value)});
  }
  return {.topic = view(entry.topic),
          .payload = meter::bytes_of(view(entry.payload)),
          .retained = entry.retained,
          .properties = views_,
          .subscriptions =
              std::span(subscriptions_).subspan(entry.first_subscription, entry.subscriptions)};
}

void Inbox::pop() {
  assert(!empty());
  if (++next_ < entries_.size()) return;
  next_ = 0;
  text_.clear();
  entries_.clear();
  properties_.clear();
  subscriptions_.clear();
}

}  // namespace smartmeterd::mqtt
