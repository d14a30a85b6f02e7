// SPDX-License-Identifier: Apache-2.0
// FakeLoop: a loop whose clock the test moves. FakeKernel: ports that are plugged, held and pulled
// by the test.
#pragma once

#include <algorithm>
#include <cassert>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/io/loop_base.hpp"
#include "daemon/io/port.hpp"

namespace smartmeterd::test {

/// Timers only; what is polled is never ready. Time passes in `pass`, from one deadline to the
/// next.
class FakeLoop final : public io::LoopBase {
 public:
  FakeLoop() { FakeLoop::take_time(); }
  ~FakeLoop() override { drain(); }
  std::string_view backend_name() const noexcept override { return "fake"; }
  std::string_view reason() const noexcept override { return {}; }

  /// Everything that is due within `time` happens, each at its moment. Zero: what is due now.
  void pass(io::Clock::duration time) {
    bool is_over = false;
    io::Operation end([&](int) { is_over = true; });
    timer(end, clock_ + time);
    while (!is_over) run_once();
  }
  /// Somebody sets the clock (CLOCK_REALTIME).
  void set_realtime(std::int64_t realtime_us) {
    offset_us_ += realtime_us - this->realtime_us();
    take_time();
  }

 private:
  void start(std::uint64_t id, Request& request) override {
    if (request.kind == Kind::poll) return;
    assert(request.kind == Kind::timer);
    timers_.emplace(request.deadline, id);
  }
  void abandon(std::uint64_t id, Request& request) override {
    timers_.erase({request.deadline, id});
    complete(id, -ECANCELED);
  }
  void wait(bool block) override {
    if (block && !has_completions() && !timers_.empty())
      clock_ = std::max(clock_, timers_.begin()->first);
    while (!timers_.empty() && timers_.begin()->first <= clock_) {
      complete(timers_.begin()->second, 0);
      timers_.erase(timers_.begin());
    }
  }
  void take_time() noexcept override {
    set_time(clock_, std::chrono::duration_cast<std::chrono::microseconds>(
                         clock_.time_since_epoch())
                             .count() +
                         offset_us_);
  }

  io::TimePoint clock_{std::chrono::hours(1)};
  std::int64_t offset_us_ = 0;
  std::set<std::pair<io::TimePoint, std::uint64_t>> timers_;
};

/// The nodes below /dev, and what the daemon's ports did to them. One at a time: `kernel`.
class FakeKernel {
 public:
  /// A node, from plug to unplug.
  struct Node {
    io::PortError refusal{};  ///< where opening is refused
    bool is_refused = false;
    bool is_there = true;
    io::LineCounters counters;
    std::string line_refused;  ///< these line settings the driver does not do
  };
  class Port;

  FakeKernel() { kernel = this; }
  ~FakeKernel() { kernel = nullptr; }

  /// Plugs something in: the lowest number that nobody holds, as the kernel gives them out.
  std::string plug() {
    for (int number = 0;; ++number) {
      const std::string path = "/dev/ttyUSB" + std::to_string(number);
      if (nodes[path] && (nodes[path]->is_there || is_held(path))) continue;
      nodes[path] = std::make_shared<Node>();
      return path;
    }
  }
  /// Nobody can open it any more; who has it open is told by `hang_up`.
  void unplug(const std::string& path) { nodes.at(path)->is_there = false; }
  /// read() gives 0, or EIO: each port that holds what was pulled there is told.
  void hang_up(const std::string& path, const std::string& detail = "hung up (unplugged?)");
  /// Bytes on the line. False where nobody reads them.
  bool receive(const std::string& path, std::string_view bytes);
  bool is_held(const std::string& path) const;
  /// Who has it open; null: nobody.
  Port* port_on(const std::string& path) const;

  std::map<std::string, std::shared_ptr<Node>> nodes;
  std::vector<Port*> ports;
  std::vector<std::string> trace;  ///< "open /dev/ttyUSB0 2400-8E1", "close …", "line 300-7E1"

