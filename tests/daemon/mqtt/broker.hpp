// SPDX-License-Identifier: Apache-2.0
// Broker: a real mosquitto on a free loopback port, and a subscriber, for tests.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace smartmeterd::test {

/// How long a test waits for something that has to happen; nothing is timed by it.
inline constexpr std::chrono::seconds patience{30};

/// A directory that vanishes with its owner.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "smartmeterd-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
    // mosquitto drops root and must still read its files.
    std::filesystem::permissions(path_, std::filesystem::perms{0755});
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::filesystem::path& path() const noexcept { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

inline void write_file(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file) << text;
}

/// A loopback TCP socket bound to a free port.
class BoundSocket {
 public:
  BoundSocket() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int yes = 1;
    setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(fd_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      throw std::runtime_error("bind");
    port_ = ntohs(address.sin_port);
  }
  ~BoundSocket() { ::close(fd_); }
  BoundSocket(const BoundSocket&) = delete;
  BoundSocket& operator=(const BoundSocket&) = delete;
  int fd() const noexcept { return fd_; }
  std::uint16_t port() const noexcept { return port_; }

 private:
  int fd_;
  std::uint16_t port_ = 0;
};

inline std::uint16_t free_port() {
  return BoundSocket().port();
}

/// Runs a program and waits for it; its exit code.
inline int run(const std::vector<std::string>& arguments) {
  const pid_t child = fork();
  if (child == 0) {
    const int null = open("/dev/null", O_RDWR);
    dup2(null, 1);
    dup2(null, 2);
    std::vector<char*> raw;
    for (const std::string& argument : arguments)
      raw.push_back(const_cast<char*>(argument.c_str()));
    raw.push_back(nullptr);
    execvp(raw[0], raw.data());
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// A certificate authority of this test's own, and certificates of it.
class Authority {
 public:
  explicit Authority(const std::string& name) {
    openssl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "2", "-subj", "/CN=" + name, "-keyout", file("ca.key"), "-out",
             file("ca.pem"), "-addext", "keyUsage=critical,keyCertSign"});
  }
  std::string file(const std::string& name) const { return directory_ / name; }
  /// name.pem and name.key for this host name; -1 day: expired since yesterday.
  void issue(const std::string& name, const std::string& host, int days = 2) {
    write_file(file("extensions"), "subjectAltName=DNS:" + host + "\n");
    openssl({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
             "/CN=" + host, "-keyout", file(name + ".key"), "-out", file(name + ".csr")});
    openssl({"x509", "-req", "-in", file(name + ".csr"), "-CA", file("ca.pem"), "-CAkey",
             file("ca.key"), "-CAcreateserial", "-days", std::to_string(days), "-extfile",
             file("extensions"), "-out", file(name + ".pem")});
    std::filesystem::permissions(file(name + ".key"), std::filesystem::perms{0644});
  }
  /// A broker's lines for its certificate `name`.
  std::string settings(const std::string& name) const {
    return "allow_anonymous true\ncafile " + file("ca.pem") + "\ncertfile " + file(name + ".pem") +
           "\nkeyfile " + file(name + ".key") + "\n";
  }

 private:
  static void openssl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "openssl");
    if (run(arguments) != 0) throw std::runtime_error("openssl " + arguments[1]);
  }
  TemporaryDirectory directory_;
};

/// A mosquitto of this test's own. `settings` are further lines of its configuration.
class Broker {
 public:
  explicit Broker(std::string settings = "allow_anonymous true\n", std::uint16_t port = free_port())
      : port_(port) {
    write_file(directory_ / "mosquitto.conf",
               "listener " + std::to_string(port_) + " 127.0.0.1\npersistence false\n" + settings);
    start();
  }
  ~Broker() { stop(SIGKILL); }
  Broker(const Broker&) = delete;
  Broker& operator=(const Broker&) = delete;

