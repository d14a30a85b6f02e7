// SPDX-License-Identifier: Apache-2.0
// Values into an SQLite statement, and out of one.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace smartmeterd::history {

/// The text has to live until the statement is reset.
inline void bind_text(sqlite3_stmt* statement, int at, std::string_view text) {
  sqlite3_bind_text(statement, at, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
}

inline void bind_number(sqlite3_stmt* statement, int at, std::uint64_t number) {
  sqlite3_bind_int64(statement, at, static_cast<std::int64_t>(number));
}

inline std::uint64_t column_number(sqlite3_stmt* statement, int at) {
  return static_cast<std::uint64_t>(sqlite3_column_int64(statement, at));
}

/// Lives until the statement's next step.
inline std::string_view column_view(sqlite3_stmt* statement, int at) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, at));
  if (text == nullptr) return {};
  return {text, static_cast<std::size_t>(sqlite3_column_bytes(statement, at))};
}

inline std::string column_text(sqlite3_stmt* statement, int at) {
  return std::string(column_view(statement, at));
}

}  // namespace smartmeterd::history
