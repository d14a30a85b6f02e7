// SPDX-License-Identifier: Apache-2.0
// Key files: who may read them is checked first; no message repeats what is in them.
#include <fmt/format.h>
#include <sys/stat.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>
#include <utility>

#include "daemon/config.hpp"
#include "daemon/open_file.hpp"

namespace smartmeterd {
namespace {

namespace fs = std::filesystem;
using meter::dlms::AuthenticationKey;
using meter::dlms::EncryptionKey;
using meter::dlms::KeyEntry;

constexpr std::size_t file_size_max = 1024 * 1024;  // thousands of keys

/// A file's text, wiped when it dies. Its size is known before: growing would leave copies behind.
class SecretText {
 public:
  explicit SecretText(std::size_t size) : text_(size, '\0') {}
  SecretText(const SecretText&) = delete;
  SecretText& operator=(const SecretText&) = delete;
  ~SecretText() { explicit_bzero(text_.data(), text_.size()); }
  std::string& text() { return text_; }

 private:
  std::string text_;
};

/// A parsed file, its texts wiped when it dies.
class SecretTable {
 public:
  explicit SecretTable(toml::table table) : table_(std::move(table)) {}
  SecretTable(const SecretTable&) = delete;
  SecretTable& operator=(const SecretTable&) = delete;
  ~SecretTable() { wipe(table_); }
  const toml::table& table() const { return table_; }

 private:
  static void wipe(toml::node& node) {
    if (auto* string = node.as_string()) explicit_bzero(string->get().data(), string->get().size());
    if (auto* table = node.as_table())
      for (auto&& [key, value] : *table) wipe(value);
    if (auto* array = node.as_array())
      for (auto& value : *array) wipe(value);
  }
  toml::table table_;
};

/// Only the administrator and the service may have written a key, and no one else may read it.
std::size_t checked_size(const fs::path& file, int fd) {
  const auto fail = [&](std::string_view problem) {
    throw ConfigError(fmt::format("{}: {}", file.native(), problem));
  };
  if (fd < 0 && errno == EACCES)
    throw NotPermitted(fmt::format("{}: {}", file.native(), std::strerror(EACCES)));
  if (fd < 0) fail(std::strerror(errno));
  struct stat status{};
  if (fstat(fd, &status) != 0) fail(std::strerror(errno));
  if (!S_ISREG(status.st_mode)) fail("expected a regular file");
  if (status.st_uid != 0 && status.st_uid != geteuid())
    fail(fmt::format("belongs to another user, run: chown root '{}'", file.native()));
  if ((status.st_mode & S_IRWXO) != 0)
    fail(fmt::format("other users may read or change it, run: chmod 640 '{}'", file.native()));
  if (std::cmp_greater(status.st_size, file_size_max)) fail("larger than 1 MiB");
  return static_cast<std::size_t>(status.st_size);
}

class KeyFile {
 public:
  explicit KeyFile(const fs::path& file) : file_(file) {}
  void read_into(std::vector<KeyEntry>& keys);

 private:
  [[noreturn]] void fail(toml::source_position at, std::string_view problem) const {
    throw ConfigError(fmt::format("{}:{}:{}: {}", file_.native(), at.line, at.column, problem));
  }
  SecretTable parse();
  const std::string& text(const toml::node& node, std::string_view name) const;
  template <class Key>
  Key key(const toml::node& node, std::string_view name) const;
  KeyEntry entry(const toml::table& table) const;

  const fs::path& file_;
};

SecretTable KeyFile::parse() {
  const OpenFile open(file_);
  SecretText content(checked_size(file_, open.fd()));
  auto& text = content.text();
  std::size_t size = 0;
  while (size < text.size()) {
    const auto got = ::read(open.fd(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw ConfigError(fmt::format("{}: {}", file_.native(), std::strerror(errno)));
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  try {
    return SecretTable(toml::parse(std::string_view(text).substr(0, size)));
  } catch (const toml::parse_error& error) {
    // The parser's own words may quote the file.
    fail(error.source().begin, "not TOML, expected [[key]] tables with values in quotes");
  }
}

const std::string& KeyFile::text(const toml::node& node, std::string_view name) const {
  const auto* string = node.as_string();
  if (!string || string->get().empty())
    fail(node.source().begin, fmt::format("{}: expected a text in quotes", name));
  return string->get();
}

template <class Key>
Key KeyFile::key(const toml::node& node, std::string_view name) const {
  auto parsed = Key::parse(text(node, name));
  if (!parsed.key) fail(node.source().begin, fmt::format("{}: {}", name, parsed.error));
  return std::move(*parsed.key);
}

KeyEntry KeyFile::entry(const toml::table& table) const {
  std::string meter = "*";
  std::string label;
  std::optional<EncryptionKey> encryption;
  std::vector<AuthenticationKey> authentication;
  for (const auto& [name, node] : table) {
    if (name == "meter") {
      meter = text(node, "meter");
    } else if (name == "label") {
      label = text(node, "label");
    } else if (name == "encryption") {
      encryption = key<EncryptionKey>(node, "encryption");
    } else if (name == "authentication" && node.is_array()) {
      for (const auto& one : *node.as_array())
        authentication.push_back(key<AuthenticationKey>(one, "authentication"));
    } else if (name == "authentication") {
      authentication.push_back(key<AuthenticationKey>(node, "authentication"));
    } else {
      // Not repeated: a key may have slipped to the wrong side of the '='.
      fail(name.source().begin,
           "unknown name, expected meter, encryption, authentication or label");
    }
  }
  if (!encryption) fail(table.source().begin, "[[key]] without encryption");
  return {std::move(meter), std::move(*encryption), std::move(authentication), std::move(label)};
}

void KeyFile::read_into(std::vector<KeyEntry>& keys) {
  const SecretTable content = parse();
  for (const auto& [name, node] : content.table()) {
    if (name != "key") fail(name.source().begin, "unknown table or name, expected [[key]]");
    const auto* entries = node.as_array();
    if (!entries) fail(node.source().begin, "expected [[key]] in double brackets");
    for (const auto& one : *entries) {
      if (!one.is_table()) fail(one.source().begin, "expected a table [[key]]");
      keys.push_back(entry(*one.as_table()));
    }
  }
}

}  // namespace

std::vector<KeyEntry> load_keys(const fs::path& directory, std::vector<std::string>* refused) {
  std::vector<KeyEntry> keys;
  auto read = [&](const fs::path& file) {
    try {
      std::vector<KeyEntry> found;
      KeyFile(file).read_into(found);
      std::ranges::move(found, std::back_inserter(keys));
    } catch (const ConfigError& error) {
      if (refused == nullptr) throw;
      refused->emplace_back(error.what());
    }
  };
  for (const auto& file : toml_files(directory)) read(file);
  if (const char* credentials = std::getenv("CREDENTIALS_DIRECTORY")) {
    const fs::path file = fs::path(credentials) / "meter-keys";
    std::error_code error;
    if (fs::exists(file, error)) read(file);
  }
  return keys;
}

}  // namespace smartmeterd
