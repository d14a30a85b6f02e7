// SPDX-License-Identifier: Apache-2.0
// SND_NKE, selection, REQ_UD2; search by the digits of the number.
#include "meter/mbus/master_session.hpp"

#include <algorithm>
#include <charconv>

#include "meter/base/hex.hpp"
#include "meter/mbus/application.hpp"

namespace meter::mbus {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

// C fields (EN 13757-2 5.7). These are all that are ever sent.
constexpr unsigned send_reset = 0x40, send_user_data = 0x53, request_user_data = 0x5b;
constexpr unsigned frame_count_bit = 0x20;
constexpr unsigned select_slave = 0x52;  // CI
constexpr unsigned selected = 0xfd;      // A: whoever the selection has chosen
constexpr unsigned primary_max = 250;

/// ACD and DFC may be set in an answer.
constexpr unsigned answer_mask = 0xcf, respond_user_data = 0x08;
constexpr std::byte acknowledgement{0xe5}, long_start{0x68}, short_start{0x10}, stop{0x16};

constexpr std::size_t bits_per_character = 11;  // 8E1
constexpr std::size_t answer_size_max = 255 + 6;
/// EN 13757-2 5.5.2: the answer begins at most 330 bit times and 50 ms after the request.
constexpr std::size_t reaction_bits = 330;
constexpr milliseconds reaction_more = 50ms;
constexpr milliseconds jitter = 200ms;  // of USB adapters, networks and the machine
constexpr unsigned baud_default = 2400;

constexpr std::uint8_t any = 0xf;
constexpr std::size_t number_digits = 8;

SlaveAddress anyone() noexcept {
  SlaveAddress address;
  address.digits.fill(any);
  return address;
}

/// The two digits as one octet.
std::byte octet_of(const SlaveAddress::Digits& digits, std::size_t at) noexcept {
  return static_cast<std::byte>(digits[at] << 4 | digits[at + 1]);
}

/// The number is sent low octet first; the rest as it is written.
std::size_t place_of(std::size_t octet) noexcept {
  return octet < 4 ? 6 - 2 * octet : 2 * octet;
}

std::size_t first_wildcard(const SlaveAddress& address) noexcept {
  const auto number = std::span(address.digits).first<number_digits>();
  return static_cast<std::size_t>(std::ranges::find(number, any) - number.begin());
}

}  // namespace

bool SlaveAddress::is_pattern() const noexcept {
  return !is_primary && first_wildcard(*this) < number_digits;
}

std::optional<SlaveAddress> slave_address(std::string_view text) noexcept {
  if (text == "search") return anyone();
  if (!text.empty() && text.size() <= 3) {
    unsigned primary = 0;
    const auto end = text.data() + text.size();
    const auto [parsed, error] = std::from_chars(text.data(), end, primary);
    if (error != std::errc() || parsed != end || primary > primary_max) return std::nullopt;
    return SlaveAddress{true, static_cast<std::uint8_t>(primary), {}};
  }
  if (text.size() != number_digits && text.size() != 2 * number_digits) return std::nullopt;
  SlaveAddress address = anyone();
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int digit = hex_value(text[i]);
    const bool is_number = i < number_digits;  // BCD
    if (digit < 0 || (is_number && digit > 9 && digit != any)) return std::nullopt;
    address.digits[i] = static_cast<std::uint8_t>(digit);
  }
  return address;
}

MasterSession::MasterSession(const SessionOptions& options)
    : interval_(options.interval.count() != 0 ? options.interval : interval_default),
      baud_(options.line.baud != 0 ? options.line.baud : baud_default) {
  slaves_.reserve(slaves_max);
  for (const std::string& text : options.addresses) {
    const auto address = slave_address(text);
    if (!address) continue;
    if (address->is_pattern())
      patterns_.push_back({*address});
    else if (slaves_.size() < slaves_max)
      slaves_.push_back({*address});
  }
  if (options.addresses.empty()) patterns_.push_back({anyone()});
}

std::chrono::seconds MasterSession::interval() const noexcept {
  return interval_;
}

Session::Action MasterSession::on_start() noexcept {
  for (Slave& slave : slaves_) slave.answered = true;
  return begin_round();
}

