// SPDX-License-Identifier: Apache-2.0
// Discrete events in simulated time: a character, a packet, a change of settings, a look.
#include "tests/libmeter/line/adapter.hpp"

#include <algorithm>
#include <utility>

namespace meter::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t packet_size_max = 62;  // of FTDI at full speed

LineDetector::Time detector_time(LineTime time) {
  return std::chrono::duration_cast<LineDetector::Time>(time);
}

/// Listening begins at 0, somewhere behind the start of a push.
class Listener {
 public:
  explicit Listener(const Rendering& rendering)
      : rendering_(rendering),
        next_push_(-rendering.listening_since),
        receiver_(line_, rendering.behaviour),
        detector_({.first = rendering.first}) {}

  Detection run(unsigned periods_max) {
    render_until(rendering_.period);
    act(detector_.start(detector_time(now_)));
    while (!result_.settled && now_ < rendering_.period * periods_max) step();
    return result_;
  }

 private:
  void render_until(LineTime time) {
    for (; next_push_ < time; next_push_ += rendering_.period) {
      push_starts_.push_back(next_push_);
      line_.send(rendering_.push, rendering_.sending, next_push_);
    }
  }

  void step() {
    // What is received next is known once the next push is rendered.
    render_until(now_ + rendering_.period);
    const auto character = receiver_.peek();
    const auto look = detector_.next_look();
    const LineTime none = now_ + rendering_.period / 2;
    const LineTime change = wanted_ ? change_at_ : none;
    const LineTime packet = !packet_.empty() ? packet_due_ : none;
    const LineTime received = character ? character->at : none;
    const LineTime looked_at = look ? std::max<LineTime>(now_, *look) : none;
    now_ = std::min({none, change, packet, received, looked_at});
    if (wanted_ && now_ == change) {
      receiver_.set(*std::exchange(wanted_, std::nullopt), now_);
    } else if (!packet_.empty() && now_ == packet) {
      deliver();
    } else if (character && now_ == received) {
      receiver_.take(*character);
      collect(*character);
    } else if (look && now_ == looked_at) {
      // The detector's clock is coarser than the line's.
      act(detector_.elapsed(std::max(*look, detector_time(now_))));
    }
  }

  void collect(const Character& character) {
    if (packet_.empty()) packet_due_ = now_ + rendering_.latency;
    packet_.push_back(character.octet);
    packet_errors_.framing += character.framing_error ? 1u : 0u;
    packet_errors_.parity += character.parity_error ? 1u : 0u;
    if (packet_.size() == packet_size_max) packet_due_ = now_;
  }

  void deliver() {
    const auto count = [this](std::uint64_t& total, std::uint64_t errors) {
      if (rendering_.counting == Counting::once_a_packet && errors > 1) errors = 1;
      if (rendering_.counting != Counting::nothing) total += errors;
    };
    count(counted_.framing, packet_errors_.framing);
    count(counted_.parity, packet_errors_.parity);
    packet_errors_ = {};
    const std::vector<std::byte> packet = std::exchange(packet_, {});
    act(detector_.received(packet, counted_, detector_time(now_)));
  }

  void act(const LineDetector::Advice& advice) {
    if (advice.line) {
      result_.changes.push_back({now_, *advice.line});
      wanted_ = advice.line;
      change_at_ = now_ + rendering_.change_time;
    }
    if (!advice.settled) return;
    result_.settled = detector_.settled();
    result_.after = now_;
    result_.pushes = static_cast<unsigned>(std::ranges::count_if(
        push_starts_, [this](LineTime start) { return start >= 0ns && start < now_; }));
  }

  const Rendering& rendering_;
  SerialLine line_;
  LineTime now_{}, next_push_{};
  std::vector<LineTime> push_starts_;
  UartReceiver receiver_;
  LineDetector detector_;
  std::optional<LineFormat> wanted_;
  LineTime change_at_{}, packet_due_{};
  std::vector<std::byte> packet_;
  LineErrors packet_errors_, counted_;
  Detection result_;
};

}  // namespace

LineTime duration(Bytes push, const Sending& sending) {
  return SerialLine().send(push, sending, 0ns);
}

Detection detect(const Rendering& rendering, unsigned periods_max) {
  return Listener(rendering).run(periods_max);
}

bool receives_exactly(const Rendering& rendering, const LineFormat& format) {
  SerialLine line;
  line.send(rendering.push, rendering.sending, 1s);
  const std::vector<Character> characters = receive_all(line, format, rendering.behaviour);
  return std::ranges::equal(characters, rendering.push, {}, &Character::octet);
}

}  // namespace meter::test
