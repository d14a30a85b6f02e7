// SPDX-License-Identifier: Apache-2.0
// CaptureFile: received bytes from a file or standard input: raw bytes, hex text or a capture.
#include "tools/capture_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "meter/base/hex.hpp"

namespace tools {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}
bool is_filler(char c) {
  return is_blank(c) || c == '_' || c == '-' || c == ':';
}

[[noreturn]] void fail(const std::string& name, const std::string& what) {
  throw std::runtime_error(name + ": " + what);
}

}  // namespace

CaptureFile::CaptureFile(const std::string& path)
    : name_(path == "-" ? "standard input" : path), fd_(STDIN_FILENO) {
  if (path != "-") {
    fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    close_ = true;
    if (fd_ < 0 && errno == ENOENT) fail(name_, "there is no such file");
    if (fd_ < 0) fail(name_, std::string("cannot be opened: ") + std::strerror(errno));
  }
  struct stat status {};
  if (fstat(fd_, &status) == 0 && S_ISDIR(status.st_mode)) {
    if (close_) close(fd_);
    fail(name_, "is a directory: name a file with received bytes or hex text in it");
  }
}

CaptureFile::~CaptureFile() {
  if (close_) close(fd_);
}

void CaptureFile::read_block() {
  block_.resize(piece_size);
  std::size_t filled = 0;
  while (filled < block_.size()) {  // pipes give little at a time; detection needs the most
    const ssize_t got = ::read(fd_, block_.data() + filled, block_.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(name_, std::string("cannot be read: ") + std::strerror(errno));
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  block_.resize(filled);
  size_ += filled;
}

bool CaptureFile::is_capture() {
  if (!std::exchange(first_, false)) return is_capture_;
  read_block();
  check_beginning();
  is_capture_ = CaptureParser::is_capture({block_.data(), block_.size()});
  if (!is_capture_) detect();
  is_pending_ = true;
  return is_capture_;
}

/// What other programs make of a recording, and no line gives.
void CaptureFile::check_beginning() {
  using namespace std::string_view_literals;
  const std::string_view text(block_.data(), block_.size());
  if (text.starts_with("\xef\xbb\xbf"))  // the mark of UTF-8, which editors put there
    block_.erase(block_.begin(), block_.begin() + 3);
  else if (text.starts_with("\xff\xfe#\0"sv) || text.starts_with("\xfe\xff\0#"sv))
    fail(name_, "is text in UTF-16: have the editor save it as UTF-8");
  else if (text.starts_with("\x1f\x8b\x08"))
    fail(name_, "is compressed with gzip: give it as \"zcat FILE | smartmeterctl ... -\"");
}

bool CaptureFile::next_line(CaptureLine& line) try {
  while (!capture_.next(line)) {
    if (!std::exchange(is_pending_, false)) read_block();
    if (block_.empty()) {
      capture_.end();
      return capture_.next(line);
    }
    capture_.add({block_.data(), block_.size()});
  }
  return true;
} catch (const CaptureError& error) {
  fail(name_, error.what());
}

void CaptureFile::detect() {
  bool comment = false, line_start = true, digits = false;
  for (const char c : block_) {
    const bool text = is_blank(c) || (c >= ' ' && c <= '~');
    if (!text && !comment) {
      hex_broken_at_.reset();
      return;
    }
    if (hex_broken_at_) continue;
    if (c == '#' && line_start) comment = true;
    const bool hex = meter::hex_value(c) >= 0;
    digits = digits || (hex && !comment);
    if (!comment && !hex && !is_filler(c)) hex_broken_at_ = capture_position(line_, column_, c);
    if (!is_blank(c)) line_start = false;
    ++column_;
    if (c == '\n') {
      comment = false;
      line_start = true;
      ++line_;
      column_ = 1;
    }
  }
  line_ = column_ = 1;
  is_hex_ = digits && !hex_broken_at_;
}

bool CaptureFile::read(std::vector<std::byte>& piece) {
  piece.clear();
  if (is_capture()) {
    CaptureLine line;
    while (piece.size() < piece_size - CaptureParser::line_size_max / 2 && next_line(line))
      piece.insert(piece.end(), line.octets.begin(), line.octets.end());
    return !piece.empty();
  }
  while (piece.empty()) {  // a block may be all comment
    if (!std::exchange(is_pending_, false)) read_block();
    if (block_.empty()) {
      if (half_ >= 0) fail(name_, "the hex text ends in the middle of a byte");
      return false;
    }
    if (is_hex_) {
      take_hex(piece);
    } else {
      piece.resize(block_.size());
      std::memcpy(piece.data(), block_.data(), block_.size());
    }
  }
  return true;
}

void CaptureFile::take_hex(std::vector<std::byte>& piece) {
  for (const char c : block_) {
    if (c == '#' && line_start_) comment_ = true;
    const int digit = comment_ ? -1 : meter::hex_value(c);
    if (digit >= 0 && half_ >= 0) {
      piece.push_back(static_cast<std::byte>(half_ << 4 | digit));
      half_ = -1;
    } else if (digit >= 0) {
      half_ = digit;
    } else if (!comment_ && !is_filler(c)) {
      fail(name_, capture_position(line_, column_, c) + " is not a hex digit");
    }
    if (!is_blank(c)) line_start_ = false;
    ++column_;
    if (c == '\n') {
      comment_ = false;
      line_start_ = true;
      ++line_;
      column_ = 1;
    }
  }
}

}  // namespace tools
