// What an Updater is given when the places hold junk and origins lie.
#include "dht/metadata/metadata_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <thread>
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
      bool answered = false;
      for (const std::string& url : urls) {
        if (const auto it = slow_.find(url);
            it != slow_.end() && it->second > timeout) {
          clock_.Advance(timeout);
          continue;
        }
        if (silent_.contains(url)) {
          clock_.Advance(timeout);
          continue;
        }
        answered |= !refused_.contains(url);
        if (const auto it = served_.find(url); it != served_.end())
          return it->second;
      }
      if (answered) return NotFound("no_source", "404");
      return Unavailable("no_source", "nobody answers");
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
  std::map<std::string, absl::Duration> slow_;  // need so long
  std::set<std::string> refused_;
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

TEST_F(MetadataSourceTest, T10_T41_SilentOriginsInFrontHideNoOther) {
  const std::string path = "metadata/2.root.json";
  for (int i = 0; i < 5; ++i) {
    origins_.push_back("http://silent" + std::to_string(i) + "/");
    silent_.insert(origins_.back() + path);
  }
  origins_.push_back("http://honest/");
  served_["http://honest/" + path] = "a root";
  {
    MetadataSource source(options_);
    const auto bytes = source.FetchMetadata("root", 2, kMax);
    ASSERT_THAT(bytes, IsOk());
    EXPECT_EQ(*bytes, "a root");
  }
  // Too many for one try: the next one begins with those that had no turn.
  for (int i = 5; i < 15; ++i) {
    origins_.insert(origins_.begin(),
                    "http://silent" + std::to_string(i) + "/");
    silent_.insert(origins_.front() + path);
  }
  MetadataSource source(options_);
  EXPECT_FALSE(source.FetchMetadata("root", 2, kMax).ok());
  asked_.clear();
  EXPECT_THAT(source.FetchMetadata("root", 2, kMax), IsOk());
  EXPECT_LT(asked_.size(), 10u);
  // Who answers again is believed to.
  silent_.clear();
  served_.clear();
  served_["http://silent0/" + path] = "of another";
  EXPECT_THAT(source.FetchMetadata("root", 2, kMax), IsOk());
  asked_.clear();
  EXPECT_THAT(source.FetchMetadata("root", 2, kMax), IsOk());
  EXPECT_THAT(asked_, ElementsAre("http://silent0/" + path));
}

TEST_F(MetadataSourceTest, ASlowLinkGetsThereHoweverManyOriginsThereAre) {
  const std::string path = "metadata/3.targets.json";
  for (int i = 0; i < 30; ++i) {
    origins_.push_back("http://slow" + std::to_string(i) + "/");
    served_[origins_.back() + path] = "the one";
    slow_[origins_.back() + path] = absl::Seconds(7);
  }
  MetadataSource source(options_);
  int tries = 0;
  while (!source.FetchMetadata("targets", 3, kMax).ok() && ++tries < 10) {
  }
  EXPECT_LT(tries, 10);
  // From then on at once.
  EXPECT_THAT(source.FetchMetadata("targets", 3, kMax), IsOk());
}

TEST_F(MetadataSourceTest, ARootThatNobodyHasEndsTheRotationOnlyWhenAsked) {
  for (const char* origin : {"", "http://refused/"}) {
    SCOPED_TRACE(origin);
    if (*origin != 0) origins_ = {origin};
    refused_ = {"http://refused/metadata/2.root.json",
                "http://refused/metadata/2.targets.json"};
    options_.answered = nullptr;
    MetadataSource alone(options_);
    EXPECT_TRUE(
        absl::IsUnavailable(alone.FetchMetadata("root", 2, kMax).status()));
    options_.answered = [] { return true; };
    MetadataSource asked(options_);
    EXPECT_TRUE(
        absl::IsNotFound(asked.FetchMetadata("root", 2, kMax).status()));
    // Of any other role that would be no answer.
    EXPECT_TRUE(
        absl::IsUnavailable(asked.FetchMetadata("targets", 2, kMax).status()));
  }
}

TEST_F(MetadataSourceTest, OnlyAnOriginsOwnWordIsThatThereIsNone) {
  origins_ = {"http://refused/", "http://b/"};
  refused_ = {"http://refused/metadata/2.root.json"};
  MetadataSource one(options_);
  EXPECT_TRUE(absl::IsNotFound(one.FetchMetadata("root", 2, kMax).status()));
  // The transport's own trouble is no word at all.
  options_.get = [](const auto&...) -> absl::StatusOr<std::string> {
    return NotFound("io_not_found", "shoal-fetch is missing");
  };
  MetadataSource none(options_);
  EXPECT_EQ(ReasonOf(none.FetchMetadata("root", 2, kMax).status()),
            "io_not_found");
  options_.answered = [] { return false; };
  MetadataSource silent(options_);
  EXPECT_NE(ReasonOf(silent.FetchMetadata("root", 2, kMax).status()),
            "metadata_missing");
}

