// A release of several artifacts and attachments; rollouts that name groups;
// the way back of devices that came from different releases; signed approvals.
#include <map>

#include "rules/approval.h"
#include "rules/compatibility.h"
#include "server/rollout/explain.h"
#include "signing/metadata/file_root.h"
#include "signing/sign/builder.h"
#include "tests/unit/server/rollout_fixture.h"

namespace shoal::server {
namespace {

using testing::FailsBecause;

class ReleasePartsTest : public RolloutPlaneTest {
 protected:
  void SetUp() override {
    PlaneTest::SetUp();
    ReadReports();
  }
  static signing::TargetFile File(const std::string& name,
                                  const std::string& bytes) {
    signing::TargetFile file;
    file.path = signing::ImagePath("gateway", "1.0", name);
    file.length = bytes.size();
    file.sha256 = crypto::Sha256Digest(bytes);
    return file;
  }
  // Version 1.0: an image for rev-b that needs modem 3, the modem's firmware,
  // and an SBOM.
  release::v1::CreateReleaseHeader Header() {
    signing::Targets targets;
    targets.version = ++fw_version_;
    targets.expires = clock_.WallNow() + absl::Hours(24 * 365);
    for (const auto& [name, bytes] : parts_) {
      signing::FileRootHasher hasher;
      hasher.Update(bytes);
      const std::string root = hasher.Finish();
      const uint64_t piece = signing::PieceLength(bytes.size());
      signing::TargetFile file = File(name, bytes);
      if (name == "sbom") {
        file.custom = signing::FormatAttachmentInfo(
            {"gateway", "1.0", name, "application/json", root, piece});
      } else {
        signing::ImageInfo info{"gateway", "1.0", name, 3, 0,
                                root,      piece, {},   {}};
        if (name == "image") {
          info.hardware = {"rev-b"};
          info.needs = {{"modem", 3}};
        }
        file.custom = signing::FormatImageInfo(info);
      }
      targets.targets[file.path] = file;
    }
    release::v1::CreateReleaseHeader header;
    header.set_device_type("gateway");
    header.set_version("1.0");
    header.set_metadata(*signing::SignTargets(targets, {&fw_}));
    return header;
  }
  absl::StatusOr<release::v1::Release> Upload(
      const std::vector<std::string>& names) {
    SHOAL_ASSIGN_OR_RETURN(auto upload, releases_->Begin(Header(), "x"));
    SHOAL_RETURN_IF_ERROR(upload->Append(parts_["image"]));
    for (const std::string& name : names) {
      SHOAL_RETURN_IF_ERROR(upload->BeginFile(name));
      SHOAL_RETURN_IF_ERROR(upload->Append(parts_[name]));
    }
    return upload->Finish();
  }
  void Report(const TestDevice& device, const std::string& sha256,
              const std::string& version,
              const std::map<std::string, std::string>& inventory = {}) {
    records::v1::DeviceReport report;
    report.set_device_type("gateway");
    report.set_running_sha256(sha256);
    report.set_running_version(version);
    report.mutable_inventory()->insert(inventory.begin(), inventory.end());
    ASSERT_OK(Take({DeviceRecord(device, records::v1::RECORD_KIND_DEVICE_REPORT,
                                 writer_->places().DeviceReport(device.id),
                                 ++report_, report.SerializeAsString())}));
  }
  rollout::v1::Condition Condition(const rollout::v1::Explanation& out,
                                   const std::string& name) {
    for (const auto& one : out.conditions())
      if (one.name() == name) return one;
    return {};
  }
  std::map<std::string, std::string> parts_ = {
      {"image", "the image"}, {"modem", "its firmware"}, {"sbom", "{}"}};
  uint64_t report_ = 0;
};

TEST_F(ReleasePartsTest, AllThatIsSignedMustComeAndNothingElse) {
  EXPECT_THAT(Upload({"modem"}), FailsBecause("file_missing"));
  EXPECT_THAT(Upload({"modem", "other"}), FailsBecause("unknown_target"));
  EXPECT_THAT(Upload({"modem", "modem"}), FailsBecause("bad_request"));
  EXPECT_TRUE(RealFileSystem().List(dir_.File("plane/incoming"))->empty());
  EXPECT_TRUE(RealFileSystem().List(dir_.File("plane/public/blobs"))->empty())
      << "nothing is kept of what was not whole";
  ASSERT_OK_AND_ASSIGN(const auto release, Upload({"sbom", "modem"}));
  ASSERT_EQ(release.artifacts_size(), 2);
  EXPECT_EQ(release.artifacts(0).name(), "image");
  EXPECT_EQ(release.artifacts(0).hardware(0), "rev-b");
  EXPECT_EQ(release.artifacts(0).needs(0).artifact(), "modem");
  EXPECT_EQ(release.artifacts(1).name(), "modem");
  ASSERT_EQ(release.attachments_size(), 1);
  ASSERT_OK_AND_ASSIGN(
      const auto sbom,
      releases_->AttachmentOf("releases/gateway/1.0/attachments/sbom"));
  EXPECT_EQ(sbom.sha256(), HexEncode(crypto::Sha256Digest("{}")));
  EXPECT_TRUE(blobs_->Has(crypto::Sha256Digest("{}")));
  ASSERT_OK_AND_ASSIGN(const std::string path,
                       signing::TargetFilePath(File("sbom", "{}")));
  EXPECT_TRUE(RealFileSystem().Exists(dir_.File("plane/public/" + path)))
      << "a stock TUF client finds it";
  EXPECT_THAT(releases_->AttachmentOf("releases/gateway/1.0/attachments/x"),
              FailsBecause("not_found"));
  EXPECT_THAT(releases_->AttachmentOf("releases/gateway/1.0"),
              FailsBecause("bad_name"));
}

TEST_F(ReleasePartsTest, DeviceExplainNamesADependencyThatIsNotMet) {
  EnrollNode("n1");
  ASSERT_OK(Upload({"sbom", "modem"}));
  TestDevice device;
  Pair(device);
  rollout::v1::CreateRolloutRequest request;
  request.set_rollout_id("r1");
  request.set_release("releases/gateway/1.0");
  ASSERT_OK(rollouts_->Create(request, "operator:ann"));
  ASSERT_OK(driver_->Step());
  const Explainer explainer(*store_, *rollouts_, *devices_, *trust_,
                            writer_->fleet_id());
  const std::string name = "devices/" + HexEncode(device.id);
  std::map<std::string, std::string> inventory;
  rules::TellParts({"rev-b", {{"modem", 2}}}, inventory);
  Report(device, std::string(32, 'o'), "0.9", inventory);
  ASSERT_OK_AND_ASSIGN(auto out, explainer.Device(name, "rollouts/r1"));
  EXPECT_EQ(Condition(out, "hardware").state(),
            rollout::v1::CONDITION_STATE_MET);
  EXPECT_EQ(Condition(out, "dependency").state(),
            rollout::v1::CONDITION_STATE_UNMET);
  EXPECT_EQ(Condition(out, "dependency").reason(), "dependency_unmet");
  rules::TellParts({"rev-b", {{"modem", 3}}}, inventory);
  Report(device, std::string(32, 'o'), "0.9", inventory);
  ASSERT_OK_AND_ASSIGN(out, explainer.Device(name, "rollouts/r1"));
  EXPECT_EQ(Condition(out, "dependency").state(),
            rollout::v1::CONDITION_STATE_MET);
}

TEST_F(ReleasePartsTest, ARolloutToAGroupThatDoesNotExistIsRefused) {
  EnrollNode("n1");
  MakeRelease("1.0", "image one");
  rollout::v1::CreateRolloutRequest request;
  request.set_rollout_id("r1");
  request.set_release("releases/gateway/1.0");
  request.mutable_selector()->add_groups("lab");
  EXPECT_THAT(rollouts_->Create(request, "operator:ann"),
              FailsBecause("unknown_group"));
  fleet::v1::CreateGroupRequest group;
  group.set_group_id("lab");
  ASSERT_OK(groups_->Create(group, "operator:ann"));
  auto* phase = request.add_phases();
  phase->add_groups("laboratory");
  request.add_phases()->set_percent(100);
  EXPECT_THAT(rollouts_->Create(request, "operator:ann"),
              FailsBecause("unknown_group"));
  request.mutable_phases(0)->set_groups(0, "lab");
  ASSERT_OK_AND_ASSIGN(const auto rollout,
                       rollouts_->Create(request, "operator:ann"));
  // Who does not know groups would take the selector for a wider one.
  EXPECT_EQ(rollout.document().rules_level(), 2u);
}

TEST_F(ReleasePartsTest, AnAbortNamesWhatDevicesMayHaveRunBefore) {
  MakeRelease("1.0", "image one");
  MakeRelease("1.1", "image one and a bit");
  MakeRelease("1.2", "image one and more");
  std::vector<TestDevice> devices;
  ActiveRollout(1, devices);
  rollout::v1::AbortRolloutRequest abort;
  abort.set_name("rollouts/r1");
  ASSERT_OK_AND_ASSIGN(const auto back,
                       rollouts_->Abort(abort, "operator:ann"));
  EXPECT_EQ(back.document().release().version(), "1.2");
  ASSERT_EQ(back.document().previous_size(), 2);
  EXPECT_EQ(back.document().previous(0).version(), "1.1");
  EXPECT_EQ(back.document().previous(1).version(), "1.0");
  EXPECT_EQ(back.document().leads_back_from(), "r1");
  // An outcome with any of them is a success.
  Report(devices[0], ReleaseDigest(), "2.0");
  ASSERT_OK(driver_->Step());
  EmptyOutbox();
  ASSERT_OK(driver_->Step());
  ASSERT_OK(Take(
      {OutcomeRecord(devices[0], "r1-back", records::v1::OUTCOME_RESULT_SUCCESS,
                     crypto::Sha256Digest("image one"), 1)}));
  EXPECT_EQ(rollouts_->Get("rollouts/r1-back")->phases(0).succeeded(), 1u);
}

TEST_F(ReleasePartsTest, ADeviceThatNothingLeadsBackIsToldSo) {
  std::vector<TestDevice> devices;
  ActiveRollout(1, devices);
  rollout::v1::AbortRolloutRequest abort;
  abort.set_name("rollouts/r1");
  abort.set_stay(true);
  ASSERT_OK(rollouts_->Abort(abort, "operator:ann"));
  Report(devices[0], ReleaseDigest(), "2.0");
  const Explainer explainer(*store_, *rollouts_, *devices_, *trust_,
                            writer_->fleet_id());
  ASSERT_OK_AND_ASSIGN(
      const auto out,
      explainer.Device("devices/" + HexEncode(devices[0].id), ""));
  EXPECT_EQ(Condition(out, "way_back").reason(), "left_there");
}

TEST_F(ReleasePartsTest, T20_ASignedApprovalIsCarriedAndAForgedOneIsNot) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.add_phases()->set_count(1);
  request.add_phases()->set_percent(100);
  ActiveRollout(2, devices, request);
  const auto document = rollouts_->Get("rollouts/r1")->document();
  const auto sign = [&](const crypto::SigningKey& key, uint32_t phase) {
    return key.Sign(rules::ApprovalInput(document, phase));
  };
  EXPECT_THAT(
      Approve("rollouts/r1", 1, "", "operator:ann", sign(keys_->director, 1)),
      FailsBecause("bad_signature"));
  EXPECT_THAT(Approve("rollouts/r1", 0, "", "operator:ann", sign(operator_, 1)),
              FailsBecause("bad_signature"));
  EXPECT_THAT(Approve("rollouts/r1", 2, "", "operator:ann", sign(operator_, 2)),
              FailsBecause("not_waiting"));
  ASSERT_OK(Approve("rollouts/r1", 0, "", "operator:ann", sign(operator_, 0)));
  ASSERT_OK(driver_->Step());
  const auto carried = rollouts_->Get("rollouts/r1")->document();
  EXPECT_EQ(carried.version(), document.version() + 1);
  EXPECT_EQ(rules::SignedApprovers(carried, 0, trust_->View()->policy),
            std::set<std::string>{"ann"});
}

// Whatever of its gates a stolen plane softens: nobody has approved that.
TEST_F(ReleasePartsTest, T20_AnApprovalHoldsForTheGatesThatWereApproved) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.set_error_threshold_permille(100);
  request.add_phases()->set_count(1);
  auto* asked = request.mutable_phases(0)->mutable_gate();
  asked->set_soak_ms(3'600'000);
  asked->set_settle_ms(60'000);
  asked->set_success_permille(950);
  asked->set_min_outcomes(1);
  request.add_phases()->set_percent(100);
  ActiveRollout(2, devices, request);
  const auto before = rollouts_->Get("rollouts/r1")->document();
  ASSERT_OK(Approve("rollouts/r1", 1, "", "operator:ann",
                    operator_.Sign(rules::ApprovalInput(before, 1))));
  ASSERT_OK(driver_->Step());
  const auto document = rollouts_->Get("rollouts/r1")->document();
  const auto& policy = trust_->View()->policy;
  ASSERT_EQ(rules::SignedApprovers(document, 1, policy).size(), 1u);
  using Document = rollout::v1::RolloutDocument;
  const std::vector<std::pair<const char*, void (*)(Document&)>> changes = {
      {"soak",
       [](Document& d) {
         d.mutable_phases(0)->mutable_gate()->set_soak_ms(0);
       }},
      {"settle",
       [](Document& d) {
         d.mutable_phases(0)->mutable_gate()->set_settle_ms(0);
       }},
      {"success",
       [](Document& d) {
         d.mutable_phases(0)->mutable_gate()->set_success_permille(10);
       }},
      {"min",
       [](Document& d) {
         d.mutable_phases(0)->mutable_gate()->set_min_outcomes(0);
       }},
      {"threshold", [](Document& d) { d.set_error_threshold_permille(1000); }},
      {"unattended", [](Document& d) { d.set_unattended(!d.unattended()); }},
  };
  for (const auto& [what, change] : changes) {
    Document softened = document;
    change(softened);
    EXPECT_THAT(rules::SignedApprovers(softened, 1, policy),
                ::testing::IsEmpty())
        << what;
  }
}

}  // namespace
}  // namespace shoal::server
