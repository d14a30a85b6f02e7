// SPDX-License-Identifier: Apache-2.0
// CaptureFile: received bytes from a file or standard input: raw bytes, hex text or a capture.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/capture_format.hpp"

namespace tools {

/// Reads a recording piece by piece. A capture (smartmeter-capture(5)) is recognised by its first
/// line, hex text by its first piece: hex digits, blanks, line breaks, '_', '-' and ':', and lines
/// that start with '#'.
class CaptureFile {
 public:
  /// Opens `path`, "-" for standard input. Throws std::runtime_error with a sentence that says
  /// what is wrong with the file.
  explicit CaptureFile(const std::string& path);
  ~CaptureFile();
  CaptureFile(const CaptureFile&) = delete;
  CaptureFile& operator=(const CaptureFile&) = delete;

  /// Replaces `piece` by the next bytes, at most `piece_size`; false at the end of the file.
  /// Throws std::runtime_error where the file cannot be read or its hex text is broken.
  bool read(std::vector<std::byte>& piece);
  /// The file has times, line settings and so on: next_line() gives them. Reads its beginning.
  bool is_capture();
  /// In place of read(), for a capture: its next line; false at the end. Throws as read() does.
  bool next_line(CaptureLine& line);
  /// What the capture says up to here.
  const CaptureParser& capture() const { return capture_; }
  /// Bytes of the file itself so far.
  std::uint64_t size() const { return size_; }
  /// Where text that is almost hex stops being it: "line 3, column 7: 'x'"; nothing for binary
  /// data and for hex.
  const std::optional<std::string>& hex_broken_at() const { return hex_broken_at_; }

  static constexpr std::size_t piece_size = 64 * 1024;

 private:
  void detect();
  void read_block();
  void check_beginning();
  void take_hex(std::vector<std::byte>& piece);

  std::string name_;
  int fd_ = -1;
  bool close_ = false;
  bool first_ = true;
  bool is_pending_ = false;  ///< the first block was looked at, and is still to be taken
  bool is_hex_ = false;
  bool is_capture_ = false;
  CaptureParser capture_;
  std::optional<std::string> hex_broken_at_;
  std::uint64_t size_ = 0;
  std::vector<char> block_;
  // state of the hex text between pieces
  bool comment_ = false, line_start_ = true;
  int half_ = -1;
  std::uint64_t line_ = 1, column_ = 1;
};

}  // namespace tools
