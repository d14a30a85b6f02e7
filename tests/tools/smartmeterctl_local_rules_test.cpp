// SPDX-License-Identifier: Apache-2.0
// Rules of udev as claim reads and writes them; what udev makes of them is asked in the claim test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include "tools/smartmeterctl/local_rules.hpp"

namespace smartmeterctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

SerialPort adapter(const std::string& serial = "A9XYZ123", const std::string& place = "2") {
  SerialPort port;
  port.usb_device = "/sys/usb/1-" + place;
  port.syspath = port.usb_device + "/tty";
  port.node = "/dev/ttyUSB" + place;
  port.driver = "ftdi_sio";
  port.path = "pci-0000:00:14.0-usb-0:" + place + ":1.0";
  port.properties["ID_PATH"] = port.path;
  port.port_number = "0";
  port.vendor_id = "0403";
  port.product_id = "6001";
  port.serial = serial;
  port.interface_number = "00";
  return port;
}

TEST(RuleTokens, KeysOperationsAndValues) {
  const auto tokens =
      rule_tokens("SUBSYSTEM==\"tty\", ATTRS{serial}!=\"A|B\" ,\\\n\tENV{X}+=\"1\"\n");
  ASSERT_THAT(tokens, SizeIs(3));
  EXPECT_EQ(tokens[0].key, "SUBSYSTEM");
  EXPECT_EQ(tokens[0].attribute, "");
  EXPECT_EQ(tokens[1].attribute, "serial");
  EXPECT_EQ(tokens[1].operation, "!=");
  EXPECT_EQ(tokens[1].value, "A|B");
  EXPECT_EQ(tokens[2].key, "ENV");
  EXPECT_EQ(tokens[2].operation, "+=");
}

TEST(RuleTokens, EscapedQuotationMark) {
  const auto tokens = rule_tokens(R"(ATTRS{serial}=="a\"b", ENV{X}="1")");
  ASSERT_THAT(tokens, SizeIs(2));
  EXPECT_EQ(tokens[0].value, "a\"b");
}

TEST(RuleTokens, NoneOfWhatIsNoRule) {
  for (const char* text : {"", "  \n", "# KERNEL==\"ttyUSB0\"", "KERNEL", "KERNEL==",
                           "KERNEL==\"ttyUSB0", "ATTRS{serial", "KERNEL==e\"tty\\x41\""})
    EXPECT_THAT(rule_tokens(text), IsEmpty()) << text;
}

TEST(RuleFor, SerialNumberInWholeOnlyWhereItIsNoSyntax) {
  const SerialPort good = adapter();
  EXPECT_EQ(rule_for(good, {good}, {.kind = "mbus"}),
            R"(SUBSYSTEM=="tty|usb", SUBSYSTEMS=="usb", ATTRS{idVendor}=="0403", )"
            R"(ATTRS{idProduct}=="6001", ATTRS{serial}=="A9XYZ123", ENV{SMARTMETER_KIND}="mbus")");
  // Each character that there is, among good ones.
  for (int c = 1; c < 256; ++c) {
    const SerialPort port = adapter("AB" + std::string(1, static_cast<char>(c)) + "1");
    const std::string rule = rule_for(port, {port}, {.kind = "ir"});
    EXPECT_EQ(rule_tokens(rule).back().value, "ir");
    if (rule.find("ATTRS{serial}") == rule.npos)
      EXPECT_EQ(rule_tokens(rule).size(), 6U);
    else
      EXPECT_TRUE(std::isalnum(c) != 0 ||
                  std::string_view("-_.:@+").find(static_cast<char>(c)) != std::string_view::npos)
          << c;
  }
}

TEST(RuleFor, AdapterWithoutAnyIdentity) {
  SerialPort port = adapter("0001");
  port.path.clear();
  EXPECT_THROW(identity_of(port, {port}), std::runtime_error);
  port.path = R"(x", RUN+="y)";
  EXPECT_THROW(identity_of(port, {port}), std::runtime_error);
}

TEST(UniqueSerial, OneThatOthersShareIsNone) {
  for (const char* serial : {"", "0", "0001", "0000", "111111", "AAAA"})
    EXPECT_FALSE(has_unique_serial(adapter(serial), {})) << serial;
  const SerialPort one = adapter(), other = adapter("A9XYZ123", "3");
  EXPECT_TRUE(has_unique_serial(one, {one}));
  EXPECT_FALSE(has_unique_serial(one, {one, other}));
  SerialPort second_port = one;
  second_port.syspath += "1";
  EXPECT_TRUE(has_unique_serial(one, {one, second_port}));
  SerialPort other_product = other;
  other_product.product_id = "6015";
  EXPECT_TRUE(has_unique_serial(one, {one, other_product}));
}

class RulesFile : public testing::Test {
 protected:
  RulesFile() {
    std::string name = testing::TempDir() + "rules.XXXXXX";
    directory_ = ::mkdtemp(name.data());
    file_ = directory_ / "60-smartmeter-local.rules";
  }
  ~RulesFile() override { std::filesystem::remove_all(directory_); }
  void write(const std::string& text) { std::ofstream(file_) << text; }
  std::string text() const {
    std::ostringstream all;
    all << std::ifstream(file_).rdbuf();
    return all.str();
  }

  std::filesystem::path directory_, file_;
};

