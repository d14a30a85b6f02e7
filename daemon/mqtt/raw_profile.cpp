// SPDX-License-Identifier: Apache-2.0
// RawProfile: whole telegrams as they were received.
#include "daemon/mqtt/raw_profile.hpp"

#include "daemon/mqtt/client.hpp"
#include "daemon/mqtt/topics.hpp"

namespace smartmeterd::mqtt {

RawProfile::RawProfile(const ProfileContext& context)
    : context_(context),
      prefix_(gateway_prefix(context.broker, context.instance).append(gateway_topic::raw) + '/') {}

void RawProfile::raw_telegram(const RawTelegram& telegram) {
  const Adapter& adapter = telegram.adapter;
  if (!adapter.translated_from.empty()) return;
  char time[32];
  const UserProperty properties[] = {{"adapter", adapter.name},
                                     {"protocol", meter::name(telegram.link)},
                                     {"t", meter::utc_text(telegram.received_us, time)},
                                     {"settings", adapter.line}};
  const std::size_t count = std::size(properties) - (adapter.line.empty() ? 1 : 0);
  context_.client.publish({.topic = topic_.assign(prefix_).append(adapter.name),
                           .payload = meter::text_of(telegram.frames),
                           .qos = context_.broker.qos,
                           .content_type = "application/octet-stream",
                           .properties = {properties, count}});
}

}  // namespace smartmeterd::mqtt
