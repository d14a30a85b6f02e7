// SPDX-License-Identifier: Apache-2.0
// Connection: one life of a libmosquitto object, opened by a short-lived thread.
#include "daemon/mqtt/connection.hpp"

#include <mqtt_protocol.h>
#include <openssl/x509.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>
#include <thread>

namespace smartmeterd::mqtt {

namespace {

/// The library refuses less.
constexpr int keepalive_min_s = 5;

/// Wiped when it dies.
struct Secret {
  std::string text;
  ~Secret() { explicit_bzero(text.data(), text.size()); }
};

/// An encrypted private key would have OpenSSL ask at the terminal.
int no_passphrase(char*, int, int, void*) {
  return 0;
}

std::string connect_error(int code, int error_number) {
  switch (code) {
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

void Connection::open() {
  handle_ = mosquitto_new(settings_.client_id.c_str(), true, this);
  if (handle_ == nullptr) {
    open_error_ = std::strerror(errno);
    return;
  }
  if (configure() != MOSQ_ERR_SUCCESS) return;
  const int keepalive =
      std::max(keepalive_min_s, static_cast<int>(settings_.broker.keepalive.count()));
  errno = 0;
  const int code =
      mosquitto_connect(handle_, settings_.broker.host.c_str(), settings_.broker.port, keepalive);
  const int error_number = errno;
  if (code == MOSQ_ERR_SUCCESS) return;
  open_error_ = code == MOSQ_ERR_TLS ? tls_error() : connect_error(code, error_number);
}

int Connection::configure() {
  mosquitto_connect_v5_callback_set(handle_, on_connect);
  mosquitto_disconnect_v5_callback_set(handle_, on_disconnect);
  mosquitto_log_callback_set(handle_, on_log);
  // Nagle would hold the second small packet back until the first one's acknowledgement.
  mosquitto_int_option(handle_, MOSQ_OPT_TCP_NODELAY, 1);
  mosquitto_int_option(handle_, MOSQ_OPT_PROTOCOL_VERSION,
                       settings_.version_5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311);
  constexpr std::string_view offline = "offline";
  int code = MOSQ_ERR_SUCCESS;
  if (!settings_.will_topic.empty())
    code = mosquitto_will_set(handle_, settings_.will_topic.c_str(), offline.size(),
                              offline.data(), 1, true);
  if (code == MOSQ_ERR_SUCCESS && !settings_.broker.user.empty()) {
    Secret password;
    code = read_password(password.text);
    if (code == MOSQ_ERR_SUCCESS)
      code = mosquitto_username_pw_set(
          handle_, settings_.broker.user.c_str(),
          settings_.broker.password_file.empty() ? nullptr : password.text.c_str());
  }
  if (code == MOSQ_ERR_SUCCESS && settings_.broker.tls) code = configure_tls();
  if (code != MOSQ_ERR_SUCCESS && open_error_.empty()) open_error_ = mosquitto_strerror(code);
  return code;
}

int Connection::read_password(std::string& password) {
  const std::filesystem::path& file = settings_.broker.password_file;
  if (file.empty()) return MOSQ_ERR_SUCCESS;
  struct stat status{};
  std::ifstream in(file);
  if (!in || stat(file.c_str(), &status) != 0 || !std::getline(in, password)) {
    open_error_ = "password file " + file.string() + " cannot be read";
    return MOSQ_ERR_INVAL;
  }
  if (password.ends_with('\r')) password.pop_back();
  password_exposed_ = (status.st_mode & S_IROTH) != 0;
  return MOSQ_ERR_SUCCESS;
}

int Connection::configure_tls() {
  const BrokerConfig& broker = settings_.broker;
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

std::string Connection::tls_error() const {
  if (library_error_.find("host name verification failed") != std::string::npos)
    return "certificate is for another host name";
  if (library_error_.find("certificate verify failed") != std::string::npos)
    return "certificate not trusted";
  // "OpenSSL Error[0]: error:0A00045C:SSL routines::tlsv13 alert certificate required"
  const std::size_t reason = library_error_.rfind("::");
  if (reason != std::string::npos) return "TLS: " + library_error_.substr(reason + 2);
  return library_error_.empty() ? "" : "TLS: " + library_error_;
}

void Connection::on_connect(mosquitto* handle, void* self, int code, int,
                            const mosquitto_property*) {
  static_cast<Connection*>(self)->connack_ = code;
  // From here on the library would format a debug line for each message.
  if (code == 0) mosquitto_log_callback_set(handle, nullptr);
}

void Connection::on_disconnect(mosquitto*, void* self, int code, const mosquitto_property*) {
  // After the broker's own reason the library may report a second time, without one.
  auto& disconnect = static_cast<Connection*>(self)->disconnect_;
  if (!disconnect) disconnect = code;
}

void Connection::on_log(mosquitto*, void* self, int level, const char* text) {
  auto& error = static_cast<Connection*>(self)->library_error_;
  if (level == MOSQ_LOG_ERR && error.empty()) error = text;
}

}  // namespace smartmeterd::mqtt
