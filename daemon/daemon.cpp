// SPDX-License-Identifier: Apache-2.0
// Composition and life of the service.
#include "daemon/daemon.hpp"

#include <poll.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <csignal>
#include <system_error>
#include <utility>

#include "daemon/bus/bus_sink.hpp"
#include "daemon/log.hpp"
#include "daemon/version.hpp"

namespace smartmeterd {
namespace {

using namespace std::chrono_literals;

/// How long a broker may take for what waits for it when its connection ends for good: enough for a
/// full outbox on a network, and well inside the unit's TimeoutStopSec.
constexpr auto leave_grace = 2s;

/// What a device's decoder was made with.
std::vector<std::pair<std::string, std::string>> zones(const Config& config) {
  std::vector<std::pair<std::string, std::string>> zones;
  for (const MeterConfig& meter : config.meters)
    if (!meter.zone.empty()) zones.emplace_back(meter.adapter, meter.zone);
  return zones;
}

/// The filters that sources will have in the session that this connection leaves behind.
std::vector<std::string> filters_there(const Config& next, const BrokerConfig& broker) {
  std::vector<std::string> filters;
  for (const BrokerConfig& heir : next.brokers) {
    const bool is_same = heir.is_at_the_address_of(broker) && heir.client_id == broker.client_id;
    if (!is_same || heir.session.count() == 0) continue;
    for (const SourceConfig& source : next.sources)
      if (source.broker == heir.name)
        std::ranges::move(filters_of(source, heir), std::back_inserter(filters));
  }
  return filters;
}

/// The broker stays, and smartmeterd's own topics there are elsewhere from now on, or no more.
bool has_left_prefix(const Config& next, const BrokerConfig& broker) {
  const auto is_heir = [&](const BrokerConfig& heir) {
    return heir.publishes() && heir.is_at_the_address_of(broker);
  };
  return broker.publishes() && std::ranges::any_of(next.brokers, is_heir) &&
         std::ranges::none_of(next.brokers, [&](const BrokerConfig& heir) {
           return is_heir(heir) && heir.prefix == broker.prefix && heir.has_profile("smartmeterd");
         });
}

}  // namespace

Daemon::Daemon(Options options, Settings settings)
    : options_(std::move(options)),
      loop_(io::Loop::make(options_.io)),
      storage_(history::Storage::open(options_.state_directory)),
      meters_(*loop_, sinks_),
      devices_({.loop = *loop_, .sinks = sinks_, .meters = meters_, .storage = *storage_}),
      sources_({.loop = *loop_,
                .sinks = sinks_,
                .meters = meters_,
                .storage = *storage_,
                .is_name_taken =
                    [this](std::string_view name) {
                      return std::ranges::any_of(devices_.all(), [&](const auto& device) {
                        return device->adapter().name == name;
                      });
                    }}),
      exports_(*loop_),
      signal_poll_([this](int) { on_signals(); }),
      watchdog_timer_([this](int result) {
        if (result != 0) return;
        sd_notify(0, "WATCHDOG=1");
        start_watchdog();
      }),
      leave_limit_([this](int result) {
        if (result == 0) finish_leaving();
      }),
      left_([this](int result) {
        if (result == 0) forget_left();
      }) {
  log::info("loop runs on {}", loop_->backend_name());
  if (!loop_->reason().empty())
    log::write(log::Level::notice, log::Event::io_fallback,
               fmt::format("io_uring is not to be had ({}); epoll does the same work",
                           loop_->reason()));
  watch_signals();
  exports_.take_sockets();
  sinks_.add(exports_);
  start_bus();
  start_recorder();
  if (!options_.translate) start_monitor();
  if (settings.adapters_left_out > 0)
    log::notice("--translate reads brokers alone: none of the {} configured adapters is opened",
                settings.adapters_left_out);
  apply(std::move(settings));
}

Daemon::~Daemon() {
  sources_.clear();
  devices_.clear();  // they tell the sinks, which are still there
  for (Broker& broker : brokers_) sinks_.remove(*broker.sink);
  sinks_.remove(exports_);
  if (recorder_) sinks_.remove(*recorder_);
  if (bus_) sinks_.remove(*bus_);
  if (signal_fd_ >= 0) loop_->close(signal_fd_);
}

void Daemon::run() {
  sd_watchdog_enabled(0, &watchdog_us_);
  start_watchdog();
  const int hook = loop_->add_before_wait([this] { notify_status(); });
  sd_notify(0, "READY=1");
  loop_->run();
  loop_->remove_before_wait(hook);
}

void Daemon::watch_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  signal_fd_ = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
  if (signal_fd_ < 0) throw std::system_error(errno, std::generic_category(), "signalfd");
  loop_->poll(signal_poll_, signal_fd_, POLLIN);
}

