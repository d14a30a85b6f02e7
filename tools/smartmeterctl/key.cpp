// SPDX-License-Identifier: Apache-2.0
// smartmeterctl key: meter keys added, listed, removed and tried.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "meter/telegram_json.hpp"
#include "tools/smartmeterctl/bus.hpp"
#include "tools/smartmeterctl/key.hpp"
#include "tools/smartmeterctl/key_file.hpp"
#include "tools/smartmeterctl/secret.hpp"
#include "tools/smartmeterctl/style.hpp"
#include "tools/smartmeterctl/text.hpp"
#include "tools/smartmeterctl/verbs.hpp"

namespace smartmeterctl {
namespace {

using meter::dlms::KeyEntry;

constexpr const char* key_footer = R"(
Examples:
  sudo smartmeterctl key add house             asks for the operator's key
  sudo smartmeterctl key test                  tries it on the meter's next telegram
  sudo smartmeterctl key list

smartmeterctl key VERB --help says more.
Exit status: 0 good, 1 nothing fits or an error, 2 wrong usage.)";

constexpr const char* add_footer = R"(
Asks for the keys without showing them, or reads them from standard input; never give a key as an
argument. Keys are taken as operators print them: with blanks, dashes or colons, in capital or
small letters, with a name in front (GUEK, EK, GPK60; GAK, AK, GPK61) or on two lines, the
encryption key first. NAME is the file in /etc/smartmeterd/keys.d. A meter may have several keys,
as when the operator announces a new one: the one that fits is used. A running smartmeterd takes
the key at once.

Exit status: 0 stored, 1 an error, 2 wrong usage.

Examples:
  sudo smartmeterctl key add house
  sudo smartmeterctl key add house --label next --meter 4B464D6750000009
  sudo smartmeterctl key add house < letter.txt)";

constexpr const char* test_footer = R"(
Waits for the next telegram on every adapter of the running smartmeterd, which goes on reading, or
takes a recording (received bytes or hex text). Says for each meter whether the stored keys fit, or,
with --ask, a key that is asked for or read from standard input and not stored: no byte, no frame,
damaged, not encrypted, another key, another authentication key, no tag, or verified. The replay
rule does not count here.

Exit status: 0 a key fits, 1 none does, 2 wrong usage.

Examples:
  sudo smartmeterctl key test
  sudo smartmeterctl key test --next /dev/ttyUSB0 --timeout 120
  sudo smartmeterctl key test --ask < letter.txt
  sudo smartmeterctl key test capture.bin
  smartmeterctl key test --ask capture.hex)";

/// The character of one UTF-8 sequence.
char32_t character(std::string_view sequence) {
  const auto first = static_cast<unsigned char>(sequence[0]);
  if (sequence.size() == 1) return first;
  char32_t c = first & (0x7fu >> sequence.size());
  for (const char next : sequence.substr(1)) c = c << 6 | (static_cast<unsigned char>(next) & 0x3f);
  return c;
}

/// Controls, and what is invisible or changes how the text around it is shown (Unicode's
/// categories Cc, Cf, Zl, Zp).
bool is_control(char32_t c) {
  constexpr std::pair<char32_t, char32_t> ranges[] = {
      {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},     {0x600, 0x605},   {0x61c, 0x61c},
      {0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff},
      {0xfff9, 0xfffb}, {0xe0000, 0xe007f}};
  return std::ranges::any_of(
      ranges, [c](const auto& range) { return c >= range.first && c <= range.second; });
}

bool is_printable(std::string_view text) {
  while (!text.empty()) {
    const std::size_t size = meter::utf8_sequence(text);
    if (size == 0 || is_control(character(text.substr(0, size)))) return false;
    text.remove_prefix(size);
  }
  return true;
}

/// A name or text that goes into a file, and on a terminal.
void check_text(const char* what, const std::string& text) {
  constexpr std::size_t size_max = 64;
  if (text.size() > size_max || !is_printable(text))
    throw UsageError(fmt::format("{}: at most {} printable characters", what, size_max));
}

