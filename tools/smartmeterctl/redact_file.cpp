// SPDX-License-Identifier: Apache-2.0
// Recordings from a file, as captures that can be redacted.
#include "tools/smartmeterctl/redact_file.hpp"

#include <filesystem>
#include <stdexcept>
#include <vector>

#include "tools/capture_file.hpp"
#include "tools/smartmeterctl/json_messages.hpp"

namespace smartmeterctl::redact {

bool is_recording(const std::string& name) {
  std::error_code error;
  return name == "-" || std::filesystem::is_regular_file(name, error);
}

std::string read_recording(const std::string& file) {
  tools::CaptureFile recording(file);
  tools::CaptureWriter writer;
  const auto limit = [&writer, &file] {
    if (writer.text().size() > capture_size_max)
      throw std::runtime_error(file + ": is too long to be redacted: cut it, or record less");
  };
  if (recording.is_capture()) {
    for (tools::CaptureLine line; recording.next_line(line); limit()) writer.line(line.text);
    return writer.text();
  }
  writer.magic();
  for (std::vector<std::byte> piece; recording.read(piece); limit()) {
    if (looks_like_json(piece))
      throw std::runtime_error(file + ": holds messages of a gateway (JSON), and only what a meter "
                                      "sends can be redacted: replace the ids by hand");
    writer.octets(piece);
  }
  return writer.text();
}

}  // namespace smartmeterctl::redact
