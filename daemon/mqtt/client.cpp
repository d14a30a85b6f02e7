// SPDX-License-Identifier: Apache-2.0
// Client: one broker on the loop, tried again for ever.
#include "daemon/mqtt/client.hpp"

#include <fmt/format.h>
#include <mqtt_protocol.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
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
/// The library refuses a shorter keepalive.
constexpr seconds connect_limit_min{5};
/// Messages handed over or read in one go, so that a long row of them does not hold the loop up.
constexpr int burst_max = 64;
/// Topics in the journal that the broker refuses.
constexpr std::size_t forbidden_max = 16;

/// What a ticket of our own stands for; a listener's tickets come after it.
enum class Kind : std::uint64_t { plain, live, offered };

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
  if (!broker.socket.empty()) return "unix://" + broker.socket.string();
  return host_and_port_text(broker.host, broker.port);
}

bool is_not_authorized(int code) {
  return code == refused_user_3 || code == refused_not_authorized_3 ||
         code == MQTT_RC_BAD_USERNAME_OR_PASSWORD || code == MQTT_RC_NOT_AUTHORIZED;
}

}  // namespace

Client::Client(io::Loop& loop, const BrokerConfig& broker, std::string client_id,
               std::string status_topic, ClientListener& listener, std::string gateway)
    : loop_(loop),
      broker_(broker),
      client_id_(std::move(client_id)),
      status_topic_(std::move(status_topic)),
      gateway_(std::move(gateway)),
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
      left_([this](int result) {
        if (result != -ECANCELED) on_left();
      }),
      connect_limit_([this](int result) {
        if (result != -ECANCELED) wait("no answer from the broker", next_back_off());
      }),
      retry_([this](int result) {
        if (result != -ECANCELED) connect();
      }),
      pump_again_([](int) {}),
      deliver_again_([this](int result) {
        if (result != -ECANCELED) deliver();
      }) {
  publisher_.name = broker.name;
  publisher_.role = name(broker.role);
  publisher_.broker = address(broker);
  publisher_.state = PublisherState::connecting;
  init_library();
  hook_ = loop_.add_before_wait([this] { before_wait(); });
}

Client::~Client() {
  loop_.remove_before_wait(hook_);
  drop_connection();
  if (left_fd_ >= 0) loop_.close(left_fd_);
}

void Client::start() {
  connect();
}

void Client::connect() {
  if (is_leaving_) return;
  set_state(PublisherState::connecting, publisher_.last_error);
  try {
    connection_ = Connection::start({broker_, client_id_, status_topic_, gateway_, version_5_});
  } catch (const std::system_error& error) {
    wait(error.code().message(), next_back_off());
    return;
  }
  loop_.poll(opened_, connection_->event_fd(), POLLIN);
  // The kernel gives an address that does not answer up after two minutes, and the thread with it.
  loop_.timer(connect_limit_, loop_.now() + std::max(broker_.keepalive, connect_limit_min));
}

void Client::on_opened() {
  if (connection_ == nullptr || !connection_->opened()) return;
  loop_.cancel(connect_limit_);
  eventfd_t count = 0;
  (void)eventfd_read(connection_->event_fd(), &count);
  if (!connection_->exposed_file().empty() && !exposed_password_logged_) {
    exposed_password_logged_ = true;
    log::warning("mqtt {}: others may read {}", broker_.name, connection_->exposed_file());
  }
  if (!connection_->open_error().empty()) {
    wait(connection_->open_error(), next_back_off());
    return;
  }
  has_socket_ = true;
  connection_->deliver_to(inbox_);
  if (!tick_.pending()) loop_.timer(tick_, loop_.now() + tick_interval);
}

void Client::on_socket(int revents) {
  if (!has_socket_) return;
  read(revents);
  deliver();
}

void Client::read(int revents) {
  mosquitto* handle = connection_->handle();
  if (!wants_to_read() && !(inbox_.has_room() && (revents & (POLLHUP | POLLERR)) != 0)) {
    const bool is_over = (revents & (POLLHUP | POLLERR)) != 0;
    return settle(is_over ? int{MOSQ_ERR_CONN_LOST} : mosquitto_loop_write(handle, 1));
  }
  // Reading comes first and always: only it drives a TLS handshake, and a broker that closes says
  // why before a write fails. One turn reads one message or a few.
  int code = MOSQ_ERR_SUCCESS;
  std::uint64_t before = 0;
  int turns = 0;
  do {
    before = inbox_.received();
    code = mosquitto_loop_read(handle, 1);
  } while (code == MOSQ_ERR_SUCCESS && inbox_.received() != before && inbox_.has_room() &&
           ++turns < burst_max);
  if (code == MOSQ_ERR_SUCCESS && (revents & POLLOUT) != 0) code = mosquitto_loop_write(handle, 1);
  settle(code);
}

