#include "signing/verify/updater.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "common/status.h"
#include "signing/log/files.h"
#include "signing/verify/updater_impl.h"

namespace shoal::signing {
Updater::Updater(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Updater::~Updater() = default;

absl::StatusOr<std::unique_ptr<Updater>> Updater::Open(UpdaterOptions options,
                                                       FileSystem& fs,
                                                       Clock& clock) {
  if (options.fleet_id.size() !=
      (options.anchored_by_root ? 0 : crypto::kSha256Size))
    return InvalidArgument("bad_fleet_id",
                           "a fleet id has 32 bytes, and is the only anchor");
  SHOAL_RETURN_IF_ERROR(
      fs.MakeDirectories(JoinPath(options.directory, "targets")));
  SHOAL_ASSIGN_OR_RETURN(
      TimeFloor floor,
      TimeFloor::Load(fs, JoinPath(options.directory, "time_floor")));
  auto impl =
      std::make_unique<Impl>(std::move(options), fs, clock, std::move(floor));
  SHOAL_RETURN_IF_ERROR(impl->LoadStore());
  return std::unique_ptr<Updater>(new Updater(std::move(impl)));
}

absl::StatusOr<std::string> Updater::Impl::Fetch(
    Fetcher& source, std::string_view role, std::optional<uint64_t> version,
    uint64_t max_bytes) {
  auto bytes = source.FetchMetadata(role, version, max_bytes);
  if (!bytes.ok()) {
    if (bytes.status().code() == absl::StatusCode::kNotFound)
      return NotFound(
          "metadata_missing",
          fmt::format("the repository has no {}{}", role,
                      version ? fmt::format(" {}", *version) : std::string()));
    return bytes.status();
  }
  if (bytes->size() > max_bytes)
    return ResourceExhausted(
        "metadata_too_large",
        fmt::format("{} has more than the {} bytes allowed", role, max_bytes));
  return bytes;
}

absl::StatusOr<std::string> Updater::Impl::FetchPinned(Fetcher& source,
                                                       std::string_view role,
                                                       const MetaFile& pin,
                                                       uint64_t cap) {
  return Fetch(source, role,
               state.root.consistent_snapshot ? std::optional(pin.version)
                                              : std::nullopt,
               std::min(pin.length.value_or(cap), cap));
}

absl::Status Updater::Impl::RefreshRoot(Fetcher& source) {
  if (!has_root) {
    SHOAL_ASSIGN_OR_RETURN(std::string bytes,
                           Fetch(source, "root", 1, kMaxRootBytes));
    SHOAL_RETURN_IF_ERROR(AdoptFirstRoot(std::move(bytes)));
  }
  for (uint32_t rotations = 0;; ++rotations) {
    auto bytes = Fetch(source, "root", state.root.version + 1, kMaxRootBytes);
    if (bytes.status().code() == absl::StatusCode::kNotFound) break;
    SHOAL_RETURN_IF_ERROR(bytes);
    if (rotations >= options.max_root_rotations)
      return ResourceExhausted(
          "too_many_roots",
          fmt::format("more than {} root versions at once", rotations));
    const bool had_timestamp = state.timestamp.has_value();
    SHOAL_RETURN_IF_ERROR(state.AdvanceRoot(*bytes));
    // What was verified under the old keys is no answer any more: a rotated
    // key may be a stolen one. UseStored verifies it under the new ones.
    ready = false;
    if (had_timestamp && !state.timestamp) {
      // Durable before the new root: a crash in between only forgets early.
      SHOAL_RETURN_IF_ERROR(fs.Remove(Path("timestamp.json")));
      SHOAL_RETURN_IF_ERROR(fs.Remove(Path("snapshot.json")));
    }
    if (state.timestamp_key_lost)
      SHOAL_RETURN_IF_ERROR(
          WithRoom([&] { return log.KeyReplaced(state.root.version); }));
    SHOAL_RETURN_IF_ERROR(Save("root.json", *bytes));
  }
  return CheckExpiry("root", state.root.expires, start);
}

absl::Status Updater::Impl::RefreshTimestamp(Fetcher& source) {
  SHOAL_ASSIGN_OR_RETURN(
      const std::string bytes,
      Fetch(source, "timestamp", std::nullopt, kMaxTimestampBytes));
  const std::optional<Timestamp> before = state.timestamp;
  const std::string before_bytes = state.timestamp_bytes;
  const absl::Status status = state.UpdateTimestamp(bytes);
  // A stock client, anchored by the root that it was given, keeps no release
  // log: to it the head is an unknown field, and its sources serve no proofs.
  if (status.ok() && options.anchored_by_root)
    return Save("timestamp.json", bytes);
  if (status.ok()) {
    const absl::Status logged = WithRoom([&] {
      return log.Admit(*state.timestamp, bytes, state.root.version, source,
                       start);
    });
    if (!logged.ok()) {
      state.timestamp = before;
      state.timestamp_bytes = before_bytes;
      if (ReasonOf(logged) == "log_unproven" && before) {
        LookForAnotherTruth(source);
        if (log.memory().has_fork()) return log.Confront(*before, "", start);
      }
      return logged;
    }
    return Save("timestamp.json", bytes);
  }
  if (!options.anchored_by_root &&
      (status.code() == absl::StatusCode::kAlreadyExists ||
       ReasonOf(status) == "rollback")) {
    // Signed all the same: two truths, if its log is another one.
    SHOAL_ASSIGN_OR_RETURN(const ParsedTimestamp other,
                           ParseTimestampAs(options.policy.dialect, bytes));
    const auto verdict = log.Compare(other.value, bytes, source, start);
    if (!verdict.ok())
      LogDebug("log_not_compared", {{"error", verdict.status()}});
    SHOAL_RETURN_IF_ERROR(log.Confront(other.value, bytes, start));
  }
  if (status.code() != absl::StatusCode::kAlreadyExists) return status;
  equivocation = ReasonOf(status) == "equivocation";
  if (equivocation)
    LogWarn("timestamp_equivocation",
            {{"version", state.timestamp->version}, {"error", status}});
  return CheckExpiry("timestamp", state.timestamp->expires, start);
}

// In these two our own copy is judged like any other, since keys and pin may
// be new. Only what is expired and still the pinned one is not asked for again.
absl::Status Updater::Impl::RefreshSnapshot(Fetcher& source) {
  const std::string stored = state.snapshot_bytes;
  if (!stored.empty()) {
    const absl::Status status = state.UpdateSnapshot(stored);
    if (status.ok() || ReasonOf(status) == "expired_metadata") return status;
  }
  SHOAL_ASSIGN_OR_RETURN(
      const std::string bytes,
      FetchPinned(source, "snapshot", state.timestamp->snapshot,
                  kMaxSnapshotBytes));
  SHOAL_RETURN_IF_ERROR(state.UpdateSnapshot(bytes));
  return Save("snapshot.json", bytes);
}

absl::Status Updater::Impl::RefreshTargets(Fetcher& source) {
  const RoleKeys& keys = state.root.roles.at("targets");
  SHOAL_ASSIGN_OR_RETURN(const MetaFile pin, state.Pin("targets"));
  const auto stored = fs.Read(Path("targets.json"), kMaxTargetsBytes);
  if (stored.ok()) {
    const absl::Status status =
        state.UpdateRole("targets", *stored, state.root.keys, keys);
    if (status.ok() || ReasonOf(status) == "expired_metadata") return status;
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string bytes,
                         FetchPinned(source, "targets", pin, kMaxTargetsBytes));
  SHOAL_RETURN_IF_ERROR(
      state.UpdateRole("targets", bytes, state.root.keys, keys));
  return Save("targets.json", bytes);
}

absl::Status Updater::Refresh(Fetcher& source) {
  Impl& impl = *impl_;
  // One time for the whole refresh: a slow source can't make a file expire, or
  // not expire, between two checks (T05).
  impl.start = Now();
  impl.state.expired_at = impl.start;
  impl.fresh = false;
  impl.equivocation = false;
  SHOAL_RETURN_IF_ERROR(impl.RefreshRoot(source));
  SHOAL_RETURN_IF_ERROR(impl.RefreshTimestamp(source));
  SHOAL_RETURN_IF_ERROR(impl.RefreshSnapshot(source));
  SHOAL_RETURN_IF_ERROR(impl.RefreshTargets(source));
  SHOAL_RETURN_IF_ERROR(impl.SaveLastGood());
  // Delegated roles are verified again, against the new snapshot, when they are
  // asked for: state never holds any.
  impl.view = impl.state;
  impl.ready = true;
  impl.fresh = true;
  impl.PruneRoles();
  return absl::OkStatus();
}

const log::v1::LogMemory& Updater::log() const { return impl_->log.memory(); }

absl::StatusOr<ParsedTimestamp> Updater::Impl::SignedTimestamp(
    std::string_view bytes) const {
  if (!has_root)
    return FailedPrecondition("not_refreshed", "no root is known yet");
  SHOAL_ASSIGN_OR_RETURN(ParsedTimestamp timestamp,
                         ParseTimestampAs(options.policy.dialect, bytes));
  SHOAL_RETURN_IF_ERROR(VerifySignatures(
      timestamp.envelope, state.root.keys, state.root.roles.at("timestamp"),
      "timestamp", *options.policy.algorithms));
  return timestamp;
}

absl::StatusOr<LogVerdict> Updater::Impl::CompareLog(
    Fetcher& source, std::string_view timestamp) {
  SHOAL_ASSIGN_OR_RETURN(const ParsedTimestamp other,
                         SignedTimestamp(timestamp));
  return log.Compare(other.value, timestamp, source, floor.Now(clock));
}

absl::Status Updater::Impl::TakeForkProof(std::string_view one,
                                          std::string_view other) {
  SHOAL_ASSIGN_OR_RETURN(const ParsedTimestamp first, SignedTimestamp(one));
  SHOAL_ASSIGN_OR_RETURN(const ParsedTimestamp second, SignedTimestamp(other));
  return log.TakeProof(first.value, one, second.value, other, floor.Now(clock));
}

// A log that cannot be connected may be another one, whose timestamp of the
// version known here lies beside ours: that alone is the proof.
void Updater::Impl::LookForAnotherTruth(Fetcher& source) {
  const std::string name = LogTimestampName(state.timestamp->version);
  for (size_t i = 0; i < kMaxLogSources && !log.memory().has_fork(); ++i) {
    const auto other = source.FetchLog(name, i, kMaxTimestampBytes);
    if (ReasonOf(other.status()) == "no_more_sources") return;
    if (!other.ok()) continue;
    const auto verdict = CompareLog(source, *other);
    if (!verdict.ok())
      LogDebug("log_not_compared", {{"error", verdict.status()}});
  }
}

absl::StatusOr<LogVerdict> Updater::CompareLog(Fetcher& source,
                                               std::string_view timestamp) {
  return impl_->CompareLog(source, timestamp);
}

absl::Status Updater::TakeForkProof(std::string_view one,
                                    std::string_view other) {
  return impl_->TakeForkProof(one, other);
}

bool Updater::fresh() const { return impl_->fresh; }
bool Updater::equivocation() const { return impl_->equivocation; }

absl::Time Updater::FreshUntil() const {
  if (!impl_->ready) return absl::InfinitePast();
  const TrustedSet& set = impl_->view;
  return std::min({set.root.expires, set.timestamp->expires,
                   set.snapshot->expires,
                   set.roles.at("targets").value.expires});
}

const Root& Updater::root() const { return impl_->state.root; }
const Targets& Updater::targets() const {
  return impl_->view.roles.at("targets").value;
}
const Snapshot& Updater::snapshot() const { return *impl_->view.snapshot; }
const Timestamp& Updater::timestamp() const { return *impl_->view.timestamp; }
const std::string& Updater::fleet_id() const { return impl_->options.fleet_id; }
absl::Time Updater::Now() const { return impl_->floor.Now(impl_->clock); }
TimeFloor& Updater::time_floor() { return impl_->floor; }

absl::StatusOr<std::string> Updater::StoredBytes(std::string_view role) const {
  const TrustedSet& set = impl_->view;
  if (role == "root" && impl_->has_root) return impl_->state.root_bytes;
  if (impl_->ready && role == "timestamp") return set.timestamp_bytes;
  if (impl_->ready && role == "snapshot") return set.snapshot_bytes;
  const auto it = set.roles.find(std::string(role));
  if (impl_->ready && it != set.roles.end()) return it->second.bytes;
  return NotFound("unknown_role", fmt::format("{} is not loaded", role));
}

}  // namespace shoal::signing