/// Whether a text could be a key that was given on the command line by mistake.
void check_no_key(const char* what, const std::string& text) {
  if (meter::dlms::EncryptionKey::parse(text).key)
    throw UsageError(fmt::format(
        "{}: this is a key; others can see it on the command line: smartmeterctl asks for it",
        what));
}

void check_name(const std::string& name) {
  if (!is_plain_name(name))
    throw UsageError("NAME: letters, digits, '-' and '_', as in \"house\"");
}

/// Tells the daemon; the exit status. The file is written in any case: what goes wrong here is
/// said, and a failure where the daemon goes on with its old keys.
int reload(const KeyOptions& options) {
  try {
    if (Bus(options.bus).reload())
      fmt::print("smartmeterd has read its keys again: \"sudo smartmeterctl key test\" tries them "
                 "on the next telegram.\n");
    else
      fmt::print("smartmeterd is not running: it reads the keys when it starts.\n");
  } catch (const std::runtime_error& error) {
    const auto* answer = dynamic_cast<const BusError*>(&error);
    if (answer != nullptr && answer->name.starts_with("org.smartmeterd1.Error.")) {
      fmt::print(stderr,
                 "smartmeterctl: the file is written, but smartmeterd goes on with the keys it "
                 "had: {}: correct this, then run \"systemctl reload smartmeterd\"\n",
                 error.what());
      return exit_nothing;
    }
    fmt::print(stderr,
               "smartmeterctl: smartmeterd was not told: {}: if it is running, send it SIGHUP\n",
               error.what());
  }
  return exit_good;
}

bool holds(const KeyEntry& entry, const meter::dlms::AuthenticationKey& key) {
  return std::ranges::any_of(entry.authentication, [&key](const auto& other) {
    return std::ranges::equal(other.octets(), key.octets());
  });
}

bool is_aes_256(const meter::dlms::EncryptionKey& key) {
  return key.octets().size() == 32;
}

std::string fingerprints(const KeyEntry& entry) {
  std::string text = entry.encryption.fingerprint();
  for (const auto& key : entry.authentication) text += ", authentication " + key.fingerprint();
  return text;
}

int add_keys(const KeyOptions& options) {
  check_no_key("NAME", options.name);
  check_name(options.name);
  for (const auto& [what, text] :
       {std::pair{"--meter", options.meter}, {"--label", options.label}}) {
    check_no_key(what, text);
    check_text(what, text);
  }
  require_root(options.root, fmt::format("key add {}", options.name));
  const auto read = [&] {
    return KeyFile(options.directory() / (options.name + ".toml"), options.group());
  };
  read();  // before a person types a key for nothing
  const MeterKeys keys = ask_keys();
  const ChangeLock lock(options.root);
  KeyFile file = read();
  for (const StoredKey& stored : file.keys()) {
    const KeyEntry& entry = stored.entry;
    const bool same_key = std::ranges::equal(entry.encryption.octets(), keys.encryption.octets());
    if (same_key && entry.meter == options.meter &&
        (!keys.authentication || holds(entry, *keys.authentication)))
      throw std::runtime_error(fmt::format("{} holds this key already", file.path().native()));
    if (entry.meter == options.meter && entry.label == options.label && !same_key)
      throw std::runtime_error(fmt::format(
          "{} holds another key for this meter with this label: give it another --label, or run "
          "\"smartmeterctl key remove {}\" first",
          file.path().native(), options.name));
  }
  file.add(options.meter, options.label, keys);
  fmt::print("Stored in {}: encryption {}{}{}.\n", file.path().native(),
             keys.encryption.fingerprint(),
             is_aes_256(keys.encryption) ? " (one key of 64 digits, AES-256)" : "",
             keys.authentication ? ", authentication " + keys.authentication->fingerprint() : "");
  return reload(options);
}

void print_json(const std::vector<KeyFile>& files) {
  std::string text;
  meter::JsonWriter json(text);
  json.begin_array();
  for (const KeyFile& file : files)
    for (const StoredKey& key : file.keys()) {
      json.begin_object().key("name").text(file.name()).key("meter").text(key.entry.meter);
      json.key("label").text(key.entry.label);
      json.key("encryption").text(key.entry.encryption.fingerprint());
      json.key("authentication").begin_array();
      for (const auto& one : key.entry.authentication) json.text(one.fingerprint());
      json.end_array().end_object();
    }
  json.end_array();
  fmt::print("{}\n", text);
}

