// SPDX-License-Identifier: Apache-2.0
// Captures: the write ends of pipes, and the text of smartmeter-capture(5).
#include "daemon/capture.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "daemon/log.hpp"
#include "daemon/version.hpp"
#include "meter/base/hex.hpp"

namespace smartmeterd {
namespace {

/// A write of more could be taken in part: a reader gets a record whole, or not at all (pipe(7)).
constexpr std::size_t record_size_max = PIPE_BUF;
/// Time, loss and state, which stand before a record's own text.
constexpr std::size_t prefix_size_max = 256;
constexpr std::size_t octets_per_line = 32;
constexpr std::size_t octets_per_record =
    (record_size_max - prefix_size_max) / (2 * octets_per_line + 1) * octets_per_line;
/// Names that a person gave may be of any length.
constexpr std::size_t value_size_max = 256;

}  // namespace

/// Text of a fixed size at most; what does not fit is left out.
class Captures::Text {
 public:
  template <class... Arguments>
  void add(fmt::format_string<Arguments...> format, const Arguments&... arguments) noexcept {
    const std::size_t room = text_.size() - size_;
    const auto end = fmt::vformat_to_n(text_.data() + size_, room, format,
                                       fmt::make_format_args(arguments...));
    size_ += std::min(end.size, room);
  }
  /// A line of a word and what others have named; nothing where it is empty.
  void add_value(std::string_view word, std::string_view value) noexcept {
    if (value.empty()) return;
    const std::size_t begin = size_;
    add("#{} {}", word, value.substr(0, value_size_max));
    std::replace_if(
        text_.begin() + begin, text_.begin() + size_,
        [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }, '?');
    add("\n");
  }
  void add_octets(meter::Bytes bytes) noexcept {
    while (!bytes.empty()) {
      const auto line = bytes.first(std::min(bytes.size(), octets_per_line));
      bytes = bytes.subspan(line.size());
      size_ += meter::write_hex(line, std::span(text_).subspan(size_), meter::hex_upper).size();
      text_[size_++] = '\n';
    }
  }
  std::string_view text() const noexcept { return {text_.data(), size_}; }

 private:
  std::size_t size_ = 0;
  std::array<char, record_size_max> text_;
};

ssize_t Captures::Capture::put(const void* data, std::size_t size) const noexcept {
  ssize_t count = -1;
  do {
    count = ::write(fd, data, size);
  } while (count < 0 && errno == EINTR);
  return count < 0 && errno == EAGAIN ? 0 : count;
}

bool Captures::Capture::has_reader() const noexcept {
  pollfd entry{fd, 0, 0};  // POLLERR: the read end is closed
  return ::poll(&entry, 1, 0) == 0;
}

Captures::Captures(const Adapter& adapter, const io::Loop& loop) : adapter_(adapter), loop_(loop) {
  captures_.reserve(captures_max);
}

Captures::~Captures() {
  tell("#end\n");
  for (Capture& capture : captures_) end(capture);
}

std::expected<int, int> Captures::open(CaptureFormat format) {
  // A client that left while the meter was silent must not keep others out.
  keep_if([](const Capture& capture) { return capture.has_reader(); });
  if (captures_.size() == captures_max) return std::unexpected(EUSERS);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) return std::unexpected(errno);
  captures_.push_back({ends[1], format});
  if (format == CaptureFormat::timed) {
    ++timed_;
    write_head(captures_.back());
  }
  log::info("{}: capture opened, {} of {}", adapter_.device, captures_.size(), captures_max);
  return ends[0];
}

/// What is known now. The pipe is empty: it has room.
bool Captures::write_head(Capture& capture) const {
  capture.begun = loop_.now();
  const std::chrono::sys_time<std::chrono::microseconds> start{
      std::chrono::microseconds(loop_.realtime_us())};
  const auto second = std::chrono::floor<std::chrono::seconds>(start);
  Text head;
  head.add("#smartmeter-capture 1\n");
  head.add_value("smartmeterd", version);
  head.add_value("adapter", adapter_.name);
  head.add_value("device", adapter_.device);
  head.add_value("kind", adapter_.kind);
  head.add_value("link", adapter_.protocol);
  head.add("#start {:%FT%T}.{:06}Z\n", fmt::gmtime(std::chrono::system_clock::to_time_t(second)),
           (start - second).count());
  capture.put(head.text().data(), head.text().size());
  Text state;
  state.add_value("line", adapter_.line);
  if (!is_open_) state.add("#closed\n");
  return write_timed(capture, state.text(), 0);
}

