// SPDX-License-Identifier: Apache-2.0
// LocalRules: /etc/udev/rules.d/60-smartmeter-local.rules, where adapters are claimed.
#include "tools/smartmeterctl/local_rules.hpp"

#include <fmt/core.h>
#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "tools/smartmeterctl/system_file.hpp"

namespace smartmeterctl {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view blanks = " \t\r\n";
constexpr std::string_view header =
    "# Adapters that meters are read with: written by \"smartmeterctl claim\" and \"unclaim\", "
    "read\n"
    "# by udev before 61-smartmeter.rules, which says what a line can hold.\n";

/// Characters that are only themselves in a udev rule, its patterns and a shell.
bool is_safe(std::string_view text) {
  constexpr std::string_view allowed =
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.:@+";
  return !text.empty() && text.find_first_not_of(allowed) == std::string_view::npos;
}

std::string_view trimmed(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
  return text.substr(0, text.find_last_not_of(blanks) + 1);
}

/// Cuts at the ends of the logical lines: a backslash before the end of a line joins it to the
/// next.
std::vector<std::string> logical_lines(std::string_view text) {
  std::vector<std::string> lines;
  bool joins = false;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n') + 1);
    const std::string_view whole = line.empty() ? text : line;
    if (joins)
      lines.back() += whole;
    else
      lines.emplace_back(whole);
    const std::string_view content = trimmed(whole);
    joins = content.ends_with('\\') && (joins || !content.starts_with('#'));
    text.remove_prefix(whole.size());
  }
  return lines;
}

/// As udev compares: alternatives between '|', each a pattern of the shell.
bool is_like(const std::string& pattern, const std::string& text) {
  for (std::size_t begin = 0; begin <= pattern.size();) {
    const std::size_t end = std::min(pattern.find('|', begin), pattern.size());
    if (::fnmatch(pattern.substr(begin, end - begin).c_str(), text.c_str(), 0) == 0) return true;
    begin = end + 1;
  }
  return false;
}

/// PRODUCT of the USB device: vendor, product and version in hex without leading zeros.
std::string product_of(const SerialPort& port) {
  const auto short_hex = [](std::string_view id) {
    return id.substr(std::min(id.find_first_not_of('0'), id.size()));
  };
  return fmt::format("{}/{}/100", short_hex(port.vendor_id), short_hex(port.product_id));
}

/// What a token compares on this port; nothing where that is not known here.
std::optional<std::string> compared(const RuleToken& token, const SerialPort& port) {
  if (token.key == "SUBSYSTEM") return "tty";
  if (token.key == "KERNEL") return port.name();
  if (token.key == "SUBSYSTEMS" && token.value == "usb") return port.is_usb() ? "usb" : "";
  if (token.key == "ENV" && token.attribute == ".ID_PORT") return port.port_number;
  if (token.key == "ENV" && token.attribute == "ID_USB_INTERFACE_NUM") return port.interface_number;
  if (token.key == "ENV") return port.property(token.attribute);
  if (token.key != "ATTRS") return std::nullopt;
  const std::map<std::string_view, const std::string*> attributes = {
      {"idVendor", &port.vendor_id},
      {"idProduct", &port.product_id},
      {"serial", &port.serial},
      {"manufacturer", &port.vendor},
      {"product", &port.product}};
  const auto found = attributes.find(token.attribute);
  return found == attributes.end() ? std::nullopt : std::optional(*found->second);
}

bool is_operation(std::string_view text) {
  constexpr std::array<std::string_view, 6> operations = {"==", "!=", "=", "+=", "-=", ":="};
  return std::ranges::find(operations, text) != operations.end();
}

bool is_comparison(const RuleToken& token) {
  return token.operation == "==" || token.operation == "!=";
}

/// An exact value of one of the things that tell adapters apart.
bool is_identity(const RuleToken& token) {
  const bool identifies =
      token.key == "KERNEL" || (token.key == "ATTRS" && token.attribute == "serial") ||
      (token.key == "ENV" && (token.attribute == "ID_PATH" || token.attribute == "ID_SERIAL" ||
                              token.attribute == "ID_SERIAL_SHORT"));
  return identifies && token.operation == "==" &&
         token.value.find_first_of("*?[|") == std::string::npos && !token.value.empty();
}

