// SPDX-License-Identifier: Apache-2.0
// The search for a line's settings: libmeter/doc/line-detection.md tells why it goes this way.
#include "meter/line_detector.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstring>
#include <utility>

#include "meter/link/link_layer.hpp"

namespace meter {
namespace {

using namespace std::chrono_literals;
using Time = LineDetector::Time;
using Advice = LineDetector::Advice;
using Finding = LineDetector::Finding;

/// Fastest first: a receiver that is too fast shows it at once.
constexpr std::array<unsigned, 3> speeds = {115200, 9600, 2400};
// A receiver that is less than four times too fast does not see every octet stretched, and the
// search would not go down from it: see `is_stretched`.
static_assert(std::ranges::adjacent_find(speeds, [](unsigned faster, unsigned slower) {
                return faster < 4 * slower;
              }) == speeds.end());
/// Between two pushes; longer than a meter pauses inside one (100 ms between two frames of M-Bus).
constexpr Time silence_limit = 200ms;
/// Behind a pause of so long a frame begins: no meter pauses inside a frame, and no adapter keeps
/// bytes back for so long.
constexpr Time pause_limit = 60ms;
/// Behind a change of settings: what adapter and driver still hold is of the old ones (FTDI keeps
/// bytes back for 16 ms).
constexpr Time change_time = 25ms;
/// Bytes in which a push must have begun to look like a frame. At 2400 baud these are 37 ms, less
/// than most telegrams last at 115200.
constexpr std::size_t start_count = 8;
/// Bytes of a frame's start after which the speed is known to be right.
constexpr std::size_t sure_start_count = 16;
/// Bytes in which a speed shows to be too high; by chance one in eleven is like that.
constexpr std::size_t stretched_count = 12;
/// Where a push ends before that, so many tell.
constexpr std::size_t stretched_min = 4;
/// Where everything was refused, a meter sends something unusual in front of its frames: each
/// round listens for twice as long, up to 128 bytes.
constexpr unsigned rounds_max = 4;
/// Fewer bytes between two silences are a glitch, the first time.
constexpr std::size_t glitch_count = 2;
/// Of bytes with even parity in the eighth bit so many must have it set, and one in so many may be
/// a glitch.
constexpr std::ptrdiff_t eighth_bits_min = 4;
constexpr std::size_t bytes_per_glitch = 16;
/// Octets in a push that may belong to no frame: a glitch when the line wakes, line ends.
constexpr std::size_t stray_octets_max = 3;
/// Of a frame without a checksum that fills a push: fewer octets may be one by chance.
constexpr std::size_t filling_min = 32;
/// More than the longest telegram that meters send by themselves (3,000 octets of P1 in Belgium):
/// where pushes follow each other without silence, one has begun by now.
constexpr std::size_t without_silence_max = 4096;
/// A receiver that was set in the middle of a push has to find where characters begin.
constexpr std::size_t synchronising_count = 40;
/// Errors that tell of the wrong parity: more than noise makes, and one in so many bytes. Every
/// other byte is wrong then, but FTDI counts one error for up to 62 bytes, and in text whole rows
/// have a parity that passes.
constexpr std::uint64_t errors_min = 2, bytes_per_error_max = 256;
/// Holds the longest frame of any layer.
constexpr std::size_t buffer_size = 16 * 1024;
/// Longer than the slowest push of a meter that speaks by itself (15 s).
constexpr Time sign_on_after = 20s;
/// IEC 62056-21 6.3.1, 6.4.3: 50 ms of sending, 1.5 s of reaction, 1.2 s of answer at the longest.
constexpr Time sign_on_time = 4s;
constexpr LineFormat sign_on_line{300, 7, 'E'};
constexpr std::string_view sign_on_request = "/?!\r\n";

constexpr std::size_t layer_count_max = 8;

/// A line of at least four times fewer baud yields no other bytes: each of its levels lasts three
/// bits or longer. The first level began before this start bit where a receiver takes a low stop
/// bit for one, and the last goes on. By chance 28 of 256 octets are so.
constexpr bool is_stretched(std::byte octet) noexcept {
  const unsigned bits = u8(octet) << 1;  // the start bit first
  unsigned length = 3;
  for (unsigned bit = 1; bit < 9; ++bit) {
    const bool same = (bits >> bit & 1) == (bits >> (bit - 1) & 1);
    if (!same && length < 3) return false;
    length = same ? length + 1 : 1;
  }
  return true;
}

constexpr bool has_even_parity(std::byte octet) noexcept {
  return std::popcount(u8(octet)) % 2 == 0;
}

constexpr bool has_eighth_bit(std::byte octet) noexcept {
  return u8(octet) >= 0x80;
}

/// Of links that send characters of seven bits.
constexpr bool is_text(Link link) noexcept {
  return link == Link::p1 || link == Link::iec62056_21;
}

/// What a layer waits with is the start of a frame, and none by chance: four octets of a binary
/// frame, eight of a P1 telegram; of IEC 62056-21, where any text may go on, from STX or '/' on.
bool begins_frame(Link link, Bytes waiting) noexcept {
  constexpr std::size_t start_size = 4, text_start_size = 8, text_size = 24;
  switch (link) {
    case Link::hdlc:
    case Link::sml:
    case Link::mbus:
      return waiting.size() >= start_size;
    case Link::p1:
      return waiting.size() >= text_start_size;
    case Link::iec62056_21: {
      const unsigned first = waiting.empty() ? 0 : u8(waiting[0]) & 0x7f;
      return waiting.size() >= (first == 0x02 || first == '/' ? text_start_size : text_size);
    }
    default:  // what amis waits with, mbus sees as well
      return false;
  }
}

/// What was seen with one character format at one speed.
struct Trial {
  bool refused = false;  ///< a push began, and no frame with it
  std::uint64_t bytes = 0, errors = 0;
  bool may_have_errors() const noexcept {
    return errors > 0 && errors * bytes_per_error_max >= bytes;
  }
  bool has_errors() const noexcept { return errors >= errors_min && may_have_errors(); }
  bool has_fewer_errors_than(const Trial& other) const noexcept {
    return errors * other.bytes < other.errors * bytes;
  }
};

/// A layer's way through the bytes held.
struct Position {
  std::size_t next = 0;    ///< where it looks next
  std::size_t proven = 0;  ///< frames with a right checksum
  bool unproven = false;   ///< there was a frame without one
  std::size_t strays = 0;  ///< octets of no frame, from the push's start or the first frame on
  bool is_clean() const noexcept { return strays <= stray_octets_max; }
};

struct Proof {
  std::optional<Link> link;
  /// No other settings can have made it: see `accept`.
  bool sure = true;
};

}  // namespace

struct LineDetector::State {
  explicit State(const LineDetectorOptions& configured)
      : options(configured), buffer(std::make_unique<std::byte[]>(buffer_size)) {}

