// SPDX-License-Identifier: Apache-2.0
// Storage: the one thread that touches disk files after start.
#include "daemon/history/storage.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include "daemon/history/database.hpp"
#include "daemon/history/stored_backlog.hpp"
#include "daemon/history/stored_history.hpp"
#include "daemon/log.hpp"

namespace smartmeterd::history {

namespace {

using Clock = std::chrono::steady_clock;
using Baselines = std::vector<meter::dlms::ReplayBaseline>;

/// Adapters that may wait for a write at once; one process is made for 1,000.
constexpr std::size_t waiting_max = 4096;

class SqliteStorage final : public Storage {
 public:
  SqliteStorage(const std::filesystem::path& directory, std::chrono::milliseconds write_interval,
                std::chrono::milliseconds history_interval);
  ~SqliteStorage() override;

  std::string problem() const override;
  Baselines replay_baselines(std::string_view adapter) override;
  void save_replay_baselines(std::string_view adapter,
                             std::span<const meter::dlms::ReplayBaseline> baselines) override;
  std::string line_settings(std::string_view adapter) override;
  void save_line_settings(std::string_view adapter, std::string_view line) override;
  std::size_t dropped() const noexcept override { return dropped_.load(); }
  Backlog* backlog(std::string_view broker, std::size_t bytes_max) override;
  History* history() override { return thread_.joinable() ? &*history_ : nullptr; }

 private:
  /// Of one adapter; what is empty stays as it is in the file.
  struct Values {
    Baselines baselines;
    std::string line;
  };
  using Waiting = std::map<std::string, Values, std::less<>>;

  void open_database(Database::Check check = Database::Check::full);
  void run();
  Waiting take_due(Clock::time_point now, Clock::time_point& next);
  void write(Waiting& due);
  std::expected<void, DatabaseError> save(const std::string& adapter, const Values& values);
  template <class Change>
  void queue(std::string_view adapter, Change change);
  void set_problem(std::string text);
  using Backlogs = std::vector<StoredBacklog*>;
  Backlogs take_unwritten(Clock::time_point now, Clock::time_point& next);
  Backlogs asked();
  void write(const Backlogs& unwritten);
  std::expected<void, DatabaseError> save(const Backlogs& unwritten);
  void answer(const Backlogs& asked);
  bool take_history(Clock::time_point now, Clock::time_point& next);
  void write_history();
  void answer_history();
  void report(const std::expected<void, DatabaseError>& done);