std::optional<Claim> claim_of(const std::vector<RuleToken>& tokens) {
  Claim claim;
  for (const RuleToken& token : tokens) {
    if (token.key != "ENV" || is_comparison(token)) continue;
    if (token.attribute == "SMARTMETER_KIND") claim.kind = token.value;
    if (token.attribute == "SMARTMETER_NAME") claim.name = token.value;
    if (token.attribute == "SMARTMETER_LINK") claim.link = token.value;
    if (token.attribute == "SMARTMETER_PRIORITY") claim.high_priority = token.value == "high";
  }
  return claim.kind.empty() ? std::nullopt : std::optional(std::move(claim));
}

std::string usb_ids(const SerialPort& port) {
  if (!is_safe(port.vendor_id) || !is_safe(port.product_id))
    throw std::runtime_error(fmt::format("{}: its USB ids cannot be read", port.node));
  return fmt::format(R"(SUBSYSTEMS=="usb", ATTRS{{idVendor}}=="{}", ATTRS{{idProduct}}=="{}")",
                     port.vendor_id, port.product_id);
}

/// Which port of a chip that has several; empty for the others. Not ATTRS: all of one rule must be
/// of the same parent.
std::string port_of_chip(const SerialPort& port, const std::vector<SerialPort>& ports) {
  bool many = false, behind_one_interface = false;
  for (const SerialPort& other : ports) {
    if (other.usb_device != port.usb_device || other.syspath == port.syspath) continue;
    many = true;
    behind_one_interface |= other.interface_number == port.interface_number;
  }
  std::string text;
  if (many) text += fmt::format(R"(, ENV{{ID_USB_INTERFACE_NUM}}=="{}")", port.interface_number);
  if (behind_one_interface) text += fmt::format(R"(, ENV{{.ID_PORT}}=="{}")", port.port_number);
  return text;
}

}  // namespace

std::vector<RuleToken> rule_tokens(std::string_view rule) {
  std::vector<RuleToken> tokens;
  std::string text(rule);
  for (std::size_t at = 0; (at = text.find("\\\n", at)) != std::string::npos;) text.erase(at, 2);
  std::string_view rest = trimmed(text);
  if (rest.starts_with('#')) return {};
  while (!rest.empty()) {
    RuleToken token;
    std::size_t end = rest.find_first_of("{=!+-:");
    if (end == rest.npos) return {};
    token.key = trimmed(rest.substr(0, end));
    rest.remove_prefix(end);
    if (rest.starts_with('{')) {
      end = rest.find('}');
      if (end == rest.npos) return {};
      token.attribute = rest.substr(1, end - 1);
      rest = trimmed(rest.substr(end + 1));
    }
    end = rest.find('"');
    if (end == rest.npos) return {};
    token.operation = trimmed(rest.substr(0, end));
    if (!is_operation(token.operation)) return {};  // such as =e"…", whose value has escapes
    rest.remove_prefix(end + 1);
    while (!rest.empty() && rest.front() != '"') {
      if (rest.starts_with("\\\"")) rest.remove_prefix(1);
      token.value += rest.front();
      rest.remove_prefix(1);
    }
    if (rest.empty()) return {};
    rest.remove_prefix(1);
    rest.remove_prefix(std::min(rest.find_first_not_of(", \t"), rest.size()));
    tokens.push_back(std::move(token));
  }
  return tokens;
}

bool LocalRule::matches(const SerialPort& port) const {
  return std::ranges::all_of(tokens, [&](const RuleToken& token) {
    if (!is_comparison(token)) return true;
    const auto text = compared(token, port);
    return text && is_like(token.value, *text) == (token.operation == "==");
  });
}

bool LocalRule::names_one() const {
  return std::ranges::any_of(tokens, is_identity);
}

