// SPDX-License-Identifier: Apache-2.0
// Outbox: what waits for the broker, bounded in bytes, in front of the library.
#include "daemon/mqtt/outbox.hpp"

#include <algorithm>
#include <cassert>
#include <iterator>

namespace smartmeterd::mqtt {

namespace {

/// Of a message besides its text.
constexpr std::size_t overhead = 256;
constexpr std::size_t spare_max = 32;

}  // namespace

std::size_t StoredPublication::size(const Publication& publication) noexcept {
  std::size_t size = publication.topic.size() + publication.payload.size() +
                     publication.content_type.size() + overhead;
  for (const auto& [name, value] : publication.properties)
    size += name.size() + value.size() + sizeof(UserProperty);
  return size;
}

void StoredPublication::assign(const Publication& publication) {
  text_.clear();
  text_.reserve(size(publication));  // so that the views hold
  const auto store = [&](std::string_view text) {
    text_.append(text);
    return std::string_view(text_).substr(text_.size() - text.size());
  };
  view_ = publication;
  view_.topic = store(publication.topic);
  view_.payload = store(publication.payload);
  view_.content_type = store(publication.content_type);
  properties_.clear();
  for (const auto& [name, value] : publication.properties)
    properties_.push_back({store(name), store(value)});
  view_.properties = properties_;
}

void Outbox::put(const Publication& publication) {
  if (!publication.retain) return append(publication);
  Kept* kept = keep(publication);
  if (kept != nullptr && kept->waiting) return;
  if (in_order_) return append(publication);
  if (kept != nullptr)
    wait(*kept);
  else
    ++dropped_;
}

void Outbox::note(const Publication& publication) {
  if (!publication.retain) return;
  Kept* kept = keep(publication);
  if (kept != nullptr && kept->fate != Fate::kept && !kept->waiting && kept->in_order == 0)
    erase(*kept);
}

/// Null where there is no room for it: then an older payload is not said again either.
Outbox::Kept* Outbox::keep(const Publication& publication) {
  auto found = topics_.find(publication.topic);
  const bool is_removal = publication.payload.empty();
  if (found == topics_.end() && is_removal && in_order_) return nullptr;
  const std::size_t size = StoredPublication::size(publication);
  const std::size_t old_size = found == topics_.end() ? 0 : found->second.newest.size();
  const bool fits = kept_bytes_ - old_size + size <= bytes_max_ / 2;
  if (found == topics_.end()) {
    if (!fits) return nullptr;
    found = topics_.try_emplace(std::string(publication.topic)).first;
  }
  Kept& kept = found->second;
  if (!fits) {
    kept.fate = Fate::forgotten;
    if (kept.in_order == 0) erase(kept);
    return nullptr;
  }
  Publication again = publication;
  again.last_byte.reset();  // what is said again shows no time
  kept.newest.assign(again);
  kept.fate = is_removal ? Fate::removed : Fate::kept;
  kept_bytes_ += size - old_size;
  make_room(0);
  return &kept;
}

bool Outbox::holds(std::string_view topic, std::string_view payload) const {
  const auto found = topics_.find(topic);
  return found != topics_.end() && found->second.fate == Fate::kept &&
         found->second.newest.view().payload == payload;
}

std::string_view Outbox::find_below(std::string_view topic_prefix) const {
  for (auto at = topics_.lower_bound(topic_prefix);
       at != topics_.end() && at->first.starts_with(topic_prefix); ++at)
    if (at->second.fate == Fate::kept) return at->first;
  return {};
}

void Outbox::append(const Publication& publication) {
  const std::size_t size = StoredPublication::size(publication);
  make_room(size);
  Kept* kept = find(publication);
  if (kept_bytes_ + queue_bytes_ + size > bytes_max_) {
    if (kept != nullptr && kept->in_order == 0)
      wait(*kept);
    else
      overflow();
    return;
  }
  if (spare_.empty()) spare_.emplace_back();
  queue_.splice(queue_.end(), spare_, spare_.begin());
  queue_.back().publication.assign(publication);
  queue_bytes_ += size;
  if (kept != nullptr) ++kept->in_order;
}

void Outbox::make_room(std::size_t bytes) {
  while (!queue_.empty() && kept_bytes_ + queue_bytes_ + bytes > bytes_max_) drop_oldest();
}

void Outbox::drop_oldest() {
  Kept* kept = find(queue_.front().publication.view());
  release(queue_, queue_.begin());
  if (kept == nullptr || --kept->in_order > 0) {
    overflow();
  } else if (kept->fate == Fate::forgotten) {
    erase(*kept);
    overflow();
  } else {
    wait(*kept);
  }
}

void Outbox::overflow() noexcept {
  ++dropped_;
  if (in_order_) ++overflowed_;
}

/// What is kept of the topic of a message in the queue.
Outbox::Kept* Outbox::find(const Publication& publication) {
  if (!publication.retain) return nullptr;
  const auto found = topics_.find(publication.topic);
  return found == topics_.end() ? nullptr : &found->second;
}

void Outbox::connected() {
  in_order_ = true;
  say_again_below("");
}

void Outbox::say_again_below(std::string_view topic_prefix) {
  for (auto at = topics_.lower_bound(topic_prefix);
       at != topics_.end() && at->first.starts_with(topic_prefix); ++at)
    if (at->second.in_order == 0) wait(at->second);
}

void Outbox::disconnected() {
  in_order_ = false;
  queue_.splice(queue_.begin(), in_flight_);
  for (auto item = queue_.begin(); item != queue_.end();) {
    const auto next = std::next(item);
    const Publication& publication = item->publication.view();
    if (publication.retain) {
      Kept* kept = find(publication);
      if (kept == nullptr || (--kept->in_order == 0 && kept->fate == Fate::forgotten)) {
        if (kept != nullptr) erase(*kept);
        ++dropped_;
      } else if (kept->in_order == 0) {
        wait(*kept);
      }
      release(queue_, item);
    }
    item = next;
  }
}

void Outbox::wait(Kept& kept) noexcept {
  assert(kept.in_order == 0);
  if (kept.waiting) return;
  kept.waiting = true;
  kept.waiting_after = nullptr;
  kept.waiting_before = waiting_last_;
  (waiting_last_ != nullptr ? waiting_last_->waiting_after : waiting_first_) = &kept;
  waiting_last_ = &kept;
  ++waiting_count_;
}

void Outbox::wait_no_more(Kept& kept) noexcept {
  if (!kept.waiting) return;
  kept.waiting = false;
  Kept* before = kept.waiting_before;
  Kept* after = kept.waiting_after;
  (before != nullptr ? before->waiting_after : waiting_first_) = after;
  (after != nullptr ? after->waiting_before : waiting_last_) = before;
  --waiting_count_;
}

void Outbox::erase(Kept& kept) {
  wait_no_more(kept);
  kept_bytes_ -= kept.newest.size();
  topics_.erase(topics_.find(kept.newest.view().topic));
}

const Publication& Outbox::front() const {
  assert(!empty());
  return waiting_first_ != nullptr ? waiting_first_->newest.view()
                                   : queue_.front().publication.view();
}

void Outbox::pop() {
  assert(!empty());
  Kept* kept = waiting_first_;
  if (kept != nullptr) {
    wait_no_more(*kept);
  } else {
    kept = find(queue_.front().publication.view());
    if (kept != nullptr) --kept->in_order;
    release(queue_, queue_.begin());
  }
  if (kept != nullptr && kept->fate != Fate::kept && kept->in_order == 0) erase(*kept);
}

void Outbox::pop_in_flight(int mid) {
  if (waiting_first_ != nullptr || queue_.front().publication.view().retain) return pop();
  queue_.front().mid = mid;
  in_flight_.splice(in_flight_.end(), queue_, queue_.begin());
}

void Outbox::acknowledged(int mid) {
  const auto found = std::ranges::find(in_flight_, mid, &Item::mid);
  if (found != in_flight_.end()) release(in_flight_, found);
}

void Outbox::release(Items& from, Items::iterator item) {
  queue_bytes_ -= item->publication.size();
  if (spare_.size() < spare_max)
    spare_.splice(spare_.begin(), from, item);
  else
    from.erase(item);
}

}  // namespace smartmeterd::mqtt