  static inline FakeKernel* kernel = nullptr;
};

class FakeKernel::Port final : public io::Port {
 public:
  Port(io::Loop& loop, const AdapterConfig& config, io::PortListener& listener)
      : loop_(loop),
        listener_(listener),
        path_(config.device),
        line_(config.line.value()),
        opening_([this](int result) {
          if (result == 0) open_now();
        }) {
    kernel->ports.push_back(this);
  }
  ~Port() override {
    close();
    std::erase(kernel->ports, this);
  }

  void open() override {
    close();
    loop_.timer(opening_, loop_.now());
  }
  void close() override {
    if (opening_.pending()) loop_.cancel(opening_);
    if (!node_) return;
    kernel->trace.push_back("close " + path_);
    node_.reset();
  }
  void reset() override {
    kernel->trace.push_back("reset " + path_);
    close();
    loop_.timer(opening_, loop_.now() + std::chrono::milliseconds(200));
  }
  bool is_open() const noexcept override { return node_ != nullptr; }
  void write(std::span<const std::byte> bytes) override {
    kernel->trace.push_back("write " + std::string(meter::text_of(bytes)));
  }
  std::string set_line(const LineSettings& line) override {
    if (!node_) return "the port is not open";
    kernel->trace.push_back("line " + line.to_text());
    if (node_->line_refused == line.to_text()) return "the driver does not do it";
    line_ = line;
    return {};
  }
  io::LineCounters counters() const noexcept override {
    return node_ ? node_->counters : io::LineCounters{};
  }
  std::string description() const override { return path_ + " " + line_.to_text(); }

  const std::string& path() const { return path_; }
  const std::shared_ptr<Node>& node() const { return node_; }
  const LineSettings& line() const { return line_; }
  void fail(io::PortError error, const std::string& detail) {
    close();
    listener_.port_failed(error, detail);
  }
  void receive(std::string_view bytes) {
    const auto ring = ring_;
    const std::shared_ptr<Node> node = node_;
    std::copy_n(meter::bytes_of(bytes).begin(), bytes.size(), ring->writable().begin());
    ring->produced(bytes.size());
    listener_.port_received(*ring, 0);
  }

 private:
  void open_now() {
    const auto found = kernel->nodes.find(path_);
    if (found == kernel->nodes.end() || !found->second || !found->second->is_there)
      return fail(io::PortError::gone, "No such file or directory");
    if (found->second->is_refused) return fail(found->second->refusal, "refused");
    node_ = found->second;
    ring_ = io::MirroredRing::make();
    kernel->trace.push_back("open " + path_ + " " + line_.to_text());
    listener_.port_opened();
  }

  io::Loop& loop_;
  io::PortListener& listener_;
  std::string path_;
  LineSettings line_;
  std::shared_ptr<Node> node_;  // open
  std::shared_ptr<io::MirroredRing> ring_;
  io::Operation opening_;
};

inline void FakeKernel::hang_up(const std::string& path, const std::string& detail) {
  for (Port* port : std::vector(ports))
    if (port->path() == path && port->node() && !port->node()->is_there)
      port->fail(io::PortError::gone, detail);
}

inline FakeKernel::Port* FakeKernel::port_on(const std::string& path) const {
  for (Port* port : ports)
    if (port->path() == path && port->node() && port->node() == nodes.at(path)) return port;
  return nullptr;
}

inline bool FakeKernel::receive(const std::string& path, std::string_view bytes) {
  Port* port = port_on(path);
  if (port) port->receive(bytes);
  return port != nullptr;
}

inline bool FakeKernel::is_held(const std::string& path) const {
  return std::ranges::any_of(
      ports, [&](const Port* port) { return port->path() == path && port->is_open(); });
}

/// For DeviceEnvironment.
inline std::unique_ptr<io::Port> make_fake_port(io::Loop& loop, const AdapterConfig& config,
                                                io::PortListener& listener) {
  return std::make_unique<FakeKernel::Port>(loop, config, listener);
}

}  // namespace smartmeterd::test
