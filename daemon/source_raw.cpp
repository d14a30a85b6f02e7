// SPDX-License-Identifier: Apache-2.0
// Telegrams as other gateways received them → readings.
#include <algorithm>
#include <chrono>
#include <map>
#include <utility>
#include <vector>

#include "daemon/log.hpp"
#include "daemon/source.hpp"
#include "daemon/zone.hpp"
#include "meter/decoder.hpp"
#include "meter/link/link_layer.hpp"
#include "meter/telegram_json.hpp"

namespace smartmeterd {
namespace {

using namespace std::chrono_literals;
using Keys = std::shared_ptr<const meter::dlms::KeyRing>;

/// Gateways' adapters of one source, each with a decoder of some 100 KiB.
constexpr std::size_t remotes_max = 1024;
/// Baselines are persisted lazily: a lost minute of them only widens the replay window.
constexpr auto save_interval = 30s;
/// Clocks differ, but what will be received in a minute has not been yet.
constexpr std::int64_t future_max_us = 60'000'000;

std::string_view property_of(const mqtt::Message& message, std::string_view name) noexcept {
  for (const mqtt::UserProperty& property : message.properties)
    if (property.name == name) return property.value;
  return {};
}

/// The link layer that the gateway names; nothing: to be found from the bytes.
std::optional<meter::Link> link_of(const mqtt::Message& message) noexcept {
  const auto link = meter::link_from_name(property_of(message, "protocol"));
  return link && meter::link::find_link_layer(*link) ? link : std::nullopt;
}

/// When the gateway received it, where it says so and may be believed.
std::optional<std::int64_t> received_of(const mqtt::Message& message,
                                        std::int64_t now_us) noexcept {
  const auto received = meter::parse_utc(property_of(message, "t"));
  return received && *received <= now_us + future_max_us ? received : std::nullopt;
}

/// "<instance>-<adapter>", or the whole topic where it names none.
std::string sender_of(std::string_view topic) {
  if (const RawTopic raw = RawTopic::parse(topic))
    return fmt::format("{}-{}", meter::slug(raw.instance), meter::slug(raw.adapter));
  return meter::slug(topic);
}

/// The replay rule across the gateways of one source: what came under one name must not come again
/// under another. Whose telegrams go on under another name, with higher counters, is read on. What
/// no key opened is not its matter: whoever can send it can count, too.
class CommonReplayGuard {
 public:
  using Telegram = meter::dlms::ReplayGuard::Telegram;
  using Verdict = meter::dlms::ReplayGuard::Verdict;

  CommonReplayGuard(history::Storage& storage, std::string name, bool accept_reset)
      : storage_(storage), name_(std::move(name)), accept_reset_(accept_reset) {
    for (const auto& baseline : storage_.replay_baselines(name_))
      meter_of(baseline.system_title).guard.restore(baseline);
  }
  ~CommonReplayGuard() { save(); }
  CommonReplayGuard(const CommonReplayGuard&) = delete;
  CommonReplayGuard& operator=(const CommonReplayGuard&) = delete;

  Verdict judge(const std::optional<Telegram>& telegram) const noexcept {
    if (!telegram || is_clear(*telegram)) return Verdict::fresh;
    const auto found = meters_.find(telegram->title);
    return found == meters_.end() ? Verdict::fresh : found->second.guard.judge(*telegram);
  }
  void accept(const std::optional<Telegram>& telegram, io::TimePoint now) {
    if (!telegram || is_clear(*telegram)) return;
    meter_of(telegram->title).guard.accept(*telegram);
    is_saved_ = false;
    if (now - last_saved_ <= save_interval) return;
    last_saved_ = now;
    save();
  }

 private:
  struct Meter {
    meter::dlms::ReplayGuard guard;
    std::uint64_t used;  ///< the lowest makes room
  };
  /// Each has some 3 KiB.
  static constexpr std::size_t titles_max = 4096;

  static bool is_clear(const Telegram& telegram) noexcept {
    return telegram.key_fingerprint == decltype(telegram.key_fingerprint){};
  }
  Meter& meter_of(const meter::SystemTitle& title) {
    auto found = meters_.find(title);
    if (found == meters_.end()) {
      if (meters_.size() >= titles_max)
        meters_.erase(std::ranges::min_element(
            meters_, {}, [](const auto& entry) { return entry.second.used; }));
      found = meters_.emplace(title, Meter{meter::dlms::ReplayGuard(accept_reset_), 0}).first;
    }
    found->second.used = ++clock_;
    return found->second;
  }
  void save() {
    if (std::exchange(is_saved_, true)) return;
    baselines_.clear();
    for (const auto& [title, known] : meters_)
      baselines_.insert(baselines_.end(), known.guard.baselines().begin(),
                        known.guard.baselines().end());
    storage_.save_replay_baselines(name_, baselines_);
  }

