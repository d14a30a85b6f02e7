// SPDX-License-Identifier: Apache-2.0
// Real captures through link layer and reassembler: what the capture's notes say of checksums,
// frames and segments must come out, whole and octet by octet.
#include <gtest/gtest.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "meter/dlms/reassembler.hpp"
#include "tests/libmeter/link/frames.hpp"

namespace meter {
namespace {

using test::Octets;

std::string text_of_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Capture {
  std::string name;
  Octets octets;
  bool checksum_ok = false;
  bool checksum_bad = false;
  bool reject = false;
  bool incomplete = false;
  std::optional<std::size_t> frames;  ///< with right checksums, where the notes count them
};

std::optional<std::size_t> number_after(std::string_view text, std::string_view key) {
  const std::size_t at = text.find(key);
  if (at == text.npos) return std::nullopt;
  std::size_t value = 0;
  const char* const begin = text.data() + at + key.size();
  const auto [end, error] = std::from_chars(begin, text.data() + text.size(), value);
  return error == std::errc{} ? std::optional(value) : std::nullopt;
}

std::optional<Capture> load(const std::filesystem::path& folder) {
  Capture capture{.name = folder.filename()};
  if (exists(folder / "frame.bin")) {
    const std::string binary = text_of_file(folder / "frame.bin");
    test::append(capture.octets, bytes_of(binary));
  } else if (exists(folder / "frame.hex")) {
    std::ifstream file(folder / "frame.hex");
    std::string hex;
    for (std::string line; std::getline(file, line);) hex += line.substr(0, line.find('#'));
    capture.octets = test::from_hex(hex);
  } else {
    return std::nullopt;
  }
  const std::string meta = text_of_file(folder / "meta.json");
  const std::string readings = text_of_file(folder / "readings.json");
  const auto has = [](const std::string& text, const char* part) {
    return text.find(part) != text.npos;
  };
  capture.checksum_ok = has(meta, R"("checksum": "ok")");
  capture.checksum_bad = has(meta, R"("checksum": "bad")");
  capture.reject = has(readings, R"("reject": true)") || has(readings, R"("reject":true)");
  capture.incomplete = has(meta, "incomplete");
  capture.frames = number_after(meta, "fcs_ok=");
  if (!capture.frames) capture.frames = number_after(meta, "cs_ok=");
  return capture;
}

struct Outcome {
  std::vector<Octets> frames;
  std::vector<Octets> apdus;
  std::size_t faults = 0;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome run(const Capture& capture, Link link, std::size_t piece_size) {
  Outcome outcome;
  dlms::Reassembler reassembler;
  test::Pump pump(*link::find_link_layer(link));
  const auto take = [&](Bytes payload) {
    outcome.frames.emplace_back(payload.begin(), payload.end());
    const auto apdu = reassembler.take(link, payload);
    if (!apdu) ++outcome.faults;
    if (apdu && *apdu) outcome.apdus.emplace_back((*apdu)->begin(), (*apdu)->end());
  };
  for (std::size_t at = 0; at < capture.octets.size(); at += piece_size) {
    const std::size_t size = std::min(piece_size, capture.octets.size() - at);
    pump.feed(Bytes(capture.octets).subspan(at, size), take);
  }
  pump.finish(take);
  EXPECT_EQ(pump.held_back(), 0u);
  return outcome;
}

/// Runs every capture of a family; returns how many have right checksums.
std::size_t run_family(const char* corpus, const char* family, Link link) {
  std::size_t good_captures = 0;
  for (const auto& folder :
       std::filesystem::directory_iterator(std::filesystem::path(corpus) / family)) {
    const std::optional<Capture> capture = load(folder.path());
    if (!capture) continue;
    SCOPED_TRACE(capture->name);
    const Outcome whole = run(*capture, link, capture->octets.size());
    EXPECT_EQ(run(*capture, link, 1), whole);
    const bool good = capture->checksum_ok && !capture->reject;
    good_captures += good ? 1u : 0u;
    EXPECT_TRUE(!good || !whole.frames.empty());
    EXPECT_TRUE(!(capture->checksum_bad || capture->reject) || whole.frames.empty());
    EXPECT_EQ(whole.frames.size(), capture->frames.value_or(whole.frames.size()));
    for (const Octets& apdu : whole.apdus)
      EXPECT_TRUE(apdu.front() == std::byte{0x0f} || apdu.front() == std::byte{0xdb})
          << u8(apdu.front());
    EXPECT_TRUE(!good || capture->incomplete || !whole.apdus.empty() || whole.faults != 0)
        << "no APDU and no reason";
  }
  return good_captures;
}

TEST(LinkCorpus, MbusCaptures) {
  const char* corpus = std::getenv("SMARTMETER_CORPUS");
  if (corpus == nullptr) GTEST_SKIP() << "SMARTMETER_CORPUS is not set";
  EXPECT_GE(run_family(corpus, "dlms-mbus", Link::mbus), 19u);
}

TEST(LinkCorpus, HdlcCaptures) {
  const char* corpus = std::getenv("SMARTMETER_CORPUS");
  if (corpus == nullptr) GTEST_SKIP() << "SMARTMETER_CORPUS is not set";
  EXPECT_GE(run_family(corpus, "dlms-hdlc", Link::hdlc), 79u);
}

/// The broken-off push of an E450: blocks 1, 2, then 1 to 4 of the next push.
TEST(LinkCorpus, RestartedTransferYieldsTheSecondPush) {
  const char* corpus = std::getenv("SMARTMETER_CORPUS");
  if (corpus == nullptr) GTEST_SKIP() << "SMARTMETER_CORPUS is not set";
  const auto capture =
      load(std::filesystem::path(corpus) / "dlms-hdlc" / "scs-lg_e450-unencrypted_valid_data");
  ASSERT_TRUE(capture);
  const Outcome outcome = run(*capture, Link::hdlc, 7);
  EXPECT_EQ(outcome.frames.size(), 6u);
  EXPECT_EQ(outcome.faults, 1u);
  ASSERT_EQ(outcome.apdus.size(), 1u);
  EXPECT_EQ(outcome.apdus[0].size(), 0x70u + 0x6c + 0x7a + 0x46);
}

/// Three segments of an AM550, of which only the first has an LLC header.
TEST(LinkCorpus, SegmentsOfAnAm550AreJoined) {
  const char* corpus = std::getenv("SMARTMETER_CORPUS");
  if (corpus == nullptr) GTEST_SKIP() << "SMARTMETER_CORPUS is not set";
  const auto capture =
      load(std::filesystem::path(corpus) / "dlms-hdlc" / "dlmsparser-hdlc_iskra550");
  ASSERT_TRUE(capture);
  const Outcome outcome = run(*capture, Link::hdlc, 64);
  EXPECT_EQ(outcome.frames.size(), 3u);
  EXPECT_EQ(outcome.faults, 0u);
  EXPECT_EQ(outcome.apdus.size(), 1u);
}

}  // namespace
}  // namespace meter
