// SPDX-License-Identifier: Apache-2.0
// metersim: simulated meters on a pseudo terminal, a TCP port, a file or an MQTT broker.
#include <fmt/core.h>
#include <CLI/CLI.hpp>

#include <charconv>
#include <chrono>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

#include "tools/capture_file.hpp"
#include "tools/completion/completion.hpp"
#include "tools/metersim/line.hpp"
#include "tools/metersim/load.hpp"
#include "tools/metersim/meter.hpp"
#include "tools/metersim/mqtt.hpp"
#include "tools/metersim/player.hpp"

namespace {

using namespace metersim;

constexpr const char* examples = R"(
Examples:
  metersim run kaifa-noe --link /tmp/meter     a Kaifa MA309 on a pseudo terminal, every 5 s
  metersim run e450-pairs --tcp-listen 4161    a Landis+Gyr E450 as ser2net would offer it
  metersim run kaifa-noe --fast --count 1000 --out telegrams.bin --print-values
  metersim run kaifa-tinetz --key @guek.txt --flip 10 --noise 7
  metersim play capture.hex --baud 2400        a recording on a pseudo terminal
  metersim run gplug --mqtt mqtt://127.0.0.1   a gateway, as it publishes JSON
  metersim load --mqtt mqtt://127.0.0.1 --gateways 1000 --rate 500 --count 30000
                                               raw telegrams of a thousand gateways
  metersim seeds tests/seeds                   one telegram of each family as a file

Encrypted families use the published test keys unless --key and --auth-key say otherwise:
  000102030405060708090A0B0C0D0E0F and D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF)";

void add_broker_options(CLI::App& command, MqttOptions& broker) {
  command.add_option("--user", broker.user, "name at the broker")->type_name("NAME");
  command.add_option("--password-file", broker.password_file, "its password, on the first line")
      ->type_name("FILE");
  command.add_option("--qos", broker.qos, "quality of service")
      ->check(CLI::Range(0, 1))
      ->capture_default_str();
}

/// What the command line says about the line; shared by `run` and `play`.
struct LineOptions {
  bool pty = false;
  std::string link;
  std::optional<std::uint16_t> tcp_port;
  std::string file;
  double interval_s = 5;
  unsigned baud = 2400;
  bool fast = false;
  std::uint64_t count = 0;

  void add_to(CLI::App& command) {
    auto* to_pty = command.add_flag("--pty", pty, "a new pseudo terminal (the default)");
    command.add_option("--link", link, "symbolic link to the pseudo terminal")->type_name("PATH");
    auto* to_tcp = command.add_option("--tcp-listen", tcp_port,
                                      "serve on 127.0.0.1; 0: a free port. Sends while a reader "
                                      "is connected");
    to_tcp->type_name("PORT");
    auto* to_file = command.add_option("--out", file, "write to a file, - for standard output");
    to_file->type_name("FILE");
    to_pty->excludes(to_tcp)->excludes(to_file);
    to_tcp->excludes(to_file);
    command.add_option("--interval", interval_s, "seconds from one telegram to the next")
        ->check(CLI::Range(0.001, 1e6))
        ->capture_default_str();
    command.add_option("--count", count, "stop after this many telegrams; 0: never")
        ->capture_default_str();
    command.add_option("--baud", baud, "speed of the line, 11 bits a byte")
        ->check(CLI::Range(300, 4'000'000))
        ->capture_default_str();
    command.add_flag("--fast", fast,
                     "no line timing and no pauses: as fast as the reader takes it");
  }
  Timing timing() const { return {interval_s, fast ? std::nullopt : std::optional(baud), count}; }
  std::unique_ptr<Line> open() const {
    if (tcp_port) return open_tcp(*tcp_port);
    if (!file.empty()) return open_file(file);
    return open_pty(link);
  }
  /// Where values are printed: standard output, unless telegrams go there.
  std::FILE* values_stream() const { return file == "-" ? stderr : stdout; }
};

/// What the command line says about a meter, or the first of many; shared by `run` and `load`.
struct MeterArguments {
  std::string key, authentication_key, start, security;
  std::uint64_t seed = 1;
  std::optional<std::uint32_t> counter;
  std::uint32_t unit = 0;

