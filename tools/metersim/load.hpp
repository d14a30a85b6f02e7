// SPDX-License-Identifier: Apache-2.0
// A fleet of gateways on one MQTT broker, as much as it takes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/metersim/meter.hpp"
#include "tools/metersim/mqtt.hpp"
#include "tools/metersim/player.hpp"

namespace metersim {

struct LoadOptions {
  MqttOptions broker;
  std::vector<const Family*> families;  ///< gateway n has the n-th of them, and so on in turn
  unsigned gateways = 10;
  double rate = 0;          ///< telegrams a second of all gateways; 0: as fast as they are taken
  std::uint64_t count = 0;  ///< telegrams of all gateways; 0: until stopped
  std::string prefix, instance;
  MeterOptions meter;  ///< of the first gateway; each has a number and an interval of its own
};

/// Publishes in turn for each gateway until the count is reached or a signal comes, then waits for
/// the broker's answers. Prints how it goes once a second to standard error, and at the end
/// "sent 1000, acknowledged 1000, 1.234 s, 810 telegrams/s" to standard output. Throws where the
/// broker does not answer for all of them.
void run_load(const LoadOptions& options, Pause& pause);

}  // namespace metersim
