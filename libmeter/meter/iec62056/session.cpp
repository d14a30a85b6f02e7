// SPDX-License-Identifier: Apache-2.0
// Sign-on, acknowledgement, change of speed, blocks.
#include "meter/iec62056/session.hpp"

#include <algorithm>
#include <bit>

namespace meter::iec62056 {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr char soh = 0x01, stx = 0x02, etx = 0x03, eot = 0x04;
constexpr std::string_view ack = "\x06", nak = "\x15";
constexpr std::string_view sign_off = "\x01" "B0\x03q";  // 6.4: SOH B0 ETX and its check

constexpr milliseconds reaction_max = 1500ms;  // 6.3: the meter's answer begins within
constexpr milliseconds jitter = 500ms;         // of adapters and of the machine
/// The meter may answer 200 ms after our last character, 20 ms where it says so by a lower-case
/// letter: the speed must have changed by then.
constexpr milliseconds change_delay = 100ms, change_delay_fast = 10ms;
constexpr milliseconds wake_up_time = 2200ms, wake_up_pause = 1600ms;  // annex B: 2.1-2.3, 1.5-1.7
constexpr std::chrono::seconds retry_pause = 5s;
constexpr unsigned retries_max = 3;  // in a row; then the whole interval
constexpr unsigned identification_characters = 55;
constexpr unsigned bits_per_character = 10;  // 7E1

constexpr std::size_t block_size_max = 15 * 1024;  // as the link layer takes
constexpr std::size_t address_size_max = 32, register_size_max = 16;

/// Mode C: `Z` of the identification (6.3.2 table 3); 9 is not of the norm. 0: reserved.
constexpr unsigned mode_c_baud(char z) noexcept {
  constexpr unsigned baud[] = {300, 600, 1200, 2400, 4800, 9600, 19200, 0, 0, 115200};
  return z >= '0' && z <= '9' ? baud[z - '0'] : 0;
}
/// Mode B.
constexpr unsigned mode_b_baud(char z) noexcept {
  constexpr unsigned baud[] = {600, 1200, 2400, 4800, 9600, 19200};
  return z >= 'A' && z <= 'F' ? baud[z - 'A'] : 0;
}

constexpr bool is_alphanumeric(char c) noexcept {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}
/// 6.3.1: printable but `/` and `!`.
bool is_address(std::string_view text) noexcept {
  return text.size() <= address_size_max && std::ranges::all_of(text, [](char c) {
           return c > 0x20 && c < 0x7f && c != '/' && c != '!';
         });
}
bool is_register(std::string_view text) noexcept {
  return !text.empty() && text.size() <= register_size_max &&
         std::ranges::all_of(text, [](char c) {
           return is_alphanumeric(c) || c == '.' || c == ':' || c == '-' || c == '*';
         });
}
bool is_acknowledgement(std::string_view text) noexcept {
  return text.size() == 3 && std::ranges::all_of(text, is_alphanumeric);
}

/// Text in `written_`, put together without the heap.
class Joined {
 public:
  Joined& add(std::string_view part) noexcept {
    size_ = static_cast<std::size_t>(std::ranges::copy(part, text_.data() + size_).out -
                                     text_.data());
    return *this;
  }
  Joined& add(char c) noexcept { return add(std::string_view(&c, 1)); }
  std::string_view view() const noexcept { return {text_.data(), size_}; }

 private:
  std::array<char, 64> text_;
  std::size_t size_ = 0;
};

}  // namespace

ReadoutSession::ReadoutSession(const SessionOptions& options) : options_(options) {
  std::erase_if(options_.addresses, [](const std::string& a) { return !is_address(a); });
  if (options_.addresses.empty()) options_.addresses.emplace_back();
  Iec62056Options& own = options_.iec62056;
  std::erase_if(own.registers, [](const std::string& r) { return !is_register(r); });
  if (!is_acknowledgement(own.acknowledgement)) own.acknowledgement.clear();
  if (own.sign_on.baud == 0) own.sign_on.baud = 300;
  line_ = options_.line;
  if (own.wake_up)
    wake_up_.resize(own.sign_on.baud * static_cast<std::size_t>(wake_up_time.count()) /
                    (1000 * bits_per_character));
}

Session::Action ReadoutSession::on_start() noexcept {
  line_ = options_.line;
  state_ = State::pause;
  failures_ = 0;
  address_ = 0;
  return sign_on();
}

Session::Action ReadoutSession::sign_on() noexcept {
  const LineFormat& wanted = options_.iec62056.sign_on;
  Action action;
  const bool changes = line_ != wanted;
  line_ = wanted;
  if (state_ != State::waking && !wake_up_.empty()) {
    state_ = State::waking;
    action.write = wake_up_;
    action.wake_after = time_on_line(wake_up_.size()) + wake_up_pause;
  } else {
    state_ = State::identification;
    repeated_ = false;
    register_ = 0;
    Joined request;
    request.add("/?").add(options_.addresses[address_]).add("!\r\n");
    action = write(request.view(), reaction_max + time_on_line(identification_characters));
  }
  if (changes) action.line = wanted;
  return action;
}

Session::Action ReadoutSession::on_frame(Bytes frame, Verdict) noexcept {
  if (frame.empty() || state_ == State::pause) return {};
  const auto character = [](std::byte octet) { return static_cast<char>(u8(octet) & 0x7f); };
  const char first = character(frame.front());
  if (first == '/') {
    if (state_ != State::identification) return {};
    std::array<char, identification_characters> text;
    const std::size_t size = std::min(frame.size(), text.size());
    std::ranges::transform(frame.first(size), text.begin(), character);
    return answer({text.data(), size});
  }
  if (first == soh) {  // P0 of the meter; anything else is an echo
    const bool is_p0 = frame.size() > 3 && character(frame[1]) == 'P' && character(frame[2]) == '0';
    return is_p0 && state_ == State::programming ? read_register() : Action{};
  }
  if (state_ != State::data) return {};
  // A block ends with its check character, which EOT or ETX stands in front of.
  const bool more_follow =
      first == stx && frame.size() > 2 && character(frame[frame.size() - 2]) == eot;
  return block(more_follow);
}

