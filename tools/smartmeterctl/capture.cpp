// SPDX-License-Identifier: Apache-2.0
// smartmeterctl capture: what an adapter receives, into a file that anyone can replay.
#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "tools/capture_format.hpp"
#include "tools/pause.hpp"
#include "tools/smartmeterctl/bus.hpp"
#include "tools/smartmeterctl/redact.hpp"
#include "tools/smartmeterctl/redact_file.hpp"
#include "tools/smartmeterctl/style.hpp"
#include "tools/smartmeterctl/text.hpp"
#include "tools/smartmeterctl/verbs.hpp"

namespace smartmeterctl {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* footer = R"(
Writes what the adapter receives from now on, until Ctrl-C or one of the limits, to FILE or standard
output: with times, line settings and errors (smartmeter-capture(5)), or the bytes alone with --raw.
A capture outlives a cable that is pulled. It can be replayed anywhere: "smartmeterctl replay FILE".

Telegrams are personal data: they tell whose meter it is and when somebody is at home. --redact
replaces the ids of meters and persons in what is not encrypted, and says what it could not; with
the name of a FILE it does that to a recording that is there.

Exit status: 0 something was received, or Ctrl-C, 1 nothing was, or an error, 2 wrong usage.

Examples:
  sudo smartmeterctl capture -o meter.capture
  sudo smartmeterctl capture /dev/smartmeter_ir --telegrams 3 -o meter.capture
  sudo smartmeterctl capture --raw --seconds 60 -o meter.bin
  smartmeterctl capture --redact meter.capture -o public.capture
  sudo smartmeterctl capture | grep '^#'       only what goes wrong, as it happens)";

struct CaptureOptions : BusOptions {
  std::string adapter;
  std::string file = "-";
  bool raw = false;
  bool force = false;
  bool redact = false;
  std::optional<std::uint64_t> redact_seed;  ///< the same pseudonyms each time, for tests
  std::optional<double> seconds;
  std::uint64_t telegrams = 0, bytes = 0;  // 0: no limit

  bool is_to_file() const { return file != "-"; }
  redact::Random random() const {
    return redact_seed ? redact::seeded(*redact_seed) : redact::unpredictable();
  }
};

/// What is written: a file that is whole at any time, or standard output.
class Output {
 public:
  Output(const CaptureOptions& options, tools::Pause& pause)
      : name_(options.is_to_file() ? options.file : "standard output"),
        file_(options.is_to_file() ? open(options) : ::dup(STDOUT_FILENO)),
        is_named_(options.is_to_file()),
        pause_(pause) {
    constexpr double seconds_max = 1e9;  // no clock gets there, and no number overflows
    if (options.seconds)
      end_ += std::chrono::milliseconds(
          static_cast<std::int64_t>(1000 * std::min(*options.seconds, seconds_max)));
    else
      end_ = Clock::time_point::max();
  }

  /// Whole lines, or raw bytes. Throws where the disk is full.
  void write(std::string_view text) {
    while (!text.empty()) {
      wait_for_room();
      // As much as a pipe with room takes without waiting.
      const std::size_t size = std::min<std::size_t>(text.size(), PIPE_BUF);
      const ssize_t count = ::write(file_.get(), text.data(), size);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail(errno);
      written_ += static_cast<std::size_t>(count);
      text.remove_prefix(static_cast<std::size_t>(count));
    }
    whole_ = written_;
  }
  const std::string& name() const { return name_; }
  /// Nothing is to be written after all.
  void remove() {
    struct stat status {};
    if (::fstat(file_.get(), &status) == 0 && S_ISREG(status.st_mode) && is_named_)
      ::unlink(name_.c_str());
  }

