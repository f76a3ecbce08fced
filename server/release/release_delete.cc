#include "server/release/release_delete.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/bytes.h"
#include "common/log.h"
#include "fmt/format.h"
#include "server/release/delta_gc.h"
#include "server/release/release_files.h"
#include "server/release/releases_before.h"
#include "server/release/signed_deltas.h"
#include "server/rollout/rollout_state.h"
#include "server/store/requests.h"

namespace shoal::server {
namespace {

constexpr char kMethod[] = "DeleteRelease";

std::string KeyOf(const release::v1::Release& release) {
  return release.device_type() + "/" + release.version();
}

bool LeadsTo(const rollout::v1::RolloutDocument& document,
             const release::v1::Release& release) {
  const auto& previous = document.previous();
  return document.device_type() == release.device_type() &&
         (document.release().version() == release.version() ||
          std::any_of(previous.begin(), previous.end(), [&](const auto& one) {
            return one.version() == release.version();
          }));
}

}  // namespace

// Whether a rollout at work, an abort of one, or a device needs it.
absl::Status ReleaseDeleter::Judge(
    const store::ReleaseRow& row, bool allow_in_use,
    release::v1::DeleteReleaseResponse& answer) const {
  const release::v1::Release& release = row.release();
  SHOAL_ASSIGN_OR_RETURN(const auto of_type,
                         releases_.OfType(release.device_type()));
  std::vector<absl::Status> against;
  absl::Status in_use;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::RolloutRow>(
      kRollouts, "", "", [&](std::string_view, const store::RolloutRow& other) {
        const auto& rollout = other.rollout();
        const auto& document = rollout.document();
        if (HasEnded(rollout.state()) ||
            document.device_type() != release.device_type())
          return true;
        if (LeadsTo(document, release)) {
          in_use = FailedPrecondition(
              "release_in_use",
              fmt::format("{} is not at its end and leads to {}: end it first",
                          rollout.name(), release.name()));
          return false;
        }
        // The way back of a way back is none.
        if (!document.leads_back_from().empty()) return true;
        const auto aborted = std::find_if(
            of_type.begin(), of_type.end(), [&](const store::ReleaseRow& one) {
              return one.release().version() == document.release().version();
            });
        if (aborted == of_type.end()) return true;
        for (const auto& back : ReleasesBefore(of_type, *aborted)) {
          if (back.release().name() != release.name()) continue;
          against.push_back(FailedPrecondition(
              "way_back",
              fmt::format("an abort of {} would lead devices back to {}",
                          rollout.name(), release.name())));
        }
        return true;
      }));
  SHOAL_RETURN_IF_ERROR(in_use);
  const bool elsewhere = std::any_of(
      of_type.begin(), of_type.end(), [&](const store::ReleaseRow& one) {
        return one.release().name() != release.name() &&
               one.release().sha256() == release.sha256();
      });
  if (answer.release().devices() > 0 && !elsewhere)
    against.push_back(FailedPrecondition(
        "release_running",
        fmt::format("{} devices run {}: they would take full images from then "
                    "on",
                    answer.release().devices(), release.name())));
  if (!against.empty() && !allow_in_use) {
    return MakeError(
        against[0].code(), ReasonOf(against[0]),
        std::string(against[0].message()) +
            " (allow_in_use, or --force, deletes it all the same)");
  }
  for (const absl::Status& one : against)
    answer.add_warnings(std::string(one.message()));
  return absl::OkStatus();
}

// Deltas go with the last release that holds the image.
absl::Status ReleaseDeleter::AddDeltas(const store::ReleaseRow& row,
                                       Plan& plan) const {
  const release::v1::Release& release = row.release();
  SHOAL_ASSIGN_OR_RETURN(const auto of_type,
                         releases_.OfType(release.device_type()));
  std::map<std::string, std::string> names;  // image → another release
  for (const store::ReleaseRow& one : of_type)
    if (one.release().name() != release.name())
      names.emplace(one.release().sha256(), one.release().name());
  SHOAL_ASSIGN_OR_RETURN(const SignedDeltas in_use, ReadSignedDeltas(store_));
  // All that nobody needs, so that no node asks for what goes.
  plan.targets.assign(in_use.unneeded.begin(), in_use.unneeded.end());
  if (names.contains(release.sha256())) return absl::OkStatus();
  names[release.sha256()] = release.name();
  const std::string prefix = release.device_type() + "/";
  return store_.Scan<store::DeltaRow>(
      kDeltas, prefix, "",
      [&](std::string_view key, const store::DeltaRow& delta) {
        const std::string_view pair = key.substr(prefix.size());
        const std::string to(pair.substr(0, pair.find('/')));
        const std::string from(pair.substr(pair.find('/') + 1));
        if ((to != release.sha256() && from != release.sha256()) ||
            in_use.digests.contains(delta.delta().sha256()))
          return true;
        plan.delta_rows.emplace_back(key);
        if (!delta.has_delta()) return true;
        auto& view = *plan.answer.add_deltas() = DeltaView(names[to], delta);
        view.set_state(release::v1::DELTA_STATE_UNUSED);
        view.set_from_sha256(from);
        plan.answer.set_bytes(plan.answer.bytes() + view.length());
        return true;
      });
}

