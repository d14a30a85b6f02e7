// SPDX-License-Identifier: Apache-2.0
// LineDetector: finds speed, character format and link layer of a serial line from what arrives.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "meter/base/bytes.hpp"
#include "meter/line_format.hpp"
#include "meter/reading.hpp"

namespace meter {

struct LineDetectorOptions {
  /// Tried first: what was proven in an earlier run, else what is usual for the adapter.
  LineFormat first{9600, 8, 'N'};
  /// The adapter's role allows writing: a line that stays silent is asked at 300 baud.
  bool may_sign_on = false;
};

/// Errors that the driver has counted since the port was opened; zero where it counts none.
struct LineErrors {
  std::uint64_t framing = 0, parity = 0;
};

/// Finds the settings of a line by listening, see libmeter/doc/line-detection.md. Pure: it knows
/// neither port nor clock; who owns it sets what it asks for on the port. It reads the bytes
/// beside the decoder and needs no key. Allocates in its constructor only.
class LineDetector {
 public:
  /// A moment of the caller's monotonic clock.
  using Time = std::chrono::microseconds;

  /// What the owner does now, in this order. Nothing set: go on.
  struct Advice {
    /// Set this on the port. What was received before belongs to other settings: drop what the
    /// decoder has half received.
    std::optional<LineFormat> line;
    /// Then write this: a request for identification (only with `may_sign_on`).
    Bytes write{};
    /// The settings were proven just now: see `settled`.
    bool settled = false;
  };
  struct Settled {
    LineFormat line;
    std::optional<Link> link;  ///< nothing: the proof does not tell (P1 without CRC)
  };
  /// What is being tried and why, for people.
  enum class Finding : std::uint8_t {
    listening,       ///< waiting for the next push
    line_is_slower,  ///< bytes were stretched: a slower speed is tried
    no_frame_start,  ///< nothing looked like a frame: others are tried
    other_parity,    ///< the speed is right and the parity seems wrong
    seven_bits,      ///< the eighth bit is even parity
    frame_begins,    ///< a frame has begun, its end is awaited
    frame_whole,     ///< it was whole and right: the end of the push is awaited
    line_break,      ///< stretched even at the lowest speed: polarity, or no such meter
    sign_on,         ///< nothing comes by itself: asked for identification
    settled,
  };
  struct Progress {
    LineFormat line;  ///< being tried, or settled
    Finding finding = Finding::listening;
    // Since `start`:
    std::uint64_t bytes = 0;
    std::uint64_t frames = 0;        ///< with a right checksum
    std::uint64_t frame_starts = 0;  ///< that looked like the start of a frame
    std::uint64_t errors = 0;        ///< framing and parity errors that the driver counted
  };

  explicit LineDetector(const LineDetectorOptions& options);
  ~LineDetector();
  LineDetector(const LineDetector&) = delete;
  LineDetector& operator=(const LineDetector&) = delete;

  /// The port was opened, or what was settled no longer fits: begins (again) with what was
  /// settled, else with the first settings. The advice always names the line.
  Advice start(Time now) noexcept;
  /// Bytes that just arrived, in order, and the driver's counters at this moment. `accepted`: with
  /// them the decoder has made a telegram; proof for what has no checksum on the line.
  Advice received(Bytes fresh, const LineErrors& total, Time now,
                  std::optional<Link> accepted = std::nullopt) noexcept;
  /// `next_look` has come; harmless at any other time.
  Advice elapsed(Time now) noexcept;
  /// When to call `elapsed` if nothing else happens before; nothing: no need.
  std::optional<Time> next_look() const noexcept;

  /// What was proven; nothing while searching.
  const std::optional<Settled>& settled() const noexcept;
  Progress progress() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A sentence for people, without the settings themselves.
std::string_view describe(LineDetector::Finding finding) noexcept;

}  // namespace meter
