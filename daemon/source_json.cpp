// SPDX-License-Identifier: Apache-2.0
// JSON messages of gateways → readings.
#include <memory>
#include <string>

#include "daemon/log.hpp"
#include "daemon/source.hpp"
#include "meter_json/decoder.hpp"

namespace smartmeterd {
namespace {

using meter::json::Format;

bool is_of(SourceFormat wanted, Format format) noexcept {
  switch (wanted) {
    case SourceFormat::automatic: return true;
    case SourceFormat::glow:
      return format == Format::glow_zcl || format == Format::glow_ihd ||
             format == Format::glow_state;
    case SourceFormat::gplug: return format == Format::gplug;
    case SourceFormat::whatwatt: return format == Format::whatwatt;
    case SourceFormat::datacollector: return format == Format::datacollector;
    case SourceFormat::plug_test: return format == Format::harmonised;
    case SourceFormat::amsreader: return format == Format::amsreader;
    case SourceFormat::raw: return false;
  }
  return false;
}

meter::json::DecoderOptions options_of(const SourceConfig& config) {
  meter::json::DecoderOptions options;
  for (const SourceConfig::Key& key : config.keys)
    options.rules.push_back({.key = key.key,
                             .topic = {},
                             .obis = key.obis.value_or(meter::Obis{}),
                             .unit = key.unit,
                             .scale = key.scale});
  return options;
}

class JsonTranslator final : public Translator {
 public:
  explicit JsonTranslator(const TranslatorContext& context)
      : context_(context), decoder_(options_of(context.config)) {}

  void take(const mqtt::Message& message) override;

 private:
  void accept(const mqtt::Message& message);

  TranslatorContext context_;
  meter::json::Decoder decoder_;
  meter::ReadingSet readings_;
};

void JsonTranslator::take(const mqtt::Message& message) {
  if (const auto read = decoder_.read(message.topic, message.payload); !read)
    return context_.source.refused(read.error());
  if (!is_of(context_.config.format, decoder_.format())) {
    context_.source.count("format");
    log::debug("{}: a message of format {} on {}, which [source.{}] does not take",
               context_.source.adapter().device, meter::json::name(decoder_.format()),
               message.topic, context_.config.name);
    return;
  }
  while (decoder_.next(readings_))
    if (readings_.medium != meter::Medium::system) accept(message);  // else: of the gateway itself
}

void JsonTranslator::accept(const mqtt::Message& message) {
  if (message.retained && is_stale(readings_.time, context_.environment.loop.realtime_us()))
    return context_.source.count("stale");
  const std::string sender = meter::slug(message.topic);
  const auto refusal = context_.environment.meters.accept(context_.source.adapter(), readings_,
                                                          {.sender = sender});
  if (!refusal)
    context_.source.accepted(meter::name(readings_.link));
  else if (*refusal == meter::Errc::duplicate)
    context_.source.count("elsewhere");
  else
    context_.source.refused({*refusal, 0});
}

}  // namespace

bool reads_json() noexcept { return true; }

std::unique_ptr<Translator> make_json_translator(const TranslatorContext& context) {
  return std::make_unique<JsonTranslator>(context);
}

}  // namespace smartmeterd
