// SPDX-License-Identifier: Apache-2.0
// Session: the side of a link that must answer or ask, as a pure state machine.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "meter/base/bytes.hpp"
#include "meter/base/errc.hpp"
#include "meter/line_format.hpp"
#include "meter/reading.hpp"

namespace meter {

/// What only a session of IEC 62056-21 knows. The address is `SessionOptions::addresses`.
struct Iec62056Options {
  LineFormat sign_on{300, 7, 'E'};     ///< 8N1: parity is put into the eighth bit
  /// V Z Y of the acknowledgement where the meter wants others than "0Z0" ("051": Logarex LK13BE).
  std::string acknowledgement;
  bool wake_up = false;                ///< battery-powered: NUL characters first
  std::vector<std::string> registers;  ///< read these by R2 in programming mode ("F001")
};

/// How a session is to ask. Defaults are the link's own.
struct SessionOptions {
  std::chrono::seconds interval{0};    ///< between two readouts; 0: the link's default
  std::vector<std::string> addresses;  ///< whom to ask; empty: the link's default
  LineFormat line;                     ///< the configured line, in force at `on_start`
  Iec62056Options iec62056;
};

/// Asks and acknowledges: IEC 62056-21 sign-on, wired M-Bus master, AMIS acknowledgement. Pure: it
/// knows neither port nor clock; who owns it carries its actions out, in order, and only where the
/// adapter's role allows writing. Allocates in its constructor only.
class Session {
 public:
  /// What to do next. A new action replaces the wake-up of the one before.
  struct Action {
    Bytes write{};                    ///< valid until the next call of the session
    std::optional<LineFormat> line;   ///< set before writing; what is half received is dropped
    /// Call `on_timeout` this long after the action was carried out, the time that writing takes
    /// on the line included by the session; nothing: leave the wake-up as it is.
    std::optional<std::chrono::milliseconds> wake_after;
  };
  /// What the decoder made of a frame.
  enum class Verdict : std::uint8_t {
    telegram,  ///< it completed a telegram
    progress,  ///< its checksum is right; nothing came of it yet, or nothing could be decoded
    rejected,  ///< the frame was damaged, or its content refused
  };

  virtual ~Session() = default;
  /// The port was opened (again).
  virtual Action on_start() noexcept = 0;
  /// A link frame with a right checksum, as it was on the line; also an echo of what was written.
  virtual Action on_frame(Bytes frame, Verdict verdict) noexcept = 0;
  /// Bytes were refused that came to no frame.
  virtual Action on_refusal(Errc) noexcept { return {}; }
  /// The time that the last action named has passed.
  virtual Action on_timeout() noexcept = 0;
  /// Between two readouts: no bytes for so long are no fault. 0: the meter speaks by itself.
  virtual std::chrono::seconds interval() const noexcept { return {}; }
};

/// The session of a link layer (`iec62056_21`, `mbus_master`, `amis`), or null where a link only
/// listens.
std::unique_ptr<Session> make_session(Link link, const SessionOptions& options);

}  // namespace meter