Session::Action MasterSession::begin_round() noexcept {
  at_ = 0;
  asked_ = slaves_.size();
  return contact();
}

/// After the last one: the pause.
Session::Action MasterSession::next() noexcept {
  ++at_;
  return contact();
}

/// The first request to slave or pattern number `at_`.
Session::Action MasterSession::contact() noexcept {
  attempts_ = telegrams_ = 0;
  if (!is_searching()) {
    current_ = slaves_[at_];
    if (!current_.address.is_primary) return send_selection();
    // The slave forgets the frame count bit.
    current_.frame_count_bit = true;
    state_ = State::reset;
    return send_short(send_reset, current_.address.primary, 1);
  }
  for (; at_ - asked_ < patterns_.size(); ++at_) {
    Pattern& pattern = patterns_[at_ - asked_];
    if (pattern.rounds_until_search != 0) {
      --pattern.rounds_until_search;
      continue;
    }
    current_ = {pattern.address};
    depth_ = 0;
    selections_ = 0;
    found_ = false;
    return send_selection();
  }
  state_ = State::pause;
  return {.write = {}, .line = std::nullopt, .wake_after = interval_};
}

Session::Action MasterSession::request() noexcept {
  state_ = State::read;
  const unsigned control = request_user_data | (current_.frame_count_bit ? frame_count_bit : 0u);
  const unsigned address = current_.address.is_primary ? current_.address.primary : selected;
  return send_short(control, address, answer_size_max);
}

Session::Action MasterSession::on_frame(Bytes frame, Verdict) noexcept {
  if (frame.empty()) return {};
  if (frame.front() == acknowledgement) return acknowledged();
  if (frame.front() != long_start || frame.size() < 9 || state_ != State::read) return {};
  const Bytes message = frame.subspan(4, frame.size() - 6);
  if ((u8(message[0]) & answer_mask) != respond_user_data) return {};  // an echo of a request
  if (current_.address.is_primary && u8(message[1]) != current_.address.primary) return {};
  if (disturbed_ && may_be_several()) return {};  // one was louder than the others
  return answered(message);
}

Session::Action MasterSession::acknowledged() noexcept {
  if (state_ == State::read) disturbed_ = true;  // a second one
  const bool is_awaited = state_ == State::reset || state_ == State::select;
  if (!is_awaited || (disturbed_ && may_be_several())) return {};
  if (state_ == State::reset) current_.knows_reset = true;
  attempts_ = 0;
  return request();
}

bool MasterSession::may_be_several() const noexcept {
  return is_searching() && current_.address.is_pattern();
}

/// What the content was worth does not matter: it came over the line undamaged.
Session::Action MasterSession::answered(Bytes message) noexcept {
  current_.frame_count_bit = !current_.frame_count_bit;
  current_.answered = true;
  attempts_ = 0;
  if (++telegrams_ == 1 && is_searching()) remember(message);
  if (more_records_follow(message) && telegrams_ < telegrams_max) return request();
  return readout_done();
}

Session::Action MasterSession::readout_done() noexcept {
  if (is_searching()) {
    if (found_at_ < slaves_.size()) slaves_[found_at_].frame_count_bit = current_.frame_count_bit;
    return move_on();
  }
  slaves_[at_] = current_;
  return next();
}

/// Whom the search has found is asked by its own address from the next round on.
void MasterSession::remember(Bytes message) noexcept {
  found_ = true;
  Slave found = current_;
  const auto header = parse_header(message);
  if (header && header->identification.size() == 8) {
    for (std::size_t octet = 0; octet < 8; ++octet) {
      const unsigned value = u8(header->identification[octet]);
      found.address.digits[place_of(octet)] = static_cast<std::uint8_t>(value >> 4);
      found.address.digits[place_of(octet) + 1] = static_cast<std::uint8_t>(value & 15);
    }
  }  // else by what has found it
  const auto known = std::ranges::find(slaves_, found.address, &Slave::address);
  found_at_ = static_cast<std::size_t>(known - slaves_.begin());
  if (known == slaves_.end() && slaves_.size() < slaves_max) slaves_.push_back(found);
}

