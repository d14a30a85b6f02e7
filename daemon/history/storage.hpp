// SPDX-License-Identifier: Apache-2.0
// Storage: the one thread that touches disk files after start.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/backlog.hpp"
#include "daemon/history/history.hpp"
#include "meter/dlms/security.hpp"

namespace smartmeterd::history {

/// The state database (SQLite, state.db in the state directory) behind a bounded queue.
/// Replay baselines, line settings, the history, and what brokers that are away miss.
class Storage {
 public:
  virtual ~Storage() = default;  ///< writes what is queued, then joins
  /// Flash wears out: an adapter, and what brokers miss, is written at most once in this time.
  static constexpr std::chrono::milliseconds write_interval_default{30'000};
  /// The same of the history, which has rows each quarter hour; the clock may be set meanwhile.
  static constexpr std::chrono::milliseconds history_interval_default{14 * 60'000};
  /// Never throws: without a usable directory it keeps nothing, and `problem()` says why.
  static std::unique_ptr<Storage> open(
      const std::filesystem::path& directory,
      std::chrono::milliseconds write_interval = write_interval_default,
      std::chrono::milliseconds history_interval = history_interval_default);
  /// False in a build that has no database at all.
  static bool is_built_in() noexcept;
  virtual std::string problem() const = 0;

  /// What was saved last, in this run or a former one. The file was read by `open`.
  virtual std::vector<meter::dlms::ReplayBaseline> replay_baselines(std::string_view adapter) = 0;
  /// Queues a write (at most one transaction per adapter and 30 s; the newest wins); never blocks.
  virtual void save_replay_baselines(std::string_view adapter,
                                     std::span<const meter::dlms::ReplayBaseline> baselines) = 0;
  /// The line settings that were proven on this adapter, "2400-8E1"; empty: none.
  virtual std::string line_settings(std::string_view adapter) = 0;
  /// As above; never blocks.
  virtual void save_line_settings(std::string_view adapter, std::string_view line) = 0;
  /// What the broker of this name misses, also from a former run; lives as long as the storage.
  /// Asked again it is the same one, with a new limit. Null where nothing can be kept, and
  /// `problem` says why.
  virtual Backlog* backlog(std::string_view broker, std::size_t bytes_max) = 0;
  /// Of all meters; lives as long as the storage. Null as above.
  virtual History* history() = 0;
  /// Messages that a full queue dropped.
  virtual std::size_t dropped() const noexcept = 0;
};

}  // namespace smartmeterd::history