 private:
  static int open(const CaptureOptions& options) {
    struct stat status {};
    // A pipe or a device is there before, and loses nothing. It must not be waited for.
    const bool is_special = ::stat(options.file.c_str(), &status) == 0 &&
                            !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
    const int flags = O_WRONLY | O_CLOEXEC | O_NOCTTY;
    const int fd = is_special ? ::open(options.file.c_str(), flags | O_NONBLOCK)
                              : ::open(options.file.c_str(),
                                       flags | O_CREAT | (options.force ? O_TRUNC : O_EXCL), 0600);
    if (fd < 0 && errno == EEXIST)
      throw std::runtime_error(options.file +
                               ": is there already: name another file, or overwrite it with "
                               "--force");
    if (fd < 0 && errno == ENXIO && S_ISFIFO(status.st_mode))
      throw std::runtime_error(options.file + ": nobody reads this pipe: start its reader first");
    if (fd < 0)
      throw std::runtime_error(
          fmt::format("{}: cannot be written: {}", options.file, std::strerror(errno)));
    if (is_special) ::fcntl(fd, F_SETFL, 0);
    if (::fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) ::fchmod(fd, 0600);
    return fd;
  }
  /// Who reads standard output may pause; Ctrl-C and --seconds end this even so.
  void wait_for_room() {
    constexpr int tick_ms = 100;
    constexpr int ticks_max = 20;
    pollfd entry{file_.get(), POLLOUT, 0};
    for (int ticks = 0; ::poll(&entry, 1, tick_ms) == 0;)
      if ((!pause_.until(Clock::now()) || Clock::now() >= end_) && ++ticks == ticks_max)
        throw std::runtime_error(name_ + " takes nothing any more: the rest was not written");
  }
  [[noreturn]] void fail(int error) {
    // A file of our own ends with a whole line even so. What stands before us in a file that
    // somebody appends to is not ours to cut; a device cannot be cut.
    if (!is_named_ || ::ftruncate(file_.get(), static_cast<off_t>(whole_)) != 0) whole_ = written_;
    throw std::runtime_error(fmt::format("{}: cannot be written: {}; it is whole up to there, {}",
                                         name_, std::strerror(error), counted(whole_, "byte")));
  }

  std::string name_;
  tools::Fd file_;
  bool is_named_;
  tools::Pause& pause_;
  Clock::time_point end_ = Clock::now();
  std::uint64_t written_ = 0, whole_ = 0;
};

/// Replaces the ids, and says what was replaced and what was not; or writes nothing.
void write_redacted(std::string_view capture, const redact::Random& random, Output& output) try {
  const redact::Redacted redacted = redact::redact(capture, random);
  output.write(redacted.text);
  for (const std::string& sentence : redacted.report.sentences())
    fmt::print(stderr, "{}\n", sentence);
} catch (const redact::Error&) {
  output.remove();
  throw;
}

/// What comes out of the pipe, on its way to the output, as much of it as is asked for.
class Recorder {
 public:
  Recorder(const CaptureOptions& options, Output& output) : options_(options), output_(output) {}

  /// False once enough bytes were received.
  bool take(std::string_view text) {
    if (options_.raw) return take_raw(text);
    // smartmeterd's first record is there as a whole, or no such thing is.
    if (!std::exchange(has_begun_, true) && !tools::CaptureParser::is_capture(text)) {
      output_.remove();
      throw std::runtime_error(
          "smartmeterd gives no capture with times: it is older than this program, restart it "
          "(\"sudo systemctl restart smartmeterd\"), or record with --raw");
    }
    parser_.add(text);
    tools::CaptureLine line;
    while (!is_enough() && parser_.next(line)) take(line);
    put(writer_.text());
    writer_.clear();
    return !is_enough() && !is_full();
  }
  /// No more is taken. `is_cut_off`: by smartmeterd, which says #end itself where it can.
  void end(bool is_cut_off) {
    if (!options_.raw && !is_cut_off && !parser_.is_whole()) put("#end\n");
    if (options_.redact) write_redacted(held_, options_.random(), output_);
  }
  std::uint64_t received() const { return received_; }
  std::uint64_t lost() const { return parser_.lost(); }
  /// More cannot be redacted.
  bool is_full() const { return held_.size() >= redact::capture_size_max; }
  /// The adapter is not there.
  bool is_closed() const { return is_closed_; }

 private:
  /// What is to be redacted must be whole before.
  void put(std::string_view text) {
    if (options_.redact)
      held_ += text;
    else
      output_.write(text);
  }
  bool is_enough() const { return options_.bytes != 0 && received_ >= options_.bytes; }
  std::size_t wanted(std::size_t size) const {
    return options_.bytes == 0 ? size
                               : static_cast<std::size_t>(
                                     std::min<std::uint64_t>(size, options_.bytes - received_));
  }
  bool take_raw(std::string_view text) {
    text = text.substr(0, wanted(text.size()));
    output_.write(text);
    received_ += text.size();
    return !is_enough();
  }
  void take(const tools::CaptureLine& line) {
    if (line.word == "opened" || line.word == "closed") is_closed_ = line.word == "closed";
    if (line.kind != tools::CaptureLine::Kind::octets) return writer_.line(line.text);
    const meter::Bytes octets = line.octets.first(wanted(line.octets.size()));
    received_ += octets.size();
    writer_.octets(octets);
  }

