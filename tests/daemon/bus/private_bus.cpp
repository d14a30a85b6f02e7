// SPDX-License-Identifier: Apache-2.0
// PrivateBus: a dbus-daemon of our own. Client: a blocking connection that prints what it gets.
#include "private_bus.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdarg>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <system_error>

namespace smartmeterd::bus::test {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 20s;

void check(int result, const char* what) {
  if (result < 0) throw std::system_error(-result, std::generic_category(), what);
}

template <class T>
T read_basic(sd_bus_message* message, char type) {
  T value{};
  check(sd_bus_message_read_basic(message, type, &value), "read");
  return value;
}

std::string value_text(sd_bus_message* message, char type, const char* contents);

/// Elements up to the container's end.
std::string elements(sd_bus_message* message) {
  std::string all;
  for (;;) {
    char type = 0;
    const char* contents = nullptr;
    const int r = sd_bus_message_peek_type(message, &type, &contents);
    check(r, "peek");
    if (r == 0) return all;
    if (!all.empty()) all += ' ';
    all += value_text(message, type, contents);
  }
}

std::string container_text(sd_bus_message* message, char type, const char* contents) {
  const std::string inner = contents;
  check(sd_bus_message_enter_container(message, type, contents), "enter");
  std::string text;
  if (type == 'e') {
    char key_type = 0;
    check(sd_bus_message_peek_type(message, &key_type, nullptr), "peek");
    text = value_text(message, key_type, nullptr) + ": ";
    text += elements(message);
  } else {
    text = elements(message);
  }
  check(sd_bus_message_exit_container(message), "exit");
  if (type == 'v') return "<" + inner + (text.empty() ? "" : " " + text) + ">";
  if (type == 'a') return inner[0] == '{' ? "{" + text + "}" : "[" + text + "]";
  return type == 'r' ? "(" + text + ")" : text;
}

std::string value_text(sd_bus_message* message, char type, const char* contents) {
  switch (type) {
    case 'b':
      return read_basic<int>(message, type) ? "true" : "false";
    case 'n':
      return fmt::format("{}", read_basic<std::int16_t>(message, type));
    case 'u':
      return fmt::format("{}", read_basic<std::uint32_t>(message, type));
    case 'x':
      return fmt::format("{}", read_basic<std::int64_t>(message, type));
    case 't':
      return fmt::format("{}", read_basic<std::uint64_t>(message, type));
    case 'd':
      return fmt::format("{}", read_basic<double>(message, type));
    case 's':
    case 'o':
      return read_basic<const char*>(message, type);
    default:
      return container_text(message, type, contents);
  }
}

}  // namespace

const char* const open_policy =
    "<policy context='default'><allow send_destination='*' eavesdrop='false'/>"
    "<allow receive_sender='*'/><allow own='*'/><allow user='*'/></policy>";

PrivateBus::PrivateBus(const std::string& policy) {
  std::string name = std::filesystem::temp_directory_path() / "smartmeterd-bus-XXXXXX";
  if (!mkdtemp(name.data())) throw std::system_error(errno, std::generic_category(), "mkdtemp");
  directory_ = name;
  std::filesystem::permissions(directory_, std::filesystem::perms(0755));
  address_ = "unix:path=" + (directory_ / "socket").string();
  std::ofstream(directory_ / "bus.conf")
      << "<!DOCTYPE busconfig PUBLIC '-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN' "
         "'http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd'>\n"
         "<busconfig><type>system</type><listen>"
      << address_ << "</listen><auth>EXTERNAL</auth>" << policy << "</busconfig>\n";
}

PrivateBus::~PrivateBus() {
  kill();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void PrivateBus::start() {
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) < 0) throw std::system_error(errno, std::generic_category(), "pipe");
  const std::string config = "--config-file=" + (directory_ / "bus.conf").string();
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(ready[1], STDOUT_FILENO);
    execlp("dbus-daemon", "dbus-daemon", config.c_str(), "--nofork", "--nopidfile",
           "--print-address=1", nullptr);
    _exit(127);
  }
  close(ready[1]);
  char byte = 0;
  const bool up = read(ready[0], &byte, 1) == 1;  // it prints its address once it listens
  close(ready[0]);
  if (!up) throw std::runtime_error("dbus-daemon does not start");
}

