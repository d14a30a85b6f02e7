// SPDX-License-Identifier: Apache-2.0
// MqttSink: one broker, with everything that is published and heard there.
#include "daemon/mqtt/mqtt_sink.hpp"

#include <mosquitto.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "daemon/mqtt/client.hpp"
#include "daemon/mqtt/profiles.hpp"
#include "daemon/mqtt/topics.hpp"

namespace smartmeterd::mqtt {

namespace {

class BrokerSink final : public MqttSink, private ClientListener {
 public:
  BrokerSink(io::Loop& loop, const BrokerConfig& broker, const std::string& instance,
             std::function<void(const Publisher&)> changed, Backlog* backlog);

  const Publisher& publisher() const noexcept override { return client_.publisher(); }
  void subscribe(const std::vector<std::string>& filters, int qos, Subscriber& subscriber) override;
  void unsubscribe(Subscriber& subscriber) override;
  bool is_congested() const noexcept override { return client_.is_congested(); }
  void forget_filters(const std::vector<std::string>& but) override;
  void pause_reading(bool is_paused) override { client_.pause_reading(is_paused); }
  void start() override { client_.start(); }
  void stop_reading() override { client_.stop_reading(); }
  void take_back() override { is_taken_back_ = true; }
  void shut_down() override;

  void meter_removed(const Meter& meter) override {
    last_.erase(&meter);
    Sinks::meter_removed(meter);
  }
  void telegram(const Telegram& telegram) override;
  void raw_telegram(const RawTelegram& telegram) override;

 private:
  struct Filter {
    std::string text;
    std::uint32_t id;
    bool is_refused = false;
  };
  struct Subscription {
    std::vector<Filter> filters;
    Subscriber* subscriber;
  };

  void broker_online() override {
    for (Subscription& subscription : subscriptions_)
      for (Filter& filter : subscription.filters) filter.is_refused = false;
    each([](Profile& profile) { profile.broker_online(); });
  }
  void broker_tick() override {
    each([](Profile& profile) { profile.tick(); });
  }
  void client_changed() override { changed_(client_.publisher()); }
  void congestion_changed() override { changed_(client_.publisher()); }
  void message(const Message& message) override;
  void subscription_refused(std::string_view filter, std::string_view reason) override;
  void acknowledged(std::uint64_t ticket) override {
    each([&](Profile& profile) { profile.acknowledged(ticket); });
  }

  void pass_on(const Telegram& telegram);
  void collect_since(const Meter& meter, io::TimePoint last);

  template <class Call>
  void each(Call call) {
    for (const auto& profile : profiles_) call(*profile);
  }