/// Outside of the library's callbacks, so that what is published in answer is written at once.
void Client::deliver() {
  while ((!is_paused_ || is_blocked() || !takes_messages_) && !inbox_.empty()) {
    listener_.message(inbox_.front());
    inbox_.pop();
  }
  const auto lost = inbox_.take_lost();
  if (!lost) return;
  if (lost->why == Inbox::Loss::too_long && !std::exchange(long_message_logged_, true))
    log::warning("mqtt {}: a message on {} is longer than {} KiB: dropped", broker_.name,
                 lost->topic, Inbox::payload_size_max / 1024);
  if (lost->why == Inbox::Loss::no_room && !std::exchange(full_inbox_logged_, true))
    log::warning(
        "mqtt {}: a message on {} is dropped: {} KiB wait already until a slow broker has "
        "taken them; expect further ones",
        broker_.name, lost->topic, Inbox::bytes_max / 1024);
}

void Client::pause_reading(bool is_paused) {
  // In a turn of its own: whoever calls may be in the middle of something.
  if (is_paused_ && !is_paused && !deliver_again_.pending())
    loop_.timer(deliver_again_, loop_.now());
  is_paused_ = is_paused;
}

void Client::stop_reading() {
  takes_messages_ = false;
  deliver();
}

/// The answers that the broker owes stand behind more messages than there is room for, and without
/// them nothing that waits goes out: the pause would never end. mosquitto 2.0.11 sends a queue that
/// has formed whatever the receive maximum says. What the outbox cannot hold then is counted.
bool Client::is_blocked() const noexcept {
  return online_ && connection_->in_flight() > 0 && !inbox_.has_room();
}

/// In a pause too while the broker owes answers to what was published here: those come behind the
/// messages.
bool Client::wants_to_read() const noexcept {
  const bool is_paused = is_paused_ || !takes_messages_;
  return !online_ || !is_paused || (connection_->in_flight() > 0 && inbox_.has_room());
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
  count();
  leave_when_done();
  if (!has_socket_) return;
  mosquitto* handle = connection_->handle();
  const int fd = mosquitto_socket(handle);
  if (fd < 0) {
    settle(MOSQ_ERR_CONN_LOST);
    return;
  }
  const auto events = static_cast<short>((wants_to_read() ? POLLIN : 0) |
                                         (mosquitto_want_write(handle) ? POLLOUT : 0));
  if (!socket_.pending()) {
    armed_events_ = events;
    loop_.poll(socket_, fd, events);
  } else if (events != armed_events_) {
    loop_.cancel(socket_);  // armed anew before the next wait
  }
}

/// Looks at what the library's callbacks left behind after a call that returned `code`.
void Client::settle(int code) {
  if (code == MOSQ_ERR_SUCCESS) measure_written();
  const Connection& connection = *connection_;
  if (is_leaving_) {
    if (code != MOSQ_ERR_SUCCESS || connection.disconnect())
      end();
    else
      answers();
  } else if (connection.connack().value_or(0) != 0) {
    refused(*connection.connack());
  } else if (connection.disconnect() || code != MOSQ_ERR_SUCCESS) {
    lost(connection.disconnect().value_or(code));
  } else if (connection.connack() && !online_) {
    come_online();
  } else {
    answers();
  }
}

/// PUBACKs and refused subscriptions. A listener that is told may publish, or shut the client down.
void Client::answers() {
  while (connection_ != nullptr) {
    const auto message = connection_->take_answered();
    if (!message) break;
    answered(*message);
  }
  while (connection_ != nullptr) {
    const auto refusal = connection_->take_refusal();
    if (!refusal) break;
    const char* reason = version_5_ ? mosquitto_reason_string(refusal->reason) : "refused";
    forbidden(fmt::format("not allowed to subscribe to {}: {}", refusal->filter, reason));
    listener_.subscription_refused(refusal->filter, reason);
  }
}

void Client::answered(const Connection::InFlight& message) {
  const bool is_refused = message.reason >= 0x80;
  const bool is_offered = message.ticket >= static_cast<std::uint64_t>(Kind::offered);
  if (message.ticket == static_cast<std::uint64_t>(Kind::live)) {
    outbox_.acknowledged(message.mid);
    if (is_refused) outbox_.count_dropped();
  }
  if (is_refused) {
    forbidden_topic_ = message.topic;
    forbidden(fmt::format("not allowed to publish {}: {}", message.topic,
                          mosquitto_reason_string(message.reason)));
  } else if (online_ && !is_leaving_ && message.topic == forbidden_topic_) {
    forbidden_topic_.clear();
    set_state(PublisherState::online, {});
  }
  if (is_offered && !is_refused)
    listener_.acknowledged(message.ticket - static_cast<std::uint64_t>(Kind::offered));
}

