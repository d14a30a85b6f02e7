// SPDX-License-Identifier: Apache-2.0
// Keys as letters, portals and other programs print them, and what people make of them on the way.
#include "tools/smartmeterctl/key_text.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "meter/base/hex.hpp"

namespace smartmeterctl {
namespace {

// The example that Netz NÖ prints in its description of the customer interface.
const std::string guek = "36C66639E48A8CA4D6BC8B282A793BBB";
// Green Book, examples of the ciphering of APDUs: the authentication key.
const std::string gak = "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF";
const std::string grouped = "36C6 6639 E48A 8CA4 D6BC 8B28 2A79 3BBB";

std::string hex(meter::Bytes octets) {
  std::string text(2 * octets.size(), '\0');
  meter::write_hex(octets, text, meter::hex_upper);
  return text;
}

/// "encryption", or "encryption authentication", or what is wrong.
std::string read(const std::string& text) {
  try {
    const MeterKeys keys = read_key_text(text);
    return hex(keys.encryption.octets()) +
           (keys.authentication ? " " + hex(keys.authentication->octets()) : "");
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

/// `text` with `between` after every `size` characters.
std::string in_groups(const std::string& text, std::size_t size, const std::string& between) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); i += size)
    result += (i > 0 ? between : "") + text.substr(i, size);
  return result;
}

TEST(KeyText, OneKeyInManyForms) {
  const std::string nbsp = "\xc2\xa0", thin = "\xe2\x80\xaf", dash = "\xe2\x80\x93";
  for (const std::string& text :
       {guek, lower(guek), grouped, "  " + grouped + "  \r\n", in_groups(guek, 2, " "),
        in_groups(guek, 4, "-"), in_groups(guek, 2, ":"), in_groups(guek, 8, " - "),
        in_groups(guek, 4, nbsp), in_groups(guek, 4, thin), in_groups(guek, 4, dash),
        in_groups(guek, 4, "\xa0"), "\xef\xbb\xbf" + guek + "\r\n", in_groups(guek, 16, "\r\n"),
        "\"" + guek + "\"", "\xe2\x80\x9e" + guek + "\xe2\x80\x9c", "\xc2\xbb" + guek + "\xc2\xab",
        "\x84" + guek + "\x93", "(" + guek + ").", "0x" + guek,
        "{0x" + in_groups(guek, 2, ", 0x") + "}", "{ 0x" + in_groups(guek, 2, ",0x") + " };",
        "<b>" + guek + "</b>", "key = '" + guek + "'"})
    EXPECT_EQ(read(text), guek) << text;
}

TEST(KeyText, Utf16OfWindows) {
  std::string little = "\xff\xfe", big = "\xfe\xff";
  for (const char c : "GUEK: " + grouped + "\r\n") {
    little += {c, '\0'};
    big += {'\0', c};
  }
  EXPECT_EQ(read(little), guek);
  EXPECT_EQ(read(big), guek);
}

TEST(KeyText, Names) {
  for (const char* name :
       {"GUEK: ", "GUEK ", "guek=", "EK:", "Ek ", "GPK60 ", "GPK 60: ", "GPK-60=",
        "Global Unicast Encryption Key (GUEK): ", "Encryption Key\n\n", "Krypteringsn\xc3\xb8gle: ",
        "Entschl\xc3\xbcsselungsschl\xc3\xbcssel: ", "Cl\xc3\xa9 de chiffrement : ",
        "Mein Schl\xc3\xbcssel lautet: ", "Schl\xc3\xbcssel 1: ", "Ihr pers\xc3\xb6nlicher Code: "})
    for (const std::string& key : {guek, grouped, lower(guek)})
      EXPECT_EQ(read(name + key), guek) << name << key;
}

TEST(KeyText, BothKeys) {
  const std::string both = guek + " " + gak;
  for (const std::string& text :
       {"GUEK: " + guek + "\nGAK: " + gak, "GAK: " + gak + "\r\nGUEK: " + guek + "\r\n",
        "EK " + grouped + " AK " + gak, "GPK60: " + guek + " / GPK61: " + gak,
        "GPK60 / GPK61\nGPK60 " + guek + "\nGPK61 " + gak, guek + "\n" + gak, both,
        guek + ";" + gak, guek + ", " + gak, grouped + "\n" + in_groups(gak, 4, " ") + "\n",
        "Encryption key;" + guek + "\nAuthentication key;" + gak,
        "Krypteringsn\xc3\xb8gle " + guek + "\nAutentificeringsn\xc3\xb8gle " + gak,
        "Autentiseringsnyckel: " + gak + "\nKrypteringsnyckel: " + guek,
        "EK: " + guek + "\nAK: " + gak + "\nEK: " + guek})
    EXPECT_EQ(read(text), both) << text;
  EXPECT_EQ(read("EK " + guek + "\nAK: -\n"), guek);
  EXPECT_EQ(read("EK " + guek + "\nAK (nicht vorhanden)"), guek);
  EXPECT_EQ(read(guek + " (EK)"), guek);
}

TEST(KeyText, AWholeLetter) {
  const std::string letter =
      "\xef\xbb\xbfSehr geehrte Damen und Herren,\r\n\r\n"
      "anbei erhalten Sie den Schl\xc3\xbcssel zu Ihrer Kundenschnittstelle vom 12.05.2024.\r\n"
      "Z\xc3\xa4hlpunkt: AT0020000000000000000000100012345\r\n"
      "Z\xc3\xa4hlernummer: 1KFM0200169986, System Title 4B464D6750000009\r\n"
      "GUEK:\xc2\xa0\xe2\x80\x9e" + in_groups(guek, 4, "\xc2\xa0") + "\xe2\x80\x9c\r\n\r\n"
      "Die Daten sind nach IEC 62056 verschl\xc3\xbcsselt. Fragen? Tel. 0800 123 456 78\r\n";
  EXPECT_EQ(read(letter), guek);
}

TEST(KeyText, SaysWhatIsWrong) {
  const std::string encryption = "encryption key: ";
  const std::string uncounted = ", blanks not counted, is ";
  const std::string length = "a key has 32 hex digits (64 for AES-256), this one has ";
  for (const auto& [text, words] : std::vector<std::pair<std::string, std::string>>{
           {guek.substr(1), encryption + length + "31"},
           {guek + "0", encryption + length + "33"},
           {"GUEK: " + grouped.substr(1), encryption + length + "31"},
           {"Ihr GUEK lautet: " + grouped + "B", encryption + length + "33"},
           {guek.substr(16), encryption + length + "16"},
           {"EK " + guek + " AK " + gak.substr(2), "authentication key: " + length + "30"},
           {"EK " + guek.substr(1) + " AK " + gak, encryption + length + "31"},
           {guek.substr(1) + "\n" + gak, encryption + length + "31"},
           {guek.substr(1) + "\n" + gak + "0", encryption + length + "31"},
           {"36C66O39" + guek.substr(8),
            encryption + "the letter O at position 6 is probably the digit 0"},
           {"36c6 6639 e48a 8ca4 d6bc 8b28 2a79 3bbl",
            encryption + "the letter l at position 32" + uncounted + "probably the digit 1"},
           {"Schl\xc3\xbcssel: 36C6 6639 E48A 8CA4 D6BC 8B28 2A79 BOBB",
            encryption + "the letter O at position 30" + uncounted + "probably the digit 0"},
           {"die 36C6 6639 E48A 8CA4 D6BC 8B28 2A79 3BBS",
            encryption + "the character at position 32" + uncounted +
                "not a hex digit (0-9, A-F)"},
           {std::string(32, '0'), encryption + "the key is all zeros: a placeholder"},
           {"NsZmOeSKjKTWvIsoKnk7uw==",
            "this looks like base64: a key is written in 32 hex digits here (0-9, A-F)"},
           {in_groups(guek + gak, 16, "\n") + "\n",
            "64 hex digits on several lines: write each key on one line, with its name in front"},
           {"GAK " + gak,
            "this is an authentication key alone: the encryption key (GUEK, EK, GPK60) is needed"},
           {gak + " (AK)",
            "this is an authentication key alone: the encryption key (GUEK, EK, GPK60) is needed"},
           {"EK " + guek + " EK " + gak,
            "there are two encryption keys: give one meter's keys at a time"},
           {guek + " EK " + gak + " AK",
            "a key stands before the first name: write each key's name before it"},
           {guek + "\n" + gak + "\n" + lower(guek),
            "there are more than two keys: give one meter's keys at a time"},
           {"", "there is no key: it has 32 hex digits (0-9, A-F)"},
           {"hello", "there is no key: it has 32 hex digits (0-9, A-F)"},
           {"GUEK:", "there is no key: it has 32 hex digits (0-9, A-F)"}})
    EXPECT_EQ(read(text), words) << text;
}

/// One slip anywhere: a character left out, put in or put in place of another one. The text still
/// gives the keys it had, or none, or, where one digit became another one, a key of as many digits;
/// what is wrong is said without a piece of the key.
TEST(KeyText, NoSlipMakesAnotherKey) {
  for (const std::string& text :
       {guek, lower(grouped), "GUEK: " + grouped + "\r\n", in_groups(guek, 2, ":"),
        "EK " + guek + "\nAK " + gak + "\n", guek + "\n" + gak + "\n", grouped + " / " + gak,
        "GPK60: " + grouped + " GPK61: " + in_groups(gak, 8, "-")}) {
    const std::string keys = read(text);
    const auto check = [&](const std::string& slip, bool may_be_other) {
      const std::string said = read(slip);
      const bool is_key = said.find_first_not_of("0123456789ABCDEF ") == said.npos;
      for (std::size_t i = 0; !is_key && i + 6 <= guek.size(); ++i)
        EXPECT_EQ(said.find(guek.substr(i, 6)), said.npos) << slip;
      if (is_key && said != keys && !may_be_other)
        ADD_FAILURE() << text << "\nbecame\n" << slip << "\nand gave\n" << said;
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
      std::string slip = text;
      slip.erase(i, 1);
      check(slip, slip == guek + gak + "\n");  // nobody could tell it from a long key
      for (const char c : {'0', 'A', 'f', 'O', 'x', ' ', '\n', '-', ':', ',', '"'}) {
        slip = text;
        check(slip.insert(i, 1, c), false);
        slip = text;
        slip[i] = c;
        check(slip, meter::hex_value(c) >= 0 && meter::hex_value(text[i]) >= 0);
      }
    }
  }
}

TEST(KeyText, LongKeys) {
  EXPECT_EQ(read(in_groups(guek + gak, 4, " ")), guek + gak);
  EXPECT_EQ(read("EK " + guek + gak), guek + gak);
  EXPECT_EQ(read(guek + gak + "0"), "encryption key: a key has 32 hex digits (64 for AES-256), "
                                    "this one has 65");
}

TEST(KeyText, TheAuthenticationKeyAlone) {
  const auto answer = [](const std::string& text) -> std::string {
    try {
      const auto key = read_authentication_key(text);
      return key ? hex(key->octets()) : "none";
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  };
  EXPECT_EQ(answer(""), "none");
  EXPECT_EQ(answer(" \r\n"), "none");
  EXPECT_EQ(answer(gak), gak);
  EXPECT_EQ(answer("GAK: " + in_groups(gak, 4, "-")), gak);
  EXPECT_EQ(answer("EK " + gak), "expected one authentication key (GAK, AK, GPK61)");
  EXPECT_EQ(answer(gak + " " + guek), "expected one authentication key (GAK, AK, GPK61)");
  EXPECT_EQ(answer(gak.substr(1)), "authentication key: a key has 32 hex digits (64 for AES-256), "
                                   "this one has 31");
}

}  // namespace
}  // namespace smartmeterctl