  const CaptureOptions& options_;
  Output& output_;
  tools::CaptureParser parser_;
  tools::CaptureWriter writer_;
  std::string held_;
  std::uint64_t received_ = 0;
  bool has_begun_ = false;
  bool is_closed_ = false;
};

class Capturing {
 public:
  explicit Capturing(const CaptureOptions& options)
      : options_(options),
        bus_(options.bus),
        adapter_(bus_.adapter(options.adapter)),
        pipe_(bus_.open_capture(adapter_, options.raw ? "raw" : "capture")),
        output_(options, pause_),
        recorder_(options, output_),
        telegrams_before_(adapter_.adapter()["TelegramsReceived"].count()) {
    // A card that writes slowly takes seconds; where there may be no more, it stays as it is.
    constexpr int pipe_size = 1 << 20;
    ::fcntl(pipe_.get(), F_SETPIPE_SZ, pipe_size);
  }
  int run();

 private:
  void say_what_is_done() const;
  bool read_pipe();
  void ask_for_telegrams();
  void show_progress();
  bool is_over() const;
  int conclude();

  double seconds() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }
  std::string device() const { return adapter_.adapter()["Device"].text(); }

  const CaptureOptions& options_;
  tools::Pause pause_;
  Bus bus_;
  Object adapter_;
  tools::Fd pipe_;
  Output output_;
  Recorder recorder_;
  std::uint64_t telegrams_before_;
  std::uint64_t telegrams_ = 0;
  std::string problem_;  ///< why none is read
  Clock::time_point begin_ = Clock::now();
  Clock::time_point asked_{};
  bool is_ended_ = false;  // by smartmeterd
  StatusLine status_;
};

void Capturing::say_what_is_done() const {
  fmt::print(stderr,
             "Recording {} to {}; Ctrl-C ends it.\n"
             "Telegrams are personal data: they tell whose meter it is and when somebody is at "
             "home.\n",
             safe(device()), safe(output_.name()));
}

