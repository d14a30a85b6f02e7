// SPDX-License-Identifier: Apache-2.0
// KeyFile: one file of /etc/smartmeterd/keys.d, read, extended and cut.
#include "tools/smartmeterctl/key_file.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <utility>

#include "meter/base/hex.hpp"
#include "tools/fd.hpp"
#include "tools/smartmeterctl/system_file.hpp"

namespace smartmeterctl {
namespace {

namespace fs = std::filesystem;
using meter::dlms::AuthenticationKey;
using meter::dlms::EncryptionKey;

constexpr std::size_t file_size_max = 1024 * 1024;  // as the daemon's
// The service reads them, nobody else but root does.
constexpr mode_t file_mode = 0640, directory_mode = 0750;
constexpr mode_t configuration_mode = 0755;  // systemd's ConfigurationDirectoryMode

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
    if (auto* text = node.as_string()) explicit_bzero(text->get().data(), text->get().size());
    if (auto* table = node.as_table())
      for (auto&& [key, value] : *table) wipe(value);
    if (auto* array = node.as_array())
      for (auto& value : *array) wipe(value);
  }
  toml::table table_;
};

/// What the daemon says of a file that it does not read.
std::string refusal_of(const fs::path& file, const struct stat& status) {
  if (status.st_uid != 0 && status.st_uid != ::geteuid())
    return fmt::format("belongs to another user: chown root '{}'", file.native());
  if ((status.st_mode & S_IRWXO) != 0)
    return fmt::format("other users may read or change it: chmod 640 '{}'", file.native());
  return {};
}

std::unique_ptr<Secret> read_whole(const fs::path& file, std::string& refusal) {
  const auto fail = [&](const char* problem) {
    throw std::runtime_error(fmt::format("{}: {}", file.native(), problem));
  };
  const tools::Fd open(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (open.get() < 0 && errno == ENOENT) return std::make_unique<Secret>(0);
  if (open.get() < 0) fail(std::strerror(errno));
  struct stat status{};
  if (::fstat(open.get(), &status) != 0) fail(std::strerror(errno));
  if (!S_ISREG(status.st_mode)) fail("expected a regular file");
  if (std::cmp_greater(status.st_size, file_size_max)) fail("larger than 1 MiB");
  refusal = refusal_of(file, status);
  auto text = std::make_unique<Secret>(static_cast<std::size_t>(status.st_size));
  try {
    text->read(open.get(), false);
  } catch (const std::runtime_error&) {
    fail("changed while it was read");
  }
  return text;
}

/// A text in the quotes of TOML.
std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

void append_key(Secret& text, std::string_view name, meter::Bytes octets) {
  std::array<char, 64> digits;
  text.append(name);
  text.append(" = \"");
  text.append(meter::write_hex(octets, digits, meter::hex_upper));
  text.append("\"\n");
  explicit_bzero(digits.data(), digits.size());
}

template <class Key>
Key parsed_key(const toml::node& node) {
  const auto* text = node.as_string();
  auto parsed = Key::parse(text != nullptr ? std::string_view(text->get()) : std::string_view());
  if (!parsed.key) throw std::runtime_error(parsed.error);
  return std::move(*parsed.key);
}

StoredKey stored_key(const toml::table& table) {
  const toml::node* encryption = table.get("encryption");
  if (encryption == nullptr) throw std::runtime_error("[[key]] without encryption");
  StoredKey key{{table["meter"].value_or(std::string("*")), parsed_key<EncryptionKey>(*encryption),
                 {}, table["label"].value_or(std::string())},
                table.source().begin.line};
  if (const toml::node* node = table.get("authentication")) {
    if (const auto* array = node->as_array())
      for (const auto& one : *array)
        key.entry.authentication.push_back(parsed_key<AuthenticationKey>(one));
    else
      key.entry.authentication.push_back(parsed_key<AuthenticationKey>(*node));
  }
  return key;
}

/// The keys of a file's text. Throws std::runtime_error with the file's name and the line.
std::vector<StoredKey> parsed_keys(std::string_view text, const fs::path& file) {
  const auto fail = [&file](std::size_t line, std::string_view problem) {
    throw std::runtime_error(fmt::format("{}:{}: {}", file.native(), line, problem));
  };
  std::vector<StoredKey> found;
  std::size_t line = 1;
  try {
    const SecretTable content(toml::parse(text));
    const toml::array* keys = content.table()["key"].as_array();
    if (keys == nullptr) return found;
    for (const auto& node : *keys) {
      line = node.source().begin.line;
      if (!node.is_table()) fail(line, "expected a table [[key]]");
      found.push_back(stored_key(*node.as_table()));
    }
  } catch (const toml::parse_error& error) {  // its own words may quote the file
    fail(error.source().begin.line, "not TOML, expected [[key]] tables with values in quotes");
  } catch (const std::runtime_error& error) {
    if (std::string_view(error.what()).starts_with(file.native())) throw;
    fail(line, error.what());
  }
  return found;
}

/// How many keys a text has; nothing where it is no key file.
std::optional<std::size_t> count_keys(std::string_view text) {
  try {
    return parsed_keys(text, {}).size();
  } catch (const std::runtime_error&) {
    return std::nullopt;
  }
}

}  // namespace

