// SPDX-License-Identifier: Apache-2.0
// smartmeterctl doctor: from the adapter to the broker, what is well and what is not.
#include "tools/smartmeterctl/doctor.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>

#include "tools/smartmeterctl/doctor_system.hpp"
#include "tools/smartmeterctl/key_mask.hpp"
#include "tools/smartmeterctl/port_text.hpp"
#include "tools/smartmeterctl/style.hpp"
#include "tools/smartmeterctl/text.hpp"
#include "tools/smartmeterctl/verbs.hpp"

namespace smartmeterctl {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto look_interval = 500ms;
/// As long as a broker usually takes to answer; the walk goes on without.
constexpr auto broker_limit = 5s;

constexpr const char* footer = R"(
Examines each adapter: is it there and claimed, may the service use it, does another program hold
it, does the service run, do bytes, frames, checksums, key, tag and values fit, and are D-Bus and
the MQTT broker reached. The first step that fails is the verdict. As root it sees more: which
program has the port open, and the service's journal.

Exit status: 0 all is well, 1 something is wrong or could not be found out, 2 wrong usage.

Examples:
  sudo smartmeterctl doctor
  smartmeterctl doctor /dev/smartmeter_mbus --wait 70
  smartmeterctl doctor --json | jq .verdict)";

struct DoctorOptions : BusOptions {
  std::string adapter;
  std::string root;
  std::optional<unsigned> wait_s;
};

/// Everything about one adapter: findings, and what follows.
struct Examined {
  Findings findings;
  std::vector<Step> steps;
};

struct Report {
  std::vector<Examined> adapters;
  std::vector<SerialPort> ports;      ///< all that there are
  std::vector<SerialPort> unclaimed;  ///< not examined, and could be a meter's
};

/// What the service says, and when it was asked.
class Service {
 public:
  explicit Service(const DoctorOptions& options) : facts_{.where = options.bus} {
    try {
      bus_ = std::make_unique<Bus>(options.bus);
      facts_.owner = bus_->owner();
      const Value unit = bus_->unit_properties("smartmeterd.service");
      systemd_ = {.is_known = !unit.map().empty(),
                  .load = unit["LoadState"].text(),
                  .active = unit["ActiveState"].text()};
    } catch (const std::runtime_error& error) {
      facts_.error = error.what();
      facts_.is_silent = is_silence(error);
    }
    if (!facts_.owner && options.bus == "system")
      systemd_.last_error = last_error_of("smartmeterd.service");
    ask();
  }

  void ask() {
    if (!facts_.owner) return;
    try {
      objects_ = bus_->objects();
    } catch (const std::runtime_error& error) {
      objects_.clear();
      facts_.owner = owner_now();  // it may have ended meanwhile
      if (facts_.owner) facts_.refusal = error.what();
      facts_.is_silent = is_silence(error);
    }
  }

  const BusFacts& facts() const { return facts_; }
  const ServiceFacts& systemd() const { return systemd_; }

  std::vector<Object> adapters() const {
    auto found = objects_;
    std::erase_if(found, [](const Object& object) { return object.adapter().map().empty(); });
    return found;
  }
  const Value& adapter(const std::string& path) const {
    static const Value nothing;
    const auto found = std::ranges::find(objects_, path, &Object::path);
    return found == objects_.end() ? nothing : found->adapter();
  }
  /// Read with an adapter; those behind another one last.
  std::vector<Value> meters(const std::string& adapter) const {
    std::vector<Value> found;
    for (const Object& object : objects_)
      if (!object.meter().map().empty() && object.meter()["Adapter"].text() == adapter)
        found.push_back(object.meter());
    std::ranges::stable_sort(found, {}, [](const Value& meter) {
      return meter["Parent"].text().size() > 1;  // "/" is none
    });
    return found;
  }
  std::vector<Value> publishers() const {
    std::vector<Value> found;
    for (const Object& object : objects_)
      if (!object.publisher().map().empty()) found.push_back(object.publisher());
    return found;
  }

 private:
  static bool is_silence(const std::runtime_error& error) {
    const auto* answer = dynamic_cast<const BusError*>(&error);
    return answer != nullptr && answer->is_silence();
  }
  std::optional<pid_t> owner_now() {
    try {
      return bus_->owner();
    } catch (const std::runtime_error&) {  // the bus has gone, too
      return std::nullopt;
    }
  }

  BusFacts facts_;
  ServiceFacts systemd_;
  std::unique_ptr<Bus> bus_;
  std::vector<Object> objects_;
};

/// The ports that udev knows; none where it cannot be asked (containers).
std::vector<SerialPort> known_ports() {
  if (!has_udev()) return {};
  try {
    return serial_ports();
  } catch (const std::runtime_error&) {
    return {};
  }
}

