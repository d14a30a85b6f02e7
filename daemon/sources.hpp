// SPDX-License-Identifier: Apache-2.0
// Sources: which sources there are, and on which brokers they listen.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config.hpp"
#include "daemon/model.hpp"
#include "daemon/mqtt/mqtt_sink.hpp"
#include "daemon/source.hpp"

namespace smartmeterd {

/// One Source for each [source.NAME], subscribed where its broker is.
class Sources {
 public:
  struct Environment {
    io::Loop& loop;
    Sink& sinks;
    MeterRegistry& meters;
    history::Storage& storage;
    std::function<bool(std::string_view)> is_name_taken;  ///< by an adapter that is no source's
  };
  explicit Sources(Environment environment) : environment_(std::move(environment)) {}

  /// What is configured now; those that stay as they were lose no message. `broker` gives the
  /// connection to a broker by its NAME.
  void configure(const Config& config, std::shared_ptr<const meter::dlms::KeyRing> keys,
                 const std::function<mqtt::MqttSink&(std::string_view)>& broker);
  /// The connection is about to go: what listens there ends.
  void forget(const mqtt::MqttSink& broker);
  void publisher_changed(const Publisher& publisher);
  /// Messages wait at their brokers meanwhile.
  void pause(bool is_paused);
  /// Shows a new sink every adapter.
  void introduce(Sink& sink) const;
  void clear();

 private:
  struct Listening {
    std::unique_ptr<Source> source;
    mqtt::MqttSink* broker;
  };
  void remove(const std::function<bool(const Listening&)>& is_over);

  Environment environment_;
  std::set<std::string, std::less<>> names_;  // of all their adapters
  std::vector<std::string> prefixes_;
  std::string instance_;
  bool accept_counter_reset_ = false;
  bool is_paused_ = false;
  std::vector<Listening> listening_;
};

}  // namespace smartmeterd
