// SPDX-License-Identifier: Apache-2.0
// Config: smartmeterd.toml and conf.d read key by key, with the place of every mistake.
#include "daemon/config.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <iterator>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>

#include "daemon/zone.hpp"
#include "meter/link/link_layer.hpp"
#include "meter/mbus/master_session.hpp"

namespace smartmeterd {
namespace {

namespace fs = std::filesystem;

constexpr std::uint16_t mqtt_port = 1883;    // IANA
constexpr std::uint16_t mqtts_port = 8883;   // IANA: secure-mqtt
constexpr std::int64_t keepalive_min_s = 5;  // the library refuses less
constexpr std::size_t file_size_max = 1024 * 1024;  // a thousand adapters and their meters
constexpr std::int64_t keepalive_max_s = std::numeric_limits<std::uint16_t>::max();
constexpr std::int64_t interval_min_s = 1;
constexpr std::int64_t interval_max_s = 31 * 86'400;  // a battery-powered meter once a month
constexpr std::int64_t outbox_min = 64 * 1024;
constexpr std::int64_t outbox_max = 1024 * 1024 * 1024;
constexpr std::size_t quantity_name_size_max = 64;
constexpr std::size_t instance_size_max = 64;      // of a topic and a client id
constexpr std::size_t table_name_size_max = 128;   // of a topic, an object path, a file's name
constexpr std::size_t prefix_size_max = 1024;      // far below what a whole topic may have
constexpr std::size_t mqtt_text_size_max = 65'535;  // MQTT 5.0 section 1.5.4
constexpr std::int64_t throttle_max_s = 86'400;
constexpr std::int64_t session_max_s = std::numeric_limits<std::uint32_t>::max();
constexpr std::int64_t store_min = 64 * 1024;
constexpr std::int64_t store_max = 1024 * 1024 * 1024;
constexpr std::int64_t history_days_max = 36'525;
constexpr std::int64_t history_bytes_min = 64 * 1024;
constexpr std::int64_t history_bytes_max = 16LL * 1024 * 1024 * 1024;
constexpr unsigned baud_max = 4'000'000;

/// "a, b or c"
std::string either(std::span<const std::string> words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i != 0) text += i + 1 == words.size() ? " or " : ", ";
    text += words[i];
  }
  return text;
}

/// A word and what it stands for.
template <class T>
struct Choice {
  std::string_view word;
  T value;
};

/// One value of a file, and where it stands.
class Value {
 public:
  Value(const toml::node& node, std::string_view file, std::string key)
      : node_(node), file_(file), key_(std::move(key)) {}

  const std::string& key() const { return key_; }
  const toml::table* table() const { return node_.as_table(); }
  Value child(std::string_view name, const toml::node& node) const {
    return {node, file_, key_.empty() ? std::string(name) : fmt::format("{}.{}", key_, name)};
  }
  std::string place() const { return place(node_.source().begin); }
  std::string place(toml::source_position at) const {
    return fmt::format("{}:{}:{}", file_, at.line, at.column);
  }
  [[noreturn]] void fail(std::string_view problem) const {
    throw ConfigError(fmt::format("{}: {}: {}", place(), key_, problem));
  }

  std::string text() const {
    const auto* string = node_.as_string();
    if (!string || string->get().empty()) fail("expected a text in quotes");
    return string->get();
  }
  /// At most `size_max` octets.
  std::string text(std::size_t size_max) const {
    std::string text = this->text();
    if (text.size() > size_max) fail(fmt::format("expected at most {} octets", size_max));
    return text;
  }
  bool is_list() const { return node_.is_array(); }
  bool boolean() const {
    const auto* boolean = node_.as_boolean();
    if (!boolean) fail("expected true or false");
    return boolean->get();
  }
  std::int64_t integer(std::int64_t min, std::int64_t max) const {
    const auto* integer = node_.as_integer();
    if (!integer || integer->get() < min || integer->get() > max)
      fail(fmt::format("expected a number from {} to {}", min, max));
    return integer->get();
  }
  fs::path path() const {
    fs::path path = text();
    if (!path.is_absolute()) fail("expected an absolute path");
    return path;
  }
  /// What becomes a topic, an object path or a file name.
  std::string slug(std::size_t size_max = table_name_size_max) const {
    std::string slug = text(size_max);
    if (meter::slug(slug) != slug) fail("expected lower-case letters, digits and '-'");
    return slug;
  }
  template <class T, std::size_t N>
  T choice(const Choice<T> (&choices)[N]) const {
    const auto* string = node_.as_string();
    std::vector<std::string> words;
    for (const auto& [word, value] : choices) {
      if (string && string->get() == word) return value;
      words.push_back(fmt::format("\"{}\"", word));
    }
    fail("expected " + either(words));
  }
  std::vector<std::string> texts() const {
    const auto* array = node_.as_array();
    if (!array) fail("expected a list of texts in quotes");
    std::vector<std::string> texts;
    for (const auto& node : *array) texts.push_back(Value(node, file_, key_).text());
    return texts;
  }
  std::vector<std::string> words(std::span<const std::string_view> allowed) const {
    const auto* array = node_.as_array();
    std::vector<std::string> quoted;
    for (auto word : allowed) quoted.push_back(fmt::format("\"{}\"", word));
    if (!array) fail("expected a list of " + either(quoted));
    std::vector<std::string> words;
    for (const auto& node : *array) {
      const auto* string = node.as_string();
      if (!string || std::ranges::find(allowed, string->get()) == allowed.end())
        child("", node).fail("expected " + either(quoted));
      words.push_back(string->get());
    }
    return words;
  }

 private:
  const toml::node& node_;
  std::string_view file_;
  std::string key_;
};

