// SPDX-License-Identifier: Apache-2.0
// A-XDR Data: every type, every limit, and every cut of a body. The octets are the encodings of the
// Green Book's table of common data types, written by hand.
#include "meter/dlms/axdr.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <random>
#include <string>

#include "tests/libmeter/link/frames.hpp"

namespace meter::dlms {
namespace {

using test::from_hex;
using test::Octets;

/// The value of a single Data as text; "-" for no number, the fault's name for a fault.
std::string number_of(std::string_view hex) {
  const Octets data = from_hex(hex);
  const auto index = std::make_unique<DataIndex>();
  if (const auto built = index->build(data); !built) return std::string(name(built.error().code));
  const auto value = number((*index)[0]);
  if (!value) return "-";
  char buffer[Decimal::text_size_max];
  return std::string(value->to_text(buffer));
}

struct Refusal {
  std::string code;
  std::size_t offset;
  friend bool operator==(const Refusal&, const Refusal&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Refusal& r) {
    return out << r.code << " at " << r.offset;
  }
};
Refusal refusal(const Octets& data) {
  const auto index = std::make_unique<DataIndex>();
  const auto built = index->build(data);
  if (built) return {"accepted", index->size()};
  EXPECT_EQ(index->size(), 0u);
  return {std::string(name(built.error().code)), built.error().offset};
}
Refusal refusal(std::string_view hex) {
  return refusal(from_hex(hex));
}

TEST(AxdrNumber, Integers) {
  EXPECT_EQ(number_of("05 80000000"), "-2147483648");
  EXPECT_EQ(number_of("06 FFFFFFFF"), "4294967295");
  EXPECT_EQ(number_of("0F FD"), "-3");
  EXPECT_EQ(number_of("11 FD"), "253");
  EXPECT_EQ(number_of("10 FC18"), "-1000");
  EXPECT_EQ(number_of("12 FC18"), "64536");
  EXPECT_EQ(number_of("14 FFFFFFFFFFFFFFFE"), "-2");
  EXPECT_EQ(number_of("15 7FFFFFFFFFFFFFFF"), "9223372036854775807");
  EXPECT_EQ(number_of("15 8000000000000000"), "-") << "above int64: kept as octets";
}

TEST(AxdrNumber, OthersThatAreNumbers) {
  EXPECT_EQ(number_of("03 00"), "0");
  EXPECT_EQ(number_of("03 FF"), "1");
  EXPECT_EQ(number_of("16 1E"), "30");
  EXPECT_EQ(number_of("0D 42"), "42");
  EXPECT_EQ(number_of("0D 4A"), "-");
}

TEST(AxdrNumber, FloatsHaveTheShortestDigits) {
  EXPECT_EQ(number_of("17 43E98000"), "467");  // IEEE 754
  EXPECT_EQ(number_of("17 3DCCCCCD"), "0.1");
  EXPECT_EQ(number_of("17 C2F6E979"), "-123.456");
  EXPECT_EQ(number_of("17 00000000"), "0");
  EXPECT_EQ(number_of("18 3FB999999999999A"), "0.1");
  EXPECT_EQ(number_of("18 4166FB0AD0000000"), "12048470.5");
  EXPECT_EQ(number_of("18 C1B3DE4355555555"), "-333333333.3333333");
}

TEST(AxdrNumber, FloatsBeyondADecimalAreNone) {
  EXPECT_EQ(number_of("17 7F800000"), "-");          // infinity
  EXPECT_EQ(number_of("17 7FC00000"), "-");          // not a number
  EXPECT_EQ(number_of("17 00000001"), "-");          // 1.4e-45
  EXPECT_EQ(number_of("18 7FEFFFFFFFFFFFFF"), "-");  // 1.8e308
}

TEST(AxdrNumber, NoNumbers) {
  for (const char* hex :
       {"00", "FF", "04 05 A8", "09 02 0102", "0A 01 31", "0C 01 31", "19 07E5091B01092F0F00FF8880",
        "1A 07E5091B01", "1B 092F0F00", "1C 01", "1D 0001", "1E 00000001", "1F 01", "20 0001",
        "21 00000001", "01 00", "02 00"})
    EXPECT_EQ(number_of(hex), "-") << hex;
}

TEST(AxdrIndex, KeepsTheTreeFlat) {
  const Octets data = from_hex("02 03  01 02 11 01 11 02  09 03 414243  02 00");
  const auto index = std::make_unique<DataIndex>();
  ASSERT_TRUE(index->build(data));
  const DataIndex& at = *index;
  ASSERT_EQ(at.size(), 6u);
  EXPECT_EQ(at[0].tag, DataTag::structure);
  EXPECT_EQ(at[0].size, 3u);
  EXPECT_EQ(at[0].next, 6u);
  EXPECT_EQ(at[1].tag, DataTag::array);
  EXPECT_EQ(at[1].next, 4u);
  EXPECT_EQ(at[3].depth, 2u);
  EXPECT_EQ(text_of(at[4].octets()), "ABC");
  EXPECT_EQ(at[4].depth, 1u);
  EXPECT_EQ(at[5].size, 0u);
  EXPECT_EQ(at[5].next, 6u);
}

TEST(AxdrIndex, StructureOfIntegerAndEnumIsOneElement) {
  const Octets data = from_hex("02 02  02 02 0F FF 16 23  02 02 0F FF 11 23");
  const auto index = std::make_unique<DataIndex>();
  ASSERT_TRUE(index->build(data));
  ASSERT_EQ(index->size(), 5u);
  EXPECT_EQ((*index)[1].tag, DataTag::scaler_unit);
  EXPECT_EQ((*index)[1].next, 2u);
  EXPECT_EQ((*index)[1].content, data.data() + 5);
  EXPECT_EQ((*index)[2].tag, DataTag::structure) << "an unsigned is no unit";
  EXPECT_FALSE(number((*index)[1]));
}

TEST(AxdrIndex, BitStringsCountBits) {
  EXPECT_EQ(refusal("04 09 FF80"), (Refusal{"accepted", 1}));
  EXPECT_EQ(refusal("04 11 FF80"), (Refusal{"truncated", 2}));
}

TEST(AxdrIndex, LengthsInEveryBerForm) {
  EXPECT_EQ(refusal("09 81 02 4142"), (Refusal{"accepted", 1}));
  EXPECT_EQ(refusal("09 82 0002 4142"), (Refusal{"accepted", 1}));
  EXPECT_EQ(refusal("02 84 00000001 11 00"), (Refusal{"accepted", 2}));
  EXPECT_EQ(refusal("09 80 4142"), (Refusal{"malformed", 1}));
  EXPECT_EQ(refusal("09 85 0000000002 4142").code, "truncated");
}

TEST(AxdrIndex, CompactArrayIsTheArrayThatItStandsFor) {
  // Of structures {double-long-unsigned, octet-string}: two rows.
  const Octets data = from_hex("02 02  13 02 02 06 09  0D 00000001 02 4142 00000002 01 43  11 05");
  const auto index = std::make_unique<DataIndex>();
  ASSERT_TRUE(index->build(data));
  const DataIndex& at = *index;
  ASSERT_EQ(at.size(), 9u);
  EXPECT_EQ(at[1].tag, DataTag::array);
  EXPECT_EQ(at[1].size, 2u);
  EXPECT_EQ(at[1].next, 8u);
  EXPECT_EQ(at[2].tag, DataTag::structure);
  EXPECT_EQ(at[2].next, 5u);
  EXPECT_EQ(number(at[3])->mantissa, 1);
  EXPECT_EQ(text_of(at[4].octets()), "AB");
  EXPECT_EQ(number(at[6])->mantissa, 2);
  EXPECT_EQ(text_of(at[7].octets()), "C");
  EXPECT_EQ(at[7].depth, 3u);
  EXPECT_EQ(number(at[8])->mantissa, 5);
}

TEST(AxdrIndex, CompactArraysOfArraysAndOfScalars) {
  EXPECT_EQ(refusal("13 12 06 0001 0002 0003"), (Refusal{"accepted", 4}));
  EXPECT_EQ(refusal("13 12 00"), (Refusal{"accepted", 1}));
  // array of 2 long-unsigned an item; two items
  EXPECT_EQ(refusal("13 01 0002 12 08 0001 0002 0003 0004"), (Refusal{"accepted", 7}));
  EXPECT_EQ(refusal("13 02 02 01 0000 12 11 02 05 06"), (Refusal{"accepted", 7}));
}

TEST(AxdrIndex, CompactArraysThatLie) {
  EXPECT_EQ(refusal("13 12 05 0001 0002 00").code, "malformed");  // half an item
  EXPECT_EQ(refusal("13 00 01 00").code, "malformed");            // items of no size
  EXPECT_EQ(refusal("13 02 00 01 00").code, "malformed");
  EXPECT_EQ(refusal("13 13 12 02 0001").code, "malformed");  // compact array in itself
  EXPECT_EQ(refusal("13 7F 01 00").code, "malformed");       // no such type
  EXPECT_EQ(refusal("13 12 06 0001").code, "truncated");
  EXPECT_EQ(refusal("13 02 02 12").code, "truncated");
  EXPECT_EQ(refusal("13 01 FFFF 00 01 00").code, "too-many-elements");
  EXPECT_EQ(refusal("13 01 00FF 01 00FF 00 01 00").code, "too-many-elements");
  EXPECT_EQ(refusal("13 020102010201020102010201020102 01 11 01 00").code, "nesting-too-deep");
}

TEST(AxdrIndex, RefusesWithReasonAndOffset) {
  EXPECT_EQ(refusal(""), (Refusal{"truncated", 0}));
  EXPECT_EQ(refusal("11 05 00"), (Refusal{"malformed", 2})) << "octets left over";
  EXPECT_EQ(refusal("02 02 11 05 0B 00"), (Refusal{"malformed", 4})) << "no such tag";
  EXPECT_EQ(refusal("02 03 11 05"), (Refusal{"truncated", 2})) << "more items than octets";
  EXPECT_EQ(refusal("02 02 11 05 12 00"), (Refusal{"truncated", 5}));
  EXPECT_EQ(refusal("01 84 FFFFFFFF"), (Refusal{"truncated", 6}));
  EXPECT_EQ(refusal("09 84 FFFFFFFF 00").code, "oversize");
}

TEST(AxdrIndex, Limits) {
  Octets deep;
  for (std::size_t i = 0; i < DataIndex::nesting_max; ++i) test::append(deep, from_hex("02 01"));
  Octets whole = deep;
  test::append(whole, from_hex("11 01"));
  EXPECT_EQ(refusal(whole), (Refusal{"accepted", DataIndex::nesting_max + 1}));
  test::append(deep, from_hex("02 01 11 01"));
  EXPECT_EQ(refusal(deep), (Refusal{"nesting-too-deep", 2 * DataIndex::nesting_max}));

  const auto list_of_nulls = [](std::size_t count) {
    Octets list{std::byte{1}, std::byte{0x82}, static_cast<std::byte>(count >> 8),
                static_cast<std::byte>(count)};
    list.resize(list.size() + count);
    return list;
  };
  EXPECT_EQ(refusal(list_of_nulls(256)), (Refusal{"accepted", 257}));
  EXPECT_EQ(refusal(list_of_nulls(257)), (Refusal{"too-many-elements", 4}));

  // Lists of 256: the fourth goes beyond 1024 elements in all.
  Octets many = from_hex("02 04");
  for (int i = 0; i < 4; ++i) test::append(many, list_of_nulls(256));
  EXPECT_EQ(refusal(many).code, "too-many-elements");

  const auto string = [](std::size_t size) {
    Octets data{std::byte{9}, std::byte{0x82}, static_cast<std::byte>(size >> 8),
                static_cast<std::byte>(size)};
    data.resize(data.size() + size);
    return data;
  };
  EXPECT_EQ(refusal(string(DataIndex::string_size_max)), (Refusal{"accepted", 1}));
  EXPECT_EQ(refusal(string(DataIndex::string_size_max + 1)), (Refusal{"oversize", 4}));
}

/// Random data trees: encoded, indexed, and the index encoded again gives the same octets.
class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}
  Octets data(std::size_t depth) {
    static constexpr std::uint8_t fixed[][2] = {
        {0x00, 0}, {0x03, 1}, {0x05, 4}, {0x06, 4}, {0x0d, 1}, {0x0f, 1}, {0x10, 2},  {0x11, 1},
        {0x12, 2}, {0x14, 8}, {0x15, 8}, {0x16, 1}, {0x17, 4}, {0x18, 8}, {0x19, 12}, {0x1a, 5},
        {0x1b, 4}, {0x1c, 1}, {0x1d, 2}, {0x1e, 4}, {0x1f, 1}, {0x20, 2}, {0x21, 4},  {0xff, 0}};
    const unsigned kind = pick(11);
    Octets out;
    if (kind < 3 && depth + 1 < DataIndex::nesting_max) {
      const unsigned items = pick(5);
      out = {static_cast<std::byte>(1 + pick(2)), static_cast<std::byte>(items)};
      for (unsigned i = 0; i < items; ++i) test::append(out, data(depth + 1));
    } else if (kind == 10 && depth + 1 < DataIndex::nesting_max) {
      out = from_hex("02 02 0F");
      fill(out, 1);
      out.push_back(std::byte{0x16});
      fill(out, 1);
    } else if (kind < 5) {
      const unsigned size = pick(20);
      out = {static_cast<std::byte>(kind == 3 ? 0x09 : 0x0a), static_cast<std::byte>(size)};
      fill(out, size);
    } else {
      const auto& type = fixed[pick(std::size(fixed))];
      out = {static_cast<std::byte>(type[0])};
      fill(out, type[1]);
    }
    return out;
  }
  unsigned pick(std::size_t below) { return static_cast<unsigned>(random_() % below); }

