// SPDX-License-Identifier: Apache-2.0
// StateJson: the telegram JSON of a meter's merged values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "daemon/model.hpp"
#include "meter/telegram_json.hpp"

namespace smartmeterd::mqtt {

/// What `state` says of a telegram: the meter's values over all its lists, and the age of those
/// that this telegram did not bring. Buffers are reused, so that no telegram allocates.
class StateJson {
 public:
  StateJson();
  /// Valid until the next call. Only the values that `is_wanted`; null: all of them.
  std::string_view write(const Telegram& telegram, bool with_registers,
                         bool (*is_wanted)(std::string_view name, meter::Unit unit) = nullptr);

 private:
  meter::NamedReadings merged_;
  std::vector<meter::TelegramFacts::Age> ages_;
  std::string json_;
};

}  // namespace smartmeterd::mqtt
