#include "server/cli/repo_reader.h"

#include <gtest/gtest.h>

#include "common/bytes.h"
#include "common/crypto/ed25519.h"
#include "common/crypto/hash.h"
#include "signing/metadata/image_info.h"
#include "signing/sign/builder.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::cli {
namespace {

using testing::FailsBecause;

class RepoReaderTest : public ::testing::Test {
 protected:
  void Write(const std::string& path, const std::string& bytes) {
    const std::string full = dir_.File(path);
    ASSERT_OK(
        RealFileSystem().MakeDirectories(full.substr(0, full.rfind('/'))));
    ASSERT_OK(RealFileSystem().WriteAtomic(full, bytes));
  }
  // A file of `role` that names `target` with `bytes`.
  void WriteTargets(const std::string& role, uint64_t version,
                    const std::string& target, const std::string& bytes) {
    signing::Targets targets;
    targets.version = version;
    targets.expires = absl::FromUnixSeconds(1900000000);
    signing::TargetFile file;
    file.path = target;
    file.length = bytes.size();
    file.sha256 = crypto::Sha256Digest(bytes);
    targets.targets[target] = file;
    const auto key = crypto::SigningKey::Generate();
    ASSERT_OK_AND_ASSIGN(const std::string metadata,
                         signing::SignTargets(targets, {&key}));
    Write("metadata/" + std::to_string(version) + "." + role + ".json",
          metadata);
    const size_t slash = target.rfind('/');
    Write("targets/" + target.substr(0, slash + 1) + HexEncode(file.sha256) +
              "." + target.substr(slash + 1),
          bytes);
  }
  testing::TempDir dir_;
};

TEST_F(RepoReaderTest, SendsWhatIsNewOfOfflineRolesOnly) {
  for (const char* name :
       {"1.root.json", "2.root.json", "3.root.json", "1.targets.json",
        "1.director.json", "9.snapshot.json", "timestamp.json", "2.fw-a.json",
        "3.fw-a.json", "1.fw-b.json", "x.root.json", "0.root.json"}) {
    Write(std::string("metadata/") + name, name);
  }
  WriteTargets("policy", 4, "policy/access.json", "{\"version\":4}");
  ASSERT_OK_AND_ASSIGN(const auto request,
                       NewOfflineMetadata(RealFileSystem(), dir_.path(),
                                          {{"root", 1},
                                           {"targets", 1},
                                           {"policy", 3},
                                           {"fw-a", 1},
                                           {"fw-b", 1}}));
  std::vector<std::string> names;
  for (const auto& [name, bytes] : request.metadata()) names.push_back(name);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"2.root.json", "3.fw-a.json",
                                             "3.root.json", "4.policy.json"}));
  ASSERT_EQ(request.documents_size(), 1);
  EXPECT_EQ(request.documents().at("policy/access.json"), "{\"version\":4}");
}

TEST_F(RepoReaderTest, NothingNewIsNothing) {
  Write("metadata/1.root.json", "r");
  ASSERT_OK_AND_ASSIGN(
      const auto request,
      NewOfflineMetadata(RealFileSystem(), dir_.path(), {{"root", 1}}));
  EXPECT_TRUE(request.metadata().empty());
}

TEST_F(RepoReaderTest, FindsTheImageOfARelease) {
  WriteTargets("fw-gateway", 1, "fw/gateway/1.0.0/image", "old");
  WriteTargets("fw-gateway", 2, "fw/gateway/1.1.0/image", "new image");
  ASSERT_OK_AND_ASSIGN(
      const ReleaseImage image,
      FindRelease(RealFileSystem(), dir_.path(), "gateway", "1.1.0"));
  EXPECT_EQ(image.metadata_name, "2.fw-gateway.json");
  EXPECT_EQ(*RealFileSystem().Read(image.path, 100), "new image");
  EXPECT_THAT(FindRelease(RealFileSystem(), dir_.path(), "gateway", "1.0.0"),
              FailsBecause("unknown_release"));
  EXPECT_THAT(FindRelease(RealFileSystem(), dir_.path(), "kiosk", "1.0.0"),
              FailsBecause("unknown_release"));
  ASSERT_OK(RealFileSystem().WriteAtomic(image.path, "short"));
  EXPECT_THAT(FindRelease(RealFileSystem(), dir_.path(), "gateway", "1.1.0"),
              FailsBecause("length_mismatch"));
  ASSERT_OK(RealFileSystem().Remove(image.path));
  EXPECT_THAT(FindRelease(RealFileSystem(), dir_.path(), "gateway", "1.1.0"),
              FailsBecause("image_missing"));
}

TEST_F(RepoReaderTest, SaysThatADirectoryIsNoRepository) {
  const auto files = ListMetadata(RealFileSystem(), dir_.File("nothing"));
  EXPECT_THAT(files, FailsBecause("io_not_found"));
  EXPECT_NE(std::string(files.status().message()).find("no repository"),
            std::string::npos);
}

}  // namespace
}  // namespace shoal::cli
