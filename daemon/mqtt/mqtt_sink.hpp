// SPDX-License-Identifier: Apache-2.0
// MqttSink: readings to one broker.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "daemon/config.hpp"
#include "daemon/io/loop.hpp"
#include "daemon/model.hpp"

namespace smartmeterd::mqtt {

/// Publishes state, availability, info, health and status to one broker, which is tried again
/// with back-off while it is away; everything retained is published anew after each connect.
/// Never blocks.
class MqttSink : public Sink {
 public:
  virtual const Publisher& publisher() const noexcept = 0;
  /// Publishes `offline` and disconnects; the caller runs the loop a moment longer, or not.
  virtual void shut_down() = 0;
};
std::unique_ptr<MqttSink> make_mqtt_sink(io::Loop& loop, const BrokerConfig& broker,
                                         const std::string& instance,
                                         std::function<void(const Publisher&)> changed);

}  // namespace smartmeterd::mqtt
