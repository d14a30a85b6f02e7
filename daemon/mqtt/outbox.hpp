// SPDX-License-Identifier: Apache-2.0
// Outbox: what waits for the broker, bounded in bytes, in front of the library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/mqtt/message.hpp"

namespace smartmeterd::mqtt {

/// A publication that owns its text; its memory is used again.
class StoredPublication {
 public:
  StoredPublication() = default;
  StoredPublication(const StoredPublication&) = delete;
  StoredPublication& operator=(const StoredPublication&) = delete;

  void assign(const Publication& publication);
  const Publication& view() const noexcept { return view_; }
  /// With what it costs besides its text (nodes, string headers).
  static std::size_t size(const Publication& publication) noexcept;
  std::size_t size() const noexcept { return size(view_); }

 private:
  std::string text_;
  std::vector<UserProperty> properties_;
  Publication view_;
};

/// While the broker is away, the newest payload of each retained topic waits, and all other
/// messages in order. While it is there, everything waits in order and nothing is replaced. The
/// newest payload of each retained topic is kept for as long as it fits into half of the room, so
/// that it can be said again to a broker that came back; the other half is for what waits in order.
/// The library's own queue has no limit, therefore nothing is given to it that it could not write
/// at once.
class Outbox {
 public:
  explicit Outbox(std::size_t bytes_max) noexcept : bytes_max_(bytes_max) {}

  /// Waits. A retained one with an empty payload takes its topic off the broker. The oldest
  /// messages make room, and are counted; the newest of a retained topic goes last.
  void put(const Publication& publication);
  /// It was handed over without waiting: what is retained is kept.
  void note(const Publication& publication);
  /// True where the topic's payload is this one already, said or waiting.
  bool holds(std::string_view topic, std::string_view payload) const;
  /// A topic that is kept and begins like this; empty: none. Valid until the next non-const call.
  std::string_view find_below(std::string_view topic_prefix) const;

  /// Every retained topic waits anew, before everything else.
  void connected();
  /// What was in flight waits anew, before all others that are not retained. Retained messages
  /// that waited in order are forgotten in favour of the newest of each topic.
  void disconnected();

  /// Those that begin like this.
  void say_again_below(std::string_view topic_prefix);

  bool empty() const noexcept { return waiting_first_ == nullptr && queue_.empty(); }
  /// The next one. Not when empty; valid until the next non-const call.
  const Publication& front() const;
  /// The front was handed over, and need not be known any more.
  void pop();
  /// The front was handed over at QoS 1 with this id. One that is not retained is kept until
  /// `acknowledged`, in case that the connection ends before.
  void pop_in_flight(int mid);
  void acknowledged(int mid);

  std::uint64_t queued() const noexcept { return waiting_count_ + queue_.size(); }
  std::uint64_t dropped() const noexcept { return dropped_; }
  void count_dropped() noexcept { ++dropped_; }
  /// Of those, the ones for which there was no room while the broker was there.
  std::uint64_t overflowed() const noexcept { return overflowed_; }
  std::size_t bytes() const noexcept { return kept_bytes_ + queue_bytes_; }
  /// Of the room for what waits in order, half is taken.
  bool is_filling() const noexcept { return queue_bytes_ > (bytes_max_ - kept_bytes_) / 2; }
  /// Three quarters of it are free.
  bool is_relaxed() const noexcept { return queue_bytes_ <= (bytes_max_ - kept_bytes_) / 4; }

 private:
  /// What becomes of a topic once nothing of it waits.
  enum class Fate : std::uint8_t { kept, removed, forgotten };
  struct Kept {
    StoredPublication newest;
    Fate fate = Fate::kept;
    std::uint32_t in_order = 0;  ///< copies in the queue; then it does not wait itself
    bool waiting = false;
    Kept* waiting_before = nullptr;
    Kept* waiting_after = nullptr;
  };
  using Topics = std::map<std::string, Kept, std::less<>>;
  struct Item {
    StoredPublication publication;
    int mid = 0;  ///< in flight
  };
  using Items = std::list<Item>;

  Kept* keep(const Publication& publication);
  void append(const Publication& publication);
  void make_room(std::size_t bytes);
  void drop_oldest();
  void overflow() noexcept;
  Kept* find(const Publication& publication);
  void wait(Kept& kept) noexcept;
  void wait_no_more(Kept& kept) noexcept;
  void erase(Kept& kept);
  void release(Items& from, Items::iterator item);

  std::size_t bytes_max_;
  bool in_order_ = false;  ///< the broker is there
  Topics topics_;
  Kept* waiting_first_ = nullptr;
  Kept* waiting_last_ = nullptr;
  std::uint64_t waiting_count_ = 0;
  Items queue_;
  Items in_flight_;
  Items spare_;  ///< memory for those to come
  std::size_t kept_bytes_ = 0;
  std::size_t queue_bytes_ = 0;  ///< with those in flight
  std::uint64_t dropped_ = 0;
  std::uint64_t overflowed_ = 0;
};

}  // namespace smartmeterd::mqtt
