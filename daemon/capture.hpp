// SPDX-License-Identifier: Apache-2.0
// Captures: clients that get every byte that an adapter receives, as it was received.
#pragma once

#include <climits>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <string_view>
#include <vector>

#include "daemon/io/loop.hpp"
#include "daemon/io/port.hpp"
#include "daemon/model.hpp"
#include "meter/base/bytes.hpp"

namespace smartmeterd {

/// The pipes of one adapter: received bytes as they are, or the text of smartmeter-capture(5).
/// Writing to one never waits and needs no request of the loop: where a client does not keep up,
/// what does not fit is dropped and counted, and a client that has gone ends its capture. Nothing
/// allocates but open(), and nothing costs anything where nobody captures. SIGPIPE must be ignored.
class Captures {
 public:
  /// A person, a recording and the doctor at once; each is a system call for each chunk.
  static constexpr std::size_t captures_max = 4;

  /// Both outlive the captures; what the adapter says of itself may change.
  Captures(const Adapter& adapter, const io::Loop& loop);
  ~Captures();
  Captures(const Captures&) = delete;
  Captures& operator=(const Captures&) = delete;

  /// The read end of a new pipe (O_CLOEXEC, O_NONBLOCK), which the caller closes; or an errno,
  /// EUSERS where there are `captures_max` already.
  std::expected<int, int> open(CaptureFormat format);
  /// Hands on what was received.
  void write(meter::Bytes bytes) noexcept {
    if (!captures_.empty()) write_to_all(bytes);
  }
  std::size_t size() const noexcept { return captures_.size(); }

  // What only the text tells. Each is of this moment.
  /// Somebody wants the port's counters: told before write().
  bool wants_counters() const noexcept { return timed_ != 0; }
  void counters(const io::LineCounters& now) noexcept;
  void line_changed() noexcept;
  void rejected(const meter::Fault& fault) noexcept;
  void opened() noexcept;
  /// `why`: "unplugged", may be empty; once for each opening.
  void closed(std::string_view why) noexcept;

 private:
  class Text;
  struct Capture {
    int fd;
    CaptureFormat format;
    io::TimePoint begun{};
    io::TimePoint told{};    ///< of what was written last
    std::uint64_t lost = 0;  ///< bytes not told yet
    bool has_lost = false;   ///< these, or words
    std::uint64_t written = 0;
    std::uint64_t dropped = 0;
    /// Bytes that were taken; none where there is no room, negative where the client has gone.
    ssize_t put(const void* data, std::size_t size) const noexcept;
    bool has_reader() const noexcept;
  };

  void write_to_all(meter::Bytes bytes) noexcept;
  static bool write_raw(Capture& capture, meter::Bytes bytes) noexcept;
  bool write_timed(Capture& capture, std::string_view text, std::size_t octets) const noexcept;
  bool write_octets(Capture& capture, meter::Bytes bytes) const noexcept;
  bool write_head(Capture& capture) const;
  void tell(std::string_view text) noexcept;
  void end(Capture& capture) noexcept;
  template <class Check>
  void keep_if(Check check);

  const Adapter& adapter_;
  const io::Loop& loop_;
  bool is_open_ = false;  // the port
  io::LineCounters counters_;
  std::size_t timed_ = 0;  // captures that are not raw
  std::vector<Capture> captures_;
};

}  // namespace smartmeterd
