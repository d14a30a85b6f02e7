// SPDX-License-Identifier: Apache-2.0
// dbus/org.smartmeterd1.conf and its closed variant, enforced by a real dbus-daemon: who may do
// what, and who hears what. Needs root, for connections of other users.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "private_bus.hpp"
#include "server.hpp"

namespace smartmeterd::bus::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

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

std::string read_file(const std::string& name) {
  std::ifstream file(DBUS_DIRECTORY "/" + name);
  std::ostringstream all;
  all << file.rdbuf();
  return all.str();
}

/// The file, with a group that exists here.
std::string closed_file() {
  std::string text = read_file("org.smartmeterd1-closed.conf");
  replace(text, "group=\"smartmeterd\"", "group=\"daemon\"");
  return text;
}

/// The policy elements of the file, with a user and a group that exist here.
std::string shipped_policy() {
  std::string text = read_file("org.smartmeterd1.conf");
  replace(text, "user=\"smartmeterd\"", "user=\"root\"");
  replace(text, "group=\"smartmeterd\"", "group=\"daemon\"");
  const std::size_t begin = text.find("<busconfig>") + std::string("<busconfig>").size();
  return text.substr(begin, text.find("</busconfig>") - begin);
}

class PolicyTest : public testing::Test {
 protected:
  // As a system bus does: what the administrator adds is read last.
  PolicyTest() : bus_(system_policy + shipped_policy() + "<includedir>added.d</includedir>") {
    std::filesystem::create_directory(bus_.directory() / "added.d");
  }
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root, to connect as other users";
    bus_.start();
    BusOptions options;
    options.address = bus_.address();
    server_ = std::make_unique<Server>(io::Backend::epoll, options);
    server_->run([this](Sink& sink) { world_.add_to(sink); });
    root_client_ = std::make_unique<Client>(bus_.address());
    ASSERT_TRUE(root_client_->wait_for_service());
    root_client_->listen();
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

  std::string owner_of_name() {
    Client client(bus_.address());
    sd_bus_creds* creds = nullptr;
    sd_bus_get_name_creds(client.bus(), bus_name, SD_BUS_CREDS_UNIQUE_NAME, &creds);
    const char* owner = "";
    sd_bus_creds_get_unique_name(creds, &owner);
    std::string name = owner;
    sd_bus_creds_unref(creds);
    return name;
  }
  void add_closed_file() {
    std::ofstream(bus_.directory() / "added.d" / "org.smartmeterd1-closed.conf") << closed_file();
  }
  void remove_closed_file() {
    std::filesystem::remove(bus_.directory() / "added.d" / "org.smartmeterd1-closed.conf");
  }
  /// Sends a telegram: a Reading, and two changes. Every client of the bus has heard it by then, or
  /// will not, once it has asked the bus something itself.
  void telegram() {
    root_client_->signals.clear();
    server_->run([this](Sink& sink) {
      World::telegram(sink, world_.electricity, {{"power_import", {++power_, 0}, ""}});
    });
    EXPECT_TRUE(root_client_->wait_until([&] { return root_client_->signals.size() == 3; }));
  }
  /// What a client has heard of the service.
  static std::size_t heard(Client& client) {
    ask_bus(client, "GetId");
    while (sd_bus_process(client.bus(), nullptr) > 0) {
    }
    return std::exchange(client.signals, {}).size();
  }
  static int add_match(Client& client, const char* rule) {
    return sd_bus_call_method(client.bus(), "org.freedesktop.DBus", "/org/freedesktop/DBus",
                              "org.freedesktop.DBus", "AddMatch", nullptr, nullptr, "s", rule);
  }
  static void ask_bus(Client& client, const char* member) {
    EXPECT_GE(sd_bus_call_method(client.bus(), "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                 "org.freedesktop.DBus", member, nullptr, nullptr, nullptr),
              0);
  }

  PrivateBus bus_;
  World world_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Client> root_client_;
  std::int64_t power_ = 0;
};

class ClosedPolicyTest : public PolicyTest {
 protected:
  ClosedPolicyTest() { add_closed_file(); }
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
  EXPECT_THAT(client.call(root, manager, "Reload"), StartsWith(answer_of_reload));
  EXPECT_THAT(client.call_with(adapter_path, "org.smartmeterd1.Adapter", "Probe", "a{sv}", 0),
              StartsWith(answer));
  EXPECT_THAT(client.call_with(adapter_path, "org.smartmeterd1.Adapter", "OpenCapture", "a{sv}", 0),
              StartsWith(answer));
  EXPECT_THAT(client.call_with(meter_path, "org.smartmeterd1.Meter", "History", "ttua{sv}",
                               UINT64_C(0), UINT64_C(1), 0u, 0),
              StartsWith(answer));
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
    telegram();
    EXPECT_EQ(heard(client), 3u);
  });
}

