// Steal the server and you still cannot make one device run one unsigned byte.
//
// The management plane's machine is taken over: its keys and its store are in
// the attacker's hand (stolen_plane.h), who owns a certified storage node of
// the fleet besides. The fleet is real: storage nodes, a device with its boot
// loader, metadata that shoal-sign signed offline. Every attack is published
// into it, and every attack ends with the device's own refusal, by name, and
// with the device running what it ran before.
//
// The way back is recovery_test.cc.
#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "delta/make/make.h"
#include "signing/metadata/image_info.h"
#include "signing/verify/fleet_trust.h"
#include "tests/integration/stolen_server/stolen_server_fixture.h"

namespace shoal::testing {
namespace {

using records::v1::RECORD_KIND_ASSIGNMENT;
using records::v1::RECORD_KIND_HALT;
using records::v1::RECORD_KIND_PAIR_GRANT;

// An attack that the device doesn't refuse ends the test.
#define REFUSED(...) ASSERT_NO_FATAL_FAILURE(Refused(__VA_ARGS__))

TEST_F(StolenServer, T20_T23_T24_T35_NoDeviceRunsOneUnsignedByte) {
  // The device's owner bounds how often it may be moved; one start is spent.
  ASSERT_NO_FATAL_FAILURE(TakeOver("max_starts_per_day = 4"));

  REFUSED("an image that nobody signed",
          "event=update_refused reason=unknown_target",
          [&] { Roll(thief_->Rollout("fw/gateway/6.6.6/image")); });
  REFUSED("a signed image with another digest",
          "event=update_refused reason=wrong_image", [&] {
            auto document = thief_->Rollout("fw/gateway/4.0/image");
            document.mutable_release()->set_sha256(std::string(32, 'e'));
            Roll(document);
          });
  REFUSED("a signed image with another length",
          "event=update_refused reason=wrong_image", [&] {
            auto document = thief_->Rollout("fw/gateway/4.0/image");
            document.mutable_release()->set_length(7);
            Roll(document);
          });
  REFUSED("a signed image with known holes, below the device's floor",
          "event=update_refused reason=below_floor",
          [&] { Roll(thief_->Rollout("fw/gateway/1.0/image")); });
  REFUSED("an image for other hardware",
          "event=update_refused reason=wrong_device_type",
          [&] { Roll(thief_->Rollout("fw/camera/1.0/image")); });
  REFUSED("a rollout for other hardware",
          "event=update_refused reason=wrong_device_type", [&] {
            auto document = thief_->Rollout("fw/gateway/4.0/image");
            document.set_device_type("camera");
            Roll(document);
          });
  REFUSED("a rollout of another fleet",
          "event=update_refused reason=wrong_fleet", [&] {
            auto document = thief_->Rollout("fw/gateway/4.0/image");
            document.set_fleet(std::string(32, 'o'));
            Roll(document);
          });

  // Deltas are the plane's to sign, so a thief can sign any. What they make
  // must be an image of the offline role all the same: it is not, the device
  // says so, and takes the whole image.
  {
    SCOPED_TRACE("a delta that is junk");
    ASSERT_OK_AND_ASSIGN(const auto junk,
                         thief_->Serve(crypto::RandomBytes(3'000)));
    ASSERT_NO_FATAL_FAILURE(WholeImageInstead("4.0", junk));
  }
  {
    SCOPED_TRACE("a well-formed delta to the attacker's own image");
    WriteText(dir_.File("running"), device().RunningBytes());
    WriteText(dir_.File("evil"), std::string(39'000, '!') + "evil");
    ASSERT_OK_AND_ASSIGN(
        const delta::MakeStats made,
        delta::MakeDelta({}, dir_.File("running"), dir_.File("evil"),
                         dir_.File("evil.delta")));
    ASSERT_OK_AND_ASSIGN(auto evil,
                         thief_->Serve(ReadText(dir_.File("evil.delta"))));
    evil.set_memory(made.reader_memory);
    ASSERT_NO_FATAL_FAILURE(WholeImageInstead("5.0", evil));
  }

  // To and fro among signed images it may send it, at the pace of the device's
  // own configuration.
  ASSERT_NO_FATAL_FAILURE(Roll(thief_->Rollout("fw/gateway/4.0/image")));
  ASSERT_NO_FATAL_FAILURE(Runs("4.0"));
  ASSERT_NO_FATAL_FAILURE(Roll(thief_->Rollout("fw/gateway/5.0/image")));
  ASSERT_OK(WaitFor("the device to have had enough", [&] {
    return device().Status()["live"].value("waiting_reason", "") ==
           "too_many_starts";
  }));
  NothingHappened();

  // Last, since the snapshot then names a file that nobody will ever accept:
  // firmware metadata by the stolen key.
  signing::Targets forged = thief_->Content("fw-gateway");
  signing::TargetFile image = forged.targets.begin()->second;
  ASSERT_OK_AND_ASSIGN(signing::ImageInfo info, signing::ParseImageInfo(image));
  info.version = "6.6.6";
  info.counter = 666;
  image.path = signing::ImagePath("gateway", "6.6.6", "image");
  image.sha256 = crypto::Sha256Digest("the attacker's own image");
  image.custom = signing::FormatImageInfo(info);
  forged.targets[image.path] = image;
  ASSERT_OK(thief_->Forge("fw-gateway", forged));
  REFUSED("firmware metadata by the stolen key",
          "event=update_refused reason=bad_signature",
          [&] { Roll(thief_->Rollout("fw/gateway/6.6.6/image")); });
}

TEST_F(StolenServer, T20_T28_T52_T53_NoDeviceTakesAnOrder) {
  ASSERT_NO_FATAL_FAILURE(TakeOver());
  const auto stranger = crypto::SigningKey::Generate();

  REFUSED("a command with an operator's credential that the stolen CA minted",
          RecordRefused("wrong_credential_kind"), [&] {
            Command(
                stranger,
                thief_->Certify(thief_->keys().device_ca, stranger.public_key(),
                                records::v1::WRITER_CLASS_OPERATOR,
                                std::string(16, 'o')));
          });
  REFUSED(
      "the same by the node CA", RecordRefused("wrong_credential_kind"), [&] {
        Command(stranger,
                thief_->Certify(thief_->keys().node_ca, stranger.public_key(),
                                records::v1::WRITER_CLASS_OPERATOR,
                                std::string(16, 'p')));
      });
  REFUSED("a command of an operator whom no policy names",
          RecordRefused("unknown_writer"), [&] { Command(stranger); });
  REFUSED("a command by the director itself", RecordRefused("wrong_writer"),
          [&] { Command(thief_->keys().director); });
  REFUSED("a command by a device that the stolen CA minted",
          RecordRefused("wrong_writer"), [&] {
            Command(stranger, thief_->Certify(thief_->keys().device_ca,
                                              stranger.public_key(),
                                              records::v1::WRITER_CLASS_DEVICE,
                                              crypto::RandomBytes(16)));
          });
  REFUSED("a halt by the director", RecordRefused("wrong_writer"), [&] {
    records::v1::Halt halt;
    halt.set_rollout_id("honest");
    halt.set_counter(1);
    ASSERT_OK(thief_->SendAsDirector(RECORD_KIND_HALT, "gateway", 1,
                                     halt.SerializeAsString()));
  });

  // Where commands lie, what the director may sign for another place is none.
  const std::string order = SealedCommand(fleet_->helper().public_key());
  REFUSED("a command that is called an assignment",
          "event=record_refused reason=bad_assignment",
          [&] { AtCommandPlace(RECORD_KIND_ASSIGNMENT, order); });
  REFUSED("a command that is called a grant",
          "event=record_refused reason=bad_grant",
          [&] { AtCommandPlace(RECORD_KIND_PAIR_GRANT, order); });
  REFUSED("a command that is called a halt", RecordRefused("wrong_writer"),
          [&] { AtCommandPlace(RECORD_KIND_HALT, order); });

  // Configuration, hooks and sessions have no field in what a director signs:
  // DirectorWords.T20_HaveNoPlaceForAnOrder holds that, not this. Here a thief
  // writes them where nobody reads, and the device goes on with what it knows,
  // an image that the offline role signed: no more than that such content does
  // no harm.
  const std::string own_settings = ReadText(device().config());
  {
    SCOPED_TRACE("a rollout with a hook, a setting and a session in it");
    auto document = thief_->Rollout("fw/gateway/4.0/image");
    AddForeignContent(document);
    ASSERT_NO_FATAL_FAILURE(Roll(document));
    ASSERT_NO_FATAL_FAILURE(Runs("4.0"));
    EXPECT_EQ(ReadText(device().config()), own_settings);
  }

  // Labels in access rules are the policy's. The thief gives the device the
  // one that "helper" may command; it is believed for rollouts, and for
  // nothing else. Not even a willing operator gets further by it.
  records::v1::Assignment assignment;
  assignment.set_device_id(thief_->device_id());
  assignment.set_version(1'000);
  assignment.set_device_type("gateway");
  (*assignment.mutable_labels())["ring"] = "lab";
  AddForeignContent(assignment);
  ASSERT_OK(thief_->SendAsDirector(RECORD_KIND_ASSIGNMENT,
                                   HexEncode(thief_->device_id()), 1'000,
                                   assignment.SerializeAsString()));
  ASSERT_OK(
      device().process().WaitForLog("event=assignment_changed version=1000"));
  NothingHappened();
  EXPECT_EQ(ReadText(device().config()), own_settings);
  REFUSED("a label that would give an operator more rights",
          "name=greet error=\"permission_denied:", [&] {
            Command(fleet_->helper());
          });

  REFUSED("a credential for the attacker's key in the device's name",
          "event=record_refused reason=bad_grant",
          [&] { Grant(stranger.public_key()); });

  // The rules themselves.
  const signing::RoleFile policy = thief_->role("policy");
  REFUSED("no policy any more", "event=metadata_refused reason=rollback", [&] {
    thief_->DropRole("policy");
    ASSERT_OK(thief_->Publish());
  });
  // A refusal that goes on is told once; what is whole again ends it.
  thief_->SetRole("policy", policy);
  ASSERT_OK(thief_->Publish());
  ASSERT_NO_FATAL_FAILURE(UpToDateAgain());
  REFUSED(
      "the policy of yesterday", "event=metadata_refused reason=rollback", [&] {
        thief_->SetRole(
            "policy", {1, ReadText(dir_.File("repo/metadata/1.policy.json"))});
        ASSERT_OK(thief_->Publish());
      });

  // A device that the director revokes is told off by the storage nodes. It
  // runs on, and the recovery below brings it back.
  thief_->SetRole("policy", policy);
  ASSERT_NO_FATAL_FAILURE(Revoke());
  ASSERT_OK(thief_->Publish());
  ASSERT_NO_FATAL_FAILURE(UpToDateAgain());
  NothingHappened();

  // Last, as above: a policy by the stolen key, in which the attacker rules
  // and everybody who could object is revoked.
  REFUSED(
      "a policy of the attacker's own",
      "event=metadata_refused reason=bad_signature", [&] {
        signing::Targets forged = thief_->Content("policy");
        const std::string json =
            R"({"version":"99","operators":[{"name":"mallory","publicKey":")" +
            HexEncode(stranger.public_key()) +
            R"("}],"rules":[{"name":"all","principals":["operator:mallory"],
"actions":["command.run:*"],"devices":{"all":true}}]})";
        forged.targets[signing::kPolicyPath].length = json.size();
        forged.targets[signing::kPolicyPath].sha256 =
            crypto::Sha256Digest(json);
        ASSERT_OK(thief_->Forge("policy", forged));
        ASSERT_OK(thief_->Publish());
      });
  REFUSED("a command under it", RecordRefused("unknown_writer"),
          [&] { Command(stranger); });
}

}  // namespace
}  // namespace shoal::testing