  Advice start(Time now) noexcept;
  Advice received(Bytes fresh, const LineErrors& total, Time now,
                  std::optional<Link> telegram) noexcept;
  Advice elapsed(Time now) noexcept;
  std::optional<Time> next_look() const noexcept;

  // What is held.
  Bytes held() const noexcept { return {buffer.get(), size}; }
  void take(Bytes fresh) noexcept;
  void forget() noexcept;
  void strip_parity(std::size_t from) noexcept;
  bool has_parity_in_eighth_bit() const noexcept;
  bool is_too_fast() const noexcept;
  bool may_be_too_fast() const noexcept;
  /// Seven bits carry text only.
  bool reads(const link::LinkLayer& layer) const noexcept {
    return layer.has_checksum && (is_text(layer.link) || (!seven_bits && line.data_bits == 8));
  }
  void find_frames(bool at_end) noexcept;
  bool frame_begun() const noexcept;
  bool fills_push() const noexcept;
  std::optional<Proof> proof() const noexcept;

  // What follows from it.
  Advice judge(Time now) noexcept;
  Advice judge_answer(Time now) noexcept;
  Advice silence(Time now) noexcept;
  Advice accept(const Proof& found, Time now) noexcept;
  Advice slow_down(Time now) noexcept;
  Advice leave(Time now) noexcept;
  Advice try_best_format(Time now) noexcept;
  Advice start_over(Time now) noexcept;
  Advice sign_on(Time now) noexcept;
  Advice change(LineFormat to, Finding why, Time now) noexcept;
  Advice settle(const Settled& found, Time now) noexcept;

  Trial& trial(const LineFormat& format) noexcept;
  std::optional<LineFormat> best_format(unsigned baud) noexcept;
  /// Bytes after which settings are left.
  std::size_t patience() const noexcept { return start_count << rounds; }

