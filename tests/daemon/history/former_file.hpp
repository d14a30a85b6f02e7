// SPDX-License-Identifier: Apache-2.0
// State databases as earlier versions left them.
#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <string>

namespace smartmeterd::history {

/// The tables of version 2 with the line settings of the adapter "a", and `more`: later tables, and
/// the version.
inline void write_former_file(const std::filesystem::path& file, const std::string& more) {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(file.c_str(), &database), SQLITE_OK);
  const std::string sql =
      "CREATE TABLE replay_baseline (adapter TEXT NOT NULL,"
      " system_title BLOB NOT NULL, key_fingerprint BLOB NOT NULL,"
      " invocation_counter INTEGER NOT NULL,"
      " PRIMARY KEY (adapter, system_title, key_fingerprint)) WITHOUT ROWID;"
      "CREATE TABLE line_settings (adapter TEXT PRIMARY KEY,"
      " line TEXT NOT NULL) WITHOUT ROWID;"
      "INSERT INTO line_settings VALUES ('a', '2400-8E1');" +
      more;
  EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
}

}  // namespace smartmeterd::history
