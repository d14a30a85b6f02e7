// SPDX-License-Identifier: Apache-2.0
// MqttClient over libmosquitto.
#include "tools/metersim/mqtt.hpp"

#include <fmt/core.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <ctime>
#include <fstream>
#include <mutex>
#include <stdexcept>

namespace metersim {
namespace {

constexpr int keepalive_s = 60;

/// The names of the daemon's links.
std::string_view protocol_of(Link link) {
  switch (link) {
    case Link::mbus:
      return "mbus";
    case Link::hdlc:
      return "hdlc";
    case Link::raw:
      return "raw";
    case Link::p1:
      return "p1";
    case Link::sml:
      return "sml";
    case Link::iec62056_21:
      return "iec62056-21";
    case Link::json:
      break;
  }
  return "";
}

struct Address {
  std::string host;
  int port = 1883;
};
Address parse(const std::string& url) {
  const auto refuse = [&] {
    return std::runtime_error(
        fmt::format("--mqtt: write the broker as mqtt://HOST[:PORT], not \"{}\"", url));
  };
  constexpr std::string_view scheme = "mqtt://";
  if (!url.starts_with(scheme)) throw refuse();
  Address address;
  std::string_view rest = std::string_view(url).substr(scheme.size());
  const auto end = rest.starts_with('[') ? rest.find(']') : rest.find(':');
  if (rest.starts_with('[') && end != rest.npos) {
    address.host = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
  } else {
    address.host = rest.substr(0, end);
    rest.remove_prefix(std::min(end, rest.size()));
  }
  if (rest.starts_with(':')) {
    rest.remove_prefix(1);
    const char* const last = rest.data() + rest.size();
    const auto read = std::from_chars(rest.data(), last, address.port);
    if (read.ec != std::errc{} || read.ptr != last) throw refuse();
    rest = {};
  }
  const bool is_name = address.host.find_first_of("/@") == std::string::npos;
  if (address.host.empty() || !rest.empty() || !is_name || address.port < 1 || address.port > 65535)
    throw refuse();
  return address;
}

std::string now_text() {
  using namespace std::chrono;
  const auto now = time_point_cast<microseconds>(system_clock::now()).time_since_epoch().count();
  const std::time_t seconds = now / 1'000'000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                     now % 1'000'000);
}

struct FreeProperties {
  void operator()(mosquitto_property* list) const { mosquitto_property_free_all(&list); }
};
using Properties = std::unique_ptr<mosquitto_property, FreeProperties>;

Properties raw_properties(const Gateway& gateway) {
  mosquitto_property* list = nullptr;
  mosquitto_property_add_string(&list, MQTT_PROP_CONTENT_TYPE, "application/octet-stream");
  const auto add = [&](const char* name, const std::string& value) {
    mosquitto_property_add_string_pair(&list, MQTT_PROP_USER_PROPERTY, name, value.c_str());
  };
  add("adapter", std::string(gateway.adapter));
  add("protocol", std::string(gateway.protocol));
  add("t", now_text());
  return Properties(list);
}

/// Sends each telegram as one message.
class MqttLine : public Line {
 public:
  MqttLine(const MqttOptions& options, const Gateway& gateway)
      : where_(options.url + " " + gateway.topic), gateway_(gateway), client_(options) {}
  std::string where() const override { return where_; }
  bool takes_messages() const override { return true; }
  bool send(OctetView octets) override {
    client_.publish(gateway_, octets);
    client_.require(MqttClient::under_way_max - 1);
    return true;
  }
  void drain() override { client_.require(0); }

 private:
  std::string where_;
  Gateway gateway_;
  MqttClient client_;
};

}  // namespace

Gateway gateway_of(const Family& family, std::string_view prefix, std::string_view instance) {
  if (family.link == Link::json) {
    std::string topic(family.topic);
    topic.replace(topic.find('+'), 1, instance);
    return {topic, {}, {}};
  }
  return {fmt::format("{}/gateway/{}/raw/{}", prefix, instance, family.name), family.name,
          protocol_of(family.link)};
}

struct MqttClient::State {
  struct Destroy {
    void operator()(mosquitto* handle) const { mosquitto_destroy(handle); }
  };
  MqttOptions options;
  std::unique_ptr<mosquitto, Destroy> handle;
  std::mutex mutex;  ///< of what follows, which the library's thread writes
  std::condition_variable changed;
  bool connected = false;
  std::uint64_t sent = 0, acknowledged = 0;
  std::string error;

  std::runtime_error failure(std::string_view why) const {
    std::string text = fmt::format("{}: {}", options.url, why);
    if (acknowledged < sent)
      text += fmt::format("; {} of {} messages not acknowledged", sent - acknowledged, sent);
    return std::runtime_error(text);
  }
  void fail(std::string why) {
    const std::lock_guard lock(mutex);
    if (error.empty()) error = std::move(why);
    changed.notify_all();
  }
  /// Throws what the thread met with.
  template <class Condition>
  bool wait(int limit_ms, Condition condition) {
    std::unique_lock lock(mutex);
    const bool is_met = changed.wait_for(lock, std::chrono::milliseconds(limit_ms),
                                         [&] { return !error.empty() || condition(); });
    if (!error.empty()) throw failure(error);
    return is_met;
  }
  void log_in();
  void set_callbacks();
};

