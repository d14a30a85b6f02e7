// SPDX-License-Identifier: Apache-2.0
// Connection: one life of a libmosquitto object, opened by a short-lived thread.
#pragma once

#include <mosquitto.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "daemon/config.hpp"

namespace smartmeterd::mqtt {

/// One attempt to reach the broker, and the connection that came of it. Resolving a name blocks
/// (getaddrinfo), so `open` runs in a thread of its own that nobody waits for: until `opened()`
/// only that thread touches the object, afterwards only the loop. Whoever lets go last frees it.
class Connection {
 public:
  struct Settings {
    BrokerConfig broker;
    std::string client_id;
    std::string will_topic;  ///< gets "offline", retained, QoS 1
    bool version_5 = true;
  };

  /// Throws std::system_error without an eventfd or thread.
  static std::shared_ptr<Connection> start(Settings settings);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Readable once `opened()` is true.
  int event_fd() const noexcept { return event_fd_; }
  bool opened() const noexcept { return opened_.load(std::memory_order_acquire); }

  // From here on: only after `opened()`.

  /// Why there is no connection; empty when there is one.
  const std::string& open_error() const noexcept { return open_error_; }
  bool password_file_is_open_to_others() const noexcept { return password_exposed_; }
  mosquitto* handle() const noexcept { return handle_; }
  /// The CONNACK's code, as MQTT 5 or 3.1.1 has it; nothing until it came.
  std::optional<int> connack() const noexcept { return connack_; }
  /// Set once the library closed the connection: MOSQ_ERR_… or an MQTT 5 reason of 128 and above.
  std::optional<int> disconnect() const noexcept { return disconnect_; }
  /// What TLS complained about, in words; empty if nothing.
  std::string tls_error() const;

 private:
  explicit Connection(Settings settings);
  void open();
  int configure();
  int configure_tls();
  int read_password(std::string& password);
  static void on_connect(mosquitto*, void* self, int code, int flags, const mosquitto_property*);
  static void on_disconnect(mosquitto*, void* self, int code, const mosquitto_property*);
  static void on_log(mosquitto*, void* self, int level, const char* text);

  Settings settings_;
  int event_fd_ = -1;
  std::atomic<bool> opened_ = false;
  mosquitto* handle_ = nullptr;
  std::string open_error_;
  bool password_exposed_ = false;
  std::string library_error_;  ///< the library's first error line
  std::optional<int> connack_;
  std::optional<int> disconnect_;
};

}  // namespace smartmeterd::mqtt
