// SPDX-License-Identifier: Apache-2.0
// The flat table of a message's keys, and every way to refuse one: with its reason and offset, and
// without harm to the next message.
#include "meter_json/document.hpp"

#include <gtest/gtest.h>

#include <string>

namespace meter::json {
namespace {

class DocumentTest : public testing::Test {
 protected:
  Result<void> parse(std::string_view text) {
    // An exact copy on the heap: the address sanitizer sees a read behind it.
    const std::vector<char> exact(text.begin(), text.end());
    return document_.parse(std::as_bytes(std::span(exact)));
  }
  void expect_refused(std::string_view text, Errc why, std::size_t offset) {
    const auto parsed = parse(text);
    ASSERT_FALSE(parsed) << text.substr(0, 80);
    EXPECT_EQ(name(parsed.error().code), name(why)) << text.substr(0, 80);
    EXPECT_EQ(parsed.error().offset, offset) << text.substr(0, 80);
    EXPECT_TRUE(document_.nodes().empty());
    EXPECT_TRUE(parse(R"({"good":1})")) << "the next good message";
  }
  std::string_view text_at(std::string_view path) {
    return document_[document_.find(0, path)].text;
  }
  Document document_;
};

TEST_F(DocumentTest, KeepsTheDigitsOfNumbers) {
  ASSERT_TRUE(parse(R"( {"a":1.50,"b":{"c":-0.000 ,"d":[1e3,12345678901234567890.1]}} )"));
  EXPECT_EQ(text_at("a"), "1.50");
  EXPECT_EQ(text_at("b.c"), "-0.000");
  const std::size_t array = document_.find(0, "b.d");
  EXPECT_EQ(document_[array].kind, Node::Kind::array);
  EXPECT_EQ(document_[array + 1].text, "1e3");
  EXPECT_EQ(document_[array + 2].text, "12345678901234567890.1");
  EXPECT_EQ(document_[array].end, array + 3);
  EXPECT_EQ(document_[document_.find(0, "a")].offset, 6u);
}

TEST_F(DocumentTest, FindsOnlyWhatIsThere) {
  ASSERT_TRUE(parse(R"({"a":{"b":1},"b":2})"));
  EXPECT_EQ(text_at("a.b"), "1");
  EXPECT_EQ(text_at("b"), "2");
  for (const char* path : {"c", "a.c", "b.b", "a.b.c"}) EXPECT_EQ(document_.find(0, path), 0u);
  char room[8], small[2];
  EXPECT_EQ(document_.write_path(document_.find(0, "a.b"), room), "a.b");
  EXPECT_EQ(document_.write_path(document_.find(0, "a.b"), small), "");
}

TEST_F(DocumentTest, TakesEscapesOutOfText) {
  ASSERT_TRUE(parse(R"({"k\u00e4se":"a\"b\\c\u20ac\n"})"));
  EXPECT_EQ(document_[1].key, "käse");
  EXPECT_EQ(document_[1].text, "a\"b\\c€\n");
}

TEST_F(DocumentTest, WhatIsNoNumberIsNothing) {
  ASSERT_TRUE(parse(R"({"a":null,"b":nan,"c":-inf,"d":NaN,"e":true})"));
  for (const char* key : {"a", "b", "c", "d"})
    EXPECT_EQ(document_[document_.find(0, key)].kind, Node::Kind::nothing) << key;
  EXPECT_EQ(document_[document_.find(0, "e")].kind, Node::Kind::boolean);
}

TEST_F(DocumentTest, RefusesWhatIsNoObject) {
  expect_refused("", Errc::truncated, 0);
  expect_refused("   ", Errc::truncated, 3);
  expect_refused("Online", Errc::malformed, 0);
  expect_refused("12.5", Errc::malformed, 0);
  expect_refused(R"( ["a"])", Errc::malformed, 1);
}

TEST_F(DocumentTest, RefusesBrokenGrammar) {
  expect_refused(R"({"a":1)", Errc::truncated, 6);
  expect_refused(R"({"a":{"b":1})", Errc::truncated, 12);
  expect_refused(R"({"a":"b)", Errc::truncated, 7);
  expect_refused(R"({"a":01})", Errc::malformed, 5);
  expect_refused(R"({"a":1.})", Errc::malformed, 5);
  expect_refused(R"({"a":--1})", Errc::malformed, 5);
  expect_refused(R"({"a":1e})", Errc::malformed, 5);
  expect_refused(R"({"a":0x1F})", Errc::malformed, 5);
  expect_refused(R"({"a":nul})", Errc::malformed, 5);
  for (const char* text :
       {R"({"a" 1})", R"({"a":1 2})", R"({"a":1,})", R"({,"a":1})", R"({"a":1}})", R"({"a":1}{})",
        R"({"a":1} x)", R"({"a":[1,]})", R"({"a":[1})", R"({"a":1])", R"({a:1})", R"({"a":})",
        R"({"a":"\x"})", R"({"a":"\ud800"})", R"({"a\q":1})"}) {
    const auto parsed = parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_LE(parsed.error().offset, std::string_view(text).size()) << text;
  }
}

TEST_F(DocumentTest, RefusesAKeyThatStandsTwice) {
  expect_refused(R"({"Pi":0.5,"Po":0,"Pi":0.6})", Errc::malformed, 22);
  EXPECT_TRUE(parse(R"({"a":{"x":1},"b":{"x":2}})")) << "in two objects";
}

TEST_F(DocumentTest, RefusesBrokenUtf8WhereItIs) {
  expect_refused("{\"a\":\"ab\xff\"}", Errc::malformed, 8);
  expect_refused("{\"a\":\"\xc3\"}", Errc::malformed, 6);
  expect_refused("{\"a\":\"\xed\xa0\x80\"}", Errc::malformed, 6);
  expect_refused("{\"a\":\"b\x01\"}", Errc::malformed, 7);
}

TEST_F(DocumentTest, LimitsNesting) {
  const auto nested = [](unsigned depth) {
    std::string text = "{\"a\":";
    for (unsigned i = 1; i < depth; ++i) text += '[';
    text += '1';
    for (unsigned i = 1; i < depth; ++i) text += ']';
    return text + '}';
  };
  EXPECT_TRUE(parse(nested(depth_max)));
  expect_refused(nested(depth_max + 1), Errc::nesting_too_deep, 5 + depth_max - 1);
  expect_refused("{\"a\":" + std::string(60'000, '[') + '}', Errc::nesting_too_deep,
                 5 + depth_max - 1);
  std::string objects;
  for (int i = 0; i < 10'000; ++i) objects += "{\"a\":";
  EXPECT_EQ(parse(objects + '}').error().code, Errc::nesting_too_deep);
}

TEST_F(DocumentTest, LimitsTheNumberOfValues) {
  const auto wide = [](std::size_t count) {
    std::string text = "{\"a\":[0";
    for (std::size_t i = 1; i < count; ++i) text += ",0";
    return text + "]}";
  };
  EXPECT_TRUE(parse(wide(node_count_max - 2)));  // besides the root and the array
  EXPECT_EQ(parse(wide(node_count_max - 1)).error().code, Errc::too_many_elements);
  std::string keys = "{";
  for (int i = 0; i < 5000; ++i) keys += '"' + std::to_string(i) + "\":0,";
  EXPECT_EQ(parse(keys + "\"\":0}").error().code, Errc::too_many_elements);
}

TEST_F(DocumentTest, LimitsTheSize) {
  const auto sized = [](std::size_t size) {
    return "{\"a\":\"" + std::string(size - 8, 'x') + "\"}";
  };
  EXPECT_TRUE(parse(sized(message_size_max)));
  expect_refused(sized(message_size_max + 1), Errc::oversize, message_size_max);
}

}  // namespace
}  // namespace meter::json
