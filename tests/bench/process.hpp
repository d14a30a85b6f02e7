// SPDX-License-Identifier: Apache-2.0
// What the benchmarks of the whole service share: the daemon as a child, its use of the machine,
// a line to it, and order statistics.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <pty.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/daemon/mqtt/broker.hpp"
#include "tools/metersim/meter.hpp"

namespace smartmeterd::bench {

using Clock = std::chrono::steady_clock;

/// A process of this benchmark's own; it ends with its owner.
class Child {
 public:
  /// Runs `body` in the child, which then ends.
  explicit Child(const std::function<void()>& body) : pid_(fork()) {
    if (pid_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    try {
      body();
    } catch (const std::exception& exception) {
      fmt::print(stderr, "{}\n", exception.what());
    }
    _exit(1);
  }
  ~Child() {
    kill(pid_, SIGTERM);
    for (int i = 0; i < 200 && waitpid(pid_, nullptr, WNOHANG) == 0; ++i) usleep(10'000);
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  pid_t pid() const noexcept { return pid_; }

 private:
  pid_t pid_;
};

/// smartmeterd with a directory of its own, which holds the published test keys for every meter.
class DaemonProcess {
 public:
  /// `configuration`: what follows the table [gateway].
  DaemonProcess(const std::string& program, const std::string& instance,
                const std::vector<std::string>& options, const std::string& configuration = "")
      : child_([&] {
          prepare(instance, configuration);
          run(program, options);
        }) {}
  pid_t pid() const noexcept { return child_.pid(); }
  /// Waits until the log says `text` that many times.
  void wait_for_log(std::string_view text, std::size_t times = 1) const {
    const auto end = Clock::now() + test::patience;
    while (Clock::now() < end) {
      std::ifstream in(directory_ / "log");
      const std::string log(std::istreambuf_iterator<char>(in), {});
      std::size_t found = 0;
      for (std::size_t at = 0; (at = log.find(text, at)) != std::string::npos; ++at) ++found;
      if (found >= times) return;
      usleep(20'000);
    }
    throw std::runtime_error(fmt::format("smartmeterd's log never said \"{}\"", text));
  }

 private:
  void prepare(const std::string& instance, const std::string& configuration) const {
    const std::filesystem::path keys = directory_ / "keys.d" / "test.toml";
    std::filesystem::create_directory(directory_ / "keys.d");
    std::filesystem::create_directory(directory_ / "state");
    test::write_file(directory_ / "smartmeterd.toml",
                     fmt::format("[gateway]\ninstance = \"{}\"\n{}", instance, configuration));
    test::write_file(keys, fmt::format("[[key]]\nmeter = \"*\"\nencryption = \"{}\"\n",
                                       metersim::hex_from_octets(metersim::test_key())));
    std::filesystem::permissions(keys, std::filesystem::perms{0640});
  }
  void run(const std::string& program, const std::vector<std::string>& options) const {
    const int log =
        open((directory_ / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    dup2(log, 1);
    dup2(log, 2);
    for (const char* name : {"JOURNAL_STREAM", "NOTIFY_SOCKET"}) unsetenv(name);
    std::vector<std::string> arguments = {program, "--config", directory_ / "smartmeterd.toml",
                                          "--state", directory_ / "state"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    std::vector<char*> raw;
    for (std::string& argument : arguments) raw.push_back(argument.data());
    raw.push_back(nullptr);
    execv(raw[0], raw.data());
  }
  test::TemporaryDirectory directory_;
  Child child_;
};

/// What a process has used so far, over all its threads.
struct Usage {
  double cpu_s = 0;
  long switches = 0;  ///< voluntary context switches: it waited and was woken
  long resident_kb = 0;
  long own_kb = 0;  ///< of these: not pages of program and library files
  long threads = 0;
};

inline Usage usage_of(pid_t pid) {
  Usage usage;
  const std::string process = fmt::format("/proc/{}", pid);
  for (const auto& task : std::filesystem::directory_iterator(process + "/task")) {
    double nanoseconds = 0;
    std::ifstream(task.path() / "schedstat") >> nanoseconds;
    usage.cpu_s += nanoseconds / 1e9;
    ++usage.threads;
    std::ifstream status(task.path() / "status");
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("voluntary_ctxt_switches:"))
        usage.switches += std::stol(line.substr(line.find(':') + 1));
  }
  std::ifstream status(process + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) usage.resident_kb = std::stol(line.substr(6));
    if (line.starts_with("RssAnon:")) usage.own_kb = std::stol(line.substr(8));
  }
  return usage;
}

/// A pseudo terminal: we are the meter, `path()` is the port.
class Line {
 public:
  Line() {
    termios raw{};
    cfmakeraw(&raw);
    raw.c_cflag |= CREAD | CLOCAL;
    raw.c_cc[VMIN] = 1;
    char name[128];
    if (openpty(&meter_, &port_, name, &raw, nullptr) != 0) throw std::runtime_error("openpty");
    fcntl(meter_, F_SETFD, FD_CLOEXEC);
    fcntl(port_, F_SETFD, FD_CLOEXEC);  // open here too, so that the line never hangs up
    path_ = name;
  }
  ~Line() {
    close(meter_);
    close(port_);
  }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;
  const std::string& path() const noexcept { return path_; }
  void send(metersim::OctetView octets) const {
    if (write(meter_, octets.data(), octets.size()) != static_cast<ssize_t>(octets.size()))
      throw std::runtime_error("short write");
  }

 private:
  int meter_ = -1, port_ = -1;
  std::string path_;
};

/// The value that so many percent of all do not exceed.
inline double percentile(std::vector<double> all, std::size_t percent) {
  if (all.empty()) return 0;
  const std::size_t index = std::min(all.size() - 1, all.size() * percent / 100);
  const auto at = all.begin() + static_cast<std::ptrdiff_t>(index);
  std::nth_element(all.begin(), at, all.end());
  return *at;
}

/// How busy the machine is: a busy one makes latencies worthless.
inline double load_average() {
  double one_minute = 0;
  std::ifstream("/proc/loadavg") >> one_minute;
  return one_minute;
}

}  // namespace smartmeterd::bench
