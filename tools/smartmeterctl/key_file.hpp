// SPDX-License-Identifier: Apache-2.0
// KeyFile: one file of /etc/smartmeterd/keys.d, read, extended and cut.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "meter/dlms/security.hpp"
#include "tools/smartmeterctl/key_text.hpp"
#include "tools/smartmeterctl/secret.hpp"

namespace smartmeterctl {

/// One [[key]] of a file.
struct StoredKey {
  meter::dlms::KeyEntry entry;
  std::size_t line = 0;  ///< of its header, from 1
};

/// Keeps what it does not understand, comments above all. Messages hold no key material. Every
/// failure is a std::runtime_error with the file's name.
class KeyFile {
 public:
  /// Reads the file; a missing one is empty. What is written belongs to `group`, where it is named.
  KeyFile(std::filesystem::path file, std::string group);

  const std::filesystem::path& path() const { return file_; }
  std::string name() const { return file_.stem().native(); }
  const std::vector<StoredKey>& keys() const { return keys_; }
  /// Gives its keys away.
  std::vector<StoredKey> take_keys() { return std::move(keys_); }

  /// Why the daemon refuses a file that is there, with what to do; or empty.
  const std::string& refusal() const { return refusal_; }

  /// Writes the file with one key more. Throws, and leaves the file as it is, where it cannot hold
  /// another one.
  void add(const std::string& meter, const std::string& label, const MeterKeys& keys);
  /// Writes the file without these (indices of keys()), or removes it where none is left. Throws,
  /// and leaves the file as it is, where they cannot be cut out.
  void remove(const std::vector<std::size_t>& which);

 private:
  /// Writes the text, if that makes a file of so many keys.
  void write(std::string_view text, std::size_t keys_count) const;
  std::filesystem::path file_;
  std::string group_;
  std::string refusal_;
  std::unique_ptr<Secret> text_;
  std::vector<StoredKey> keys_;
};

/// The files of a directory, by name.
struct KeyFiles {
  /// One that cannot be read or understood.
  struct Broken {
    std::filesystem::path path;
    std::string problem;  ///< with the file's name
  };
  std::vector<KeyFile> files;
  std::vector<Broken> broken;
};

/// Throws where the directory cannot be read; no files where it is missing.
KeyFiles read_key_files(const std::filesystem::path& directory, const std::string& group);

}  // namespace smartmeterctl