TEST_F(RulesFile, LinesOfARuleAreJoined) {
  write(
      "# head\n\nSUBSYSTEM==\"tty\", \\\n  ATTRS{serial}==\"A9XYZ123\", \\\n"
      "  ENV{SMARTMETER_KIND}=\"mbus\"\n# a comment \\\nKERNEL==\"ttyAMA0\", "
      "ENV{SMARTMETER_KIND}=\"p1\", ENV{SMARTMETER_NAME}=\"hat\"");
  LocalRules rules(file_);
  const auto all = rules.rules();
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_EQ(all[0].line, 3U);
  EXPECT_EQ(all[1].line, 7U);
  EXPECT_EQ(all[1].claim.name, "hat");
  EXPECT_EQ(all[1].description(), "/dev/ttyAMA0");
  EXPECT_TRUE(all[0].matches(adapter()));
  EXPECT_FALSE(all[0].matches(adapter("OTHER")));
  rules.remove({all[0]});
  rules.append("KERNEL==\"ttyS4\", ENV{SMARTMETER_KIND}=\"ir\"");
  rules.save();
  EXPECT_EQ(text(),
            "# head\n\n# a comment \\\nKERNEL==\"ttyAMA0\", ENV{SMARTMETER_KIND}=\"p1\", "
            "ENV{SMARTMETER_NAME}=\"hat\"\nKERNEL==\"ttyS4\", "
            "ENV{SMARTMETER_KIND}=\"ir\"\n");
}

TEST_F(RulesFile, WhatIsNotKnownHereIsNotOnesOwn) {
  const SerialPort port = adapter();
  for (const char* condition :
       {R"(ATTRS{bcdDevice}=="0600", ATTRS{serial}=="A9XYZ123")", R"(ATTRS{serial}=="A9*")",
        R"(ATTRS{serial}=="A9XYZ123|B")", R"(ATTRS{serial}=="OTHER")", R"(ATTRS{serial}!="OTHER")",
        R"(PROGRAM=="/bin/x", KERNEL=="ttyUSB2")", R"(SUBSYSTEMS=="pci", KERNEL=="ttyUSB2")",
        R"(ATTRS{idVendor}=="0403")"}) {
    write(std::string(condition) + R"(, ENV{SMARTMETER_KIND}="ir")" + "\n");
    EXPECT_THAT(LocalRules(file_).own_rules(port, {port}), IsEmpty()) << condition;
  }
  for (const char* condition : {R"(ATTRS{serial}=="A9XYZ123")", R"(KERNEL=="ttyUSB2")",
                                R"(KERNEL!="ttyACM*",)"
                                R"( ENV{ID_PATH}=="pci-0000:00:14.0-usb-0:2:1.0")"}) {
    write(std::string(condition) + R"(, ENV{SMARTMETER_KIND}="ir")" + "\n");
    EXPECT_THAT(LocalRules(file_).own_rules(port, {port}), SizeIs(1)) << condition;
  }
}

TEST_F(RulesFile, AnUnfinishedRuleDoesNotTakeTheNewOne) {
  write("KERNEL==\"ttyUSB0\", \\\n");
  LocalRules rules(file_);
  rules.append("KERNEL==\"ttyS4\", ENV{SMARTMETER_KIND}=\"ir\"");
  rules.save();
  const auto all = LocalRules(file_).rules();
  ASSERT_THAT(all, SizeIs(1));
  EXPECT_THAT(all[0].tokens, SizeIs(2));
}

TEST_F(RulesFile, EmptyOneIsRemoved) {
  LocalRules rules(file_);
  rules.append("KERNEL==\"ttyS4\", ENV{SMARTMETER_KIND}=\"ir\"");
  rules.save();
  EXPECT_THAT(text(), HasSubstr("smartmeterctl claim"));
  LocalRules again(file_);
  again.remove(again.rules());
  again.save();
  EXPECT_FALSE(std::filesystem::exists(file_));
  again.save();  // nothing there, nothing to do
}

/// What an action throws.
std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "nothing";
}

TEST_F(RulesFile, ALinkIsReadButNeverReplaced) {
  const auto target = directory_ / "target";
  const std::string rule = "KERNEL==\"ttyS4\", ENV{SMARTMETER_KIND}=\"ir\"\n";
  std::ofstream(target) << rule;
  std::filesystem::create_symlink(target, file_);
  LocalRules rules(file_);
  ASSERT_THAT(rules.rules(), SizeIs(1));
  rules.append("KERNEL==\"ttyS5\", ENV{SMARTMETER_KIND}=\"ir\"");
  EXPECT_THAT(error_of([&] { rules.save(); }), HasSubstr(target.native()));
  LocalRules none(file_);
  none.remove(none.rules());
  EXPECT_THAT(error_of([&] { none.save(); }), HasSubstr(target.native()));
  EXPECT_TRUE(std::filesystem::is_symlink(file_));
  EXPECT_EQ(text(), rule);
}

TEST_F(RulesFile, WhatIsNoFileIsSaidSo) {
  ASSERT_EQ(::mkfifo(file_.c_str(), 0600), 0);
  EXPECT_THAT(error_of([&] { LocalRules{file_}; }), HasSubstr("not a regular file"));
  std::filesystem::remove(file_);
  std::filesystem::create_directory(file_);
  EXPECT_THAT(error_of([&] { LocalRules{file_}; }), HasSubstr("not a regular file"));
}

TEST_F(RulesFile, SwitchedOffIsEmpty) {
  std::filesystem::create_symlink("/dev/null", file_);
  EXPECT_THAT(LocalRules(file_).rules(), IsEmpty());
}

TEST(Printable, NothingThatATerminalObeys) {
  EXPECT_EQ(printable("FTDI\x1b[2J\n\xc3\xa4\x7f"), "FTDI?[2J????");
}

}  // namespace
}  // namespace smartmeterctl
