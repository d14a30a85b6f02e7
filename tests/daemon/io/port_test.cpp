// SPDX-License-Identifier: Apache-2.0
// Ports on both back ends: a pty stands for an adapter, a socket on loopback for ser2net.
#include "daemon/io/port.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>

#include "tests/daemon/io/io_fixture.hpp"
#include "tests/daemon/localhost.hpp"

namespace smartmeterd::io {
namespace {

/// Writes down what it is told.
struct Listener : PortListener {
  int opened = 0;
  std::string text;
  std::size_t lost = 0;
  bool consume = true;
  std::vector<std::pair<PortError, std::string>> failures;
  std::function<void()> on_opened, on_received, on_failed;

  void port_opened() override {
    ++opened;
    if (on_opened) on_opened();
  }
  void port_received(MirroredRing& ring, std::size_t dropped) override {
    lost += dropped;
    if (consume) {
      text += meter::text_of(ring.readable());
      ring.consume(ring.readable().size());
    } else {
      text = meter::text_of(ring.readable());
    }
    if (on_received) on_received();
  }
  void port_failed(PortError error, const std::string& detail) override {
    failures.emplace_back(error, detail);
    if (on_failed) on_failed();
  }
};

class PortTest : public LoopTest {
 protected:
  std::unique_ptr<Port> serial(const std::string& path) {
    AdapterConfig config;
    config.device = path;
    return make_port(*loop, config, listener);
  }
  std::unique_ptr<Port> tcp(const std::string& address) {
    AdapterConfig config;
    config.tcp = address;
    return make_port(*loop, config, listener);
  }
  bool told() const { return listener.opened > 0 || !listener.failures.empty(); }
  /// Opens, and expects this refusal with these words in it.
  void expect_failure(Port& port, PortError error, std::string_view words) {
    port.open();
    EXPECT_TRUE(listener.failures.empty()) << "told from inside open()";
    ASSERT_TRUE(run_until([&] { return told(); }));
    ASSERT_EQ(listener.failures.size(), 1u);
    EXPECT_EQ(listener.failures[0].first, error) << listener.failures[0].second;
    EXPECT_NE(listener.failures[0].second.find(words), std::string::npos)
        << listener.failures[0].second;
    EXPECT_FALSE(port.is_open());
    EXPECT_EQ(listener.opened, 0);
  }
  Listener listener;
};

class SerialPortTest : public PortTest {};
INSTANTIATE_TEST_SUITE_P(, SerialPortTest, testing::Values(Backend::io_uring, Backend::epoll),
                         backend_text);

TEST(LineDefault, UsualSettingsOfEachKind) {
  EXPECT_EQ(line_default("mbus"), (LineSettings{2400, 8, 'E', 1}));
  EXPECT_EQ(line_default("ir"), (LineSettings{9600, 8, 'N', 1}));
  EXPECT_EQ(line_default("p1"), (LineSettings{115200, 8, 'N', 1}));
  EXPECT_EQ(line_default(""), (LineSettings{2400, 8, 'E', 1}));
  using meter::Link;
  EXPECT_EQ(line_default("ir", Link::mbus_master, Role::master), (LineSettings{2400, 8, 'E', 1}));
  EXPECT_EQ(line_default("ir", Link::iec62056_21, Role::reader), (LineSettings{300, 7, 'E', 1}));
  EXPECT_EQ(line_default("ir", Link::iec62056_21), (LineSettings{9600, 7, 'E', 1}));
  EXPECT_EQ(line_default("ir", Link::amis, Role::reader), (LineSettings{9600, 8, 'E', 1}));
  EXPECT_EQ(line_default("", Link::sml), (LineSettings{9600, 8, 'N', 1}));
  EXPECT_EQ(line_default("", Link::p1), (LineSettings{115200, 8, 'N', 1}));
}

TEST_P(SerialPortTest, OpensRawExclusiveAndReceives) {
  Pty pty;
  termios cooked{};
  tcgetattr(pty.slave.get(), &cooked);
  cooked.c_lflag |= ICANON | ECHO | ISIG;
  cooked.c_iflag |= ICRNL | IXON | ISTRIP;
  cooked.c_cflag |= HUPCL;
  cooked.c_cc[VMIN] = 0;
  tcsetattr(pty.slave.get(), TCSANOW, &cooked);
  auto port = serial(pty.path);
  port->open();
  EXPECT_EQ(listener.opened, 0) << "told from inside open()";
  ASSERT_TRUE(run_until([&] { return told(); }));
  ASSERT_TRUE(port->is_open());
  EXPECT_EQ(port->description(), pty.path + " 2400-8E1");

  termios now{};
  tcgetattr(pty.slave.get(), &now);
  EXPECT_EQ(now.c_lflag, 0u);
  EXPECT_EQ(now.c_iflag, 0u);
  EXPECT_EQ(now.c_oflag, 0u);
  EXPECT_EQ(now.c_cc[VMIN], 1);
  EXPECT_EQ(now.c_cc[VTIME], 0);
  EXPECT_FALSE(now.c_cflag & HUPCL);
  EXPECT_TRUE(now.c_cflag & CLOCAL);

  const std::string telegram("\x68\x03\x0d\x0a\x00\xff\x11\x13\x16", 9);
  send(pty.master, telegram);
  EXPECT_TRUE(run_until([&] { return listener.text.size() >= telegram.size(); }));
  EXPECT_EQ(listener.text, telegram);
  const LineCounters none = port->counters();
  EXPECT_EQ(none.framing + none.parity + none.overrun, 0u);
}

TEST_P(SerialPortTest, OtherLineSettingsWhileOpenUntilTheNextOpening) {
  Pty pty;
  auto port = serial(pty.path);
  EXPECT_NE(port->set_line({300, 7, 'E', 1}), "");  // not open yet
  port->open();
  ASSERT_TRUE(run_until([&] { return told(); }));
  EXPECT_EQ(port->set_line({300, 7, 'O', 1}), "");
  EXPECT_EQ(port->description(), pty.path + " 300-7O1");
  termios now{};
  tcgetattr(pty.slave.get(), &now);
  EXPECT_TRUE(now.c_cflag & PARODD);
  EXPECT_EQ(now.c_lflag, 0u);
  EXPECT_EQ(now.c_cc[VMIN], 1);
  send(pty.master, "still here");
  EXPECT_TRUE(run_until([&] { return listener.text == "still here"; }));
  port->open();
  ASSERT_TRUE(run_until([&] { return listener.opened == 2; }));
  EXPECT_EQ(port->description(), pty.path + " 2400-8E1");
}

TEST_P(SerialPortTest, SecondOpenIsBusyUntilTheFirstCloses) {
  Pty pty;
  auto first = serial(pty.path);
  first->open();
  ASSERT_TRUE(run_until([&] { return told(); }));
  listener = {};
  auto second = serial(pty.path);
  expect_failure(*second, PortError::busy, "another program");
  first->close();
  listener = {};
  second->open();
  ASSERT_TRUE(run_until([&] { return told(); }));
  EXPECT_TRUE(second->is_open());
}

TEST_P(SerialPortTest, AnotherProgramHoldsIt) {
  Pty pty;
  ASSERT_EQ(flock(pty.slave.get(), LOCK_EX), 0);
  auto port = serial(pty.path);
  expect_failure(*port, PortError::busy, "flock");
}

TEST_P(SerialPortTest, NoSuchDevice) {
  auto port = serial("/dev/does-not-exist");
  expect_failure(*port, PortError::gone, "No such file");
}

TEST_P(SerialPortTest, WhatIsNotATerminalIsRefusedByName) {
  const auto directory =
      std::filesystem::temp_directory_path() / ("port-test-" + std::to_string(getpid()));
  std::filesystem::create_directory(directory);
  const auto file = directory / "file";
  std::ofstream(file) << "x";
  const auto fifo = directory / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const std::pair<std::string, std::string> cases[] = {{directory, "a directory"},
                                                       {file, "a regular file"},
                                                       {fifo, "a pipe"},
                                                       {"/dev/null", "not a terminal"}};
  for (const auto& [path, words] : cases) {
    listener = {};
    auto port = serial(path);
    expect_failure(*port, PortError::other, words);
  }
  std::filesystem::remove_all(directory);
}

TEST_P(SerialPortTest, HangUpIsReportedOnceAndThePortOpensAgain) {
  std::unique_ptr<Port> port;
  {
    Pty pty;
    port = serial(pty.path);
    port->open();
    ASSERT_TRUE(run_until([&] { return told(); }));
    pty.slave.reset();
    send(pty.master, "half a teleg");
    ASSERT_TRUE(run_until([&] { return !listener.text.empty(); }));
  }
  ASSERT_TRUE(run_until([&] { return !listener.failures.empty(); }));
  settle();
  ASSERT_EQ(listener.failures.size(), 1u);
  EXPECT_EQ(listener.failures[0].first, PortError::gone);
  EXPECT_NE(listener.failures[0].second.find("unplugged"), std::string::npos);
  EXPECT_FALSE(port->is_open());
  EXPECT_EQ(port->counters().framing, 0u);
}

TEST_P(SerialPortTest, CloseIsSilentAndFreesTheTerminal) {
  Pty pty;
  auto port = serial(pty.path);
  port->open();
  ASSERT_TRUE(run_until([&] { return told(); }));
  settle();
  pty.slave.reset();
  port->close();
  EXPECT_FALSE(port->is_open());
  EXPECT_TRUE(run_until([&] { return poll_now(pty.master) & POLLHUP; }));
  EXPECT_TRUE(listener.failures.empty());
  port->close();  // harmless
}

TEST_P(SerialPortTest, CloseWhileOpeningIsSilent) {
  Pty pty;
  auto port = serial(pty.path);
  port->open();
  port->close();
  settle();
  EXPECT_FALSE(told());
  port->open();
  port->open();  // begins anew
  EXPECT_TRUE(run_until([&] { return told(); }));
  settle();
  EXPECT_EQ(listener.opened, 1);
  EXPECT_TRUE(listener.failures.empty());
}

TEST_P(SerialPortTest, ResetClosesAndOpensAnew) {
  Pty pty;
  auto port = serial(pty.path);
  port->open();
  ASSERT_TRUE(run_until([&] { return told(); }));
  EXPECT_EQ(port->set_line({300, 7, 'E', 1}), "");
  pty.slave.reset();  // nobody else has it open now
  port->reset();
  EXPECT_FALSE(port->is_open());
  EXPECT_EQ(listener.opened, 1) << "told from inside reset()";
  EXPECT_TRUE(run_until([&] { return poll_now(pty.master) & POLLHUP; })) << "closed for good";
  ASSERT_TRUE(run_until([&] { return listener.opened == 2; }));
  EXPECT_EQ(port->description(), pty.path + " 2400-8E1");
  send(pty.master, "fine");
  EXPECT_TRUE(run_until([&] { return listener.text == "fine"; }));
  port->reset();
  port->close();  // gives the opening up as well
  settle(std::chrono::milliseconds(300));
  EXPECT_EQ(listener.opened, 2);
  EXPECT_TRUE(listener.failures.empty());
}

TEST_P(SerialPortTest, ReopenAtOnceAfterClose) {
  Pty pty;
  auto port = serial(pty.path);
  for (int round = 1; round <= 20; ++round) {
    port->open();
    ASSERT_TRUE(run_until([&] { return listener.opened == round; }));
    settle(std::chrono::milliseconds(1));
    port->close();
  }
  port->open();
  ASSERT_TRUE(run_until([&] { return listener.opened == 21; }));
  send(pty.master, "fine");
  EXPECT_TRUE(run_until([&] { return listener.text == "fine"; }));
  EXPECT_TRUE(listener.failures.empty());
}

TEST_P(SerialPortTest, ListenerMayCloseOrDestroyThePortFromEachCall) {
  for (int call = 0; call < 3; ++call) {
    for (bool destroy : {false, true}) {
      Pty pty;
      listener = {};
      auto port = serial(pty.path);
      const auto end = [&] {
        if (destroy)
          port.reset();
        else
          port->close();
      };
      (call == 0   ? listener.on_opened
       : call == 1 ? listener.on_received
                   : listener.on_failed) = end;
      port->open();
      ASSERT_TRUE(run_until([&] { return told(); }));
      send(pty.master, "x");
      if (call > 0) {
        EXPECT_TRUE(run_until([&] { return !listener.text.empty(); }));
      }
      settle();
      pty = Pty();
      if (call == 2) {
        EXPECT_TRUE(run_until([&] { return !listener.failures.empty(); }));
      }
      settle();
      EXPECT_EQ(listener.failures.size(), call == 2 ? 1u : 0u);
      EXPECT_EQ(listener.text, call == 0 ? "" : "x");
    }
  }
}

TEST_P(SerialPortTest, FullRingDropsTheOldestAndSaysHowMany) {
  Pty pty;
  auto port = serial(pty.path);
  listener.consume = false;  // a decoder that waits for more
  port->open();
  ASSERT_TRUE(run_until([&] { return told(); }));
  std::string sent;
  std::size_t received = 0;
  for (int i = 0; received < MirroredRing::size_default + 8192; ++i) {
    const std::string chunk = std::to_string(i) + std::string(500, '.');
    send(pty.master, chunk);
    sent += chunk;
    ASSERT_TRUE(run_until([&] {
      received = listener.lost + listener.text.size();
      return received >= sent.size();
    }));
  }
  EXPECT_GT(listener.lost, 0u);
  EXPECT_EQ(listener.text, sent.substr(listener.lost));
}

TEST_P(SerialPortTest, WritesInOrder) {
  Pty pty;
  auto port = serial(pty.path);
  const std::string_view request = "/?!\r\n";
  port->write(meter::bytes_of(request));  // not open: dropped
  port->open();
  ASSERT_TRUE(run_until([&] { return told(); }));
  std::string sent, got;
  for (int i = 0; i < 2000; ++i) {
    const std::string piece = std::to_string(i) + std::string(request);
    port->write(meter::bytes_of(piece));
    sent += piece;
  }
  for (int i = 0; i < 1000 && got.size() < sent.size(); ++i) {
    char buffer[4096];
    const auto count = ::read(pty.master.get(), buffer, sizeof buffer);
    if (count > 0) got.append(buffer, static_cast<std::size_t>(count));
    settle(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(got, sent);
}

TEST_P(SerialPortTest, MissingModemLinesAreNoFailure) {
  Pty pty;
  AdapterConfig config;
  config.device = pty.path;
  config.dtr = ModemLine::on;
  config.rts = ModemLine::off;
  auto port = make_port(*loop, config, listener);
  port->open();
  ASSERT_TRUE(run_until([&] { return told(); }));
  EXPECT_EQ(listener.opened, 1);
}

// ---- TCP ----

/// Listens on loopback.
struct Server {
  Fd listening;
  int port = 0;
  explicit Server(int family = AF_INET) {
    listening = Fd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v6.sin6_family = AF_INET6;
    v6.sin6_addr = in6addr_loopback;
    const bool is_v4 = family == AF_INET;
    auto* address = is_v4 ? reinterpret_cast<sockaddr*>(&v4) : reinterpret_cast<sockaddr*>(&v6);
    socklen_t size = is_v4 ? sizeof v4 : sizeof v6;
    if (bind(listening.get(), address, size) != 0 || listen(listening.get(), 4) != 0) return;
    getsockname(listening.get(), address, &size);
    port = ntohs(is_v4 ? v4.sin_port : v6.sin6_port);
  }
  Fd accept() const { return Fd(accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC)); }
};

class TcpPortTest : public PortTest {
 protected:
  void connect(const Server& server, const std::string& host) {
    port = tcp(host + ":" + std::to_string(server.port));
    port->open();
    EXPECT_FALSE(told()) << "told from inside open()";
    ASSERT_TRUE(run_until([&] { return told(); }));
    ASSERT_EQ(listener.opened, 1) << listener.failures[0].second;
    // The other end's half of the handshake may take a moment longer.
    pollfd entry{server.listening.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&entry, 1, 10'000), 1);
    peer = server.accept();
    ASSERT_GE(peer.get(), 0);
  }
  std::unique_ptr<Port> port;
  Fd peer;
};
INSTANTIATE_TEST_SUITE_P(, TcpPortTest, testing::Values(Backend::io_uring, Backend::epoll),
                         backend_text);

TEST_P(TcpPortTest, ReceivesSendsAndNoticesTheEnd) {
  Server server;
  connect(server, "127.0.0.1");
  EXPECT_EQ(port->description(), "tcp://127.0.0.1:" + std::to_string(server.port));
  send(peer, "/ISk5");
  EXPECT_TRUE(run_until([&] { return listener.text == "/ISk5"; }));
  port->write(meter::bytes_of("ack"));
  settle(std::chrono::milliseconds(1));
  char got[8] = {};
  EXPECT_EQ(::read(peer.get(), got, sizeof got), 3);
  peer.reset();
  ASSERT_TRUE(run_until([&] { return !listener.failures.empty(); }));
  EXPECT_EQ(listener.failures[0].first, PortError::gone);
  EXPECT_NE(listener.failures[0].second.find("closed by the other side"), std::string::npos);
  EXPECT_FALSE(port->is_open());
}

TEST_P(TcpPortTest, ResetIsGone) {
  Server server;
  connect(server, "127.0.0.1");
  const linger hard{1, 0};
  setsockopt(peer.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  peer.reset();
  ASSERT_TRUE(run_until([&] { return !listener.failures.empty(); }));
  EXPECT_EQ(listener.failures[0].first, PortError::gone);
}

TEST_P(TcpPortTest, ResolvesNames) {
  if (!test::knows_localhost()) GTEST_SKIP() << test::no_localhost;
  Server server;
  connect(server, "localhost");
}

TEST_P(TcpPortTest, Version6) {
  Server server(AF_INET6);
  if (server.port == 0) GTEST_SKIP() << "no IPv6 on this machine";
  connect(server, "[::1]");
}

TEST_P(TcpPortTest, NothingListens) {
  int number = 0;
  {
    Server server;
    number = server.port;
  }
  port = tcp("127.0.0.1:" + std::to_string(number));
  expect_failure(*port, PortError::refused, "Connection refused");
}

TEST_P(TcpPortTest, UnresolvableName) {
  port = tcp("no-such-host.invalid:2000");
  expect_failure(*port, PortError::refused, "not resolved");
}

TEST_P(TcpPortTest, UnusableAddresses) {
  for (const auto* address : {"host", "host:", ":2000", "::1:2000", ""}) {
    if (*address == '\0') continue;  // an empty one is a serial port
    listener = {};
    port = tcp(address);
    expect_failure(*port, PortError::other, "is not host:port");
  }
}

TEST_P(TcpPortTest, CloseWhileResolvingOrConnectingIsSilent) {
  Server server;
  for (int iterations = 0; iterations < 4; ++iterations) {
    port = tcp("localhost:" + std::to_string(server.port));
    port->open();
    for (int i = 0; i < iterations && !told(); ++i) loop->run_once();
    const bool was_told = told();
    port->close();
    listener = {};
    settle();
    EXPECT_FALSE(told()) << was_told;
  }
  port->open();
  port.reset();  // the thread finds nobody waiting
  settle();
}

TEST_P(TcpPortTest, PeerClosesRightAfterTheConnection) {
  Server server;
  port = tcp("127.0.0.1:" + std::to_string(server.port));
  port->open();
  ASSERT_TRUE(run_until([&] {
    server.accept();
    return !listener.failures.empty();
  }));
  EXPECT_EQ(listener.failures[0].first, PortError::gone);
}

}  // namespace
}  // namespace smartmeterd::io
