// SPDX-License-Identifier: Apache-2.0
// MqttClient: telegrams as messages of an MQTT broker, as gateways publish them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "tools/metersim/line.hpp"
#include "tools/metersim/meter.hpp"

struct mosquitto;

namespace metersim {

struct MqttOptions {
  std::string url;            ///< mqtt://HOST[:PORT]
  std::string user;           ///< empty: none
  std::string password_file;  ///< its first line is the password
  int qos = 1;
};

/// What a family's messages are called and where they go.
struct Gateway {
  std::string topic;
  std::string_view adapter;  ///< of a raw telegram; empty: JSON, which is text without properties
  std::string_view protocol;
};
/// <prefix>/gateway/<instance>/raw/<family>, or the usual topic of a gateway that sends JSON.
Gateway gateway_of(const Family& family, std::string_view prefix, std::string_view instance);

/// One connection, MQTT 5, which the library's thread serves. Errors are exceptions that name the
/// broker, and how many messages it did not acknowledge.
class MqttClient {
 public:
  /// Connected when it returns.
  explicit MqttClient(const MqttOptions& options);
  ~MqttClient();
  MqttClient(const MqttClient&) = delete;
  MqttClient& operator=(const MqttClient&) = delete;

  /// One message, not retained. A raw telegram has content type and user properties `adapter`,
  /// `protocol` and `t`: the moment of this call. Throws where the connection was lost: it is not
  /// made again, for nobody could say what the broker has.
  void publish(const Gateway& gateway, OctetView octets);
  /// Until no more than that many messages are without an answer, for at most that long; false:
  /// there still are. Throws as `publish` does.
  bool wait(std::uint64_t under_way, int limit_ms);
  /// The same for as long as a broker may need; throws where it needs longer.
  void require(std::uint64_t under_way);

  std::uint64_t sent() const;
  /// QoS 1: that the broker has; QoS 0: that were written to it.
  std::uint64_t acknowledged() const;

  static constexpr int patience_ms = 10'000;  ///< for the connection, and for answers
  /// Messages without an answer at once: bounds the memory, and is more than brokers take (20).
  static constexpr std::uint64_t under_way_max = 100;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Sends each telegram as one message. Throws where the broker does not acknowledge them.
std::unique_ptr<Line> open_mqtt(const MqttOptions& options, const Gateway& gateway);

}  // namespace metersim