/// "host:port", "[::1]:port", or without the port where there is a default.
std::optional<std::pair<std::string, std::uint16_t>> host_and_port(std::string_view text,
                                                                   std::uint16_t port_default) {
  std::string_view host = text;
  std::string_view port;
  bool has_port = false;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == text.npos) return std::nullopt;
    host = text.substr(1, end - 1);
    const auto rest = text.substr(end + 1);
    if (!rest.empty() && rest[0] != ':') return std::nullopt;
    has_port = !rest.empty();
    port = has_port ? rest.substr(1) : rest;
  } else if (const auto colon = text.find(':'); colon != text.npos) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    has_port = true;
  }
  constexpr std::string_view allowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%";
  if (host.empty() || host.find_first_not_of(allowed) != host.npos) return std::nullopt;
  std::uint16_t number = port_default;
  if (has_port) {
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (error != std::errc{} || end != port.data() + port.size()) return std::nullopt;
  }
  if (number == 0) return std::nullopt;
  return std::pair{std::string(host), number};
}

/// Takes an MQTT URL into `broker`; otherwise says what is wrong, never repeating the URL: it may
/// hold a password.
std::string take_mqtt_url(std::string_view url, BrokerConfig& broker) {
  constexpr auto expected =
      "expected mqtt://HOST[:PORT], mqtts://HOST[:PORT] or unix:///PATH";
  constexpr std::string_view socket = "unix://";
  if (url.starts_with(socket)) {
    broker.socket = url.substr(socket.size());
    return broker.socket.is_absolute() ? "" : expected;
  }
  const bool tls = url.starts_with("mqtts://");
  if (!tls && !url.starts_with("mqtt://")) return expected;
  url.remove_prefix(tls ? 8 : 7);
  if (url.ends_with('/')) url.remove_suffix(1);
  if (const auto at = url.rfind('@'); at != url.npos) {
    const auto user = url.substr(0, at);
    if (user.find(':') != user.npos)
      return "a password in the URL can be read by others, expected user and password_file "
             "in [broker.NAME]";
    if (user.empty()) return expected;
    if (user.size() > mqtt_text_size_max) return "the user has more octets than MQTT can say";
    broker.user = user;
    url.remove_prefix(at + 1);
  }
  const auto address = host_and_port(url, tls ? mqtts_port : mqtt_port);
  if (!address) return expected;
  broker.host = address->first;
  broker.port = address->second;
  broker.tls = tls;
  return {};
}

/// A role that speaks, and a link on which there is something to say.
struct SpeakingRole {
  Role role;
  std::string_view word;
  meter::Link link;
};
constexpr SpeakingRole speaking_roles[] = {{Role::reader, "reader", meter::Link::iec62056_21},
                                           {Role::reader, "reader", meter::Link::amis},
                                           {Role::master, "master", meter::Link::mbus_master}};

/// Empty, or why the role does not fit the link.
std::string role_problem(const AdapterConfig& adapter) {
  if (adapter.role == Role::listen) return {};
  // Where the line is looked for, a meter that keeps silent is asked whether it wants to be.
  if (adapter.role == Role::reader && !adapter.link && !adapter.line && adapter.tcp.empty())
    return {};
  std::vector<std::string> links;
  std::string_view word;
  for (const SpeakingRole& speaking : speaking_roles) {
    if (speaking.role != adapter.role) continue;
    if (speaking.link == adapter.link) return {};
    links.push_back(fmt::format("link = \"{}\"", meter::name(speaking.link)));
    word = speaking.word;
  }
  return fmt::format("the role \"{}\" needs to know the link, expected {}", word, either(links));
}

std::string take_link(std::string_view text, AdapterConfig& adapter) {
  if (text == "auto") {
    adapter.link.reset();
    return {};
  }
  const auto link = meter::link_from_name(text);
  if (link && meter::link::find_link_layer(*link)) {
    adapter.link = link;
    return {};
  }
  std::vector<std::string> names = {"\"auto\""};
  for (const auto& layer : meter::link::link_layers())
    names.push_back(fmt::format("\"{}\"", meter::name(layer.link)));
  return "expected " + either(names);
}

std::string take_line(std::string_view text, AdapterConfig& adapter) {
  adapter.line = LineSettings::parse(text);
  return adapter.line ? "" : "expected line settings such as \"2400-8E1\"";
}

std::string take_tcp(std::string_view text, AdapterConfig& adapter) {
  const auto address = host_and_port(text, 0);
  if (!address) return "expected HOST:PORT";
  adapter.tcp = text;
  return {};
}

/// 16 digits with wildcards on an M-Bus (EN 13757-3), up to 32 characters in IEC 62056-21 (6.3.1).
constexpr std::size_t address_size_max = 32;

/// Letters and digits, so that nothing of the protocol can be slipped in.
std::vector<std::string> take_words(const Value& value, std::size_t size_max) {
  auto words = value.texts();
  for (const std::string& word : words)
    if (word.size() > size_max || !std::ranges::all_of(word, [](char c) {
          return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        }))
      value.fail(fmt::format("expected texts of at most {} letters and digits, such as \"1\"",
                             size_max));
  return words;
}

/// V, Z and Y of IEC 62056-21 6.3.3.
void take_acknowledgement(AdapterConfig& adapter, const Value& value) {
  adapter.acknowledgement = value.text();
  const bool digits = adapter.acknowledgement.find_first_not_of("0123456789") == std::string::npos;
  if (adapter.acknowledgement.size() != 3 || !digits)
    value.fail("expected three digits such as \"051\"");
}

constexpr Choice<Role> roles[] = {
    {"listen", Role::listen}, {"reader", Role::reader}, {"master", Role::master}};
constexpr Choice<ModemLine> modem_lines[] = {
    {"keep", ModemLine::keep}, {"on", ModemLine::on}, {"off", ModemLine::off}};
