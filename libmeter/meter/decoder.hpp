// SPDX-License-Identifier: Apache-2.0
// Decoder: the chain of stages for one device, from received bytes to a ReadingSet.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "meter/base/bytes.hpp"
#include "meter/base/errc.hpp"
#include "meter/decode_observer.hpp"
#include "meter/dlms/security.hpp"
#include "meter/link/link_layer.hpp"
#include "meter/reading.hpp"

namespace meter {

struct DecoderOptions {
  std::optional<Link> link;      ///< nothing: found from the bytes (layers with a checksum first)
  bool check_replay = true;      ///< the invocation counter must increase
  bool accept_counter_reset = false;  ///< option for a replaced meter
  /// Where the meter stands: minutes from UTC to standard time, positive east of Greenwich (CET:
  /// 60). For clocks that tell summer from winter and no offset (P1); nothing: no offset is said.
  std::optional<std::int16_t> standard_offset_min;
  DecodeObserver* observer = nullptr; ///< must outlive the decoder
};

/// The chain for one device: scan → reassemble → decrypt → decode. Allocates in its constructor
/// only. Not thread-safe; one per device.
class Decoder {
 public:
  enum class Outcome : std::uint8_t {
    need_more,  ///< nothing more in these bytes; give more
    progress,   ///< a frame was taken in, no telegram yet: call again
    rejected,   ///< bytes, a frame or a telegram were refused: see `fault`; call again
    duplicate,  ///< the same telegram again: ignored; call again
    telegram,   ///< `readings()` holds a new telegram; call again
  };
  struct Step {
    Outcome outcome = Outcome::need_more;
    std::size_t consumed = 0;  ///< bytes at the front that the caller may drop now
    Fault fault{Errc::line_noise, 0};  ///< offset from the front of the given bytes
    /// The link frame that was taken in, as it stood in the given bytes: for a session, which must
    /// answer it. Empty where there was none.
    Bytes frame{};
    /// Where this was about a whole telegram, read or refused: all its link frames as received, one
    /// after the other, which make it again in any decoder; HDLC frames each between two flags. In
    /// the given bytes or in the decoder, until its next call. Empty: no telegram, or more than
    /// `frames_size_max`.
    Bytes frames{};
    Link link = Link::raw;  ///< of `frames`
  };

  /// `keys` may be null (no key) and may be replaced at any time by `set_keys`.
  Decoder(const DecoderOptions& options, std::shared_ptr<const dlms::KeyRing> keys);
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  /// Looks at the received bytes, oldest first. The caller drops `consumed` bytes and calls again
  /// with the rest until `need_more`. Never asks for more than `buffer_size_min` bytes.
  Step next(Bytes received) noexcept;
  /// The telegram of the last `Outcome::telegram`; valid until the next call of any member.
  const ReadingSet& readings() const noexcept;
  /// The bytes stopped for longer than a telegram may pause: what is half received will never be
  /// whole. Call `next` with the bytes that are left until `need_more`: it refuses the half
  /// frame or transfer (`Errc::silence`, `lost_fragment`), and whole frames behind a damaged one
  /// still come out. Bytes that come later are a new beginning.
  void silence() noexcept;
  /// No byte will follow: as `silence`, and what looks like a bare APDU is decoded as one.
  void end_of_input() noexcept;
  /// What comes next is another input, of this link (nothing: found from the bytes): what is half
  /// received and the link that was found are forgotten; keys, replay rule and counts stay.
  void restart(std::optional<Link> link) noexcept;
  /// A frame or a transfer of several frames is half received inside the decoder (what is half
  /// received in the caller's buffer is not counted).
  bool pending() const noexcept;

  /// Takes new keys without losing a half-received telegram.
  void set_keys(std::shared_ptr<const dlms::KeyRing> keys) noexcept;

  /// As `DecoderOptions::standard_offset_min`, from the next telegram on.
  void set_standard_offset(std::optional<std::int16_t> minutes) noexcept;

  /// The system title of the last ciphered telegram, whether a key opened it or not: whose key is
  /// missing or wrong.
  std::optional<SystemTitle> system_title() const noexcept;
  /// The link layer in use; nothing until found.
  std::optional<Link> link() const noexcept;
  /// Refusals by cause since construction, indexed by Errc.
  std::span<const std::uint64_t, errc_count> refusals() const noexcept;
  std::uint64_t telegrams() const noexcept;

  /// What the replay rule of this decoder went by in the last telegram, for one that goes across
  /// several decoders; nothing where it has no invocation counter, or `check_replay` is off.
  const std::optional<dlms::ReplayGuard::Telegram>& counted() const noexcept;
  /// Replay baselines: put the stored ones in before the first byte, take changed ones out to
  /// store them. At most `dlms::ReplayGuard::baselines_max`; the oldest makes room.
  void restore_replay_baseline(const dlms::ReplayBaseline& baseline) noexcept;
  std::span<const dlms::ReplayBaseline> replay_baselines() const noexcept;

  /// A caller's buffer must hold at least this much, or a long frame never completes.
  static constexpr std::size_t buffer_size_min = 16 * 1024;
  static constexpr std::size_t frames_size_max = 16 * 1024;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace meter
