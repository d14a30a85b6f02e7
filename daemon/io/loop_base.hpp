// SPDX-License-Identifier: Apache-2.0
// LoopBase: what both back ends share: the table of requests, the hooks, the order of one
// iteration.
#pragma once

#include <linux/time_types.h>

#include <cstdint>
#include <deque>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/io/loop.hpp"

namespace smartmeterd::io {

/// A back end says how a request reaches the kernel and how completions come back; everything
/// else is here, so that both behave alike.
class LoopBase : public Loop {
 public:
  LoopBase();

  void read(Operation& operation, int fd, std::span<std::byte> buffer,
            std::shared_ptr<void> keep_alive) final;
  void write(Operation& operation, int fd, std::span<const std::byte> buffer,
             std::shared_ptr<void> keep_alive) final;
  void poll(Operation& operation, int fd, short events) final;
  void timer(Operation& operation, TimePoint deadline) final;
  void cancel(Operation& operation) final;
  void close(int fd) final;
  int add_before_wait(std::function<void()> hook) final;
  void remove_before_wait(int id) final;
  TimePoint now() const noexcept final { return now_; }
  std::int64_t realtime_us() const noexcept final { return realtime_us_; }
  void run() final;
  void run_once() final;
  void stop() noexcept final { stopped_ = true; }
  std::uint64_t iterations() const noexcept final { return iterations_; }

 protected:
  enum class Kind : std::uint8_t { read, write, poll, timer };

  /// One entry of the table. It stays in use until the kernel has let go, whatever became of the
  /// operation.
  struct Request {
    Operation* operation = nullptr;  ///< null: destroyed, the completion is dropped
    std::shared_ptr<void> keep_alive;
    std::uint32_t generation = 1;
    Kind kind = Kind::read;
    bool in_use = false;
    bool abandoned = false;  ///< the kernel was asked to let go
    bool done = false;       ///< its completion is in `batch_`
    int fd = -1;
    short events = 0;      // poll
    void* data = nullptr;  // read, write
    std::size_t size = 0;
    TimePoint deadline{};          // timer
    __kernel_timespec timespec{};  // must stay where it is until the kernel has copied it
  };
  struct Completion {
    std::uint64_t id;
    int result;
  };

  /// Hands the request to the kernel, at the latest in the next `wait`.
  virtual void start(std::uint64_t id, Request& request) = 0;
  /// Asks the kernel to let go; a completion must follow all the same.
  virtual void abandon(std::uint64_t id, Request& request) = 0;
  /// Passes on what was started, waits for a completion if `block`, and appends to `batch_` all
  /// that have come. An interrupted wait returns without any.
  virtual void wait(bool block) = 0;
  /// Right after each wait: gives `set_time` the present time. A test has a clock of its own.
  virtual void take_time() noexcept;

  void set_time(TimePoint now, std::int64_t realtime_us) noexcept {
    now_ = now;
    realtime_us_ = realtime_us;
  }
  /// The request behind an id, null if that life of the entry is over.
  Request* find(std::uint64_t id) noexcept;
  /// Appends to `batch_`.
  void complete(std::uint64_t id, int result);
  bool has_completions() const noexcept { return !batch_.empty(); }
  /// For a back end's destructor: waits until the kernel has let go of everything, calls nobody.
  void drain() noexcept;

 private:
  struct Hook {
    int id;
    bool removed;
    std::function<void()> run;
  };

  void forget(Operation& operation) noexcept final;
  std::uint64_t allocate(Operation& operation, Kind kind, int fd);
  void release(std::uint32_t index) noexcept;
  void close_if_idle(int fd);
  void run_hooks();
  void deliver(const Completion& completion);
  std::uint64_t id_of(std::size_t index) const noexcept;
  void let_go(std::uint64_t id, Request& request);
  /// The operation is idle again; its request ends in silence.
  void detach(Operation& operation) noexcept;

  std::deque<Request> requests_;  // entries never move
  std::vector<std::uint32_t> free_;
  std::size_t in_use_ = 0;
  std::vector<int> closing_;
  std::vector<Completion> batch_;
  std::vector<Completion> delivering_;
  Operation* running_ = nullptr;  // null again when it is destroyed by its own completion
  std::deque<Hook> hooks_;
  int next_hook_id_ = 1;
  bool in_hooks_ = false;
  bool stopped_ = false;
  TimePoint now_;
  std::int64_t realtime_us_ = 0;
  std::uint64_t iterations_ = 0;
};

/// A loop, or the errno with which the kernel refused it.
std::expected<std::unique_ptr<Loop>, int> make_uring_loop();
/// `reason` is kept for `Loop::reason()`. Throws std::system_error.
std::unique_ptr<Loop> make_epoll_loop(std::string reason);

}  // namespace smartmeterd::io
