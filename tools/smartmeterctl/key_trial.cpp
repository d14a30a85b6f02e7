// SPDX-License-Identifier: Apache-2.0
// Trial: whether a key opens the telegrams among received bytes, and what is wrong where it does
// not.
#include "tools/smartmeterctl/key_trial.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

#include "meter/decoder.hpp"

namespace smartmeterctl {
namespace {

using meter::Errc;
using meter::dlms::AuthenticationKey;
using meter::dlms::EncryptionKey;
using meter::dlms::KeyEntry;

/// An entry of these octets, which are keys.
KeyEntry entry_of(meter::Bytes encryption, const std::vector<meter::Bytes>& authentication,
                  const std::string& meter = "*") {
  KeyEntry entry{meter, *EncryptionKey::from_octets(encryption), {}, {}};
  for (const meter::Bytes octets : authentication)
    if (auto other = AuthenticationKey::from_octets(octets))
      entry.authentication.push_back(std::move(*other));
  return entry;
}

std::optional<Fit> fit_of(Errc code) {
  switch (code) {
    case Errc::key_missing:  // there is one, for another meter
    case Errc::key_wrong:
      return Fit::wrong;
    case Errc::authentication_key_wrong:
      return Fit::authentication_key_wrong;
    case Errc::bad_tag:
    case Errc::tag_missing:
      return Fit::altered;
    default:
      return std::nullopt;
  }
}

Fit fit_of(meter::Authentication authentication) {
  switch (authentication) {
    case meter::Authentication::clear:
      return Fit::not_encrypted;
    case meter::Authentication::unverified:
      return Fit::no_tag;
    case meter::Authentication::verified:
      return Fit::verified;
  }
  return Fit::wrong;
}

std::string meter_of(const meter::Decoder& decoder, bool encrypted) {
  const auto title = encrypted ? decoder.system_title() : std::nullopt;
  return title ? "meter " + meter::describe(*title) : "a meter without system title";
}

/// Decodes everything with one key.
class Run {
 public:
  explicit Run(KeyEntry key) : decoder_(options(), ring(std::move(key))) {}

  Trial over(meter::Bytes received, bool is_over) {
    decode(received);
    if (is_over) {
      decoder_.end_of_input();
      decode(rest_);
    }
    return std::move(trial_);
  }

 private:
  static meter::DecoderOptions options() {
    meter::DecoderOptions options;
    options.check_replay = false;
    return options;
  }
  static std::shared_ptr<const meter::dlms::KeyRing> ring(KeyEntry key) {
    std::vector<KeyEntry> entries;
    entries.push_back(std::move(key));
    return std::make_shared<const meter::dlms::KeyRing>(std::move(entries));
  }

  void found(Fit fit) {
    auto [place, is_new] = trial_.meters.try_emplace(
        meter_of(decoder_, fit != Fit::not_encrypted), fit);
    if (!is_new) place->second = std::max(place->second, fit);
  }

  void decode(meter::Bytes received) {
    using Outcome = meter::Decoder::Outcome;
    for (;;) {
      const auto step = decoder_.next(received);
      received = received.subspan(step.consumed);
      if (!step.frame.empty()) ++trial_.frames;
      if (step.outcome == Outcome::telegram) found(fit_of(decoder_.readings().authentication));
      if (step.outcome == Outcome::rejected) refused(step.fault.code, !step.frame.empty());
      if (step.outcome == Outcome::need_more) break;
    }
    rest_ = received;
  }

  /// `whole`: of a whole frame, so that the checksum is the clear text's own.
  void refused(Errc code, bool whole) {
    if (code == Errc::bad_checksum && whole && decoder_.system_title()) return found(Fit::altered);
    if (const auto fit = fit_of(code)) return found(*fit);
    if (code == Errc::list_unknown && decoder_.system_title()) return found(Fit::list_unknown);
    trial_.refusals.insert(code);
  }