  void add_to(CLI::App& command) {
    command.add_option("--key", key, "encryption key")->type_name("HEX|@FILE");
    command.add_option("--auth-key", authentication_key, "authentication key")
        ->type_name("HEX|@FILE");
    command
        .add_option("--security", security,
                    "clear, authenticated, encrypted, encrypted+authenticated instead of what the "
                    "family does")
        ->check(CLI::IsMember({"clear", "authenticated", "encrypted", "encrypted+authenticated"}))
        ->type_name("MODE");
    command.add_option("--counter", counter,
                       "first invocation counter (default: the start in seconds since 1970)");
    command.add_option("--start", start, "the meter's clock at the first telegram (default: now)")
        ->type_name("TIME");
    command.add_option("--seed", seed, "of the values and the faults")->capture_default_str();
    command.add_option("--unit", unit, "another meter: added to its numbers")
        ->capture_default_str();
  }
  MeterOptions options() const;
};

struct RunOptions {
  std::string family;
  LineOptions line;
  MqttOptions broker;
  std::string topic;
  MeterArguments meter;
  bool print_values = false;
  FaultPlan faults;
};

struct LoadArguments {
  LoadOptions load{.prefix = "smartmeter", .instance = "metersim"};
  std::vector<std::string> families{"kaifa-tinetz"};
  MeterArguments meter;
};

/// HEX or @FILE. The error never shows the digits.
Octets read_key(const std::string& text, const char* option) {
  std::string digits = text;
  if (text.starts_with('@')) {
    std::ifstream file(text.substr(1));
    if (!file) throw std::runtime_error(text.substr(1) + ": cannot be read");
    std::getline(file, digits);
  }
  Octets key;
  try {
    key = octets_from_hex(digits);
  } catch (const std::runtime_error&) {
    throw std::runtime_error(fmt::format("{}: a key is written in hex digits", option));
  }
  if (key.size() != 16)
    throw std::runtime_error(
        fmt::format("{}: a key has 32 hex digits, these are {}", option, key.size() * 2));
  return key;
}

/// The host's clock, or "2026-11-20T12:00:05+01:00".
Clock read_start(const std::string& text) {
  Clock clock;
  if (text.empty()) {
    clock.epoch_s = std::time(nullptr);
    std::tm local{};
    localtime_r(&clock.epoch_s, &local);
    clock.offset_min = static_cast<std::int16_t>(local.tm_gmtoff / 60);
    clock.status = local.tm_isdst > 0 ? 0x80 : 0x00;
    return clock;
  }
  std::tm time{};
  const char* rest = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S%z", &time);
  if (rest == nullptr || *rest != '\0')
    throw std::runtime_error("--start: write the time as 2026-11-20T12:00:05+01:00");
  const long offset_s = time.tm_gmtoff;
  time.tm_gmtoff = 0;
  clock.epoch_s = timegm(&time) - offset_s;
  clock.offset_min = static_cast<std::int16_t>(offset_s / 60);
  return clock;
}

MeterOptions MeterArguments::options() const {
  MeterOptions options;
  options.seed = seed;
  options.start = read_start(start);
  // A meter's counter never goes back, not even when the simulation is started again.
  options.invocation_counter =
      counter.value_or(static_cast<std::uint32_t>(options.start.epoch_s));
  options.unit_number = unit;
  if (!key.empty()) options.key = read_key(key, "--key");
  if (!authentication_key.empty())
    options.authentication_key = read_key(authentication_key, "--auth-key");
  if (security == "clear") options.control = 0x00;
  if (security == "authenticated") options.control = 0x10;
  if (security == "encrypted") options.control = 0x20;
  if (security == "encrypted+authenticated") options.control = 0x30;
  return options;
}

MeterOptions meter_options(const RunOptions& run) {
  MeterOptions options = run.meter.options();
  options.interval_s = run.line.interval_s;
  return options;
}

const Family& require_family(const std::string& name) {
  if (const Family* family = find_family(name)) return *family;
  throw std::runtime_error(
      fmt::format("no meter family is named \"{}\"; metersim list names them", name));
}

