// Steal the server and you still cannot make one device run one unsigned byte.
//
// The management plane's machine is taken over: its keys and its store are in
// the attacker's hand (stolen_plane.h), who owns a certified storage node of
// the fleet besides. The fleet is real: storage nodes, a device with its boot
// loader, metadata that shoal-sign signed offline. Every attack is published
// into it, and every attack ends with the device's own refusal, by name, and
// with the device running what it ran before.
//
// Then the way back: offline keys name new online ones, and the device follows
// without a visit (docs/operations/stolen-server.md).
#include <signal.h>

#include "common/bytes.h"
#include "common/crypto/box.h"
#include "common/crypto/hash.h"
#include "delta/make/make.h"
#include "shoal/trust/v1/revocations.pb.h"
#include "signing/metadata/image_info.h"
#include "signing/verify/fleet_trust.h"
#include "tests/integration/stolen_server/real_fleet.h"
#include "tests/integration/stolen_server/stolen_plane.h"

namespace shoal::testing {
namespace {

using records::v1::RECORD_KIND_ASSIGNMENT;
using records::v1::RECORD_KIND_COMMAND;
using records::v1::RECORD_KIND_HALT;
using records::v1::RECORD_KIND_METADATA;
using records::v1::RECORD_KIND_PAIR_GRANT;

// How a device logs a record that it refuses before anything looks at it.
std::string RecordRefused(const std::string& reason) {
  return "event=record_refused error=\"" + reason + ":";
}

class StolenServer : public ::testing::Test {
 protected:
  void TakeOver(const std::string& update_settings = "") {
    ASSERT_OK_AND_ASSIGN(fleet_, RealFleet::Start(dir_, update_settings));
    fleet_->KillPlane();
    ASSERT_OK_AND_ASSIGN(thief_,
                         StolenPlane::Take(dir_, fleet_->plane_directory()));
    ASSERT_OK(device().process().WaitForLog("event=directory_changed"));
  }
  Device& device() { return fleet_->device(); }

  size_t TimesLogged(const std::string& text) {
    const std::string log = device().process().Log();
    size_t count = 0;
    for (size_t at = log.find(text); at != log.npos;
         at = log.find(text, at + 1))
      ++count;
    return count;
  }
  // The attack; then the device must say `refusal`, once more than before, and
  // be none the worse.
  void Refused(const std::string& attack, const std::string& refusal,
               const std::function<void()>& carry_out) {
    SCOPED_TRACE(attack);
    const size_t before = TimesLogged(refusal);
    carry_out();
    if (HasFatalFailure()) return;
    ASSERT_OK(WaitFor(
        attack + " to be refused: " + refusal,
        [&] { return TimesLogged(refusal) > before; }, absl::Seconds(30)));
    NothingHappened("3.0");
  }
  void NothingHappened(const std::string& version) {
    EXPECT_EQ(device().RunningVersion(), version);
    OnlySignedBytesRun();
    EXPECT_FALSE(RealFileSystem().Exists(fleet_->order_taken()));
    EXPECT_TRUE(device().process().Running());
  }
  // What lies in the running slot is, byte for byte, an image of the offline
  // role (or the one from the factory).
  void OnlySignedBytesRun() {
    const std::string running = device().RunningBytes();
    bool is_signed = false;
    for (const auto& [version, bytes] : fleet_->images())
      is_signed |= running == bytes;
    EXPECT_TRUE(is_signed) << running.size() << " bytes run unsigned";
  }
  void Roll(const rollout::v1::RolloutDocument& document) {
    ASSERT_OK(thief_->PutRollout(document));
    ASSERT_OK(thief_->Publish());
  }
  // A delta index with `delta` from what runs to `image_target`.
  rollout::v1::RolloutDocument RolloutByDelta(const std::string& image_target,
                                              release::v1::Delta delta) {
    auto document = thief_->Rollout(image_target);
    const std::string running = device().RunningBytes();
    delta.set_from_sha256(crypto::Sha256Digest(running));
    delta.set_from_length(running.size());
    delta.set_to_sha256(document.release().sha256());
    release::v1::DeltaIndex index;
    *index.add_deltas() = delta;
    const std::string path =
        "director/gateway/deltas/" + document.release().version();
    EXPECT_OK(thief_->PutDocument(path, index.SerializeAsString()));
    document.mutable_release()->set_delta_index_target(path);
    return document;
  }
  // "greet" for the device, sealed as an operator's tool would.
  std::string SealedCommand(const std::string& operator_key) {
    records::v1::Command command;
    command.set_id(crypto::RandomBytes(16));
    command.set_device_id(thief_->device_id());
    command.set_operator_key(operator_key);
    command.set_name("greet");
    command.set_issued(absl::ToUnixMillis(absl::Now()));
    command.set_expires(absl::ToUnixMillis(absl::Now() + absl::Minutes(5)));
    command.set_reply_key(crypto::BoxKey::Generate().public_key());
    return *crypto::SealTo(thief_->device_box_key(),
                           command.SerializeAsString());
  }
  // Sends it as `key`, with `credential` where there is one.
  void Command(const crypto::SigningKey& key,
               std::optional<records::v1::Credential> credential = {}) {
    dht::RecordFields fields;
    fields.kind = RECORD_KIND_COMMAND;
    fields.place = thief_->places().Command(thief_->device_id());
    fields.version = ++command_version_;
    fields.payload = SealedCommand(key.public_key());
    fields.credential = std::move(credential);
    ASSERT_OK(thief_->Send(std::move(fields), key));
  }