constexpr Choice<BrokerRole> broker_roles[] = {
    {"sink", BrokerRole::sink}, {"source", BrokerRole::source}, {"both", BrokerRole::both}};
constexpr Choice<Discovery> discoveries[] = {{"device", Discovery::device},
                                             {"entities", Discovery::entities},
                                             {"off", Discovery::off}};
constexpr Choice<UniqueIds> unique_ids[] = {{"smartmeterd", UniqueIds::smartmeterd},
                                            {"bridge", UniqueIds::bridge}};
constexpr Choice<SourceFormat> source_formats[] = {
    {"auto", SourceFormat::automatic},        {"glow", SourceFormat::glow},
    {"gplug", SourceFormat::gplug},           {"whatwatt", SourceFormat::whatwatt},
    {"datacollector", SourceFormat::datacollector}, {"plug-test", SourceFormat::plug_test},
    {"amsreader", SourceFormat::amsreader},   {"raw", SourceFormat::raw}};
constexpr Choice<ExportFormat> export_formats[] = {{"dsmr5", ExportFormat::dsmr5},
                                                   {"received", ExportFormat::received}};
constexpr Choice<std::string_view> protocols[] = {{"auto", "auto"}, {"5", "5"}, {"3.1.1", "3.1.1"}};

void must(const Value& value, const std::string& problem) {
  if (!problem.empty()) value.fail(problem);
}

/// A key of a table and what its value does.
template <class T>
struct KeyRule {
  std::string_view name;  ///< "device"; "tls.ca" for a key of a table inside
  void (*set)(T&, const Value&);
  bool is_of_publishing = false;  ///< says nothing where nothing is published
};

constexpr KeyRule<Config> gateway_keys[] = {
    {"instance", [](Config& c, const Value& v) { c.instance = v.slug(instance_size_max); }},
    {"accept_counter_reset",
     [](Config& c, const Value& v) { c.accept_counter_reset = v.boolean(); }},
};

constexpr KeyRule<AdapterConfig> adapter_keys[] = {
    {"device", [](AdapterConfig& a, const Value& v) { a.device = v.path(); }},
    {"tcp", [](AdapterConfig& a, const Value& v) { must(v, take_tcp(v.text(), a)); }},
    {"link", [](AdapterConfig& a, const Value& v) { must(v, take_link(v.text(), a)); }},
    {"line", [](AdapterConfig& a, const Value& v) { must(v, take_line(v.text(), a)); }},
    {"role", [](AdapterConfig& a, const Value& v) { a.role = v.choice(roles); }},
    {"interval",
     [](AdapterConfig& a, const Value& v) {
       a.interval = std::chrono::seconds(v.integer(interval_min_s, interval_max_s));
     }},
    {"addresses",
     [](AdapterConfig& a, const Value& v) { a.addresses = take_words(v, address_size_max); }},
    {"iec62056.acknowledgement", take_acknowledgement},
    {"iec62056.wake_up", [](AdapterConfig& a, const Value& v) { a.wake_up = v.boolean(); }},
    {"iec62056.registers",
     [](AdapterConfig& a, const Value& v) { a.registers = take_words(v, address_size_max); }},
    {"dtr", [](AdapterConfig& a, const Value& v) { a.dtr = v.choice(modem_lines); }},
    {"rts", [](AdapterConfig& a, const Value& v) { a.rts = v.choice(modem_lines); }},
};

void take_zone(MeterConfig& meter, const Value& value) {
  meter.zone = value.text();
  if (has_zone_database() ? !has_zone(meter.zone) : !is_zone_name(meter.zone))
    value.fail("expected a time zone such as \"Europe/Vienna\"");
}

constexpr KeyRule<MeterConfig> meter_keys[] = {
    {"id", [](MeterConfig& m, const Value& v) { m.id = v.text(); }},
    {"adapter", [](MeterConfig& m, const Value& v) { m.adapter = v.slug(); }},
    {"name", [](MeterConfig& m, const Value& v) { m.display_name = v.text(); }},
    {"zone", take_zone},
};

bool is_control(unsigned char c) {
  return c < 0x20 || c == 0x7f;
}

/// A topic prefix: levels without wildcards and control characters, not starting or ending with
/// '/'.
std::string topic_prefix(const Value& value) {
  std::string prefix = value.text(prefix_size_max);
  if (prefix.find_first_of("+#") != prefix.npos || std::ranges::any_of(prefix, is_control) ||
      prefix.front() == '/' || prefix.front() == '$' || prefix.back() == '/')
    value.fail(
        "expected a topic without '+', '#', control characters, a leading '$' and a '/' at either "
        "end");
  return prefix;
}

/// What is published below a prefix of its own.
struct Prefix {
  std::string_view profile;  ///< its word in `profiles`
  std::string_view key;
  std::string BrokerConfig::*member;
  bool is_of_publishing = true;
};
constexpr Prefix prefixes[] = {
    // Also of the raw telegrams that a source reads.
    {"smartmeterd", "prefix", &BrokerConfig::prefix, false},
    {"smartmeterd", "discovery_prefix", &BrokerConfig::discovery_prefix},
    {"seed", "seed_prefix", &BrokerConfig::seed_prefix},
    {"rl-dsp", "rl_dsp_prefix", &BrokerConfig::rl_dsp_prefix},
    {"datacollector", "datacollector_prefix", &BrokerConfig::datacollector_prefix},
    {"plug-test", "plug_test_prefix", &BrokerConfig::plug_test_prefix},
};

void take_profiles(BrokerConfig& broker, const Value& value) {
  std::vector<std::string_view> words;
  for (const Prefix& prefix : prefixes)
    if (words.empty() || words.back() != prefix.profile) words.push_back(prefix.profile);
  broker.profiles = value.words(words);
}

