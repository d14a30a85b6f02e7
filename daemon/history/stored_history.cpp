// SPDX-License-Identifier: Apache-2.0
// StoredHistory: the quarter hours of all meters in the state database.
#include "daemon/history/stored_history.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <system_error>
#include <utility>

#include "daemon/history/calendar.hpp"
#include "daemon/history/history_rows.hpp"

namespace smartmeterd::history {

namespace {

/// Quarter hours that may wait for a disk that is full.
constexpr std::size_t waiting_quarters_max = 16;

using Error = HistoryAnswer::Error;

int make_event_fd() {
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  return fd;
}

HistoryAnswer refusal(Error error, std::string message) {
  HistoryAnswer answer;
  answer.error = error;
  answer.message = std::move(message);
  return answer;
}

std::optional<Period> period_of(std::string_view name) {
  if (name == "day") return Period::day;
  if (name == "week") return Period::week;
  if (name == "month") return Period::month;
  return std::nullopt;
}

/// One row for each quarter hour, in order.
void sort_and_merge(std::vector<QuarterHour>& rows) {
  std::ranges::stable_sort(rows, {}, &QuarterHour::start_s);
  std::size_t kept = 0;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    if (rows[kept].start_s == rows[i].start_s)
      rows[kept].merge(rows[i]);
    else if (++kept != i)
      rows[kept] = std::move(rows[i]);
  }
  if (!rows.empty()) rows.resize(kept + 1);
}

/// The rows of the file, and those that it does not have yet, as one sequence.
class Merged {
 public:
  Merged(HistoryRows& rows, std::vector<QuarterHour> waiting, std::int64_t from_s,
         std::int64_t to_s)
      : rows_(rows), waiting_(std::move(waiting)), to_s_(to_s) {
    while (at_ < waiting_.size() && waiting_[at_].start_s < from_s) rows_.before(waiting_[at_++]);
  }

  bool add_stored(QuarterHour& row) {
    while (is_waiting_before(row.start_s))
      if (!rows_.add(waiting_[at_++])) return false;
    if (at_ < waiting_.size() && waiting_[at_].start_s == row.start_s) row.merge(waiting_[at_++]);
    return rows_.add(row);
  }
  bool add_rest() {
    while (is_waiting_before(to_s_))
      if (!rows_.add(waiting_[at_++])) return false;
    return true;
  }

 private:
  bool is_waiting_before(std::int64_t time_s) const {
    return at_ < waiting_.size() && waiting_[at_].start_s < time_s;
  }

  HistoryRows& rows_;
  std::vector<QuarterHour> waiting_;
  std::size_t at_ = 0;
  std::int64_t to_s_;
};

/// Where the last row ends that begins before `to_us`: rows are whole.
std::int64_t end_of(const HistoryQuestion& question, std::int64_t from_s, std::int64_t step_s,
                    const std::optional<Calendar>& calendar) {
  const std::int64_t to_s = question.to_us / 1'000'000 + (question.to_us % 1'000'000 > 0 ? 1 : 0);
  if (calendar) return calendar->around(to_s - 1).end_s;
  return from_s + (to_s - from_s + step_s - 1) / step_s * step_s;
}

std::expected<HistoryAnswer, DatabaseError> answer_to(const HistoryQuestion& question,
                                                      std::vector<QuarterHour> waiting,
                                                      Database& database) {
  std::int64_t from_s = quarter_of(question.from_us);
  const std::int64_t step_s = question.step_s == 0 ? quarter_s : question.step_s;
  std::optional<Calendar> calendar;
  if (const auto period = period_of(question.period)) {
    auto found = Calendar::of(question.zone, *period);
    if (!found) return refusal(Error::invalid_option, std::move(found.error()));
    from_s = found->around(from_s).begin_s;
    calendar.emplace(std::move(*found));
  }
  const std::int64_t to_s = end_of(question, from_s, step_s, calendar);
  HistoryRows rows(from_s, step_s, std::move(calendar));
  auto earlier = database.history_before(question.meter_id, from_s);
  if (!earlier) return std::unexpected(std::move(earlier.error()));
  for (const QuarterHour& row : *earlier) rows.before(row);
  sort_and_merge(waiting);
  Merged merged(rows, std::move(waiting), from_s, to_s);
  bool is_complete = true;
  const auto read = database.read_history(question.meter_id, from_s, to_s, [&](QuarterHour& row) {
    return is_complete = merged.add_stored(row);
  });
  if (!read) return std::unexpected(read.error());
  if (!is_complete || !merged.add_rest())
    return refusal(Error::limit_reached,
                   "more than " + std::to_string(HistoryRows::rows_max) + " rows, or " +
                       std::to_string(HistoryRows::values_max) +
                       " values: ask for a shorter time, or for a larger step or period");
  return std::move(rows).finish();
}

}  // namespace

StoredHistory::StoredHistory(Shared& shared, std::chrono::milliseconds write_interval,
                             std::chrono::milliseconds retry_interval)
    : shared_(shared),
      write_interval_(write_interval),
      retry_interval_(retry_interval),
      event_fd_(make_event_fd()) {}

StoredHistory::~StoredHistory() {
  ::close(event_fd_);
}