  meter::Decoder decoder_;
  meter::Bytes rest_;
  Trial trial_;
};

bool has(const Trial& trial, Fit fit) {
  return std::ranges::any_of(trial.meters, [fit](const auto& one) { return one.second == fit; });
}

/// For each meter whose finding is `from`: `to`, where the other trial satisfies `check`.
template <class Check>
void refine(Trial& trial, const Trial& other, Fit from, Fit to, Check check) {
  for (auto& [meter, fit] : trial.meters) {
    const auto found = other.meters.find(meter);
    if (fit == from && found != other.meters.end() && check(found->second)) fit = to;
  }
}

}  // namespace

bool Trial::opened() const {
  return std::ranges::any_of(
      meters, [](const auto& one) { return one.second >= Fit::authentication_key_missing; });
}

const char* describe(Fit fit) {
  switch (fit) {
    case Fit::wrong:
      return "does not fit: compare it with the operator's letter";
    case Fit::not_encrypted:
      return "is not needed: the telegram is not encrypted";
    case Fit::swapped:
      return "does not fit, but its authentication key does: the two are swapped";
    case Fit::altered:
      return "fits, but the telegram was damaged or altered: try another one";
    case Fit::other_meter:
      return "fits, but is stored for another meter, so that it is not used here: remove it, and "
             "add it again with this meter's id or without --meter";
    case Fit::authentication_key_wrong:
      return "fits, but the authentication key is wrong";
    case Fit::authentication_key_missing:
      return "fits; the telegram carries a tag, which only the authentication key can verify";
    case Fit::list_unknown:
      return "fits, but the list of values is not known: report it with what \"smartmeterctl "
             "decode --explain\" prints";
    case Fit::no_tag:
      return "fits; the telegram carries no tag, so nothing can be verified";
    case Fit::verified:
      return "fits, and the tag is verified";
  }
  return "";
}

Trial try_key(meter::Bytes received, const KeyEntry& key, bool is_over) {
  const auto run = [&](KeyEntry entry) { return Run(std::move(entry)).over(received, is_over); };
  std::vector<meter::Bytes> authentication;
  for (const AuthenticationKey& one : key.authentication) authentication.push_back(one.octets());
  Trial trial = run(entry_of(key.encryption.octets(), authentication));
  if (authentication.empty() && has(trial, Fit::no_tag)) {
    // An authentication key that is certainly wrong tells a telegram with a tag from one without.
    refine(trial, run(entry_of(key.encryption.octets(), {key.encryption.octets()})), Fit::no_tag,
           Fit::authentication_key_missing,
           [](Fit fit) { return fit == Fit::authentication_key_wrong; });
  }
  for (const meter::Bytes octets : authentication) {
    if (!has(trial, Fit::wrong)) break;
    refine(trial, run(entry_of(octets, {key.encryption.octets()})), Fit::wrong, Fit::swapped,
           [](Fit fit) { return fit > Fit::swapped; });
  }
  if (key.meter != "*" && trial.opened()) {
    const Trial stored = run(entry_of(key.encryption.octets(), authentication, key.meter));
    for (auto& [meter, fit] : trial.meters)
      if (const auto found = stored.meters.find(meter);
          fit > Fit::swapped && found != stored.meters.end() && found->second == Fit::wrong)
        fit = Fit::other_meter;
  }
  return trial;
}

std::string why_no_telegram(const Trial& trial, meter::Bytes received) {
  const auto refused = [&trial](std::initializer_list<Errc> codes) {
    return std::ranges::any_of(codes, [&](Errc code) { return trial.refusals.contains(code); });
  };
  if (received.empty())
    return "no byte came: check the cable, and whether the operator has switched the meter's "
           "interface on";
  if (std::ranges::all_of(received, [](std::byte octet) { return octet == std::byte{0}; }))
    return fmt::format("{} bytes came, all of them zero: the adapter is of the wrong type, or "
                       "connected the wrong way",
                       received.size());
  const bool is_damaged = refused({Errc::bad_checksum});
  const bool is_cut = refused({Errc::silence, Errc::lost_fragment, Errc::truncated});
  if (trial.frames == 0)
    return fmt::format(
        "{} bytes came, but {} {} or the line settings (speed, parity) do not fit the meter: "
        "\"smartmeterctl probe\" finds them",
        received.size(),
        is_damaged ? "no checksum is right:"
        : is_cut   ? "no whole frame is among them:"
                   : "no frame of a known meter is among them:",
        is_damaged ? "cable or adapter damage them,"
        : is_cut   ? "record or wait longer,"
                   : "the meter is an unknown one,");
  if (is_damaged) return "telegrams came, but damaged (the checksum is wrong): check the cable";
  for (const Errc code : trial.refusals)
    if (code >= Errc::oversize && code != Errc::truncated)
      return fmt::format("no telegram to try a key on: {}", meter::describe(code));
  return "the end of the telegram is missing, or a part of it: record or wait longer";
}

}  // namespace smartmeterctl
