// SPDX-License-Identifier: Apache-2.0
// The history's tables.
#include <algorithm>
#include <utility>

#include "daemon/history/database.hpp"
#include "daemon/history/statement.hpp"

namespace smartmeterd::history {

namespace {

/// Rows before those that were asked for: a value that fell is understood by what is around it …
constexpr std::size_t earlier_rows_min = 8;
/// … and a register may be sent but once a month.
constexpr std::uint64_t earlier_rows_max = 31 * 86'400 / quarter_s;

/// ["energy_import","power_import"]: names have no character that JSON would want written
/// otherwise.
std::string json_of(const std::vector<std::string>& names) {
  std::string json = "[";
  for (const std::string& name : names) {
    if (json.size() > 1) json += ',';
    json += '"' + name + '"';
  }
  return json += ']';
}

std::vector<std::string> names_of(std::string_view json) {
  std::vector<std::string> names;
  for (std::size_t begin = 0; (begin = json.find('"', begin)) != json.npos;) {
    const auto end = json.find('"', begin + 1);
    if (end == json.npos) break;
    names.emplace_back(json.substr(begin + 1, end - begin - 1));
    begin = end + 1;
  }
  return names;
}

/// True where a name was added.
bool add_names(const QuarterHour& row, std::vector<std::string>& names) {
  const std::size_t before = names.size();
  for (const QuarterHour::Column& column : row.columns)
    if (column.count > 0 && std::ranges::find(names, column.name) == names.end())
      names.push_back(column.name);
  return names.size() > before;
}

/// The columns start, telegrams and payload; false where they are not ours.
bool take_row(sqlite3_stmt* statement, std::span<const std::string> names, QuarterHour& row) {
  row.start_s = sqlite3_column_int64(statement, 0);
  row.telegrams = static_cast<std::uint32_t>(sqlite3_column_int64(statement, 1));
  return row.telegrams > 0 && read_payload(column_view(statement, 2), names, row);
}

}  // namespace

std::expected<std::optional<Database::HistoryMeter>, DatabaseError> Database::history_meter(
    std::string_view meter) {
  auto statement = prepare("SELECT id, names FROM history_meter WHERE meter = ?1");
  if (!statement) return std::unexpected(statement.error());
  bind_text(statement->get(), 1, meter);
  const int step = sqlite3_step(statement->get());
  if (step == SQLITE_DONE) return std::nullopt;
  if (step != SQLITE_ROW) return std::unexpected(error());
  return HistoryMeter{.id = sqlite3_column_int64(statement->get(), 0),
                      .names = names_of(column_view(statement->get(), 1))};
}

std::expected<Database::HistoryMeter, DatabaseError> Database::add_history_meter(
    std::string_view meter) {
  auto statement = prepare("INSERT INTO history_meter (meter, names) VALUES (?1, '[]')");
  if (!statement) return std::unexpected(statement.error());
  bind_text(statement->get(), 1, meter);
  if (auto done = step_to_end(*statement); !done) return std::unexpected(done.error());
  return HistoryMeter{.id = sqlite3_last_insert_rowid(db_.get()), .names = {}};
}

std::expected<void, DatabaseError> Database::save_history_names(const HistoryMeter& meter) {
  auto statement = prepare("UPDATE history_meter SET names = ?2 WHERE id = ?1");
  if (!statement) return std::unexpected(statement.error());
  const std::string names = json_of(meter.names);
  sqlite3_bind_int64(statement->get(), 1, meter.id);
  bind_text(statement->get(), 2, names);
  return step_to_end(*statement);
}

std::expected<Database::HistorySize, DatabaseError> Database::history_size() {
  if (auto done = check(std::string(history_table)); !done) return std::unexpected(done.error());
  if (auto done = execute("DELETE FROM history_meter WHERE id NOT IN (SELECT meter FROM history)");
      !done)
    return std::unexpected(done.error());
  auto statement = prepare(
      "SELECT count(*), total(bytes) FROM"
      " (SELECT total(length(payload) + ?1) AS bytes FROM history GROUP BY start)");
  if (!statement) return std::unexpected(statement.error());
  bind_number(statement->get(), 1, history_overhead);
  if (sqlite3_step(statement->get()) != SQLITE_ROW) return std::unexpected(error());
  return HistorySize{.quarters = column_number(statement->get(), 0),
                     .bytes = column_number(statement->get(), 1)};
}

std::expected<void, DatabaseError> Database::merge_into_history(const QuarterHour& row,
                                                                HistorySize& size) {
  auto known = history_meter(row.meter);
  if (!known) return std::unexpected(known.error());
  if (!*known) {
    auto added = add_history_meter(row.meter);
    if (!added) return std::unexpected(added.error());
    *known = std::move(*added);
  }
  HistoryMeter& meter = **known;
  if (add_names(row, meter.names))
    if (auto done = save_history_names(meter); !done) return done;
  auto there = prepare(
      "SELECT start, telegrams, payload FROM history"
      " WHERE start = ?1 AND meter = ?2");
  if (!there) return std::unexpected(there.error());
  sqlite3_bind_int64(there->get(), 1, row.start_s);
  sqlite3_bind_int64(there->get(), 2, meter.id);
  const int step = sqlite3_step(there->get());
  if (step != SQLITE_ROW && step != SQLITE_DONE) return std::unexpected(error());
  QuarterHour merged;
  const QuarterHour* now = &row;
  if (step == SQLITE_ROW) {
    size.bytes -= std::min(column_view(there->get(), 2).size() + history_overhead, size.bytes);
    if (take_row(there->get(), meter.names, merged)) {
      merged.merge(row);
      now = &merged;
    }
  } else {
    auto others = prepare("SELECT 1 FROM history WHERE start = ?1 LIMIT 1");
    if (!others) return std::unexpected(others.error());
    sqlite3_bind_int64(others->get(), 1, row.start_s);
    if (sqlite3_step(others->get()) == SQLITE_DONE) ++size.quarters;
  }
  const std::string payload = payload_of(*now, meter.names);
  size.bytes += payload.size() + history_overhead;
  return save_history_row(meter.id, *now, payload);
}

std::expected<void, DatabaseError> Database::save_history_row(std::int64_t meter,
                                                              const QuarterHour& row,
                                                              std::string_view payload) {
  auto statement = prepare("INSERT OR REPLACE INTO history VALUES (?1, ?2, ?3, ?4)");
  if (!statement) return std::unexpected(statement.error());
  sqlite3_bind_int64(statement->get(), 1, row.start_s);
  sqlite3_bind_int64(statement->get(), 2, meter);
  sqlite3_bind_int64(statement->get(), 3, row.telegrams);
  bind_text(statement->get(), 4, payload);
  return step_to_end(*statement);
}

std::expected<void, DatabaseError> Database::trim_history(std::uint64_t quarters_max,
                                                          std::uint64_t bytes_max,
                                                          HistorySize& size) {
  auto oldest = prepare(
      "SELECT start, total(length(payload) + ?1) FROM history"
      " WHERE start = (SELECT min(start) FROM history)");
  if (!oldest) return std::unexpected(oldest.error());
  auto remove = prepare("DELETE FROM history WHERE start = ?1");
  if (!remove) return std::unexpected(remove.error());
  // The newest one stays, whatever its size.
  while (size.quarters > 1 && (size.quarters > quarters_max || size.bytes > bytes_max)) {
    bind_number(oldest->get(), 1, history_overhead);
    if (sqlite3_step(oldest->get()) != SQLITE_ROW) return std::unexpected(error());
    sqlite3_bind_int64(remove->get(), 1, sqlite3_column_int64(oldest->get(), 0));
    size.bytes -= std::min(column_number(oldest->get(), 1), size.bytes);
    --size.quarters;
    sqlite3_reset(oldest->get());
    if (auto done = step_to_end(*remove); !done) return done;
  }
  return {};
}

std::expected<void, DatabaseError> Database::forget_history() {
  {
    auto any = prepare("SELECT 1 FROM history_meter LIMIT 1");
    if (!any) return std::unexpected(any.error());
    const int step = sqlite3_step(any->get());
    if (step == SQLITE_DONE) return {};
    if (step != SQLITE_ROW) return std::unexpected(error());
  }
  auto done =
      transaction([this] { return execute("DELETE FROM history; DELETE FROM history_meter;"); });
  if (!done) return done;
  return execute("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);");
}

std::expected<void, DatabaseError> Database::read_history(
    std::string_view meter, std::int64_t from_s, std::int64_t to_s,
    const std::function<bool(QuarterHour&)>& take) {
  const auto known = history_meter(meter);
  if (!known) return std::unexpected(known.error());
  if (!*known) return {};
  auto statement = prepare(
      "SELECT start, telegrams, payload FROM history"
      " WHERE start >= ?1 AND start < ?2 AND meter = ?3 ORDER BY start");
  if (!statement) return std::unexpected(statement.error());
  sqlite3_bind_int64(statement->get(), 1, from_s);
  sqlite3_bind_int64(statement->get(), 2, to_s);
  sqlite3_bind_int64(statement->get(), 3, (*known)->id);
  QuarterHour row;
  int step = SQLITE_DONE;
  while ((step = sqlite3_step(statement->get())) == SQLITE_ROW)
    if (take_row(statement->get(), (*known)->names, row) && !take(row)) return {};
  if (step != SQLITE_DONE) return std::unexpected(error());
  return {};
}

std::expected<std::vector<QuarterHour>, DatabaseError> Database::history_before(
    std::string_view meter, std::int64_t from_s) {
  std::vector<QuarterHour> rows;
  const auto known = history_meter(meter);
  if (!known) return std::unexpected(known.error());
  if (!*known) return rows;
  // Of a meter without earlier rows the whole table is read: 34 ms of 54 MiB, as measured. An index
  // by meter would cost a page for each meter and quarter hour, which wears out the flash.
  auto statement = prepare(
      "SELECT start, telegrams, payload FROM history"
      " WHERE start < ?1 AND meter = ?2 ORDER BY start DESC LIMIT ?3");
  if (!statement) return std::unexpected(statement.error());
  sqlite3_bind_int64(statement->get(), 1, from_s);
  sqlite3_bind_int64(statement->get(), 2, (*known)->id);
  bind_number(statement->get(), 3, earlier_rows_max);
  std::vector<std::string> seen;
  QuarterHour row;
  int step = SQLITE_DONE;
  while ((step = sqlite3_step(statement->get())) == SQLITE_ROW) {
    if (!take_row(statement->get(), (*known)->names, row)) continue;
    if (add_names(row, seen) || rows.size() < earlier_rows_min) rows.push_back(row);
    if (rows.size() >= earlier_rows_min && seen.size() == (*known)->names.size()) break;
  }
  if (step != SQLITE_DONE && step != SQLITE_ROW) return std::unexpected(error());
  std::ranges::reverse(rows);
  return rows;
}

}  // namespace smartmeterd::history
