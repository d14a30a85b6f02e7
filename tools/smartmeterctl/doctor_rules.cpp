// SPDX-License-Identifier: Apache-2.0
// smartmeterctl doctor: udev rules that are about an adapter and not smartmeterd's.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "tools/smartmeterctl/doctor_system.hpp"
#include "tools/smartmeterctl/local_rules.hpp"
#include "tools/smartmeterctl/system_file.hpp"

namespace smartmeterctl {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view own_directory = "/etc/udev/rules.d";
constexpr std::string_view shipped = "61-smartmeter.rules";

/// Whether a rule gives a port a name, or to somebody.
bool names_or_opens(const std::vector<RuleToken>& rule) {
  constexpr std::array<std::string_view, 5> keys = {"SYMLINK", "NAME", "GROUP", "MODE", "OWNER"};
  return std::ranges::any_of(rule, [&](const RuleToken& token) {
    return std::ranges::find(keys, token.key) != keys.end() && token.operation != "==" &&
           token.operation != "!=";
  });
}

/// "/etc/udev/rules.d/99-meter.rules:3"
std::string place(const std::string& root, const fs::path& file, std::size_t line) {
  return fmt::format("{}:{}", file.native().substr(root.size()), line);
}

}  // namespace

void examine_rules(const std::string& root, const SerialPort& port,
                   const std::vector<SerialPort>& ports, Others& others) {
  for (const Rival& rival : rivals_of(port, root))
    if (rival.takes_claimed() || !port.is_claimed())
      others.grabbing.push_back({rival.program, place(root, rival.file, rival.line)});
  for (const auto& [name, file] : rule_files(root)) {
    if (file.parent_path() != below(root, own_directory) || name == shipped ||
        file == below(root, local_rules_file))
      continue;
    for (const auto& [line, tokens] : rules_in(file))
      if (is_about(tokens, port) && names_or_opens(tokens))
        others.naming.push_back({"", place(root, file, line)});
  }
  others.left_over = left_over_claims(root, ports);
}

bool has_brltty_rules(const std::string& root) {
  return std::ranges::any_of(rule_files(root), [](const auto& file) {
    return file.first.find("brltty") != std::string::npos && !rules_in(file.second).empty();
  });
}

std::vector<RulePlace> left_over_claims(const std::string& root,
                                        const std::vector<SerialPort>& ports) {
  const LocalRules rules(below(root, local_rules_file));
  std::vector<RulePlace> left_over;
  for (const LocalRule& rule : rules.absent(ports))
    left_over.push_back({"", place(root, rules.path(), rule.line)});
  return left_over;
}

}  // namespace smartmeterctl
