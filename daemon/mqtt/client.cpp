// SPDX-License-Identifier: Apache-2.0
// Client: one broker on the loop, tried again for ever.
#include "daemon/mqtt/client.hpp"

#include <fmt/format.h>
#include <mqtt_protocol.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>
#include <utility>

#include "daemon/log.hpp"

namespace smartmeterd::mqtt {

namespace {

using std::chrono::seconds;

constexpr seconds back_off_min{1};
constexpr seconds back_off_max{60};
/// A wrong password does not become right within a minute, and brokers ban who insists.
constexpr seconds back_off_not_authorized{300};
/// Two clients with one id throw each other out: do not make it a race.
constexpr seconds back_off_taken_over{60};
/// Not every broker says why it throws a client out: so many short connections in a row are
/// taken for a dispute about the client id.
constexpr int short_connections_max = 3;
constexpr seconds short_connection{30};
/// The library's keep-alive, and its only connect time-out, need a call now and then.
constexpr seconds tick_interval{1};
/// Messages handed over in one go, so that a long outbox does not hold the loop up.
constexpr int burst_max = 64;

/// MQTT 5.0 section 2.4; 3.1.1 section 3.2.2.3 has the codes below 6.
constexpr int reason_taken_over = 142;
constexpr int refused_version_3 = 1;
constexpr int refused_user_3 = 4;
constexpr int refused_not_authorized_3 = 5;

void init_library() {
  [[maybe_unused]] static const int once = [] {
    // The library writes to sockets without MSG_NOSIGNAL.
    std::signal(SIGPIPE, SIG_IGN);
    return mosquitto_lib_init();
  }();
}

std::string address(const BrokerConfig& broker) {
  const bool is_ipv6 = broker.host.find(':') != std::string::npos;
  return is_ipv6 ? fmt::format("[{}]:{}", broker.host, broker.port)
                 : fmt::format("{}:{}", broker.host, broker.port);
}

bool is_not_authorized(int code) {
  return code == refused_user_3 || code == refused_not_authorized_3 ||
         code == MQTT_RC_BAD_USERNAME_OR_PASSWORD || code == MQTT_RC_NOT_AUTHORIZED;
}

}  // namespace

Client::Client(io::Loop& loop, const BrokerConfig& broker, std::string client_id,
               std::string status_topic, ClientListener& listener)
    : loop_(loop),
      broker_(broker),
      client_id_(std::move(client_id)),
      status_topic_(std::move(status_topic)),
      listener_(listener),
      outbox_(broker.outbox_bytes),
      version_5_(broker.protocol != "3.1.1"),
      back_off_(back_off_min),
      random_(std::random_device{}()),
      opened_([this](int result) {
        if (result != -ECANCELED) on_opened();
      }),
      socket_([this](int result) {
        if (result != -ECANCELED) on_socket(result);
      }),
      tick_([this](int result) {
        if (result != -ECANCELED) on_tick();
      }),
      retry_([this](int result) {
        if (result != -ECANCELED) connect();
      }),
      pump_again_([](int) {}) {
  publisher_.name = broker.name;
  publisher_.broker = address(broker);
  publisher_.state = "connecting";
  init_library();
  hook_ = loop_.add_before_wait([this] { before_wait(); });
}

Client::~Client() {
  loop_.remove_before_wait(hook_);
  drop_connection();
}

void Client::start() {
  connect();
}

void Client::connect() {
  if (shut_down_) return;
  set_state("connecting", publisher_.last_error);
  try {
    connection_ = Connection::start({broker_, client_id_, status_topic_, version_5_});
  } catch (const std::system_error& error) {
    wait(error.code().message(), next_back_off());
    return;
  }
  loop_.poll(opened_, connection_->event_fd(), POLLIN);
}

void Client::on_opened() {
  if (connection_ == nullptr || !connection_->opened()) return;
  eventfd_t count = 0;
  (void)eventfd_read(connection_->event_fd(), &count);
  if (connection_->password_file_is_open_to_others() && !exposed_password_logged_) {
    exposed_password_logged_ = true;
    log::warning("mqtt {}: others may read {}", broker_.name, broker_.password_file.string());
  }
  if (!connection_->open_error().empty()) {
    wait(connection_->open_error(), next_back_off());
    return;
  }
  has_socket_ = true;
  if (!tick_.pending()) loop_.timer(tick_, loop_.now() + tick_interval);
}

void Client::on_socket(int revents) {
  if (!has_socket_) return;
  mosquitto* handle = connection_->handle();
  // Reading comes first and always: only it drives a TLS handshake, and a broker that closes says
  // why before a write fails.
  int code = mosquitto_loop_read(handle, 1);
  if (code == MOSQ_ERR_SUCCESS && (revents & POLLOUT) != 0) code = mosquitto_loop_write(handle, 1);
  settle(code);
}

void Client::on_tick() {
  if (!has_socket_) return;
  loop_.timer(tick_, loop_.now() + tick_interval);
  settle(mosquitto_loop_misc(connection_->handle()));
  if (online_) listener_.broker_tick();
  count();
}

void Client::before_wait() {
  if (!has_socket_) return;
  pump();
  mosquitto* handle = connection_->handle();
  const int fd = mosquitto_socket(handle);
  if (fd < 0) {
    settle(MOSQ_ERR_CONN_LOST);
    return;
  }
  const auto events = static_cast<short>(POLLIN | (mosquitto_want_write(handle) ? POLLOUT : 0));
  if (!socket_.pending()) {
    armed_events_ = events;
    loop_.poll(socket_, fd, events);
  } else if ((events & ~armed_events_) != 0) {
    loop_.cancel(socket_);  // armed anew before the next wait
  }
}

/// Looks at what the library's callbacks left behind after a call that returned `code`.
void Client::settle(int code) {
  const Connection& connection = *connection_;
  if (shut_down_) {
    if (code != MOSQ_ERR_SUCCESS || connection.disconnect()) drop_connection();
  } else if (connection.connack().value_or(0) != 0) {
    refused(*connection.connack());
  } else if (connection.disconnect() || code != MOSQ_ERR_SUCCESS) {
    lost(connection.disconnect().value_or(code));
  } else if (connection.connack() && !online_) {
    come_online();
  }
}

void Client::come_online() {
  online_ = true;
  back_off_ = back_off_min;
  online_since_ = loop_.now();
  logged_error_.clear();
  log::write(log::Level::notice, log::Event::broker_back,
             fmt::format("mqtt {}: connected to {}, MQTT {}", broker_.name, publisher_.broker,
                         version_5_ ? "5" : "3.1.1"));
  if (!status_topic_.empty())
    send({.topic = status_topic_, .payload = "online", .retain = true, .qos = 1});
  subscribe_all();
  outbox_.say_everything_again();
  set_state("online", {});
  listener_.broker_online();
  pump();
  count();
}

void Client::refused(int code) {
  const bool version =
      code == (version_5_ ? int{MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION} : refused_version_3);
  if (version && version_5_ && broker_.protocol == "auto") {
    log::notice("mqtt {}: the broker does not speak MQTT 5, trying 3.1.1", broker_.name);
    version_5_ = false;
    drop_connection();
    connect();
  } else if (version) {
    wait("MQTT version not supported by the broker", next_back_off());
  } else if (is_not_authorized(code)) {
    wait("not authorized", back_off_not_authorized);
  } else {
    wait(fmt::format("refused: {}",
                     version_5_ ? mosquitto_reason_string(code) : mosquitto_connack_string(code)),
         next_back_off());
  }
}

void Client::lost(int code) {
  const int error_number = errno;
  const std::string tls_error = broker_.tls ? connection_->tls_error() : "";
  if (!online_ && !tls_error.empty()) {
    wait(tls_error, next_back_off());
  } else if (code == reason_taken_over) {
    wait(fmt::format("another client uses the client id {}", client_id_), back_off_taken_over);
  } else if (code >= 0x80) {
    wait(fmt::format("closed by the broker: {}", mosquitto_reason_string(code)), next_back_off());
  } else if (code == MOSQ_ERR_KEEPALIVE) {
    wait("the broker does not answer", next_back_off());
  } else if (code == MOSQ_ERR_CONN_LOST ||
             (code == MOSQ_ERR_ERRNO && (error_number == EPIPE || error_number == ECONNRESET))) {
    closed_by_broker();
  } else if (code == MOSQ_ERR_ERRNO && error_number != 0) {
    wait(std::strerror(error_number), next_back_off());
  } else {
    // An old broker may refuse MQTT 5 with an answer that MQTT 5 cannot read.
    if (!online_ && code == MOSQ_ERR_PROTOCOL && broker_.protocol == "auto")
      version_5_ = !version_5_;
    wait(mosquitto_strerror(code), next_back_off());
  }
}

void Client::closed_by_broker() {
  if (!online_) {
    wait("closed by the broker before it answered", next_back_off());
    return;
  }
  const bool was_short = loop_.now() - online_since_ < short_connection;
  short_connections_ = was_short ? short_connections_ + 1 : 0;
  if (short_connections_ < short_connections_max)
    wait("connection lost", next_back_off());
  else
    wait(fmt::format("connection lost again and again: another client may use the client id {}",
                     client_id_),
         back_off_taken_over);
}

seconds Client::next_back_off() noexcept {
  return std::exchange(back_off_, std::min(back_off_ * 2, back_off_max));
}

void Client::wait(std::string reason, seconds delay) {
  drop_connection();
  if (reason != logged_error_) {
    log::write(
        log::Level::warning, log::Event::broker_lost,
        fmt::format("mqtt {}: {}: {}; trying again", broker_.name, publisher_.broker, reason));
    logged_error_ = reason;
  }
  // ±20 %, so that a fleet does not come back in one wave.
  const auto jittered =
      std::chrono::milliseconds(delay) * std::uniform_int_distribution<int>(80, 120)(random_) / 100;
  loop_.timer(retry_, loop_.now() + jittered);
  set_state("waiting", std::move(reason));
}

void Client::drop_connection() {
  online_ = false;
  has_socket_ = false;
  // A pending poll would keep the connection alive behind the library's back.
  for (io::Operation* operation : {&opened_, &socket_, &retry_})
    if (operation->pending()) loop_.cancel(*operation);
  connection_.reset();
}

void Client::shut_down() {
  if (shut_down_) return;
  pump();
  shut_down_ = true;
  if (online_) {
    if (!status_topic_.empty())
      send({.topic = status_topic_, .payload = "offline", .retain = true, .qos = 1});
    online_ = false;
    mosquitto_disconnect(connection_->handle());
    settle(MOSQ_ERR_SUCCESS);
  } else {
    drop_connection();
  }
  set_state("disabled", {});
}

bool Client::can_send() const noexcept {
  return online_ && !mosquitto_want_write(connection_->handle());
}

void Client::publish(const Publication& publication) {
  if (publication.retain) {
    outbox_.retain(publication.topic, publication.payload);
    pump();
  } else {
    pump();
    if (!can_send() || !outbox_.empty() || !send(publication))
      outbox_.append(publication.topic, publication.payload);
  }
  count();
}

void Client::publish_if_changed(const Publication& publication) {
  if (!outbox_.holds(publication.topic, publication.payload)) publish(publication);
}

void Client::remove(std::string_view topic) {
  outbox_.remove(topic);
  pump();
  count();
}

void Client::remove_below(std::string_view topic_prefix) {
  outbox_.remove_below(topic_prefix);
  pump();
  count();
}

void Client::say_again_below(std::string_view topic_prefix) {
  if (online_ && status_topic_.starts_with(topic_prefix))
    send({.topic = status_topic_, .payload = "online", .retain = true, .qos = 1});
  outbox_.say_again_below(topic_prefix);
  pump();
  count();
}

void Client::subscribe(std::string filter, int qos) {
  subscriptions_.push_back({std::move(filter), qos});
  if (online_)
    mosquitto_subscribe(connection_->handle(), nullptr, subscriptions_.back().filter.c_str(), qos);
}

void Client::unsubscribe(const std::string& filter) {
  std::erase_if(subscriptions_, [&](const auto& one) { return one.filter == filter; });
  if (online_) mosquitto_unsubscribe(connection_->handle(), nullptr, filter.c_str());
}

void Client::subscribe_all() {
  for (const Subscription& subscription : subscriptions_)
    mosquitto_subscribe(connection_->handle(), nullptr, subscription.filter.c_str(),
                        subscription.qos);
}

bool Client::offer(const Publication&, std::uint64_t) {
  return false;
}

/// Hands over what waits until the socket is full.
void Client::pump() {
  for (int handed_over = 0; can_send() && !outbox_.empty(); ++handed_over) {
    if (handed_over == burst_max) {
      if (!pump_again_.pending()) loop_.timer(pump_again_, loop_.now());
      return;
    }
    const Outbox::Message message = outbox_.front();
    if (!send({.topic = message.topic, .payload = message.payload, .retain = message.retain}))
      return;
    outbox_.pop();
  }
}

/// False when the message could not be handed over for want of a connection.
bool Client::send(const Publication& publication) {
  topic_.assign(publication.topic);
  const int code = mosquitto_publish(connection_->handle(), nullptr, topic_.c_str(),
                                     static_cast<int>(publication.payload.size()),
                                     publication.payload.data(), publication.qos,
                                     publication.retain);
  switch (code) {
    case MOSQ_ERR_NO_CONN:
      return false;
    case MOSQ_ERR_INVAL:
    case MOSQ_ERR_PAYLOAD_SIZE:
    case MOSQ_ERR_OVERSIZE_PACKET:
    case MOSQ_ERR_MALFORMED_UTF8:
    case MOSQ_ERR_QOS_NOT_SUPPORTED:
      outbox_.count_dropped();
      if (!std::exchange(refusal_logged_, true))
        log::warning("mqtt {}: cannot publish {}: {}", broker_.name, topic_,
                     mosquitto_strerror(code));
      return true;
    default:
      return true;  // an error of the socket: loop_read finds out
  }
}

void Client::count() {
  publisher_.queued = outbox_.queued();
  publisher_.dropped = outbox_.dropped();
}

void Client::set_state(std::string_view state, std::string last_error) {
  count();
  if (publisher_.state == state && publisher_.last_error == last_error) return;
  publisher_.state = state;
  publisher_.last_error = std::move(last_error);
  listener_.client_changed();
}

}  // namespace smartmeterd::mqtt
