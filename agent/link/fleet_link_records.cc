// What a director says to this device alone: assignment, node directory,
// credential.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "agent/link/fleet_link.h"
#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/crypto/key_certificate.h"
#include "common/log.h"
#include "common/status.h"
#include "signing/verify/credential.h"

namespace shoal::agent {
Membership FleetLink::MembershipUnder(const std::string& director) const {
  Membership membership = o_.membership;
  if (membership.director_key == director) return membership;
  const auto view = trust();
  const auto& in_force = view->trust.director_keys;
  if (std::find(in_force.begin(), in_force.end(), membership.director_key) !=
      in_force.end())
    return membership;
  // Whoever stole the old key may have driven the versions to the end.
  membership.director_key = director;
  membership.grant.mutable_assignment()->set_version(0);
  membership.grant.mutable_directory()->set_version(0);
  return membership;
}

// Field by field: other threads read the ids, which never change.
absl::Status FleetLink::Keep(Membership next, SigningKeys::Owner owner) {
  SHOAL_RETURN_IF_ERROR(
      SaveMembership(*o_.fs, o_.config->StateDirectory(), next));
  pairing::v1::Grant& grant = o_.membership.grant;
  o_.membership.director_key = std::move(next.director_key);
  grant.mutable_assignment()->Swap(next.grant.mutable_assignment());
  grant.mutable_directory()->Swap(next.grant.mutable_directory());
  grant.mutable_credential()->Swap(next.grant.mutable_credential());
  grant.mutable_network()->mutable_keys()->Swap(
      next.grant.mutable_network()->mutable_keys());
  grant.mutable_certificate()->swap(*next.grant.mutable_certificate());
  o_.membership.heard_epochs = std::move(next.heard_epochs);
  if (owner != SigningKeys::Owner::kInUse) signing_keys_.Use(owner);
  out_->SetSigner(signing_keys_.in_use(), grant.credential());
  if (own_network_)
    own_network_->SetClientCredential(signing_keys_.in_use().get(),
                                      grant.credential());
  return absl::OkStatus();
}

absl::Status FleetLink::TakeAssignment(const dht::VerifiedRecord& record) {
  records::v1::Assignment next;
  if (record.writer.kind != records::v1::WRITER_CLASS_DIRECTOR ||
      !next.ParseFromString(record.body.payload()) ||
      next.device_id() != o_.membership.device_id())
    return PermissionDenied("bad_assignment", "not this device's assignment");
  Membership membership = MembershipUnder(record.writer.public_key);
  if (next.version() <= membership.grant.assignment().version())
    return absl::OkStatus();
  *membership.grant.mutable_assignment() = std::move(next);
  SHOAL_RETURN_IF_ERROR(Keep(std::move(membership)));
  LogInfo("assignment_changed", {{"version", assignment().version()}});
  return absl::OkStatus();
}

absl::Status FleetLink::TakeDirectory(const dht::VerifiedRecord& record) {
  records::v1::NodeDirectory next;
  if (record.writer.kind != records::v1::WRITER_CLASS_DIRECTOR ||
      !next.ParseFromString(record.body.payload()) || next.nodes().empty())
    return PermissionDenied("bad_directory", "not a node directory");
  Membership membership = MembershipUnder(record.writer.public_key);
  if (next.version() <= membership.grant.directory().version())
    return absl::OkStatus();
  *membership.grant.mutable_directory() = next;
  SHOAL_RETURN_IF_ERROR(Keep(std::move(membership)));
  nodes_.Set(next);
  if (own_network_) own_network_->SetDirectory(next);
  LogInfo("directory_changed",
          {{"version", next.version()}, {"nodes", next.nodes_size()}});
  return absl::OkStatus();
}

absl::Status FleetLink::TakeGrant(const dht::VerifiedRecord& record) {
  const auto bad = [](std::string_view what) {
    return PermissionDenied("bad_grant", what);
  };
  const auto view = trust();
  const auto plain = o_.keys->box->Open(record.body.payload());
  pairing::v1::Grant grant;
  if (!view || record.writer.kind != records::v1::WRITER_CLASS_DIRECTOR ||
      !plain.ok() || !grant.ParseFromString(*plain) ||
      grant.device_id() != o_.membership.device_id())
    return bad("not a grant for this device");
  const auto next =
      signing::VerifyCredential(grant.credential(), view->trust, Now());
  if (!next.ok()) return bad(std::string(next.status().message()));
  using Owner = SigningKeys::Owner;
  const Owner owner = signing_keys_.OwnerOf(next->public_key());
  if (next->kind() != records::v1::WRITER_CLASS_DEVICE ||
      owner == Owner::kNobody ||
      next->subject_id() != o_.membership.device_id())
    return bad("the credential is not for this device's key");
  const std::string& director = record.writer.public_key;
  Membership membership = MembershipUnder(director);
  const bool new_director =
      membership.director_key != o_.membership.director_key;
  const bool keys = AddNetworkKeys(grant, new_director, membership);
  // By the CA alone: a thief may have told the fleet that this device gave its
  // key up, so that it goes back to one that leaked.
  const auto held = signing::VerifyCredential(o_.membership.grant.credential(),
                                              view->trust.device_ca_keys,
                                              view->trust.fleet_id, Now());
  // Back to the key before only when the one in use is worth nothing: the plane
  // was set back to a day on which it knew no other. The change is asked for
  // again then.
  const bool better =
      owner == Owner::kNext || !held.ok() ||
      (owner == Owner::kInUse && held->not_after() < next->not_after());
  if (better) {
    *membership.grant.mutable_credential() = grant.credential();
    membership.grant.set_certificate(grant.certificate().size() <=
                                             crypto::kMaxCertificateDer
                                         ? grant.certificate()
                                         : std::string());
  }
  if (!better && !keys) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(
      Keep(std::move(membership), better ? owner : Owner::kInUse));
  if (keys) {
    on_trial_ = TrialKeys();  // the right ones are among those held now
    UseNetworkKeys();
  }
  if (better) ResignSpool();
  if (better)
    LogInfo("credential_renewed",
            {{"serial", next->serial()}, {"not_after", next->not_after()}});
  return absl::OkStatus();
}

std::vector<records::v1::KeyChange> FleetLink::KeyChanges() {
  signing_keys_.LookForNext();
  return signing_keys_.Changes(o_.membership.fleet_id,
                               o_.membership.device_id());
}

// A director may be a thief: it can add keys, and none that it adds takes the
// place of those under which nodes of the pairing answered (docs/adr/0013).
bool FleetLink::AddNetworkKeys(const pairing::v1::Grant& grant,
                               bool new_director,
                               Membership& membership) const {
  if (grant.network().keys().empty()) return false;
  auto& held = *membership.grant.mutable_network()->mutable_keys();
  for (const auto& [node, epoch] : network_->HeardEpochs()) {
    // Under one that is on trial still: the other stays.
    const bool known =
        std::any_of(held.begin(), held.end(),
                    [&](const auto& key) { return key.epoch() == epoch; });
    if (const auto it = membership.heard_epochs.find(node);
        known && it != membership.heard_epochs.end())
      it->second = epoch;
  }
  std::set<uint32_t> heard;
  for (const auto& [node, epoch] : membership.heard_epochs) heard.insert(epoch);
  const auto merged =
      MergeNetworkKeys(held, grant.network().keys(), heard, new_director);
  const bool same =
      std::equal(merged.begin(), merged.end(), held.begin(), held.end(),
                 [](const auto& a, const auto& b) {
                   return a.epoch() == b.epoch() && a.key() == b.key();
                 });
  if (same) return false;
  held.Assign(merged.begin(), merged.end());
  return true;
}

void FleetLink::ResignSpool() {
  const auto view = trust();
  if (!view || !own_spool_ || !out_) return;
  const auto resigned = spool_->Rewrite([&](const std::string& record) {
    return out_->Revive(record, view->trust, Now());
  });
  if (!resigned.ok())
    LogError("spool_not_resigned", {{"error", resigned.status()}});
  else if (*resigned > 0)
    LogInfo("spool_resigned", {{"records", *resigned}});
}

void FleetLink::UseNetworkKeys() {
  const auto list = on_trial_.With(o_.membership.grant.network().keys());
  uint32_t newest = 0;
  for (const auto& key : list) newest = std::max(newest, key.epoch());
  LogInfo("network_keys", {{"newest", newest}, {"keys", list.size()}});
  if (own_network_) own_network_->SetNetworkKeys(list);
  if (own_spool_) own_spool_->Kick();
}

void FleetLink::MindConnection() {
  const bool connected = network_->Stats().connected_nodes > 0;
  // What failed while nobody answered has pauses of minutes by now.
  if (connected && !was_connected_ && own_spool_) own_spool_->Kick();
  was_connected_ = connected;
}

absl::Status FleetLink::TakeRetiredGrant(const std::string& node,
                                         const std::string& bytes) {
  auto known = dht::VerifyRecord(bytes, {.fleet_id = o_.membership.fleet_id,
                                         .places = &places_,
                                         .resolver = MakeResolver(holder_),
                                         .now = Now()});
  if (known.ok()) return TakeGrant(*known);
  // By the key that the record itself names, so that what is taken was at least
  // meant for this device by somebody who knows its box key.
  const auto resolver = [](const records::v1::RecordBody& body,
                           absl::Time) -> absl::StatusOr<dht::Writer> {
    const std::string& key = body.writer_key();
    return dht::Writer{records::v1::WRITER_CLASS_DIRECTOR,
                       crypto::Sha256Digest(key).substr(0, 16), key};
  };
  SHOAL_ASSIGN_OR_RETURN(
      const dht::VerifiedRecord record,
      dht::VerifyRecord(bytes, {.fleet_id = o_.membership.fleet_id,
                                .places = &places_,
                                .resolver = resolver,
                                .now = Now()}));
  const auto plain = o_.keys->box->Open(record.body.payload());
  pairing::v1::Grant grant;
  if (!plain.ok() || !grant.ParseFromString(*plain) ||
      record.body.kind() != records::v1::RECORD_KIND_PAIR_GRANT ||
      grant.device_id() != o_.membership.device_id())
    return PermissionDenied("bad_grant", "not a grant for this device");
  if (on_trial_.Take(node, grant.network().keys())) UseNetworkKeys();
  return absl::OkStatus();
}

}  // namespace shoal::agent
