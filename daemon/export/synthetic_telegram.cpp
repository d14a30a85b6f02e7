// SPDX-License-Identifier: Apache-2.0
// What the P1 writer is given: names, numbers, time and the meters behind the meter.
#include "daemon/export/synthetic_telegram.hpp"

#include <chrono>
#include <ctime>
#include <optional>

namespace smartmeterd {
namespace {

/// The rarest list of registers comes once an hour; one of them may be missed.
constexpr std::chrono::hours value_age_max{2};

/// Of this machine's zone, for a meter whose clock says less than a telegram needs.
meter::DateTime local_time(std::int64_t epoch_us) {
  constexpr std::uint8_t summer = 0x80;  // of the clock status (Blue Book 4.1.6.1)
  const std::time_t seconds = epoch_us / 1'000'000;
  std::tm local{};
  localtime_r(&seconds, &local);
  meter::DateTime time =
      meter::DateTime::from_epoch(seconds, static_cast<std::int16_t>(-local.tm_gmtoff / 60));
  time.status = local.tm_isdst > 0 ? summer : 0;
  return time;
}

/// A P1 telegram says summer or winter.
bool is_whole(const std::optional<meter::DateTime>& time) {
  return time && !time->is_date && time->status != 0xff;
}

}  // namespace

void SyntheticTelegram::take(const Telegram& telegram) {
  time_ = is_whole(telegram.readings.time) ? *telegram.readings.time
                                           : local_time(telegram.meter.last_update_us);
  take_sub_meters(telegram);
}

void SyntheticTelegram::take_sub_meters(const Telegram& telegram) {
  const auto& sub_meters = telegram.readings.sub_meters;
  for (std::size_t i = 0; i < sub_meters.size(); ++i) {
    const std::size_t channel = sub_meters[i].channel;
    if (channel < 1 || channel > channels) continue;
    SubMeter& kept = sub_meters_[channel - 1];
    meter::sub_meter_telegram(telegram.readings, i, part_);
    meter::harmonize(part_, telegram.quantities, named_);
    if (kept.id != sub_meters[i].id.view()) {
      kept.id = sub_meters[i].id.view();
      kept.values.clear();
    }
    kept.medium = sub_meters[i].medium;
    kept.arrived = telegram.meter.last_update;
    kept.capture_time.reset();
    std::size_t count = 0;
    for (const meter::NamedReading& reading : named_) {
      if (reading.is_time && reading.name == "capture_time") kept.capture_time = reading.time;
      if (reading.is_text || reading.is_time) continue;
      if (count == kept.values.size()) kept.values.emplace_back();
      kept.values[count].name.assign(reading.name);
      kept.values[count++].value = reading.value;
    }
    kept.values.resize(count);
  }
}

std::string_view SyntheticTelegram::write(const Meter& meter, io::TimePoint now) {
  values_.clear();
  for (const LatestValue& value : meter.values)
    if (!value.is_text && now - value.arrived < value_age_max)
      values_.push_back({value.name, value.value});
  views_.clear();
  for (std::uint8_t channel = 1; channel <= channels; ++channel) {
    SubMeter& kept = sub_meters_[channel - 1u];
    if (kept.arrived == io::TimePoint{} || now - kept.arrived >= value_age_max) continue;
    kept.views.clear();
    for (const Value& value : kept.values) kept.views.push_back({value.name, value.value});
    views_.push_back({.channel = channel,
                      .medium = kept.medium,
                      .id = kept.id,
                      .capture_time = kept.capture_time,
                      .values = kept.views});
  }
  meter::p1::write_telegram(
      {.meter_id = meter.id, .time = time_, .values = values_, .sub_meters = views_}, text_);
  return text_;
}

}  // namespace smartmeterd