void Captures::write_to_all(meter::Bytes bytes) noexcept {
  keep_if([&](Capture& capture) {
    return capture.format == CaptureFormat::raw ? write_raw(capture, bytes)
                                                : write_octets(capture, bytes);
  });
}

bool Captures::write_raw(Capture& capture, meter::Bytes bytes) noexcept {
  const ssize_t count = capture.put(bytes.data(), bytes.size());
  if (count < 0) return false;
  capture.written += static_cast<std::size_t>(count);
  capture.dropped += bytes.size() - static_cast<std::size_t>(count);
  return true;
}

bool Captures::write_octets(Capture& capture, meter::Bytes bytes) const noexcept {
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), octets_per_record));
    bytes = bytes.subspan(part.size());
    Text text;
    text.add_octets(part);
    if (!write_timed(capture, text.text(), part.size())) return false;
  }
  return true;
}

/// One record: whole, or not at all, which the next one tells. False where the client has gone.
bool Captures::write_timed(Capture& capture, std::string_view text,
                           std::size_t octets) const noexcept {
  Text record;
  const io::TimePoint now = loop_.now();
  if (capture.told != now) {
    const auto since = std::chrono::floor<std::chrono::microseconds>(now - capture.begun).count();
    record.add("#at +{}.{:06}\n", since / 1'000'000, since % 1'000'000);
  }
  if (capture.has_lost) {
    record.add("#lost {}\n", capture.lost);
    record.add_value("line", adapter_.line);
    if (!is_open_) record.add("#closed\n");
  }
  record.add("{}", text);
  const ssize_t count = capture.put(record.text().data(), record.text().size());
  if (count < 0) return false;
  if (count == 0) {
    capture.has_lost = true;
    capture.lost += octets;
    capture.dropped += octets;
    return true;
  }
  capture.told = now;
  capture.has_lost = false;
  capture.lost = 0;
  capture.written += octets;
  return true;
}

void Captures::tell(std::string_view text) noexcept {
  keep_if([&](Capture& capture) {
    return capture.format == CaptureFormat::raw || write_timed(capture, text, 0);
  });
}

void Captures::counters(const io::LineCounters& now) noexcept {
  Text text;
  const auto add = [&text](std::string_view word, std::uint64_t count, std::uint64_t before) {
    if (count > before) text.add("#error {} {}\n", word, count - before);
  };
  add("framing", now.framing, counters_.framing);
  add("parity", now.parity, counters_.parity);
  add("overrun", now.overrun, counters_.overrun);
  counters_ = now;
  if (timed_ != 0 && !text.text().empty()) tell(text.text());
}

void Captures::line_changed() noexcept {
  if (timed_ == 0) return;
  Text text;
  text.add_value("line", adapter_.line);
  if (!text.text().empty()) tell(text.text());
}

void Captures::rejected(const meter::Fault& fault) noexcept {
  if (timed_ == 0) return;
  Text text;
  text.add("#rejected {} {}\n", meter::name(fault.code), fault.offset);
  tell(text.text());
}

void Captures::opened() noexcept {
  is_open_ = true;
  counters_ = {};  // a port counts from its opening on
  if (timed_ == 0) return;
  Text text;
  text.add("#opened\n");
  text.add_value("device", adapter_.device);  // what was pulled may come back as another node
  text.add_value("line", adapter_.line);
  tell(text.text());
}

void Captures::closed(std::string_view why) noexcept {
  if (!std::exchange(is_open_, false) || timed_ == 0) return;
  Text text;
  if (why.empty())
    text.add("#closed\n");
  else
    text.add_value("closed", why);
  tell(text.text());
}

template <class Check>
void Captures::keep_if(Check check) {
  std::erase_if(captures_, [&](Capture& capture) {
    if (check(capture)) return false;
    end(capture);
    return true;
  });
}

void Captures::end(Capture& capture) noexcept {
  ::close(capture.fd);
  if (capture.format == CaptureFormat::timed) --timed_;
  log::info("{}: capture ended, {} bytes, {} of them dropped", adapter_.device,
            capture.written + capture.dropped, capture.dropped);
}

}  // namespace smartmeterd