  history::Storage& storage_;
  std::string name_;
  bool accept_reset_;
  std::map<meter::SystemTitle, Meter> meters_;
  std::vector<meter::dlms::ReplayBaseline> baselines_;  // to be saved
  std::uint64_t clock_ = 0;
  io::TimePoint last_saved_{};
  bool is_saved_ = true;
};

/// What a message is read with, and whose it is.
struct Reader {
  const SourceEnvironment& environment;
  SourceInput& input;
  meter::Decoder& decoder;
  CommonReplayGuard* guard;  ///< null: nothing is remembered
  std::string_view sender;  ///< where the input is shared
};

/// One whole telegram a message: what is half received at its end stays so. True when a telegram
/// was accepted.
bool read(const Reader& reader, const mqtt::Message& message) {
  using Outcome = meter::Decoder::Outcome;
  const std::int64_t now_us = reader.environment.loop.realtime_us();
  const Arrival arrival{received_of(message, now_us), reader.sender};
  if (message.retained && is_stale(arrival.received_us, now_us)) {
    reader.input.count("stale");
    return false;
  }
  std::optional<meter::Fault> fault;
  bool is_read = false, is_accepted = false, is_ended = false;
  meter::Bytes rest = message.payload;
  reader.decoder.restart(link_of(message));
  for (;;) {
    const meter::Decoder::Step step = reader.decoder.next(rest);
    if (step.outcome == Outcome::need_more && std::exchange(is_ended, true)) break;
    if (step.outcome == Outcome::need_more) reader.decoder.end_of_input();
    if (step.outcome == Outcome::duplicate) is_read = true;
    if (step.outcome == Outcome::rejected && (!fault || fault->code == meter::Errc::line_noise))
      fault = step.fault;
    if (step.outcome == Outcome::telegram) {
      is_read = true;
      const meter::ReadingSet& readings = reader.decoder.readings();
      const auto& counted = reader.decoder.counted();
      const auto verdict =
          reader.guard ? reader.guard->judge(counted) : CommonReplayGuard::Verdict::fresh;
      if (verdict == CommonReplayGuard::Verdict::replayed) {
        fault = {meter::Errc::replayed, 0};
        is_read = false;
      } else if (verdict == CommonReplayGuard::Verdict::duplicate) {
        // another gateway hears that meter too, or it moved there
      } else if (message.retained && !arrival.received_us && is_stale(readings.time, now_us)) {
        reader.input.count("stale");
      } else if (const auto refusal = reader.environment.meters.accept(reader.input.adapter(),
                                                                      readings, arrival)) {
        if (*refusal == meter::Errc::duplicate)
          reader.input.count("elsewhere");
        else
          fault = {*refusal, 0}, is_read = false;
      } else {
        is_accepted = true;
        if (reader.guard) reader.guard->accept(counted, reader.environment.loop.now());
        reader.input.accepted(meter::name(readings.link));
      }
    }
    rest = rest.subspan(step.consumed);
  }
  // Noise around a good telegram is nothing to tell of.
  if (!is_read) reader.input.refused(fault.value_or(meter::Fault{meter::Errc::line_noise, 0}));
  return is_accepted;
}

/// One adapter of one gateway: its telegrams are in order.
class Remote {
 public:
  Remote(const TranslatorContext& context, CommonReplayGuard& guard, std::string_view topic,
         const Keys& keys)
      : environment_(context.environment),
        guard_(guard),
        input_(context.environment, sender_of(topic), context.config.name,
               context.address + std::string(topic), false),
        decoder_({.link = {},
                  .check_replay = true,
                  .accept_counter_reset = context.environment.accept_counter_reset,
                  .standard_offset_min =
                      meter_offset_min(context.environment.meters.zone_of(input_.adapter())),
                  .observer = nullptr},
                 keys) {
    input_.set_online(true);
  }
  Remote(const Remote&) = delete;
  Remote& operator=(const Remote&) = delete;

  /// True when a telegram was accepted.
  bool take(const mqtt::Message& message) {
    input_.heard(message.payload.size());
    return read({environment_, input_, decoder_, &guard_, {}}, message);
  }
  void set_keys(Keys keys) {
    decoder_.set_keys(std::move(keys));
    input_.keys_changed();
  }
  SourceInput& input() noexcept { return input_; }