absl::Status ReleaseDeleter::AddBytes(const store::ReleaseRow& row,
                                      Plan& plan) const {
  std::map<std::string, uint64_t> files = FilesOf(row.release());
  SHOAL_ASSIGN_OR_RETURN(const auto all, releases_.All());
  for (const store::ReleaseRow& one : all) {
    if (one.release().name() == row.release().name()) continue;
    for (const auto& [hex, length] : FilesOf(one.release())) files.erase(hex);
  }
  for (const auto& [hex, length] : files)
    plan.answer.set_bytes(plan.answer.bytes() + length);
  return absl::OkStatus();
}

absl::StatusOr<ReleaseDeleter::Plan> ReleaseDeleter::MakePlan(
    const release::v1::DeleteReleaseRequest& request) const {
  SHOAL_ASSIGN_OR_RETURN(const auto row, releases_.Row(request.name()));
  Plan plan;
  SHOAL_ASSIGN_OR_RETURN(*plan.answer.mutable_release(),
                         releases_.Get(request.name()));
  if (!request.etag().empty() &&
      request.etag() != plan.answer.release().etag()) {
    return MakeError(absl::StatusCode::kAborted, "stale_etag",
                     request.name() + " was changed meanwhile: read it again");
  }
  SHOAL_RETURN_IF_ERROR(Judge(row, request.allow_in_use(), plan.answer));
  SHOAL_RETURN_IF_ERROR(AddDeltas(row, plan));
  SHOAL_RETURN_IF_ERROR(AddBytes(row, plan));
  return plan;
}

absl::Status ReleaseDeleter::Drop(
    Transaction& tx, const Plan& plan,
    const release::v1::DeleteReleaseRequest& request,
    const std::string& principal) const {
  // The store changes no more until this is committed: a rollout may have begun
  // since the plan was made, or a delta been made.
  SHOAL_ASSIGN_OR_RETURN(const Plan now, MakePlan(request));
  if (now.delta_rows != plan.delta_rows || now.targets != plan.targets ||
      now.answer.release().etag() != plan.answer.release().etag())
    return MakeError(absl::StatusCode::kAborted, "changed_meanwhile",
                     "the fleet's releases or rollouts changed: try again");
  for (const std::string& key : plan.delta_rows) tx.Delete(kDeltas, key);
  tx.Delete(kReleases, KeyOf(plan.answer.release()));
  tx.Audit(principal, "release.delete", request.name(), "ok",
           fmt::format("{}{}", plan.answer.release().sha256(),
                       plan.answer.warnings().empty() ? "" : " in use"));
  RememberRequest(tx, kMethod, principal, request.request_id(), request,
                  plan.answer);
  return absl::OkStatus();
}

absl::StatusOr<release::v1::DeleteReleaseResponse> ReleaseDeleter::Delete(
    const release::v1::DeleteReleaseRequest& request,
    const std::string& principal) {
  {
    Transaction tx(store_);
    release::v1::DeleteReleaseResponse first;
    SHOAL_ASSIGN_OR_RETURN(const bool again,
                           FindRequest(tx, kMethod, principal,
                                       request.request_id(), request, first));
    if (again) return first;
  }
  SHOAL_ASSIGN_OR_RETURN(const Plan plan, MakePlan(request));
  if (request.validate_only()) return plan.answer;
  if (plan.targets.empty()) {
    Transaction tx(store_);
    SHOAL_RETURN_IF_ERROR(Drop(tx, plan, request, principal));
    SHOAL_RETURN_IF_ERROR(tx.Commit());
  } else {
    RepositoryChange change;
    change.remove = plan.targets;
    const absl::Status applied = trust_.Apply(
        change,
        [&](Transaction& tx, const TrustRepository::Changed& changed,
            const TrustView& view) -> absl::Status {
          SHOAL_RETURN_IF_ERROR(Drop(tx, plan, request, principal));
          return publisher_.AddPublication(tx, changed, view);
        });
    SHOAL_RETURN_IF_ERROR(applied);
  }
  LogInfo("release_deleted", {{"release", request.name()},
                              {"sha256", plan.answer.release().sha256()},
                              {"bytes", plan.answer.bytes()}});
  // It is deleted whatever comes of this: the next sweep goes on.
  absl::Status tidied = releases_.SyncTree();
  if (tidied.ok()) tidied = sweeper_.Sweep();
  if (!tidied.ok()) LogError("sweep_failed", {{"error", tidied}});
  return plan.answer;
}

}  // namespace shoal::server
