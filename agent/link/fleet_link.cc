#include "agent/link/fleet_link.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/engine/halts.h"
#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "common/status.h"
#include "rules/outcome_shard.h"
#include "rules/outcomes.h"
#include "rules/position.h"
#include "shoal/log/v1/log.pb.h"
#include "signing/verify/writer.h"

namespace shoal::agent {
namespace {

constexpr uint64_t kMaxRolloutBytes = 16'384;
constexpr uint64_t kMaxIndexBytes = 1u << 20;
constexpr uint32_t kSampleWanted = 20;
// Refreshes in a row without proofs before that is worth an alarm: a proof may
// be on its way a little longer than its head.
constexpr int kUnprovenAlarm = 5;

bool InPhase(const rollout::v1::RolloutDocument& document, int phase,
             const records::v1::Outcome& outcome) {
  const uint64_t position = rules::Position(document.id(), outcome.device_id());
  const uint64_t below = document.phases(phase).threshold();
  const uint64_t from = phase == 0 ? 0 : document.phases(phase - 1).threshold();
  if (position >= from && position < below) return true;
  // Labels and groups of other devices are not known here; those whom they put
  // into the phase say so themselves.
  return (!document.phases(phase).labels().empty() ||
          !document.phases(phase).groups().empty()) &&
         outcome.phase() == static_cast<uint32_t>(phase);
}

}  // namespace

rules::OutcomeCount CountOutcomes(
    const rollout::v1::RolloutDocument& document, int phase,
    const std::vector<dht::VerifiedRecord>& records) {
  rules::OutcomeTally tally(1);
  for (const dht::VerifiedRecord& record : records) {
    records::v1::Outcome outcome;
    if (record.body.kind() != records::v1::RECORD_KIND_OUTCOME ||
        !outcome.ParseFromString(record.body.payload()) ||
        outcome.device_id() != record.writer.id ||
        outcome.rollout_id() != document.id() ||
        !InPhase(document, phase, outcome))
      continue;
    tally.Add(outcome.device_id(), outcome.counter(), 0,
              rules::JudgeOutcome(document, outcome.result(),
                                  outcome.running_sha256(), outcome.reason()),
              absl::FromUnixMillis(record.body.issued()));
  }
  return rules::WithoutAccepted(document, phase, tally.ByPhase()[0]);
}

absl::StatusOr<rollout::v1::RolloutDocument> ParseRollout(
    std::string_view target_path, std::string_view bytes) {
  rollout::v1::RolloutDocument document;
  if (!document.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return InvalidArgument("bad_rollout", "it does not parse");
  SHOAL_RETURN_IF_ERROR(rules::ValidateRollout(document));
  // Halts, versions and what was tried are remembered by the id, and only a
  // director that is not to be trusted signs one rollout as another.
  if (target_path.substr(target_path.rfind('/') + 1) != document.id())
    return InvalidArgument("wrong_target",
                           "it says that it is rollout " + document.id());
  return document;
}

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

absl::Status FleetLink::LoadRollouts(signing::Fetcher* source) {
  const std::string& type = o_.config->device_type;
  const auto targets = updater_->TargetsOf(source, "director-" + type);
  if (ReasonOf(targets.status()) == "unknown_role") {
    rollouts_.clear();
    return absl::OkStatus();
  }
  SHOAL_RETURN_IF_ERROR(targets);
  const std::string prefix = fmt::format("director/{}/rollout/", type);
  std::vector<RolloutEntry> entries;
  for (const signing::TargetFile& target : *targets) {
    if (target.path.rfind(prefix, 0) != 0) continue;
    SHOAL_ASSIGN_OR_RETURN(
        const std::string bytes,
        updater_->FetchTarget(source, target, kMaxRolloutBytes));
    auto document = ParseRollout(target.path, bytes);
    if (!document.ok()) {
      LogWarn("rollout_refused",
              {{"target", target.path}, {"error", document.status()}});
      continue;
    }
    RolloutEntry entry;
    entry.document = *std::move(document);
    entry.digest = target.sha256;
    entries.push_back(std::move(entry));
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return a.document.order() > b.document.order();
  });
  rollouts_ = std::move(entries);
  return absl::OkStatus();
}

absl::Status FleetLink::Refresh() {
  absl::Status status = updater_->Refresh(*fetcher_);
  unproven_refreshes_ =
      ReasonOf(status) == "log_unproven" ? unproven_refreshes_ + 1 : 0;
  if (unproven_refreshes_ == kUnprovenAlarm)
    LogWarn("log_unproven", {{"error", status}});
  if (status.ok()) status = RebuildTrust(fetcher_);
  if (status.ok()) status = LoadRollouts(fetcher_);
  if (!status.ok()) {
    // Back to what was whole and verified; CheckFresh says whether it still
    // holds.
    const absl::Status stored = updater_->UseStored();
    if (!stored.ok()) LogDebug("metadata_stale", {{"error", stored}});
  }
  return status;
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
      CanWait(head.timestamp()))
    return false;
  head_->Offer(record);
  return true;
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

std::vector<rules::OutcomeCount> FleetLink::ReadSamples(
    const rollout::v1::RolloutDocument& document, int last_phase) {
  std::vector<rules::OutcomeCount> samples;
  for (int phase = 0; phase <= last_phase; ++phase) {
    const uint32_t shards = rules::OutcomeShards(document, phase);
    std::vector<dht::VerifiedRecord> records;
    rules::OutcomeCount count;
    for (uint32_t shard = 0; shard < shards; ++shard) {
      const auto found = network_->GetBlocking(
          places_.OutcomeShard(document.id(), shard), absl::Seconds(3));
      if (found.ok())
        records.insert(records.end(), found->begin(), found->end());
      count = CountOutcomes(document, phase, records);
      // A sample is enough; one place alone may hold a lucky few.
      if (count.total() >= 2 * kSampleWanted) break;
    }
    LogInfo("outcome_sample", {{"rollout", document.id()},
                               {"phase", phase},
                               {"succeeded", count.succeeded},
                               {"failed", count.failed},
                               {"accepted", count.accepted}});
    samples.push_back(count);
  }
  return samples;
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