/// The connection stays: the broker takes, or gives, other topics.
void Client::forbidden(std::string what) {
  if (!online_ || is_leaving_) return;
  if (forbidden_.size() < forbidden_max && forbidden_.insert(what).second)
    log::warning("mqtt {}: {}: {}", broker_.name, publisher_.broker, what);
  set_state(PublisherState::online, std::move(what));
}

void Client::come_online() {
  online_ = true;
  publisher_.is_unauthorized = false;
  back_off_ = back_off_min;
  online_since_ = loop_.now();
  logged_error_.clear();
  log::write(log::Level::notice, log::Event::broker_back,
             fmt::format("mqtt {}: connected to {}, MQTT {}", broker_.name, publisher_.broker,
                         version_5_ ? "5" : "3.1.1"));
  forbidden_.clear();
  forbidden_topic_.clear();
  if (!status_topic_.empty())
    send({.topic = status_topic_, .payload = "online", .retain = true, .qos = 1});
  for (const Subscription& subscription : subscriptions_)
    subscribe(subscription, connection_->session_present());
  outbox_.connected();
  set_state(PublisherState::online, {});
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
    wait("not authorized", back_off_not_authorized, true);
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
    const bool may_be_tls = !online_ && code == MOSQ_ERR_PROTOCOL && !broker_.tls;
    wait(may_be_tls ? "not an answer of an MQTT broker: is its port for mqtts?"
                    : mosquitto_strerror(code),
         next_back_off());
  }
}