KeyFile::KeyFile(fs::path file, std::string group)
    : file_(std::move(file)),
      group_(std::move(group)),
      text_(read_whole(file_, refusal_)),
      keys_(parsed_keys(text_->view(), file_)) {}

void KeyFile::add(const std::string& meter, const std::string& label, const MeterKeys& keys) {
  constexpr std::size_t names_max = 256;  // of one entry, without meter and label
  Secret text(text_->view().size() + 2 * (meter.size() + label.size()) + names_max);
  text.append(text_->view());
  if (!text.view().empty()) text.append(text.view().ends_with('\n') ? "\n" : "\n\n");
  text.append("[[key]]\nmeter = " + quoted(meter) + "\n");
  if (!label.empty()) text.append("label = " + quoted(label) + "\n");
  append_key(text, "encryption", keys.encryption.octets());
  if (keys.authentication) append_key(text, "authentication", keys.authentication->octets());
  write(text.view(), keys_.size() + 1);
}

void KeyFile::write(std::string_view text, std::size_t keys_count) const {
  // Keys may be written in other ways than as lines below [[key]].
  if (count_keys(text) != keys_count)
    throw std::runtime_error(
        fmt::format("{}: its keys are not in [[key]] tables of their own lines, so that it is left "
                    "as it is: write them so, or change it by hand; \"key add\" takes another NAME",
                    file_.native()));
  const fs::path directory = file_.parent_path();
  check_group(group_);  // before anything is made
  if (!fs::exists(directory.parent_path()))
    make_directory(directory.parent_path(), configuration_mode);
  make_directory(directory, directory_mode, group_);
  write_file(file_, text, file_mode, group_);
}

void KeyFile::remove(const std::vector<std::size_t>& which) {
  if (which.size() == keys_.size()) return remove_file(file_);
  Secret text(text_->view().size());
  std::string_view rest = text_->view();
  for (std::size_t line = 1; !rest.empty(); ++line) {
    const std::size_t size = std::min(rest.find('\n'), rest.size() - 1) + 1;
    // The last key whose header stands at or above this line.
    const auto after = std::ranges::upper_bound(keys_, line, {}, &StoredKey::line);
    const auto index = static_cast<std::size_t>(after - keys_.begin());
    if (index == 0 || !std::ranges::count(which, index - 1)) text.append(rest.substr(0, size));
    rest.remove_prefix(size);
  }
  write(text.view(), keys_.size() - which.size());
}

KeyFiles read_key_files(const fs::path& directory, const std::string& group) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error))
    if (entry.path().extension() == ".toml") paths.push_back(entry.path());
  if (error && error != std::errc::no_such_file_or_directory)
    throw std::runtime_error(fmt::format("{}: {}", directory.native(), error.message()));
  std::ranges::sort(paths);
  KeyFiles all;
  for (const fs::path& path : paths) {
    try {
      all.files.emplace_back(path, group);
    } catch (const std::runtime_error& problem) {
      all.broken.push_back({path, problem.what()});
    }
  }
  return all;
}

}  // namespace smartmeterctl