  const std::filesystem::path file_;
  const std::chrono::milliseconds write_interval_;
  std::mutex database_mutex_;         ///< never taken while the shared one is held
  std::optional<Database> database_;  ///< guarded by database_mutex_
  mutable Shared shared_;
  // Guarded by the shared mutex.
  Waiting waiting_;
  bool stop_ = false;
  std::string problem_;
  Database::BacklogSizes backlog_sizes_;  ///< what the file held when it was opened
  std::map<std::string, StoredBacklog, std::less<>> backlogs_;  ///< by broker; stay for ever
  std::optional<StoredHistory> history_;  ///< there where the thread is
  std::atomic<std::size_t> dropped_ = 0;
  Waiting newest_;  ///< the loop's own: what the file holds or will hold
  std::map<std::string, Clock::time_point, std::less<>> written_;  ///< the thread's own
  std::thread thread_;
};

SqliteStorage::SqliteStorage(const std::filesystem::path& directory,
                             std::chrono::milliseconds write_interval,
                             std::chrono::milliseconds history_interval)
    : file_(directory / "state.db"), write_interval_(write_interval) {
  std::error_code failed;
  std::filesystem::create_directories(directory, failed);  // `open` says what is wrong with it
  open_database(Database::Check::quick);  // the start must not wait for the rest
  if (!database_) return;
  auto baselines = database_->replay_baselines();
  auto lines = database_->line_settings();
  if (!baselines || !lines)
    set_problem("state database " + file_.string() + ": " +
                (baselines ? lines.error() : baselines.error()).text);
  if (baselines)
    for (auto& [adapter, stored] : *baselines) newest_[adapter].baselines = std::move(stored);
  if (lines)
    for (auto& [adapter, line] : *lines) newest_[adapter].line = std::move(line);
  try {
    history_.emplace(shared_, history_interval, write_interval);
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    set_problem(std::string("no thread for the state database: ") + error.what());
  }
}

SqliteStorage::~SqliteStorage() {
  {
    const std::lock_guard lock(shared_.mutex);
    stop_ = true;
  }
  shared_.wake.notify_one();
  if (thread_.joinable()) thread_.join();
}

void SqliteStorage::open_database(Database::Check check) {
  auto opened = Database::open(file_, check);
  if (!opened && opened.error().file_is_unusable()) {
    std::filesystem::path moved_to;
    const std::string why = opened.error().text;
    if (Database::move_aside(file_, moved_to)) {
      log::warning("state database {}: {}; moved to {}, starting a new one", file_.string(), why,
                   moved_to.filename().string());
      opened = Database::open(file_, check);
    }
  }
  std::expected<Database::BacklogSizes, DatabaseError> sizes;
  if (opened) sizes = opened->backlog_sizes();
  if (!opened || !sizes) {
    set_problem("state database " + file_.string() + ": " +
                (opened ? sizes.error() : opened.error()).text);
    database_.reset();
    return;
  }
  database_.emplace(std::move(*opened));
  set_problem({});
  if (history_) history_->file_changed();
  const std::lock_guard lock(shared_.mutex);
  backlog_sizes_ = std::move(*sizes);
  for (auto& [broker, backlog] : backlogs_) backlog.file_changed(backlog_sizes_[broker]);
}

void SqliteStorage::set_problem(std::string text) {
  {
    const std::lock_guard lock(shared_.mutex);
    if (problem_ == text) return;
    problem_ = text;
  }
  if (text.empty())
    log::notice("state database {}: written again", file_.string());
  else
    log::warning("{}; replay baselines, line settings, history and what brokers miss are not "
                 "kept", text);
}

std::string SqliteStorage::problem() const {
  const std::lock_guard lock(shared_.mutex);
  return problem_;
}

Baselines SqliteStorage::replay_baselines(std::string_view adapter) {
  const auto found = newest_.find(adapter);
  return found == newest_.end() ? Baselines() : found->second.baselines;
}

std::string SqliteStorage::line_settings(std::string_view adapter) {
  const auto found = newest_.find(adapter);
  return found == newest_.end() ? std::string() : found->second.line;
}

void SqliteStorage::save_replay_baselines(std::string_view adapter,
                                          std::span<const meter::dlms::ReplayBaseline> baselines) {
  if (baselines.empty()) return;
  queue(adapter, [&](Values& values) {
    values.baselines.assign(baselines.begin(), baselines.end());
  });
}

void SqliteStorage::save_line_settings(std::string_view adapter, std::string_view line) {
  if (line.empty() || line_settings(adapter) == line) return;
  queue(adapter, [&](Values& values) { values.line = line; });
}

template <class Change>
void SqliteStorage::queue(std::string_view adapter, Change change) {
  change(newest_[std::string(adapter)]);
  if (!thread_.joinable()) return;
  bool wake = false;
  {
    const std::lock_guard lock(shared_.mutex);
    auto found = waiting_.find(adapter);
    if (found == waiting_.end()) {
      if (waiting_.size() == waiting_max) {
        ++dropped_;
        return;
      }
      found = waiting_.emplace(std::string(adapter), Values()).first;
      wake = true;
    }
    change(found->second);
  }
  if (wake) shared_.wake.notify_one();
}

Backlog* SqliteStorage::backlog(std::string_view broker, std::size_t bytes_max) {
  if (!thread_.joinable()) return nullptr;
  StoredBacklog* backlog = nullptr;
  try {
    const std::lock_guard lock(shared_.mutex);
    const std::string name(broker);
    backlog = &backlogs_.try_emplace(name, shared_, name, backlog_sizes_[name], write_interval_)
                   .first->second;
  } catch (const std::system_error& error) {
    log::warning("nothing is kept for broker {}: {}", broker, error.what());
    return nullptr;
  }
  backlog->limit(bytes_max);
  return backlog;
}

void SqliteStorage::run() {
  std::unique_lock lock(shared_.mutex);
  while (true) {
    Clock::time_point next = Clock::time_point::max();
    const bool stopping = stop_;
    const auto now = stopping ? Clock::time_point::max() : Clock::now();
    Waiting due = take_due(now, next);
    const Backlogs unwritten = take_unwritten(now, next);
    const bool is_history_due = take_history(now, next);
    const Backlogs questions = asked();
    const bool has_question = history_->has_question();
    if (!due.empty() || !unwritten.empty() || is_history_due || !questions.empty() ||
        has_question) {
      lock.unlock();
      write(due);
      write(unwritten);
      if (is_history_due) write_history();
      answer(questions);
      if (has_question) answer_history();
      lock.lock();
      if (!stopping) continue;  // more may have come meanwhile
    }
    if (stopping) return;
    if (next == Clock::time_point::max())
      shared_.wake.wait(lock);
    else
      shared_.wake.wait_until(lock, next);
  }
}

/// Takes what may be written now out of the queue; `next` is when the rest may.
SqliteStorage::Waiting SqliteStorage::take_due(Clock::time_point now, Clock::time_point& next) {
  Waiting due;
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    const auto entry = at++;
    const auto written = written_.find(entry->first);
    const auto allowed =
        written == written_.end() ? Clock::time_point::min() : written->second + write_interval_;
    if (allowed <= now)
      due.insert(waiting_.extract(entry));
    else
      next = std::min(next, allowed);
  }
  return due;
}

void SqliteStorage::write(Waiting& due) {
  const std::lock_guard lock(database_mutex_);
  for (auto& [adapter, values] : due) {
    written_[adapter] = Clock::now();
    if (!database_) open_database();
    if (!database_) continue;
    auto saved = save(adapter, values);
    if (!saved && saved.error().file_is_unusable()) {
      database_.reset();
      open_database();
      if (!database_) continue;
      saved = save(adapter, values);
    }
    report(saved);  // what could not be written now comes again with the next telegram
  }
}

void SqliteStorage::report(const std::expected<void, DatabaseError>& done) {
  set_problem(done ? "" : "state database " + file_.string() + ": " + done.error().text);
}

std::expected<void, DatabaseError> SqliteStorage::save(const std::string& adapter,
                                                       const Values& values) {
  if (!values.line.empty())
    if (auto saved = database_->save_line_settings(adapter, values.line); !saved) return saved;
  if (values.baselines.empty()) return {};
  return database_->save_replay_baselines(adapter, values.baselines);
}

/// Everything that waits, once the oldest of it has to be written: one transaction for all brokers.
SqliteStorage::Backlogs SqliteStorage::take_unwritten(Clock::time_point now,
                                                      Clock::time_point& next) {
  Backlogs unwritten;
  Clock::time_point write_at = Clock::time_point::max();
  for (auto& [broker, backlog] : backlogs_) {
    if (backlog.write_at() == Clock::time_point::max()) continue;
    write_at = std::min(write_at, backlog.write_at());
    unwritten.push_back(&backlog);
  }
  if (write_at > now) {
    next = std::min(next, write_at);
    return {};
  }
  for (StoredBacklog* backlog : unwritten) backlog->begin_write();
  return unwritten;
}

void SqliteStorage::write(const Backlogs& unwritten) {
  if (unwritten.empty()) return;
  const std::lock_guard lock(database_mutex_);
  if (!database_) open_database();
  bool is_saved = false;
  if (database_) {
    auto saved = save(unwritten);
    if (!saved && saved.error().file_is_unusable()) {
      database_.reset();
      open_database();
      if (database_) saved = save(unwritten);
    }
    is_saved = saved.has_value();
    if (database_) report(saved);
  }
  for (StoredBacklog* backlog : unwritten) backlog->written(is_saved);
}

std::expected<void, DatabaseError> SqliteStorage::save(const Backlogs& unwritten) {
  return database_->transaction([&]() -> std::expected<void, DatabaseError> {
    for (StoredBacklog* backlog : unwritten)
      if (auto done = backlog->write(*database_); !done) return done;
    return {};
  });
}

SqliteStorage::Backlogs SqliteStorage::asked() {
  Backlogs asked;
  for (auto& [broker, backlog] : backlogs_)
    if (backlog.has_question()) asked.push_back(&backlog);
  return asked;
}

void SqliteStorage::answer(const Backlogs& asked) {
  if (asked.empty()) return;
  const std::lock_guard lock(database_mutex_);
  if (!database_) open_database();
  for (StoredBacklog* backlog : asked) {
    const auto answered = backlog->answer(database_ ? &*database_ : nullptr);
    if (answered) continue;
    report(answered);
    if (!answered.error().file_is_unusable()) continue;
    database_.reset();
    open_database();
  }
}

bool SqliteStorage::take_history(Clock::time_point now, Clock::time_point& next) {
  const auto write_at = history_->write_at();
  if (write_at == Clock::time_point::max()) return false;
  if (write_at > now) {
    next = std::min(next, write_at);
    return false;
  }
  history_->begin_write();
  return true;
}

void SqliteStorage::write_history() {
  const std::lock_guard lock(database_mutex_);
  if (!database_) open_database();
  bool is_saved = false;
  if (database_) {
    auto saved = history_->write(*database_);
    if (!saved && saved.error().file_is_unusable()) {
      database_.reset();
      open_database();
      if (database_) saved = history_->write(*database_);
    }
    is_saved = saved.has_value();
    if (database_) report(saved);
  }
  history_->written(is_saved);
}

/// One, so that whatever else waits is not kept waiting by many.
void SqliteStorage::answer_history() {
  const std::lock_guard lock(database_mutex_);
  if (!database_) open_database();
  const auto answered = history_->answer(database_ ? &*database_ : nullptr, problem());
  if (answered) return;
  report(answered);
  if (!answered.error().file_is_unusable()) return;
  database_.reset();
  open_database();
}

}  // namespace

std::unique_ptr<Storage> Storage::open(const std::filesystem::path& directory,
                                       std::chrono::milliseconds write_interval,
                                       std::chrono::milliseconds history_interval) {
  return std::make_unique<SqliteStorage>(directory, write_interval, history_interval);
}

bool Storage::is_built_in() noexcept {
  return true;
}

}  // namespace smartmeterd::history
