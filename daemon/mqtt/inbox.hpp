// SPDX-License-Identifier: Apache-2.0
// Inbox: what came in, from the library's callback until it is delivered.
#pragma once

#include <mosquitto.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/mqtt/message.hpp"

namespace smartmeterd::mqtt {

/// Messages in the order of their arrival, in memory that is used again. What is published from
/// inside the library's callback waits for a further turn of its loop, therefore messages are
/// copied here and delivered after it.
class Inbox {
 public:
  /// The longest that is read back is discovery of our own: of the service with 200 adapters. What
  /// a source takes has limits of its own.
  static constexpr std::size_t payload_size_max = 256 * 1024;
  /// Of all that waits.
  static constexpr std::size_t bytes_max = 1024 * 1024;

  enum class Loss : std::uint8_t { too_long, no_room };
  struct Lost {
    Loss why;
    std::string topic;
  };

  /// False, and counted: lost.
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
  /// The last one that was dropped, told once.
  std::optional<Lost> take_lost() { return std::exchange(lost_, std::nullopt); }

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
  std::optional<Lost> lost_;
};

}  // namespace smartmeterd::mqtt
