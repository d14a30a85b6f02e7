// SPDX-License-Identifier: Apache-2.0
// Meter: a simulated meter of one family, from plausible values to the octets on its line.
#include "tools/metersim/meter.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace metersim {
namespace {

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';  // "ESF5\2…" of a P1 identification
    result += c;
  }
  return result += '"';
}

/// "181220000009" + 3 → "181220000012": the trailing digits counted on, the width kept.
std::string counted_on(std::string text, std::uint32_t count) {
  std::uint64_t carry = count;
  for (auto digit = text.rbegin(); digit != text.rend() && carry != 0; ++digit) {
    if (*digit < '0' || *digit > '9') break;
    carry += static_cast<std::uint64_t>(*digit - '0');
    *digit = static_cast<char>('0' + carry % 10);
    carry /= 10;
  }
  return text;
}

/// The last four octets of a title, big-endian, counted on.
Title counted_on(Title title, std::uint32_t count) {
  std::uint32_t tail = 0;
  for (std::size_t i = 4; i < 8; ++i) tail = tail << 8 | title[i];
  tail += count;
  for (std::size_t i = 8; i-- > 4; tail >>= 8) title[i] = static_cast<std::uint8_t>(tail);
  return title;
}

}  // namespace

Octets Telegram::octets() const {
  Octets all;
  for (const Octets& frame : frames) append(all, frame);
  return all;
}

std::string Telegram::json(std::string_view fault) const {
  std::string text = "{\"number\":";
  text += std::to_string(number);
  text += ",\"meter\":";
  text += meter.empty() ? "null" : quoted(meter);
  text += ",\"time\":";
  text += time ? quoted(*time) : "null";
  if (invocation_counter) {
    text += ",\"invocation_counter\":";
    text += std::to_string(*invocation_counter);
  }
  if (!fault.empty()) {
    text += ",\"fault\":";
    text += quoted(fault);
  }
  text += ",\"readings\":{";
  for (const Sent& reading : readings) {
    if (text.back() != '{') text += ',';
    text += quoted(reading.name);
    text += ':';
    text += reading.value;
  }
  text += "}}";
  return text;
}

double Household::uniform(double low, double high) {
  // The standard's distributions differ between libraries; this does not.
  return low + (high - low) * (static_cast<double>(random_() >> 11) * 0x1.0p-53);
}

void Household::start(Values& values) {
  values[Quantity::energy_import_t1] = 7'848'950 + static_cast<std::int64_t>(random_() % 100'000);
  values[Quantity::energy_import_t2] = 4'200'000 + static_cast<std::int64_t>(random_() % 100'000);
  values[Quantity::energy_export_t1] = 812'000 + static_cast<std::int64_t>(random_() % 10'000);
  values[Quantity::energy_export_t2] = 1'200;
  values[Quantity::reactive_energy_import_t1] = 45'000;
  values[Quantity::reactive_energy_import_t2] = 12'000;
  values[Quantity::reactive_energy_export_t1] = 901'000;
  values[Quantity::reactive_energy_export_t2] = 402'000;
  advance(0, values);
}

void Household::accumulate(Quantity energy, Quantity tariff, double power, double seconds,
                           Values& values) {
  double& rest = remainder_[static_cast<std::size_t>(tariff)];
  rest += power * seconds / 3600;
  values[tariff] += static_cast<std::int64_t>(rest);
  rest -= std::floor(rest);
  const auto first = static_cast<Quantity>(static_cast<unsigned>(energy) + 1);
  const auto second = static_cast<Quantity>(static_cast<unsigned>(energy) + 2);
  values[energy] = values[first] + values[second];
}

void Household::advance(double seconds, Values& values) {
  const std::int64_t local_s = values.clock.epoch_s + std::int64_t{60} * values.clock.offset_min;
  const double hour = static_cast<double>(local_s % 86'400) / 3600;
  appliance_left_s_ -= seconds;
  if (appliance_left_s_ <= 0) {
    appliance_w_ = uniform(0, 1) < 0.3 ? uniform(400, 2800) : uniform(0, 150);
    appliance_left_s_ = uniform(20, 600);
  }
  // A roof of 4 kW peak: half a sine from 7 to 19 h, with passing clouds.
  const double sun = std::max(0.0, std::sin((hour - 7) / 12 * std::numbers::pi));
  const double roof_w = hour > 7 && hour < 19 ? 4000 * sun * uniform(0.85, 1.0) : 0;
  const double net_w = 280 + appliance_w_ + uniform(-15, 15) - roof_w;
  const double factor = uniform(0.93, 0.999);
  const double reactive_var = std::abs(net_w) * std::tan(std::acos(factor));
  const bool high_tariff = hour >= 6 && hour < 22;

  auto tariff_of = [high_tariff](Quantity energy) {
    return static_cast<Quantity>(static_cast<unsigned>(energy) + (high_tariff ? 1u : 2u));
  };
  auto count = [&](Quantity energy, double power) {
    accumulate(energy, tariff_of(energy), power, seconds, values);
  };
  count(Quantity::energy_import, std::max(0.0, net_w));
  count(Quantity::energy_export, std::max(0.0, -net_w));
  count(Quantity::reactive_energy_import, 0);
  count(Quantity::reactive_energy_export, reactive_var);

  values[Quantity::power_import] = std::llround(std::max(0.0, net_w));
  values[Quantity::power_export] = std::llround(std::max(0.0, -net_w));
  values[Quantity::reactive_power_import] = 0;
  values[Quantity::reactive_power_export] = std::llround(reactive_var);
  values[Quantity::power_factor] = std::llround(factor * 1000);
  constexpr double share[] = {0.5, 0.3, 0.2};  // of the power, by phase
  for (unsigned phase = 0; phase < 3; ++phase) {
    const double volt = uniform(228, 235);
    const double ampere = std::abs(net_w) * share[phase] / (volt * factor);
    values.measured[static_cast<std::size_t>(Quantity::voltage_l1) + phase] =
        std::llround(volt * 10);
    values.measured[static_cast<std::size_t>(Quantity::current_l1) + phase] =
        std::llround(ampere * 100);
  }
}

Meter::Meter(const Family& family, const MeterOptions& options)
    : family_(family),
      household_(options.seed),
      security_(family.security),
      interval_s_(options.interval_s),
      clock_s_(static_cast<double>(options.start.epoch_s)),
      invocation_counter_(options.invocation_counter) {
  values_.clock = options.start;
  values_.serial = counted_on(std::string(family.serial), options.unit_number);
  values_.logical_device_name =
      counted_on(std::string(family.logical_device_name), options.unit_number);
  security_.system_title = counted_on(security_.system_title, options.unit_number);
  if (options.control) security_.control = *options.control;
  if (options.key) security_.key = *options.key;
  if (options.authentication_key) security_.authentication_key = *options.authentication_key;
  household_.start(values_);
}

Telegram Meter::next(const Security& security) {
  if (number_ > 0) {
    clock_s_ += interval_s_;
    values_.clock.epoch_s = static_cast<std::int64_t>(clock_s_);
    household_.advance(interval_s_, values_);
  }
  return encode(family_, values_, encrypted() ? &security : nullptr, ++number_,
                invocation_counter_++);
}

Telegram Meter::next() {
  return next(security_);
}

Telegram Meter::next_with_wrong_key() {
  Security other = security_;
  for (std::uint8_t& octet : other.key) octet ^= 0xff;
  return next(other);
}

}  // namespace metersim
