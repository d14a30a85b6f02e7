// SPDX-License-Identifier: Apache-2.0
// PrivateBus: a dbus-daemon of our own. Client: a blocking connection that prints what it gets.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "daemon/bus/connection.hpp"

namespace smartmeterd::bus::test {

/// Everything is allowed to everybody.
extern const char* const open_policy;

/// A bus of type "system" in a directory of its own; its address outlives a restart.
class PrivateBus {
 public:
  /// `policy`: the <policy> and <include> elements of the configuration.
  explicit PrivateBus(const std::string& policy = open_policy);
  ~PrivateBus();
  PrivateBus(const PrivateBus&) = delete;
  PrivateBus& operator=(const PrivateBus&) = delete;

  void start();
  void kill();
  void freeze();  ///< takes no bytes any more
  void thaw();
  const std::string& address() const noexcept { return address_; }
  /// Of its configuration: what its policy includes is looked for there.
  const std::filesystem::path& directory() const noexcept { return directory_; }

 private:
  std::filesystem::path directory_;
  std::string address_;
  pid_t pid_ = 0;
};

/// The rest of a message's content: strings bare, "[a b]" an array, "{k: v}" a dictionary,
/// "(a b)" a struct, "<type value>" a variant.
std::string text_of(sd_bus_message* message);

struct Signal {
  std::string path, interface, member, content;
};

class Client {
 public:
  explicit Client(const std::string& address);

  /// Content of the answer, or "error <name>: <message>".
  std::string call(const std::string& path, const std::string& interface, const std::string& member,
                   const std::vector<std::string>& texts = {});
  /// With arguments of these types, as sd_bus_message_append takes them.
  std::string call_with(const std::string& path, const std::string& interface,
                        const std::string& member, const char* types, ...);
  /// The same, without waiting: the answer goes to the end of `answers`.
  void begin(const std::string& path, const std::string& interface, const std::string& member,
             const char* types, ...);
  std::vector<std::string> answers;
  /// "<d 230.1>"
  std::string get(const std::string& path, const std::string& interface,
                  const std::string& property);
  std::string introspect(const std::string& path);
  /// True once org.smartmeterd1 answers (waits).
  bool wait_for_service();

  /// Records the signals below /org/smartmeterd1 from now on.
  void listen();
  /// Waits until `done` says so; false after a generous time.
  bool wait_until(const std::function<bool()>& done);
  std::vector<Signal> signals;

  sd_bus* bus() const noexcept { return bus_.get(); }

 private:
  Message make_call(const std::string& path, const std::string& interface,
                    const std::string& member);
  std::string answer(Message call);
  BusPtr bus_;
};

}  // namespace smartmeterd::bus::test
