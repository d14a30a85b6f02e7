// SPDX-License-Identifier: Apache-2.0
// Runs captures through the decoder and judges what came out.
#include "tests/corpus/judge.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "meter/decoder.hpp"
#include "meter_json/decoder.hpp"

namespace meter::corpus {
namespace {

/// The reference decoder took the descriptors of push-object lists for values.
bool reference_is_wrong(const Sample& sample) {
  return sample.name.find("e450") != std::string::npos ||
         sample.name.find("scs-iskra_am550") != std::string::npos;
}

std::shared_ptr<const dlms::KeyRing> keys_of(const Sample& sample) {
  if (sample.key.empty()) return nullptr;
  auto key = dlms::EncryptionKey::parse(sample.key);
  if (!key.key) throw std::runtime_error(sample.name + ": " + key.error);
  std::vector<dlms::KeyEntry> entries;
  entries.push_back({"*", std::move(*key.key), {}, {}});
  if (!sample.authentication_key.empty())
    entries[0].authentication.push_back(
        std::move(*dlms::AuthenticationKey::parse(sample.authentication_key).key));
  return std::make_shared<dlms::KeyRing>(std::move(entries));
}

bool is_json(const Sample& sample) {
  return !sample.octets.empty() && sample.octets.front() == std::byte{'{'};
}

/// A message of a broker comes whole.
Decoded decode_json(const Sample& sample) {
  Decoded decoded;
  decoded.refusals.resize(errc_count);
  json::Decoder decoder;
  if (const auto read = decoder.read({}, sample.octets); !read) {
    ++decoded.refusals[std::to_underlying(read.error().code)];
    return decoded;
  }
  const auto readings = std::make_unique<ReadingSet>();
  while (decoder.next(*readings)) decoded.telegrams.push_back(keep(*readings));
  return decoded;
}

}  // namespace

static Decoded decode_from(std::optional<Link> link, const Sample& sample,
                           const std::function<std::size_t()>& next_piece) {
  DecoderOptions options;
  options.link = link;
  options.check_replay = false;
  options.standard_offset_min = 60;  // P1 samples are of central Europe
  Decoder decoder(options, keys_of(sample));
  Decoded decoded;
  std::vector<std::byte> pending;
  auto run = [&] {
    for (;;) {
      const Decoder::Step step = decoder.next(pending);
      if (step.outcome == Decoder::Outcome::telegram) {
        decoded.telegrams.push_back(keep(decoder.readings()));
        decoded.raw.push_back({step.link, {step.frames.begin(), step.frames.end()}});
      }
      pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(step.consumed));
      if (step.outcome == Decoder::Outcome::need_more) return;
    }
  };
  for (std::size_t at = 0, piece = 0; at < sample.octets.size(); at += piece) {
    piece = std::min<std::size_t>(next_piece(), sample.octets.size() - at);
    const auto begin = sample.octets.begin() + static_cast<std::ptrdiff_t>(at);
    pending.insert(pending.end(), begin, begin + static_cast<std::ptrdiff_t>(piece));
    run();
  }
  decoder.end_of_input();
  run();
  decoded.refusals.assign(decoder.refusals().begin(), decoder.refusals().end());
  return decoded;
}

Decoded decode(const Sample& sample, const std::function<std::size_t()>& next_piece) {
  if (is_json(sample)) return decode_json(sample);
  return decode_from(std::nullopt, sample, next_piece);
}

Decoded decode_again(const Sample& sample, const Raw& raw) {
  Sample alone = sample;
  alone.octets = raw.frames;
  return decode_from(raw.link, alone, [&] { return alone.octets.size(); });
}

Decoded decode_whole(const Sample& sample) {
  return decode(sample, [&] { return sample.octets.size(); });
}

static bool expected(const Sample& sample) {
  return sample.published.present || sample.reference.present;
}

Outcome judge(const Sample& sample, const Decoded& decoded, std::string& why) {
  const bool silent = decoded.telegrams.empty();
  const auto unless_wrong = [&](Outcome outcome) {
    return why.empty() ? outcome : Outcome::wrong;
  };
  if (sample.octets.empty()) return Outcome::unreadable;
  if (sample.published.reject) {
    if (!silent) why = "a telegram came out of what must be rejected";
    return unless_wrong(Outcome::rejected);
  }
  if (sample.encrypted && sample.key.empty()) {
    if (!silent) why = "a telegram came out without its key";
    const bool in_parts = decoded.refused(Errc::lost_fragment) != 0;  // not even its beginning
    if (sample.checksum == "ok" && decoded.refused(Errc::key_missing) == 0 && !in_parts)
      why = "the missing key is not named";
    return unless_wrong(Outcome::locked);
  }
  // Without a checksum nothing says that it is whole, but someone who read it.
  const bool sound = sample.checksum_ok() || (sample.checksum == "none" && expected(sample));
  if (silent && (!sound || sample.published.incomplete)) return Outcome::damaged;
  if (silent) {
    why = "no telegram";
    return Outcome::wrong;
  }
  if (sample.published.present) why = mismatch(decoded.telegrams, sample.published);
  if (why.empty() && sample.reference.present && !reference_is_wrong(sample))
    if (why = mismatch(decoded.telegrams, sample.reference); !why.empty())
      why = "reference decoder:" + why;
  if (!why.empty()) return Outcome::wrong;
  if (sample.published.present) return Outcome::right;
  return sample.reference.present ? Outcome::reference : Outcome::decoded;
}

}  // namespace meter::corpus
