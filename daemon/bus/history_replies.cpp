// SPDX-License-Identifier: Apache-2.0
// HistoryReplies: rows into a message, a few at a time.
#include "daemon/bus/history_replies.hpp"

#include <algorithm>
#include <utility>

#include "daemon/bus/error.hpp"
#include "daemon/bus/interfaces.hpp"
#include "daemon/bus/writer.hpp"

namespace smartmeterd::bus {
namespace {

/// About a millisecond's work.
constexpr std::size_t rows_per_turn = 100;
/// Of a row, and of a value beside its key, at most: lengths, numbers and padding.
constexpr std::size_t row_size = 24, value_size = 28;

std::size_t size_of(const HistoryRow& row) noexcept {
  std::size_t size = row_size;
  for (const auto& [key, value] : row.values) size += key.size() + value_size;
  return size;
}

Error error_of(HistoryAnswer::Error error) noexcept {
  switch (error) {
    case HistoryAnswer::Error::invalid_option:
      return Error::invalid_option;
    case HistoryAnswer::Error::limit_reached:
      return Error::limit_reached;
    case HistoryAnswer::Error::not_supported:
      return Error::not_supported;
    case HistoryAnswer::Error::none:
    case HistoryAnswer::Error::failed:
      break;
  }
  return Error::io_error;
}

}  // namespace

struct HistoryReplies::Reply {
  explicit Reply(sd_bus_message* of) : call(sd_bus_message_ref(of)) {}

  const Message call;
  bool is_answered = false;
  HistoryAnswer answer;
  std::size_t written = 0;  ///< rows
  std::size_t size = 0;
  Message message;
};

HistoryReplies::HistoryReplies(io::Loop& loop)
    : loop_(loop), turn_([this](int result) {
        if (result == 0) write_slice();
      }) {}

void HistoryReplies::add(sd_bus_message* call, HistoryQuestion question, const Ask& ask) {
  const auto reply = replies_.emplace_back(std::make_shared<Reply>(call));
  // The answer may come when this is gone, and with it every reply.
  ask(std::move(question), [this, weak = std::weak_ptr(reply)](HistoryAnswer answer) {
    if (const auto there = weak.lock()) answered(*there, std::move(answer));
  });
}

void HistoryReplies::answered(Reply& reply, HistoryAnswer answer) {
  if (answer.error != HistoryAnswer::Error::none)
    return refuse(reply, name(error_of(answer.error)), answer.message);
  reply.is_answered = true;
  reply.answer = std::move(answer);
  if (!turn_.pending()) loop_.timer(turn_, loop_.now());
}

void HistoryReplies::write_slice() {
  const auto found = std::ranges::find_if(replies_, [](const auto& r) { return r->is_answered; });
  if (found == replies_.end()) return;
  loop_.timer(turn_, loop_.now());
  Reply& reply = **found;
  if (!reply.message) {
    sd_bus_message* created = nullptr;
    if (sd_bus_message_new_method_return(reply.call.get(), &created) < 0) return remove(reply);
    reply.message.reset(created);
    Writer(created).open('a', "(ta{sd})");
  }
  Writer writer(reply.message.get());
  std::vector<HistoryRow>& rows = reply.answer.rows;
  const std::size_t end = std::min(reply.written + rows_per_turn, rows.size());
  for (; reply.written < end; ++reply.written) {
    const HistoryRow row = std::exchange(rows[reply.written], {});
    reply.size += size_of(row);
    writer.open('r', "ta{sd}").put(epoch_us(row.start_us)).open('a', "{sd}");
    for (const auto& [key, value] : row.values) writer.open('e', "sd").put(key).put(value).close();
    writer.close().close();
  }
  if (reply.size > answer_size_max)
    return refuse(reply, name(Error::limit_reached),
                  "the rows do not fit into one message: ask for a shorter time, or a larger step");
  if (reply.written < rows.size()) return;
  if (writer.close().error() == 0) sd_bus_send(nullptr, reply.message.get(), nullptr);
  remove(reply);
}

void HistoryReplies::refuse(const Reply& reply, const char* name, const std::string& message) {
  sd_bus_reply_method_errorf(reply.call.get(), name, "%s", message.c_str());
  remove(reply);
}

void HistoryReplies::remove(const Reply& reply) {
  replies_.remove_if([&](const auto& other) { return other.get() == &reply; });
}

}  // namespace smartmeterd::bus
