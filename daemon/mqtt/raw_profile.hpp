// SPDX-License-Identifier: Apache-2.0
// RawProfile: whole telegrams as they were received.
#pragma once

#include <string>

#include "daemon/mqtt/profile.hpp"

namespace smartmeterd::mqtt {

/// `smartmeter/gateway/<instance>/raw/<adapter>`, not retained: the octets of every link frame of
/// one telegram, encrypted where the meter encrypts. What it was received with is in the user
/// properties of MQTT 5. Ports of this machine alone: what another gateway sent is there already.
class RawProfile final : public Profile {
 public:
  explicit RawProfile(const ProfileContext& context);
  void raw_telegram(const RawTelegram& telegram) override;

 private:
  ProfileContext context_;
  std::string prefix_;  ///< "smartmeter/gateway/<instance>/raw/"
  std::string topic_;   ///< reused for each telegram, so that none allocates
};

}  // namespace smartmeterd::mqtt
