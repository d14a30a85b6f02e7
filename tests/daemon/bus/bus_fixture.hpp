// SPDX-License-Identifier: Apache-2.0
// BusFixture: a bus, the service with a world in it, and a client, over both back ends of the loop.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "private_bus.hpp"
#include "server.hpp"

namespace smartmeterd::bus::test {

inline const std::string root = "/org/smartmeterd1";
inline const std::string meter_path = "/org/smartmeterd1/meter/_31KFM0200169986";
inline const std::string gas_path = "/org/smartmeterd1/meter/G_2d1";
inline const std::string adapter_path = "/org/smartmeterd1/adapter/usb_2dm_2dbus";
inline const std::string broker_path = "/org/smartmeterd1/broker/home";
inline const std::string manager = "org.smartmeterd1.Manager";
inline const std::string meter_interface = "org.smartmeterd1.Meter";
inline const std::string adapter_interface = "org.smartmeterd1.Adapter";
inline const std::string electricity = "org.smartmeterd1.Electricity";
inline const std::string properties = "org.freedesktop.DBus.Properties";
inline const std::string object_manager = "org.freedesktop.DBus.ObjectManager";

class BusFixture : public testing::TestWithParam<io::Backend> {
 protected:
  void SetUp() override {
    try {
      io::Loop::make(GetParam());
    } catch (const std::system_error& error) {
      GTEST_SKIP() << "the kernel refuses io_uring: " << error.what();
    }
    options_.address = bus_.address();
    options_.version = "1.2.3";
    options_.features = {"epoll", "udev"};
    options_.reload = [this] { return reload_answer_; };
    options_.counters = [] {
      return std::map<std::string, std::uint64_t, std::less<>>{{"history-rows", 7}};
    };
  }

  /// Bus, service with the world in it, and a client that hears its signals.
  void start_all() {
    bus_.start();
    start_server();
    connect();
  }
  void start_server() {
    server_.emplace(GetParam(), options_);
    server_->run([this](Sink& sink) { world_.add_to(sink); });
  }
  void connect() {
    client_.emplace(bus_.address());
    ASSERT_TRUE(client_->wait_for_service());
    client_->listen();
  }
  void telegram(Meter& meter, std::vector<World::Value> values) {
    server_->run([&](Sink& sink) { World::telegram(sink, meter, std::move(values)); });
  }
  bool wait_for_signals(std::size_t count) {
    return client_->wait_until([&] { return client_->signals.size() >= count; });
  }
  std::string get(const std::string& path, const std::string& interface,
                  const std::string& property) {
    return client_->get(path, interface, property);
  }

  World world_;
  std::string reload_answer_;
  PrivateBus bus_;
  BusOptions options_;
  std::optional<Server> server_;
  std::optional<Client> client_;
};

inline const auto both_backends = testing::Values(io::Backend::io_uring, io::Backend::epoll);
inline std::string backend_name(const testing::TestParamInfo<io::Backend>& backend) {
  return backend.param == io::Backend::epoll ? "epoll" : "io_uring";
}

}  // namespace smartmeterd::bus::test
