// SPDX-License-Identifier: Apache-2.0
// Trial: whether a key opens the telegrams among received bytes, and what is wrong where it does
// not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "meter/base/bytes.hpp"
#include "meter/base/errc.hpp"
#include "meter/dlms/security.hpp"

namespace smartmeterctl {

/// What a key does to a meter's telegrams, the most telling last.
enum class Fit : std::uint8_t {
  wrong,                       ///< does not fit
  not_encrypted,               ///< there is nothing to open
  swapped,                     ///< the authentication key is the encryption key
  altered,                     ///< fits, but the telegram was damaged or altered
  other_meter,                 ///< fits, but is stored for another meter
  authentication_key_wrong,    ///< fits, the authentication key does not
  authentication_key_missing,  ///< fits, the tag could be verified with an authentication key
  list_unknown,                ///< fits, but what the telegram says is not known
  no_tag,                      ///< fits, the telegram has no tag
  verified,                    ///< fits, the tag is right
};

/// What a key found: for each meter, by the words for its system title.
struct Trial {
  std::map<std::string, Fit> meters;
  std::size_t frames = 0;           ///< whole ones
  std::set<meter::Errc> refusals;  ///< that have nothing to do with keys

  bool opened() const;
};

/// The words of a finding, which follow "the key ".
const char* describe(Fit fit);

/// Tries the key with every one of its authentication keys. `is_over`: no byte will follow, what is
/// cut off stays so.
Trial try_key(meter::Bytes received, const meter::dlms::KeyEntry& key, bool is_over);

/// Why there was no telegram to try a key on, and what to do; `trial` found no meter.
std::string why_no_telegram(const Trial& trial, meter::Bytes received);

}  // namespace smartmeterctl
