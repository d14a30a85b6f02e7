// SPDX-License-Identifier: Apache-2.0
// What a refused telegram means for its adapter and its meter.
#include "daemon/refusal.hpp"

namespace smartmeterd {

using meter::Errc;

std::string_view reason_of(Errc code) noexcept {
  switch (code) {
    case Errc::bad_checksum: return "crc";
    case Errc::bad_length:
    case Errc::truncated:
    case Errc::silence:
    case Errc::lost_fragment: return "length";
    case Errc::key_missing:
    case Errc::key_wrong:
    case Errc::authentication_key_wrong:
    case Errc::bad_tag:
    case Errc::unsupported_suite:
    case Errc::unsupported_compression:
    case Errc::tag_missing: return "decrypt";
    case Errc::replayed: return "replay";
    case Errc::oversize: return "overflow";
    default: return "unknown";
  }
}

std::optional<Problem> problem_of(Errc code) noexcept {
  switch (code) {
    case Errc::bad_checksum:
    case Errc::bad_length:
    case Errc::truncated:
    case Errc::silence:
    case Errc::lost_fragment:
    case Errc::bad_tag: return Problem::bad_checksum;
    case Errc::key_missing: return Problem::key_missing;
    case Errc::key_wrong: return Problem::key_wrong;
    case Errc::authentication_key_wrong: return Problem::authentication_key_wrong;
    case Errc::tag_missing: return Problem::less_protected;
    case Errc::replayed: return Problem::replay;
    case Errc::list_unknown:
    case Errc::malformed:
    case Errc::unsupported_suite:
    case Errc::unsupported_compression:
    case Errc::unsupported_apdu: return Problem::list_unknown;
    default: return std::nullopt;
  }
}

std::optional<KeyState> key_state_of(Problem problem) noexcept {
  switch (problem) {
    case Problem::key_missing: return KeyState::missing;
    case Problem::key_wrong: return KeyState::wrong;
    case Problem::authentication_key_wrong: return KeyState::authentication_key_wrong;
    default: return std::nullopt;
  }
}

std::string_view advice_of(Problem problem) noexcept {
  switch (problem) {
    case Problem::key_missing: return "the meter encrypts, and there is no key for it: sudo "
                                      "smartmeterctl key add NAME asks for the operator's key";
    case Problem::key_wrong: return "no configured key fits this meter: check the key with the "
                                    "operator's letter (sudo smartmeterctl key test --ask)";
    case Problem::authentication_key_wrong: return "the encryption key fits, the authentication "
                                                   "key does not";
    case Problem::replay: return "the invocation counter went back: an old recording, or another "
                                 "meter; if the meter was replaced or reset, set "
                                 "accept_counter_reset = true in [gateway] and reload";
    case Problem::less_protected: return "telegrams are less protected than this meter's were "
                                         "before; if the grid operator changed that, reload";
    case Problem::list_unknown: return "whole telegrams arrive, but what they say is not known";
    default: return "";
  }
}

}  // namespace smartmeterd
