// SPDX-License-Identifier: Apache-2.0
// Sources over reloads of the configuration.
#include "daemon/sources.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "daemon/log.hpp"

namespace smartmeterd {

void Sources::configure(const Config& config, std::shared_ptr<const meter::dlms::KeyRing> keys,
                        const std::function<mqtt::MqttSink&(std::string_view)>& broker) {
  std::vector<std::string> prefixes;
  for (const BrokerConfig& one : config.brokers) prefixes.push_back(one.prefix + '/');
  const std::string instance = meter::slug(config.instance);
  if (instance != instance_ || prefixes != prefixes_ ||
      config.accept_counter_reset != accept_counter_reset_)
    clear();
  instance_ = instance;
  prefixes_ = std::move(prefixes);
  accept_counter_reset_ = config.accept_counter_reset;
  remove([&](const Listening& one) {
    return std::ranges::count(config.sources, one.source->config()) == 0;
  });
  for (const Listening& one : listening_) one.source->set_keys(keys);
  for (const SourceConfig& source : config.sources) {
    if (std::ranges::any_of(listening_,
                            [&](const auto& one) { return one.source->config() == source; }))
      continue;
    const auto on = std::ranges::find(config.brokers, source.broker, &BrokerConfig::name);
    mqtt::MqttSink& sink = broker(source.broker);
    auto made = std::make_unique<Source>(
        SourceEnvironment{.loop = environment_.loop,
                          .sinks = environment_.sinks,
                          .meters = environment_.meters,
                          .storage = environment_.storage,
                          .instance = instance_,
                          .prefixes = prefixes_,
                          .accept_counter_reset = accept_counter_reset_,
                          .names = names_,
                          .is_name_taken = environment_.is_name_taken},
        source, *on, keys);
    made->set_online(sink.publisher().state == PublisherState::online);
    sink.subscribe(made->filters(), source.qos, *made);
    listening_.push_back({std::move(made), &sink});
  }
  for (const BrokerConfig& one : config.brokers) broker(one.name).forget_filters({});
}

/// A source hears nothing any more before it goes. What its end has brokers say may come back here
/// (`pause`, `publisher_changed`): by then it is in no list.
void Sources::remove(const std::function<bool(const Listening&)>& is_over) {
  const auto end = std::ranges::stable_partition(listening_, std::not_fn(is_over));
  const std::vector<Listening> over(std::move_iterator(end.begin()),
                                    std::move_iterator(end.end()));
  listening_.erase(end.begin(), end.end());
  for (const Listening& one : over) one.broker->unsubscribe(*one.source);
}

void Sources::forget(const mqtt::MqttSink& broker) {
  remove([&](const Listening& one) { return one.broker == &broker; });
}

void Sources::clear() {
  remove([](const Listening&) { return true; });
}

void Sources::publisher_changed(const Publisher& publisher) {
  for (const Listening& one : listening_)
    if (one.source->config().broker == publisher.name)
      one.source->set_online(publisher.state == PublisherState::online);
}

void Sources::pause(bool is_paused) {
  if (is_paused != std::exchange(is_paused_, is_paused) && !listening_.empty())
    log::debug("sources {}", is_paused ? "wait for a slow broker" : "go on");
  for (const Listening& one : listening_) one.broker->pause_reading(is_paused);
}

void Sources::introduce(Sink& sink) const {
  for (const Listening& one : listening_)
    one.source->each_input([&](SourceInput& input) { sink.adapter_added(input.adapter()); });
}

}  // namespace smartmeterd