/// Nothing is done before the line is quiet again: more of it may come.
Session::Action MasterSession::on_refusal(Errc) noexcept {
  if (state_ != State::pause) disturbed_ = true;
  return {};
}

Session::Action MasterSession::on_timeout() noexcept {
  switch (state_) {
    case State::pause:
      return begin_round();
    case State::reset:
      // Some answer no SND_NKE, but do answer a request.
      if (current_.answered && attempts_ <= retries)
        return send_short(send_reset, current_.address.primary, 1);
      if (current_.knows_reset) break;
      attempts_ = 0;
      return request();
    case State::select:
      if (disturbed_ && may_be_several()) return narrow();
      if (is_searching() && !disturbed_) return move_on();  // nobody of these
      if (current_.answered && attempts_ <= retries) return send_selection();
      break;
    case State::read:
      if (disturbed_ && may_be_several()) return narrow();
      break;
  }
  return again_or_next();
}

/// With the same frame count bit: the slave says the same again.
Session::Action MasterSession::again_or_next() noexcept {
  if (state_ == State::read && current_.answered && attempts_ <= retries) return request();
  if (is_searching()) return move_on();
  current_.answered = false;
  slaves_[at_] = current_;
  return next();
}

/// Several have answered: fills in one more digit of the number.
Session::Action MasterSession::narrow() noexcept {
  const std::size_t digit = first_wildcard(current_.address);
  descended_[depth_++] = static_cast<std::uint8_t>(digit);
  current_.address.digits[digit] = 0;
  attempts_ = telegrams_ = 0;
  return send_selection();
}

/// The search's next number.
Session::Action MasterSession::move_on() noexcept {
  for (; depth_ != 0; --depth_) {
    std::uint8_t& digit = current_.address.digits[descended_[depth_ - 1]];
    if (digit != 9 && selections_ < selections_max) {
      ++digit;
      attempts_ = telegrams_ = 0;
      current_.frame_count_bit = true;
      return send_selection();
    }
    digit = any;
  }
  if (found_ || selections_ >= selections_max)
    patterns_[at_ - asked_].rounds_until_search = rounds_between_searches;
  return next();
}

/// 68 0B 0B 68 53 FD 52 number manufacturer version medium sum 16 (EN 13757-3 clause 11).
Session::Action MasterSession::send_selection() noexcept {
  state_ = State::select;
  ++selections_;
  constexpr std::byte head[] = {long_start,
                                std::byte{0x0b},
                                std::byte{0x0b},
                                long_start,
                                std::byte{send_user_data},
                                std::byte{selected},
                                std::byte{select_slave}};
  std::ranges::copy(head, written_.begin());
  for (std::size_t octet = 0; octet < 8; ++octet)
    written_[std::size(head) + octet] = octet_of(current_.address.digits, place_of(octet));
  unsigned sum = 0;
  for (const std::byte octet : std::span(written_).subspan(4, 11)) sum += u8(octet);
  written_[15] = static_cast<std::byte>(sum & 0xff);
  written_[16] = stop;
  return send(written_.size(), 1);
}

Session::Action MasterSession::send_short(unsigned control, unsigned address,
                                          std::size_t answer) noexcept {
  written_[0] = short_start;
  written_[1] = static_cast<std::byte>(control);
  written_[2] = static_cast<std::byte>(address);
  written_[3] = static_cast<std::byte>((control + address) & 0xff);
  written_[4] = stop;
  return send(5, answer);
}

/// The first `size` octets of `written_`; at most `answer` octets may come back.
Session::Action MasterSession::send(std::size_t size, std::size_t answer) noexcept {
  ++attempts_;
  disturbed_ = false;
  return {.write = Bytes(written_).first(size),
          .line = std::nullopt,
          .wake_after = time_of_bits((size + answer) * bits_per_character + reaction_bits) +
                        reaction_more + jitter};
}

milliseconds MasterSession::time_of_bits(std::size_t bits) const noexcept {
  return milliseconds((bits * 1000 + baud_ - 1) / baud_);
}

}  // namespace meter::mbus
