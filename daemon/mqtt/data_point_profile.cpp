// SPDX-License-Identifier: Apache-2.0
// DataPointProfile: one topic for each value, as smartmeter-datacollector and the Swiss plug-test
// have it.
#include "daemon/mqtt/data_point_profile.hpp"

#include <algorithm>
#include <utility>

#include "daemon/mqtt/client.hpp"
#include "daemon/mqtt/topics.hpp"

namespace smartmeterd::mqtt {

DataPointProfile::DataPointProfile(const ProfileContext& context, std::string prefix,
                                   std::span<const meter::DataPoint> points)
    : context_(context), prefix_(with_slash(std::move(prefix))), points_(points) {}

void DataPointProfile::telegram(const Telegram& telegram) {
  if (telegram.readings.link == meter::Link::datacollector) return;
  const std::int64_t epoch_s = telegram.meter.last_update_us / 1'000'000;
  topic_.assign(prefix_).append(topic_level(telegram.meter)).append("/");
  const std::size_t stem = topic_.size();
  for (const meter::NamedReading& reading : telegram.named) {
    if (reading.is_text || reading.is_time) continue;
    const meter::Obis code = telegram.quantities.code_of(reading.name);
    const auto point = std::ranges::find_if(points_, [&](const meter::DataPoint& row) {
      return row.obis != meter::Obis{} && is_same_quantity(row.obis, code);
    });
    if (point == points_.end()) continue;
    const meter::Unit unit =
        point->unit == meter::Unit::other ? meter::Unit::watt_hour : point->unit;
    const auto value = meter::convert(reading.value, reading.unit, unit);
    if (!value) continue;
    topic_.resize(stem);
    append_topic(*point, topic_);
    payload_.clear();
    append_payload(*value, epoch_s, payload_);
    context_.client.publish({.topic = topic_,
                             .payload = payload_,
                             .qos = context_.broker.qos,
                             .content_type = json_type});
  }
}

DatacollectorProfile::DatacollectorProfile(const ProfileContext& context)
    : DataPointProfile(context, context.broker.datacollector_prefix,
                       meter::datacollector_points()) {}

void DatacollectorProfile::append_topic(const meter::DataPoint& point, std::string& topic) const {
  topic.append(point.name);
}

void DatacollectorProfile::append_payload(const meter::Decimal& value, std::int64_t epoch_s,
                                          std::string& payload) const {
  meter::JsonWriter json(payload);
  json.begin_object().key("value").number(value).key("timestamp").number(epoch_s).end_object();
}

PlugTestProfile::PlugTestProfile(const ProfileContext& context)
    : DataPointProfile(context, context.broker.plug_test_prefix, meter::plug_test_points()) {}

void PlugTestProfile::append_topic(const meter::DataPoint& point, std::string& topic) const {
  topic.append(meter::plug_test_group_of(point.name)).append("/").append(point.name);
}

void PlugTestProfile::append_payload(const meter::Decimal& value, std::int64_t epoch_s,
                                     std::string& payload) const {
  meter::JsonWriter json(payload);
  json.begin_object().key("timestamp").number(epoch_s).key("value").number(value).end_object();
}

}  // namespace smartmeterd::mqtt