  const LineDetectorOptions options;
  const std::unique_ptr<std::byte[]> buffer;

  // Of the bytes held, which are of one push:
  std::size_t size = 0;
  std::array<Position, layer_count_max> positions{};
  std::optional<Link> accepted;    ///< the decoder made a telegram of them
  bool from_start = false;         ///< they begin with the push
  bool begun = false;              ///< they looked like the start of a frame
  bool seven_bits = false;         ///< they were stripped of even parity,
  std::size_t odd = 0;             ///< which so many did not have
  std::uint64_t early_errors = 0;  ///< counted before the receiver knew where characters begin

  // Of the settings:
  LineFormat line;
  bool speed_known = false;  ///< the faster ones are too fast, or a frame began
  Time last_byte{};          ///< or when the settings came into force
  Time ignore_until{};

  // Of the search:
  std::optional<Settled> settled;
  std::optional<Settled> fallback;  ///< proven, but perhaps the other parity is the right one
  /// By speed, and as the last one all others: that of a sign-on, or of the first settings.
  std::array<std::array<Trial, 3>, speeds.size() + 1> trials{};
  unsigned rounds = 0;  ///< how often everything was refused
  bool had_glitch = false;
  bool asking = false;
  Time quiet_since{};
  std::optional<std::uint64_t> errors_before;  ///< as the driver counted them
  Progress progress;
};

Advice LineDetector::State::start(Time now) noexcept {
  const LineFormat first = settled ? settled->line : options.first;
  settled.reset();
  fallback.reset();
  trials = {};
  rounds = 0;
  had_glitch = asking = false;
  quiet_since = now;
  errors_before.reset();
  progress = {};
  line = {};
  return change(first, Finding::listening, now);
}

Advice LineDetector::State::received(Bytes fresh, const LineErrors& total, Time now,
                                     std::optional<Link> telegram) noexcept {
  const std::uint64_t errors = total.framing + total.parity;
  const std::uint64_t before = std::exchange(errors_before, errors).value_or(errors);
  const std::uint64_t new_errors = errors - std::min(errors, before);
  progress.bytes += fresh.size();
  progress.errors += new_errors;
  if (settled || now < ignore_until || fresh.empty()) return {};
  if (size == 0 && now >= last_byte + pause_limit) from_start = true;
  last_byte = now;
  if (!asking) quiet_since = now;
  if (from_start || size >= synchronising_count) {
    trial(line).bytes += fresh.size();
    trial(line).errors += new_errors;
  } else {
    early_errors += new_errors;
  }
  take(fresh);
  if (telegram) accepted = telegram;
  return asking ? judge_answer(now) : judge(now);
}

std::optional<Time> LineDetector::State::next_look() const noexcept {
  if (settled) return std::nullopt;
  if (asking) return quiet_since + sign_on_time;
  std::optional<Time> look;
  if (size > 0 || !from_start) look = last_byte + silence_limit;
  if (options.may_sign_on) look = std::min(look.value_or(Time::max()), quiet_since + sign_on_after);
  return look;
}

Advice LineDetector::State::elapsed(Time now) noexcept {
  const std::optional<Time> look = next_look();
  if (!look || now < *look) return {};
  if (!asking && (size > 0 || !from_start) && now >= last_byte + silence_limit) return silence(now);
  return sign_on(now);
}

void LineDetector::State::take(Bytes fresh) noexcept {
  if (fresh.size() > buffer_size - size) {
    forget();
    from_start = false;
    fresh = fresh.last(std::min(fresh.size(), buffer_size));
  }
  std::memcpy(buffer.get() + size, fresh.data(), fresh.size());
  size += fresh.size();
  if (seven_bits) strip_parity(size - fresh.size());
}

void LineDetector::State::forget() noexcept {
  size = 0;
  positions = {};
  accepted.reset();
  begun = seven_bits = false;
  odd = 0;
  early_errors = 0;
}

/// The eighth bit is parity on the line: what is held becomes what was sent.
void LineDetector::State::strip_parity(std::size_t from) noexcept {
  for (std::size_t i = from; i < size; ++i) {
    odd += has_even_parity(buffer[i]) ? 0u : 1u;
    buffer[i] &= std::byte{0x7f};
  }
}

/// Seven bits and even parity, received as eight bits; but for a glitch.
bool LineDetector::State::has_parity_in_eighth_bit() const noexcept {
  const auto even = static_cast<std::size_t>(std::ranges::count_if(held(), has_even_parity));
  return line.data_bits == 8 && (size - even) * bytes_per_glitch <= size &&
         std::ranges::count_if(held(), has_eighth_bit) >= eighth_bits_min;
}

/// As far as it can be told yet.
bool LineDetector::State::may_be_too_fast() const noexcept {
  return size < std::max(stretched_count, patience()) && line.baud > speeds.back() &&
         std::ranges::all_of(held(), is_stretched);
}

bool LineDetector::State::is_too_fast() const noexcept {
  const std::size_t count = std::max(stretched_count, patience());
  const Bytes beginning = held().first(std::min(size, 2 * count));
  if (size < count || !std::ranges::all_of(beginning.last(count), is_stretched)) return false;
  // A row of one character, "xxxxxxxxxxxx" or "888888888888", is text.
  const Bytes row = beginning.last(count);
  return !is_printable(row[0]) || std::ranges::count(row, row[0]) < std::ssize(row);
}

/// Finds the frames in what is held, as every layer sees them.
void LineDetector::State::find_frames(bool at_end) noexcept {
  std::size_t index = 0;
  std::size_t most_before = 0, most = 0;
  for (const link::LinkLayer& layer : link::link_layers()) {
    Position& position = positions[index++];
    most_before = std::max(most_before, position.proven);
    while (reads(layer)) {
      const Bytes rest = held().subspan(position.next);
      const link::Scan found = at_end ? link::scan_rest(layer, rest) : layer.scan(rest);
      if (found.refused && (from_start || position.proven > 0 || position.unproven))
        position.strays += found.discard;
      position.next += found.discard + found.size;
      if (found.size == 0) break;
      if (found.proven)
        ++position.proven;
      else
        position.unproven = true;
    }
    most = std::max(most, position.proven);
  }
  progress.frames += most - most_before;
}

/// A frame that is none by chance has begun, or frames were there already.
bool LineDetector::State::frame_begun() const noexcept {
  std::size_t index = 0;
  for (const link::LinkLayer& layer : link::link_layers()) {
    const Position& position = positions[index++];
    if (!reads(layer)) continue;
    if (position.proven > 0 || (position.unproven && position.is_clean())) return true;
    if (begins_frame(layer.link, held().subspan(position.next))) return true;
  }
  return false;
}

/// A frame without a checksum begins with the push and ends with it.
bool LineDetector::State::fills_push() const noexcept {
  return from_start && size >= filling_min && odd <= stray_octets_max &&
         std::ranges::any_of(positions, [this](const Position& position) {
           return position.unproven && position.is_clean() &&
                  size - position.next <= stray_octets_max;
         });
}

/// What in the bytes held proves the settings, if they end here.
std::optional<Proof> LineDetector::State::proof() const noexcept {
  std::optional<Proof> best;
  std::size_t index = 0;
  for (const link::LinkLayer& layer : link::link_layers()) {
    const Position& position = positions[index++];
    if (position.proven == 0) continue;
    if (!best) best = Proof{layer.link, false};
    best->sure = best->sure || (from_start && position.is_clean());
  }
  if (best) return best;
  if (accepted) return Proof{accepted};
  // The form says that as many octets came as were sent; see `accept`.
  if (fills_push()) return Proof{std::nullopt, line.parity == 'N' || line.data_bits == 7};
  return std::nullopt;
}

Advice LineDetector::State::judge(Time now) noexcept {
  find_frames(false);
  if (!seven_bits && size >= start_count && has_parity_in_eighth_bit()) {
    seven_bits = speed_known = true;
    progress.finding = Finding::seven_bits;
    strip_parity(0);
    positions = {};
    find_frames(false);
  }
  if (const auto found = proof()) {
    if (!std::exchange(begun, true)) ++progress.frame_starts;  // it came in one piece
    progress.finding = Finding::frame_whole;
    return size > without_silence_max ? accept(*found, now) : Advice{};
  }
  if (is_too_fast()) return slow_down(now);
  const bool pending = frame_begun();
  if (pending && !begun) {
    begun = true;
    ++progress.frame_starts;
    progress.finding = Finding::frame_begins;
  }
  if (size < patience() || may_be_too_fast()) return {};
  if (pending && size >= sure_start_count) speed_known = true;
  if (!pending && from_start) return leave(now);
  if (speed_known && trial(line).has_errors()) {
    const std::optional<LineFormat> best = best_format(line.baud);
    if (best && *best != line) return try_best_format(now);
  }
  return pending ? Advice{} : leave(now);
}

/// Only an identification answers a request.
Advice LineDetector::State::judge_answer(Time now) noexcept {
  Bytes rest = held();
  for (;;) {
    const link::Scan found = link::find_link_layer(Link::iec62056_21)->scan(rest);
    if (found.size == 0) return {};
    if (found.payload.front() == std::byte{'/'}) return settle({line, Link::iec62056_21}, now);
    rest = rest.subspan(found.discard + found.size);
  }
}

Advice LineDetector::State::silence(Time now) noexcept {
  find_frames(true);
  Advice advice;
  if (const auto found = proof())
    advice = accept(*found, now);
  else if (size >= stretched_min && line.baud > speeds.back() &&
           std::ranges::all_of(held(), is_stretched))
    advice = slow_down(now);
  else if (size >= glitch_count || (size > 0 && std::exchange(had_glitch, true)))
    advice = leave(now);
  forget();
  if (!advice.line && !advice.settled) {
    from_start = true;  // what comes next
    if (progress.finding != Finding::line_break) progress.finding = Finding::listening;
  }
  return advice;
}

/// Settles, unless the other parity has to be heard too: where errors were counted, and where bytes
/// received as 8E1 can be 8N1. Some receivers get those by with the wrong setting, but for an octet
/// now and then: some frames are right, others are not, and without a checksum none shows it.
Advice LineDetector::State::accept(const Proof& found, Time now) noexcept {
  if (seven_bits) return settle({{line.baud, 7, 'E'}, found.link}, now);
  const Trial& here = trial(line);
  const LineFormat other{line.baud, 8, line.parity == 'N' ? 'E' : 'N'};
  if (fallback && fallback->line != line) {
    const bool was_better = trial(fallback->line).has_fewer_errors_than(here);
    return settle(was_better ? *fallback : Settled{line, found.link}, now);
  }
  const bool is_counted = progress.errors > 0;
  const bool is_unsure = line.parity == 'E' && line.data_bits == 8 && !is_counted && !found.sure;
  const bool may_be_7e1 = found.link == Link::iec62056_21 && line.data_bits == 8;
  // The rest of a push says too little of what is doubtful.
  if (!from_start && size <= without_silence_max &&
      (is_unsure || may_be_7e1 || (early_errors > 0 && here.bytes < synchronising_count)))
    return {};
  const bool is_doubtful = here.may_have_errors() || is_unsure;
  const bool was_other_worse =
      trial(other).refused && (!here.has_errors() || trial(other).has_errors());
  if (!is_doubtful || was_other_worse) return settle({line, found.link}, now);
  fallback = Settled{line, found.link};
  speed_known = true;
  trial(other) = {};
  return change(other, Finding::other_parity, now);
}

Advice LineDetector::State::slow_down(Time now) noexcept {
  const auto slower = std::ranges::find_if(speeds, [this](unsigned s) { return s < line.baud; });
  if (slower == speeds.end()) {
    progress.finding = Finding::line_break;
    return {};
  }
  const Advice advice = change(best_format(*slower).value_or(LineFormat{*slower, 8, 'N'}),
                               Finding::line_is_slower, now);
  speed_known = true;
  return advice;
}

/// What was received does not look like a frame.
Advice LineDetector::State::leave(Time now) noexcept {
  if (from_start || size > without_silence_max) {
    trial(line).refused = true;
    if (fallback) return settle(*fallback, now);
    if (speed_known) return try_best_format(now);
  }
  if (speed_known) return {};  // the next push tells
  return change({speeds.front(), 8, 'N'}, Finding::no_frame_start, now);
}

Advice LineDetector::State::try_best_format(Time now) noexcept {
  const std::optional<LineFormat> best = best_format(line.baud);
  if (fallback && best == fallback->line) return settle(*fallback, now);
  if (!best || (*best == line && trial(line).refused)) return start_over(now);
  return *best == line ? Advice{} : change(*best, Finding::other_parity, now);
}

/// Everything at this speed was refused.
Advice LineDetector::State::start_over(Time now) noexcept {
  trials = {};
  rounds = std::min(rounds + 1, rounds_max);
  const bool is_fastest = line.baud == speeds.front();
  return change(is_fastest ? options.first : LineFormat{speeds.front(), 8, 'N'},
                Finding::no_frame_start, now);
}

/// The character format that least speaks against: the driver's counters first, then pushes that
/// did not begin with a frame. Nothing: everything does.
std::optional<LineFormat> LineDetector::State::best_format(unsigned baud) noexcept {
  const bool is_slow = baud <= speeds.back();  // M-Bus has parity
  const LineFormat usual{baud, 8, is_slow ? 'E' : 'N'};
  const LineFormat other{baud, 8, is_slow ? 'N' : 'E'};
  const Trial &a = trial(usual), &b = trial(other);
  if (a.has_errors() != b.has_errors()) return a.has_errors() ? other : usual;
  if (a.refused != b.refused) return a.refused ? other : usual;
  if (a.refused) return std::nullopt;
  return a.has_errors() && b.has_fewer_errors_than(a) ? other : usual;
}

Trial& LineDetector::State::trial(const LineFormat& format) noexcept {
  const auto speed = std::ranges::find(speeds, format.baud) - speeds.begin();
  const std::size_t kind = format.data_bits == 7 ? 2 : format.parity == 'N' ? 1 : 0;
  return trials[static_cast<std::size_t>(speed)][kind];
}

Advice LineDetector::State::sign_on(Time now) noexcept {
  quiet_since = now;
  if (std::exchange(asking, !asking)) return change(options.first, Finding::listening, now);
  Advice advice = change(sign_on_line, Finding::sign_on, now);
  ignore_until = now;  // nothing was in flight, and a simulated meter answers at once
  advice.write = bytes_of(sign_on_request);
  return advice;
}

Advice LineDetector::State::change(LineFormat to, Finding why, Time now) noexcept {
  if (to.baud != line.baud) speed_known = to.baud == speeds.front();
  forget();
  from_start = false;
  line = to;
  last_byte = now;
  ignore_until = now + change_time;
  progress.line = to;
  progress.finding = why;
  return {.line = to};
}

Advice LineDetector::State::settle(const Settled& found, Time now) noexcept {
  Advice advice;
  if (found.line != line) advice = change(found.line, Finding::settled, now);
  advice.settled = true;
  settled = found;
  asking = false;
  forget();
  progress.finding = Finding::settled;
  return advice;
}

LineDetector::LineDetector(const LineDetectorOptions& options)
    : state_(std::make_unique<State>(options)) {
  assert(link::link_layers().size() <= layer_count_max);
}

LineDetector::~LineDetector() = default;

Advice LineDetector::start(Time now) noexcept {
  return state_->start(now);
}

Advice LineDetector::received(Bytes fresh, const LineErrors& total, Time now,
                              std::optional<Link> accepted) noexcept {
  return state_->received(fresh, total, now, accepted);
}

Advice LineDetector::elapsed(Time now) noexcept {
  return state_->elapsed(now);
}

std::optional<Time> LineDetector::next_look() const noexcept {
  return state_->next_look();
}

const std::optional<LineDetector::Settled>& LineDetector::settled() const noexcept {
  return state_->settled;
}

LineDetector::Progress LineDetector::progress() const noexcept {
  return state_->progress;
}

std::string_view describe(LineDetector::Finding finding) noexcept {
  switch (finding) {
    case Finding::listening:
      return "waiting for the meter to send";
    case Finding::line_is_slower:
      return "the bytes were stretched: the line is slower";
    case Finding::no_frame_start:
      return "what came did not look like a frame";
    case Finding::other_parity:
      return "the speed fits: hearing the other parity";
    case Finding::seven_bits:
      return "the eighth bit is even parity: seven bits";
    case Finding::frame_begins:
      return "a frame has begun";
    case Finding::frame_whole:
      return "a whole frame came: waiting for the end of the push";
    case Finding::line_break:
      return "stretched bytes even at the lowest speed: check the adapter and its polarity";
    case Finding::sign_on:
      return "nothing comes by itself: asking the meter for identification";
    case Finding::settled:
      return "the settings are proven";
  }
  return {};
}

}  // namespace meter