void PrivateBus::kill() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

void PrivateBus::freeze() {
  ::kill(pid_, SIGSTOP);
  waitpid(pid_, nullptr, WUNTRACED);
}

void PrivateBus::thaw() {
  ::kill(pid_, SIGCONT);
}

std::string text_of(sd_bus_message* message) {
  return elements(message);
}

Client::Client(const std::string& address) {
  sd_bus* bus = nullptr;
  check(sd_bus_new(&bus), "new");
  bus_.reset(bus);
  check(sd_bus_set_address(bus, address.c_str()), "address");
  check(sd_bus_set_bus_client(bus, 1), "client");
  check(sd_bus_start(bus), "start");
}

std::string Client::answer(Message call) {
  sd_bus_error error{};
  sd_bus_message* reply = nullptr;
  const int r = sd_bus_call(bus_.get(), call.get(), 0, &error, &reply);
  const Message owned(reply);
  const std::string failure =
      r < 0 ? fmt::format("error {}: {}", error.name ? error.name : "", error.message) : "";
  sd_bus_error_free(&error);
  return r < 0 ? failure : text_of(reply);
}

Message Client::make_call(const std::string& path, const std::string& interface,
                          const std::string& member) {
  sd_bus_message* call = nullptr;
  check(sd_bus_message_new_method_call(bus_.get(), &call, bus_name, path.c_str(), interface.c_str(),
                                       member.c_str()),
        "call");
  return Message(call);
}

std::string Client::call(const std::string& path, const std::string& interface,
                         const std::string& member, const std::vector<std::string>& texts) {
  Message call = make_call(path, interface, member);
  for (const std::string& text : texts)
    check(sd_bus_message_append_basic(call.get(), 's', text.c_str()), "append");
  return answer(std::move(call));
}

std::string Client::call_with(const std::string& path, const std::string& interface,
                              const std::string& member, const char* types, ...) {
  Message call = make_call(path, interface, member);
  va_list values;
  va_start(values, types);
  const int r = sd_bus_message_appendv(call.get(), types, values);
  va_end(values);
  check(r, "append");
  return answer(std::move(call));
}

void Client::begin(const std::string& path, const std::string& interface, const std::string& member,
                   const char* types, ...) {
  const Message call = make_call(path, interface, member);
  va_list values;
  va_start(values, types);
  const int r = sd_bus_message_appendv(call.get(), types, values);
  va_end(values);
  check(r, "append");
  const auto record = [](sd_bus_message* reply, void* self, sd_bus_error*) {
    const sd_bus_error* error = sd_bus_message_get_error(reply);
    static_cast<Client*>(self)->answers.push_back(
        error ? fmt::format("error {}: {}", error->name, error->message) : text_of(reply));
    return 0;
  };
  check(sd_bus_call_async(bus_.get(), nullptr, call.get(), record, this, UINT64_MAX), "call");
  check(sd_bus_flush(bus_.get()), "flush");
}

std::string Client::get(const std::string& path, const std::string& interface,
                        const std::string& property) {
  return call(path, "org.freedesktop.DBus.Properties", "Get", {interface, property});
}

std::string Client::introspect(const std::string& path) {
  return call(path, "org.freedesktop.DBus.Introspectable", "Introspect");
}

bool Client::wait_for_service() {
  // An answer says more than the name's owner: that the service knows that the name is its own.
  return wait_until(
      [this] { return call("/org/smartmeterd1", "org.freedesktop.DBus.Peer", "Ping").empty(); });
}

void Client::listen() {
  const auto record = [](sd_bus_message* message, void* self, sd_bus_error*) {
    static_cast<Client*>(self)->signals.push_back(
        {sd_bus_message_get_path(message), sd_bus_message_get_interface(message),
         sd_bus_message_get_member(message), text_of(message)});
    return 0;
  };
  check(sd_bus_add_match(bus_.get(), nullptr, "type='signal',path_namespace='/org/smartmeterd1'",
                         record, this),
        "match");
}

bool Client::wait_until(const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    int r;
    while ((r = sd_bus_process(bus_.get(), nullptr)) > 0) {
    }
    check(r, "process");
    check(sd_bus_wait(bus_.get(), 20'000), "wait");
  }
  return true;
}

}  // namespace smartmeterd::bus::test
