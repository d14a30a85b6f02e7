// SPDX-License-Identifier: Apache-2.0
// Inbox: what came in, from the library's callback until it is delivered.
#pragma once

#include <mosquitto.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "daemon/mqtt/message.hpp"

namespace smartmeterd::mqtt {

/// Messages in the order of their arrival, in memory that is used again. What is published from
/// inside the library's callback waits for a further turn of its loop, therefore messages are
/// copied here and delivered after it.
class Inbox {
 public:
  /// No meter, gateway or consumer sends more.
  static constexpr std::size_t payload_size_max = 64 * 1024;
  /// Of all that waits.
  static constexpr std::size_t bytes_max = 1024 * 1024;

  /// False, and counted: too long, or no room.
  bool put(const mosquitto_message& message, const mosquitto_property* properties);
  bool empty() const noexcept { return next_ == entries_.size(); }
  /// Room for whatever one turn of the library may bring: one more message, and with TLS the rest
  /// of a record.
  bool has_room() const noexcept { return text_.size() < bytes_max / 2; }
  /// The next one. Not when empty; valid until `pop`.
  Message front();
  void pop();

  std::uint64_t received() const noexcept { return received_; }
  std::uint64_t dropped() const noexcept { return dropped_; }
  /// Where the last dropped one came in.
  const std::string& dropped_topic() const noexcept { return dropped_topic_; }

 private:
  struct Piece {
    std::size_t offset = 0;
    std::size_t size = 0;
  };
  struct Entry {
    Piece topic, payload;
    bool retained = false;
    std::size_t first_property = 0;
    std::size_t properties = 0;
    std::size_t first_subscription = 0;
    std::size_t subscriptions = 0;
  };
  struct Property {
    Piece name, value;
  };
  Piece store(std::string_view text);
  std::string_view view(Piece piece) const { return {text_.data() + piece.offset, piece.size}; }

  std::string text_;
  std::vector<Entry> entries_;
  std::vector<Property> properties_;
  std::vector<std::uint32_t> subscriptions_;
  std::vector<UserProperty> views_;  ///< of the front's properties
  std::size_t next_ = 0;
  std::uint64_t received_ = 0;
  std::uint64_t dropped_ = 0;
  std::string dropped_topic_;
};

}  // namespace smartmeterd::mqtt
