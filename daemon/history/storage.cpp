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
/// Before the next attempt to open a database that could not be opened; doubled each time.
constexpr std::chrono::milliseconds back_off_min{1000};
constexpr std::chrono::milliseconds back_off_max{60'000};

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
  std::expected<void, DatabaseError> take_file(Database& opened);
  void follow_file();
  template <class Change>
  bool change_file(Change change);
  void learn();
  void run();
  Waiting take_due(Clock::time_point now, Clock::time_point& next);
  void write(Waiting& due);
  void wait_again(Waiting& unsaved);
  template <class Change>
  void queue(std::string_view adapter, Change change);
  void set_problem(std::string text);
  void report(const DatabaseError& error);
  using Backlogs = std::vector<StoredBacklog*>;
  Backlogs take_unwritten(Clock::time_point now, Clock::time_point& next);
  Backlogs asked();
  void write(const Backlogs& unwritten);
  void answer(const Backlogs& asked);
  bool take_history(Clock::time_point now, Clock::time_point& next);
  void write_history();
  void answer_history();
  void after_reading(const std::expected<void, DatabaseError>& answered);

  const std::filesystem::path file_;
  const std::chrono::milliseconds write_interval_;
  // The thread's own.
  std::optional<Database> database_;
  std::chrono::milliseconds back_off_ = back_off_min;
  Clock::time_point open_at_;  ///< where there is none
  std::map<std::string, Clock::time_point, std::less<>> written_;
  mutable Shared shared_;
  // Guarded by the shared mutex.
  Waiting waiting_;
  Waiting found_;  ///< in the file, and not known to the loop yet
  bool stop_ = false;
  std::string problem_;
  std::optional<Database::BacklogSizes> backlog_sizes_;  ///< in the file when it was opened
  std::map<std::string, StoredBacklog, std::less<>> backlogs_;  ///< by broker; stay for ever
  std::optional<StoredHistory> history_;  ///< there where the thread is
  std::atomic<std::size_t> dropped_ = 0;
  Waiting newest_;  ///< the loop's own: what the file holds or will hold
  std::thread thread_;
};

SqliteStorage::SqliteStorage(const std::filesystem::path& directory,
                             std::chrono::milliseconds write_interval,
                             std::chrono::milliseconds history_interval)
    : file_(directory / "state.db"), write_interval_(write_interval) {
  open_database(Database::Check::quick);  // the start must not wait for the rest
  learn();
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
  std::error_code failed;
  std::filesystem::create_directories(file_.parent_path(), failed);  // `open` says what is wrong
  auto opened = Database::open(file_, check);
  if (!opened && opened.error().file_is_unusable()) {
    std::filesystem::path moved_to;
    const std::string why = opened.error().text;
    if (Database::move_aside(file_, opened.error(), moved_to)) {
      log::warning("state database {}: {}; moved to {}, starting a new one", file_.string(), why,
                   moved_to.filename().string());
      opened = Database::open(file_, check);
    }
  }
  std::expected<void, DatabaseError> done;
  if (opened)
    done = take_file(*opened);
  else
    done = std::unexpected(std::move(opened.error()));
  if (done) {
    database_.emplace(std::move(*opened));
    back_off_ = back_off_min;
    return set_problem({});
  }
  database_.reset();
  open_at_ = Clock::now() + back_off_;
  back_off_ = std::min(2 * back_off_, back_off_max);
  report(done.error());
}

/// What it holds is known from now on.
std::expected<void, DatabaseError> SqliteStorage::take_file(Database& opened) {
  auto baselines = opened.replay_baselines();
  if (!baselines) return std::unexpected(std::move(baselines.error()));
  auto lines = opened.line_settings();
  if (!lines) return std::unexpected(std::move(lines.error()));
  auto sizes = opened.backlog_sizes();
  if (!sizes) return std::unexpected(std::move(sizes.error()));
  if (history_) history_->file_changed();
  const std::lock_guard lock(shared_.mutex);
  for (auto& [adapter, stored] : *baselines) found_[adapter].baselines = std::move(stored);
  for (auto& [adapter, line] : *lines) found_[adapter].line = std::move(line);
  for (auto& [broker, backlog] : backlogs_)
    backlog.file_changed((*sizes)[broker], !backlog_sizes_.has_value());
  backlog_sizes_ = std::move(*sizes);
  return {};
}

/// Somebody may have removed the file, or put another one in its place: what is written to the
/// former one is lost.
void SqliteStorage::follow_file() {
  if (!database_ || !database_->leave_if_moved()) return;
  log::warning("state database {}: removed or replaced while it is in use; what is there now is "
               "used, or a new one begun", file_.string());
  database_.reset();
  open_database();
}

