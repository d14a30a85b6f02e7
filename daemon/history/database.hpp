// SPDX-License-Identifier: Apache-2.0
// Database: the state file, opened, mended and written. Used by one thread at a time.
#pragma once

#include <sqlite3.h>

#include <expected>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/backlog.hpp"
#include "meter/dlms/security.hpp"

namespace smartmeterd::history {

/// What SQLite said when something failed.
struct DatabaseError {
  int code;
  std::string text;
  /// The file is not a database, is damaged, or may not be written: a new one helps.
  bool file_is_unusable() const noexcept;
};

/// SQLite in WAL mode with synchronous=NORMAL: a crash or power cut may lose the last
/// transactions, never the file (sqlite.org/wal.html), and costs no sync per transaction.
class Database {
 public:
  using Baselines = std::vector<meter::dlms::ReplayBaseline>;

  /// Opens or makes the file, checks it, brings the schema up.
  static std::expected<Database, DatabaseError> open(const std::filesystem::path& file);
  /// Moves an unusable file (and its journal) aside as "<file>.corrupt-<n>"; false if it cannot.
  static bool move_aside(const std::filesystem::path& file, std::filesystem::path& moved_to);

  using BaselinesByAdapter = std::map<std::string, Baselines, std::less<>>;
  std::expected<BaselinesByAdapter, DatabaseError> replay_baselines();
  /// One transaction. A counter that is already higher stays.
  std::expected<void, DatabaseError> save_replay_baselines(
      std::string_view adapter, std::span<const meter::dlms::ReplayBaseline> baselines);

  using LinesByAdapter = std::map<std::string, std::string, std::less<>>;
  std::expected<LinesByAdapter, DatabaseError> line_settings();
  std::expected<void, DatabaseError> save_line_settings(std::string_view adapter,
                                                        std::string_view line);

  /// Of one broker's backlog, or of a part of it.
  struct BacklogSize {
    std::uint64_t count = 0;
    std::uint64_t bytes = 0;    ///< as `bytes_of` counts
    std::uint64_t last_id = 0;  ///< 0: empty
  };
  /// What an entry costs against the size limit: its texts, and about what the file adds.
  static std::uint64_t bytes_of(const Backlog::Entry& entry) noexcept {
    return entry.meter.size() + entry.payload.size() + backlog_overhead;
  }
  using BacklogSizes = std::map<std::string, BacklogSize, std::less<>>;
  /// By broker.
  std::expected<BacklogSizes, DatabaseError> backlog_sizes();
  /// The oldest with an id above `after`, by id.
  std::expected<std::vector<Backlog::Entry>, DatabaseError> backlog(std::string_view broker,
                                                                    std::uint64_t after,
                                                                    std::size_t count_max);
  std::expected<void, DatabaseError> append_to_backlog(std::string_view broker,
                                                       std::span<const Backlog::Entry> entries);
  /// Removes the oldest entries, up to this id or until as many bytes went; the size of what went.
  std::expected<BacklogSize, DatabaseError> remove_from_backlog(std::string_view broker,
                                                                std::uint64_t last_id,
                                                                std::uint64_t bytes);

  /// All of what `change` does, or nothing of it.
  template <class Change>
  std::expected<void, DatabaseError> transaction(Change change) {
    if (auto done = execute("BEGIN IMMEDIATE"); !done) return done;
    std::expected<void, DatabaseError> done = change();
    if (done) done = execute("COMMIT");
    if (!done) (void)execute("ROLLBACK");
    return done;
  }

 private:
  static constexpr std::uint64_t backlog_overhead = 64;
  template <int (*close)(sqlite3*)>
  struct CloseDatabase {
    void operator()(sqlite3* db) const noexcept { close(db); }
  };
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
  };
  using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

  Database() = default;
  DatabaseError error() const;
  std::expected<void, DatabaseError> execute(const char* sql);
  std::expected<Statement, DatabaseError> prepare(const char* sql);
  /// Runs a statement that gives no rows, and makes it ready for the next time.
  std::expected<void, DatabaseError> step_to_end(const Statement& statement);
  std::expected<void, DatabaseError> check();
  std::expected<void, DatabaseError> bring_schema_up();

  std::unique_ptr<sqlite3, CloseDatabase<sqlite3_close>> db_;
};

}  // namespace smartmeterd::history
