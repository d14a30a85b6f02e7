// SPDX-License-Identifier: Apache-2.0
// A fleet of gateways over one connection.
#include "tools/metersim/load.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>

namespace metersim {
namespace {

using std::chrono::steady_clock;

struct FleetMember {
  Gateway gateway;
  std::unique_ptr<Meter> meter;
};

std::vector<FleetMember> make_fleet(const LoadOptions& options) {
  std::vector<FleetMember> fleet;
  MeterOptions meter = options.meter;
  if (options.rate > 0) meter.interval_s = options.gateways / options.rate;
  for (unsigned i = 0; i < options.gateways; ++i) {
    const Family& family = *options.families[i % options.families.size()];
    meter.seed = options.meter.seed + i;
    meter.unit_number = options.meter.unit_number + i;
    const std::string instance = fmt::format("{}-{}", options.instance, meter.unit_number);
    fleet.push_back(
        {gateway_of(family, options.prefix, instance), std::make_unique<Meter>(family, meter)});
  }
  return fleet;
}

class Load {
 public:
  explicit Load(const LoadOptions& options)
      : options_(options), fleet_(make_fleet(options)), client_(options.broker) {}
  void run(Pause& pause);

 private:
  double seconds() const {
    return std::chrono::duration<double>(steady_clock::now() - start_).count();
  }
  std::uint64_t due() const;
  void publish_one();
  void tell();

  const LoadOptions& options_;
  std::vector<FleetMember> fleet_;
  MqttClient client_;
  steady_clock::time_point start_ = steady_clock::now();
  double told_s_ = 0;
};

/// How many should have been sent by now.
std::uint64_t Load::due() const {
  const std::uint64_t most = options_.count != 0 ? options_.count : UINT64_MAX;
  if (options_.rate == 0) return most;
  return std::min(most, static_cast<std::uint64_t>(std::floor(seconds() * options_.rate)) + 1);
}

void Load::publish_one() {
  FleetMember& member = fleet_[static_cast<std::size_t>(client_.sent() % fleet_.size())];
  client_.publish(member.gateway, member.meter->next().octets());
}

void Load::tell() {
  if (seconds() - told_s_ < 1) return;
  told_s_ = seconds();
  fmt::print(stderr, "{:.0f} s: sent {}, acknowledged {}\n", told_s_, client_.sent(),
             client_.acknowledged());
}

void Load::run(Pause& pause) {
  constexpr int tick_ms = 1;
  while (pause.until(steady_clock::now()) &&
         (options_.count == 0 || client_.sent() < options_.count)) {
    while (client_.sent() < due() && client_.wait(MqttClient::under_way_max - 1, 0)) publish_one();
    pause.until(steady_clock::now() + std::chrono::milliseconds(tick_ms));
    tell();
  }
  const auto end = steady_clock::now() + std::chrono::milliseconds(MqttClient::patience_ms);
  while (!client_.wait(0, 100) && steady_clock::now() < end) tell();
  fmt::print("sent {}, acknowledged {}, {:.3f} s, {:.0f} telegrams/s\n", client_.sent(),
             client_.acknowledged(), seconds(),
             static_cast<double>(client_.acknowledged()) / seconds());
  client_.require(0);
}

}  // namespace

void run_load(const LoadOptions& options, Pause& pause) {
  Load(options).run(pause);
}

}  // namespace metersim
