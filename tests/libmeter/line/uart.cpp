// SPDX-License-Identifier: Apache-2.0
// Start bit, data from the lowest bit, parity, stop bit.
#include "tests/libmeter/line/uart.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

namespace meter::test {
namespace {

bool parity_bit(unsigned data, char parity) {
  const bool odd = std::popcount(data) % 2 != 0;
  return parity == 'E' ? odd : !odd;
}

LineTime bits(double count, double baud) {
  return LineTime(static_cast<LineTime::rep>(count * 1e9 / baud));
}

}  // namespace

void SerialLine::drive(bool high, LineTime from) {
  const bool is = edges_.size() % 2 == 0;
  assert(edges_.empty() || from >= edges_.back());
  if (is != high) edges_.push_back(from);
}

LineTime SerialLine::send(Bytes characters, const Sending& sending, LineTime start) {
  const LineFormat& format = sending.format;
  const double baud = format.baud * (1 + sending.speed_error);
  double at = 0;
  const auto drive_bit = [&](bool high) { drive(high, start + bits(at++, baud)); };
  for (const std::byte octet : characters) {
    const unsigned data = u8(octet) & ((1u << format.data_bits) - 1);
    drive_bit(false);
    for (unsigned bit = 0; bit < format.data_bits; ++bit) drive_bit((data >> bit & 1) != 0);
    if (format.parity != 'N') drive_bit(parity_bit(data, format.parity));
    drive_bit(true);
    at += sending.gap_bits;
  }
  return start + bits(at - sending.gap_bits, baud);
}

std::size_t SerialLine::edges_before(LineTime at) const {
  // Asked in order, nearly always: from where the last search ended.
  if (last_ > edges_.size() || (last_ > 0 && edges_[last_ - 1] > at)) last_ = 0;
  for (int step = 0; step < 32; ++step) {
    if (last_ == edges_.size() || edges_[last_] > at) return last_;
    ++last_;
  }
  const auto from = edges_.begin() + static_cast<std::ptrdiff_t>(last_);
  last_ = static_cast<std::size_t>(std::upper_bound(from, edges_.end(), at) - edges_.begin());
  return last_;
}

bool SerialLine::is_high(LineTime at) const {
  return edges_before(at) % 2 == 0;
}

std::optional<LineTime> SerialLine::next_edge(LineTime from, bool rising) const {
  std::size_t next = edges_before(from);
  if ((next % 2 != 0) != rising) ++next;
  if (next >= edges_.size()) return std::nullopt;
  return edges_[next];
}

std::optional<LineTime> SerialLine::next_fall(LineTime from) const {
  return next_edge(from, false);
}

std::optional<LineTime> SerialLine::next_rise(LineTime from) const {
  return next_edge(from, true);
}

void UartReceiver::set(const LineFormat& format, LineTime at) {
  format_ = format;
  from_ = at;
  start_.reset();
  wait_for_high_ = !line_.is_high(at);
}

LineTime UartReceiver::bit(unsigned halves, LineTime start) const {
  return start + bits(halves / 2.0, format_.baud);
}

std::optional<LineTime> UartReceiver::find_start() const {
  if (start_) return start_;
  LineTime from = from_;
  if (wait_for_high_) {
    const auto rise = line_.next_rise(from);
    if (!rise) return std::nullopt;
    from = *rise;
  }
  for (;;) {
    const auto fall = line_.next_fall(from);
    // A start bit that is high in its middle is none.
    if (!fall || !line_.is_high(bit(1, *fall))) return fall;
    from = *fall;
  }
}

std::optional<Character> UartReceiver::peek() const {
  const auto start = find_start();
  if (!start) return std::nullopt;
  unsigned halves = 3;
  const auto sample = [&] {
    const bool high = line_.is_high(bit(halves, *start));
    halves += 2;
    return high;
  };
  unsigned data = 0;
  for (unsigned i = 0; i < format_.data_bits; ++i) data |= (sample() ? 1u : 0u) << i;
  Character character{.octet = static_cast<std::byte>(data)};
  bool all_zero = data == 0;
  if (format_.parity != 'N') {
    const bool parity = sample();
    all_zero = all_zero && !parity;
    character.parity_error = parity != parity_bit(data, format_.parity);
  }
  character.at = bit(halves, *start);
  const bool stop = sample();
  character.is_break = all_zero && !stop;
  character.framing_error = !stop && !character.is_break;
  if (character.is_break) character.parity_error = false;
  return character;
}

void UartReceiver::take(const Character& character) {
  from_ = character.at;
  start_.reset();
  wait_for_high_ = character.is_break || character.framing_error;
  if (!character.framing_error || behaviour_ == AfterFramingError::wait_for_edge) return;
  start_ = character.at - bits(0.5, format_.baud);
  wait_for_high_ = false;
}

std::vector<Character> receive_all(const SerialLine& line, const LineFormat& format,
                                   AfterFramingError behaviour) {
  std::vector<Character> characters;
  UartReceiver receiver(line, behaviour);
  receiver.set(format, line.edges().empty() ? LineTime{} : line.edges().front() - LineTime{1});
  while (const auto character = receiver.peek()) {
    characters.push_back(*character);
    receiver.take(*character);
  }
  return characters;
}

}  // namespace meter::test
