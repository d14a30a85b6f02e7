// SPDX-License-Identifier: Apache-2.0
// History: the quarter hours of all meters on disk, for the loop.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "daemon/history/quarter_hour.hpp"
#include "daemon/model.hpp"

namespace smartmeterd::history {

/// A thread keeps them: no call waits for the disk.
class History {
 public:
  /// How much is kept. 0 days: what there is is deleted.
  virtual void configure(const HistoryConfig& config) = 0;
  /// Rows of all meters of a quarter hour. They are written soon, in one transaction, unless
  /// another one was written less than a quarter hour ago; then as soon as that is over. Later rows
  /// of the same quarter hour are merged with those that are there.
  virtual void append(std::vector<QuarterHour> rows) = 0;
  /// `running`: what is not appended yet. Each question is answered.
  virtual void ask(std::uint64_t id, HistoryQuestion question,
                   std::optional<QuarterHour> running) = 0;
  /// Readable once there are answers.
  virtual int event_fd() const noexcept = 0;
  struct Answered {
    std::uint64_t id;
    HistoryAnswer answer;
  };
  virtual std::vector<Answered> take_answers() = 0;

  /// Rows since start.
  virtual std::uint64_t written() const = 0;
  /// Rows given up since start, because they could not be written for too long.
  virtual std::uint64_t dropped() const = 0;

 protected:
  ~History() = default;
};

}  // namespace smartmeterd::history
