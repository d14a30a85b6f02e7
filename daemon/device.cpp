// SPDX-License-Identifier: Apache-2.0
// One adapter: port, decoder, state machine and diagnosis.
#include "daemon/device.hpp"

#include <algorithm>
#include <utility>

#include "daemon/log.hpp"
#include "daemon/refusal.hpp"
#include "daemon/zone.hpp"

namespace smartmeterd {
namespace {

using namespace std::chrono_literals;
using meter::Errc;

constexpr auto backoff_min = 1s;
constexpr auto backoff_max = 30s;
/// A fragment that has not been followed for this long is never completed (EN 13757-3 sends
/// fragments back to back; 2 s is what operators' documents allow between them, and more than the
/// 330 bit times and 50 ms after which a slave must have answered at 300 baud, EN 13757-2).
constexpr auto half_received_limit = 2s;
/// IEC 62056-21 6.4.3.1 allows 1.5 s between two characters of a message; twice that.
constexpr auto half_received_limit_iec62056_21 = 3s;
/// Until the first byte, longer than the slowest push of most meters (15 s), twice; it is said
/// early, because a person waits for it.
constexpr auto no_bytes_limit = 35s;
/// While the push interval is not known: hourly lists aside, no meter pushes more rarely.
constexpr auto silence_limit_unknown = 120s;
/// A meter is silent after that many of its push intervals, and not before a few seconds: between
/// two pushes that it may have left out, so that the port is not reset when one comes after all.
constexpr double intervals_until_silent = 3.5;
constexpr auto silence_limit_min = 4500ms;
/// A port that stays silent is reset again, each time after twice as long.
constexpr auto reset_pause_max = 1h;
/// More than is ever written before an answer.
constexpr std::size_t echo_size_max = 4096;
/// A constant break shows as nothing but zeros, at every speed.
constexpr std::uint64_t break_bytes = 64;
/// One damaged telegram among good ones is a counter, not a problem.
constexpr std::uint64_t refusals_until_problem = 3;
/// Baselines are persisted lazily: a lost minute of them only widens the replay window.
constexpr auto save_interval = 30s;
constexpr auto tell_interval = 1s;
constexpr auto tell_problem_interval = 60s;

/// Of a telegram that is whole and was refused: another daemon may have its key or know its list.
/// What was read here and is old, or less protected than it was, is news to nobody.
constexpr bool may_be_read_elsewhere(Errc code) noexcept {
  return code != Errc::replayed && code != Errc::tag_missing;
}

/// What a person can do about it.
std::string_view advice(Problem problem, bool is_asked, bool is_line_open) noexcept {
  if (problem == Problem::no_bytes && is_asked)
    return "the meter does not answer: check where the optical head sits, or the wiring, the "
           "address and the speed";
  if (problem == Problem::no_frame && is_line_open)
    return "bytes arrive, but no frame is among them at any of the usual line settings: check the "
           "adapter, its wiring and its polarity";
  switch (problem) {
    case Problem::port_busy: return "another program holds the port: stop it";
    case Problem::no_access: return "the port's permissions keep the service out";
    case Problem::no_bytes: return "no bytes arrive: check the cable, and whether the operator "
                                   "has switched the customer interface on";
    case Problem::line_break: return "nothing but zeros or a break arrives: the adapter is of the "
                                     "wrong type or connected the wrong way";
    case Problem::no_frame: return "bytes arrive, but no frame is among them: the line settings "
                                   "(speed, parity) do not fit this meter";
    case Problem::bad_checksum: return "telegrams arrive damaged or cut: check cable, adapter and "
                                       "parity";
    default: return advice_of(problem);
  }
}

std::string adapter_name(const AdapterConfig& config,
                         const std::optional<io::SerialDevice>& serial) {
  if (config.is_found) return meter::slug(config.name);
  if (serial && config.device == serial->node) return meter::slug(serial->stable_name());
  std::string_view path = config.tcp.empty() ? config.device : config.tcp;
  constexpr std::string_view dev = "/dev/";
  if (path.starts_with(dev)) path.remove_prefix(dev.size());
  if (path.starts_with('/')) path.remove_prefix(1);
  return meter::slug(path);
}

}  // namespace

Device::Device(const DeviceEnvironment& environment, AdapterConfig config,
               std::optional<io::SerialDevice> serial,
               std::shared_ptr<const meter::dlms::KeyRing> keys)
    : environment_(environment),
      config_(std::move(config)),
      captures_(adapter_, environment_.loop),
      decoder_({.link = config_.link,
                .check_replay = true,
                .accept_counter_reset = environment.accept_counter_reset,
                .observer = nullptr},
               std::move(keys)),
      retry_timer_([this](int result) {
        if (result == 0) open();
      }),
      silence_timer_([this](int result) {
        if (result == 0) silence_expired();
      }),
      backoff_(backoff_min),
      session_timer_([this](int result) {
        if (result == 0) session_expired();
      }),
      detection_timer_([this](int result) {
        if (result == 0) detection_expired();
      }),
      probe_timer_([this](int result) {
        if (result == 0) probe_expired();
      }) {
  adapter_.name = adapter_name(config_, serial);
  adapter_.table = config_.name;
  adapter_.control = this;
  adapter_.latencies = &latencies_;
  adapter_.device = config_.tcp.empty() ? config_.device : "tcp://" + config_.tcp;
  if (serial) know(*serial);
  decoder_.set_standard_offset(meter_offset_min(environment_.meters.zone_of(adapter_)));
  if (config_.link) start_session(*config_.link, *complete_config().line);
  if (detects()) proven_ = LineSettings::parse(environment_.storage.line_settings(adapter_.name));
  for (const auto& baseline : environment_.storage.replay_baselines(adapter_.name))
    decoder_.restore_replay_baseline(baseline);
  environment_.sinks.adapter_added(adapter_);
  open();
}

Device::~Device() {
  finish_probe({.error = ProbeResult::Error::no_adapter,
                .message = "the adapter has left the configuration, or the service ends"});
  port_->close();
  save_baselines();
  environment_.meters.adapter_removed(adapter_);
  environment_.sinks.adapter_removed(adapter_);
}

/// A configuration in which role and link do not fit was refused before.
void Device::start_session(meter::Link link, const meter::LineFormat& line) {
  if (config_.role == Role::listen) return;
  session_ = environment_.make_session(
      link, {.interval = config_.interval,
             .addresses = config_.addresses,
             .line = line,
             .iec62056 = {.sign_on = line,
                          .acknowledgement = config_.acknowledgement,
                          .wake_up = config_.wake_up,
                          .registers = config_.registers}});
  if (session_) adapter_.readout_interval = session_->interval();
}

void Device::know(const io::SerialDevice& serial) {
  syspath_ = serial.syspath;
  adapter_.links = serial.links;
  adapter_.kind = serial.kind;
  adapter_.usb_id = serial.usb_id;
  adapter_.usb_serial = serial.serial;
}

void Device::set_keys(std::shared_ptr<const meter::dlms::KeyRing> keys) {
  decoder_.set_keys(std::move(keys));
  evidence_.refusals = 0;
}

void Device::appeared(const io::SerialDevice& serial) {
  const bool has_moved = !syspath_.empty() && syspath_ != serial.syspath;
  know(serial);
  if (config_.is_found) config_.device = adapter_.device = serial.node;
  environment_.sinks.adapter_changed(adapter_);
  backoff_ = backoff_min;
  is_lost_ = false;
  if (has_moved && port_->is_open()) {  // the old port's end has not been heard of yet
    port_->close();
    closed("moved");
  }
  is_renewed_ = port_->is_open();
  if (!port_->is_open()) open();
}

void Device::vanished() {
  if (port_->is_open()) log_lost(log::Level::notice, "unplugged; waiting for its return");
  port_->close();
  closed("unplugged");
  syspath_.clear();  // it may come back under another one
  is_lost_ = true;
  environment_.loop.cancel(retry_timer_);
  set_state(AdapterState::waiting, Problem::none);
  fail_probe(io::PortError::gone, "");
  // The node of one that was found may be another adapter's next.
  if (!config_.is_found) retry_later();
}

/// With everything that the configuration leaves open.
AdapterConfig Device::complete_config() const {
  AdapterConfig complete = config_;
  if (!complete.line)
    complete.line =
        proven_.value_or(io::line_default(adapter_.kind, complete.link, complete.role));
  return complete;
}

void Device::open() {
  environment_.loop.cancel(retry_timer_);
  if (AdapterConfig complete = complete_config(); !port_ || complete != port_config_) {
    port_config_ = std::move(complete);
    port_ = environment_.make_port(environment_.loop, port_config_, *this);
  }
  if (port_config_.tcp.empty()) {
    adapter_.line = port_config_.line->to_text();
    adapter_.line_source = line_source(*port_config_.line);
  }
  if (detects() && (!detector_ || detector_first_ != *port_config_.line))
    make_detector(*port_config_.line);
  port_->open();
}

void Device::retry_later() {
  environment_.loop.timer(retry_timer_, environment_.loop.now() + backoff_);
  backoff_ = std::min<std::chrono::seconds>(backoff_ * 2, backoff_max);
}

void Device::port_opened() {
  const bool is_reset = std::exchange(is_resetting_, false);
  if (!is_reset)
    log::write(log::Level::notice, log::Event::adapter_opened,
               fmt::format("{} opened", port_->description()),
               {{"SMARTMETER_ADAPTER", adapter_.name}});
  last_failure_.clear();
  is_lost_ = false;
  counted_ = {};
  ring_total_ = 0;
  last_byte_ = last_request_ = {};
  evidence_ = {.since = environment_.loop.now()};
  if (!is_reset) set_state(AdapterState::probing, Problem::none);
  watch_silence();
  if (port_config_.tcp.empty()) adapter_.line = port_config_.line->to_text();
  captures_.opened();
  if (detector_) start_detection();
  if (session_) act(session_->on_start());
}

void Device::act(const meter::Session::Action& action) {
  if (!session_ || !port_->is_open()) return;  // on_start comes with the next opening
  adapter_.readout_interval = session_->interval();  // it may follow what the meter says of itself
  if (action.line) set_line(*action.line);
  if (!action.write.empty()) send(action.write);
  if (action.wake_after)
    environment_.loop.timer(session_timer_, environment_.loop.now() + *action.wake_after);
}

std::expected<int, int> Device::open_capture(CaptureFormat format) {
  if (port_->is_open()) captures_.counters(port_->counters());  // these were before
  return captures_.open(format);
}

void Device::send(meter::Bytes bytes) {
  last_request_ = environment_.loop.now();
  // Behind bytes that are still to be decoded an echo would not be recognized.
  if (echo_.size() > echo_size_max) echo_.clear();  // nothing ever comes back
  if (!ring_ || ring_->readable().empty()) echo_.insert(echo_.end(), bytes.begin(), bytes.end());
  port_->write(bytes);
}

/// Half of an answer is none by now: a session may go on from what is wrong with it.
void Device::session_expired() {
  if (half_received()) drop_half_received();
  if (!session_timer_.pending()) act(session_->on_timeout());
}

void Device::set_line(const meter::LineFormat& format) {
  if (ring_) ring_->consume(ring_->readable().size());  // at the old speed
  echo_.clear();
  if (decoder_.pending()) drop_half_received();
  const LineSettings line{format};
  const std::string problem = port_->set_line(line);
  if (problem.empty()) {
    adapter_.line = line.to_text();
    adapter_.line_source = line_source(line);
    captures_.line_changed();
    environment_.sinks.adapter_changed(adapter_);
  } else if (!std::exchange(line_refused_, true)) {
    log::warning("{}: {}", adapter_.device, problem);
  }
}

/// An optical head, or a coupler of an M-Bus, gives back what was written before the answer comes:
/// takes that away. True where nothing else has come.
bool Device::only_echo(io::MirroredRing& ring) {
  const meter::Bytes received = ring.readable();
  const std::size_t common = std::min(received.size(), echo_.size());
  if (!std::ranges::equal(received.first(common), std::span(echo_).first(common))) {
    echo_.clear();
    return false;
  }
  if (common == echo_.size()) {
    ring.consume(common);
    echo_.clear();
  }
  return common == received.size();
}

void Device::closed(std::string_view why) {
  captures_.closed(why);
  is_resetting_ = false;
  ring_ = nullptr;
  echo_.clear();
  if (decoder_.pending()) drop_half_received();
  environment_.loop.cancel(silence_timer_);
  environment_.loop.cancel(session_timer_);
  environment_.loop.cancel(detection_timer_);
  last_telegram_ = {};  // what follows is no pause of the meter's
  save_baselines();
}

void Device::log_lost(log::Level level, std::string_view what) {
  if (what == last_failure_) return;  // one line for each change, not one for each attempt
  last_failure_ = what;
  log::write(level, log::Event::adapter_lost,
             fmt::format("{}: {}", adapter_.device, what),
             {{"SMARTMETER_ADAPTER", adapter_.name}});
}

void Device::port_failed(io::PortError error, const std::string& detail) {
  closed(detail);
  const bool is_gone = error == io::PortError::gone;
  if (!is_gone || !is_lost_)  // that its node is missing, too, is no news
    log_lost(is_gone ? log::Level::notice : log::Level::warning,
             fmt::format("{}; trying again by itself", detail));
  switch (error) {
    case io::PortError::busy: set_state(AdapterState::failed, Problem::port_busy); break;
    case io::PortError::no_access: set_state(AdapterState::failed, Problem::no_access); break;
    case io::PortError::settings:
    case io::PortError::other: set_state(AdapterState::failed, Problem::none); break;
    case io::PortError::gone:
    case io::PortError::refused: set_state(AdapterState::waiting, Problem::none); break;
  }
  is_lost_ = is_gone;
  // The end of what was there before, if udev has spoken of the adapter since.
  if (std::exchange(is_renewed_, false) && is_gone) return open();
  retry_later();
  fail_probe(error, detail);
}

void Device::port_received(io::MirroredRing& ring, std::size_t lost) {
  const std::uint64_t fresh = ring.total() - std::exchange(ring_total_, ring.total());
  const auto newest_of = [fresh](meter::Bytes bytes) {
    return bytes.last(static_cast<std::size_t>(std::min<std::uint64_t>(fresh, bytes.size())));
  };
  ring_ = &ring;
  adapter_.bytes_received += fresh;
  if (captures_.wants_counters()) captures_.counters(port_->counters());
  captures_.write(newest_of(ring.readable()));
  if (!echo_.empty() && only_echo(ring)) return;  // that is not the meter's voice
  const meter::Bytes newest = newest_of(ring.readable());
  adapter_.last_activity_us = environment_.loop.realtime_us();
  last_byte_ = environment_.loop.now();
  backoff_ = backoff_min;  // not at the opening: a port may end each time right after it
  if (adapter_.state == AdapterState::silent) set_state(AdapterState::probing, Problem::none);
  evidence_.bytes += newest.size();
  const bool is_zero = std::ranges::all_of(newest, [](std::byte b) { return b == std::byte{0}; });
  evidence_.zeros = is_zero ? evidence_.zeros + newest.size() : 0;
  if (lost > 0) count("overflow");
  if (is_detecting()) return detect(newest);
  bytes_without_frame_ += newest.size();
  decode();  // a frame among them begins the count anew
  if (detector_ && detector_->settled()) check_fit();
}

std::optional<meter::Link> Device::decode() {
  using Outcome = meter::Decoder::Outcome;
  using Verdict = meter::Session::Verdict;
  std::optional<meter::Link> link;
  for (;;) {
    const meter::Decoder::Step step =
        decoder_.next(ring_ ? ring_->readable() : meter::Bytes());
    auto verdict = step.outcome == Outcome::rejected ? Verdict::rejected : Verdict::progress;
    if (step.outcome == Outcome::telegram) {  // before its bytes are dropped
      const bool is_accepted = accepted();
      verdict = is_accepted ? Verdict::telegram : Verdict::rejected;
      if (is_accepted) link = decoder_.readings().link;
      if (is_accepted) pass_on(step, true);
    }
    if (step.outcome == Outcome::rejected && may_be_read_elsewhere(step.fault.code))
      pass_on(step, false);
    if (step.outcome == Outcome::duplicate) verdict = Verdict::telegram;
    meter::Session::Action action;
    if (session_ && !step.frame.empty())
      action = session_->on_frame(step.frame, verdict);
    else if (session_ && step.outcome == Outcome::rejected)
      action = session_->on_refusal(step.fault.code);
    else if (session_ && step.outcome == Outcome::progress)
      action = session_->on_refusal(Errc::line_noise);  // counted once, but noise again
    if (!step.frame.empty()) frame_came();
    if (ring_) ring_->consume(step.consumed);
    if (step.outcome == Outcome::rejected) refused(step.fault);
    act(action);
    if (step.outcome == Outcome::need_more) break;
  }
  diagnose();
  watch_silence();
  answer_probe_if_found();
  return link;
}

/// As it was received, if it was about a whole telegram.
void Device::pass_on(const meter::Decoder::Step& step, bool is_verified) {
  if (step.frames.empty()) return;
  environment_.sinks.raw_telegram(
      {adapter_, step.frames, step.link, environment_.loop.realtime_us(), is_verified, last_byte_});
}

/// True unless the registry refuses the telegram.
bool Device::accepted() {
  const meter::ReadingSet& readings = decoder_.readings();
  // A read passes on all that is whole, so the last one has completed the telegram.
  const Arrival arrival{.last_byte = last_byte_};
  if (const auto refusal = environment_.meters.accept(adapter_, readings, arrival)) {
    refused({*refusal, 0});
    return false;
  }
  ++adapter_.telegrams_received;
  if (last_telegram_ != io::TimePoint{})
    gaps_.add(environment_.loop.now() - last_telegram_);
  last_telegram_ = environment_.loop.now();
  evidence_ = {.since = last_telegram_};
  adapter_.protocol = meter::name(readings.link);
  frame_came();
  set_state(AdapterState::synced, Problem::none);
  update_line_counters();
  if (readings.system_title && last_telegram_ - last_saved_ > save_interval) save_baselines();
  return true;
}

void Device::refused(const meter::Fault& fault) {
  count(reason_of(fault.code));
  captures_.rejected(fault);
  if (fault.code == Errc::line_noise) return;
  ++evidence_.refusals;
  evidence_.last_fault = fault.code;
  io::TimePoint& told = last_told_[std::to_underlying(fault.code)];
  if (environment_.loop.now() - told < tell_interval && told != io::TimePoint{}) return;
  told = environment_.loop.now();
  log::debug("{}: telegram refused at byte {}: {}", adapter_.device, fault.offset,
             meter::describe(fault.code));
  environment_.sinks.telegram_rejected(adapter_, fault,
                                       decoder_.refusals()[std::to_underlying(fault.code)]);
}

void Device::count(std::string_view reason, std::uint64_t amount) {
  const auto found = adapter_.errors.find(reason);
  if (found == adapter_.errors.end())
    adapter_.errors.emplace(reason, amount);
  else
    found->second += amount;
}

void Device::update_line_counters() {
  const io::LineCounters now = port_->counters();
  auto add = [&](std::string_view reason, std::uint64_t total, std::uint64_t& before) {
    if (total > before) count(reason, total - before);
    before = total;
  };
  add("framing", now.framing, counted_.framing);
  add("parity", now.parity, counted_.parity);
  add("overrun", now.overrun, counted_.overrun);
}

void Device::diagnose() {
  if (evidence_.zeros >= break_bytes && !half_received())
    return set_state(AdapterState::probing, Problem::line_break);
  const bool never = adapter_.telegrams_received == 0;
  const bool often = evidence_.refusals >= refusals_until_problem;
  std::optional<Problem> problem;
  if (evidence_.last_fault) problem = problem_of(*evidence_.last_fault);
  // A reader comes in the middle of a telegram at first, and noise may look like anything.
  const bool may_be_the_start = problem == Problem::bad_checksum || problem == Problem::replay ||
                                !decoder_.link();
  const bool may_be_noise = problem == Problem::list_unknown && !decoder_.link();
  if (problem && !may_be_noise && (often || (never && !may_be_the_start))) {
    set_state(AdapterState::probing, *problem);
    if (const auto state = key_state_of(*problem)) environment_.meters.key_failed(adapter_, *state);
    return;
  }
  if (evidence_.bytes >= no_frame_limit(config_.link) && !evidence_.last_fault)
    set_state(AdapterState::probing, Problem::no_frame);
}

bool Device::half_received() const noexcept {
  return decoder_.pending() || (ring_ && !ring_->readable().empty());
}

/// What is half received may also be followed by the answer to another request.
io::TimePoint Device::half_received_until() const noexcept {
  const bool is_slow = decoder_.link() == meter::Link::iec62056_21;
  return std::max(last_byte_, last_request_) +
         (is_slow ? half_received_limit_iec62056_21 : half_received_limit);
}

/// By the pauses between its telegrams, where they are known. Whom nobody answers asks again for a
/// while, and that is no silence yet.
io::Clock::duration Device::silence_limit() const noexcept {
  const auto usual = gaps_.long_one();
  const bool is_asked = adapter_.readout_interval > adapter_.readout_interval.zero();
  if (usual > usual.zero())
    return std::max<io::Clock::duration>(
        is_asked ? io::Clock::duration(no_bytes_limit) : silence_limit_min,
        std::chrono::duration_cast<io::Clock::duration>(usual * intervals_until_silent));
  return adapter_.last_activity_us == 0 ? no_bytes_limit : silence_limit_unknown;
}

io::TimePoint Device::silent_since() const noexcept {
  return std::max(evidence_.since, last_byte_);
}

io::TimePoint Device::silent_at() const noexcept {
  const bool is_asked_anew = last_byte_ == io::TimePoint{};
  return silent_since() + silence_limit() +
         (is_asked_anew ? std::chrono::seconds(0) : adapter_.readout_interval);
}

void Device::watch_silence() {
  // Not moved by each chunk: it looks again when it fires early.
  const bool half = half_received();
  const bool is_silent = adapter_.state == AdapterState::silent;
  const io::TimePoint deadline =
      half ? half_received_until() : (is_silent ? reset_at_ : silent_at());
  if (!port_->is_open() || (silence_timer_.pending() && silence_deadline_ <= deadline)) return;
  silence_deadline_ = deadline;
  environment_.loop.timer(silence_timer_, deadline);
}

void Device::silence_expired() {
  const auto now = environment_.loop.now();
  if (half_received() && now >= half_received_until()) drop_half_received();
  const bool is_silent = adapter_.state == AdapterState::silent;
  if (now >= (is_silent ? reset_at_ : silent_at()))
    reset_port();
  else
    watch_silence();
}

/// The driver, or the adapter, may hang: both start afresh. The next byte goes on from here.
void Device::reset_port() {
  const bool is_first = adapter_.state != AdapterState::silent;
  reset_pause_ = is_first ? silence_limit() + adapter_.readout_interval
                          : std::min<io::Clock::duration>(reset_pause_ * 2, reset_pause_max);
  reset_at_ = environment_.loop.now() + reset_pause_;
  count("reset");
  is_resetting_ = true;
  ring_ = nullptr;
  echo_.clear();
  environment_.loop.cancel(session_timer_);
  captures_.closed("silent: the port is reset");
  set_state(AdapterState::silent, Problem::no_bytes);
  port_->reset();
}

void Device::drop_half_received() {
  // Fragments must not be joined to those of a later push; whole frames behind a damaged one
  // still come out.
  echo_.clear();
  decoder_.silence();
  decode();
}

void Device::set_state(AdapterState state, Problem problem) {
  if (adapter_.state == state && adapter_.problem == problem) return;
  const bool new_problem = problem != adapter_.problem;
  adapter_.state = state;
  adapter_.problem = problem;
  if (new_problem && problem != Problem::none && problem != Problem::port_busy &&
      problem != Problem::no_access)
    tell(problem);
  environment_.sinks.adapter_changed(adapter_);
}

/// One line for each problem that is new, and not again within a minute.
void Device::tell(Problem problem) {
  const auto now = environment_.loop.now();
  io::TimePoint& told = told_problems_[problem];
  if (told != io::TimePoint{} && now - told < tell_problem_interval) return;
  told = now;
  auto event = log::Event::sync_lost;
  if (problem == Problem::key_missing) event = log::Event::key_missing;
  if (problem == Problem::key_wrong || problem == Problem::authentication_key_wrong)
    event = log::Event::key_wrong;
  std::string more;
  if (const auto title = decoder_.system_title(); title && key_state_of(problem))
    more = fmt::format(" (meter {})", meter::describe(*title));
  else if (problem == Problem::no_bytes)
    more = fmt::format(
        " (silent for {} s; the port is reset)",
        std::chrono::duration_cast<std::chrono::seconds>(now - silent_since()).count());
  else if (problem == Problem::list_unknown && evidence_.last_fault)
    more = fmt::format(": {}", meter::describe(*evidence_.last_fault));
  log::write(log::Level::warning, event,
             fmt::format("{}: {}{}", adapter_.device,
                         advice(problem, session_ != nullptr, detects()), more),
             {{"SMARTMETER_ADAPTER", adapter_.name}, {"SMARTMETER_REASON", name(problem)}});
}

void Device::save_baselines() {
  last_saved_ = environment_.loop.now();
  environment_.storage.save_replay_baselines(adapter_.name, decoder_.replay_baselines());
}

}  // namespace smartmeterd
