// SPDX-License-Identifier: Apache-2.0
// Recorder: the running quarter hour of every meter, and the questions of clients.
#include "daemon/history/recorder.hpp"

#include <poll.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <utility>
#include <vector>

namespace smartmeterd::history {

namespace {

/// A clock that was set, and not merely corrected little by little.
constexpr std::int64_t set_us = 2'000'000;

std::int64_t us_of(io::TimePoint time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

std::int64_t us_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

}  // namespace

Recorder::Recorder(io::Loop& loop, History& history)
    : loop_(loop),
      history_(history),
      end_([this](int result) {
        if (result != 0) return;
        follow_clock();
        if (!running_.empty()) wait_for_end();
      }),
      answers_([this](int result) {
        if (result < 0) return;
        answer();
        if (!asked_.empty()) wait_for_answers();
      }) {}

void Recorder::configure(const HistoryConfig& config) {
  days_ = config.days;
  if (days_ == 0) running_.clear();
  history_.configure(config);
}

void Recorder::telegram(const Telegram& telegram) {
  if (days_ == 0 || telegram.meter.is_stateless) return;
  follow_clock();
  auto found = running_.find(telegram.meter.id);
  if (found == running_.end()) {
    found = running_.try_emplace(telegram.meter.id).first;
    found->second.meter = telegram.meter.id;
  }
  found->second.take(telegram.named);
  last_ = loop_.now();
  if (!end_.pending()) wait_for_end();
}

/// Ends the quarter hour when it is over. A clock that was set, as that of a machine without a
/// battery is after each start, was wrong before: what was read two minutes ago was read two
/// minutes before what it is now.
void Recorder::follow_clock() {
  const std::int64_t clock_us = loop_.realtime_us() - us_of(loop_.now());
  if (running_.empty()) {
    clock_us_ = clock_us;
    asleep_us_ = us_of(CLOCK_BOOTTIME) - us_of(CLOCK_MONOTONIC);
    start_s_ = quarter_of(loop_.realtime_us());
    return;
  }
  if (std::abs(clock_us - clock_us_) > set_us) {
    clock_us_ = clock_us;
    const std::int64_t asleep_us = us_of(CLOCK_BOOTTIME) - us_of(CLOCK_MONOTONIC);
    const std::int64_t slept_us = asleep_us - std::exchange(asleep_us_, asleep_us);
    start_s_ = quarter_of(clock_us + us_of(last_) - slept_us);
    if (end_.pending()) wait_for_end();
  }
  if (quarter_of(loop_.realtime_us()) == start_s_) return;
  end_quarter();
  follow_clock();
}

void Recorder::end_quarter() {
  std::vector<QuarterHour> rows;
  rows.reserve(running_.size());
  for (auto& [meter, row] : running_) {
    row.start_s = start_s_;
    rows.push_back(std::move(row));
  }
  running_.clear();
  history_.append(std::move(rows));
}

void Recorder::wait_for_end() {
  const std::int64_t left_us = (start_s_ + quarter_s) * 1'000'000 - loop_.realtime_us();
  loop_.timer(end_, loop_.now() + std::chrono::microseconds(std::max(left_us, std::int64_t{0})));
}

void Recorder::finish() {
  follow_clock();
  if (!running_.empty()) end_quarter();
  loop_.cancel(end_);
}

void Recorder::ask(HistoryQuestion question, HistoryDone done) {
  using Error = HistoryAnswer::Error;
  const auto refuse = [&](Error error, std::string message) {
    HistoryAnswer answer;
    answer.error = error;
    answer.message = std::move(message);
    done(answer);
  };
  if (days_ == 0)
    return refuse(Error::not_supported,
                  "the configuration says that nothing is kept: [history] "
                  "days = 0");
  if (asked_.size() == questions_max)
    return refuse(Error::limit_reached, "too many questions wait for answers: ask again later");
  follow_clock();
  std::optional<QuarterHour> running;
  if (const auto found = running_.find(question.meter_id); found != running_.end()) {
    running = found->second;
    running->start_s = start_s_;
  }
  asked_.emplace(++last_id_, std::move(done));
  history_.ask(last_id_, std::move(question), std::move(running));
  wait_for_answers();
}

void Recorder::wait_for_answers() {
  if (!answers_.pending()) loop_.poll(answers_, history_.event_fd(), POLLIN);
}

void Recorder::answer() {
  for (const History::Answered& answered : history_.take_answers())
    if (auto asked = asked_.extract(answered.id)) asked.mapped()(answered.answer);
}

}  // namespace smartmeterd::history
