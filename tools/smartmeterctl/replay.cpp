// SPDX-License-Identifier: Apache-2.0
// smartmeterctl replay: a recording into the decoder, or into a pseudo terminal as it happened.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/capture_file.hpp"
#include "tools/pause.hpp"
#include "tools/pty.hpp"
#include "tools/smartmeterctl/decoding.hpp"
#include "tools/smartmeterctl/style.hpp"
#include "tools/smartmeterctl/text.hpp"
#include "tools/smartmeterctl/verbs.hpp"

namespace smartmeterctl {
namespace {

using Clock = std::chrono::steady_clock;
using Microseconds = std::chrono::microseconds;
using namespace std::chrono_literals;

constexpr const char* footer = R"(
FILE is a capture (smartmeter-capture(5)), raw bytes or hex text, - for standard input.

Without --pty, prints the telegrams as "smartmeterctl decode" does, each with the time at which it
was received: the same output each time. With --pty, sends the bytes to whoever reads the pseudo
terminal that it names, at the times at which they came; bytes without times as fast as the line
of --baud. It waits for the reader, and no byte is lost.

Encrypted meters count their telegrams: smartmeterd refuses those that it has seen before.

Exit status: 0 replayed, also until Ctrl-C, 1 no telegram or an error, 2 wrong usage.

Examples:
  smartmeterctl replay --key @guek.txt meter.capture
  smartmeterctl replay --pty --link /tmp/meter meter.capture
  smartmeterctl replay --pty --speed max meter.capture
  smartmeterd --device /tmp/meter                    reads what the second one sends)";

struct ReplayOptions : DecodeOptions {
  bool pty = false;
  bool loop = false;
  std::string speed = "1";
  unsigned baud = 2400;

  /// How many times as fast as it was; nothing: without any pause.
  std::optional<double> factor() const {
    return speed == "max" ? std::nullopt : std::optional(std::strtod(speed.c_str(), nullptr));
  }
};

/// As long a pause as smartmeterd waits for the rest of a telegram.
Microseconds telegram_pause(std::optional<meter::Link> link) {
  return link == meter::Link::iec62056_21 ? Microseconds(3s) : Microseconds(2s);
}

// ---- into the decoder ---------------------------------------------------------------------------

int replay_to_decoder(const ReplayOptions& options) {
  Decoding decoding(options);
  tools::CaptureFile file(options.file);
  if (!file.is_capture()) return decode_recording(decoding, file, options);
  const tools::CaptureParser& capture = file.capture();
  std::optional<std::int64_t> last;
  std::string line_settings;
  tools::CaptureLine line;
  while (file.next_line(line)) {
    if (line.kind == tools::CaptureLine::Kind::octets) {
      const auto now = capture.received_us();
      if (now && last && Microseconds(*now - *last) >= telegram_pause(decoding.link()))
        decoding.silence();
      last = now;
      decoding.feed(line.octets, now);
    } else if (line.word == "closed" || line.word == "lost" ||
               (line.word == "line" && line.value != line_settings)) {
      decoding.silence();
    }
    if (line.word == "line") line_settings = line.value;
  }
  return decoding.finish(file);
}

// ---- into a pseudo terminal ---------------------------------------------------------------------

/// The recording in pieces, each with the pause before it.
class Pieces {
 public:
  Pieces(const ReplayOptions& options) : file_(options.file) {
    // A timer is no finer than a millisecond; start bit, eight data bits, parity, stop bit.
    constexpr unsigned bits = 11;
    octets_per_pause_ = std::max<std::size_t>(1, options.baud / bits / 1000);
    pause_ = Microseconds(octets_per_pause_ * bits * 1'000'000 / options.baud);
  }

  struct Piece {
    meter::Bytes octets;
    Microseconds pause{0};
  };
  /// False at the end.
  bool next(Piece& piece) { return file_.is_capture() ? next_timed(piece) : next_untimed(piece); }
  std::uint64_t lost() const { return file_.capture().lost(); }
  /// "2400-8E1 by smartmeterd 1.2.3": where it says so, once it is known.
  const std::string& line_settings() const { return line_settings_; }

 private:
  bool next_timed(Piece& piece) {
    tools::CaptureLine line;
    while (file_.next_line(line)) {
      if (line.word == "line") line_settings_ = line.value;
      if (line.kind != tools::CaptureLine::Kind::octets) continue;
      const tools::CaptureParser& capture = file_.capture();
      const std::int64_t now =
          capture.start_us().value_or(0) + capture.at().value_or(Microseconds(0)).count();
      piece = {line.octets, Microseconds(std::max<std::int64_t>(0, now - last_.value_or(now)))};
      last_ = now;
      return true;
    }
    return false;
  }
  bool next_untimed(Piece& piece) {
    if (taken_ == block_.size()) {
      taken_ = 0;
      if (!file_.read(block_)) return false;
    }
    const std::size_t size = std::min(octets_per_pause_, block_.size() - taken_);
    piece = {meter::Bytes(block_).subspan(taken_, size), pause_};
    taken_ += size;
    return true;
  }

  tools::CaptureFile file_;
  std::string line_settings_;
  std::optional<std::int64_t> last_;
  std::size_t octets_per_pause_ = 1;
  Microseconds pause_{0};
  std::vector<std::byte> block_;
  std::size_t taken_ = 0;
};

class Playing {
 public:
  explicit Playing(const ReplayOptions& options)
      : options_(options), factor_(options.factor()), pty_(options.link) {}
  int run();

 private:
  bool play();
  bool wait_for_reader();
  bool send(meter::Bytes octets);
  bool wait_until_read();
  void show(const std::string& what);
  std::string where() const { return options_.link.empty() ? pty_.path() : options_.link; }

