// SPDX-License-Identifier: Apache-2.0
// The capture format: pieces of any size give the same lines, or the same refusal; what is read
// stays inside the text, and what is written of it is read again as the same.
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/fuzz.hpp"
#include "tools/capture_format.hpp"

namespace {

using meter::fuzz::require;
using tools::CaptureLine;
using tools::CaptureParser;

struct Lines {
  std::vector<std::string> text;
  std::vector<std::byte> octets;
  std::vector<std::int64_t> times;
  std::string refusal;
  bool operator==(const Lines&) const = default;
};

bool is_inside(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void take(CaptureParser& parser, Lines& lines) {
  CaptureLine line;
  while (parser.next(line)) {
    require(line.text.size() <= CaptureParser::line_size_max, "lines are limited");
    require(is_inside(line.word, line.text) && is_inside(line.value, line.text),
            "words are in their line");
    require(2 * line.octets.size() <= line.text.size(), "two digits an octet");
    require(line.octets.empty() || line.kind == CaptureLine::Kind::octets, "octets are hex lines");
    lines.text.emplace_back(line.text);
    lines.octets.insert(lines.octets.end(), line.octets.begin(), line.octets.end());
    lines.times.push_back(parser.received_us().value_or(-1));
  }
}

Lines read(std::string_view text, std::size_t piece_size) {
  CaptureParser parser;
  Lines lines;
  try {
    for (; !text.empty(); text.remove_prefix(std::min(piece_size, text.size()))) {
      parser.add(text.substr(0, piece_size));
      take(parser, lines);
    }
    parser.end();
    take(parser, lines);
    require(parser.size() == lines.octets.size(), "every octet is counted");
  } catch (const tools::CaptureError& error) {
    lines.refusal = error.what();
    require(lines.refusal.starts_with("line "), "a refusal says where");
  }
  return lines;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const Lines lines = read(text, text.size());
  require(read(text, 61) == lines, "pieces make no difference");
  if (!lines.refusal.empty() || lines.text.empty()) return 0;
  tools::CaptureWriter writer;
  writer.magic();
  writer.octets(lines.octets);
  const Lines again = read(writer.text(), 4096);
  require(again.refusal.empty() && again.octets == lines.octets, "what is written is read");
  return 0;
}
