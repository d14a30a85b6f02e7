// SPDX-License-Identifier: Apache-2.0
// The capture format, smartmeter-capture(5): what an adapter received, with times, line settings
// and errors, as text. CaptureParser reads it, CaptureWriter writes it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "meter/base/bytes.hpp"

namespace tools {

/// What the first line begins with; the version follows.
inline constexpr std::string_view capture_magic = "#smartmeter-capture";
inline constexpr unsigned capture_version = 1;

/// A sentence with the place: "line 3, column 7: 'x' is not a hex digit".
struct CaptureError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// "line 3, column 7: 'x'"; what cannot be printed as "\x1b".
std::string capture_position(std::uint64_t line, std::uint64_t column, char c);

/// Is this the word of a directive that smartmeter-capture(5) explains?
bool is_known_directive(std::string_view word);

/// One line of a capture. Its views are good until the parser is asked for the next one.
struct CaptureLine {
  enum class Kind : std::uint8_t {
    octets,     ///< received bytes
    directive,  ///< "#word value", known to this version or not
    comment,    ///< "# anything", or an empty line
  };
  Kind kind = Kind::comment;
  std::uint64_t number = 0;  ///< the first is 1
  std::string_view text;     ///< as it stands, without its end
  std::string_view word;     ///< of a directive: "line"
  std::string_view value;    ///< of a directive, without blanks around it: "2400-8E1"
  meter::Bytes octets;
};

/// Takes text in pieces of any size and gives its lines. Remembers no more than one line and what
/// it was given last. Directives that it does not know are lines like any other; what it knows and
/// cannot read is a CaptureError, as is a newer version.
class CaptureParser {
 public:
  /// Our own lines are far shorter; a person may have joined some.
  static constexpr std::size_t line_size_max = std::size_t{64} * 1024;
  using Microseconds = std::chrono::microseconds;

  /// True where a text that begins so is a capture.
  static bool is_capture(std::string_view beginning) {
    return beginning.starts_with(capture_magic);
  }

  /// More text. Call next() until it is false in between: what it has not given yet is kept.
  void add(std::string_view text);
  /// No more text: a last line may lack its end.
  void end() { is_over_ = true; }
  /// False where more text is needed, or everything was given.
  bool next(CaptureLine& line);

  /// When the capture was begun, in µs since 1970 (#start).
  std::optional<std::int64_t> start_us() const { return start_us_; }
  /// When what is being read arrived, since the start (the newest #at).
  std::optional<Microseconds> at() const { return at_; }
  /// The same in µs since 1970; nothing where one of both is not known.
  std::optional<std::int64_t> received_us() const;
  /// Bytes so far: of the hex lines, and those that were lost while they were recorded (#lost).
  std::uint64_t size() const { return size_; }
  std::uint64_t lost() const { return lost_; }
  /// The last line was #end: the recording was not cut off.
  bool is_whole() const { return is_whole_; }

 private:
  void parse(CaptureLine& line);
  void parse_octets(CaptureLine& line);
  void parse_directive(const CaptureLine& line);
  [[noreturn]] void fail(std::size_t column, const std::string& what) const;
  [[noreturn]] void fail_at_value(const CaptureLine& line, const std::string& what) const;

  std::string text_;
  std::size_t begin_ = 0;  ///< of what was not given yet
  bool is_over_ = false;
  std::uint64_t number_ = 0;
  std::vector<std::byte> octets_;
  std::optional<std::int64_t> start_us_;
  std::optional<Microseconds> at_;
  std::uint64_t size_ = 0, lost_ = 0;
  bool is_whole_ = false;
};

/// Writes a capture as smartmeterd does. What would break a line is replaced by '?'.
class CaptureWriter {
 public:
  /// Of a line of hex digits.
  static constexpr std::size_t octets_per_line = 32;

  /// The first line.
  void magic();
  /// "#word value"; "#word" where `value` is empty.
  void directive(std::string_view word, std::string_view value = {});
  void start(std::int64_t epoch_us);
  void at(std::chrono::microseconds since_start);
  void octets(meter::Bytes octets);
  /// A line as CaptureLine::text has it.
  void line(std::string_view text);

  const std::string& text() const { return text_; }
  /// What was written so far has been taken.
  void clear() { text_.clear(); }

 private:
  std::string text_;
};

}  // namespace tools
