// SPDX-License-Identifier: Apache-2.0
// A wired M-Bus (EN 13757-2, -3) with a heat meter and two water meters.
#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "tools/metersim/responder.hpp"

namespace metersim {
namespace {

constexpr std::uint8_t acknowledgement = 0xe5, short_start = 0x10, long_start = 0x68, stop = 0x16;
constexpr std::uint8_t selected_address = 0xfd, select_slave = 0x52;
constexpr std::uint8_t send_reset = 0x40, send_user_data = 0x53, request_user_data = 0x5b;
constexpr std::uint8_t frame_count_bit = 0x20;
constexpr std::size_t short_size = 5, identification_size = 8;
constexpr std::uint8_t more_records = 0x1f;

using Identification = std::array<std::uint8_t, identification_size>;

/// The value as packed decimal digits, the low octet first.
void append_bcd(Octets& out, std::uint64_t value, unsigned octets) {
  for (; octets != 0; --octets, value /= 100)
    out.push_back(static_cast<std::uint8_t>(value / 10 % 10 << 4 | value % 10));
}

std::uint8_t sum_of(OctetView octets) {
  unsigned sum = 0;
  for (const std::uint8_t octet : octets) sum += octet;
  return static_cast<std::uint8_t>(sum);
}

class Slave {
 public:
  /// `medium`: 04 heat, 07 water. The number is that of the plate, the maker is KAM.
  Slave(std::uint8_t primary, std::uint32_t number, std::uint8_t medium)
      : primary_(primary), medium_(medium) {
    Octets digits;
    append_bcd(digits, number, 4);
    std::ranges::copy(digits, identification_.begin());
    identification_[4] = 0x2d;
    identification_[5] = 0x2c;
    identification_[6] = 0x01;
    identification_[7] = medium;
  }

  /// `request` is whole, and its sum is right.
  Octets answer(OctetView request) {
    const bool is_short = request[0] == short_start;
    const std::uint8_t control = request[is_short ? 1 : 4], address = request[is_short ? 2 : 5];
    if (!is_short) return select(request);
    if (address != primary_ && !(address == selected_address && is_selected_)) return {};
    if (control == send_reset) {
      last_control_.reset();
      if (address == selected_address) is_selected_ = false;
      return {acknowledgement};
    }
    if ((control & ~frame_count_bit) != request_user_data) return {};
    if (last_control_ != control) {  // else it did not arrive: the same again
      if (!last_control_ || ++telegram_ == telegrams()) telegram_ = 0;
      if (telegram_ == 0) ++readouts_;
      last_control_ = control;
    }
    return readout();
  }

 private:
  bool is_heat() const { return medium_ == 0x04; }
  unsigned telegrams() const { return is_heat() ? 2 : 1; }

  Octets select(OctetView request) {
    if (request.size() < 17 || (request[4] & ~frame_count_bit) != send_user_data ||
        request[5] != selected_address || request[6] != select_slave)
      return {};
    is_selected_ = true;
    for (std::size_t i = 0; i < identification_size; ++i)
      for (const unsigned shift : {0u, 4u}) {
        const unsigned wanted = request[7 + i] >> shift & 0xfu;
        if (wanted != 0xf && wanted != (identification_[i] >> shift & 0xfu)) is_selected_ = false;
      }
    return is_selected_ ? Octets{acknowledgement} : Octets();
  }

  /// 72, the header of twelve octets, the records: each readout a little more was used.
  Octets readout() const {
    Octets body{0x08, primary_, 0x72};
    append(body, identification_);
    append(body, Octets{static_cast<std::uint8_t>(readouts_), 0x00, 0x00, 0x00});
    if (is_heat() && telegram_ == 0) {
      append(body, Octets{0x0c, 0x06});  // energy in kWh
      append_bcd(body, 100 + readouts_, 4);
      body.push_back(more_records);
    } else {
      append(body, Octets{0x0c, 0x13});  // volume in l
      append_bcd(body, 4200 + readouts_, 4);
    }
    const auto length = static_cast<std::uint8_t>(body.size());
    Octets frame{long_start, length, length, long_start};
    append(frame, body);
    append(frame, Octets{sum_of(body), stop});
    return frame;
  }

  std::uint8_t primary_, medium_;
  Identification identification_{};
  bool is_selected_ = false;
  std::optional<std::uint8_t> last_control_;
  unsigned telegram_ = 0;  ///< of the readout
  std::uint32_t readouts_ = 0;
};

class MbusSlaves final : public Responder {
 public:
  explicit MbusSlaves(std::uint32_t unit)
      : slaves_{Slave{1, 87654321 + unit, 0x04}, Slave{2, 12345678 + unit, 0x07},
                Slave{3, 12345600 + unit, 0x07}} {}

  Octets received(OctetView octets) override {
    append(pending_, octets);
    Octets answers;
    while (!pending_.empty()) {
      const std::optional<std::size_t> size = request_size();
      if (!size || *size > pending_.size()) break;
      if (is_whole(*size)) answer(OctetView(pending_).first(*size), answers);
      pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(*size));
    }
    return answers;
  }

 private:
  /// Of the request at the front; 1 where there is none, nothing where more octets are needed.
  std::optional<std::size_t> request_size() const {
    if (pending_[0] == short_start) return short_size;
    if (pending_[0] != long_start) return 1;
    if (pending_.size() < 4) return std::nullopt;
    if (pending_[1] != pending_[2] || pending_[3] != long_start || pending_[1] < 3) return 1;
    return pending_[1] + 6u;
  }
  bool is_whole(std::size_t size) const {
    const std::size_t header = size == short_size ? 1 : 4;
    return size >= short_size && pending_[size - 1] == stop &&
           sum_of(OctetView(pending_).subspan(header, size - header - 2)) == pending_[size - 2];
  }
  /// What several send at once is one signal: a space (0) wins.
  void answer(OctetView request, Octets& answers) {
    Octets signal;
    for (Slave& slave : slaves_) {
      const Octets part = slave.answer(request);
      const std::size_t common = std::min(part.size(), signal.size());
      for (std::size_t i = 0; i < common; ++i) signal[i] &= part[i];
      append(signal, OctetView(part).subspan(common));
    }
    append(answers, signal);
  }

  std::array<Slave, 3> slaves_;
  Octets pending_;
};

}  // namespace

std::vector<ResponderKind> mbus_slaves() {
  return {{"mbus-slaves",
           "wired M-Bus: heat 87654321 (address 1), water 12345678 (2) and 12345600 (3)",
           [](const MeterOptions& options) -> std::unique_ptr<Responder> {
             return std::make_unique<MbusSlaves>(options.unit_number);
           }}};
}

}  // namespace metersim