int list_keys(const KeyOptions& options) {
  require_root(options.root, "key list");
  const auto [files, broken] = stored_files(options);
  const int status = broken.empty() ? exit_good : exit_nothing;
  if (options.json) {
    print_json(files);
    return status;
  }
  Table table({{"NAME"}, {"METER"}, {"LABEL", 1}, {"KIND", 2}, {"SHA-256"}});
  bool is_empty = true;
  for (const KeyFile& file : files)
    for (const auto& [entry, line] : file.keys()) {
      const auto row = [&](const char* kind, const std::string& fingerprint) {
        table.add({file.name(), entry.meter == "*" ? "any" : entry.meter, or_dash(entry.label),
                   kind, fingerprint + "…"});
        is_empty = false;
      };
      row(is_aes_256(entry.encryption) ? "encryption (AES-256)" : "encryption",
          entry.encryption.fingerprint());
      for (const auto& key : entry.authentication) row("authentication", key.fingerprint());
    }
  if (!is_empty)
    table.print();
  else if (broken.empty())
    fmt::print("No key: \"sudo smartmeterctl key add NAME\" asks for one.\n");
  return status;
}

void say_broken(const std::vector<KeyFiles::Broken>& broken) {
  for (const auto& [path, problem] : broken)
    fmt::print(
        stderr,
        "smartmeterctl: {}: correct it, or \"sudo smartmeterctl key remove {}\" removes it\n",
        problem, path.stem().native());
}

/// What of a file is meant by a name or the first digits of a key's SHA-256, and a label.
std::vector<std::size_t> selected(const KeyFile& file, const KeyOptions& options,
                                  bool with_label) {
  std::vector<std::size_t> which;
  for (std::size_t i = 0; i < file.keys().size(); ++i) {
    const KeyEntry& entry = file.keys()[i].entry;
    const bool named =
        file.name() == options.name || entry.encryption.fingerprint() == options.name;
    if (named && (!with_label || entry.label == options.label)) which.push_back(i);
  }
  return which;
}

/// Removes the keys that are meant, or a file of this name that cannot be read; whether there were
/// any. `broken`: what is left of those files.
bool remove_from(const KeyOptions& options, bool with_label,
                 std::vector<KeyFiles::Broken>& broken) {
  auto all = read_key_files(options.directory(), options.group());
  bool removed = false;
  for (KeyFile& file : all.files) {
    const auto which = selected(file, options, with_label);
    if (which.empty()) continue;
    std::string text;
    for (const std::size_t i : which)
      text += fmt::format("Removed from {}: encryption {}.\n", file.path().native(),
                          fingerprints(file.keys()[i].entry));
    file.remove(which);
    fmt::print("{}", text);
    removed = true;
  }
  for (KeyFiles::Broken& file : all.broken) {
    if (file.path.stem() != options.name || with_label) {
      broken.push_back(std::move(file));
      continue;
    }
    remove_file(file.path);
    fmt::print("Removed {}, which could not be read.\n", file.path.native());
    removed = true;
  }
  return removed;
}

int remove_keys(const KeyOptions& options, bool with_label) {
  check_no_key("NAME", options.name);
  require_root(options.root, fmt::format("key remove {}", options.name));
  const ChangeLock lock(options.root);
  std::vector<KeyFiles::Broken> broken;
  const bool removed = remove_from(options, with_label, broken);
  say_broken(broken);
  if (!removed)
    throw std::runtime_error(
        fmt::format("there is no such key: \"smartmeterctl key list\" shows the names"));
  const int status = reload(options);
  return broken.empty() ? status : exit_nothing;
}

/// The same key for both purposes is nearly always a slip.
void check_different(const MeterKeys& keys) {
  if (keys.authentication &&
      std::ranges::equal(keys.encryption.octets(), keys.authentication->octets()))
    fmt::print(stderr, "smartmeterctl: encryption key and authentication key are the same: was one "
                       "given twice?\n");
}

}  // namespace

