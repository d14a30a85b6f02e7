// SPDX-License-Identifier: Apache-2.0
// StoredBacklog: one broker's backlog in the state database.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/backlog.hpp"
#include "daemon/history/database.hpp"
#include "daemon/history/shared.hpp"

namespace smartmeterd::history {

/// A queue in front of the table. What the broker takes before it was to be written never reaches
/// the disk.
class StoredBacklog final : public Backlog {
 public:
  using Clock = std::chrono::steady_clock;

  /// `size`: what the file holds. Throws std::system_error.
  StoredBacklog(Shared& shared, std::string broker, const Database::BacklogSize& size,
                std::chrono::milliseconds write_interval);
  ~StoredBacklog();
  StoredBacklog(const StoredBacklog&) = delete;
  StoredBacklog& operator=(const StoredBacklog&) = delete;

  // The loop's.
  void limit(std::uint64_t bytes_max);
  void append(std::string_view meter, std::string_view payload) override;
  void fetch(std::uint64_t after, std::size_t count_max) override;
  int event_fd() const noexcept override { return event_fd_; }
  std::optional<std::vector<Entry>> take_fetched() override;
  void acknowledge(std::uint64_t id) override;
  std::uint64_t stored() const override;
  std::uint64_t dropped() const override;

  // The storage thread's, with the mutex held …
  bool has_question() const noexcept { return question_.has_value(); }
  /// When what waits has to be written; nothing waits: the end of time.
  Clock::time_point write_at() const noexcept { return write_at_; }
  /// Takes what waits. `write` and `written` follow.
  void begin_write();
  /// Another file is used from now on, which holds this; or the first one.
  void file_changed(const Database::BacklogSize& size, bool is_first);
  // … and without it.
  /// Inside of a transaction; once more where that one came to nothing.
  std::expected<void, DatabaseError> write(Database& database);
  /// The transaction was committed. Or it was not: what it had waits again.
  void written(bool is_committed);
  /// Without a database the answer is empty.
  std::expected<void, DatabaseError> answer(Database* database);

 private:
  struct Question {
    std::uint64_t after;
    std::size_t count_max;
  };

  void give_up_oldest_waiting();
  void change_waits();
  std::optional<std::vector<Entry>> take_answer();

  Shared& shared_;
  const std::string broker_;
  const std::chrono::milliseconds write_interval_;
  const int event_fd_;

  // Guarded by the mutex.
  std::uint64_t bytes_max_ = 0;
  std::uint64_t last_id_;
  std::deque<Entry> waiting_;  ///< to be written
  std::uint64_t waiting_bytes_ = 0;
  std::uint64_t acknowledged_id_ = 0;     ///< everything up to it is to be removed
  std::uint64_t acknowledged_count_ = 0;  ///< of it, what is in the file or on its way there
  Database::BacklogSize in_file_;         ///< written by the thread alone
  std::uint64_t on_its_way_ = 0;          ///< entries that are being written
  std::uint64_t dropped_ = 0;
  Clock::time_point write_at_ = Clock::time_point::max();
  std::optional<Question> question_;
  std::optional<std::vector<Entry>> fetched_;

  /// What is being written; the thread's own.
  struct Writing {
    std::vector<Entry> entries;
    std::uint64_t acknowledged_id = 0;
    std::uint64_t acknowledged_count = 0;
    std::uint64_t bytes_max = 0;
    Database::BacklogSize in_file;  ///< after the transaction
    std::uint64_t dropped = 0;
  } writing_;
};

}  // namespace smartmeterd::history
