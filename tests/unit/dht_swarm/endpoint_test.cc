#include "dht/swarm/endpoint.h"

#include "common/bytes.h"
#include "dht/swarm/artifact.h"
#include "tests/support/status_matchers.h"

namespace shoal::dht {
namespace {

using shoal::testing::FailsBecause;

TEST(Endpoint, ReadsBothFamiliesAndWritesThemBack) {
  for (const char* text : {"127.0.0.1:4000", "[::1]:65535", "10.1.2.3:1"}) {
    ASSERT_OK_AND_ASSIGN(const Endpoint endpoint, ParseEndpoint(text));
    EXPECT_EQ(endpoint.ToString(), text);
  }
  ASSERT_OK_AND_ASSIGN(const Endpoint any, ParseEndpoint("0.0.0.0:0", true));
  EXPECT_EQ(any.port, 0);
}

TEST(Endpoint, RefusesNamesPortsOutOfRangeAndLeftovers) {
  for (const char* text :
       {"", "localhost:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
        "127.0.0.1:-1", "127.0.0.1:80x", "127.0.0.1:0", "::1:80", "[::1]80",
        "[127.0.0.1]:80", "[::1%lo]:80", "1.2.3:4", " 1.2.3.4:5"}) {
    EXPECT_THAT(ParseEndpoint(text), FailsBecause("bad_address")) << text;
  }
}

TEST(Url, OnlyPlainHttpUrls) {
  EXPECT_OK(ValidateUrl("http://127.0.0.1:80/a?b=c"));
  EXPECT_OK(ValidateUrl("https://bucket.example/blobs/x"));
  for (const std::string& url :
       {std::string("file:///etc/passwd"), std::string("ftp://h/x"),
        std::string("http://"), std::string("http:///x"),
        std::string("http://u:p@h/"), std::string("http://h/#f"),
        std::string("http://h/a b"), std::string("http://h/\n"),
        "http://h/" + std::string(2048, 'a')}) {
    EXPECT_THAT(ValidateUrl(url), FailsBecause("bad_url")) << url;
  }
}

TEST(Url, BlobUrlJoinsWithOneSlash) {
  const std::string hash(32, '\xab');
  const std::string want = "http://h:1/blobs/" + HexEncode(hash);
  ASSERT_OK_AND_ASSIGN(const std::string a, BlobUrl("http://h:1", hash));
  ASSERT_OK_AND_ASSIGN(const std::string b, BlobUrl("http://h:1/", hash));
  EXPECT_EQ(a, want);
  EXPECT_EQ(b, want);
  EXPECT_THAT(BlobUrl("http://h", "short"), FailsBecause("bad_artifact"));
}

TEST(Artifact, FieldsAreChecked) {
  const Artifact good{std::string(32, 'r'), 16384, 1, std::string(32, 's')};
  EXPECT_OK(ValidateArtifact(good));
  Artifact bad = good;
  bad.piece_length = 16385;
  EXPECT_THAT(ValidateArtifact(bad), FailsBecause("bad_artifact"));
  bad = good;
  bad.piece_length = 8192;
  EXPECT_THAT(ValidateArtifact(bad), FailsBecause("bad_artifact"));
  bad = good;
  bad.length = 0;
  EXPECT_THAT(ValidateArtifact(bad), FailsBecause("bad_artifact"));
  bad = good;
  bad.length = kMaxArtifactLength;  // too many pieces of 16 KiB
  EXPECT_THAT(ValidateArtifact(bad), FailsBecause("bad_artifact"));
  bad = good;
  bad.file_root.pop_back();
  EXPECT_THAT(ValidateArtifact(bad), FailsBecause("bad_artifact"));
}

}  // namespace
}  // namespace shoal::dht
