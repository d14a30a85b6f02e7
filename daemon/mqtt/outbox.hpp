// SPDX-License-Identifier: Apache-2.0
// Outbox: what waits for the broker, bounded in bytes, in front of the library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>

namespace smartmeterd::mqtt {

/// Retained topics keep their newest payload for as long as they exist, so that everything can be
/// said again to a broker that came back; other messages wait in order. The library's own queue
/// has no limit, therefore nothing is given to it that it could not write at once.
class Outbox {
 public:
  explicit Outbox(std::size_t bytes_max) noexcept : bytes_max_(bytes_max) {}

  /// One message on its way out; valid until the next non-const call.
  struct Message {
    const std::string& topic;
    const std::string& payload;
    bool retain;
  };

  /// The newest payload of a topic wins. Refused and counted when it does not fit.
  void retain(std::string_view topic, std::string_view payload);
  /// True where the topic's payload is this one already, said or waiting.
  bool holds(std::string_view topic, std::string_view payload) const;
  /// The topic and its payload vanish from the broker (an empty retained payload).
  void remove(std::string_view topic);
  /// `remove` for every topic that begins like this.
  void remove_below(std::string_view topic_prefix);
  /// Appends a message that is not retained; the oldest ones make room.
  void append(std::string_view topic, std::string_view payload);

  /// Every retained topic waits anew: after a connect.
  void say_everything_again();
  /// Those that begin like this.
  void say_again_below(std::string_view topic_prefix);

  bool empty() const noexcept { return waiting_first_ == nullptr && live_.empty(); }
  /// The next one, retained topics first. Not when empty.
  Message front() const;
  void pop();

  std::uint64_t queued() const noexcept { return waiting_count_ + live_.size(); }
  std::uint64_t dropped() const noexcept { return dropped_; }
  void count_dropped() noexcept { ++dropped_; }
  std::size_t bytes() const noexcept { return retained_bytes_ + live_bytes_; }

 private:
  struct Retained {
    std::string payload;
    const std::string* topic = nullptr;  ///< the map's key
    Retained* next_waiting = nullptr;
    bool waiting = false;
    bool removed = false;
  };
  struct Live {
    std::string topic;
    std::string payload;
    std::size_t size() const noexcept { return topic.size() + payload.size() + overhead; }
  };
  using Topics = std::map<std::string, Retained, std::less<>>;
  /// What a message costs besides its text (nodes and string headers).
  static constexpr std::size_t overhead = 96;

  void wait(Retained& entry) noexcept;
  void remove(Retained& entry);
  void make_room(std::size_t bytes);

  std::size_t bytes_max_;
  Topics topics_;
  Retained* waiting_first_ = nullptr;
  Retained* waiting_last_ = nullptr;
  std::uint64_t waiting_count_ = 0;
  std::deque<Live> live_;
  std::size_t retained_bytes_ = 0;
  std::size_t live_bytes_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace smartmeterd::mqtt
