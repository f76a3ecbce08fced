// What an Updater is given when the places hold junk and origins lie.
#include "dht/metadata/metadata_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <utility>

#include "common/bytes.h"
#include "common/status.h"
#include "dht/metadata/announced.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace shoal::dht {
namespace {

using shoal::testing::FakeClock;
using shoal::testing::IsOk;
using ::testing::ElementsAre;

constexpr uint64_t kMax = 1000;

class MetadataSourceTest : public ::testing::Test {
 protected:
  MetadataSourceTest() {
    options_.places = &places_;
    options_.clock = &clock_;
    options_.look_ups = {[this](const std::string& place,
                                records::v1::RecordKind kind,
                                const Take& take) {
      for (const std::string& payload : records_[{place, kind}])
        if (take(payload)) return true;
      return false;
    }};
    options_.plausible = [](std::string_view, std::optional<uint64_t>,
                            std::string_view bytes) {
      return bytes.starts_with("junk") ? InvalidArgument("bad_signature", "")
                                       : absl::OkStatus();
    };
    options_.origins = [this] { return origins_; };
    options_.get = [this](
                       const std::vector<std::string>& urls, uint64_t,
                       const std::optional<std::string>&,
                       absl::Duration timeout) -> absl::StatusOr<std::string> {
      asked_.insert(asked_.end(), urls.begin(), urls.end());
      for (const std::string& url : urls) {
        if (silent_.contains(url)) {
          clock_.Advance(timeout);
          continue;
        }
        if (const auto it = served_.find(url); it != served_.end())
          return it->second;
      }
      return NotFound("no_source", "404");
    };
  }

  void Record(const std::string& place, records::v1::RecordKind kind,
              std::string payload) {
    records_[{place, kind}].push_back(std::move(payload));
  }

