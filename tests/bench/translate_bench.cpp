// SPDX-License-Identifier: Apache-2.0
// translate-bench: raw telegrams of a fleet on a real broker, translated by 1, 2 and 4 smartmeterd:
// how many a second, how late, and whether all of them came. Beside them a program that does no
// more than publish what it receives.
// translate-bench [GATEWAYS [BACKLOG [RATE [SECONDS [SMARTMETERD [METERSIM]]]]]]
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <sys/resource.h>

#include <charconv>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <thread>

#include "tests/bench/process.hpp"

namespace smartmeterd::bench {
namespace {

using namespace std::chrono_literals;

/// Room for the whole backlog, and no waiting for each other's acknowledgements, so that the
/// translators are measured and not mosquitto's defaults (20 in flight, 1000 queued).
constexpr const char* broker_settings =
    "allow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 0\n"
    "max_inflight_messages 200\n";
constexpr int in_flight = 200;

struct Options {
  std::size_t gateways = 100, backlog = 20'000, rate = 500, seconds = 20;
  std::string smartmeterd = SMARTMETERD, metersim = METERSIM;
};

std::string topic_of(std::size_t gateway) {
  return fmt::format("smartmeter/gateway/metersim-{}/raw/+", gateway);
}

std::int64_t now_us() {
  return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now())
      .time_since_epoch()
      .count();
}

/// "2026-11-20T11:00:05.481203Z" in microseconds since the epoch.
std::int64_t parse_utc(std::string_view text) {
  const auto number = [&](std::size_t at, std::size_t size) {
    int value = 0;
    std::from_chars(text.data() + at, text.data() + at + size, value);
    return value;
  };
  using namespace std::chrono;
  const sys_days day = year{number(0, 4)} / number(5, 2) / number(8, 2);
  const auto time = hours(number(11, 2)) + minutes(number(14, 2)) + seconds(number(17, 2));
  return duration_cast<microseconds>(day.time_since_epoch() + time).count() + number(20, 6);
}

/// The text behind `key`, up to `end`.
std::string_view behind(std::string_view text, std::string_view key, char end) {
  const auto at = text.find(key);
  if (at == text.npos) return {};
  text.remove_prefix(at + key.size());
  return text.substr(0, text.find(end));
}

/// A client of the broker, MQTT 5.
class Client {
 public:
  explicit Client(std::uint16_t port) {
    mosquitto_lib_init();
    handle_ = mosquitto_new(nullptr, true, this);
    mosquitto_int_option(handle_, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
    mosquitto_int_option(handle_, MOSQ_OPT_TCP_NODELAY, 1);
    mosquitto_int_option(handle_, MOSQ_OPT_RECEIVE_MAXIMUM, in_flight);
    mosquitto_message_v5_callback_set(
        handle_, [](mosquitto*, void* self, const mosquitto_message* message,
                    const mosquitto_property* properties) {
          static_cast<Client*>(self)->receive(message->topic,
                                              {static_cast<const char*>(message->payload),
                                               static_cast<std::size_t>(message->payloadlen)},
                                              properties);
        });
    if (mosquitto_connect(handle_, "127.0.0.1", port, 600) != MOSQ_ERR_SUCCESS)
      throw std::runtime_error("no broker");
  }
  virtual ~Client() { mosquitto_destroy(handle_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  void subscribe(const std::string& filter) {
    mosquitto_subscribe(handle_, nullptr, filter.c_str(), 1);
  }
  void step(int timeout_ms) {
    if (mosquitto_loop(handle_, timeout_ms, 100) != MOSQ_ERR_SUCCESS)
      throw std::runtime_error("the broker closed the connection");
  }

 protected:
  virtual void receive(std::string_view topic, std::string_view payload,
                       const mosquitto_property* properties) = 0;
  mosquitto* handle_ = nullptr;
};

/// The least that could stand in a translator's place: publishes what it receives, with the time
/// that it was sent at.
class Echo : public Client {
 public:
  using Client::Client;

 private:
  void receive(std::string_view topic, std::string_view payload,
               const mosquitto_property* properties) override {
    const std::string gateway(behind(topic, "gateway/", '/'));
    std::string out = fmt::format("{{\"sequence\":{},\"received\":\"{}\",\"raw\":\"",
                                  ++sequences_[gateway], sent_at(properties));
    out.append(payload).append("\"}");
    mosquitto_publish_v5(handle_, nullptr, ("smartmeter/" + gateway + "/state").c_str(),
                         static_cast<int>(out.size()), out.data(), 1, true, nullptr);
  }
  static std::string sent_at(const mosquitto_property* list) {
    std::string found;
    char *name = nullptr, *value = nullptr;
    bool again = false;
    for (const mosquitto_property* at = list;
         (at = mosquitto_property_read_string_pair(at, MQTT_PROP_USER_PROPERTY, &name, &value,
                                                   again)) != nullptr;
         again = true) {
      if (std::strcmp(name, "t") == 0) found = value;
      free(name);
      free(value);
    }
    return found;
  }
  std::map<std::string, std::uint64_t> sequences_;
};

/// Counts every state message, by meter.
class Counter : public Client {
 public:
  explicit Counter(std::uint16_t port) : Client(port) { subscribe("smartmeter/+/state"); }
  /// Until there are `count` messages, or none came for that long.
  bool listen(std::size_t count, std::chrono::seconds patience) {
    while (messages < count) {
      if (Clock::now() - last_ > patience) return false;
      step(10);
    }
    return true;
  }
  void begin() {
    messages = 0;
    late_ms.clear();
    last_ = Clock::now();
    for (auto& [topic, meter] : meters) meter.messages = 0;
  }
  Clock::time_point last() const { return last_; }

  struct Meter {
    std::size_t messages = 0;
    std::uint64_t sequence = 0;
  };
  std::map<std::string, Meter, std::less<>> meters;
  std::size_t messages = 0, gaps = 0;
  std::vector<double> late_ms;

 private:
  void receive(std::string_view topic, std::string_view payload,
               const mosquitto_property*) override {
    last_ = Clock::now();
    auto at = meters.find(topic);
    if (at == meters.end()) at = meters.emplace(topic, Meter{}).first;
    Meter& meter = at->second;
    ++messages;
    ++meter.messages;
    const std::string_view digits = behind(payload, "\"sequence\":", ',');
    std::uint64_t sequence = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), sequence);
    if (meter.sequence != 0 && sequence != meter.sequence + 1) ++gaps;
    meter.sequence = sequence;
    const std::string_view sent = behind(payload, "\"received\":\"", '"');
    if (sent.size() == std::string_view("2026-11-20T11:00:05.481203Z").size())
      late_ms.push_back(static_cast<double>(now_us() - parse_utc(sent)) / 1000);
  }
  Clock::time_point last_ = Clock::now();
};

/// `metersim load` as a child.
class Generator {
 public:
  Generator(const Options& options, std::uint16_t port, std::size_t count, std::size_t rate,
            std::uint32_t counter)
      : pid_(fork()) {
    if (pid_ != 0) return;
    const int null = open("/dev/null", O_WRONLY);
    dup2(null, 1);
    dup2(null, 2);
    std::vector<std::string> arguments = {
        options.metersim, "load",
        "--mqtt",         fmt::format("mqtt://127.0.0.1:{}", port),
        "--gateways",     std::to_string(options.gateways),
        "--count",        std::to_string(count),
        "--rate",         std::to_string(rate),
        "--counter",      std::to_string(counter)};
    std::vector<char*> raw;
    for (std::string& argument : arguments) raw.push_back(argument.data());
    raw.push_back(nullptr);
    execv(raw[0], raw.data());
    _exit(127);
  }
  ~Generator() {
    if (!ended_) kill(pid_, SIGKILL);
    if (!ended_) waitpid(pid_, nullptr, 0);
  }
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;
  bool ended() {
    int status = 0;
    rusage usage{};
    if (ended_ || wait4(pid_, &status, WNOHANG, &usage) != pid_) return ended_;
    ended_ = true;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
      throw std::runtime_error("metersim load failed");
    const auto seconds = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    cpu_s = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    return true;
  }
  double cpu_s = 0;  ///< once it ended