void StoredHistory::configure(const HistoryConfig& config) {
  std::deque<Batch> given_up;  // freed without the mutex
  const std::lock_guard lock(shared_.mutex);
  config_ = config;
  is_unwanted_ = config.days == 0;
  if (!is_unwanted_) return;  // what is too much goes with the next rows that come
  given_up.swap(waiting_);
  write_at_ = Clock::now();  // what is to be deleted does not wait
  shared_.wake.notify_one();
}

void StoredHistory::append(std::vector<QuarterHour> rows) {
  const std::lock_guard lock(shared_.mutex);
  if (is_unwanted_ || rows.empty()) return;
  // They are now among the rows that wait, or are being written before the answer.
  for (Question& question : questions_) question.running.reset();
  waiting_.push_back(std::make_shared<const std::vector<QuarterHour>>(std::move(rows)));
  if (waiting_.size() > waiting_quarters_max) drop_oldest();
  change_waits();
}

void StoredHistory::drop_oldest() {
  dropped_ += waiting_.front()->size();
  waiting_.pop_front();
}

void StoredHistory::change_waits() {
  if (write_at_ != Clock::time_point::max()) return;
  write_at_ = std::max(Clock::now(), may_write_at_);
  shared_.wake.notify_one();
}

void StoredHistory::ask(std::uint64_t id, HistoryQuestion question,
                        std::optional<QuarterHour> running) {
  const std::lock_guard lock(shared_.mutex);
  questions_.push_back({id, std::move(question), std::move(running)});
  shared_.wake.notify_one();
}

std::vector<History::Answered> StoredHistory::take_answers() {
  const std::lock_guard lock(shared_.mutex);
  eventfd_t ignored = 0;
  (void)eventfd_read(event_fd_, &ignored);
  return std::exchange(answers_, {});
}

std::uint64_t StoredHistory::written() const {
  const std::lock_guard lock(shared_.mutex);
  return written_;
}

std::uint64_t StoredHistory::dropped() const {
  const std::lock_guard lock(shared_.mutex);
  return dropped_;
}

void StoredHistory::begin_write() {
  writing_ = {.batches = std::exchange(waiting_, {}),
              .config = config_,
              .is_unwanted = is_unwanted_,
              .totals = {}};
  write_at_ = Clock::time_point::max();
}

std::expected<void, DatabaseError> StoredHistory::write(Database& database) {
  if (writing_.is_unwanted) {
    writing_.totals = {};
    return database.forget_history();
  }
  return database.durable_transaction([&] { return change(database); });
}

std::expected<void, DatabaseError> StoredHistory::change(Database& database) {
  if (totals_) {
    writing_.totals = *totals_;
  } else {
    auto size = database.history_size();
    if (!size) return std::unexpected(size.error());
    writing_.totals = *size;
  }
  for (const Batch& batch : writing_.batches)
    for (const QuarterHour& row : *batch)
      if (auto done = database.merge_into_history(row, writing_.totals); !done) return done;
  const std::uint64_t quarters_max = std::uint64_t{writing_.config.days} * (86'400 / quarter_s);
  return database.trim_history(quarters_max, writing_.config.bytes, writing_.totals);
}

void StoredHistory::written(bool is_committed) {
  const Writing writing = std::exchange(writing_, {});  // freed without the mutex
  const std::lock_guard lock(shared_.mutex);
  if (is_committed) {
    totals_ = writing.totals;
    for (const Batch& batch : writing.batches) written_ += batch->size();
    if (!writing.batches.empty()) may_write_at_ = Clock::now() + write_interval_;
  } else {
    may_write_at_ = Clock::now() + retry_interval_;
    waiting_.insert(waiting_.begin(), writing.batches.begin(), writing.batches.end());
    if (is_unwanted_) waiting_.clear();
    while (waiting_.size() > waiting_quarters_max) drop_oldest();
    write_at_ = may_write_at_;
  }
  // Rows that came meanwhile wait from now on.
  if (write_at_ != Clock::time_point::max() && !is_unwanted_)
    write_at_ = std::max(write_at_, may_write_at_);
}

std::expected<void, DatabaseError> StoredHistory::answer(Database* database,
                                                         std::string_view problem) {
  std::unique_lock lock(shared_.mutex);
  const Question asked = std::move(questions_.front());
  questions_.pop_front();
  const std::deque<Batch> batches = waiting_;
  lock.unlock();
  std::vector<QuarterHour> waiting;  // what the file does not have yet
  for (const Batch& batch : batches)
    for (const QuarterHour& row : *batch)
      if (row.meter == asked.question.meter_id) waiting.push_back(row);
  if (asked.running) waiting.push_back(*asked.running);
  std::expected<void, DatabaseError> done;
  HistoryAnswer answer;
  if (database == nullptr) {
    answer = refusal(Error::failed, std::string(problem));
  } else if (auto found = answer_to(asked.question, std::move(waiting), *database); found) {
    answer = std::move(*found);
  } else {
    answer = refusal(Error::failed, "the state database cannot be read: " + found.error().text);
    done = std::unexpected(std::move(found.error()));
  }
  lock.lock();
  answers_.push_back({asked.id, std::move(answer)});
  (void)eventfd_write(event_fd_, 1);
  return done;
}

}  // namespace smartmeterd::history
