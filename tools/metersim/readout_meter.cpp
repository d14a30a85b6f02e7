// SPDX-License-Identifier: Apache-2.0
// Meters that are read out by IEC 62056-21 modes A, B and C, and the faults of optical heads.
#include <algorithm>
#include <string>
#include <utility>

#include "tools/metersim/families.hpp"
#include "tools/metersim/responder.hpp"

namespace metersim {
namespace {

constexpr std::uint8_t stx = 0x02, eot = 0x04, ack = 0x06, nak = 0x15;
constexpr std::size_t request_size_max = 64;  // the longest that a reader may say has 37
constexpr unsigned sign_on_baud = 300;

/// What tells the rows of the table apart.
struct Behaviour {
  char speed = '5';             ///< Z of the identification; a space: mode A
  bool in_blocks = false;       ///< several, with EOT but for the last
  bool bad_check_once = false;  ///< of the first block that is sent
  bool silent_once = false;     ///< the first request stays without answer
  bool echo = false;            ///< the head gives back what it sends
};

/// 6.3.2: a digit is mode C, a letter mode B, anything else mode A.
unsigned baud_of(char speed) {
  constexpr unsigned mode_c[] = {300, 600, 1200, 2400, 4800, 9600, 19200};
  constexpr unsigned mode_b[] = {600, 1200, 2400, 4800, 9600, 19200};
  if (speed >= '0' && speed <= '6') return mode_c[speed - '0'];
  if (speed >= 'A' && speed <= 'F') return mode_b[speed - 'A'];
  return sign_on_baud;
}

/// The readout of family `iec-mode-c`, asked for.
class ReadoutMeter final : public Responder {
 public:
  ReadoutMeter(const Behaviour& behaviour, const MeterOptions& options)
      : behaviour_(behaviour), meter_(*find_family("iec-mode-c"), options) {}

  Octets received(OctetView octets) override {
    Octets answer;
    if (behaviour_.echo) append(answer, octets);
    for (const std::uint8_t octet : octets) {
      if (request_.size() == request_size_max) request_.erase(0, 1);
      request_ += static_cast<char>(octet & 0x7f);
      append(answer, respond());
    }
    return answer;
  }

  Octets due(unsigned baud) override {
    if (state_ != State::changing || (baud != 0 && baud != baud_)) return {};
    state_ = State::sending;
    return block();
  }

 private:
  enum class State : std::uint8_t { idle, identified, changing, sending };

  Octets respond() {
    const std::size_t begin = request_.rfind("/?");
    if (begin != std::string::npos && request_.ends_with("!\r\n")) {
      const std::string address = request_.substr(begin + 2, request_.size() - begin - 5);
      request_.clear();
      return sign_on(address);
    }
    constexpr std::size_t acknowledgement_size = 6;  // ACK V Z Y CR LF
    if (state_ == State::identified && request_.size() >= acknowledgement_size &&
        request_.ends_with("\r\n") &&
        request_[request_.size() - acknowledgement_size] == static_cast<char>(ack)) {
      const char agreed = request_[request_.size() - 4];
      baud_ = agreed == behaviour_.speed ? baud_of(agreed) : sign_on_baud;
      state_ = State::changing;
      request_.clear();
    } else if (state_ == State::sending && request_.back() == static_cast<char>(nak)) {
      return block();
    } else if (state_ == State::sending && request_.back() == static_cast<char>(ack)) {
      ++block_;
      return block();
    }
    return {};
  }

  Octets sign_on(const std::string& address) {
    state_ = State::idle;
    if (std::exchange(behaviour_.silent_once, false)) return {};
    Telegram telegram = meter_.next();
    if (!address.empty() && address != telegram.meter) return {};
    Octets identification = telegram.frames.at(0);
    identification[4] = static_cast<std::uint8_t>(behaviour_.speed);
    split(telegram.frames.at(1));
    block_ = 0;
    const bool is_mode_c = behaviour_.speed >= '0' && behaviour_.speed <= '9';
    state_ = is_mode_c ? State::identified : State::changing;
    baud_ = is_mode_c ? sign_on_baud : baud_of(behaviour_.speed);
    return identification;
  }

  /// STX lines ETX BCC as one block, or as two of which the first ends with EOT.
  void split(const Octets& whole) {
    blocks_ = {whole};
    if (!behaviour_.in_blocks) return;
    const auto middle = whole.begin() + static_cast<std::ptrdiff_t>(whole.size() / 2);
    const auto line = std::find(middle, whole.end(), std::uint8_t{'\n'}) + 1;
    Octets first(whole.begin() + 1, line);
    first.push_back(eot);
    blocks_.clear();
    for (Octets content : {first, Octets(line, whole.end() - 1)}) {
      std::uint8_t check = 0;
      for (const std::uint8_t octet : content) check ^= octet;
      content.push_back(check);
      content.insert(content.begin(), stx);
      blocks_.push_back(content);
    }
  }

  Octets block() {
    if (block_ >= blocks_.size()) return {};
    Octets sent = blocks_[block_];
    if (std::exchange(behaviour_.bad_check_once, false)) sent.back() ^= 0x01;
    return sent;
  }

  Behaviour behaviour_;
  Meter meter_;
  State state_ = State::idle;
  std::string request_;
  std::vector<Octets> blocks_;
  std::size_t block_ = 0;
  unsigned baud_ = sign_on_baud;
};

template <Behaviour behaviour>
std::unique_ptr<Responder> make(const MeterOptions& options) {
  return std::make_unique<ReadoutMeter>(behaviour, options);
}

}  // namespace

std::vector<ResponderKind> readout_meters() {
  return {
      {"mode-a-meter", "IEC 62056-21 mode A: everything at 300 Bd", make<{.speed = ' '}>},
      {"mode-b-meter", "IEC 62056-21 mode B: changes to 9600 Bd", make<{.speed = 'E'}>},
      {"mode-c-meter", "IEC 62056-21 mode C: acknowledged, changes to 9600 Bd", make<{}>},
      {"mode-c-blocks", "mode C in partial blocks", make<{.in_blocks = true}>},
      {"mode-c-bad-check", "mode C, the first block with a wrong check",
       make<{.bad_check_once = true}>},
      {"mode-c-silent", "mode C, the first request is not answered", make<{.silent_once = true}>},
      {"mode-c-echo", "mode C behind a head that echoes", make<{.echo = true}>},
  };
}

}  // namespace metersim
