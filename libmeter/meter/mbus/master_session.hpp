// SPDX-License-Identifier: Apache-2.0
// MasterSession: reads the slaves of a wired M-Bus (EN 13757-2 and -3), by address or by search.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "meter/session.hpp"

namespace meter::mbus {

/// How the master reaches a slave, or several: see `slave_address`.
struct SlaveAddress {
  /// Secondary: number, manufacturer, version and medium as hex digits in the order in which they
  /// are written ("12345678" "2440" "01" "07": the manufacturer as its octets are sent). F: any.
  using Digits = std::array<std::uint8_t, 16>;
  bool is_primary = false;
  std::uint8_t primary = 0;  ///< 0 to 250
  Digits digits{};
  /// More than one slave may answer: a digit of the number is F.
  bool is_pattern() const noexcept;
  friend bool operator==(const SlaveAddress&, const SlaveAddress&) = default;
};

/// "0" to "250", eight digits of a number, 16 hex digits, or "search" (anyone). Nothing otherwise.
std::optional<SlaveAddress> slave_address(std::string_view text) noexcept;

/// Asks every slave once in an interval. A pattern is searched digit by digit while several
/// answer; whom it finds is asked by its own address from then on. Sends SND_NKE, the selection of
/// a slave (CI 52) and REQ_UD2, and nothing else: no other command of the bus is known here.
class MasterSession final : public Session {
 public:
  /// Malformed addresses are left out. None at all: everyone is searched for.
  explicit MasterSession(const SessionOptions& options);
  Action on_start() noexcept override;
  Action on_frame(Bytes frame, Verdict verdict) noexcept override;
  Action on_refusal(Errc code) noexcept override;
  Action on_timeout() noexcept override;
  std::chrono::seconds interval() const noexcept override;

  static constexpr std::chrono::seconds interval_default{60};
  static constexpr unsigned retries = 3;          ///< of a request that nobody answers
  static constexpr unsigned telegrams_max = 16;   ///< of one readout
  static constexpr std::size_t slaves_max = 250;  ///< a bus has no more addresses
  /// Selections of one search: noise must not keep it going for ever.
  static constexpr unsigned selections_max = 2000;
  /// Rounds after which a pattern that found someone is searched again for newcomers.
  static constexpr unsigned rounds_between_searches = 60;

 private:
  enum class State : std::uint8_t {
    pause,   ///< until the next round
    reset,   ///< SND_NKE was sent to a primary address
    select,  ///< the selection was sent
    read,    ///< REQ_UD2 was sent
  };
  struct Slave {
    SlaveAddress address;
    bool frame_count_bit = true;  ///< of the next REQ_UD2
    bool answered = true;         ///< in the last round: then it is asked more than once
    bool knows_reset = false;     ///< it has acknowledged SND_NKE once
  };
  /// A search goes through the digits of a pattern, the first one first.
  struct Pattern {
    SlaveAddress address;
    unsigned rounds_until_search = 0;
  };

  Action begin_round() noexcept;
  Action next() noexcept;
  Action contact() noexcept;
  Action request() noexcept;
  Action again_or_next() noexcept;
  Action narrow() noexcept;
  Action move_on() noexcept;
  Action acknowledged() noexcept;
  Action answered(Bytes message) noexcept;
  Action readout_done() noexcept;
  void remember(Bytes message) noexcept;
  bool is_searching() const noexcept { return at_ >= asked_; }
  bool may_be_several() const noexcept;
  Action send_short(unsigned control, unsigned address, std::size_t answer) noexcept;
  Action send_selection() noexcept;
  Action send(std::size_t size, std::size_t answer) noexcept;
  std::chrono::milliseconds time_of_bits(std::size_t bits) const noexcept;

  std::vector<Slave> slaves_;
  std::vector<Pattern> patterns_;
  std::chrono::seconds interval_;
  unsigned baud_;
  std::array<std::byte, 17> written_{};
  State state_ = State::pause;
  std::size_t at_ = 0;     ///< first the slaves, then the patterns
  std::size_t asked_ = 0;  ///< slaves of this round: those that are found in it were read
  Slave current_;          ///< whom is spoken to
  std::array<std::uint8_t, 8> descended_{};  ///< digits that the search has filled in
  std::size_t depth_ = 0;
  unsigned selections_ = 0;
  bool found_ = false;        ///< someone, by the search that goes on
  std::size_t found_at_ = 0;  ///< the last one's place in `slaves_`
  unsigned attempts_ = 0;     ///< of the present request
  unsigned telegrams_ = 0;
  bool disturbed_ = false;  ///< something came that was no frame
};

}  // namespace meter::mbus
