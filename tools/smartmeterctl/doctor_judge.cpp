// SPDX-License-Identifier: Apache-2.0
// smartmeterctl doctor: what follows from what was found out. Nothing is asked here.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "tools/smartmeterctl/doctor.hpp"
#include "tools/smartmeterctl/text.hpp"
#include "tools/smartmeterctl/unclaimed.hpp"

namespace smartmeterctl {
namespace {

using namespace std::chrono_literals;

/// The slowest usual push is every 15 s: after that long "nothing" means something.
constexpr auto long_enough = 15s;
/// A few intervals, but nobody waits for a meter that sends four times an hour.
constexpr auto watch_max = 60s;
constexpr auto watch_default = 30s;
/// Damaged telegrams among good ones that deserve a word: one in a hundred.
constexpr std::uint64_t damage_share = 100;
constexpr std::string_view journal = "journalctl --unit smartmeterd --lines 20";

/// How far the bytes come, by the problem that the service states.
enum class Reached : std::uint8_t {
  nothing,
  port,
  bytes,
  line,
  frames,
  checksum,
  key,
  tag,
  decode,
  everything
};

/// The last step that the telegrams pass.
constexpr std::array<std::pair<std::string_view, Reached>, 12> reached_with = {{
    {"port-busy", Reached::nothing},
    {"no-access", Reached::nothing},
    {"no-bytes", Reached::port},
    {"break", Reached::bytes},
    {"no-frame", Reached::line},
    {"bad-checksum", Reached::frames},
    {"key-missing", Reached::checksum},
    {"key-wrong", Reached::checksum},
    {"authentication-key-wrong", Reached::key},
    {"less-protected", Reached::key},
    {"replay", Reached::key},
    {"list-unknown", Reached::tag},
}};

std::uint64_t errors(const Value& adapter, std::initializer_list<const char*> reasons) {
  std::uint64_t sum = 0;
  for (const char* reason : reasons) sum += adapter["Errors"][reason].count();
  return sum;
}

double interval(const Value& meter) {
  const double* seconds = std::get_if<double>(&meter["Interval"].held);
  return seconds != nullptr ? *seconds : 0;
}

std::string plural(std::uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string id_of(const Value& meter) {
  const std::string name = meter["Name"].text();
  return name.empty() ? meter["Id"].text() : fmt::format("{} ({})", meter["Id"].text(), name);
}

/// Where a line is from: "found from the bytes".
std::string_view source_text(const std::string& source) {
  if (source == "configured") return ", as configured";
  if (source == "remembered") return ", as in an earlier run";
  if (source == "detected") return ", found from the bytes";
  if (source == "default") return ", the usual settings";
  return "";
}

/// Has the rules run once more.
std::string udev_again(const std::string& device) {
  return fmt::format(
      "\"sudo udevadm control --reload\" and \"sudo udevadm trigger --action=change "
      "{}\"",
      device);
}

/// The walk. A step that failed leaves what only later ones could show "not reached".
class Walk {
 public:
  explicit Walk(const Findings& found) : found_(found), adapter_(found.adapter) {}

  std::vector<Step> steps() {
    adapter();
    permissions();
    programs();
    service();
    reached_ = find_reached();
    bytes();
    line();
    frames();
    checksum();
    key();
    tag();
    decode();
    bus();
    broker();
    return std::move(steps_);
  }

 private:
  void say(Verdict verdict, std::string evidence, std::string advice = {}, std::string state = {}) {
    steps_.push_back(
        {std::move(name_), verdict, std::move(state), std::move(evidence), std::move(advice)});
  }
  void ok(std::string evidence, std::string advice = {}) {
    say(Verdict::ok, std::move(evidence), std::move(advice));
  }
  void fail(std::string state, std::string evidence, std::string advice) {
    say(Verdict::failed, std::move(evidence), std::move(advice), std::move(state));
  }
  void fail_by_problem() {
    const std::string problem = adapter_["Problem"].text();
    fail(problem, problem_text(problem), problem_advice(problem));
  }
  /// After a failure nobody could know; otherwise `evidence` says why it is not known.
  void unknown(std::string evidence, std::string advice = {}, std::string state = "not-known") {
    if (deciding(steps_) != nullptr)
      say(Verdict::skipped, "not reached");
    else
      say(Verdict::unknown, std::move(evidence), std::move(advice), std::move(state));
  }

  Reached find_reached() const {
    const std::string problem = adapter_["Problem"].text();
    for (const auto& [name, reached] : reached_with)
      if (name == problem) return reached;
    if (adapter_.map().empty()) return Reached::nothing;
    if (adapter_["TelegramsReceived"].count() > 0) return Reached::everything;
    if (errors(adapter_, {"crc", "length"}) > 0) return Reached::frames;
    return adapter_["BytesReceived"].count() > 0 ? Reached::bytes : Reached::port;
  }
  /// The telegrams pass beyond `step`, or everything is well.
  bool passes(Reached step) const { return reached_ >= step; }
  /// The command that gives the port to the service.
  std::string claim() const {
    SerialPort port = found_.port.value_or(SerialPort{});
    port.node = found_.device.empty() ? found_.other_ports.front() : found_.device;
    return fmt::format("\"{}\" (or another kind: mbus, ir, p1)", claim_command(port));
  }
  std::string give_to_service() const;
  bool is_claimed() const { return found_.port && found_.port->is_claimed(); }
  bool problem_is(std::string_view problem) const { return adapter_["Problem"].text() == problem; }
  /// Whole telegrams came once, whatever comes now.
  std::uint64_t telegrams() const { return adapter_["TelegramsReceived"].count(); }

  void adapter();
  void permissions();
  void programs();
  void service();
  void bytes();
  void line();
  void frames();
  void checksum();
  void key();
  void tag();
  void decode();
  void bus();
  void broker();

  const Findings& found_;
  const Value& adapter_;
  std::vector<Step> steps_;
  std::string name_;  // of the step that is being judged
  Reached reached_ = Reached::nothing;
};

void Walk::adapter() {
  name_ = "adapter";
  const std::string& device = found_.device;
  if (device.empty() && !found_.chips_without_port.empty())
    return fail(
        "no-port",
        fmt::format("{} is plugged in, but there is no serial port for it",
                    found_.chips_without_port.front()),
        found_.others.brltty_is_there
            ? "brltty takes such chips for Braille displays: \"sudo apt remove brltty\", "
              "then plug the adapter in again"
            : "\"sudo journalctl --dmesg --lines 20\" shows whether the kernel has a driver "
              "for it");
  if (device.empty() && !found_.other_ports.empty())
    return fail("no-adapter",
                fmt::format("no port is known as a meter adapter's; there is {}",
                            fmt::join(found_.other_ports, ", ")),
                "if a meter is behind one of them: " + claim());
  if (device.empty())
    return fail(
        "no-adapter",
        "no serial adapter is plugged in" +
            (found_.others.left_over.empty()
                 ? std::string()
                 : fmt::format("; one is claimed ({})", found_.others.left_over.front().place)),
        "plug the adapter in; \"sudo journalctl --dmesg --lines 20\" shows whether the kernel sees "
        "it. One behind a network is named in /etc/smartmeterd/smartmeterd.toml");
  if (found_.is_tcp()) return ok(device + ", as configured");
  const bool is_served = !adapter_.map().empty();
  if (!found_.node)
    return fail("adapter-missing", fmt::format("{} is not there", device),
                "plug the adapter in, or correct its name in /etc/smartmeterd/smartmeterd.toml; "
                "\"smartmeterctl list\" shows the adapters that are there");
  std::string text = device;
  const std::string kind = found_.port ? found_.port->kind() : "";
  if (found_.port) text += fmt::format(" ({})", found_.port->description());
  if (is_claimed()) {
    text += ", claimed as " + kind;
    if (const std::string name = found_.port->given_name(); !name.empty())
      text += fmt::format(" \"{}\"", name);
    return ok(std::move(text));
  }
  if (is_served) return ok(text + ", named in the configuration");
  if (kind == "none")
    return fail("unclaimed", text + " is marked as no meter's",
                "if a meter is behind it after all: " + claim());
  if (!kind.empty())
    return fail("not-taken",
                fmt::format("{} is claimed as {}, but udev has not taken it", text, kind),
                fmt::format("{}; 61-smartmeter.rules must be among its rules", udev_again(device)));
  if (!found_.bus.refusal.empty())
    return say(Verdict::skipped,
               text + ", claimed by nobody; smartmeterd may not be asked whether it reads it");
  fail("unclaimed", text + " is plugged in, and nobody has said that it is a meter's",
       "if a meter is behind it: " + claim());
}

/// How a port gets the group and mode that udev's rules give it.
std::string Walk::give_to_service() const {
  if (!is_claimed()) return claim() + " gives it to the service alone";
  if (!found_.others.naming.empty())
    return fmt::format("{} sets that, too: remove that line, then {}",
                       found_.others.naming.front().place, udev_again(found_.device));
  return udev_again(found_.device) +
         "; if that does not help, \"sudo systemctl restart systemd-udevd\" and plug the adapter "
         "in again";
}

void Walk::permissions() {
  name_ = "permissions";
  const Account& account = found_.account;
  if (found_.is_tcp()) return say(Verdict::skipped, "a network connection");
  if (!found_.node) return unknown("there is no device node");
  if (!account.is_there)
    return fail("no-account", fmt::format("there is no user {}", account.name),
                "\"sudo systemd-sysusers\" makes it where smartmeterd is installed; then "
                "\"sudo systemctl restart systemd-udevd\" and plug the adapter in again");
  const Node& node = *found_.node;
  const std::string who = fmt::format("{} {} {:04o}", found_.device,
                                      node.owner_name + ":" + node.group_name, node.mode & 0777);
  if (!may_use(node, account)) {
    // Nobody expects the service to get at what it was not given.
    if (deciding(steps_) != nullptr) return unknown("");
    return fail("no-access", fmt::format("{}: the user {} may not use it", who, account.name),
                give_to_service());
  }
  if (problem_is("no-access"))
    return fail(
        "no-access",
        fmt::format("{}: the user {} may use it, but the service is kept out", who, account.name),
        fmt::format("its sandbox does not name this kind of device: {} writes a drop-in, then "
                    "\"sudo systemctl restart smartmeterd\"",
                    claim()));
  if ((node.mode & S_IRWXO) != 0)
    return say(Verdict::warning, who + ": every user may read it, and telegrams are personal data",
               give_to_service(), "open-to-all");
  ok(fmt::format("{}: {} may use it", who, account.name));
}

/// How to end it.
std::string end_of(const PortUser& user) {
  return user.unit.empty() ? fmt::format("\"sudo kill {}\"", user.pid)
                           : fmt::format("\"sudo systemctl disable --now {}\"", user.unit);
}

void Walk::programs() {
  name_ = "programs";
  if (found_.is_tcp()) return say(Verdict::skipped, "a network connection");
  const Others& others = found_.others;
  if (!found_.node) return unknown("");
  std::string names;
  for (const PortUser& user : others.users)
    names += fmt::format("{}{} (process {})", names.empty() ? "" : ", ", user.command, user.pid);
  if (problem_is("port-busy") && names.empty())
    return fail("port-busy", "another program has opened the port",
                others.all_processes_seen
                    ? "plug the adapter in again; smartmeterd then opens the port by itself"
                    : "\"sudo smartmeterctl doctor\" names it: only root sees who has it open");
  if (problem_is("port-busy"))
    return fail(
        "port-busy", "the port is open in " + names,
        end_of(others.users.front()) + " ends it; smartmeterd then opens the port by itself");
  // Nothing of this need be a failure.
  std::vector<Step> concerns;
  const auto worry = [&concerns](std::string state, std::string evidence, std::string advice) {
    concerns.push_back(
        {"", Verdict::warning, std::move(state), std::move(evidence), std::move(advice)});
  };
  if (!names.empty())
    worry("shared", fmt::format("the port is open in {}, too: bytes may be lost to it", names),
          end_of(others.users.front()) + " ends it; smartmeterd serves any number of readers");
  const bool keeps_off = found_.port && (found_.port->property("ID_MM_PORT_IGNORE") == "1" ||
                                         found_.port->property("ID_MM_DEVICE_IGNORE") == "1");
  if (others.modem_manager_runs && found_.port && !keeps_off)
    worry("modem-manager", "ModemManager runs, and nothing keeps it off this port",
          claim() +
              " does, or \"sudo systemctl disable --now ModemManager\" where there is no modem");
  for (const RulePlace& rule : others.grabbing)
    worry(rule.program,
          fmt::format("{} takes adapters of this kind ({})", rule.program, rule.place),
          fmt::format("\"sudo apt remove {0}\", or \"sudo ln -sf /dev/null "
                      "/etc/udev/rules.d/{1}\" and \"sudo udevadm control --reload\"",
                      rule.program, rule.file_name()));
  for (const RulePlace& rule : others.naming)
    worry("other-rule",
          fmt::format("a rule of this machine's own is about this adapter, too ({})", rule.place),
          "remove that line; where a program needs the name that it gives, \"sudo smartmeterctl "
          "claim\" keeps it with --link");
  for (const RulePlace& rule : others.left_over)
    worry("left-over-rule",
          fmt::format("a claim fits no adapter that is plugged in ({})", rule.place),
          "if that adapter is gone for good: \"sudo smartmeterctl unclaim\" with the serial number "
          "or place in that line");
  if (concerns.empty())
    return ok(others.all_processes_seen ? "nobody else has it open"
                                        : "nobody else is seen to have it open (root sees more)");
  std::string evidence, advice;
  for (const Step& concern : concerns) {
    evidence += (evidence.empty() ? "" : "; ") + concern.evidence;
    advice += (advice.empty() ? "" : "; ") + concern.advice;
  }
  say(Verdict::warning, std::move(evidence), std::move(advice), concerns.front().state);
}

void Walk::service() {
  name_ = "service";
  const ServiceFacts& service = found_.service;
  const bool on_system = found_.bus.where == "system" || service.is_known;
  if (found_.bus.owner) {
    if (found_.bus.refusal.empty() && !found_.device.empty() && adapter_.map().empty() &&
        deciding(steps_) == nullptr)
      return fail(
          "not-served", "smartmeterd runs, but does not have this adapter",
          fmt::format("\"sudo udevadm trigger --action=add {}\", or \"sudo systemctl restart "
                      "smartmeterd\"",
                      found_.device));
    return ok(*found_.bus.owner == 0
                  ? "smartmeterd runs"
                  : fmt::format("smartmeterd runs (process {})", *found_.bus.owner));
  }
  if (!service.is_known && !found_.bus.error.empty()) return unknown("the bus cannot be asked");
  if (service.load == "not-found")
    return fail("not-installed", "there is no smartmeterd.service",
                "install smartmeterd, then \"sudo systemctl daemon-reload\"");
  if (service.load == "masked")
    return fail("not-running", "smartmeterd.service is masked",
                "\"sudo systemctl unmask smartmeterd\"");
  const std::string last = service.last_error.empty() ? "" : ": " + service.last_error;
  if (service.active == "failed" || (service.active == "activating" && !last.empty()))
    return fail("service-failed", "smartmeterd does not start" + last,
                fmt::format("correct that, then \"sudo systemctl restart smartmeterd\"; \"{}\" "
                            "says more",
                            journal));
  if (service.active == "active" || service.active == "reloading")
    return ok("smartmeterd.service is active");  // the bus is the step that fails
  if (service.active == "activating") return unknown("smartmeterd is starting");
  fail("not-running", "smartmeterd is not running",
       on_system ? "\"sudo systemctl start smartmeterd\""
                 : fmt::format("\"smartmeterd --bus {}\" starts it on this bus", found_.bus.where));
}

void Walk::bytes() {
  name_ = "bytes";
  const std::uint64_t count = adapter_["BytesReceived"].count();
  const std::string state = adapter_["State"].text();
  const std::string last = age_text(adapter_["LastActivity"].count());
  if (adapter_.map().empty()) return unknown("smartmeterd does not say");
  if (problem_is("no-access") || problem_is("port-busy")) return unknown("the port is not open");
  if (state == "waiting" && found_.is_tcp())
    return fail("no-connection", "the connection is not up",
                fmt::format("check host, port and the network; \"{}\" says why", journal));
  if (state == "waiting" || state == "failed") {
    if (deciding(steps_) != nullptr) return unknown("");
    return fail("not-open", "smartmeterd cannot open the port",
                fmt::format("\"{}\" says why; it goes on trying by itself", journal));
  }
  if (problem_is("no-bytes"))
    return fail("no-bytes",
                count == 0 ? "not one byte has arrived"
                           : fmt::format("the meter has fallen silent, its last byte was {}", last),
                problem_advice("no-bytes"));
  if (count > 0) return ok(fmt::format("{}, the last {}", plural(count, "byte"), last));
  const std::string nothing =
      fmt::format("nothing arrived in {} s of listening", found_.watched.count());
  if (found_.watched >= long_enough) return fail("no-bytes", nothing, problem_advice("no-bytes"));
  unknown(nothing, "some meters send once a minute: \"smartmeterctl doctor --wait 70\"",
          "no-bytes");
}

void Walk::line() {
  name_ = "line";
  const std::string settings = adapter_["LineSettings"].text();
  const std::string text = settings + std::string(source_text(adapter_["LineSource"].text()));
  if (problem_is("break")) return fail_by_problem();
  if (!passes(Reached::bytes)) return unknown("no bytes to tell by");
  if (settings.empty()) return say(Verdict::skipped, "not a serial line here");
  const std::uint64_t framing = errors(adapter_, {"framing"});
  const std::uint64_t parity = errors(adapter_, {"parity"});
  const std::uint64_t overrun = errors(adapter_, {"overrun", "overflow"});
  std::string counted;
  for (const auto& [count, what] :
       {std::pair{framing, "framing error"}, std::pair{parity, "parity error"},
        std::pair{overrun, "overrun"}})
    if (count > 0) counted += ", " + plural(count, what);
  if (!passes(Reached::frames)) {
    // Only a telegram proves a line: the step that follows says what is wrong.
    say(Verdict::skipped, text + ", not proven by a telegram" + counted);
    return;
  }
  const std::uint64_t before = errors(found_.before, {"framing", "parity", "overrun", "overflow"});
  if (framing + parity + overrun > std::max(before, telegrams() / damage_share) &&
      framing + parity + overrun > 1)
    return say(Verdict::warning, text + counted,
               overrun > framing + parity
                   ? "bytes were lost because this machine was too busy"
                   : "check the contact: how the optical head sits, the cable, the adapter",
               "line-errors");
  ok(text + counted);
}

void Walk::frames() {
  name_ = "frames";
  const std::string link = adapter_["Protocol"].text();
  if (problem_is("no-frame")) return fail_by_problem();
  if (passes(Reached::frames))
    return ok(link.empty() ? "whole frames are found" : fmt::format("whole frames of {}", link));
  if (!passes(Reached::bytes) || problem_is("break")) return unknown("no bytes to find one in");
  const std::uint64_t count = adapter_["BytesReceived"].count();
  const std::string evidence = fmt::format("no frame in {}", plural(count, "byte"));
  const std::string source = adapter_["LineSource"].text();
  if (source == "default" || source == "remembered")
    return unknown(evidence + " so far: smartmeterd is trying other line settings",
                   fmt::format("\"sudo smartmeterctl probe {}\" shows how it goes", found_.device),
                   "no-frame");
  if (found_.watched >= long_enough)
    return fail("no-frame", evidence + fmt::format(" and {} s", found_.watched.count()),
                problem_advice("no-frame"));
  unknown(evidence + " so far", "listen longer: \"smartmeterctl doctor --wait 70\"", "no-frame");
}

void Walk::checksum() {
  name_ = "checksum";
  const std::uint64_t damaged = errors(adapter_, {"crc", "length"});
  const std::string counted =
      telegrams() > 0 ? fmt::format("{} good, {} damaged", plural(telegrams(), "telegram"), damaged)
                      : fmt::format("{} damaged, none good", plural(damaged, "telegram"));
  if (problem_is("bad-checksum"))
    return fail("bad-checksum", fmt::format("{}: {}", problem_text("bad-checksum"), counted),
                problem_advice("bad-checksum"));
  if (!passes(Reached::frames)) return unknown("no frame to check");
  if (!passes(Reached::checksum))  // the first one after opening is half a telegram anyway
    return unknown(counted, "listen longer: \"smartmeterctl doctor --wait 70\"", "bad-checksum");
  if (telegrams() == 0) return ok("whole telegrams with a good checksum");
  if (damaged > 1 && damaged > telegrams() / damage_share)
    return say(Verdict::warning, counted,
               "some are lost: check the contact, the cable and the adapter", "some-damaged");
  ok(counted);
}

void Walk::key() {
  name_ = "key";
  if (problem_is("key-missing") && !found_.refused_key_file.empty())
    return fail("key-missing", "encrypted, and a key file is not used: " + found_.refused_key_file,
                "correct that, then \"sudo systemctl reload smartmeterd\"");
  if (problem_is("key-missing") || problem_is("key-wrong")) return fail_by_problem();
  if (!passes(Reached::checksum)) return unknown("no telegram to try a key on");
  for (const Value& meter : found_.meters)
    for (const char* state : {"missing", "wrong"})
      if (meter["KeyState"].text() == state)
        return fail(
            fmt::format("key-{}", state),
            fmt::format("meter {}: {}", id_of(meter), problem_text(fmt::format("key-{}", state))),
            problem_advice(fmt::format("key-{}", state)));
  const auto encrypted = [](const Value& meter) { return meter["Encrypted"].boolean(); };
  if (std::ranges::any_of(found_.meters, encrypted) ||
      (passes(Reached::key) && !passes(Reached::tag)))
    return ok("encrypted, and the key fits");
  if (found_.meters.empty() && !passes(Reached::everything))
    return say(Verdict::skipped, "what arrives is not encrypted, or was opened");
  ok("not encrypted: no key is needed");
}

void Walk::tag() {
  name_ = "tag";
  for (const char* problem : {"authentication-key-wrong", "less-protected", "replay"})
    if (problem_is(problem)) return fail_by_problem();
  if (!passes(Reached::key)) return unknown("nothing was opened");
  for (const Value& meter : found_.meters)
    if (meter["KeyState"].text() == "authentication-key-wrong")
      return fail(
          "authentication-key-wrong",
          fmt::format("meter {}: {}", id_of(meter), problem_text("authentication-key-wrong")),
          problem_advice("authentication-key-wrong"));
  const auto is = [&](std::string_view value) {
    return std::ranges::any_of(found_.meters, [value](const Value& meter) {
      return meter["Authenticated"].text() == value;
    });
  };
  if (is("no"))
    return ok("not verified: the telegrams carry none, or there is no authentication key",
              "where the operator gave one too (GAK, AK, GPK61), add it with the key: "
              "\"sudo smartmeterctl key add house\"");
  if (is("yes")) return ok("every telegram is verified");
  say(Verdict::skipped, found_.meters.empty() ? "nothing says that there is one" : "not encrypted");
}

void Walk::decode() {
  name_ = "decode";
  if (problem_is("list-unknown")) return fail_by_problem();
  if (!passes(Reached::everything) || found_.meters.empty())
    return unknown("no telegram was read yet");
  const Value& meter = found_.meters.front();
  const Value& readings = meter["Readings"];
  std::string text = fmt::format("meter {}", id_of(meter));
  if (found_.meters.size() > 1) text += fmt::format(" and {} more", found_.meters.size() - 1);
  const auto names = ordered_names(readings);
  text += ": " + plural(names.size(), "reading");
  for (const char* name : {"power_net", "power_import", "energy_import", "volume"})
    if (readings.map().contains(name)) {
      text += fmt::format(", {} {}", name, value_text(name, readings[name]));
      break;
    }
  text += ", the last telegram " + age_text(meter["LastUpdate"].count());
  if (const double seconds = interval(meter); seconds > 0)
    text += fmt::format(", one every {:.0f} s", std::max(1.0, seconds));
  if (names.empty())
    return say(Verdict::warning, text,
               "no code has a name: give it one in the [quantities] table of "
               "/etc/smartmeterd/smartmeterd.toml, \"smartmeterctl show\" lists the codes",
               "no-reading");
  ok(text);
}

void Walk::bus() {
  name_ = "bus";
  const BusFacts& bus = found_.bus;
  if (!bus.error.empty())
    return fail("no-bus", bus.error,
                bus.where == "system" ? "\"sudo systemctl start dbus\"" : "check the address");
  if (!bus.owner) {
    if (found_.service.active != "active") return unknown("nobody owns org.smartmeterd1");
    return fail("no-name", "smartmeterd runs, but does not own the name org.smartmeterd1",
                "its policy file is not in force: \"sudo systemctl reload dbus\", then \"sudo "
                "systemctl restart smartmeterd\"");
  }
  if (!bus.refusal.empty())
    return fail("refused", bus.refusal,
                "run it as root or as a member of the group smartmeterd; a policy in "
                "/etc/dbus-1/system.d may close it to others");
  ok("org.smartmeterd1 answers");
}

void Walk::broker() {
  name_ = "broker";
  if (!found_.bus.owner || !found_.bus.refusal.empty()) return unknown("smartmeterd does not say");
  if (found_.publishers.empty())
    return ok("none is configured: the readings are on D-Bus alone",
              "one is set in a [broker.NAME] table of /etc/smartmeterd/smartmeterd.toml");
  std::string online;
  const auto troubled = std::ranges::find_if(found_.publishers, [](const Value& publisher) {
    return publisher["State"].text() != "online";
  });
  if (troubled == found_.publishers.end()) {
    for (const Value& publisher : found_.publishers)
      online += (online.empty() ? "" : ", ") + publisher["Broker"].text();
    return ok(online + ", online");
  }
  const std::string broker = (*troubled)["Broker"].text();
  const std::string error = (*troubled)["LastError"].text();
  const std::string state = (*troubled)["State"].text();
  if (state == "connecting" && error.empty())
    return unknown(fmt::format("{} is being connected", broker), "ask again in a moment",
                   "broker-connecting");
  const std::string evidence =
      fmt::format("{}: {}", broker, error.empty() ? "not connected" : error);
  const std::string port = broker.substr(broker.rfind(':') + 1);
  if (error.starts_with("not authorized"))
    return fail("broker-unauthorised", evidence,
                "correct user and password_file in the [broker.NAME] table, then \"sudo systemctl "
                "reload smartmeterd\"");
  if (error.ends_with("onnection refused"))
    return fail("broker-refused", evidence,
                fmt::format("nobody listens there: start the broker, or have it listen on port {}, "
                            "and check the url in the [broker.NAME] table",
                            port));
  if (error.find("client id") != error.npos)
    return fail("broker-taken-over", evidence,
                "give this gateway a client_id of its own in the [broker.NAME] table");
  fail("broker-unreachable", evidence,
       "check the url in the [broker.NAME] table, the network, and the certificates where the url "
       "says mqtts");
}

}  // namespace

bool may_use(const Node& node, const Account& account) {
  constexpr mode_t read_write = 06;
  if (account.user == 0) return true;
  if (account.user == node.owner) return (node.mode >> 6 & read_write) == read_write;
  const auto is_member = [&](std::uint32_t group) {
    return std::ranges::find(account.groups, group) != account.groups.end();
  };
  // acl(5): a named user's entry decides; of the groups, any one that grants it.
  for (const Node::Grant& grant : node.grants)
    if (!grant.is_group && grant.id == account.user) return grant.may_use;
  bool in_group = is_member(node.group);
  // With a list, the mode's bits for the group are the list's mask.
  bool granted = in_group && node.grants.empty() && (node.mode >> 3 & read_write) == read_write;
  for (const Node::Grant& grant : node.grants)
    if (grant.is_group && is_member(grant.id)) {
      in_group = true;
      granted = granted || grant.may_use;
    }
  return in_group ? granted : (node.mode & read_write) == read_write;
}

std::vector<Step> judge(const Findings& findings) {
  return Walk(findings).steps();
}

const Step* deciding(const std::vector<Step>& steps) {
  for (const Verdict verdict : {Verdict::failed, Verdict::unknown}) {
    const auto found = std::ranges::find(steps, verdict, &Step::verdict);
    if (found != steps.end()) return &*found;
  }
  return nullptr;
}

bool is_conclusive(const Value& adapter, const std::vector<Value>& meters) {
  const std::string state = adapter["State"].text();
  if (adapter["Problem"].text() != "none" || state == "waiting" || state == "failed") return true;
  if (state != "synced" || adapter["TelegramsReceived"].count() == 0) return false;
  return !meters.empty();
}

std::chrono::seconds watch_limit(const std::vector<Value>& meters) {
  double longest = 0;
  for (const Value& meter : meters) longest = std::max(longest, interval(meter));
  if (longest <= 0) return watch_default;
  return std::min(std::chrono::seconds(static_cast<std::int64_t>(3 * longest) + 2),
                  std::chrono::seconds(watch_max));
}

}  // namespace smartmeterctl
