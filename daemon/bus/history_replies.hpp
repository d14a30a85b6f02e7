// SPDX-License-Identifier: Apache-2.0
// HistoryReplies: calls of Meter.History until they are answered.
#pragma once

#include <systemd/sd-bus.h>

#include <cstddef>
#include <functional>
#include <list>
#include <memory>

#include "daemon/bus/connection.hpp"
#include "daemon/io/loop.hpp"
#include "daemon/model.hpp"

namespace smartmeterd::bus {

/// A long answer is written in slices, one for each turn of the loop: no meter waits for it.
class HistoryReplies {
 public:
  /// Questions at once, of all clients: each holds its rows in memory.
  static constexpr std::size_t questions_max = 4;
  /// An answer, far below what a bus takes of one message before it disconnects (32 MiB).
  static constexpr std::size_t answer_size_max = 16UZ << 20;

  using Ask = std::function<void(HistoryQuestion, HistoryDone)>;

  explicit HistoryReplies(io::Loop& loop);

  bool is_full() const noexcept { return replies_.size() >= questions_max; }
  /// Answers `call` once `ask` has said what to; nobody hears it where the caller or the bus is
  /// gone by then.
  void add(sd_bus_message* call, HistoryQuestion question, const Ask& ask);

 private:
  struct Reply;
  void answered(Reply& reply, HistoryAnswer answer);
  void write_slice();
  void refuse(const Reply& reply, const char* name, const std::string& message);
  void remove(const Reply& reply);

  io::Loop& loop_;
  std::list<std::shared_ptr<Reply>> replies_;
  io::Operation turn_;
};

}  // namespace smartmeterd::bus