  static constexpr auto look_again = 10ms;
  const ReplayOptions& options_;
  std::optional<double> factor_;
  tools::Pause pause_;  // before the line: a signal never leaves its link behind
  tools::Pty pty_;
  StatusLine status_;
  Clock::time_point due_ = Clock::now();
  std::uint64_t sent_ = 0, lost_ = 0, rounds_ = 0;
};

/// False where a signal came. Time stands still meanwhile.
bool Playing::wait_for_reader() {
  if (pty_.has_reader()) return true;
  show("waiting for a program that reads " + where());
  while (!pty_.has_reader())
    if (!pause_.until(Clock::now() + look_again)) return false;
  due_ = Clock::now();
  return true;
}

/// Everything, however slow the reader is.
bool Playing::send(meter::Bytes octets) {
  while (!octets.empty()) {
    if (!wait_for_reader()) return false;
    const std::size_t count = pty_.write_some(octets);
    octets = octets.subspan(count);
    sent_ += count;
    if (count == 0 && !pause_.until(Clock::now() + look_again)) return false;
  }
  return true;
}

/// What was written reaches the reader's queue a moment later: empty counts when it stays so.
bool Playing::wait_until_read() {
  constexpr int looks = 20;
  for (int empty_looks = 0; empty_looks < looks;) {
    empty_looks = pty_.unread() == 0 ? empty_looks + 1 : 0;
    if (!pause_.until(Clock::now() + look_again)) return false;
  }
  return true;
}

void Playing::show(const std::string& what) {
  if (StatusLine::is_rewritten()) status_.show(what);
}

/// The recording once. False where a signal came.
bool Playing::play() {
  Pieces pieces(options_);
  Pieces::Piece piece;
  if (!wait_for_reader()) return false;
  while (pieces.next(piece)) {
    if (factor_) {
      // Whatever a file says: no moment that the clock cannot tell.
      constexpr std::chrono::duration<double> pause_max = std::chrono::years(1);
      due_ += std::chrono::duration_cast<Clock::duration>(
          std::min(pause_max, std::chrono::duration<double>(piece.pause) / *factor_));
      if (!pause_.until(due_)) return false;
    }
    if (!send(piece.octets)) return false;
    show(fmt::format(
        "{} sent to {}{}", counted(sent_, "byte"), where(),
        pieces.line_settings().empty() ? "" : ", recorded at " + pieces.line_settings()));
  }
  lost_ += pieces.lost();
  if (sent_ == 0) throw std::runtime_error(options_.file_name() + ": no received byte is in it");
  return true;
}

int Playing::run() {
  // Two rounds are no one telegram.
  constexpr auto pause_between = 1s;
  fmt::print("{}\n", where());
  std::fflush(stdout);
  bool goes_on = true;
  while (goes_on) {
    goes_on = play() && options_.loop;
    if (goes_on && factor_) due_ = Clock::now() + pause_between;
  }
  if (!pause_.stopped()) wait_until_read();
  status_.clear();
  fmt::print(stderr, "{} sent\n", counted(sent_, "byte"));
  if (lost_ != 0)
    fmt::print(stderr, "smartmeterctl: {} are missing: they were lost while it was recorded\n",
               counted(lost_, "byte"));
  return exit_good;
}

/// What the command line's syntax cannot say.
void check(const ReplayOptions& options) {
  const auto& links = DecodeOptions::links();
  if (!options.pty && std::ranges::find(links, options.link) == links.end())
    throw UsageError(fmt::format(
        "--link: \"{}\" is no link layer ({}); the name of a pseudo terminal needs --pty",
        options.link, fmt::join(links, ", ")));
  if (!options.pty && (options.loop || options.speed != "1"))
    throw UsageError("--loop and --speed are for --pty: the decoder takes everything at once");
  if (options.pty && options.loop && options.file == "-")
    throw UsageError("--loop reads the recording again and again: name a FILE");
}

std::string check_speed(const std::string& text) {
  char* end = nullptr;
  const double factor = std::strtod(text.c_str(), &end);
  constexpr double factor_max = 1e6;
  const bool is_number = end != text.c_str() && *end == '\0' && std::isfinite(factor);
  if (text == "max" || (is_number && factor > 0 && factor <= factor_max)) return {};
  return "\"" + text + "\" is neither a number above 0, as in 10 or 0.5, nor max";
}

}  // namespace

void add_replay(CLI::App& app, Action& action) {
  auto options = std::make_shared<ReplayOptions>();
  CLI::App* command =
      app.add_subcommand("replay", "a recording into the decoder or a pseudo terminal");
  command->footer(footer);
  options->add_to(*command);
  command->add_flag("--pty", options->pty, "send the bytes through a new pseudo terminal");
  command
      ->add_option("--link", options->link,
                   "link layer; with --pty, a symbolic link to the pseudo terminal")
      ->type_name("LINK|PATH");
  command->add_option("--speed", options->speed, "so many times as fast, or max: without pauses")
      ->type_name("N|max")
      ->check(CLI::Validator(check_speed, ""))
      ->capture_default_str();
  command
      ->add_option("--baud", options->baud,
                   "speed of the line for bytes without times, 11 bits each")
      ->check(CLI::Range(300, 4'000'000))
      ->capture_default_str();
  command->add_flag("--loop", options->loop, "again and again, until Ctrl-C");
  command->add_option("FILE", options->file, "capture, received bytes or hex text")->required();
  command->callback([options, &action] {
    action = [options] {
      if (options->pty && options->link == "auto") options->link.clear();
      check(*options);
      return options->pty ? Playing(*options).run() : replay_to_decoder(*options);
    };
  });
}

}  // namespace smartmeterctl
