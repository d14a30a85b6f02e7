// SPDX-License-Identifier: Apache-2.0
// RlDspProfile: the topic of the Swiss recommendation RL-DSP.
#pragma once

#include <string>
#include <vector>

#include "daemon/mqtt/profile.hpp"

namespace smartmeterd::mqtt {

/// `dt/<group>/<meter>/ds` with {"meter":{"ts":"2026-11-20T11:00:05Z","1.7.0":545,…}}: each reading
/// of an electricity meter's telegram by the groups C.D.E of its OBIS code, whatever it is called
/// here. Not retained.
/// Of the recommendation (VSE, RL-DSP CH 2024) no text was to be had: topic and form are those of
/// its first implementation (github.com/scs/smartmeter-datacollector, pull request 88), and so are
/// the units, base units as in all that it publishes (smartmeter/meter_data.py): W, var, VA, Wh,
/// varh, VAh, V, A, Hz.
class RlDspProfile final : public Profile {
 public:
  explicit RlDspProfile(const ProfileContext& context);
  void telegram(const Telegram& telegram) override;

 private:
  /// C, D and E.
  static std::uint32_t key_of(const meter::Obis& code) noexcept;

  ProfileContext context_;
  std::string prefix_;  ///< "dt/<group>/"
  // Reused for each telegram, so that none allocates.
  std::vector<std::uint32_t> keys_;
  std::string topic_;
  std::string payload_;
};

}  // namespace smartmeterd::mqtt