 private:
  pid_t pid_;
  bool ended_ = false;
};

enum class Kind { echo, disjoint, shared };

/// The processes between raw and state.
class Translators {
 public:
  Translators(const Options& options, std::uint16_t port, Kind kind, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      std::vector<std::string> topics;
      for (std::size_t gateway = i; gateway < options.gateways; gateway += count)
        topics.push_back(topic_of(gateway));
      const std::string name = fmt::format("translator-{}", i);
      if (kind == Kind::echo)
        echoes_.push_back(std::make_unique<Child>([&] { echo(port, topics); }));
      else
        daemons_.push_back(std::make_unique<DaemonProcess>(
            options.smartmeterd, name, std::vector<std::string>{"--translate", "--bus", "none"},
            configuration(port, name, kind == Kind::shared, topics)));
    }
    for (const auto& daemon : daemons_) daemon->wait_for_log("connected to", 2);
  }
  std::vector<pid_t> pids() const {
    std::vector<pid_t> all;
    for (const auto& echo : echoes_) all.push_back(echo->pid());
    for (const auto& daemon : daemons_) all.push_back(daemon->pid());
    return all;
  }
  void send_signal(int signal) const {
    for (const pid_t pid : pids()) kill(pid, signal);
  }

 private:
  static void echo(std::uint16_t port, const std::vector<std::string>& topics) {
    Echo client(port);
    for (const std::string& topic : topics) client.subscribe(topic);
    for (;;) client.step(1000);
  }
  /// A connection for each direction, as daemon/doc/fleet.md has it.
  static std::string configuration(std::uint16_t port, const std::string& name, bool shared,
                                   const std::vector<std::string>& topics) {
    std::string text = fmt::format(
        "[broker.raw]\nurl = \"mqtt://127.0.0.1:{0}\"\nrole = \"source\"\nclient_id = \"{1}-raw\"\n"
        "[broker.states]\nurl = \"mqtt://127.0.0.1:{0}\"\nqos = 1\nclient_id = \"{1}-states\"\n"
        "discovery = \"off\"\n[source.fleet]\nbroker = \"raw\"\nformat = \"raw\"\n",
        port, name);
    if (shared) return text + "topic = \"smartmeter/gateway/+/raw/+\"\ngroup = \"translators\"\n";
    text += "topic = [";
    for (const std::string& topic : topics) text += fmt::format("\"{}\",\n", topic);
    return text + "]\n";
  }
  std::vector<std::unique_ptr<Child>> echoes_;
  std::vector<std::unique_ptr<DaemonProcess>> daemons_;
};

/// CPU seconds of broker and translators until now.
struct Cpu {
  double broker = 0, translators = 0;
  long resident_kb = 0;  ///< of all translators
};
Cpu cpu_of(const test::Broker& broker, const Translators& translators) {
  Cpu cpu{.broker = usage_of(broker.pid()).cpu_s};
  for (const pid_t pid : translators.pids()) {
    const Usage usage = usage_of(pid);
    cpu.translators += usage.cpu_s;
    cpu.resident_kb += usage.resident_kb;
  }
  return cpu;
}

struct Row {
  std::string name;
  double per_second = 0, p50_ms = 0, p99_ms = 0;
  long lost = 0;
  std::size_t gaps = 0;
  double broker_percent = 0, translators_percent = 0, us_each = 0;
  long resident_kb = 0;
};

/// What is missing of `each` messages of every meter.
long missing(const Counter& counter, const Options& options, std::size_t each) {
  long lost =
      static_cast<long>(options.gateways * each) - static_cast<long>(counter.meters.size() * each);
  for (const auto& [topic, meter] : counter.meters)
    lost += std::abs(static_cast<long>(each) - static_cast<long>(meter.messages));
  return lost;
}

class Run {
 public:
  Run(const Options& options, Kind kind, std::size_t count)
      : options_(options),
        is_shared_(kind == Kind::shared),
        broker_(broker_settings),
        translators_(options, broker_.port(), kind, count),
        counter_(broker_.port()) {
    constexpr std::string_view names[] = {"bare echo", "disjoint topics", "shared group"};
    row_.name = fmt::format("{} × {}", count, names[static_cast<std::size_t>(kind)]);
  }
  /// What the translators take of the memory once each gateway has spoken.
  long resident_kb() {
    warm_up();
    return cpu_of(broker_, translators_).resident_kb;
  }
  Row row() {
    warm_up();
    paced();
    drain_backlog();
    if (is_shared_) row_.gaps = 0;  // each member counts for itself
    return row_;
  }