/// Which adapters are examined: the one that is named, else those that are read or claimed, else
/// those that could be claimed.
std::vector<Findings> subjects(const DoctorOptions& options, const Service& service,
                               const std::vector<SerialPort>& ports) {
  std::vector<Findings> found;
  const auto add = [&](const std::string& device, const SerialPort* port, std::string path) {
    Findings findings{.device = device, .path = std::move(path)};
    if (port != nullptr) findings.port = *port;
    found.push_back(std::move(findings));
  };
  const SerialPort* named = find_port(ports, options.adapter);
  const auto is_wanted = [&](const std::string& device, const SerialPort* port) {
    return options.adapter.empty() || device == options.adapter ||
           device.substr(device.rfind('/') + 1) == options.adapter ||
           (port != nullptr && port == named);
  };
  for (const Object& object : service.adapters()) {
    const std::string device = object.adapter()["Device"].text();
    const SerialPort* port = find_port(ports, device);
    if (is_wanted(device, port) || is_called(object, options.adapter))
      add(device, port, object.path);
  }
  const auto add_ports = [&](const auto& condition) {
    for (const SerialPort& port : ports)
      if (condition(port) && is_wanted(port.node, &port) &&
          std::ranges::none_of(found, [&](const Findings& one) {
            return one.port && one.port->syspath == port.syspath;
          }))
        add(port.node, &port, {});
  };
  if (!options.adapter.empty()) {
    add_ports([](const SerialPort&) { return true; });
    if (found.empty()) add(options.adapter, nullptr, {});
    return found;
  }
  add_ports([](const SerialPort& port) { return port.is_claimed(); });
  if (found.empty())
    add_ports([](const SerialPort& port) {
      return is_candidate(port) || (!port.kind().empty() && port.kind() != "none");
    });
  if (found.empty()) {
    add({}, nullptr, {});
    for (const SerialPort& port : ports) found.front().other_ports.push_back(port.node);
  }
  return found;
}

/// Asks the service again and again until all is said, or time is over.
void watch(const DoctorOptions& options, Service& service, std::vector<Findings>& all) {
  std::vector<Value> meters;
  for (const Findings& one : all)
    for (Value& meter : service.meters(one.path)) meters.push_back(std::move(meter));
  const std::chrono::seconds limit =
      options.wait_s ? std::chrono::seconds(*options.wait_s) : watch_limit(meters);
  const auto start = Clock::now();
  const auto is_pending = [&] {
    const auto past = Clock::now() - start;
    const bool connecting = std::ranges::any_of(service.publishers(), [](const Value& publisher) {
      return publisher["State"].text() == "connecting";
    });
    return (connecting && past < broker_limit) ||
           (past < limit && std::ranges::any_of(all, [&](const Findings& one) {
              return !one.path.empty() &&
                     !is_conclusive(service.adapter(one.path), service.meters(one.path));
            }));
  };
  StatusLine line;
  while (service.facts().owner && service.facts().refusal.empty() && is_pending()) {
    const auto past = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - start);
    line.show(fmt::format("listening for up to {} s …", StatusLine::is_rewritten()
                                                            ? std::max(limit - past, 0s).count()
                                                            : limit.count()));
    std::this_thread::sleep_for(look_interval);
    service.ask();
  }
  line.clear();
  const auto watched = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - start);
  for (Findings& one : all) one.watched = watched;
}

Report examine(const DoctorOptions& options) {
  Service service(options);
  const std::vector<SerialPort> ports = known_ports();
  std::vector<Findings> all = subjects(options, service, ports);
  for (Findings& one : all) one.before = service.adapter(one.path);
  watch(options, service, all);
  const Account account = account_of_service(options.root, service.facts().owner);
  const std::string refused = refused_key_file(options.root);
  const bool modem_manager_runs = is_running("ModemManager");
  Report report;
  for (Findings& one : all) {
    one.account = account;
    one.service = service.systemd();
    one.bus = service.facts();
    one.adapter = service.adapter(one.path);
    one.meters = service.meters(one.path);
    one.publishers = service.publishers();
    one.refused_key_file = refused;
    one.others.all_processes_seen = ::geteuid() == 0;
    one.others.modem_manager_runs = modem_manager_runs;
    if (!one.device.empty() && !one.is_network()) {
      one.node = node_of(one.device);
      one.others.users = other_users(one.device, service.facts().owner);
    }
    try {
      if (one.port) examine_rules(options.root, *one.port, ports, one.others);
      if (one.device.empty()) {
        one.chips_without_port = chips_without_port(ports);
        one.others.brltty_is_there = is_running("brltty") || has_brltty_rules(options.root);
        one.others.left_over = left_over_claims(options.root, ports);
      }
    } catch (const std::runtime_error& error) {  // a rule file that cannot be read
      fmt::print(stderr, "smartmeterctl: {}\n", safe(error.what()));
    }
    std::vector<Step> steps = judge(one);
    report.adapters.push_back({std::move(one), std::move(steps)});
  }
  if (options.adapter.empty()) {
    std::vector<std::string> examined;
    for (const Examined& one : report.adapters) examined.push_back(one.findings.device);
    report.unclaimed = unclaimed_ports(ports, examined);
  }
  report.ports = ports;
  return report;
}

