// SPDX-License-Identifier: Apache-2.0
// smartmeterctl key: what its verbs share.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tools/smartmeterctl/key_file.hpp"
#include "tools/smartmeterctl/key_text.hpp"
#include "tools/smartmeterctl/system_file.hpp"

namespace smartmeterctl {

struct KeyOptions {
  std::string root;
  std::string bus = "system";
  std::string name;  ///< of the file, or what to remove
  std::string meter = "*";
  std::string label;
  std::string file;       ///< a recording; empty: the next telegram
  std::string adapter;    ///< whose next telegram; empty: every adapter's
  unsigned timeout_s = 0; ///< 0: as long as the meters need
  bool next = false;
  bool ask = false;
  bool json = false;

  std::filesystem::path directory() const { return below(root, "/etc/smartmeterd/keys.d"); }
  std::string group() const { return root.empty() ? "smartmeterd" : ""; }
};

/// The keys that a person types, or that standard input holds. Throws std::runtime_error.
MeterKeys ask_keys();

/// What is in keys.d; says on standard error which file the daemon refuses and which cannot be
/// read. Throws std::runtime_error.
KeyFiles stored_files(const KeyOptions& options);

/// key test: the exit status.
int test_keys(const KeyOptions& options);

}  // namespace smartmeterctl
