// SPDX-License-Identifier: Apache-2.0
// dbus/org.smartmeterd1.conf, enforced by a real dbus-daemon: who may do what. Needs root, for
// connections of other users.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "private_bus.hpp"
#include "server.hpp"

namespace smartmeterd::bus::test {
namespace {

using testing::HasSubstr;

const std::string root = "/org/smartmeterd1";
const std::string manager = "org.smartmeterd1.Manager";
constexpr unsigned nobody = 65534;
constexpr unsigned some_group = 1;  // "daemon": there on every Debian

/// What a system bus allows before any service's policy (dbus-daemon's system.conf).
constexpr const char* system_policy =
    "<policy context='default'><allow user='*'/><deny own='*'/><deny send_type='method_call'/>"
    "<allow send_type='signal'/><allow send_requested_reply='true' send_type='method_return'/>"
    "<allow send_requested_reply='true' send_type='error'/><allow receive_type='method_call'/>"
    "<allow receive_type='method_return'/><allow receive_type='error'/>"
    "<allow receive_type='signal'/><allow send_destination='org.freedesktop.DBus' "
    "send_interface='org.freedesktop.DBus'/></policy>";

/// Exactly one place.
void replace(std::string& text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  if (at == text.npos || text.find(from, at + 1) != text.npos)
    throw std::runtime_error("not once in the policy: " + from);
  text.replace(at, from.size(), to);
}

/// The policy elements of the file, with a user and a group that exist here.
std::string shipped_policy() {
  std::ifstream file(DBUS_DIRECTORY "/org.smartmeterd1.conf");
  std::ostringstream all;
  all << file.rdbuf();
  std::string text = all.str();
  replace(text, "user=\"smartmeterd\"", "user=\"root\"");
  replace(text, "group=\"smartmeterd\"", "group=\"daemon\"");
  const std::size_t begin = text.find("<busconfig>") + std::string("<busconfig>").size();
  return text.substr(begin, text.find("</busconfig>") - begin);
}

class PolicyTest : public testing::Test {
 protected:
  PolicyTest() : bus_(system_policy + shipped_policy()) {}
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root, to connect as other users";
    bus_.start();
    BusOptions options;
    options.address = bus_.address();
    server_ = std::make_unique<Server>(io::Backend::epoll, options);
    server_->run([this](Sink& sink) { world_.add_to(sink); });
    ASSERT_TRUE(Client(bus_.address()).wait_for_service());
  }

  /// Runs `job` with a client whose connection has this user and group. The system calls
  /// themselves change one thread only; the library's wrappers would change them all.
  void as(unsigned user, unsigned group, const std::function<void(Client&)>& job) {
    std::thread([&] {
      ASSERT_EQ(syscall(SYS_setgroups, 0, nullptr), 0);
      ASSERT_EQ(syscall(SYS_setresgid, group, group, group), 0);
      ASSERT_EQ(syscall(SYS_setresuid, user, user, user), 0);
      Client client(bus_.address());
      job(client);
    }).join();
  }

  PrivateBus bus_;
  World world_;
  std::unique_ptr<Server> server_;
};

const std::string denied = "error org.freedesktop.DBus.Error.AccessDenied";
const std::string not_supported = "error org.freedesktop.DBus.Error.NotSupported";
const std::string adapter_path = "/org/smartmeterd1/adapter/usb_2dm_2dbus";
const std::string meter_path = "/org/smartmeterd1/meter/_31KFM0200169986";

void reads_everything(Client& client) {
  EXPECT_EQ(client.get(meter_path, "org.smartmeterd1.Meter", "Id"), "<s 1KFM0200169986>");
  EXPECT_THAT(client.call(root, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"),
              HasSubstr(meter_path));
  EXPECT_THAT(client.introspect(root), HasSubstr(manager));
  EXPECT_EQ(client.call(root, manager, "GetMeter", {"1KFM0200169986"}), meter_path);
}

void acts(Client& client, const std::string& answer_of_reload, const std::string& answer) {
  EXPECT_THAT(client.call(root, manager, "Reload"), testing::StartsWith(answer_of_reload));
  EXPECT_THAT(client.call_with_options(adapter_path, "org.smartmeterd1.Adapter", "Probe"),
              testing::StartsWith(answer));
  EXPECT_THAT(client.call_with_options(adapter_path, "org.smartmeterd1.Adapter", "OpenCapture"),
              testing::StartsWith(answer));
  EXPECT_THAT(client.call_with_options(meter_path, "org.smartmeterd1.Meter", "History", 2),
              testing::StartsWith(answer));
}

TEST_F(PolicyTest, AnybodyReadsAndDoesNotAct) {
  as(nobody, nobody, [](Client& client) {
    reads_everything(client);
    acts(client, denied, denied);
  });
}

TEST_F(PolicyTest, TheGroupActsWithoutAnyCapability) {
  as(nobody, some_group, [](Client& client) {
    reads_everything(client);
    acts(client, "", not_supported);
    EXPECT_EQ(client.call(root, manager, "Reload"), "");
  });
}

TEST_F(PolicyTest, RootActs) {
  Client client(bus_.address());
  reads_everything(client);
  acts(client, "", not_supported);
  EXPECT_EQ(client.call(root, manager, "Reload"), "");
}

TEST_F(PolicyTest, NobodyElseOwnsTheName) {
  as(nobody, some_group, [](Client& client) {
    EXPECT_EQ(sd_bus_request_name(client.bus(), bus_name, SD_BUS_NAME_QUEUE), -EACCES);
  });
}

TEST_F(PolicyTest, AnybodyHearsReadings) {
  as(nobody, nobody, [this](Client& client) {
    client.listen();
    server_->run([this](Sink& sink) {
      World::telegram(sink, world_.electricity, {{"power_import", {545, 0}, ""}});
    });
    EXPECT_TRUE(client.wait_until([&] { return client.signals.size() == 3; }));
  });
}

}  // namespace
}  // namespace smartmeterd::bus::test
