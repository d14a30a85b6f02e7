// SPDX-License-Identifier: Apache-2.0
// SeedProfile: the topics of the Kaifa bridge smartmeter-ha, for who already uses them.
#pragma once

#include <string>
#include <string_view>

#include "daemon/mqtt/profile.hpp"

namespace smartmeterd::mqtt {

/// One topic per value and all of them as `json`, not retained, as the bridge does it; its names
/// and units, but every decimal that the meter sent. The bridge knows one meter: the first
/// electricity meter is shown.
class SeedProfile final : public Profile {
 public:
  explicit SeedProfile(const ProfileContext& context);
  /// The bridge's key of a quantity; empty: it has none.
  static std::string_view key_of(const meter::Obis& code) noexcept;
  void telegram(const Telegram& telegram) override;
  void meter_removed(const Meter& meter) override;

 private:
  void publish(std::string_view key, std::string_view value, std::string_view content_type = {});

  ProfileContext context_;
  std::string prefix_;  ///< with a slash at its end
  const Meter* meter_ = nullptr;
  bool others_logged_ = false;
  std::string topic_;
  std::string json_;
};

}  // namespace smartmeterd::mqtt
