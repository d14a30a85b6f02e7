// SPDX-License-Identifier: Apache-2.0
// Walk: how doctor judges the steps from an adapter to the broker. Nothing is asked here.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/smartmeterctl/doctor.hpp"

namespace smartmeterctl {

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
  everything
};

/// The steps of one adapter, one function each, which says one step. A step that failed leaves what
/// only later ones could show "not reached".
class Walk {
 public:
  explicit Walk(const Findings& found) : found_(found), adapter_(found.adapter) {}

  std::vector<Step> steps();

 private:
  void say(Verdict verdict, std::string evidence, std::string advice = {}, std::string state = {}) {
    steps_.push_back(
        {std::string(name_), verdict, std::move(state), std::move(evidence), std::move(advice)});
  }
  void ok(std::string evidence, std::string advice = {}) {
    say(Verdict::ok, std::move(evidence), std::move(advice));
  }
  void fail(std::string state, std::string evidence, std::string advice) {
    say(Verdict::failed, std::move(evidence), std::move(advice), std::move(state));
  }
  /// With the words of the service's Problem.
  void fail_by_problem();
  /// After a failure nobody could know; otherwise `evidence` says why it is not known.
  void unknown(std::string evidence, std::string advice = {}, std::string state = "not-known");

  Reached find_reached() const;
  /// The telegrams pass beyond `step`, or everything is well.
  bool passes(Reached step) const { return reached_ >= step; }
  /// The command that gives the port to the service.
  std::string claim() const;
  /// How a port gets the group and mode that udev's rules give it.
  std::string give_to_service() const;
  /// No adapter is known because nobody could say which ones there are.
  bool is_blind() const { return found_.device.empty() && found_.bus.is_silent; }
  bool is_serial() const { return found_.port || !found_.node || found_.node->is_serial; }
  bool is_claimed() const { return found_.port && found_.port->is_claimed(); }
  bool problem_is(std::string_view problem) const { return adapter_["Problem"].text() == problem; }
  /// The service states a problem that is not known here: it is newer than this program.
  bool is_problem_new() const;
  /// The line settings are not proven: the service looks for others.
  bool is_line_sought() const {
    const std::string source = adapter_["LineSource"].text();
    return source == "default" || source == "remembered";
  }
  /// Whole telegrams came once, whatever comes now.
  std::uint64_t telegrams() const { return adapter_["TelegramsReceived"].count(); }

  void adapter();
  void permissions();
  void programs();
  void service();
  void bytes();
  void messages();
  void line();
  void frames();
  void checksum();
  void key();
  void tag();
  void decode();
  void no_telegram(const Value& meter);
  void bus();
  void broker();

  const Findings& found_;
  const Value& adapter_;
  std::vector<Step> steps_;
  const Reached reached_ = find_reached();
  std::string_view name_;  // of the step that is being judged
};

/// Shows what the service has logged.
inline constexpr std::string_view journal_command = "journalctl --unit smartmeterd --lines 20";

/// Refusals of an adapter for these reasons.
std::uint64_t refusals(const Value& adapter, std::initializer_list<const char*> reasons);
/// A meter's measured interval in seconds; 0 while unknown.
double interval_of(const Value& meter);
/// By its own interval the meter should have sent telegrams, and has not.
bool is_overdue(const Value& meter);

}  // namespace smartmeterctl
