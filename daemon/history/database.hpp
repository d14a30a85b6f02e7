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

 private:
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
  std::expected<void, DatabaseError> check();
  std::expected<void, DatabaseError> bring_schema_up();

  std::unique_ptr<sqlite3, CloseDatabase<sqlite3_close>> db_;
};

}  // namespace smartmeterd::history