constexpr bool of_publishing = true;
constexpr KeyRule<BrokerConfig> broker_keys_without_prefixes[] = {
    {"url",
     [](BrokerConfig& b, const Value& v) {
       b.socket.clear();
       must(v, take_mqtt_url(v.text(), b));
     }},
    {"role", [](BrokerConfig& b, const Value& v) { b.role = v.choice(broker_roles); }},
    {"profiles", take_profiles, of_publishing},
    {"raw", [](BrokerConfig& b, const Value& v) { b.raw = v.boolean(); }, of_publishing},
    {"discovery", [](BrokerConfig& b, const Value& v) { b.discovery = v.choice(discoveries); },
     of_publishing},
    {"unique_ids", [](BrokerConfig& b, const Value& v) { b.unique_ids = v.choice(unique_ids); },
     of_publishing},
    {"qos", [](BrokerConfig& b, const Value& v) { b.qos = static_cast<int>(v.integer(0, 1)); },
     of_publishing},
    {"throttle",
     [](BrokerConfig& b, const Value& v) {
       b.throttle = std::chrono::seconds(v.integer(0, throttle_max_s));
     },
     of_publishing},
    {"expiry", [](BrokerConfig& b, const Value& v) { b.expiry = v.boolean(); }, of_publishing},
    {"registers", [](BrokerConfig& b, const Value& v) { b.registers = v.boolean(); },
     of_publishing},
    {"values", [](BrokerConfig& b, const Value& v) { b.values = v.boolean(); }, of_publishing},
    {"user", [](BrokerConfig& b, const Value& v) { b.user = v.text(mqtt_text_size_max); }},
    {"password_file", [](BrokerConfig& b, const Value& v) { b.password_file = v.path(); }},
    {"client_id",
     [](BrokerConfig& b, const Value& v) { b.client_id = v.text(mqtt_text_size_max); }},
    {"keepalive",
     [](BrokerConfig& b, const Value& v) {
       b.keepalive = std::chrono::seconds(v.integer(keepalive_min_s, keepalive_max_s));
     }},
    {"session",
     [](BrokerConfig& b, const Value& v) {
       b.session = std::chrono::seconds(v.integer(0, session_max_s));
     }},
    {"protocol", [](BrokerConfig& b, const Value& v) { b.protocol = v.choice(protocols); }},
    {"tls.ca", [](BrokerConfig& b, const Value& v) { b.tls_ca = v.path(); }},
    {"tls.certificate", [](BrokerConfig& b, const Value& v) { b.tls_certificate = v.path(); }},
    {"tls.key", [](BrokerConfig& b, const Value& v) { b.tls_key = v.path(); }},
    {"tls.psk_file", [](BrokerConfig& b, const Value& v) { b.tls_psk_file = v.path(); }},
    {"tls.psk_identity", [](BrokerConfig& b, const Value& v) { b.tls_psk_identity = v.text(); }},
    {"outbox_bytes",
     [](BrokerConfig& b, const Value& v) {
       b.outbox_bytes = static_cast<std::size_t>(v.integer(outbox_min, outbox_max));
     },
     of_publishing},
    {"store", [](BrokerConfig& b, const Value& v) { b.store = v.boolean(); }, of_publishing},
    {"store_bytes",
     [](BrokerConfig& b, const Value& v) {
       b.store_bytes = static_cast<std::size_t>(v.integer(store_min, store_max));
     },
     of_publishing},
};

template <std::size_t I>
void take_prefix(BrokerConfig& broker, const Value& value) {
  broker.*prefixes[I].member = topic_prefix(value);
}

template <std::size_t... I>
constexpr auto with_prefixes(std::index_sequence<I...>) {
  std::array<KeyRule<BrokerConfig>, std::size(broker_keys_without_prefixes) + sizeof...(I)> rules{};
  auto rule = std::ranges::copy(broker_keys_without_prefixes, rules.begin()).out;
  ((*rule++ = {prefixes[I].key, take_prefix<I>, prefixes[I].is_of_publishing}), ...);
  return rules;
}
constexpr auto broker_keys = with_prefixes(std::make_index_sequence<std::size(prefixes)>{});

/// One topic filter, or several.
void take_topics(SourceConfig& source, const Value& value) {
  source.topics = value.is_list() ? value.texts() : std::vector{value.text()};
  for (const std::string& topic : source.topics) {
    // Wildcards stand for whole levels, '#' at the end (MQTT 5.0 section 4.7.1).
    bool is_valid = topic.size() <= std::numeric_limits<std::uint16_t>::max() &&
                    !std::ranges::any_of(topic, is_control) && topic.front() != '$';
    for (std::size_t i = 0; i < topic.size() && is_valid; ++i)
      if (topic[i] == '+' || topic[i] == '#')
        is_valid = (i == 0 || topic[i - 1] == '/') &&
                   (i + 1 == topic.size() || (topic[i] == '+' && topic[i + 1] == '/'));
    if (!is_valid) value.fail(fmt::format("\"{}\" is no topic filter, expected one such as "
                                          "\"tele/+/SENSOR\"", topic));
  }
}

void take_group(SourceConfig& source, const Value& value) {
  source.group = value.text();
  if (source.group.find_first_of("/+#") != std::string::npos ||
      std::ranges::any_of(source.group, is_control))
    value.fail("expected a name without '/', '+' and '#'");
}

constexpr KeyRule<SourceConfig::Key> source_key_keys[] = {
    {"obis",
     [](SourceConfig::Key& k, const Value& v) {
       k.obis = meter::Obis::parse(v.text());
       if (!k.obis) v.fail("expected an OBIS code such as \"1-0:1.7.0\"");
     }},
    {"unit",
     [](SourceConfig::Key& k, const Value& v) {
       const auto unit = meter::unit_from_symbol(v.text());
       if (!unit) v.fail("expected a unit such as \"kWh\", \"W\" or \"m³\"");
       k.unit = *unit;
     }},
    {"scale",
     [](SourceConfig::Key& k, const Value& v) { k.scale = static_cast<int>(v.integer(-12, 12)); }},
};

