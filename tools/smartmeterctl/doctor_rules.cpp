// SPDX-License-Identifier: Apache-2.0
// smartmeterctl doctor: udev rules that are about an adapter and not smartmeterd's.
#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <map>
#include <utility>

#include "tools/smartmeterctl/doctor_system.hpp"
#include "tools/smartmeterctl/system_file.hpp"

namespace smartmeterctl {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view local_file = "60-smartmeter-local.rules";

/// As udev(7) orders them: of two files of one name the first one counts.
constexpr std::array<std::string_view, 4> rule_directories = {
    "/etc/udev/rules.d", "/run/udev/rules.d", "/usr/local/lib/udev/rules.d",
    "/usr/lib/udev/rules.d"};

/// One KEY{attribute}OPERATOR"value" of a rule.
struct Term {
  std::string key, operation, value;
  bool is_match() const { return operation == "==" || operation == "!="; }
};

/// The terms of a line; what cannot be read is left out.
std::vector<Term> terms_of(std::string_view line) {
  std::vector<Term> terms;
  while (!line.empty()) {
    line.remove_prefix(std::min(line.find_first_not_of(" \t,"), line.size()));
    const std::size_t operation = line.find_first_of("=!+-:");
    const std::size_t open = line.find('"');
    if (operation == line.npos || open == line.npos || operation > open) break;
    const std::size_t close = line.find('"', open + 1);
    if (close == line.npos) break;
    std::string key(line.substr(0, operation));
    key.erase(key.find_last_not_of(" \t") + 1);
    std::string sign(line.substr(operation, open - operation));
    sign.erase(sign.find_last_not_of(" \tei") + 1);  // e"…" and i"…" are strings, too
    terms.push_back(
        {std::move(key), std::move(sign), std::string(line.substr(open + 1, close - open - 1))});
    line.remove_prefix(close + 1);
  }
  return terms;
}

/// "0403/6001" as the kernel writes it into PRODUCT: "403/6001/0".
std::string product_of(const SerialPort& port) {
  const auto short_hex = [](const std::string& digits) {
    return digits.substr(std::min(digits.find_first_not_of('0'), digits.size() - 1));
  };
  if (!port.is_usb() || port.vendor_id.empty() || port.product_id.empty()) return {};
  return fmt::format("{}/{}/0", short_hex(port.vendor_id), short_hex(port.product_id));
}

bool fits(const std::string& patterns, const std::string& value) {
  for (std::size_t at = 0; at <= patterns.size();) {
    const std::size_t end = std::min(patterns.find('|', at), patterns.size());
    if (::fnmatch(patterns.substr(at, end - at).c_str(), value.c_str(), 0) == 0) return true;
    at = end + 1;
  }
  return false;
}

/// What a term looks at; empty: not something that tells adapters apart.
std::optional<std::string> subject(const std::string& key, const SerialPort& port) {
  if (key == "KERNEL") return port.name();
  if (key == "ENV{PRODUCT}") return product_of(port);
  constexpr std::string_view environment = "ENV{ID_";
  if (key.starts_with(environment) && key.ends_with('}')) {
    const std::string name = key.substr(4, key.size() - 5);
    if (name == "ID_BUS") return std::nullopt;
    return port.property(name);
  }
  const std::size_t brace = key.find('{');
  if (!key.starts_with("ATTR") || brace == key.npos) return std::nullopt;
  const std::string attribute = key.substr(brace + 1, key.size() - brace - 2);
  for (const auto& [name, value] :
       {std::pair<std::string_view, const std::string&>{"idVendor", port.vendor_id},
        {"idProduct", port.product_id},
        {"serial", port.serial},
        {"manufacturer", port.vendor},
        {"product", port.product}})
    if (attribute == name) return value;
  return std::nullopt;
}

/// Whether a line is about this port: it says something that tells adapters apart, and all of that
/// is true. Other conditions count as true.
bool is_about(const std::vector<Term>& terms, const SerialPort& port) {
  bool tells = false;
  for (const Term& term : terms) {
    if (!term.is_match()) continue;
    const auto value = subject(term.key, port);
    if (!value) continue;
    if (fits(term.value, *value) != (term.operation == "==")) return false;
    tells = tells || (term.operation == "==" && term.value != "*" && term.value != "?*");
  }
  return tells;
}

/// Whether a rule gives a port a name, or to somebody.
bool names_or_opens(const std::vector<Term>& terms) {
  return std::ranges::any_of(terms, [](const Term& term) {
    return !term.is_match() && (term.key == "SYMLINK" || term.key == "NAME" ||
                                term.key == "GROUP" || term.key == "MODE" || term.key == "OWNER");
  });
}

/// Lines with their numbers, continued ones joined, without comments.
std::vector<std::pair<unsigned, std::string>> lines_of(const fs::path& file) {
  std::vector<std::pair<unsigned, std::string>> lines;
  std::ifstream stream(file);
  unsigned number = 0;
  bool continues = false;
  for (std::string line; std::getline(stream, line);) {
    ++number;
    const std::size_t start = line.find_first_not_of(" \t");
    if (!continues && (start == line.npos || line[start] == '#')) continue;
    if (continues)
      lines.back().second += line;
    else
      lines.emplace_back(number, line);
    std::string& whole = lines.back().second;
    continues = whole.ends_with('\\');
    if (continues) whole.back() = ' ';
  }
  return lines;
}

/// The rule files that are in force, by name.
std::map<std::string, fs::path> rule_files(const std::string& root) {
  std::map<std::string, fs::path> files;
  for (const std::string_view directory : rule_directories) {
    std::error_code error;
    for (fs::directory_iterator file(below(root, directory), error), end; !error && file != end;
         file.increment(error))
      if (file->path().extension() == ".rules")
        files.emplace(file->path().filename(), file->path());
  }
  return files;
}

/// Whose rules a file of the distribution holds; empty: nobody's who takes adapters.
std::string program_of(const std::string& file) {
  for (const std::string_view program : {"brltty", "gpsd"})
    if (file.find(program) != file.npos) return std::string(program);
  return {};
}

/// "/etc/udev/rules.d/99-meter.rules:3"
std::string place(const std::string& root, const fs::path& file, unsigned line) {
  return fmt::format("{}:{}", file.native().substr(root.size()), line);
}

}  // namespace

