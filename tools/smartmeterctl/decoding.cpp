// SPDX-License-Identifier: Apache-2.0
// Decoding: telegrams of a recording as JSON, for decode and replay.
#include "tools/smartmeterctl/decoding.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "meter/link/link_layer.hpp"
#include "meter/telegram_json.hpp"
#include "tools/smartmeterctl/decode_json.hpp"
#include "tools/smartmeterctl/json_messages.hpp"
#include "tools/smartmeterctl/verbs.hpp"

namespace smartmeterctl {
namespace {

using meter::Errc;

/// The keys of one option: hex digits, or the lines of @FILE. Errors name the option or the line.
template <class Key>
std::vector<Key> read_keys(const std::vector<std::string>& given, const char* option) {
  std::vector<Key> keys;
  auto add = [&keys](const std::string& text, const std::string& place) {
    auto parsed = Key::parse(text);
    if (!parsed.key) throw UsageError(fmt::format("{}: {}", place, parsed.error));
    keys.push_back(std::move(*parsed.key));
  };
  for (const std::string& text : given) {
    if (!text.starts_with('@')) {
      add(text, option);
      continue;
    }
    const std::string path = text.substr(1);
    std::ifstream file(path);
    std::string line;
    const std::size_t before = keys.size();
    for (unsigned number = 1; std::getline(file, line); ++number)
      if (line.find_first_not_of(" \t\r") != std::string::npos && !line.starts_with('#'))
        add(line, fmt::format("{} line {}", path, number));
    if (keys.size() == before)
      throw UsageError(fmt::format("{}: {} holds no key, or cannot be read", option, path));
  }
  return keys;
}

std::shared_ptr<const meter::dlms::KeyRing> key_ring(const DecodeOptions& options) {
  auto keys = read_keys<meter::dlms::EncryptionKey>(options.keys, "--key");
  const auto authentication =
      read_keys<meter::dlms::AuthenticationKey>(options.authentication_keys, "--auth-key");
  if (keys.empty() && !authentication.empty())
    throw UsageError("--auth-key needs an encryption key beside it: give --key too");
  std::vector<meter::dlms::KeyEntry> entries;
  for (auto& key : keys) {
    meter::dlms::KeyEntry entry{"*", std::move(key), {}, {}};
    for (const auto& other : authentication)
      if (auto copy = meter::dlms::AuthenticationKey::from_octets(other.octets()))
        entry.authentication.push_back(std::move(*copy));
    entries.push_back(std::move(entry));
  }
  return std::make_shared<const meter::dlms::KeyRing>(std::move(entries));
}

/// Minutes of standard time east of Greenwich in that zone, or the system's. A system that runs on
/// UTC says nothing of where the meter stands.
std::optional<std::int16_t> standard_offset_min(const std::string& zone) {
  if (!zone.empty()) {
    const std::filesystem::path rules = std::filesystem::path("/usr/share/zoneinfo") / zone;
    std::error_code error;
    if (!std::filesystem::is_regular_file(rules, error))
      throw UsageError(fmt::format("--zone: \"{}\" is no zone such as Europe/Vienna", zone));
    setenv("TZ", zone.c_str(), 1);
  }
  tzset();
  if (zone.empty() && timezone == 0 && daylight == 0) return std::nullopt;
  return static_cast<std::int16_t>(-timezone / 60);  // in seconds west of Greenwich
}

}  // namespace

void DecodeOptions::add_to(CLI::App& command) {
  command.add_option("--key", keys, "encryption key, may be given again")
      ->type_name("HEX|@FILE")
      ->expected(1)
      ->take_all();
  command.add_option("--auth-key", authentication_keys, "authentication key")
      ->type_name("HEX|@FILE")
      ->expected(1)
      ->take_all();
  command
      .add_option("--zone", zone,
                  "where the meter stands, if its clock tells summer from winter only (P1); "
                  "else as this system")
      ->type_name("NAME");
  command.add_flag("--explain", explain,
                   "print what each stage does, with offsets, on standard error");
}

std::vector<std::string> DecodeOptions::links() {
  std::vector<std::string> links = {"auto"};
  for (const meter::link::LinkLayer& layer : meter::link::link_layers())
    links.emplace_back(meter::name(layer.link));
  return links;
}

void Explainer::stage(std::string_view stage, std::uint64_t offset, std::string_view text) {
  fmt::print(stderr, "{:>8}  {:<12}  {}\n", offset, stage, text);
}

Decoding::Decoding(const DecodeOptions& options)
    : options_(options), decoder_(decoder_options(), key_ring(options)) {}

meter::DecoderOptions Decoding::decoder_options() {
  meter::DecoderOptions decoder;
  if (options_.link != "auto") decoder.link = meter::link_from_name(options_.link);
  decoder.check_replay = false;
  decoder.standard_offset_min = standard_offset_min(options_.zone);
  if (options_.explain) decoder.observer = &explainer_;
  return decoder;
}

void Decoding::print_telegram() {
  const meter::ReadingSet& readings = decoder_.readings();
  meter::harmonize(readings, map_, named_);
  meter::TelegramFacts facts;
  facts.meter_id = readings.meter_id.view();
  facts.received_us = received_us_;
  facts.sequence = decoder_.telegrams();
  facts.with_sub_meters = true;
  json_.clear();
  meter::write_telegram_json(readings, {named_.begin(), named_.end()}, map_, facts, json_);
  fmt::print("{}\n", json_);
}

void Decoding::print_refusal(const meter::Fault& fault) {
  if (++refusals_ > refusals_printed_max) return;
  fmt::print(stderr, "smartmeterctl: offset {}: {} ({})\n", offset_ + fault.offset,
             meter::describe(fault.code), meter::name(fault.code));
}

/// Gives the decoder everything that is in the buffer.
void Decoding::decode() {
  using Outcome = meter::Decoder::Outcome;
  std::size_t done = 0;
  for (;;) {
    const auto step = decoder_.next(meter::Bytes(buffer_).subspan(done));
    if (step.outcome == Outcome::telegram) print_telegram();
    if (step.outcome == Outcome::rejected) print_refusal(step.fault);
    done += step.consumed;
    offset_ += step.consumed;
    if (step.outcome == Outcome::need_more) break;
  }
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(done));
}

