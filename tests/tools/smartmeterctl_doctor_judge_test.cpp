// SPDX-License-Identifier: Apache-2.0
// What follows from findings: every combination has a walk that makes sense, and each single one
// its verdict.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <utility>

#include "tools/smartmeterctl/doctor.hpp"

namespace smartmeterctl {
namespace {

using namespace std::chrono_literals;

const std::vector<std::string> names = {"adapter", "permissions", "programs", "service", "bytes",
                                        "line",    "frames",      "checksum", "key",     "tag",
                                        "decode",  "bus",         "broker"};
constexpr const char* device = "/dev/ttyUSB0";

/// The words of the property Problem and the step where each one fails: a copy, which
/// tests/files/tree_test.py holds against org.smartmeterd1.xml.
constexpr std::array<std::pair<const char*, const char*>, 13> problems = {{
    {"none", ""},
    {"port-busy", "programs"},
    {"no-access", "permissions"},
    {"no-bytes", "bytes"},
    {"break", "line"},
    {"no-frame", "frames"},
    {"bad-checksum", "checksum"},
    {"key-missing", "key"},
    {"key-wrong", "key"},
    {"authentication-key-wrong", "tag"},
    {"less-protected", "tag"},
    {"replay", "tag"},
    {"list-unknown", "decode"},
}};

Value text(const char* word) {
  return {std::string(word)};
}
Value number(std::uint64_t count) {
  return {count};
}

/// Adds to a map, or replaces.
void set(Value& value, const std::string& key, Value member) {
  if (value.map().empty()) value = {Value::Map{}};
  std::get<Value::Map>(value.held).insert_or_assign(key, std::move(member));
}

/// A claimed adapter on which all is well: encrypted, its tag verified, one broker online.
Findings fine() {
  Findings found{.device = device};
  found.port = SerialPort{.node = device, .vendor_id = "0403", .product_id = "6001"};
  found.port->properties = {{"CURRENT_TAGS", ":smartmeter:systemd:"},
                            {"SMARTMETER_KIND", "mbus"},
                            {"ID_MM_PORT_IGNORE", "1"}};
  found.node = Node{
      .owner = 0, .group = 990, .mode = 0660, .owner_name = "root", .group_name = "smartmeterd"};
  found.account = {.name = "smartmeterd", .user = 980, .groups = {990}};
  found.others.all_processes_seen = true;
  found.service = {.is_known = true, .load = "loaded", .active = "active"};
  found.bus.owner = 4711;
  found.path = "/org/smartmeterd1/adapter/x";
  for (const auto& [key, value] : {std::pair{"Device", device},
                                   {"State", "synced"},
                                   {"Problem", "none"},
                                   {"LineSettings", "2400-8E1"},
                                   {"Protocol", "mbus"}})
    set(found.adapter, key, text(value));
  set(found.adapter, "BytesReceived", number(3760));
  set(found.adapter, "TelegramsReceived", number(10));
  set(found.adapter, "Errors", {Value::Map{}});
  Value meter;
  for (const auto& [key, value] : {std::pair{"Id", "1KFM0200169986"},
                                   {"KeyState", "ok"},
                                   {"Authenticated", "yes"},
                                   {"Parent", "/"}})
    set(meter, key, text(value));
  set(meter, "Encrypted", {true});
  set(meter, "Interval", {5.0});
  set(meter, "Readings", {Value::Map{{"power_net", {545.0}}}});
  found.meters = {meter};
  Value publisher;
  for (const auto& [key, value] :
       {std::pair{"State", "online"}, {"Broker", "10.0.0.1:1883"}, {"LastError", ""}})
    set(publisher, key, text(value));
  found.publishers = {publisher};
  found.before = found.adapter;
  return found;
}

/// "key-missing at key", or "fine".
std::string verdict(const Findings& found) {
  const auto steps = judge(found);
  const Step* step = deciding(steps);
  return step == nullptr ? "fine" : step->state + " at " + step->name;
}

Step step_of(const Findings& found, const std::string& name) {
  const auto steps = judge(found);
  return *std::ranges::find(steps, name, &Step::name);
}

/// What does not hold and must for every walk; empty: nothing.
std::string nonsense(const Findings& found) {
  const auto steps = judge(found);
  if (!std::ranges::equal(steps, names, {}, &Step::name)) return "other steps";
  bool stopped = false;
  for (const Step& step : steps) {
    const bool wrong = step.verdict == Verdict::failed || step.verdict == Verdict::unknown;
    const bool warns = step.verdict == Verdict::warning;
    if (step.evidence.empty()) return step.name + " without evidence";
    if (step.state.empty() == (wrong || warns)) return step.name + " in state " + step.state;
    if (step.advice.empty() && (warns || step.verdict == Verdict::failed))
      return step.name + " without advice";
    // After what decides, what nobody can know is "not reached".
    if (stopped && step.verdict == Verdict::unknown) return step.name + " unknown, too";
    stopped = stopped || wrong;
  }
  return stopped == (deciding(steps) != nullptr) ? "" : "no decision";
}

TEST(Doctor, AllIsWell) {
  const auto steps = judge(fine());
  for (const Step& step : steps) EXPECT_EQ(step.verdict, Verdict::ok) << step.name;
  EXPECT_EQ(verdict(fine()), "fine");
}

TEST(Doctor, EachProblemHasItsStep) {
  for (const auto& [problem, where] : problems)
    for (const std::uint64_t telegrams : {0u, 10u}) {
      SCOPED_TRACE(problem);
      Findings found = fine();
      set(found.adapter, "Problem", text(problem));
      set(found.adapter, "State", text(*where == '\0' ? "synced" : "probing"));
      set(found.adapter, "TelegramsReceived", number(*where == '\0' ? 10 : telegrams));
      if (telegrams == 0 && *where != '\0') found.meters.clear();
      EXPECT_EQ(nonsense(found), "");
      EXPECT_EQ(verdict(found), *where == '\0' ? "fine" : std::string(problem) + " at " + where);
      const auto steps = judge(found);
      for (const Step& step : steps) {
        if (step.name == where) break;
        EXPECT_NE(step.verdict, Verdict::failed) << step.name;
        EXPECT_NE(step.verdict, Verdict::unknown) << step.name;
      }
    }
}

TEST(Doctor, ASourceHasMessagesInsteadOfAPort) {
  Findings found = fine();
  found.device = "mqtt://broker:1883/tele/+/SENSOR";
  found.port.reset();
  found.node.reset();
  set(found.adapter, "Device", text("mqtt://broker:1883/tele/+/SENSOR"));
  set(found.adapter, "Kind", text("mqtt"));
  set(found.adapter, "LineSettings", text(""));
  found.before = found.adapter;
  EXPECT_EQ(verdict(found), "fine");
  EXPECT_EQ(step_of(found, "permissions").verdict, Verdict::skipped);
  EXPECT_EQ(step_of(found, "line").verdict, Verdict::skipped);
  set(found.adapter, "Problem", text("no-access"));
  set(found.adapter, "State", text("failed"));
  EXPECT_EQ(verdict(found), "no-access at bytes");
  EXPECT_NE(step_of(found, "bytes").advice.find("topic"), std::string::npos);
  set(found.adapter, "Problem", text("none"));
  set(found.adapter, "State", text("waiting"));
  EXPECT_EQ(verdict(found), "no-connection at bytes");
  set(found.adapter, "Problem", text("no-bytes"));
  set(found.adapter, "State", text("silent"));
  EXPECT_EQ(verdict(found), "no-bytes at bytes");
}

TEST(Doctor, AProblemOfANewerServiceIsNotWell) {
  for (const std::uint64_t telegrams : {0u, 10u})
    for (const char* state : {"synced", "probing", "silent"}) {
      Findings found = fine();
      set(found.adapter, "Problem", text("over-voltage"));
      set(found.adapter, "State", text(state));
      set(found.adapter, "TelegramsReceived", number(telegrams));
      EXPECT_EQ(verdict(found), "over-voltage at decode");
      EXPECT_NE(step_of(found, "decode").advice.find("journalctl"), std::string::npos);
      EXPECT_EQ(nonsense(found), "");
      EXPECT_EQ(step_of(found, "frames").verdict, telegrams == 0 ? Verdict::unknown : Verdict::ok);
    }
}

TEST(Doctor, EveryCombinationMakesSense) {
  const std::array<void (*)(Findings&), 8> changes = {
      [](Findings& found) { found.adapter = found.before = {}; },
      [](Findings& found) { found.meters.clear(); },
      [](Findings& found) { set(found.adapter, "TelegramsReceived", number(0)); },
      [](Findings& found) { set(found.adapter, "BytesReceived", number(0)); },
      [](Findings& found) { found.watched = 30s; },
      [](Findings& found) { found.node.reset(); },
      [](Findings& found) { found.account.groups = {1}; },
      [](Findings& found) {
        found.bus.owner.reset();
        found.service = {};
      }};
  std::vector<std::string> words = {"a new one"};
  for (const auto& [problem, step] : problems) words.emplace_back(problem);
  for (const std::string& problem : words)
    for (const char* state : {"waiting", "probing", "synced", "silent", "failed"})
      for (unsigned chosen = 0; chosen < 1u << changes.size(); ++chosen) {
        Findings found = fine();
        set(found.adapter, "Problem", {problem});
        set(found.adapter, "State", text(state));
        for (std::size_t i = 0; i < changes.size(); ++i)
          if ((chosen >> i & 1) != 0) changes[i](found);
        ASSERT_EQ(nonsense(found), "") << problem << ' ' << state << ' ' << chosen;
      }
}

TEST(Doctor, TheServiceInEachOfItsStates) {
  const auto with = [](const char* load, const char* active, const char* error = "") {
    Findings found = fine();
    found.adapter = {};
    found.meters.clear();
    found.publishers.clear();
    found.bus.owner.reset();
    found.service = {true, load, active, error};
    return found;
  };
  EXPECT_EQ(verdict(with("not-found", "inactive")), "not-installed at service");
  EXPECT_EQ(verdict(with("masked", "inactive")), "not-running at service");
  EXPECT_EQ(verdict(with("loaded", "inactive")), "not-running at service");
  EXPECT_EQ(verdict(with("loaded", "failed")), "service-failed at service");
  EXPECT_EQ(verdict(with("loaded", "activating")), "not-known at service");
  EXPECT_EQ(verdict(with("loaded", "active")), "no-name at bus");
  const Findings failed = with("loaded", "activating", "smartmeterd.toml:3:1: unknown key");
  EXPECT_EQ(verdict(failed), "service-failed at service");
  EXPECT_NE(step_of(failed, "service").evidence.find("smartmeterd.toml:3:1"), std::string::npos);
  for (const Findings& found : {with("masked", "inactive"), failed, with("loaded", "active")})
    EXPECT_EQ(nonsense(found), "");
  EXPECT_EQ(step_of(with("loaded", "inactive"), "service").advice,
            "\"sudo systemctl start smartmeterd\"");
}

TEST(Doctor, TheBusInEachOfItsStates) {
  Findings found = fine();
  found.bus.refusal = "the bus does not allow it";
  found.adapter = {};
  found.meters.clear();
  found.publishers.clear();
  EXPECT_EQ(verdict(found), "refused at bus");
  found.bus = {.error = "cannot reach the system bus: No such file or directory"};
  found.service = {};
  EXPECT_EQ(verdict(found), "no-bus at bus");
}

TEST(Doctor, AnAdapterThatTheServiceDoesNotHave) {
  Findings found = fine();
  found.adapter = {};
  found.meters.clear();
  EXPECT_EQ(verdict(found), "not-served at service");
}

TEST(Doctor, ASandboxThatKeepsTheServiceOut) {
  Findings found = fine();
  set(found.adapter, "Problem", text("no-access"));
  const Step step = step_of(found, "permissions");
  EXPECT_EQ(step.state, "no-access");
  EXPECT_NE(step.advice.find("sandbox"), std::string::npos);
}

TEST(Doctor, WhoHoldsThePortIsEndedByItsUnitOrNumber) {
  Findings found = fine();
  set(found.adapter, "Problem", text("port-busy"));
  found.others.users = {{{1234, "vzlogger"}, "vzlogger.service"}};
  EXPECT_NE(step_of(found, "programs").advice.find("systemctl disable --now vzlogger.service"),
            std::string::npos);
  found.others.users = {{{1234, "minicom"}, ""}};
  EXPECT_NE(step_of(found, "programs").advice.find("sudo kill 1234"), std::string::npos);
  found.others.users.clear();
  found.others.all_processes_seen = false;
  EXPECT_NE(step_of(found, "programs").advice.find("sudo smartmeterctl doctor"), std::string::npos);
}

TEST(Doctor, BytesThatDoNotComeAreJudgedByTheTimeOfListening) {
  Findings found = fine();
  found.meters.clear();
  set(found.adapter, "State", text("probing"));
  set(found.adapter, "TelegramsReceived", number(0));
  set(found.adapter, "BytesReceived", number(0));
  found.watched = 5s;
  EXPECT_EQ(step_of(found, "bytes").verdict, Verdict::unknown);
  found.watched = 30s;
  EXPECT_EQ(step_of(found, "bytes").verdict, Verdict::failed);
  EXPECT_EQ(verdict(found), "no-bytes at bytes");
  set(found.adapter, "BytesReceived", number(900));
  EXPECT_EQ(verdict(found), "no-frame at frames");
  found.watched = 5s;
  EXPECT_EQ(step_of(found, "frames").verdict, Verdict::unknown);
  set(found.adapter, "Errors", {Value::Map{{"crc", number(1)}}});  // half of the first one
  EXPECT_EQ(verdict(found), "bad-checksum at checksum");
  EXPECT_EQ(step_of(found, "checksum").verdict, Verdict::unknown);
}

TEST(Doctor, WhileTheLineIsSoughtNoiseIsNoFrame) {
  Findings found = fine();
  found.meters.clear();
  found.watched = 30s;
  set(found.adapter, "State", text("probing"));
  set(found.adapter, "TelegramsReceived", number(0));
  set(found.adapter, "Errors", {Value::Map{{"crc", number(3)}}});
  for (const char* source : {"default", "remembered"}) {
    set(found.adapter, "LineSource", text(source));
    EXPECT_EQ(step_of(found, "frames").verdict, Verdict::unknown);
    EXPECT_NE(step_of(found, "frames").advice.find("smartmeterctl probe /dev/ttyUSB0"),
              std::string::npos);
  }
  set(found.adapter, "LineSource", text("configured"));
  EXPECT_EQ(step_of(found, "frames").verdict, Verdict::ok);
}

TEST(Doctor, DamageAmongGoodTelegramsIsAWarning) {
  Findings found = fine();
  set(found.adapter, "TelegramsReceived", number(1000));
  set(found.adapter, "Errors", {Value::Map{{"crc", number(9)}}});
  EXPECT_EQ(step_of(found, "checksum").verdict, Verdict::ok);
  set(found.adapter, "Errors", {Value::Map{{"crc", number(30)}, {"parity", number(90)}}});
  EXPECT_EQ(step_of(found, "checksum").verdict, Verdict::warning);
  EXPECT_EQ(step_of(found, "line").verdict, Verdict::warning);
  EXPECT_EQ(verdict(found), "fine");
}

TEST(Doctor, AMeterThatFellSilentIsNotWell) {
  const auto ago = [](std::chrono::seconds age) {
    const auto time = std::chrono::system_clock::now() - age;
    return number(static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count()));
  };
  Findings found = fine();
  set(found.meters.front(), "Interval", {1.0});
  set(found.meters.front(), "LastUpdate", ago(0s));
  EXPECT_EQ(verdict(found), "fine");
  EXPECT_TRUE(is_conclusive(found.adapter, found.meters));
  set(found.meters.front(), "LastUpdate", ago(3600s));
  EXPECT_FALSE(is_conclusive(found.adapter, found.meters));  // the next one may be under way
  EXPECT_EQ(verdict(found), "no-telegram at decode");
  EXPECT_NE(step_of(found, "decode").evidence.find("one every 1 s; 0 bytes"), std::string::npos);
  set(found.adapter, "BytesReceived", number(3766));  // 6 more than at the start
  EXPECT_NE(step_of(found, "decode").evidence.find("; 6 bytes"), std::string::npos);
  EXPECT_NE(step_of(found, "decode").advice.find("smartmeterctl probe"), std::string::npos);
  // One that sends seldom, or another one that goes on.
  found.meters.push_back(fine().meters.front());
  set(found.meters.back(), "LastUpdate", ago(0s));
  EXPECT_EQ(verdict(found), "fine");
  found.meters.pop_back();
  set(found.meters.front(), "Interval", {3600.0});
  EXPECT_EQ(verdict(found), "fine");
}

TEST(Doctor, OneOfSeveralMetersWithoutItsKey) {
  Findings found = fine();
  found.meters.push_back(found.meters.front());
  set(found.meters.back(), "Id", text("other"));
  set(found.meters.back(), "KeyState", text("missing"));
  EXPECT_EQ(verdict(found), "key-missing at key");
  EXPECT_NE(step_of(found, "key").evidence.find("other"), std::string::npos);
}

TEST(Doctor, TheBrokerInEachOfItsStates) {
  for (const auto& [state, error, expected] :
       {std::tuple{"waiting", "not authorized", "broker-unauthorised at broker"},
        {"waiting", "connection refused", "broker-refused at broker"},
        {"waiting", "Connection refused", "broker-refused at broker"},
        {"waiting", "another client uses the client id smartmeterd-x",
         "broker-taken-over at broker"},
        {"waiting", "No route to host", "broker-unreachable at broker"},
        {"waiting", "certificate has expired", "broker-unreachable at broker"},
        {"online", "not allowed to publish smartmeter/gateway/x/status: Not authorized",
         "broker-forbids at broker"},
        {"online", "not allowed to subscribe to raw/#: Not authorized",
         "broker-forbids at broker"},
        {"connecting", "No route to host", "broker-unreachable at broker"},
        {"connecting", "", "broker-connecting at broker"},
        {"online", "", "fine"}}) {
    Findings found = fine();
    set(found.publishers.front(), "State", text(state));
    set(found.publishers.front(), "LastError", text(error));
    EXPECT_EQ(verdict(found), expected);
    EXPECT_EQ(nonsense(found), "");
  }
  Findings none = fine();
  none.publishers.clear();
  EXPECT_EQ(verdict(none), "fine");
}

// acl(5), "access check algorithm".
TEST(Doctor, WhoMayUseANode) {
  const Account account{.name = "smartmeterd", .user = 980, .groups = {990, 20}};
  const auto may = [&](std::uint32_t owner, std::uint32_t group, mode_t mode,
                       std::vector<Node::Grant> grants = {}) {
    return may_use({owner, group, mode, "", "", std::move(grants)}, account);
  };
  EXPECT_TRUE(may(0, 990, 0660));
  EXPECT_TRUE(may(0, 20, 0660));
  EXPECT_TRUE(may(980, 0, 0600));
  EXPECT_TRUE(may(0, 0, 0666));
  EXPECT_FALSE(may(0, 0, 0660));
  EXPECT_FALSE(may(0, 990, 0640)) << "reading alone is not enough";
  EXPECT_FALSE(may(0, 990, 0606)) << "the group's bits count for its members";
  EXPECT_FALSE(may(980, 990, 0060)) << "the owner's bits count for the owner";
  EXPECT_TRUE(may(0, 0, 0660, {{false, 980, true}}));
  EXPECT_FALSE(may(0, 990, 0660, {{false, 980, false}})) << "a named user's entry decides";
  EXPECT_TRUE(may(0, 0, 0660, {{true, 20, true}}));
  EXPECT_TRUE(may(0, 990, 0660, {{true, 990, true}, {true, 20, false}}))
      << "any group that grants it is enough";
  EXPECT_FALSE(may(0, 0, 0666, {{true, 20, false}})) << "a member of a group is not another";
  EXPECT_TRUE(may_use({0, 0, 0, "", "", {}}, {.name = "root", .user = 0, .groups = {}}));
}

TEST(Doctor, ListensForAFewOfTheMetersIntervals) {
  const auto every = [](double seconds) {
    Value meter;
    set(meter, "Interval", {seconds});
    return std::vector<Value>{meter};
  };
  EXPECT_EQ(watch_limit({}), 30s);
  EXPECT_EQ(watch_limit(every(0)), 30s);
  EXPECT_EQ(watch_limit(every(5)), 17s);
  EXPECT_EQ(watch_limit(every(900)), 60s);
  const Findings found = fine();
  EXPECT_TRUE(is_conclusive(found.adapter, found.meters));
  EXPECT_FALSE(is_conclusive(found.adapter, {}));
  Value probing = found.adapter;
  set(probing, "State", text("probing"));
  EXPECT_FALSE(is_conclusive(probing, found.meters));
  set(probing, "Problem", text("key-missing"));
  EXPECT_TRUE(is_conclusive(probing, {}));
}

}  // namespace
}  // namespace smartmeterctl