class TimestampSource : public MetadataSourceTest {
 protected:
  // Without any `now`, what is announced is taken as it is.
  TimestampSource() {
    origins_ = {"http://a/", "http://b/", "http://c/"};
    options_.timestamp = [this] { return announced_; };
    options_.now = [this] { return clock_.WallNow(); };
    options_.trusted = [this] { return trusted_; };
  }
  std::string Stamp(uint64_t version, absl::Duration left = absl::Hours(168)) {
    return R"({"signatures":[],"signed":{"_type":"timestamp",)"
           R"("spec_version":"1.0.31","expires":")" +
           signing::FormatExpires(clock_.WallNow() + left) + R"(","version":)" +
           std::to_string(version) +
           R"(,"meta":{"snapshot.json":{"version":1}}}})";
  }
  void Serve(const std::string& origin, const std::string& bytes) {
    served_["http://" + origin + "/metadata/timestamp.json"] = bytes;
  }
  void Trust(const std::string& bytes) {
    trusted_ = signing::ParseTimestamp(bytes)->value;
  }
  absl::StatusOr<std::string> Fetch(MetadataSource& source) {
    asked_.clear();
    return source.FetchMetadata("timestamp", std::nullopt, kMax);
  }

  absl::StatusOr<std::string> announced_ = NotFound("no_source", "");
  std::optional<signing::Timestamp> trusted_;
};

TEST_F(TimestampSource, T05_T41_TheNewestOfAllOriginsCounts) {
  Serve("a", Stamp(3));
  Serve("b", "junk");
  Serve("c", Stamp(9));
  MetadataSource source(options_);
  for (int i = 0; i < 2; ++i) {
    const auto bytes = Fetch(source);
    ASSERT_THAT(bytes, IsOk());
    EXPECT_EQ(*bytes, Stamp(9));
    // Whoever had the newest once is not the only one to be asked.
    EXPECT_EQ(asked_.size(), 3u);
  }
  Serve("b", Stamp(12));
  EXPECT_EQ(*Fetch(source), Stamp(12));
  origins_.clear();
  EXPECT_TRUE(absl::IsUnavailable(Fetch(source).status()));
}

TEST_F(TimestampSource, AnAnnouncedOneThatIsNewsIsEnough) {
  Serve("a", Stamp(9));
  announced_ = Stamp(3);
  MetadataSource source(options_);
  EXPECT_EQ(*Fetch(source), Stamp(3));  // nothing is trusted yet
  EXPECT_TRUE(asked_.empty());
  Trust(Stamp(2));
  EXPECT_EQ(*Fetch(source), Stamp(3));
  EXPECT_TRUE(asked_.empty());
}

TEST_F(TimestampSource, T05_T41_AnExpiredOneHidesNothing) {
  announced_ = Stamp(3, -absl::Seconds(1));
  Serve("b", Stamp(4));
  MetadataSource source(options_);
  EXPECT_EQ(*Fetch(source), Stamp(4));
  Serve("b", Stamp(2));
  EXPECT_EQ(*Fetch(source), *announced_);
  origins_.clear();
  EXPECT_EQ(*Fetch(source), *announced_);
}

TEST_F(TimestampSource, T05_T41_PastHalfOfItsLifeOriginsAreAskedToo) {
  announced_ = Stamp(3);
  Trust(*announced_);
  const std::string newer = Stamp(4, absl::Hours(240));
  Serve("c", newer);
  MetadataSource source(options_);
  EXPECT_EQ(*Fetch(source), *announced_);
  clock_.Advance(absl::Hours(80));
  EXPECT_EQ(*Fetch(source), *announced_);
  EXPECT_TRUE(asked_.empty());
  clock_.Advance(absl::Hours(8));
  EXPECT_EQ(*Fetch(source), newer);
  Trust(newer);
  announced_ = newer;
  EXPECT_EQ(*Fetch(source), newer);
  EXPECT_TRUE(asked_.empty());
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

TEST(Blocking, WaitsForWhatAnswersLaterAndNotForEver) {
  const auto ask = [](FetchDocument fetch) {
    return Blocking(std::move(fetch))({"http://a/"}, 10, std::nullopt,
                                      absl::Milliseconds(5));
  };
  std::thread answers;
  const auto bytes = ask([&](auto, auto, auto, auto, auto done) {
    answers = std::thread([done] { done("content"); });
  });
  answers.join();
  EXPECT_EQ(bytes.value_or(""), "content");
  EXPECT_EQ(ReasonOf(ask([](auto...) {}).status()), "no_source");
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