bool LocalRule::is_called(const std::string& device) const {
  if (device.empty()) return false;
  return claim.name == device || std::ranges::any_of(tokens, [&](const RuleToken& token) {
           return is_identity(token) &&
                  (token.value == device ||
                   (token.key == "KERNEL" && "/dev/" + token.value == device));
         });
}

std::string LocalRule::description() const {
  const auto found = std::ranges::find_if(tokens, is_identity);
  if (found == tokens.end()) return "several adapters";
  if (found->key == "KERNEL") return "/dev/" + printable(found->value);
  return (found->attribute == "ID_PATH" ? "the place " : "serial number ") +
         printable(found->value);
}

std::string serial_number_trouble(const SerialPort& port, const std::vector<SerialPort>& ports) {
  if (!has_unique_serial(port, ports)) return "it has no serial number of its own";
  return is_safe(port.serial) ? "" : "its serial number cannot stand in a rule";
}

Identity identity_of(const SerialPort& port, const std::vector<SerialPort>& ports) {
  if (!port.is_usb()) {
    if (!is_safe(port.name()))
      throw std::runtime_error(fmt::format("{}: not a name that a rule can hold", port.node));
    return Identity::name;
  }
  const std::string trouble = serial_number_trouble(port, ports);
  if (trouble.empty()) return Identity::serial;
  if (is_safe(port.path)) return Identity::place;
  throw std::runtime_error(fmt::format(
      "{}: {}, and udev does not know where it is plugged in: is udev running here? In a container "
      "it runs on the host: claim it there",
      port.node, trouble));
}

std::string rule_for(const SerialPort& port, const std::vector<SerialPort>& ports,
                     const Claim& claim) {
  std::string rule;
  switch (identity_of(port, ports)) {
    case Identity::serial:
      // "usb" besides: 61-smartmeter.rules tells ModemManager about the whole device.
      rule = fmt::format(R"(SUBSYSTEM=="tty|usb", {}, ATTRS{{serial}}=="{}"{})", usb_ids(port),
                         port.serial, port_of_chip(port, ports));
      break;
    case Identity::place:
      // With its ids: what else may once be plugged in there is not meant.
      rule = fmt::format(R"(SUBSYSTEM=="tty", {}, ENV{{ID_PATH}}=="{}"{})", usb_ids(port),
                         port.path, port_of_chip(port, ports));
      break;
    case Identity::name:
      rule = fmt::format(R"(SUBSYSTEM=="tty", KERNEL=="{}")", port.name());
      break;
  }
  rule += fmt::format(R"(, ENV{{SMARTMETER_KIND}}="{}")", claim.kind);
  if (!claim.name.empty()) rule += fmt::format(R"(, ENV{{SMARTMETER_NAME}}="{}")", claim.name);
  if (!claim.link.empty()) rule += fmt::format(R"(, ENV{{SMARTMETER_LINK}}="{}")", claim.link);
  if (claim.high_priority) rule += R"(, ENV{SMARTMETER_PRIORITY}="high")";
  return rule;
}

LocalRules::LocalRules(fs::path file) : path_(std::move(file)) {
  std::size_t line = 1;
  for (std::string& text : logical_lines(read_file(path_))) {
    const auto ends = static_cast<std::size_t>(std::ranges::count(text, '\n'));
    entries_.push_back({line, std::move(text)});
    line += ends;
  }
}

std::vector<LocalRule> LocalRules::rules() const {
  std::vector<LocalRule> rules;
  for (const Entry& entry : entries_) {
    auto tokens = rule_tokens(entry.text);
    if (auto claim = claim_of(tokens))
      rules.push_back({entry.line, std::move(tokens), std::move(*claim)});
  }
  return rules;
}

std::vector<LocalRule> LocalRules::own_rules(const SerialPort& port,
                                             const std::vector<SerialPort>& ports) const {
  auto own = rules();
  std::erase_if(own, [&](const LocalRule& rule) {
    return !rule.matches(port) || !rule.names_one() ||
           std::ranges::any_of(ports, [&](const SerialPort& other) {
             return other.syspath != port.syspath && rule.matches(other);
           });
  });
  return own;
}

