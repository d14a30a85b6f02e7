// SPDX-License-Identifier: Apache-2.0
// SmartmeterdProfile: the topics of this service's own.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "daemon/mqtt/profile.hpp"
#include "daemon/mqtt/state_json.hpp"

namespace smartmeterd::mqtt {

/// State (and single values) of each telegram; availability, info and health, all retained.
class SmartmeterdProfile final : public Profile {
 public:
  explicit SmartmeterdProfile(const ProfileContext& context);

  void adapter_added(const Adapter& adapter) override { adapters_.push_back(&adapter); }
  void adapter_removed(const Adapter& adapter) override { std::erase(adapters_, &adapter); }
  void meter_added(const Meter& meter) override;
  void meter_changed(const Meter& meter) override { publish_identity(meter); }
  void meter_removed(const Meter& meter) override;
  void telegram(const Telegram& telegram) override;
  void broker_online() override { publish_health(); }
  void tick() override;
  /// Nobody will say any more whether the data is fresh.
  void shut_down() override;

 private:
  const std::string& topic(const Meter& meter, std::string_view last);
  void publish_state(const Telegram& telegram);
  void publish_values(const Telegram& telegram);
  void publish_identity(const Meter& meter);
  void publish_availability(const Meter& meter, bool online);
  void publish_health();

  ProfileContext context_;
  std::string prefix_;   ///< with a slash at its end
  std::string gateway_;  ///< "smartmeter/gateway/<instance>/"
  std::vector<const Adapter*> adapters_;
  std::vector<const Meter*> meters_;
  /// Names that have a topic of their own: one that quantities have no more is taken away.
  std::map<const Meter*, std::set<std::string, std::less<>>> values_;
  io::TimePoint next_health_{};
  // Reused for each telegram, so that none allocates.
  std::string topic_;
  std::string payload_;
  StateJson state_;
};

}  // namespace smartmeterd::mqtt
