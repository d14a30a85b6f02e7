// SPDX-License-Identifier: Apache-2.0
// What of a broker's messages is translated, and by whom.
#include "daemon/source.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "daemon/log.hpp"
#include "daemon/mqtt/topics.hpp"
#include "meter/decoder.hpp"
#include "meter_json/document.hpp"

namespace smartmeterd {
namespace {

using namespace std::chrono_literals;

constexpr auto silence_check_interval = 30s;
/// More than that no gateway needs, and it becomes a name.
constexpr std::size_t topic_size_max = 256;

/// "mqtt://host:port/", to be followed by a topic.
std::string address_of(const BrokerConfig& broker) {
  if (!broker.socket.empty()) return fmt::format("unix://{}/", broker.socket.native());
  return fmt::format("{}://{}/", broker.tls ? "mqtts" : "mqtt",
                     host_and_port_text(broker.host, broker.port));
}

bool is_control(char c) noexcept {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

/// The last level of `topic`, which loses it.
std::string_view take_level(std::string_view& topic) noexcept {
  const std::size_t slash = topic.rfind('/');
  const std::string_view last = topic.substr(slash == topic.npos ? 0 : slash + 1);
  topic = topic.substr(0, slash == topic.npos ? 0 : slash);
  return last;
}

/// Who published it, where MQTT 5 brings that along; empty: not told, or no smartmeterd.
std::string_view gateway_of(const mqtt::Message& message) noexcept {
  for (const mqtt::UserProperty& property : message.properties)
    if (property.name == mqtt::gateway_property) return property.value;
  return {};
}

}  // namespace

std::vector<std::string> filters_of(const SourceConfig& config, const BrokerConfig& broker) {
  auto filters = config.topics.empty() ? usual_topics(config.format, broker.prefix) : config.topics;
  if (!config.group.empty())
    for (std::string& filter : filters) filter = fmt::format("$share/{}/{}", config.group, filter);
  return filters;
}

RawTopic RawTopic::parse(std::string_view topic) noexcept {
  const std::string_view adapter = take_level(topic);
  if (take_level(topic) != mqtt::gateway_topic::raw) return {};
  const std::string_view instance = take_level(topic);
  if (instance.empty() || take_level(topic) != "gateway") return {};
  return {instance, adapter};
}

bool is_smartmeterd_topic(std::string_view topic, std::string_view prefix) noexcept {
  if (!topic.starts_with(prefix)) return false;
  topic.remove_prefix(prefix.size());
  if (topic.starts_with(mqtt::gateway_topic::stem)) return true;
  const std::string_view last = take_level(topic);
  if (topic.ends_with("/value")) return topic.find('/') == topic.size() - 6;
  return !topic.empty() && topic.find('/') == topic.npos &&
         std::ranges::count(mqtt::meter_topic::words, last) > 0;
}

Source::Source(const SourceEnvironment& environment, const SourceConfig& config,
               const BrokerConfig& broker, std::shared_ptr<const meter::dlms::KeyRing> keys)
    : environment_(environment),
      config_(config),
      filters_(filters_of(config, broker)),
      own_gateway_(fmt::format("{}{}/", mqtt::gateway_topic::stem, environment.instance)),
      input_(environment_, config.name, config.name, address_of(broker) + filters_.front(),
             config.stateless),
      silence_timer_([this](int result) {
        if (result == 0) watch_silence();
      }) {
  const TranslatorContext context{environment_, config_, address_of(broker), input_};
  if (config.format != SourceFormat::raw) json_ = make_json_translator(context);
  if (config.format == SourceFormat::raw || config.format == SourceFormat::automatic)
    raw_ = make_raw_translator(context, std::move(keys));
}

Source::~Source() = default;

void Source::set_keys(std::shared_ptr<const meter::dlms::KeyRing> keys) {
  if (raw_) raw_->set_keys(std::move(keys));
  input_.keys_changed();
}

void Source::each_input(const std::function<void(SourceInput&)>& call) {
  call(input_);
  if (json_) json_->each_input(call);
  if (raw_) raw_->each_input(call);
}

void Source::set_online(bool is_online) {
  each_input([&](SourceInput& input) { input.set_online(is_online); });
  if (is_online && !silence_timer_.pending())
    environment_.loop.timer(silence_timer_, environment_.loop.now() + silence_check_interval);
  if (!is_online) environment_.loop.cancel(silence_timer_);
}

void Source::watch_silence() {
  each_input([](SourceInput& input) { input.check_silence(); });
  environment_.loop.timer(silence_timer_, environment_.loop.now() + silence_check_interval);
}

void Source::subscription_refused(std::string_view /*filter*/, std::string_view /*reason*/) {
  input_.subscription_refused();  // the client has said which one, and why
}

/// What another gateway made of its meters goes no further from here, or two that read each other
/// never come to rest. Telegrams are as their meter sent them, and who reads single values does not
/// publish them (`mqtt::DataPointProfile`); both only where the configuration wants just them.
bool Source::is_of_another(const mqtt::Message& message, bool is_raw) {
  if (is_raw || config_.format == SourceFormat::datacollector ||
      config_.format == SourceFormat::plug_test || gateway_of(message).empty())
    return false;
  input_.count("loop");
  if (!std::exchange(is_other_told_, true))
    log::notice(
        "{}: what another smartmeterd made of its meters is not read; read its raw topics (raw = "
        "true there), or its profile datacollector with format = \"datacollector\" in [source.{}]",
        input_.adapter().device, config_.name);
  return true;
}

/// True where this gateway has sent it, or one that says it is this one.
bool Source::is_loop(const mqtt::Message& message) {
  const std::size_t at = message.topic.find(own_gateway_);
  const bool has_topic = at != message.topic.npos && (at == 0 || message.topic[at - 1] == '/');
  const std::string_view gateway = gateway_of(message);
  if (!has_topic && (gateway.empty() || gateway != environment_.instance)) return false;
  input_.count("loop");
  if (!std::exchange(is_loop_told_, true))
    log::notice(
        "{}: what gateway {} sends is not read, because this one has the same name; if "
        "it is another one, give one of them a name of its own (instance in [gateway])",
        input_.adapter().device, environment_.instance);
  return true;
}

/// Telegrams may stand in any topic, if the configuration says so: what a wildcard brings along,
/// lists of entities and whatever else a broker has, is none.
bool Source::is_named(std::string_view topic) const noexcept {
  return config_.format == SourceFormat::raw && std::ranges::count(config_.topics, topic) > 0;
}

void Source::not_raw() {
  input_.count("format");
  if (std::exchange(is_not_raw_told_, true)) return;
  log::notice(
      "{}: only topics that end in gateway/INSTANCE/raw/ADAPTER are read as telegrams; to read "
      "others, name each of them in topic of [source.{}], without + and #",
      input_.adapter().device, config_.name);
}

void Source::message(const mqtt::Message& message) {
  if (message.payload.empty()) return;  // a retained message was taken off the broker
  const RawTopic raw_topic = RawTopic::parse(message.topic);
  const bool is_raw = raw_ && (raw_topic || is_named(message.topic));
  const bool is_ours = std::ranges::any_of(environment_.prefixes, [&](const auto& prefix) {
    return is_smartmeterd_topic(message.topic, prefix);
  });
  if (is_ours && !(is_raw && raw_topic)) return;  // what others like us say of their meters
  if (is_loop(message) || is_of_another(message, is_raw)) return;
  if (!is_raw && config_.format == SourceFormat::raw) return not_raw();
  input_.heard(message.payload.size());
  const std::size_t size_max =
      is_raw ? meter::Decoder::buffer_size_min : meter::json::message_size_max;
  if (message.payload.size() > size_max || message.topic.size() > topic_size_max)
    return input_.refused({meter::Errc::oversize, 0});
  if (std::ranges::any_of(message.topic, is_control))  // it stands in logs
    return input_.refused({meter::Errc::malformed, 0});
  if (Translator* translator = (is_raw ? raw_ : json_).get()) translator->take(message);
}

}  // namespace smartmeterd