 private:
  /// Every meter is known to whoever will translate it.
  void warm_up() {
    for (std::uint32_t turn = 0; counter_.meters.size() < options_.gateways || turn < 3; ++turn) {
      if (turn > 60) throw std::runtime_error(row_.name + ": not every gateway is translated");
      Generator generator(options_, broker_.port(), options_.gateways, 0, 1 + turn);
      while (!generator.ended()) counter_.step(10);
      const auto end = Clock::now() + 500ms;
      while (Clock::now() < end) counter_.step(10);
    }
    counter_.gaps = 0;
  }
  std::size_t each(std::size_t count) const { return count / options_.gateways; }

  /// Far below what they can do: how late is a state?
  void paced() {
    const std::size_t count = each(options_.rate * options_.seconds) * options_.gateways;
    counter_.begin();
    Generator generator(options_, broker_.port(), count, options_.rate, 1000);
    while (!generator.ended()) counter_.step(10);
    counter_.listen(count, 10s);
    row_.p50_ms = percentile(counter_.late_ms, 50);
    row_.p99_ms = percentile(counter_.late_ms, 99);
    row_.lost += missing(counter_, options_, each(count));
  }

  /// The translators are stopped while the broker keeps the backlog for them, then go on.
  void drain_backlog() {
    const std::size_t count = each(options_.backlog) * options_.gateways;
    translators_.send_signal(SIGSTOP);
    counter_.begin();
    {
      Generator generator(options_, broker_.port(), count, 0, 1'000'000);
      while (!generator.ended()) counter_.step(10);
    }
    const Cpu before = cpu_of(broker_, translators_);
    counter_.begin();
    const auto start = Clock::now();
    translators_.send_signal(SIGCONT);
    counter_.listen(count, 10s);
    const double seconds = std::chrono::duration<double>(counter_.last() - start).count();
    const Cpu after = cpu_of(broker_, translators_);
    row_.per_second = static_cast<double>(counter_.messages) / seconds;
    row_.broker_percent = (after.broker - before.broker) / seconds * 100;
    row_.translators_percent = (after.translators - before.translators) / seconds * 100;
    row_.us_each = (after.translators - before.translators) * 1e6 /
                   static_cast<double>(std::max<std::size_t>(1, counter_.messages));
    row_.resident_kb = after.resident_kb;
    row_.lost += missing(counter_, options_, each(count));
    row_.gaps = counter_.gaps;
  }

