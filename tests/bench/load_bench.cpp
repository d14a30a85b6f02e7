// SPDX-License-Identifier: Apache-2.0
// load-bench: what smartmeterd takes of the machine while nothing comes, and with up to a thousand
// adapters (TCP connections) at one telegram a second each.
// load-bench idle [SECONDS [SMARTMETERD]] | load-bench adapters [MOST [SECONDS [SMARTMETERD]]]
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>

#include <cstdlib>
#include <memory>
#include <set>

#include "tests/bench/process.hpp"
#include "tests/daemon/bus/private_bus.hpp"

namespace smartmeterd::bench {
namespace {

using namespace std::chrono_literals;

std::unique_ptr<metersim::Meter> make_meter(std::uint32_t number) {
  metersim::MeterOptions options;
  options.start.epoch_s = 1795172405;
  options.seed = number + 1;
  options.unit_number = number;
  return std::make_unique<metersim::Meter>(*metersim::find_family("kaifa-tinetz"), options);
}

struct Use {
  double cpu_percent, switches_per_s;
  Usage end;
};
template <class Meanwhile>
Use measure(pid_t pid, Meanwhile meanwhile) {
  const Usage before = usage_of(pid);
  const auto start = Clock::now();
  meanwhile();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  const Usage after = usage_of(pid);
  return {(after.cpu_s - before.cpu_s) / seconds * 100,
          static_cast<double>(after.switches - before.switches) / seconds, after};
}

/// One adapter, bus and broker connected, a meter that has spoken and is silent.
void idle(int seconds, const std::string& program) {
  const test::Broker broker;
  bus::test::PrivateBus bus;
  bus.start();
  const Line line;
  const DaemonProcess daemon(program, "idle",
                             {"--device", line.path() + ",link=mbus", "--bus", bus.address(),
                              "--mqtt", fmt::format("mqtt://127.0.0.1:{}", broker.port())});
  for (const char* text : {" opened", "connected to", "serving"}) daemon.wait_for_log(text);
  const auto meter = make_meter(0);
  for (int i = 0; i < 10; ++i) {
    line.send(meter->next().octets());
    usleep(100'000);
  }
  daemon.wait_for_log("found");
  const Use use = measure(daemon.pid(), [&] { sleep(static_cast<unsigned>(seconds)); });
  fmt::print(
      "idle for {} s, one adapter, bus and broker connected: {:.2f} wake-ups/s, CPU {:.3f} "
      "%, RSS {} KiB ({} KiB its own), {} thread(s)\n",
      seconds, use.switches_per_s, use.cpu_percent, use.end.resident_kb, use.end.own_kb,
      use.end.threads);
}

/// The other ends of the adapters: adapter n connects to 127.0.x.y, which differs for each.
class Gateways {
 public:
  explicit Gateways(std::size_t count)
      : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
        meters_(count),
        connections_(count, -1) {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    socklen_t size = sizeof any;
    if (bind(listener_, reinterpret_cast<sockaddr*>(&any), size) != 0 ||
        listen(listener_, SOMAXCONN) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr*>(&any), &size) != 0)
      throw std::runtime_error("no socket to listen on");
    port_ = ntohs(any.sin_port);
  }
  ~Gateways() {
    for (const int fd : connections_) close(fd);
    close(listener_);
  }
  Gateways(const Gateways&) = delete;
  Gateways& operator=(const Gateways&) = delete;

  std::string device(std::size_t number) const {
    return fmt::format("tcp://127.0.{}.{}:{},link=mbus", number / 250, number % 250 + 1, port_);
  }
  void accept_all() {
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      pollfd ready{listener_, POLLIN, 0};
      if (::poll(&ready, 1, 20'000) != 1) throw std::runtime_error("not all adapters came");
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      sockaddr_in own{};
      socklen_t size = sizeof own;
      getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size);
      const std::uint32_t address = ntohl(own.sin_addr.s_addr);
      connections_.at((address >> 8 & 0xff) * 250 + (address & 0xff) - 1) = fd;
      const int yes = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    }
    for (std::size_t i = 0; i < meters_.size(); ++i)
      meters_[i] = make_meter(static_cast<std::uint32_t>(i));
  }
  void send(std::size_t number) {
    const metersim::Octets octets = meters_[number]->next().octets();
    if (write(connections_[number], octets.data(), octets.size()) !=
        static_cast<ssize_t>(octets.size()))
      throw std::runtime_error("short write");
  }

 private:
  int listener_;
  std::uint16_t port_ = 0;
  std::vector<std::unique_ptr<metersim::Meter>> meters_;
  std::vector<int> connections_;
};

/// Counts the meters' state messages, by meter.
class Counter {
 public:
  explicit Counter(std::uint16_t port) {
    mosquitto_lib_init();
    handle_ = mosquitto_new(nullptr, true, this);
    mosquitto_message_callback_set(handle_,
                                   [](mosquitto*, void* self, const mosquitto_message* message) {
                                     auto& counter = *static_cast<Counter*>(self);
                                     ++counter.messages;
                                     counter.meters.emplace(message->topic);
                                   });
    if (mosquitto_connect(handle_, "127.0.0.1", port, 600) != MOSQ_ERR_SUCCESS)
      throw std::runtime_error("no broker");
    mosquitto_subscribe(handle_, nullptr, "smartmeter/+/state", 0);
  }
  ~Counter() { mosquitto_destroy(handle_); }
  Counter(const Counter&) = delete;
  Counter& operator=(const Counter&) = delete;
  void listen_until(Clock::time_point end) {
    for (;;) {
      const auto left = std::chrono::floor<std::chrono::milliseconds>(end - Clock::now()).count();
      if (left < 0) return;
      mosquitto_loop(handle_, static_cast<int>(left), 100);
    }
  }
  std::size_t messages = 0;
  std::set<std::string> meters;

