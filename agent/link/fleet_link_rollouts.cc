// The link's rollouts: read from signed targets, and what others say of them.
#include <fmt/format.h>

#include <algorithm>

#include "agent/link/fleet_link.h"
#include "common/log.h"
#include "common/status.h"
#include "rules/outcome_shard.h"
#include "rules/outcomes.h"
#include "rules/position.h"

namespace shoal::agent {
namespace {

constexpr uint32_t kSampleWanted = 20;

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
    const auto bytes =
        updater_->FetchTarget(source, target, rules::kMaxDocumentBytes);
    if (ReasonOf(bytes.status()) == "target_too_large") {
      // This one says nothing; the others must not stay unread for it.
      LogWarn("rollout_refused",
              {{"target", target.path}, {"error", bytes.status()}});
      continue;
    }
    SHOAL_RETURN_IF_ERROR(bytes);
    auto document = ParseRollout(target.path, *bytes);
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

}  // namespace shoal::agent
