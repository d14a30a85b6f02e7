// SPDX-License-Identifier: Apache-2.0
// The loop's contract, the same cases on io_uring and epoll; then what happens without io_uring.
#include "daemon/io/loop.hpp"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <optional>
#include <stdexcept>

#include "daemon/log.hpp"
#include "tests/daemon/io/io_fixture.hpp"

namespace smartmeterd::io {
namespace {

using namespace std::chrono_literals;
using Buffer = std::array<std::byte, 256>;

bool is_gone(int result) {
  return result == 0 || result == -EIO;
}

/// Reads for as long as something comes.
struct Reader {
  Loop& loop;
  int fd;
  std::shared_ptr<Buffer> buffer = std::make_shared<Buffer>();
  std::string text;
  std::vector<int> results;
  Operation operation{[this](int result) { complete(result); }};

  Reader(Loop& on, int from) : loop(on), fd(from) { start(); }
  void start() { loop.read(operation, fd, *buffer, buffer); }
  void complete(int result) {
    results.push_back(result);
    if (result <= 0) return;
    text.append(reinterpret_cast<const char*>(buffer->data()), static_cast<std::size_t>(result));
    start();
  }
};

class LoopContract : public LoopTest {};
INSTANTIATE_TEST_SUITE_P(, LoopContract, testing::Values(Backend::io_uring, Backend::epoll),
                         backend_text);

TEST_P(LoopContract, NamesItsBackEnd) {
  EXPECT_EQ(loop->backend_name(), GetParam() == Backend::io_uring ? "io_uring" : "epoll");
  EXPECT_EQ(loop->reason(), "");
}

TEST_P(LoopContract, ReadsChunksInOrderHoweverTheyAreCut) {
  Pty pty;
  Reader reader(*loop, pty.slave.get());
  std::string sent;
  for (std::size_t size : {1u, 63u, 64u, 200u, 5u}) {
    const std::string chunk(size, static_cast<char>('a' + size % 26));
    send(pty.master, chunk);
    sent += chunk;
    if (size > 60) loop->run_once();  // the others merge with what follows
  }
  EXPECT_TRUE(run_until([&] { return reader.text.size() >= sent.size(); }));
  EXPECT_EQ(reader.text, sent);
}

TEST_P(LoopContract, ReadWaitsForData) {
  Pty pty;
  Reader reader(*loop, pty.slave.get());
  settle();
  EXPECT_TRUE(reader.results.empty());
  send(pty.master, "x");
  EXPECT_TRUE(run_until([&] { return reader.text == "x"; }));
}

TEST_P(LoopContract, HangUpWhileWaiting) {
  Pty pty;
  Reader reader(*loop, pty.slave.get());
  settle(1ms);
  pty.master.reset();
  EXPECT_TRUE(run_until([&] { return !reader.results.empty(); }));
  EXPECT_TRUE(is_gone(reader.results.back())) << reader.results.back();
}

TEST_P(LoopContract, HangUpWithDataBuffered) {
  Pty pty;
  send(pty.master, "lost or not");
  pty.master.reset();
  Reader reader(*loop, pty.slave.get());
  EXPECT_TRUE(run_until([&] { return !reader.results.empty() && reader.results.back() <= 0; }));
  EXPECT_TRUE(is_gone(reader.results.back())) << reader.results.back();
}

TEST_P(LoopContract, CloseLetsGoOfATerminalThatIsBeingRead) {
  Pty pty;
  Reader reader(*loop, pty.slave.get());
  settle(1ms);
  loop->close(pty.slave.release());
  EXPECT_TRUE(run_until([&] { return !reader.results.empty(); }));
  EXPECT_EQ(reader.results, std::vector{-ECANCELED});
  EXPECT_TRUE(poll_now(pty.master) & POLLHUP);
}

TEST_P(LoopContract, CloseBeforeTheReadWasPassedOn) {
  Pty pty;
  Reader reader(*loop, pty.slave.get());
  loop->close(pty.slave.release());
  EXPECT_TRUE(run_until([&] { return !reader.results.empty(); }));
  EXPECT_EQ(reader.results, std::vector{-ECANCELED});
  EXPECT_TRUE(poll_now(pty.master) & POLLHUP);
}

TEST_P(LoopContract, CloseIsImmediateWhereNothingIsPending) {
  Pty pty;
  const int fd = pty.slave.release();
  loop->close(fd);
  EXPECT_EQ(fcntl(fd, F_GETFD), -1);
  EXPECT_EQ(errno, EBADF);
}

TEST_P(LoopContract, DestroyedOperationIsSilentAndItsMemoryIsKept) {
  Pty pty;
  auto buffer = std::make_shared<Buffer>();
  bool called = false;
  {
    Operation operation([&](int) { called = true; });
    loop->read(operation, pty.slave.get(), *buffer, buffer);
    settle(1ms);
  }
  EXPECT_EQ(buffer.use_count(), 2);
  loop->close(pty.slave.release());
  EXPECT_TRUE(run_until([&] { return buffer.use_count() == 1; }));
  EXPECT_TRUE(poll_now(pty.master) & POLLHUP);
  EXPECT_FALSE(called);
}

TEST_P(LoopContract, LateCompletionDoesNotReachTheNextOperation) {
  SocketPair first, second;
  auto buffer = std::make_shared<Buffer>();
  {
    Operation old([](int) { ADD_FAILURE() << "destroyed"; });
    loop->read(old, first.near.get(), *buffer, buffer);
    settle(1ms);
    send(first.far, "for the old one");
  }
  Reader reader(*loop, second.near.get());
  settle();
  EXPECT_TRUE(reader.results.empty());
  send(second.far, "for the new one");
  EXPECT_TRUE(run_until([&] { return reader.text == "for the new one"; }));
}

TEST_P(LoopContract, ReusedDescriptorBelongsToItsNewFile) {
  SocketPair old;
  const int number = old.near.get();
  std::vector<int> results;
  Operation poll([&](int result) { results.push_back(result); });
  loop->poll(poll, number, POLLIN);
  settle(1ms);
  // A library closes its socket and connects again: same number, other file.
  SocketPair fresh;
  ASSERT_EQ(dup2(fresh.near.get(), number), number);
  loop->cancel(poll);
  EXPECT_TRUE(run_until([&] { return !poll.pending(); }));
  EXPECT_EQ(results, std::vector{-ECANCELED});
  EXPECT_TRUE(poll_now(old.far) & POLLHUP);  // the poll does not keep the old connection
  loop->poll(poll, number, POLLIN);
  settle(1ms);
  EXPECT_TRUE(poll.pending());
  send(fresh.far, "x");
  EXPECT_TRUE(run_until([&] { return results.size() == 2; }));
  EXPECT_EQ(results.back(), POLLIN);
  // Again, after a poll that had completed.
  SocketPair third;
  ASSERT_EQ(dup2(third.near.get(), number), number);
  loop->poll(poll, number, POLLIN);
  settle(1ms);
  EXPECT_TRUE(poll.pending());
  send(third.far, "x");
  EXPECT_TRUE(run_until([&] { return results.size() == 3; }));
}

TEST_P(LoopContract, ManyPorts) {
  std::vector<Pty> ptys(100);
  std::deque<Reader> readers;
  for (auto& pty : ptys) readers.emplace_back(*loop, pty.slave.get());
  for (int round = 0; round < 10; ++round) {
    for (std::size_t i = 0; i < ptys.size(); ++i) send(ptys[i].master, std::to_string(i) + ";");
    loop->run_once();
  }
  EXPECT_TRUE(run_until([&] {
    for (std::size_t i = 0; i < readers.size(); ++i)
      if (readers[i].text.size() < 10 * (std::to_string(i).size() + 1)) return false;
    return true;
  }));
  for (std::size_t i = 0; i < readers.size(); ++i) {
    std::string expected;
    for (int round = 0; round < 10; ++round) expected += std::to_string(i) + ";";
    EXPECT_EQ(readers[i].text, expected);
  }
  for (auto& pty : ptys) loop->close(pty.slave.release());
  EXPECT_TRUE(run_until([&] {
    for (const auto& pty : ptys)
      if (!(poll_now(pty.master) & POLLHUP)) return false;
    return true;
  }));
}

TEST_P(LoopContract, StormOfSignals) {
  struct sigaction action{}, before{};
  action.sa_handler = [](int) {};  // no SA_RESTART: every wait is interrupted
  sigaction(SIGALRM, &action, &before);
  itimerval storm{{0, 300}, {0, 300}}, calm{};
  setitimer(ITIMER_REAL, &storm, nullptr);
  Pty pty;
  Reader reader(*loop, pty.slave.get());
  for (std::size_t i = 1; i <= 200; ++i) {
    send(pty.master, "0123456789");
    ASSERT_TRUE(run_until([&] { return reader.text.size() == 10 * i; }));
  }
  setitimer(ITIMER_REAL, &calm, nullptr);
  sigaction(SIGALRM, &before, nullptr);
  for (int result : reader.results) EXPECT_GT(result, 0);
}

TEST_P(LoopContract, TimersExpireInOrder) {
  std::vector<int> order;
  Operation a([&](int result) { order.push_back(result == 0 ? 1 : -1); });
  Operation b([&](int result) { order.push_back(result == 0 ? 2 : -1); });
  Operation c([&](int result) { order.push_back(result == 0 ? 3 : -1); });
  const auto start = Clock::now();
  loop->timer(c, start + 30ms);
  loop->timer(a, start + 10ms);
  loop->timer(b, start + 20ms);
  EXPECT_TRUE(run_until([&] { return order.size() == 3; }));
  EXPECT_EQ(order, (std::vector{1, 2, 3}));
  EXPECT_GE(loop->now(), start + 30ms);  // never early
}

TEST_P(LoopContract, PastDeadlineExpiresAtOnce) {
  for (auto deadline : {TimePoint{}, TimePoint::min(), Clock::now() - 1h}) {
    int result = -1;
    Operation timer([&](int outcome) { result = outcome; });
    loop->timer(timer, deadline);
    EXPECT_TRUE(run_until([&] { return !timer.pending(); }));
    EXPECT_EQ(result, 0);
  }
}

TEST_P(LoopContract, FarDeadlineCanBeWaitedForAndCancelled) {
  int result = 1;
  Operation timer([&](int outcome) { result = outcome; });
  loop->timer(timer, TimePoint::max());
  settle(1ms);
  EXPECT_TRUE(timer.pending());
  loop->cancel(timer);
  EXPECT_TRUE(timer.pending());
  EXPECT_TRUE(run_until([&] { return !timer.pending(); }));
  EXPECT_EQ(result, -ECANCELED);
  loop->cancel(timer);  // harmless when idle
}

TEST_P(LoopContract, PendingTimerIsSetAnew) {
  int calls = 0;
  Operation timer([&](int result) {
    EXPECT_EQ(result, 0);
    ++calls;
  });
  const auto start = Clock::now();
  loop->timer(timer, start + 1h);
  settle(1ms);
  loop->timer(timer, start + 1ms);
  EXPECT_TRUE(run_until([&] { return calls == 1; }));
  loop->timer(timer, start + 1ms);
  loop->timer(timer, start + 30ms);
  EXPECT_TRUE(run_until([&] { return calls == 2; }));
  EXPECT_GE(loop->now(), start + 30ms);
  loop->timer(timer, loop->now() + 1h);
  loop->cancel(timer);
  loop->timer(timer, loop->now());  // even while a cancellation is on its way
  EXPECT_TRUE(run_until([&] { return calls == 3; }));
  settle();
  EXPECT_EQ(calls, 3);
}

TEST_P(LoopContract, TimerStartsAgainFromItsOwnCompletion) {
  int count = 0;
  std::optional<Operation> timer;
  timer.emplace([&](int) {
    if (++count < 1000) loop->timer(*timer, loop->now());
  });
  loop->timer(*timer, loop->now());
  EXPECT_TRUE(run_until([&] { return count == 1000; }));
}

TEST_P(LoopContract, OperationMayDestroyItselfInItsCompletion) {
  auto state = std::make_shared<std::string>("state of the closure");
  auto operation = std::unique_ptr<Operation>();
  std::string seen;
  operation = std::make_unique<Operation>([&operation, &seen, state](int) {
    operation.reset();
    seen = *state;
  });
  loop->timer(*operation, loop->now());
  EXPECT_TRUE(run_until([&] { return operation == nullptr; }));
  EXPECT_EQ(seen, "state of the closure");
}

TEST_P(LoopContract, CompletionMayDestroyAnOperationOfTheSameBatch) {
  SocketPair one, two;
  std::unique_ptr<Operation> a, b;
  int calls = 0;
  a = std::make_unique<Operation>([&](int) { ++calls, b.reset(); });
  b = std::make_unique<Operation>([&](int) { ++calls, a.reset(); });
  loop->poll(*a, one.near.get(), POLLIN);
  loop->poll(*b, two.near.get(), POLLIN);
  send(one.far, "x");
  send(two.far, "x");
  EXPECT_TRUE(run_until([&] { return calls > 0; }));
  settle(1ms);
  EXPECT_EQ(calls, 1);
}

TEST_P(LoopContract, SeveralRequestsOnOneDescriptor) {
  SocketPair pair;
  std::vector<int> in, out;
  Operation poll_in([&](int result) { in.push_back(result); });
  Operation poll_out([&](int result) { out.push_back(result); });
  loop->poll(poll_in, pair.near.get(), POLLIN);
  loop->poll(poll_out, pair.near.get(), POLLOUT);
  EXPECT_TRUE(run_until([&] { return !out.empty(); }));
  EXPECT_EQ(out, std::vector<int>{POLLOUT});
  EXPECT_TRUE(in.empty());
  Reader reader(*loop, pair.near.get());
  settle(1ms);
  EXPECT_TRUE(reader.results.empty());
  send(pair.far, "both");
  EXPECT_TRUE(run_until([&] { return !in.empty() && !reader.text.empty(); }));
  EXPECT_EQ(in, std::vector<int>{POLLIN});
  EXPECT_EQ(reader.text, "both");
  // One is cancelled, the other goes on.
  loop->poll(poll_in, pair.near.get(), POLLIN);
  settle(1ms);
  loop->cancel(poll_in);
  EXPECT_TRUE(run_until([&] { return in.size() == 2; }));
  send(pair.far, "!");
  EXPECT_TRUE(run_until([&] { return reader.text == "both!"; }));
  EXPECT_EQ(in.back(), -ECANCELED);
}

TEST_P(LoopContract, PollIsLevelTriggeredWhenArmed) {
  SocketPair pair;
  send(pair.far, "12");
  int calls = 0;
  std::optional<Operation> poll;
  poll.emplace([&](int result) {
    EXPECT_EQ(result, POLLIN);
    char one = 0;
    ++calls;
    EXPECT_EQ(::read(pair.near.get(), &one, 1), 1);
    loop->poll(*poll, pair.near.get(), POLLIN);
  });
  loop->poll(*poll, pair.near.get(), POLLIN);
  EXPECT_TRUE(run_until([&] { return calls == 2; }));
  settle(1ms);
  EXPECT_EQ(calls, 2);
}

TEST_P(LoopContract, PollReportsHangUp) {
  SocketPair pair;
  int events = 0;
  Operation poll([&](int result) { events = result; });
  loop->poll(poll, pair.near.get(), POLLIN);
  pair.far.reset();
  EXPECT_TRUE(run_until([&] { return !poll.pending(); }));
  EXPECT_TRUE(events & POLLHUP) << events;
}

TEST_P(LoopContract, Writes) {
  Pty pty;
  const std::string text = "\x10\x40\xfe\x3e\x16";
  std::vector<int> results;
  Operation write([&](int result) { results.push_back(result); });
  loop->write(write, pty.slave.get(), std::as_bytes(std::span(text)), nullptr);
  EXPECT_TRUE(run_until([&] { return !results.empty(); }));
  EXPECT_EQ(results, std::vector{static_cast<int>(text.size())});
  char got[16] = {};
  EXPECT_EQ(::read(pty.master.get(), got, sizeof got), static_cast<ssize_t>(text.size()));
  EXPECT_EQ(std::string_view(got, text.size()), text);
}

TEST_P(LoopContract, WriteWaitsForRoomAndFailsWhenThePeerIsGone) {
  SocketPair pair;
  const std::vector<std::byte> lot(8u << 20);
  std::vector<int> results;
  Operation write([&](int result) { results.push_back(result); });
  while (results.empty() || results.back() > 0) {  // fill what the socket takes
    loop->write(write, pair.near.get(), lot, nullptr);
    settle(1ms);
    if (write.pending()) break;
  }
  ASSERT_TRUE(write.pending());
  pair.far.reset();
  EXPECT_TRUE(run_until([&] { return !write.pending(); }));
  EXPECT_EQ(results.back(), -EPIPE);
}

TEST_P(LoopContract, RegularFileIsAlwaysReady) {
  char name[] = "/tmp/loop-test-XXXXXX";
  Fd file(mkstemp(name));
  ::unlink(name);
  send(file, "content");
  ::lseek(file.get(), 0, SEEK_SET);
  Reader reader(*loop, file.get());
  EXPECT_TRUE(run_until([&] { return !reader.results.empty() && reader.results.back() == 0; }));
  EXPECT_EQ(reader.text, "content");
  int events = 0;
  Operation poll([&](int result) { events = result; });
  loop->poll(poll, file.get(), POLLIN);
  EXPECT_TRUE(run_until([&] { return !poll.pending(); }));
  EXPECT_EQ(events, POLLIN);
}

TEST_P(LoopContract, BadDescriptor) {
  int fd = Fd(dup(0)).get();  // closed again
  for (int bad : {fd, -1}) {
    std::vector<int> results;
    Operation operation([&](int result) { results.push_back(result); });
    Buffer buffer;
    loop->read(operation, bad, buffer, nullptr);
    EXPECT_TRUE(run_until([&] { return !operation.pending(); }));
    loop->poll(operation, bad, POLLIN);
    EXPECT_TRUE(run_until([&] { return !operation.pending(); }));
    EXPECT_EQ(results, (std::vector{-EBADF, -EBADF}));
    loop->close(-1);
  }
}

TEST_P(LoopContract, ExceptionsStayInside) {
  log::set_level(static_cast<log::Level>(0));
  int calls = 0;
  Operation bad([&](int) {
    ++calls;
    throw std::runtime_error("from a completion");
  });
  Operation good([&](int) { ++calls; });
  const int hook = loop->add_before_wait([] { throw 42; });
  loop->timer(bad, loop->now());
  loop->timer(good, loop->now());
  EXPECT_TRUE(run_until([&] { return calls == 2; }));
  loop->remove_before_wait(hook);
  loop->timer(bad, loop->now());  // and it can be used again
  EXPECT_TRUE(run_until([&] { return calls == 3; }));
  log::set_level(log::Level::info);
}

TEST_P(LoopContract, HooksRunBeforeEachWaitAndMayRemoveEachOther) {
  std::string trace;
  int first = 0, second = 0;
  first = loop->add_before_wait([&] {
    trace += '1';
    loop->remove_before_wait(first);
    loop->add_before_wait([&] { trace += '3'; });
  });
  second = loop->add_before_wait([&, keep = std::string("longer than a small string")] {
    trace += '2';
    loop->remove_before_wait(second);
    EXPECT_EQ(keep, "longer than a small string");
  });
  Operation timer([](int) {});
  loop->timer(timer, loop->now());
  loop->run_once();
  EXPECT_EQ(trace, "123");
  loop->timer(timer, loop->now());
  loop->run_once();
  EXPECT_EQ(trace, "1233");
  loop->remove_before_wait(4711);
}

TEST_P(LoopContract, StopEndsRun) {
  Operation timer([&](int) { loop->stop(); });
  loop->timer(timer, Clock::now() + 1ms);
  loop->run();
  EXPECT_FALSE(timer.pending());
  loop->add_before_wait([&] { loop->stop(); });
  loop->run();  // does not wait
}

TEST_P(LoopContract, OperationMayOutliveTheLoop) {
  Pty pty;
  auto buffer = std::make_shared<Buffer>();
  Operation read([](int) { ADD_FAILURE(); });
  Operation timer([](int) { ADD_FAILURE(); });
  loop->read(read, pty.slave.get(), *buffer, buffer);
  loop->timer(timer, Clock::now() + 1h);
  settle(1ms);
  loop.reset();
  EXPECT_FALSE(read.pending());
  EXPECT_EQ(buffer.use_count(), 1);
}

TEST_P(LoopContract, SleepsWhileNothingHappens) {
  Pty pty;
  Reader reader(*loop, pty.slave.get());
  settle(1ms);
  const auto before = loop->iterations();
  settle(100ms);
  EXPECT_LE(loop->iterations() - before, 2u);  // the timer of settle() and what ended the last one
}

TEST_P(LoopContract, TimeIsThatOfTheBatch) {
  const auto before = Clock::now();
  const auto wall = std::chrono::system_clock::now().time_since_epoch();
  Operation timer([](int) {});
  loop->timer(timer, before);
  loop->run_once();
  EXPECT_GE(loop->now(), before);
  EXPECT_LE(loop->now(), Clock::now());
  EXPECT_GE(loop->realtime_us(),
            std::chrono::duration_cast<std::chrono::microseconds>(wall).count());
}

// ---- without io_uring ----

/// Runs in a child process, because a filter and a limit cannot be taken back.
template <class Function>
int in_child(Function function) {
  const pid_t child = fork();
  if (child == 0) _exit(function());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// io_uring_setup answers `error`, as the profiles of container engines have it.
bool forbid_io_uring(int error) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(filter), filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// 0: the loop runs on epoll, says why, and works.
int falls_back(std::string_view expected_reason) {
  log::set_level(log::Level::error);
  try {
    static_cast<void>(Loop::make(Backend::io_uring));
    return 2;
  } catch (const std::system_error&) {
  }
  auto loop = Loop::make(Backend::automatic);
  if (loop->backend_name() != "epoll") return 3;
  if (loop->reason().find(expected_reason) == std::string_view::npos) return 4;
  bool expired = false;
  Operation timer([&](int result) { expired = result == 0; });
  loop->timer(timer, Clock::now());
  loop->run_once();
  return expired ? 0 : 5;
}

TEST(LoopFallback, SeccompFilterOfContainers) {
  for (const auto& [error, words] : {std::pair{EPERM, "seccomp"}, std::pair{ENOSYS, "without it"}})
    EXPECT_EQ(in_child([&] { return forbid_io_uring(error) ? falls_back(words) : 1; }), 0)
        << std::strerror(error);
}

TEST(LoopFallback, LimitOfLockedMemory) {
  log::set_level(log::Level::error);
  if (!Loop::make(Backend::automatic)->reason().empty()) GTEST_SKIP() << "no io_uring here anyway";
  log::set_level(log::Level::info);
  EXPECT_EQ(in_child([] {
              const rlimit none{0, 0};
              setrlimit(RLIMIT_MEMLOCK, &none);
              if (geteuid() == 0 && setuid(65534) != 0) return 1;
              log::set_level(log::Level::error);
              auto loop = Loop::make(Backend::automatic);
              // Newer kernels do not count the ring: then there is nothing to fall back from.
              if (loop->backend_name() == "epoll" &&
                  loop->reason().find("RLIMIT_MEMLOCK") == std::string_view::npos)
                return 2;
              bool expired = false;
              Operation timer([&](int result) { expired = result == 0; });
              loop->timer(timer, Clock::now());
              loop->run_once();
              return expired ? 0 : 3;
            }),
            0);
}

}  // namespace
}  // namespace smartmeterd::io