void Daemon::on_signals() {
  signalfd_siginfo info;
  while (::read(signal_fd_, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGHUP) {
      sd_notify(0, "RELOADING=1");
      (void)reload();
      sd_notify(0, "READY=1");
    } else {
      stop();
    }
  }
  loop_->poll(signal_poll_, signal_fd_, POLLIN);
}

void Daemon::stop() {
  if (std::exchange(is_stopping_, true)) return loop_->stop();  // a second signal: do not wait
  sd_notify(0, "STOPPING=1");
  log::info("stopping");
  monitor_.reset();
  remove_brokers(nullptr);  // first, for they are not to hear that devices and sources go
  sources_.clear();
  devices_.clear();
  if (recorder_) recorder_->finish();
  if (leaving_.empty()) loop_->stop();
}

void Daemon::start_watchdog() {
  // Pinged from the loop itself: a handler that hangs gets the service restarted.
  if (watchdog_us_ > 0)
    loop_->timer(watchdog_timer_, loop_->now() + std::chrono::microseconds(watchdog_us_ / 2));
}

void Daemon::start_bus() {
  if (options_.bus == "none") return;
  bus_ = bus::make_bus_sink(*loop_, {.address = options_.bus,
                                     .version = version,
                                     .features = {std::string(loop_->backend_name())},
                                     .reload = [this] { return reload(); },
                                     .history =
                                         [this](HistoryQuestion question, HistoryDone done) {
                                           ask_history(std::move(question), std::move(done));
                                         },
                                     .counters = [this] { return counters(); }});
  sinks_.add(*bus_);
}

void Daemon::start_recorder() {
  if (storage_->history() == nullptr) return;
  recorder_ = std::make_unique<history::Recorder>(*loop_, *storage_->history());
  sinks_.add(*recorder_);
}

void Daemon::ask_history(HistoryQuestion question, HistoryDone done) {
  if (recorder_) {
    if (question.zone.empty()) question.zone = meters_.zone_of(question.meter_id);
    return recorder_->ask(std::move(question), std::move(done));
  }
  HistoryAnswer answer;
  answer.error = history::Storage::is_built_in() ? HistoryAnswer::Error::failed
                                                 : HistoryAnswer::Error::not_supported;
  answer.message = storage_->problem();
  done(answer);
}

std::map<std::string, std::uint64_t, std::less<>> Daemon::counters() const {
  std::map<std::string, std::uint64_t, std::less<>> counters;
  const history::History* history = storage_->history();
  counters["history-rows"] = history ? history->written() : 0;
  counters["history-dropped"] = history ? history->dropped() : 0;
  counters["storage-dropped"] = storage_->dropped();
  return counters;
}

void Daemon::start_monitor() {
  std::string problem;
  monitor_ = io::DeviceMonitor::start(
      *loop_,
      {.added = [this](const io::SerialDevice& serial) { devices_.appeared(serial); },
       .changed = [this](const io::SerialDevice& serial) { devices_.appeared(serial); },
       .removed = [this](const io::SerialDevice& serial) { devices_.vanished(serial); },
       .released = [this](const io::SerialDevice& serial) { devices_.released(serial); }},
      problem);
  if (!monitor_) log::notice("no hot-plug: {}; configured devices still work", problem);
}

std::string Daemon::reload() {
  if (is_stopping_) return "the service is stopping";
  try {
    apply(Settings::load(options_, true));
    log::notice("configuration and keys read again");
    return {};
  } catch (const ConfigError& error) {
    log::write(log::Level::error, log::Event::config_error,
               fmt::format("nothing changed: {}", error.what()));
    return error.what();
  }
}

void Daemon::apply(Settings settings) {
  remove_brokers(&settings.config);
  if (settings.config.accept_counter_reset != config_.accept_counter_reset ||
      zones(settings.config) != zones(config_)) {
    devices_.clear();
    sources_.clear();
  }
  config_ = std::move(settings.config);
  meters_.configure(config_.meters, meter::QuantityMap(config_.quantities));
  if (recorder_) recorder_->configure(config_.history);
  apply_brokers();  // before the devices, so that the first telegram finds them
  exports_.configure(config_.exports);
  const auto keys = std::make_shared<const meter::dlms::KeyRing>(std::move(settings.keys));
  devices_.configure(config_, keys);
  sources_.configure(config_, keys, [this](std::string_view name) -> mqtt::MqttSink& {
    return broker_named(name);
  });
  control_flow();  // for the new ones too
}

/// One that the configuration names.
mqtt::MqttSink& Daemon::broker_named(std::string_view name) {
  const auto found = std::ranges::find(
      brokers_, name, [](const Broker& broker) -> std::string_view { return broker.config.name; });
  assert(found != brokers_.end());
  return *found->sink;
}

