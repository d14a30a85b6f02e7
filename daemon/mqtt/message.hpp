// SPDX-License-Identifier: Apache-2.0
// Publication and Message: what goes to a broker, and what comes from one.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "daemon/io/loop.hpp"
#include "meter/base/bytes.hpp"

namespace smartmeterd::mqtt {

/// MQTT 5.0 section 3.3.2.3.7; not with 3.1.1.
struct UserProperty {
  std::string_view name, value;
};

/// Which smartmeterd a message is from: topics can be configured, and bridges change them.
inline constexpr std::string_view gateway_property = "gateway";

/// One message on its way out. Everything in it is valid during the call only.
struct Publication {
  std::string_view topic;
  std::string_view payload;
  bool retain = false;
  int qos = 0;
  /// Seconds after which the broker forgets it, MQTT 5 only; 0: never.
  std::uint32_t expiry_s = 0;
  std::string_view content_type = {};  ///< a MIME type, MQTT 5 only; empty: none
  std::span<const UserProperty> properties = {};
  /// Of the telegram whose time into the socket this message shows; nothing: it shows none.
  std::optional<io::TimePoint> last_byte = {};
};

/// One message that came in. Everything in it is valid during the call only.
struct Message {
  std::string_view topic;
  meter::Bytes payload;
  bool retained = false;
  std::span<const UserProperty> properties = {};
  /// Which subscriptions (`Client::subscribe`) the broker sent it for: where filters overlap it may
  /// send one copy for each. Empty: it does not say.
  std::span<const std::uint32_t> subscriptions = {};
};

/// Who has subscribed.
class Subscriber {
 public:
  /// A message that matches one of its filters. Publishing from here is fine, subscribing is not.
  virtual void message(const Message& message) = 0;
  /// The broker does not let this client read there; `filter` as it was given, with its group.
  virtual void subscription_refused(std::string_view /*filter*/, std::string_view /*reason*/) {}

 protected:
  ~Subscriber() = default;
};

}  // namespace smartmeterd::mqtt
