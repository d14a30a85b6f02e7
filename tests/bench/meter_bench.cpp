// SPDX-License-Identifier: Apache-2.0
// meter-bench: bytes → ReadingSet, its ratio to a floor measured in the same run, its allocations.
//
//   meter-bench [--inputs=FOLDER] [Google Benchmark's options]
//
// The folder holds telegrams by the names below; without the option it is bench/inputs of
// $SMARTMETER_CORPUS or of the corpus beside the repository.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "meter/decoder.hpp"
#include "tests/bench/floor.hpp"
#include "tests/libmeter/dlms/ciphering.hpp"
#include "tools/metersim/meter.hpp"

namespace {
std::size_t allocations = 0;
}

extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
void* malloc(std::size_t size) noexcept {
  ++allocations;
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) noexcept {
  ++allocations;
  return __libc_calloc(count, size);
}
void* realloc(void* memory, std::size_t size) noexcept {
  ++allocations;
  return __libc_realloc(memory, size);
}
}

namespace meter::bench {
namespace {

using WireOctets = test::Octets;

/// One kind of telegram and the floor that knows its layout.
struct Input {
  const char* name;
  const char* file;
  const char* family;  ///< of metersim, whose telegram stands in where the file is not there
  const char* encryption_key;
  const char* authentication_key;
  int (Floor::*floor)(Octets wire) noexcept;
};
constexpr const char* test_key = "000102030405060708090A0B0C0D0E0F";
constexpr Input inputs[] = {
    {"a1_noe", "a1_noe_mbus.bin", "kaifa-noe", "36C66639E48A8CA4D6BC8B282A793BBB", "",
     &Floor::mbus_encrypted},
    {"a2_tinetz", "a2_tinetz_mbus.bin", "kaifa-tinetz", test_key, "", &Floor::mbus_encrypted},
    {"b_e450", "b_e450_hdlc_gbt.bin", "e450-pairs", test_key, "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF",
     &Floor::hdlc_authenticated},
    {"b0_e450_plain", "b0_e450_plain_pushlist.bin", "e450", "", "", &Floor::hdlc_push_objects},
    {"c_dsmr5", "c_dsmr5.txt", "dsmr-5", "", "", &Floor::p1_text},
    {"d_sml_emh", "d_sml_emh.bin", "sml-emh", "", "", &Floor::sml_list},
    {"d2_sml_iskra", "d2_sml_iskra.bin", "sml-iskra-locked", "", "", &Floor::sml_list},
    {"e_mbus_long", "e_mbus_long.bin", "mbus-electricity", "", "", &Floor::mbus_records},
    {"e2_mbus_short", "e2_mbus_short.bin", "mbus-heat", "", "", &Floor::mbus_records},
};

std::shared_ptr<const dlms::KeyRing> key_ring(const Input& input) {
  std::vector<dlms::KeyEntry> entries;
  if (*input.encryption_key != 0) {
    entries.push_back(
        {"*", std::move(*dlms::EncryptionKey::parse(input.encryption_key).key), {}, {}});
    if (*input.authentication_key != 0)
      entries.back().authentication.push_back(
          std::move(*dlms::AuthenticationKey::parse(input.authentication_key).key));
  }
  return std::make_shared<dlms::KeyRing>(std::move(entries));
}

/// Feeds one telegram; true when it came out.
bool decode(Decoder& decoder, Bytes wire) {
  bool telegram = false;
  for (;;) {
    const auto step = decoder.next(wire);
    wire = wire.subspan(step.consumed);
    if (step.outcome == Decoder::Outcome::telegram) telegram = true;
    if (step.outcome == Decoder::Outcome::need_more || wire.empty()) return telegram;
  }
}

/// The shortest time per call over several rounds: what the machine allows when nothing disturbs.
template <class First, class Second>
std::pair<double, double> shortest_ns(First& first, Second& second) {
  using Clock = std::chrono::steady_clock;
  constexpr int rounds = 25, calls = 2000;
  std::pair<double, double> best{1e9, 1e9};
  const auto round = [](auto& call, double& shortest) {
    const auto start = Clock::now();
    for (int i = 0; i < calls; ++i) call();
    const std::chrono::duration<double, std::nano> took = Clock::now() - start;
    shortest = std::min(shortest, took.count() / calls);
  };
  for (int i = 0; i < rounds; ++i) {
    round(first, best.first);
    round(second, best.second);
  }
  return best;
}

Octets as_uint8(Bytes octets) {
  return {reinterpret_cast<const std::uint8_t*>(octets.data()), octets.size()};
}

/// `wires` in turn. Replay checking needs counters that change: see with_next_counter.
void run(benchmark::State& state, const Input& input, const std::vector<WireOctets>& wires,
         const DecoderOptions& options) {
  Decoder decoder(options, key_ring(input));
  const WireOctets key = test::from_hex(input.encryption_key);
  const WireOctets authentication_key = test::from_hex(input.authentication_key);
  Floor floor(as_uint8(key), as_uint8(authentication_key));
  bool whole = true;
  auto decode_one = [&, turn = std::size_t{0}]() mutable {
    whole = decode(decoder, wires[turn++ % wires.size()]) && whole;
  };
  auto floor_one = [&] { whole = (floor.*input.floor)(as_uint8(wires[0])) > 0 && whole; };
  for (int i = 0; i < 2000; ++i) {
    decode_one();
    floor_one();
  }
  if (!whole) return state.SkipWithError("the telegram was not decoded");

  const std::size_t allocations_before = allocations;
  for (int i = 0; i < 1000; ++i) decode_one();
  const std::size_t allocated = allocations - allocations_before;
  const auto [decode_ns, floor_ns] = shortest_ns(decode_one, floor_one);
  for (auto _ : state) decode_one();
  if (!whole) return state.SkipWithError("the telegram was not decoded");
  state.counters["decode_ns"] = decode_ns;
  state.counters["floor_ns"] = floor_ns;
  state.counters["floor_ratio"] = decode_ns / floor_ns;
  state.counters["allocs_per_telegram"] = static_cast<double>(allocated) / 1000;
  state.counters["readings"] = static_cast<double>(decoder.readings().readings.size());
}

WireOctets load(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string octets{std::istreambuf_iterator<char>(file), {}};
  return {bytes_of(octets).begin(), bytes_of(octets).end()};
}

/// A simulated telegram of the input's kind, under the input's keys.
WireOctets simulate(const Input& input) {
  metersim::MeterOptions options;
  if (const auto key = test::from_hex(input.encryption_key); !key.empty())
    options.key.emplace(as_uint8(key).begin(), as_uint8(key).end());
  const auto octets =
      metersim::Meter(*metersim::find_family(input.family), options).next().octets();
  const Bytes wire = std::as_bytes(std::span(octets));
  return {wire.begin(), wire.end()};
}

/// Where an APDU's octets lie in the wire's frames.
std::vector<std::size_t> apdu_positions(const WireOctets& wire) {
  constexpr std::size_t mbus_header = 9, hdlc_header = 9, llc = 3, block_header = 7;
  std::vector<std::size_t> positions;
  for (std::size_t at = 0; at + 9 < wire.size();) {
    std::size_t begin = at + mbus_header, end = 0;
    if (u8(wire[at]) == 0x68) {
      end = at + u8(wire[at + 1]) + 4;
      at = end + 2;
    } else {
      const std::size_t length = (u8(wire[at + 1]) & 7) << 8 | u8(wire[at + 2]);
      begin = at + hdlc_header;
      begin += (u8(wire[begin]) == 0xe6 ? llc : 0) + block_header;
      end = at + length - 1;
      at += length + 2;
    }
    for (; begin < end; ++begin) positions.push_back(begin);
  }
  return positions;
}

void mend_checksums(WireOctets& wire) {
  for (std::size_t at = 0; at + 9 < wire.size();) {
    if (u8(wire[at]) == 0x68) {
      const std::size_t length = u8(wire[at + 1]);
      unsigned sum = 0;
      for (std::size_t i = 0; i < length; ++i) sum += u8(wire[at + 4 + i]);
      wire[at + 4 + length] = static_cast<std::byte>(sum & 0xff);
      at += length + 6;
    } else {
      const std::size_t length = (u8(wire[at + 1]) & 7) << 8 | u8(wire[at + 2]);
      const unsigned crc = test::slow_crc_x25(Bytes(wire).subspan(at + 1, length - 2));
      wire[at + length - 1] = static_cast<std::byte>(crc & 0xff);
      wire[at + length] = static_cast<std::byte>(crc >> 8);
      at += length + 2;
    }
  }
}

/// The same telegram, encrypted anew with the next invocation counter.
WireOctets with_next_counter(const Input& input, WireOctets wire) {
  const auto positions = apdu_positions(wire);
  WireOctets apdu;
  for (const std::size_t position : positions) apdu.push_back(wire[position]);
  const auto parts = dlms::GeneralGloCiphering::parse(apdu);
  if (!parts || !parts->system_title) return {};
  WireOctets clear(parts->content.size());
  dlms::Cipher cipher(*dlms::EncryptionKey::parse(input.encryption_key).key);
  cipher.decrypt(*parts->system_title, parts->invocation_counter, parts->content, clear.data());
  const WireOctets content = test::protected_content(
      parts->control.octet, parts->invocation_counter + 1, *parts->system_title,
      test::from_hex(input.encryption_key), test::from_hex(input.authentication_key), clear);
  for (std::size_t i = 0; i < content.size(); ++i)
    wire[positions[positions.size() - content.size() + i]] = content[i];
  mend_checksums(wire);
  return wire;
}

std::filesystem::path default_inputs() {
  const char* corpus = std::getenv("SMARTMETER_CORPUS");
  return std::filesystem::path(corpus != nullptr ? corpus : CORPUS_DEFAULT) / "bench" / "inputs";
}

void register_all(const std::filesystem::path& folder) {
  for (const Input& input : inputs) {
    WireOctets wire = load(folder / input.file);
    if (wire.empty()) {
      std::printf("decode/%s: no %s, a simulated telegram instead\n", input.name,
                  (folder / input.file).c_str());
      wire = simulate(input);
    }
    benchmark::RegisterBenchmark((std::string("decode/") + input.name).c_str(),
                                 [&input, wire](benchmark::State& state) {
                                   run(state, input, {wire}, {.check_replay = false});
                                 });
    if (*input.encryption_key == 0) continue;
    // Two counters in turn: the higher one is fresh, the lower one a reset that is accepted.
    benchmark::RegisterBenchmark((std::string("decode_replay_checked/") + input.name).c_str(),
                                 [&input, wire](benchmark::State& state) {
                                   run(state, input, {wire, with_next_counter(input, wire)},
                                       {.accept_counter_reset = true});
                                 });
  }
}

}  // namespace
}  // namespace meter::bench

int main(int argc, char** argv) {
  std::filesystem::path folder = meter::bench::default_inputs();
  constexpr std::string_view option = "--inputs=";
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]).starts_with(option))
      folder = argv[i] + option.size();
    else
      argv[kept++] = argv[i];
  }
  benchmark::Initialize(&kept, argv);
  if (benchmark::ReportUnrecognizedArguments(kept, argv)) return 2;
  meter::bench::register_all(folder);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
