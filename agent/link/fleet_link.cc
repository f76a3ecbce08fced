#include "agent/link/fleet_link.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/engine/halts.h"
#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "common/status.h"
#include "shoal/log/v1/log.pb.h"
#include "signing/verify/writer.h"

namespace shoal::agent {
namespace {

constexpr uint64_t kMaxIndexBytes = 1u << 20;
// Refreshes in a row without proofs before that is worth an alarm: a proof may
// be on its way a little longer than its head.
constexpr int kUnprovenAlarm = 5;

}  // namespace

absl::Status FleetLink::RebuildTrust(signing::Fetcher* source) {
  SHOAL_ASSIGN_OR_RETURN(signing::FleetTrust trust,
                         signing::BuildFleetTrust(*updater_, source));
  // What was known stays known, unless it came from a director whose key has
  // been rotated away since: a thief may have revoked the whole fleet.
  if (const auto before = holder_->Get();
      before && before->trust.director_keys == trust.director_keys) {
    trust.revoked_device_ids = before->trust.revoked_device_ids;
    trust.superseded_keys = before->trust.superseded_keys;
  }
  if (const absl::Status added = signing::AddRevocations(
          *updater_, source, o_.config->device_type, trust);
      !added.ok() && source != nullptr)
    LogWarn("revocations_unread", {{"error", added}});
  SHOAL_ASSIGN_OR_RETURN(
      TrustView view,
      MakeTrustView(std::move(trust), updater_->time_floor().floor()));
  std::string key = view.policy_sha256;
  for (const auto* list :
       {&view.trust.director_keys, &view.trust.device_ca_keys,
        &view.trust.node_ca_keys})
    for (const std::string& one : *list) key += one;
  for (const std::string& id : view.trust.revoked_device_ids) key += id;
  for (const auto& [type, superseded] : view.trust.superseded_keys)
    for (const auto& [digest, since] : superseded) key += digest;
  const uint64_t version = view.policy.version();
  holder_->Set(std::move(view));
  if (key != trust_key_) {
    trust_key_ = key;
    LogInfo("trust_changed", {{"policy_version", version}});
    // What listeners got and the old trust refused is looked at again.
    if (own_network_) own_network_->SetResolver(MakeResolver(holder_));
    {
      std::lock_guard lock(listener_->mutex);
      listener_->given.clear();
    }
    // What this device signed by a key that it has given up since, and that no
    // node took in time, none will take.
    ResignSpool();
  }
  return absl::OkStatus();
}

absl::Status FleetLink::Refresh() {
  absl::Status status = updater_->Refresh(*fetcher_);
  unproven_refreshes_ =
      ReasonOf(status) == "log_unproven" ? unproven_refreshes_ + 1 : 0;
  if (unproven_refreshes_ == kUnprovenAlarm)
    LogWarn("log_unproven", {{"error", status}});
  return ActUpon(std::move(status), *fetcher_);
}

absl::Status FleetLink::TakeOver(signing::Fetcher& source) {
  return ActUpon(
      updater_->fresh()
          ? absl::OkStatus()
          : FailedPrecondition("not_refreshed", "nothing new was taken"),
      source);
}

absl::Status FleetLink::ActUpon(absl::Status refreshed,
                                signing::Fetcher& source) {
  if (refreshed.ok()) refreshed = RebuildTrust(&source);
  if (refreshed.ok()) refreshed = LoadRollouts(&source);
  if (!refreshed.ok()) {
    // Back to what was whole and verified; CheckFresh says whether it still
    // holds.
    const absl::Status stored = updater_->UseStored();
    if (!stored.ok()) LogDebug("metadata_stale", {{"error", stored}});
  }
  return refreshed;
}

std::vector<std::string> FleetLink::TimeKeys() const {
  const auto view = trust();
  return view ? view->trust.time_keys : std::vector<std::string>();
}

bool FleetLink::StepTime() {
  return time_->Step(TimeKeys(), updater_->time_floor());
}

records::v1::LogReport FleetLink::LogStatus() const {
  const log::v1::LogMemory& memory = updater_->log();
  records::v1::LogReport report;
  report.set_size(memory.head().size());
  report.set_root(memory.head().root());
  const std::string unconnected = gossip_->Unconnected();
  if (memory.has_fork()) {
    report.set_alarm("log_fork");
    report.set_alarm_at(memory.fork().seen_at());
    report.set_explanation(memory.fork().explanation());
    report.set_ours(memory.fork().ours());
    report.set_theirs(memory.fork().theirs());
  } else if (unproven_refreshes_ >= kUnprovenAlarm) {
    report.set_alarm("log_unproven");
    report.set_explanation(
        "nobody proves that the newest release log goes on from the one known "
        "here");
  } else if (!unconnected.empty()) {
    report.set_alarm("log_unproven");
    report.set_explanation(unconnected);
  } else if (!memory.restarts().empty()) {
    const log::v1::LogRestart& last = *memory.restarts().rbegin();
    report.set_alarm("log_restarted");
    report.set_alarm_at(last.seen_at());
    report.set_explanation(fmt::format(
        "under root {} the log went on with {} entries, unconnected with the "
        "{} known before{}",
        last.root_version(), last.after().size(), last.before().size(),
        last.forked() ? "; a fork had been seen" : ""));
  }
  return report;
}

bool FleetLink::HasFreshMetadata() const {
  return updater_->fresh() && updater_->Now() < updater_->FreshUntil();
}

bool FleetLink::TakeHead(const dht::VerifiedRecord& record) {
  records::v1::Head head;
  if (HasFreshMetadata() && head.ParseFromString(record.body.payload()) &&
      (CanWait(head.timestamp()) || !IsWorthALook(head.timestamp())))
    return false;
  head_->Offer(record);
  return true;
}

// Whoever has a director's key may announce what it likes, as often as it
// likes.
bool FleetLink::IsWorthALook(const std::string& announced) {
  const auto next = signing::ParseTimestamp(announced);
  if (!next.ok()) return false;
  if (updater_->MayBe("timestamp", std::nullopt, announced).ok())
    return next->value.version >= updater_->timestamp().version;
  // Signed by nobody, or by a key that a newer root names.
  return unknown_heads_.Spend(o_.clock->MonotonicNow());
}

// A renewal and nothing else comes to a whole fleet every hour: while this
// device's own timestamp is not past half of its life, its next poll will do.
bool FleetLink::CanWait(const std::string& announced) const {
  const signing::Timestamp& known = updater_->timestamp();
  if (const auto bytes = updater_->StoredBytes("timestamp");
      bytes.ok() && *bytes == announced)
    return true;
  const auto next = signing::ParseTimestamp(announced);
  if (!next.ok() ||
      !updater_->MayBe("timestamp", std::nullopt, announced).ok() ||
      next->value.snapshot.version != known.snapshot.version ||
      next->value.snapshot.sha256 != known.snapshot.sha256)
    return false;
  const absl::Time now = updater_->Now();
  return known.expires - now > (next->value.expires - now) / 2;
}

absl::Status FleetLink::CheckFresh() const {
  SHOAL_RETURN_IF_ERROR(time_->Check(TimeKeys()));
  if (updater_->log().has_fork())
    return FailedPrecondition("log_fork",
                              "the release log was forked: nothing new is "
                              "installed until root replaces the timestamp's "
                              "key");
  if (HasFreshMetadata()) return absl::OkStatus();
  return FailedPrecondition(
      "expired_metadata",
      "the fleet's metadata has run out: nothing new is installed until "
      "fresh metadata arrives");
}

absl::StatusOr<FleetLink::SignedRelease> FleetLink::ReleaseOf(
    const rollout::v1::RolloutDocument& document,
    const rules::DeviceParts& parts) {
  SHOAL_ASSIGN_OR_RETURN(
      const std::vector<signing::TargetFile> targets,
      updater_->TargetsOf(fetcher_, "fw-" + o_.config->device_type));
  SignedRelease release;
  SHOAL_ASSIGN_OR_RETURN(release.image,
                         FindImage(targets, document.release().image_target(),
                                   o_.config->device_type));
  SHOAL_ASSIGN_OR_RETURN(release.components,
                         FindComponents(targets, release.image, parts));
  return release;
}

std::unique_ptr<release::v1::DeltaIndex> FleetLink::DeltaIndexOf(
    const rollout::v1::RolloutDocument& document) {
  const std::string& path = document.release().delta_index_target();
  if (path.empty()) return nullptr;
  const auto load =
      [&]() -> absl::StatusOr<std::unique_ptr<release::v1::DeltaIndex>> {
    SHOAL_ASSIGN_OR_RETURN(const signing::TargetFile target,
                           updater_->GetTarget(fetcher_, path));
    SHOAL_ASSIGN_OR_RETURN(
        const std::string bytes,
        updater_->FetchTarget(fetcher_, target, kMaxIndexBytes));
    auto index = std::make_unique<release::v1::DeltaIndex>();
    if (!index->ParseFromString(bytes))
      return InvalidArgument("bad_delta_index", path + " does not parse");
    return index;
  };
  auto index = load();
  if (index.ok()) return *std::move(index);
  LogWarn("delta_index_unusable", {{"error", index.status()}});
  return nullptr;
}

bool FleetLink::IsOperator(const std::string& operator_key) const {
  const std::shared_ptr<const TrustView> view = trust();
  const auto key = HexDecode(operator_key);
  if (!view || !key.ok()) return false;
  const auto writer = signing::ResolveKey(view->trust, view->policy, *key);
  return writer.ok() && writer->kind == records::v1::WRITER_CLASS_OPERATOR;
}

absl::Status FleetLink::TakeHalt(const dht::VerifiedRecord& record) {
  records::v1::Halt halt;
  const std::shared_ptr<const TrustView> view = trust();
  if (!halt.ParseFromString(record.body.payload()) ||
      !IsIdentifier(halt.rollout_id()))
    return InvalidArgument("bad_halt", "the halt does not parse");
  const policy::v1::Operator* op =
      view ? rules::FindOperatorByKey(view->policy, record.writer.public_key)
           : nullptr;
  if (op == nullptr)
    return PermissionDenied("permission_denied", "not an operator's halt");
  const rules::Decision decision =
      rules::Evaluate(view->policy, rules::PrincipalOf(*op), "rollout.halt",
                      nullptr, LocalTimeAt(Now()));
  if (!decision.allowed)
    return PermissionDenied("permission_denied", decision.explanation);
  const std::string digest = HexEncode(record.digest);
  const HaltMemory taken{halt.rollout_id(), halt.counter(), halt.reason(),
                         HexEncode(record.writer.public_key)};
  const auto remember = [&](StateData& d) {
    return RememberHalt(
        digest, taken,
        [this](const std::string& key) { return IsOperator(key); }, d);
  };
  StateData state = o_.state->Get();
  const size_t all = state.halts_all.size();
  if (!remember(state)) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(
      o_.state->Change([&](StateData& d) { (void)remember(d); }));
  if (state.halts_all.size() > all)
    LogWarn("all_rollouts_halted",
            {{"operator", op->name()}, {"operator_key", taken.operator_key}});
  LogWarn("rollout_halted", {{"rollout", halt.rollout_id()},
                             {"operator", op->name()},
                             {"reason", halt.reason()}});
  return absl::OkStatus();
}

rules::DeviceFacts FleetLink::AssignedFacts() const {
  rules::DeviceFacts facts;
  facts.id = o_.membership.device_id();
  facts.device_type = o_.config->device_type;
  facts.labels = {assignment().labels().begin(), assignment().labels().end()};
  facts.groups = {assignment().groups().begin(), assignment().groups().end()};
  return facts;
}

}  // namespace shoal::agent
