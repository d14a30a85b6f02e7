// SPDX-License-Identifier: Apache-2.0
// ForwardProfile: counters that the broker missed, told once it is back.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <string>

#include "daemon/backlog.hpp"
#include "daemon/mqtt/profile.hpp"
#include "daemon/mqtt/state_json.hpp"

namespace smartmeterd::mqtt {

/// Store and forward. While the broker is away, the first telegram of each meter and minute (of
/// this host's clock) that brings a counter goes to the backlog, as a state message with counters
/// only: quantities that Home Assistant calls total or total_increasing, what is named by the user
/// and counts energy or volume, and the time at which they were read (capture_time). Once the
/// broker is back, and has what is new, they follow on
/// `<prefix>/<meter>/history` in their order, with QoS 1: lost with a connection is none, but one
/// that was on its way then comes twice.
class ForwardProfile final : public Profile {
 public:
  /// `context.backlog` is not null.
  explicit ForwardProfile(const ProfileContext& context);

  void meter_removed(const Meter& meter) override { minutes_.erase(&meter); }
  void telegram(const Telegram& telegram) override;
  void broker_online() override;
  void tick() override;
  void shut_down() override;
  void acknowledged(std::uint64_t ticket) override;

 private:
  struct Recent {
    io::TimePoint at;
    std::string meter;
    std::string payload;
  };
  struct InFlight {
    std::uint64_t id;
    bool is_acknowledged = false;
  };

  void keep_recent();
  void forward();
  void on_fetched();

  ProfileContext context_;
  Backlog& backlog_;
  std::string prefix_;                            ///< with a slash at its end
  std::map<const Meter*, std::int64_t> minutes_;  ///< of the last reading that was taken
  /// A connection that hangs is found out late, and what was sent meanwhile may be lost.
  const std::chrono::seconds doubt_;
  std::deque<Recent> recent_;  ///< sent, and still in doubt
  std::deque<Backlog::Entry> fetched_;
  std::deque<InFlight> in_flight_;
  std::uint64_t last_offered_ = 0;
  bool is_fetching_ = false;
  int may_offer_ = 0;  ///< in this second
  StateJson state_;
  std::string topic_;
  io::Operation answer_;
};

}  // namespace smartmeterd::mqtt