std::vector<LocalRule> LocalRules::absent(const std::vector<SerialPort>& ports) const {
  auto absent = rules();
  std::erase_if(absent, [&](const LocalRule& rule) {
    return !rule.names_one() || rule.claim.kind == "none" ||
           std::ranges::any_of(ports, [&](const SerialPort& port) { return rule.matches(port); });
  });
  return absent;
}

void LocalRules::append(std::string_view rule) {
  if (entries_.empty()) entries_.push_back({1, std::string(header)});
  std::string& text = entries_.back().text;
  if (!text.ends_with('\n')) text += '\n';
  // A rule that waits for its next line would take ours for it.
  if (text.ends_with("\\\n") && !trimmed(text).starts_with('#')) text += '\n';
  const Entry& last = entries_.back();
  const auto lines = static_cast<std::size_t>(std::ranges::count(last.text, '\n'));
  entries_.push_back({last.line + lines, std::string(rule) + '\n'});
}

void LocalRules::remove(const std::vector<LocalRule>& rules) {
  std::erase_if(entries_, [&](const Entry& entry) {
    return std::ranges::find(rules, entry.line, &LocalRule::line) != rules.end();
  });
}

void LocalRules::save() const {
  std::string text;
  for (const Entry& entry : entries_) text += entry.text;
  constexpr mode_t for_everybody_to_read = 0644;
  if (text != header)
    write_file(path_, text, for_everybody_to_read);
  else if (fs::exists(path_))
    remove_file(path_);
}

std::vector<Rule> rules_in(const fs::path& file) {
  std::vector<Rule> rules;
  std::size_t line = 1;
  for (const std::string& text : logical_lines(read_file(file))) {
    if (auto tokens = rule_tokens(text); !tokens.empty())
      rules.push_back({line, std::move(tokens)});
    line += static_cast<std::size_t>(std::ranges::count(text, '\n'));
  }
  return rules;
}

std::map<std::string, fs::path> rule_files(const std::string& root) {
  std::map<std::string, fs::path> files;  // the first of a name hides the others
  for (const char* directory :
       {"/etc/udev/rules.d", "/run/udev/rules.d", "/usr/local/lib/udev/rules.d",
        "/usr/lib/udev/rules.d", "/lib/udev/rules.d"}) {
    std::error_code error;
    for (fs::directory_iterator file(below(root, directory), error), end; !error && file != end;
         file.increment(error))
      if (file->path().extension() == ".rules")
        files.emplace(file->path().filename(), file->path());
  }
  return files;
}

bool is_about(const std::vector<RuleToken>& rule, const SerialPort& port) {
  const auto asked = [&](const RuleToken& token) -> std::optional<std::string> {
    if (token.key == "SUBSYSTEM" || token.key == "SUBSYSTEMS") return std::nullopt;
    if (token.key != "ENV") return compared(token, port);
    if (token.attribute == "PRODUCT") return product_of(port);
    if (token.attribute == "ID_BUS" || !token.attribute.starts_with("ID_")) return std::nullopt;
    return port.property(token.attribute);
  };
  bool tells = false;
  for (const RuleToken& token : rule) {
    const auto text = is_comparison(token) ? asked(token) : std::nullopt;
    if (!text) continue;
    if (is_like(token.value, *text) != (token.operation == "==")) return false;
    tells |= token.operation == "==" && token.value.find_first_not_of("?*") != std::string::npos;
  }
  return tells;
}

bool Rival::takes_claimed() const {
  return program == "brltty" || file.filename().native() > "61-smartmeter.rules";
}

std::vector<Rival> rivals_of(const SerialPort& port, const std::string& root) {
  std::vector<Rival> rivals;
  for (const auto& [name, path] : rule_files(root))
    for (const char* program : {"brltty", "gpsd"}) {
      if (!port.is_usb() || name.find(program) == std::string::npos) continue;
      const auto rules = rules_in(path);
      const auto found = std::ranges::find_if(
          rules, [&](const Rule& rule) { return is_about(rule.tokens, port); });
      if (found != rules.end()) rivals.push_back({program, path, found->line});
    }
  return rivals;
}

}  // namespace smartmeterctl