void MqttClient::State::log_in() {
  if (options.user.empty()) return;
  std::string password;
  if (!options.password_file.empty()) {
    std::ifstream file(options.password_file);
    if (!file || !std::getline(file, password))
      throw std::runtime_error(options.password_file + ": cannot be read");
  }
  mosquitto_username_pw_set(handle.get(), options.user.c_str(),
                            options.password_file.empty() ? nullptr : password.c_str());
  explicit_bzero(password.data(), password.size());
}

void MqttClient::State::set_callbacks() {
  mosquitto_connect_v5_callback_set(
      handle.get(), [](mosquitto*, void* self, int code, int, const mosquitto_property*) {
        auto& to = *static_cast<State*>(self);
        if (code != 0) return to.fail(mosquitto_reason_string(code));
        const std::lock_guard lock(to.mutex);
        to.connected = true;
        to.changed.notify_all();
      });
  mosquitto_publish_v5_callback_set(
      handle.get(), [](mosquitto*, void* self, int, int code, const mosquitto_property*) {
        auto& to = *static_cast<State*>(self);
        if (code >= MQTT_RC_UNSPECIFIED)
          return to.fail(fmt::format("a message was refused: {}", mosquitto_reason_string(code)));
        const std::lock_guard lock(to.mutex);
        if (!to.error.empty()) return;  // the library connects again, and sends it again
        ++to.acknowledged;
        to.changed.notify_all();
      });
  mosquitto_disconnect_v5_callback_set(
      handle.get(), [](mosquitto*, void* self, int code, const mosquitto_property*) {
        auto& to = *static_cast<State*>(self);
        if (code >= MQTT_RC_UNSPECIFIED)
          to.fail(fmt::format("the connection was lost: {}", mosquitto_reason_string(code)));
        else
          to.fail("the connection was lost");
      });
}

MqttClient::MqttClient(const MqttOptions& options) : state_(std::make_unique<State>()) {
  static const int initialized = mosquitto_lib_init();
  (void)initialized;
  State& state = *state_;
  state.options = options;
  const Address address = parse(options.url);
  state.handle.reset(mosquitto_new(nullptr, true, &state));
  if (!state.handle) throw state.failure("out of memory");
  mosquitto* const handle = state.handle.get();
  mosquitto_int_option(handle, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
  mosquitto_int_option(handle, MOSQ_OPT_TCP_NODELAY, 1);
  state.set_callbacks();
  state.log_in();
  const int code = mosquitto_connect(handle, address.host.c_str(), address.port, keepalive_s);
  if (code != MOSQ_ERR_SUCCESS)
    throw state.failure(code == MOSQ_ERR_ERRNO ? std::strerror(errno) : mosquitto_strerror(code));
  if (mosquitto_loop_start(handle) != MOSQ_ERR_SUCCESS) throw state.failure("no thread");
  try {
    if (!state.wait(patience_ms, [&] { return state.connected; })) throw state.failure("no answer");
  } catch (const std::runtime_error&) {
    mosquitto_loop_stop(handle, true);
    throw;
  }
}

MqttClient::~MqttClient() {
  mosquitto_disconnect(state_->handle.get());
  mosquitto_loop_stop(state_->handle.get(), true);
}

void MqttClient::publish(const Gateway& gateway, OctetView octets) {
  State& state = *state_;
  {
    const std::lock_guard lock(state.mutex);
    ++state.sent;
    if (!state.error.empty()) throw state.failure(state.error);
  }
  const bool is_raw = !gateway.adapter.empty();
  const Properties properties = is_raw ? raw_properties(gateway) : nullptr;
  // The line end behind JSON is for files.
  if (!is_raw && !octets.empty() && octets.back() == '\n') octets = octets.first(octets.size() - 1);
  const int code = mosquitto_publish_v5(state.handle.get(), nullptr, gateway.topic.c_str(),
                                        static_cast<int>(octets.size()), octets.data(),
                                        state.options.qos, false, properties.get());
  if (code == MOSQ_ERR_INVAL || code == MOSQ_ERR_MALFORMED_UTF8)
    throw std::runtime_error(fmt::format("\"{}\" is no topic to publish on", gateway.topic));
  if (code != MOSQ_ERR_SUCCESS) {
    state.fail(code == MOSQ_ERR_NO_CONN ? "the connection was lost" : mosquitto_strerror(code));
    wait(0, 0);  // throws it
  }
}

bool MqttClient::wait(std::uint64_t under_way, int limit_ms) {
  State& state = *state_;
  return state.wait(limit_ms, [&] { return state.sent - state.acknowledged <= under_way; });
}

void MqttClient::require(std::uint64_t under_way) {
  if (wait(under_way, patience_ms)) return;
  const std::lock_guard lock(state_->mutex);
  throw state_->failure("no answer");
}

std::uint64_t MqttClient::sent() const {
  const std::lock_guard lock(state_->mutex);
  return state_->sent;
}
std::uint64_t MqttClient::acknowledged() const {
  const std::lock_guard lock(state_->mutex);
  return state_->acknowledged;
}

std::unique_ptr<Line> open_mqtt(const MqttOptions& options, const Gateway& gateway) {
  return std::make_unique<MqttLine>(options, gateway);
}

}  // namespace metersim
