// SPDX-License-Identifier: Apache-2.0
// FakeLine: levels on a wire, and what a UART with the right or with wrong settings makes of them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/daemon/fake_kernel.hpp"

namespace smartmeterd::test {

/// A meter that sends at its own settings to whoever has a node open, in simulated time.
class FakeLine {
 public:
  FakeLine(FakeKernel& kernel, FakeLoop& loop, std::string node, LineSettings line)
      : kernel_(kernel), loop_(loop), node_(std::move(node)), line_(line) {}

  void set_line(LineSettings line) { line_ = line; }

  /// One push; returns when its last byte has come.
  void send(std::string_view bytes) {
    levels_.clear();
    put(true, 20);
    for (const char c : bytes) put_character(static_cast<unsigned char>(c));
    put(true, 20);
    position_ = 0;
    for (std::size_t end = window; position_ < levels_.size(); end += window) {
      loop_.pass(std::chrono::duration_cast<io::Clock::duration>(window_time));
      receive_until(std::min(end, levels_.size()));
      if (end >= levels_.size()) break;
    }
  }

 private:
  /// Samples a second: eight in a bit of the fastest line.
  static constexpr unsigned rate = 8 * 115200;
  /// An adapter hands over what it has each 16 ms, as FTDI's do.
  static constexpr auto window_time = std::chrono::milliseconds(16);
  static constexpr std::size_t window = std::size_t{rate} * 16 / 1000;

  void put(bool level, unsigned bits) {
    levels_.insert(levels_.end(), std::size_t{bits} * rate / line_.baud, level);
  }
  void put_character(unsigned octet) {
    put(false, 1);
    unsigned ones = 0;
    for (unsigned bit = 0; bit < line_.data_bits; ++bit) {
      ones += octet >> bit & 1;
      put((octet >> bit & 1) != 0, 1);
    }
    if (line_.parity != 'N') put((ones % 2 == 1) == (line_.parity == 'E'), 1);
    put(true, 1);
  }

  /// What the receiver's UART sees of the levels up to `end`, at its present settings.
  void receive_until(std::size_t end) {
    FakeKernel::Port* port = kernel_.port_on(node_);
    if (!port) {
      position_ = end;
      return;
    }
    const LineSettings line = port->line();
    const std::size_t bit_size = rate / line.baud;
    const std::size_t bits = line.data_bits + (line.parity != 'N' ? 1 : 0);
    io::LineCounters& counters = port->node()->counters;
    std::string bytes;
    while (position_ < end) {
      if (levels_[position_]) {
        ++position_;
        continue;
      }
      const auto level = [&](std::size_t bit) {
        const std::size_t at = position_ + bit * bit_size + bit_size / 2;
        return at >= levels_.size() || levels_[at];
      };
      if (position_ + (bits + 2) * bit_size > end && end < levels_.size()) break;
      if (level(0)) {  // a glitch
        position_ += bit_size / 2 + 1;
        continue;
      }
      unsigned octet = 0, ones = 0;
      for (unsigned bit = 0; bit < line.data_bits; ++bit)
        if (level(bit + 1)) octet |= 1u << bit, ++ones;
      const bool parity = (ones % 2 == 1) == (line.parity == 'E');
      if (line.parity != 'N' && level(line.data_bits + 1) != parity) ++counters.parity;
      if (!level(bits + 1)) ++counters.framing;
      bytes += static_cast<char>(octet);
      position_ += (bits + 1) * bit_size + bit_size / 2;
    }
    if (!bytes.empty()) port->receive(bytes);
  }

  FakeKernel& kernel_;
  FakeLoop& loop_;
  std::string node_;
  LineSettings line_;
  std::vector<bool> levels_;
  std::size_t position_ = 0;
};

}  // namespace smartmeterd::test
