// SPDX-License-Identifier: Apache-2.0
// Source: messages of other gateways, from one broker's topics to accepted telegrams.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config.hpp"
#include "daemon/history/storage.hpp"
#include "daemon/io/loop.hpp"
#include "daemon/meter_registry.hpp"
#include "daemon/model.hpp"
#include "daemon/mqtt/message.hpp"
#include "daemon/source_input.hpp"

namespace smartmeterd {

/// Makes readings of messages of one kind.
class Translator {
 public:
  virtual ~Translator() = default;
  virtual void take(const mqtt::Message& message) = 0;
  virtual void set_keys(std::shared_ptr<const meter::dlms::KeyRing> /*keys*/) {}
  /// Every input of its own, beside the source's.
  virtual void each_input(const std::function<void(SourceInput&)>& /*call*/) {}
};

/// Where a translator works. All of it outlives the translator.
struct TranslatorContext {
  const SourceEnvironment& environment;
  const SourceConfig& config;
  std::string address;  ///< "mqtt://host:port/", to be followed by a topic
  SourceInput& source;  ///< what belongs to no other input
};

/// For JSON messages; null in a build without simdjson.
std::unique_ptr<Translator> make_json_translator(const TranslatorContext& context);
/// This build reads JSON.
bool reads_json() noexcept;
/// For telegrams as other gateways received them.
std::unique_ptr<Translator> make_raw_translator(
    const TranslatorContext& context, std::shared_ptr<const meter::dlms::KeyRing> keys);

/// One [source.NAME]. Shows itself as an Adapter, counts what it refuses and says why. Nothing of
/// ours ever becomes a meter: neither what this gateway published nor what others of its kind did.
class Source : public mqtt::Subscriber {
 public:
  Source(const SourceEnvironment& environment, const SourceConfig& config,
         const BrokerConfig& broker, std::shared_ptr<const meter::dlms::KeyRing> keys);
  ~Source();
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  const SourceConfig& config() const noexcept { return config_; }
  /// What to subscribe to, with the group.
  const std::vector<std::string>& filters() const noexcept { return filters_; }
  void message(const mqtt::Message& message) override;
  void subscription_refused(std::string_view filter, std::string_view reason) override;
  void set_keys(std::shared_ptr<const meter::dlms::KeyRing> keys);
  void set_online(bool is_online);
  /// Its own adapter, and those of the gateways that it hears.
  void each_input(const std::function<void(SourceInput&)>& call);

 private:
  bool is_loop(const mqtt::Message& message);
  bool is_of_another(const mqtt::Message& message, bool is_raw);
  bool is_named(std::string_view topic) const noexcept;
  void not_raw();
  void watch_silence();

  SourceEnvironment environment_;
  SourceConfig config_;
  std::vector<std::string> filters_;
  std::string own_gateway_;  // "gateway/<instance>/"
  SourceInput input_;
  std::unique_ptr<Translator> json_;
  std::unique_ptr<Translator> raw_;
  bool is_loop_told_ = false;
  bool is_other_told_ = false;
  bool is_not_raw_told_ = false;
  io::Operation silence_timer_;
};

/// What a source subscribes to on its broker, with the group.
std::vector<std::string> filters_of(const SourceConfig& config, const BrokerConfig& broker);

/// The gateway and adapter in a raw topic, "…/gateway/<instance>/raw/<adapter>"; empty where the
/// topic is another one.
struct RawTopic {
  std::string_view instance, adapter;
  static RawTopic parse(std::string_view topic) noexcept;
  explicit operator bool() const noexcept { return !adapter.empty(); }
};

/// Below `prefix` ("smartmeter/"), what smartmeterd itself says of meters and gateways there.
bool is_smartmeterd_topic(std::string_view topic, std::string_view prefix) noexcept;

}  // namespace smartmeterd