/// Takes what is there. False once enough is recorded, or nothing more can come.
bool Capturing::read_pipe() {
  std::array<char, 64 * 1024> buffer;
  for (;;) {
    const ssize_t count = ::read(pipe_.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return true;
    if (count < 0)
      throw std::runtime_error(std::string("the capture cannot be read: ") + std::strerror(errno));
    is_ended_ = count == 0;
    if (is_ended_) return false;
    if (!recorder_.take({buffer.data(), static_cast<std::size_t>(count)})) return false;
  }
}

/// Several times a second would be no news.
void Capturing::ask_for_telegrams() {
  constexpr auto interval = std::chrono::milliseconds(400);
  if (Clock::now() - asked_ < interval) return;
  asked_ = Clock::now();
  try {
    const Value now = bus_.adapter_properties(adapter_.path);
    const std::uint64_t count = now["TelegramsReceived"].count();
    if (count >= telegrams_before_) telegrams_ = count - telegrams_before_;
    problem_ = now["Problem"].text();
  } catch (const std::exception&) {
    // The pipe says whether smartmeterd has gone.
  }
}

void Capturing::show_progress() {
  if (!StatusLine::is_rewritten()) return;
  status_.show(fmt::format("{}, {}, {:.0f} s{}{}", counted(recorder_.received(), "byte"),
                           counted(telegrams_, "telegram"), seconds(),
                           recorder_.lost() == 0 ? "" : ", some lost",
                           recorder_.is_closed() ? "; the adapter is not there" : ""));
}

bool Capturing::is_over() const {
  return (options_.seconds && seconds() >= *options_.seconds) ||
         (options_.telegrams != 0 && telegrams_ >= options_.telegrams);
}

int Capturing::run() try {
  say_what_is_done();
  constexpr int tick_ms = 100;
  pollfd entry{pipe_.get(), POLLIN, 0};
  bool goes_on = true;
  while (goes_on) {
    ask_for_telegrams();
    show_progress();
    const bool is_last = is_over() || !pause_.until(Clock::now());
    if (!is_last && ::poll(&entry, 1, tick_ms) < 0 && errno != EINTR)
      throw std::runtime_error("cannot wait for the adapter");
    goes_on = read_pipe() && !is_last;
  }
  status_.clear();
  recorder_.end(is_ended_);
  return conclude();
} catch (const tools::CaptureError& error) {
  throw std::runtime_error(std::string("the capture that smartmeterd gives cannot be read: ") +
                           error.what());
}

int Capturing::conclude() {
  asked_ = {};
  if (!is_ended_) ask_for_telegrams();
  fmt::print(stderr, "{}: {}, {} in {:.0f} s\n", safe(output_.name()),
             counted(recorder_.received(), "byte"), counted(telegrams_, "telegram"), seconds());
  if (recorder_.lost() != 0)
    fmt::print(stderr,
               "smartmeterctl: {} are missing: they came faster than they could be written here\n",
               counted(recorder_.lost(), "byte"));
  if (recorder_.is_full())
    fmt::print(stderr,
               "smartmeterctl: ended at {} MiB of text, for no more can be redacted at once: start "
               "another one for what follows\n",
               redact::capture_size_max >> 20);
  if (telegrams_ == 0 && recorder_.received() != 0 && problem_ != "none" && !problem_.empty())
    fmt::print(stderr, "smartmeterctl: no telegram was read of it ({}): {}\n",
               safe(problem_text(problem_)), problem_advice(problem_));
  if (is_ended_)
    throw std::runtime_error(
        fmt::format("{}: smartmeterd has stopped or given the adapter up: \"systemctl status "
                    "smartmeterd\" says why; what came before is recorded",
                    safe(device())));
  if (pause_.stopped() || recorder_.received() != 0) return exit_good;
  throw std::runtime_error(fmt::format(
      "{}: no byte arrived: \"smartmeterctl doctor\" looks for the reason", safe(device())));
}

int redact_recording(const CaptureOptions& options) {
  if (options.seconds || options.telegrams != 0 || options.bytes != 0)
    throw UsageError("--seconds, --telegrams and --bytes are for an adapter: " + options.adapter +
                     " is a recording");
  const std::string capture = redact::read_recording(options.adapter);
  tools::Pause pause;
  Output output(options, pause);
  write_redacted(capture, options.random(), output);
  return exit_good;
}

}  // namespace

void add_capture(CLI::App& app, Action& action) {
  auto options = std::make_shared<CaptureOptions>();
  CLI::App* command = app.add_subcommand("capture", "record what an adapter receives");
  command->footer(footer);
  options->add_to(*command, false);
  command->remove_option(command->get_option("--json"));
  command->add_option("ADAPTER", options->adapter,
                      "node, link or name; with --redact also a recording's file");
  command->add_option("-o,--output", options->file, "file to write; - is standard output")
      ->type_name("FILE")
      ->capture_default_str();
  command->add_flag("--force", options->force, "overwrite a file that is there");
  command->add_flag("--raw", options->raw, "received bytes alone");
  command->add_flag("--redact", options->redact,
                    "pseudonyms in place of ids, where nothing is encrypted");
  command->add_option("--redact-seed", options->redact_seed)->group("");
  command->add_option("--seconds", options->seconds, "stop after so long")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  command->add_option("--telegrams", options->telegrams, "stop after so many that were read")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  command->add_option("--bytes", options->bytes, "stop after so many received bytes")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  command->callback([options, &action] {
    action = [options] {
      if (options->file.empty())
        throw UsageError("-o: the name is empty: expected a FILE, or - for standard output");
      if (options->raw && !options->is_to_file() && ::isatty(STDOUT_FILENO) != 0)
        throw UsageError("raw bytes would garble a terminal: name a file with -o FILE");
      if (options->raw && options->redact)
        throw UsageError("--redact writes a capture, which says what it replaced: leave out --raw");
      if (options->redact && redact::is_recording(options->adapter))
        return redact_recording(*options);
      return Capturing(*options).run();
    };
  });
}

}  // namespace smartmeterctl