  std::uint16_t port() const noexcept { return port_; }
  pid_t pid() const noexcept { return child_; }
  void start() {
    child_ = fork();
    if (child_ == 0) {
      const int log = open((directory_ / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
      dup2(log, 1);
      dup2(log, 2);
      const std::string file = directory_ / "mosquitto.conf";
      for (const char* program : {"/usr/sbin/mosquitto", "mosquitto"})
        execlp(program, "mosquitto", "-c", file.c_str(), nullptr);
      _exit(127);
    }
    wait_until_it_listens();
  }
  void stop(int signal) {
    if (child_ <= 0) return;
    kill(child_, signal);
    waitpid(child_, nullptr, 0);
    child_ = -1;
  }
  void send_signal(int signal) const { kill(child_, signal); }

 private:
  void wait_until_it_listens() const {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < end) {
      const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      address.sin_port = htons(port_);
      const int result = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
      ::close(fd);
      if (result == 0) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    throw std::runtime_error("mosquitto does not listen");
  }

  TemporaryDirectory directory_;
  std::uint16_t port_;
  pid_t child_ = -1;
};

/// Subscribes to "#" with MQTT 5 and keeps what it hears.
class Subscriber {
 public:
  struct Message {
    std::string topic;
    std::string payload;
    bool retained;               ///< as it was published
    int qos = 0;                 ///< as it was published: 1 at most
    std::uint32_t expiry_s = 0;  ///< what is left of it
    std::string content_type;
    std::map<std::string, std::string> properties;
  };

  explicit Subscriber(std::uint16_t port, const std::string& user = "",
                      const std::string& password = "") {
    mosquitto_lib_init();
    handle_ = mosquitto_new(nullptr, true, this);
    mosquitto_int_option(handle_, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
    mosquitto_message_v5_callback_set(handle_, on_message);
    mosquitto_subscribe_callback_set(handle_, [](mosquitto*, void* self, int, int, const int*) {
      static_cast<Subscriber*>(self)->subscribed_ = true;
    });
    if (!user.empty()) mosquitto_username_pw_set(handle_, user.c_str(), password.c_str());
    mosquitto_connect_callback_set(handle_, [](mosquitto* handle, void*, int) {
      mosquitto_subscribe_v5(handle, nullptr, "#", 1, MQTT_SUB_OPT_RETAIN_AS_PUBLISHED, nullptr);
    });
    if (mosquitto_connect(handle_, "127.0.0.1", port, 60) != MOSQ_ERR_SUCCESS)
      throw std::runtime_error("subscriber cannot connect");
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!subscribed_ && std::chrono::steady_clock::now() < end) step(10);
  }
  ~Subscriber() { mosquitto_destroy(handle_); }
  Subscriber(const Subscriber&) = delete;
  Subscriber& operator=(const Subscriber&) = delete;

  /// Takes what is there: one turn of the library reads one message or a few.
  void step(int timeout_ms = 0) {
    std::size_t before = 0;
    do {
      before = messages_.size();
      mosquitto_loop(handle_, timeout_ms, 1);
      timeout_ms = 0;
    } while (messages_.size() != before);
  }
  const std::vector<Message>& messages() const noexcept { return messages_; }
  /// The newest message of a topic, or null.
  const Message* find(const std::string& topic) const {
    for (auto at = messages_.rbegin(); at != messages_.rend(); ++at)
      if (at->topic == topic) return &*at;
    return nullptr;
  }
  /// The newest payload of a topic.
  std::optional<std::string> payload(const std::string& topic) const {
    const Message* message = find(topic);
    return message ? std::optional(message->payload) : std::nullopt;
  }
  void clear() { messages_.clear(); }
  /// What was heard below a prefix.
  void forget(const std::string& prefix) {
    std::erase_if(messages_, [&](const Message& m) { return m.topic.starts_with(prefix); });
  }

 private:
  static void on_message(mosquitto*, void* self, const mosquitto_message* message,
                         const mosquitto_property* properties) {
    Message heard{.topic = message->topic,
                  .payload = {static_cast<const char*>(message->payload),
                              static_cast<std::size_t>(message->payloadlen)},
                  .retained = message->retain,
                  .qos = message->qos,
                  .content_type = {},
                  .properties = {}};
    mosquitto_property_read_int32(properties, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL, &heard.expiry_s,
                                  false);
    char *name = nullptr, *value = nullptr;
    if (mosquitto_property_read_string(properties, MQTT_PROP_CONTENT_TYPE, &value, false))
      heard.content_type = take(value);
    bool is_further = false;
    while ((properties = mosquitto_property_read_string_pair(
                properties, MQTT_PROP_USER_PROPERTY, &name, &value, is_further)) != nullptr) {
      const std::string key = take(name);
      heard.properties[key] = take(value);
      is_further = true;
    }
    static_cast<Subscriber*>(self)->messages_.push_back(std::move(heard));
  }
  static std::string take(char* text) {
    std::string taken(text);
    std::free(text);
    return taken;
  }
  mosquitto* handle_ = nullptr;
  bool subscribed_ = false;
  std::vector<Message> messages_;
};

/// Everything that a broker has retained: what comes before a message that is not.
inline std::map<std::string, std::string> retained_on(const Broker& broker) {
  Subscriber subscriber(broker.port());
  run({"mosquitto_pub", "-p", std::to_string(broker.port()), "-t", "end-of-retained", "-m", "x"});
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!subscriber.payload("end-of-retained") && std::chrono::steady_clock::now() < end)
    subscriber.step(10);
  std::map<std::string, std::string> retained;
  for (const auto& message : subscriber.messages())
    if (message.retained) retained[message.topic] = message.payload;
  return retained;
}

}  // namespace smartmeterd::test
