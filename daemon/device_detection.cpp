// SPDX-License-Identifier: Apache-2.0
// The part of a device that finds its line settings, by itself and at a client's wish.
#include <algorithm>
#include <utility>

#include "daemon/device.hpp"
#include "daemon/log.hpp"
#include "meter/link/link_layer.hpp"

namespace smartmeterd {
namespace {

using namespace std::chrono_literals;

/// While the link is not known: more than two of the longest telegrams that meters send by
/// themselves (3,000 octets of P1 in Belgium) without one of them being whole.
constexpr std::uint64_t no_frame_bytes = 8192;
/// A person follows it; more often nobody can.
constexpr auto progress_interval = 400ms;
/// Bytes without a frame after which line settings that were proven are doubted: more than a few
/// pushes that were damaged. A line that is much faster gives few bytes for a push: then so many
/// push intervals are enough.
constexpr int intervals_until_doubt = 10;
constexpr auto doubt_time_min = 60s;
constexpr auto doubt_time_unknown = 600s;
constexpr std::uint64_t doubt_bytes_min = 64;
constexpr std::string_view not_plugged_in =
    "the adapter is not plugged in: plug it in, and try again";

meter::LineDetector::Time detector_time(io::TimePoint time) noexcept {
  return std::chrono::floor<meter::LineDetector::Time>(time.time_since_epoch());
}

}  // namespace

std::uint64_t Device::no_frame_limit(std::optional<meter::Link> link) noexcept {
  const auto* layer = link ? meter::link::find_link_layer(*link) : nullptr;
  return layer ? 2 * layer->frame_size_max : no_frame_bytes;
}

bool Device::detects() const noexcept {
  return config_.tcp.empty() && !config_.line && !session_;
}

bool Device::is_detecting() const noexcept {
  return detector_ && port_->is_open() && !detector_->settled();
}

LineSource Device::line_source(const LineSettings& line) const noexcept {
  if (config_.line) return LineSource::configured;
  if (session_) return LineSource::asked;
  if (line != proven_) return LineSource::fallback;
  return is_proven_now_ ? LineSource::detected : LineSource::remembered;
}

void Device::frame_came() noexcept {
  bytes_without_frame_ = 0;
  frame_at_ = environment_.loop.now();
}

void Device::start_detection() {
  follow(detector_->start(detector_time(environment_.loop.now())));
}

/// The bytes are judged beside the decoder.
void Device::detect(meter::Bytes fresh) {
  const io::LineCounters errors = port_->counters();
  const auto accepted = decode();  // leaves the bytes where they are
  follow(detector_->received(fresh, {errors.framing, errors.parity},
                             detector_time(environment_.loop.now()), accepted));
}

void Device::detection_expired() {
  if (is_detecting()) follow(detector_->elapsed(detector_time(environment_.loop.now())));
}

void Device::make_detector(const meter::LineFormat& first) {
  detector_first_ = first;
  detector_ = std::make_unique<meter::LineDetector>(meter::LineDetectorOptions{
      .first = first,
      .may_sign_on = config_.role == Role::reader});
}

void Device::follow(const meter::LineDetector::Advice& advice) {
  if (!port_->is_open()) return;
  if (advice.line && LineSettings{*advice.line} != LineSettings::parse(adapter_.line)) {
    if (half_received()) drop_half_received();  // what was cut is counted
    set_line(*advice.line);
  }
  if (!advice.write.empty() && config_.role == Role::reader) send(advice.write);
  if (advice.settled)
    line_found({detector_->settled()->line}, detector_->settled()->link);
  tell_progress(advice.settled);
  answer_probe_if_found();
  // Not moved by each chunk: it looks again when it fires early.
  const auto next = detector_->next_look();
  if (!next) {
    environment_.loop.cancel(detection_timer_);
    ask_if_it_answers();
    return;
  }
  const io::TimePoint at{*next};
  if (detection_timer_.pending() && detection_at_ <= at) return;
  detection_at_ = at;
  environment_.loop.timer(detection_timer_, at);
}

/// A meter that was silent until it was asked for its identification is asked from now on; the
/// session stays until a reload, also where another meter is connected in between.
void Device::ask_if_it_answers() {
  const auto& found = detector_->settled();
  if (config_.role != Role::reader || !found || found->link != meter::Link::iec62056_21 ||
      LineSettings{found->line} != io::line_default("", found->link, Role::reader))
    return;
  start_session(*found->link, found->line);
  if (!session_) return;
  detector_.reset();
  adapter_.line_source = LineSource::asked;
  environment_.sinks.adapter_changed(adapter_);
  act(session_->on_start());
}

void Device::line_found(const LineSettings& line, std::optional<meter::Link> link) {
  const bool is_news = proven_ != line || !is_proven_now_;
  proven_ = line;
  is_proven_now_ = true;
  frame_came();
  adapter_.line = line.to_text();
  adapter_.line_source = LineSource::detected;
  if (link) adapter_.protocol = meter::name(*link);
  environment_.storage.save_line_settings(adapter_.name, adapter_.line);
  environment_.sinks.adapter_changed(adapter_);
  if (is_news)
    log::write(log::Level::notice, log::Event::line_found,
               fmt::format("{}: found {}{}{}", adapter_.device, adapter_.line,
                           adapter_.protocol.empty() ? "" : ", ", adapter_.protocol),
               {{"SMARTMETER_ADAPTER", adapter_.name}});
}

/// Line settings that were proven are looked for again when no frame comes any more.
void Device::check_fit() {
  if (bytes_without_frame_ < doubt_bytes_min) return;
  const auto link = config_.link ? config_.link : meter::link_from_name(adapter_.protocol);
  const auto usual = gaps_.long_one();
  const auto limit =
      usual > usual.zero()
          ? std::max<io::Clock::duration>(doubt_time_min, usual * intervals_until_doubt)
          : io::Clock::duration(doubt_time_unknown);
  const std::uint64_t doubt_limit = std::min(2 * no_frame_limit(link), no_frame_bytes);
  const bool is_long = environment_.loop.now() - frame_at_ >= limit;
  if (bytes_without_frame_ < (is_long ? doubt_bytes_min : doubt_limit)) return;
  log::write(log::Level::notice, log::Event::sync_lost,
             fmt::format("{}: no frame comes any more at {}: looking for line settings that fit",
                         adapter_.device, adapter_.line),
             {{"SMARTMETER_ADAPTER", adapter_.name}});
  if (adapter_.problem == Problem::none) set_state(AdapterState::probing, Problem::no_frame);
  start_detection();
}

void Device::tell_progress(bool is_end) {
  const meter::LineDetector::Progress now = detector_->progress();
  const auto time = environment_.loop.now();
  const bool is_change = now.finding != told_progress_.finding || now.line != told_progress_.line;
  const bool has_more = now.bytes != told_progress_.bytes;
  if (!is_end && !is_change && (!has_more || time - progress_told_at_ < progress_interval)) return;
  told_progress_ = now;
  progress_told_at_ = time;
  environment_.sinks.probe_progress(adapter_, {.line = LineSettings{now.line}.to_text(),
                                               .bytes = now.bytes,
                                               .frames = now.frames,
                                               .frame_starts = now.frame_starts,
                                               .errors = now.errors,
                                               .message = meter::describe(now.finding)});
}

void Device::probe(std::chrono::milliseconds timeout, ProbeDone done) {
  using Error = ProbeResult::Error;
  if (!detects()) {
    const bool is_serial = config_.tcp.empty();
    const std::string why = !is_serial ? "a TCP connection has no line settings"
                            : config_.line
                                ? "the line is configured: take `line` out of its table first"
                                : "the role of this adapter sets the line by itself";
    return done({.error = Error::not_supported, .message = why});
  }
  if (probe_)
    return done({.error = Error::in_progress,
                 .message = "this adapter is being probed already: wait for that answer"});
  if (config_.is_found && is_lost_)  // its node may be another adapter's by now
    return done({.error = Error::no_adapter, .message = std::string(not_plugged_in)});
  probe_ = {std::move(done), timeout, adapter_.bytes_received, adapter_.telegrams_received};
  environment_.loop.timer(probe_timer_, environment_.loop.now() + timeout);
  if (port_->is_open())
    start_detection();
  else if (!is_resetting_)
    open();  // now: what kept it from opening may be over
}

/// The port does not open, or ended: nobody need wait for the time-out.
void Device::fail_probe(io::PortError error, const std::string& detail) {
  using Error = ProbeResult::Error;
  switch (error) {
    case io::PortError::gone:
      return finish_probe({.error = Error::no_adapter, .message = std::string(not_plugged_in)});
    case io::PortError::busy:
      return finish_probe({.error = Error::port_busy,
                           .message = fmt::format("{}: stop it, and try again", detail)});
    case io::PortError::no_access:
      return finish_probe({.error = Error::no_access, .message = detail});
    case io::PortError::settings:
    case io::PortError::refused:
    case io::PortError::other:
      return finish_probe({.error = Error::no_data,
                           .message = fmt::format("the port is not open ({})", detail)});
  }
}

/// Once the telegram is over with which the line was found, so that its meter is known.
void Device::answer_probe_if_found() {
  if (!probe_ || !port_->is_open() || is_detecting()) return;
  if (half_received() && adapter_.telegrams_received == probe_->telegrams_before) return;
  finish_probe({.line = adapter_.line,
                .protocol = adapter_.protocol,
                .meter_id = std::string(environment_.meters.meter_on(adapter_))});
}

void Device::probe_expired() {
  using Error = ProbeResult::Error;
  if (!probe_) return;
  const std::uint64_t bytes = adapter_.bytes_received - probe_->bytes_before;
  const double seconds = std::chrono::duration<double>(probe_->timeout).count();
  if (!port_->is_open())  // in the middle of a reset
    finish_probe({.error = Error::no_data,
                  .message = fmt::format("the port is not open ({})", name(adapter_.state))});
  else if (!is_detecting())  // found, in the middle of a telegram
    finish_probe({.line = adapter_.line, .protocol = adapter_.protocol});
  else if (bytes == 0)
    finish_probe({.error = Error::no_data,
                  .message = fmt::format("no byte arrived in {:g} s", seconds)});
  else
    finish_probe({.error = Error::timeout,
                  .message = fmt::format("{} bytes arrived in {:g} s, and no frame with a right "
                                         "checksum was among them",
                                         bytes, seconds)});
}

void Device::finish_probe(const ProbeResult& result) {
  if (!probe_) return;
  const ProbeDone done = std::move(probe_->done);
  probe_.reset();
  environment_.loop.cancel(probe_timer_);
  done(result);
}

}  // namespace smartmeterd