  TempDir dir_;
  std::unique_ptr<RealFleet> fleet_;
  std::unique_ptr<StolenPlane> thief_;
  uint64_t command_version_ = 0;
};

TEST_F(StolenServer, T20_T23_T24_T35_NoDeviceRunsOneUnsignedByte) {
  // The device's owner bounds how often it may be moved; one start is spent.
  ASSERT_NO_FATAL_FAILURE(TakeOver("max_starts_per_day = 4"));

  Refused("an image that nobody signed",
          "event=update_refused reason=unknown_target",
          [&] { Roll(thief_->Rollout("fw/gateway/6.6.6/image")); });
  Refused("a signed image with another digest",
          "event=update_refused reason=wrong_image", [&] {
            auto document = thief_->Rollout("fw/gateway/4.0/image");
            document.mutable_release()->set_sha256(std::string(32, 'e'));
            Roll(document);
          });
  Refused("a signed image with another length",
          "event=update_refused reason=wrong_image", [&] {
            auto document = thief_->Rollout("fw/gateway/4.0/image");
            document.mutable_release()->set_length(7);
            Roll(document);
          });
  Refused("a signed image with known holes, below the device's floor",
          "event=update_refused reason=below_floor",
          [&] { Roll(thief_->Rollout("fw/gateway/1.0/image")); });
  Refused("an image for other hardware",
          "event=update_refused reason=wrong_device_type",
          [&] { Roll(thief_->Rollout("fw/camera/1.0/image")); });
  Refused("a rollout for other hardware",
          "event=update_refused reason=wrong_device_type", [&] {
            auto document = thief_->Rollout("fw/gateway/4.0/image");
            document.set_device_type("camera");
            Roll(document);
          });
  Refused("a rollout of another fleet",
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
    Roll(RolloutByDelta("fw/gateway/4.0/image", junk));
    ASSERT_OK(device().process().WaitForLog("event=delta_unusable"));
    ASSERT_OK(WaitFor(
        "the signed image to run",
        [&] { return device().RunningVersion() == "4.0" && device().Idle(); },
        absl::Seconds(90)));
    NothingHappened("4.0");
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
    const size_t before = TimesLogged("event=delta_unusable");
    Roll(RolloutByDelta("fw/gateway/5.0/image", evil));
    ASSERT_OK(WaitFor("the delta to be refused", [&] {
      return TimesLogged("event=delta_unusable") > before;
    }));
    ASSERT_OK(WaitFor(
        "the signed image to run",
        [&] { return device().RunningVersion() == "5.0" && device().Idle(); },
        absl::Seconds(90)));
    NothingHappened("5.0");
  }

  // To and fro among signed images it may send it, at the pace of the device's
  // own configuration.
  Roll(thief_->Rollout("fw/gateway/4.0/image"));
  ASSERT_OK(WaitFor(
      "one more move",
      [&] { return device().RunningVersion() == "4.0" && device().Idle(); },
      absl::Seconds(90)));
  Roll(thief_->Rollout("fw/gateway/5.0/image"));
  ASSERT_OK(WaitFor("the device to have had enough", [&] {
    return device().Status()["live"].value("waiting_reason", "") ==
           "too_many_starts";
  }));
  NothingHappened("4.0");

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
  Roll(thief_->Rollout("fw/gateway/6.6.6/image"));
  ASSERT_OK(device().process().WaitForLog(
      "event=update_refused reason=bad_signature", absl::Seconds(30)));
  NothingHappened("4.0");
}

TEST_F(StolenServer, T20_T28_T52_T53_NoDeviceTakesAnOrder) {
  ASSERT_NO_FATAL_FAILURE(TakeOver());
  const auto stranger = crypto::SigningKey::Generate();

  Refused("a command with an operator's credential that the stolen CA minted",
          RecordRefused("wrong_credential_kind"), [&] {
            Command(
                stranger,
                thief_->Certify(thief_->keys().device_ca, stranger.public_key(),
                                records::v1::WRITER_CLASS_OPERATOR,
                                std::string(16, 'o')));
          });
  Refused(
      "the same by the node CA", RecordRefused("wrong_credential_kind"), [&] {
        Command(stranger,
                thief_->Certify(thief_->keys().node_ca, stranger.public_key(),
                                records::v1::WRITER_CLASS_OPERATOR,
                                std::string(16, 'p')));
      });
  Refused("a command of an operator whom no policy names",
          RecordRefused("unknown_writer"), [&] { Command(stranger); });
  Refused("a command by the director itself", RecordRefused("wrong_writer"),
          [&] { Command(thief_->keys().director); });
  Refused("a command by a device that the stolen CA minted",
          RecordRefused("wrong_writer"), [&] {
            Command(stranger, thief_->Certify(thief_->keys().device_ca,
                                              stranger.public_key(),
                                              records::v1::WRITER_CLASS_DEVICE,
                                              crypto::RandomBytes(16)));
          });
  Refused("a halt by the director", RecordRefused("wrong_writer"), [&] {
    records::v1::Halt halt;
    halt.set_rollout_id("honest");
    halt.set_counter(1);
    ASSERT_OK(thief_->SendAsDirector(RECORD_KIND_HALT, "gateway", 1,
                                     halt.SerializeAsString()));
  });

  // Labels in access rules are the policy's. The thief gives the device the
  // one that "helper" may command; it is believed for rollouts, and for
  // nothing else. Not even a willing operator gets further by it.
  records::v1::Assignment assignment;
  assignment.set_device_id(thief_->device_id());
  assignment.set_version(1'000);
  assignment.set_device_type("gateway");
  (*assignment.mutable_labels())["ring"] = "lab";
  ASSERT_OK(thief_->SendAsDirector(RECORD_KIND_ASSIGNMENT,
                                   HexEncode(thief_->device_id()), 1'000,
                                   assignment.SerializeAsString()));
  ASSERT_OK(
      device().process().WaitForLog("event=assignment_changed version=1000"));
  Refused("a label that would give an operator more rights",
          "name=greet error=\"permission_denied:", [&] {
            Command(fleet_->helper());
          });

  Refused("a credential for the attacker's key in the device's name",
          "event=record_refused reason=bad_grant", [&] {
            pairing::v1::Grant grant;
            grant.set_device_id(thief_->device_id());
            *grant.mutable_credential() = thief_->Certify(
                thief_->keys().device_ca, stranger.public_key(),
                records::v1::WRITER_CLASS_DEVICE, thief_->device_id());
            dht::RecordFields fields;
            fields.kind = RECORD_KIND_PAIR_GRANT;
            fields.place = thief_->places().Assignment(thief_->device_id());
            fields.version = 1;
            ASSERT_OK_AND_ASSIGN(fields.payload,
                                 crypto::SealTo(thief_->device_box_key(),
                                                grant.SerializeAsString()));
            ASSERT_OK(thief_->Send(std::move(fields), thief_->keys().director));
          });

  // The rules themselves.
  const signing::RoleFile policy = thief_->role("policy");
  Refused("no policy any more", "event=metadata_refused reason=rollback", [&] {
    thief_->DropRole("policy");
    ASSERT_OK(thief_->Publish());
  });
  // A refusal that goes on is told once; what is whole again ends it.
  thief_->SetRole("policy", policy);
  ASSERT_OK(thief_->Publish());
  ASSERT_OK(WaitFor("the device to be up to date again", [&] {
    return device().process().Log().rfind("event=metadata_fresh") >
           device().process().Log().rfind("event=metadata_refused");
  }));
  Refused(
      "the policy of yesterday", "event=metadata_refused reason=rollback", [&] {
        thief_->SetRole(
            "policy", {1, ReadText(dir_.File("repo/metadata/1.policy.json"))});
        ASSERT_OK(thief_->Publish());
      });

  // A device that the director revokes is told off by the storage nodes. It
  // runs on, and the recovery below brings it back.
  trust::v1::DeviceRevocations revocations;
  revocations.set_device_type("gateway");
  revocations.add_device_ids(thief_->device_id());
  thief_->SetRole("policy", policy);
  ASSERT_OK(thief_->PutDocument(signing::DeviceRevocationsPath("gateway"),
                                revocations.SerializeAsString()));
  ASSERT_OK(thief_->Publish());
  ASSERT_OK(WaitFor("the revocation to be read", [&] {
    return device().process().Log().rfind("event=metadata_fresh") >
           device().process().Log().rfind("event=metadata_refused");
  }));
  NothingHappened("3.0");

  // Last, as above: a policy by the stolen key, in which the attacker rules
  // and everybody who could object is revoked.
  Refused(
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
  Refused("a command under it", RecordRefused("unknown_writer"),
          [&] { Command(stranger); });
}

TEST_F(StolenServer, T04_T20_T52_TheFleetComesBackWithoutAVisit) {
  ASSERT_NO_FATAL_FAILURE(TakeOver());

  // The thief does what it can to make coming back hard. Versions to the end;
  constexpr uint64_t kFar = uint64_t{1} << 40;
  records::v1::Assignment assignment;
  assignment.set_device_id(thief_->device_id());
  assignment.set_version(kFar);
  assignment.set_device_type("gateway");
  ASSERT_OK(thief_->SendAsDirector(RECORD_KIND_ASSIGNMENT,
                                   HexEncode(thief_->device_id()), kFar,
                                   assignment.SerializeAsString()));
  ASSERT_OK(device().process().WaitForLog("event=assignment_changed"));
  // which the storage nodes keep for it, since its key is in force;
  ASSERT_OK(thief_->OfferToNodes(RECORD_KIND_ASSIGNMENT,
                                 HexEncode(thief_->device_id()), kFar + 1,
                                 assignment.SerializeAsString()));
  // rubbish where the next root will be looked for;
  ASSERT_OK(thief_->SendAsDirector(RECORD_KIND_METADATA, "root/2", kFar,
                                   "{\"signed\":{},\"signatures\":[]}"));
  // every device revoked;
  trust::v1::DeviceRevocations revocations;
  revocations.set_device_type("gateway");
  revocations.add_device_ids(thief_->device_id());
  ASSERT_OK(thief_->PutDocument(signing::DeviceRevocationsPath("gateway"),
                                revocations.SerializeAsString()));
  // firmware metadata that nobody can read any more;
  ASSERT_OK(thief_->Forge("fw-gateway", thief_->Content("fw-gateway")));
  ASSERT_OK(thief_->PutRollout(thief_->Rollout("fw/gateway/4.0/image")));
  ASSERT_OK(thief_->Publish(kFar));
  ASSERT_OK(device().process().WaitForLog(
      "event=update_refused reason=bad_signature", absl::Seconds(30)));
  // and a directory of nodes that leads to the thief alone.
  const size_t directories = TimesLogged("event=directory_changed");
  ASSERT_OK(thief_->LeadDevicesAway());
  ASSERT_OK(WaitFor("the device to be led away", [&] {
    return TimesLogged("event=directory_changed") > directories;
  }));
  NothingHappened("3.0");

  // The runbook, step by step. 1: new online keys, on a clean machine with the
  // last backup from before the theft.
  ASSERT_OK(
      fleet_->Shoald({"rotate-keys", "--data", fleet_->plane_directory()}));
  // 2: the custodians name them.
  ASSERT_OK(fleet_->Sign({"rotate", "online", "--online",
                          fleet_->Path("plane/online-public.json")}));
  // 3: the plane takes what they signed.
  ASSERT_OK(fleet_->Shoald(
      {"import", "--data", fleet_->plane_directory(), fleet_->Path("repo")}));
  ASSERT_OK(fleet_->StartPlane());
  // 4: the storage nodes, under the new node CA.
  ASSERT_OK(fleet_->Connect("second"));
  for (const std::string& node : fleet_->nodes())
    ASSERT_OK(fleet_->EnrolNode(node));
  for (const std::string& node : fleet_->nodes())
    ASSERT_OK(fleet_->RestartNode(node));

  // Nobody goes near the device. It finds the new root, forgets what the old
  // keys said, and is given a credential for the key that it always had.
  ASSERT_OK(device().process().WaitForLog("event=credential_renewed",
                                          absl::Seconds(90)));
  // It is a member of the fleet again, to nodes and plane alike.
  ASSERT_OK(fleet_->Shoal({"rollout", "create", "--id", "after", "--release",
                           "gateway/4.0", "--phase", "all:percent=100"}));
  ASSERT_OK(WaitFor(
      "the honest update",
      [&] { return device().RunningVersion() == "4.0" && device().Idle(); },
      absl::Seconds(90)));
  ASSERT_OK(fleet_->Shoal({"rollout", "watch", "after", "--timeout", "60s"}));
  NothingHappened("4.0");

  // The thief's keys are worth nothing now: no storage node keeps a word of
  // what it says, and no device hears it.
  EXPECT_THAT(thief_->OfferToNodes(RECORD_KIND_ASSIGNMENT,
                                   HexEncode(thief_->device_id()), kFar + 2,
                                   assignment.SerializeAsString()),
              FailsBecause("no_receipt"));
  Roll(thief_->Rollout("fw/gateway/5.0/image"));
  NothingHappened("4.0");
}

}  // namespace
}  // namespace shoal::testing
