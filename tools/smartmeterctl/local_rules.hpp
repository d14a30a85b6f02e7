// SPDX-License-Identifier: Apache-2.0
// LocalRules: /etc/udev/rules.d/60-smartmeter-local.rules, where adapters are claimed.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tools/smartmeterctl/serial_ports.hpp"

namespace smartmeterctl {

/// Where claims are, below the root.
inline constexpr std::string_view local_rules_file = "/etc/udev/rules.d/60-smartmeter-local.rules";

/// One comparison or assignment of a udev rule: ATTRS{serial}=="A9XYZ123".
struct RuleToken {
  std::string key;        ///< "ATTRS"
  std::string attribute;  ///< "serial", or empty
  std::string operation;  ///< "==", "!=", "=", "+=", "-=", ":="
  std::string value;
};
/// The tokens of a rule (one line, or several joined by backslashes); none where it is a comment,
/// or not the syntax of udev.
std::vector<RuleToken> rule_tokens(std::string_view rule);

/// What a claim gives an adapter.
struct Claim {
  std::string kind;  ///< "mbus", "ir", "p1"; "none": it is no meter
  std::string name;  ///< /dev/smartmeter/by-name/NAME, or empty
  std::string link;  ///< one more link below /dev, or empty
  bool high_priority = false;
};

/// A rule that gives a kind to some adapter.
struct LocalRule {
  std::size_t line;  ///< where it begins, from 1
  std::vector<RuleToken> tokens;
  Claim claim;

  /// Whether it is about this port; false too where it asks for what is not known here.
  bool matches(const SerialPort& port) const;
  /// Whether it is about one adapter by its number, place or name, not about a family of them.
  bool names_one() const;
  /// Whether a person may mean its adapter by this: its given name, or in full the serial number,
  /// place or node that the rule knows it by.
  bool is_called(const std::string& device) const;
  /// "serial number A9XYZ123": how it knows its adapter.
  std::string description() const;
};

/// How a rule can know this port for certain.
enum class Identity {
  serial,  ///< by the USB serial number
  place,   ///< by where it is plugged in
  name,    ///< by the kernel's name: on-board UARTs
};
/// The first that is possible. Throws std::runtime_error where none is.
Identity identity_of(const SerialPort& port, const std::vector<SerialPort>& ports);

/// Why a rule does not know this USB port by its serial number, to go on from "as"; empty: it does.
std::string serial_number_trouble(const SerialPort& port, const std::vector<SerialPort>& ports);

/// The rule for 60-smartmeter-local.rules. What a device says of itself becomes part of it only
/// where it cannot be taken for syntax.
std::string rule_for(const SerialPort& port, const std::vector<SerialPort>& ports,
                     const Claim& claim);

/// The file. Lines that claims do not concern stay as they are.
class LocalRules {
 public:
  /// Reads the file; a missing one is empty. Throws std::runtime_error.
  explicit LocalRules(std::filesystem::path file);

  const std::filesystem::path& path() const { return path_; }
  std::vector<LocalRule> rules() const;
  /// The rules that are about this port and no other one of `ports`: its own claim.
  std::vector<LocalRule> own_rules(const SerialPort& port,
                                   const std::vector<SerialPort>& ports) const;

  /// The claims of single adapters that fit none of `ports`.
  std::vector<LocalRule> absent(const std::vector<SerialPort>& ports) const;

  void append(std::string_view rule);
  void remove(const std::vector<LocalRule>& rules);
  /// Writes the file, or removes it where nothing is left that matters.
  void save() const;

 private:
  struct Entry {
    std::size_t line;
    std::string text;  ///< with its ends of line
  };
  std::filesystem::path path_;
  std::vector<Entry> entries_;
};

/// A rule of any file.
struct Rule {
  std::size_t line;  ///< where it begins, from 1
  std::vector<RuleToken> tokens;
};
/// Those of a file; none where it is missing. Throws std::runtime_error where it cannot be read.
std::vector<Rule> rules_in(const std::filesystem::path& file);
/// The rule files below `root` that are in force, by name: of two of one name udev reads the first.
std::map<std::string, std::filesystem::path> rule_files(const std::string& root);
/// Whether a rule is about this adapter: it asks for something that tells adapters apart, and all
/// of that fits. Its other conditions count as fulfilled.
bool is_about(const std::vector<RuleToken>& rule, const SerialPort& port);

/// A program that takes adapters of this chip by a udev rule of its own.
struct Rival {
  std::string program;  ///< "brltty", "gpsd"
  std::filesystem::path file;
  std::size_t line;

  /// Also where the port is claimed: 61-smartmeter.rules undoes what rules before it have done, but
  /// brltty takes the whole USB device.
  bool takes_claimed() const;
};
/// The rules on this machine (below `root`) that give the port to other programs; one of a file.
std::vector<Rival> rivals_of(const SerialPort& port, const std::string& root);

}  // namespace smartmeterctl