void announce(const Line& line, const LineOptions& options) {
  const std::string where = line.where();
  if (where.empty()) return;
  fmt::print(options.values_stream(), "{}\n", options.link.empty() ? where : options.link);
  std::fflush(options.values_stream());
}

void serve(const RunOptions& run, const ResponderKind& kind) {
  if (run.line.tcp_port || !run.line.file.empty() || !run.broker.url.empty())
    throw std::runtime_error(
        fmt::format("{} answers a reader: that needs a pseudo terminal", kind.name));
  const auto responder = kind.make(meter_options(run));
  Pause pause;
  const auto line = run.line.open();
  announce(*line, run.line);
  Player(*line, pause, run.line.timing(), nullptr).serve(*responder);
}

std::unique_ptr<Line> open_line(const RunOptions& run, const Family& family) {
  if (run.broker.url.empty()) return run.line.open();
  Gateway gateway = gateway_of(family, "smartmeter", "metersim");
  if (!run.topic.empty()) gateway.topic = run.topic;
  return open_mqtt(run.broker, gateway);
}

void run_meter(const RunOptions& run) {
  if (const ResponderKind* kind = find_responder(run.family)) return serve(run, *kind);
  const Family& family = require_family(run.family);
  Meter meter(family, meter_options(run));
  Pause pause;  // first: a signal never leaves the line's link behind
  const auto line = open_line(run, family);
  announce(*line, run.line);
  Player(*line, pause, run.line.timing(), run.print_values ? run.line.values_stream() : nullptr)
      .play(meter, run.faults, run.meter.seed);
}

void publish_load(LoadArguments& arguments) {
  LoadOptions& load = arguments.load;
  for (const std::string& name : arguments.families)
    load.families.push_back(&require_family(name));
  load.meter = arguments.meter.options();
  Pause pause;
  run_load(load, pause);
}

void play_capture(const std::string& path, const LineOptions& options) {
  tools::CaptureFile file(path);
  Octets capture;
  std::vector<std::byte> piece;
  while (file.read(piece))
    for (const std::byte octet : piece) capture.push_back(std::to_integer<std::uint8_t>(octet));
  if (capture.empty()) throw std::runtime_error(path + ": is empty");
  Pause pause;
  const auto line = options.open();
  announce(*line, options);
  Player(*line, pause, options.timing(), nullptr).play(capture);
}

void list_families() {
  for (const Family& family : families())
    fmt::print("{:<16} {}\n", family.name, family.description);
  fmt::print("\nMeters that answer a reader, on a pseudo terminal:\n");
  for (const ResponderKind& kind : responders())
    fmt::print("{:<16} {}\n", kind.name, kind.description);
}

/// What the shells complete values with.
completion::Kinds completion_kinds() {
  const auto family_names = [](const completion::Typed&) {
    std::vector<completion::Word> words;
    for (const Family& family : families())
      words.push_back({std::string(family.name), std::string(family.description)});
    return words;
  };
  const auto all_names = [family_names](const completion::Typed& typed) {
    auto words = family_names(typed);
    for (const ResponderKind& kind : responders())
      words.push_back({std::string(kind.name), std::string(kind.description)});
    return words;
  };
  return {{"run FAMILY", completion::Kind(all_names)},
          {"load --family", completion::Kind(family_names)}};
}

/// One telegram of each family, as the meter sends it and in clear.
void write_seeds(const std::string& directory) {
  std::filesystem::create_directories(directory);
  for (const Family& family : families()) {
    for (const bool clear : {false, true}) {
      MeterOptions options;
      options.start = read_start("2026-11-20T12:00:05+01:00");
      if (clear) options.control = 0x00;
      Meter meter(family, options);
      if (!clear && !meter.encrypted()) continue;
      const Octets octets = meter.next().octets();
      const std::string path =
          fmt::format("{}/{}{}.bin", directory, family.name, clear ? "-clear" : "-encrypted");
      std::ofstream file(path, std::ios::binary);
      file.write(reinterpret_cast<const char*>(octets.data()),
                 static_cast<std::streamsize>(octets.size()));
      if (!file.flush()) throw std::runtime_error(path + ": cannot be written");
    }
  }
}