void examine_rules(const std::string& root, const SerialPort& port,
                   const std::vector<SerialPort>& ports, Others& others) {
  const fs::path own = below(root, rule_directories.front());
  for (const auto& [name, file] : rule_files(root)) {
    const std::string program = program_of(name);
    const bool is_own = program.empty() && file.parent_path() == own && name != local_file &&
                        name.find("-smartmeter.rules") == name.npos;
    if (program.empty() && !is_own) continue;
    for (const auto& [number, line] : lines_of(file)) {
      const auto terms = terms_of(line);
      if (!is_about(terms, port) || (is_own && !names_or_opens(terms))) continue;
      (is_own ? others.naming : others.grabbing).push_back({program, place(root, file, number)});
    }
  }
  others.left_over = left_over_claims(root, ports);
}

bool has_brltty_rules(const std::string& root) {
  return std::ranges::any_of(rule_files(root), [](const auto& file) {
    return program_of(file.first) == "brltty" && !lines_of(file.second).empty();
  });
}

std::vector<RulePlace> left_over_claims(const std::string& root,
                                        const std::vector<SerialPort>& ports) {
  const fs::path file = below(root, rule_directories.front()) / local_file;
  std::vector<RulePlace> left_over;
  for (const auto& [number, line] : lines_of(file)) {
    const auto terms = terms_of(line);
    const bool claims = std::ranges::any_of(terms, [](const Term& term) {
      return term.key == "ENV{SMARTMETER_KIND}" && !term.is_match();
    });
    if (claims &&
        std::ranges::none_of(ports, [&](const SerialPort& port) { return is_about(terms, port); }))
      left_over.push_back({"", place(root, file, number)});
  }
  return left_over;
}

}  // namespace smartmeterctl
