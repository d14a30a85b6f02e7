// SPDX-License-Identifier: Apache-2.0
// Siemens AMIS TD-351x: SND_UD of a meter that is the master, AES-128-CBC (mode 5).
#include <openssl/evp.h>

#include <memory>
#include <stdexcept>

#include "tools/metersim/families.hpp"

namespace metersim {
namespace {

Octets aes_cbc(const Octets& key, OctetView iv, OctetView clear) {
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(
      EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  Octets sealed(clear.size());
  int size = 0;
  if (key.size() != 16 ||
      EVP_EncryptInit_ex(context.get(), EVP_aes_128_cbc(), nullptr, key.data(), iv.data()) != 1 ||
      EVP_CIPHER_CTX_set_padding(context.get(), 0) != 1 ||
      EVP_EncryptUpdate(context.get(), sealed.data(), &size, clear.data(),
                        static_cast<int>(clear.size())) != 1 ||
      size != static_cast<int>(clear.size()))
    throw std::runtime_error("AES-128-CBC failed");
  return sealed;
}

/// CP48: seconds and the bit of summer time, minutes, hours, day, month, year.
void append_clock(Octets& out, const Clock& clock) {
  const auto second = static_cast<std::uint8_t>(clock.epoch_s % 60);
  out.push_back(static_cast<std::uint8_t>(second | ((clock.status & 0x80) != 0 ? 0x40 : 0)));
  append_mbus_minute(out, clock);
  out.push_back(0);
}

struct Record {
  Octets head;
  std::string_view name, other_name;
  std::int64_t value;
  bool is_energy;
};

void encode_amis(const Values& values, const Security* security, std::uint32_t counter,
                 Telegram& telegram) {
  const Record records[] = {
      {{0x04, 0x03}, "energy_import", "", values[Quantity::energy_import], true},
      {{0x04, 0x83, 0x3c}, "energy_export", "", values[Quantity::energy_export], true},
      {{0x84, 0x10, 0xfb, 0x82, 0x73},
       "reactive_energy_import",
       "reactive_energy_import_t1",
       values[Quantity::reactive_energy_import],
       true},
      {{0x84, 0x10, 0xfb, 0x82, 0xf3, 0x3c},
       "reactive_energy_export",
       "reactive_energy_export_t1",
       values[Quantity::reactive_energy_export],
       true},
      {{0x04, 0x2b}, "power_import", "", values[Quantity::power_import], false},
      {{0x04, 0xab, 0x3c}, "power_export", "", values[Quantity::power_export], false},
      {{0x04, 0xfb, 0x14},
       "reactive_power_import",
       "",
       values[Quantity::reactive_power_import],
       false},
      {{0x04, 0xfb, 0x94, 0x3c},
       "reactive_power_export",
       "",
       values[Quantity::reactive_power_export],
       false},
      {{0x04, 0x83, 0xff, 0x04},
       "energy_collect",
       "",
       values[Quantity::energy_import] - values[Quantity::energy_export],
       true},
  };
  Octets clear = {0x2f, 0x2f, 0x06, 0x6d};
  append_clock(clear, values.clock);
  for (const Record& record : records) {
    append(clear, record.head);
    append_mbus_integer(clear, record.value, 4);
    const std::string text = decimal_text(record.value, record.is_energy ? -3 : 0);
    telegram.readings.push_back({record.name, text});
    if (!record.other_name.empty()) telegram.readings.push_back({record.other_name, text});
  }
  append(clear, Octets(2, 0x2f));
  telegram.time = values.clock.text();

  const auto access_number = static_cast<std::uint8_t>(counter & 0xff);
  Octets iv = {0x2d, 0x4c, 0, 0, 0, 0, 0x01, 0x0e};
  append(iv, Octets(8, access_number));
  const auto control = static_cast<std::uint8_t>(telegram.number % 2 != 0 ? 0x53 : 0x73);
  Octets content = {control, 0xf0, 0x5b, 0, 0, 0, 0, 0x2d, 0x4c, 0x01, 0x0e, access_number, 0};
  append(content, security != nullptr ? Octets{0x50, 0x05} : Octets{0x00, 0x00});
  append(content, security != nullptr ? aes_cbc(security->key, iv, clear) : clear);
  telegram.frames = {mbus_frame(content)};
}

}  // namespace

std::vector<Family> amis_families() {
  return {{"amis-td351x", "Siemens AMIS TD-351x, Netz Oberösterreich: IR, AES-128-CBC", Link::mbus,
           security(0x20, {}), "", "", 0, nullptr, encode_amis}};
}

}  // namespace metersim
