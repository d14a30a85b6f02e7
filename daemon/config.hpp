// SPDX-License-Identifier: Apache-2.0
// Config: what smartmeterd.toml, conf.d and the options say, checked.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/io/loop.hpp"
#include "meter/dlms/security.hpp"
#include "meter/line_format.hpp"
#include "meter/quantity.hpp"
#include "meter/reading.hpp"

namespace smartmeterd {

/// A mistake in a file or option: "smartmeterd.toml:12:9: …, expected …". Never holds a secret.
struct ConfigError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// This user may not read a file or a directory.
struct NotPermitted : ConfigError {
  using ConfigError::ConfigError;
};

/// Speed and character format of a serial line, "2400-8E1".
struct LineSettings : meter::LineFormat {
  unsigned stop_bits = 1;  ///< 1 or 2
  static std::optional<LineSettings> parse(std::string_view text);
  std::string to_text() const;
  friend bool operator==(const LineSettings&, const LineSettings&) = default;
};

enum class Role : std::uint8_t { listen, reader, master };
enum class ModemLine : std::uint8_t { keep, on, off };

struct AdapterConfig {
  std::string name;    ///< table name, or made from the device
  std::string device;  ///< "/dev/smartmeter_mbus"; empty when tcp is set
  std::string tcp;     ///< "host:port"; empty when device is set
  std::optional<meter::Link> link;
  std::optional<LineSettings> line;
  Role role = Role::listen;
  std::chrono::seconds interval{0};    ///< between two readouts; 0: the link's default
  std::vector<std::string> addresses;  ///< whom to ask; empty: the link's default
  std::string acknowledgement;         ///< meter::Iec62056Options
  bool wake_up = false;
  std::vector<std::string> registers;
  ModemLine dtr = ModemLine::keep;
  ModemLine rts = ModemLine::keep;
  bool is_found = false;  ///< udev shows it, and nothing configures it
  friend bool operator==(const AdapterConfig&, const AdapterConfig&) = default;
};

struct MeterConfig {
  std::string name;  ///< table name
  std::string id;    ///< the meter's id; with `adapter`, the id to use for a meter that sends none
  std::string adapter;  ///< NAME of its [adapter.NAME], or the adapter's name on D-Bus and MQTT
  std::string display_name;
  std::string zone;  ///< IANA name; empty: the system's
  friend bool operator==(const MeterConfig&, const MeterConfig&) = default;
};

/// "host:port", "[::1]:port".
std::string host_and_port_text(std::string_view host, std::uint16_t port);

/// sink: readings are published there. source: messages of other gateways are read there, and
/// nothing is ever published.
enum class BrokerRole : std::uint8_t { sink, source, both };
std::string_view name(BrokerRole role) noexcept;
/// Home Assistant's discovery: one message for each device, one for each entity, or none.
enum class Discovery : std::uint8_t { off, device, entities };
/// Whose ids Home Assistant's entities have: ours, or those of the Kaifa bridge smartmeter-ha.
enum class UniqueIds : std::uint8_t { smartmeterd, bridge };

struct BrokerConfig {
  std::string name;
  std::string host;  ///< empty where socket is set
  std::uint16_t port = 1883;
  std::filesystem::path socket;  ///< of a broker on this machine
  bool tls = false;
  BrokerRole role = BrokerRole::sink;
  std::string prefix = "smartmeter";
  /// "smartmeterd", "seed", "rl-dsp", "datacollector", "plug-test"
  std::vector<std::string> profiles = {"smartmeterd"};
  std::string seed_prefix = "home/smart_meter";
  std::string rl_dsp_prefix = "dt/smartmeterd";
  std::string datacollector_prefix = "datacollector";
  std::string plug_test_prefix = "plug-test";
  bool raw = false;                   ///< whole telegrams as received
  bool registers = false;             ///< `registers` in the state JSON
  bool values = false;                ///< one topic per value
  Discovery discovery = Discovery::device;
  std::string discovery_prefix = "homeassistant";
  UniqueIds unique_ids = UniqueIds::smartmeterd;
  int qos = 0;                        ///< of readings and raw telegrams: 0 or 1
  std::chrono::seconds throttle{0};   ///< between two messages of a meter, at least
  bool expiry = true;                 ///< MQTT 5: the broker forgets a state that is too old
  std::string user;
  std::filesystem::path password_file;
  std::string client_id;              ///< empty: Settings gives it one
  std::chrono::seconds keepalive{30};
  std::chrono::seconds session{0};    ///< that the broker keeps subscriptions and messages for us
  std::string protocol = "auto";      ///< "auto", "5", "3.1.1"
  std::filesystem::path tls_ca;       ///< empty: the system's store
  std::filesystem::path tls_certificate;
  std::filesystem::path tls_key;
  std::filesystem::path tls_psk_file;  ///< hex digits; a secret
  std::string tls_psk_identity;
  std::size_t outbox_bytes = 4 * 1024 * 1024;
  bool store = false;                 ///< readings of an outage are kept on disk
  std::size_t store_bytes = 16 * 1024 * 1024;