void Client::closed_by_broker() {
  if (!online_) {
    wait(broker_.tls || !broker_.socket.empty()
             ? "closed by the broker before it answered"
             : "closed by the broker before it answered: is its port for mqtts?",
         next_back_off());
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

void Client::wait(std::string reason, seconds delay, bool is_unauthorized) {
  drop_connection();
  publisher_.is_unauthorized = is_unauthorized;
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
  set_state(PublisherState::waiting, std::move(reason));
}

void Client::drop_connection() {
  online_ = false;
  has_socket_ = false;
  // A pending poll would keep the connection alive behind the library's back.
  for (io::Operation* operation : {&opened_, &socket_, &connect_limit_, &retry_})
    if (operation->pending()) loop_.cancel(*operation);
  connection_.reset();
  unwritten_.reset();
  outbox_.disconnected();
}

void Client::shut_down() {
  if (std::exchange(is_leaving_, true)) return;
  if (!online_) return end();
  pump();
  leave_when_done();
}

/// Once the broker has everything.
void Client::leave_when_done() {
  if (!is_leaving_ || !online_ || !outbox_.empty() || connection_->in_flight() > 0) return;
  if (!status_topic_.empty())
    send({.topic = status_topic_,
          .payload = is_status_taken_back_ ? "" : "offline",
          .retain = true});
  online_ = false;
  left_fd_ = connection_->leave();
  settle(MOSQ_ERR_SUCCESS);
}

/// There is no connection any more that one could publish on; the broker may still be reading.
void Client::end() {
  drop_connection();
  if (left_fd_ >= 0)
    loop_.poll(left_, left_fd_, POLLIN);
  else
    set_state(PublisherState::disabled, {});
}

void Client::on_left() {
  std::array<char, 16 * 1024> unread;
  const ssize_t size = ::read(left_fd_, unread.data(), unread.size());
  if (size > 0 || (size < 0 && errno == EAGAIN)) return loop_.poll(left_, left_fd_, POLLIN);
  loop_.close(std::exchange(left_fd_, -1));
  set_state(PublisherState::disabled, {});
}

bool Client::can_send(int qos) const noexcept {
  return online_ && !mosquitto_want_write(connection_->handle()) && connection_->may_publish(qos);
}

void Client::publish(const Publication& given) {
  Publication publication = given;
  publication.last_byte = std::exchange(next_last_byte_, std::nullopt);
  pump();
  // One at QoS 1 that is not retained must be known until the broker has it.
  const bool is_kept = !publication.retain && publication.qos > 0;
  if (outbox_.empty() && !is_kept && can_send(publication.qos) && send(publication)) {
    outbox_.note(publication);
  } else {
    outbox_.put(publication);
    pump();
  }
  count();
}

void Client::publish_if_changed(const Publication& publication) {
  if (!outbox_.holds(publication.topic, publication.payload)) publish(publication);
}

void Client::remove(std::string_view topic) {
  publish({.topic = topic, .payload = {}, .retain = true});
}

void Client::remove_below(std::string_view topic_prefix) {
  std::string topic;
  while (!topic.assign(outbox_.find_below(topic_prefix)).empty()) remove(topic);
}

void Client::take_back_below(std::string_view topic_prefix) {
  remove_below(topic_prefix);
  is_status_taken_back_ = status_topic_.starts_with(topic_prefix);
}

void Client::say_again_below(std::string_view topic_prefix) {
  if (online_ && status_topic_.starts_with(topic_prefix))
    send({.topic = status_topic_, .payload = "online", .retain = true, .qos = 1});
  outbox_.say_again_below(topic_prefix);
  pump();
  count();
}

std::uint32_t Client::subscribe(std::string filter, int qos) {
  auto same = std::ranges::find(subscriptions_, filter, &Subscription::filter);
  if (same == subscriptions_.end())
    same = subscriptions_.insert(same, {std::move(filter), qos, ++last_subscription_id_});
  same->qos = qos;
  if (online_) subscribe(*same, false);
  return same->id;
}

void Client::subscribe(const Subscription& subscription, bool is_known) {
  const int code =
      connection_->subscribe(subscription.filter, subscription.qos, subscription.id, is_known);
  if (code == MOSQ_ERR_INVAL || code == MOSQ_ERR_MALFORMED_UTF8)
    log::warning("mqtt {}: {} is not a topic filter", broker_.name, subscription.filter);
}

void Client::unsubscribe(const std::string& filter) {
  std::erase_if(subscriptions_, [&](const auto& one) { return one.filter == filter; });
  if (online_) connection_->unsubscribe(filter);
}

bool Client::offer(const Publication& publication, std::uint64_t ticket) {
  if (!can_send(1) || !outbox_.empty()) return false;
  Publication at_qos_1 = publication;
  at_qos_1.qos = 1;
  return send(at_qos_1, static_cast<std::uint64_t>(Kind::offered) + ticket).has_value();
}

/// Hands over what waits until the socket is full.
void Client::pump() {
  for (int handed_over = 0; online_ && !outbox_.empty(); ++handed_over) {
    const Publication& publication = outbox_.front();
    if (!can_send(publication.qos)) return;
    if (handed_over == burst_max) {
      if (!pump_again_.pending()) loop_.timer(pump_again_, loop_.now());
      return;
    }
    const Kind kind = publication.retain ? Kind::plain : Kind::live;
    const auto mid = send(publication, static_cast<std::uint64_t>(kind));
    if (!mid) return;
    if (*mid != 0)
      outbox_.pop_in_flight(*mid);
    else
      outbox_.pop();
  }
}

/// Its packet id, 0 at QoS 0 or when it can never be published; nothing when it could not be
/// handed over for want of a connection.
std::optional<int> Client::send(const Publication& publication, std::uint64_t ticket) {
  const auto [code, mid] = connection_->publish(publication, ticket);
  switch (code) {
    case MOSQ_ERR_NO_CONN:
      return std::nullopt;
    case MOSQ_ERR_INVAL:
    case MOSQ_ERR_PAYLOAD_SIZE:
    case MOSQ_ERR_OVERSIZE_PACKET:
    case MOSQ_ERR_MALFORMED_UTF8:
    case MOSQ_ERR_QOS_NOT_SUPPORTED:
      outbox_.count_dropped();
      if (!std::exchange(refusal_logged_, true))
        log::warning("mqtt {}: cannot publish {}: {}", broker_.name, publication.topic,
                     mosquitto_strerror(code));
      return 0;
    default:
      break;
  }
  if (code == MOSQ_ERR_SUCCESS) {  // else an error of the socket: loop_read finds out
    ++publisher_.published;
    if (publication.last_byte) measure(*publication.last_byte);
  }
  return mid;
}

/// A telegram whose message has waited for the broker shows how long that was away, and no more.
void Client::measure(io::TimePoint last_byte) {
  if (last_byte < online_since_) return;
  unwritten_ = last_byte;
  measure_written();
}

/// Nothing is handed over until the library has written what it has, so it is the last one.
void Client::measure_written() {
  if (!unwritten_ || mosquitto_want_write(connection_->handle())) return;
  publisher_.latency.add(io::Clock::now() - *unwritten_);
  unwritten_.reset();
}

void Client::count() {
  publisher_.queued = outbox_.queued();
  publisher_.dropped = outbox_.dropped() + inbox_.dropped();
  if (online_ && outbox_.overflowed() > 0 && !std::exchange(overflow_logged_, true))
    log::warning(
        "mqtt {}: {} takes less than it is given, and the oldest of what waits is dropped "
        "(outbox_bytes = {})",
        broker_.name, publisher_.broker, broker_.outbox_bytes);
  const bool is_congested =
      online_ && (is_congested_ ? !outbox_.is_relaxed() : outbox_.is_filling());
  if (std::exchange(is_congested_, is_congested) != is_congested) listener_.congestion_changed();
}

void Client::set_state(PublisherState state, std::string last_error) {
  count();
  if (publisher_.state == state && publisher_.last_error == last_error) return;
  publisher_.state = state;
  publisher_.last_error = std::move(last_error);
  listener_.client_changed();
}

}  // namespace smartmeterd::mqtt
