// SPDX-License-Identifier: Apache-2.0
// Topics: the parts that several profiles' topics have in common.
#pragma once

#include <string>

#include "daemon/config.hpp"
#include "meter/quantity.hpp"

namespace smartmeterd::mqtt {

inline std::string with_slash(std::string prefix) {
  if (!prefix.empty() && !prefix.ends_with('/')) prefix += '/';
  return prefix;
}

/// "smartmeter/gateway/<instance>/": what is said of the service itself.
inline std::string gateway_prefix(const BrokerConfig& broker, const std::string& instance) {
  return with_slash(broker.prefix) + "gateway/" + meter::slug(instance) + '/';
}

}  // namespace smartmeterd::mqtt
