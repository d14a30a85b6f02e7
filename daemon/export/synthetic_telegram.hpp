// SPDX-License-Identifier: Apache-2.0
// SyntheticTelegram: one meter's latest values as a P1 telegram of DSMR 5.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/io/loop.hpp"
#include "daemon/model.hpp"
#include "meter/date_time.hpp"
#include "meter/p1/p1_writer.hpp"

namespace smartmeterd {

/// The values are those of the meter, merged over its lists, so that one which sends its registers
/// once an hour has them in each telegram; those of the meters behind it are of its telegrams.
class SyntheticTelegram {
 public:
  /// Takes what the meter's telegram says beside its values.
  void take(const Telegram& telegram);
  /// What follows is another meter's.
  void forget_sub_meters() noexcept {
    for (SubMeter& each : sub_meters_) each.arrived = {};
  }
  /// Valid until the next call.
  std::string_view write(const Meter& meter, io::TimePoint now);

 private:
  struct Value {
    std::string name;
    meter::Decimal value;
  };
  struct SubMeter {
    std::string id;
    meter::Medium medium = meter::Medium::unknown;
    std::optional<meter::DateTime> capture_time;
    std::vector<Value> values;
    std::vector<meter::p1::P1Value> views;
    io::TimePoint arrived{};  ///< never: there is none on this channel
  };
  void take_sub_meters(const Telegram& telegram);

  static constexpr std::size_t channels = 9;
  std::array<SubMeter, channels> sub_meters_;  ///< channel 1 is the first
  meter::DateTime time_;
  // Reused, so that a telegram costs no memory.
  meter::ReadingSet part_;
  meter::NamedReadings named_;
  std::vector<meter::p1::P1Value> values_;
  std::vector<meter::p1::P1SubMeter> views_;
  std::string text_;
};

}  // namespace smartmeterd
