// SPDX-License-Identifier: Apache-2.0
// Player: sends telegrams or a capture over a line in the time that a meter takes, with faults.
#include "tools/metersim/player.hpp"

#include <algorithm>

namespace metersim {
namespace {

using std::chrono::steady_clock;

steady_clock::duration seconds(double count) {
  return std::chrono::duration_cast<steady_clock::duration>(std::chrono::duration<double>(count));
}

bool falls_on(unsigned every, std::uint64_t number) {
  return every != 0 && number % every == 0;
}

/// The fault of telegram `number`; empty: none.
std::string_view fault_of(const FaultPlan& plan, std::uint64_t number) {
  if (falls_on(plan.flip, number)) return "flip";
  if (falls_on(plan.drop, number)) return "drop";
  if (falls_on(plan.cut, number)) return "cut";
  if (falls_on(plan.noise, number)) return "noise";
  if (falls_on(plan.replay, number)) return "replay";
  if (falls_on(plan.wrong_key, number)) return "wrong-key";
  return {};
}

/// Damages the octets of a telegram as `fault` says.
void damage(std::string_view fault, std::mt19937_64& random, Octets& octets) {
  const auto below = [&random](std::size_t end) {
    return static_cast<std::size_t>(random() % end);
  };
  if (fault == "flip") {
    const std::size_t bit = below(octets.size() * 8);
    octets[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
  } else if (fault == "drop") {
    octets.clear();
  } else if (fault == "cut") {
    octets.resize(1 + below(octets.size() - 1));
  } else if (fault == "noise") {
    Octets noise(1 + below(64));
    for (std::uint8_t& octet : noise) octet = static_cast<std::uint8_t>(random());
    octets.insert(octets.begin(), noise.begin(), noise.end());
  }
}

}  // namespace

bool Player::send_paced(OctetView octets) {
  if (!timing_.baud || line_.takes_messages()) return octets.empty() || line_.send(octets);
  // Start bit, 8 data bits, parity, stop bit. Several octets at a time where one takes less than
  // a millisecond: a timer is no finer.
  const double octet_s = 11.0 / *timing_.baud;
  const auto start = steady_clock::now();
  std::size_t sent = 0;
  while (sent < octets.size()) {
    const double elapsed_s = std::chrono::duration<double>(steady_clock::now() - start).count();
    const auto due = std::min(octets.size(), static_cast<std::size_t>(elapsed_s / octet_s));
    if (due > sent && !line_.send(octets.subspan(sent, due - sent))) return false;
    sent = std::max(sent, due);
    const double next_s = std::max(static_cast<double>(sent + 1) * octet_s, elapsed_s + 0.001);
    if (sent < octets.size() && !pause_.until(start + seconds(next_s))) return false;
  }
  return true;
}

template <class Next>
void Player::repeat(Next next) {
  auto moment = steady_clock::now();
  for (std::uint64_t sent = 0; timing_.count == 0 || sent < timing_.count; ++sent) {
    if (!pause_.until(moment)) return;
    while (!line_.ready())
      if (!pause_.until(steady_clock::now() + std::chrono::milliseconds(50))) return;
    const auto start = steady_clock::now();
    if (!send_paced(next())) return;
    if (timing_.baud) moment = std::max(steady_clock::now(), start + seconds(timing_.interval_s));
  }
  line_.drain();
}

void Player::play(Meter& meter, const FaultPlan& faults, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::optional<Telegram> first;
  std::uint64_t number = 0;
  repeat([&] {
    const std::string_view fault = fault_of(faults, ++number);
    Telegram telegram = fault == "wrong-key" ? meter.next_with_wrong_key() : meter.next();
    if (!first) first = telegram;
    if (fault == "replay") telegram = *first;
    if (values_ != nullptr) {
      std::fprintf(values_, "%s\n", telegram.json(fault).c_str());
      std::fflush(values_);
    }
    Octets octets = telegram.octets();
    damage(fault, random, octets);
    return octets;
  });
}

void Player::play(const Octets& capture) {
  repeat([&] { return capture; });
}

void Player::serve(Responder& responder) {
  while (pause_.until(steady_clock::now())) {
    const Octets heard = line_.receive();
    const Octets answer =
        heard.empty() ? responder.due(line_.baud()) : responder.received(heard);
    if (!answer.empty() && !send_paced(answer)) return;
  }
}

}  // namespace metersim
