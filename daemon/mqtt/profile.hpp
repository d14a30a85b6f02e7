// SPDX-License-Identifier: Apache-2.0
// Profile: one set of topics on one broker.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/backlog.hpp"
#include "daemon/config.hpp"
#include "daemon/io/loop.hpp"
#include "daemon/model.hpp"
#include "daemon/mqtt/message.hpp"

namespace smartmeterd::mqtt {

class Client;

/// What a profile works with; all of it outlives the profile.
struct ProfileContext {
  io::Loop& loop;
  Client& client;
  const BrokerConfig& broker;
  const std::string& instance;
  Backlog* backlog = nullptr;  ///< null: what the broker misses is not kept
};

/// Publishes what the sinks are told in topics and words of its own. Never blocks, never throws.
class Profile : public Sink {
 public:
  /// CONNACK came. What is retained is said again by the client.
  virtual void broker_online() {}
  /// Once a second while online.
  virtual void tick() {}
  /// Last words before the client disconnects.
  virtual void shut_down() {}
  /// Every message that came in on this broker, whoever subscribed.
  virtual void message(const Message&) {}
  /// The broker has what `Client::offer` was given with this ticket.
  virtual void acknowledged(std::uint64_t /*ticket*/) {}
};

}  // namespace smartmeterd::mqtt
