// SPDX-License-Identifier: Apache-2.0
// The adapter that messages come on: state, diagnosis, counters.
#include "daemon/source_input.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

#include "daemon/log.hpp"
#include "daemon/refusal.hpp"

namespace smartmeterd {
namespace {

using namespace std::chrono_literals;

/// One damaged message among good ones is a counter, not a problem.
constexpr std::uint64_t refusals_until_problem = 3;
constexpr auto tell_interval = 1s;
/// While the interval is not known: the slowest usual one is Tasmota's, 300 s.
constexpr auto silence_limit_unknown = 330s;
/// Tasmota and its like leave their last message on the broker.
constexpr std::int64_t stale_after_us = 600'000'000;
constexpr double intervals_until_silent = 3.5;
/// A network has pauses of its own.
constexpr auto silence_limit_min = 120s;

std::string_view advice(Problem problem) noexcept {
  switch (problem) {
    case Problem::no_bytes: return "no message comes: check the topic, and whether the gateway "
                                   "that should send there is on";
    case Problem::no_access: return "the broker lets this client not read there: give the exact "
                                    "topic that it allows";
    case Problem::bad_checksum: return "telegrams arrive damaged or cut: look at the gateway that "
                                       "sends them";
    default: return advice_of(problem);
  }
}

/// The name, or the next like it that no adapter has.
std::string free_name(const SourceEnvironment& environment, const std::string& wanted,
                      const std::string& table) {
  const auto is_taken = [&](const std::string& name) {
    return environment.names.contains(name) || environment.is_name_taken(name);
  };
  std::string name = wanted;
  for (unsigned n = 1; is_taken(name); ++n)
    name = n == 1 ? fmt::format("{}-{}", table, wanted)
                  : fmt::format("{}-{}-{}", table, wanted, n);
  return name;
}

}  // namespace

SourceInput::SourceInput(const SourceEnvironment& environment, const std::string& name,
                         std::string table, std::string device, bool is_stateless)
    : environment_(environment) {
  adapter_.name = free_name(environment, name, table);
  adapter_.table = std::move(table);
  adapter_.translated_from = device;
  adapter_.device = std::move(device);
  adapter_.kind = "mqtt";
  adapter_.is_stateless = is_stateless;
  environment_.names.insert(adapter_.name);
  environment_.sinks.adapter_added(adapter_);
}

SourceInput::~SourceInput() {
  environment_.names.erase(adapter_.name);
  environment_.meters.adapter_removed(adapter_);
  environment_.sinks.adapter_removed(adapter_);
}

void SourceInput::heard(std::size_t bytes) {
  const auto now = environment_.loop.now();
  adapter_.bytes_received += bytes;
  adapter_.last_activity_us = environment_.loop.realtime_us();
  if (last_message_ != io::TimePoint{}) gaps_.add(now - last_message_);
  last_message_ = now;
  // Whose messages come may read there, whatever was said of other topics.
  const bool is_back = adapter_.state == AdapterState::silent ||
                       adapter_.state == AdapterState::failed ||
                       adapter_.state == AdapterState::waiting;
  if (is_back) set_state(AdapterState::probing, Problem::none);
}

void SourceInput::accepted(std::string_view protocol) {
  ++adapter_.telegrams_received;
  refusals_ = 0;
  adapter_.protocol = protocol;
  set_state(AdapterState::synced, Problem::none);
}

void SourceInput::refused(const meter::Fault& fault) {
  const auto now = environment_.loop.now();
  const std::size_t index = std::to_underlying(fault.code);
  count(reason_of(fault.code));
  ++refusals_;
  ++faults_[index];
  if (const bool is_news = now - last_told_[index] >= tell_interval ||
                           last_told_[index] == io::TimePoint{};
      is_news) {
    last_told_[index] = now;
    log::debug("{}: message refused at byte {}: {}", adapter_.device, fault.offset,
               meter::describe(fault.code));
    environment_.sinks.telegram_rejected(adapter_, fault, faults_[index]);
  }
  const auto problem = problem_of(fault.code);
  const bool is_often = refusals_ >= refusals_until_problem;
  if (!problem || (!is_often && adapter_.telegrams_received > 0)) return;
  set_state(AdapterState::probing, *problem);
  if (const auto state = key_state_of(*problem)) environment_.meters.key_failed(adapter_, *state);
}

void SourceInput::count(std::string_view reason) {
  const auto found = adapter_.errors.find(reason);
  if (found == adapter_.errors.end())
    adapter_.errors.emplace(reason, 1);
  else
    ++found->second;
}

void SourceInput::set_online(bool is_online) {
  if (is_online == std::exchange(is_online_, is_online)) return;
  if (is_online) online_since_ = environment_.loop.now();
  set_state(is_online ? AdapterState::probing : AdapterState::waiting, Problem::none);
}

void SourceInput::subscription_refused() {
  set_state(AdapterState::failed, Problem::no_access);
}

void SourceInput::check_silence() {
  if (!is_online_ || adapter_.is_stateless || adapter_.state == AdapterState::silent ||
      adapter_.state == AdapterState::failed)
    return;
  const auto usual = gaps_.long_one();
  const auto limit =
      usual == usual.zero()
          ? io::Clock::duration(silence_limit_unknown)
          : std::max<io::Clock::duration>(
                silence_limit_min,
                std::chrono::duration_cast<io::Clock::duration>(usual * intervals_until_silent));
  if (environment_.loop.now() - std::max(last_message_, online_since_) >= limit)
    set_state(AdapterState::silent, Problem::no_bytes);
}

void SourceInput::set_state(AdapterState state, Problem problem) {
  if (adapter_.state == state && adapter_.problem == problem) return;
  const bool is_new_problem = problem != adapter_.problem && problem != Problem::none;
  adapter_.state = state;
  adapter_.problem = problem;
  if (is_new_problem) tell(problem);
  environment_.sinks.adapter_changed(adapter_);
}

void SourceInput::tell(Problem problem) {
  auto event = log::Event::sync_lost;
  if (problem == Problem::key_missing) event = log::Event::key_missing;
  if (problem == Problem::key_wrong || problem == Problem::authentication_key_wrong)
    event = log::Event::key_wrong;
  log::write(log::Level::warning, event, fmt::format("{}: {}", adapter_.device, advice(problem)),
             {{"SMARTMETER_ADAPTER", adapter_.name}, {"SMARTMETER_REASON", name(problem)}});
}

bool is_stale(std::optional<std::int64_t> received_us, std::int64_t now_us) noexcept {
  return received_us && now_us - *received_us > stale_after_us;
}

bool is_stale(const std::optional<meter::DateTime>& time, std::int64_t now_us) noexcept {
  if (!time) return false;
  if (const auto us = time->to_epoch_us()) return is_stale(us, now_us);
  const std::time_t now_s = now_us / 1'000'000;
  std::tm local{};
  if (!localtime_r(&now_s, &local)) return false;
  meter::DateTime here = *time;
  here.deviation = static_cast<std::int16_t>(-local.tm_gmtoff / 60);
  return is_stale(here.to_epoch_us(), now_us);
}

}  // namespace smartmeterd
