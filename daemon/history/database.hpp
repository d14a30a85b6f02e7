// SPDX-License-Identifier: Apache-2.0
// Database: the state file, opened, mended and written. Used by one thread at a time.
#pragma once

#include <sqlite3.h>
#include <sys/types.h>

#include <expected>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/backlog.hpp"
#include "daemon/history/quarter_hour.hpp"
#include "meter/dlms/security.hpp"

namespace smartmeterd::history {

/// What SQLite said when something failed.
struct DatabaseError {
  int code;
  std::string text;
  /// The file is not a database, is damaged, or may not be written: to open it again may help.
  bool file_is_unusable() const noexcept;
  /// It is not a database, or not whole.
  bool file_is_damaged() const noexcept;
};

/// SQLite in WAL mode with synchronous=NORMAL: a crash or power cut may lose the last
/// transactions, never the file (sqlite.org/wal.html), and costs no sync per transaction. Those of
/// the history, one in a quarter hour, are durable.
class Database {
 public:
  using Baselines = std::vector<meter::dlms::ReplayBaseline>;

  /// `quick` leaves the history out, which is most of the file.
  enum class Check : std::uint8_t { quick, full };
  /// Opens or makes the file, checks it, brings the schema up.
  static std::expected<Database, DatabaseError> open(const std::filesystem::path& file,
                                                     Check check);
  /// Moves a file that `why` speaks of (and its journal) aside as "<file>.corrupt-<n>"; false if it
  /// cannot, or where a new one would be no better: on a disk that is full or may not be written.
  static bool move_aside(const std::filesystem::path& file, const DatabaseError& why,
                         std::filesystem::path& moved_to);
  /// True where the file, or its journal, is no longer what has its name: it was removed, or
  /// another one is in its place. The journal that stayed behind would ruin that one: it goes.
  bool leave_if_moved();

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

  /// Of all meters' history. What is in the tables, and how a person reads them, says the schema.
  struct HistorySize {
    std::uint64_t quarters = 0;  ///< quarter hours with a row of at least one meter
    std::uint64_t bytes = 0;
  };
  /// Also finds what is damaged there, and removes meters without rows. Inside of a transaction.
  std::expected<HistorySize, DatabaseError> history_size();
  /// Adds a row, or merges it with what is there. Inside of a transaction.
  std::expected<void, DatabaseError> merge_into_history(const QuarterHour& row, HistorySize& size);
  /// Removes the oldest quarter hours until no more than these are left. Inside of a transaction.
  std::expected<void, DatabaseError> trim_history(std::uint64_t quarters_max,
                                                  std::uint64_t bytes_max, HistorySize& size);
  /// Removes all of it, from the disk too.
  std::expected<void, DatabaseError> forget_history();
  /// Calls `take` for each row of the meter from `from_s` to before `to_s`, in order, until it
  /// returns false. The row may be changed; it lives during the call.
  std::expected<void, DatabaseError> read_history(std::string_view meter, std::int64_t from_s,
                                                  std::int64_t to_s,
                                                  const std::function<bool(QuarterHour&)>& take);
  /// Some rows before `from_s`, in order: enough to know what each register was.
  std::expected<std::vector<QuarterHour>, DatabaseError> history_before(std::string_view meter,
                                                                        std::int64_t from_s);

  /// All of what `change` does, or nothing of it.
  template <class Change>
  std::expected<void, DatabaseError> transaction(Change change) {
    if (auto done = execute("BEGIN IMMEDIATE"); !done) return done;
    std::expected<void, DatabaseError> done = change();
    if (done) done = execute("COMMIT");
    if (!done) (void)execute("ROLLBACK");
    return done;
  }

  /// As above; afterwards no power cut undoes it, nor any transaction before it.
  template <class Change>
  std::expected<void, DatabaseError> durable_transaction(Change change) {
    if (auto done = execute("PRAGMA synchronous = FULL"); !done) return done;
    auto done = transaction(change);
    // Should this fail, more is synced than has to be.
    (void)execute("PRAGMA synchronous = NORMAL");
    return done;
  }

 private:
  static constexpr std::uint64_t backlog_overhead = 64;
  static constexpr std::uint64_t history_overhead = 36;  ///< of a row, as measured
  static constexpr std::string_view history_table = "history";
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
  std::expected<void, DatabaseError> check(Check how);
  /// Of one table, by its name.
  std::expected<void, DatabaseError> check(const std::string& table);
  struct HistoryMeter {
    std::int64_t id = 0;
    std::vector<std::string> names;  ///< what stands where in a row
  };
  /// Nothing: no row of it.
  std::expected<std::optional<HistoryMeter>, DatabaseError> history_meter(std::string_view meter);
  std::expected<HistoryMeter, DatabaseError> add_history_meter(std::string_view meter);
  std::expected<void, DatabaseError> save_history_names(const HistoryMeter& meter);
  std::expected<void, DatabaseError> save_history_row(std::int64_t meter, const QuarterHour& row,
                                                      std::string_view payload);
  std::expected<void, DatabaseError> bring_schema_up();

  std::unique_ptr<sqlite3, CloseDatabase<sqlite3_close>> db_;
  ino_t journal_ = 0;  ///< inode of the "-wal" while this is open
};

}  // namespace smartmeterd::history