void take_source_keys(SourceConfig& source, const Value& value);

constexpr KeyRule<SourceConfig> source_keys[] = {
    {"broker", [](SourceConfig& s, const Value& v) { s.broker = v.slug(); }},
    {"topic", take_topics},
    {"format", [](SourceConfig& s, const Value& v) { s.format = v.choice(source_formats); }},
    {"group", take_group},
    {"stateless", [](SourceConfig& s, const Value& v) { s.stateless = v.boolean(); }},
    {"qos", [](SourceConfig& s, const Value& v) { s.qos = static_cast<int>(v.integer(0, 1)); }},
    {"keys", take_source_keys},
};

/// Takes what follows "unix:", or host and port, into `out`; otherwise says what is wrong.
std::string take_listen(std::string_view text, ExportConfig& out) {
  constexpr auto expected = "expected HOST:PORT or unix:/PATH";
  constexpr std::string_view socket = "unix:";
  out.host.clear();
  out.socket.clear();
  if (text.starts_with(socket)) {
    text.remove_prefix(socket.size());
    out.socket = text.starts_with("///") ? text.substr(2) : text;
    return out.socket.is_absolute() ? "" : expected;
  }
  const auto address = host_and_port(text, 0);
  if (!address) return expected;
  out.host = address->first;
  out.port = address->second;
  return {};
}

constexpr KeyRule<ExportConfig> export_keys[] = {
    {"listen", [](ExportConfig& e, const Value& v) { must(v, take_listen(v.text(), e)); }},
    {"format", [](ExportConfig& e, const Value& v) { e.format = v.choice(export_formats); }},
    {"meter", [](ExportConfig& e, const Value& v) { e.meter = v.text(); }},
    {"adapter", [](ExportConfig& e, const Value& v) { e.adapter = v.slug(); }},
};

constexpr KeyRule<HistoryConfig> history_keys[] = {
    {"days",
     [](HistoryConfig& h, const Value& v) {
       h.days = static_cast<unsigned>(v.integer(0, history_days_max));
     }},
    {"bytes",
     [](HistoryConfig& h, const Value& v) {
       h.bytes = static_cast<std::uint64_t>(v.integer(history_bytes_min, history_bytes_max));
     }},
};

using Change = meter::QuantityMap::Change;

void take_unit(Change& change, const Value& value) {
  change.unit = meter::unit_from_symbol(value.text());
  if (!change.unit) value.fail("expected a unit such as \"kWh\", \"W\" or \"m³\"");
}

/// It names a topic and a JSON key.
void take_name(Change& change, const Value& value) {
  change.name = value.text();
  if (change.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != std::string::npos)
    value.fail("expected lower-case letters, digits and '_'");
  if (change.name.size() > quantity_name_size_max)
    value.fail(fmt::format("expected at most {} characters", quantity_name_size_max));
}

constexpr KeyRule<Change> quantity_keys[] = {
    {"name", take_name},
    {"unit", take_unit},
    {"scale", [](Change& c, const Value& v) { c.scale = static_cast<int>(v.integer(-12, 12)); }},
};

/// Does each key of `table` by its rule. `prefix` is "tls." inside of a table "tls".
template <class T>
void apply(const Value& table, std::type_identity_t<std::span<const KeyRule<T>>> rules, T& target,
           const std::string& prefix = "") {
  if (!table.table()) table.fail("expected a table");
  for (const auto& [key, node] : *table.table()) {
    const std::string name = prefix + std::string(key.str());
    const Value value = table.child(key.str(), node);
    const auto rule = std::ranges::find(rules, name, &KeyRule<T>::name);
    const bool inner =
        std::ranges::any_of(rules, [&](const auto& r) { return r.name.starts_with(name + "."); });
    if (rule != rules.end()) {
      rule->set(target, value);
    } else if (inner) {
      apply(value, rules, target, name + ".");
    } else {
      std::vector<std::string> expected;
      for (const auto& r : rules)
        if (r.name.starts_with(prefix)) expected.emplace_back(r.name.substr(prefix.size()));
      throw ConfigError(fmt::format("{}: unknown key {}, expected {}",
                                    table.place(key.source().begin), value.key(),
                                    either(expected)));
    }
  }
}

/// `keys.NAME = { … }`, or false to leave the key out.
void take_source_keys(SourceConfig& source, const Value& value) {
  if (!value.table()) value.fail("expected a table of keys");
  for (const auto& [key, node] : *value.table()) {
    const Value inner = value.child(key.str(), node);
    SourceConfig::Key item{.key = std::string(key.str()), .obis = {}};
    if (inner.table()) {
      apply(inner, source_key_keys, item);
      if (!item.obis) inner.fail("expected obis");
    } else if (!node.is_boolean() || inner.boolean()) {
      inner.fail("expected { obis = …, unit = …, scale = … }, or false to leave it out");
    }
    std::erase_if(source.keys, [&](const auto& other) { return other.key == item.key; });
    source.keys.push_back(std::move(item));
  }
}

/// Reads files one after the other into one Config: what comes later wins, key by key.
class Loader {
 public:
  void read(const fs::path& file);
  Config finish();

 private:
  void gateway(const Value& table) { apply(table, gateway_keys, config_); }
  void quantities(const Value& table);
  template <class T>
  void named_tables(const Value& table, std::type_identity_t<std::span<const KeyRule<T>>> rules,
                    std::vector<T>& items);
  [[noreturn]] void fail_key(const std::string& key, std::string_view problem) const {
    throw ConfigError(fmt::format("{}: {}: {}", place_.at(key), key, problem));
  }
  [[noreturn]] void fail(const std::string& table, std::string_view problem) const {
    throw ConfigError(fmt::format("{}: [{}]: {}", place_.at(table), table, problem));
  }
  void check_adapters() const;
  void check_meters() const;
  void check_broker(const BrokerConfig& broker) const;
  void check_prefixes(const BrokerConfig& broker) const;
  void check_brokers() const;
  void check_sources();
  void check_exports() const;

