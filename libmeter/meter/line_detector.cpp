// SPDX-License-Identifier: Apache-2.0
// The search for a line's settings: libmeter/doc/line-detection.md tells why it goes this way.
#include "meter/line_detector.hpp"

#include <algorithm>
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
/// Longer than a meter pauses inside a push (100 ms between two frames of M-Bus), shorter than
/// between two pushes.
constexpr auto silence_limit = 200ms;
/// Behind a change of settings: what the adapter and its driver still held is of the old ones
/// (FTDI keeps bytes back for 16 ms).
constexpr auto change_time = 25ms;
/// Bytes from which a speed shows that it is too high, and how many of them may look otherwise
/// (the first one behind a change begins anywhere).
constexpr std::size_t stretched_count = 12, not_stretched_max = 1;
/// Bytes in which a push must have begun to look like a frame.
constexpr std::size_t start_count = 16;
/// Fewer bytes between two silences are noise.
constexpr std::size_t noise_count = 4;
/// Errors that tell of the wrong parity: more than noise makes, and one in so many bytes. A byte
/// of the wrong parity is wrong every other time, but FTDI counts one error for up to 62 bytes.
constexpr std::uint64_t errors_min = 3, bytes_per_error = 64;
/// As for the decoder: a receive buffer that holds the longest frame.
constexpr std::size_t buffer_size = 2 * 16 * 1024;
/// Longer than the slowest push of a meter that speaks by itself (15 s).
constexpr auto sign_on_after = 20s;
/// Sending, reaction time (1.5 s) and the answer (IEC 62056-21 6.4.3).
constexpr auto sign_on_time = 4s;
constexpr LineFormat sign_on_line{300, 7, 'E'};

constexpr std::size_t layer_count_max = 8;

/// No line of at least four times fewer baud can yield other bytes: every level lasts three bits
/// or longer. Start bit, then eight bits from the lowest; the last level may go on.
constexpr bool is_stretched(std::byte octet) noexcept {
  const unsigned bits = u8(octet) << 1;
  unsigned run = 1;
  for (unsigned bit = 1; bit < 9; ++bit) {
    const bool same = (bits >> bit & 1) == (bits >> (bit - 1) & 1);
    if (!same && run < 3) return false;
    run = same ? run + 1 : 1;
  }
  return true;
}

constexpr bool has_even_parity(std::byte octet) noexcept {
  return std::popcount(u8(octet)) % 2 == 0;
}

}  // namespace

struct LineDetector::State {
  explicit State(const LineDetectorOptions& configured)
      : options(configured), buffer(std::make_unique<std::byte[]>(buffer_size)) {}

  Bytes held() const noexcept { return {buffer.get(), size}; }

  Advice start(Time now) noexcept;
  Advice change(LineFormat to, Finding why, Time now) noexcept;
  Advice settle(LineFormat to, std::optional<Link> link, Time now) noexcept;
  Advice judge(Time now) noexcept;
  Advice end_of_push(Time now) noexcept;
  Advice leave(Time now) noexcept;
  Advice sign_on(Time now) noexcept;
  void take(Bytes fresh) noexcept;
  void forget() noexcept;
  /// Looks for a frame with a right checksum in what is held.
  std::optional<Link> find_frame(bool at_end) noexcept;
  bool frame_pending() const noexcept;
  bool is_too_fast() const noexcept;
  bool is_seven_bits() const noexcept;

  const LineDetectorOptions options;
  const std::unique_ptr<std::byte[]> buffer;
  std::size_t size = 0;
  std::array<std::size_t, layer_count_max> at{};  ///< where each layer looks next
  LineFormat line;
  std::optional<Settled> settled;
  Progress progress;
  std::uint64_t errors_before = 0;  ///< as the driver counted them
  Time last_byte{}, ignore_until{}, quiet_since{};
  bool asking = false;
  bool speed_known = false;  ///< the faster ones were too fast
};

void LineDetector::State::forget() noexcept {
  size = 0;
  at = {};
}

Advice LineDetector::State::start(Time now) noexcept {
  const LineFormat first = settled ? settled->line : options.first;
  settled.reset();
  progress = {};
  errors_before = 0;
  speed_known = asking = false;
  quiet_since = now;
  return change(first, Finding::listening, now);
}

Advice LineDetector::State::change(LineFormat to, Finding why, Time now) noexcept {
  forget();
  line = to;
  progress.line = to;
  progress.finding = why;
  ignore_until = now + change_time;
  return {.line = to};
}

Advice LineDetector::State::settle(LineFormat to, std::optional<Link> link, Time now) noexcept {
  settled = Settled{to, link};
  Advice advice{.settled = true};
  if (to != line) advice.line = change(to, Finding::settled, now).line;
  progress.finding = Finding::settled;
  forget();
  return advice;
}

void LineDetector::State::take(Bytes fresh) noexcept {
  if (fresh.size() > buffer_size - size) forget();
  fresh = fresh.last(std::min(fresh.size(), buffer_size));
  std::memcpy(buffer.get() + size, fresh.data(), fresh.size());
  size += fresh.size();
}

std::optional<Link> LineDetector::State::find_frame(bool at_end) noexcept {
  std::size_t index = 0;
  for (const link::LinkLayer& layer : link::link_layers()) {
    std::size_t& from = at[index++];
    if (!layer.has_checksum) continue;
    for (;;) {
      const Bytes rest = held().subspan(from);
      const link::Scan found = at_end ? link::scan_rest(layer, rest) : layer.scan(rest);
      from += found.discard + found.size;
      if (found.size == 0) break;
      if (!found.proven) continue;
      ++progress.frames;
      return layer.link;
    }
  }
  return std::nullopt;
}