KeyFiles stored_files(const KeyOptions& options) {
  auto all = read_key_files(options.directory(), options.group());
  for (const KeyFile& file : all.files)
    if (!file.refusal().empty())
      fmt::print(stderr, "smartmeterctl: {}: smartmeterd refuses this file: {}\n",
                 file.path().native(), file.refusal());
  say_broken(all.broken);
  return all;
}

MeterKeys ask_keys() {
  Secret text(secret_input_max);
  if (!is_prompting()) {
    try {
      text.read(STDIN_FILENO, false);
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(fmt::format("standard input {}", error.what()));
    }
    MeterKeys keys = read_key_text(text.view());
    check_different(keys);
    return keys;
  }
  prompt_secret("Encryption key (GUEK, EK, GPK60), not shown: ", text);
  MeterKeys keys = read_key_text(text.view());
  check_different(keys);
  if (keys.authentication) return keys;
  Secret second(secret_input_max);
  prompt_secret("Authentication key (GAK, AK, GPK61), empty if there is none: ", second);
  keys.authentication = read_authentication_key(second.view());
  check_different(keys);
  return keys;
}

void add_key(CLI::App& app, Action& action) {
  auto options = std::make_shared<KeyOptions>();
  CLI::App* key = app.add_subcommand("key", "meter keys: add, list, remove and test them");
  key->require_subcommand(1);
  key->footer(key_footer);
  const auto verb = [&](const char* name, const char* text, const char* footer, bool on_bus) {
    CLI::App* command = key->add_subcommand(name, text);
    command->footer(footer);
    command->add_option("--root", options->root)->group("");  // for tests: a scratch tree
    if (on_bus)
      command->add_option("--bus", options->bus, "system, session or an address")
          ->type_name("BUS")
          ->capture_default_str();
    return command;
  };
  CLI::App* add = verb("add", "store a key and have smartmeterd read it", add_footer, true);
  add->add_option("NAME", options->name, "of the file, such as \"house\"")->required();
  add->add_option("--meter", options->meter, "its id or system title; * for any")
      ->capture_default_str();
  add->add_option("--label", options->label, "tells several keys of a meter apart");
  add->callback([options, &action] { action = [options] { return add_keys(*options); }; });

  CLI::App* list = verb("list", "names, meters, and the first digits of each key's SHA-256",
                        "\nNo key is ever shown."
                        "\n\nExit status: 0 good, 1 a file cannot be read, 2 wrong usage.",
                        false);
  list->add_flag("--json", options->json, "for machines");
  list->callback([options, &action] { action = [options] { return list_keys(*options); }; });

  CLI::App* remove = verb("remove", "forget a key",
                          "\nExit status: 0 removed, 1 there is none, or an error, 2 wrong usage."
                          "\n\nExamples:\n  sudo smartmeterctl key remove house\n"
                          "  sudo smartmeterctl key remove house --label old\n"
                          "  sudo smartmeterctl key remove 1f2e3d4c", true);
  remove->add_option("NAME", options->name, "of the file, or the digits that \"key list\" shows")
      ->required();
  const CLI::Option* label = remove->add_option("--label", options->label, "only this one");
  remove->callback([options, label, &action] {
    action = [options, label] { return remove_keys(*options, label->count() > 0); };
  });

  CLI::App* test = verb("test", "whether keys fit the meter's telegrams", test_footer, true);
  test->add_option("FILE", options->file, "received bytes or hex text, - for standard input");
  test->add_flag("--ask", options->ask, "try a key that is not stored");
  const CLI::Option* next =
      test->add_option("--next", options->adapter,
                       "the next telegram (also without FILE), of one adapter: node, link or name")
          ->expected(0, 1)
          ->type_name("[ADAPTER]");
  test->add_option("--timeout", options->timeout_s, "wait so long at most; 0: as the meters need")
      ->type_name("SECONDS")
      ->capture_default_str();
  test->callback([options, next, &action] {
    action = [options, next] {
      options->next = next->count() > 0;
      return test_keys(*options);
    };
  });
}

}  // namespace smartmeterctl