  Config config_;
  std::map<std::string, std::string> place_;  ///< where a table, or a key in it, stands (last)
};

template <class T>
void Loader::named_tables(const Value& table,
                          std::type_identity_t<std::span<const KeyRule<T>>> rules,
                          std::vector<T>& items) {
  const auto expected = fmt::format("expected tables [{}.NAME]", table.key());
  if (!table.table()) table.fail(expected);
  for (const auto& [key, node] : *table.table()) {
    const Value value = table.child(key.str(), node);
    if (!value.table()) value.fail(expected);
    const std::string name(key.str());
    if (name.empty() || meter::slug(name) != name)
      value.fail("expected a name of lower-case letters, digits and '-'");
    if (name.size() > table_name_size_max)
      value.fail(fmt::format("expected a name of at most {} octets", table_name_size_max));
    place_[value.key()] = value.place();
    for (const auto& [inner, inner_node] : *value.table()) {
      const Value inner_value = value.child(inner.str(), inner_node);
      place_[inner_value.key()] = inner_value.place();
    }
    auto item = std::ranges::find(items, name, &T::name);
    if (item == items.end()) {
      item = items.insert(items.end(), T{});
      item->name = name;
    }
    apply(value, rules, *item);
  }
}

void Loader::quantities(const Value& table) {
  if (!table.table()) table.fail("expected a table");
  const meter::QuantityMap builtin;
  for (const auto& [key, node] : *table.table()) {
    const Value value = table.child(key.str(), node);
    const auto obis = meter::Obis::parse(key.str());
    if (!obis) value.fail("expected an OBIS code such as \"1-0:1.8.0\"");
    Change change{.obis = *obis, .name = {}, .unit = {}, .scale = {}};
    if (value.table()) {
      change.name = builtin.find(*obis).name;
      apply(value, quantity_keys, change);
      if (change.name.empty()) value.fail("expected a name: the code has none of its own");
      const auto* known = meter::find_quantity(change.name);
      if (known && change.unit.value_or(known->unit) != known->unit)
        value.fail(fmt::format("{} is always in {}", change.name, meter::symbol(known->unit)));
      // A code without a name of its own may get a known one: a meter's own way to say it.
      const std::string_view own = builtin.find(*obis).name;
      const bool is_same_medium = known && known->obis.a == obis->a;
      if (is_same_medium && !own.empty() && own != change.name)
        value.fail(fmt::format("{} is another quantity, expected a name of its own", change.name));
      const auto same = std::ranges::find_if(config_.quantities, [&](const Change& other) {
        return other.name == change.name && other.obis != *obis;
      });
      if (same != config_.quantities.end())
        value.fail(fmt::format("another code has the name {} already", change.name));
    } else if (!node.is_boolean() || value.boolean()) {
      value.fail("expected { name = …, unit = …, scale = … }, or false to leave it out");
    }
    std::erase_if(config_.quantities, [&](const Change& c) { return c.obis == *obis; });
    config_.quantities.push_back(std::move(change));
  }
}

void Loader::read(const fs::path& file) {
  const auto fail = [&] { throw ConfigError(fmt::format("{}: cannot be read", file.native())); };
  std::ifstream stream(file, std::ios::binary);
  // Bounded, whatever the path names; reading a directory fails here too.
  std::string text(file_size_max + 1, '\0');
  if (!stream.is_open() || !stream.read(text.data(), file_size_max + 1)) {
    if (!stream.eof()) fail();
  }
  text.resize(static_cast<std::size_t>(stream.gcount()));
  if (text.size() > file_size_max)
    throw ConfigError(fmt::format("{}: longer than {} bytes, expected a configuration",
                                  file.native(), file_size_max));
  toml::table root;
  try {
    root = toml::parse(text);
  } catch (const toml::parse_error& error) {
    throw ConfigError(fmt::format("{}:{}:{}: {}", file.native(), error.source().begin.line,
                                  error.source().begin.column, error.description()));
  }
  const Value top(root, file.native(), "");
  for (const auto& [key, node] : root) {
    const Value value = top.child(key.str(), node);
    if (key == "gateway") {
      gateway(value);
    } else if (key == "adapter") {
      named_tables(value, adapter_keys, config_.adapters);
    } else if (key == "meter") {
      named_tables(value, meter_keys, config_.meters);
    } else if (key == "broker") {
      named_tables(value, broker_keys, config_.brokers);
    } else if (key == "source") {
      named_tables(value, source_keys, config_.sources);
    } else if (key == "export") {
      named_tables(value, export_keys, config_.exports);
    } else if (key == "history") {
      apply(value, history_keys, config_.history);
    } else if (key == "quantities") {
      quantities(value);
    } else {
      throw ConfigError(fmt::format(
          "{}: unknown table or key {}, expected gateway, adapter, meter, broker, source, export, "
          "history or quantities",
          top.place(key.source().begin), value.key()));
    }
  }
}

