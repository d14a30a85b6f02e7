// SPDX-License-Identifier: Apache-2.0
// LoopTest: a test that runs on both back ends; pseudo terminals stand for adapters.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "daemon/io/loop.hpp"

namespace smartmeterd::io {

/// Closes at the end of its life.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~Fd() { reset(); }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_;
};

/// A pseudo terminal in raw mode, both ends non-blocking.
struct Pty {
  Fd master, slave;
  std::string path;
  Pty() {
    int m = -1, s = -1;
    char name[64] = {};
    if (openpty(&m, &s, name, nullptr, nullptr) != 0)
      throw std::system_error(errno, std::generic_category(), "openpty");
    master = Fd(m);
    slave = Fd(s);
    path = name;
    termios settings{};
    tcgetattr(s, &settings);
    cfmakeraw(&settings);
    tcsetattr(s, TCSANOW, &settings);
    fcntl(m, F_SETFL, O_NONBLOCK);
    fcntl(s, F_SETFL, O_NONBLOCK);
  }
};

/// A connected pair of non-blocking stream sockets.
struct SocketPair {
  Fd near, far;
  SocketPair() {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
      throw std::system_error(errno, std::generic_category(), "socketpair");
    near = Fd(fds[0]);
    far = Fd(fds[1]);
  }
};

inline void send(const Fd& fd, std::string_view text) {
  ssize_t count = -1;
  while ((count = ::write(fd.get(), text.data(), text.size())) < 0 && errno == EINTR) {
  }
  ASSERT_EQ(count, static_cast<ssize_t>(text.size()));
}

/// Which of `events` (and POLLHUP, POLLERR) hold now.
inline short poll_now(const Fd& fd, short events = POLLIN) {
  pollfd entry{fd.get(), events, 0};
  ::poll(&entry, 1, 0);
  return entry.revents;
}

class LoopTest : public testing::TestWithParam<Backend> {
 protected:
  void SetUp() override {
    std::signal(SIGPIPE, SIG_IGN);
    try {
      loop = Loop::make(GetParam());
    } catch (const std::system_error& error) {
      GTEST_SKIP() << "the kernel refuses io_uring: " << error.what();
    }
  }

  /// Iterates until `condition` holds; gives up after ten seconds, which no case needs.
  template <class Condition>
  testing::AssertionResult run_until(Condition condition) {
    using namespace std::chrono_literals;
    bool late = false;
    Operation limit([&](int result) { late = result == 0; });
    loop->timer(limit, Clock::now() + 10s);
    while (!condition() && !late) loop->run_once();
    return condition() ? testing::AssertionSuccess()
                       : testing::AssertionFailure() << "did not happen";
  }

  /// Lets everything happen that is about to happen: waits on the loop for `time`.
  void settle(std::chrono::milliseconds time = std::chrono::milliseconds(20)) {
    bool over = false;
    Operation pause([&](int) { over = true; });
    loop->timer(pause, Clock::now() + time);
    while (!over) loop->run_once();
  }

  std::unique_ptr<Loop> loop;
};

inline std::string backend_text(const testing::TestParamInfo<Backend>& info) {
  return info.param == Backend::io_uring ? "io_uring" : "epoll";
}

}  // namespace smartmeterd::io
