// SPDX-License-Identifier: Apache-2.0
// Security mode 5 of EN 13757-7: AES-128-CBC without a tag. Here because the keys are.
#include <cstring>

#include "meter/decode_observer.hpp"
#include "meter/dlms/security.hpp"
#include "meter/explain_line.hpp"

namespace meter::dlms {

Result<void> Decryptor::open_cbc(const CbcTelegram& telegram, ClearTextReader& reader,
                                 DecodeObserver* observer, std::uint64_t observer_offset) noexcept {
  const auto explain = [&](std::string_view text) {
    if (observer != nullptr) observer->stage("ciphering", observer_offset, text);
  };
  last_title_ = telegram.address;
  if (telegram.ciphertext.size() > clear_size_max_) return fault(Errc::oversize);
  std::array<std::byte, 16> iv;
  std::memcpy(iv.data(), telegram.address.data(), telegram.address.size());
  std::memset(iv.data() + telegram.address.size(), telegram.access_number, 8);
  Errc failure = Errc::key_missing;
  for (const KeyRing::Slot& slot :
       keys_ != nullptr ? keys_->slots() : std::span<const KeyRing::Slot>()) {
    if (!slot.fits(telegram.address, 0)) continue;
    failure = Errc::key_wrong;
    if (!slot.cipher.decrypt_cbc(iv, telegram.ciphertext, clear_.get())) continue;
    const Bytes clear(clear_.get(), telegram.ciphertext.size());
    if (!reader.plausible(clear)) continue;
    if (observer != nullptr) {
      ExplainLine line;
      line.text("AES-128-CBC (mode 5), access number ").number(telegram.access_number);
      line.text(", key ").text(slot.entry.encryption.fingerprint());
      explain(line.text(": decrypted, not verified").view());
    }
    return reader.read(clear, {telegram.address, 0, Authentication::unverified, 0});
  }
  explain(describe(failure));
  return fault(failure);
}

}  // namespace meter::dlms
