// Custodians who never share a machine, keys on sticks of their own, drafts
// that travel: docs/operations/ceremony.md with the real shoal-sign.
#ifndef SHOAL_TESTS_INTEGRATION_SIGNING_CEREMONY_FIXTURE_H_
#define SHOAL_TESTS_INTEGRATION_SIGNING_CEREMONY_FIXTURE_H_

#include <gmock/gmock.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "tests/support/process_harness.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::signing {

// root 2 of ann, ben, cleo; targets and policy ann; firmware 2 of ben, dora,
// eli. "office" is the machine where changes are put together; it holds the
// online keys too, so that `verify` can look at the whole as a device does.
class Ceremony : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(fs_.WriteAtomic(dir_.File("pass"), "open sesame\n", 0600));
    ASSERT_OK(fs_.WriteAtomic(dir_.File("image"), std::string(70'000, 'i')));
    for (const char* who : {"ann", "ben", "cleo", "dora", "eli", "fay"})
      MakeKey(who, who);
  }
  void MakeKey(const std::string& who, const std::string& name) {
    Must({"key", "create", name, "--keys", Keys(who)});
  }
  std::string Keys(const std::string& who) { return dir_.File("keys-" + who); }
  std::string Pub(const std::string& who, const std::string& name = "") {
    return Keys(who) + "/" + (name.empty() ? who : name) + ".pub";
  }
  std::string Repo(const std::string& name = "repo") { return dir_.File(name); }

  CommandResult Run(std::vector<std::string> arguments) {
    const bool secret = std::find(arguments.begin(), arguments.end(),
                                  "--keys") != arguments.end();
    arguments.insert(arguments.begin(), testing::BinPath("shoal-sign"));
    if (secret)
      for (const std::string& more :
           {std::string("--passphrase-file"), dir_.File("pass"),
            std::string("--kdf"), std::string("interactive")})
        arguments.push_back(more);
    auto result = shoal::testing::Run(std::move(arguments));
    EXPECT_OK(result);
    return result.ok() ? *std::move(result) : CommandResult{};
  }
  std::string Must(std::vector<std::string> arguments) {
    const std::string what = arguments[0] + " " + arguments[1];
    const CommandResult result = Run(std::move(arguments));
    EXPECT_TRUE(result.status.ok()) << what << ": " << result.output;
    return result.output;
  }
  void Refused(std::vector<std::string> arguments, const std::string& reason) {
    const CommandResult result = Run(std::move(arguments));
    EXPECT_FALSE(result.status.ok()) << result.output;
    EXPECT_THAT(result.output, ::testing::HasSubstr("(" + reason + ")"));
  }
  CommandResult TrySign(const std::string& who,
                                 const std::string& repo) {
    std::vector<std::string> line = {"sign",   "--repo",  Repo(repo),
                                     "--keys", Keys(who), "--yes"};
    const CommandResult result = Run(line);
    return result;
  }
  std::string Sign(const std::string& who, const std::string& repo = "repo") {
    const CommandResult result = TrySign(who, repo);
    EXPECT_TRUE(result.status.ok()) << who << ": " << result.output;
    return result.output;
  }
  // A stick goes round: everything public is copied.
  void Copy(const std::string& from, const std::string& to) {
    const auto result =
        shoal::testing::Run({"/bin/cp", "-rT", Repo(from), Repo(to)});
    ASSERT_OK(result);
    ASSERT_TRUE(result->status.ok()) << result->output;
  }
  void Found() {
    Must({"init", "--repo", Repo(), "--keys", Keys("office"), "--root-key",
          Pub("ann"), "--root-key", Pub("ben"), "--root-key", Pub("cleo"),
          "--root-threshold", "2", "--targets-key", Pub("ann"), "--policy-key",
          Pub("ann")});
    for (const char* who : {"ann", "ben", "cleo"}) Sign(who);
    Must({"device-type", "add", "gateway", "--repo", Repo(), "--key",
          Pub("ben"), "--key", Pub("dora"), "--key", Pub("eli"), "--threshold",
          "2"});
    for (const char* who : {"ann", "ben", "dora"}) Sign(who);
    Must({"image", "add", "--repo", Repo(), "--type", "gateway", "--version",
          "1.0", "--counter", "1", dir_.File("image")});
    for (const char* who : {"dora", "eli"}) Sign(who);
    fleet_id_ = FleetId("repo");
  }
  std::string FleetId(const std::string& repo) {
    const auto root = fs_.Read(Repo(repo) + "/metadata/1.root.json", 512'000);
    EXPECT_OK(root);
    return root.ok() ? HexEncode(crypto::Sha256Digest(*root)) : "";
  }
  // What a device that has seen only root 1 makes of the repository now.
  void DevicesFollow() {
    Must({"publish", "--repo", Repo(), "--keys", Keys("office")});
    const std::string output =
        Must({"verify", Repo(), "--fleet-id", fleet_id_});
    EXPECT_THAT(output, ::testing::HasSubstr("fw-gateway version"));
    EXPECT_THAT(output, ::testing::HasSubstr("verified; valid until"));
  }
  std::string Status() { return Must({"status", "--repo", Repo()}); }

  testing::TempDir dir_;
  FileSystem& fs_ = RealFileSystem();
  std::string fleet_id_;
};

}  // namespace shoal::signing

#endif  // SHOAL_TESTS_INTEGRATION_SIGNING_CEREMONY_FIXTURE_H_
