// SPDX-License-Identifier: Apache-2.0
// e2e-bench: last byte into a pty → MQTT subscriber and D-Bus signal, smartmeterd beside the least
// that could do it (epoll, read, publish or emit; nothing is decoded), in turns of one run.
// e2e-bench [ROUNDS [SMARTMETERD]]
#include <mosquitto.h>
#include <poll.h>
#include <sys/epoll.h>
#include <systemd/sd-bus.h>

#include <cstdlib>
#include <memory>
#include <optional>

#include "tests/bench/process.hpp"
#include "tests/daemon/bus/private_bus.hpp"

namespace smartmeterd::bench {
namespace {

using namespace std::chrono_literals;

constexpr auto pause_between = 4ms;
constexpr auto patience = 2000ms;
/// Rounds before it counts: caches, and the interval that the daemon measures.
constexpr int warm_up = 50;
constexpr std::uint16_t keep_alive_s = 600;

struct Destroy {
  void operator()(mosquitto* handle) const { mosquitto_destroy(handle); }
};
using Mosquitto = std::unique_ptr<mosquitto, Destroy>;

Mosquitto connect(std::uint16_t port) {
  mosquitto_lib_init();
  Mosquitto handle(mosquitto_new(nullptr, true, nullptr));
  mosquitto_int_option(handle.get(), MOSQ_OPT_TCP_NODELAY, 1);
  if (mosquitto_connect(handle.get(), "127.0.0.1", port, keep_alive_s) != MOSQ_ERR_SUCCESS)
    throw std::runtime_error("no broker");
  return handle;
}

/// Waits for bytes on the port and calls `whole` after each `size` of them.
template <class Whole>
[[noreturn]] void read_telegrams(const std::string& port, std::size_t size, int other,
                                 const std::function<void()>& other_ready, Whole whole) {
  const int line = open(port.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  const int waiting = epoll_create1(EPOLL_CLOEXEC);
  for (const int fd : {line, other}) {
    epoll_event event{EPOLLIN, {}};
    event.data.fd = fd;
    epoll_ctl(waiting, EPOLL_CTL_ADD, fd, &event);
  }
  for (std::size_t received = 0;;) {
    epoll_event events[2];
    const int count = epoll_wait(waiting, events, 2, -1);
    for (int i = 0; i < count; ++i) {
      if (events[i].data.fd == other) {
        other_ready();
        continue;
      }
      char buffer[4096];
      const ssize_t n = read(line, buffer, sizeof buffer);
      if (n > 0) received += static_cast<std::size_t>(n);
      for (; received >= size; received -= size) whole();
    }
  }
}

/// The least that publishes: `payload` for each telegram.
void floor_publisher(const std::string& port, std::size_t size, std::uint16_t broker,
                     const std::string& topic, const std::string& payload) {
  const Mosquitto handle = connect(broker);
  read_telegrams(
      port, size, mosquitto_socket(handle.get()), [&] { mosquitto_loop_read(handle.get(), 1); },
      [&] {
        mosquitto_publish(handle.get(), nullptr, topic.c_str(), static_cast<int>(payload.size()),
                          payload.data(), 0, true);
      });
}

/// The least that signals: as many values as the daemon's Reading has.
void floor_emitter(const std::string& port, std::size_t size, const std::string& address,
                   const std::vector<std::pair<std::string, double>>& values) {
  bus::test::Client client(address);
  sd_bus* bus = client.bus();
  const char* unique = nullptr;
  sd_bus_get_unique_name(bus, &unique);  // waits until the bus has let us in
  std::uint64_t sequence = 0;
  read_telegrams(
      port, size, sd_bus_get_fd(bus),
      [&] {
        while (sd_bus_process(bus, nullptr) > 0) {
        }
      },
      [&] {
        sd_bus_message* created = nullptr;
        sd_bus_message_new_signal(bus, &created, "/org/smartmeterd1/meter/floor",
                                  "org.smartmeterd1.Meter", "Reading");
        const bus::Message signal(created);
        sd_bus_message_append(created, "tt", UINT64_C(0), ++sequence);
        sd_bus_message_open_container(created, 'a', "{sv}");
        for (const auto& [name, value] : values)
          sd_bus_message_append(created, "{sv}", name.c_str(), "d", value);
        sd_bus_message_close_container(created);
        sd_bus_send(bus, created, nullptr);
      });
}

/// Hears the broker and the buses, and when the one spoke that is waited for.
class Receiver {
 public:
  /// "smartmeter/<meter>/state", or "bus" and the number of the bus.
  using Voice = std::string;

  Receiver(std::uint16_t port, const std::vector<std::string>& addresses) : handle_(connect(port)) {
    mosquitto_user_data_set(handle_.get(), this);
    mosquitto_message_callback_set(
        handle_.get(), [](mosquitto*, void* self, const mosquitto_message* message) {
          auto& receiver = *static_cast<Receiver*>(self);
          receiver.heard(message->topic);
          receiver.last_payload.assign(static_cast<const char*>(message->payload),
                                       static_cast<std::size_t>(message->payloadlen));
        });
    mosquitto_subscribe(handle_.get(), nullptr, "+/+/state", 0);
    for (int i = 0; i < 20; ++i) mosquitto_loop(handle_.get(), 10, 1);  // until it is subscribed
    for (const std::string& address : addresses) {
      buses_.push_back(std::make_unique<Bus>(*this, address, fmt::format("bus{}", buses_.size())));
      sd_bus_add_match(
          buses_.back()->client.bus(), nullptr,
          "type='signal',interface='org.smartmeterd1.Meter',member='Reading'",
          [](sd_bus_message*, void* self, sd_bus_error*) {
            auto& bus = *static_cast<Bus*>(self);
            bus.receiver.heard(bus.voice);
            return 0;
          },
          buses_.back().get());
    }
  }
  /// From before `send` until `voice` (or what begins like it) speaks; nothing if that never is.
  template <class Send>
  std::optional<double> measure_us(Send send, const Voice& voice) {
    awaited_ = voice;
    arrived_.reset();
    const auto start = Clock::now();
    send();
    while (!arrived_) {
      if (Clock::now() - start > patience) return std::nullopt;
      wait(patience);
    }
    return std::chrono::duration<double, std::micro>(*arrived_ - start).count();
  }
  /// Takes in what is still on its way, for that long.
  void drain(std::chrono::milliseconds time) {
    for (const auto end = Clock::now() + time; Clock::now() < end;)
      wait(std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()));
    mosquitto_loop_misc(handle_.get());
  }
  std::string last_payload;

 private:
  struct Bus {
    Bus(Receiver& owner, const std::string& address, Voice name)
        : receiver(owner), client(address), voice(std::move(name)) {}
    Receiver& receiver;
    bus::test::Client client;
    Voice voice;
  };
  void wait(std::chrono::milliseconds limit) {
    std::vector<pollfd> ready{{mosquitto_socket(handle_.get()), POLLIN, 0}};
    for (const auto& bus : buses_) ready.push_back({sd_bus_get_fd(bus->client.bus()), POLLIN, 0});
    ::poll(ready.data(), ready.size(), static_cast<int>(limit.count()));
    if (ready[0].revents != 0) mosquitto_loop_read(handle_.get(), 1);
    for (std::size_t i = 0; i < buses_.size(); ++i)
      while (ready[i + 1].revents != 0 && sd_bus_process(buses_[i]->client.bus(), nullptr) > 0) {
      }
  }
  void heard(const Voice& voice) {
    if (!arrived_ && voice.starts_with(awaited_)) arrived_ = Clock::now();
  }
  Mosquitto handle_;
  std::vector<std::unique_ptr<Bus>> buses_;
  Voice awaited_;
  std::optional<Clock::time_point> arrived_;
};

/// One program on one line, and where it is heard.
struct Contestant {
  std::string name;
  const Line* line;
  Receiver::Voice voice;
  std::vector<double> us{};
  int lost = 0;
};

std::vector<metersim::Telegram> make_telegrams(std::size_t count) {
  metersim::MeterOptions options;
  options.start.epoch_s = 1795172405;
  metersim::Meter meter(*metersim::find_family("kaifa-tinetz"), options);
  std::vector<metersim::Telegram> telegrams;
  for (std::size_t i = 0; i < count; ++i) telegrams.push_back(meter.next());
  return telegrams;
}

/// All contestants in turns; the first is the floor. `tail`: so many bytes arrive last, the
/// others 2 ms before (0: all at once).
void race(Receiver& receiver, std::vector<Contestant> contestants,
          std::span<const metersim::Telegram> telegrams, std::size_t tail) {
  int round = 0;
  for (const metersim::Telegram& telegram : telegrams) {
    const metersim::Octets octets = telegram.octets();
    const metersim::OctetView all(octets);
    for (Contestant& one : contestants) {
      const auto last = tail > 0 ? all.last(tail) : all;
      if (tail > 0) one.line->send(all.first(all.size() - tail));
      receiver.drain(2ms);
      const auto us = receiver.measure_us([&] { one.line->send(last); }, one.voice);
      if (!us) ++one.lost;
      if (us && round >= warm_up) one.us.push_back(*us);
      receiver.drain(pause_between);
    }
    ++round;
  }
  const auto& floor = contestants.front().us;
  for (const Contestant& one : contestants)
    fmt::print("  {:<46}{:>7.0f}{:>7.0f}{:>7.0f}{:>8.2f}{:>8.2f}{:>6}\n", one.name,
               percentile(one.us, 50), percentile(one.us, 90), percentile(one.us, 99),
               percentile(one.us, 50) / percentile(floor, 50),
               percentile(one.us, 99) / percentile(floor, 99), one.lost);
}

/// The programs under test, each on its own line; a daemon owns the name of its bus.
void run(std::size_t rounds, const std::string& program) {
  // With Nagle's algorithm the broker would hold a message back for a delayed acknowledgement.
  const test::Broker broker("allow_anonymous true\nset_tcp_nodelay true\n");
  bus::test::PrivateBus bus_alone, bus_beside;
  bus_alone.start();
  bus_beside.start();
  Receiver receiver(broker.port(), {bus_alone.address(), bus_beside.address()});
  const std::string url = fmt::format("mqtt://127.0.0.1:{}", broker.port());
  const auto telegrams = make_telegrams(1 + 4 * rounds);
  const std::size_t size = telegrams.front().octets().size();

  const Line mqtt_line, bus_line, both_line, epoll_line, publisher_line, emitter_line;
  const auto device = [](const Line& line) { return line.path() + ",link=mbus"; };
  const DaemonProcess mqtt(program, "mqtt",
                           {"--device", device(mqtt_line), "--bus", "none", "--mqtt", url});
  const DaemonProcess epoll(
      program, "epoll",
      {"--device", device(epoll_line), "--bus", "none", "--mqtt", url, "--io", "epoll"});
  const DaemonProcess signals(program, "bus",
                              {"--device", device(bus_line), "--bus", bus_alone.address()});
  const DaemonProcess both(
      program, "both",
      {"--device", device(both_line), "--bus", bus_beside.address(), "--mqtt", url});
  for (const DaemonProcess* daemon : {&mqtt, &epoll, &signals, &both})
    daemon->wait_for_log(" opened");
  for (const DaemonProcess* daemon : {&mqtt, &epoll, &both}) daemon->wait_for_log("connected to");
  for (const DaemonProcess* daemon : {&signals, &both}) daemon->wait_for_log("serving");

  const std::string state = "smartmeter/";
  const auto first = telegrams.front().octets();
  for (const Line* line : {&both_line, &bus_line, &epoll_line, &mqtt_line})
    if (!receiver.measure_us([&] { line->send(first); }, line == &bus_line ? "bus0" : state))
      throw std::runtime_error("smartmeterd says nothing");
  const std::string payload = receiver.last_payload;
  std::vector<std::pair<std::string, double>> values;
  for (const metersim::Sent& sent : telegrams.front().readings)
    values.emplace_back(sent.name, std::stod(sent.value));
  const Child publisher([&] {
    floor_publisher(publisher_line.path(), size, broker.port(), "floor/meter/state", payload);
  });
  const Child emitter(
      [&] { floor_emitter(emitter_line.path(), size, bus_alone.address(), values); });
  receiver.drain(500ms);

  fmt::print(
      "{} rounds, load average {:.1f}, telegram {} octets, message {} octets\n{:<48}"
      "{:>7}{:>7}{:>7}{:>8}{:>8}{:>6}\n",
      rounds, load_average(), size, payload.size(), "", "p50 us", "p90", "p99", "p50 x", "p99 x",
      "lost");
  std::span<const metersim::Telegram> rest(telegrams);
  rest = rest.subspan(1);
  for (const std::size_t tail : {std::size_t{0}, std::size_t{1}}) {
    const char* how = tail == 0 ? "telegram in one write" : "last byte by itself";
    fmt::print("last byte → MQTT subscriber ({})\n", how);
    race(receiver,
         {{"floor: epoll + publish, the same message", &publisher_line, "floor/"},
          {"smartmeterd", &mqtt_line, state},
          {"smartmeterd --io epoll", &epoll_line, state},
          {"smartmeterd, which signals on D-Bus too", &both_line, state}},
         rest.first(rounds), tail);
    rest = rest.subspan(rounds);
    fmt::print("last byte → D-Bus signal ({})\n", how);
    race(receiver,
         {{"floor: epoll + sd-bus", &emitter_line, "bus0"},
          {"smartmeterd", &bus_line, "bus0"},
          {"smartmeterd, which publishes on MQTT too", &both_line, "bus1"}},
         rest.first(rounds), tail);
    rest = rest.subspan(rounds);
  }
  fmt::print("load average at the end {:.1f}\n", load_average());
}

}  // namespace
}  // namespace smartmeterd::bench

int main(int argc, char** argv) {
  smartmeterd::bench::run(argc > 1 ? std::stoul(argv[1]) : 1000, argc > 2 ? argv[2] : SMARTMETERD);
}
