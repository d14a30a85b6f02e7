// SPDX-License-Identifier: Apache-2.0
// Outbox: what waits for the broker, bounded in bytes, in front of the library.
#include "daemon/mqtt/outbox.hpp"

#include <cassert>

namespace smartmeterd::mqtt {

void Outbox::retain(std::string_view topic, std::string_view payload) {
  auto found = topics_.find(topic);
  const std::size_t old_size = found == topics_.end() ? 0 : found->second.payload.size();
  const std::size_t grown = payload.size() + (found == topics_.end() ? topic.size() + overhead : 0);
  if (retained_bytes_ - old_size + grown > bytes_max_) {
    ++dropped_;
    return;
  }
  if (found == topics_.end()) {
    found = topics_.emplace(std::string(topic), Retained{}).first;
    found->second.topic = &found->first;
  }
  Retained& entry = found->second;
  entry.payload.assign(payload);  // keeps its memory: no allocation in steady state
  entry.removed = false;
  retained_bytes_ += grown - old_size;
  make_room(0);
  wait(entry);
}

bool Outbox::holds(std::string_view topic, std::string_view payload) const {
  const auto found = topics_.find(topic);
  return found != topics_.end() && !found->second.removed && found->second.payload == payload;
}

void Outbox::remove(std::string_view topic) {
  if (topics_.find(topic) == topics_.end()) retain(topic, "");  // of an earlier run
  if (const auto found = topics_.find(topic); found != topics_.end()) remove(found->second);
}

void Outbox::remove_below(std::string_view topic_prefix) {
  for (auto at = topics_.lower_bound(topic_prefix);
       at != topics_.end() && at->first.starts_with(topic_prefix); ++at)
    remove(at->second);
}

void Outbox::remove(Retained& entry) {
  retained_bytes_ -= entry.payload.size();
  entry.payload.clear();
  entry.removed = true;
  wait(entry);
}

void Outbox::append(std::string_view topic, std::string_view payload) {
  const std::size_t size = topic.size() + payload.size() + overhead;
  if (retained_bytes_ + size > bytes_max_) {
    ++dropped_;
    return;
  }
  make_room(size);
  live_.push_back({std::string(topic), std::string(payload)});
  live_bytes_ += size;
}

void Outbox::make_room(std::size_t bytes) {
  while (!live_.empty() && retained_bytes_ + live_bytes_ + bytes > bytes_max_) {
    live_bytes_ -= live_.front().size();
    live_.pop_front();
    ++dropped_;
  }
}

void Outbox::say_everything_again() {
  for (auto& [topic, entry] : topics_) wait(entry);
}

void Outbox::say_again_below(std::string_view topic_prefix) {
  for (auto at = topics_.lower_bound(topic_prefix);
       at != topics_.end() && at->first.starts_with(topic_prefix); ++at)
    wait(at->second);
}

void Outbox::wait(Retained& entry) noexcept {
  if (entry.waiting) return;
  entry.waiting = true;
  entry.next_waiting = nullptr;
  (waiting_last_ != nullptr ? waiting_last_->next_waiting : waiting_first_) = &entry;
  waiting_last_ = &entry;
  ++waiting_count_;
}

Outbox::Message Outbox::front() const {
  assert(!empty());
  if (waiting_first_ != nullptr) return {*waiting_first_->topic, waiting_first_->payload, true};
  return {live_.front().topic, live_.front().payload, false};
}

void Outbox::pop() {
  assert(!empty());
  if (waiting_first_ == nullptr) {
    live_bytes_ -= live_.front().size();
    live_.pop_front();
    return;
  }
  Retained& entry = *waiting_first_;
  waiting_first_ = entry.next_waiting;
  if (waiting_first_ == nullptr) waiting_last_ = nullptr;
  entry.waiting = false;
  --waiting_count_;
  if (!entry.removed) return;
  retained_bytes_ -= entry.topic->size() + overhead;
  topics_.erase(topics_.find(*entry.topic));
}

}  // namespace smartmeterd::mqtt