/// Neither the service's own name, nor a call that names no interface, is a way around.
TEST_F(PolicyTest, ThereIsNoOtherWayToAct) {
  const std::string owner = owner_of_name();
  as(nobody, nobody, [&](Client& client) {
    for (const char* destination : {bus_name, owner.c_str()}) {
      for (const char* interface : {manager.c_str(), static_cast<const char*>(nullptr)}) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        EXPECT_EQ(sd_bus_call_method(client.bus(), destination, root.c_str(), interface, "Reload",
                                     &error, nullptr, nullptr),
                  -EACCES);
        EXPECT_STREQ(error.name, SD_BUS_ERROR_ACCESS_DENIED);
        sd_bus_error_free(&error);
      }
    }
  });
}

/// The bus gives nobody but root what is meant for others; a match for everything gets signals.
TEST_F(PolicyTest, AnEavesdropperHearsSignalsAlone) {
  as(nobody, nobody, [this](Client& client) {
    EXPECT_EQ(add_match(client, "eavesdrop='true'"), -EACCES);
    std::vector<int> types;
    const auto record = [](sd_bus_message* message, void* all, sd_bus_error*) {
      std::uint8_t type = 0;
      sd_bus_message_get_type(message, &type);
      if (std::string_view(sd_bus_message_get_sender(message)) != "org.freedesktop.DBus")
        static_cast<std::vector<int>*>(all)->push_back(type);
      return 0;
    };
    ASSERT_GE(sd_bus_add_filter(client.bus(), nullptr, record, &types), 0);
    ASSERT_GE(add_match(client, ""), 0);
    Client other(bus_.address());  // the same user
    EXPECT_EQ(other.get(meter_path, "org.smartmeterd1.Meter", "Id"), "<s 1KFM0200169986>");
    telegram();
    heard(client);
    EXPECT_THAT(types, testing::SizeIs(3));
    EXPECT_THAT(types, testing::Each(int{SD_BUS_MESSAGE_SIGNAL}));
  });
}

TEST_F(ClosedPolicyTest, NobodyElseReadsOrHearsOrActs) {
  as(nobody, nobody, [this](Client& client) {
    const std::string interface = "org.freedesktop.DBus.";
    EXPECT_THAT(client.get(meter_path, "org.smartmeterd1.Meter", "Id"), StartsWith(denied));
    EXPECT_THAT(client.call(root, interface + "ObjectManager", "GetManagedObjects"),
                StartsWith(denied));
    EXPECT_THAT(client.introspect(root), StartsWith(denied));
    EXPECT_THAT(client.call(root, interface + "Peer", "Ping"), StartsWith(denied));
    EXPECT_THAT(client.call(root, manager, "GetMeter", {"1KFM0200169986"}), StartsWith(denied));
    acts(client, denied, denied);
    client.listen();
    ASSERT_GE(add_match(client, ""), 0);
    telegram();
    EXPECT_EQ(heard(client), 0u);
  });
}

TEST_F(ClosedPolicyTest, TheGroupAndRootReadHearAndAct) {
  const auto does_all = [this](Client& client) {
    reads_everything(client);
    acts(client, "", not_supported);
    client.listen();
    telegram();
    EXPECT_EQ(heard(client), 3u);
  };
  as(nobody, some_group, does_all);
  Client client(bus_.address());
  does_all(client);
}

TEST_F(PolicyTest, ClosingAndOpeningHoldsForWhoIsConnected) {
  Client administrator(bus_.address());
  const auto reload = [&](const std::function<void()>& change) {
    server_->run([&](Sink&) { change(); });  // root's thread
    ask_bus(administrator, "ReloadConfig");
  };
  as(nobody, nobody, [&](Client& client) {
    client.listen();
    telegram();
    EXPECT_EQ(heard(client), 3u);
    reload([this] { add_closed_file(); });
    telegram();
    EXPECT_EQ(heard(client), 0u);
    EXPECT_THAT(client.get(meter_path, "org.smartmeterd1.Meter", "Id"), StartsWith(denied));
    reload([this] { remove_closed_file(); });
    telegram();
    EXPECT_EQ(heard(client), 3u);
    reads_everything(client);
  });
}

}  // namespace
}  // namespace smartmeterd::bus::test
