// SPDX-License-Identifier: Apache-2.0
// search: the byte-wise resynchronisation that every link layer with a start octet shares.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "meter/link/link_layer.hpp"

namespace meter::link {

/// What a link layer makes of the bytes at a start octet.
struct Candidate {
  enum class Verdict : std::uint8_t {
    nothing,     ///< the octet does not start a frame
    refused,     ///< it does, but the frame is damaged: see `cause`
    incomplete,  ///< with more bytes it can still become a frame
    frame,       ///< a whole frame with a right checksum: `size`, `payload`
  };
  Verdict verdict = Verdict::nothing;
  Errc cause = Errc::line_noise;
  std::size_t size = 0;
  Bytes payload{};
};

constexpr Candidate no_candidate() noexcept {
  return {};
}
constexpr Candidate incomplete() noexcept {
  return {.verdict = Candidate::Verdict::incomplete};
}
constexpr Candidate refused(Errc cause) noexcept {
  return {.verdict = Candidate::Verdict::refused, .cause = cause};
}
constexpr Candidate frame(std::size_t size, Bytes payload) noexcept {
  return {.verdict = Candidate::Verdict::frame, .size = size, .payload = payload};
}

/// Notes why bytes are discarded: the first refused frame's cause, else noise.
constexpr void note_refusal(Scan& scan, Errc cause, std::size_t offset) noexcept {
  if (scan.refused && (scan.fault.code != Errc::line_noise || cause == Errc::line_noise)) return;
  scan.refused = true;
  scan.fault = {cause, static_cast<std::uint32_t>(offset)};
}

/// `scan` found nothing; `behind` is what was found behind the bytes that it discards.
constexpr void go_on(Scan& scan, const Scan& behind) noexcept {
  if (behind.refused) note_refusal(scan, behind.fault.code, scan.discard + behind.fault.offset);
  scan.discard += behind.discard;
  scan.size = behind.size;
  scan.payload = behind.payload;
  scan.proven = behind.proven;
}

/// Finds the first frame. A candidate that can still become a frame is waited for even where a
/// whole frame seems to stand inside it, because payload may look like a frame; once it is
/// refused, the search goes on one octet behind its start, so nothing that it claimed is lost.
/// Each start octet is examined in full at most once: then it is dropped.
/// `start_is_fill`: start octets may stand alone between frames and are no noise.
template <std::byte start, bool start_is_fill, auto examine>
Scan search(Bytes received, std::size_t starts_before) noexcept {
  using Verdict = Candidate::Verdict;
  Scan scan;
  const std::size_t end = std::min(received.size(), starts_before);
  while (scan.discard < end) {
    const Bytes rest = received.subspan(scan.discard);
    if (rest.front() != start) {
      note_refusal(scan, Errc::line_noise, scan.discard);
      const void* next = std::memchr(rest.data(), static_cast<int>(start), end - scan.discard);
      if (next == nullptr) {
        scan.discard = end;
        break;
      }
      scan.discard += static_cast<std::size_t>(static_cast<const std::byte*>(next) - rest.data());
      continue;
    }
    const Candidate candidate = examine(rest);
    if (candidate.verdict == Verdict::incomplete) break;
    if (candidate.verdict == Verdict::frame) {
      scan.size = candidate.size;
      scan.payload = candidate.payload;
      break;
    }
    if (candidate.verdict == Verdict::refused || !start_is_fill)
      note_refusal(scan, candidate.cause, scan.discard);
    ++scan.discard;
  }
  return scan;
}

/// The same where frames begin with several octets: `examine` is asked at each octet, and answers
/// `no_candidate` where none begins.
template <auto examine>
Scan search_each(Bytes received, std::size_t starts_before) noexcept {
  using Verdict = Candidate::Verdict;
  Scan scan;
  const std::size_t end = std::min(received.size(), starts_before);
  for (; scan.discard < end; ++scan.discard) {
    const Candidate candidate = examine(received.subspan(scan.discard));
    if (candidate.verdict == Verdict::incomplete) break;
    if (candidate.verdict == Verdict::frame) {
      scan.size = candidate.size;
      scan.payload = candidate.payload;
      break;
    }
    note_refusal(scan, candidate.cause, scan.discard);
  }
  return scan;
}

}  // namespace meter::link