void add_fault_options(CLI::App& command, FaultPlan& faults) {
  auto add = [&command](const char* name, unsigned& every, const char* what) {
    command.add_option(name, every, what)->type_name("N")->group("Faults, each N-th telegram");
  };
  add("--flip", faults.flip, "one flipped bit");
  add("--drop", faults.drop, "not sent");
  add("--cut", faults.cut, "ends early");
  add("--noise", faults.noise, "random bytes before it");
  add("--replay", faults.replay, "the first telegram again, with its old counter");
  add("--wrong-key", faults.wrong_key, "encrypted with another key");
}

CLI::App* add_run(CLI::App& app, RunOptions& run) {
  CLI::App* command = app.add_subcommand("run", "simulate a meter");
  command->add_option("FAMILY", run.family, "a name that metersim list prints")->required();
  run.line.add_to(*command);
  auto* to_broker =
      command->add_option("--mqtt", run.broker.url, "publish each telegram as one message");
  to_broker->type_name("mqtt://HOST[:PORT]");
  for (const char* other : {"--pty", "--link", "--tcp-listen", "--out"})
    to_broker->excludes(command->get_option(other));
  command
      ->add_option("--topic", run.topic,
                   "of the messages (default: smartmeter/gateway/metersim/raw/FAMILY, for JSON the "
                   "gateway's usual one)")
      ->needs(to_broker);
  add_broker_options(*command, run.broker);
  run.meter.add_to(*command);
  command->add_flag("--print-values", run.print_values,
                    "print what each telegram says as a line of JSON");
  add_fault_options(*command, run.faults);
  return command;
}

CLI::App* add_load(CLI::App& app, LoadArguments& arguments) {
  LoadOptions& load = arguments.load;
  CLI::App* command = app.add_subcommand("load", "publish the telegrams of many gateways");
  command->add_option("--mqtt", load.broker.url, "the broker")
      ->type_name("mqtt://HOST[:PORT]")
      ->required();
  add_broker_options(*command, load.broker);
  command->add_option("--gateways", load.gateways, "each has a meter, a name and a topic")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  command
      ->add_option("--rate", load.rate,
                   "telegrams a second, of all together; 0: as fast as the broker takes them")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  command->add_option("--count", load.count, "stop after this many telegrams; 0: never")
      ->capture_default_str();
  command
      ->add_option("--family", arguments.families,
                   "of the gateways' meters; several times: by turns")
      ->capture_default_str();
  command
      ->add_option("--prefix", load.prefix,
                   "of the topics of raw telegrams, PREFIX/gateway/INSTANCE-N/raw/FAMILY")
      ->capture_default_str();
  command->add_option("--instance", load.instance, "first part of the gateways' names")
      ->capture_default_str();
  arguments.meter.add_to(*command);
  return command;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app("metersim: simulated electricity meters");
  app.footer(examples);
  app.set_version_flag("--version", "metersim " METERSIM_VERSION);
  app.require_subcommand(1);

  RunOptions run;
  CLI::App* run_command = add_run(app, run);
  LoadArguments load;
  CLI::App* load_command = add_load(app, load);
  std::string capture, seeds;
  LineOptions play;
  CLI::App* play_command = app.add_subcommand("play", "send a recording again and again");
  play_command->add_option("FILE", capture, "capture, raw bytes or hex text, - for standard input")
      ->required();
  play.add_to(*play_command);
  CLI::App* list_command = app.add_subcommand("list", "name the meter families");
  CLI::App* seeds_command = app.add_subcommand("seeds", "write one telegram of each family");
  seeds_command->add_option("DIR", seeds, "directory, created if needed")->required();

  if (completion::is_asked(argc, argv)) return completion::answer(app, completion_kinds());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    if (run_command->parsed()) run_meter(run);
    if (load_command->parsed()) publish_load(load);
    if (play_command->parsed()) play_capture(capture, play);
    if (list_command->parsed()) list_families();
    if (seeds_command->parsed()) write_seeds(seeds);
  } catch (const std::exception& error) {
    fmt::print(stderr, "metersim: {}\n", error.what());
    return 1;
  }
  return 0;
}
