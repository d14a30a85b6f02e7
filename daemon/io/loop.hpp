// SPDX-License-Identifier: Apache-2.0
// Loop: the one place that waits. io_uring or epoll behind the same interface.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace smartmeterd::io {

/// Monotonic time, the clock of every deadline.
using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

class Loop;

/// One request in flight, embedded in its owner. `complete(result)` runs from the loop: bytes for
/// read and write, revents for poll, 0 for a timer that expired, or -errno; -ECANCELED after
/// `cancel`. An operation may be started again from inside its own completion.
/// Destroying a pending operation is safe: the loop forgets it, and keeps the request's memory
/// (`keep_alive`) until the kernel has let go.
class Operation {
 public:
  using Complete = std::function<void(int result)>;  // set once at construction, never per request
  explicit Operation(Complete complete);
  ~Operation();
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  bool pending() const noexcept { return slot_ != 0; }

 private:
  friend class Loop;
  friend class LoopBase;
  friend class UringLoop;
  friend class EpollLoop;
  Complete complete_;
  Loop* loop_ = nullptr;
  std::uint64_t slot_ = 0;  ///< generation and index in the loop's table; 0 = idle
};

enum class Backend : std::uint8_t { automatic, io_uring, epoll };

/// Single-threaded. Completions run from `run()` after all of a batch were copied out; then every
/// `before_wait` hook runs, then the loop waits.
class Loop {
 public:
  virtual ~Loop() = default;

  /// `automatic`: io_uring, or epoll where the kernel refuses it; `reason()` says why.
  /// io_uring demanded but refused: throws std::system_error.
  static std::unique_ptr<Loop> make(Backend backend);
  virtual std::string_view backend_name() const noexcept = 0;  ///< "io_uring", "epoll"
  /// Why epoll runs although io_uring was asked for; empty otherwise.
  virtual std::string_view reason() const noexcept = 0;

  /// Reads into `buffer`, whose memory `keep_alive` owns (may be null if it outlives the loop).
  /// The fd should be O_NONBLOCK: then it waits for data without a thread.
  virtual void read(Operation& operation, int fd, std::span<std::byte> buffer,
                    std::shared_ptr<void> keep_alive) = 0;
  virtual void write(Operation& operation, int fd, std::span<const std::byte> buffer,
                     std::shared_ptr<void> keep_alive) = 0;
  /// One-shot; level-triggered at arming. For fds that a library owns: re-arm after its handler,
  /// and cancel (or destroy the operation) when the library has closed the fd by itself.
  virtual void poll(Operation& operation, int fd, short events) = 0;
  /// Completes with 0 at the deadline (at once if it is past). A pending timer is set anew: its
  /// former deadline completes nothing.
  virtual void timer(Operation& operation, TimePoint deadline) = 0;
  /// The pending request completes with -ECANCELED (or with its result, if that came first).
  virtual void cancel(Operation& operation) = 0;
  /// Cancels what is pending on `fd`, and closes it only after the kernel has let go of it
  /// (closing first would keep a tty open: the request holds the file). Operations on it complete
  /// with -ECANCELED.
  virtual void close(int fd) = 0;

  /// Runs before each wait: pump libraries (sd_bus_process), re-arm what changed.
  /// Returns an id for `remove_before_wait`.
  virtual int add_before_wait(std::function<void()> hook) = 0;
  virtual void remove_before_wait(int id) = 0;

  /// The time of the batch being completed (taken once right after the wait), for time stamps.
  virtual TimePoint now() const noexcept = 0;
  /// CLOCK_REALTIME in µs since the epoch, taken together with `now()`.
  virtual std::int64_t realtime_us() const noexcept = 0;

  /// Until `stop()`. One iteration: `run_once()`.
  virtual void run() = 0;
  virtual void run_once() = 0;
  virtual void stop() noexcept = 0;
  /// Completed iterations, for the watchdog and for wake-up statistics.
  virtual std::uint64_t iterations() const noexcept = 0;

 private:
  friend class Operation;
  /// The operation is being destroyed: its request is cancelled, and its completion dropped.
  virtual void forget(Operation&) noexcept {}
};

}  // namespace smartmeterd::io
