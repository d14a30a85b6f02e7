// SPDX-License-Identifier: Apache-2.0
// Connection: one life of a libmosquitto object, opened by a short-lived thread.
#include "daemon/mqtt/connection.hpp"

#include <fcntl.h>
#include <mqtt_protocol.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace smartmeterd::mqtt {

namespace {

/// The library refuses less.
constexpr int keepalive_min_s = 5;
/// Hides a short reconnect from who watches the status. MQTT 5 lets it pass only for as long as
/// the session lives (section 3.1.3.2.2), so it needs one.
constexpr std::uint32_t will_delay_s = 5;
/// What the broker may send at once: a payload of the length that is taken, and its properties.
constexpr std::uint32_t packet_size_max = 2 * Inbox::payload_size_max;

/// Wiped when it dies.
struct Secret {
  std::string text;
  ~Secret() { explicit_bzero(text.data(), text.size()); }
};

/// A list of MQTT 5 properties.
class Properties {
 public:
  Properties() = default;
  ~Properties() { mosquitto_property_free_all(&list_); }
  Properties(const Properties&) = delete;
  Properties& operator=(const Properties&) = delete;
  void add(int identifier, std::uint32_t value) {
    mosquitto_property_add_int32(&list_, identifier, value);
  }
  void add_varint(int identifier, std::uint32_t value) {
    mosquitto_property_add_varint(&list_, identifier, value);
  }
  void add(int identifier, const char* text) {
    mosquitto_property_add_string(&list_, identifier, text);
  }
  void add(int identifier, const char* name, const char* value) {
    mosquitto_property_add_string_pair(&list_, identifier, name, value);
  }
  const mosquitto_property* get() const noexcept { return list_; }
  mosquitto_property* release() noexcept { return std::exchange(list_, nullptr); }

 private:
  mosquitto_property* list_ = nullptr;
};

/// An encrypted private key would have OpenSSL ask at the terminal.
int no_passphrase(char*, int, int, void*) {
  return 0;
}

std::string connect_error(int code, int error_number) {
  switch (code) {
    case MOSQ_ERR_NOT_SUPPORTED:
      return "libmosquitto was built without Unix sockets: give the broker a TCP listener on "
             "127.0.0.1";
    case MOSQ_ERR_EAI:
      return "name not resolved";
    case MOSQ_ERR_ERRNO:
      if (error_number == ECONNREFUSED) return "connection refused";
      if (error_number == ETIMEDOUT) return "connection timed out";
      return error_number == 0 ? "connection failed" : std::strerror(error_number);
    default:
      return mosquitto_strerror(code);
  }
}

}  // namespace

std::shared_ptr<Connection> Connection::start(Settings settings) {
  std::shared_ptr<Connection> connection(new Connection(std::move(settings)));
  std::thread([connection] {
    connection->open();
    connection->opened_.store(true, std::memory_order_release);
    const std::uint64_t one = 1;
    if (write(connection->event_fd_, &one, sizeof one) < 0) return;  // cannot be: counter of 1
  }).detach();
  return connection;
}