void Loader::check_adapters() const {
  for (const auto& adapter : config_.adapters) {
    if (adapter.device.empty() == adapter.tcp.empty())
      fail("adapter." + adapter.name, "expected either device or tcp");
    for (const auto& other : config_.adapters)
      if (&other < &adapter && other.device == adapter.device && other.tcp == adapter.tcp)
        fail("adapter." + adapter.name,
             fmt::format("the port of adapter.{} again, expected another one", other.name));
    const std::string key = "adapter." + adapter.name + ".";
    if (const std::string problem = role_problem(adapter); !problem.empty())
      fail_key(key + "role", problem);
    for (const char* option : {"interval", "addresses", "iec62056"})
      if (adapter.role == Role::listen && place_.contains(key + option))
        fail_key(key + option,
                 "nobody is asked by one who listens, expected role = \"reader\" or \"master\"");
    for (const std::string& address : adapter.addresses)
      if (adapter.role == Role::master && !meter::mbus::slave_address(address))
        fail_key(key + "addresses",
                 fmt::format("expected 0 to 250, a number of 8 digits, 16 hex digits or \"search\" "
                             "instead of \"{}\"", address));
  }
}

void Loader::check_meters() const {
  for (const auto& meter : config_.meters)
    if (meter.id.empty()) fail("meter." + meter.name, "expected id");
}

void Loader::check_broker(const BrokerConfig& broker) const {
  const std::string table = "broker." + broker.name;
  const bool has_address = !broker.host.empty() || !broker.socket.empty();
  if (!has_address) fail(table, "expected url");
  if (!broker.password_file.empty() && broker.user.empty())
    fail(table, "password_file without a user, expected user");
  if (broker.tls_certificate.empty() != broker.tls_key.empty())
    fail(table, "expected both of tls.certificate and tls.key, or neither");
  if (broker.tls_psk_file.empty() != broker.tls_psk_identity.empty())
    fail(table, "expected both of tls.psk_file and tls.psk_identity, or neither");
  if (!broker.tls_psk_file.empty() && !(broker.tls_ca.empty() && broker.tls_certificate.empty()))
    fail(table, "expected either a key that both know (tls.psk_file) or certificates");
  if (!broker.tls && place_.contains(table + ".tls"))
    fail(table, "tls without TLS, expected an url with mqtts://");
}

/// Two profiles below one prefix would mix, and what one removes the other would miss.
void Loader::check_prefixes(const BrokerConfig& broker) const {
  const auto is_used = [&](const Prefix& prefix) {
    return std::ranges::find(broker.profiles, prefix.profile) != broker.profiles.end();
  };
  for (const Prefix& prefix : prefixes)
    for (const Prefix& other : prefixes)
      if (&other < &prefix && broker.*prefix.member == broker.*other.member && is_used(prefix) &&
          is_used(other))
        fail("broker." + broker.name, fmt::format("{} and {} are the same, expected another one",
                                                  other.key, prefix.key));
}

void Loader::check_brokers() const {
  for (const auto& broker : config_.brokers) {
    check_broker(broker);
    if (broker.publishes()) {
      check_prefixes(broker);
      continue;
    }
    for (const auto& rule : broker_keys)
      if (const std::string key = fmt::format("broker.{}.{}", broker.name, rule.name);
          rule.is_of_publishing && place_.contains(key))
        fail_key(key, "nothing is published on a source, expected role = \"both\"");
  }
}

void Loader::check_sources() {
  for (auto& source : config_.sources) {
    const std::string table = "source." + source.name;
    if (source.broker.empty()) fail(table, "expected broker");
    const auto broker = std::ranges::find(config_.brokers, source.broker, &BrokerConfig::name);
    if (broker == config_.brokers.end())
      fail_key(table + ".broker",
               fmt::format("there is no [broker.{}], expected the name of one", source.broker));
    if (!broker->subscribes())
      fail_key(table + ".broker",
               fmt::format("nothing is read from [broker.{}], expected role = \"source\" or "
                           "\"both\" there", source.broker));
    if (source.topics.empty() && usual_topics(source.format, broker->prefix).empty())
      fail(table, "expected topic");
    if (source.group.empty()) continue;
    if (place_.contains(table + ".stateless") && !source.stateless)
      fail_key(table + ".stateless",
               "who shares a subscription does not see every telegram, expected true");
    source.stateless = true;
  }
}

void Loader::check_exports() const {
  for (const auto& item : config_.exports) {
    const std::string table = "export." + item.name;
    if (item.host.empty() && item.socket.empty()) fail(table, "expected listen");
    for (const auto& other : config_.exports)
      if (&other < &item && other.is_at_the_address_of(item))
        fail(table, fmt::format("the address of export.{} again, expected another one",
                                other.name));
  }
}

Config Loader::finish() {
  check_adapters();
  check_meters();
  check_brokers();
  check_sources();
  check_exports();
  for (const BrokerConfig& broker : config_.brokers) {
    if (broker.password_file.empty()) continue;
    const std::string key = fmt::format("broker.{}.password_file", broker.name);
    config_.secret_files.push_back({fmt::format("{}: {}", place_.at(key), key),
                                    broker.password_file});
  }
  config_.is_instance_default = config_.instance.empty();
  if (config_.is_instance_default) {
    char host[256] = {};
    if (gethostname(host, sizeof host - 1) == 0) config_.instance = meter::slug(host);
    if (config_.instance.empty()) config_.instance = "smartmeterd";
  }
  return std::move(config_);
}

/// Does each ",key=value" of an option.
template <class Take>
void each_setting(std::string_view text, Take take) {
  for (std::size_t at = text.find(','); at < text.size();) {
    const auto end = std::min(text.find(',', at + 1), text.size());
    const auto setting = text.substr(at + 1, end - at - 1);
    const auto equals = std::min(setting.find('='), setting.size());
    take(setting.substr(0, equals), setting.substr(std::min(equals + 1, setting.size())));
    at = end;
  }
}

template <class Rules>
void add_names(std::vector<std::string>& names, std::string_view table, const Rules& rules) {
  for (const auto& rule : rules) names.push_back(fmt::format("{}.{}", table, rule.name));
}

}  // namespace

std::string_view name(BrokerRole role) noexcept {
  return std::ranges::find(broker_roles, role, &Choice<BrokerRole>::value)->word;
}

