// SPDX-License-Identifier: Apache-2.0
// smartmeterctl doctor: what follows from what was found out.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>

#include "tools/smartmeterctl/doctor_walk.hpp"
#include "tools/smartmeterctl/text.hpp"

namespace smartmeterctl {
namespace {

using namespace std::chrono_literals;

/// A few intervals, but nobody waits for a meter that sends four times an hour.
constexpr auto watch_max = 60s;
constexpr auto watch_default = 30s;

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

}  // namespace

std::uint64_t refusals(const Value& adapter, std::initializer_list<const char*> reasons) {
  std::uint64_t sum = 0;
  for (const char* reason : reasons) sum += adapter["Errors"][reason].count();
  return sum;
}

double interval_of(const Value& meter) {
  const double* seconds = std::get_if<double>(&meter["Interval"].held);
  return seconds != nullptr ? *seconds : 0;
}

bool is_overdue(const Value& meter) {
  constexpr double intervals = 3, least_s = 10;
  const std::uint64_t last = meter["LastUpdate"].count();
  const double interval_s = interval_of(meter);
  return last > 0 && interval_s > 0 &&
         static_cast<double>(age_s(last)) > std::max(least_s, intervals * interval_s);
}

std::vector<Step> Walk::steps() {
  constexpr std::pair<std::string_view, void (Walk::*)()> all[] = {
      {"adapter", &Walk::adapter},   {"permissions", &Walk::permissions},
      {"programs", &Walk::programs}, {"service", &Walk::service},
      {"bytes", &Walk::bytes},       {"line", &Walk::line},
      {"frames", &Walk::frames},     {"checksum", &Walk::checksum},
      {"key", &Walk::key},           {"tag", &Walk::tag},
      {"decode", &Walk::decode},     {"bus", &Walk::bus},
      {"broker", &Walk::broker}};
  for (const auto& [name, judge_it] : all) {
    name_ = name;
    [[maybe_unused]] const std::size_t before = steps_.size();
    (this->*judge_it)();
    assert(steps_.size() == before + 1);
  }
  return std::move(steps_);
}

void Walk::fail_by_problem() {
  const std::string problem = adapter_["Problem"].text();
  fail(problem, problem_text(problem), problem_advice(problem));
}

void Walk::unknown(std::string evidence, std::string advice, std::string state) {
  if (deciding(steps_) != nullptr)
    say(Verdict::skipped, "not reached");
  else
    say(Verdict::unknown, std::move(evidence), std::move(advice), std::move(state));
}

bool Walk::is_problem_new() const {
  const std::string problem = adapter_["Problem"].text();
  return !problem.empty() && problem != "none" &&
         std::ranges::none_of(reached_with, [&](const auto& one) { return one.first == problem; });
}

Reached Walk::find_reached() const {
  const std::string problem = adapter_["Problem"].text();
  for (const auto& [name, reached] : reached_with)
    if (name == problem) return reached;
  if (adapter_.map().empty()) return Reached::nothing;
  if (telegrams() > 0) return is_problem_new() ? Reached::tag : Reached::everything;
  // At wrong line settings noise looks like the start of anything.
  if (!is_line_sought() && refusals(adapter_, {"crc", "length"}) > 0) return Reached::frames;
  return adapter_["BytesReceived"].count() > 0 ? Reached::bytes : Reached::port;
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
  return std::ranges::find_if_not(meters, is_overdue) != meters.end();
}

std::chrono::seconds watch_limit(const std::vector<Value>& meters) {
  double longest = 0;
  for (const Value& meter : meters) longest = std::max(longest, interval_of(meter));
  if (longest <= 0) return watch_default;
  return std::min(std::chrono::seconds(static_cast<std::int64_t>(3 * longest) + 2),
                  std::chrono::seconds(watch_max));
}

}  // namespace smartmeterctl
