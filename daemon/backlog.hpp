// SPDX-License-Identifier: Apache-2.0
// Backlog: what one broker missed, kept on disk until it has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace smartmeterd {

/// A list of messages, oldest first, that a thread keeps for the loop: no call waits for the disk.
class Backlog {
 public:
  struct Entry {
    std::uint64_t id;     ///< rises with each `append`, in this run and over restarts
    std::string meter;    ///< topic segment
    std::string payload;
  };

  /// Where there is more than the size limit allows, the oldest makes room.
  virtual void append(std::string_view meter, std::string_view payload) = 0;
  /// Asks for the oldest entries with an id above `after`, `count_max` at most. A new question
  /// replaces the one before.
  virtual void fetch(std::uint64_t after, std::size_t count_max) = 0;
  /// Readable once there is an answer.
  virtual int event_fd() const noexcept = 0;
  /// The answer; empty where there is none left, or none to be had. Nothing: not yet.
  virtual std::optional<std::vector<Entry>> take_fetched() = 0;
  /// The broker has this entry and every one before it: they are removed. To be called for each
  /// entry, in order.
  virtual void acknowledge(std::uint64_t id) = 0;

  /// Entries that wait for the broker.
  virtual std::uint64_t stored() const = 0;
  /// Entries given up since start, for want of room.
  virtual std::uint64_t dropped() const = 0;

 protected:
  ~Backlog() = default;
};

}  // namespace smartmeterd
