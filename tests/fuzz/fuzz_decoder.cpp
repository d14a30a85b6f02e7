// SPDX-License-Identifier: Apache-2.0
// The whole chain: every step makes progress, offsets and views stay inside, no input is waited
// for beyond the buffer that was promised, refusals and telegrams are counted. The first octet
// chooses the options; then pieces follow as they are, framed, or enciphered and framed, because a
// fuzzer finds neither checksums nor tags.
#include <algorithm>
#include <vector>

#include "meter/decoder.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/libmeter/dlms/ciphering.hpp"

namespace {

using namespace meter;
using fuzz::require;
using test::Octets;

const Octets title = test::from_hex("4B464D6750000009");
const Octets encryption_key = test::from_hex("000102030405060708090A0B0C0D0E0F");
const Octets authentication_key = test::from_hex("D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF");

std::shared_ptr<const dlms::KeyRing> key_ring(bool with_authentication) {
  std::vector<dlms::KeyEntry> entries;
  entries.push_back({"*", std::move(*dlms::EncryptionKey::from_octets(encryption_key)), {}, {}});
  if (with_authentication)
    entries.back().authentication.push_back(
        std::move(*dlms::AuthenticationKey::from_octets(authentication_key)));
  return std::make_shared<dlms::KeyRing>(std::move(entries));
}

Octets over_mbus(Bytes apdu) {
  Octets content = test::from_hex("53 FF 10 01 67");
  test::append(content, apdu.first(std::min<std::size_t>(apdu.size(), 245)));
  return test::mbus_frame(content);
}

Octets enciphered(fuzz::Dealer& dealer, std::size_t size) {
  const auto control = static_cast<std::uint8_t>(dealer.octet());
  const unsigned counter = dealer.octet();
  const Bytes clear = dealer.piece(size);
  return test::general_glo(title, test::protected_content(control, counter, title, encryption_key,
                                                          authentication_key, clear));
}

class Device {
 public:
  explicit Device(unsigned choice) : decoder_(options(choice), key_ring(true)) {}

  void feed(Bytes piece) {
    test::append(buffer_, piece);
    drain();
  }
  void silence() {
    decoder_.silence();
    drain();
    require(!decoder_.pending(), "silence drops what is half received");
  }
  void set_keys(unsigned choice) {
    decoder_.set_keys(choice % 3 == 0 ? nullptr : key_ring(choice % 3 == 1));
  }
  void finish() {
    decoder_.end_of_input();
    drain();
    require(buffer_.empty() && !decoder_.pending(), "nothing is left at the end of input");
  }

 private:
  static DecoderOptions options(unsigned choice) {
    constexpr std::optional<Link> links[] = {std::nullopt, Link::mbus, Link::hdlc, Link::raw};
    return {.link = links[choice & 3],
            .check_replay = (choice & 4) == 0,
            .accept_counter_reset = (choice & 8) != 0};
  }
  void drain() {
    for (bool more = true; more;) {
      // An exact copy on the heap: the address sanitizer sees a read behind it.
      const Octets received = buffer_;
      const bool pending = decoder_.pending();
      const auto step = decoder_.next(received);
      more = step.outcome != Decoder::Outcome::need_more;
      require(step.consumed <= received.size(), "only what is there is consumed");
      require(!more || step.consumed != 0 || (pending && !decoder_.pending()),
              "a step is progress");
      if (step.outcome == Decoder::Outcome::rejected) {
        require(step.fault.offset <= received.size(), "the fault's offset is inside");
        ++rejected_;
      }
      if (step.outcome == Decoder::Outcome::telegram) check(++telegrams_);
      buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(step.consumed));
    }
    require(buffer_.size() < Decoder::buffer_size_min, "no more is waited for than was promised");
    std::uint64_t refused = 0;
    for (const std::uint64_t count : decoder_.refusals()) refused += count;
    require(refused >= rejected_, "refusals are counted");
  }
  void check(std::uint64_t telegrams) {
    const ReadingSet& set = decoder_.readings();
    require(decoder_.telegrams() == telegrams, "telegrams are counted");
    require(!set.readings.empty() && !set.profile.empty(), "a telegram has registers and a name");
    require(decoder_.link() == set.link, "the link is known");
    require((set.authentication == Authentication::clear) == !set.system_title,
            "a title comes with ciphering");
    for (const Reading& reading : set.readings)
      if (reading.kind() != Reading::Kind::number)
        for (const std::byte octet : reading.octets()) sink_ = sink_ ^ u8(octet);
  }

  Decoder decoder_;
  Octets buffer_;
  std::uint64_t rejected_ = 0, telegrams_ = 0;
  volatile unsigned sink_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Dealer dealer(data, size);
  Device device(dealer.octet());
  while (!dealer.empty()) {
    const unsigned kind = dealer.octet();
    const std::size_t piece = dealer.octet();
    switch (kind % 8) {
      case 0: {
        const Bytes raw = dealer.piece(piece);
        device.feed(raw);
        break;
      }
      case 1:
        device.feed(over_mbus(dealer.piece(piece)));
        break;
      case 2:
        device.feed(test::hdlc_frame(test::from_hex("CE FF 03 13"), dealer.piece(piece)));
        break;
      case 3:
        device.feed(over_mbus(enciphered(dealer, piece)));
        break;
      case 4:
        device.feed(test::hdlc_frame(test::from_hex("CE FF 03 13"), enciphered(dealer, piece)));
        break;
      case 5:
        device.feed(enciphered(dealer, piece));
        break;
      case 6:
        device.silence();
        break;
      default:
        device.set_keys(static_cast<unsigned>(piece));
    }
  }
  device.finish();
  return 0;
}