/// Some layer waits for the rest of a frame whose start has enough octets to be none by chance.
bool LineDetector::State::frame_pending() const noexcept {
  constexpr std::size_t header_size = 4;
  std::size_t index = 0;
  for (const link::LinkLayer& layer : link::link_layers()) {
    const std::size_t waits_at = at[index++];
    if (layer.has_checksum && size - waits_at >= header_size) return true;
  }
  return false;
}

bool LineDetector::State::is_too_fast() const noexcept {
  if (size < stretched_count) return false;
  const Bytes first = held().first(stretched_count);
  return std::ranges::count_if(first, is_stretched) >=
         static_cast<std::ptrdiff_t>(stretched_count - not_stretched_max);
}

/// Bytes of a line with seven bits and even parity, received as eight bits without.
bool LineDetector::State::is_seven_bits() const noexcept {
  if (size < start_count || line.data_bits != 8) return false;
  constexpr std::byte eighth_bit{0x80};
  const auto is_high = [](std::byte octet) { return (octet & eighth_bit) != std::byte{0}; };
  return std::ranges::all_of(held(), has_even_parity) &&
         std::ranges::count_if(held(), is_high) >= 4;
}

Advice LineDetector::State::judge(Time now) noexcept {
  if (const auto link = find_frame(false)) {
    const bool seven = is_seven_bits();
    return settle(seven ? LineFormat{line.baud, 7, 'E'} : line, link, now);
  }
  if (is_too_fast()) {
    const auto slower = std::ranges::find_if(speeds, [this](unsigned s) { return s < line.baud; });
    speed_known = true;
    if (slower != speeds.end())
      return change({*slower, 8, *slower == speeds.back() ? 'E' : 'N'}, Finding::line_is_slower,
                    now);
    progress.finding = Finding::line_break;
    return {};
  }
  if (frame_pending()) {
    if (std::exchange(progress.finding, Finding::frame_begins) != Finding::frame_begins)
      ++progress.frame_starts;
    return {};
  }
  if (size >= start_count) return leave(now);
  return {};
}

Advice LineDetector::State::leave(Time now) noexcept {
  if (is_seven_bits()) return change({line.baud, 7, 'E'}, Finding::seven_bits, now);
  if (!speed_known && line.baud != speeds.front())
    return change({speeds.front(), 8, 'N'}, Finding::no_frame_start, now);
  return {};
}

Advice LineDetector::State::end_of_push(Time now) noexcept {
  if (const auto link = find_frame(true)) return settle(line, link, now);
  const bool noise = size < noise_count;
  forget();
  if (noise || !std::exchange(speed_known, false)) return {};
  return change({line.baud, 8, line.parity == 'N' ? 'E' : 'N'}, Finding::other_parity, now);
}

Advice LineDetector::State::sign_on(Time now) noexcept {
  quiet_since = now;
  if (std::exchange(asking, !asking)) return change(options.first, Finding::listening, now);
  Advice advice = change(sign_on_line, Finding::sign_on, now);
  advice.write = bytes_of("/?!\r\n");
  return advice;
}

LineDetector::LineDetector(const LineDetectorOptions& options)
    : state_(std::make_unique<State>(options)) {
  assert(link::link_layers().size() <= layer_count_max);
}

LineDetector::~LineDetector() = default;

Advice LineDetector::start(Time now) noexcept { return state_->start(now); }

Advice LineDetector::received(Bytes fresh, const LineErrors& total, Time now) noexcept {
  State& state = *state_;
  const std::uint64_t errors = total.framing + total.parity;
  state.progress.errors += errors - std::min(errors, std::exchange(state.errors_before, errors));
  state.progress.bytes += fresh.size();
  if (state.settled || now < state.ignore_until) return {};
  state.last_byte = now;
  if (!state.asking) state.quiet_since = now;
  state.take(fresh);
  return state.judge(now);
}

Advice LineDetector::telegram_accepted(Link link, Time now) noexcept {
  if (state_->settled) return {};
  return state_->settle(state_->line, link, now);
}

Advice LineDetector::elapsed(Time now) noexcept {
  State& state = *state_;
  if (state.settled) return {};
  if (state.size > 0 && now >= state.last_byte + silence_limit) return state.end_of_push(now);
  if (state.options.may_sign_on &&
      now >= state.quiet_since + (state.asking ? Time(sign_on_time) : Time(sign_on_after)))
    return state.sign_on(now);
  return {};
}

std::optional<Time> LineDetector::next_look() const noexcept {
  const State& state = *state_;
  if (state.settled) return std::nullopt;
  if (state.size > 0) return state.last_byte + silence_limit;
  if (state.options.may_sign_on)
    return state.quiet_since + (state.asking ? Time(sign_on_time) : Time(sign_on_after));
  return std::nullopt;
}

const LineFormat& LineDetector::line() const noexcept { return state_->line; }

const std::optional<LineDetector::Settled>& LineDetector::settled() const noexcept {
  return state_->settled;
}

LineDetector::Progress LineDetector::progress() const noexcept { return state_->progress; }

std::string_view describe(LineDetector::Finding finding) noexcept {
  switch (finding) {
    case Finding::listening: return "listening";
    case Finding::line_is_slower: return "the bytes were stretched: the line is slower";
    case Finding::no_frame_start: return "nothing looked like a frame: trying others";
    case Finding::other_parity: return "the speed fits: trying the other parity";
    case Finding::seven_bits: return "the eighth bit is even parity: seven bits";
    case Finding::frame_begins: return "a frame has begun";
    case Finding::line_break:
      return "stretched bytes even at the lowest speed: check the adapter and its polarity";
    case Finding::sign_on: return "nothing comes by itself: asking for identification";
    case Finding::settled: return "found";
  }
  return {};
}

}  // namespace meter
