#include "common/bytes.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/support/status_matchers.h"

namespace shoal {
namespace {

using ::shoal::testing::FailsBecause;

TEST(Hex, RoundTripAndErrors) {
  EXPECT_EQ(HexEncode(std::string("\x00\xff\x10", 3)), "00ff10");
  ASSERT_OK_AND_ASSIGN(std::string bytes, HexDecode("00Ff10"));
  EXPECT_EQ(bytes, std::string("\x00\xff\x10", 3));
  EXPECT_THAT(HexDecode("0"), FailsBecause("bad_hex"));
  EXPECT_THAT(HexDecode("0g"), FailsBecause("bad_hex"));
}

TEST(Base32, Rfc4648Vectors) {
  EXPECT_EQ(Base32Encode(""), "");
  EXPECT_EQ(Base32Encode("f"), "MY");
  EXPECT_EQ(Base32Encode("foobar"), "MZXW6YTBOI");
  ASSERT_OK_AND_ASSIGN(std::string bytes, Base32Decode("mzxw-6ytb oi"));
  EXPECT_EQ(bytes, "foobar");
  EXPECT_THAT(Base32Decode("M1"), FailsBecause("bad_base32"));
  EXPECT_THAT(Base32Decode("MZ"), FailsBecause("bad_base32"));
}

TEST(Base32, EveryLengthRoundTrips) {
  std::mt19937 random(1);
  for (size_t n = 0; n < 100; ++n) {
    std::string bytes;
    for (size_t i = 0; i < n; ++i) bytes.push_back(static_cast<char>(random()));
    ASSERT_OK_AND_ASSIGN(std::string back, Base32Decode(Base32Encode(bytes)));
    EXPECT_EQ(back, bytes);
  }
}

TEST(BigEndian, RoundTrip) {
  std::string out;
  AppendBigEndian(out, 0x0102030405060708, 8);
  AppendBigEndian(out, 0xabcd, 2);
  EXPECT_EQ(HexEncode(out), "0102030405060708abcd");
  EXPECT_EQ(ReadBigEndian(out, 8), 0x0102030405060708u);
}

TEST(HumanBytes, PowersOfThousand) {
  EXPECT_EQ(HumanBytes(999), "999 B");
  EXPECT_EQ(HumanBytes(1400000), "1.4 MB");
}

TEST(Identifier, T34_NamesAreNeverPaths) {
  EXPECT_TRUE(IsIdentifier("gateway-2_b.1"));
  for (const char* bad : {"", ".", "..", "../x", "a/b", "a b", "-x", ".x",
                          "a\n", "a:b", "\xc3\xa4"})
    EXPECT_FALSE(IsIdentifier(bad)) << bad;
  EXPECT_FALSE(IsIdentifier(std::string("a\0b", 3)));
  EXPECT_FALSE(IsIdentifier(std::string(65, 'a')));
}

}  // namespace
}  // namespace shoal
