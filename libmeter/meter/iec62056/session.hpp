// SPDX-License-Identifier: Apache-2.0
// ReadoutSession: asks a meter for its data readout (IEC 62056-21 modes A, B and C).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "meter/session.hpp"

namespace meter::iec62056 {

/// Signs on, follows the speed that the meter offers, takes the blocks, and comes back to the
/// sign-on's speed. Of the protocol's commands it knows R2 and B0 alone, and those only where
/// registers are configured: it never writes to a meter, and sends no password.
class ReadoutSession final : public Session {
 public:
  /// What is malformed in `options` (an address above 32 characters, an acknowledgement that is
  /// not three) is left out.
  explicit ReadoutSession(const SessionOptions& options);
  Action on_start() noexcept override;
  Action on_frame(Bytes frame, Verdict verdict) noexcept override;
  Action on_refusal(Errc code) noexcept override;
  Action on_timeout() noexcept override;
  std::chrono::seconds interval() const noexcept override;

  /// Where nothing is configured. A readout at 300 Bd takes minutes; a battery must last.
  static constexpr std::chrono::seconds interval_default{60}, interval_mode_a{300},
      interval_battery{900};

 private:
  enum class State : std::uint8_t {
    pause,           ///< until the next readout
    waking,          ///< NUL characters were sent
    identification,  ///< asked; the identification must come
    acknowledged,    ///< our answer is on its way; then the speed changes
    programming,     ///< the meter's P0 must come
    data,            ///< blocks must come
  };

  Action sign_on() noexcept;
  Action answer(std::string_view identification) noexcept;
  Action enter(State state, unsigned baud) noexcept;
  Action read_register() noexcept;
  Action block(bool more_follow) noexcept;
  Action finish(bool success) noexcept;
  Action write(std::string_view text, std::chrono::milliseconds wait) noexcept;
  std::chrono::milliseconds time_on_line(std::size_t characters) const noexcept;
  std::chrono::milliseconds block_time() const noexcept;

  SessionOptions options_;
  std::vector<std::byte> wake_up_;
  std::array<std::byte, 64> written_{};
  LineFormat line_;  ///< in force
  State state_ = State::pause;
  unsigned speed_ = 0;           ///< agreed on; takes effect after the acknowledgement
  bool is_mode_a_ = false;       ///< as last heard
  bool repeated_ = false;        ///< the block was asked for again already
  unsigned failures_ = 0;        ///< one after the other
  std::size_t address_ = 0;      ///< of options_.addresses
  std::size_t register_ = 0;     ///< of options_.iec62056.registers
};

}  // namespace meter::iec62056