  const Options& options_;
  bool is_shared_;
  test::Broker broker_;
  Translators translators_;
  Counter counter_;
  Row row_;
};

/// `one`: the row of one translator, null before there is one.
void print(const Row& row, const Row* one, const Row& echo) {
  fmt::print(
      "{:<20}{:>9.0f}{:>7}{:>8.2f}{:>9.2f}{:>9.2f}{:>7}{:>6}{:>9.0f}{:>13.0f}{:>10.0f}"
      "{:>10}\n",
      row.name, row.per_second,
      one != nullptr ? fmt::format("{:.2f}", row.per_second / one->per_second) : "",
      row.per_second / echo.per_second, row.p50_ms, row.p99_ms, row.lost, row.gaps,
      row.broker_percent, row.translators_percent, row.us_each, row.resident_kb);
  std::fflush(stdout);
}

void bench(const Options& options) {
  fmt::print(
      "{} gateways, mosquitto, QoS 1 in and out, {} processors for all of it, load average {:.1f}\n"
      "telegrams/s: a backlog of {} drained; p50, p99: raw published to state received at {} "
      "telegrams/s for {} s\n\n"
      "{:<20}{:>9}{:>7}{:>8}{:>9}{:>9}{:>7}{:>6}{:>9}{:>13}{:>10}{:>10}\n",
      options.gateways, std::thread::hardware_concurrency(), load_average(), options.backlog,
      options.rate, options.seconds, "", "tel./s", "× one", "× echo", "p50 ms", "p99 ms", "lost",
      "gaps", "broker %", "translators %", "us CPU", "RSS KiB");
  const Row echo = Run(options, Kind::echo, 1).row();
  print(echo, nullptr, echo);
  std::optional<Row> one;
  for (const Kind kind : {Kind::disjoint, Kind::shared})
    for (const std::size_t count : {1u, 2u, 4u}) {
      const Row row = Run(options, kind, count).row();
      if (!one) one = row;
      print(row, &*one, echo);
    }
  fmt::print("\nOne translator's memory:");
  for (const std::size_t gateways : {1u, 100u, 1000u}) {
    Options fleet = options;
    fleet.gateways = gateways;
    fmt::print(" {} gateways {} KiB", gateways, Run(fleet, Kind::disjoint, 1).resident_kb());
  }
  fmt::print("\nload average at the end {:.1f}\n", load_average());
}

}  // namespace
}  // namespace smartmeterd::bench

int main(int argc, char** argv) try {
  smartmeterd::bench::Options options;
  const auto number = [&](int at, std::size_t& value) {
    if (at < argc) value = std::stoul(argv[at]);
  };
  number(1, options.gateways);
  number(2, options.backlog);
  number(3, options.rate);
  number(4, options.seconds);
  if (argc > 5) options.smartmeterd = argv[5];
  if (argc > 6) options.metersim = argv[6];
  smartmeterd::bench::bench(options);
} catch (const std::exception& exception) {
  fmt::print(stderr, "translate-bench: {}\n", exception.what());
  return 1;
}