Connection::Connection(Settings settings)
    : settings_(std::move(settings)), event_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (event_fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Connection::~Connection() {
  if (handle_ != nullptr) mosquitto_destroy(handle_);
  close(event_fd_);
}

int Connection::leave() {
  const int fd = fcntl(mosquitto_socket(handle_), F_DUPFD_CLOEXEC, 0);
  mosquitto_disconnect(handle_);
  return fd;
}

void Connection::open() {
  handle_ = mosquitto_new(settings_.client_id.c_str(), settings_.broker.session.count() == 0, this);
  if (handle_ == nullptr) {
    open_error_ = std::strerror(errno);
    return;
  }
  if (configure() != MOSQ_ERR_SUCCESS) return;
  errno = 0;
  const int code = connect();
  const int error_number = errno;
  if (code == MOSQ_ERR_SUCCESS) return;
  open_error_ = code == MOSQ_ERR_TLS ? tls_error() : connect_error(code, error_number);
}

int Connection::connect() {
  const BrokerConfig& broker = settings_.broker;
  const int keepalive = std::max(keepalive_min_s, static_cast<int>(broker.keepalive.count()));
  Properties properties;
  if (settings_.version_5) {
    properties.add(MQTT_PROP_MAXIMUM_PACKET_SIZE, packet_size_max);
    if (broker.session.count() > 0)
      properties.add(MQTT_PROP_SESSION_EXPIRY_INTERVAL,
                     static_cast<std::uint32_t>(broker.session.count()));
  }
  // Port 0 has the library take the host for the path of a Unix socket.
  const bool is_local = !broker.socket.empty();
  return mosquitto_connect_bind_v5(handle_, is_local ? broker.socket.c_str() : broker.host.c_str(),
                                   is_local ? 0 : broker.port, keepalive, nullptr,
                                   properties.get());
}

int Connection::configure() {
  mosquitto_connect_v5_callback_set(handle_, on_connect);
  mosquitto_disconnect_v5_callback_set(handle_, on_disconnect);
  mosquitto_publish_v5_callback_set(handle_, on_publish);
  mosquitto_subscribe_v5_callback_set(handle_, on_subscribe);
  mosquitto_message_v5_callback_set(handle_, on_message);
  mosquitto_log_callback_set(handle_, on_log);
  // Nagle would hold the second small packet back until the first one's acknowledgement.
  mosquitto_int_option(handle_, MOSQ_OPT_TCP_NODELAY, 1);
  mosquitto_int_option(handle_, MOSQ_OPT_PROTOCOL_VERSION,
                       settings_.version_5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311);
  int code = configure_will();
  if (code == MOSQ_ERR_SUCCESS && !settings_.broker.user.empty()) {
    Secret password;
    const std::filesystem::path& file = settings_.broker.password_file;
    if (!file.empty()) code = read_secret(file, "password file", password.text);
    if (code == MOSQ_ERR_SUCCESS)
      code = mosquitto_username_pw_set(handle_, settings_.broker.user.c_str(),
                                       file.empty() ? nullptr : password.text.c_str());
  }
  if (code == MOSQ_ERR_SUCCESS && settings_.broker.tls) code = configure_tls();
  if (code != MOSQ_ERR_SUCCESS && open_error_.empty()) open_error_ = mosquitto_strerror(code);
  return code;
}

int Connection::configure_will() {
  if (settings_.will_topic.empty()) return MOSQ_ERR_SUCCESS;
  constexpr std::string_view offline = "offline";
  Properties properties;
  if (settings_.version_5 && settings_.broker.session.count() > 0)
    properties.add(MQTT_PROP_WILL_DELAY_INTERVAL, will_delay_s);
  const int code =
      mosquitto_will_set_v5(handle_, settings_.will_topic.c_str(), offline.size(), offline.data(),
                            1, true, const_cast<mosquitto_property*>(properties.get()));
  if (code == MOSQ_ERR_SUCCESS) properties.release();  // the library's now
  return code;
}

/// The first line of a file.
int Connection::read_secret(const std::filesystem::path& file, std::string_view what,
                            std::string& secret) {
  struct stat status {};
  std::ifstream in(file);
  if (!in || stat(file.c_str(), &status) != 0 || !std::getline(in, secret)) {
    open_error_.assign(what).append(" ").append(file.string()).append(" cannot be read");
    return MOSQ_ERR_INVAL;
  }
  if (secret.ends_with('\r')) secret.pop_back();
  if ((status.st_mode & S_IROTH) != 0) exposed_file_ = file.string();
  return MOSQ_ERR_SUCCESS;
}

int Connection::configure_tls() {
  const BrokerConfig& broker = settings_.broker;
  // "tlsv1.2" is the least; a host name is always checked, there is no switch for it.
  const int code = mosquitto_tls_opts_set(handle_, SSL_VERIFY_PEER, "tlsv1.2", nullptr);
  if (code != MOSQ_ERR_SUCCESS) return code;
  if (!broker.tls_psk_file.empty()) return configure_psk();
  for (const auto* file : {&broker.tls_ca, &broker.tls_certificate, &broker.tls_key}) {
    if (file->empty() || access(file->c_str(), R_OK) == 0) continue;
    open_error_ = "file " + file->string() + " cannot be read";
    return MOSQ_ERR_INVAL;
  }
  const bool system_store = broker.tls_ca.empty();
  if (system_store) mosquitto_int_option(handle_, MOSQ_OPT_TLS_USE_OS_CERTS, 1);
  const char* certificate =
      broker.tls_certificate.empty() ? nullptr : broker.tls_certificate.c_str();
  const char* key = broker.tls_key.empty() ? nullptr : broker.tls_key.c_str();
  if (system_store && certificate == nullptr) return MOSQ_ERR_SUCCESS;
  // The library takes a client certificate only together with a CA file or directory.
  return mosquitto_tls_set(handle_, system_store ? nullptr : broker.tls_ca.c_str(),
                           system_store ? X509_get_default_cert_dir() : nullptr, certificate, key,
                           no_passphrase);
}

/// A key that both sides know takes the place of certificates.
int Connection::configure_psk() {
  const std::filesystem::path& file = settings_.broker.tls_psk_file;
  Secret key;
  const int code = read_secret(file, "PSK file", key.text);
  if (code != MOSQ_ERR_SUCCESS) return code;
  while (!key.text.empty() && std::isspace(static_cast<unsigned char>(key.text.back())) != 0)
    key.text.pop_back();
  if (key.text.empty() || !std::ranges::all_of(key.text, [](unsigned char digit) {
        return std::isxdigit(digit) != 0;
      })) {
    open_error_ = "PSK file " + file.string() + " does not hold hex digits alone";
    return MOSQ_ERR_INVAL;
  }
  return mosquitto_tls_psk_set(handle_, key.text.c_str(), settings_.broker.tls_psk_identity.c_str(),
                               nullptr);
}

Connection::HandedOver Connection::publish(const Publication& publication, std::uint64_t ticket) {
  HandedOver result;
  Properties properties;
  if (settings_.version_5) {
    if (publication.expiry_s > 0)
      properties.add(MQTT_PROP_MESSAGE_EXPIRY_INTERVAL, publication.expiry_s);
    if (!publication.content_type.empty())
      properties.add(MQTT_PROP_CONTENT_TYPE, topic_.assign(publication.content_type).c_str());
    for (const auto& [name, value] : publication.properties)
      properties.add(MQTT_PROP_USER_PROPERTY, topic_.assign(name).c_str(),
                     text_.assign(value).c_str());
    if (!settings_.gateway.empty())
      properties.add(MQTT_PROP_USER_PROPERTY, topic_.assign(gateway_property).c_str(),
                     settings_.gateway.c_str());
  }
  topic_.assign(publication.topic);
  const int qos = std::min(publication.qos, qos_max_);
  int mid = 0;
  result.code = mosquitto_publish_v5(
      handle_, &mid, topic_.c_str(), static_cast<int>(publication.payload.size()),
      publication.payload.data(), qos, publication.retain, properties.get());
  if (qos == 0 || result.code != MOSQ_ERR_SUCCESS) return result;
  result.mid = mid;
  const auto place = std::ranges::find(window_, 0, &InFlight::mid);
  if (place == window_.end()) return result;
  place->mid = mid;
  place->ticket = ticket;
  place->topic = topic_;
  place->reason = -1;
  ++in_flight_;
  return result;
}

std::optional<Connection::InFlight> Connection::take_answered() {
  for (InFlight& place : window_) {
    if (place.mid == 0 || place.reason < 0) continue;
    --in_flight_;
    InFlight answered = place;
    place.mid = 0;
    return answered;
  }
  return std::nullopt;
}

int Connection::subscribe(const std::string& filter, int qos, std::uint32_t id, bool is_known) {
  // The library leaves the options out with 3.1.1. A shared subscription must not say "no local"
  // (MQTT 5.0 section 3.8.3.1).
  int options = is_known ? MQTT_SUB_OPT_SEND_RETAIN_NEW : MQTT_SUB_OPT_SEND_RETAIN_ALWAYS;
  if (!filter.starts_with("$share/")) options |= MQTT_SUB_OPT_NO_LOCAL;
  int mid = 0;
  Properties properties;
  if (has_subscription_ids_) properties.add_varint(MQTT_PROP_SUBSCRIPTION_IDENTIFIER, id);
  const int code =
      mosquitto_subscribe_v5(handle_, &mid, filter.c_str(), qos, options, properties.get());
  if (code == MOSQ_ERR_SUCCESS) asked_.push_back({mid, filter});
  return code;
}

int Connection::unsubscribe(const std::string& filter) {
  return mosquitto_unsubscribe(handle_, nullptr, filter.c_str());
}

std::optional<Connection::Refusal> Connection::take_refusal() {
  const auto refused =
      std::ranges::find_if(asked_, [](const Asked& asked) { return asked.reason != 0; });
  if (refused == asked_.end()) return std::nullopt;
  Refusal refusal{std::move(refused->filter), refused->reason};
  asked_.erase(refused);
  return refusal;
}

std::string Connection::tls_error() const {
  if (mosquitto_error_.find("host name verification failed") != std::string::npos)
    return "certificate is for another host name";
  if (verify_result_ == X509_V_ERR_CERT_HAS_EXPIRED) return "certificate has expired";
  if (verify_result_ == X509_V_ERR_CERT_NOT_YET_VALID)
    return "certificate is not valid yet: is the clock of this machine right?";
  if (mosquitto_error_.find("certificate verify failed") != std::string::npos)
    return "certificate not trusted";
  const bool is_plain = mosquitto_error_.find("wrong version number") != std::string::npos ||
                        mosquitto_error_.find("unexpected eof") != std::string::npos;
  if (is_plain) return "TLS: no answer in TLS: is this the port for mqtts, or is it mqtt?";
  // "OpenSSL Error[0]: error:0A00045C:SSL routines::tlsv13 alert certificate required"
  const std::size_t reason = mosquitto_error_.rfind("::");
  std::string error = mosquitto_error_.empty() ? "" : "TLS: ";
  error += reason == std::string::npos ? mosquitto_error_ : mosquitto_error_.substr(reason + 2);
  // A broker says the same of either, so that nobody finds out which identities it knows.
  if (!error.empty() && !settings_.broker.tls_psk_file.empty())
    error += ": does the broker know this key (tls.psk_file) by this name (tls.psk_identity)?";
  return error;
}

void Connection::on_connect(mosquitto* handle, void* self, int code, int flags,
                            const mosquitto_property* properties) {
  auto& connection = *static_cast<Connection*>(self);
  connection.connack_ = code;
  connection.session_present_ = (flags & 1) != 0;
  // From here on the library would format a debug line for each message.
  if (code == 0) mosquitto_log_callback_set(handle, nullptr);
  std::uint8_t qos_max = 1;
  std::uint16_t receive_maximum = in_flight_max;
  std::uint8_t has_subscription_ids = connection.settings_.version_5 ? 1 : 0;
  mosquitto_property_read_byte(properties, MQTT_PROP_MAXIMUM_QOS, &qos_max, false);
  mosquitto_property_read_int16(properties, MQTT_PROP_RECEIVE_MAXIMUM, &receive_maximum, false);
  mosquitto_property_read_byte(properties, MQTT_PROP_SUBSCRIPTION_ID_AVAILABLE,
                               &has_subscription_ids, false);
  connection.has_subscription_ids_ = has_subscription_ids != 0;
  connection.qos_max_ = std::min<int>(qos_max, 1);
  connection.in_flight_limit_ = std::min<std::size_t>(receive_maximum, in_flight_max);
}

void Connection::on_disconnect(mosquitto*, void* self, int code, const mosquitto_property*) {
  // After the broker's own reason the library may report a second time, without one.
  auto& disconnect = static_cast<Connection*>(self)->disconnect_;
  if (!disconnect) disconnect = code;
}

/// Comes for messages of QoS 0 too, once they are written: those are not in the window.
void Connection::on_publish(mosquitto*, void* self, int mid, int reason,
                            const mosquitto_property*) {
  auto& window = static_cast<Connection*>(self)->window_;
  const auto place = std::ranges::find(window, mid, &InFlight::mid);
  if (place != window.end()) place->reason = reason;
}

void Connection::on_subscribe(mosquitto*, void* self, int mid, int count, const int* granted,
                              const mosquitto_property*) {
  auto& asked = static_cast<Connection*>(self)->asked_;
  const auto found = std::ranges::find(asked, mid, &Asked::mid);
  if (found == asked.end() || count < 1) return;
  if (granted[0] >= 0x80)  // both versions: MQTT 5.0 section 3.9.3, 3.1.1 section 3.9.3
    found->reason = granted[0];
  else
    asked.erase(found);
}

void Connection::on_message(mosquitto*, void* self, const mosquitto_message* message,
                            const mosquitto_property* properties) {
  auto& connection = *static_cast<Connection*>(self);
  if (connection.inbox_ != nullptr) connection.inbox_->put(*message, properties);
}

void Connection::on_log(mosquitto* handle, void* self, int level, const char* text) {
  auto& connection = *static_cast<Connection*>(self);
  if (level != MOSQ_LOG_ERR || !connection.mosquitto_error_.empty()) return;
  connection.mosquitto_error_ = text;
  const auto* ssl = static_cast<const SSL*>(mosquitto_ssl_get(handle));
  if (ssl != nullptr) connection.verify_result_ = SSL_get_verify_result(ssl);
}

}  // namespace smartmeterd::mqtt