  const PlaceNamer places_{std::string(32, 'p')};
  FakeClock clock_;
  MetadataSourceOptions options_;
  std::map<std::pair<std::string, int>, std::vector<std::string>> records_;
  std::vector<std::string> origins_;
  std::map<std::string, std::string> served_;
  std::set<std::string> silent_;
  std::vector<std::string> asked_;
};

TEST_F(MetadataSourceTest, T41_JunkAtThePlaceHidesNothing) {
  const std::string place = places_.Metadata("targets", 3);
  Record(place, records::v1::RECORD_KIND_METADATA, "junk above");
  Record(place, records::v1::RECORD_KIND_METADATA, std::string(kMax + 1, 'x'));
  Record(place, records::v1::RECORD_KIND_DOCUMENT, "of another kind");
  Record(place, records::v1::RECORD_KIND_METADATA, "the one");
  MetadataSource source(options_);
  const auto bytes = source.FetchMetadata("targets", 3, kMax);
  ASSERT_THAT(bytes, IsOk());
  EXPECT_EQ(*bytes, "the one");
  EXPECT_TRUE(asked_.empty());
}

TEST_F(MetadataSourceTest, T41_AnOriginThatLiesHidesNoOther) {
  origins_ = {"http://liar/", "http://empty/", "http://honest/"};
  served_["http://liar/metadata/3.targets.json"] = "junk";
  served_["http://honest/metadata/3.targets.json"] = "the one";
  served_["http://liar/metadata/2.root.json"] = "junk";
  served_["http://honest/metadata/2.root.json"] = "a root";
  MetadataSource source(options_);
  auto bytes = source.FetchMetadata("targets", 3, kMax);
  ASSERT_THAT(bytes, IsOk());
  EXPECT_EQ(*bytes, "the one");
  // Whoever was of use is asked first from now on.
  asked_.clear();
  bytes = source.FetchMetadata("root", 2, kMax);
  ASSERT_THAT(bytes, IsOk());
  EXPECT_EQ(*bytes, "a root");
  EXPECT_THAT(asked_, ElementsAre("http://honest/metadata/2.root.json"));
}

TEST_F(MetadataSourceTest, T10_SilentOriginsTakeTheirTimeAndNoMore) {
  for (int i = 0; i < 100; ++i) {
    origins_.push_back("http://silent" + std::to_string(i) + "/");
    silent_.insert(origins_.back() + "metadata/3.targets.json");
  }
  const absl::Duration start = clock_.MonotonicNow();
  MetadataSource source(options_);
  EXPECT_FALSE(source.FetchMetadata("targets", 3, kMax).ok());
  EXPECT_LE(clock_.MonotonicNow() - start, options_.origin_timeout);
  EXPECT_GT(asked_.size(), 1u);
}

TEST_F(MetadataSourceTest, ARootThatNobodyHasEndsTheRotationOnlyWhenAsked) {
  MetadataSource alone(options_);
  EXPECT_TRUE(
      absl::IsUnavailable(alone.FetchMetadata("root", 2, kMax).status()));
  options_.answered = [] { return true; };
  MetadataSource asked(options_);
  EXPECT_TRUE(absl::IsNotFound(asked.FetchMetadata("root", 2, kMax).status()));
  // Of any other role that would be no answer.
  EXPECT_TRUE(
      absl::IsUnavailable(asked.FetchMetadata("targets", 2, kMax).status()));
}

TEST_F(MetadataSourceTest, TheAnnouncedTimestampGoesBeforeAnOrigins) {
  origins_ = {"http://a/"};
  served_["http://a/metadata/timestamp.json"] = "an origin's";
  MetadataSource nobody(options_);
  auto bytes = nobody.FetchMetadata("timestamp", std::nullopt, kMax);
  ASSERT_THAT(bytes, IsOk());
  EXPECT_EQ(*bytes, "an origin's");
  options_.timestamp = [] { return "announced"; };
  MetadataSource announced(options_);
  bytes = announced.FetchMetadata("timestamp", std::nullopt, kMax);
  ASSERT_THAT(bytes, IsOk());
  EXPECT_EQ(*bytes, "announced");
}

TEST_F(MetadataSourceTest, RolesOfAnyNameAreOneSegmentOfTheUrl) {
  origins_ = {"http://a/"};
  MetadataSource source(options_);
  EXPECT_FALSE(source.FetchMetadata("../x y", 1, kMax).ok());
  EXPECT_THAT(asked_, ElementsAre("http://a/metadata/1...%2Fx%20y.json"));
}

TEST_F(MetadataSourceTest, RootsThatAreHandedOutAreTold) {
  Record(places_.Metadata("root", 2), records::v1::RECORD_KIND_METADATA, "two");
  Record(places_.Metadata("targets", 2), records::v1::RECORD_KIND_METADATA,
         "no root");
  std::map<uint64_t, std::string> told;
  options_.on_root = [&](uint64_t version, const std::string& bytes) {
    told[version] = bytes;
  };
  MetadataSource source(options_);
  ASSERT_THAT(source.FetchMetadata("root", 2, kMax), IsOk());
  ASSERT_THAT(source.FetchMetadata("targets", 2, kMax), IsOk());
  EXPECT_FALSE(source.FetchMetadata("root", 3, kMax).ok());
  EXPECT_THAT(told,
              ElementsAre(std::pair<const uint64_t, std::string>(2, "two")));
}

TEST_F(MetadataSourceTest, DocumentsAreFoundByTheirDigest) {
  signing::TargetFile target;
  target.path = "policy";
  target.length = 7;
  target.sha256 = std::string(32, 'd');
  origins_ = {"http://a/", "http://b/"};
  MetadataSource source(options_);
  EXPECT_FALSE(source.FetchTarget(target).ok());
  const std::string path = "blobs/" + HexEncode(target.sha256);
  EXPECT_THAT(asked_, ElementsAre("http://a/" + path, "http://b/" + path));
  Record(places_.Document(target.sha256), records::v1::RECORD_KIND_DOCUMENT,
         "content");
  const auto bytes = source.FetchTarget(target);
  ASSERT_THAT(bytes, IsOk());
  EXPECT_EQ(*bytes, "content");
}

TEST_F(MetadataSourceTest, T43_EveryProofAndEveryTimestampIsASourceOfItsOwn) {
  const std::string root(32, 'r');
  Record(places_.LogProof(root), records::v1::RECORD_KIND_LOG_PROOF, "one");
  Record(places_.LogProof(root), records::v1::RECORD_KIND_LOG_PROOF, "two");
  Record(places_.Metadata("timestamp", 5), records::v1::RECORD_KIND_METADATA,
         "junk");
  Record(places_.Metadata("timestamp", 5), records::v1::RECORD_KIND_METADATA,
         "a timestamp");
  MetadataSource source(options_);
  const auto all = [&](const std::string& name) {
    std::vector<std::string> found;
    for (size_t i = 0;; ++i) {
      auto bytes = source.FetchLog(name, i, kMax);
      if (!bytes.ok()) return found;
      found.push_back(*std::move(bytes));
    }
  };
  EXPECT_THAT(all("proof/" + HexEncode(root)), ElementsAre("one", "two"));
  EXPECT_THAT(all("timestamp/5"), ElementsAre("a timestamp"));
  EXPECT_TRUE(absl::IsInvalidArgument(
      source.FetchLog("timestamp/5x", 0, kMax).status()));
}

TEST_F(MetadataSourceTest, TilesComeFromTheOwnCopyAndThenFromEachOrigin) {
  origins_ = {"http://a/", "http://b/"};
  served_["http://a/log/tile/0/0"] = "of a";
  served_["http://b/log/tile/0/0"] = "of b";
  options_.log_tile = [](MetadataSource&, const std::string&) { return "own"; };
  MetadataSource source(options_);
  size_t i = 0;
  for (const char* expected : {"own", "of a", "of b"}) {
    const auto bytes = source.FetchLog("tile/0/0", i++, kMax);
    ASSERT_THAT(bytes, IsOk());
    EXPECT_EQ(*bytes, expected);
  }
  EXPECT_EQ(ReasonOf(source.FetchLog("tile/0/0", 3, kMax).status()),
            "no_more_sources");
}

TEST_F(MetadataSourceTest, ABundleIsWhatRecordsSayElseWhatAnyOriginSays) {
  origins_ = {"http://a/", "http://b/"};
  served_["http://a/log/entries/7"] = "of a";
  served_["http://b/log/entries/7"] = "of b";
  MetadataSource source(options_);
  EXPECT_THAT(source.FetchLogBundle(7), ElementsAre("of a", "of b"));
  Record(places_.LogEntries(7), records::v1::RECORD_KIND_LOG_ENTRIES,
         "a record");
  EXPECT_THAT(source.FetchLogBundle(7), ElementsAre("a record"));
}

VerifiedRecord HeadWith(const std::string& timestamp) {
  VerifiedRecord record;
  record.body.set_kind(records::v1::RECORD_KIND_HEAD);
  records::v1::Head head;
  head.set_timestamp(timestamp);
  record.body.set_payload(head.SerializeAsString());
  return record;
}

TEST(TimestampsOf, T41_TheNumbersOfRecordsSayNothing) {
  const auto timestamp = [](int version, const char* more) {
    return std::string(R"({"signatures":[],"signed":{"_type":"timestamp",)") +
           R"("spec_version":"1.0.31","expires":"2036-01-01T00:00:00Z",)" +
           R"("version":)" + std::to_string(version) + "," + more +
           R"("meta":{"snapshot.json":{"version":1}}}})";
  };
  VerifiedRecord loud = HeadWith(timestamp(1, ""));
  loud.body.set_version(~uint64_t{0});
  VerifiedRecord other;
  other.body.set_kind(records::v1::RECORD_KIND_DOCUMENT);
  const auto found = TimestampsOf(
      {loud, HeadWith("junk"), HeadWith(timestamp(9, "")),
       HeadWith(timestamp(9, "")), HeadWith(timestamp(9, R"("x":1,)")),
       HeadWith(timestamp(4, "")), HeadWith(""), other},
      [](std::string_view, std::optional<uint64_t>, std::string_view bytes) {
        return bytes.find("\"version\":4,") == bytes.npos
                   ? absl::OkStatus()
                   : InvalidArgument("bad_signature", "");
      });
  EXPECT_THAT(found, ElementsAre(timestamp(9, ""), timestamp(9, R"("x":1,)"),
                                 timestamp(1, "")));
}

}  // namespace
}  // namespace shoal::dht
