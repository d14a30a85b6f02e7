// SPDX-License-Identifier: Apache-2.0
// Database: the state file, opened, mended and written. Used by one thread at a time.
#include "daemon/history/database.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <string>
#include <system_error>

#include "daemon/history/statement.hpp"

namespace smartmeterd::history {

namespace {

/// What brings the tables from one version to the next; PRAGMA user_version holds how many of
/// these were done.
constexpr const char* schema_steps[] = {
    "CREATE TABLE replay_baseline ("
    " adapter TEXT NOT NULL,"
    " system_title BLOB NOT NULL,"
    " key_fingerprint BLOB NOT NULL,"
    " invocation_counter INTEGER NOT NULL,"
    " PRIMARY KEY (adapter, system_title, key_fingerprint)) WITHOUT ROWID;",
    "CREATE TABLE line_settings ("
    " adapter TEXT PRIMARY KEY,"
    " line TEXT NOT NULL) WITHOUT ROWID;",
    "CREATE TABLE backlog ("
    " broker TEXT NOT NULL,"
    " id INTEGER NOT NULL,"
    " meter TEXT NOT NULL,"
    " payload TEXT NOT NULL,"
    " PRIMARY KEY (broker, id)) WITHOUT ROWID;",
    // The history. "names" is a JSON array that only grows; "payload" has the value of each, in its
    // order (quarter_hour.hpp), and so about a third of what names and values need together. Rows
    // of a quarter hour stand beside each other: few pages are written. To read it:
    //   sqlite3 -readonly -box state.db "SELECT * FROM history_values WHERE name = 'energy_import'"
    "CREATE TABLE history_meter ("
    " id INTEGER PRIMARY KEY,"
    " meter TEXT NOT NULL UNIQUE,"
    " names TEXT NOT NULL);"
    "CREATE TABLE history ("
    " start INTEGER NOT NULL,"  // of the quarter hour, seconds since 1970 in UTC
    " meter INTEGER NOT NULL,"
    " telegrams INTEGER NOT NULL,"
    " payload TEXT NOT NULL,"
    " PRIMARY KEY (start, meter)) WITHOUT ROWID;"
    "CREATE VIEW history_values AS"
    " SELECT history_meter.meter, datetime(history.start, 'unixepoch') AS start, telegrams,"
    "  name.value AS name,"
    "  iif(reading.type <> 'array', reading.value, NULL) AS last,"
    "  iif(reading.type = 'array', json_extract(payload, reading.fullkey || '[0]'), NULL) AS min,"
    "  iif(reading.type = 'array', json_extract(payload, reading.fullkey || '[2]') * 1.0"
    "   / json_extract(payload, reading.fullkey || '[3]'), NULL) AS mean,"
    "  iif(reading.type = 'array', json_extract(payload, reading.fullkey || '[1]'), NULL) AS max"
    " FROM history JOIN history_meter ON history_meter.id = history.meter"
    "  JOIN json_each(names) AS name JOIN json_each(payload) AS reading ON reading.key = name.key"
    " WHERE reading.type <> 'null';"};
constexpr int schema_version = static_cast<int>(std::size(schema_steps));
/// A second process holds the lock for a few milliseconds at most.
constexpr int busy_timeout_ms = 1000;
constexpr int moved_aside_max = 9;

template <std::size_t Size>
void bind_octets(sqlite3_stmt* statement, int at, const std::array<std::byte, Size>& octets) {
  sqlite3_bind_blob(statement, at, octets.data(), static_cast<int>(Size), SQLITE_STATIC);
}

template <std::size_t Size>
bool column_octets(sqlite3_stmt* statement, int at, std::array<std::byte, Size>& octets) {
  if (sqlite3_column_bytes(statement, at) != static_cast<int>(Size)) return false;
  std::memcpy(octets.data(), sqlite3_column_blob(statement, at), Size);
  return true;
}

std::filesystem::path with_suffix(std::filesystem::path file, const char* suffix) {
  return file += suffix;
}

/// 0: there is no file of this name.
ino_t inode_of(const std::filesystem::path& file) {
  struct stat status {};
  return ::stat(file.c_str(), &status) == 0 ? status.st_ino : 0;
}

/// It is there, and not ours to write: somebody else's file, or a directory.
bool is_forbidden(const std::filesystem::path& file) {
  std::error_code failed;
  if (std::filesystem::is_directory(file, failed)) return true;
  for (const char* suffix : {"", "-wal", "-shm"})
    if (::access(with_suffix(file, suffix).c_str(), R_OK | W_OK) != 0 && errno == EACCES)
      return true;
  return false;
}

}  // namespace

bool DatabaseError::file_is_damaged() const noexcept {
  return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
}

bool DatabaseError::file_is_unusable() const noexcept {
  if (file_is_damaged()) return true;
  switch (code & 0xff) {
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
      return true;
    default:
      return false;
  }
}

DatabaseError Database::error() const {
  DatabaseError error{sqlite3_extended_errcode(db_.get()), sqlite3_errmsg(db_.get())};
  const int primary = error.code & 0xff;
  if (const int number = sqlite3_system_errno(db_.get());
      number != 0 && (primary == SQLITE_CANTOPEN || primary == SQLITE_IOERR))
    error.text += ": " + std::generic_category().message(number);
  return error;
}

std::expected<Database, DatabaseError> Database::open(const std::filesystem::path& file,
                                                        Check check) {
  sqlite3* handle = nullptr;
  const int code =
      sqlite3_open_v2(file.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  Database database;
  database.db_.reset(handle);
  if (handle == nullptr) return std::unexpected(DatabaseError{code, sqlite3_errstr(code)});
  if (code != SQLITE_OK) return std::unexpected(database.error());
  sqlite3_busy_timeout(handle, busy_timeout_ms);
  if (auto done = database.check(check); !done) return std::unexpected(done.error());
  if (auto done = database.bring_schema_up(); !done) return std::unexpected(done.error());
  database.journal_ = inode_of(with_suffix(file, "-wal"));
  return database;
}

bool Database::leave_if_moved() {
  int is_moved = 0;
  (void)sqlite3_file_control(db_.get(), "main", SQLITE_FCNTL_HAS_MOVED, &is_moved);
  const std::filesystem::path file = sqlite3_db_filename(db_.get(), "main");
  const bool is_journal_there = inode_of(with_suffix(file, "-wal")) == journal_;
  if (is_moved == 0) return !is_journal_there;
  std::error_code ignored;
  if (is_journal_there)
    for (const char* suffix : {"-wal", "-shm"})
      std::filesystem::remove(with_suffix(file, suffix), ignored);
  return true;
}

std::expected<void, DatabaseError> Database::check(Check how) {
  if (sqlite3_db_readonly(db_.get(), "main") == 1)
    return std::unexpected(DatabaseError{SQLITE_READONLY, "the file may not be written"});
  if (auto done = execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"); !done)
    return done;
  std::vector<std::string> tables;
  {
    auto statement = prepare("SELECT name FROM sqlite_schema WHERE type = 'table'");
    if (!statement) return std::unexpected(statement.error());
    int step = SQLITE_DONE;
    while ((step = sqlite3_step(statement->get())) == SQLITE_ROW)
      tables.push_back(column_text(statement->get(), 0));
    if (step != SQLITE_DONE) return std::unexpected(error());
  }
  for (const std::string& table : tables)
    if (how == Check::full || table != history_table)
      if (auto done = check(table); !done) return done;
  return {};
}

std::expected<void, DatabaseError> Database::check(const std::string& table) {
  auto statement = prepare(("PRAGMA quick_check(\"" + table + "\")").c_str());
  if (!statement) return std::unexpected(statement.error());
  const int step = sqlite3_step(statement->get());
  if (step != SQLITE_ROW) return std::unexpected(error());
  const std::string text = column_text(statement->get(), 0);
  if (text == "ok") return {};
  return std::unexpected(DatabaseError{SQLITE_CORRUPT, text.empty() ? "damaged" : text});
}

std::expected<void, DatabaseError> Database::bring_schema_up() {
  // The lock also finds a file that cannot be written.
  if (auto done = execute("BEGIN IMMEDIATE"); !done) return done;
  int version = 0;
  {
    auto statement = prepare("PRAGMA user_version");
    if (!statement) return std::unexpected(statement.error());
    if (sqlite3_step(statement->get()) != SQLITE_ROW) return std::unexpected(error());
    version = sqlite3_column_int(statement->get(), 0);
  }
  if (version > schema_version) {
    // A newer program's file: keep off, it will come back.
    return std::unexpected(
        DatabaseError{SQLITE_SCHEMA, "the file is of a newer version of smartmeterd"});
  }
  for (int step = std::max(version, 0); step < schema_version; ++step)
    if (auto done = execute(schema_steps[step]); !done) return done;
  if (version != schema_version) {
    const std::string sql = "PRAGMA user_version = " + std::to_string(schema_version);
    if (auto done = execute(sql.c_str()); !done) return done;
  }
  return execute("COMMIT");
}

bool Database::move_aside(const std::filesystem::path& file, const DatabaseError& why,
                          std::filesystem::path& moved_to) {
  std::error_code failed;
  if (!why.file_is_damaged() && !is_forbidden(file)) return false;
  for (int n = 1; n <= moved_aside_max; ++n) {
    moved_to = file;
    moved_to += ".corrupt-" + std::to_string(n);
    if (!std::filesystem::exists(moved_to, failed)) break;
  }
  std::filesystem::rename(file, moved_to, failed);
  if (failed) return false;
  // The journal belongs to the file that went; a new one would be ruined by it.
  for (const char* suffix : {"-wal", "-shm"}) {
    std::error_code ignored;
    std::filesystem::rename(with_suffix(file, suffix), with_suffix(moved_to, suffix), ignored);
  }
  return true;
}

std::expected<Database::BaselinesByAdapter, DatabaseError> Database::replay_baselines() {
  auto statement = prepare(
      "SELECT system_title, key_fingerprint, invocation_counter, adapter FROM replay_baseline");
  if (!statement) return std::unexpected(statement.error());
  BaselinesByAdapter baselines;
  int step = SQLITE_DONE;
  while ((step = sqlite3_step(statement->get())) == SQLITE_ROW) {
    meter::dlms::ReplayBaseline baseline;
    const std::int64_t counter = sqlite3_column_int64(statement->get(), 2);
    if (!column_octets(statement->get(), 0, baseline.system_title) ||
        !column_octets(statement->get(), 1, baseline.key_fingerprint) || counter < 0 ||
        counter > std::int64_t{UINT32_MAX})
      continue;  // not ours
    baseline.invocation_counter = static_cast<std::uint32_t>(counter);
    const auto* adapter =
        reinterpret_cast<const char*>(sqlite3_column_text(statement->get(), 3));
    if (adapter != nullptr) baselines[adapter].push_back(baseline);
  }
  if (step != SQLITE_DONE) return std::unexpected(error());
  return baselines;
}

std::expected<void, DatabaseError> Database::save_replay_baselines(
    std::string_view adapter, std::span<const meter::dlms::ReplayBaseline> baselines) {
  auto statement = prepare(
      "INSERT INTO replay_baseline VALUES (?1, ?2, ?3, ?4)"
      " ON CONFLICT DO UPDATE SET invocation_counter = excluded.invocation_counter"
      " WHERE excluded.invocation_counter > invocation_counter");
  if (!statement) return std::unexpected(statement.error());
  return transaction([&]() -> std::expected<void, DatabaseError> {
    for (const meter::dlms::ReplayBaseline& baseline : baselines) {
      bind_text(statement->get(), 1, adapter);
      bind_octets(statement->get(), 2, baseline.system_title);
      bind_octets(statement->get(), 3, baseline.key_fingerprint);
      sqlite3_bind_int64(statement->get(), 4, baseline.invocation_counter);
      if (auto done = step_to_end(*statement); !done) return done;
    }
    return {};
  });
}

std::expected<Database::LinesByAdapter, DatabaseError> Database::line_settings() {
  auto statement = prepare("SELECT adapter, line FROM line_settings");
  if (!statement) return std::unexpected(statement.error());
  LinesByAdapter lines;
  int step = SQLITE_DONE;
  while ((step = sqlite3_step(statement->get())) == SQLITE_ROW)
    lines.insert_or_assign(column_text(statement->get(), 0), column_text(statement->get(), 1));
  if (step != SQLITE_DONE) return std::unexpected(error());
  return lines;
}

std::expected<void, DatabaseError> Database::save_line_settings(std::string_view adapter,
                                                                std::string_view line) {
  auto statement = prepare("INSERT OR REPLACE INTO line_settings VALUES (?1, ?2)");
  if (!statement) return std::unexpected(statement.error());
  bind_text(statement->get(), 1, adapter);
  bind_text(statement->get(), 2, line);
  return step_to_end(*statement);
}

std::expected<Database::BacklogSizes, DatabaseError> Database::backlog_sizes() {
  auto statement = prepare(
      "SELECT broker, count(*), total(length(CAST(meter AS BLOB)) +"
      " length(CAST(payload AS BLOB)) + ?1), max(id) FROM backlog GROUP BY broker");
  if (!statement) return std::unexpected(statement.error());
  bind_number(statement->get(), 1, backlog_overhead);
  BacklogSizes sizes;
  int step = SQLITE_DONE;
  while ((step = sqlite3_step(statement->get())) == SQLITE_ROW)
    sizes.insert_or_assign(column_text(statement->get(), 0),
                           BacklogSize{.count = column_number(statement->get(), 1),
                                       .bytes = column_number(statement->get(), 2),
                                       .last_id = column_number(statement->get(), 3)});
  if (step != SQLITE_DONE) return std::unexpected(error());
  return sizes;
}

std::expected<std::vector<Backlog::Entry>, DatabaseError> Database::backlog(
    std::string_view broker, std::uint64_t after, std::size_t count_max) {
  auto statement = prepare(
      "SELECT id, meter, payload FROM backlog WHERE broker = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
  if (!statement) return std::unexpected(statement.error());
  bind_text(statement->get(), 1, broker);
  bind_number(statement->get(), 2, after);
  bind_number(statement->get(), 3, count_max);
  std::vector<Backlog::Entry> entries;
  int step = SQLITE_DONE;
  while ((step = sqlite3_step(statement->get())) == SQLITE_ROW)
    entries.push_back({.id = column_number(statement->get(), 0),
                       .meter = column_text(statement->get(), 1),
                       .payload = column_text(statement->get(), 2)});
  if (step != SQLITE_DONE) return std::unexpected(error());
  return entries;
}

std::expected<void, DatabaseError> Database::append_to_backlog(
    std::string_view broker, std::span<const Backlog::Entry> entries) {
  auto statement = prepare("INSERT OR REPLACE INTO backlog VALUES (?1, ?2, ?3, ?4)");
  if (!statement) return std::unexpected(statement.error());
  for (const Backlog::Entry& entry : entries) {
    bind_text(statement->get(), 1, broker);
    bind_number(statement->get(), 2, entry.id);
    bind_text(statement->get(), 3, entry.meter);
    bind_text(statement->get(), 4, entry.payload);
    if (auto done = step_to_end(*statement); !done) return done;
  }
  return {};
}

std::expected<Database::BacklogSize, DatabaseError> Database::remove_from_backlog(
    std::string_view broker, std::uint64_t last_id, std::uint64_t bytes) {
  BacklogSize gone;
  {
    auto oldest = prepare(
        "SELECT id, length(CAST(meter AS BLOB)) + length(CAST(payload AS BLOB)) + ?3"
        " FROM backlog WHERE broker = ?1 AND id <= ?2 ORDER BY id");
    if (!oldest) return std::unexpected(oldest.error());
    bind_text(oldest->get(), 1, broker);
    bind_number(oldest->get(), 2, std::min(last_id, std::uint64_t{INT64_MAX}));
    bind_number(oldest->get(), 3, backlog_overhead);
    int step = SQLITE_DONE;
    while (gone.bytes < bytes && (step = sqlite3_step(oldest->get())) == SQLITE_ROW) {
      ++gone.count;
      gone.bytes += column_number(oldest->get(), 1);
      gone.last_id = column_number(oldest->get(), 0);
    }
    if (step != SQLITE_DONE && step != SQLITE_ROW) return std::unexpected(error());
  }
  if (gone.count == 0) return gone;
  auto statement = prepare("DELETE FROM backlog WHERE broker = ?1 AND id <= ?2");
  if (!statement) return std::unexpected(statement.error());
  bind_text(statement->get(), 1, broker);
  bind_number(statement->get(), 2, gone.last_id);
  if (auto done = step_to_end(*statement); !done) return std::unexpected(done.error());
  return gone;
}

std::expected<void, DatabaseError> Database::step_to_end(const Statement& statement) {
  const int step = sqlite3_step(statement.get());
  const DatabaseError failure = step == SQLITE_DONE ? DatabaseError{} : error();
  sqlite3_reset(statement.get());
  if (step != SQLITE_DONE) return std::unexpected(failure);
  return {};
}

std::expected<void, DatabaseError> Database::execute(const char* sql) {
  if (sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK)
    return std::unexpected(error());
  return {};
}

std::expected<Database::Statement, DatabaseError> Database::prepare(const char* sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(db_.get(), sql, -1, &statement, nullptr) != SQLITE_OK)
    return std::unexpected(error());
  return Statement(statement);
}

}  // namespace smartmeterd::history
