// SPDX-License-Identifier: Apache-2.0
// RlDspProfile: the topic of the Swiss recommendation RL-DSP.
#include "daemon/mqtt/rl_dsp_profile.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/mqtt/client.hpp"
#include "daemon/mqtt/topics.hpp"

namespace smartmeterd::mqtt {

RlDspProfile::RlDspProfile(const ProfileContext& context)
    : context_(context), prefix_(with_slash(context.broker.rl_dsp_prefix)) {
  keys_.reserve(meter::NamedReadings::capacity);
}

std::uint32_t RlDspProfile::key_of(const meter::Obis& code) noexcept {
  return std::uint32_t{code.c} << 16 | std::uint32_t{code.d} << 8 | code.e;
}

void RlDspProfile::telegram(const Telegram& telegram) {
  // Without group A and channel the codes say nothing of other media.
  if (telegram.meter.medium != meter::name(meter::Medium::electricity)) return;
  char time[32];
  payload_.clear();
  keys_.clear();
  meter::JsonWriter json(payload_);
  json.begin_object().key("meter").begin_object();
  json.key("ts").text(utc_seconds_text(telegram.meter.last_update_us, time));
  for (const meter::NamedReading& reading : telegram.named) {
    if (reading.is_text || reading.is_time) continue;
    const meter::Obis code = telegram.quantities.code_of(reading.name);
    // One key stands for one code: 1-0:1.8.0 and 1-1:1.8.0 would have the same.
    if (!code.is_standard() || std::ranges::count(keys_, key_of(code)) > 0) continue;
    const auto value =
        meter::convert(reading.value, reading.unit, meter::base_of(reading.unit).base);
    if (!value) continue;
    char text[sizeof "255.255.255"];
    const auto end = fmt::format_to(text, "{}.{}.{}", code.c, code.d, code.e);
    json.key({text, static_cast<std::size_t>(end - text)}).number(*value);
    keys_.push_back(key_of(code));
  }
  json.end_object().end_object();
  if (keys_.empty()) return;
  context_.client.publish(
      {.topic = topic_.assign(prefix_).append(topic_level(telegram.meter)).append("/ds"),
       .payload = payload_,
       .qos = context_.broker.qos,
       .content_type = json_type});
}

}  // namespace smartmeterd::mqtt