 private:
  const SourceEnvironment& environment_;
  CommonReplayGuard& guard_;
  SourceInput input_;
  meter::Decoder decoder_;
};

class RawTranslator final : public Translator {
 public:
  RawTranslator(const TranslatorContext& context, Keys keys)
      : context_(context),
        keys_(std::move(keys)),
        guard_(context.environment.storage, context.source.adapter().name,
               context.environment.accept_counter_reset) {}

  void take(const mqtt::Message& message) override;
  void set_keys(Keys keys) override;
  void each_input(const std::function<void(SourceInput&)>& call) override {
    for (auto& [topic, remote] : remotes_) call(remote->input());
  }

 private:
  Remote* remote_of(std::string_view topic);
  bool make_room();

  TranslatorContext context_;
  Keys keys_;
  CommonReplayGuard guard_;
  std::map<std::string, std::unique_ptr<Remote>, std::less<>> remotes_;  // by topic
  bool is_limit_told_ = false;
};

void RawTranslator::take(const mqtt::Message& message) {
  Remote* remote = remote_of(message.topic);
  if (!remote) {
    context_.source.count("limit");
    if (!std::exchange(is_limit_told_, true))
      log::warning("{}: more than {} adapters of other gateways: {} and further ones are not read; "
                   "divide the topics between several translators, or share them with group = "
                   "\"NAME\" in [source.{}]",
                   context_.source.adapter().device, remotes_max, message.topic,
                   context_.config.name);
    return;
  }
  if (remote->take(message)) context_.source.accepted(remote->input().adapter().protocol);
}

Remote* RawTranslator::remote_of(std::string_view topic) {
  const auto found = remotes_.find(topic);
  if (found != remotes_.end()) return found->second.get();
  if (remotes_.size() >= remotes_max && !make_room()) return nullptr;
  return remotes_.emplace(topic, std::make_unique<Remote>(context_, guard_, topic, keys_))
      .first->second.get();
}

/// Who was never understood, and has been silent longest, was made up or has gone.
bool RawTranslator::make_room() {
  auto oldest = remotes_.end();
  for (auto at = remotes_.begin(); at != remotes_.end(); ++at) {
    if (at->second->input().adapter().telegrams_received > 0) continue;
    if (oldest == remotes_.end() ||
        at->second->input().last_message() < oldest->second->input().last_message())
      oldest = at;
  }
  if (oldest == remotes_.end()) return false;
  const auto gone = remotes_.extract(oldest);  // what its end has brokers say may come back here
  return true;
}

void RawTranslator::set_keys(Keys keys) {
  keys_ = std::move(keys);
  for (auto& [topic, remote] : remotes_) remote->set_keys(keys_);
}

/// Nothing is remembered of any gateway: a decoder for each link is enough for all of them.
class StatelessRawTranslator final : public Translator {
 public:
  StatelessRawTranslator(const TranslatorContext& context, Keys keys)
      : context_(context), keys_(std::move(keys)) {}

  void take(const mqtt::Message& message) override {
    const std::string sender = sender_of(message.topic);
    meter::Decoder& decoder = decoder_of(link_of(message));
    read({context_.environment, context_.source, decoder, nullptr, sender}, message);
  }
  void set_keys(Keys keys) override {
    keys_ = std::move(keys);
    for (auto& [link, decoder] : decoders_) decoder->set_keys(keys_);
  }

 private:
  meter::Decoder& decoder_of(std::optional<meter::Link> link) {
    auto& decoder = decoders_[link];
    if (!decoder)
      decoder = std::make_unique<meter::Decoder>(
          meter::DecoderOptions{
              .link = link,
              .check_replay = false,
              .accept_counter_reset = false,
              .standard_offset_min = meter_offset_min(
                  context_.environment.meters.zone_of(context_.source.adapter())),
              .observer = nullptr},
          keys_);
    return *decoder;
  }

  TranslatorContext context_;
  Keys keys_;
  std::map<std::optional<meter::Link>, std::unique_ptr<meter::Decoder>> decoders_;
};

}  // namespace

std::unique_ptr<Translator> make_raw_translator(const TranslatorContext& context, Keys keys) {
  if (context.config.stateless)
    return std::make_unique<StatelessRawTranslator>(context, std::move(keys));
  return std::make_unique<RawTranslator>(context, std::move(keys));
}

}  // namespace smartmeterd
