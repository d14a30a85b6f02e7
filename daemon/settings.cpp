// SPDX-License-Identifier: Apache-2.0
// Settings: files, then options, then the role; what depends on all of them comes last.
#include "daemon/settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "daemon/log.hpp"
#include "daemon/source.hpp"

namespace smartmeterd {
namespace {

/// `stem`, or with a number behind it the first that is not taken.
template <class IsTaken>
std::string free_name(const std::string& stem, IsTaken is_taken) {
  std::string name = stem;
  for (unsigned n = 2; is_taken(name); ++n) name = fmt::format("{}-{}", stem, n);
  return name;
}

template <class T>
bool has(const std::vector<T>& items, std::string_view name) {
  return std::ranges::find(items, name, &T::name) != items.end();
}

template <class T>
void add(std::vector<T>& items, T item) {
  item.name = free_name(item.name, [&](std::string_view name) { return has(items, name); });
  items.push_back(std::move(item));
}

/// The command line wins over a table for the same port.
void add_adapter(Config& config, AdapterConfig given) {
  std::erase_if(config.adapters, [&](const AdapterConfig& other) {
    return other.device == given.device && other.tcp == given.tcp;
  });
  add(config.adapters, std::move(given));
}

/// A table for the same broker says more of it.
void add_broker(Config& config, BrokerConfig given) {
  const auto is_same = [&](const BrokerConfig& other) { return other.is_at_the_address_of(given); };
  if (std::ranges::any_of(config.brokers, is_same)) return;
  if (has(config.brokers, given.name) && given.socket.empty())
    given.name += fmt::format("-{}", given.port);
  add(config.brokers, std::move(given));
}

/// The command line wins over a table for the same address.
void add_export(Config& config, ExportConfig given) {
  std::erase_if(config.exports,
                [&](const ExportConfig& other) { return other.is_at_the_address_of(given); });
  add(config.exports, std::move(given));
}

/// Nothing but sources: without any, each broker's telegrams as other gateways received them.
void translate_only(Settings& settings) {
  Config& config = settings.config;
  if (config.brokers.empty())
    throw ConfigError("--translate: there is no broker to read from, expected --mqtt URL or a "
                      "[broker.NAME]");
  settings.adapters_left_out = config.adapters.size();
  config.adapters.clear();
  // The gateway on the same machine has the name of the machine.
  if (config.is_instance_default) config.instance += "-translator";
  if (!config.sources.empty()) return;
  for (BrokerConfig& broker : config.brokers) {
    if (broker.role == BrokerRole::sink) broker.role = BrokerRole::both;
    config.sources.push_back(
        {.name = broker.name, .broker = broker.name, .format = SourceFormat::raw});
  }
}

/// A connection for each direction. On a common one the broker's answers to what is published stand
/// behind what it has sent, and who stops reading until they come would wait for ever.
void split_connections(Config& config) {
  const std::size_t tables = config.brokers.size();
  for (std::size_t i = 0; i < tables; ++i) {
    if (config.brokers[i].role != BrokerRole::both) continue;
    config.brokers[i].role = BrokerRole::sink;
    BrokerConfig reader = config.brokers[i];
    reader.role = BrokerRole::source;
    reader.name += "-source";
    if (!reader.client_id.empty()) reader.client_id += "-source";
    add(config.brokers, std::move(reader));
    for (SourceConfig& source : config.sources)
      if (source.broker == config.brokers[i].name) source.broker = config.brokers.back().name;
  }
}

/// What no single file can know.
void check_built_in(const Config& config) {
  for (const SourceConfig& source : config.sources)
    if (source.format != SourceFormat::raw && !reads_json())
      throw ConfigError(fmt::format("[source.{}]: this smartmeterd was built without simdjson and "
                                    "reads no JSON, expected format = \"raw\"",
                                    source.name));
}

/// Two connections with one client id would throw each other out of their broker.
void name_clients(Config& config) {
  const auto other_with = [&](const BrokerConfig& broker, std::string_view id) {
    return std::ranges::find_if(config.brokers, [&](const BrokerConfig& other) {
      return &other != &broker && other.client_id == id && other.is_at_the_address_of(broker);
    });
  };
  for (const BrokerConfig& broker : config.brokers) {
    if (broker.client_id.empty()) continue;
    if (const auto other = other_with(broker, broker.client_id); other != config.brokers.end())
      throw ConfigError(fmt::format("[broker.{}]: the client_id \"{}\" of broker.{} at the same "
                                    "address, expected another one",
                                    other->name, broker.client_id, broker.name));
  }
  const std::string stem = "smartmeterd-" + meter::slug(config.instance);
  for (BrokerConfig& broker : config.brokers) {
    if (!broker.client_id.empty()) continue;
    const auto is_taken = [&](std::string_view id) {
      return other_with(broker, id) != config.brokers.end();
    };
    broker.client_id =
        is_taken(stem) ? free_name(fmt::format("{}-{}", stem, broker.name), is_taken) : stem;
  }
}

}  // namespace

Settings Settings::load(const Options& options, bool strict) {
  Settings settings;
  Config& config = settings.config;
  config = Config::load(options.config_file, options.config_file_given);
  for (const std::string& text : options.devices) add_adapter(config, parse_device_option(text));
  for (const std::string& url : options.mqtt) add_broker(config, parse_mqtt_option(url));
  for (const std::string& text : options.exports) add_export(config, parse_export_option(text));
  if (options.translate) translate_only(settings);
  split_connections(config);
  check_built_in(config);
  name_clients(config);
  std::vector<std::string> refused;
  settings.keys = load_keys(options.config_file.parent_path() / "keys.d",
                            strict ? nullptr : &refused);
  for (const std::string& text : refused)
    log::write(log::Level::error, log::Event::config_error,
               fmt::format("{}; going on without this file", text));
  return settings;
}

}  // namespace smartmeterd
