// The way back after the management plane was stolen: offline keys name new
// online ones, and the device follows without a visit. The steps are those of
// docs/operations/stolen-server.md.
#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "server/identity/plane_keys.h"
#include "tests/integration/stolen_server/stolen_server_fixture.h"

namespace shoal::testing {
namespace {

using records::v1::RECORD_KIND_ASSIGNMENT;
using records::v1::RECORD_KIND_METADATA;

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
  const std::string place_name = HexEncode(thief_->device_id());
  ASSERT_OK(thief_->OfferToNodes(thief_->keys().director,
                                 RECORD_KIND_ASSIGNMENT, place_name, kFar + 1,
                                 assignment.SerializeAsString()));
  // rubbish where the next root will be looked for;
  ASSERT_OK(thief_->SendAsDirector(RECORD_KIND_METADATA, "root/2", kFar,
                                   "{\"signed\":{},\"signatures\":[]}"));
  // every device revoked;
  ASSERT_NO_FATAL_FAILURE(Revoke());
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
  NothingHappened();

  ASSERT_OK(fleet_->Recover());

  // Nobody goes near the device. It finds the new root, forgets what the old
  // keys said, and is given a credential for the key that it always had.
  ASSERT_OK(device().process().WaitForLog("event=credential_renewed",
                                          absl::Seconds(90)));
  // The log that the thief went on with is gone, and the device says so for
  // good (T46).
  ASSERT_OK(device().process().WaitForLog("event=log_restarted"));
  // It is a member of the fleet again, to nodes and plane alike.
  ASSERT_OK(fleet_->Shoal({"rollout", "create", "--id", "after", "--release",
                           "gateway/4.0", "--phase", "all:percent=100"}));
  ASSERT_NO_FATAL_FAILURE(Runs("4.0"));
  ASSERT_OK(fleet_->Shoal({"rollout", "watch", "after", "--timeout", "60s"}));

  // Every node heard of all of it from the plane, none by repair alone.
  EXPECT_EQ(fleet_->PlaneLog().find("event=record_under_replicated"),
            std::string::npos);

  // The thief's keys are worth nothing now. No storage node keeps a word of
  // what it says; that they can be reached from there, the new director's
  // record shows, which all of them keep.
  EXPECT_THAT(thief_->OfferToNodes(thief_->keys().director,
                                   RECORD_KIND_ASSIGNMENT, place_name, kFar + 2,
                                   assignment.SerializeAsString()),
              FailsBecause("no_receipt"));
  ASSERT_OK_AND_ASSIGN(
      const server::PlaneKeys keys,
      server::LoadPlaneKeys(fleet_->plane_directory(), RealFileSystem()));
  EXPECT_OK(thief_->OfferToNodes(
      keys.director, records::v1::RECORD_KIND_DOCUMENT,
      HexEncode(crypto::Sha256Digest("honest")), 1, "honest"));
  // No device hears it either: it obeys the next honest rollout, and the
  // thief's, published before, it never considered.
  const size_t considered = TimesLogged("rollout=attack-");
  ASSERT_NO_FATAL_FAILURE(Roll(thief_->Rollout("fw/gateway/3.0/image")));
  ASSERT_OK(fleet_->Shoal({"rollout", "create", "--id", "later", "--release",
                           "gateway/5.0", "--phase", "all:percent=100"}));
  ASSERT_NO_FATAL_FAILURE(Runs("5.0"));
  EXPECT_EQ(TimesLogged("rollout=attack-"), considered);
  EXPECT_EQ(TimesLogged("to=3.0"), 1u);
}

}  // namespace
}  // namespace shoal::testing