std::vector<fs::path> toml_files(const fs::path& directory) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error))
    if (at->path().extension() == ".toml") files.push_back(at->path());
  if (error == std::errc::permission_denied)
    throw NotPermitted(fmt::format("{}: {}", directory.native(), error.message()));
  if (error && error != std::errc::no_such_file_or_directory)
    throw ConfigError(fmt::format("{}: {}", directory.native(), error.message()));
  std::ranges::sort(files);
  return files;
}

std::optional<LineSettings> LineSettings::parse(std::string_view text) {
  LineSettings line;
  const auto* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, line.baud);
  if (error != std::errc{} || line.baud == 0 || line.baud > baud_max) return std::nullopt;
  const std::string_view format(at, static_cast<std::size_t>(end - at));
  if (format.size() != 4 || format[0] != '-') return std::nullopt;
  if (format[1] != '7' && format[1] != '8') return std::nullopt;
  if (std::string_view("NEO").find(format[2]) == std::string_view::npos) return std::nullopt;
  if (format[3] != '1' && format[3] != '2') return std::nullopt;
  line.data_bits = static_cast<unsigned>(format[1] - '0');
  line.parity = format[2];
  line.stop_bits = static_cast<unsigned>(format[3] - '0');
  return line;
}

std::string LineSettings::to_text() const {
  return fmt::format("{}-{}{}{}", baud, data_bits, parity, stop_bits);
}

Config Config::load(const fs::path& file, bool file_required) {
  Loader loader;
  std::error_code error;
  if (file_required || fs::exists(file, error) || error) loader.read(file);
  for (const auto& part : toml_files(file.parent_path() / "conf.d")) loader.read(part);
  return loader.finish();
}

std::vector<std::string> config_keys() {
  std::vector<std::string> names;
  add_names(names, "gateway", gateway_keys);
  add_names(names, "adapter.*", adapter_keys);
  add_names(names, "meter.*", meter_keys);
  add_names(names, "broker.*", broker_keys);
  add_names(names, "source.*", source_keys);
  add_names(names, "export.*", export_keys);
  add_names(names, "history", history_keys);
  add_names(names, "quantities.*", quantity_keys);
  return names;
}

AdapterConfig parse_device_option(std::string_view text) {
  AdapterConfig adapter;
  const auto fail = [&](std::string_view problem) {
    throw ConfigError(fmt::format("--device {}: {}", text, problem));
  };
  const std::string_view address = text.substr(0, text.find(','));
  constexpr std::string_view tcp = "tcp://";
  if (address.starts_with(tcp)) {
    const auto problem = take_tcp(address.substr(tcp.size()), adapter);
    if (!problem.empty()) fail("expected tcp://HOST:PORT");
    adapter.name = meter::slug(adapter.tcp);
  } else if (!address.empty()) {
    adapter.device = fs::absolute(address);
    adapter.name = meter::slug(fs::path(adapter.device).filename().native());
  } else {
    fail("expected a path or tcp://HOST:PORT");
  }
  each_setting(text, [&](std::string_view key, std::string_view value) {
    const auto role = std::ranges::find(roles, value, &Choice<Role>::word);
    std::string problem;
    if (key == "link")
      problem = take_link(value, adapter);
    else if (key == "line")
      problem = take_line(value, adapter);
    else if (key == "role" && role != std::end(roles))
      adapter.role = role->value;
    else if (key == "role")
      problem = "expected listen, reader or master";
    else
      problem = "expected link=…, line=… or role=…";
    if (!problem.empty()) fail(problem);
  });
  if (const std::string problem = role_problem(adapter); !problem.empty()) fail(problem);
  return adapter;
}

BrokerConfig parse_mqtt_option(std::string_view text) {
  BrokerConfig broker;
  const auto problem = take_mqtt_url(text, broker);
  if (!problem.empty()) throw ConfigError(fmt::format("--mqtt: {}", problem));
  broker.name = meter::slug(broker.socket.empty() ? broker.host : broker.socket.native());
  return broker;
}

std::string host_and_port_text(std::string_view host, std::uint16_t port) {
  const bool is_ipv6 = host.find(':') != host.npos;
  return is_ipv6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

std::vector<std::string> usual_topics(SourceFormat format, std::string_view prefix) {
  switch (format) {
    case SourceFormat::glow:
      return {"SMART/HILD/+", "glow/+/SENSOR/+"};
    case SourceFormat::gplug:
      return {"tele/+/SENSOR"};
    case SourceFormat::raw:
      return {fmt::format("{}/gateway/+/raw/+", prefix)};
    case SourceFormat::automatic:
    case SourceFormat::whatwatt:
    case SourceFormat::datacollector:
    case SourceFormat::plug_test:
    case SourceFormat::amsreader:
      return {};
  }
  return {};
}

ExportConfig parse_export_option(std::string_view text) {
  ExportConfig out;
  const auto fail = [&](std::string_view problem) {
    throw ConfigError(fmt::format("--export {}: {}", text, problem));
  };
  const std::string_view address = text.substr(0, text.find(','));
  if (const auto problem = take_listen(address, out); !problem.empty()) fail(problem);
  out.name = meter::slug(address);
  each_setting(text, [&](std::string_view key, std::string_view value) {
    const auto format = std::ranges::find(export_formats, value, &Choice<ExportFormat>::word);
    if (key == "format" && format != std::end(export_formats))
      out.format = format->value;
    else if (key == "format")
      fail("expected format=dsmr5 or format=received");
    else if (key == "meter" && !value.empty())
      out.meter = value;
    else if (key == "adapter" && !value.empty())
      out.adapter = value;
    else
      fail("expected format=…, meter=… or adapter=…");
  });
  return out;
}

}  // namespace smartmeterd
