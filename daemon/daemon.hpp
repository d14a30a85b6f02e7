// SPDX-License-Identifier: Apache-2.0
// Daemon: the composition root. Joins loop, devices, meters, bus, MQTT and storage.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/backlog.hpp"
#include "daemon/config.hpp"
#include "daemon/devices.hpp"
#include "daemon/export/exports.hpp"
#include "daemon/history/recorder.hpp"
#include "daemon/history/storage.hpp"
#include "daemon/io/device_monitor.hpp"
#include "daemon/io/loop.hpp"
#include "daemon/meter_registry.hpp"
#include "daemon/mqtt/mqtt_sink.hpp"
#include "daemon/settings.hpp"
#include "daemon/sinks.hpp"
#include "daemon/sources.hpp"

namespace smartmeterd {

class Daemon {
 public:
  /// Throws std::system_error where not even a loop is to be had. A missing port, bus or broker
  /// is not an error.
  Daemon(Options options, Settings settings);
  ~Daemon();
  /// Until SIGTERM or SIGINT. SIGHUP reloads. Both must be blocked before any thread starts.
  void run();

 private:
  void watch_signals();
  void on_signals();
  void stop();
  void start_watchdog();
  void start_monitor();
  void start_bus();
  void start_recorder();
  /// A question of a client, whose meter's zone is that of the configuration.
  void ask_history(HistoryQuestion question, HistoryDone done);
  std::map<std::string, std::uint64_t, std::less<>> counters() const;
  void apply(Settings settings);
  void apply_brokers();
  /// Null where nothing is to be kept for it, or nothing can be.
  Backlog* backlog_of(const BrokerConfig& broker);
  /// Those that `next` has not as they are; null: all, because the service ends, and at their
  /// brokers everything stays as it is.
  void remove_brokers(const Config* next);
  void on_publisher(const Publisher& publisher);
  void forget_left();
  void finish_leaving();
  mqtt::MqttSink& broker_named(std::string_view name);
  /// Reads everything again; an empty text, or what is wrong (and nothing changed).
  std::string reload();
  void control_flow();
  void notify_status();

  Options options_;
  std::unique_ptr<io::Loop> loop_;
  Sinks sinks_;
  std::unique_ptr<history::Storage> storage_;
  MeterRegistry meters_;
  Config config_;
  Devices devices_;
  std::unique_ptr<io::DeviceMonitor> monitor_;
  std::unique_ptr<Sink> bus_;
  std::unique_ptr<history::Recorder> recorder_;  ///< null: nothing can be kept
  struct Broker {
    BrokerConfig config;
    std::unique_ptr<mqtt::MqttSink> sink;
    bool is_started = false;
  };
  std::vector<Broker> brokers_;
  std::vector<std::unique_ptr<mqtt::MqttSink>> leaving_;  ///< what waits there is being published
  Sources sources_;
  Exports exports_;
  int signal_fd_ = -1;
  io::Operation signal_poll_;
  io::Operation watchdog_timer_;
  io::Operation leave_limit_;
  io::Operation left_;
  bool is_stopping_ = false;
  std::uint64_t watchdog_us_ = 0;
  struct Status {  // what systemctl status shows
    std::size_t adapters = 0, meters = 0, online = 0, brokers = 0;
    friend bool operator==(const Status&, const Status&) = default;
  } status_;
};

}  // namespace smartmeterd
