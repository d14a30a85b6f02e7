// SPDX-License-Identifier: Apache-2.0
// Connection: one life of a libmosquitto object, opened by a short-lived thread.
#pragma once

#include <mosquitto.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/config.hpp"
#include "daemon/mqtt/inbox.hpp"
#include "daemon/mqtt/message.hpp"

namespace smartmeterd::mqtt {

/// One attempt to reach the broker, and the connection that came of it. Resolving a name blocks
/// (getaddrinfo), so `open` runs in a thread of its own that nobody waits for: until `opened()`
/// only that thread touches the object, afterwards only the loop. Whoever lets go last frees it.
class Connection {
 public:
  struct Settings {
    BrokerConfig broker;
    std::string client_id;
    std::string will_topic;  ///< gets "offline", retained, QoS 1; empty: no will
    std::string gateway;     ///< who publishes, as every message says with MQTT 5; empty: none does
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
  /// A file with a secret that others may read; empty: none.
  const std::string& exposed_file() const noexcept { return exposed_file_; }
  mosquitto* handle() const noexcept { return handle_; }
  /// The CONNACK's code, as MQTT 5 or 3.1.1 has it; nothing until it came.
  std::optional<int> connack() const noexcept { return connack_; }
  /// Set once the library closed the connection: MOSQ_ERR_… or an MQTT 5 reason of 128 and above.
  std::optional<int> disconnect() const noexcept { return disconnect_; }
  /// What TLS complained about, in words; empty if nothing.
  std::string tls_error() const;

  /// Where messages go.
  void deliver_to(Inbox& inbox) noexcept { inbox_ = &inbox; }

  /// One message at QoS 1 that the broker has not answered yet.
  struct InFlight {
    int mid = 0;  ///< the packet's id; 0: the place is free
    std::uint64_t ticket = 0;
    std::string topic;
    int reason = -1;  ///< of the PUBACK: 128 and above refuse; -1: it did not come yet
  };
  /// Handed over, with its packet id at QoS 1 (the broker may allow less than asked for), 0 at
  /// QoS 0; or MOSQ_ERR_….
  struct HandedOver {
    int code = MOSQ_ERR_SUCCESS;
    int mid = 0;
  };
  HandedOver publish(const Publication& publication, std::uint64_t ticket = 0);
  /// The window has room for a message of this QoS.
  bool may_publish(int qos) const noexcept { return qos == 0 || in_flight_ < in_flight_limit_; }
  std::size_t in_flight() const noexcept { return in_flight_; }
  /// One that was answered, if there is one; its place becomes free.
  std::optional<InFlight> take_answered();

  /// The broker still has what was subscribed before.
  bool session_present() const noexcept { return session_present_; }
  /// With `is_known`, retained messages come only where the broker did not know the filter. `id` is
  /// what the broker calls the subscription in its messages, with MQTT 5.
  int subscribe(const std::string& filter, int qos, std::uint32_t id, bool is_known);
  int unsubscribe(const std::string& filter);
  /// A filter that was refused, and why; one at a time.
  struct Refusal {
    std::string filter;
    int reason;
  };
  std::optional<Refusal> take_refusal();

  /// DISCONNECT. A further descriptor of its socket, or -1: one that is closed with something
  /// unread in it resets its connection, and the broker throws away what it has not read yet. So it
  /// is to be read until the broker has closed it, and closed then.
  int leave();

 private:
  explicit Connection(Settings settings);
  void open();
  int configure();
  int configure_will();
  int connect();
  int configure_tls();
  int configure_psk();
  int read_secret(const std::filesystem::path& file, std::string_view what, std::string& secret);
  static void on_connect(mosquitto*, void* self, int code, int flags, const mosquitto_property*);
  static void on_publish(mosquitto*, void* self, int mid, int reason, const mosquitto_property*);
  static void on_subscribe(mosquitto*, void* self, int mid, int count, const int* granted,
                           const mosquitto_property*);
  static void on_message(mosquitto*, void* self, const mosquitto_message* message,
                         const mosquitto_property* properties);
  static void on_disconnect(mosquitto*, void* self, int code, const mosquitto_property*);
  static void on_log(mosquitto*, void* self, int level, const char* text);

  Settings settings_;
  int event_fd_ = -1;
  std::atomic<bool> opened_ = false;
  mosquitto* handle_ = nullptr;
  std::string open_error_;
  std::string exposed_file_;
  std::string mosquitto_error_;  ///< the library's first error line
  long verify_result_ = 0;     ///< OpenSSL's, X509_V_OK if nothing is wrong
  std::optional<int> connack_;
  std::optional<int> disconnect_;
  Inbox* inbox_ = nullptr;
  static constexpr std::size_t in_flight_max = 20;
  std::array<InFlight, in_flight_max> window_;
  std::size_t in_flight_ = 0;
  std::size_t in_flight_limit_ = in_flight_max;  ///< the broker may set less
  int qos_max_ = 1;
  bool session_present_ = false;
  bool has_subscription_ids_ = false;
  struct Asked {
    int mid;
    std::string filter;
    int reason = 0;
  };
  std::vector<Asked> asked_;  ///< subscriptions without an answer, or refused
  std::string topic_;         ///< of what is handed over: the library wants its end marked
  std::string text_;
};

}  // namespace smartmeterd::mqtt
