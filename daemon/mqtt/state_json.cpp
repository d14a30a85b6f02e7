// SPDX-License-Identifier: Apache-2.0
// StateJson: the telegram JSON of a meter's merged values.
#include "daemon/mqtt/state_json.hpp"

#include <chrono>

namespace smartmeterd::mqtt {

StateJson::StateJson() {
  ages_.reserve(merged_.capacity);
}

std::string_view StateJson::write(const Telegram& telegram, bool with_registers,
                                  bool (*is_wanted)(std::string_view name, meter::Unit unit)) {
  const Meter& meter = telegram.meter;
  merged_.clear();
  ages_.clear();
  for (const LatestValue& value : meter.values) {
    if (is_wanted != nullptr && !is_wanted(value.name, value.unit)) continue;
    if (!merged_.push_back({.name = value.name,
                            .value = value.value,
                            .text = value.text,
                            .unit = value.unit,
                            .is_text = value.is_text,
                            .derived = value.derived}))
      break;
    if (value.arrived >= meter.last_update) continue;
    const auto age = std::chrono::floor<std::chrono::seconds>(meter.last_update - value.arrived);
    ages_.push_back({value.name, static_cast<std::uint64_t>(age.count())});
  }
  meter::TelegramFacts facts;
  facts.meter_id = meter.id;
  facts.received_us = meter.last_update_us;
  facts.sequence = meter.sequence;
  facts.with_registers = with_registers;
  facts.ages = ages_;
  json_.clear();
  meter::write_telegram_json(telegram.readings, {merged_.data(), merged_.size()},
                             telegram.quantities, facts, json_);
  return json_;
}

}  // namespace smartmeterd::mqtt