Session::Action ReadoutSession::answer(std::string_view identification) noexcept {
  if (identification.size() < 5) return finish(false);
  const char z = identification[4];
  const std::string& configured = options_.iec62056.acknowledgement;
  is_mode_a_ = false;
  if (z >= '0' && z <= '9') {
    const bool is_reserved = mode_c_baud(z) == 0;
    Joined text;
    text.add(ack);
    if (!configured.empty())
      text.add(configured);
    else
      text.add('0').add(is_reserved ? '0' : z).add(options_.iec62056.registers.empty() ? '0' : '1');
    text.add("\r\n");
    const unsigned agreed = mode_c_baud(text.view()[2]);
    speed_ = agreed != 0 ? agreed : line_.baud;
    state_ = State::acknowledged;
    const char third_letter = identification[3];
    const bool is_fast = third_letter >= 'a' && third_letter <= 'z';
    return write(text.view(), is_fast ? change_delay_fast : change_delay);
  }
  const unsigned announced = mode_b_baud(z);
  is_mode_a_ = announced == 0;
  return enter(State::data, announced != 0 ? announced : line_.baud);
}

/// Waits for what the meter sends at that speed.
Session::Action ReadoutSession::enter(State state, unsigned baud) noexcept {
  state_ = state;
  Action action;
  if (line_.baud != baud) {
    line_.baud = baud;
    action.line = line_;
  }
  action.wake_after =
      reaction_max + jitter + (state == State::data ? block_time() : time_on_line(64));
  return action;
}

/// SOH R2 STX register ETX BCC (6.4), and CR LF as the readers of the TD-351x send.
Session::Action ReadoutSession::read_register() noexcept {
  Joined text;
  text.add(soh).add("R2").add(stx).add(options_.iec62056.registers[register_]).add(etx);
  unsigned check = 0;
  for (const char c : text.view().substr(1)) check ^= static_cast<unsigned char>(c);
  text.add(static_cast<char>(check)).add("\r\n");
  state_ = State::data;
  return write(text.view(), reaction_max + block_time());
}

Session::Action ReadoutSession::block(bool more_follow) noexcept {
  repeated_ = false;
  if (more_follow) return write(ack, reaction_max + block_time());
  if (options_.iec62056.registers.empty()) return finish(true);
  if (++register_ < options_.iec62056.registers.size()) return read_register();
  return finish(true);
}

/// A block whose check is wrong is over: it is asked for once more.
Session::Action ReadoutSession::on_refusal(Errc code) noexcept {
  if (state_ != State::data || code != Errc::bad_checksum) return {};
  if (repeated_) return finish(false);
  repeated_ = true;
  return write(nak, reaction_max + block_time());
}

Session::Action ReadoutSession::on_timeout() noexcept {
  switch (state_) {
    case State::pause:
    case State::waking:
      return sign_on();
    case State::acknowledged:
      return enter(options_.iec62056.registers.empty() ? State::data : State::programming, speed_);
    case State::programming:
      return read_register();  // some meters say nothing here
    case State::identification:
    case State::data:
      break;
  }
  return finish(false);
}

/// The end of a readout: in programming mode the meter is told.
Session::Action ReadoutSession::finish(bool success) noexcept {
  const bool in_programming_mode = state_ == State::data && !options_.iec62056.registers.empty();
  failures_ = success ? 0 : failures_ + 1;
  const bool retries = failures_ != 0 && failures_ <= retries_max;
  state_ = State::pause;
  bool is_round_over = false;
  if (!retries) {
    failures_ = 0;
    address_ = (address_ + 1) % options_.addresses.size();
    is_round_over = address_ == 0;
  }
  const milliseconds pause = is_round_over ? milliseconds(interval()) : milliseconds(retry_pause);
  Action action;
  if (in_programming_mode)
    action = write(sign_off, pause);  // at the speed of the data; `sign_on` goes back
  else
    action.wake_after = pause;
  return action;
}

/// With the wake-up after the text is on the line, and that long.
Session::Action ReadoutSession::write(std::string_view text, milliseconds wait) noexcept {
  const bool needs_parity = line_.data_bits == 8 && line_.parity == 'N';
  std::ranges::transform(text, written_.begin(), [&](char c) {
    const unsigned value = static_cast<unsigned char>(c);
    const bool is_odd = std::popcount(value) % 2 != 0;
    return static_cast<std::byte>(needs_parity && is_odd ? value | 0x80 : value);
  });
  Action action;
  action.write = Bytes(written_).first(text.size());
  action.wake_after = time_on_line(text.size()) + wait;
  if (wait >= reaction_max) *action.wake_after += jitter;
  return action;
}

milliseconds ReadoutSession::time_on_line(std::size_t characters) const noexcept {
  const std::size_t bits = characters * bits_per_character;
  return milliseconds((bits * 1000 + line_.baud - 1) / line_.baud);
}

/// The longest block, without the pauses that a meter may make between characters: what is longer
/// comes again.
milliseconds ReadoutSession::block_time() const noexcept {
  return time_on_line(block_size_max);
}

std::chrono::seconds ReadoutSession::interval() const noexcept {
  if (options_.interval.count() != 0) return options_.interval;
  if (options_.iec62056.wake_up) return interval_battery;
  return is_mode_a_ ? interval_mode_a : interval_default;
}

}  // namespace meter::iec62056
