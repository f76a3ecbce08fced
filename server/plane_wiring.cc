#include "common/bytes.h"
#include "common/log.h"
#include "server/plane_impl.h"
#include "server/rollout/delta_demand.h"

namespace shoal::server {

void Plane::Impl::Wire() {
  using records::v1::RecordKind;
  intake->Handle(records::v1::RECORD_KIND_DEVICE_REPORT,
                 [this](Transaction& tx,
                        const dht::VerifiedRecord& record) -> absl::Status {
                   SHOAL_RETURN_IF_ERROR(credentials->OnKeyChange(tx, record));
                   SHOAL_RETURN_IF_ERROR(rollouts->TakeHeld(tx, record));
                   SHOAL_RETURN_IF_ERROR(devices->OnReport(tx, record));
                   return credentials->OnReport(tx, record);
                 });
  intake->Handle(records::v1::RECORD_KIND_OUTCOME,
                 [this](Transaction& tx, const dht::VerifiedRecord& record) {
                   return rollouts->OnOutcome(tx, record);
                 });
  intake->Handle(records::v1::RECORD_KIND_HALT,
                 [this](Transaction& tx, const dht::VerifiedRecord& record) {
                   return rollouts->OnHalt(tx, record);
                 });
  intake->Handle(records::v1::RECORD_KIND_TELEMETRY,
                 [this](Transaction& tx, const dht::VerifiedRecord& record) {
                   return telemetry->OnRecord(tx, record);
                 });
  intake->Handle(records::v1::RECORD_KIND_PAIR_ANSWER,
                 [this](Transaction& tx, const dht::VerifiedRecord& record) {
                   return pairing->OnAnswer(tx, record);
                 });
  intake->Handle(records::v1::RECORD_KIND_PAIR_REQUEST,
                 [this](Transaction& tx, const dht::VerifiedRecord& record) {
                   return enrolment->OnRequest(tx, record);
                 });
  intake->Handle(records::v1::RECORD_KIND_COMMAND_RESULT,
                 [](Transaction& tx, const dht::VerifiedRecord& record) {
                   // Sealed to the operator's reply key: kept, not read.
                   store::CommandResultRow row;
                   row.set_record(record.bytes);
                   tx.Put(kResults, HexEncode(record.digest), row);
                   return absl::OkStatus();
                 });
  devices->OnDecommissioned([this]() -> absl::Status {
    SHOAL_RETURN_IF_ERROR(PublishRevocations());
    return network_keys->MemberLeft("device decommissioned");
  });
  credentials->OnSuperseded([this] { superseded_due = true; });
  network_keys->OnRotated([this] {
    const auto own = network_keys->OwnKeys();
    if (own.ok()) network->SetNetworkKeys(*own);
    if (!own.ok()) LogError("network_keys_unsent", {{"error", own.status()}});
    // One record a device: not while an operator waits for the answer.
    grants_due = true;
  });
  nodes->OnChange([this](const records::v1::NodeDirectory& directory) {
    network->SetDirectory(directory);
    puller->SetDirectory(directory);
    const absl::Status sealed = network_keys->PublishToNodes();
    if (!sealed.ok()) LogError("network_keys_unsent", {{"error", sealed}});
  });
  releases->OnCreated([this](const store::ReleaseRow& row) {
    const auto artifacts = ArtifactsOfRelease(row);
    absl::Status offered = artifacts.status();
    for (size_t i = 0; offered.ok() && i < artifacts->size(); ++i)
      offered = seeder->Offer((*artifacts)[i]);
    if (!offered.ok()) LogError("offer_failed", {{"error", offered}});
  });
  deltas->OnMade([this](const dht::Artifact& artifact) {
    const absl::Status offered = seeder->Offer(artifact);
    if (!offered.ok()) LogError("offer_failed", {{"error", offered}});
  });
  deltas->SetDemand([this] { return DemandOfPlane(*rollouts, *releases); });
  sweeper->OnGone(
      [this](const std::string& sha256) { fetch->StopSeeding(sha256); });
}

}  // namespace shoal::server