/// A mark that is told apart without colours, too.
std::string mark(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return toned("ok", Tone::good);
    case Verdict::warning:
      return toned("! ", Tone::warn);
    case Verdict::failed:
      return toned("!!", Tone::bad);
    case Verdict::unknown:
      return toned("??", Tone::warn);
    case Verdict::skipped:
      break;
  }
  return "--";
}

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "ok";
    case Verdict::warning:
      return "warning";
    case Verdict::failed:
      return "failed";
    case Verdict::unknown:
      return "unknown";
    case Verdict::skipped:
      break;
  }
  return "skipped";
}

/// A sentence after its label, which takes so many columns.
void print_sentence(const std::string& label, unsigned width, const std::string& sentence,
                    Tone tone = Tone::plain) {
  fmt::print("{}", label);
  for (const std::string& line : wrapped(sentence, terminal_columns(), width))
    fmt::print("{}\n", toned(line, tone));
}

void print(const Examined& one) {
  constexpr unsigned step_width = 17, verdict_width = 9, advice_width = 12;
  const std::string& device = one.findings.device;
  fmt::print("{}\n", bold(device.empty() ? "no adapter" : device));
  for (const Step& step : one.steps) {
    print_sentence(fmt::format("{}  {:<12} ", mark(step.verdict), step.name), step_width,
                   step.evidence, step.verdict == Verdict::skipped ? Tone::dim : Tone::plain);
    if (!step.advice.empty() && step.verdict == Verdict::warning)
      print_sentence(std::string(step_width, ' '), step_width, step.advice);
  }
  const std::string label = bold("Verdict:") + " ";
  const Step* step = deciding(one.steps);
  if (step == nullptr) {
    const auto warnings = std::ranges::count(one.steps, Verdict::warning, &Step::verdict);
    print_sentence(
        label, verdict_width,
        fmt::format("all is well{}.", warnings == 0 ? "" : ", but look at what is marked \"!\""),
        warnings == 0 ? Tone::good : Tone::warn);
    return;
  }
  const bool is_unknown = step->verdict == Verdict::unknown;
  print_sentence(label, verdict_width,
                 fmt::format("{}{}.", is_unknown ? "not known: " : "", step->evidence),
                 is_unknown ? Tone::warn : Tone::bad);
  if (!step->advice.empty())
    print_sentence(bold("What to do:") + " ", advice_width, step->advice + ".");
}

void print_json(const Report& report, std::string_view verdict) {
  std::string text;
  meter::JsonWriter json(text);
  const auto text_or_null = [&json](const char* key, const std::string& value) {
    json.key(key);
    if (value.empty())
      json.null();
    else
      json.text(value);
  };
  const auto state = [](const Step* step) { return step == nullptr ? "fine" : step->state; };
  json.begin_object().key("verdict").text(verdict).key("adapters").begin_array();
  for (const Examined& one : report.adapters) {
    const Step* decides = deciding(one.steps);
    json.begin_object();
    text_or_null("adapter", one.findings.device);
    json.key("verdict").text(state(decides));
    text_or_null("step", decides == nullptr ? "" : decides->name);
    text_or_null("advice", decides == nullptr ? "" : decides->advice);
    json.key("steps").begin_array();
    for (const Step& step : one.steps) {
      json.begin_object().key("step").text(step.name).key("verdict").text(name(step.verdict));
      text_or_null("state", step.state);
      json.key("evidence").text(step.evidence);
      text_or_null("advice", step.advice);
      json.end_object();
    }
    json.end_array().end_object();
  }
  json.end_array().key("unclaimed").begin_array();
  for (const SerialPort& port : report.unclaimed) write_port(json, port, report.ports);
  json.end_array().end_object();
  fmt::print("{}\n", text);
}

int doctor(const DoctorOptions& options) {
  if (const std::string masked = mask_keys(options.adapter, {options.adapter});
      masked != options.adapter)
    throw UsageError("ADAPTER: " + masked);
  const Report report = examine(options);
  std::string verdict = "fine";
  for (const Examined& one : report.adapters)
    if (const Step* step = deciding(one.steps); step != nullptr && verdict == "fine")
      verdict = step->state;
  if (options.json) {
    print_json(report, verdict);
  } else {
    for (const Examined& one : report.adapters) {
      if (&one != &report.adapters.front()) fmt::print("\n");
      print(one);
    }
    for (const SerialPort& port : report.unclaimed)
      print_sentence("\n", 0,
                     fmt::format("Not examined, because nobody has claimed it: {} ({}). "
                                 "\"{}\" does.",
                                 port.node, port.description(), claim_command(port)));
  }
  return verdict == "fine" ? exit_good : exit_nothing;
}

}  // namespace

void add_doctor(CLI::App& app, Action& action) {
  auto options = std::make_shared<DoctorOptions>();
  CLI::App* command = app.add_subcommand("doctor", "finds out why there are no readings");
  command->footer(footer);
  options->add_to(*command, false);
  command->add_option("ADAPTER", options->adapter, "device, link or name; all without it");
  command->add_option("--wait", options->wait_s, "seconds to listen; default: a few telegrams")
      ->type_name("S")
      ->check(CLI::Range(0, 3600));
  command->add_option("--root", options->root)->group("");  // for tests: a scratch tree
  command->callback([options, &action] { action = [options] { return doctor(*options); }; });
}

}  // namespace smartmeterctl
