#include <string>

#include "signing/metadata/metadata.h"
#include "tests/support/status_matchers.h"

namespace shoal::signing {
namespace {

using ::shoal::testing::Fails;

constexpr uint64_t kMax = 1 << 20;

TEST(CanonicalJson, SortsAndEscapesOnlyQuoteAndBackslash) {
  ASSERT_OK_AND_ASSIGN(const std::string canonical,
                       CanonicalJson(" { \"b\" : [1, -2, true, null],\n \"a\": "
                                     "\"x\\n\\\"\\\\\\u00e9\\/\" } ",
                                     kMax));
  EXPECT_EQ(canonical,
            "{\"a\":\"x\n\\\"\\\\\xc3\xa9/\",\"b\":[1,-2,true,null]}");
}

TEST(StrictJson, T12_WhatStockParsersLetPassIsRefused) {
  const std::string bad[] = {R"({"a":1,"a":2})",        // duplicate key
                             R"({"a":{"b":1,"b":1}})",  // also inside
                             R"({"a":1.0})",            // float
                             R"({"a":1e3})",
                             R"({"a":9007199254740992})",  // 2^53
                             R"({"a":-9007199254740992})",
                             R"({"a":18446744073709551616})",  // 2^64
                             "{\"a\":\"\xff\"}",               // invalid UTF-8
                             "{\"a\":\"\xed\xa0\x80\"}",       // surrogate
                             R"({"a":"\ud800"})",              // lone surrogate
                             R"({"a":"\u0000"})",              // NUL
                             "{\"\xc3\xa9\":1}",               // key not ASCII
                             R"({"a":1} x)",                   // trailing bytes
                             R"({"a":1}{"a":1})",
                             "\xef\xbb\xbf{}",  // byte order mark
                             R"({"a":1,})",
                             R"({'a':1})",
                             "",
                             "{",
                             "nul",
                             "/**/{}"};
  for (const std::string& text : bad)
    EXPECT_THAT(CanonicalJson(text, kMax),
                Fails(absl::StatusCode::kInvalidArgument, "bad_metadata"))
        << text;
}

TEST(StrictJson, T12_DepthIsCapped) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_OK(CanonicalJson(nested(32), kMax));
  EXPECT_THAT(CanonicalJson(nested(33), kMax),
              Fails(absl::StatusCode::kInvalidArgument, "bad_metadata"));
  EXPECT_THAT(CanonicalJson(nested(200000), kMax),
              Fails(absl::StatusCode::kInvalidArgument, "bad_metadata"));
  EXPECT_THAT(CanonicalJson(std::string(200000, '['), kMax),
              Fails(absl::StatusCode::kInvalidArgument, "bad_metadata"));
}

TEST(StrictJson, T02_SizeIsCappedBeforeParsing) {
  EXPECT_THAT(
      CanonicalJson("[1,2,3]", 6),
      Fails(absl::StatusCode::kResourceExhausted, "metadata_too_large"));
}

}  // namespace
}  // namespace shoal::signing
