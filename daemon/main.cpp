// SPDX-License-Identifier: Apache-2.0
// smartmeterd: options, and then the daemon.
#include <sys/prctl.h>
#include <sys/types.h>

#include <CLI/CLI.hpp>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <map>

#include "daemon/alive.hpp"
#include "daemon/daemon.hpp"
#include "daemon/log.hpp"
#include "daemon/secret_files.hpp"
#include "daemon/version.hpp"
#include "tools/completion/completion.hpp"

namespace {

using namespace smartmeterd;

// meson.build asks for it where the system's own have 32 bits.
static_assert(sizeof(std::time_t) == 8 && sizeof(off_t) == 8);

constexpr const char* footer = R"(
Without options it serves every claimed adapter on D-Bus; everything else is in the
configuration file. Keys are read from keys.d beside it.

Examples:
  sudo smartmeterd --check
  smartmeterd --bus none --mqtt mqtt://broker.local --device /dev/ttyUSB0,line=2400-8E1
  smartmeterd --device tcp://192.168.1.20:2000,link=hdlc
  smartmeterd --translate --mqtt mqtt://broker.local --bus none
  smartmeterd --export 127.0.0.1:1502

Signals: SIGHUP reads configuration and keys again; SIGTERM ends.)";

void block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  sigprocmask(SIG_BLOCK, &signals, nullptr);  // before any thread; the loop reads them
  std::signal(SIGPIPE, SIG_IGN);              // a closed broker socket is an error code, not an end
}

/// The service's directories, as systemd passes them.
void take_environment(Options& options) {
  if (const char* state = std::getenv("STATE_DIRECTORY")) options.state_directory = state;
}

/// What the shells complete values with.
completion::Kinds completion_kinds() {
  const auto buses = [](const completion::Typed&) {
    return std::vector<completion::Word>{
        {"system", ""}, {"session", ""}, {"none", "nothing is served"}};
  };
  return {{"BUS", completion::Kind(buses)}, {"DEVICE", completion::Kind::Paths::files}};
}

int check(const Options& options) {
  Settings settings;
  try {
    settings = Settings::load(options, true);
    check_secret_files(settings.config);
  } catch (const NotPermitted& error) {
    throw ConfigError(fmt::format("{} for this user, run: sudo smartmeterd --check", error.what()));
  }
  auto count = [](std::size_t number, std::string_view noun) {
    return fmt::format("{} {}{}", number, noun, number == 1 ? "" : "s");
  };
  fmt::print("configuration is fine: {}, {}, {}, {}\n",
             count(settings.config.adapters.size(), "adapter"),
             count(settings.config.brokers.size(), "broker"),
             count(settings.config.sources.size(), "source"), count(settings.keys.size(), "key"));
  return EXIT_SUCCESS;
}

/// For supervisors that ask, as a container's health check does.
int alive() {
  const std::string problem = wait_for_sign_of_life();
  if (problem.empty()) return EXIT_SUCCESS;
  log::error("{}", problem);
  return EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  prctl(PR_SET_DUMPABLE, 0);  // meter keys never reach a core dump
  Options options;
  take_environment(options);
  CLI::App app{"Reads smart meters from serial adapters: to D-Bus and MQTT.", "smartmeterd"};
  app.footer(footer);
  app.set_version_flag("--version", std::string("smartmeterd ") + version);
  auto* config = app.add_option("--config", options.config_file, "Configuration file")
                     ->type_name("FILE")->capture_default_str();
  app.add_option("--bus", options.bus, "D-Bus to serve: system, session, an address, or none")
      ->type_name("BUS")->capture_default_str();
  const std::map<std::string, io::Backend> backends = {{"auto", io::Backend::automatic},
                                                       {"io_uring", io::Backend::io_uring},
                                                       {"epoll", io::Backend::epoll}};
  std::string io = "auto";
  app.add_option("--io", io, "Kernel interface of the loop: auto, io_uring, epoll")
      ->check(CLI::IsMember(backends))->type_name("KIND")->capture_default_str();
  app.add_option("--mqtt", options.mqtt, "Broker to publish to, mqtt[s]://[user@]host[:port]")
      ->type_name("URL");
  app.add_option(
         "--device", options.devices,
         "Adapter to read: PATH or tcp://HOST:PORT, then [,link=…][,line=2400-8E1][,role=…]")
      ->type_name("DEVICE");
  app.add_option("--export", options.exports,
                 "Telegrams for who connects: HOST:PORT or unix:PATH, then "
                 "[,format=dsmr5|received][,meter=…][,adapter=…]")
      ->type_name("ADDRESS");
  app.add_option("--state", options.state_directory, "Directory for what outlives a restart")
      ->type_name("DIR")->capture_default_str();
  app.add_flag("--translate", options.translate,
               "Open no serial port: read brokers alone, what [source.NAME] says or, without any, "
               "the telegrams that other gateways publish as they received them");
  std::string level = "info";
  app.add_option("--log-level", level, "error, warning, notice, info or debug")
      ->check(CLI::IsMember({"error", "warning", "notice", "info", "debug"}))
      ->type_name("LEVEL")->capture_default_str();
  bool only_check = false;
  app.add_flag("--check", only_check, "Check configuration and keys, and exit");
  bool only_alive = false;
  app.add_flag("--alive", only_alive,
               "Wait for a sign of life of the smartmeterd with the same NOTIFY_SOCKET, and exit");
  if (completion::is_asked(argc, argv)) return completion::answer(app, completion_kinds());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? EXIT_SUCCESS : 2;
  }
  options.config_file_given = config->count() > 0;
  options.io = backends.at(io);
  log::set_level(*log::level_from_name(level));

  try {
    if (only_check) return check(options);
    if (only_alive) return alive();
    block_signals();  // of the service alone: who only asks can be interrupted
    Daemon daemon(options, Settings::load(options, false));
    daemon.run();
    return EXIT_SUCCESS;
  } catch (const ConfigError& error) {
    log::write(log::Level::error, log::Event::config_error, error.what());
    return 2;
  } catch (const std::exception& error) {
    log::error("cannot start: {}", error.what());
    return EXIT_FAILURE;
  }
}