  bool publishes() const noexcept { return role != BrokerRole::source; }
  bool has_profile(std::string_view profile) const {
    return std::ranges::count(profiles, profile) > 0;
  }
  bool subscribes() const noexcept { return role != BrokerRole::sink; }
  bool is_at_the_address_of(const BrokerConfig& other) const noexcept {
    return host == other.host && port == other.port && socket == other.socket;
  }
  friend bool operator==(const BrokerConfig&, const BrokerConfig&) = default;
};

enum class SourceFormat : std::uint8_t {
  automatic, glow, gplug, whatwatt, datacollector, plug_test, amsreader, raw,
};

/// Messages of other gateways, which become readings.
struct SourceConfig {
  std::string name;
  std::string broker;               ///< NAME of its [broker.NAME]
  std::vector<std::string> topics;  ///< topic filters; empty: those that are usual for the format
  SourceFormat format = SourceFormat::automatic;
  std::string group;                ///< of a shared subscription; empty: not shared
  /// Nothing is remembered from one telegram to the next; always so in a group.
  bool stateless = false;
  int qos = 1;
  /// What a key stands for that the gateway's owner named himself.
  struct Key {
    std::string key;
    std::optional<meter::Obis> obis;  ///< nothing: leave the key out
    meter::Unit unit = meter::Unit::none;
    int scale = 0;                    ///< power of ten
    friend bool operator==(const Key&, const Key&) = default;
  };
  std::vector<Key> keys;
  friend bool operator==(const SourceConfig&, const SourceConfig&) = default;
};
/// The topic filters that are usual for a format; none where there are no usual ones. `prefix` is
/// the broker's.
std::vector<std::string> usual_topics(SourceFormat format, std::string_view prefix);

/// As the meter sent them, or as a DSMR 5 telegram made of the readings.
enum class ExportFormat : std::uint8_t { dsmr5, received };

/// Telegrams for whoever connects.
struct ExportConfig {
  std::string name;
  std::string host;              ///< empty where socket is set
  std::uint16_t port = 0;
  std::filesystem::path socket;
  ExportFormat format = ExportFormat::dsmr5;
  std::string meter;             ///< id of the only one; empty: any
  std::string adapter;           ///< name of the only one, as in MeterConfig; empty: any

  bool is_at_the_address_of(const ExportConfig& other) const noexcept {
    return host == other.host && port == other.port && socket == other.socket;
  }
  friend bool operator==(const ExportConfig&, const ExportConfig&) = default;
};

/// What is kept of every meter: a row for each quarter hour.
struct HistoryConfig {
  unsigned days = 400;  ///< of data, whatever the clock said meanwhile; 0: nothing is kept
  std::uint64_t bytes = 64 * 1024 * 1024;
  friend bool operator==(const HistoryConfig&, const HistoryConfig&) = default;
};

/// A file with a password on its first line.
struct SecretFile {
  std::string place;  ///< of the setting that names it: "smartmeterd.toml:12:9: broker.b.KEY"
  std::filesystem::path file;
};

/// Everything that can be configured. A default is written here and nowhere else.
struct Config {
  std::string instance;  ///< [gateway] instance; default: the host name's slug
  bool is_instance_default = false;
  std::vector<AdapterConfig> adapters;
  std::vector<MeterConfig> meters;
  std::vector<BrokerConfig> brokers;
  std::vector<SourceConfig> sources;
  std::vector<ExportConfig> exports;
  HistoryConfig history;
  std::vector<meter::QuantityMap::Change> quantities;
  bool accept_counter_reset = false;
  std::vector<SecretFile> secret_files;

  /// `file` and the *.toml of its directory's conf.d; a missing file is an empty one unless
  /// `file_required`. Throws ConfigError.
  static Config load(const std::filesystem::path& file, bool file_required);
};

/// The name of every key that a file may hold: "gateway.instance", "broker.*.tls.ca".
std::vector<std::string> config_keys();
/// The *.toml files of a directory by name; none where there is no such directory. Throws
/// ConfigError.
std::vector<std::filesystem::path> toml_files(const std::filesystem::path& directory);

/// "PATH|tcp://HOST:PORT[,link=…][,line=2400-8E1][,role=…]" (--device). Throws ConfigError.
AdapterConfig parse_device_option(std::string_view text);
/// "mqtt[s]://[user@]host[:port]" or "unix:///path" (--mqtt). Throws ConfigError; a password in it
/// is refused.
BrokerConfig parse_mqtt_option(std::string_view text);
/// "HOST:PORT|unix:PATH[,format=…][,meter=…][,adapter=…]" (--export). Throws ConfigError.
ExportConfig parse_export_option(std::string_view text);

/// The keys of `directory`/*.toml and of the credential "meter-keys", where systemd passes one. A
/// file that others may read, or that does not parse, is refused with its name (and line) in
/// ConfigError; no key material in the text. A missing directory is an empty one. With `refused`,
/// the sentences go there instead and the other files are still read: one bad file must not keep
/// every meter dark.
std::vector<meter::dlms::KeyEntry> load_keys(const std::filesystem::path& directory,
                                             std::vector<std::string>* refused = nullptr);

}  // namespace smartmeterd
