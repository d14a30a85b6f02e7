// SPDX-License-Identifier: Apache-2.0
// DecodeObserver: told what each stage of the chain did.
#pragma once

#include <cstdint>
#include <string_view>

namespace meter {

/// Told what each stage did (`smartmeterctl decode --explain`). Once per stage, never per byte.
/// Offsets count from the first byte that was ever given to the decoder.
class DecodeObserver {
 public:
  virtual ~DecodeObserver() = default;
  /// One line of explanation by the stage "link", "reassembly", "ciphering", "notification",
  /// "list"; `offset` of the bytes that it is about.
  virtual void stage(std::string_view stage, std::uint64_t offset, std::string_view text) = 0;
};

}  // namespace meter
