// SPDX-License-Identifier: Apache-2.0
// EpollLoop: the loop where io_uring is not to be had.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>
#include <system_error>
#include <utility>

#include "daemon/io/loop_base.hpp"

namespace smartmeterd::io {

class EpollLoop final : public LoopBase {
 public:
  explicit EpollLoop(std::string reason)
      : reason_(std::move(reason)), epoll_fd_(epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_fd_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
    timer_fd_ = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    epoll_event event{EPOLLIN, {.fd = timer_fd_}};
    if (timer_fd_ < 0 || epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, timer_fd_, &event) < 0) {
      const int error = errno;
      release_fds();
      throw std::system_error(error, std::generic_category(), "timerfd");
    }
  }
  ~EpollLoop() override {
    drain();
    release_fds();
  }
  std::string_view backend_name() const noexcept override { return "epoll"; }
  std::string_view reason() const noexcept override { return reason_; }

 private:
  /// The requests on one fd, in the order in which they were started. Several may wait for
  /// different events: the fd is armed for all of them, one-shot.
  struct Watch {
    std::vector<std::uint64_t> requests;
    bool dirty = false;       ///< is in `dirty_`: to be armed before the next wait
    bool registered = false;  ///< as far as known: an owner may have closed the fd behind our back
  };

  static std::uint32_t mask_of(const Request& request) noexcept {
    switch (request.kind) {
      case Kind::read:
        return EPOLLIN;
      case Kind::write:
        return EPOLLOUT;
      case Kind::poll:
        return static_cast<unsigned short>(request.events);  // the same bits
      case Kind::timer:
        return 0;
    }
    return 0;
  }

  void start(std::uint64_t id, Request& request) override {
    if (request.kind == Kind::timer) {
      timers_.emplace(request.deadline, id);
    } else if (request.fd < 0) {
      complete(id, -EBADF);
    } else {
      const auto fd = static_cast<std::size_t>(request.fd);
      if (fd >= watches_.size()) watches_.resize(fd + 1);
      watches_[fd].requests.push_back(id);
      mark(request.fd);
    }
  }

  void abandon(std::uint64_t id, Request& request) override {
    if (request.kind == Kind::timer) {
      timers_.erase({request.deadline, id});
    } else {
      std::erase(watches_[static_cast<std::size_t>(request.fd)].requests, id);
      // At once and not before the next wait: the fd may be closed, and its number used again.
      arm(request.fd);
    }
    complete(id, -ECANCELED);
  }

  void mark(int fd) {
    auto& watch = watches_[static_cast<std::size_t>(fd)];
    if (std::exchange(watch.dirty, true)) return;
    dirty_.push_back(fd);
  }

  /// Arms the fd for what its requests wait for.
  void arm(int fd) {
    auto& watch = watches_[static_cast<std::size_t>(fd)];
    if (watch.requests.empty()) {
      if (std::exchange(watch.registered, false)) epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
      return;
    }
    epoll_event event{EPOLLONESHOT, {.fd = fd}};
    for (const auto id : watch.requests) event.events |= mask_of(*find(id));
    int operation = watch.registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    int result = epoll_ctl(epoll_fd_, operation, fd, &event);
    if (result < 0 && (errno == ENOENT || errno == EEXIST)) {
      operation = operation == EPOLL_CTL_MOD ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
      result = epoll_ctl(epoll_fd_, operation, fd, &event);
    }
    watch.registered = result == 0;
    if (result == 0) return;
    if (errno == EPERM)  // a regular file: always ready
      serve(fd, EPOLLIN | EPOLLOUT);
    else
      fail(fd, errno);
  }

  void fail(int fd, int error) {
    for (const auto id : std::exchange(watches_[static_cast<std::size_t>(fd)].requests, {}))
      complete(id, -error);
  }

  /// Does what the fd is ready for. What is not ready stays, and is armed again.
  void serve(int fd, std::uint32_t ready) {
    auto& watch = watches_[static_cast<std::size_t>(fd)];
    std::erase_if(watch.requests, [&](std::uint64_t id) {
      auto& request = *find(id);
      // A hang-up or an error concerns everybody.
      const auto events = ready & (mask_of(request) | EPOLLHUP | EPOLLERR);
      return events != 0 && perform(id, request, events);
    });
    if (!watch.requests.empty()) mark(fd);
  }

  /// False: it would block after all.
  bool perform(std::uint64_t id, Request& request, std::uint32_t events) {
    ssize_t result = 0;
    switch (request.kind) {
      case Kind::read:
        result = ::read(request.fd, request.data, request.size);
        break;
      case Kind::write:
        result = ::write(request.fd, request.data, request.size);
        break;
      default:
        complete(id, static_cast<int>(events));
        return true;
    }
    if (result < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    complete(id, result < 0 ? -errno : static_cast<int>(result));
    return true;
  }

  void wait(bool block) override {
    arming_.swap(dirty_);
    for (const int fd : arming_) {
      watches_[static_cast<std::size_t>(fd)].dirty = false;
      arm(fd);
    }
    arming_.clear();
    set_timer();
    std::array<epoll_event, 256> events;
    const int count = epoll_wait(epoll_fd_, events.data(), static_cast<int>(events.size()),
                                 block && !has_completions() ? -1 : 0);
    if (count < 0 && errno != EINTR)
      throw std::system_error(errno, std::generic_category(), "epoll_wait");
    for (int i = 0; i < count; ++i) {
      const auto& event = events[static_cast<std::size_t>(i)];
      if (event.data.fd != timer_fd_) serve(event.data.fd, event.events);
    }
    expire();
  }

  /// The timerfd fires at the earliest deadline; setting it also takes back that it has fired.
  void set_timer() {
    const auto earliest = timers_.empty() ? TimePoint{} : timers_.begin()->first;
    if (earliest == timer_set_) return;
    const auto since = earliest.time_since_epoch();
    const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
    itimerspec when{};
    when.it_value = {seconds.count(), static_cast<long>((since - seconds).count())};
    timerfd_settime(timer_fd_, TFD_TIMER_ABSTIME, &when, nullptr);
    timer_set_ = earliest;
  }

  void expire() {
    if (timers_.empty()) return;
    const auto now = Clock::now();
    while (!timers_.empty() && timers_.begin()->first <= now) {
      complete(timers_.begin()->second, 0);
      timers_.erase(timers_.begin());
    }
  }

  void release_fds() noexcept {
    if (timer_fd_ >= 0) ::close(timer_fd_);
    ::close(epoll_fd_);
  }

  std::string reason_;
  int epoll_fd_;
  int timer_fd_ = -1;
  std::vector<Watch> watches_;  // by fd
  std::vector<int> dirty_;
  std::vector<int> arming_;
  std::set<std::pair<TimePoint, std::uint64_t>> timers_;
  TimePoint timer_set_{};
};

std::unique_ptr<Loop> make_epoll_loop(std::string reason) {
  return std::make_unique<EpollLoop>(std::move(reason));
}

}  // namespace smartmeterd::io
