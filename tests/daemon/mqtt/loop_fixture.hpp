// SPDX-License-Identifier: Apache-2.0
// LoopTest: a loop that never sleeps for long, once on each back end.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <system_error>

#include "daemon/config.hpp"
#include "daemon/io/loop.hpp"
#include "tests/daemon/mqtt/broker.hpp"

namespace smartmeterd::test {

class LoopTest : public testing::TestWithParam<io::Backend> {
 protected:
  void SetUp() override {
    try {
      loop_ = io::Loop::make(GetParam());
    } catch (const std::system_error& error) {
      GTEST_SKIP() << "no io_uring here: " << error.what();
    }
    alarm_ = std::make_unique<io::Operation>([this](int result) {
      if (result != -ECANCELED) loop_->timer(*alarm_, loop_->now() + std::chrono::milliseconds(10));
    });
    loop_->timer(*alarm_, loop_->now());
  }
  /// After whatever works on the loop is gone.
  void TearDown() override { alarm_.reset(); }

  static BrokerConfig config(std::uint16_t port) {
    BrokerConfig broker;
    broker.name = "test";
    broker.host = "127.0.0.1";
    broker.port = port;
    broker.client_id = "smartmeterd-host";
    return broker;
  }
  /// Runs the loop (and the subscriber) until something is so. False: it never was.
  bool run_until(const std::function<bool()>& condition, Subscriber* subscriber = nullptr) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      loop_->run_once();
      if (subscriber != nullptr) subscriber->step();
    }
    return true;
  }
  bool hear(Subscriber& subscriber, const std::string& topic, const std::string& payload) {
    return run_until([&] { return subscriber.payload(topic) == payload; }, &subscriber);
  }

  std::unique_ptr<io::Loop> loop_;
  std::unique_ptr<io::Operation> alarm_;
};

/// The instances of a LoopTest.
inline const auto both_back_ends = testing::Values(io::Backend::io_uring, io::Backend::epoll);
inline std::string back_end_name(const testing::TestParamInfo<io::Backend>& backend) {
  return backend.param == io::Backend::epoll ? "epoll" : "io_uring";
}

}  // namespace smartmeterd::test
