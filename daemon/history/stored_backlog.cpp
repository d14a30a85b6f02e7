// SPDX-License-Identifier: Apache-2.0
// StoredBacklog: one broker's backlog in the state database.
#include "daemon/history/stored_backlog.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <system_error>
#include <utility>

namespace smartmeterd::history {

namespace {

/// What may wait to be written: some 8,000 messages, far more than 30 seconds bring.
constexpr std::uint64_t waiting_bytes_max = 4 * 1024 * 1024;

int make_event_fd() {
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  return fd;
}

}  // namespace

StoredBacklog::StoredBacklog(Shared& shared, std::string broker, const Database::BacklogSize& size,
                             std::chrono::milliseconds write_interval)
    : shared_(shared),
      broker_(std::move(broker)),
      write_interval_(write_interval),
      event_fd_(make_event_fd()),
      last_id_(size.last_id),
      in_file_(size) {}

StoredBacklog::~StoredBacklog() {
  ::close(event_fd_);
}

void StoredBacklog::limit(std::uint64_t bytes_max) {
  const std::lock_guard lock(shared_.mutex);
  bytes_max_ = bytes_max;
  if (in_file_.bytes > bytes_max_) change_waits();
}

void StoredBacklog::append(std::string_view meter, std::string_view payload) {
  const std::lock_guard lock(shared_.mutex);
  waiting_.push_back({++last_id_, std::string(meter), std::string(payload)});
  waiting_bytes_ += Database::bytes_of(waiting_.back());
  const std::uint64_t bytes_max = std::min(bytes_max_, waiting_bytes_max);
  while (waiting_bytes_ > bytes_max) give_up_oldest_waiting();
  change_waits();
}

void StoredBacklog::give_up_oldest_waiting() {
  waiting_bytes_ -= Database::bytes_of(waiting_.front());
  waiting_.pop_front();
  ++dropped_;
}

/// Not at once: a broker that is only restarted costs no write.
void StoredBacklog::change_waits() {
  if (write_at_ != Clock::time_point::max()) return;
  write_at_ = Clock::now() + write_interval_;
  shared_.wake.notify_one();
}

void StoredBacklog::fetch(std::uint64_t after, std::size_t count_max) {
  const std::lock_guard lock(shared_.mutex);
  take_answer();  // of the question before
  question_ = Question{.after = after, .count_max = count_max};
  shared_.wake.notify_one();
}

std::optional<std::vector<Backlog::Entry>> StoredBacklog::take_fetched() {
  const std::lock_guard lock(shared_.mutex);
  return take_answer();
}

std::optional<std::vector<Backlog::Entry>> StoredBacklog::take_answer() {
  eventfd_t ignored = 0;
  (void)eventfd_read(event_fd_, &ignored);
  return std::exchange(fetched_, std::nullopt);
}

void StoredBacklog::acknowledge(std::uint64_t id) {
  const std::lock_guard lock(shared_.mutex);
  if (id <= acknowledged_id_) return;
  acknowledged_id_ = id;
  if (!waiting_.empty() && waiting_.front().id <= id) {
    waiting_bytes_ -= Database::bytes_of(waiting_.front());
    waiting_.pop_front();
    if (waiting_.empty() && acknowledged_count_ == 0) write_at_ = Clock::time_point::max();
    return;
  }
  ++acknowledged_count_;
  change_waits();
}

std::uint64_t StoredBacklog::stored() const {
  const std::lock_guard lock(shared_.mutex);
  const std::uint64_t kept = in_file_.count + on_its_way_ + waiting_.size();
  return kept - std::min(kept, acknowledged_count_);
}

std::uint64_t StoredBacklog::dropped() const {
  const std::lock_guard lock(shared_.mutex);
  return dropped_;
}

void StoredBacklog::begin_write() {
  writing_ = {.entries = {std::make_move_iterator(waiting_.begin()),
                          std::make_move_iterator(waiting_.end())},
              .acknowledged_id = acknowledged_id_,
              .acknowledged_count = acknowledged_count_,
              .bytes_max = bytes_max_};
  on_its_way_ = waiting_.size();
  waiting_.clear();
  waiting_bytes_ = 0;
  write_at_ = Clock::time_point::max();
}

std::expected<void, DatabaseError> StoredBacklog::write(Database& database) {
  Database::BacklogSize& in_file = writing_.in_file = in_file_;
  writing_.dropped = 0;
  const auto remove = [&](std::uint64_t last_id, std::uint64_t bytes) {
    auto gone = database.remove_from_backlog(broker_, last_id, bytes);
    if (gone) {
      in_file.count -= std::min(gone->count, in_file.count);
      in_file.bytes -= std::min(gone->bytes, in_file.bytes);
    }
    return gone;
  };
  if (writing_.acknowledged_count > 0)
    if (auto gone = remove(writing_.acknowledged_id, UINT64_MAX); !gone)
      return std::unexpected(gone.error());
  if (auto done = database.append_to_backlog(broker_, writing_.entries); !done) return done;
  for (const Entry& entry : writing_.entries) in_file.bytes += Database::bytes_of(entry);
  in_file.count += writing_.entries.size();
  if (in_file.bytes <= writing_.bytes_max) return {};
  auto gone = remove(UINT64_MAX, in_file.bytes - writing_.bytes_max);
  if (!gone) return std::unexpected(gone.error());
  writing_.dropped = gone->count;
  return {};
}

void StoredBacklog::written(bool is_committed) {
  const std::lock_guard lock(shared_.mutex);
  on_its_way_ = 0;
  if (is_committed) {
    in_file_ = writing_.in_file;
    acknowledged_count_ -= writing_.acknowledged_count;
    dropped_ += writing_.dropped;
  } else {
    // A disk that is full, perhaps: again later, as far as memory goes.
    for (auto entry = writing_.entries.rbegin(); entry != writing_.entries.rend(); ++entry) {
      if (entry->id <= acknowledged_id_) {
        --acknowledged_count_;
        continue;
      }
      waiting_bytes_ += Database::bytes_of(*entry);
      waiting_.push_front(std::move(*entry));
    }
    while (waiting_bytes_ > waiting_bytes_max) give_up_oldest_waiting();
    write_at_ = Clock::now() + write_interval_;
  }
  writing_ = {};
}

std::expected<void, DatabaseError> StoredBacklog::answer(Database* database) {
  std::unique_lock lock(shared_.mutex);
  Question question = *std::exchange(question_, std::nullopt);
  question.after = std::max(question.after, acknowledged_id_);
  lock.unlock();
  // What waits follows on what is in the file: without the one there must not be the other.
  std::expected<std::vector<Entry>, DatabaseError> found;
  if (database != nullptr) found = database->backlog(broker_, question.after, question.count_max);
  lock.lock();
  if (question_) return {};  // another question came, and brought the thread back here
  std::vector<Entry>& entries = fetched_.emplace();
  if (database != nullptr && found) {
    entries = std::move(*found);
    for (const Entry& entry : waiting_) {
      if (entries.size() >= question.count_max) break;
      if (entry.id > question.after) entries.push_back(entry);
    }
  }
  (void)eventfd_write(event_fd_, 1);
  if (!found) return std::unexpected(found.error());
  return {};
}

void StoredBacklog::file_changed(const Database::BacklogSize& size, bool is_first) {
  in_file_ = size;
  // Without a file every answer was empty: nobody knows the ids of what waits yet.
  if (is_first) {
    for (Entry& entry : waiting_) entry.id += size.last_id;
    last_id_ += size.last_id;
  }
  last_id_ = std::max(last_id_, size.last_id);
  if (in_file_.bytes > bytes_max_) change_waits();
}

}  // namespace smartmeterd::history
