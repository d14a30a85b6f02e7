// SPDX-License-Identifier: Apache-2.0
// Decoding: telegrams of a recording as JSON, for decode and replay.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "meter/decoder.hpp"
#include "meter/quantity.hpp"
#include "tools/capture_file.hpp"

namespace smartmeterctl {

struct DecodeOptions {
  std::vector<std::string> keys, authentication_keys;
  std::string link = "auto";
  std::string topic;
  std::string zone;
  bool explain = false;
  std::string file;

  std::string file_name() const { return file == "-" ? "standard input" : file; }
  /// Keys, zone and --explain.
  void add_to(CLI::App& command);
  /// "auto" and every link layer.
  static std::vector<std::string> links();
};

/// Prints the stages.
class Explainer : public meter::DecodeObserver {
 public:
  void stage(std::string_view stage, std::uint64_t offset, std::string_view text) override;
};

/// Prints one JSON object for each telegram on standard output, and on standard error why a frame
/// was refused. Throws UsageError where the options make no sense.
class Decoding {
 public:
  explicit Decoding(const DecodeOptions& options);
  /// `received_us`: when the bytes arrived, since 1970.
  void feed(meter::Bytes bytes, std::optional<std::int64_t> received_us = {});
  /// Nothing came for longer than a telegram may pause, or not at the same line settings.
  void silence();
  std::optional<meter::Link> link() const { return decoder_.link(); }
  /// Everything was fed. Says what is wrong where there was no telegram; the exit status.
  int finish(const tools::CaptureFile& file);

 private:
  meter::DecoderOptions decoder_options();
  void decode();
  void print_telegram();
  void print_refusal(const meter::Fault& fault);
  std::string conclusion(const tools::CaptureFile& file) const;
  std::string key_conclusion() const;
  bool refused(meter::Errc code) const;

  static constexpr std::uint64_t refusals_printed_max = 20;
  const DecodeOptions& options_;
  Explainer explainer_;
  meter::Decoder decoder_;
  meter::QuantityMap map_;
  meter::NamedReadings named_;
  std::vector<std::byte> buffer_;  ///< bytes that the decoder has not consumed
  std::uint64_t offset_ = 0;       ///< of the buffer's first byte in the input
  std::uint64_t refusals_ = 0;
  bool cut_ = false;
  std::string json_;
  std::optional<std::int64_t> received_us_;
};

/// Decodes a recording of any kind: raw bytes, hex text, a capture or JSON messages.
int decode_recording(Decoding& decoding, tools::CaptureFile& file, const DecodeOptions& options);

}  // namespace smartmeterctl