  io::Loop& loop_;
  BrokerConfig broker_;
  std::string instance_;
  std::function<void(const Publisher&)> changed_;
  std::vector<Subscription> subscriptions_;
  std::vector<std::string> former_filters_;     ///< that the broker may still have
  std::map<const Meter*, io::TimePoint> last_;  ///< telegram that was passed on, with a throttle
  std::string topic_;                           ///< of a message: the library wants its end marked
  meter::NamedReadings collected_;  ///< reused for each telegram, so that none allocates
  bool is_taken_back_ = false;
  Client client_;
  Profiles profiles_;
};

BrokerSink::BrokerSink(io::Loop& loop, const BrokerConfig& broker, const std::string& instance,
                       std::function<void(const Publisher&)> changed, Backlog* backlog)
    : loop_(loop),
      broker_(broker),
      instance_(instance),
      changed_(std::move(changed)),
      client_(
          loop, broker_, broker_.client_id,
          broker.publishes() ? gateway_prefix(broker, instance).append(gateway_topic::status) : "",
          *this, meter::slug(instance)),
      profiles_(make_profiles({loop, client_, broker_, instance_, backlog})) {
  for (const auto& profile : profiles_) add(*profile);
}

/// With a throttle: the first telegram after its time, and with it what the ones before it brought.
void BrokerSink::telegram(const Telegram& telegram) {
  if (broker_.throttle.count() == 0) return pass_on(telegram);
  const auto [last, is_first] = last_.try_emplace(&telegram.meter, loop_.now());
  if (is_first) return pass_on(telegram);
  if (loop_.now() < last->second + broker_.throttle) return;
  if (telegram.meter.is_stateless) {
    pass_on(telegram);
  } else {
    collect_since(telegram.meter, last->second);
    pass_on({telegram.meter, telegram.readings, collected_, telegram.quantities, telegram.changed,
             telegram.last_byte});
  }
  last->second = loop_.now();
}

/// The profiles are asked in their order: the first message is the first one's.
void BrokerSink::pass_on(const Telegram& telegram) {
  client_.measure_next(telegram.last_byte);
  Sinks::telegram(telegram);
  client_.measure_next(std::nullopt);
}

/// Shows the time where the broker gets nothing else.
void BrokerSink::raw_telegram(const RawTelegram& telegram) {
  if (broker_.profiles.empty()) client_.measure_next(telegram.last_byte);
  Sinks::raw_telegram(telegram);
  client_.measure_next(std::nullopt);
}

/// What arrived since, at that very time too: messages of one moment are not told apart.
void BrokerSink::collect_since(const Meter& meter, io::TimePoint last) {
  collected_.clear();
  for (const LatestValue& value : meter.values) {
    if (value.arrived < last) continue;
    if (!collected_.push_back({.name = value.name,
                               .value = value.value,
                               .text = value.text,
                               .unit = value.unit,
                               .is_text = value.is_text,
                               .derived = value.derived}))
      return;
  }
}

/// The filter that topics are held against: MQTT 5.0 section 4.8.2.
std::string_view without_group(std::string_view filter) {
  constexpr std::string_view shared = "$share/";
  if (!filter.starts_with(shared)) return filter;
  const std::size_t end = filter.find('/', shared.size());
  return end == filter.npos ? filter : filter.substr(end + 1);
}

void BrokerSink::subscribe(const std::vector<std::string>& filters, int qos,
                           Subscriber& subscriber) {
  subscriptions_.push_back({{}, &subscriber});
  for (const std::string& filter : filters)
    subscriptions_.back().filters.push_back({filter, client_.subscribe(filter, qos)});
}

void BrokerSink::unsubscribe(Subscriber& subscriber) {
  const auto over = std::ranges::find(subscriptions_, &subscriber, &Subscription::subscriber);
  if (over == subscriptions_.end()) return;
  for (Filter& filter : over->filters) former_filters_.push_back(std::move(filter.text));
  subscriptions_.erase(over);
}

void BrokerSink::forget_filters(const std::vector<std::string>& but) {
  for (const std::string& filter : std::exchange(former_filters_, {}))
    if (std::ranges::count(but, filter) == 0 &&
        std::ranges::none_of(subscriptions_, [&](const Subscription& other) {
          return std::ranges::count(other.filters, filter, &Filter::text) > 0;
        }))
      client_.unsubscribe(filter);
}

/// Where filters overlap a broker may send one copy for each, and then says which it is for: of a
/// subscriber's filters the first that matches counts. What is for a filter of an earlier session
/// is for everyone whom it matches.
void BrokerSink::message(const Message& message) {
  each([&](Profile& profile) { profile.message(message); });
  topic_.assign(message.topic);
  const auto is_meant = [&](const Filter& filter) {
    return std::ranges::find(message.subscriptions, filter.id) != message.subscriptions.end();
  };
  const bool is_known = std::ranges::any_of(subscriptions_, [&](const Subscription& subscription) {
    return std::ranges::any_of(subscription.filters, is_meant);
  });
  const auto matches = [&](const Filter& filter) {
    bool does = false;  // the end of a string ends where the string does
    mosquitto_topic_matches_sub(without_group(filter.text).data(), topic_.c_str(), &does);
    return does && !filter.is_refused;
  };
  for (const Subscription& subscription : subscriptions_) {
    const auto first = std::ranges::find_if(subscription.filters, matches);
    if (first != subscription.filters.end() && (!is_known || is_meant(*first)))
      subscription.subscriber->message(message);
  }
}

void BrokerSink::subscription_refused(std::string_view filter, std::string_view reason) {
  for (Subscription& subscription : subscriptions_) {
    const auto refused = std::ranges::find(subscription.filters, filter, &Filter::text);
    if (refused == subscription.filters.end()) continue;
    refused->is_refused = true;
    subscription.subscriber->subscription_refused(filter, reason);
  }
}

void BrokerSink::shut_down() {
  each([](Profile& profile) { profile.shut_down(); });
  for (const auto& profile : profiles_) remove(*profile);
  profiles_.clear();
  if (is_taken_back_) client_.take_back_below(with_slash(broker_.prefix));
  client_.shut_down();
}

}  // namespace

std::unique_ptr<MqttSink> make_mqtt_sink(io::Loop& loop, const BrokerConfig& broker,
                                         const std::string& instance,
                                         std::function<void(const Publisher&)> changed,
                                         Backlog* backlog) {
  return std::make_unique<BrokerSink>(loop, broker, instance, std::move(changed), backlog);
}

}  // namespace smartmeterd::mqtt
