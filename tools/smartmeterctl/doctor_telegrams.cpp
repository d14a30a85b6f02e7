// SPDX-License-Identifier: Apache-2.0
// smartmeterctl doctor: the steps about what the meter sends, from bytes to readings.
#include <fmt/format.h>

#include <algorithm>

#include "tools/smartmeterctl/doctor_walk.hpp"
#include "tools/smartmeterctl/text.hpp"

namespace smartmeterctl {
namespace {

using namespace std::chrono_literals;

/// The slowest usual push is every 15 s: after that long "nothing" means something.
constexpr auto long_enough = 15s;
/// Damaged telegrams among good ones that deserve a word: one in a hundred.
constexpr std::uint64_t damage_share = 100;

std::string id_of(const Value& meter) {
  const std::string name = meter["Name"].text();
  return name.empty() ? meter["Id"].text() : fmt::format("{} ({})", meter["Id"].text(), name);
}

/// Where a line is from: "found from the bytes".
std::string_view source_text(const std::string& source) {
  if (source == "configured") return ", as configured";
  if (source == "remembered") return ", as in an earlier run";
  if (source == "detected") return ", found from the bytes";
  return "";
}

}  // namespace

void Walk::bytes() {
  const std::uint64_t count = adapter_["BytesReceived"].count();
  const std::string state = adapter_["State"].text();
  const std::string last = age_text(adapter_["LastActivity"].count());
  if (adapter_.map().empty()) return unknown("smartmeterd does not say");
  if (found_.is_source()) return messages();
  if (problem_is("no-access") || problem_is("port-busy")) return unknown("the port is not open");
  if (state == "waiting" && found_.is_network())
    return fail("no-connection", "the connection is not up",
                fmt::format("check host, port and the network; \"{}\" says why", journal_command));
  if (state == "waiting" || state == "failed") {
    if (deciding(steps_) != nullptr) return unknown("");
    return fail("not-open", "smartmeterd cannot open the port",
                fmt::format("\"{}\" says why; it goes on trying by itself", journal_command));
  }
  if (problem_is("no-bytes"))
    return fail("no-bytes",
                count == 0 ? "not one byte has arrived"
                           : fmt::format("the meter has fallen silent, its last byte was {}", last),
                problem_advice("no-bytes"));
  if (count > 0) return ok(fmt::format("{}, the last {}", counted(count, "byte"), last));
  const std::string nothing =
      fmt::format("nothing arrived in {} s of listening", found_.watched.count());
  if (found_.watched >= long_enough) return fail("no-bytes", nothing, problem_advice("no-bytes"));
  unknown(nothing, "some meters send once a minute: \"smartmeterctl doctor --wait 70\"",
          "no-bytes");
}

/// Of a broker, in place of bytes.
void Walk::messages() {
  const std::uint64_t count = adapter_["BytesReceived"].count();
  const std::string last = age_text(adapter_["LastActivity"].count());
  if (problem_is("no-access"))
    return fail("no-access", "the broker refused the subscription",
                "give the exact topic that the broker allows: topic in the [source] table");
  if (adapter_["State"].text() == "waiting")
    return fail("no-connection", "its broker is not connected",
                fmt::format("check the broker's url, user and password; \"{}\" says why",
                            journal_command));
  if (problem_is("no-bytes"))
    return fail("no-bytes",
                count == 0 ? "not one message has arrived"
                           : fmt::format("no message any more, the last was {}", last),
                "check the topic in the [source] table, whether the gateway sends, and whether the "
                "broker lets this user read there");
  if (count == 0)
    return unknown(fmt::format("no message in {} s of listening", found_.watched.count()),
                   "some gateways send every five minutes: \"smartmeterctl doctor --wait 310\"",
                   "no-bytes");
  ok(fmt::format("messages arrive, the last {}", last));
}

void Walk::line() {
  const std::string settings = adapter_["LineSettings"].text();
  const std::string text = settings + std::string(source_text(adapter_["LineSource"].text()));
  if (problem_is("break")) return fail_by_problem();
  if (!passes(Reached::bytes)) return unknown("no bytes to tell by");
  if (settings.empty()) return say(Verdict::skipped, "not a serial line here");
  const std::uint64_t framing = refusals(adapter_, {"framing"});
  const std::uint64_t parity = refusals(adapter_, {"parity"});
  const std::uint64_t overrun = refusals(adapter_, {"overrun", "overflow"});
  std::string errors;
  for (const auto& [count, what] :
       {std::pair{framing, "framing error"}, std::pair{parity, "parity error"},
        std::pair{overrun, "overrun"}})
    if (count > 0) errors += ", " + counted(count, what);
  if (!passes(Reached::frames)) {
    // Only a telegram proves a line: the step that follows says what is wrong.
    say(Verdict::skipped, text + ", not proven by a telegram" + errors);
    return;
  }
  const std::uint64_t total = framing + parity + overrun;
  const std::uint64_t before =
      refusals(found_.before, {"framing", "parity", "overrun", "overflow"});
  // While the line was being found, wrong ones were tried: that counts no more.
  const bool is_given = adapter_["LineSource"].text() == "configured";
  if (total > before + 1 || (is_given && total > 1 + telegrams() / damage_share))
    return say(Verdict::warning, text + errors,
               overrun > framing + parity
                   ? "bytes were lost because this machine was too busy"
                   : "check the contact: how the optical head sits, the cable, the adapter",
               "line-errors");
  ok(text + errors);
}

void Walk::frames() {
  const std::string link = adapter_["Protocol"].text();
  if (problem_is("no-frame")) return fail_by_problem();
  if (passes(Reached::frames))
    return ok(link.empty() ? "whole frames are found" : fmt::format("whole frames of {}", link));
  if (!passes(Reached::bytes) || problem_is("break")) return unknown("no bytes to find one in");
  const std::uint64_t count = adapter_["BytesReceived"].count();
  const std::string evidence = fmt::format("no frame in {}", counted(count, "byte"));
  if (is_line_sought())
    return unknown(evidence + " so far: smartmeterd is trying other line settings",
                   fmt::format("\"sudo smartmeterctl probe {}\" shows how it goes", found_.device),
                   "no-frame");
  if (found_.watched >= long_enough)
    return fail("no-frame", evidence + fmt::format(" and {} s", found_.watched.count()),
                problem_advice("no-frame"));
  unknown(evidence + " so far", "listen longer: \"smartmeterctl doctor --wait 70\"", "no-frame");
}

void Walk::checksum() {
  const std::uint64_t damaged = refusals(adapter_, {"crc", "length"});
  const std::string evidence =
      telegrams() > 0
          ? fmt::format("{} good, {} damaged", counted(telegrams(), "telegram"), damaged)
          : fmt::format("{} damaged, none good", counted(damaged, "telegram"));
  if (problem_is("bad-checksum"))
    return fail("bad-checksum", fmt::format("{}: {}", problem_text("bad-checksum"), evidence),
                problem_advice("bad-checksum"));
  if (!passes(Reached::frames)) return unknown("no frame to check");
  if (!passes(Reached::checksum))  // the first one after opening is half a telegram anyway
    return unknown(evidence, "listen longer: \"smartmeterctl doctor --wait 70\"", "bad-checksum");
  if (telegrams() == 0) return ok("whole telegrams with a good checksum");
  if (damaged > 1 && damaged > telegrams() / damage_share)
    return say(Verdict::warning, evidence,
               "some are lost: check the contact, the cable and the adapter", "some-damaged");
  ok(evidence);
}

void Walk::key() {
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

void Walk::no_telegram(const Value& meter) {
  const std::uint64_t bytes =
      adapter_["BytesReceived"].count() - found_.before["BytesReceived"].count();
  const bool is_given = found_.is_network() || adapter_["LineSource"].text() == "configured";
  fail("no-telegram",
       fmt::format("no telegram for {} s, the meter sends one every {:.0f} s; {} arrived in "
                   "{} s of listening",
                   age_s(meter["LastUpdate"].count()), std::max(1.0, interval_of(meter)),
                   counted(bytes, "byte"), found_.watched.count()),
       bytes == 0 ? problem_advice("no-bytes")
       : is_given ? "check the cable, the adapter, and its table in "
                    "/etc/smartmeterd/smartmeterd.toml"
                  : fmt::format("check the cable and the adapter; \"sudo smartmeterctl probe {}\" "
                                "finds the line settings anew",
                                found_.device));
}

void Walk::decode() {
  if (problem_is("list-unknown")) return fail_by_problem();
  if (is_problem_new()) {
    const std::string problem = adapter_["Problem"].text();
    return fail(problem, fmt::format("smartmeterd says \"{}\", which is not known here", problem),
                fmt::format("\"{}\" says more; \"smartmeterctl --version\" should be "
                            "smartmeterd's",
                            journal_command));
  }
  if (!passes(Reached::everything) || found_.meters.empty())
    return unknown("no telegram was read yet");
  const auto fresh = std::ranges::find_if_not(found_.meters, is_overdue);
  if (fresh == found_.meters.end()) return no_telegram(found_.meters.front());
  const Value& meter = *fresh;
  const Value& readings = meter["Readings"];
  std::string text = fmt::format("meter {}", id_of(meter));
  if (found_.meters.size() > 1) text += fmt::format(" and {} more", found_.meters.size() - 1);
  const auto names = ordered_names(readings);
  text += ": " + counted(names.size(), "reading");
  for (const char* name : {"power_net", "power_import", "energy_import", "volume"})
    if (readings.map().contains(name)) {
      text += fmt::format(", {} {}", name, value_text(name, readings[name]));
      break;
    }
  text += ", the last telegram " + age_text(meter["LastUpdate"].count());
  if (const double seconds = interval_of(meter); seconds > 0)
    text += fmt::format(", one every {:.0f} s", std::max(1.0, seconds));
  if (names.empty())
    return say(Verdict::warning, text,
               "no code has a name: give it one in the [quantities] table of "
               "/etc/smartmeterd/smartmeterd.toml, \"smartmeterctl show\" lists the codes",
               "no-reading");
  ok(text);
}

}  // namespace smartmeterctl
