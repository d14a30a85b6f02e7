// SPDX-License-Identifier: Apache-2.0
// Sources come and go while brokers answer what that makes them say.
#include "daemon/sources.hpp"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace smartmeterd {
namespace {

using testing::ElementsAre;

/// A broker that is always there and never says anything.
class Broker : public mqtt::MqttSink {
 public:
  explicit Broker(std::string name) {
    publisher_.name = std::move(name);
    publisher_.state = PublisherState::online;
  }
  const Publisher& publisher() const noexcept override { return publisher_; }
  void subscribe(const std::vector<std::string>&, int, mqtt::Subscriber&) override {}
  void unsubscribe(mqtt::Subscriber&) override {}
  void forget_filters(const std::vector<std::string>&) override {}
  bool is_congested() const noexcept override { return false; }
  void pause_reading(bool is_paused) override { pauses.push_back(is_paused); }
  void start() override {}
  void stop_reading() override {}
  void take_back() override {}
  void shut_down() override {}
  std::vector<bool> pauses;

 private:
  Publisher publisher_;
};

/// Each adapter that leaves fills the outbox of a broker.
class Congestion : public Sink {
 public:
  void adapter_removed(const Adapter& adapter) override {
    removed.push_back(adapter.name);
    if (on_removed) on_removed();
  }
  std::vector<std::string> removed;
  std::function<void()> on_removed;
};

TEST(SourcesTest, ABrokerMayCongestWhileASourceLeaves) {
  char name[] = "/tmp/sources-test-XXXXXX";
  const std::filesystem::path directory = mkdtemp(name);
  const auto loop = io::Loop::make(io::Backend::epoll);
  const auto storage = history::Storage::open(directory);
  Congestion sink;
  MeterRegistry meters(*loop, sink);
  Broker broker("main");
  Sources sources({.loop = *loop,
                   .sinks = sink,
                   .meters = meters,
                   .storage = *storage,
                   .is_name_taken = [](std::string_view) { return false; }});
  sink.on_removed = [&] {
    sources.publisher_changed(broker.publisher());
    sources.pause(true);
    sources.pause(false);
    sources.introduce(sink);
  };
  Config config;
  config.brokers.emplace_back().name = "main";
  for (const char* source : {"a", "b", "c", "d"}) {
    SourceConfig& one = config.sources.emplace_back();
    one.name = source;
    one.broker = "main";
    one.format = SourceFormat::raw;
  }
  const auto configure = [&] {
    sources.configure(config, nullptr, [&](std::string_view) -> mqtt::MqttSink& { return broker; });
  };
  configure();
  config.sources.erase(config.sources.begin(), config.sources.begin() + 2);
  configure();
  EXPECT_THAT(sink.removed, ElementsAre("a", "b"));
  EXPECT_EQ(broker.pauses.size(), 8u);  // of the two that stay, and of no other
  sources.clear();
  EXPECT_THAT(sink.removed, ElementsAre("a", "b", "c", "d"));
  EXPECT_EQ(broker.pauses.size(), 8u);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace smartmeterd
