// SPDX-License-Identifier: Apache-2.0
// bus-bench: a byte on a pipe → Reading received, through BusSink and the loop, beside a bare
// poll + sd-bus program that sends the same signal, in turns of one run.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "private_bus.hpp"
#include "server.hpp"

namespace smartmeterd::bus::test {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

const std::vector<World::Value> values = {
    {"energy_import", {12937, -3}, ""}, {"energy_export", {0, -3}, ""},
    {"power_import", {545, 0}, ""},     {"power_export", {0, 0}, ""},
    {"voltage_l1", {2337, -1}, ""},     {"voltage_l2", {2330, -1}, ""},
    {"voltage_l3", {2341, -1}, ""},     {"meter_serial", {}, "181220000009"}};
constexpr auto pause_between = 3ms;

struct Pipe {
  Pipe() {
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) throw std::runtime_error("pipe");
  }
  ~Pipe() {
    close(ends[0]);
    close(ends[1]);
  }
  int ends[2];
};

void end(std::jthread& thread, int input) {
  thread.request_stop();
  (void)!write(input, "x", 1);  // it waits for a byte
  thread.join();
}

/// One byte, one telegram: what a Device does, without the decoding.
class Emitter {
 public:
  explicit Emitter(const std::string& address)
      : thread_([this, address](const std::stop_token& stop) { run(stop, address); }) {}
  ~Emitter() { end(thread_, input()); }
  int input() const { return pipe_.ends[1]; }

 private:
  void run(const std::stop_token& stop, const std::string& address) {
    const auto loop = io::Loop::make(io::Backend::automatic);
    BusOptions options;
    options.address = address;
    const auto sink = make_bus_sink(*loop, options);
    World world;
    world.add_to(*sink);
    std::byte byte{};
    io::Operation reading([&](int) {
      if (stop.stop_requested()) return loop->stop();
      world.electricity.last_update_us = loop->realtime_us();
      World::telegram(*sink, world.electricity, values);
      loop->read(reading, pipe_.ends[0], {&byte, 1}, nullptr);
    });
    loop->read(reading, pipe_.ends[0], {&byte, 1}, nullptr);
    loop->run();
  }
  Pipe pipe_;
  std::jthread thread_;
};

/// The least that sends the same signal.
class BareEmitter {
 public:
  explicit BareEmitter(const std::string& address)
      : thread_([this, address](const std::stop_token& stop) { run(stop, address); }) {}
  ~BareEmitter() { end(thread_, input()); }
  int input() const { return pipe_.ends[1]; }

 private:
  void run(const std::stop_token& stop, const std::string& address) {
    Client client(address);
    sd_bus* bus = client.bus();
    const char* name = nullptr;
    sd_bus_get_unique_name(bus, &name);  // waits until the bus has let us in
    std::uint64_t sequence = 0;
    for (;;) {
      pollfd ready{pipe_.ends[0], POLLIN, 0};
      ::poll(&ready, 1, -1);
      std::byte byte{};
      if (read(pipe_.ends[0], &byte, 1) != 1 || stop.stop_requested()) return;
      sd_bus_message* created = nullptr;
      sd_bus_message_new_signal(bus, &created, "/org/smartmeterd1/meter/bare",
                                "org.smartmeterd1.Meter", "Reading");
      const Message signal(created);
      sd_bus_message_append(created, "tt", UINT64_C(0), ++sequence);
      sd_bus_message_open_container(created, 'a', "{sv}");
      for (const World::Value& value : values) {
        if (value.text.empty())
          sd_bus_message_append(created, "{sv}", value.name.c_str(), "d", value.number.to_double());
        else
          sd_bus_message_append(created, "{sv}", value.name.c_str(), "s", value.text.c_str());
      }
      sd_bus_message_close_container(created);
      sd_bus_send(bus, created, nullptr);
    }
  }
  Pipe pipe_;
  std::jthread thread_;
};

struct Receiver {
  Client client;
  std::size_t readings = 0;
  Clock::time_point arrived{};

  explicit Receiver(const std::string& address) : client(address) {
    sd_bus_add_match(
        client.bus(), nullptr, "type='signal',interface='org.smartmeterd1.Meter',member='Reading'",
        [](sd_bus_message*, void* self, sd_bus_error*) {
          auto& receiver = *static_cast<Receiver*>(self);
          receiver.arrived = Clock::now();
          ++receiver.readings;
          return 0;
        },
        this);
  }
  /// From the byte written to the signal received.
  double measure_us(int input) {
    const std::size_t before = readings;
    const auto start = Clock::now();
    if (write(input, "x", 1) != 1) throw std::runtime_error("write");
    if (!client.wait_until([&] { return readings > before; }))
      throw std::runtime_error("no signal");
    return std::chrono::duration<double, std::micro>(arrived - start).count();
  }
};

double percentile(std::vector<double>& all, std::size_t percent) {
  const auto at = all.begin() + static_cast<std::ptrdiff_t>(all.size() * percent / 100);
  std::nth_element(all.begin(), at, all.end());
  return *at;
}

void run(int rounds) {
  PrivateBus bus;
  bus.start();
  Receiver receiver(bus.address());
  Emitter emitter(bus.address());
  BareEmitter bare(bus.address());
  if (!receiver.client.wait_for_service()) throw std::runtime_error("no service");
  std::vector<double> ours, floor;
  for (int i = 0; i < rounds; ++i) {
    ours.push_back(receiver.measure_us(emitter.input()));
    std::this_thread::sleep_for(pause_between);
    floor.push_back(receiver.measure_us(bare.input()));
    std::this_thread::sleep_for(pause_between);
  }
  for (const std::size_t percent : {50u, 99u}) {
    const double a = percentile(ours, percent), b = percentile(floor, percent);
    fmt::print("p{}: {:.0f} us, bare emitter {:.0f} us, ratio {:.2f}\n", percent, a, b, a / b);
  }
}

}  // namespace
}  // namespace smartmeterd::bus::test

int main(int argc, char** argv) {
  smartmeterd::bus::test::run(argc > 1 ? std::atoi(argv[1]) : 1000);
}
