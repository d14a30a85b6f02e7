// SPDX-License-Identifier: Apache-2.0
// Reassembler: from link frames to whole APDUs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "meter/base/bytes.hpp"
#include "meter/base/errc.hpp"
#include "meter/reading.hpp"

namespace meter::dlms {

/// A link frame as it was received, and what closes it where that has not been.
struct WireFrame {
  Bytes octets{};
  Bytes closing{};  ///< outlives the call
};

/// Joins M-Bus fragments (CI sequence and FIN), HDLC segments (S bit) and general block transfer
/// into one APDU; strips the LLC header. A message that fits one frame is passed on as a view
/// into it, without a copy. Buffers are allocated by the constructor only.
class Reassembler {
 public:
  /// A whole telegram: no meter comes near it.
  static constexpr std::size_t apdu_size_max = 16 * 1024;
  /// The same with its link frames.
  static constexpr std::size_t frames_size_max = 16 * 1024;

  Reassembler();
  ~Reassembler();
  Reassembler(const Reassembler&) = delete;
  Reassembler& operator=(const Reassembler&) = delete;

  /// Takes a frame's payload (`link::Scan::payload`):
  ///   mbus: C field to the last octet of user data;
  ///   hdlc: frame format field to the last octet of information (addresses, control and HCS are
  ///         in it, FCS and flags are not);
  ///   raw:  the APDU, perhaps with LLC header;
  ///   sml:  the messages of one file, octets 1B doubled as on the line;
  ///   p1:   text, which stays as it is, or a ciphered APDU, perhaps without its tag;
  ///   iec62056_21: a line, block or command, eighth bits as received.
  /// Returns the APDU when it is whole: a view into `payload` or into this object, valid until
  /// the next call. Nothing: more frames are needed. After a fault it waits for a first fragment;
  /// when the faulty frame is itself a first fragment, it is kept (a restarted push).
  /// `frame` is what the payload came in, for `frames`.
  Result<std::optional<Bytes>> take(Link link, Bytes payload,
                                    const WireFrame& frame = {}) noexcept;
  /// All frames of the APDU that `take` has just returned, as received, one after the other: a view
  /// into the given frame or into this object, valid until the next call. Empty where there was no
  /// APDU, or they exceed `frames_size_max`.
  Bytes frames() const noexcept;

  /// Drops half-received messages; false when there was none.
  bool reset() noexcept;
  /// The same, and whoever has said who he is has gone: frames of somebody else follow.
  void restart() noexcept;
  /// A message is half received.
  bool pending() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace meter::dlms
