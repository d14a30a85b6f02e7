// SPDX-License-Identifier: Apache-2.0
// decode_json(): the messages of a recording as telegram JSON.
#pragma once

#include <string>
#include <vector>

#include "tools/capture_file.hpp"

namespace smartmeterctl {

struct JsonOptions {
  std::string name;   ///< of the recording, for messages
  std::string topic;  ///< of messages whose line names none
  bool explain = false;
};

/// `piece` is what was read of `file` already. Returns the exit status.
int decode_json(tools::CaptureFile& file, std::vector<std::byte> piece, const JsonOptions& options);

}  // namespace smartmeterctl
