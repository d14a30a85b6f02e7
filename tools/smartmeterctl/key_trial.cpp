// SPDX-License-Identifier: Apache-2.0
// Trial: whether a key opens the telegrams of a recording, and what is wrong where it does not.
#include "tools/smartmeterctl/key_trial.hpp"

#include <algorithm>
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

/// A key for every meter: nothing where the octets are no key.
std::optional<KeyEntry> entry_of(meter::Bytes encryption,
                                 const std::vector<meter::Bytes>& authentication) {
  auto key = EncryptionKey::from_octets(encryption);
  if (!key) return std::nullopt;
  KeyEntry entry{"*", std::move(*key), {}, {}};
  for (const meter::Bytes octets : authentication)
    if (auto other = AuthenticationKey::from_octets(octets))
      entry.authentication.push_back(std::move(*other));
  return entry;
}

std::optional<Fit> fit_of(Errc code) {
  switch (code) {
    case Errc::key_missing:  // of another size than the suite's
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

/// Decodes the whole recording with one key.
class Run {
 public:
  explicit Run(KeyEntry key) : decoder_(options(), ring(std::move(key))) {}

  Trial over(meter::Bytes recording) {
    decode(recording);
    decoder_.end_of_input();
    decode(rest_);
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
      if (step.outcome == Outcome::telegram) found(fit_of(decoder_.readings().authentication));
      if (step.outcome == Outcome::rejected) refused(step.fault.code);
      if (step.outcome == Outcome::need_more) break;
    }
    rest_ = received;
  }

  void refused(Errc code) {
    if (const auto fit = fit_of(code)) return found(*fit);
    ++trial_.frames_refused;
    trial_.refusal = code;
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
  return std::ranges::any_of(meters,
                             [](const auto& one) { return one.second >= Fit::no_tag ||
                                 one.second == Fit::authentication_key_missing; });
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
      return "fits, but the telegram was damaged or altered: record another one";
    case Fit::authentication_key_wrong:
      return "fits, but the authentication key is wrong";
    case Fit::authentication_key_missing:
      return "fits; the telegram carries a tag, which only the authentication key can verify";
    case Fit::no_tag:
      return "fits; the telegram carries no tag, so nothing can be verified";
    case Fit::verified:
      return "fits, and the tag is verified";
  }
  return "";
}

Trial try_key(meter::Bytes recording, const KeyEntry& key) {
  std::vector<meter::Bytes> authentication;
  for (const AuthenticationKey& one : key.authentication) authentication.push_back(one.octets());
  auto entry = entry_of(key.encryption.octets(), authentication);
  Trial trial = Run(std::move(*entry)).over(recording);
  if (authentication.empty() && has(trial, Fit::no_tag)) {
    // An authentication key that is certainly wrong tells a telegram with a tag from one without.
    entry = entry_of(key.encryption.octets(), {key.encryption.octets()});
    refine(trial, Run(std::move(*entry)).over(recording), Fit::no_tag,
           Fit::authentication_key_missing,
           [](Fit fit) { return fit == Fit::authentication_key_wrong; });
  }
  for (const meter::Bytes octets : authentication) {
    if (!has(trial, Fit::wrong)) break;
    entry = entry_of(octets, {key.encryption.octets()});
    refine(trial, Run(std::move(*entry)).over(recording), Fit::wrong, Fit::swapped,
           [](Fit fit) { return fit > Fit::swapped; });
  }
  return trial;
}

}  // namespace smartmeterctl