void Daemon::remove_brokers(const Config* next) {
  const bool is_same_instance = next != nullptr && next->instance == config_.instance;
  const auto stays = [&](const Broker& broker) {
    // One that was refused may wait for what a file now says rightly: its password.
    const bool hopeful = !broker.config.password_file.empty() &&
                         broker.sink->publisher().is_unauthorized;
    return is_same_instance && !hopeful && std::ranges::count(next->brokers, broker.config) > 0;
  };
  const auto over = std::ranges::stable_partition(brokers_, stays);
  if (over.empty()) return;
  for (Broker& broker : over) broker.sink->stop_reading();  // that is for the others too
  std::vector<std::unique_ptr<mqtt::MqttSink>> sinks;
  for (Broker& broker : over) {
    sources_.forget(*broker.sink);
    if (next != nullptr) broker.sink->forget_filters(filters_there(*next, broker.config));
    if (next != nullptr && has_left_prefix(*next, broker.config)) broker.sink->take_back();
    sinks_.remove(*broker.sink);
    sinks_.publisher_removed(broker.sink->publisher());
    sinks.push_back(std::move(broker.sink));
  }
  brokers_.erase(over.begin(), over.end());
  for (auto& sink : sinks) {
    sink->shut_down();
    if (sink->publisher().state != PublisherState::disabled) leaving_.push_back(std::move(sink));
  }
  if (!leaving_.empty()) loop_->timer(leave_limit_, loop_->now() + leave_grace);
}

void Daemon::on_publisher(const Publisher& publisher) {
  const auto is_it = [&](const Broker& broker) { return &broker.sink->publisher() == &publisher; };
  if (std::ranges::any_of(brokers_, is_it)) {
    sinks_.publisher_changed(publisher);
    sources_.publisher_changed(publisher);
    control_flow();
  } else if (!left_.pending()) {
    loop_->timer(left_, loop_->now());  // it is in the middle of telling this
  }
}

void Daemon::forget_left() {
  std::erase_if(leaving_, [](const auto& sink) {
    return sink->publisher().state == PublisherState::disabled;
  });
  if (leaving_.empty()) finish_leaving();
}

/// Nobody has the client id of a new connection any more, which would lose it to that one.
void Daemon::finish_leaving() {
  loop_->cancel(leave_limit_);
  leaving_.clear();
  if (is_stopping_) return loop_->stop();
  for (Broker& broker : brokers_)
    if (!std::exchange(broker.is_started, true)) broker.sink->start();
}

Backlog* Daemon::backlog_of(const BrokerConfig& broker) {
  if (!broker.store) return nullptr;
  Backlog* backlog = storage_->backlog(broker.name, broker.store_bytes);
  if (backlog == nullptr)
    log::warning("mqtt {}: store = true, but nothing is kept while the broker is away: {}",
                 broker.name, storage_->problem());
  else if (const std::uint64_t stored = backlog->stored(); stored > 0)
    log::notice("mqtt {}: {} readings of a former outage wait for the broker", broker.name, stored);
  return backlog;
}

void Daemon::apply_brokers() {
  for (const BrokerConfig& config : config_.brokers) {
    if (std::ranges::count(brokers_, config, &Broker::config) > 0) continue;
    auto sink = mqtt::make_mqtt_sink(
        *loop_, config, config_.instance,
        [this](const Publisher& publisher) { on_publisher(publisher); }, backlog_of(config));
    for (const auto& device : devices_.all()) sink->adapter_added(device->adapter());
    sources_.introduce(*sink);
    meters_.introduce(*sink);
    sinks_.publisher_added(sink->publisher());
    // Before the bus: a telegram is one message there, and three on the bus.
    sinks_.add_first(*sink);
    brokers_.push_back({config, std::move(sink)});
  }
  if (leaving_.empty()) finish_leaving();
}

/// What a slow broker cannot take yet is not read from another one either, nor what a broker would
/// miss that is about to be there for the first time: after a start, what sessions have kept.
void Daemon::control_flow() {
  sources_.pause(std::ranges::any_of(brokers_, [](const Broker& broker) {
    const Publisher& publisher = broker.sink->publisher();
    const bool is_expected = broker.config.publishes() &&
                             publisher.state == PublisherState::connecting &&
                             publisher.last_error.empty();
    return is_expected || broker.sink->is_congested();
  }));
}

void Daemon::notify_status() {
  Status now{.adapters = devices_.all().size(), .meters = meters_.size()};
  for (const Broker& broker : brokers_)
    if (broker.sink->publisher().state == PublisherState::online) ++now.online;
  now.brokers = brokers_.size();
  if (now == status_) return;
  status_ = now;
  auto count = [](std::size_t number, std::string_view noun) {
    return fmt::format("{} {}{}", number, noun, number == 1 ? "" : "s");
  };
  std::string text = fmt::format("STATUS={}, {}", count(now.adapters, "adapter"),
                                 count(now.meters, "meter"));
  if (now.brokers > 0) text += fmt::format(", {} of {} online", now.online,
                                           count(now.brokers, "broker"));
  sd_notify(0, text.c_str());
}

}  // namespace smartmeterd
