// SPDX-License-Identifier: Apache-2.0
// StoredHistory: the quarter hours of all meters in the state database.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <expected>
#include <memory>
#include <optional>
#include <vector>

#include "daemon/history/database.hpp"
#include "daemon/history/history.hpp"
#include "daemon/history/shared.hpp"

namespace smartmeterd::history {

/// A queue in front of the tables.
class StoredHistory final : public History {
 public:
  using Clock = std::chrono::steady_clock;

  /// At least `write_interval` between two transactions, `retry_interval` after one that failed.
  /// Throws std::system_error.
  StoredHistory(Shared& shared, std::chrono::milliseconds write_interval,
                std::chrono::milliseconds retry_interval);
  ~StoredHistory();
  StoredHistory(const StoredHistory&) = delete;
  StoredHistory& operator=(const StoredHistory&) = delete;

  // The loop's.
  void configure(const HistoryConfig& config) override;
  void append(std::vector<QuarterHour> rows) override;
  void ask(std::uint64_t id, HistoryQuestion question, std::optional<QuarterHour> running) override;
  int event_fd() const noexcept override { return event_fd_; }
  std::vector<Answered> take_answers() override;
  std::uint64_t written() const override;
  std::uint64_t dropped() const override;

  // The storage thread's, with the mutex held …
  bool has_question() const noexcept { return !questions_.empty(); }
  /// When what waits has to be written; nothing waits: the end of time.
  Clock::time_point write_at() const noexcept { return write_at_; }
  /// Takes what waits. `write` and `written` follow.
  void begin_write();
  // … and without it.
  /// All in one transaction; once more where that one came to nothing.
  std::expected<void, DatabaseError> write(Database& database);
  /// The transaction was committed. Or it was not: what it had waits again.
  void written(bool is_committed);
  /// Another file is used from now on.
  void file_changed() noexcept { totals_.reset(); }
  /// Answers one question. `problem`: why there is no database.
  std::expected<void, DatabaseError> answer(Database* database, std::string_view problem);

 private:
  struct Question {
    std::uint64_t id;
    HistoryQuestion question;
    std::optional<QuarterHour> running;
  };
  /// All meters at the end of a quarter hour; what a question reads of them it reads without mutex.
  using Batch = std::shared_ptr<const std::vector<QuarterHour>>;

  void change_waits();
  void drop_oldest();
  std::expected<void, DatabaseError> change(Database& database);

  Shared& shared_;
  const std::chrono::milliseconds write_interval_;
  const std::chrono::milliseconds retry_interval_;
  const int event_fd_;

  // Guarded by the mutex.
  HistoryConfig config_;
  std::deque<Batch> waiting_;
  bool is_unwanted_ = false;  ///< what there is is to be deleted
  Clock::time_point write_at_ = Clock::time_point::max();
  Clock::time_point may_write_at_ = Clock::time_point::min();
  std::deque<Question> questions_;
  std::vector<Answered> answers_;
  std::uint64_t written_ = 0;
  std::uint64_t dropped_ = 0;

  // The thread's own.
  std::optional<Database::HistorySize> totals_;  ///< of the file; nothing: not looked yet
  struct Writing {
    std::deque<Batch> batches;
    HistoryConfig config;
    bool is_unwanted = false;
    Database::HistorySize totals;  ///< after the transaction
  } writing_;
};

}  // namespace smartmeterd::history
