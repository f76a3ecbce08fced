#include "tests/integration/stolen_server/stolen_server_fixture.h"

#include "common/crypto/box.h"
#include "common/crypto/hash.h"
#include "shoal/pairing/v1/pairing.pb.h"
#include "shoal/trust/v1/revocations.pb.h"
#include "signing/verify/fleet_trust.h"

namespace shoal::testing {

void StolenServer::TakeOver(const std::string& update_settings, int approvals) {
  ASSERT_OK_AND_ASSIGN(
      fleet_, RealFleet::Start(dir_, {.update_settings = update_settings,
                                      .approvals = approvals}));
  fleet_->KillPlane();
  ASSERT_OK_AND_ASSIGN(thief_,
                       StolenPlane::Take(dir_, fleet_->plane_directory()));
  ASSERT_OK(device().process().WaitForLog("event=directory_changed"));
}

size_t StolenServer::TimesLogged(const std::string& text) {
  const std::string log = device().process().Log();
  size_t count = 0;
  for (size_t at = log.find(text); at != log.npos; at = log.find(text, at + 1))
    ++count;
  return count;
}

void StolenServer::Refused(const std::string& attack,
                           const std::string& refusal,
                           const std::function<void()>& carry_out) {
  SCOPED_TRACE(attack);
  const size_t before = TimesLogged(refusal);
  ASSERT_NO_FATAL_FAILURE(carry_out());
  ASSERT_OK(WaitFor(
      attack + " to be refused: " + refusal,
      [&] { return TimesLogged(refusal) > before; }, absl::Seconds(30)));
  NothingHappened();
}

void StolenServer::Runs(const std::string& version) {
  ASSERT_OK(WaitFor(
      version + " to run",
      [&] { return device().RunningVersion() == version && device().Idle(); },
      absl::Seconds(60)));
  version_ = version;
  NothingHappened();
}

void StolenServer::NothingHappened() {
  EXPECT_EQ(device().RunningVersion(), version_);
  OnlySignedBytesRun();
  EXPECT_FALSE(RealFileSystem().Exists(fleet_->order_taken()));
  EXPECT_TRUE(device().process().Running());
}

void StolenServer::OnlySignedBytesRun() {
  const std::string running = device().RunningBytes();
  bool is_signed = false;
  for (const auto& [version, bytes] : fleet_->images())
    is_signed |= running == bytes;
  EXPECT_TRUE(is_signed) << running.size() << " bytes run unsigned";
}

void StolenServer::UpToDateAgain() {
  ASSERT_OK(WaitFor("the device to be up to date again", [&] {
    const std::string log = device().process().Log();
    const size_t refused = log.rfind("event=metadata_refused");
    const size_t fresh = log.rfind("event=metadata_fresh");
    return fresh != log.npos && (refused == log.npos || fresh > refused);
  }));
}

void StolenServer::Roll(const rollout::v1::RolloutDocument& document) {
  ASSERT_OK(thief_->PutRollout(document));
  ASSERT_OK(thief_->Publish());
}

rollout::v1::RolloutDocument StolenServer::RolloutByDelta(
    const std::string& image_target, release::v1::Delta delta) {
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

void StolenServer::WholeImageInstead(const std::string& version,
                                     const release::v1::Delta& delta) {
  const size_t before = TimesLogged("event=delta_unusable");
  ASSERT_NO_FATAL_FAILURE(
      Roll(RolloutByDelta("fw/gateway/" + version + "/image", delta)));
  ASSERT_OK(WaitFor(
      "the delta to be refused",
      [&] { return TimesLogged("event=delta_unusable") > before; },
      absl::Seconds(30)));
  Runs(version);
}

// Sealed as an operator's tool would.
std::string StolenServer::SealedCommand(const std::string& operator_key) {
  records::v1::Command command;
  command.set_id(crypto::RandomBytes(16));
  command.set_device_id(thief_->device_id());
  command.set_operator_key(operator_key);
  command.set_name("greet");
  command.set_issued(absl::ToUnixMillis(absl::Now()));
  command.set_expires(absl::ToUnixMillis(absl::Now() + absl::Minutes(5)));
  command.set_reply_key(crypto::BoxKey::Generate().public_key());
  return *crypto::SealTo(thief_->device_box_key(), command.SerializeAsString());
}

void StolenServer::Command(const crypto::SigningKey& key,
                           std::optional<records::v1::Credential> credential) {
  dht::RecordFields fields;
  fields.kind = records::v1::RECORD_KIND_COMMAND;
  fields.place = thief_->places().Command(thief_->device_id());
  fields.version = ++command_version_;
  fields.payload = SealedCommand(key.public_key());
  fields.credential = std::move(credential);
  ASSERT_OK(thief_->Send(std::move(fields), key));
}

void StolenServer::Revoke() {
  trust::v1::DeviceRevocations revocations;
  revocations.set_device_type("gateway");
  revocations.add_device_ids(thief_->device_id());
  ASSERT_OK(thief_->PutDocument(signing::DeviceRevocationsPath("gateway"),
                                revocations.SerializeAsString()));
}

void StolenServer::AddForeignContent(google::protobuf::Message& message) {
  for (const char* extra :
       {"hook", "configuration", "session", "command.run:greet"})
    message.GetReflection()->MutableUnknownFields(&message)->AddLengthDelimited(
        1'000, extra + fleet_->order_taken());
}

void StolenServer::AtCommandPlace(records::v1::RecordKind kind,
                                  const std::string& payload) {
  dht::RecordFields fields;
  fields.kind = kind;
  fields.place = thief_->places().Command(thief_->device_id());
  fields.version = ++command_version_;
  fields.payload = payload;
  ASSERT_OK(thief_->Send(std::move(fields), thief_->keys().director));
}

void StolenServer::Grant(const std::string& public_key) {
  pairing::v1::Grant grant;
  AddForeignContent(grant);
  grant.set_device_id(thief_->device_id());
  *grant.mutable_credential() =
      thief_->Certify(thief_->keys().device_ca, public_key,
                      records::v1::WRITER_CLASS_DEVICE, thief_->device_id());
  dht::RecordFields fields;
  fields.kind = records::v1::RECORD_KIND_PAIR_GRANT;
  fields.place = thief_->places().Assignment(thief_->device_id());
  fields.version = ++grant_version_;
  ASSERT_OK_AND_ASSIGN(
      fields.payload,
      crypto::SealTo(thief_->device_box_key(), grant.SerializeAsString()));
  ASSERT_OK(thief_->Send(std::move(fields), thief_->keys().director));
}

void StolenServer::Supersede(const std::string& public_key) {
  trust::v1::DeviceRevocations revocations;
  revocations.set_device_type("gateway");
  auto* key = revocations.add_superseded();
  key->set_key_digest(signing::KeyDigest(public_key));
  key->set_since(absl::ToUnixMillis(absl::Now() - absl::Hours(24 * 365)));
  ASSERT_OK(thief_->PutDocument(signing::DeviceRevocationsPath("gateway"),
                                revocations.SerializeAsString()));
}

}  // namespace shoal::testing