 private:
  void fill(Octets& out, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) out.push_back(static_cast<std::byte>(random_()));
  }
  std::mt19937 random_;
};

Octets encode(const DataIndex& index) {
  Octets out;
  for (std::size_t i = 0; i < index.size(); ++i) {
    const Element& e = index[i];
    if (e.tag == DataTag::scaler_unit)
      test::append(out, from_hex("02 02 0F"));
    else
      out.push_back(static_cast<std::byte>(e.tag));
    if (e.is_list() || e.is_string()) out.push_back(static_cast<std::byte>(e.size));
    if (!e.is_list()) test::append(out, e.octets());
  }
  return out;
}

TEST(AxdrProperty, IndexHoldsExactlyWhatWasEncoded) {
  const auto index = std::make_unique<DataIndex>();
  for (unsigned seed = 0; seed < 2000; ++seed) {
    const Octets data = Generator(seed).data(0);
    ASSERT_TRUE(index->build(data)) << seed;
    ASSERT_EQ(encode(*index), data) << seed;
  }
}

TEST(AxdrProperty, EveryCutIsRefused) {
  const auto index = std::make_unique<DataIndex>();
  for (unsigned seed = 0; seed < 300; ++seed) {
    const Octets data = Generator(seed).data(0);
    for (std::size_t size = 0; size < data.size(); ++size) {
      const Octets cut(data.begin(), data.begin() + static_cast<std::ptrdiff_t>(size));
      const auto built = index->build(cut);
      ASSERT_FALSE(built) << seed << " cut at " << size;
      ASSERT_LE(built.error().offset, size);
    }
  }
}

TEST(AxdrProperty, DamagedDataNeverLeavesItsOctets) {
  const auto index = std::make_unique<DataIndex>();
  for (unsigned seed = 0; seed < 20000; ++seed) {
    Generator generator(seed);
    Octets data = generator.data(0);
    if (data.size() < 4) continue;
    for (int i = 0; i < 3; ++i)
      data[generator.pick(data.size())] = static_cast<std::byte>(generator.pick(256));
    if (!index->build(data)) continue;
    for (std::size_t i = 0; i < index->size(); ++i) {
      const Element& e = (*index)[i];
      ASSERT_LE(e.next, index->size());
      if (e.is_list()) continue;
      ASSERT_GE(e.content, data.data());
      ASSERT_LE(e.content + e.size, data.data() + data.size());
    }
  }
}

}  // namespace
}  // namespace meter::dlms