void Decoding::feed(meter::Bytes bytes, std::optional<std::int64_t> received_us) {
  received_us_ = received_us;
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  decode();
}

void Decoding::silence() {
  decoder_.silence();
  decode();
}

int Decoding::finish(const tools::CaptureFile& file) {
  cut_ = decoder_.pending() || buffer_.size() > 1;  // one byte may be the last frame's closing flag
  decoder_.end_of_input();
  decode();
  if (refusals_ > refusals_printed_max)
    fmt::print(stderr, "smartmeterctl: and {} more refusals\n", refusals_ - refusals_printed_max);
  if (decoder_.telegrams() != 0) return exit_good;
  fmt::print(stderr, "smartmeterctl: {}: {}\n", options_.file_name(), conclusion(file));
  return exit_nothing;
}

int decode_recording(Decoding& decoding, tools::CaptureFile& file, const DecodeOptions& options) {
  std::vector<std::byte> piece;
  bool first = true;
  while (file.read(piece)) {
    if (std::exchange(first, false) && options.link == "auto" && looks_like_json(piece))
      return decode_json(file, std::move(piece),
                         {options.file_name(), options.topic, options.explain});
    decoding.feed(piece);
  }
  return decoding.finish(file);
}

bool Decoding::refused(Errc code) const {
  return decoder_.refusals()[std::to_underlying(code)] != 0;
}

/// What the user can do about telegrams that no key opened; empty: nothing was encrypted.
std::string Decoding::key_conclusion() const {
  const auto title = decoder_.system_title();
  const std::string meter = title ? meter::describe(*title) : "without a system title";
  if (refused(Errc::authentication_key_wrong))
    return fmt::format(
        "the encryption key fits the telegram of meter {}, but no authentication key does: check "
        "--auth-key, or leave it out to decode without verifying",
        meter);
  if (refused(Errc::bad_tag))
    return "the authentication tag does not verify: the telegram was damaged or altered; record "
           "another one";
  if (refused(Errc::key_wrong))
    return fmt::format(
        "no key given fits the telegram of meter {}: check --key against the letter of the grid "
        "operator",
        meter);
  if (refused(Errc::key_missing))
    return fmt::format("the telegram is encrypted for meter {}: give its key with --key", meter);
  return {};
}

/// Why there was no telegram, and what to do next.
std::string Decoding::conclusion(const tools::CaptureFile& file) const {
  if (file.size() == 0) return "is empty: record the meter's bytes first";
  if (offset_ + buffer_.size() == 0) return "no received byte is in it: record longer";
  if (std::string key = key_conclusion(); !key.empty()) return key;
  if (file.hex_broken_at())
    return fmt::format("is text, but not hex ({}): correct it, or give the raw bytes",
                       *file.hex_broken_at());
  if (refused(Errc::list_unknown))
    return "the telegram was decoded, but its list is not known: report it with what --explain "
           "prints";
  if (refused(Errc::bad_checksum))
    return "a frame was damaged on the line: record again, and check parity, speed and contact";
  if (cut_ || refused(Errc::lost_fragment) || refused(Errc::truncated))
    return "the recording ends in the middle of a telegram, or a part is missing: record longer";
  for (const Errc code :
       {Errc::unsupported_suite, Errc::unsupported_compression, Errc::unsupported_apdu,
        Errc::malformed, Errc::nesting_too_deep, Errc::too_many_elements, Errc::oversize})
    if (refused(code)) return std::string(meter::describe(code));
  return fmt::format(
      "no frame of a known meter in {} bytes: check the line settings of the recording, or name "
      "the link layer with --link",
      offset_);
}

}  // namespace smartmeterctl
