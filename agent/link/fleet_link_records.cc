// What a director says to this device alone: assignment, node directory,
// credential; and which metadata records are worth a look.
#include <fmt/format.h>

#include <algorithm>

#include "agent/link/fleet_link.h"
#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "common/status.h"
#include "signing/verify/credential.h"

namespace shoal::agent {
namespace {

// What the signatures are over, whichever of the four types it is.
absl::StatusOr<signing::SignedBytes> EnvelopeOf(std::string_view role,
                                                const std::string& bytes) {
  if (role == "root") {
    SHOAL_ASSIGN_OR_RETURN(auto parsed, signing::ParseRoot(bytes));
    return std::move(parsed.envelope);
  }
  if (role == "timestamp") {
    SHOAL_ASSIGN_OR_RETURN(auto parsed, signing::ParseTimestamp(bytes));
    return std::move(parsed.envelope);
  }
  if (role == "snapshot") {
    SHOAL_ASSIGN_OR_RETURN(auto parsed, signing::ParseSnapshot(bytes));
    return std::move(parsed.envelope);
  }
  SHOAL_ASSIGN_OR_RETURN(auto parsed, signing::ParseTargets(bytes));
  return std::move(parsed.envelope);
}

}  // namespace

// Root's own four roles by the keys of the root in hand, which a refresh brings
// up to date first; all others by the digest that the snapshot names.
absl::Status FleetLink::Plausible(std::string_view role,
                                  const std::string& bytes) const {
  const signing::Root& root = updater_->root();
  if (root.roles.empty()) return absl::OkStatus();  // the fleet id decides
  if (const auto keys = root.roles.find(std::string(role));
      keys != root.roles.end()) {
    SHOAL_ASSIGN_OR_RETURN(const auto envelope, EnvelopeOf(role, bytes));
    return signing::VerifySignatures(envelope, root.keys, keys->second, role);
  }
  const auto& meta = updater_->snapshot().meta;
  const auto pin = meta.find(std::string(role));
  if (pin == meta.end() || !pin->second.sha256 ||
      crypto::Sha256Digest(bytes) == *pin->second.sha256)
    return absl::OkStatus();
  return DataLoss("hash_mismatch",
                  fmt::format("{} is not the file that is signed", role));
}

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
absl::Status FleetLink::Keep(Membership next) {
  SHOAL_RETURN_IF_ERROR(
      SaveMembership(*o_.fs, o_.config->StateDirectory(), next));
  pairing::v1::Grant& grant = o_.membership.grant;
  o_.membership.director_key = std::move(next.director_key);
  grant.mutable_assignment()->Swap(next.grant.mutable_assignment());
  grant.mutable_directory()->Swap(next.grant.mutable_directory());
  grant.mutable_credential()->Swap(next.grant.mutable_credential());
  out_->SetCredential(grant.credential());
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
  network_->SetDirectory(next);
  LogInfo("directory_changed",
          {{"version", next.version()}, {"nodes", next.nodes_size()}});
  return absl::OkStatus();
}

absl::Status FleetLink::TakeGrant(const dht::VerifiedRecord& record) {
  const auto bad = [](std::string_view what) {
    return PermissionDenied("bad_grant", what);
  };
  const auto view = trust();
  const auto plain = o_.keys->box.Open(record.body.payload());
  pairing::v1::Grant grant;
  if (!view || record.writer.kind != records::v1::WRITER_CLASS_DIRECTOR ||
      !plain.ok() || !grant.ParseFromString(*plain) ||
      grant.device_id() != o_.membership.device_id())
    return bad("not a grant for this device");
  const auto next =
      signing::VerifyCredential(grant.credential(), view->trust, Now());
  if (!next.ok()) return bad(std::string(next.status().message()));
  if (next->kind() != records::v1::WRITER_CLASS_DEVICE ||
      next->public_key() != o_.keys->signing.public_key() ||
      next->subject_id() != o_.membership.device_id())
    return bad("the credential is not for this device's key");
  // The credential and nothing else: network keys that an online key could
  // replace would be a way to cut the device off.
  const auto held = signing::VerifyCredential(o_.membership.grant.credential(),
                                              view->trust, Now());
  if (held.ok() && held->not_after() >= next->not_after())
    return absl::OkStatus();
  Membership membership = MembershipUnder(record.writer.public_key);
  *membership.grant.mutable_credential() = grant.credential();
  SHOAL_RETURN_IF_ERROR(Keep(std::move(membership)));
  LogInfo("credential_renewed",
          {{"serial", next->serial()}, {"not_after", next->not_after()}});
  return absl::OkStatus();
}

}  // namespace shoal::agent
