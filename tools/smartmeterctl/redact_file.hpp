// SPDX-License-Identifier: Apache-2.0
// Recordings from a file, as captures that can be redacted.
#pragma once

#include <cstddef>
#include <string>

namespace smartmeterctl::redact {

/// Of a capture's text: hours of a meter that sends every second. It is redacted in memory.
inline constexpr std::size_t capture_size_max = std::size_t{64} * 1024 * 1024;

/// A file, or "-" for standard input, and no adapter.
bool is_recording(const std::string& name);

/// A capture as it is; raw bytes and hex text as one without times. Throws std::runtime_error with
/// a sentence.
std::string read_recording(const std::string& file);

}  // namespace smartmeterctl::redact
