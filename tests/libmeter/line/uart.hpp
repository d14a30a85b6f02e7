// SPDX-License-Identifier: Apache-2.0
// A serial line in simulated time: characters become levels, and a receiver of any settings makes
// characters of them, so that wrong settings give the garbage that they give on a real line.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <vector>

#include "meter/base/bytes.hpp"
#include "meter/line_format.hpp"

namespace meter::test {

using LineTime = std::chrono::nanoseconds;

/// How a meter sends.
struct Sending {
  LineFormat format;
  double speed_error = 0;  ///< 0.02: bits are 2 % too short
  unsigned gap_bits = 0;   ///< idle between two characters
};

/// The levels of a line: high (idle, stop, 1) until the first edge, and every edge changes it.
class SerialLine {
 public:
  /// Sends characters from `start` on, which is not before the end of what was sent. Returns the
  /// end of the last stop bit.
  LineTime send(Bytes characters, const Sending& sending, LineTime start);
  bool is_high(LineTime at) const;
  /// The first falling edge behind `from`; nothing: none was sent.
  std::optional<LineTime> next_fall(LineTime from) const;
  std::optional<LineTime> next_rise(LineTime from) const;
  const std::vector<LineTime>& edges() const { return edges_; }

 private:
  void drive(bool high, LineTime from);
  std::size_t edges_before(LineTime at) const;
  std::optional<LineTime> next_edge(LineTime from, bool rising) const;
  std::vector<LineTime> edges_;
  mutable std::size_t last_ = 0;  ///< where the last search ended
};

/// What chips do where the stop bit is low. After a break (nothing but zeros) both wait.
enum class AfterFramingError : std::uint8_t {
  start_there,    ///< the low bit is the next start bit (16550, resynchronisation)
  wait_for_edge,  ///< high first, then a falling edge
};

struct Character {
  std::byte octet{};
  LineTime at{};  ///< the middle of its stop bit
  bool framing_error = false, parity_error = false, is_break = false;
};

/// A receiver. Its own speed is exact; it samples in the middle of bits.
class UartReceiver {
 public:
  UartReceiver(const SerialLine& line, AfterFramingError behaviour)
      : line_(line), behaviour_(behaviour) {}
  /// Other settings: a character that is being received is lost.
  void set(const LineFormat& format, LineTime at);
  /// The next character, without taking it.
  std::optional<Character> peek() const;
  /// Takes it.
  void take(const Character& character);

 private:
  LineTime bit(unsigned halves, LineTime start) const;
  std::optional<LineTime> find_start() const;
  const SerialLine& line_;
  AfterFramingError behaviour_;
  LineFormat format_;
  LineTime from_{};                ///< a start bit is looked for behind here
  std::optional<LineTime> start_;  ///< of a character that began in a low stop bit
  bool wait_for_high_ = false;
};

/// Everything that a receiver makes of the line, to its end.
std::vector<Character> receive_all(const SerialLine& line, const LineFormat& format,
                                   AfterFramingError behaviour);

}  // namespace meter::test