 private:
  mosquitto* handle_ = nullptr;
};

/// `count` adapters, each with a telegram a second, spread evenly.
void load(std::size_t count, int seconds, const std::string& program) {
  const test::Broker broker;
  Gateways gateways(count);
  std::vector<std::string> options = {"--bus", "none", "--mqtt",
                                      fmt::format("mqtt://127.0.0.1:{}", broker.port())};
  for (std::size_t i = 0; i < count; ++i) {
    options.emplace_back("--device");
    options.push_back(gateways.device(i));
  }
  const DaemonProcess daemon(program, "load", options);
  gateways.accept_all();
  daemon.wait_for_log(" opened", count);
  daemon.wait_for_log("connected to");
  Counter counter(broker.port());
  counter.listen_until(Clock::now() + 500ms);
  std::size_t sent = 0;
  const auto send_for = [&](int how_long) {
    const auto start = Clock::now();
    const std::size_t all = count * static_cast<std::size_t>(how_long);
    for (std::size_t i = 0; i < all; ++i, ++sent) {
      counter.listen_until(start + std::chrono::nanoseconds(1s) * i / count);
      gateways.send(i % count);
    }
    counter.listen_until(start + std::chrono::seconds(how_long));
  };
  send_for(3);  // the meters are found, the interval is known
  const Use use = measure(daemon.pid(), [&] { send_for(seconds); });
  counter.listen_until(Clock::now() + 2s);
  fmt::print("{:>8}{:>10}{:>10}{:>7}{:>9.2f}{:>13.1f}{:>11.0f}{:>10}{:>9}\n", count, sent,
             counter.messages, static_cast<long>(sent) - static_cast<long>(counter.messages),
             use.cpu_percent, use.cpu_percent * 1e4 / static_cast<double>(count),
             use.switches_per_s, use.end.resident_kb, counter.meters.size());
  std::fflush(stdout);
}

void adapters(std::size_t most, int seconds, const std::string& program) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  fmt::print(
      "{} s each, one telegram a second and adapter, load average {:.1f}\n"
      "{:>8}{:>10}{:>10}{:>7}{:>9}{:>13}{:>11}{:>10}{:>9}\n",
      seconds, load_average(), "adapters", "sent", "messages", "lost", "CPU %", "us/telegram",
      "wake-ups/s", "RSS KiB", "meters");
  for (std::size_t count = 1; count < most; count *= 10) load(count, seconds, program);
  load(most, seconds, program);
  fmt::print("load average at the end {:.1f}\n", load_average());
}

}  // namespace
}  // namespace smartmeterd::bench

int main(int argc, char** argv) {
  const std::vector<std::string> given(argv + 1, argv + argc);
  const auto argument = [&](std::size_t at, const char* otherwise) {
    return at < given.size() ? given[at] : std::string(otherwise);
  };
  if (argument(0, "") == "idle") {
    smartmeterd::bench::idle(std::stoi(argument(1, "20")), argument(2, SMARTMETERD));
  } else if (argument(0, "") == "adapters") {
    smartmeterd::bench::adapters(std::stoul(argument(1, "1000")), std::stoi(argument(2, "20")),
                                 argument(3, SMARTMETERD));
  } else {
    fmt::print(stderr,
               "load-bench idle [SECONDS [SMARTMETERD]]\n"
               "load-bench adapters [MOST [SECONDS [SMARTMETERD]]]\n");
    return 2;
  }
}
