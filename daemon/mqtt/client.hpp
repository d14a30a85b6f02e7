// SPDX-License-Identifier: Apache-2.0
// Client: one broker on the loop, tried again for ever.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config.hpp"
#include "daemon/io/loop.hpp"
#include "daemon/model.hpp"
#include "daemon/mqtt/connection.hpp"
#include "daemon/mqtt/inbox.hpp"
#include "daemon/mqtt/message.hpp"
#include "daemon/mqtt/outbox.hpp"

namespace smartmeterd::mqtt {

/// Told what happens to a client.
class ClientListener {
 public:
  virtual ~ClientListener() = default;
  /// CONNACK came; everything retained is about to be said again.
  virtual void broker_online() = 0;
  /// Once a second while online.
  virtual void broker_tick() = 0;
  /// State or last error changed.
  virtual void client_changed() = 0;
  /// Something came in, on any filter. Publishing from here is fine, destroying the client is not.
  virtual void message(const Message&) {}
  /// The broker does not let this client read there.
  virtual void subscription_refused(std::string_view /*filter*/, std::string_view /*reason*/) {}
  /// The broker has what `Client::offer` was given with this ticket.
  virtual void acknowledged(std::uint64_t /*ticket*/) {}
  /// `Client::is_congested` changed.
  virtual void congestion_changed() {}
};

/// Connects, reconnects with back-off, and publishes as fast as the socket takes it; what has to
/// wait is in the outbox, never in the library. No call blocks or throws.
class Client {
 public:
  /// `status_topic` says "online" after each connect and "offline" by last will; empty: neither.
  /// `gateway`: see `gateway_property`, which every message has with MQTT 5; empty: none has.
  Client(io::Loop& loop, const BrokerConfig& broker, std::string client_id,
         std::string status_topic, ClientListener& listener, std::string gateway = {});
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void start();
  /// Retained: kept, said again after each connect, and the newest wins while the broker is away.
  /// Not retained: waits in order while the broker is away, the oldest makes room. While online
  /// and the socket is full, everything waits in order and nothing is replaced.
  void publish(const Publication& publication);
  /// The same for what is retained, but not a second time in a row.
  void publish_if_changed(const Publication& publication);
  /// The next message that is published shows how long a telegram takes into the broker's socket
  /// whose last byte was read at this time; nothing: it shows none.
  void measure_next(std::optional<io::TimePoint> last_byte) noexcept {
    next_last_byte_ = last_byte;
  }
  /// Takes a retained topic off the broker, whoever published it.
  void remove(std::string_view topic);
  /// The same for every topic published here that begins like this.
  void remove_below(std::string_view topic_prefix);
  /// The same, and the status too, when it has shut down: instead of "offline".
  void take_back_below(std::string_view topic_prefix);
  /// Says what is retained and begins like this again, for who came after it was said.
  void say_again_below(std::string_view topic_prefix);
  /// Subscribes now and after each connect. MQTT 5: what this client publishes does not come back.
  /// Returns its number, which `Message::subscriptions` has; the same filter has the same one.
  std::uint32_t subscribe(std::string filter, int qos);
  void unsubscribe(const std::string& filter);
  /// Hands over at QoS 1, but only while online, with nothing else waiting and fewer than 20
  /// messages in flight; false otherwise. `acknowledged` tells when the broker has it; what was
  /// not acknowledged when the connection ended has to be offered again.
  bool offer(const Publication& publication, std::uint64_t ticket);
  /// The broker is there, but takes less than it is given: much waits. Who hands messages on from
  /// another broker then pauses there.
  bool is_congested() const noexcept { return is_congested_; }
  /// Messages stay where they are, at last with the broker: its TCP connection fills up. A pause
  /// longer than the keepalive ends the connection, and a session keeps the messages.
  void pause_reading(bool is_paused);
  /// Hands over what has come in already, for nothing gets it a second time, and takes no more.
  void stop_reading();
  /// Publishes what waits, says "offline", disconnects, and stays so: then its state is "disabled".
  /// At once where there is no broker. The caller runs the loop, for as long as it likes to wait.
  void shut_down();

  bool online() const noexcept { return online_; }
  const Publisher& publisher() const noexcept { return publisher_; }

 private:
  struct Subscription {
    std::string filter;
    int qos;
    std::uint32_t id;
  };
  void connect();
  void on_opened();
  void on_socket(int revents);
  void on_left();
  void on_tick();
  void before_wait();
  void settle(int code);
  void come_online();
  void refused(int code);
  void lost(int code);
  void closed_by_broker();
  void wait(std::string reason, std::chrono::seconds delay, bool is_unauthorized = false);
  void drop_connection();
  void leave_when_done();
  void end();
  void read(int revents);
  void deliver();
  bool is_blocked() const noexcept;
  void answers();
  void answered(const Connection::InFlight& message);
  void forbidden(std::string what);
  void subscribe(const Subscription& subscription, bool is_known);
  void pump();
  bool can_send(int qos) const noexcept;
  std::optional<int> send(const Publication& publication, std::uint64_t ticket = 0);
  bool wants_to_read() const noexcept;
  void measure(io::TimePoint last_byte);
  void measure_written();
  void count();
  void set_state(PublisherState state, std::string last_error);
  std::chrono::seconds next_back_off() noexcept;

  io::Loop& loop_;
  BrokerConfig broker_;
  std::string client_id_;
  std::string status_topic_;
  std::string gateway_;
  ClientListener& listener_;
  Publisher publisher_;
  Outbox outbox_;
  Inbox inbox_;
  std::vector<Subscription> subscriptions_;
  std::uint32_t last_subscription_id_ = 0;
  std::shared_ptr<Connection> connection_;
  bool version_5_;
  bool has_socket_ = false;  ///< the connect thread is done with the connection
  bool online_ = false;
  bool is_status_taken_back_ = false;
  bool is_leaving_ = false;  ///< for good, once nothing waits
  bool takes_messages_ = true;
  int left_fd_ = -1;  ///< see Connection::leave
  bool exposed_password_logged_ = false;
  bool refusal_logged_ = false;
  bool long_message_logged_ = false;
  bool full_inbox_logged_ = false;
  bool overflow_logged_ = false;
  bool is_congested_ = false;
  bool is_paused_ = false;
  std::set<std::string, std::less<>> forbidden_;  ///< what the journal has of it
  std::string forbidden_topic_;                   ///< the one that last_error names
  std::string logged_error_;                      ///< the reason that the journal has
  std::chrono::seconds back_off_;
  io::TimePoint online_since_{};
  std::optional<io::TimePoint> next_last_byte_;  ///< see measure_next
  std::optional<io::TimePoint> unwritten_;       ///< of the message that the library is writing
  int short_connections_ = 0;
  std::minstd_rand random_;
  short armed_events_ = 0;
  int hook_ = 0;
  io::Operation opened_;
  io::Operation socket_;
  io::Operation tick_;
  io::Operation left_;
  io::Operation connect_limit_;
  io::Operation retry_;
  io::Operation pump_again_;
  io::Operation deliver_again_;
};

}  // namespace smartmeterd::mqtt
