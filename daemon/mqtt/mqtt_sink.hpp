// SPDX-License-Identifier: Apache-2.0
// MqttSink: one broker, with everything that is published and heard there.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/backlog.hpp"
#include "daemon/config.hpp"
#include "daemon/io/loop.hpp"
#include "daemon/model.hpp"
#include "daemon/mqtt/message.hpp"
#include "daemon/sinks.hpp"

namespace smartmeterd::mqtt {

/// Tells one broker's profiles what the sinks are told, each meter's telegrams no more often than
/// the broker is to have them. The broker is tried again with back-off while it is away; everything
/// retained is published anew after each connect. Never blocks.
class MqttSink : public Sinks {
 public:
  virtual const Publisher& publisher() const noexcept = 0;
  /// Every message that matches one of the filters, each once, until `unsubscribe`. With 3.1.1 a
  /// broker may send one more for each further filter, of whomever, that matches.
  /// "$share/<group>/<filter>": this client's share of them.
  virtual void subscribe(const std::vector<std::string>& filters, int qos,
                         Subscriber& subscriber) = 0;
  /// It hears nothing any more. The broker still sends what its filters match, until
  /// `forget_filters`: whoever subscribes to one of them before takes it over without a gap.
  virtual void unsubscribe(Subscriber& subscriber) = 0;
  /// Unsubscribes at the broker from filters that nobody has any more, but for these.
  virtual void forget_filters(const std::vector<std::string>& but) = 0;
  /// See Client::is_congested and Client::pause_reading.
  virtual bool is_congested() const noexcept = 0;
  virtual void pause_reading(bool is_paused) = 0;
  /// Connects; only then anything happens.
  virtual void start() = 0;
  /// See Client::stop_reading.
  virtual void stop_reading() = 0;
  /// What is retained below its prefix leaves the broker with `shut_down`, if it can be reached:
  /// nobody would say there any more that it is old.
  virtual void take_back() = 0;
  /// Its last words, `offline`, and the end of the connection: see Client::shut_down. Adapters and
  /// meters may go at once, and the backlog is another's; nothing may be told any more.
  virtual void shut_down() = 0;
};
/// `changed`: the publisher, or `is_congested`, did; may be called from inside of any other call.
/// `backlog` keeps what the broker misses, and outlives the sink; null: nothing is kept.
std::unique_ptr<MqttSink> make_mqtt_sink(io::Loop& loop, const BrokerConfig& broker,
                                         const std::string& instance,
                                         std::function<void(const Publisher&)> changed,
                                         Backlog* backlog = nullptr);

}  // namespace smartmeterd::mqtt