/// True where all of it was done; once more with a new file where the file cannot be used.
template <class Change>
bool SqliteStorage::change_file(Change change) {
  if (!database_) return false;
  std::expected<void, DatabaseError> done = change(*database_);
  if (!done && done.error().file_is_unusable()) {
    database_.reset();
    open_database();
    if (!database_) return false;
    done = change(*database_);
  }
  if (done)
    set_problem({});
  else
    report(done.error());
  return done.has_value();
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
    log::warning("{}; history, replay baselines, line settings and what brokers miss wait in "
                 "memory, and it is tried again", text);
}

std::string SqliteStorage::problem() const {
  const std::lock_guard lock(shared_.mutex);
  return problem_;
}

void SqliteStorage::report(const DatabaseError& error) {
  set_problem("state database " + file_.string() + ": " + error.text);
}

/// Of a file that could only be opened later, or was replaced, what this run does not know better.
void SqliteStorage::learn() {
  Waiting found;
  {
    const std::lock_guard lock(shared_.mutex);
    found.swap(found_);
  }
  for (auto& [adapter, values] : found) {
    Values& known = newest_[adapter];
    if (known.line.empty()) known.line = std::move(values.line);
    for (const meter::dlms::ReplayBaseline& baseline : values.baselines) {
      const auto same = std::ranges::find_if(known.baselines, [&](const auto& other) {
        return other.system_title == baseline.system_title &&
               other.key_fingerprint == baseline.key_fingerprint;
      });
      if (same == known.baselines.end())
        known.baselines.push_back(baseline);
      else if (same->invocation_counter < baseline.invocation_counter)
        *same = baseline;
    }
  }
}

Baselines SqliteStorage::replay_baselines(std::string_view adapter) {
  learn();
  const auto found = newest_.find(adapter);
  return found == newest_.end() ? Baselines() : found->second.baselines;
}

std::string SqliteStorage::line_settings(std::string_view adapter) {
  learn();
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
      if (waiting_.size() >= waiting_max) {
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
    const auto size = backlog_sizes_ ? (*backlog_sizes_)[name] : Database::BacklogSize();
    backlog = &backlogs_.try_emplace(name, shared_, name, size, write_interval_).first->second;
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
    if (!database_ && open_at_ <= now) {
      lock.unlock();
      open_database();
      lock.lock();
      if (!stopping) continue;
    }
    Waiting due;
    Backlogs unwritten;
    bool is_history_due = false;
    if (database_) {
      due = take_due(now, next);
      unwritten = take_unwritten(now, next);
      is_history_due = take_history(now, next);
    } else {
      next = open_at_;  // until then everything waits
    }
    const Backlogs questions = asked();
    const bool has_question = history_->has_question();
    if (!due.empty() || !unwritten.empty() || is_history_due || !questions.empty() ||
        has_question) {
      lock.unlock();
      follow_file();
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
  std::erase_if(due, [this](const auto& entry) {
    const auto& [adapter, values] = entry;
    written_[adapter] = Clock::now();
    return change_file([&](Database& database) -> std::expected<void, DatabaseError> {
      if (!values.line.empty())
        if (auto saved = database.save_line_settings(adapter, values.line); !saved) return saved;
      if (values.baselines.empty()) return {};
      return database.save_replay_baselines(adapter, values.baselines);
    });
  });
  if (!due.empty()) wait_again(due);
}

/// What has come meanwhile is newer.
void SqliteStorage::wait_again(Waiting& unsaved) {
  const std::lock_guard lock(shared_.mutex);
  for (auto& [adapter, values] : unsaved) {
    Values& waiting = waiting_[adapter];
    if (waiting.line.empty()) waiting.line = std::move(values.line);
    if (waiting.baselines.empty()) waiting.baselines = std::move(values.baselines);
  }
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
  const bool is_saved = change_file([&](Database& database) {
    return database.transaction([&]() -> std::expected<void, DatabaseError> {
      for (StoredBacklog* backlog : unwritten)
        if (auto done = backlog->write(database); !done) return done;
      return {};
    });
  });
  for (StoredBacklog* backlog : unwritten) backlog->written(is_saved);
}

SqliteStorage::Backlogs SqliteStorage::asked() {
  Backlogs asked;
  for (auto& [broker, backlog] : backlogs_)
    if (backlog.has_question()) asked.push_back(&backlog);
  return asked;
}

void SqliteStorage::answer(const Backlogs& asked) {
  for (StoredBacklog* backlog : asked)
    after_reading(backlog->answer(database_ ? &*database_ : nullptr));
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
  history_->written(change_file([this](Database& database) { return history_->write(database); }));
}

/// One, so that whatever else waits is not kept waiting by many.
void SqliteStorage::answer_history() {
  after_reading(history_->answer(database_ ? &*database_ : nullptr, problem()));
}

/// An answer was given, whatever it is: it is not asked for once more.
void SqliteStorage::after_reading(const std::expected<void, DatabaseError>& answered) {
  if (answered) return;
  report(answered.error());
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
